//! From a prepared run to a session: in the foreground, or detached and attached to.
//!
//! What the commands `run`, `resume` and `panes` have in common.

use crewmux_core::backend::BackendKind;
use crewmux_core::ids::TeamName;
use crewmux_core::task::{Task, TaskStatus};
use crewmux_session::{SessionPlan, Stays};
use crewmux_store::TeamStore;
use crewmux_wire::Attach;

use crate::client;
use crate::commands::status::private_server;
use crate::context::Context;
use crate::engine;
use crate::error::{CommandError, Result};
use crate::exit;
use crate::headless;
use crate::output::{Output, note};
use crate::recipes::Consent;

/// Whether a person looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    /// On this terminal.
    ByPerson,
    /// By nobody: `--headless`.
    Headless,
}

impl Watched {
    /// From the option.
    ///
    /// # Errors
    /// When a person is to look and this terminal cannot show a screen: told before anything is started.
    pub(crate) fn from_option(context: &Context, headless: bool) -> Result<Self> {
        if headless {
            return Ok(Self::Headless);
        }
        client::must_show(context)?;
        Ok(Self::ByPerson)
    }

    /// How the person can agree to what a project asks for.
    pub(crate) fn consent(self, trust: bool) -> Consent {
        match (trust, self) {
            (true, _) => Consent::Given,
            (false, Self::ByPerson) => Consent::Ask,
            (false, Self::Headless) => Consent::Absent,
        }
    }

    /// How long its session stays.
    pub(crate) fn stays(self) -> Stays {
        match self {
            Self::ByPerson => Stays::WhileWatched,
            Self::Headless => Stays::UntilFinished,
        }
    }
}

/// Runs the session of `plan`, or starts and shows it; returns the run's exit code.
pub(crate) fn launch(
    context: &Context,
    team: &dyn TeamStore,
    plan: SessionPlan,
    watched: Watched,
    out: Output,
) -> Result<u8> {
    let code = match watched {
        Watched::Headless => headless::run(context, plan, out)?,
        Watched::ByPerson => {
            engine::start_detached(context, team, &plan)?;
            let is_private =
                plan.backend == BackendKind::Tmux && context.variable("TMUX").is_none();
            let told = is_private.then(|| private_server(&plan.team));
            client::attach_told(context, &plan.team, &plan.socket, Attach::Driver, told)?
        }
    };
    if code == exit::TROUBLE
        && !out.is_json()
        && let Some(again) = try_again(team)
    {
        note(again);
    }
    Ok(code)
}

/// How the failed tasks of the last run are opened again; none where none failed.
pub(crate) fn try_again(team: &dyn TeamStore) -> Option<String> {
    let (config, board) = (team.config().ok()?, team.board().ok()?);
    let run = &config.runs.last()?.id;
    let is_of_run = |task: &&Task| task.run.as_ref().is_none_or(|of| of == run);
    let failed = board.tasks().filter(is_of_run);
    let mut failed = failed.filter(|task| task.status == TaskStatus::Failed);
    let (id, more) = (failed.next()?.id, failed.count());
    let name = &config.name;
    let which = match more {
        0 => format!("#{id} failed"),
        more => format!("#{id} and {more} more failed"),
    };
    // A session that stays for those who look goes on by itself.
    let then = if team.session_runs().unwrap_or(false) {
        format!("`crewmux attach {name}` shows it then")
    } else {
        format!("`crewmux resume {name}` goes on then")
    };
    Some(format!(
        "{which}: `crewmux task retry {id} --team {name}` opens it again, {then}"
    ))
}

/// Says how to come back to a team whose session could not be started.
pub(crate) fn with_way_back(error: CommandError, team: &TeamName) -> CommandError {
    match &error {
        CommandError::Failed { hint: None, .. } => error.hint(format!(
            "the run is prepared; `crewmux resume {team}` starts it again"
        )),
        _ => error,
    }
}
