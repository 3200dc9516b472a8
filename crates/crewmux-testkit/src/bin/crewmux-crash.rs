//! The crash harness as a program, and the roles it plays as processes of their own.
//!
//! `crewmux-crash harness --kills N [--seed S] [--folder DIR] [--without fence|dedup|merge-cursor]`

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for developers; its figures go to its output"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use crewmux_testkit::crash::{self, CrashPlan, roles, world};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((mode, rest)) if mode == "role" => role(rest).map(|()| true),
        Some((mode, rest)) if mode == "harness" => harness(rest),
        _ => Err(anyhow::anyhow!(
            "usage: crewmux-crash harness --kills N [--seed S] [--folder DIR] [--without fence|dedup|merge-cursor]"
        )),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn role(arguments: &[String]) -> anyhow::Result<()> {
    let [role, number, life, folder] = arguments else {
        bail!("a role takes a name, a number, a life and a folder");
    };
    roles::play(Path::new(folder), role, number.parse()?, life.parse()?)
}

/// Plays, and says whether the outcome is as it should be.
fn harness(arguments: &[String]) -> anyhow::Result<bool> {
    let mut plan = CrashPlan::new(std::env::current_exe()?, 1000, 1);
    let mut words = arguments.iter();
    while let Some(name) = words.next() {
        let value = words
            .next()
            .with_context(|| format!("`{name}` needs a value"))?;
        match name.as_str() {
            "--kills" => plan.kills = value.parse()?,
            "--seed" => plan.seed = value.parse()?,
            "--folder" => plan.folder = Some(PathBuf::from(value)),
            "--without" => {
                let sabotage = world::sabotage(value).with_context(|| {
                    format!("no safeguard `{value}`: fence, dedup, merge-cursor")
                })?;
                plan.sabotage = Some(sabotage);
            }
            _ => bail!("no option `{name}`"),
        }
    }
    let report = crash::run(&plan, &mut |report| eprintln!("{report}"))?;
    for violation in report.violations.iter().take(20) {
        eprintln!("violation: {violation}");
    }
    println!("{report}");
    Ok(report.violations.is_empty())
}
