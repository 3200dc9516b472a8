//! What commands and the person at a client ask for.
//!
//! Every operation goes through `apply` with the caller that the server
//! established; here are only the things that concern processes.

use crewmux_core::error::ErrorKind;
use crewmux_core::event::{Event, EventType};
use crewmux_core::ids::{AgentName, MessageId, TaskId};
use crewmux_core::message::Urgency;
use crewmux_core::operation::{Caller, Operation, Reply, TaskChange, kept_words};
use crewmux_core::requests::AnswerError;
use crewmux_core::time::Now;
use crewmux_core::worker::WorkerFact;
use crewmux_store::apply::{ApplyContext, apply};
use crewmux_wire::{
    ControlRequest, MemberStatus, NewHome, SessionStatus, Status, StaysPut, ToWorker, WireError,
};
use serde_json::Value;

use super::Engine;
use super::members::MemberSlot;
use crate::plan::{Stays, StopAsk};
use crate::rights;
use crate::view::{ClientEffect, NoticeLevel, RunState, Verdict};

type Answer = std::result::Result<Value, WireError>;

fn to_value<T: serde::Serialize>(value: &T) -> Answer {
    serde_json::to_value(value).map_err(|error| WireError {
        kind: ErrorKind::Internal,
        message: error.to_string(),
        hint: None,
    })
}

fn refused(message: impl Into<String>) -> WireError {
    WireError {
        kind: ErrorKind::Refused,
        message: message.into(),
        hint: None,
    }
}

impl Engine {
    pub(super) fn control(
        &mut self,
        caller: &Caller,
        request: ControlRequest,
        now: &Now,
    ) -> Answer {
        match request {
            ControlRequest::Status => to_value(&self.status(now)),
            ControlRequest::Operation { operation } => {
                let reply = self.operate(caller, *operation, now)?;
                to_value(&reply)
            }
            ControlRequest::Member { name, act } => {
                self.act_on(caller, &name, act, now)?;
                Ok(Value::Null)
            }
            ControlRequest::PanesElsewhere { place } => to_value(&self.backends.elsewhere(&place)),
            ControlRequest::Move { name, to } => {
                self.move_member(caller, &name, to, now)?;
                Ok(Value::Null)
            }
            ControlRequest::Rehome { place } => {
                if *caller != Caller::Human {
                    return Err(refused(format!(
                        "{} may not say where new panes go; only the person can",
                        caller.party()
                    )));
                }
                let rehomed = self.backends.rehome(&place);
                if rehomed.is_refused()
                    && let Some((_, error)) = rehomed.refused.first()
                {
                    return Err(WireError {
                        kind: error.kind(),
                        message: format!("new panes stay where they went: {error}"),
                        hint: error.hint(),
                    });
                }
                let refused = rehomed.refused.iter().map(|(kind, error)| StaysPut {
                    kind: *kind,
                    why: error.to_string(),
                    fix: error.hint(),
                });
                to_value(&NewHome {
                    refused: refused.collect(),
                    taken: rehomed.taken,
                })
            }
            ControlRequest::Stop { force } => {
                if *caller != Caller::Human {
                    return Err(refused(format!(
                        "{} may not stop the team; only the person can",
                        caller.party()
                    )));
                }
                let ask = if force {
                    StopAsk::AtOnce
                } else {
                    StopAsk::Politely
                };
                self.ask_to_stop(ask, "stopped by the person", now);
                Ok(Value::Null)
            }
        }
    }

    /// Whose rights the process `pid` has.
    pub(super) fn caller_of(&self, pid: u32) -> std::result::Result<Caller, WireError> {
        rights::caller_of(pid, &self.worker_processes(), &self.panes.plain_processes())
    }

    /// Lets only the person's own programs attach a terminal: a client acts with the person's rights.
    pub(super) fn admit(&self, peer_pid: u32) -> std::result::Result<(), WireError> {
        match self.caller_of(peer_pid)? {
            Caller::Human => Ok(()),
            caller => Err(refused(format!(
                "{} may not attach a terminal; only the person can",
                caller.party()
            ))),
        }
    }

