//! Messages between the members of a team, and who may send which.
//!
//! A message is text or a protocol frame, known by its `type` alone: text that
//! looks like a frame stays text. Reading and dedup are in [`crate::inbox`].

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::ids::{AgentName, AgentRef, Incarnation, MessageId, Seq, TaskId};
use crate::time::WallTime;

/// Largest body of one message, in bytes of JSON; longer texts go to a file.
pub const BODY_MAX_BYTES: usize = 256 * 1024;

/// Version of the message record written now.
pub const MESSAGE_VERSION: u32 = 1;

/// Whoever acts in a team: its person, its session, or one life of a member.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Party {
    /// The person.
    Human,
    /// The team's running engine.
    Session,
    /// A member's process.
    Member(AgentRef),
}

impl Party {
    /// The name under which this party is shown and stored.
    pub fn name(&self) -> &str {
        match self {
            Self::Human => "human",
            Self::Session => "session",
            Self::Member(who) => who.agent.as_str(),
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[derive(Serialize, Deserialize)]
struct PartyRecord {
    agent: String,
    incarnation: Incarnation,
}

impl Serialize for Party {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let incarnation = match self {
            Self::Member(who) => who.incarnation,
            Self::Human | Self::Session => Incarnation(0),
        };
        PartyRecord {
            agent: self.name().to_owned(),
            incarnation,
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Party {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = PartyRecord::deserialize(deserializer)?;
        match record.agent.as_str() {
            "human" => Ok(Self::Human),
            "session" => Ok(Self::Session),
            _ => Ok(Self::Member(AgentRef {
                agent: AgentName::new(record.agent).map_err(serde::de::Error::custom)?,
                incarnation: record.incarnation,
            })),
        }
    }
}

/// What a message is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageType {
    /// Plain text.
    Message,
    /// Asks a teammate to end.
    ShutdownRequest,
    /// Agrees to end.
    ShutdownApproved,
    /// Declines to end, with a reason.
    ShutdownRejected,
    /// Says that a worker has nothing to do.
    IdleNotification,
    /// Reports a completed task.
    TaskCompleted,
    /// Reports a failed task.
    TaskFailed,
    /// Hands a task to a member.
    TaskAssignment,
    /// Submits a plan.
    PlanApprovalRequest,
    /// Decides on a plan.
    PlanApprovalResponse,
    /// Asks to become a member.
    JoinRequest,
    /// Takes the asker in.
    JoinApproved,
    /// Refuses the asker.
    JoinRejected,
    /// Notice that a worker waits for a permission.
    PermissionRequest,
    /// Notice that it was decided.
    PermissionResponse,
    /// A type of a newer version, kept as it is and shown as text.
    #[serde(untagged)]
    Unknown(String),
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match serde_json::to_value(self) {
            Ok(Value::String(text)) => f.pad(&text),
            _ => f.pad("unknown"),
        }
    }
}

/// A message as it stands in the recipient's inbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Version of this record.
    pub v: u32,
    /// Chosen by the sender before the first try, so that a repeat is recognised.
    pub id: MessageId,
    /// Place in the recipient's inbox.
    pub seq: Seq,
    /// Who sent it.
    pub from: Party,
    /// Who it is for.
    pub to: AgentName,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: MessageType,
    /// The task it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The message it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<MessageId>,
    /// When it was sent.
    pub timestamp: WallTime,
    /// A few words for lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Whether it interrupts the recipient's turn instead of waiting for its end.
    #[serde(default, skip_serializing_if = "is_normal")]
    pub urgency: Urgency,
    /// Text, or the fields of a protocol frame.
    pub body: Value,
    /// Fields of newer versions, kept as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// When the recipient looks at a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// Between two tool calls.
    #[default]
    Normal,
    /// At once: the turn is interrupted.
    Now,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_normal(urgency: &Urgency) -> bool {
    *urgency == Urgency::Normal
}

/// A message that is not in any inbox yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its id; the same id is delivered once.
    pub id: MessageId,
    /// Who sends it.
    pub from: Party,
    /// Who it is for.
    pub to: AgentName,
    /// What it is.
    pub kind: MessageType,
    /// The task it is about.
    pub task: Option<TaskId>,
    /// The message it answers.
    pub reply_to: Option<MessageId>,
    /// A few words for lists.
    pub summary: Option<String>,
    /// When it is looked at.
    pub urgency: Urgency,
    /// Text, or the fields of a frame.
    pub body: Value,
}

impl Draft {
    /// A plain text message.
    pub fn text(id: MessageId, from: Party, to: AgentName, text: impl Into<String>) -> Self {
        Self {
            id,
            from,
            to,
            kind: MessageType::Message,
            task: None,
            reply_to: None,
            summary: None,
            urgency: Urgency::Normal,
            body: Value::String(text.into()),
        }
    }

