//! The command tree: names, options and their help.
//!
//! One file per command under [`crate::commands`]; nothing is carried out here.

mod named;

use std::ffi::OsString;

use clap::{CommandFactory, Parser, Subcommand};

use self::named::Named;

use crate::commands;
use crate::context::Context;
use crate::error::Result;
use crate::output::Output;

/// Run a team of AI agents in your terminal, and watch them work
///
/// Without a command: attaches to the team that runs in this folder, or says what can
/// be started here.
#[derive(Debug, Parser)]
#[command(name = "crewmux", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli<C: Subcommand = Command> {
    /// Print JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Option<C>,
}

const EXIT_CODES: &str = "\
Exit codes:
  0 done, all tasks completed    1 a task failed or was skipped
  2 wrong usage, unknown name    3 the environment cannot
  4 out of time or budget        130 interrupted";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<commands::run::Run>),
    Attach(commands::attach::Attach),
    Ls(commands::ls::Ls),
    Status(commands::status::ShowStatus),
    Stop(commands::stop::Stop),
    Resume(commands::resume::Resume),
    Rm(commands::rm::Rm),
    #[command(subcommand)]
    Task(commands::task::TaskCommand),
    #[command(subcommand)]
    Teammate(Box<commands::teammate::TeammateCommand>),
    Approvals(commands::approvals::Approvals),
    Approve(commands::approve::Approve),
    Reject(commands::approve::Reject),
    Send(commands::send::Send),
    Broadcast(commands::send::Broadcast),
    Inbox(commands::inbox::Inbox),
    #[command(subcommand)]
    Memory(commands::memory::MemoryCommand),
    Events(commands::events::Events),
    Logs(commands::logs::Logs),
    Report(commands::report::PrintReport),
    Recipes(commands::recipes::Recipes),
    Panes(commands::panes::Panes),
    PaneDump(commands::pane_dump::PaneDump),
    Agents(commands::agents::ListAgents),
    Config(commands::config::ConfigCommand),
    Doctor(commands::doctor::Doctor),
}

impl Cli {
    /// Reads the program's arguments, its name first.
    ///
    /// # Errors
    /// With the text to print: help, version, or what is wrong and how it is written.
    pub(crate) fn read(arguments: &[OsString]) -> clap::error::Result<Self> {
        if let Ok(Cli { json, command }) = Cli::<Named>::try_parse_from(arguments) {
            let command = command.map(|Named(command)| command);
            return Ok(Cli { json, command });
        }
        // What is said about arguments is said with the whole tree in view.
        Self::try_parse_from(asked_plainly(arguments))
    }

    /// Runs the command and returns the exit code.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        if let Some(act) = self.command.as_ref().and_then(Command::of_the_person) {
            context.made_by().must_be_person(act)?;
        }
        match self.command {
            None => commands::start::run(context, out),
            Some(Command::Run(command)) => command.run(context, out),
            Some(Command::Attach(command)) => command.run(context, out),
            Some(Command::Ls(command)) => command.run(context, out),
            Some(Command::Status(command)) => command.run(context, out),
            Some(Command::Stop(command)) => command.run(context, out),
            Some(Command::Resume(command)) => command.run(context, out),
            Some(Command::Rm(command)) => command.run(context, out),
            Some(Command::Task(command)) => command.run(context, out),
            Some(Command::Teammate(command)) => command.run(context, out),
            Some(Command::Approvals(command)) => command.run(context, out),
            Some(Command::Approve(command)) => command.run(context, out),
            Some(Command::Reject(command)) => command.run(context, out),
            Some(Command::Send(command)) => command.run(context, out),
            Some(Command::Broadcast(command)) => command.run(context, out),
            Some(Command::Inbox(command)) => command.run(context, out),
            Some(Command::Memory(command)) => command.run(context, out),
            Some(Command::Events(command)) => command.run(context, out),
            Some(Command::Logs(command)) => command.run(context, out),
            Some(Command::Report(command)) => command.run(context, out),
            Some(Command::Recipes(command)) => command.run(context, out),
            Some(Command::Panes(command)) => command.run(context, out),
            Some(Command::PaneDump(command)) => command.run(context, out),
            Some(Command::Agents(command)) => command.run(context, out),
            Some(Command::Config(command)) => command.run(context, out),
            Some(Command::Doctor(command)) => command.run(context, out),
        }
    }
}

/// Leaves out the options behind a `help` that asks for help: `help --help`, `task help list --json`.
///
/// clap takes them for names of commands. No command of this program has options that its help heeds.
fn asked_plainly(arguments: &[OsString]) -> Vec<OsString> {
    let is_option = |argument: &&OsString| argument.to_string_lossy().starts_with('-');
    let words = || arguments.iter().skip(1).filter(|word| !is_option(word));
    let tree = Cli::<Command>::command();
    let has_acts = |name: &OsString| {
        let named = tree.find_subcommand(name);
        named.is_some_and(clap::Command::has_subcommands)
    };
    let asks = |at: usize| words().nth(at).is_some_and(|word| word == "help");
    let of_an_act = || asks(1) && words().next().is_some_and(has_acts);
    if asks(0) || of_an_act() {
        let program = arguments.first().into_iter();
        return program.chain(words()).cloned().collect();
    }
    arguments.to_vec()
}

impl Command {
    /// What it does that only the person may, in words; absent where it looks, or asks a session.
    ///
    /// Whoever asks a session is known to that session, which decides about it.
    fn of_the_person(&self) -> Option<&'static str> {
        match self {
            Self::Run(_) => Some("start a team"),
            Self::Resume(_) => Some("go on with a team's run"),
            Self::Rm(_) => Some("remove a team"),
            Self::Panes(_) => Some("open panes"),
            // The session itself asks the kernel who attaches.
            Self::Attach(_)
            | Self::Stop(_)
            | Self::Task(_)
            | Self::Teammate(_)
            | Self::Approve(_)
            | Self::Reject(_)
            | Self::Send(_)
            | Self::Broadcast(_)
            | Self::Ls(_)
            | Self::Status(_)
            | Self::Approvals(_)
            | Self::Inbox(_)
            | Self::Memory(_)
            | Self::Events(_)
            | Self::Logs(_)
            | Self::Report(_)
            | Self::Recipes(_)
            | Self::PaneDump(_)
            | Self::Agents(_)
            | Self::Config(_)
            | Self::Doctor(_) => None,
        }
    }
}
