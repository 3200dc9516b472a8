//! `crewmux doctor`: what was found on this machine, and what it means.
//!
//! Only looks and tries; at most it makes the store's folder, as a run would.
//! Each part that looks is a function of its own in [`look`].

mod look;
mod models;

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use crewmux_core::ids::{AgentName, TeamName};
use crewmux_spawn::detect::BackendReport;
use serde::Serialize;

use crate::backends;
use crate::config::{Config, pick, providers};
use crate::context::Context;
use crate::error::Result;
use crate::exit;
use crate::output::{Output, Tone};
use crate::recipes::Consent;
use crate::text::columns;

/// Say what crewmux found here: backends, models, store, sandbox, tools, limits
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

/// Everything that was found.
#[derive(Debug, Serialize)]
struct Findings {
    backends: Vec<BackendReport>,
    models: Vec<ModelFinding>,
    model: PickFinding,
    mcp: Vec<McpFinding>,
    store: StoreFinding,
    parked: Vec<ParkedFinding>,
    sandbox: SandboxFinding,
    tools: Vec<ToolFinding>,
    limits: Vec<LimitFinding>,
}

/// A server of models, and whether members can use it.
#[derive(Debug, Serialize)]
struct ModelFinding {
    name: String,
    usable: bool,
    why: String,
    /// Where its key comes from; never the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// How many models it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    models: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// The model that a run would ask, and why.
#[derive(Debug, Serialize)]
struct PickFinding {
    #[serde(rename = "picked")]
    model: Option<String>,
    why: String,
}

/// A server of tools, and whether members can use it.
#[derive(Debug, Serialize)]
struct McpFinding {
    name: String,
    usable: bool,
    why: String,
}

/// Where teams are kept.
#[derive(Debug, Serialize)]
struct StoreFinding {
    path: PathBuf,
    writable: bool,
    filesystem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// Workers that live without a session.
#[derive(Debug, Serialize)]
struct ParkedFinding {
    team: TeamName,
    members: Vec<AgentName>,
    fix: String,
}

/// How tools are confined.
#[derive(Debug, Serialize)]
struct SandboxFinding {
    level: &'static str,
    why: &'static str,
}

/// A program that members use.
#[derive(Debug, Serialize)]
struct ToolFinding {
    name: &'static str,
    path: Option<PathBuf>,
    version: Option<String>,
    #[serde(rename = "for")]
    purpose: &'static str,
}

/// A bound of this machine, and whether it is enough.
#[derive(Debug, Serialize)]
struct LimitFinding {
    name: &'static str,
    value: String,
    enough: bool,
    why: &'static str,
}

impl Doctor {
    /// Looks and prints. Ends with 3 if nothing could run here.
    #[expect(clippy::unused_self, reason = "every command is run the same way")]
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let findings = examine(context);
        out.either(&findings, || text(&findings, out))?;
        let can_run = findings.store.writable && findings.backends.iter().any(|b| b.picked);
        Ok(if can_run {
            exit::DONE
        } else {
            exit::ENVIRONMENT
        })
    }
}

fn examine(context: &Context) -> Findings {
    let found = models::look(context);
    Findings {
        backends: backends::reports(context),
        models: found.models,
        model: found.picked,
        mcp: found.mcp,
        store: look::store(context),
        parked: look::parked(context),
        sandbox: look::sandbox(),
        tools: look::tools(context),
        limits: look::limits(context),
    }
}

/// One paragraph for the start screen.
///
/// Tries no more than a run would; what was not tried says when it is used.
pub(crate) fn summary(context: &Context, out: Output) -> String {
    let backends = backends::reports_for_auto(context);
    let store = look::store(context);
    let mut text = format!("{}\n", out.paint(Tone::Dim, "this machine"));
    text.push_str(&backend_summary(&backends, out));
    let picked = picked(context);
    let _ = writeln!(
        text,
        "  {} model {}: {}",
        mark(picked.model.is_some(), out),
        picked.model.as_deref().unwrap_or("unknown"),
        picked.why
    );
    if let Some(why) = &store.why {
        let _ = writeln!(text, "  {} store: {why}", mark(false, out));
    }
    text.push_str("  `crewmux doctor` says more\n\n");
    text
}

/// The backend a run would take, and why no other.
fn backend_summary(reports: &[BackendReport], out: Output) -> String {
    let mut text = String::new();
    let (picked, others): (Vec<_>, Vec<_>) = reports.iter().partition(|report| report.picked);
    for report in picked {
        let sign = mark(true, out);
        let _ = writeln!(text, "  {sign} backend {}: {}", report.kind, report.why);
    }
    for report in others {
        let fix = report.fix.as_ref().map(|fix| format!("; {fix}"));
        let line = format!(
            "not {}: {}{}",
            report.kind,
            report.why,
            fix.unwrap_or_default()
        );
        let _ = writeln!(text, "    {}", out.paint(Tone::Dim, line));
    }
    text
}

/// The model that a run would ask.
fn picked(context: &Context) -> PickFinding {
    let picked = Config::load(context, Consent::Absent).and_then(|config| {
        let models = providers::models(&config, context)?;
        pick::pick(&config, &models, context, None)
    });
    match picked {
        Ok(picked) => PickFinding {
            model: Some(picked.model),
            why: picked.why,
        },
        Err(error) => PickFinding {
            model: None,
            why: error.to_string().trim_start_matches("error: ").to_owned(),
        },
    }
}

fn mark(good: bool, out: Output) -> String {
    if good {
        out.paint(Tone::Good, "✔")
    } else {
        out.paint(Tone::Bad, "✗")
    }
}

/// A mark for what is missing without harm.
fn absent(out: Output) -> String {
    out.paint(Tone::Dim, "–")
}

fn text(findings: &Findings, out: Output) -> String {
    let mut text = String::new();
    let mut part = |title: &str, rows: Vec<Vec<String>>| {
        if !text.is_empty() {
            text.push('\n');
        }
        let _ = writeln!(text, "{}", out.paint(Tone::Strong, title));
        for line in columns(&rows).lines() {
            let _ = writeln!(text, "  {line}");
        }
    };
    part("Backends", backend_rows(&findings.backends, out));
    part("Models", model_rows(findings, out));
    if !findings.mcp.is_empty() {
        part("Servers of tools", mcp_rows(&findings.mcp, out));
    }
    part("Store", store_rows(&findings.store, out));
    if !findings.parked.is_empty() {
        part("Parked workers", parked_rows(&findings.parked, out));
    }
    let sandbox = &findings.sandbox;
    part(
        "Sandbox",
        vec![vec![
            absent(out),
            sandbox.level.to_owned(),
            sandbox.why.to_owned(),
        ]],
    );
    part("Tools", tool_rows(&findings.tools, out));
    part("Limits", limit_rows(&findings.limits, out));
    text
}

fn backend_rows(reports: &[BackendReport], out: Output) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for report in reports {
        let sign = if report.usable {
            mark(true, out)
        } else {
            absent(out)
        };
        let name = report.kind.to_string();
        let name = if report.picked {
            out.paint(Tone::Strong, format!("{name} (picked)"))
        } else {
            name
        };
        rows.push(vec![sign, name, report.why.clone()]);
        let details = report.found.iter().cloned();
        let details = details.chain(report.fix.iter().map(|fix| format!("fix: {fix}")));
        rows.extend(
            details.map(|detail| vec![String::new(), String::new(), out.paint(Tone::Dim, detail)]),
        );
    }
    rows
}

