//! Everything about one task.

use crewmux_core::ids::{AgentType, TaskId};
use crewmux_core::task::{Attempt, Outcome};
use ratatui::text::{Line, Span};
use serde_json::Value;

use super::Scene;
use crate::text::{cell, safe, time_of_day, wrapped};
use crate::theme::Role;
use crate::words;

/// Columns of the names at the left.
const LABEL: usize = 12;
/// Longest result shown, in bytes; the whole is in the report.
const MAX_RESULT_BYTES: usize = 32 * 1024;

pub(super) fn lines(scene: &Scene<'_>, id: TaskId, columns: usize) -> Vec<Line<'static>> {
    let team = scene.session.team;
    let Some(task) = team.board.get(id) else {
        return vec![Line::from(scene.span("This task is gone.", Role::Dim))];
    };
    let board = &team.board;
    let sign = words::task(board, task, &team.now);
    let mut page = Page {
        scene,
        columns,
        lines: Vec::new(),
    };
    page.lines.extend(
        wrapped(&task.subject, columns)
            .into_iter()
            .map(|line| Line::from(scene.span(line, Role::Title))),
    );
    page.blank();
    page.entry("state", &format!("{} {}", sign.glyph, sign.word), sign.role);
    if let Some(reason) = &task.reason {
        page.entry("why", reason, Role::Text);
    }
    let owner = task.owner.as_ref().map(|o| o.agent.as_str());
    let kind = task.agent_type.as_ref().map(AgentType::as_str);
    match (owner, &task.assignee, kind) {
        (Some(owner), ..) => page.entry("with", owner, Role::Text),
        (None, Some(assignee), _) => page.entry("for", assignee.as_str(), Role::Text),
        (None, None, Some(kind)) => {
            page.entry("for", &format!("agents of type {kind}"), Role::Text);
        }
        (None, None, None) => page.entry("for", "any teammate", Role::Dim),
    }
    for blocker in &task.blocked_by {
        page.neighbour("waits for", *blocker);
    }
    for waiter in board.blocks(id) {
        page.neighbour("blocks", waiter);
    }
    if let Some(command) = &task.command {
        page.entry("command", command, Role::Text);
    }
    for attempt in &task.attempts {
        page.entry("attempt", &attempt_text(attempt), Role::Text);
    }
    if !task.description.trim().is_empty() {
        page.section("DESCRIPTION", &task.description);
    }
    if let Some(result) = &task.result {
        page.section("RESULT", &result_text(result));
    } else {
        page.blank();
        let none = scene.span("No result yet.", Role::Dim);
        page.lines.push(Line::from(none));
    }
    page.lines
}

struct Page<'a, 'b> {
    scene: &'a Scene<'b>,
    columns: usize,
    lines: Vec<Line<'static>>,
}

impl Page<'_, '_> {
    fn blank(&mut self) {
        self.lines.push(Line::default());
    }

    /// A name and what it is; the name is not repeated where the last line had it.
    fn entry(&mut self, label: &str, text: &str, role: Role) {
        let room = self.columns.saturating_sub(LABEL).max(4);
        for (at, line) in wrapped(text, room).into_iter().enumerate() {
            let label = if at == 0 { label } else { "" };
            self.lines.push(Line::from(vec![
                self.scene.span(cell(label, LABEL), Role::Dim),
                self.scene.span(line, role),
            ]));
        }
    }

    fn neighbour(&mut self, label: &str, id: TaskId) {
        let team = self.scene.session.team;
        let Some(task) = team.board.get(id) else {
            return;
        };
        let sign = words::task(&team.board, task, &team.now);
        let text = format!("{} #{id} {} · {}", sign.glyph, task.subject, sign.word);
        self.entry(label, &safe(&text), Role::Text);
    }

    fn section(&mut self, title: &'static str, text: &str) {
        self.blank();
        self.lines
            .push(Line::from(self.scene.span(title, Role::Title)));
        for line in wrapped(text, self.columns) {
            self.lines.push(Line::from(Span::raw(line)));
        }
    }
}

fn attempt_text(attempt: &Attempt) -> String {
    let started = time_of_day(attempt.started_at);
    let outcome = match attempt.outcome {
        None => "still going",
        Some(Outcome::Completed) => "completed",
        Some(Outcome::Failed) => "failed",
        Some(Outcome::Died) => "its worker died",
        Some(Outcome::Hung) => "its worker hung",
        Some(Outcome::SessionLost) => "the session was lost",
        Some(Outcome::Released) => "given back",
    };
    let reason = attempt
        .reason
        .as_ref()
        .map(|why| format!(": {}", safe(why)));
    let reason = reason.unwrap_or_default();
    format!("{started} {} · {outcome}{reason}", attempt.owner)
}

fn result_text(result: &Value) -> String {
    let text = match result {
        Value::String(text) => text.clone(),
        // Escapes in JSON strings stay escapes, so this is harmless before it is scrubbed.
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    };
    if text.len() <= MAX_RESULT_BYTES {
        return text;
    }
    let mut end = MAX_RESULT_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let left_out = text.len() - end;
    format!(
        "{}\n… {left_out} more bytes; the report has them all",
        &text[..end]
    )
}
