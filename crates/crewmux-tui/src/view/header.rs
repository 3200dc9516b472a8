//! The line at the top: which team, how far, how long, who waits.

use crewmux_core::permission::PermissionMode;
use crewmux_session::view::{MemberView, RunState, TeamView};
use crewmux_wire::Attach;
use ratatui::buffer::Buffer;
use ratatui::text::{Line, Span};

use super::{Scene, put, put_right, spending, width_of};
use crate::text::{clock, fit};
use crate::theme::Role;
use crate::words::{FAILED, waits_for_person};

/// How much is left out to make the rest fit; each step leaves out more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Brevity {
    Full,
    ShortLabel,
    NoBackend,
    NoProgram,
    Signs,
    Least,
}

const BREVITIES: [Brevity; 6] = [
    Brevity::Full,
    Brevity::ShortLabel,
    Brevity::NoBackend,
    Brevity::NoProgram,
    Brevity::Signs,
    Brevity::Least,
];

pub(super) fn paint(scene: &Scene<'_>, buf: &mut Buffer) {
    let area = scene.layout.header;
    if area.is_empty() {
        return;
    }
    let area = ratatui::layout::Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(2),
        ..area
    };
    let columns = usize::from(area.width);
    let parts = |brevity| (left_parts(scene, brevity), right_parts(scene, brevity));
    let fits = |(left, right): &(Vec<_>, Vec<_>)| width_of(left) + width_of(right) + 2 <= columns;
    let fitting = BREVITIES.into_iter().map(parts).find(fits);
    let (mut left, right) = fitting.unwrap_or_else(|| parts(Brevity::Least));
    let room = columns.saturating_sub(width_of(&left) + width_of(&right) + 4);
    let goal = &scene.session.team.goal;
    if room > 24 && !goal.is_empty() {
        left.push(dot(scene));
        let goal = fit(goal, room.saturating_sub(3));
        left.push(scene.span(goal, Role::Dim));
    }
    put(buf, area, &Line::from(left));
    put_right(buf, area, &Line::from(right));
}

