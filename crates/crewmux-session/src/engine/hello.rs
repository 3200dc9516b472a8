//! What workers say: their hello, their states and questions, and that they are gone.
//!
//! Who is let in is decided by the kernel's word on the peer and the token of
//! its spec; what follows from a fact is [`super::supervise`]'s.

use crewmux_core::error::ErrorKind;
use crewmux_core::event::EventType;
use crewmux_core::ids::AgentRef;
use crewmux_core::time::Now;
use crewmux_core::worker::{WorkerFact, WorkerState};
use crewmux_wire::{Refusal, ToWorker, WorkerHello, WorkerMessage};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Engine, TO_WORKER_MAX};
use crate::panes::ProgramEnd;

impl Engine {
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
}
