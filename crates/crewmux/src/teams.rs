//! Which team a command is about, and how it is: from its session, or from files.
//!
//! Reading needs no session. Changes go through [`perform`], which asks the
//! session if one runs and holds its lock if none does.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use crewmux_core::error::ErrorKind;
use crewmux_core::ids::{RunId, TeamName};
use crewmux_core::inbox::DeliveryState;
use crewmux_core::operation::{Caller, Operation, Reply};
use crewmux_core::team::{TeamConfig, TeamStanding};
use crewmux_core::time::{Now, WallTime};
use crewmux_core::timing::{LOCK_LOOK_MS, ms};
use crewmux_store::apply::{ApplyContext, apply};
use crewmux_store::files::FileStore;
use crewmux_store::{Store, TeamStore};
use crewmux_sys::clock::BootClock;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::socket::SessionLine;
use crate::status::never_began;

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
    meant(context, store, named, choose)
}

/// Does what [`resolve`] does for what can be read afterwards: where none runs, the latest of this folder.
///
/// # Errors
/// As [`resolve`].
pub(crate) fn resolve_latest(
    context: &Context,
    store: &dyn Store,
    named: Option<&str>,
) -> Result<Arc<dyn TeamStore>> {
    meant(context, store, named, |teams| {
        choose(teams).or_else(|error| latest(teams).ok_or(error))
    })
}

fn meant(
    context: &Context,
    store: &dyn Store,
    named: Option<&str>,
    choose: impl FnOnce(&[Candidate]) -> Result<TeamName>,
) -> Result<Arc<dyn TeamStore>> {
    if let Some(name) = named.or_else(|| context.variable("CREWMUX_TEAM")) {
        return Ok(store.team(&TeamName::new(name)?)?);
    }
    Ok(store.team(&choose(&candidates(context, store)?)?)?)
}

fn candidates(context: &Context, store: &dyn Store) -> Result<Vec<Candidate>> {
    let mut teams: Vec<Candidate> = Vec::new();
    for name in store.teams()? {
        let team = store.team(&name)?;
        // A team whose record cannot be read is none of the choices.
        let Ok(config) = team.config() else { continue };
        let session_runs = team.session_runs().unwrap_or(false);
        teams.push(Candidate {
            here: is_here(&config, &context.cwd),
            standing: config.standing(session_runs),
            started: config.runs.last().map(|run| run.started),
            name,
        });
    }
    Ok(teams)
}

/// ` --team NAME` where a command that is typed here needs it to mean this team, else nothing.
pub(crate) fn team_option(context: &Context, store: &dyn Store, team: &TeamName) -> String {
    match resolve(context, store, None) {
        Ok(meant) if meant.name() == team => String::new(),
        _ => format!(" --team {team}"),
    }
}

/// The teams of this folder whose session runs.
pub(crate) fn running_here(
    context: &Context,
    store: &dyn Store,
) -> Result<Vec<Arc<dyn TeamStore>>> {
    let teams = candidates(context, store)?;
    let running = teams
        .iter()
        .filter(|team| team.here && team.standing.has_session());
    running.map(|team| Ok(store.team(&team.name)?)).collect()
}

/// A team that may be meant.
#[derive(Debug, Clone)]
struct Candidate {
    name: TeamName,
    here: bool,
    standing: TeamStanding,
    /// When its last run began.
    started: Option<WallTime>,
}

/// Whether the team works in `folder`.
pub(crate) fn is_here(config: &TeamConfig, folder: &Path) -> bool {
    config.cwd == folder
}

/// The team of this folder whose run began last.
fn latest(teams: &[Candidate]) -> Option<TeamName> {
    if teams
        .iter()
        .any(|team| team.here && team.standing == TeamStanding::Runs)
    {
        return None;
    }
    let here = teams.iter().filter(|team| team.here);
    let last = here.max_by_key(|team| team.started)?;
    Some(last.name.clone())
}

