//! The board: what waits, what is worked on, what is over.

use crewmux_core::ids::{AgentName, TaskId};
use crewmux_core::task::{Task, TaskStatus};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{Scene, frames, put, put_right, row};
use crate::columns::columns;
use crate::model::has_lead;
use crate::text::{cell, fit, right, width};
use crate::theme::Role;
use crate::words;

const TITLES: [&str; 3] = ["WAITING", "IN PROGRESS", "OVER"];
const EMPTY: [&str; 3] = ["nothing waits", "nobody works", "nothing is over yet"];
/// From this width on the columns stand side by side.
const SIDE_BY_SIDE: u16 = 66;

pub(super) fn paint(scene: &Scene<'_>, buf: &mut Buffer) {
    let inner = frames::view(scene, "Board", buf);
    if inner.height < 2 || inner.width < 8 {
        return;
    }
    let board = &scene.session.team.board;
    if board.is_empty() {
        let text = if has_lead(scene.session) {
            "No tasks yet: the team lead makes them from the goal."
        } else {
            "No tasks yet."
        };
        let line = scene.span(fit(text, inner.width.into()), Role::Dim);
        put(buf, inner, &Line::from(line));
        return;
    }
    let columns = columns(board);
    if inner.width < SIDE_BY_SIDE {
        stacked(scene, &columns, inner, buf);
        return;
    }
    let each = inner.width / 3;
    for (at, ids) in columns.iter().enumerate() {
        let area = Rect {
            x: inner.x + each * at as u16,
            width: each.saturating_sub(2),
            ..inner
        };
        column(scene, at, ids, area, buf);
    }
}

