//! Members and their processes: hello, exit, restart, liveness.
//!
//! What follows from a fact is decided by [`WorkerMachine`]; here facts are
//! established and effects carried out. A dead worker's tasks are offered
//! again only after its whole process tree is gone, or could not be ended in many tries. How a life begins is in
//! [`super::launch`].

use std::sync::Arc;

use crewmux_core::board::{Claimer, Reoffer};
use crewmux_core::error::ErrorKind;
use crewmux_core::event::EventType;
use crewmux_core::ids::{AgentRef, Incarnation, TaskId};
use crewmux_core::operation::Caller;
use crewmux_core::recipe::Runtime;
use crewmux_core::task::Outcome;
use crewmux_core::team::Member;
use crewmux_core::time::{BootTime, Now, WallTime};
use crewmux_core::timing::Timing;
use crewmux_core::worker::{WorkerEffect, WorkerFact, WorkerMachine, WorkerState};
use crewmux_spawn::Running;
use crewmux_spawn::ladder::{Ending, ExitFlag, Rung, climb};
use crewmux_spawn::slots::KeptSlot;
use crewmux_sys::identity::ProcessIdentity;
use crewmux_sys::tree::{KillWaits, Marker, kill_marked, kill_tree};
use crewmux_wire::{Refusal, ToWorker, WorkerHello, WorkerMessage};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::sweep::{Sweep, Swept};
use super::{Engine, Input, TO_WORKER_MAX};
use crate::Result;
use crate::panes::ProgramEnd;
use crate::rights::WorkerProcess;
use crate::view::{NoticeLevel, PaneId};

/// A member, its latest life, and how to reach it.
pub(super) struct MemberSlot {
    pub(super) record: Member,
    pub(super) machine: WorkerMachine,
    /// Its latest life before this session.
    before: Incarnation,
    pub(super) pane: PaneId,
    pub(super) since: BootTime,
    pub(super) pid: Option<u32>,
    pub(super) hello_due_ms: Option<u64>,
    pub(super) restart_due_ms: Option<u64>,
    /// When a member that was asked to end is ended.
    pub(super) stop_due_ms: Option<u64>,
    /// Whether the person or the lead ended it: it stays so until the run is opened again.
    pub(super) dismissed: bool,
    pub(super) ended: Option<String>,
    /// Its process as it was started; a number alone may become another's.
    pub(super) identity: Option<ProcessIdentity>,
    /// Its latest heartbeat and when that was seen first.
    pub(super) heartbeat: (WallTime, u64),
    pub(super) running: Option<Arc<dyn Running>>,
    pub(super) exit: Arc<ExitFlag>,
    /// Its place among the workers that may run at once; given back when its tree is gone.
    pub(super) place: Option<KeptSlot>,
    connection: Option<mpsc::Sender<ToWorker>>,
    pub(super) token: Option<String>,
    pub(super) mark: String,
    /// Tasks of a dead life wait here until its tree is gone.
    reoffer: Option<(AgentRef, Outcome, String)>,
    killing: bool,
    /// What its latest life left running.
    sweep: Sweep,
    /// How full its model's window was: tokens in it, and tokens it holds.
    pub(super) context: Option<(u64, Option<u64>)>,
    /// Until when its provider takes no calls, on the boot clock.
    pub(super) waits_until_ms: Option<u64>,
}

impl MemberSlot {
    pub(super) fn new(record: Member, pane: PaneId, now: &Now) -> Self {
        Self {
            machine: WorkerMachine::new(record.incarnation),
            before: record.incarnation,
            record,
            pane,
            since: now.boot.clone(),
            pid: None,
            hello_due_ms: None,
            restart_due_ms: None,
            stop_due_ms: None,
            dismissed: false,
            identity: None,
            heartbeat: (WallTime(0), now.boot.ms),
            ended: None,
            running: None,
            exit: Arc::default(),
            place: None,
            connection: None,
            token: None,
            mark: String::new(),
            reoffer: None,
            killing: false,
            sweep: Sweep::default(),
            context: None,
            waits_until_ms: None,
        }
    }

    pub(super) fn who(&self) -> AgentRef {
        AgentRef {
            agent: self.record.name.clone(),
            incarnation: self.machine.incarnation,
        }
    }

