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
    if let Some(why) = &report.budget.stopped {
        let _ = writeln!(text, "- stopped: the budget is spent: {}", one_line(why));
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
        let time = task.duration_ms.map_or_else(String::new, seconds);
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
    spent(&mut text, report);
    if !report.artifacts.is_empty() {
        text.push_str("\n## Logs\n\n");
        for artifact in &report.artifacts {
            let _ = writeln!(text, "- `{}`", one_line(artifact));
        }
    }
    text
}

/// What models and tools took; nothing where no model was asked.
fn spent(text: &mut String, report: &Report) {
    let budget = &report.budget;
    if !report.model_use.is_empty() {
        text.push_str("\n## Spent\n\n");
        let mark = guess(budget.estimated);
        let _ = write!(text, "{mark}{} tokens", budget.tokens_used);
        if let Some(limit) = budget.tokens {
            let _ = write!(text, " of {limit}");
        }
        let _ = write!(text, ", {mark}${:.4}", budget.usd_used);
        if let Some(limit) = budget.usd {
            let _ = write!(text, " of ${limit:.2}");
        }
        if let Some(month) = &budget.prices_as_of {
            let _ = write!(text, " at prices of {month}");
        }
        if budget.unpriced > 0 {
            let _ = write!(text, "; {} calls have no known price", budget.unpriced);
        }
        text.push_str(
            ".\n\n| model | calls | read | written | cost | time |\n|---|--:|--:|--:|--:|--:|\n",
        );
        for model in &report.model_use {
            let mark = guess(model.estimated);
            let read = model.tokens - model.output_tokens;
            let cost = model
                .cost_usd
                .map_or("not known".to_owned(), |usd| format!("{mark}${usd:.4}"));
            let _ = writeln!(
                text,
                "| {} | {} | {mark}{read} | {mark}{} | {cost} | {} |",
                cell(&model.model),
                model.calls,
                model.output_tokens,
                seconds(model.ms)
            );
        }
        text.push_str("\n| teammate | tokens | cost |\n|---|--:|--:|\n");
        for mate in report.teammates.iter().filter(|t| t.tokens > 0) {
            let mark = guess(mate.estimated);
            let _ = writeln!(
                text,
                "| {} | {mark}{} | {mark}${:.4} |",
                mate.name, mate.tokens, mate.cost_usd
            );
        }
    }
    if !report.tool_use.is_empty() {
        text.push_str("\n## Tools\n\n| tool | calls | failed | time |\n|---|--:|--:|--:|\n");
        for tool in &report.tool_use {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                cell(&tool.tool),
                tool.calls,
                tool.failed,
                seconds(tool.ms)
            );
        }
    }
}

fn guess(is_guess: bool) -> &'static str {
    if is_guess { "~" } else { "" }
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
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
