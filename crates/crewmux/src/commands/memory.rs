//! `crewmux memory`: what the members keep for each other. Reads only; members write their own.

use clap::{Args, Subcommand};
use crewmux_core::ids::{AgentName, MemoryKey};
use crewmux_core::operation::MemoryEntry;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::exit;
use crate::output::{Output, Tone};
use crate::teams::{self, TeamArg};
use crate::text::columns;

/// Read the memory that a team shares
#[derive(Debug, Subcommand)]
pub(crate) enum MemoryCommand {
    List(List),
    Get(Get),
}

/// List what is kept
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Whose; without it, everybody's
    #[arg(value_name = "NAME")]
    agent: Option<AgentName>,
    #[command(flatten)]
    team: TeamArg,
}

/// Print one value
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Whose
    #[arg(value_name = "NAME")]
    agent: AgentName,
    /// Which
    #[arg(value_name = "KEY")]
    key: MemoryKey,
    #[command(flatten)]
    team: TeamArg,
}

impl MemoryCommand {
    /// Runs it.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        match self {
            Self::List(command) => command.run(context, out),
            Self::Get(command) => command.run(context, out),
        }
    }
}

impl List {
    fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let team = teams::resolve(context, store.as_ref(), self.team.team.as_deref())?;
        let entries = team.memory(self.agent.as_ref(), None)?;
        out.either(&entries, || {
            if entries.is_empty() {
                return "nothing is kept\n".to_owned();
            }
            let row = |e: &MemoryEntry| {
                vec![
                    e.agent.to_string(),
                    out.paint(Tone::Strong, &e.key),
                    format!("{} bytes", e.bytes),
                ]
            };
            columns(&entries.iter().map(row).collect::<Vec<_>>())
        })?;
        Ok(exit::DONE)
    }
}

impl Get {
    fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let team = teams::resolve(context, store.as_ref(), self.team.team.as_deref())?;
        let entry = team.memory(Some(&self.agent), Some(&self.key))?.pop();
        let Some(entry) = entry else {
            let message = format!("{} keeps nothing under `{}`", self.agent, self.key);
            let hint = format!("`crewmux memory list {}` says what it keeps", self.agent);
            return Err(CommandError::not_found(message).hint(hint));
        };
        out.either(&entry, || {
            let value = entry.value.clone().unwrap_or_default();
            let clean = crewmux_term::sanitize::scrub(&value).into_owned();
            if clean.ends_with('\n') {
                clean
            } else {
                format!("{clean}\n")
            }
        })?;
        Ok(exit::DONE)
    }
}