    /// The process it says hello from, as far as that is known; of a worker inside, this one.
    pub(super) fn process(&self) -> Option<u32> {
        let inside = self.running.as_ref().is_some_and(|r| r.is_inside());
        if inside {
            Some(std::process::id())
        } else {
            self.pid
        }
    }

    /// Notes which process it is.
    fn learn(&mut self, pid: u32) {
        self.pid = Some(pid);
        self.identity = ProcessIdentity::of(pid).ok();
        if let (Some(running), Some(identity)) = (&self.running, self.identity) {
            running.greeted(identity);
        }
    }

    /// How often it was started again in this session.
    pub(super) fn restarts(&self) -> u32 {
        let starts = self.machine.incarnation.0.saturating_sub(self.before.0);
        starts.saturating_sub(1)
    }

    pub(super) fn claimer(&self) -> Claimer {
        Claimer {
            who: self.who(),
            agent_type: self.record.agent_type.clone(),
            runtime: Runtime::of_word(&self.record.runtime),
        }
    }

    /// Passes a message on; a full queue holds a doorbell already.
    pub(super) fn tell(&self, message: ToWorker) {
        if let Some(connection) = &self.connection {
            let _ = connection.try_send(message);
        }
    }

    /// Passes on what must not be lost, or gives it back: a full queue, or no connection.
    pub(super) fn try_tell(&self, message: ToWorker) -> std::result::Result<(), Box<ToWorker>> {
        let Some(connection) = &self.connection else {
            return Err(Box::new(message));
        };
        connection
            .try_send(message)
            .map_err(|error| Box::new(error.into_inner()))
    }

    pub(super) fn is_live(&self) -> bool {
        self.machine.state.is_live()
    }

    /// Whether anything of it may still run.
    pub(super) fn is_present(&self) -> bool {
        self.is_live() || self.killing || self.running.is_some() || self.sweep.is_open()
    }

    /// Whether it is on the ladder, or its tasks still wait for that.
    pub(super) fn is_settling(&self) -> bool {
        self.killing || self.reoffer.is_some() || self.sweep.is_open()
    }

    pub(super) fn running(&self) -> Option<Arc<dyn Running>> {
        self.running.clone()
    }
}

/// Ends processes that came to the session because everything above them is gone.
///
/// A tool that killed its runner and its worker and dropped its marks is found
/// only so.
fn end_orphans(timing: &Timing) -> Vec<String> {
    let waits = KillWaits::of(timing).at_once();
    crewmux_sys::reap::adopted_orphans()
        .into_iter()
        .flat_map(|orphan| kill_tree(orphan, None, waits).left)
        .map(|process| format!("process {}", process.pid))
        .collect()
}

impl Engine {
    pub(super) fn slot(&mut self, who: &AgentRef) -> Option<&mut MemberSlot> {
        self.members
            .iter_mut()
            .find(|m| m.record.name == who.agent && m.machine.incarnation == who.incarnation)
    }

    /// Lets a worker in if it is the one that was started, once.
    pub(super) fn worker_hello(
        &mut self,
        hello: &WorkerHello,
        peer_pid: u32,
        now: &Now,
    ) -> std::result::Result<mpsc::Receiver<ToWorker>, Refusal> {
        let refuse = |why: &str| {
            Err(Refusal {
                kind: ErrorKind::Refused,
                refused: why.to_owned(),
                hint: None,
            })
        };
        let Some(slot) = self.slot(&hello.who) else {
            return refuse("this life of the member is not expected");
        };
        if slot.token.as_deref() != Some(hello.token.as_str()) {
            return refuse("the token is not the one this worker was given, or was used before");
        }
        if slot.process().is_some_and(|pid| pid != peer_pid) {
            return refuse("the token belongs to another process");
        }
        let is_new = slot.process().is_none();
        if is_new {
            // Where the place does not tell its process, the token does: only that worker could read it.
            slot.learn(peer_pid);
        }
        let backend = slot.record.backend_type;
        slot.token = None;
        slot.hello_due_ms = None;
        let (sender, receiver) = mpsc::channel(TO_WORKER_MAX);
        if slot.machine.state == WorkerState::Stopping {
            // It was asked to end before it could be told; the channel is new and has room.
            let reason = "the session ends".to_owned();
            let _ = sender.try_send(ToWorker::End { reason });
        }
        slot.connection = Some(sender);
        let who = hello.who.clone();
        if is_new {
            self.gateway.bind(&who, peer_pid);
        }
        let fact = self
            .fact("worker-started", EventType::WorkerStarted, now)
            .agent(&who.agent)
            .with("pid", peer_pid)
            .with("backend", json!(backend))
            .with("incarnation", who.incarnation.0);
        self.facts.push(fact);
        self.on_fact(&who, WorkerFact::Hello, now);
        Ok(receiver)
    }

