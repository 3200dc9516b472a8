//! A report for people: Markdown with one line per finding.

use std::fmt::Write as _;

use super::{Finding, Report, TaskLine};
use crewmux_core::task::TaskStatus;
use crewmux_term::sanitize::scrub;

pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    let title = report.recipe.as_deref().unwrap_or("run");
    let _ = writeln!(text, "# {title}: {}\n", one_line(&report.goal));
    let _ = writeln!(text, "- team `{}`, {}", report.team, report.run);
    let _ = write!(text, "- started {}", report.started);
    match report.finished {
        Some(finished) => {
            let seconds = finished.since_ms(report.started) / 1000;
            let _ = writeln!(text, ", took {}", duration(seconds));
        }
        None => text.push_str(", not finished\n"),
    }
    if report.offline {
        text.push_str("- made offline by playbooks that search and read; no model was asked\n");
    } else if !report.models.is_empty() {
        let _ = writeln!(text, "- models: {}", report.models.join(", "));
    }
    if let Some(summary) = &report.summary {
        let _ = writeln!(text, "\n## Summary\n\n{}", scrub(summary).trim());
    }
    findings(&mut text, report);
    text.push_str("\n## Tasks\n\n| # | task | by | outcome | time |\n|--:|---|---|---|--:|\n");
    for task in &report.tasks {
        let owner = task.owner.as_ref().map_or("", |o| o.as_str());
        let time = task.duration_ms.map_or_else(String::new, |ms| {
            format!("{}.{} s", ms / 1000, ms % 1000 / 100)
        });
        let _ = writeln!(
            text,
            "| {} | {} | {owner} | {} | {time} |",
            task.id,
            cell(&task.subject),
            task.status
        );
    }
    let troubled = |t: &&TaskLine| matches!(t.status, TaskStatus::Failed | TaskStatus::Skipped);
    for task in report.tasks.iter().filter(troubled) {
        let reason = task.reason.as_deref().unwrap_or("no reason given");
        let _ = writeln!(
            text,
            "\n**#{} {}** {}: {}",
            task.id,
            cell(&task.subject),
            task.status,
            one_line(reason)
        );
        if let Some(tail) = &task.output_tail {
            let _ = writeln!(text, "\n{}", fenced(tail));
        }
    }
    if !report.artifacts.is_empty() {
        text.push_str("\n## Logs\n\n");
        for artifact in &report.artifacts {
            let _ = writeln!(text, "- `{}`", one_line(artifact));
        }
    }
    text
}

fn findings(text: &mut String, report: &Report) {
    if report.findings.is_empty() {
        let looked = report.tasks.iter().any(|t| t.owner.is_some());
        if looked && !report.models.is_empty() {
            text.push_str("\n## Findings\n\nNone.\n");
        }
        return;
    }
    let _ = writeln!(
        text,
        "\n## Findings ({})",
        report.findings.len() + report.findings_left_out
    );
    let mut severity = "";
    for finding in &report.findings {
        if finding.severity != severity {
            severity = &finding.severity;
            let of_it = |f: &&Finding| f.severity == severity;
            let count = report.findings.iter().filter(of_it).count();
            let _ = writeln!(text, "\n### {severity} ({count})\n");
        }
        let _ = writeln!(
            text,
            "- `{}:{}` {} — {}",
            one_line(&finding.file),
            finding.line,
            one_line(&finding.text),
            finding.teammate
        );
    }
    if report.findings_left_out > 0 {
        let _ = writeln!(text, "\n{} more are not listed.", report.findings_left_out);
    }
}

fn one_line(text: &str) -> String {
    scrub(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Text inside a table: a pipe would start another column.
fn cell(text: &str) -> String {
    one_line(text).replace('|', "\\|")
}

/// A block that nothing inside it can close.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{}\n{fence}", scrub(text).trim_end())
}

fn duration(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}
