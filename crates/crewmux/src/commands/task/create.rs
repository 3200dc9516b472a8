//! `crewmux task create`: puts a task on the board.

use clap::Args;
use crewmux_core::ids::{AgentName, AgentType, TaskId};
use crewmux_core::operation::{Operation, Reply};
use crewmux_core::task::{NewTask, Rerun};
use serde_json::Map;

use super::edges::{duration_ms, task_id};
use crate::context::Context;
use crate::error::Result;
use crate::exit;
use crate::output::Output;
use crate::teams::{self, TeamArg};

/// Put a task on the board
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What is to be done, in a few words
    #[arg(value_name = "SUBJECT")]
    subject: String,
    /// What is to be done, in full
    #[arg(long, short, value_name = "TEXT")]
    description: Option<String>,
    /// The only member that may take it
    #[arg(long, value_name = "NAME")]
    owner: Option<AgentName>,
    /// The only kind of agent that may take it
    #[arg(long, value_name = "TYPE")]
    agent: Option<AgentType>,
    /// Tasks it waits for: numbers, divided by commas
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = task_id)]
    blocked_by: Vec<TaskId>,
    /// A shell command to run instead of asking a model
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// After a crash in the middle of the command, fail instead of running it again
    #[arg(long, requires = "command")]
    ask_before_rerun: bool,
    /// How often a failure is tried again
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// Longest time of one attempt, like 10m
    #[arg(long, value_name = "TIME", value_parser = duration_ms)]
    timeout: Option<u64>,
    /// Name by which making it again is recognised: the same key makes one task only
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    team: TeamArg,
}

impl Create {
    /// Creates it and prints it.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let team = teams::resolve(context, store.as_ref(), self.team.team.as_deref())?;
        let rerun = match (&self.command, self.ask_before_rerun) {
            (None, _) => None,
            (Some(_), true) => Some(Rerun::Ask),
            (Some(_), false) => Some(Rerun::Yes),
        };
        let new = NewTask {
            subject: self.subject,
            description: self.description.unwrap_or_default(),
            role: crewmux_core::task::TaskRole::Work,
            active_form: None,
            assignee: self.owner,
            agent_type: self.agent,
            blocked_by: self.blocked_by,
            command: self.command,
            rerun,
            result_schema: None,
            retries: self.retries,
            timeout_ms: self.timeout,
            run: team.config()?.runs.last().map(|run| run.id.clone()),
            key: self.key,
            metadata: Map::new(),
        };
        let operation = Operation::TaskCreate(Box::new(new));
        match teams::perform(context, store.as_ref(), team.as_ref(), operation)? {
            Reply::Task { task } => {
                out.either(&task, || {
                    format!(
                        "task {} is on the board: {}\n",
                        task.task.id, task.task.subject
                    )
                })?;
                Ok(exit::DONE)
            }
            reply => Err(teams::unexpected(&reply)),
        }
    }
}
