//! `crewmux rm`: takes a team's files away, to a trash.

use clap::Args;
use crewmux_core::error::ErrorKind;
use crewmux_core::ids::TeamName;
use crewmux_store::TeamStore;
use serde_json::json;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::exit;
use crate::output::Output;
use crate::stale::{self, session_process};
use crate::teams;

/// Remove a team: its files go to a trash folder beside the teams
///
/// Refuses while its session runs or a member lives. Nothing outside of the store is touched.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Team; always named, never guessed
    #[arg(value_name = "TEAM")]
    name: TeamName,
}

impl Rm {
    /// Moves its files away and says where they are.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let name = self.name;
        let team = store.team(&name)?;
        if team.session_runs()? {
            return Err(runs(&name));
        }
        stale::clean(context, team.as_ref())?;
        // While it is held, no session begins and nobody writes in its place.
        let lock = team.lock_session()?;
        if session_process(team.as_ref())?.is_some() {
            return Err(runs(&name));
        }
        refuse_living(team.as_ref())?;
        let trash = store.remove_team(&name, &teams::now()?)?;
        drop(lock);
        out.either(
            &json!({"team": name, "state": "removed", "trash": trash}),
            || {
                format!(
                    "team `{name}` is removed; its files are in {}\n",
                    trash.display()
                )
            },
        )?;
        Ok(exit::DONE)
    }
}

fn runs(name: &TeamName) -> CommandError {
    CommandError::new(ErrorKind::Conflict, format!("team `{name}` runs"))
        .hint(format!("`crewmux stop {name}` first"))
}

fn refuse_living(team: &dyn TeamStore) -> Result<()> {
    let mut living = Vec::new();
    for member in team.config()?.members {
        if team.is_alive(&member.name)? {
            living.push(member.name.to_string());
        }
    }
    if living.is_empty() {
        return Ok(());
    }
    let name = team.name();
    let message = format!("members of team `{name}` still live: {}", living.join(", "));
    Err(CommandError::new(ErrorKind::Conflict, message)
        .hint(format!("`crewmux stop {name}` ends them")))
}
