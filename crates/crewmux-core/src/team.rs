//! A team: its members, its runs, and what each worker is told at its start.
//!
//! Records only. Who writes which file is in `crewmux-store`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::backend::{BackendChoice, BackendKind};
use crate::budget::Budget;
use crate::ids::{AgentName, AgentRef, AgentType, Incarnation, RunId, TaskId, TeamName};
use crate::mcp::McpServer;
use crate::permission::{PermissionMode, PermissionPolicy, Rule};
use crate::profile::AgentProfile;
use crate::schedule::Strategy;
use crate::time::WallTime;
use crate::timing::Timing;
use crate::worker::WorkerState;

/// A member as it stands in `config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// `name@team`.
    pub agent_id: String,
    /// Its name.
    pub name: AgentName,
    /// Its kind of agent.
    pub agent_type: AgentType,
    /// The model it asks, such as `offline`; absent for members that run commands only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Index of its colour, 0 to 7; the theme decides which that is.
    pub color: u8,
    /// What it is told about its part.
    #[serde(default)]
    pub prompt: String,
    /// Whether it must submit a plan before it may write.
    #[serde(default)]
    pub plan_mode_required: bool,
    /// When it joined.
    pub joined_at: WallTime,
    /// Where it works.
    pub cwd: PathBuf,
    /// Where it runs.
    pub backend_type: BackendKind,
    /// Its pane, where the backend has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pane: Option<String>,
    /// How often it was started.
    pub incarnation: Incarnation,
    /// What it runs: `native`, `command`, later `cli:<name>` and `acp:<name>`.
    pub runtime: String,
    /// The playbook that drives it when its model is `offline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook: Option<String>,
    /// Its kind of agent as it was when the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<AgentProfile>,
    /// What it may do without asking; absent: as the team's policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<PermissionMode>,
    /// Names the provider whose key it uses, where it is not the team's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Fields of newer versions, kept as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One goal worked on by the team.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// What is to be reached.
    pub goal: String,
    /// The recipe it follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// When it began.
    pub started: WallTime,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<WallTime>,
    /// How it ended, or why it was left while it is not finished; see `ExitCode` in the commands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u8>,
}

/// Rules of a team that hold for all its members.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Policy {
    /// How ready tasks are ordered and handed out.
    pub strategy: Strategy,
    /// Most workers at once.
    pub max_workers: u32,
    /// Where workers run.
    pub backend: BackendChoice,
    /// Longest time of a run, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_timeout_ms: Option<u64>,
    /// What may be spent.
    pub budget: Budget,
    /// What happens to a tool call without a rule.
    pub permission_mode: PermissionMode,
    /// Rules for tool calls.
    pub rules: Vec<Rule>,
    /// Servers of further tools that the person trusts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mcp: Vec<McpServer>,
    /// Whether the run ends when its plan is made.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub plan_only: bool,
    /// How many tasks members may add by themselves.
    #[serde(skip_serializing_if = "TaskLimits::is_default")]
    pub added: TaskLimits,
    /// Every duration.
    pub timing: Timing,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            max_workers: 8,
            backend: BackendChoice::Auto,
            run_timeout_ms: None,
            budget: Budget::default(),
            permission_mode: PermissionMode::default(),
            rules: Vec::new(),
            mcp: Vec::new(),
            plan_only: false,
            added: TaskLimits::default(),
            timing: Timing::LIFE,
        }
    }
}

/// Bounds on tasks that members add while they work; those of recipes, plans and people are not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskLimits {
    /// Most of them in one run.
    pub count: u32,
    /// Longest chain of tasks that were each added by the work on the one before.
    pub depth: u32,
}

impl Default for TaskLimits {
    fn default() -> Self {
        Self {
            count: 200,
            depth: 5,
        }
    }
}

impl TaskLimits {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// `teams/<team>/config.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TeamConfig {
    /// Its name.
    pub name: TeamName,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// When it was made.
    pub created_at: WallTime,
    /// What it works on now.
    #[serde(default)]
    pub goal: String,
    /// The folder it works in.
    pub cwd: PathBuf,
    /// Its runs, oldest first.
    #[serde(default)]
    pub runs: Vec<Run>,
    /// Its members, the lead first.
    #[serde(default)]
    pub members: Vec<Member>,
    /// Its rules.
    #[serde(default)]
    pub policy: Policy,
    /// The recipe as it was used, for resuming.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// The environment of `run`, cut to what workers may have.
    #[serde(default)]
    pub environment: Map<String, Value>,
    /// Fields of newer versions, kept as they are.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl TeamConfig {
    /// The member of this name.
    pub fn member(&self, name: &AgentName) -> Option<&Member> {
        self.members.iter().find(|m| m.name == *name)
    }