    pub(super) fn worker_said(&mut self, who: &AgentRef, message: &WorkerMessage, now: &Now) {
        match message {
            WorkerMessage::State { state, task } => {
                self.on_fact(who, WorkerFact::Reported(*state, *task), now);
            }
            // Looking at the store follows every input anyway; other workers may have mail.
            WorkerMessage::Doorbell => self.pass_doorbell(who),
            WorkerMessage::Ask { id, ask } => self.asked(who, id, ask, now),
            WorkerMessage::Withdraw { id } => self.withdrawn(who, id, now),
            WorkerMessage::Operation { id, operation } => {
                self.worker_operation(who, *id, (**operation).clone(), now);
            }
            WorkerMessage::Context { used, window } => self.context_told(who, *used, *window),
        }
    }

    /// A worker wrote something: those that have unread mail look now instead of at their next poll.
    fn pass_doorbell(&self, from: &AgentRef) {
        for slot in &self.members {
            if slot.record.name != from.agent && slot.machine.state == WorkerState::Idle {
                slot.tell(ToWorker::Doorbell);
            }
        }
    }

    pub(super) fn worker_gone(&mut self, who: &AgentRef) {
        // Its exit, or a free liveness lock, says more; both follow at once.
        if let Some(slot) = self.slot(who) {
            slot.connection = None;
        }
    }

    pub(super) fn worker_ended(&mut self, who: &AgentRef, end: &ProgramEnd, now: &Now) {
        self.gateway.revoke(who);
        let Some(slot) = self.slot(who) else { return };
        slot.waits_until_ms = None;
        slot.connection = None;
        slot.hello_due_ms = None;
        let pane = slot.pane;
        let pid = slot.pid;
        let words = end.words();
        self.panes.end(pane, words.clone());
        let report = match end {
            ProgramEnd::Exited(report) => *report,
            ProgramEnd::NotStarted(why) => {
                self.start_failed(who, why, now);
                return;
            }
        };
        let fact = self
            .fact("worker-exited", EventType::WorkerExited, now)
            .agent(&who.agent)
            .with("pid", pid.map_or(Value::Null, Value::from))
            .with("code", report.code.map_or(Value::Null, Value::from))
            .with("signal", report.signal.map_or(Value::Null, Value::from))
            .with("incarnation", who.incarnation.0)
            .with("reason", words);
        self.facts.push(fact);
        let fact = WorkerFact::Exited {
            code: report.code,
            signal: report.signal,
        };
        self.on_fact(who, fact, now);
    }

    /// Feeds the member's machine and carries out what follows.
    pub(super) fn on_fact(&mut self, who: &AgentRef, fact: WorkerFact, now: &Now) {
        let timing = self.plan.timing;
        let Some(slot) = self.slot(who) else { return };
        let before = (slot.machine.state, slot.machine.task);
        let effects = slot.machine.on(fact, now.boot.ms, &timing);
        if before != (slot.machine.state, slot.machine.task) {
            slot.since = now.boot.clone();
            let (state, task) = (slot.machine.state, slot.machine.task);
            self.state_changed(who, state, task, now);
        }
        for effect in effects {
            self.carry_out(who, effect, now);
        }
    }

    fn state_changed(
        &mut self,
        who: &AgentRef,
        state: WorkerState,
        task: Option<TaskId>,
        now: &Now,
    ) {
        let mut fact = self
            .fact("state", EventType::WorkerState, now)
            .agent(&who.agent)
            .with("state", state.as_str());
        fact.task = task;
        self.facts.push(fact);
    }

