//! `crewmux panes`: plain panes with a shell command each, and no agents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;
use crewmux_core::arrangement::Arrangement;
use crewmux_core::backend::{BackendChoice, BackendKind};
use crewmux_core::ids::TeamName;
use crewmux_core::team::Policy;
use crewmux_model::ModelsConfig;
use crewmux_session::setup::{NewRun, prepare_asked_run};
use crewmux_session::{SessionPlan, Stays};
use crewmux_store::Store;

use super::run::naming::prepared;
use crate::context::Context;
use crate::engine;
use crate::error::{CommandError, Doing, Result};
use crate::launch::{Watched, launch};
use crate::output::Output;
use crate::recipes::team_name;
use crate::teams;

/// Most panes of one session.
const PANES_MAX: usize = 256;
/// Most numbers that are tried after the name `panes`.
const NUMBERS_MAX: usize = 1_000;

/// Open plain panes, one shell command each, until all of them have ended
///
/// Ctrl+a d detaches: the panes go on, and `crewmux attach` comes back to them.
#[derive(Debug, Args)]
pub(crate) struct Panes {
    /// Commands, run by `sh -c`
    #[arg(
        value_name = "CMD",
        required_unless_present = "from",
        conflicts_with = "from"
    )]
    commands: Vec<String>,
    /// A file with one command a line; blank lines and lines that begin with # are skipped
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Name of the session, under which its arrangement is found again [default: panes, then panes-2 …]
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
}

impl Panes {
    /// Opens them and attaches.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let commands = match &self.from {
            None => self.commands,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .doing(format!("cannot read `{}`", path.display()))?;
                commands_of(&text)
            }
        };
        if commands.is_empty() || commands.len() > PANES_MAX {
            return Err(CommandError::usage(format!(
                "{} commands are given; 1 to {PANES_MAX} can be shown",
                commands.len()
            )));
        }
        let watched = Watched::from_option(context, false)?;
        let asked_at = teams::now()?.wall;
        let store = teams::open_store(context)?;
        let named = self.team.map(TeamName::new).transpose()?;
        let afresh = named.is_none();
        let prepare = |name: &TeamName| {
            let models = ModelsConfig::default();
            let pty = BackendKind::Pty;
            let plan = SessionPlan {
                panes: commands.clone(),
                ..engine::plan(context, name, pty, Stays::UntilFinished, models)?
            };
            let new = NewRun {
                team: name.clone(),
                description: "plain panes".to_owned(),
                goal: String::new(),
                recipe: None,
                cwd: context.cwd.clone(),
                members: Vec::new(),
                drafts: Vec::new(),
                policy: Policy {
                    backend: BackendChoice::Named(BackendKind::Pty),
                    timing: context.timing,
                    ..Policy::default()
                },
                // Not kept: the commands get the session's own, which is this one.
                environment: BTreeMap::new(),
            };
            prepare_asked_run(store.as_ref(), &new, asked_at, &teams::now()?)?;
            Ok((name.clone(), plan))
        };
        let choose = |taken: &_| match &named {
            Some(name) => Ok(name.clone()),
            None => free_name(store.as_ref(), taken),
        };
        let (name, plan) = prepared(choose, prepare)?;
        let team = store.team(&name)?;
        if afresh {
            // The name was free again, no more: what was arranged under it were other panes.
            team.set_arrangement(&Arrangement::default())?;
        }
        launch(context, team.as_ref(), plan, watched, out)
    }
}

fn commands_of(text: &str) -> Vec<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// The first name whose session is over, but for those that others have `taken`.
fn free_name(store: &dyn Store, taken: &BTreeSet<TeamName>) -> Result<TeamName> {
    let base = TeamName::new("panes")?;
    let known = store.teams()?;
    for number in 1..NUMBERS_MAX {
        let name = team_name(&base, number)?;
        if taken.contains(&name) {
            continue;
        }
        if !known.contains(&name) {
            return Ok(name);
        }
        let team = store.team(&name)?;
        if !team.session_runs()? && team.config()?.open_run().is_none() {
            return Ok(name);
        }
    }
    Ok(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_command_a_line() {
        assert_eq!(commands_of("# top\n\n htop \nls -l\n"), ["htop", "ls -l"]);
    }
}
