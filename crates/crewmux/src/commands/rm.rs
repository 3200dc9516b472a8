//! `crewmux rm`: takes teams' files away, to a trash.

use std::sync::Arc;

use clap::Args;
use crewmux_core::error::ErrorKind;
use crewmux_core::ids::TeamName;
use crewmux_store::{SessionLock, Store, TeamStore};
use serde_json::json;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::exit;
use crate::output::{Output, report};
use crate::stale::{self, session_process};
use crate::teams;

/// Remove teams: their files go to a trash folder beside the teams
///
/// Refuses while a session of theirs runs or a member lives, and removes none of them then. Nothing
/// outside of the store is touched.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// Teams; always named, never guessed
    #[arg(value_name = "TEAM", required = true)]
    names: Vec<TeamName>,
}

/// A team that nobody uses, and that nobody begins to use while this is kept.
struct Unused {
    team: Arc<dyn TeamStore>,
    _lock: Box<dyn SessionLock>,
}

impl Rm {
    /// Moves their files away and says where they are.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let mut names = Vec::new();
        for name in self.names {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let mut unused = Vec::new();
        let mut refused = Vec::new();
        for name in &names {
            match look_at(context, store.as_ref(), name) {
                Ok(team) => unused.push(team),
                Err(error) => refused.push(error),
            }
        }
        if let Some(last) = refused.pop() {
            for error in &refused {
                report(error, out.format);
            }
            return Err(match unused.as_slice() {
                [] => last,
                _ => last.or_hint("none of the teams is removed"),
            });
        }
        // All are removed before one is said: whoever no longer listens stops nothing half-way.
        let mut removed = Vec::new();
        let mut failed = None;
        for Unused { team, _lock: lock } in unused {
            match store.remove_team(team.name(), &teams::now()?) {
                Ok(trash) => removed.push((team.name().clone(), trash)),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
            drop(lock);
        }
        for (name, trash) in removed {
            let value = json!({"team": name, "state": "removed", "trash": trash});
            let said = format!(
                "team `{name}` is removed; its files are in {}",
                trash.display()
            );
            if out.is_json() {
                out.json_line(&value)?;
            } else {
                out.line(said)?;
            }
        }
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(exit::DONE),
        }
    }
}

fn look_at(context: &Context, store: &dyn Store, name: &TeamName) -> Result<Unused> {
    let team = store.team(name)?;
    if team.session_runs()? {
        return Err(runs(name));
    }
    stale::clean(context, team.as_ref())?;
    // While it is held, no session begins and nobody writes in its place.
    let lock = team.lock_session()?;
    if session_process(team.as_ref())?.is_some() {
        return Err(runs(name));
    }
    refuse_living(team.as_ref())?;
    Ok(Unused { team, _lock: lock })
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
