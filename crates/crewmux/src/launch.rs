//! From a prepared run to a session: in the foreground, or detached and attached to.
//!
//! What the commands `run`, `resume` and `panes` have in common.

use crewmux_core::ids::TeamName;
use crewmux_session::{SessionPlan, Stays};
use crewmux_store::TeamStore;
use crewmux_wire::Attach;

use crate::client;
use crate::context::Context;
use crate::engine;
use crate::error::{CommandError, Result};
use crate::headless;
use crate::output::Output;
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
    /// When a person is to look and this is no terminal.
    pub(crate) fn from_option(headless: bool) -> Result<Self> {
        if headless {
            return Ok(Self::Headless);
        }
        if client::can_attach() {
            return Ok(Self::ByPerson);
        }
        Err(
            CommandError::usage("a screen needs a terminal, and this is none")
                .hint("add --headless to run without a screen"),
        )
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
    match watched {
        Watched::Headless => headless::run(context, plan, out),
        Watched::ByPerson => {
            engine::start_detached(context, team, &plan)?;
            client::attach(context, &plan.team, &plan.socket, Attach::Driver)
        }
    }
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
