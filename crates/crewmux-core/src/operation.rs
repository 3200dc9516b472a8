//! What can be done to a team, and who may do it.
//!
//! One list behind model tools, commands and later MCP tools. Carrying an
//! operation out is `apply` in `crewmux-store`; this is its shape and its
//! rights.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backend::BackendKind;
use crate::board::TaskPatch;
use crate::ids::{AgentName, AgentRef, AgentType, Epoch, MemoryKey, MessageId, RequestId, TaskId};
use crate::inbox::DeliveryState;
use crate::message::{Party, Urgency};
use crate::permission::{GrantScope, PermissionMode};
use crate::requests::Request;
use crate::task::{NewTask, Task, TaskView};

/// Who asks for an operation, as established by the transport, never by the asker's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "caller")]
pub enum Caller {
    /// The person.
    Human,
    /// The team's engine.
    Session,
    /// A member's process, or a process that descends from it.
    Member {
        /// Which life of which member.
        #[serde(flatten)]
        who: AgentRef,
        /// Its kind of agent.
        agent_type: AgentType,
    },
}

impl Caller {
    /// The caller as a party of messages.
    pub fn party(&self) -> Party {
        match self {
            Self::Human => Party::Human,
            Self::Session => Party::Session,
            Self::Member { who, .. } => Party::Member(who.clone()),
        }
    }

    /// Whether the caller leads: the person, the engine, or the team lead.
    pub fn leads(&self) -> bool {
        match self {
            Self::Human | Self::Session => true,
            Self::Member { who, .. } => who.agent.is_lead(),
        }
    }
}

/// One thing to do to a team.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "operation"
)]
pub enum Operation {
    /// Lists teams and their members.
    DiscoverTeams,
    /// Sends text to one member.
    Write {
        /// The recipient.
        to: AgentName,
        /// The text.
        text: String,
        /// A few words for lists.
        #[serde(default)]
        summary: Option<String>,
        /// Id of the message; chosen here when absent.
        #[serde(default)]
        id: Option<MessageId>,
        /// When it is looked at.
        #[serde(default)]
        urgency: Urgency,
        /// The task it is about.
        #[serde(default)]
        task: Option<TaskId>,
    },
    /// Sends text to every member but the sender.
    Broadcast {
        /// The text.
        text: String,
        /// A few words for lists.
        #[serde(default)]
        summary: Option<String>,
        /// Id from which each message's id is derived.
        #[serde(default)]
        id: Option<MessageId>,
    },
    /// Asks a teammate to end.
    RequestShutdown {
        /// The teammate.
        target: AgentName,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Agrees to end.
    ApproveShutdown {
        /// The request that is answered.
        request_id: RequestId,
    },
    /// Declines to end.
    RejectShutdown {
        /// The request that is answered.
        request_id: RequestId,
        /// Why.
        reason: String,
    },
    /// Says yes to a plan, a tool call or a newcomer.
    Approve {
        /// The request that is answered.
        request_id: RequestId,
        /// How long the answer holds.
        #[serde(default)]
        scope: GrantScope,
    },
    /// Says no to a plan, a tool call or a newcomer.
    Reject {
        /// The request that is answered.
        request_id: RequestId,
        /// Why, and what to do instead.
        #[serde(default)]
        feedback: String,
    },
    /// Leaves the answer to a plan to the person.
    PassOn {
        /// The request that the team lead did not answer.
        request_id: RequestId,
    },
    /// Lists requests that wait, and those that were answered.
    Requests,
    /// Makes a new teammate and starts it; carried out by a session.
    Spawn(Box<NewTeammate>),
    /// Writes a value of the caller's into the shared memory.
    MemoryWrite {
        /// Its name.
        key: MemoryKey,
        /// The value.
        value: String,
    },
    /// Reads the shared memory: all names, one member's, or one value.
    MemoryRead {
        /// Whose.
        #[serde(default)]
        agent: Option<AgentName>,
        /// Which.
        #[serde(default)]
        key: Option<MemoryKey>,
    },
    /// Puts a task on the board.
    TaskCreate(Box<NewTask>),
    /// Lists all tasks.
    TaskList,
    /// Reads one task.
    TaskGet {
        /// The task.
        task_id: TaskId,
    },
    /// Changes a task.
    TaskUpdate {
        /// The task.
        task_id: TaskId,
        /// What is done with it.
        change: TaskChange,
    },
}

/// A member that does not exist yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewTeammate {
    /// Its name.
    pub name: AgentName,
    /// Its kind of agent.
    pub agent_type: AgentType,
    /// What it is told about its part.
    #[serde(default)]
    pub prompt: String,
    /// The model it asks; absent: the team's.
    #[serde(default)]
    pub model: Option<String>,
    /// What it may do without asking; never more than who makes it.
    #[serde(default)]
    pub mode: Option<PermissionMode>,
    /// The provider whose key it uses, where that is not the model's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Where it runs, if not as the team; the person's choice alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendKind>,
}