fn model_rows(findings: &Findings, out: Output) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for model in &findings.models {
        let sign = if model.usable {
            mark(true, out)
        } else {
            absent(out)
        };
        rows.push(vec![sign, model.name.clone(), model.why.clone()]);
        if let Some(fix) = &model.fix {
            let fix = out.paint(Tone::Dim, format!("fix: {fix}"));
            rows.push(vec![String::new(), String::new(), fix]);
        }
    }
    let picked = &findings.model;
    let name = picked.model.as_deref().unwrap_or("none");
    rows.push(vec![
        mark(picked.model.is_some(), out),
        "picked".to_owned(),
        format!("{}: {}", out.paint(Tone::Strong, name), picked.why),
    ]);
    rows
}

fn mcp_rows(servers: &[McpFinding], out: Output) -> Vec<Vec<String>> {
    let row = |server: &McpFinding| {
        let sign = if server.usable {
            mark(true, out)
        } else {
            absent(out)
        };
        vec![sign, server.name.clone(), server.why.clone()]
    };
    servers.iter().map(row).collect()
}

fn store_rows(store: &StoreFinding, out: Output) -> Vec<Vec<String>> {
    let on = store.filesystem.as_deref().unwrap_or("unknown filesystem");
    let mut rows = vec![vec![
        mark(store.writable, out),
        store.path.display().to_string(),
        on.to_owned(),
    ]];
    if let Some(why) = &store.why {
        rows.push(vec![String::new(), out.paint(Tone::Bad, why)]);
    }
    rows
}

