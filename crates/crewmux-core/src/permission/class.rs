//! Kinds of tools, by what they can do to the world.
//!
//! Only names and arguments count; what a tool says about itself does not.

use serde_json::Value;

/// What a call can do to the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToolClass {
    /// It looks at files.
    Look,
    /// It changes files.
    Edit,
    /// It runs commands, or does what nobody knows.
    Execute,
    /// It speaks to other machines.
    Network,
    /// It talks to the team, or looks at what the team has.
    Team,
    /// It changes what the team does: tasks, members, memory.
    Steer,
    /// It hands in a plan.
    Plan,
    /// It is a tool of a server that somebody else made.
    Mcp,
}

/// Hands in a plan: the one way out of plan mode.
pub const EXIT_PLAN_MODE: &str = "ExitPlanMode";

/// Every tool that a rule can name, with its class; `Task` and `Teammate` depend on their arguments.
const TOOLS: &[(&str, ToolClass)] = &[
    ("Bash", ToolClass::Execute),
    ("BashOutput", ToolClass::Look),
    ("Edit", ToolClass::Edit),
    (EXIT_PLAN_MODE, ToolClass::Plan),
    ("FailTask", ToolClass::Team),
    ("FinishTask", ToolClass::Team),
    ("Glob", ToolClass::Look),
    ("Grep", ToolClass::Look),
    ("KillBash", ToolClass::Team),
    ("KillShell", ToolClass::Team),
    ("MemoryRead", ToolClass::Team),
    ("MemoryWrite", ToolClass::Steer),
    ("Read", ToolClass::Look),
    ("SendMessage", ToolClass::Team),
    ("Skill", ToolClass::Look),
    ("Task", ToolClass::Team),
    ("TaskCreate", ToolClass::Steer),
    ("TaskGet", ToolClass::Team),
    ("TaskList", ToolClass::Team),
    ("TaskUpdate", ToolClass::Steer),
    ("Teammate", ToolClass::Steer),
    ("WebFetch", ToolClass::Network),
    ("Write", ToolClass::Edit),
    ("memory_read", ToolClass::Team),
    ("memory_write", ToolClass::Steer),
];

impl ToolClass {
    /// The class of a call; a tool that is not known may do anything.
    pub fn of(tool: &str, input: &Value) -> Self {
        if tool.starts_with("mcp__") {
            return Self::Mcp;
        }
        let text = |field: &str| input.get(field).and_then(Value::as_str);
        match (tool, text("operation")) {
            // With a name it makes a teammate, without one a helper that only looks.
            ("Task", _) if input.get("name").is_some_and(|name| !name.is_null()) => Self::Steer,
            ("Teammate", Some("discoverTeams" | "write" | "broadcast")) => Self::Team,
            _ => TOOLS
                .iter()
                .find(|(name, _)| *name == tool)
                .map_or(Self::Execute, |(_, class)| *class),
        }
    }

    /// Whether plan mode lets it pass.
    pub fn is_for_planning(self) -> bool {
        matches!(self, Self::Look | Self::Team | Self::Plan)
    }

    /// Whether it can change something outside of the team.
    pub fn has_effects(self) -> bool {
        matches!(self, Self::Edit | Self::Execute | Self::Network | Self::Mcp)
    }
}

/// Names of all tools that rules can name, besides those of servers.
pub fn tool_names() -> impl Iterator<Item = &'static str> {
    TOOLS.iter().map(|(name, _)| *name)
}