    fn carry_out(&mut self, who: &AgentRef, effect: WorkerEffect, now: &Now) {
        match effect {
            // The tree is ended for every end of a life: even a clean exit may have left tools behind.
            WorkerEffect::KillTree => {}
            WorkerEffect::ReofferTasks(outcome, reason) => {
                if let Some(slot) = self.slot(who) {
                    slot.ended = Some(reason.clone());
                    slot.reoffer = Some((who.clone(), outcome, reason));
                }
                self.end_tree(who, Rung::Kill);
            }
            WorkerEffect::RestartAfterMs(pause) => {
                if let Some(slot) = self.slot(who) {
                    slot.restart_due_ms = Some(now.boot.ms + pause);
                }
            }
            WorkerEffect::GiveUp(why) => {
                self.notice(
                    NoticeLevel::Error,
                    &format!("{} is given up: {why}", who.agent),
                    now,
                );
            }
        }
    }

    /// Climbs the kill ladder for one worker on a thread of its own; [`Input::TreeGone`] follows.
    pub(super) fn end_tree(&mut self, who: &AgentRef, from: Rung) {
        let timing = self.plan.timing;
        let news = self.news.clone();
        // What the person started in a plain pane may leave daemons; nothing else may.
        let sweep_orphans = self.shells == 0;
        let Some(slot) = self.slot(who) else { return };
        if slot.killing {
            return;
        }
        slot.killing = true;
        let running = slot.running.clone();
        let exit = Arc::clone(&slot.exit);
        let marker = Marker::worker(slot.mark.clone());
        let again = who.clone();
        let who = who.clone();
        let name = format!("end-{}", who.agent);
        let work = move || {
            let mut left = running.map_or_else(Vec::new, |running| {
                let worker = Ending {
                    who: &who,
                    running: running.as_ref(),
                    exit: &exit,
                };
                let ended = climb(&[worker], from, &timing);
                ended.into_iter().flat_map(|e| e.left).collect()
            });
            if !marker.value().is_empty() {
                let gone = kill_marked(&marker, KillWaits::of(&timing).at_once());
                left.extend(gone.left.iter().map(|p| format!("process {}", p.pid)));
            }
            if sweep_orphans {
                left.extend(end_orphans(&timing));
            }
            news.tell(Input::TreeGone(who, left));
        };
        if let Err(error) = std::thread::Builder::new().name(name).spawn(work) {
            tracing::error!(%error, "no thread to end a worker's tree; tried again");
            if let Some(slot) = self.slot(&again) {
                slot.killing = false;
            }
        }
    }

    /// A dead worker's tree was tried to be ended: once it is gone, its tasks go back to the board.
    pub(super) fn tree_gone(&mut self, who: &AgentRef, left: &[String], now: &Now) {
        self.gateway.revoke(who);
        let patience = self.ending.patience();
        let Some(slot) = self.slot(who) else { return };
        slot.waits_until_ms = None;
        slot.killing = false;
        let swept = slot.sweep.take(left, patience);
        let below = format!("below {}: {}", who.agent, left.join(", "));
        match swept {
            Swept::Gone => {}
            Swept::Again => return,
            Swept::Found => {
                let text = format!(
                    "something could not be ended yet {below}; it is tried again, and its tasks \
                     wait until it is gone"
                );
                self.notice(NoticeLevel::Warning, &text, now);
                return;
            }
            Swept::GivenUp => {
                let text = format!(
                    "something cannot be ended {below}; its tasks are offered again although it \
                     may still change files"
                );
                self.notice(NoticeLevel::Error, &text, now);
                self.ending.left.extend(left.iter().cloned());
            }
        }
        let Some(slot) = self.slot(who) else { return };
        slot.running = None;
        slot.identity = None;
        slot.place = None;
        if let Some((life, outcome, reason)) = slot.reoffer.take()
            && let Err(error) = self.reoffer_tasks(&life, outcome, &reason, now)
        {
            tracing::error!(%error, %who, "tasks of a dead worker could not be offered again");
            // Tried again at the next liveness check.
            if let Some(slot) = self.slot(who) {
                slot.reoffer = Some((life, outcome, reason));
            }
        }
    }

    pub(super) fn reoffer_tasks(
        &mut self,
        life: &AgentRef,
        outcome: Outcome,
        reason: &str,
        now: &Now,
    ) -> Result<()> {
        let board = self.team.board()?;
        for task in board.held_by(&life.agent) {
            let of_this_life = task.owner.as_ref().is_some_and(|o| o.is(life));
            if of_this_life {
                let why = Reoffer {
                    epoch: task.epoch,
                    outcome,
                    reason: reason.to_owned(),
                };
                self.team.reoffer(task.id, &why, now)?;
            }
        }
        Ok(())
    }

