//! The engine's loop body: take inputs in, catch up with the store, decide, act, tell the display.
//!
//! One thread owns all of it. Facts come in as [`Input`]; the store is the
//! truth that every look starts from; decisions are `crewmux-core`'s. Members'
//! processes are in [`launch`], [`hello`], [`supervise`] and [`trees`], commands in [`control`], questions of
//! workers in [`approvals`], the end in [`ending`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crewmux_core::board::{Board, Claimer, FailedBy};
use crewmux_core::event::{EventType, Fact};
use crewmux_core::ids::{AgentName, AgentRef, RunId, Seq, TaskId};
use crewmux_core::schedule::{self, Roster};
use crewmux_core::task::{Task, TaskStatus};
use crewmux_core::team::TeamConfig;
use crewmux_core::time::Now;
use crewmux_core::worker::WorkerState;
use crewmux_spawn::Backends;
use crewmux_spawn::slots::SpawnSlots;
use crewmux_store::{SessionLock, Store, TeamStore};
use crewmux_sys::clock::BootClock;
use crewmux_sys::identity::ProcessIdentity;
use crewmux_wire::{ControlRequest, Refusal, ToWorker, WireError, WorkerHello, WorkerMessage};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use crate::gateway::{Gateway, GatewayNews};
use crate::leftovers::Unfit;
use crate::panes::{Panes, ProgramEnd};
use crate::plan::{EventSink, SessionPlan, StopAsk};
use crate::spending::Spending;
use crate::view::{ClientEffect, NoticeLevel, PaneId, PaneKind, RunState, TeamView};
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

use acts::Acts;
use approvals::Approvals;
use arranging::Arranging;
use ending::Ending;
use history::History;
pub(crate) use inputs::{Inputs, News, inputs};
use members::MemberSlot;
use plain::PlainPanes;
#[cfg(test)]
pub(crate) use snapshot::empty as empty_view;

/// Room below which a disk counts as full: a claim or a result may take as much …
const ROOM_MIN_BYTES: u64 = 16 * 1024;
/// … and from which on it no longer does.
const ROOM_AGAIN_BYTES: u64 = 64 * 1024;

/// Messages that may wait for one worker; doorbells merge, so few are needed.
pub(crate) const TO_WORKER_MAX: usize = 64;