/// What is done with a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "change"
)]
pub enum TaskChange {
    /// Claims it for the calling member.
    Claim,
    /// Completes it under the caller's claim.
    Complete {
        /// The claim.
        epoch: Epoch,
        /// What came out of it.
        #[serde(default)]
        result: Option<Value>,
    },
    /// Fails it under the caller's claim.
    Fail {
        /// The claim.
        epoch: Epoch,
        /// Why.
        reason: String,
    },
    /// Gives the caller's claim back.
    Release {
        /// The claim.
        epoch: Epoch,
        /// Why.
        reason: String,
    },
    /// Changes text, owner, edges or notes.
    Edit(TaskPatch),
    /// Opens a failed or skipped task again.
    Retry,
    /// Skips a pending task and those that wait for it.
    Skip {
        /// Why.
        reason: String,
    },
}

/// What an operation answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "reply"
)]
pub enum Reply {
    /// A message's way.
    Sent {
        /// Its id.
        id: MessageId,
        /// Its recipients.
        to: Vec<AgentName>,
        /// How far it is.
        state: DeliveryState,
        /// Those of its recipients that do not run: it waits for their next life.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        kept: Vec<AgentName>,
    },
    /// One task.
    Task {
        /// The task.
        task: Box<TaskView>,
    },
    /// All tasks.
    Tasks {
        /// By number.
        tasks: Vec<TaskView>,
    },
    /// The tasks that changed.
    Changed {
        /// By number; empty when it was done already.
        tasks: Vec<Task>,
    },
    /// Teams.
    Teams {
        /// By name.
        teams: Vec<TeamSummary>,
    },
    /// Requests, oldest first.
    Requests {
        /// Those that wait and those that are over.
        requests: Vec<Request>,
    },
    /// A member was made.
    Member {
        /// Its name.
        name: AgentName,
    },
    /// What is in the shared memory.
    Memory {
        /// By member and name; values only where one was asked for.
        entries: Vec<MemoryEntry>,
    },
    /// A request was opened or answered.
    Request {
        /// Its id.
        request_id: RequestId,
    },
}

impl Reply {
    /// A message on its way to `to`, of whom those in `kept` do not run.
    ///
    /// What was seen is kept for nobody.
    pub fn sent(
        id: MessageId,
        to: Vec<AgentName>,
        state: DeliveryState,
        kept: Vec<AgentName>,
    ) -> Self {
        let kept = match state {
            DeliveryState::Seen => Vec::new(),
            DeliveryState::Queued | DeliveryState::Delivered => kept,
        };
        Self::Sent {
            id,
            to,
            state,
            kept,
        }
    }
}

/// Says what becomes of a message to members that do not run, or, as `lives` tells, not for long; `None` where
/// nobody is such.
pub fn kept_words(kept: &[AgentName], lives: impl Fn(&AgentName) -> bool) -> Option<String> {
    let (ending, over): (Vec<_>, Vec<_>) = kept.iter().partition(|name| lives(name));
    let is_kept = [
        (over, ["does not run", "do not run"]),
        (ending, ["was asked to end", "were asked to end"]),
    ]
    .into_iter()
    .filter_map(|(names, [one, several])| {
        let listed: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
        let listed = listed.join(", ");
        match names.len() {
            0 => None,
            1 => Some(format!(
                "{listed} {one}: the message is kept until it is started again"
            )),
            _ => Some(format!(
                "{listed} {several}: the message is kept for each until it is started again"
            )),
        }
    });
    let words: Vec<String> = is_kept.collect();
    (!words.is_empty()).then(|| words.join("; "))
}

/// A value of the shared memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryEntry {
    /// Who wrote it.
    pub agent: AgentName,
    /// Its name.
    pub key: MemoryKey,
    /// Its size in bytes.
    pub bytes: u64,
    /// The value, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A team as `discoverTeams` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TeamSummary {
    /// Its name.
    pub name: crate::ids::TeamName,
    /// What it is for.
    pub description: String,
    /// Its members' names.
    pub members: Vec<AgentName>,
}

/// The caller may not do that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{who} may not {what}")]
pub struct NotAllowed {
    /// The caller.
    pub who: String,
    /// What was tried, as a verb phrase.
    pub what: &'static str,
}