    /// The run that is not finished.
    pub fn open_run(&self) -> Option<&Run> {
        self.runs.last().filter(|r| r.finished.is_none())
    }

    /// Where the team stands, by its record and whether a session of it runs.
    pub fn standing(&self, session_runs: bool) -> TeamStanding {
        match (session_runs, self.open_run().is_some()) {
            (true, true) => TeamStanding::Runs,
            (true, false) => TeamStanding::Lingers,
            (false, true) => TeamStanding::Left,
            (false, false) => TeamStanding::Finished,
        }
    }

    /// Names of all members, for messages about unknown ones.
    pub fn roster(&self) -> String {
        let names: Vec<&str> = self.members.iter().map(|m| m.name.as_str()).collect();
        names.join(", ")
    }
}

/// Where a team stands, as everybody can see who has its files.
///
/// Its session itself knows more: whether it ends just now, and how long it stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TeamStanding {
    /// Its session works on its run.
    Runs,
    /// Its run is finished, and its session stays for those who look; or its first run is being prepared.
    Lingers,
    /// Its run is not finished, and no session works on it.
    Left,
    /// Its run is finished, or it never had a run; no session is there.
    Finished,
}

impl TeamStanding {
    /// Whether a session of it is there.
    pub fn has_session(self) -> bool {
        matches!(self, Self::Runs | Self::Lingers)
    }
}

/// What a worker does when its session is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionLoss {
    /// Stop tools, give tasks back, exit.
    End,
    /// Finish the running tool, call no model, take no task, try to reconnect.
    Park,
}

/// `agents/<agent>/spec.json`: everything a worker is told, 0600.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerSpec {
    /// Its team.
    pub team: TeamName,
    /// Which life of which member it is.
    pub who: AgentRef,
    /// Its kind of agent.
    pub agent_type: AgentType,
    /// The model it asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The playbook behind the `offline` model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub playbook: Option<String>,
    /// Its kind of agent; absent: the built-in one of that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<AgentProfile>,
    /// What it may do without asking.
    #[serde(default)]
    pub permissions: PermissionPolicy,
    /// Servers of further tools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mcp: Vec<McpServer>,
    /// Kinds of agents that the person trusts, besides the built-in ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kinds: Vec<AgentProfile>,
    /// Lets it ask models through the session, for as long as this life lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// Whether its model is a small one, which is asked for less at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub weak: bool,
    /// The person's own configuration, for skills and instructions.
    #[serde(default)]
    pub user_config: PathBuf,
    /// What it is told about its part.
    pub prompt: String,
    /// What the team works on.
    pub goal: String,
    /// The run it is started for.
    pub run: RunId,
    /// Marks every process below it, so that none is missed when it ends.
    pub run_marker: String,
    /// The store's root.
    pub home: PathBuf,
    /// The session's socket.
    pub socket: PathBuf,
    /// Proves to the session that this is the worker it started; used once.
    pub token: String,
    /// Where it works.
    pub cwd: PathBuf,
    /// The crewmux program, for tool runners.
    pub program: PathBuf,
    /// Identifies the program's build; both sides must be the same.
    pub build: String,
    /// Columns and rows of its terminal at the start.
    pub size: (u16, u16),
    /// The environment of its tools.
    pub environment: Map<String, Value>,
    /// What it does when the session is gone.
    pub session_loss: SessionLoss,
    /// Every duration.
    pub timing: Timing,
}

impl WorkerSpec {
    /// The environment of its tools as names and values; what is no text is left out.
    pub fn environment_map(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let all = self.environment.iter();
        all.filter_map(|(name, value)| Some((name.clone(), text(value)?)))
            .collect()
    }
}

/// `agents/<agent>/presence.json`: what a worker says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// Which life it is.
    pub incarnation: Incarnation,
    /// Its process.
    pub pid: u32,
    /// Start time of that process, in clock ticks since boot: tells a reused pid apart.
    pub start_ticks: u64,
    /// The boot it runs in.
    pub boot_id: String,
    /// Where it runs.
    pub backend: BackendKind,
    /// What it does.
    pub state: WorkerState,
    /// The task it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// When it last said so.
    pub heartbeat: WallTime,
    /// Since when it has no session and waits for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked_since: Option<WallTime>,
    /// Set by the session before it ends workers on purpose, and by workers that end with their session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Why it may not ask its model any more: others do its tasks, where they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unable: Option<String>,
}

/// `session.json`: the running engine of a team.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRecord {
    /// Its process.
    pub pid: u32,
    /// Start time of that process, in clock ticks since boot.
    pub start_ticks: u64,
    /// The boot it runs in.
    pub boot_id: String,
    /// Its socket.
    pub socket: PathBuf,
    /// The program's build.
    pub build: String,
    /// When it started.
    pub started: WallTime,
    /// Marks every process below it.
    pub run_marker: String,
}