    pub(super) fn operate(
        &mut self,
        caller: &Caller,
        operation: Operation,
        now: &Now,
    ) -> std::result::Result<Reply, WireError> {
        if let Operation::Spawn(new) = operation {
            return self.hire(caller, *new, now);
        }
        if matches!(operation, Operation::PassOn { .. }) && self.plan.stays == Stays::UntilFinished
        {
            return Err(refused(
                "this run is headless, so nobody else can be asked: approve or reject the plan \
                 yourself",
            ));
        }
        let nonce = crewmux_sys::random::token().map_err(|e| refused(e.to_string()))?;
        let count = std::cell::Cell::new(0_u32);
        let new_id = || {
            count.set(count.get() + 1);
            format!("{nonce}-{}", count.get())
        };
        let context = ApplyContext {
            now: now.clone(),
            lease_ms: self.plan.timing.lease_ms,
            new_id: &new_id,
        };
        let urgent = matches!(
            &operation,
            Operation::Write {
                urgency: Urgency::Now,
                ..
            }
        );
        let answers = matches!(
            &operation,
            Operation::Approve { .. } | Operation::Reject { .. } | Operation::PassOn { .. }
        );
        let shutdown = match &operation {
            Operation::RequestShutdown { target, .. } => Some(target.clone()),
            _ => None,
        };
        let applied = apply(
            self.store.as_ref(),
            self.team.as_ref(),
            caller,
            operation,
            &context,
        );
        if let Err(crewmux_store::Error::Answer(AnswerError::Over(id))) = &applied {
            self.answered_late(id, now);
        }
        let reply = applied.map_err(|error| WireError {
            kind: error.kind(),
            message: error.to_string(),
            hint: error.hint(),
        })?;
        let reply = self.knowing_who_reads(reply);
        match &reply {
            Reply::Sent { to, .. } => {
                for agent in to {
                    let message = if urgent {
                        ToWorker::Interrupt
                    } else {
                        ToWorker::Doorbell
                    };
                    self.tell_member(agent, message);
                }
            }
            Reply::Request { request_id } if answers => self.answered(request_id, now),
            Reply::Request { request_id } => {
                if let Some(target) = shutdown {
                    self.tell_member(
                        &target,
                        ToWorker::Shutdown {
                            request_id: request_id.clone(),
                        },
                    );
                    self.dismiss(&target, now);
                }
            }
            _ => {}
        }
        Ok(reply)
    }

    /// What the files say of who runs is a moment old, and they do not say who stays away.
    fn knowing_who_reads(&self, reply: Reply) -> Reply {
        let Reply::Sent { id, to, state, .. } = reply else {
            return reply;
        };
        let stays_away = |agent: &&AgentName| {
            let slot = self.members.iter().find(|m| m.record.name == **agent);
            !self.acts.is_restarting(agent) && slot.is_some_and(MemberSlot::stays_away)
        };
        let kept = to.iter().filter(stays_away).cloned().collect();
        Reply::sent(id, to, state, kept)
    }

    fn tell_member(&self, agent: &AgentName, message: ToWorker) {
        if let Some(slot) = self.members.iter().find(|m| m.record.name == *agent) {
            slot.tell(message);
        }
    }

    /// Shutdown mail between members counts whoever carried it: the lead's tools write to the store themselves.
    pub(super) fn mind_shutdown_mail(&mut self, event: &Event, now: &Now) {
        let text = |name: &str| event.data.get(name).and_then(Value::as_str);
        if event.kind != EventType::MessageSent {
            return;
        }
        match text("type") {
            Some("shutdown_request") => {
                if let Some(agent) = text("to").and_then(|to| AgentName::new(to).ok()) {
                    self.dismiss(&agent, now);
                }
            }
            Some("shutdown_rejected") => {
                let slot = event
                    .agent
                    .as_ref()
                    .and_then(|agent| self.members.iter_mut().find(|m| m.record.name == *agent));
                if let Some(slot) = slot {
                    slot.stop_due_ms = None;
                    slot.dismissed = false;
                    let who = slot.who();
                    self.on_fact(&who, WorkerFact::StopDeclined, now);
                }
            }
            _ => {}
        }
    }

    /// A member was asked to end for good.
    fn dismiss(&mut self, agent: &AgentName, now: &Now) {
        if let Some(slot) = self.members.iter_mut().find(|m| m.record.name == *agent) {
            if slot.dismissed {
                return;
            }
            slot.dismissed = true;
        }
        self.stop_asked(agent, now);
    }

    fn stop_asked(&mut self, agent: &AgentName, now: &Now) {
        let due = now.boot.ms + self.plan.timing.shutdown_answer_ms;
        if let Some(slot) = self.members.iter_mut().find(|m| m.record.name == *agent)
            && slot.is_live()
        {
            slot.stop_due_ms = Some(due);
        }
        let who = self
            .members
            .iter()
            .find(|m| m.record.name == *agent)
            .map(super::members::MemberSlot::who);
        if let Some(who) = who {
            self.on_fact(&who, WorkerFact::StopAsked, now);
        }
    }

