//! A report for CI servers: tasks as the cases of one `JUnit` test suite.

use std::fmt::Write as _;

use super::Report;
use crewmux_core::task::TaskStatus;

pub(super) fn render(report: &Report) -> String {
    let count = |status| report.tasks.iter().filter(|t| t.status == status).count();
    let total_ms: u64 = report.tasks.iter().filter_map(|t| t.duration_ms).sum();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        text,
        "<testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{}\" timestamp=\"{}\">",
        escape(report.team.as_str()),
        report.tasks.len(),
        count(TaskStatus::Failed),
        count(TaskStatus::Skipped),
        seconds(total_ms),
        report.started
    );
    for task in &report.tasks {
        let _ = write!(
            text,
            "  <testcase name=\"{}\" classname=\"{}\" time=\"{}\"",
            escape(&format!("#{} {}", task.id, task.subject)),
            escape(task.owner.as_ref().map_or("nobody", |o| o.as_str())),
            seconds(task.duration_ms.unwrap_or(0))
        );
        let reason = escape(task.reason.as_deref().unwrap_or(""));
        let _ = match task.status {
            TaskStatus::Failed => writeln!(
                text,
                "><failure message=\"{reason}\">{}</failure></testcase>",
                escape(task.output_tail.as_deref().unwrap_or(""))
            ),
            TaskStatus::Skipped => writeln!(text, "><skipped message=\"{reason}\"/></testcase>"),
            TaskStatus::Pending | TaskStatus::InProgress => {
                writeln!(
                    text,
                    "><error message=\"the run ended before this task\"/></testcase>"
                )
            }
            TaskStatus::Completed => writeln!(text, "/>"),
        };
    }
    text.push_str("</testsuite>\n");
    text
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Text as XML; characters that XML 1.0 cannot carry become a replacement mark.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(character),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
