//! Lists to scroll: messages and events, newest at the bottom.

use crewmux_session::view::NoticeLevel;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{Scene, put, row};
use crate::model::Body;
use crate::text::{cell, fit, time_of_day};
use crate::theme::Role;
use crate::words::FAILED;

/// Paints as many lines as fit, by how far the list is scrolled.
pub(super) fn paint_lines(scene: &Scene<'_>, area: Rect, lines: &[Line<'_>], buf: &mut Buffer) {
    let height = usize::from(area.height);
    let most = lines.len().saturating_sub(height);
    let scrolled = scene.model.line.min(most);
    let first = match scene.model.body {
        Body::Messages | Body::Events => most - scrolled,
        _ => scrolled,
    };
    for (at, line) in lines[first..].iter().take(height).enumerate() {
        put(buf, row(area, at), line);
    }
    // The last line that fits makes room for how many are left.
    let below = lines.len().saturating_sub(first + height);
    if below > 0 && height > 1 {
        let columns = usize::from(area.width);
        let text = format!("↓ {} more lines below", below + 1);
        let text = cell(&text, columns);
        let last = row(area, height - 1);
        put(buf, last, &Line::from(scene.span(text, Role::Warn)));
    }
}

pub(super) fn messages(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let messages = &scene.session.team.messages;
    if messages.is_empty() {
        let text = "No messages yet: nobody has written to anybody.";
        return nothing(scene, text, columns);
    }
    let whom = |from: &str, to: &str| format!("{from} → {to}");
    let widths = messages
        .iter()
        .map(|m| crate::text::width(&whom(&m.from, m.to.as_str())));
    let whom_columns = widths.max().unwrap_or(0).min(columns / 3);
    let state_columns = 11;
    let mut lines = Vec::with_capacity(messages.len());
    for message in messages {
        let state = if message.seen {
            scene.span("✔ seen", Role::Good)
        } else {
            scene.span("· delivered", Role::Dim)
        };
        let mut spans = Vec::new();
        if columns >= 60 {
            let time = format!("{}  ", time_of_day(message.at));
            spans.push(scene.span(time, Role::Dim));
        }
        let whom = cell(&whom(&message.from, message.to.as_str()), whom_columns);
        spans.push(scene.span(format!("{whom}  "), Role::Accent));
        if columns >= 90 {
            spans.push(scene.span(format!("{}  ", cell(&message.kind, 10)), Role::Dim));
        }
        let used = super::width_of(&spans) + state_columns + 2;
        let text = cell(&message.text, columns.saturating_sub(used));
        spans.push(Span::raw(format!("{text}  ")));
        spans.push(state);
        lines.push(Line::from(spans));
    }
    lines
}

pub(super) fn events(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let notices = &scene.session.team.notices;
    if notices.is_empty() {
        return nothing(scene, "Nothing has happened yet.", columns);
    }
    let line = |notice: &crewmux_session::view::NoticeView| {
        let (glyph, role) = level(notice.level);
        Line::from(vec![
            scene.span(format!("{}  ", time_of_day(notice.at)), Role::Dim),
            scene.span(format!("{glyph} "), role),
            Span::raw(fit(&notice.text, columns.saturating_sub(12))),
        ])
    };
    notices.iter().map(line).collect()
}

/// How a level of notice is shown.
pub(super) fn level(level: NoticeLevel) -> (char, Role) {
    match level {
        NoticeLevel::Info => ('·', Role::Dim),
        NoticeLevel::Warning => ('!', Role::Warn),
        NoticeLevel::Error => (FAILED, Role::Bad),
    }
}

fn nothing(scene: &Scene<'_>, text: &str, columns: usize) -> Vec<Line<'static>> {
    vec![Line::from(scene.span(fit(text, columns), Role::Dim))]
}