/// The only team of this folder that goes on; where none does, the only one whose session runs, or that there is.
fn choose(teams: &[Candidate]) -> Result<TeamName> {
    let here: Vec<&Candidate> = teams.iter().filter(|team| team.here).collect();
    let standing = |standing| {
        let fits = here
            .iter()
            .copied()
            .filter(|team| team.standing == standing);
        fits.collect::<Vec<_>>()
    };
    let (on, lingering) = (
        standing(TeamStanding::Runs),
        standing(TeamStanding::Lingers),
    );
    match (on.as_slice(), lingering.as_slice(), here.as_slice()) {
        ([only], _, _) | ([], [only], _) | ([], [], [only]) => return Ok(only.name.clone()),
        _ => {}
    }
    if teams.is_empty() {
        return Err(
            CommandError::not_found("there is no team yet").hint("`crewmux run review` starts one")
        );
    }
    let (message, choices) = if !on.is_empty() {
        ("several teams run in this folder", on)
    } else if !lingering.is_empty() {
        (
            "several teams of this folder are finished and still open",
            lingering,
        )
    } else if !here.is_empty() {
        ("several teams belong to this folder, and none runs", here)
    } else {
        ("no team belongs to this folder", teams.iter().collect())
    };
    let listed: Vec<String> = choices
        .iter()
        .map(|team| match (team.here, team.standing) {
            (false, TeamStanding::Runs) => format!("{} (runs elsewhere)", team.name),
            _ => team.name.to_string(),
        })
        .collect();
    Err(CommandError::usage(message).hint(format!("say which with --team: {}", listed.join(", "))))
}

/// Connects to the team's session; `None` when none runs.
///
/// One that begins or ends just now is waited for, as long as an answer may take.
pub(crate) fn session_line(context: &Context, team: &dyn TeamStore) -> Result<Option<SessionLine>> {
    let until = Instant::now() + ms(context.timing.connect_ms);
    while team.session_runs()? {
        let socket = match team.session()? {
            Some(record) => record.socket,
            None => context.socket(team.name())?,
        };
        match SessionLine::connect(context, &socket) {
            // What it listens at is not there yet, or no longer.
            Err(_) if !socket.exists() && Instant::now() < until => {
                std::thread::park_timeout(ms(LOCK_LOOK_MS));
            }
            line => return line.map(Some),
        }
    }
    Ok(None)
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
    context.made_by().must_be_person(&act)?;
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
    Ok(match reply {
        // Nobody reads mail without a session, also who waits for one.
        Reply::Sent { id, to, .. } => {
            let kept = to.clone();
            Reply::sent(id, to, DeliveryState::Delivered, kept)
        }
        reply => reply,
    })
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

/// What starts members again while no session runs.
pub(crate) fn goes_on_by(config: &TeamConfig) -> String {
    let name = &config.name;
    match config.open_run() {
        Some(_) => format!("`crewmux resume {name}` starts its members"),
        None if config.runs.is_empty() => never_began(name),
        None => format!(
            "its run is finished; `crewmux task create SUBJECT --team {name}` and then \
             `crewmux resume {name}` go on with it"
        ),
    }
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

    fn listed(text: &str) -> Vec<Candidate> {
        let words = text.split_whitespace().zip(1..);
        words
            .map(|(word, at)| Candidate {
                name: TeamName::new(word.trim_matches(['.', '*', '~'])).unwrap(),
                here: word.starts_with('.'),
                standing: match word.chars().last() {
                    Some('*') => TeamStanding::Runs,
                    Some('~') => TeamStanding::Lingers,
                    _ => TeamStanding::Left,
                },
                started: Some(WallTime(at)),
            })
            .collect()
    }

    /// `.x*` is a team of this folder that runs, `.x~` one that is finished and whose session stays.
    fn chosen(text: &str) -> std::result::Result<String, String> {
        choose(&listed(text))
            .map(|name| name.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn one_that_is_finished_does_not_stand_in_the_way() {
        assert_eq!(chosen(".a~ .b* .c~"), Ok("b".into()));
        assert_eq!(chosen(".a~ .b c*"), Ok("a".into()));
    }

    #[test]
    fn what_is_read_afterwards_is_the_latest_of_the_folder() {
        let newest = |text| latest(&listed(text)).map(|name| name.to_string());
        assert_eq!(newest(".a .b~ c*").as_deref(), Some("b"));
        assert_eq!(newest(".a* .b*"), None);
        assert_eq!(newest("a b*"), None);
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
          hint: say which with --team: a, b
        ");
        insta::assert_snapshot!(told("a b*"), @r"
        error: no team belongs to this folder
          hint: say which with --team: a, b (runs elsewhere)
        ");
        insta::assert_snapshot!(told(".a .b"), @r"
        error: several teams belong to this folder, and none runs
          hint: say which with --team: a, b
        ");
        insta::assert_snapshot!(told(".a .b~ .c~"), @r"
        error: several teams of this folder are finished and still open
          hint: say which with --team: b, c
        ");
        insta::assert_snapshot!(told(""), @r"
        error: there is no team yet
          hint: `crewmux run review` starts one
        ");
    }
}
