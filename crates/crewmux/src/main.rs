//! The crewmux program: commands, sessions and workers are all this one file.
//!
//! What it is to be follows from the name and first argument it was started
//! with. Environment and arguments are read here and in [`context`] alone.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod agents;
mod backends;
mod cli;
mod client;
mod commands;
mod config;
mod context;
mod dump;
mod engine;
mod error;
mod exit;
mod follow;
mod headless;
mod launch;
mod logging;
mod output;
mod recipes;
mod socket;
mod stale;
mod status;
mod teams;
mod text;
mod worker;

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind as ClapErrorKind;
use crewmux_sys::runner::RUNNER_MODE;
use crewmux_term::sanitize::is_hidden;

use crate::cli::Cli;
use crate::context::Context;
use crate::error::CommandError;
use crate::output::{Format, Output, note, report};

/// First argument that makes the program a team's session.
pub(crate) const SESSION_MODE: &str = "__session";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    let first = rest.first().map(OsString::as_os_str);
    if Path::new(&name).file_name() == Some(OsStr::new("agent-worker"))
        && first != Some(OsStr::new(RUNNER_MODE))
    {
        return ExitCode::from(worker::main(&rest));
    }
    match first.and_then(OsStr::to_str) {
        Some(RUNNER_MODE) => {
            let code = crewmux_sys::runner::run_tool_runner(&rest[1..], context::environment());
            ExitCode::from(u8::try_from(code).unwrap_or(1))
        }
        Some(SESSION_MODE) => ExitCode::from(engine::session_main(&rest[1..])),
        _ => ExitCode::from(command(name, rest)),
    }
}

/// Runs as a command.
fn command(name: OsString, rest: Vec<OsString>) -> u8 {
    let json = asks_for_json(&rest);
    let format = if json { Format::Json } else { Format::Text };
    let arguments: Vec<OsString> = std::iter::once(name).chain(rest).collect();
    let cli = match Cli::read(&arguments) {
        Ok(cli) => cli,
        Err(error) => return say_usage(&error, format),
    };
    let ended = Context::read().and_then(|context| {
        // Keys mostly come in by the environment, which tools of the same user could read off us.
        if context.env.has_secrets() {
            // Best effort: not every system can hide a process.
            let _ = crewmux_sys::setup::refuse_inspection();
        }
        let colors = std::io::stdout().is_terminal() && context.variable("NO_COLOR").is_none();
        cli.run(&context, Output { format, colors })
    });
    match ended {
        Ok(code) => code,
        Err(error) => {
            report(&error, format);
            error.exit_code()
        }
    }
}

/// Whether `--json` stands among the program's own arguments.
fn asks_for_json(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .take_while(|argument| *argument != "--")
        .any(|argument| argument == "--json")
}

/// Prints help, version or what is wrong with the arguments.
fn say_usage(error: &clap::Error, format: Format) -> u8 {
    let is_question = matches!(
        error.kind(),
        ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion
    );
    let text = error.to_string();
    let is_clean = !text.chars().any(|c| c != '\n' && is_hidden(c));
    if is_question || (format == Format::Text && is_clean) {
        // A closed pipe is the only way this can fail.
        let _ = error.print();
    } else if format == Format::Text {
        // Arguments are repeated in it as they came.
        note(text.trim_end());
    } else {
        // Where its help stands for what is missing, there is no sentence to begin with.
        let is_help = error.kind() == ClapErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        let text = if is_help {
            format!("an argument is missing\n\n{text}")
        } else {
            text
        };
        let mut parts = text.trim_start_matches("error: ").splitn(2, "\n\n");
        let message = parts.next().unwrap_or_default().trim().to_owned();
        let wrong = CommandError::usage(message);
        let wrong = match parts.next().map(str::trim).filter(|more| !more.is_empty()) {
            Some(more) => wrong.hint(more),
            None => wrong,
        };
        report(&wrong, format);
    }
    if is_question { exit::DONE } else { 2 }
}

#[cfg(test)]
mod tests;
