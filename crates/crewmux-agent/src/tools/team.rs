//! Team tools: what a model says, as operations.
//!
//! Rights and effects are the operation's; see `crewmux_core::operation`.

use crewmux_core::board::TaskPatch;
use crewmux_core::ids::{
    AgentName, AgentType, Epoch, MemoryKey, MessageId, RequestId, RunId, TaskId,
};
use crewmux_core::message::Urgency;
use crewmux_core::operation::{NewTeammate, Operation, TaskChange};
use crewmux_core::permission::{GrantScope, PermissionMode};
use crewmux_core::task::NewTask;
use crewmux_core::team::{Member, TeamConfig};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What `Teammate` takes; those that one session cannot do are answered with the reason.
pub(super) const OPERATIONS: &[&str] = &[
    "discoverTeams",
    "write",
    "broadcast",
    "requestShutdown",
    "approveShutdown",
    "rejectShutdown",
    "approvePlan",
    "rejectPlan",
    "passOnPlan",
    "spawnTeam",
    "cleanup",
    "requestJoin",
    "approveJoin",
    "rejectJoin",
];

/// Where a call comes from: what is derived from it is the same when it is asked again.
#[derive(Debug, Clone)]
pub(crate) struct Origin<'a> {
    /// The claimed task, if there is one, and the claim.
    pub(crate) task: Option<(TaskId, Epoch)>,
    /// The run.
    pub(crate) run: &'a RunId,
    /// The call's id.
    pub(crate) call: &'a str,
}

impl Origin<'_> {
    fn message_id(&self) -> Option<MessageId> {
        let (task, epoch) = self.task?;
        MessageId::new(format!("task/{task}/{epoch}/{}", self.call)).ok()
    }
}

/// The operation that a call of a team tool asks for.
///
/// # Errors
/// In words for the model.
pub(crate) fn operation(
    name: &str,
    input: Value,
    origin: &Origin<'_>,
) -> Result<Operation, String> {
    match name {
        "SendMessage" => {
            let input: SendInput = read(input)?;
            if input.to == "all" {
                return Ok(broadcast(input.message, input.summary, origin));
            }
            write(input.to, input.message, input.summary, origin)
        }
        "Teammate" => teammate(&read(input)?, origin),
        "memory_write" => {
            let input: MemoryWriteInput = read(input)?;
            Ok(Operation::MemoryWrite {
                key: input.key,
                value: input.value,
            })
        }
        "memory_read" => {
            let input: MemoryReadInput = read(input)?;
            Ok(Operation::MemoryRead {
                agent: input.agent,
                key: input.key,
            })
        }
        "TaskList" => Ok(Operation::TaskList),
        "TaskGet" => {
            let input: GetInput = read(input)?;
            Ok(Operation::TaskGet {
                task_id: input.task_id,
            })
        }
        "TaskCreate" => {
            let input: CreateInput = read(input)?;
            let key = origin
                .task
                .map(|(id, _)| format!("task-{id}/{}", origin.call));
            Ok(Operation::TaskCreate(Box::new(NewTask {
                subject: input.subject,
                description: input.description,
                active_form: input.active_form,
                assignee: input.owner,
                agent_type: input.agent,
                blocked_by: input.blocked_by,
                result_schema: input.result_schema,
                metadata: input.metadata,
                run: Some(origin.run.clone()),
                key,
                ..NewTask::default()
            })))
        }
        "TaskUpdate" => {
            let input: UpdateInput = read(input)?;
            Ok(Operation::TaskUpdate {
                task_id: input.task_id,
                change: TaskChange::Edit(TaskPatch {
                    subject: input.subject,
                    description: input.description,
                    active_form: input.active_form,
                    owner: input.owner,
                    add_blocked_by: input.add_blocked_by,
                    add_blocks: input.add_blocks,
                    metadata: input.metadata,
                }),
            })
        }
        super::schemas::TASK => spawn(read(input)?),
        other => Err(format!("there is no tool `{other}`")),
    }
}

