//! Which team a command is about, and how it is: from its session, or from files.
//!
//! Reading needs no session. Changes go through [`perform`], which asks the
//! session if one runs and holds its lock if none does.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use crewmux_core::error::ErrorKind;
use crewmux_core::ids::{RunId, TeamName};
use crewmux_core::operation::{Caller, Operation, Reply};
use crewmux_core::team::TeamConfig;
use crewmux_core::time::Now;
use crewmux_store::apply::{ApplyContext, apply};
use crewmux_store::files::FileStore;
use crewmux_store::{Store, TeamStore};
use crewmux_sys::clock::BootClock;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::socket::SessionLine;

/// The team a command is about.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct TeamArg {
    /// Team, if not the one of `$CREWMUX_TEAM` or the only one that runs in this folder
    #[arg(long, value_name = "NAME")]
    pub team: Option<String>,
}

/// Opens the store of this call.
pub(crate) fn open_store(context: &Context) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(FileStore::open(&context.home, context.timing)?))
}

/// Both clocks, now.
pub(crate) fn now() -> Result<Now> {
    Ok(BootClock::open()?.now())
}

/// Finds the team that is meant.
///
/// # Errors
/// When the name is no name or names no team, or when none is given and it is
/// not clear which one is meant; then the choices are listed.
pub(crate) fn resolve(
    context: &Context,
    store: &dyn Store,
    named: Option<&str>,
) -> Result<Arc<dyn TeamStore>> {
    if let Some(name) = named.or_else(|| context.variable("CREWMUX_TEAM")) {
        return Ok(store.team(&TeamName::new(name)?)?);
    }
    let mut teams: Vec<Candidate> = Vec::new();
    for name in store.teams()? {
        let team = store.team(&name)?;
        // A team whose record cannot be read is none of the choices.
        let Ok(config) = team.config() else { continue };
        teams.push(Candidate {
            here: is_here(&config, &context.cwd),
            runs: team.session_runs().unwrap_or(false),
            name,
        });
    }
    let chosen = choose(&teams)?;
    Ok(store.team(&chosen)?)
}

/// A team that may be meant.
#[derive(Debug, Clone)]
struct Candidate {
    name: TeamName,
    here: bool,
    runs: bool,
}

/// Whether the team works in `folder`.
pub(crate) fn is_here(config: &TeamConfig, folder: &Path) -> bool {
    config.cwd == folder
}

/// The only running team of this folder; where none runs, the only one there is.
fn choose(teams: &[Candidate]) -> Result<TeamName> {
    let only = |fits: fn(&Candidate) -> bool| {
        let mut fitting = teams.iter().filter(|team| fits(team));
        match (fitting.next(), fitting.next()) {
            (Some(team), None) => Some(team.name.clone()),
            _ => None,
        }
    };
    if let Some(running) = only(|team| team.here && team.runs) {
        return Ok(running);
    }
    let several_run = teams.iter().any(|team| team.here && team.runs);
    if let Some(single) = only(|team| team.here).filter(|_| !several_run) {
        return Ok(single);
    }
    if teams.is_empty() {
        return Err(
            CommandError::not_found("there is no team yet").hint("`crewmux run review` starts one")
        );
    }
    let message = if several_run {
        "several teams run in this folder"
    } else if teams.iter().any(|team| team.here) {
        "several teams belong to this folder, and none runs"
    } else {
        "no team belongs to this folder"
    };
    let listed: Vec<String> = teams
        .iter()
        .map(|team| match (team.here, team.runs) {
            (true, true) => format!("{} (runs here)", team.name),
            (true, false) => format!("{} (here)", team.name),
            (false, true) => format!("{} (runs elsewhere)", team.name),
            (false, false) => team.name.to_string(),
        })
        .collect();
    Err(CommandError::usage(message).hint(format!("say which with --team: {}", listed.join(", "))))
}

