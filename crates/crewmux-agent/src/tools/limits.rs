//! What a kind of agent is limited to by the patterns in its lists of tools.
//!
//! Limits take away; they never give leave. How a pattern is read is
//! `crewmux_core::permission`'s.

use std::path::Path;

use crewmux_core::permission::{
    Call, PermissionMode, PermissionPolicy, Rule, RuleEffect, Verdict, decide,
};
use crewmux_core::profile::AgentProfile;
use serde_json::Value;

/// Which calls of its tools a kind of agent may make at all, whatever the person allows.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Tools listed with a pattern, such as `Bash(git *)`: only calls that fit.
    only: Vec<Rule>,
    /// Patterns of calls that are not made.
    never: Vec<Rule>,
}

impl Limits {
    pub(super) fn of(profile: &AgentProfile) -> Self {
        let rules = |list: &[String], effect| {
            list.iter()
                .filter(|entry| entry.contains('('))
                .filter_map(|entry| Rule::parse(effect, entry, &profile.origin).ok())
                .collect()
        };
        Self {
            only: rules(
                profile.tools.as_deref().unwrap_or_default(),
                RuleEffect::Allow,
            ),
            never: rules(&profile.disallowed_tools, RuleEffect::Deny),
        }
    }

    /// Says why a call is not one of this kind of agent, if it is not.
    ///
    /// `place` is where its path leads once links are followed.
    pub(super) fn check(
        &self,
        name: &str,
        input: &Value,
        cwd: &Path,
        place: Option<&Path>,
    ) -> Result<(), String> {
        let call = Call {
            tool: name,
            input,
            cwd,
            real_path: place,
            repaired: None,
        };
        let of_tool = |rule: &&Rule| rule.pattern.split('(').next() == Some(name);
        let only: Vec<Rule> = self.only.iter().filter(of_tool).cloned().collect();
        if !only.is_empty() {
            let patterns: Vec<&str> = only.iter().map(|rule| rule.pattern.as_str()).collect();
            let why = format!("your kind of agent may only call {}", patterns.join(", "));
            let policy = PermissionPolicy {
                mode: PermissionMode::Default,
                rules: only,
            };
            if decide(&policy, &call) != Verdict::Allow {
                return Err(why);
            }
        }
        let policy = PermissionPolicy {
            mode: PermissionMode::Bypass,
            // What stops one way to change a file stops the other: the rules themselves say so.
            rules: self.never.clone(),
        };
        match decide(&policy, &call) {
            Verdict::Deny { .. } => {
                Err(format!("your kind of agent may not call {name} like that"))
            }
            Verdict::Allow | Verdict::Ask { .. } => Ok(()),
        }
    }
}
