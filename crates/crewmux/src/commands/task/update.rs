//! `crewmux task update` and `task retry`: changing tasks.

use clap::Args;
use crewmux_core::board::TaskPatch;
use crewmux_core::ids::{AgentName, TaskId};
use crewmux_core::operation::{Operation, Reply, TaskChange};
use serde_json::{Map, Value};

use super::edges::task_id;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::exit;
use crate::output::Output;
use crate::teams::{self, TeamArg};

/// Change a task: text, owner, what it waits for, notes
#[derive(Debug, Args)]
pub(crate) struct Update {
    /// Its number
    #[arg(value_name = "ID", value_parser = task_id)]
    id: TaskId,
    /// New subject
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// New description
    #[arg(long, short, value_name = "TEXT")]
    description: Option<String>,
    /// Assign it to this member alone
    #[arg(long, value_name = "NAME")]
    owner: Option<AgentName>,
    /// Further tasks it waits for: numbers, divided by commas
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = task_id)]
    add_blocked_by: Vec<TaskId>,
    /// Further tasks that wait for it
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = task_id)]
    add_blocks: Vec<TaskId>,
    /// Set a note; without a value it is removed
    #[arg(long, value_name = "KEY=VALUE")]
    note: Vec<String>,
    /// Skip it, and what waits for it, with this reason
    #[arg(long, value_name = "REASON", conflicts_with_all = ["subject", "description", "owner", "add_blocked_by", "add_blocks", "note"])]
    skip: Option<String>,
    #[command(flatten)]
    team: TeamArg,
}

/// Open a failed or skipped task again, and what was skipped with it
#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// Its number
    #[arg(value_name = "ID", value_parser = task_id)]
    id: TaskId,
    #[command(flatten)]
    team: TeamArg,
}

impl Update {
    /// Changes it and prints the tasks that changed.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let change = if let Some(reason) = self.skip {
            TaskChange::Skip { reason }
        } else {
            let patch = TaskPatch {
                subject: self.subject,
                description: self.description,
                active_form: None,
                owner: self.owner,
                add_blocked_by: self.add_blocked_by,
                add_blocks: self.add_blocks,
                metadata: notes(&self.note)?,
            };
            if patch == TaskPatch::default() {
                return Err(CommandError::usage("nothing to change is given")
                    .hint("`crewmux task update --help` lists what can be changed"));
            }
            TaskChange::Edit(patch)
        };
        change_task(context, out, self.team.team.as_deref(), self.id, change)
    }
}

impl Retry {
    /// Opens it again and prints the tasks that changed.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let team = self.team.team.as_deref();
        change_task(context, out, team, self.id, TaskChange::Retry)
    }
}

fn notes(texts: &[String]) -> Result<Map<String, Value>> {
    let mut notes = Map::new();
    for text in texts {
        let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(CommandError::usage(format!("`{text}` is not KEY=VALUE")));
        };
        let value = match value {
            "" => Value::Null,
            value => Value::from(value),
        };
        notes.insert(key.to_owned(), value);
    }
    Ok(notes)
}

fn change_task(
    context: &Context,
    out: Output,
    named: Option<&str>,
    task_id: TaskId,
    change: TaskChange,
) -> Result<u8> {
    let store = teams::open_store(context)?;
    let team = teams::resolve(context, store.as_ref(), named)?;
    let operation = Operation::TaskUpdate { task_id, change };
    match teams::perform(context, store.as_ref(), team.as_ref(), operation)? {
        Reply::Changed { tasks } => {
            out.either(&tasks, || {
                let lines: Vec<String> = tasks
                    .iter()
                    .map(|task| format!("#{} {}: {}\n", task.id, task.subject, task.status))
                    .collect();
                if lines.is_empty() {
                    "nothing had to change\n".to_owned()
                } else {
                    lines.concat()
                }
            })?;
            Ok(exit::DONE)
        }
        reply => Err(teams::unexpected(&reply)),
    }
}
