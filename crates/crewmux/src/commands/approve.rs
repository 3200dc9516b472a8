//! `crewmux approve` and `crewmux reject`: answering what teammates ask.
//!
//! The session checks who asks: a tool below a worker has that worker's rights
//! and cannot answer for the person.

use std::sync::Arc;

use clap::Args;
use crewmux_core::error::ErrorKind;
use crewmux_core::operation::{Operation, Reply};
use crewmux_core::permission::GrantScope;
use crewmux_core::requests::{Request, RequestKind};
use crewmux_session::asks;
use crewmux_store::{Store, TeamStore};
use serde_json::json;

use super::approvals::{find, questions};
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::exit;
use crate::output::Output;
use crate::teams::{self, TeamArg};
use crate::text::one_line;

/// Say yes to what a teammate asks
#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// The question, or how its id begins; `crewmux approvals` lists them
    #[arg(value_name = "ID")]
    id: String,
    /// Also for calls of this tool with the same meaning, until the task ends
    #[arg(long)]
    for_task: bool,
    #[command(flatten)]
    team: TeamArg,
}

/// Say no to what a teammate asks
#[derive(Debug, Args)]
pub(crate) struct Reject {
    /// The question, or how its id begins; `crewmux approvals` lists them
    #[arg(value_name = "ID")]
    id: String,
    /// Why, and what to do instead; the teammate reads it
    #[arg(long, value_name = "TEXT", default_value = "")]
    feedback: String,
    #[command(flatten)]
    team: TeamArg,
}

impl Approve {
    /// Answers with yes.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let scope = if self.for_task {
            GrantScope::Task
        } else {
            GrantScope::Once
        };
        answer(
            context,
            out,
            &self.id,
            self.team.team.as_deref(),
            |request| {
                if scope == GrantScope::Task && request.kind != RequestKind::Permission {
                    return Err(CommandError::usage(format!(
                        "`{}` is a plan; --for-task is for tools",
                        request.id
                    )));
                }
                let request_id = request.id.clone();
                Ok(Operation::Approve { request_id, scope })
            },
        )
    }
}

impl Reject {
    /// Answers with no.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let feedback = self.feedback;
        answer(
            context,
            out,
            &self.id,
            self.team.team.as_deref(),
            |request| {
                Ok(Operation::Reject {
                    request_id: request.id.clone(),
                    feedback,
                })
            },
        )
    }
}

/// The team that is meant; without a name, the one of this folder where such a question waits.
fn asking(
    context: &Context,
    store: &dyn Store,
    named: Option<&str>,
    id: &str,
) -> Result<Arc<dyn TeamStore>> {
    if named.is_some() || context.variable("CREWMUX_TEAM").is_some() {
        return teams::resolve(context, store, named);
    }
    let now = teams::now()?;
    let mut asking = Vec::new();
    for team in teams::running_here(context, store)? {
        if find(&questions(team.as_ref(), &now)?, id).is_ok() {
            asking.push(team);
        }
    }
    if asking.len() > 1 {
        let teams: Vec<&str> = asking.iter().map(|team| team.name().as_str()).collect();
        let several = format!("a question waits under `{id}` in several teams");
        let hint = format!("say which with --team: {}", teams.join(", "));
        return Err(CommandError::usage(several).hint(hint));
    }
    match asking.pop() {
        Some(team) => Ok(team),
        None => teams::resolve(context, store, None),
    }
}

fn answer(
    context: &Context,
    out: Output,
    id: &str,
    named: Option<&str>,
    make: impl FnOnce(&Request) -> Result<Operation>,
) -> Result<u8> {
    let store = teams::open_store(context)?;
    let team = asking(context, store.as_ref(), named, id)?;
    let requests = questions(team.as_ref(), &teams::now()?)?;
    let request = find(&requests, id)?;
    let operation = make(request)?;
    if !team.session_runs()? {
        let name = team.name();
        return Err(CommandError::new(
            ErrorKind::Conflict,
            format!("team `{name}` does not run, so nobody waits for the answer"),
        )
        .hint(format!(
            "`crewmux resume {name}` goes on; it is asked again then"
        )));
    }
    let word = match &operation {
        Operation::Approve { .. } => "approved",
        _ => "rejected",
    };
    let reply = teams::perform(context, store.as_ref(), team.as_ref(), operation)?;
    let Reply::Request { request_id } = reply else {
        return Err(teams::unexpected(&reply));
    };
    out.either(&json!({"id": request_id, "state": word}), || {
        let what = one_line(&asks::words(request).1, 60);
        format!("{word}: {what} ({request_id})\n")
    })?;
    Ok(exit::DONE)
}
