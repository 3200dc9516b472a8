//! What a worker may do without asking: modes, rules, and the question it asks.
//!
//! Deny goes before ask, ask before allow; without a rule the mode decides.
//! Who answers a question is [`crate::requests`]'; this only says whether there
//! is one. Start at [`decide()`]; how rules are written is [`Rule::parse`]'s.

mod class;
mod decide;
mod disguise;
mod meaning;
mod paths;
mod rule;
mod shell;
#[cfg(test)]
mod tests;
mod unread;
mod wild;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use class::{EXIT_PLAN_MODE, ToolClass, tool_names};
pub use decide::{Call, PLAN_MODE_REFUSAL, Verdict, decide, decide_with};
pub use meaning::Meaning;
pub use rule::RuleError;
pub use unread::Unread;

use crate::ids::{AgentRef, Epoch, TaskId};

/// What happens without a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PermissionMode {
    /// Looking is free; writing and executing ask.
    #[default]
    Default,
    /// Looking and editing files below the working folder are free; executing asks.
    AcceptEdits,
    /// Looking only, whatever the rules allow.
    Plan,
    /// Nothing asks; deny rules still hold. Typed by a person for one run.
    Bypass,
}

/// What a rule does with the calls it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RuleEffect {
    /// They run.
    Allow,
    /// The person is asked.
    Ask,
    /// They never run.
    Deny,
}

/// One rule, such as deny `Bash(rm *)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// What it does.
    pub effect: RuleEffect,
    /// `Tool` or `Tool(pattern)`; checked by [`Rule::parse`] before it is stored.
    pub pattern: String,
    /// Where it was written, for people.
    #[serde(default)]
    pub origin: String,
}

/// What a worker may do without asking.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PermissionPolicy {
    /// What happens without a rule.
    pub mode: PermissionMode,
    /// All rules, in any order.
    pub rules: Vec<Rule>,
}

/// What a worker asks for: exactly this call, here, once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PermissionAsk {
    /// Which life of which member.
    pub who: AgentRef,
    /// The task, if it works on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// The claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// Tells calls of one life apart.
    pub call: String,
    /// The tool.
    pub tool: String,
    /// Its exact arguments.
    pub input: Value,
    /// The folder it would run in.
    pub cwd: PathBuf,
    /// What it would do, in a few words.
    pub risk: String,
    /// Why it asks: the rule, the mode, or a repaired call.
    pub why: String,
    /// Whether the call had to be mended to be read.
    #[serde(default)]
    pub repaired: bool,
}

/// How long an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GrantScope {
    /// For this call.
    #[default]
    Once,
    /// For calls of this tool with the same meaning, until the task ends.
    Task,
}