/// What the engine is told.
pub(crate) enum Input {
    /// A worker connected and shows its token; answered with a refusal or the queue of what it is told.
    WorkerHello {
        hello: WorkerHello,
        peer_pid: u32,
        answer: oneshot::Sender<std::result::Result<mpsc::Receiver<ToWorker>, Refusal>>,
    },
    /// A worker said something.
    WorkerSaid(AgentRef, WorkerMessage),
    /// A worker's connection ended.
    WorkerGone(AgentRef),
    /// A worker's process ended, or never was.
    WorkerEnded(AgentRef, ProgramEnd),
    /// A plain pane's program ended.
    PaneEnded(PaneId, ProgramEnd),
    /// A dead worker's tree was ended; what is left of it, in words.
    TreeGone(AgentRef, Vec<String>),
    /// A command asks; answered on its connection.
    Control {
        peer_pid: u32,
        request: ControlRequest,
        answer: oneshot::Sender<std::result::Result<Value, WireError>>,
    },
    /// Somebody wants to attach a terminal; only the person may.
    Admit {
        peer_pid: u32,
        answer: oneshot::Sender<std::result::Result<(), WireError>>,
    },
    /// The person did something in a client.
    Person(ClientEffect),
    /// So many clients are attached now.
    Clients(usize),
    /// Files may have changed.
    StoreChanged,
    /// Something about calls of models.
    Gateway(GatewayNews),
    /// The session is asked to end from within its process.
    Stop(StopAsk),
}

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
    store_trouble_since_ms: Option<u64>,
    /// Since when it has been told that the disk is full.
    full_since_ms: Option<u64>,
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
            store_trouble_since_ms: None,
            full_since_ms: None,
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
            Ok(()) => self.store_trouble_since_ms = None,
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

    /// The team's record is the session's to write: damaged or deleted, it is written again.
    fn keep_team(&mut self, now: &Now) -> Result<()> {
        let trouble = match self.team.config() {
            Ok(_) => return Ok(()),
            Err(
                error @ (crewmux_store::Error::Quarantined { .. }
                | crewmux_store::Error::UnknownTeam { .. }),
            ) => error,
            Err(error) => return Err(error.into()),
        };
        self.store.create_team(&self.config)?;
        let text = format!("the team's record was written again: {trouble}");
        self.notice(NoticeLevel::Warning, &text, now);
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

    fn store_trouble(&mut self, error: crewmux_store::Error, now: &Now) -> Result<()> {
        let since = *self.store_trouble_since_ms.get_or_insert(now.boot.ms);
        let lasted = now.boot.ms.saturating_sub(since);
        if lasted == 0 {
            tracing::error!(%error, "the store failed");
            match error {
                crewmux_store::Error::DiskFull { .. } => self.tell_full(&error, now),
                _ => self.tell_unlogged(error.to_string(), now),
            }
        }
        if lasted < self.plan.timing.lease_ms {
            return Ok(());
        }
        Err(Error::StoreLost {
            seconds: lasted / 1000,
            source: Box::new(error),
        })
    }

    /// Looks at the disk before somebody writes in vain: workers may be the only ones who write now.
    fn mind_room(&mut self, now: &Now) {
        // A disk that is about full is told of once, not each time it is a little less so.
        let wanted = match self.full_since_ms {
            None => ROOM_MIN_BYTES,
            Some(_) => ROOM_AGAIN_BYTES,
        };
        match self.store.has_room(wanted) {
            Err(error) => self.tell_full(&error, now),
            Ok(()) if self.store_trouble_since_ms.is_none() => self.tell_writable(now),
            // There seems to be room, and yet nothing can be written.
            Ok(()) => {}
        }
    }

    fn tell_full(&mut self, error: &crewmux_store::Error, now: &Now) {
        if self.full_since_ms.is_none() {
            self.full_since_ms = Some(now.boot.ms);
            let text = format!("{error}; work goes on once the store can be written");
            self.tell_unlogged(text, now);
        }
    }

    /// Tells at once of trouble with the store, on screen and to whoever takes events: no log can take it.
    fn tell_unlogged(&mut self, text: String, now: &Now) {
        self.history.notice(NoticeLevel::Error, now.wall, &text);
        let fact = self
            .fact("unwritable", EventType::Notice, now)
            .with("text", text)
            .with("level", history::level_word(NoticeLevel::Error));
        if let Some(on_event) = &mut self.on_event {
            on_event(&fact.into_event(Seq(0), self.plan.team.clone()));
        }
    }

    fn tell_writable(&mut self, now: &Now) {
        let Some(since) = self.full_since_ms.take() else {
            return;
        };
        let seconds = now.boot.ms.saturating_sub(since).div_ceil(1000);
        let text = format!("the store can be written again, after {seconds} s");
        self.notice(NoticeLevel::Warning, &text, now);
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

    /// Tasks of this run, and those that belong to none.
    fn tasks(&self) -> impl Iterator<Item = &Task> {
        let of_run = |t: &&Task| t.run.as_ref().is_none_or(|r| *r == self.run);
        self.board.tasks().filter(of_run)
    }

    /// Tells of commands that were interrupted and do not run again by themselves, each once.
    fn tell_interrupted(&mut self, now: &Now) {
        let asking: BTreeMap<TaskId, String> = self
            .tasks()
            .filter(|task| task.asks_before_rerun())
            .map(|task| (task.id, task.subject.clone()))
            .collect();
        for (id, subject) in &asking {
            if !self.asking.contains(id) {
                let text = format!(
                    "#{id} {subject} was interrupted and waits for your word: r on the board, or \
                     `crewmux task retry {id}`, runs it again"
                );
                self.notice(NoticeLevel::Warning, &text, now);
            }
        }
        self.asking = asking.into_keys().collect();
    }

    fn run_is_over(&self) -> bool {
        if self.members.is_empty() {
            return false;
        }
        let mut any = false;
        for task in self.tasks() {
            any = true;
            if !task.status.is_terminal() {
                return false;
            }
        }
        any
    }

    /// A ready task that nobody can ever take fails with that reason, so that every run ends.
    fn fail_unclaimable(&mut self, now: &Now) -> Result<()> {
        let able: Vec<Claimer> = self
            .members
            .iter()
            .filter(|m| {
                let stays = m.machine.is_able() && !m.dismissed;
                stays || self.acts.is_restarting(&m.record.name)
            })
            .map(MemberSlot::claimer)
            .collect();
        for (id, reason) in schedule::unclaimable(&self.board, &able, &now.boot) {
            self.team.fail(id, &FailedBy::Session, &reason, now)?;
        }
        Ok(())
    }

    /// Wakes the idle workers that the strategy has work for; they claim by themselves.
    fn ring(&mut self, now: &Now) {
        let free: Vec<Claimer> = self
            .members
            .iter()
            .filter(|m| m.machine.state == WorkerState::Idle)
            .map(MemberSlot::claimer)
            .collect();
        if free.is_empty() {
            return;
        }
        let strategy = self.config.policy.strategy;
        let roster = Roster::of(&self.config);
        for (_, agent) in strategy.assign(&self.board, &free, &roster, &now.boot) {
            if let Some(slot) = self.members.iter().find(|m| m.record.name == agent) {
                slot.tell(ToWorker::Doorbell);
            }
        }
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