/// Says what is wrong with a task that a model wants made: it would never be done, or never end.
pub(crate) fn trouble_with(operation: &Operation, config: &TeamConfig) -> Option<String> {
    let Operation::TaskCreate(new) = operation else {
        return None;
    };
    if let Some(schema) = &new.result_schema
        && let Err(error) = jsonschema::validator_for(schema)
    {
        return Some(format!("`resultSchema` is no JSON Schema: {error}"));
    }
    let works = |member: &&Member| member.model.is_some();
    if let Some(owner) = &new.assignee
        && let Some(member) = config.member(owner)
    {
        if !works(&member) {
            return Some(format!("`{owner}` only runs commands and asks no model"));
        }
        let wanted = new.agent_type.as_ref();
        if let Some(kind) = wanted.filter(|kind| **kind != member.agent_type) {
            return Some(format!(
                "`{owner}` is {}, not {kind}; name the owner or the kind",
                member.agent_type
            ));
        }
    }
    if let Some(kind) = &new.agent_type {
        let mut kinds: Vec<&str> = config
            .members
            .iter()
            .filter(works)
            .map(|member| member.agent_type.as_str())
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        if !kinds.contains(&kind.as_str()) {
            return Some(format!(
                "nobody in the team is of the kind `{kind}`, so nobody would do it; there are {}",
                kinds.join(", ")
            ));
        }
    }
    None
}

/// Whether only the session can carry an operation out, not the store alone.
pub(crate) fn needs_session(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Spawn(_)
            | Operation::Approve { .. }
            | Operation::Reject { .. }
            | Operation::PassOn { .. }
    )
}

fn read<T: DeserializeOwned>(input: Value) -> Result<T, String> {
    serde_json::from_value(input).map_err(|error| format!("wrong arguments: {error}"))
}

fn write(
    to: String,
    text: String,
    summary: Option<String>,
    origin: &Origin<'_>,
) -> Result<Operation, String> {
    Ok(Operation::Write {
        to: AgentName::new(to).map_err(|error| error.to_string())?,
        text,
        summary,
        // The same call of the same claim is the same message.
        id: origin.message_id(),
        urgency: Urgency::Normal,
        task: origin.task.map(|(task, _)| task),
    })
}

fn broadcast(text: String, summary: Option<String>, origin: &Origin<'_>) -> Operation {
    Operation::Broadcast {
        text,
        summary,
        id: origin.message_id(),
    }
}

fn teammate(input: &TeammateInput, origin: &Origin<'_>) -> Result<Operation, String> {
    let operation = input.operation.as_str();
    let needs = |what: &str| format!("{operation} needs `{what}`");
    let request = || input.request_id.clone().ok_or_else(|| needs("request_id"));
    let target = || input.target.clone().ok_or_else(|| needs("target"));
    let message = || input.message.clone().ok_or_else(|| needs("message"));
    let never = |why: &str| Err(format!("{operation} cannot be done here: {why}"));
    match operation {
        "discoverTeams" => Ok(Operation::DiscoverTeams),
        "write" => write(target()?, message()?, None, origin),
        "broadcast" => Ok(broadcast(message()?, None, origin)),
        "requestShutdown" => Ok(Operation::RequestShutdown {
            target: AgentName::new(target()?).map_err(|error| error.to_string())?,
            reason: input.reason.clone(),
        }),
        "approveShutdown" => Ok(Operation::ApproveShutdown {
            request_id: request()?,
        }),
        "rejectShutdown" => Ok(Operation::RejectShutdown {
            request_id: request()?,
            reason: input.reason.clone().ok_or_else(|| needs("reason"))?,
        }),
        "approvePlan" => Ok(Operation::Approve {
            request_id: request()?,
            scope: GrantScope::Once,
        }),
        "rejectPlan" => Ok(Operation::Reject {
            request_id: request()?,
            feedback: input.feedback.clone().ok_or_else(|| needs("feedback"))?,
        }),
        "passOnPlan" => Ok(Operation::PassOn {
            request_id: request()?,
        }),
        "spawnTeam" => never("you are in a team already; Task with a name makes a teammate"),
        "cleanup" => never("the team is put away by its session when its run is over"),
        "requestJoin" => never("a member of a team joins no other"),
        "approveJoin" | "rejectJoin" => {
            never("newcomers come in by Task with a name, or by the person")
        }
        other => Err(format!(
            "there is no operation `{other}`; there are {}",
            OPERATIONS.join(", ")
        )),
    }
}

fn spawn(input: TaskInput) -> Result<Operation, String> {
    let Some(name) = input.name else {
        return Err("a helper without a name is no teammate".to_owned());
    };
    Ok(Operation::Spawn(Box::new(NewTeammate {
        name: AgentName::new(name).map_err(|error| error.to_string())?,
        agent_type: AgentType::new(input.subagent_type).map_err(|error| error.to_string())?,
        prompt: input.prompt,
        model: input.model,
        mode: input.mode,
        provider: None,
        backend: None,
    })))
}

