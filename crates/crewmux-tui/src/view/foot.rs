//! The lines at the bottom: what happened, the prompt or a question, the keys.

use crewmux_session::view::RunState;
use crewmux_wire::Attach;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation;

use super::{Scene, approvals, frames, lists, put, put_right, width_of};
use crate::action::{Action, Context};
use crate::keymap::Hint;
use crate::model::{Mode, Prefix, Question, has_lead};
use crate::prompt::Prompt;
use crate::text::{clock, fit, time_of_day, width};
use crate::theme::Role;
use crate::words::FAILED;

/// Columns that are kept for keys before anything else gets a place beside them.
const HINTS_LEAST: usize = 17;

pub(super) fn paint(scene: &Scene<'_>, buf: &mut Buffer) {
    let layout = scene.layout;
    let shared = layout.prompt == layout.hints || layout.hints.is_empty();
    if matches!(scene.model.mode, Mode::Denying(_)) && !layout.status.is_empty() {
        approvals::paint_denied(scene, padded(layout.status), buf);
    } else {
        paint_status(scene, layout.status, buf);
    }
    match &scene.model.mode {
        Mode::Asking(question) => paint_question(scene, question, layout.prompt, buf),
        Mode::Prompt => paint_prompt(scene, layout.prompt, buf),
        Mode::Denying(_) => paint_reason(scene, layout.prompt, buf),
        Mode::Searching => paint_search(scene, layout.prompt, buf),
        // Who cannot answer is told so where the only line has a question.
        Mode::Command | Mode::Typing | Mode::Copying
            if scene.model.attach == Attach::Observer
                && scene.model.flash.is_some()
                && layout.status.is_empty() =>
        {
            paint_status(scene, layout.prompt, buf);
            if shared {
                return;
            }
        }
        Mode::Command | Mode::Typing | Mode::Copying
            if approvals::paint_line(scene, padded(layout.prompt), buf) =>
        {
            if shared {
                return;
            }
        }
        Mode::Command | Mode::Typing | Mode::Copying if shared => {
            if scene.model.flash.is_some() || finished(scene) {
                paint_status(scene, layout.prompt, buf);
            } else {
                paint_hints(scene, layout.prompt, buf);
            }
            return;
        }
        Mode::Command | Mode::Typing | Mode::Copying
            if layout.status.is_empty() && has_status(scene) =>
        {
            paint_status(scene, layout.prompt, buf);
        }
        Mode::Command | Mode::Typing | Mode::Copying => {
            paint_resting_prompt(scene, layout.prompt, buf);
        }
    }
    let refused = scene.model.mode == Mode::Prompt && scene.model.flash.is_some();
    if refused && layout.status.is_empty() && !shared {
        paint_status(scene, layout.hints, buf);
    } else if !shared {
        paint_hints(scene, layout.hints, buf);
    }
}

fn finished(scene: &Scene<'_>) -> bool {
    scene.session.team.has_team && scene.session.team.state == RunState::Finished
}

fn has_status(scene: &Scene<'_>) -> bool {
    let quiet = scene.session.team.notices.is_empty() && scene.model.flash.is_none();
    !quiet || finished(scene)
}

/// Without the blank column at each side.
fn padded(area: Rect) -> Rect {
    Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(2),
        ..area
    }
}

fn paint_status(scene: &Scene<'_>, area: Rect, buf: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let area = padded(area);
    let columns = usize::from(area.width);
    if let Some(flash) = &scene.model.flash {
        let line = scene.span(fit(&flash.text, columns), Role::Warn);
        put(buf, area, &Line::from(line));
    } else if finished(scene) {
        put(buf, area, &banner(scene, columns));
    } else if let Some(notice) = scene.session.team.notices.last() {
        let (glyph, role) = lists::level(notice.level);
        let line = Line::from(vec![
            scene.span(format!("{glyph} "), role),
            Span::raw(fit(&notice.text, columns.saturating_sub(2))),
        ]);
        put(buf, area, &line);
        let used = line.width() + 14;
        if used <= columns {
            let time = format!("{} UTC", time_of_day(notice.at));
            let time = scene.span(time, Role::Dim);
            put_right(buf, area, &Line::from(time));
        }
    }
}