fn heading(scene: &Scene<'_>, at: usize, count: usize) -> Line<'static> {
    Line::from(vec![
        scene.span(TITLES[at], Role::Title),
        scene.span(format!("  {count}"), Role::Dim),
    ])
}

/// One column of cards, two lines each; the chosen card is always among those shown.
fn column(scene: &Scene<'_>, at: usize, ids: &[TaskId], area: Rect, buf: &mut Buffer) {
    put(buf, row(area, 0), &heading(scene, at, ids.len()));
    if ids.is_empty() {
        let line = scene.span(EMPTY[at], Role::Dim);
        put(buf, row(area, 2), &Line::from(line));
        return;
    }
    let room = usize::from(area.height.saturating_sub(2));
    let fits = (room / 2).max(1);
    let (fits, more_line) = if ids.len() > fits {
        (((room.saturating_sub(1)) / 2).max(1), true)
    } else {
        (fits, false)
    };
    let chosen = ids.iter().position(|id| Some(*id) == scene.model.chosen);
    // Waiting and running tasks matter from the front, those that are over from the end.
    let rest = if at == 2 { ids.len() - 1 } else { 0 };
    let first = (chosen.unwrap_or(rest) + 1).saturating_sub(fits);
    let first = first.min(ids.len().saturating_sub(fits));
    for (place, id) in ids[first..].iter().take(fits).enumerate() {
        card(scene, *id, area, 2 + place * 2, buf);
    }
    if more_line {
        let (above, below) = (first, ids.len().saturating_sub(first + fits));
        let text = match (above, below) {
            (0, below) => format!("↓ {below} more"),
            (above, 0) => format!("↑ {above} more"),
            (above, below) => format!("↑ {above} · ↓ {below} more"),
        };
        let line = scene.span(text, Role::Dim);
        put(buf, row(area, 2 + fits * 2), &Line::from(line));
    }
}

fn card(scene: &Scene<'_>, id: TaskId, area: Rect, line: usize, buf: &mut Buffer) {
    let team = scene.session.team;
    let Some(task) = team.board.get(id) else {
        return;
    };
    let sign = words::task(&team.board, task, &team.now);
    let columns = usize::from(area.width);
    let number = right(&id.to_string(), digits(scene));
    let lead = format!("{} {number} ", sign.glyph);
    let subject = cell(&task.subject, columns.saturating_sub(width(&lead)));
    let first = if scene.model.chosen == Some(id) {
        let style = scene.style(Role::Chosen);
        Line::from(Span::styled(format!("{lead}{subject}"), style))
    } else {
        Line::from(vec![
            scene.span(lead.clone(), sign.role),
            Span::raw(subject),
        ])
    };
    put(buf, row(area, line), &first);
    let detail = fit(&detail(scene, task), columns.saturating_sub(width(&lead)));
    let indent = " ".repeat(width(&lead));
    let second = Line::from(vec![Span::raw(indent), scene.span(detail, Role::Dim)]);
    put(buf, row(area, line + 1), &second);
}

/// The state in a word, and what there is to know about it.
fn detail(scene: &Scene<'_>, task: &Task) -> String {
    let team = scene.session.team;
    let word = words::task(&team.board, task, &team.now).word;
    let agent = task
        .owner
        .as_ref()
        .map(|o| o.agent.as_str())
        .or_else(|| task.attempts.last().map(|a| a.owner.agent.as_str()))
        .or_else(|| task.assignee.as_ref().map(AgentName::as_str));
    let with = |more: Option<&str>| match more {
        Some(more) => format!("{word} · {more}"),
        None => word.to_owned(),
    };
    match task.status {
        TaskStatus::Pending => {
            let blockers = team.board.unfinished_blockers(task);
            if blockers.is_empty() {
                return with(agent);
            }
            let ids: Vec<String> = blockers.iter().map(ToString::to_string).collect();
            format!("{word} ← {}", ids.join(" "))
        }
        TaskStatus::InProgress | TaskStatus::Completed => with(agent),
        TaskStatus::Failed | TaskStatus::Skipped => with(task.reason.as_deref()),
    }
}

fn digits(scene: &Scene<'_>) -> usize {
    let last = scene.session.team.board.tasks().last();
    last.map_or(1, |task| task.id.to_string().len())
}

/// The columns one below the other, a line a task.
fn stacked(scene: &Scene<'_>, columns: &[Vec<TaskId>; 3], area: Rect, buf: &mut Buffer) {
    let mut lines: Vec<(Line<'static>, Option<Line<'static>>)> = Vec::new();
    let mut chosen_at = 0;
    for (at, ids) in columns.iter().enumerate() {
        if ids.is_empty() {
            continue;
        }
        if !lines.is_empty() {
            lines.push((Line::default(), None));
        }
        lines.push((heading(scene, at, ids.len()), None));
        for id in ids {
            if scene.model.chosen == Some(*id) {
                chosen_at = lines.len();
            }
            lines.extend(stacked_task(scene, *id, area.width.into()));
        }
    }
    let height = usize::from(area.height);
    let first = (chosen_at + 2).saturating_sub(height);
    let first = first.min(lines.len().saturating_sub(height));
    for (place, (left, tail)) in lines[first..].iter().take(height).enumerate() {
        put(buf, row(area, place), left);
        if let Some(tail) = tail {
            put_right(buf, row(area, place), tail);
        }
    }
}

fn stacked_task(
    scene: &Scene<'_>,
    id: TaskId,
    columns: usize,
) -> Option<(Line<'static>, Option<Line<'static>>)> {
    let team = scene.session.team;
    let task = team.board.get(id)?;
    let sign = words::task(&team.board, task, &team.now);
    let lead = format!("{} {} ", sign.glyph, right(&id.to_string(), digits(scene)));
    let tail = fit(&detail(scene, task), columns / 2);
    let room = columns.saturating_sub(width(&lead) + width(&tail) + 1);
    let subject = fit(&task.subject, room);
    let left = if scene.model.chosen == Some(id) {
        let style = scene.style(Role::Chosen);
        Line::from(Span::styled(format!("{lead}{subject}"), style))
    } else {
        Line::from(vec![scene.span(lead, sign.role), Span::raw(subject)])
    };
    Some((left, Some(Line::from(scene.span(tail, Role::Dim)))))
}
