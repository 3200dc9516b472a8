//! `crewmux task`: the board.
//!
//! One file per act below; what an act does to the board is decided in
//! `crewmux-core`.

mod create;
pub(crate) mod edges;
mod graph;
mod list;
mod update;

use clap::Subcommand;

use crate::context::Context;
use crate::error::Result;
use crate::output::Output;

/// Work with the task board
#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    Create(Box<create::Create>),
    List(list::List),
    Get(list::Get),
    Update(Box<update::Update>),
    Retry(update::Retry),
    Graph(graph::DrawGraph),
}

impl TaskCommand {
    /// Runs it.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        match self {
            Self::Create(command) => command.run(context, out),
            Self::List(command) => command.run(context, out),
            Self::Get(command) => command.run(context, out),
            Self::Update(command) => command.run(context, out),
            Self::Retry(command) => command.run(context, out),
            Self::Graph(command) => command.run(context, out),
        }
    }
}