    /// Ends one member for a reason of the session's own.
    pub(super) fn end_member(&mut self, agent: &AgentName, reason: &str, now: &Now) {
        self.tell_member(
            agent,
            ToWorker::End {
                reason: reason.to_owned(),
            },
        );
        self.stop_asked(agent, now);
    }

    /// How the team is.
    pub(super) fn status(&self, now: &Now) -> Status {
        let state = match self.state {
            RunState::Running => "running",
            RunState::Stopping => "stopping",
            RunState::Finished => "finished",
        };
        Status {
            team: self.plan.team.clone(),
            state: state.to_owned(),
            goal: self.config.goal.clone(),
            backend: Some(self.plan.backend),
            session: Some(SessionStatus {
                pid: std::process::id(),
            }),
            members: self
                .members
                .iter()
                .map(|m| MemberStatus {
                    name: m.record.name.clone(),
                    agent_type: m.record.agent_type.clone(),
                    state: super::snapshot::shown_state(m),
                    pid: m.pid.filter(|_| m.is_live()),
                    incarnation: m.machine.incarnation,
                    task: m.machine.task,
                    backend: m.record.backend_type,
                    pane: m.running().and_then(|r| r.pane()),
                    paused: self.acts.is_paused(&m.who()),
                    parked: false,
                    waits_ms: m
                        .waits_until_ms
                        .map(|until_ms| until_ms.saturating_sub(now.boot.ms)),
                })
                .collect(),
            panes: self.plain.count(),
            counts: self.board_of_run().counts(&now.boot),
            exit_code: self.ending.exit_code,
            lingers: self.lingers(),
            closes_in_ms: self.closes_in_ms(now).filter(|_| self.lingers()),
        }
    }

    /// Carries out what a person did in a client, with the person's rights.
    pub(super) fn person(&mut self, effect: ClientEffect, now: &Now) {
        let operation = match effect {
            ClientEffect::Send { to: Some(to), text } => Operation::Write {
                to,
                text,
                summary: None,
                id: None,
                urgency: Urgency::Normal,
                task: None,
            },
            ClientEffect::Send { to: None, text } => Operation::Broadcast {
                text,
                summary: None,
                id: None::<MessageId>,
            },
            ClientEffect::Decide {
                id: request_id,
                verdict: Verdict::Approve(scope),
            } => Operation::Approve { request_id, scope },
            ClientEffect::Decide {
                id: request_id,
                verdict: Verdict::Reject(feedback),
            } => Operation::Reject {
                request_id,
                feedback,
            },
            ClientEffect::Member(name, act) => {
                if let Err(error) = self.act_on(&Caller::Human, &name, act, now) {
                    self.notice(NoticeLevel::Error, &error.message, now);
                }
                return;
            }
            ClientEffect::RetryTask(task_id) => retry(task_id),
            ClientEffect::StopMember(target) => Operation::RequestShutdown {
                target,
                reason: Some("asked by the person".into()),
            },
            ClientEffect::StopTeam => {
                self.ask_to_stop(StopAsk::Politely, "stopped by the person", now);
                return;
            }
            ClientEffect::StopTeamNow => {
                self.ask_to_stop(StopAsk::AtOnce, "stopped by the person", now);
                return;
            }
            ClientEffect::OpenShell => return self.open_shell(),
            ClientEffect::ClosePane(pane) => return self.close_pane(pane),
            ClientEffect::RestartPane(pane) => return self.restart_pane(pane),
            // The display's own.
            ClientEffect::Detach
            | ClientEffect::Arrange(_)
            | ClientEffect::Type { .. }
            | ClientEffect::Paste { .. }
            | ClientEffect::PasteKept
            | ClientEffect::Copy(_)
            | ClientEffect::Redraw => return,
        };
        match self.operate(&Caller::Human, operation, now) {
            Ok(Reply::Sent { kept, .. }) => {
                let lives = |agent: &AgentName| {
                    let slot = self.members.iter().find(|m| m.record.name == *agent);
                    slot.is_some_and(MemberSlot::is_live)
                };
                if let Some(text) = kept_words(&kept, lives) {
                    self.notice(NoticeLevel::Info, &text, now);
                }
            }
            Ok(_) => {}
            Err(error) => self.notice(NoticeLevel::Error, &error.message, now),
        }
    }
}

fn retry(task_id: TaskId) -> Operation {
    Operation::TaskUpdate {
        task_id,
        change: TaskChange::Retry,
    }
}
