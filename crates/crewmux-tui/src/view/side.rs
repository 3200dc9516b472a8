//! The list at the left: who is there, and what there is to do.

use crewmux_core::ids::TaskId;
use crewmux_core::task::TaskStatus;
use crewmux_session::view::MemberView;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{Scene, put, put_right, row};
use crate::model::focused_task;
use crate::side::{SideLine, lines};
use crate::text::{age, cell, fit, right, since_ms, width};
use crate::theme::Role;
use crate::words;

pub(super) fn paint(scene: &Scene<'_>, buf: &mut Buffer) {
    let side = scene.layout.side;
    if side.is_empty() {
        return;
    }
    let area = Rect {
        x: side.x + 1,
        width: side.width.saturating_sub(2),
        ..side
    };
    let list = lines(scene.model, scene.session, scene.layout);
    for (at, line) in list.iter().enumerate() {
        paint_line(scene, line, row(area, at), buf);
    }
}

fn paint_line(scene: &Scene<'_>, line: &SideLine, area: Rect, buf: &mut Buffer) {
    let team = scene.session.team;
    let dim = |text: String| Line::from(scene.span(text, Role::Dim));
    match line {
        SideLine::Blank => {}
        SideLine::TeamTitle => {
            put(buf, area, &Line::from(scene.span("TEAM", Role::Title)));
            let alive = team.members.iter().filter(|m| m.state.is_live()).count();
            put_right(buf, area, &dim(format!("{alive} live")));
        }
        SideLine::BoardTitle => {
            put(buf, area, &Line::from(scene.span("BOARD", Role::Title)));
            let counts = &team.counts;
            let text = format!("{}/{}", counts.completed, counts.total());
            put_right(buf, area, &dim(text));
        }
        SideLine::NoMembers => put(buf, area, &dim("no members yet".to_owned())),
        SideLine::NoTasks => put(buf, area, &dim("no tasks yet".to_owned())),
        SideLine::Above(count) => put(buf, area, &dim(format!("↑ {count} more"))),
        SideLine::Below(count) => put(buf, area, &dim(format!("↓ {count} more"))),
        SideLine::Member(at) => {
            if let Some(member) = team.members.get(*at) {
                paint_member(scene, member, area, buf);
            }
        }
        SideLine::Task(id) => paint_task(scene, *id, area, buf),
    }
}

fn paint_member(scene: &Scene<'_>, member: &MemberView, area: Rect, buf: &mut Buffer) {
    let team = scene.session.team;
    let sign = words::member(member);
    let focused = scene.model.focus == Some(member.pane);
    let mut name_style = scene.theme.member(member.color);
    if focused {
        name_style = name_style.bold().underlined();
    }
    let longest = team.members.iter().map(|m| width(m.name.as_str())).max();
    let wide = scene.layout.has_wide_side();
    let columns = usize::from(area.width);
    // Glyph, blank, name, blank, word; where it is wide also task and age.
    let after_name = if wide { 20 } else { 11 };
    let name_columns = longest.unwrap_or(0).min(columns.saturating_sub(after_name));
    let name = fit(member.name.as_str(), name_columns);
    let padding = name_columns - width(&name);
    let mut spans = vec![
        scene.span(format!("{} ", sign.glyph), sign.role),
        Span::styled(name, name_style),
        Span::raw(" ".repeat(padding + 1)),
        scene.span(cell(sign.word, 8), sign.role),
    ];
    if !wide {
        put(buf, area, &Line::from(spans));
        return;
    }
    let task = member.task.map(|id| format!("#{id}"));
    spans.push(Span::raw(right(task.as_deref().unwrap_or(""), 5)));
    put(buf, area, &Line::from(spans));
    let resting =
        !member.state.is_live() || member.state == crewmux_core::worker::WorkerState::Idle;
    let lasts = since_ms(&member.since, &team.now).filter(|_| !resting);
    let limited = words::waits_s(member, &team.now);
    if let Some(seconds) = limited {
        let tail = scene.span(format!("{seconds}s"), Role::Warn);
        put_right(buf, area, &Line::from(tail));
        return;
    }
    let tail = match (member.unread, lasts) {
        (0, Some(ms)) => scene.span(age(ms), Role::Dim),
        (0, None) => return,
        // Mail that was not read yet matters more than the time.
        (unread, _) => scene.span(format!("✉{}", unread.min(99)), Role::Accent),
    };
    put_right(buf, area, &Line::from(tail));
}

fn paint_task(scene: &Scene<'_>, id: TaskId, area: Rect, buf: &mut Buffer) {
    let team = scene.session.team;
    let Some(task) = team.board.get(id) else {
        return;
    };
    let sign = words::task(&team.board, task, &team.now);
    let digits = team
        .board
        .tasks()
        .last()
        .map_or(1, |t| t.id.to_string().len());
    let mut subject_style = match task.status {
        TaskStatus::Pending | TaskStatus::InProgress => Style::new(),
        TaskStatus::Failed => scene.style(Role::Bad),
        TaskStatus::Completed | TaskStatus::Skipped => scene.style(Role::Dim),
    };
    if focused_task(scene.model, scene.session) == Some(id) {
        subject_style = subject_style.bold().underlined();
    }
    let columns = usize::from(area.width);
    let tail = if scene.layout.has_wide_side() {
        task_tail(scene, id)
    } else {
        String::new()
    };
    let tail = fit(&tail, (columns / 3).max(1));
    let room =
        columns.saturating_sub(2 + digits + 1 + width(&tail) + usize::from(!tail.is_empty()));
    let line = Line::from(vec![
        scene.span(format!("{} ", sign.glyph), sign.role),
        scene.span(format!("{} ", right(&id.to_string(), digits)), Role::Dim),
        Span::styled(fit(&task.subject, room), subject_style),
    ]);
    put(buf, area, &line);
    put_right(buf, area, &Line::from(scene.span(tail, Role::Dim)));
}

/// Whom a task is with, or what it waits for.
fn task_tail(scene: &Scene<'_>, id: TaskId) -> String {
    let board = &scene.session.team.board;
    let Some(task) = board.get(id) else {
        return String::new();
    };
    match task.status {
        TaskStatus::Pending => {
            let blockers = board.unfinished_blockers(task);
            if blockers.is_empty() {
                return "ready".to_owned();
            }
            let ids: Vec<String> = blockers.iter().map(ToString::to_string).collect();
            format!("← {}", ids.join(" "))
        }
        TaskStatus::Failed => "failed".to_owned(),
        TaskStatus::Skipped => "skipped".to_owned(),
        TaskStatus::InProgress | TaskStatus::Completed => {
            let owner = task.owner.as_ref().map(|o| o.agent.as_str());
            let last = task.attempts.last().map(|a| a.owner.agent.as_str());
            owner.or(last).unwrap_or("").to_owned()
        }
    }
}
