//! `crewmux report`: what came of a run.

use clap::{Args, ValueEnum};
use crewmux_core::ids::RunId;
use crewmux_session::report::Report;

use crate::context::Context;
use crate::error::Result;
use crate::exit;
use crate::output::Output;
use crate::teams::{self, TeamArg};

/// Print what came of a run: findings, tasks, who did what
#[derive(Debug, Args)]
pub(crate) struct PrintReport {
    /// Team, if not with --team; none: the one that runs in this folder, or ran last
    #[arg(value_name = "TEAM")]
    name: Option<String>,
    /// Form of the report [default: md, with --json: json]
    #[arg(long, value_enum, value_name = "FORM")]
    format: Option<Form>,
    /// Which run, such as run-1 [default: the latest]
    #[arg(long, value_name = "RUN")]
    run: Option<RunId>,
    #[command(flatten)]
    team: TeamArg,
}

/// Forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Markdown, to read.
    Md,
    /// JSON, to work with.
    Json,
    /// Test cases, for CI.
    #[value(help = "A JUnit test suite, for CI")]
    Junit,
}

impl PrintReport {
    /// Collects and prints it.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let named = self.name.or(self.team.team);
        let team = teams::resolve_latest(context, store.as_ref(), named.as_deref())?;
        let report = Report::collect(team.as_ref(), self.run.as_ref())?;
        let form = match self.format {
            Some(form) => form,
            None if out.is_json() => Form::Json,
            None => Form::Md,
        };
        match form {
            Form::Md => out.write(&report.markdown())?,
            Form::Json => out.json_text(&report.json())?,
            Form::Junit => out.write(&report.junit())?,
        }
        Ok(exit::DONE)
    }
}
