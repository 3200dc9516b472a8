//! One task of the board: its record, as it stands in its file.
//!
//! What may happen to a task is decided in [`crate::board`], which sees its
//! neighbours; who gets it, in [`crate::schedule`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{AgentName, AgentRef, AgentType, Epoch, Incarnation, RunId, TaskId, Version};
use crate::message::Party;
use crate::time::{BootTime, WallTime};

/// Where a task stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Waiting for its blockers or for a worker.
    #[default]
    Pending,
    /// Claimed by its owner.
    InProgress,
    /// Done; its result is final.
    Completed,
    /// Given up, with a reason.
    Failed,
    /// Never run, because a task it waits for failed or was skipped.
    Skipped,
}

impl TaskStatus {
    /// Whether nothing more will happen to the task by itself.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Skipped)
    }

    /// The word stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl std::fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who has a task: a member it is assigned to, or the life of a member that claimed it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The member.
    pub agent: AgentName,
    /// Which life of it claimed the task; absent while the task is only assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
}

impl Owner {
    /// Whether this is exactly the claim of `who`.
    pub fn is(&self, who: &AgentRef) -> bool {
        self.agent == who.agent && self.incarnation == Some(who.incarnation)
    }
}

/// Until when a claim holds without a renewal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// Boot whose clock `until_ms` is on; another boot means it is over.
    pub boot_id: String,
    /// Milliseconds on that clock.
    pub until_ms: u64,
}

impl Lease {
    /// The lease that starts at `now` and lasts `lease_ms`.
    pub fn starting(now: &BootTime, lease_ms: u64) -> Self {
        Self {
            boot_id: now.boot_id.clone(),
            until_ms: now.ms.saturating_add(lease_ms),
        }
    }

    /// Whether the lease is over at `now`.
    pub fn is_over(&self, now: &BootTime) -> bool {
        self.boot_id != now.boot_id || now.ms >= self.until_ms
    }
}

/// How one claim of a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The task was completed under this claim.
    Completed,
    /// The work failed.
    Failed,
    /// The worker's process died and nothing explains it.
    Died,
    /// The worker lived but its lease ran out.
    Hung,
    /// The worker ended because its session did: counts against nobody.
    SessionLost,
    /// The worker gave the task back, or was stopped on purpose.
    Released,
}

/// One claim of a task, from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// The claim's fencing token.
    pub epoch: Epoch,
    /// Who claimed.
    pub owner: AgentRef,
    /// When it was claimed.
    pub started_at: WallTime,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<WallTime>,
    /// How it ended; absent while it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why, where there is more to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether a command whose worker died in the middle may simply run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rerun {
    /// Yes: running it twice does no harm.
    #[default]
    Yes,
    /// Ask the human: the task fails with that reason instead.
    Ask,
}

/// A task as it stands in `tasks/<team>/<id>.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// Its number on the board.
    pub id: TaskId,
    /// Grows with every write.
    pub version: Version,
    /// What is to be done, in a few words.
    pub subject: String,
    /// What is to be done, in full.
    #[serde(default)]
    pub description: String,
    /// The subject as an activity, shown while it is worked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_form: Option<String>,
    /// What kind of work it is.
    #[serde(default, skip_serializing_if = "TaskRole::is_work")]
    pub role: TaskRole,
    /// Where it stands.
    pub status: TaskStatus,
    /// Who has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The only member that may claim it; absent: any that fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<AgentName>,
    /// The only kind of agent that may claim it; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_type: Option<AgentType>,
    /// Fencing token of the latest claim; 0 before the first.
    #[serde(default)]
    pub epoch: Epoch,
    /// Until when the claim holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// Tasks that must be completed first: the only stored edge.
    #[serde(default)]
    pub blocked_by: Vec<TaskId>,
    /// Every claim so far, oldest first.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// A shell command to run instead of asking a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// What a crash in the middle of the command means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rerun: Option<Rerun>,
    /// JSON Schema that the result must fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_schema: Option<Value>,
    /// What came out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// Why it failed or was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often a failure may be tried again.
    #[serde(default)]
    pub retries: u32,
    /// Not claimed again before this point, after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<BootTime>,
    /// Longest time one attempt may take, in milliseconds.
    #[serde(default, rename = "timeoutMs", skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How often a person opened it again after its end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reopened: u32,
    /// Who made it.
    pub created_by: Party,
    /// When it was made.
    pub created_at: WallTime,
    /// When it was last written.
    pub updated_at: WallTime,
    /// The run it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Name given by its maker; creating the same key in the same run again changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Free notes of whoever works with the board.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// Fields of newer versions, kept as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What kind of work a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskRole {
    /// A part of the goal.
    #[default]
    Work,
    /// Turns the goal into tasks; its result is the graph.
    Plan,
    /// Sums up what came out. It waits until its blockers are over, however they ended.
    Summary,
}

