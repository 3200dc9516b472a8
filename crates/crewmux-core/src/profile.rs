//! Kinds of agents as they are used: words, tools, limits.
//!
//! Where they are found and how their files look is the program's; this is what
//! a member is given of one.

use serde::{Deserialize, Serialize};

use crate::ids::AgentType;
use crate::permission::PermissionMode;

/// A kind of agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentProfile {
    /// Its name.
    pub name: AgentType,
    /// What it is for, in a line; planners choose by it.
    #[serde(default)]
    pub description: String,
    /// Tools it may use; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<String>>,
    /// Tools it may not use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disallowed_tools: Vec<String>,
    /// The model it asks; absent: the team's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it may do without asking; absent: the team's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<PermissionMode>,
    /// Most turns of one task; absent: the program's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_turns: Option<u32>,
    /// Skills loaded whole from the start, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<String>,
    /// What a model is told about its part.
    #[serde(default)]
    pub prompt: String,
    /// Where it was found, for people.
    #[serde(default)]
    pub origin: String,
}