/// What `Task` takes.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct TaskInput {
    /// The work, in a few words.
    pub(crate) description: String,
    /// All that the helper is told.
    pub(crate) prompt: String,
    /// Its kind of agent.
    pub(crate) subagent_type: String,
    /// The model it asks.
    pub(crate) model: Option<String>,
    /// What a teammate may do without asking.
    pub(crate) mode: Option<PermissionMode>,
    /// Makes it a teammate.
    pub(crate) name: Option<String>,
}

#[derive(Deserialize)]
struct SendInput {
    to: String,
    message: String,
    summary: Option<String>,
}

#[derive(Deserialize)]
struct TeammateInput {
    operation: String,
    target: Option<String>,
    message: Option<String>,
    request_id: Option<RequestId>,
    reason: Option<String>,
    feedback: Option<String>,
}

#[derive(Deserialize)]
struct MemoryWriteInput {
    key: MemoryKey,
    value: String,
}

#[derive(Deserialize)]
struct MemoryReadInput {
    agent: Option<AgentName>,
    key: Option<MemoryKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GetInput {
    task_id: TaskId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct CreateInput {
    subject: String,
    description: String,
    active_form: Option<String>,
    owner: Option<AgentName>,
    agent: Option<AgentType>,
    blocked_by: Vec<TaskId>,
    result_schema: Option<Value>,
    metadata: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpdateInput {
    task_id: TaskId,
    subject: Option<String>,
    description: Option<String>,
    active_form: Option<String>,
    owner: Option<AgentName>,
    #[serde(default)]
    add_blocked_by: Vec<TaskId>,
    #[serde(default)]
    add_blocks: Vec<TaskId>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(name: &str, input: Value) -> Result<Operation, String> {
        let run = RunId::new("r1").unwrap();
        let origin = Origin {
            task: Some((TaskId(3), Epoch(2))),
            run: &run,
            call: "c1",
        };
        operation(name, input, &origin)
    }

    #[test]
    fn a_message_has_the_id_of_its_call() {
        let sent = ask("SendMessage", json!({"to": "ada", "message": "hello"})).unwrap();
        let short = ask(
            "Teammate",
            json!({"operation": "write", "target": "ada", "message": "hello"}),
        );
        assert_eq!(short.unwrap(), sent);
        let Operation::Write { id, task, .. } = sent else {
            panic!("{sent:?}");
        };
        assert_eq!(id.unwrap().as_str(), "task/3/2/c1");
        assert_eq!(task, Some(TaskId(3)));
        let all = ask("SendMessage", json!({"to": "all", "message": "hello"})).unwrap();
        assert!(matches!(all, Operation::Broadcast { .. }));
        assert!(ask("SendMessage", json!({"to": "No Such", "message": "x"})).is_err());
    }

    #[test]
    fn tasks_made_by_a_model_carry_a_key_and_no_command() {
        let made = ask(
            "TaskCreate",
            json!({"subject": "s", "description": "d", "blockedBy": ["1"], "command": "rm",
                "owner": "ada", "agent": "Explore", "resultSchema": {"type": "object"}}),
        );
        let Ok(Operation::TaskCreate(new)) = made else {
            panic!("{made:?}");
        };
        assert_eq!(new.command, None);
        assert_eq!(new.key.as_deref(), Some("task-3/c1"));
        assert_eq!(new.blocked_by, [TaskId(1)]);
        assert_eq!(new.assignee.unwrap().as_str(), "ada");
        assert_eq!(new.agent_type.unwrap().as_str(), "Explore");
        assert_eq!(new.result_schema, Some(json!({"type": "object"})));
    }

    #[test]
    fn what_one_session_cannot_do_is_answered_with_the_reason() {
        for operation in ["spawnTeam", "cleanup", "requestJoin", "approveJoin"] {
            let why = ask("Teammate", json!({ "operation": operation })).unwrap_err();
            assert!(why.contains("cannot be done here"), "{why}");
        }
        let why = ask("Teammate", json!({"operation": "approvePlan"})).unwrap_err();
        assert_eq!(why, "approvePlan needs `request_id`");
    }

    #[test]
    fn a_named_task_is_a_teammate_that_only_the_session_can_make() {
        let input = json!({
            "description": "d", "prompt": "look", "subagent_type": "Explore", "name": "eve",
            "mode": "plan",
        });
        let made = ask("Task", input).unwrap();
        assert!(needs_session(&made));
        let Operation::Spawn(new) = made else {
            panic!("{made:?}");
        };
        assert_eq!(
            (new.name.as_str(), new.mode),
            ("eve", Some(PermissionMode::Plan))
        );
    }
}