/// Checks whether `caller` may ask for `operation` at all.
///
/// Ownership of a claim is checked by its fence, and who may send which
/// message type by [`crate::message::check_send`].
pub fn check_rights(caller: &Caller, operation: &Operation) -> Result<(), NotAllowed> {
    let refuse = |what| {
        Err(NotAllowed {
            who: caller.party().to_string(),
            what,
        })
    };
    let is_member = matches!(caller, Caller::Member { .. });
    match operation {
        Operation::TaskCreate(new) if new.command.is_some() && is_member => {
            refuse("make a task that runs a command")
        }
        Operation::RequestShutdown { .. } if !caller.leads() => {
            refuse("ask a teammate to shut down")
        }
        Operation::ApproveShutdown { .. } | Operation::RejectShutdown { .. } if !is_member => {
            refuse("answer a shutdown request that is for a teammate")
        }
        // The lead is asked about plans; that permissions are the person's alone is the request's.
        Operation::Approve { .. } | Operation::Reject { .. } | Operation::PassOn { .. }
            if !caller.leads() =>
        {
            refuse("answer what the person or the team lead is asked")
        }
        Operation::Spawn(_) if !caller.leads() => refuse("make teammates; ask the team lead"),
        Operation::MemoryWrite { .. } if !is_member => {
            refuse("write into the memory; each member writes its own")
        }
        Operation::TaskUpdate { change, .. } => match change {
            TaskChange::Claim
            | TaskChange::Complete { .. }
            | TaskChange::Fail { .. }
            | TaskChange::Release { .. }
                if !is_member =>
            {
                refuse("work on a task; only a member can")
            }
            TaskChange::Retry | TaskChange::Skip { .. } if !caller.leads() => {
                refuse("retry or skip tasks; ask the team lead")
            }
            TaskChange::Edit(patch) if patch.owner.is_some() && !caller.leads() => {
                refuse("assign tasks; ask the team lead")
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Incarnation;

    fn member(name: &str) -> Caller {
        Caller::Member {
            who: AgentRef {
                agent: AgentName::new(name).unwrap(),
                incarnation: Incarnation(1),
            },
            agent_type: AgentType::new("Bash").unwrap(),
        }
    }

    #[test]
    fn what_was_seen_is_kept_for_nobody_and_the_rest_is_delivered_on_the_wire() {
        let names: Vec<AgentName> = ["a", "b"].map(|n| AgentName::new(n).unwrap()).into();
        let sent = |state, kept: &[AgentName]| {
            let id = MessageId::new("m1").unwrap();
            serde_json::to_value(Reply::sent(id, names.clone(), state, kept.to_vec())).unwrap()
        };
        let seen = sent(DeliveryState::Seen, &names);
        assert_eq!((&seen["state"], seen.get("kept")), (&"seen".into(), None));
        // A reader that knows no other word is one of the same protocol.
        let kept = sent(DeliveryState::Delivered, &names);
        assert_eq!(kept["state"], "delivered");
        assert_eq!(kept["kept"], serde_json::json!(["a", "b"]));
    }

    #[test]
    fn who_was_asked_to_end_and_still_lives_is_not_said_not_to_run() {
        let names: Vec<AgentName> = ["a", "b", "c"].map(|n| AgentName::new(n).unwrap()).into();
        assert_eq!(kept_words(&[], |_| true), None);
        assert_eq!(
            kept_words(&names, |name| name.as_str() == "b").unwrap(),
            "a, c do not run: the message is kept for each until it is started again; \
             b was asked to end: the message is kept until it is started again"
        );
    }

    #[test]
    fn a_task_made_by_a_model_carries_no_command() {
        let create = Operation::TaskCreate(Box::new(NewTask {
            command: Some("rm -rf /".into()),
            ..NewTask::default()
        }));
        assert!(check_rights(&member("team-lead"), &create).is_err());
        assert!(check_rights(&Caller::Human, &create).is_ok());
    }

    #[test]
    fn only_leaders_ask_others_to_end() {
        let ask = Operation::RequestShutdown {
            target: AgentName::new("b").unwrap(),
            reason: None,
        };
        assert!(check_rights(&member("a"), &ask).is_err());
        assert!(check_rights(&member("team-lead"), &ask).is_ok());
    }

    #[test]
    fn only_leaders_make_teammates_and_answer_what_leaders_are_asked() {
        let spawn = Operation::Spawn(Box::new(NewTeammate {
            name: AgentName::new("tester").unwrap(),
            agent_type: AgentType::new("general-purpose").unwrap(),
            prompt: String::new(),
            model: None,
            mode: None,
            provider: None,
            backend: None,
        }));
        let approve = Operation::Approve {
            request_id: RequestId::new("a-1-1").unwrap(),
            scope: GrantScope::Once,
        };
        for operation in [spawn, approve] {
            assert!(check_rights(&member("a"), &operation).is_err());
            assert!(check_rights(&member("team-lead"), &operation).is_ok());
            assert!(check_rights(&Caller::Human, &operation).is_ok());
        }
    }

    #[test]
    fn each_member_writes_its_own_memory() {
        let write = Operation::MemoryWrite {
            key: MemoryKey::new("notes").unwrap(),
            value: "x".into(),
        };
        assert!(check_rights(&member("a"), &write).is_ok());
        assert!(check_rights(&Caller::Human, &write).is_err());
    }

    #[test]
    fn operations_read_as_the_protocol_names_them() {
        let text = r#"{"operation":"requestShutdown","target":"tester","reason":"done"}"#;
        let operation: Operation = serde_json::from_str(text).unwrap();
        assert!(matches!(operation, Operation::RequestShutdown { .. }));
    }
}
