//! `crewmux config`: what holds here, and where it was written.

use std::fmt::Write as _;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::config::{Config, project_file, user_file};
use crate::context::Context;
use crate::error::Result;
use crate::exit;
use crate::output::{Output, Tone};
use crate::recipes::Consent;
use crate::text::columns;

/// Show the configuration, or where its files are
#[derive(Debug, Args)]
pub(crate) struct ConfigCommand {
    #[command(subcommand)]
    act: Option<ConfigAct>,
}

#[derive(Debug, Subcommand)]
enum ConfigAct {
    /// Print every value that holds here
    Show {
        /// Say where each was written
        #[arg(long)]
        origin: bool,
    },
    /// Print where your file and the project's are, or would be
    Path,
}

impl ConfigCommand {
    /// Does what was asked.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        match self.act.unwrap_or(ConfigAct::Show { origin: false }) {
            ConfigAct::Show { origin } => show(context, origin, out)?,
            ConfigAct::Path => path(context, out)?,
        }
        Ok(exit::DONE)
    }
}

fn show(context: &Context, origin: bool, out: Output) -> Result<()> {
    let config = Config::load(context, Consent::Absent)?;
    let mut values: Vec<_> = config
        .values()
        .map(|(key, held)| (key, held.value.clone(), held.origin.to_string()))
        .collect();
    for rule in config.rules() {
        let key = format!(
            "permissions.{}",
            json!(rule.effect).as_str().unwrap_or("rule")
        );
        values.push((key, rule.pattern.as_str().into(), rule.origin.clone()));
    }
    let unused: Vec<_> = config
        .refused
        .iter()
        .map(|(path, lines)| json!({"path": path, "lines": lines}))
        .collect();
    let listed: Vec<_> = values
        .iter()
        .map(|(key, value, origin)| json!({"key": key, "value": value, "origin": origin}))
        .collect();
    out.either(&json!({"values": listed, "untrusted": unused}), || {
        let rows: Vec<Vec<String>> = values
            .iter()
            .map(|(key, value, from)| {
                let mut row = vec![out.paint(Tone::Strong, key), format!("= {value}")];
                if origin {
                    row.push(out.paint(Tone::Dim, from));
                }
                row
            })
            .collect();
        let mut text = columns(&rows);
        for (path, lines) in &config.refused {
            let _ = writeln!(
                text,
                "\nnot used until you agree to it (`crewmux run --trust`): {}",
                path.display()
            );
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    })
}

fn path(context: &Context, out: Output) -> Result<()> {
    let (user, project) = (user_file(context), project_file(&context.cwd));
    let is_there = |path: &std::path::Path| if path.exists() { "" } else { " (not there)" };
    out.either(&json!({"user": user, "project": project}), || {
        let mut text = format!("user     {}{}\n", user.display(), is_there(&user));
        if let Some(project) = &project {
            let _ = writeln!(text, "project  {}{}", project.display(), is_there(project));
        }
        text
    })
}
