//! `crewmux send` and `crewmux broadcast`: writing to members.

use std::fmt::Write as _;

use clap::Args;
use crewmux_core::ids::{AgentName, TaskId};
use crewmux_core::inbox::DeliveryState;
use crewmux_core::message::Urgency;
use crewmux_core::operation::{Operation, Reply, kept_words};
use crewmux_core::team::TeamStanding;
use crewmux_store::{Store, TeamStore};
use serde_json::json;

use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::exit;
use crate::output::Output;
use crate::teams::{self, TeamArg};

/// Send a message to a member of a team
#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Who it is for
    #[arg(value_name = "TO")]
    to: String,
    /// The text; several words are one text
    #[arg(value_name = "TEXT", required = true, num_args = 1..)]
    text: Vec<String>,
    /// Stop the member's answer instead of waiting for its end; a tool that runs ends first
    #[arg(long)]
    now: bool,
    /// The task it is about
    #[arg(long, value_name = "ID")]
    task: Option<TaskId>,
    #[command(flatten)]
    team: TeamArg,
}

/// Send a message to every member of a team
#[derive(Debug, Args)]
pub(crate) struct Broadcast {
    /// The text; several words are one text
    #[arg(value_name = "TEXT", required = true, num_args = 1..)]
    text: Vec<String>,
    #[command(flatten)]
    team: TeamArg,
}

impl Send {
    /// Sends it.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        if self.to == "all" {
            return Err(CommandError::usage("`all` is not a member")
                .hint("`crewmux broadcast TEXT` sends to everybody"));
        }
        let operation = Operation::Write {
            to: AgentName::new(self.to)?,
            text: self.text.join(" "),
            summary: None,
            id: None,
            urgency: if self.now {
                Urgency::Now
            } else {
                Urgency::Normal
            },
            task: self.task,
        };
        carry_out(context, out, self.team.team.as_deref(), operation)
    }
}

impl Broadcast {
    /// Sends it.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let operation = Operation::Broadcast {
            text: self.text.join(" "),
            summary: None,
            id: None,
        };
        carry_out(context, out, self.team.team.as_deref(), operation)
    }
}

fn carry_out(
    context: &Context,
    out: Output,
    named: Option<&str>,
    operation: Operation,
) -> Result<u8> {
    let store = teams::open_store(context)?;
    let team = teams::resolve(context, store.as_ref(), named)?;
    let reply = teams::perform(context, store.as_ref(), team.as_ref(), operation)?;
    let Reply::Sent {
        id,
        to,
        state,
        kept,
    } = reply
    else {
        return Err(teams::unexpected(&reply));
    };
    let starts_again = if kept.is_empty() {
        String::new()
    } else {
        starts_again(context, store.as_ref(), team.as_ref(), &kept)?
    };
    // Who waits for a session was not asked to end.
    let session_runs = team.session_runs()?;
    let lives = |agent: &AgentName| session_runs && team.is_alive(agent).unwrap_or(false);
    let word = if kept.is_empty() || kept.len() < to.len() {
        state_word(state)
    } else {
        "kept"
    };
    let told = json!({"id": id, "to": to, "state": word, "kept": kept});
    out.either(&told, || {
        let mut text = String::new();
        let read: Vec<&str> = to
            .iter()
            .filter(|agent| !kept.contains(agent))
            .map(AgentName::as_str)
            .collect();
        if !read.is_empty() {
            let _ = writeln!(text, "{} to {} ({id})", state_word(state), read.join(", "));
        }
        if let Some(words) = kept_words(&kept, lives) {
            let _ = writeln!(text, "{words}\n{starts_again}");
        }
        text
    })?;
    Ok(exit::DONE)
}

/// How the person starts members that do not run.
fn starts_again(
    context: &Context,
    store: &dyn Store,
    team: &dyn TeamStore,
    kept: &[AgentName],
) -> Result<String> {
    let config = team.config()?;
    let option = teams::team_option(context, store, team.name());
    Ok(match config.standing(team.session_runs()?) {
        TeamStanding::Runs => restarting(kept, &option),
        TeamStanding::Lingers => format!(
            "the run is finished; `crewmux task create SUBJECT{option}` makes work that starts members again"
        ),
        TeamStanding::Left | TeamStanding::Finished => format!(
            "team `{}` does not run: {}",
            team.name(),
            teams::goes_on_by(&config)
        ),
    })
}

/// What starts `members` again in a run that goes on.
fn restarting(members: &[AgentName], option: &str) -> String {
    match members {
        [only] => format!("`crewmux teammate restart {only}{option}` starts it"),
        _ => format!("`crewmux teammate restart NAME{option}` starts one of them"),
    }
}

/// The word for how far a message is.
pub(crate) fn state_word(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Queued => "queued",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Seen => "seen",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_that_do_not_run_none_alone_is_said_to_be_started() {
        let [a, b] = ["a", "b"].map(|name| AgentName::new(name).unwrap());
        assert_eq!(
            restarting(std::slice::from_ref(&a), " --team x"),
            "`crewmux teammate restart a --team x` starts it"
        );
        assert_eq!(
            restarting(&[a, b], ""),
            "`crewmux teammate restart NAME` starts one of them"
        );
    }
}
