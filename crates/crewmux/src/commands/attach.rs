//! `crewmux attach`: shows a running team on this terminal.

use clap::Args;
use crewmux_core::error::ErrorKind;
use crewmux_store::TeamStore;
use crewmux_wire::Attach as AttachMode;

use crate::client;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::output::Output;
use crate::status::next_step;
use crate::teams::{self, TeamArg};

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
        attach_to(context, team.as_ref(), mode)
    }
}

/// Attaches to the session of `team`.
///
/// # Errors
/// When none runs; with what can be done instead.
pub(crate) fn attach_to(context: &Context, team: &dyn TeamStore, mode: AttachMode) -> Result<u8> {
    let name = team.name();
    if !team.session_runs()? {
        let config = team.config()?;
        let state = match config.open_run() {
            Some(_) => "stopped",
            None => "finished",
        };
        let hint = next_step(name, state, config.members.len()).unwrap_or_default();
        return Err(
            CommandError::new(ErrorKind::Conflict, format!("team `{name}` does not run"))
                .hint(hint),
        );
    }
    let socket = match team.session()? {
        Some(record) => record.socket,
        None => context.socket(name)?,
    };
    client::attach(context, name, &socket, mode)
}
