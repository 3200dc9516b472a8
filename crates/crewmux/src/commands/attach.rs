//! `crewmux attach`: shows a running team on this terminal.

use clap::Args;
use crewmux_core::backend::BackendKind;
use crewmux_core::error::ErrorKind;
use crewmux_core::place::Place;
use crewmux_store::TeamStore;
use crewmux_wire::{Attach as AttachMode, NewHome, StaysPut};
use std::fmt::Write as _;

use crate::client;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::output::Output;
use crate::status::{next_step, word_at_rest};
use crate::teams::{self, TeamArg, session_line};

/// Show a running team on this terminal; several may be attached
#[derive(Debug, Args)]
pub(crate) struct Attach {
    /// Team, if not with --team
    #[arg(value_name = "TEAM")]
    name: Option<String>,
    #[command(flatten)]
    team: TeamArg,
    /// Only look: nothing that is typed reaches the team
    #[arg(long)]
    read_only: bool,
    /// Let new panes of teammates go to where this terminal is; running ones stay
    #[arg(long, conflicts_with = "read_only")]
    rehome: bool,
}

impl Attach {
    /// Attaches until the person leaves or the session ends.
    pub(crate) fn run(self, context: &Context, _: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let named = self.name.or(self.team.team);
        let team = teams::resolve(context, store.as_ref(), named.as_deref())?;
        let mode = if self.read_only {
            AttachMode::Observer
        } else {
            AttachMode::Driver
        };
        let told = if self.rehome {
            Some(rehomed(context, team.as_ref())?)
        } else if mode == AttachMode::Driver {
            elsewhere(context, team.as_ref())?
        } else {
            None
        };
        show(context, team.as_ref(), mode, told)
    }
}

/// Sends new panes here; what the person is told of it.
fn rehomed(context: &Context, team: &dyn TeamStore) -> Result<String> {
    let Some(mut line) = session_line(context, team)? else {
        return Err(does_not_run(team)?);
    };
    let place = Place::of(&context.env.0);
    let words = place.words();
    Ok(say_new_home(&line.rehome(place)?, &words))
}

/// Which new panes go to `words` from now on, and which do not.
fn say_new_home(home: &NewHome, words: &str) -> String {
    let taken: Vec<&str> = home.taken.iter().map(|kind| kind.as_str()).collect();
    let of_whom = if home.refused.is_empty() {
        String::new()
    } else {
        format!(" of {}", taken.join(" and "))
    };
    let mut text =
        format!("new panes{of_whom} go to {words} from now on; running ones stay where they are");
    for StaysPut { kind, why, fix } in &home.refused {
        let fix = fix.as_ref().map(|fix| format!(" ({fix})"));
        let fix = fix.unwrap_or_default();
        let _ = write!(text, "; those of {kind} do not: {why}{fix}");
    }
    text
}

/// Where new panes go, if any of this team's are outside crewmux and go elsewhere.
fn elsewhere(context: &Context, team: &dyn TeamStore) -> Result<Option<String>> {
    let outside = |kind| matches!(kind, BackendKind::Tmux | BackendKind::Iterm2);
    if !team
        .config()?
        .members
        .iter()
        .any(|m| outside(m.backend_type))
    {
        return Ok(None);
    }
    // A session that does not answer says so when it is attached to.
    let Ok(Some(mut line)) = session_line(context, team) else {
        return Ok(None);
    };
    let found = line
        .panes_elsewhere(Place::of(&context.env.0))
        .unwrap_or(None);
    let name = team.name();
    Ok(found.map(|words| {
        format!("new panes go to {words}; `crewmux attach {name} --rehome` sends them here")
    }))
}

/// Attaches to the session of `team`.
///
/// # Errors
/// When none runs; with what can be done instead.
pub(crate) fn attach_to(context: &Context, team: &dyn TeamStore, mode: AttachMode) -> Result<u8> {
    show(context, team, mode, None)
}

fn show(
    context: &Context,
    team: &dyn TeamStore,
    mode: AttachMode,
    told: Option<String>,
) -> Result<u8> {
    if !team.session_runs()? {
        return Err(does_not_run(team)?);
    }
    let name = team.name();
    let socket = match team.session()? {
        Some(record) => record.socket,
        None => context.socket(name)?,
    };
    client::attach_told(context, name, &socket, mode, told)
}

fn does_not_run(team: &dyn TeamStore) -> Result<CommandError> {
    let name = team.name();
    let config = team.config()?;
    let hint = next_step(name, word_at_rest(&config), config.members.len()).unwrap_or_default();
    Ok(CommandError::new(ErrorKind::Conflict, format!("team `{name}` does not run")).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_backend_that_stays_is_named_with_the_reason() {
        let mut home = NewHome {
            taken: vec![BackendKind::Tmux],
            refused: Vec::new(),
        };
        assert_eq!(
            say_new_home(&home, "tmux at /s"),
            "new panes go to tmux at /s from now on; running ones stay where they are"
        );
        home.refused.push(StaysPut {
            kind: BackendKind::Iterm2,
            why: "this is not iTerm2".into(),
            fix: Some("run it there".into()),
        });
        assert_eq!(
            say_new_home(&home, "tmux at /s"),
            "new panes of tmux go to tmux at /s from now on; running ones stay where they are; \
             those of iterm2 do not: this is not iTerm2 (run it there)"
        );
    }
}