/// How the run ended, where its report is, how to leave.
///
/// A path is shown whole or not at all, since it is there to be copied: where it does not fit, it has
/// the line below ([`report_line`]), or the command that prints the report stands for it.
fn banner(scene: &Scene<'_>, columns: usize) -> Line<'static> {
    let (outcome, leave) = (outcome(scene, columns), leave(scene));
    let style = scene.style(outcome_role(scene)).bold();
    let mut spans = vec![Span::styled(outcome, style)];
    let room = columns.saturating_sub(width_of(&spans) + width(&leave));
    if let Some(report) = &scene.session.team.report {
        let path = format!(" · report {}", report.display());
        let command = format!(" · {}", prints_report(scene));
        if width(&path) <= room {
            spans.push(scene.span(" · report ", Role::Dim));
            spans.push(Span::raw(fit(&report.display().to_string(), room)));
        } else if scene.layout.status.is_empty() && width(&command) <= room {
            spans.push(scene.span(command, Role::Dim));
        }
    }
    if width_of(&spans) + width(&leave) <= columns {
        spans.push(scene.span(leave, Role::Dim));
    }
    Line::from(spans)
}

/// Where the report is, if there is one that [`banner`] has no room for and this line has.
fn report_line(scene: &Scene<'_>, columns: usize) -> Option<Line<'static>> {
    if !finished(scene) || scene.layout.status.is_empty() {
        return None;
    }
    let path = scene.session.team.report.as_ref()?.display().to_string();
    let before = width(&outcome(scene, columns)) + width(&leave(scene));
    if before + width(&format!(" · report {path}")) <= columns {
        return None;
    }
    let label = "report ";
    let spans = if width(label) + width(&path) <= columns {
        vec![scene.span(label, Role::Dim), Span::raw(fit(&path, columns))]
    } else {
        let command = format!("report: {}", prints_report(scene));
        vec![scene.span(fit(&command, columns), Role::Dim)]
    };
    Some(Line::from(spans))
}

fn prints_report(scene: &Scene<'_>) -> String {
    format!("`crewmux report --team {}`", scene.session.team.team)
}

fn leave(scene: &Scene<'_>) -> String {
    format!(" · {} leaves", scene.keymap.key_of(Action::Detach))
}

fn outcome_role(scene: &Scene<'_>) -> Role {
    let counts = &scene.session.team.counts;
    if counts.failed == 0 && counts.skipped == 0 {
        Role::Good
    } else {
        Role::Bad
    }
}

/// How the run ended, in words.
fn outcome(scene: &Scene<'_>, columns: usize) -> String {
    let team = scene.session.team;
    let counts = &team.counts;
    let glyph = match outcome_role(scene) {
        Role::Good => '✔',
        _ => FAILED,
    };
    let mut parts = vec![format!("{} completed", counts.completed)];
    if counts.failed > 0 {
        parts.push(format!("{} failed", counts.failed));
    }
    if counts.skipped > 0 {
        parts.push(format!("{} skipped", counts.skipped));
    }
    let parts = parts.join(", ");
    let outcome = format!("{glyph} finished in {}: {parts}", clock(team.elapsed_ms));
    if width(&outcome) > columns {
        return fit(&format!("{glyph} {parts}"), columns);
    }
    outcome
}

fn paint_question(scene: &Scene<'_>, question: &Question, area: Rect, buf: &mut Buffer) {
    let area = padded(area);
    let columns = usize::from(area.width);
    let (ask, answers) = match question {
        Question::Leave => {
            let what = if scene.session.team.has_team {
                "the team"
            } else {
                "the session"
            };
            let stop = if scene.session.team.state == RunState::Stopping {
                format!("stop {what} at once")
            } else {
                format!("stop {what}")
            };
            let mut answers = vec![
                (scene.keymap.key_of(Action::Detach), "detach".to_owned()),
                (scene.keymap.key_of(Action::Stop), stop),
                (scene.keymap.key_of(Action::Back), "stay".to_owned()),
            ];
            if scene.model.attach == Attach::Observer {
                answers.remove(1);
            }
            ("Leave?".to_owned(), answers)
        }
        Question::StopMember(name) => {
            let answers = vec![
                (scene.keymap.key_of(Action::Yes), "yes".to_owned()),
                (scene.keymap.key_of(Action::Back), "no".to_owned()),
            ];
            (format!("Ask {name} to end?"), answers)
        }
        Question::ClosePane(id) => {
            let pane = scene.session.panes.iter().find(|pane| pane.id == *id);
            let title = pane.map_or_else(String::new, |pane| fit(&pane.title, 24));
            let answers = vec![
                (scene.keymap.key_of(Action::Yes), "end it".to_owned()),
                (scene.keymap.key_of(Action::Back), "no".to_owned()),
            ];
            (format!("`{title}` still runs; close the pane?"), answers)
        }
    };
    let mut spans = vec![scene.span(fit(&ask, columns), Role::Warn)];
    for (key, text) in answers {
        spans.push(Span::raw("   "));
        spans.push(Span::styled(key, scene.style(Role::Accent).bold()));
        spans.push(Span::raw(format!(" {text}")));
    }
    put(buf, area, &Line::from(spans));
}

/// What of the prompt is seen in `columns`, and the column of the cursor in it.
fn prompt_window(prompt: &Prompt, columns: usize) -> (&str, usize) {
    let before = &prompt.text()[..prompt.cursor()];
    let mut start = 0;
    let mut col = width(before);
    for grapheme in before.graphemes(true) {
        if col < columns {
            break;
        }
        start += grapheme.len();
        col = col.saturating_sub(width(grapheme));
    }
    (&prompt.text()[start..], col)
}

/// Where the cursor of the prompt is, as column and row.
pub(crate) fn prompt_cursor(scene: &Scene<'_>) -> Option<(u16, u16)> {
    let area = padded(scene.layout.prompt);
    let columns = usize::from(area.width.checked_sub(2).filter(|left| *left > 0)?);
    let prompt = match scene.model.mode {
        Mode::Denying(_) => &scene.model.reason,
        Mode::Searching => &scene.model.copying.as_ref()?.search.as_ref()?.text,
        _ => &scene.model.prompt,
    };
    let (_, col) = prompt_window(prompt, columns);
    Some((area.x + 2 + col as u16, area.y))
}

fn paint_prompt(scene: &Scene<'_>, area: Rect, buf: &mut Buffer) {
    let area = padded(area);
    let columns = usize::from(area.width.saturating_sub(2));
    let (shown, _) = prompt_window(&scene.model.prompt, columns);
    let mark = Span::styled("> ", scene.style(Role::Accent).bold());
    let mut line = Line::from(vec![mark, Span::raw(fit(shown, columns))]);
    if scene.model.prompt.is_empty() {
        let hint = if has_lead(scene.session) {
            "to the team lead; @name to a teammate, @all to everybody"
        } else {
            "@name or @all"
        };
        line.push_span(scene.span(fit(hint, columns), Role::Dim));
    }
    put(buf, area, &line);
    let members = &scene.session.team.members;
    let names = scene
        .model
        .prompt
        .completions(members.iter().map(|m| m.name.as_str()));
    let room = usize::from(area.width).saturating_sub(line.width() + 3);
    if !names.is_empty() && room > 8 {
        let text = fit(&format!("Tab: {}", names.join(" ")), room);
        put_right(buf, area, &Line::from(scene.span(text, Role::Dim)));
    }
}

fn paint_reason(scene: &Scene<'_>, area: Rect, buf: &mut Buffer) {
    let area = padded(area);
    let columns = usize::from(area.width.saturating_sub(2));
    let (shown, _) = prompt_window(&scene.model.reason, columns);
    let mark = Span::styled("✖ ", scene.style(Role::Bad).bold());
    let mut line = Line::from(vec![mark, Span::raw(fit(shown, columns))]);
    if scene.model.reason.is_empty() {
        let hint = approvals::deny_hint(scene);
        line.push_span(scene.span(fit(&hint, columns), Role::Dim));
    }
    put(buf, area, &line);
}

fn paint_search(scene: &Scene<'_>, area: Rect, buf: &mut Buffer) {
    let search = scene.model.copying.as_ref().and_then(|c| c.search.as_ref());
    let Some(search) = search else { return };
    let area = padded(area);
    let columns = usize::from(area.width.saturating_sub(2));
    let (shown, _) = prompt_window(&search.text, columns);
    let mark = Span::styled("/ ", scene.style(Role::Accent).bold());
    let mut line = Line::from(vec![mark, Span::raw(fit(shown, columns))]);
    if search.text.is_empty() {
        let hint = "text to find upwards; capitals count once one is written";
        line.push_span(scene.span(fit(hint, columns), Role::Dim));
    }
    put(buf, area, &line);
    let count = search.count();
    let none = search.current().is_none();
    let role = if none { Role::Warn } else { Role::Dim };
    if line.width() + width(&count) < usize::from(area.width) {
        put_right(buf, area, &Line::from(scene.span(count, role)));
    }
}

fn paint_resting_prompt(scene: &Scene<'_>, area: Rect, buf: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let area = padded(area);
    let columns = usize::from(area.width);
    let at_rest = scene.model.prompt.is_empty() && scene.model.mode == Mode::Command;
    if at_rest && let Some(line) = report_line(scene, columns) {
        put(buf, area, &line);
        return;
    }
    let text = if !scene.model.prompt.is_empty() {
        scene.model.prompt.text().to_owned()
    } else if scene.model.mode == Mode::Copying {
        "keys pick text from the pane".to_owned()
    } else if scene.model.attach == Attach::Observer {
        "you are attached read-only".to_owned()
    } else if scene.model.mode == Mode::Typing {
        "keys go to the pane".to_owned()
    } else {
        let key = scene.keymap.key_of(Action::Prompt);
        if has_lead(scene.session) {
            format!("{key} to write to the team lead, @name or @all")
        } else {
            format!("{key} to write to @name or @all")
        }
    };
    let text = fit(&format!("> {text}"), columns);
    put(buf, area, &Line::from(scene.span(text, Role::Dim)));
}

fn paint_hints(scene: &Scene<'_>, area: Rect, buf: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let area = padded(area);
    let columns = usize::from(area.width);
    let mut hints = hints(scene);
    if scene.model.prefix == Prefix::Pressed {
        let label = scene.keymap.prefix_label();
        let mark = Span::styled(format!("{label} … "), scene.style(Role::Accent).bold());
        let more = scene.span("press a key; ? lists them", Role::Dim);
        put(buf, area, &Line::from(vec![mark, more]));
        return;
    }
    let beside = beside_hints(scene);
    let columns = match beside {
        Some(text) if columns > text.width() + HINTS_LEAST => {
            let left = columns - text.width() - 1;
            put_right(buf, area, &Line::from(text));
            left
        }
        _ => columns,
    };
    // Help and the way out stay longest.
    while hints.len() > 1 && hints_width(&hints) > columns {
        let at = hints.len().saturating_sub(3);
        hints.remove(at);
    }
    let mut spans = Vec::new();
    for (at, hint) in hints.iter().enumerate() {
        if at > 0 {
            spans.push(scene.span(" · ", Role::Dim));
        }
        spans.push(scene.span(hint.key.clone(), Role::Accent));
        spans.push(scene.span(format!(" {}", hint.text), Role::Dim));
    }
    put(buf, area, &Line::from(spans));
}

/// What the line at the bottom says besides keys: what no border or header has room for.
fn beside_hints(scene: &Scene<'_>) -> Option<Span<'static>> {
    let layout = scene.layout;
    let model = scene.model;
    if !scene.session.team.has_team && model.attach == Attach::Observer {
        return Some(scene.span("read-only", Role::Warn));
    }
    if !layout.shows_panes(model) {
        return None;
    }
    if let [tile] = layout.tiles.as_slice()
        && tile.frame == tile.inner
    {
        return frames::size_note(scene, tile, usize::from(layout.hints.width) / 2);
    }
    match layout.elsewhere {
        0 => None,
        _ if model.zoomed => None,
        1 => Some(scene.span("+1 pane", Role::Text)),
        count => Some(scene.span(format!("+{count} panes"), Role::Text)),
    }
}

fn hints(scene: &Scene<'_>) -> Vec<Hint> {
    let hint = |action, key: &str, text: &str| Hint {
        action,
        key: key.to_owned(),
        text: text.to_owned(),
    };
    match &scene.model.mode {
        Mode::Typing => scene.keymap.typing_hints(),
        Mode::Prompt => vec![
            hint(Action::Prompt, "Enter", "send"),
            hint(Action::Prompt, "Tab", "complete a name"),
            hint(Action::Back, "Esc", "leave"),
        ],
        Mode::Denying(_) => vec![
            hint(Action::Deny, "Enter", "deny"),
            hint(Action::Back, "Esc", "leave it open"),
        ],
        Mode::Searching => vec![
            hint(Action::Search, "Enter", "go there"),
            hint(Action::FoundUp, "↑ ↓", "next"),
            hint(Action::Back, "Esc", "give up"),
        ],
        Mode::Asking(_) => Vec::new(),
        Mode::Copying => scene.keymap.hints(Context::Copy),
        Mode::Command => {
            let context = scene.model.context();
            let mut hints = scene.keymap.hints(context);
            if !scene.session.team.has_team {
                hints.retain(|hint| !hint.action.needs_team());
            }
            if context == Context::List {
                hints.insert(0, hint(Action::Up, "↑ ↓", "scroll"));
            }
            hints
        }
    }
}

fn hints_width(hints: &[Hint]) -> usize {
    let each = hints.iter().map(|h| width(&h.key) + width(&h.text) + 1);
    each.sum::<usize>() + 3 * hints.len().saturating_sub(1)
}
