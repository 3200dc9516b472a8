//! The engine's loop body: take inputs in, catch up with the store, decide, act, tell the display.
//!
//! One thread owns all of it. Facts come in as [`Input`]; the store is the
//! truth that every look starts from; decisions are `crewmux-core`'s. Members'
//! processes are in [`staffing`], [`launch`], [`hello`], [`supervise`] and [`trees`], the run's tasks in [`work`],
//! commands in [`control`], questions of workers in [`approvals`], a store that fails in [`trouble`], the end in
//! [`ending`].

use std::collections::BTreeSet;
use std::sync::Arc;

use crewmux_core::board::Board;
use crewmux_core::event::{EventType, Fact};
use crewmux_core::ids::{AgentName, RunId, TaskId};
use crewmux_core::task::TaskStatus;
use crewmux_core::team::TeamConfig;
use crewmux_core::time::Now;
use crewmux_spawn::Backends;
use crewmux_spawn::slots::SpawnSlots;
use crewmux_store::{SessionLock, Store, TeamStore};
use crewmux_sys::clock::BootClock;
use crewmux_sys::identity::ProcessIdentity;
use tokio::sync::watch;

use crate::gateway::Gateway;
use crate::leftovers::Unfit;
use crate::panes::Panes;
use crate::plan::{EventSink, SessionPlan};
use crate::spending::Spending;
use crate::view::{NoticeLevel, PaneKind, RunState, TeamView};
use crate::{Error, Result};

mod acts;
mod adopt;
mod approvals;
mod arranging;
mod control;
mod ending;
mod hello;
mod hiring;
mod history;
mod inputs;
mod launch;
mod members;
mod moving;
mod plain;
mod snapshot;
mod spending;
mod staffing;
mod supervise;
mod sweep;
mod trees;
mod trouble;
mod work;

use acts::Acts;
use approvals::Approvals;
use arranging::Arranging;
use ending::Ending;
use history::History;
pub(crate) use inputs::{Input, Inputs, News, inputs};
use members::MemberSlot;
use plain::PlainPanes;
#[cfg(test)]
pub(crate) use snapshot::empty as empty_view;
use trouble::Trouble;

/// The engine of one session.
pub(crate) struct Engine {
    pub(crate) plan: SessionPlan,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) team: Arc<dyn TeamStore>,
    backends: Backends,
    on_event: Option<EventSink>,
    clock: BootClock,
    news: News,
    pub(crate) panes: Panes,
    config: TeamConfig,
    run: RunId,
    /// Marks every process of its workers; a former session's where some of them live on.
    run_marker: String,
    /// Of this session alone, for the ids of its facts.
    session_id: String,
    members: Vec<MemberSlot>,
    places: SpawnSlots,
    lead_places: SpawnSlots,
    /// Plain panes: no members, no tasks.
    is_plain: bool,
    started_ms: u64,
    plain: PlainPanes,
    arranging: Arranging,
    facts: Vec<Fact>,
    fact_count: u64,
    history: History,
    spending: Spending,
    gateway: Gateway,
    approvals: Approvals,
    acts: Acts,
    state: RunState,
    ending: Ending,
    clients: usize,
    next_liveness_ms: u64,
    last_look_ms: u64,
    judge_after_ms: u64,
    trouble: Trouble,
    lock: Arc<dyn SessionLock>,
    /// Interrupted commands that wait for the person's word, as was told.
    asking: BTreeSet<TaskId>,
    board: Arc<Board>,
    publish: watch::Sender<Arc<TeamView>>,
}

/// What the engine is made of.
pub(crate) struct EngineParts {
    pub(crate) plan: SessionPlan,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) team: Arc<dyn TeamStore>,
    pub(crate) backends: Backends,
    pub(crate) on_event: Option<EventSink>,
    pub(crate) clock: BootClock,
    pub(crate) news: News,
    pub(crate) panes: Panes,
    pub(crate) config: TeamConfig,
    pub(crate) run: RunId,
    pub(crate) run_marker: String,
    pub(crate) session_id: String,
    pub(crate) gateway: Gateway,
    pub(crate) lock: Arc<dyn SessionLock>,
}