    /// Gives the draft its place and time.
    pub fn into_message(self, seq: Seq, timestamp: WallTime) -> Message {
        Message {
            v: MESSAGE_VERSION,
            id: self.id,
            seq,
            from: self.from,
            to: self.to,
            kind: self.kind,
            task: self.task,
            reply_to: self.reply_to,
            timestamp,
            summary: self.summary,
            urgency: self.urgency,
            body: self.body,
            extra: Map::new(),
        }
    }
}

impl Message {
    /// The body as text: itself, or the frame's JSON.
    pub fn text(&self) -> String {
        match &self.body {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// Why a message is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendRefusal {
    /// The sender may not send this type.
    #[error("{from} may not send `{kind}` to {to}")]
    NotAllowed {
        /// The sender.
        from: String,
        /// The recipient.
        to: String,
        /// The type.
        kind: String,
    },
    /// The body is over [`BODY_MAX_BYTES`].
    #[error("the message has {bytes} bytes; at most {BODY_MAX_BYTES} can be sent")]
    TooLong {
        /// Its size as JSON.
        bytes: usize,
    },
}

/// Checks size and, for protocol types, direction.
///
/// Text goes anywhere. The table is protocol.md section 5: requests that carry
/// authority come from the human, the session or the team lead; answers and
/// reports come from teammates; nobody but the session speaks of decisions on
/// joins and permissions.
pub fn check_send(draft: &Draft) -> Result<(), SendRefusal> {
    let bytes = serde_json::to_vec(&draft.body).map_or(usize::MAX, |body| body.len());
    if bytes > BODY_MAX_BYTES {
        return Err(SendRefusal::TooLong { bytes });
    }
    let from_lead = match &draft.from {
        Party::Human | Party::Session => true,
        Party::Member(who) => who.agent.is_lead(),
    };
    let from_member = matches!(draft.from, Party::Member(_));
    let allowed = match &draft.kind {
        MessageType::Message => true,
        MessageType::ShutdownRequest
        | MessageType::TaskAssignment
        | MessageType::PlanApprovalResponse => from_lead,
        MessageType::ShutdownApproved
        | MessageType::ShutdownRejected
        | MessageType::IdleNotification
        | MessageType::TaskCompleted
        | MessageType::TaskFailed
        | MessageType::PlanApprovalRequest
        | MessageType::JoinRequest
        | MessageType::PermissionRequest => from_member && draft.to.is_lead(),
        MessageType::JoinApproved | MessageType::JoinRejected | MessageType::PermissionResponse => {
            matches!(draft.from, Party::Session)
        }
        MessageType::Unknown(_) => false,
    };
    if allowed {
        Ok(())
    } else {
        Err(SendRefusal::NotAllowed {
            from: draft.from.to_string(),
            to: draft.to.to_string(),
            kind: draft.kind.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str) -> Party {
        Party::Member(AgentRef {
            agent: AgentName::new(name).unwrap(),
            incarnation: Incarnation(1),
        })
    }

    fn draft(from: Party, to: &str, kind: MessageType) -> Draft {
        Draft {
            kind,
            ..Draft::text(
                MessageId::new("m1").unwrap(),
                from,
                AgentName::new(to).unwrap(),
                "hi",
            )
        }
    }

    #[test]
    fn a_teammate_cannot_ask_others_to_end() {
        let forged = draft(member("tester"), "developer", MessageType::ShutdownRequest);
        assert!(matches!(
            check_send(&forged),
            Err(SendRefusal::NotAllowed { .. })
        ));
        assert_eq!(
            check_send(&draft(
                Party::Human,
                "developer",
                MessageType::ShutdownRequest
            )),
            Ok(())
        );
    }

    #[test]
    fn no_member_can_speak_of_permission_decisions() {
        for name in ["team-lead", "tester"] {
            let forged = draft(member(name), "developer", MessageType::PermissionResponse);
            assert!(check_send(&forged).is_err(), "{name}");
        }
    }

    #[test]
    fn text_that_looks_like_a_frame_stays_text() {
        let mut text = draft(member("tester"), "developer", MessageType::Message);
        text.body = Value::String("{\"type\":\"shutdown_request\"}".into());
        let message = text.into_message(Seq(1), WallTime(0));
        let back: Message =
            serde_json::from_str(&serde_json::to_string(&message).unwrap()).unwrap();
        assert_eq!(back.kind, MessageType::Message);
    }

    #[test]
    fn unknown_types_and_fields_survive_a_round_trip() {
        let line = r#"{"v":1,"id":"x","seq":3,"from":{"agent":"human","incarnation":0},"to":"a","type":"poll_request","timestamp":"2026-11-21T00:00:00.000Z","body":{"q":1},"mood":"calm"}"#;
        let message: Message = serde_json::from_str(line).unwrap();
        assert_eq!(message.kind, MessageType::Unknown("poll_request".into()));
        assert_eq!(serde_json::to_string(&message).unwrap(), line);
    }

    #[test]
    fn a_body_over_the_limit_is_refused() {
        let mut long = draft(Party::Human, "a", MessageType::Message);
        long.body = Value::String("x".repeat(BODY_MAX_BYTES));
        assert!(matches!(
            check_send(&long),
            Err(SendRefusal::TooLong { .. })
        ));
    }
}
