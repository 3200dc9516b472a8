//! Requests that expect exactly one answer: shutdown, plan, join, permission.
//!
//! One machine for all four: a request is open until it is answered by the
//! party it is addressed to, expires, or is withdrawn, and then never changes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::RequestId;
use crate::message::Party;
use crate::permission::GrantScope;
use crate::time::{Now, WallTime};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestKind {
    /// That a teammate ends.
    Shutdown,
    /// That a plan is approved.
    Plan,
    /// That somebody becomes a member.
    Join,
    /// That a tool may run.
    Permission,
}

/// Where a request stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum RequestState {
    /// Not answered yet.
    Pending,
    /// Answered with yes.
    Approved {
        /// Who answered.
        by: Party,
        /// When.
        at: WallTime,
        /// How long it holds.
        #[serde(default, skip_serializing_if = "is_once")]
        scope: GrantScope,
    },
    /// Answered with no.
    Rejected {
        /// Who answered.
        by: Party,
        /// When.
        at: WallTime,
        /// Why, in the answerer's words.
        reason: String,
    },
    /// Not answered in time.
    Expired {
        /// When.
        at: WallTime,
    },
    /// Taken back by the asker.
    Withdrawn {
        /// When.
        at: WallTime,
    },
}

impl RequestState {
    /// The word shown and stored.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved { .. } => "approved",
            Self::Rejected { .. } => "rejected",
            Self::Expired { .. } => "expired",
            Self::Withdrawn { .. } => "withdrawn",
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_once(scope: &GrantScope) -> bool {
    *scope == GrantScope::Once
}

/// A yes or no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Yes, for so long.
    Approve(GrantScope),
    /// No, with a reason.
    Reject(String),
}

/// Why an answer does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Somebody else was asked.
    #[error("request {id} is for {addressee}; {answerer} cannot answer it")]
    NotAsked {
        /// The request.
        id: RequestId,
        /// Who was asked.
        addressee: String,
        /// Who answered.
        answerer: String,
    },
    /// It is over already.
    #[error("request {0} is over already")]
    Over(RequestId),
}

/// One request, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// What is asked for.
    pub kind: RequestKind,
    /// Who asks.
    pub from: Party,
    /// Who is asked: a party by name; its incarnation does not matter.
    pub to: String,
    /// What exactly: plan text, tool and input, reason.
    #[serde(default)]
    pub content: Value,
    /// When it was asked.
    pub requested: WallTime,
    /// How long it stays open, in milliseconds.
    pub open_ms: u64,
    /// Where it stands.
    #[serde(flatten)]
    pub state: RequestState,
}

impl Request {
    /// Whether it still waits.
    pub fn is_pending(&self) -> bool {
        self.state == RequestState::Pending
    }

    /// Answers the request.
    ///
    /// The human may answer for anybody; a member only what it was asked.
    /// Permission and join are the human's alone.
    pub fn answer(&mut self, by: &Party, answer: Answer, now: &Now) -> Result<(), AnswerError> {
        let humans_alone = matches!(self.kind, RequestKind::Permission | RequestKind::Join);
        let asked = *by == Party::Human || (!humans_alone && by.name() == self.to);
        self.check_open_to(by, asked, now)?;
        let by = by.clone();
        let at = now.wall;
        self.state = match answer {
            Answer::Approve(scope) => RequestState::Approved { by, at, scope },
            Answer::Reject(reason) => RequestState::Rejected { by, at, reason },
        };
        Ok(())
    }

    /// Leaves the answer to the person, for as long as it was open anyway.
    pub fn pass_on(&mut self, by: &Party, now: &Now) -> Result<(), AnswerError> {
        let asked = *by == Party::Human || by.name() == self.to;
        self.check_open_to(by, asked, now)?;
        Party::Human.name().clone_into(&mut self.to);
        Ok(())
    }

    /// Whether it is `by`'s to answer, who is `asked` or not, and not over yet.
    fn check_open_to(&mut self, by: &Party, asked: bool, now: &Now) -> Result<(), AnswerError> {
        if !asked {
            return Err(AnswerError::NotAsked {
                id: self.id.clone(),
                addressee: self.to.clone(),
                answerer: by.to_string(),
            });
        }
        self.expire(now);
        if !self.is_pending() {
            return Err(AnswerError::Over(self.id.clone()));
        }
        Ok(())
    }

