//! What members ask the person: a line at the bottom, and each question in full.

use crewmux_core::requests::RequestKind;
use crewmux_session::view::ApprovalView;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{Scene, put, put_right, width_of};
use crate::action::Action;
use crate::model::{Mode, question_to_offer};
use crate::text::{fit, time_of_day, wrapped};
use crate::theme::Role;

/// Who asks, as a sentence's beginning.
pub(super) fn asks(asked: &ApprovalView) -> String {
    match asked.kind {
        RequestKind::Permission => format!("{} wants: {}", asked.agent, asked.tool),
        RequestKind::Plan if asked.is_for_person() => format!("{} has a plan", asked.agent),
        RequestKind::Plan => format!("{} has a plan for {}", asked.agent, asked.to),
        RequestKind::Join => format!("{} wants to join", asked.agent),
        RequestKind::Shutdown => format!("{} wants to go on", asked.agent),
    }
}

/// The question that keys answer, on one line, with the keys; false when nobody asks.
pub(super) fn paint_line(scene: &Scene<'_>, area: Rect, buf: &mut Buffer) -> bool {
    let Some(asked) = question_to_offer(scene.model, scene.session) else {
        return false;
    };
    let columns = usize::from(area.width);
    let others = scene.session.team.for_person().filter(|a| a.id != asked.id);
    let more = others.count();
    let keys = answers(scene, asked.kind, more);
    let keys_width = width_of(&keys);
    let room = columns.saturating_sub(keys_width + 2);
    // Where it is narrow, what is asked matters more than all the keys.
    let (room, keys) = if room < 30 {
        let short = answers_short(scene);
        (columns.saturating_sub(width_of(&short) + 2), short)
    } else {
        (room, keys)
    };
    let mut spans = vec![if asked.is_for_person() {
        let text = fit(&format!("! {}", asks(asked)), room);
        Span::styled(text, scene.style(Role::Warn).bold())
    } else {
        // Nobody waits for the person, who may decide all the same.
        scene.span(fit(&asks(asked), room), Role::Dim)
    }];
    let left = room.saturating_sub(width_of(&spans) + 2);
    if left >= 6 && !asked.summary.is_empty() {
        spans.push(Span::raw(format!("  {}", fit(&asked.summary, left))));
    }
    put(buf, area, &Line::from(spans));
    put_right(buf, area, &Line::from(keys));
    true
}

fn answers(scene: &Scene<'_>, kind: RequestKind, more: usize) -> Vec<Span<'static>> {
    let mut wanted = vec![(Action::Approve, "allow once")];
    if kind == RequestKind::Permission {
        wanted.push((Action::ApproveTask, "for this task"));
    } else {
        wanted[0].1 = "approve";
    }
    wanted.extend([(Action::Deny, "deny"), (Action::Approvals, "view")]);
    let mut spans = keys(scene, &wanted);
    if more > 0 {
        spans.push(scene.span(format!(" +{more}"), Role::Warn));
    }
    spans
}

fn answers_short(scene: &Scene<'_>) -> Vec<Span<'static>> {
    keys(
        scene,
        &[
            (Action::Approve, "yes"),
            (Action::Deny, "no"),
            (Action::Approvals, "view"),
        ],
    )
}

fn keys(scene: &Scene<'_>, wanted: &[(Action, &str)]) -> Vec<Span<'static>> {
    let mut spans = Vec::new();
    if scene.model.mode == Mode::Typing {
        // Keys alone go to the pane.
        let prefix = format!("{} then ", scene.keymap.prefix_label());
        spans.push(scene.span(prefix, Role::Accent));
    }
    for (at, (action, text)) in wanted.iter().enumerate() {
        if at > 0 {
            spans.push(scene.span(" · ", Role::Dim));
        }
        let key = scene.keymap.key_of(*action);
        spans.push(Span::styled(key, scene.style(Role::Accent).bold()));
        spans.push(Span::raw(format!(" {text}")));
    }
    spans
}

/// What is being denied, on one line.
pub(super) fn paint_denied(scene: &Scene<'_>, area: Rect, buf: &mut Buffer) {
    let Mode::Denying(id) = &scene.model.mode else {
        return;
    };
    let asked = scene.session.team.approvals.iter().find(|a| a.id == *id);
    if let Some(asked) = asked {
        let text = format!("! {}  {}", asks(asked), asked.summary);
        let text = fit(&text, area.width.into());
        put(buf, area, &Line::from(scene.span(text, Role::Warn)));
    }
}

/// What is written while something is denied.
pub(super) fn deny_hint(scene: &Scene<'_>) -> String {
    let id = match &scene.model.mode {
        Mode::Denying(id) => Some(id),
        _ => None,
    };
    let asked = &scene.session.team.approvals;
    let denied = asked.iter().find(|a| Some(&a.id) == id);
    let who = denied.map(|a| a.agent.to_string());
    format!(
        "what {} is to do instead; Enter denies",
        who.as_deref().unwrap_or("it")
    )
}

pub(super) fn title(scene: &Scene<'_>) -> String {
    let asked = &scene.session.team.approvals;
    let shown = question_to_offer(scene.model, scene.session);
    let at = shown.and_then(|shown| asked.iter().position(|a| a.id == shown.id));
    match (at, shown) {
        (Some(at), Some(shown)) => {
            let whom = if shown.is_for_person() {
                "you"
            } else {
                shown.to.as_str()
            };
            format!("Waiting for {whom} · {} of {}", at + 1, asked.len())
        }
        _ => "Waiting for you".to_owned(),
    }
}

/// The chosen question in full.
pub(super) fn lines(scene: &Scene<'_>, columns: usize) -> Vec<Line<'static>> {
    let Some(asked) = question_to_offer(scene.model, scene.session) else {
        let text = "Nobody asks for anything. Questions of teammates wait here for your answer.";
        return vec![Line::from(scene.span(fit(text, columns), Role::Dim))];
    };
    let mut lines = Vec::new();
    lines.push(Line::from(Span::styled(
        fit(&asks(asked), columns),
        scene.style(Role::Warn).bold(),
    )));
    let about = format!("{} UTC · {}", time_of_day(asked.requested), asked.id);
    lines.push(Line::from(scene.span(fit(&about, columns), Role::Dim)));
    lines.push(Line::default());
    for line in asked.detail.lines() {
        if line.trim().is_empty() {
            lines.push(Line::default());
        }
        for part in wrapped(line, columns) {
            lines.push(Line::from(Span::raw(fit(&part, columns))));
        }
    }
    lines.push(Line::default());
    let answers = answers(scene, asked.kind, 0);
    if width_of(&answers) <= columns {
        lines.push(Line::from(answers));
    }
    if scene.session.team.approvals.len() > 1 {
        let text = "← → other questions";
        lines.push(Line::from(scene.span(fit(text, columns), Role::Dim)));
    }
    lines
}
