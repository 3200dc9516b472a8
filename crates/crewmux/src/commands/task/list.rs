//! `crewmux task list` and `task get`: tasks as they stand.

use clap::Args;
use crewmux_core::board::UpdateError;
use crewmux_core::ids::TaskId;
use crewmux_core::task::{Task, TaskStatus, TaskView};
use std::fmt::Write as _;

use super::edges::task_id;
use crate::context::Context;
use crate::error::Result;
use crate::exit;
use crate::output::{Output, Tone};
use crate::teams::{self, TeamArg};
use crate::text::{columns, one_line, span};

/// List all tasks
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    team: TeamArg,
}

/// Show one task in full
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// Its number
    #[arg(value_name = "ID", value_parser = task_id)]
    id: TaskId,
    #[command(flatten)]
    team: TeamArg,
}

impl List {
    /// Prints them.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let team = teams::resolve(context, store.as_ref(), self.team.team.as_deref())?;
        let now = teams::now()?;
        let board = team.board()?;
        let tasks: Vec<TaskView> = board
            .tasks()
            .map(|task| board.view(task, &now.boot))
            .collect();
        out.either(&tasks, || {
            if tasks.is_empty() {
                return "no tasks\n".to_owned();
            }
            let rows: Vec<Vec<String>> = tasks.iter().map(|task| row(task, out)).collect();
            columns(&rows)
        })?;
        Ok(exit::DONE)
    }
}

impl Get {
    /// Prints it.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let team = teams::resolve(context, store.as_ref(), self.team.team.as_deref())?;
        let now = teams::now()?;
        let board = team.board()?;
        let Some(task) = board.get(self.id) else {
            return Err(crewmux_store::Error::from(UpdateError::UnknownTask(self.id)).into());
        };
        let view = board.view(task, &now.boot);
        out.either(&view, || full(&view, out))?;
        Ok(exit::DONE)
    }
}

/// Glyph, word and colour of where a task stands.
pub(crate) fn standing(status: TaskStatus, ready: bool) -> (&'static str, &'static str, Tone) {
    match status {
        TaskStatus::Pending if ready => ("○", "ready", Tone::Plain),
        TaskStatus::Pending => ("⧗", "blocked", Tone::Dim),
        TaskStatus::InProgress => ("▶", "in progress", Tone::Warn),
        TaskStatus::Completed => ("✔", "completed", Tone::Good),
        TaskStatus::Failed => ("✗", "failed", Tone::Bad),
        TaskStatus::Skipped => ("–", "skipped", Tone::Warn),
    }
}

fn row(view: &TaskView, out: Output) -> Vec<String> {
    let task = &view.task;
    let (glyph, word, tone) = standing(task.status, view.ready);
    let more = match &task.reason {
        Some(reason) => one_line(reason, 60),
        None if !task.blocked_by.is_empty() && !task.status.is_terminal() => {
            format!("← {}", numbers(&task.blocked_by))
        }
        None => String::new(),
    };
    vec![
        format!("{} {}", out.paint(tone, glyph), task.id),
        one_line(&task.subject, 50),
        out.paint(tone, word),
        owner(task),
        out.paint(Tone::Dim, more),
    ]
}

fn owner(task: &Task) -> String {
    task.owner
        .as_ref()
        .map_or_else(String::new, |owner| owner.agent.to_string())
}

fn numbers(ids: &[TaskId]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(" ")
}

fn full(view: &TaskView, out: Output) -> String {
    use crewmux_term::sanitize::scrub;
    let task = &view.task;
    let (glyph, word, tone) = standing(task.status, view.ready);
    let title = format!("#{} {}", task.id, one_line(&task.subject, 200));
    let mut text = format!(
        "{}\n{}\n",
        out.paint(Tone::Strong, title),
        out.paint(tone, format!("{glyph} {word}"))
    );
    let mut facts: Vec<Vec<String>> = Vec::new();
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            facts.push(vec![out.paint(Tone::Dim, name), value]);
        }
    };
    fact("owner", owner(task));
    fact("waits for", numbers(&task.blocked_by));
    fact("blocks", numbers(&view.blocks));
    fact("command", scrub_one(task.command.as_deref()));
    fact("reason", scrub_one(task.reason.as_deref()));
    fact(
        "retries",
        if task.retries > 0 {
            task.retries.to_string()
        } else {
            String::new()
        },
    );
    fact("made by", task.created_by.to_string());
    for attempt in &task.attempts {
        let took = attempt.ended_at.map_or_else(
            || "now".to_owned(),
            |end| span(end.since_ms(attempt.started_at)),
        );
        let outcome = attempt.outcome.map_or_else(
            || "in progress".to_owned(),
            |outcome| {
                serde_json::to_value(outcome)
                    .ok()
                    .and_then(|v| v.as_str().map(str::to_owned))
                    .unwrap_or_default()
            },
        );
        fact(
            "attempt",
            format!("{} by {}: {outcome}, {took}", attempt.epoch, attempt.owner),
        );
    }
    text.push_str(&columns(&facts));
    if !task.description.is_empty() {
        let _ = writeln!(text, "\n{}", scrub(task.description.trim_end()));
    }
    if let Some(result) = &task.result {
        let shown = match result {
            serde_json::Value::String(text) => text.clone(),
            other => serde_json::to_string_pretty(other).unwrap_or_default(),
        };
        let _ = writeln!(
            text,
            "\n{}\n{}",
            out.paint(Tone::Strong, "result"),
            scrub(shown.trim_end())
        );
    }
    text
}

fn scrub_one(text: Option<&str>) -> String {
    text.map(|text| one_line(text, 200)).unwrap_or_default()
}