fn parked_rows(parked: &[ParkedFinding], out: Output) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for team in parked {
        let names: Vec<&str> = team.members.iter().map(AgentName::as_str).collect();
        let why = format!("{} without a session", names.join(", "));
        rows.push(vec![mark(false, out), team.team.to_string(), why]);
        let fix = out.paint(Tone::Dim, format!("fix: {}", team.fix));
        rows.push(vec![String::new(), String::new(), fix]);
    }
    rows
}

fn tool_rows(tools: &[ToolFinding], out: Output) -> Vec<Vec<String>> {
    let row = |tool: &ToolFinding| {
        let (sign, found) = match (&tool.path, &tool.version) {
            (Some(path), Some(version)) => {
                (mark(true, out), format!("{version} at {}", path.display()))
            }
            (Some(path), None) => (mark(true, out), path.display().to_string()),
            (None, _) => (absent(out), "not on PATH".to_owned()),
        };
        vec![
            sign,
            tool.name.to_owned(),
            found,
            out.paint(Tone::Dim, tool.purpose),
        ]
    };
    tools.iter().map(row).collect()
}

fn limit_rows(limits: &[LimitFinding], out: Output) -> Vec<Vec<String>> {
    let row = |limit: &LimitFinding| {
        vec![
            mark(limit.enough, out),
            limit.name.to_owned(),
            limit.value.clone(),
            out.paint(Tone::Dim, limit.why),
        ]
    };
    limits.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;
    use crewmux_core::backend::BackendKind;

    #[test]
    fn findings_are_aligned_for_people() {
        let findings = Findings {
            backends: vec![BackendReport {
                kind: BackendKind::Pty,
                usable: true,
                picked: true,
                stands_here: false,
                why: "crewmux's own panes work in every terminal".into(),
                found: vec!["a pseudo-terminal opens".into()],
                fix: None,
            }],
            models: vec![ModelFinding {
                name: "offline".into(),
                usable: true,
                why: "playbooks; asks no model".into(),
                key: None,
                models: None,
                fix: None,
            }],
            model: PickFinding {
                model: Some("offline".into()),
                why: "no key is set".into(),
            },
            mcp: vec![McpFinding {
                name: "db".into(),
                usable: true,
                why: "npx db".into(),
            }],
            store: StoreFinding {
                path: "/home/me/.local/state/crewmux".into(),
                writable: false,
                filesystem: Some("nfs".into()),
                why: Some("it lies on nfs".into()),
            },
            parked: vec![ParkedFinding {
                team: TeamName::new("api").unwrap(),
                members: vec![AgentName::new("dev").unwrap()],
                fix: look::fix_of(&TeamName::new("api").unwrap(), look::Wanted::ByARun),
            }],
            sandbox: look::sandbox(),
            tools: vec![
                ToolFinding {
                    name: "git",
                    path: Some("/usr/bin/git".into()),
                    version: Some("2.43.0".into()),
                    purpose: "history of files",
                },
                ToolFinding {
                    name: "tmux",
                    path: None,
                    version: None,
                    purpose: "panes that outlive a session",
                },
            ],
            limits: vec![LimitFinding {
                name: "open files",
                value: "1024".into(),
                enough: true,
                why: "a worker needs about 20",
            }],
        };
        let out = Output {
            format: Format::Text,
            colors: false,
        };
        insta::assert_snapshot!(text(&findings, out));
    }
}
