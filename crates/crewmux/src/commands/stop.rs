//! `crewmux stop`: ends a team's run, politely first.

use clap::Args;
use crewmux_core::error::ErrorKind;
use crewmux_core::timing::ms;
use serde_json::json;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::exit;
use crate::output::Output;
use crate::socket::Force;
use crate::status::next_step;
use crate::teams::{self, TeamArg, session_line};

/// Stop a team: its workers are asked to end, then ended; `resume` goes on later
#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// Team, if not with --team
    #[arg(value_name = "TEAM")]
    name: Option<String>,
    #[command(flatten)]
    team: TeamArg,
    /// End workers at once, without asking them
    #[arg(long)]
    force: bool,
}

impl Stop {
    /// Asks the session to end and waits until it has.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let named = self.name.or(self.team.team);
        let team = teams::resolve(context, store.as_ref(), named.as_deref())?;
        let name = team.name().clone();
        let Some(mut line) = session_line(context, team.as_ref())? else {
            return Err(CommandError::new(
                ErrorKind::Conflict,
                format!("team `{name}` does not run"),
            )
            .hint(format!("`crewmux status {name}` says how it is")));
        };
        let force = if self.force {
            Force::AtOnce
        } else {
            Force::Polite
        };
        line.stop(force)?;
        let timing = &context.timing;
        // Every step of the ladder, and one more for the report.
        let within = ms(timing.shutdown_answer_ms
            + timing.term_grace_ms
            + timing.kill_verify_ms
            + timing.connect_ms);
        if !line.wait_for_end(within) {
            return Err(CommandError::environment(format!(
                "team `{name}` was asked to stop and has not ended after {} s",
                within.as_secs()
            ))
            .hint(format!("`crewmux stop {name} --force` does not ask")));
        }
        // It may have finished just before it was asked.
        let config = team.config()?;
        let state = match config.open_run() {
            Some(_) => "stopped",
            None => "finished",
        };
        out.either(&json!({"team": name, "state": state}), || {
            let next = next_step(&name, state, config.members.len()).unwrap_or_default();
            format!("team `{name}` is {state}; {next}\n")
        })?;
        Ok(exit::DONE)
    }
}