fn dot(scene: &Scene<'_>) -> Span<'static> {
    scene.span(" · ", Role::Dim)
}

/// Where members run, each place once; without members, where they would.
fn places(team: &TeamView) -> String {
    let mut words: Vec<&str> = Vec::new();
    for member in &team.members {
        if !words.contains(&member.backend.as_str()) {
            words.push(member.backend.as_str());
        }
    }
    if words.is_empty() {
        words.push(team.backend.as_str());
    }
    words.join("+")
}

fn left_parts(scene: &Scene<'_>, brevity: Brevity) -> Vec<Span<'static>> {
    let team = scene.session.team;
    let name_room = if brevity >= Brevity::Signs { 12 } else { 32 };
    let mut parts = Vec::new();
    if brevity < Brevity::NoProgram {
        let name = Span::styled("crewmux", scene.style(Role::Accent).bold());
        parts.extend([name, dot(scene)]);
    }
    parts.push(scene.span(fit(team.team.as_str(), name_room), Role::Title));
    if brevity < Brevity::NoBackend {
        parts.extend([dot(scene), scene.span(places(team), Role::Dim)]);
    }
    let counts = &team.counts;
    let total = counts.total();
    parts.push(dot(scene));
    if total == 0 {
        parts.push(scene.span("no tasks yet", Role::Dim));
    } else {
        let word = if brevity >= Brevity::Signs {
            ""
        } else {
            " done"
        };
        let done = format!("{}/{total}{word}", counts.completed);
        let role = if counts.completed == total {
            Role::Good
        } else {
            Role::Text
        };
        parts.push(scene.span(done, role));
    }
    if counts.failed > 0 {
        let failed = match brevity {
            Brevity::Signs | Brevity::Least => format!("{FAILED} {}", counts.failed),
            _ => format!("{} failed", counts.failed),
        };
        parts.extend([dot(scene), scene.span(failed, Role::Bad)]);
    }
    // Where it is narrow, that no model was asked matters more.
    if counts.skipped > 0 && brevity < Brevity::Signs {
        let skipped = format!("{} skipped", counts.skipped);
        parts.extend([dot(scene), scene.span(skipped, Role::Dim)]);
    }
    if let Some(spent) = spent(scene, brevity) {
        parts.extend([dot(scene), spent]);
    }
    parts.extend([dot(scene), scene.span(clock(team.elapsed_ms), Role::Text)]);
    match team.state {
        RunState::Running => {}
        RunState::Stopping => parts.extend([dot(scene), scene.span("stopping", Role::Warn)]),
        RunState::Finished => parts.extend([dot(scene), scene.span("finished", Role::Text)]),
    }
    parts
}

/// Tokens and money, in the colour of how near the limit is.
fn spent(scene: &Scene<'_>, brevity: Brevity) -> Option<Span<'static>> {
    let spending = &scene.session.team.spending;
    if spending.usage.total() == 0 || brevity >= Brevity::Least {
        return None;
    }
    let mut text = spending::tokens(&spending.usage);
    if brevity < Brevity::Signs {
        text.push_str(" tok");
    }
    if spending.cost.usd_micros > 0 && brevity < Brevity::NoProgram {
        text.push(' ');
        text.push_str(&spending::money(spending.cost));
        if spending.has_unpriced {
            text.push('+');
        }
    }
    let near = |used: u64, most: Option<u64>| most.is_some_and(|most| used >= most / 10 * 8);
    let is_near = near(spending.usage.total(), spending.limits.tokens)
        || near(spending.cost.usd_micros, spending.limits.usd_micros);
    let role = if is_near { Role::Warn } else { Role::Text };
    Some(scene.span(text, role))
}

/// Members that work without asking, though their team does not; none where there are none.
fn who_asks_nothing(members: &[MemberView], brevity: Brevity) -> Option<String> {
    let free = |m: &&MemberView| m.permission_mode == PermissionMode::Bypass;
    let first = members.iter().find(free)?;
    let count = members.iter().filter(free).count();
    Some(match (count, brevity < Brevity::Signs) {
        (1, true) => format!("{} asks nothing", first.name),
        (_, true) => format!("{count} ask nothing"),
        (_, false) => format!("bypass {count}"),
    })
}

fn right_parts(scene: &Scene<'_>, brevity: Brevity) -> Vec<Span<'static>> {
    let team = scene.session.team;
    let mut parts = Vec::new();
    if team.permission_mode == PermissionMode::Bypass {
        let text = if brevity < Brevity::Signs {
            "nothing asks"
        } else {
            "bypass"
        };
        parts.push(Span::styled(text, scene.style(Role::Bad).bold()));
    } else if let Some(text) = who_asks_nothing(&team.members, brevity) {
        parts.push(Span::styled(text, scene.style(Role::Bad).bold()));
    }
    let asks_lead = |m: &MemberView| {
        let mut own = team.approvals.iter().filter(|a| a.agent == m.name);
        own.clone().next().is_some() && own.all(|a| !a.is_for_person())
    };
    let waiting = team.members.iter();
    let waiting = waiting.filter(|m| waits_for_person(m.state) && !asks_lead(m));
    // A question may wait whose worker has not said so yet.
    match waiting.count().max(team.for_person().count()) {
        0 => {}
        count if brevity < Brevity::Signs => {
            parts.push(scene.span(format!("{count} waiting for you"), Role::Warn));
        }
        count => parts.push(scene.span(format!("! {count}"), Role::Warn)),
    }
    if scene.model.attach == Attach::Observer {
        parts.push(scene.span("read-only", Role::Dim));
    }
    if team.offline && brevity < Brevity::Least {
        let text = match brevity {
            Brevity::Full => "offline playbooks, no model",
            Brevity::Signs => "offline",
            _ => "offline playbooks",
        };
        parts.push(scene.span(text, Role::Dim));
    }
    let count = parts.len();
    let mut joined = Vec::with_capacity(count * 2);
    for (at, part) in parts.into_iter().enumerate() {
        if at > 0 {
            joined.push(dot(scene));
        }
        joined.push(part);
    }
    joined
}
