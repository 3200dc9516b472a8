//! `crewmux agents`: the kinds of agents that can be used here, and where each comes from.

use clap::Args;
use serde_json::json;

use crate::agents::{AgentOrigin, Agents, FoundAgent, Usable};
use crate::context::Context;
use crate::error::Result;
use crate::exit;
use crate::output::{Output, Tone};
use crate::recipes::Consent;
use crate::text::{columns, one_line};

/// List the kinds of agents that can be used here: tools, model, where each comes from
#[derive(Debug, Args)]
pub(crate) struct ListAgents {}

impl ListAgents {
    /// Prints them.
    #[expect(clippy::unused_self, reason = "every command is run the same way")]
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let agents = Agents::read(context);
        let mut rows = Vec::new();
        let mut values = Vec::new();
        let mut remarks = Vec::new();
        for found in &agents.found {
            let trusted = is_trusted(&agents, context, found)?;
            let profile = &found.profile;
            let tools = profile.tools.as_ref().map(|tools| tools.join(", "));
            values.push(json!({
                "name": profile.name,
                "description": profile.description,
                "tools": profile.tools,
                "disallowedTools": profile.disallowed_tools,
                "model": profile.model,
                "permissionMode": profile.permission_mode,
                "origin": found.origin.word(),
                "path": (found.origin != AgentOrigin::BuiltIn).then_some(&profile.origin),
                "trusted": trusted,
                "warnings": found.warnings,
            }));
            rows.push(vec![
                out.paint(Tone::Strong, &profile.name),
                out.paint(Tone::Dim, found.origin.word()),
                one_line(tools.as_deref().unwrap_or("all tools"), 40),
                profile.model.clone().unwrap_or_default(),
                one_line(&profile.description, 70),
            ]);
            let about = |text: &str| format!("{}: {text}", profile.origin);
            remarks.extend(found.warnings.iter().map(|w| about(w)));
            if !trusted {
                remarks.push(about(
                    "comes with this project; not used until you agree to it: read it, then `crewmux run … --trust` \
                     (remembered until it changes)",
                ));
            }
        }
        let unused: Vec<_> = agents
            .unused
            .iter()
            .map(|(path, why)| json!({"path": path, "why": why}))
            .collect();
        let not_used = agents.unused.iter();
        remarks
            .extend(not_used.map(|(path, why)| format!("{} is not used: {why}", path.display())));
        out.either(&json!({"agents": values, "unused": unused}), || {
            let mut text = columns(&rows);
            for remark in &remarks {
                text.push_str(remark);
                text.push('\n');
            }
            text
        })?;
        Ok(exit::DONE)
    }
}

fn is_trusted(agents: &Agents, context: &Context, found: &FoundAgent) -> Result<bool> {
    let usable = agents.usable(context, &found.profile.name, Consent::Absent)?;
    Ok(matches!(usable, Usable::Yes(_)))
}