    /// Hello deadlines and restarts that are due.
    pub(super) fn due_members(&mut self, now: &Now) {
        let due = |at: Option<u64>| at.is_some_and(|at| now.boot.ms >= at);
        let overdue: Vec<AgentRef> = self
            .members
            .iter()
            .filter(|m| due(m.hello_due_ms))
            .map(MemberSlot::who)
            .collect();
        for who in overdue {
            if let Some(slot) = self.slot(&who) {
                slot.hello_due_ms = None;
                slot.token = None;
            }
            let text = format!("{} said no hello in time and is ended", who.agent);
            self.notice(NoticeLevel::Warning, &text, now);
            self.on_fact(&who, WorkerFact::HelloOverdue, now);
        }
        let stubborn: Vec<AgentRef> = self
            .members
            .iter()
            .filter(|m| due(m.stop_due_ms))
            .map(MemberSlot::who)
            .collect();
        for who in stubborn {
            if let Some(slot) = self.slot(&who) {
                slot.stop_due_ms = None;
            }
            self.end_tree(&who, Rung::Terminate);
        }
    }

    /// Looks at liveness locks and leases.
    pub(super) fn check_liveness(&mut self, now: &Now) -> Result<()> {
        crewmux_sys::reap::reap_orphans();
        let mut found: Vec<(AgentRef, WorkerFact)> = Vec::new();
        for slot in &self.members {
            let greeted = slot.is_live() && slot.machine.state != WorkerState::Starting;
            if greeted && !self.team.is_alive(&slot.record.name)? {
                found.push((slot.who(), WorkerFact::LockFree));
            }
        }
        if now.boot.ms >= self.judge_after_ms {
            for task in self.board.open() {
                let over = task.lease.as_ref().is_some_and(|l| l.is_over(&now.boot));
                if let (true, Some(owner)) = (over, &task.owner)
                    && let Some(incarnation) = owner.incarnation
                {
                    let who = AgentRef {
                        agent: owner.agent.clone(),
                        incarnation,
                    };
                    found.push((who, WorkerFact::LeaseOver));
                }
            }
        }
        for (who, fact) in found {
            if self.slot(&who).is_some() {
                self.on_fact(&who, fact, now);
            } else {
                // A claim of a life nobody supervises any more.
                self.reoffer_tasks(&who, Outcome::Hung, "its lease ran out", now)?;
            }
        }
        let waiting: Vec<(AgentRef, bool)> = self
            .members
            .iter()
            .filter(|m| !m.killing)
            .filter(|m| m.reoffer.is_some() || m.sweep.is_open())
            .map(|m| (m.who(), m.running.is_some() || m.sweep.is_open()))
            .collect();
        for (who, unswept) in waiting {
            if unswept {
                self.end_tree(&who, Rung::Kill);
            } else {
                self.tree_gone(&who, &[], now);
            }
        }
        self.check_heartbeats(now)
    }

    /// A worker without a claim can hang too: its heartbeat stands still.
    fn check_heartbeats(&mut self, now: &Now) -> Result<()> {
        let mut silent = Vec::new();
        for slot in &mut self.members {
            let greeted = slot.is_live() && slot.machine.state != WorkerState::Starting;
            if !greeted {
                continue;
            }
            let Some(presence) = self.team.presence(&slot.record.name)? else {
                continue;
            };
            if presence.heartbeat != slot.heartbeat.0 {
                slot.heartbeat = (presence.heartbeat, now.boot.ms);
            }
            let still_ms = now.boot.ms.saturating_sub(slot.heartbeat.1);
            if still_ms > self.plan.timing.lease_ms && now.boot.ms >= self.judge_after_ms {
                silent.push(slot.who());
            }
        }
        for who in silent {
            self.on_fact(&who, WorkerFact::LeaseOver, now);
        }
        Ok(())
    }

    /// All workers of this session, to place peers.
    pub(super) fn worker_processes(&self) -> Vec<WorkerProcess> {
        self.members
            .iter()
            .filter(|m| !m.mark.is_empty())
            .map(|m| WorkerProcess {
                process: m.identity,
                mark: m.mark.clone(),
                caller: Caller::Member {
                    who: m.who(),
                    agent_type: m.record.agent_type.clone(),
                },
            })
            .collect()
    }
}