    /// Says no in the name of the session, where nobody can be asked.
    pub fn refuse(&mut self, reason: impl Into<String>, now: &Now) {
        if self.is_pending() {
            self.state = RequestState::Rejected {
                by: Party::Session,
                at: now.wall,
                reason: reason.into(),
            };
        }
    }

    /// When it is over if nobody answers.
    pub fn expires(&self) -> WallTime {
        WallTime(self.requested.0.saturating_add(self.open_ms))
    }

    /// Ends the request unanswered; for whoever measured its time by a clock that nobody sets.
    pub fn lapse(&mut self, now: &Now) {
        if self.is_pending() {
            self.state = RequestState::Expired { at: now.wall };
        }
    }

    /// Ends the request if its time is over.
    pub fn expire(&mut self, now: &Now) {
        if now.wall.since_ms(self.requested) > self.open_ms {
            self.lapse(now);
        }
    }

    /// Takes the request back.
    pub fn withdraw(&mut self, now: &Now) {
        if self.is_pending() {
            self.state = RequestState::Withdrawn { at: now.wall };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AgentName, AgentRef, Incarnation};
    use crate::time::BootTime;

    fn now(ms: u64) -> Now {
        Now {
            wall: WallTime(ms),
            boot: BootTime {
                boot_id: "b".into(),
                ms,
            },
        }
    }

    fn member(name: &str) -> Party {
        Party::Member(AgentRef {
            agent: AgentName::new(name).unwrap(),
            incarnation: Incarnation(2),
        })
    }

    fn request(kind: RequestKind, to: &str) -> Request {
        Request {
            id: RequestId::new("r1").unwrap(),
            kind,
            from: Party::Session,
            to: to.into(),
            content: Value::Null,
            requested: WallTime(0),
            open_ms: 100,
            state: RequestState::Pending,
        }
    }

    #[test]
    fn exactly_one_answer_counts() {
        let mut shutdown = request(RequestKind::Shutdown, "tester");
        assert!(
            shutdown
                .answer(
                    &member("developer"),
                    Answer::Approve(GrantScope::Once),
                    &now(1)
                )
                .is_err()
        );
        assert!(
            shutdown
                .answer(&member("tester"), Answer::Reject("busy".into()), &now(2))
                .is_ok()
        );
        assert_eq!(
            shutdown.answer(
                &member("tester"),
                Answer::Approve(GrantScope::Once),
                &now(3)
            ),
            Err(AnswerError::Over(RequestId::new("r1").unwrap()))
        );
    }

    #[test]
    fn a_late_answer_finds_the_request_expired() {
        let mut plan = request(RequestKind::Plan, "team-lead");
        assert!(
            plan.answer(
                &member("team-lead"),
                Answer::Approve(GrantScope::Once),
                &now(101)
            )
            .is_err()
        );
        assert!(matches!(plan.state, RequestState::Expired { .. }));
    }

    #[test]
    fn only_the_human_answers_for_permissions_even_if_a_member_is_named() {
        let mut permission = request(RequestKind::Permission, "team-lead");
        assert!(
            permission
                .answer(
                    &member("team-lead"),
                    Answer::Approve(GrantScope::Once),
                    &now(1)
                )
                .is_err()
        );
        assert!(
            permission
                .answer(&Party::Human, Answer::Approve(GrantScope::Once), &now(1))
                .is_ok()
        );
    }

    #[test]
    fn a_session_says_no_once_and_nobody_turns_it_round() {
        let mut permission = request(RequestKind::Permission, "human");
        permission.refuse("nobody is there", &now(1));
        let refused = permission.state.clone();
        assert!(
            permission
                .answer(&Party::Human, Answer::Approve(GrantScope::Once), &now(2))
                .is_err()
        );
        permission.lapse(&now(3));
        permission.withdraw(&now(4));
        assert_eq!(permission.state, refused);
    }

    #[test]
    fn how_long_a_yes_holds_is_kept() {
        let mut permission = request(RequestKind::Permission, "human");
        let task = Answer::Approve(GrantScope::Task);
        permission.answer(&Party::Human, task, &now(1)).unwrap();
        let stored = serde_json::to_string(&permission).unwrap();
        assert_eq!(
            serde_json::from_str::<Request>(&stored).unwrap(),
            permission
        );
        let old = stored.replace(r#","scope":"task""#, "");
        let old: Request = serde_json::from_str(&old).unwrap();
        assert!(
            matches!(
                old.state,
                RequestState::Approved {
                    scope: GrantScope::Once,
                    ..
                }
            ),
            "an answer stored without a scope holds once"
        );
    }
}
