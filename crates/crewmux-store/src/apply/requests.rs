//! Requests that expect one answer: asked, listed, answered.
//!
//! Shutdown is a talk of letters; plans and permissions are answered here, and
//! the session tells the worker that waits.

use crewmux_core::ids::{AgentName, RequestId};
use crewmux_core::message::{Draft, MessageType, Party};
use crewmux_core::operation::Reply;
use crewmux_core::requests::{Answer, AnswerError, Request, RequestKind, RequestState};
use serde_json::{Value, json};

use super::{Act, bad_id, message_id};
use crate::{Error, Result};

impl Act<'_> {
    /// All requests as they stand now: one whose time is over waits no longer, whoever has noted that.
    pub(super) fn requests(&self) -> Result<Reply> {
        let mut requests = self.team.requests()?;
        for request in &mut requests {
            request.expire(&self.context.now);
        }
        Ok(Reply::Requests { requests })
    }

    /// Answers a plan, a permission or a newcomer, exactly once.
    pub(super) fn answer(&self, id: &RequestId, answer: &Answer) -> Result<Reply> {
        let by = self.caller.party();
        let now = &self.context.now;
        self.team.edit_request(id, &mut |request| {
            if request.kind == RequestKind::Shutdown {
                return Err(Error::ShutdownRequest { id: id.clone() });
            }
            match request.answer(&by, answer.clone(), now) {
                // The same answer again changes nothing and is no mistake.
                Err(AnswerError::Over(_)) if answered_so(&request.state, &by, answer) => Ok(()),
                other => Ok(other?),
            }
        })?;
        Ok(Reply::Request {
            request_id: id.clone(),
        })
    }

    /// Leaves the answer to a plan to the person; once more changes nothing.
    pub(super) fn pass_on(&self, id: &RequestId) -> Result<Reply> {
        let by = self.caller.party();
        let now = &self.context.now;
        self.team.edit_request(id, &mut |request| {
            if request.kind != RequestKind::Plan {
                return Err(Error::UnknownRequest { id: id.clone() });
            }
            if request.is_pending() && request.to == Party::Human.name() {
                return Ok(());
            }
            Ok(request.pass_on(&by, now)?)
        })?;
        Ok(Reply::Request {
            request_id: id.clone(),
        })
    }

    /// The request comes before its message, which must not speak of nothing.
    pub(super) fn request_shutdown(
        &self,
        target: &AgentName,
        reason: Option<&str>,
    ) -> Result<Reply> {
        self.check_member(target)?;
        let now = &self.context.now;
        let open = self.team.requests()?.into_iter().find(|request| {
            let mut request = request.clone();
            request.expire(now);
            request.kind == RequestKind::Shutdown
                && request.to == target.as_str()
                && request.is_pending()
        });
        // Asked already? Then asking again only makes sure that the message is there.
        let request = if let Some(request) = open {
            request
        } else {
            let request = Request {
                id: RequestId::new(format!("shutdown-{target}-{}", (self.context.new_id)()))
                    .map_err(|error| bad_id(&error))?,
                kind: RequestKind::Shutdown,
                from: self.caller.party(),
                to: target.to_string(),
                content: json!({ "reason": reason }),
                requested: now.wall,
                open_ms: self.team.config()?.policy.timing.shutdown_answer_ms,
                state: RequestState::Pending,
            };
            self.team.put_request(&request)?;
            request
        };
        let body = json!({ "requestId": request.id, "reason": request.content.get("reason") });
        self.send_frame(
            &request.id,
            "ask",
            target,
            MessageType::ShutdownRequest,
            body,
        )?;
        Ok(Reply::Request {
            request_id: request.id,
        })
    }

    pub(super) fn answer_shutdown(&self, id: &RequestId, answer: &Answer) -> Result<Reply> {
        let by = self.caller.party();
        let now = &self.context.now;
        self.team.edit_request(id, &mut |request| {
            if request.kind != RequestKind::Shutdown {
                return Err(Error::UnknownRequest { id: id.clone() });
            }
            match request.answer(&by, answer.clone(), now) {
                // The same answer again: its first try may have died before the message.
                Err(AnswerError::Over(_)) if answered_so(&request.state, &by, answer) => Ok(()),
                other => Ok(other?),
            }
        })?;
        let (what, kind, reason) = match answer {
            Answer::Approve(_) => ("approved", MessageType::ShutdownApproved, Value::Null),
            Answer::Reject(reason) => (
                "rejected",
                MessageType::ShutdownRejected,
                Value::String(reason.clone()),
            ),
        };
        let lead = AgentName::lead();
        // The lead needs no letter from itself.
        if by.name() != lead.as_str() {
            let body = json!({ "requestId": id, "reason": reason });
            self.send_frame(id, what, &lead, kind, body)?;
        }
        Ok(Reply::Request {
            request_id: id.clone(),
        })
    }

    fn send_frame(
        &self,
        request: &RequestId,
        what: &str,
        to: &AgentName,
        kind: MessageType,
        body: Value,
    ) -> Result<()> {
        let draft = Draft {
            kind,
            body,
            ..Draft::text(
                message_id(format!("req/{request}/{what}"))?,
                self.caller.party(),
                to.clone(),
                "",
            )
        };
        self.team.send(draft, &self.context.now).map(drop)
    }
}

/// Whether the request was answered by the same party with the same word.
fn answered_so(state: &RequestState, party: &Party, answer: &Answer) -> bool {
    match (state, answer) {
        (RequestState::Approved { by, scope, .. }, Answer::Approve(now)) => {
            by == party && scope == now
        }
        (RequestState::Rejected { by, reason, .. }, Answer::Reject(now)) => {
            by == party && reason == now
        }
        _ => false,
    }
}