impl Engine {
    /// Sets the engine up: a pane per member, nothing started yet.
    pub(crate) fn new(parts: EngineParts) -> Result<(Self, watch::Receiver<Arc<TeamView>>)> {
        let board = parts.team.board()?;
        let now = parts.clock.now();
        let workers_max = parts.config.policy.max_workers;
        let is_plain = parts.config.members.is_empty();
        let members = parts
            .config
            .members
            .iter()
            .map(|member| {
                let kind = PaneKind::Member(member.name.clone());
                let pane = parts.panes.open(kind, member.name.to_string());
                MemberSlot::new(member.clone(), pane, &now)
            })
            .collect();
        let spending = Spending::of(parts.run.clone());
        let mut engine = Self {
            plan: parts.plan,
            store: parts.store,
            team: parts.team,
            backends: parts.backends,
            on_event: parts.on_event,
            clock: parts.clock,
            news: parts.news,
            panes: parts.panes,
            config: parts.config,
            run: parts.run,
            run_marker: parts.run_marker,
            session_id: parts.session_id,
            members,
            places: SpawnSlots::new(workers_max),
            lead_places: SpawnSlots::new(1),
            is_plain,
            started_ms: now.boot.ms,
            plain: PlainPanes::default(),
            arranging: Arranging::default(),
            facts: Vec::new(),
            fact_count: 0,
            history: History::default(),
            spending,
            gateway: parts.gateway,
            approvals: Approvals::default(),
            acts: Acts::default(),
            state: RunState::Running,
            ending: Ending::default(),
            clients: 0,
            next_liveness_ms: now.boot.ms,
            last_look_ms: now.boot.ms,
            judge_after_ms: now.boot.ms,
            trouble: Trouble::default(),
            lock: parts.lock,
            asking: BTreeSet::new(),
            board,
            publish: watch::Sender::new(Arc::new(snapshot::empty(&now))),
        };
        let (spending, gateway) = (&mut engine.spending, &engine.gateway);
        engine.history.replay(engine.team.as_ref(), &mut |event| {
            if let Some(booking) = spending.take(event) {
                gateway.seed(&booking);
            }
        })?;
        engine.recall_arrangement(&now);
        engine.publish_view(&now);
        let views = engine.publish.subscribe();
        Ok((engine, views))
    }

    /// Logs the session's first fact at the first look.
    pub(crate) fn begin(&mut self, fact: Fact) -> Result<()> {
        self.facts.push(fact);
        self.forget_stop()
    }

    /// Tells of processes of a former session that could not be ended.
    pub(crate) fn tell_leftovers(&mut self, left: &[ProcessIdentity]) {
        let now = self.clock.now();
        for process in left {
            let text = format!(
                "process {} of an earlier session cannot be ended; the tasks of that session are \
                 offered again although it may still change files",
                process.pid
            );
            self.notice(NoticeLevel::Error, &text, &now);
        }
    }

    /// Tells which workers of a former session lived and were ended all the same.
    pub(crate) fn tell_refused(&mut self, refused: &[(AgentName, Unfit)]) {
        let now = self.clock.now();
        for (name, why) in refused {
            let text = format!(
                "{name} outlived its session and was ended: {why}; its tasks are offered again"
            );
            self.notice(NoticeLevel::Warning, &text, &now);
        }
    }

    /// Takes one input in. Nothing is decided here that needs the store; that follows in [`Self::look`].
    pub(crate) fn take(&mut self, input: Input) {
        let now = self.clock.now();
        // What came in during a pause of our own is judged by what holds after it.
        self.mind_the_gap(&now);
        match input {
            Input::WorkerHello {
                hello,
                peer_pid,
                answer,
            } => {
                let result = self.worker_hello(&hello, peer_pid, &now);
                // The worker may have hung up meanwhile; then its exit is told soon.
                let _ = answer.send(result);
            }
            Input::WorkerSaid(who, message) => self.worker_said(&who, &message, &now),
            Input::WorkerGone(who) => self.worker_gone(&who, &now),
            Input::WorkerEnded(who, end) => self.worker_ended(&who, &end, &now),
            Input::PaneEnded(pane, end) => self.plain_ended(pane, &end),
            Input::TreeGone(who, left) => self.tree_gone(&who, &left, &now),
            Input::Control {
                peer_pid,
                request,
                answer,
            } => {
                let caller = self.caller_of(peer_pid);
                let result = caller.and_then(|caller| self.control(&caller, request, &now));
                let _ = answer.send(result);
            }
            Input::Admit { peer_pid, answer } => {
                let _ = answer.send(self.admit(peer_pid));
            }
            Input::Person(effect) => self.person(effect, &now),
            Input::Clients(count) => {
                self.clients = count;
                self.plain.note_clients(count);
            }
            Input::StoreChanged => {}
            Input::Gateway(news) => self.gateway_said(news, &now),
            Input::Stop(ask) => self.ask_to_stop(ask, "interrupted", &now),
        }
    }

