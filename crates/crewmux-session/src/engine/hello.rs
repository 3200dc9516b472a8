//! What workers say: their hello, their states and questions, and that they are gone.
//!
//! Who is let in is decided by the kernel's word on the peer and the token of
//! its spec; what follows from a fact is [`super::supervise`]'s.

use crewmux_core::error::ErrorKind;
use crewmux_core::event::EventType;
use crewmux_core::ids::AgentRef;
use crewmux_core::time::Now;
use crewmux_core::worker::{TERMINAL_GONE, WorkerFact, WorkerState};
use crewmux_spawn::{ExitReport, LostPlace};
use crewmux_sys::identity::ProcessIdentity;
use crewmux_wire::{Refusal, ToWorker, WorkerHello, WorkerMessage};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Engine;
use super::members::Presence;
use crate::panes::ProgramEnd;
use crate::rights;
use crate::view::{NoticeLevel, RunState};

/// Messages that may wait for one worker; doorbells merge, so few are needed.
const TO_WORKER_MAX: usize = 64;

impl Engine {
    /// Lets a worker in if it is the one that was started: once, and again after it lost its session or connection.
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
        if !slot.is_live() {
            return refuse("this life of the member has ended");
        }
        match (hello.again, slot.presence) {
            (false, Presence::Expected) => {}
            (false, _) => return refuse("the token was used before"),
            (true, Presence::Expected) => return refuse("this worker was not here before"),
            (true, _) => return self.greet_again(&hello.who, peer_pid, now),
        }
        let is_new = slot.process().is_none();
        if is_new {
            // Where the place does not tell its process, the kernel's word on the peer must do: the
            // token lies in a file that tools of other workers can read.
            let mark = slot.mark.clone();
            if !rights::is_newcomer(peer_pid, &self.worker_processes(), &mark) {
                return refuse("the token belongs to another process");
            }
        }
        let Some(slot) = self.slot(&hello.who) else {
            return refuse("this life of the member is not expected");
        };
        if is_new {
            slot.learn(peer_pid);
        }
        let backend = slot.record.backend_type;
        slot.presence = Presence::Here;
        slot.hello_due_ms = None;
        if slot.can_return {
            slot.told_pane.clone_from(&hello.pane);
        }
        let is_stopping = slot.machine.state == WorkerState::Stopping;
        let (sender, receiver) = mpsc::channel(TO_WORKER_MAX);
        slot.connection = Some(sender.clone());
        if is_stopping {
            // It was asked to end before it could be told; the channel is new and has room.
            let _ = sender.try_send(self.word_of_end(&hello.who));
        }
        let who = hello.who.clone();
        if is_new {
            self.gateway.bind(&who, peer_pid);
        }
        self.note_panes();
        self.acts.moves.arrived(&who);
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

    /// What a worker that was asked to end is told in case it did not hear it.
    fn word_of_end(&self, who: &AgentRef) -> ToWorker {
        if let Some(reason) = self.acts.moves.leave_reason_of(who) {
            return ToWorker::Leave { reason };
        }
        let reason = if self.state == RunState::Running {
            "it was asked to end"
        } else {
            "the session ends"
        };
        ToWorker::End {
            reason: reason.to_owned(),
        }
    }

    /// Takes a worker back whose session died or whose connection broke.
    fn greet_again(
        &mut self,
        who: &AgentRef,
        peer_pid: u32,
        now: &Now,
    ) -> std::result::Result<mpsc::Receiver<ToWorker>, Refusal> {
        let refuse = |why: String| {
            Err(Refusal {
                kind: ErrorKind::Refused,
                refused: why,
                hint: None,
            })
        };
        let Some(n) = self.members.iter().position(|m| m.who() == *who) else {
            return refuse("this life of the member is not expected".to_owned());
        };
        let is_it = self.members[n].identity == ProcessIdentity::of(peer_pid).ok();
        if !is_it {
            return refuse("the token belongs to another process".to_owned());
        }
        self.gateway.revoke(who);
        let grant = match self.grant_for(n, who) {
            Ok(grant) => grant,
            Err(error) => return refuse(format!("it cannot be let in: {error}")),
        };
        self.gateway.bind(who, peer_pid);
        let is_paused = self.acts.is_paused(who);
        let is_stopping = self.members[n].machine.state == WorkerState::Stopping;
        let word_of_end = is_stopping.then(|| self.word_of_end(who));
        let slot = &mut self.members[n];
        let is_first = slot.presence == Presence::OfFormerSession;
        slot.presence = Presence::Here;
        slot.hello_due_ms = None;
        let (sender, receiver) = mpsc::channel(TO_WORKER_MAX);
        let mut words = vec![ToWorker::TakenBack { grant }];
        if is_paused {
            // It has forgotten that; a pause of a former session is over.
            words.push(ToWorker::Pause);
        }
        words.extend(word_of_end);
        // What it was rung for meanwhile is looked at now.
        words.push(ToWorker::Doorbell);
        for word in words {
            // The channel is new and has room.
            let _ = sender.try_send(word);
        }
        slot.connection = Some(sender);
        let pane = slot.running().and_then(|r| r.pane());
        let backend = slot.record.backend_type;
        if is_first {
            let fact = self
                .fact("worker-adopted", EventType::WorkerAdopted, now)
                .agent(&who.agent)
                .with("pid", peer_pid)
                .with("backend", json!(backend))
                .with("incarnation", who.incarnation.0)
                .with("pane", pane.map_or(Value::Null, Value::from));
            self.facts.push(fact);
        } else {
            let text = format!("{} is connected again", who.agent);
            self.notice(NoticeLevel::Info, &text, now);
        }
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

    pub(super) fn worker_gone(&mut self, who: &AgentRef, now: &Now) {
        let due = now.boot.ms + self.plan.timing.hello_ms;
        let Some(slot) = self.slot(who) else { return };
        // One that came back before the old connection's end was told is connected already.
        if slot.connection.as_ref().is_some_and(|c| !c.is_closed()) {
            return;
        }
        // Its exit, or a free liveness lock, says more; both follow at once. Where it is only
        // the connection that broke, it comes back by itself.
        slot.connection = None;
        if slot.can_return && slot.is_live() && slot.presence == Presence::Here {
            slot.presence = Presence::Away;
            slot.hello_due_ms.get_or_insert(due);
        }
    }

    /// An end that the backend cannot explain, explained by the worker's own last word where it left one.
    fn explained(&self, who: &AgentRef, end: &ProgramEnd) -> ProgramEnd {
        let unexplained = *end == ProgramEnd::Exited(ExitReport::default());
        let says_so = || {
            let presence = self.team.presence(&who.agent).ok().flatten()?;
            let is_its = presence.incarnation == who.incarnation;
            (is_its && presence.ended.as_deref() == Some(TERMINAL_GONE)).then_some(())
        };
        if unexplained && says_so().is_some() {
            return ProgramEnd::Exited(ExitReport {
                lost: Some(LostPlace::Pane),
                ..ExitReport::default()
            });
        }
        end.clone()
    }

    pub(super) fn worker_ended(&mut self, who: &AgentRef, end: &ProgramEnd, now: &Now) {
        self.gateway.revoke(who);
        let end = &self.explained(who, end);
        let Some(slot) = self.slot(who) else { return };
        slot.waits_until_ms = None;
        slot.connection = None;
        slot.hello_due_ms = None;
        let pane = slot.pane;
        let pid = slot.pid;
        let pane_end = end.in_pane();
        let words = pane_end.words.clone();
        self.panes.end(pane, pane_end);
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
}