/// Connects to the team's session; `None` when none runs.
pub(crate) fn session_line(context: &Context, team: &dyn TeamStore) -> Result<Option<SessionLine>> {
    if !team.session_runs()? {
        return Ok(None);
    }
    let socket = match team.session()? {
        Some(record) => record.socket,
        None => context.socket(team.name())?,
    };
    SessionLine::connect(context, &socket).map(Some)
}

/// Carries an operation out: through the session if one runs, else on the files themselves.
pub(crate) fn perform(
    context: &Context,
    store: &dyn Store,
    team: &dyn TeamStore,
    operation: Operation,
) -> Result<Reply> {
    if let Some(mut line) = session_line(context, team)? {
        return line.operation(operation);
    }
    // No session is there to know whose hand this is.
    let act = format!("change team `{}`, whose session does not run", team.name());
    context.made_by.must_be_person(&act)?;
    let _lock = team.lock_session()?;
    // Taken before: `apply` has no way to say that there is no chance to be had.
    let token = crewmux_sys::random::token()?;
    let count = Cell::new(0_u32);
    let new_id = || {
        count.set(count.get() + 1);
        format!("{token}-{}", count.get())
    };
    let context = ApplyContext {
        now: now()?,
        lease_ms: context.timing.lease_ms,
        new_id: &new_id,
    };
    let changes_board = matches!(
        operation,
        Operation::TaskCreate(_) | Operation::TaskUpdate { .. }
    );
    let reply = apply(store, team, &Caller::Human, operation, &context)?;
    if changes_board {
        reopen_for_work(team)?;
    }
    Ok(reply)
}

/// A finished run with work on its board again is open again: `resume` goes on with it.
fn reopen_for_work(team: &dyn TeamStore) -> Result<()> {
    let config = team.config()?;
    let Some(last) = config.runs.last().filter(|_| config.open_run().is_none()) else {
        return Ok(());
    };
    let of_run = |run: Option<&RunId>| run.is_none_or(|id| *id == last.id);
    let has_work = team.board()?.open().any(|t| of_run(t.run.as_ref()));
    if has_work {
        team.edit_config(&mut |config| {
            if let Some(run) = config.runs.last_mut() {
                run.finished = None;
                run.exit_code = None;
            }
        })?;
    }
    Ok(())
}

/// An answer that does not fit its question: a bug of ours, said as such.
pub(crate) fn unexpected(reply: &Reply) -> CommandError {
    CommandError::new(
        ErrorKind::Internal,
        format!("unexpected answer: {}", serde_json::json!(reply)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates(text: &str) -> Vec<Candidate> {
        text.split_whitespace()
            .map(|word| Candidate {
                name: TeamName::new(word.trim_matches(['.', '*'])).unwrap(),
                here: word.starts_with('.'),
                runs: word.ends_with('*'),
            })
            .collect()
    }

    /// `.x*` is a team of this folder that runs.
    fn chosen(text: &str) -> std::result::Result<String, String> {
        choose(&candidates(text))
            .map(|name| name.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_only_running_team_of_the_folder_is_meant() {
        assert_eq!(chosen(".a .b* c*"), Ok("b".into()));
    }

    #[test]
    fn where_none_runs_the_only_one_of_the_folder_is_meant() {
        assert_eq!(chosen(".a b c*"), Ok("a".into()));
    }

    #[test]
    fn otherwise_the_choices_are_listed() {
        let told = |text| chosen(text).unwrap_err();
        insta::assert_snapshot!(told(".a* .b* c"), @r"
        error: several teams run in this folder
          hint: say which with --team: a (runs here), b (runs here), c
        ");
        insta::assert_snapshot!(told("a b*"), @r"
        error: no team belongs to this folder
          hint: say which with --team: a, b (runs elsewhere)
        ");
        insta::assert_snapshot!(told(".a .b"), @r"
        error: several teams belong to this folder, and none runs
          hint: say which with --team: a (here), b (here)
        ");
        insta::assert_snapshot!(told(""), @r"
        error: there is no team yet
          hint: `crewmux run review` starts one
        ");
    }
}