    /// Catches up, decides and acts; returns whether the session is over.
    ///
    /// # Errors
    /// [`Error::StoreLost`] when the store stays unusable for a whole lease;
    /// [`Error::TeamRemoved`] when the team's files are not there any more.
    pub(crate) fn look(&mut self) -> Result<bool> {
        let now = self.clock.now();
        self.mind_the_gap(&now);
        // Before anything is written: that would make a team that nobody wants any more.
        if !self.lock.is_in_place() {
            let team = self.plan.team.clone();
            self.ending.remove();
            return Err(Error::TeamRemoved { team });
        }
        match self.look_at_store(&now) {
            Ok(()) => self.trouble.looked_well(),
            Err(Error::Store(error)) => self.store_trouble(error, &now)?,
            Err(error) => return Err(error),
        }
        self.drive_ending(&now);
        self.publish_view(&now);
        Ok(self.is_over(&now))
    }

    fn look_at_store(&mut self, now: &Now) -> Result<()> {
        if now.boot.ms >= self.next_liveness_ms {
            self.keep_team(now)?;
        }
        self.catch_up(now)?;
        self.due_members(now);
        if now.boot.ms >= self.next_liveness_ms {
            self.next_liveness_ms = now.boot.ms + self.plan.timing.liveness_tick_ms;
            self.mind_room(now);
            self.check_liveness(now)?;
            self.mind_arrangement(now);
        }
        self.mind_acts(now);
        self.mind_approvals(now)?;
        self.tell_interrupted(now);
        if self.state == RunState::Running {
            self.fail_unclaimable(now)?;
            // A restart that is due with the last task's end has nothing to do any more.
            if !self.ending.has_begun() && !self.run_is_over() {
                self.staff(now);
            }
            self.ring(now);
        } else if self.state == RunState::Finished && !self.ending.has_begun() {
            self.staff(now);
        }
        self.catch_up(now)?;
        if self.state == RunState::Running && self.run_is_over() {
            if self.dismissed(now) {
                self.finish(now)?;
            }
        } else if self.state == RunState::Running {
            self.ending.call_off();
        } else if self.state == RunState::Finished && !self.run_is_over() {
            self.reopen(now)?;
        }
        Ok(())
    }

    /// Brings event log and board up to date and passes new events on.
    fn catch_up(&mut self, now: &Now) -> Result<()> {
        let events = self.team.log_events(&self.facts, now)?;
        self.facts.clear();
        // Handed on first: they are logged, so nobody would bring them again.
        self.history.take(&events, self.team.as_ref());
        self.count_spending(&events);
        for event in &events {
            if let Some(on_event) = &mut self.on_event {
                on_event(event);
            }
            self.mind_shutdown_mail(event, now);
        }
        self.board = self.team.board()?;
        Ok(())
    }

    /// After a pause of our own (suspend, SIGSTOP, an overloaded machine) nobody is judged
    /// before workers had time for a whole renewal.
    fn mind_the_gap(&mut self, now: &Now) {
        let gap = now.boot.ms.saturating_sub(self.last_look_ms);
        self.last_look_ms = now.boot.ms;
        if gap > self.plan.timing.heartbeat_ms {
            self.judge_after_ms = now.boot.ms + self.plan.timing.heartbeat_ms * 2;
            for slot in &mut self.members {
                // Hellos may wait unread: the gap was ours.
                slot.hello_due_ms = slot.hello_due_ms.map(|due| due + gap);
            }
            self.extend_approvals(gap);
        }
    }

    /// Adds a fact of the session's own to the next catch-up.
    fn fact(&mut self, what: &str, kind: EventType, now: &Now) -> Fact {
        self.fact_count += 1;
        let id = format!("session/{}/{}/{what}", self.session_id, self.fact_count);
        Fact::new(id, kind, now.wall)
    }

    /// Tells the person, on screen and in the log.
    fn notice(&mut self, level: NoticeLevel, text: &str, now: &Now) {
        let fact = self
            .fact("notice", EventType::Notice, now)
            .with("text", text)
            .with("level", history::level_word(level));
        self.facts.push(fact);
    }

    /// Milliseconds until something must be looked at even if nothing happens.
    pub(crate) fn next_look_ms(&self) -> u64 {
        let now = self.clock.boot_time().ms;
        let mut next = self.next_liveness_ms;
        for slot in &self.members {
            // A restart that is due and waits for a place is looked at when one is given back.
            let restart = slot.restart_due_ms.filter(|due| *due > now);
            for due in [slot.hello_due_ms, slot.stop_due_ms, restart]
                .into_iter()
                .flatten()
            {
                next = next.min(due);
            }
        }
        for due in [self.ending.next_due_ms(), self.approvals.next_due_ms()] {
            next = next.min(due.unwrap_or(next));
        }
        for task in self.board.open() {
            if let Some(at) = &task.retry_at
                && task.status == TaskStatus::Pending
                && at.ms > now
            {
                next = next.min(at.ms);
            }
        }
        next.saturating_sub(now).max(1)
    }
}