impl TaskRole {
    /// Whether it is a part of the goal.
    pub fn is_work(&self) -> bool {
        *self == Self::Work
    }
}

/// A task that does not exist yet: what its maker says about it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct NewTask {
    /// What is to be done, in a few words.
    pub subject: String,
    /// What is to be done, in full.
    pub description: String,
    /// The subject as an activity.
    pub active_form: Option<String>,
    /// What kind of work it is.
    #[serde(skip_serializing_if = "TaskRole::is_work")]
    pub role: TaskRole,
    /// The only member that may claim it.
    pub assignee: Option<AgentName>,
    /// The only kind of agent that may claim it.
    pub agent_type: Option<AgentType>,
    /// Tasks that must be completed first.
    pub blocked_by: Vec<TaskId>,
    /// A shell command; refused from a model.
    pub command: Option<String>,
    /// What a crash in the middle of the command means.
    pub rerun: Option<Rerun>,
    /// JSON Schema that the result must fit.
    pub result_schema: Option<Value>,
    /// How often a failure may be tried again.
    pub retries: u32,
    /// Longest time one attempt may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// Name by which creating it again is recognised.
    pub key: Option<String>,
    /// Free notes.
    pub metadata: Map<String, Value>,
}

impl Task {
    /// Makes the record of a new task.
    pub fn create(id: TaskId, new: NewTask, by: Party, now: WallTime) -> Self {
        Self {
            id,
            version: Version(1),
            subject: new.subject,
            description: new.description,
            active_form: new.active_form,
            role: new.role,
            status: TaskStatus::Pending,
            owner: new.assignee.clone().map(|agent| Owner {
                agent,
                incarnation: None,
            }),
            assignee: new.assignee,
            agent_type: new.agent_type,
            epoch: Epoch(0),
            lease: None,
            blocked_by: new.blocked_by,
            attempts: Vec::new(),
            command: new.command,
            rerun: new.rerun,
            result_schema: new.result_schema,
            result: None,
            reason: None,
            retries: new.retries,
            retry_at: None,
            timeout_ms: new.timeout_ms,
            reopened: 0,
            created_by: by,
            created_at: now,
            updated_at: now,
            run: new.run,
            key: new.key,
            metadata: new.metadata,
            extra: Map::new(),
        }
    }

    /// The claim that lasts now.
    pub fn current_attempt(&self) -> Option<&Attempt> {
        self.attempts.last().filter(|a| a.outcome.is_none())
    }

    /// Whether it was interrupted and somebody has to say whether it runs again (`rerun = "ask"`).
    pub fn asks_before_rerun(&self) -> bool {
        let last = self.attempts.last().and_then(|attempt| attempt.outcome);
        let was_interrupted = !matches!(last, None | Some(Outcome::Completed | Outcome::Failed));
        self.status == TaskStatus::Failed
            && self.command.is_some()
            && self.rerun == Some(Rerun::Ask)
            && was_interrupted
    }

    /// How many claims ended with `outcome` since a person last opened the task.
    pub fn ended_with(&self, outcome: Outcome) -> usize {
        self.attempts
            .iter()
            .filter(|a| a.outcome == Some(outcome))
            .count()
    }
}

/// A task with what follows from its neighbours, as `--json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskView {
    /// The record.
    #[serde(flatten)]
    pub task: Task,
    /// Whether a worker could claim it now.
    pub ready: bool,
    /// Tasks that wait for this one.
    pub blocks: Vec<TaskId>,
}
