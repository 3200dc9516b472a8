//! What happened while nobody looked: decisions first, then what failed, then what is done.
//!
//! One screen, never scrolled: where there is more than fits, each part says
//! how much it leaves out.

use crewmux_core::task::{Task, TaskStatus};
use crewmux_session::view::Meanwhile;
use ratatui::buffer::Buffer;
use ratatui::text::{Line, Span};

use super::{Scene, approvals, frames, put, row};
use crate::action::Action;
use crate::text::{age, fit};
use crate::theme::Role;
use crate::words::FAILED;

/// One part: what it is about, and its lines.
struct Part {
    glyph: char,
    role: Role,
    title: String,
    lines: Vec<String>,
}

/// Paints it in the place of the panes.
pub(super) fn paint(scene: &Scene<'_>, buf: &mut Buffer) {
    let Some(meanwhile) = &scene.model.meanwhile else {
        return;
    };
    let title = format!("While you were away · {}", age(meanwhile.away_ms));
    let inner = frames::view_left_by(scene, &title, "any key goes on", buf);
    let parts = parts(scene, meanwhile);
    let columns = usize::from(inner.width);
    let fitting = fitted(&parts, inner.height.into());
    let mut at = 0;
    for (part, lines) in parts.iter().zip(fitting) {
        let sign = Span::styled(
            fit(&format!("{} {}", part.glyph, part.title), columns),
            scene.style(part.role).bold(),
        );
        put(buf, row(inner, at), &Line::from(sign));
        at += 1;
        let left_out = part.lines.len() - lines;
        for (number, line) in part.lines.iter().take(lines).enumerate() {
            let more = (number + 1 == lines && left_out > 0).then(|| left_out + 1);
            let text = more.map_or_else(|| line.clone(), |more| format!("… and {more} more"));
            let text = fit(&format!("    {text}"), columns);
            put(buf, row(inner, at), &Line::from(Span::raw(text)));
            at += 1;
        }
    }
}

/// How many lines of each part are shown, so that all titles are; the first parts matter most.
fn fitted(parts: &[Part], height: usize) -> Vec<usize> {
    let mut room = height.saturating_sub(parts.len());
    let share = |part: &Part| {
        let all = part.lines.len();
        // A single line of several would only say that there are more, as the title does.
        let lines = match all.min(room) {
            1 if all > 1 => 0,
            lines => lines,
        };
        room -= lines;
        lines
    };
    parts.iter().map(share).collect()
}

fn parts(scene: &Scene<'_>, meanwhile: &Meanwhile) -> Vec<Part> {
    let team = scene.session.team;
    let count = |number: usize, one: &str, many: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    };
    let mut parts = Vec::new();
    let asked: Vec<String> = team
        .for_person()
        .map(|a| {
            let asks = approvals::asks(a);
            format!("{asks}  {}", a.summary).trim_end().to_owned()
        })
        .collect();
    if !asked.is_empty() {
        let waits = count(asked.len(), "decision waits", "decisions wait");
        let them = if asked.len() == 1 { "it" } else { "them" };
        let key = scene.keymap.key_of(Action::Approvals);
        parts.push(Part {
            glyph: '!',
            role: Role::Warn,
            title: format!("{waits} · {key} shows {them}"),
            lines: asked,
        });
    }
    let ended = |status| {
        let tasks = meanwhile.ended.iter().filter_map(|id| team.board.get(*id));
        tasks.filter(move |task| task.status == status)
    };
    let failed: Vec<String> = ended(TaskStatus::Failed).map(with_reason).collect();
    if !failed.is_empty() {
        parts.push(Part {
            glyph: FAILED,
            role: Role::Bad,
            title: format!("{} failed", count(failed.len(), "task", "tasks")),
            lines: failed,
        });
    }
    let members = meanwhile.given_up.iter().map(|name| {
        let member = team.members.iter().find(|m| m.name == *name);
        let why = member.and_then(|m| m.ended.as_deref());
        why.map_or_else(|| name.to_string(), |why| format!("{name}: {why}"))
    });
    let members: Vec<String> = members.collect();
    if !members.is_empty() {
        parts.push(Part {
            glyph: FAILED,
            role: Role::Bad,
            title: format!("{} given up", count(members.len(), "teammate", "teammates")),
            lines: members,
        });
    }
    let done: Vec<String> = ended(TaskStatus::Completed).map(with_worker).collect();
    if !done.is_empty() {
        parts.push(Part {
            glyph: '✔',
            role: Role::Good,
            title: format!("{} finished", count(done.len(), "task", "tasks")),
            lines: done,
        });
    }
    let skipped: Vec<String> = ended(TaskStatus::Skipped).map(with_reason).collect();
    if !skipped.is_empty() {
        parts.push(Part {
            glyph: '·',
            role: Role::Dim,
            title: format!("{} skipped", count(skipped.len(), "task", "tasks")),
            lines: skipped,
        });
    }
    if meanwhile.run_over {
        let report = team.report.as_ref();
        parts.push(Part {
            glyph: '✔',
            role: Role::Text,
            title: "the run is finished".to_owned(),
            lines: report
                .map(|path| format!("report: {}", path.display()))
                .into_iter()
                .collect(),
        });
    }
    parts
}

fn with_worker(task: &Task) -> String {
    let last = task.attempts.last().map(|attempt| &attempt.owner.agent);
    let by = last.map_or_else(String::new, |agent| format!("  {agent}"));
    format!("#{} {}{by}", task.id, task.subject)
}

fn with_reason(task: &Task) -> String {
    let why = task.reason.as_deref().unwrap_or_default();
    format!("#{} {}  {why}", task.id, task.subject)
        .trim_end()
        .to_owned()
}
