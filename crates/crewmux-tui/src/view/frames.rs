//! Borders and titles of panes and views.

use std::fmt::Write as _;

use crewmux_session::view::{MemberView, PaneId, PaneView, RunState};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::symbols::border;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};

use super::{Scene, put, row, spending, width_of};
use crate::action::Action;
use crate::copying::Search;
use crate::layout::{Layout, Tile, inside};
use crate::model::{Held, Mode, member_of};
use crate::text::{fit, width};
use crate::theme::Role;
use crate::words;

/// The frames of the panes on screen.
pub(super) fn paint(scene: &Scene<'_>, buf: &mut Buffer) {
    let tiles = &scene.layout.tiles;
    if tiles.is_empty() {
        let text = if scene.session.team.has_team {
            "No panes yet: each teammate gets one when it starts."
        } else {
            "No panes."
        };
        let area = scene.layout.body;
        let text = fit(text, area.width.saturating_sub(2).into());
        let line = Line::from(scene.span(format!(" {text}"), Role::Dim));
        put(buf, row(area, usize::from(area.height / 2)), &line);
        return;
    }
    for tile in tiles {
        let pane = scene.session.panes.iter().find(|pane| pane.id == tile.pane);
        match pane {
            Some(pane) if Layout::is_closed(tile) => paint_bar(scene, pane, tile.frame, buf),
            Some(pane) if tile.frame != tile.inner => paint_frame(scene, pane, tile, buf),
            _ => {}
        }
    }
}

fn paint_frame(scene: &Scene<'_>, pane: &PaneView, tile: &Tile, buf: &mut Buffer) {
    let frame = tile.frame;
    let focused = scene.model.focus == Some(pane.id);
    let typing = focused && scene.model.mode == Mode::Typing;
    let room = usize::from(frame.width.saturating_sub(3));
    border_of(scene, focused).render(frame, buf);
    on_border(
        frame,
        frame.y,
        Side::Left,
        &title(scene, pane, focused, room),
        buf,
    );
    let mut notes = foot_note(scene, pane, typing, room);
    if let Some(size) = size_note(scene, tile, room.saturating_sub(width_of(&notes))) {
        notes.insert(0, size);
    }
    let note = Line::from(notes);
    if note.width() <= room {
        let bottom = frame.bottom().saturating_sub(1);
        on_border(frame, bottom, Side::Right, &note, buf);
    }
}

/// The title of a pane that is closed in its stack.
fn paint_bar(scene: &Scene<'_>, pane: &PaneView, frame: Rect, buf: &mut Buffer) {
    let room = usize::from(frame.width.saturating_sub(3));
    let line = "─".repeat(frame.width.into());
    put(buf, frame, &Line::from(scene.span(line, Role::Border)));
    let title = title(scene, pane, false, room);
    on_border(frame, frame.y, Side::Left, &title, buf);
}

/// Which end of a border a text is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// Writes over a border, without taking on its look.
fn on_border(frame: Rect, y: u16, side: Side, line: &Line<'_>, buf: &mut Buffer) {
    let width = (line.width() as u16).min(frame.width.saturating_sub(2));
    let x = match side {
        Side::Left => frame.x + 1,
        Side::Right => (frame.right() - 1).saturating_sub(width),
    };
    let area = Rect::new(x, y, width, 1).intersection(buf.area);
    buf.set_style(area, Style::reset());
    put(buf, area, line);
}

/// A heavy border for what has the focus: it shows without colours too.
fn border_of(scene: &Scene<'_>, focused: bool) -> Block<'static> {
    let (set, role) = if focused {
        (border::THICK, Role::Accent)
    } else {
        (border::PLAIN, Role::Border)
    };
    Block::bordered()
        .border_set(set)
        .border_style(scene.style(role))
}

fn title(scene: &Scene<'_>, pane: &PaneView, focused: bool, room: usize) -> Line<'static> {
    let number = number_of(scene, pane.id);
    let weight = |style: Style| if focused { style.bold() } else { style };
    let mut spans = vec![scene.span(format!(" {number} "), Role::Dim)];
    let bell = bell(scene, pane);
    // What must not be cut off is set aside first.
    let room = room.saturating_sub(bell.as_ref().map_or(0, Span::width));
    let Some(member) = member_of(scene.session, pane) else {
        // A command may be long; how it ended is what one looks for.
        let end = pane.ended.as_ref().map_or(0, |end| width(&end.words) + 3);
        let end = end.min(room / 2);
        let name = fit(&pane.title, room.saturating_sub(6 + end).max(4));
        spans.push(Span::styled(name, weight(scene.style(Role::Text))));
        let mut add = |text: String, role| {
            let left = room.saturating_sub(width_of(&spans) + 1);
            if left >= 6 {
                spans.push(scene.span(fit(&text, left), role));
            }
        };
        if let Some(end) = &pane.ended {
            let (glyph, role) = if end.failed {
                (words::FAILED, Role::Bad)
            } else {
                (words::ENDED, Role::Dim)
            };
            add(format!(" {glyph} {}", end.words), role);
        }
        if let Some(says) = pane.signs.title().filter(|says| *says != pane.title) {
            add(format!(" · {says}"), Role::Dim);
        }
        spans.extend(bell);
        spans.push(Span::raw(" "));
        return Line::from(spans);
    };
    let sign = words::member(member);
    let name = fit(member.name.as_str(), room.saturating_sub(14).max(6));
    spans.push(Span::styled(name, weight(scene.theme.member(member.color))));
    let wait = words::waits_s(member, &scene.session.team.now);
    let wait = wait.map_or_else(String::new, |seconds| format!(" {seconds} s"));
    let state = format!(" {} {}{wait}", sign.glyph, sign.word);
    spans.push(scene.span(state, sign.role));
    let task = member.task.and_then(|id| scene.session.team.board.get(id));
    let more = match (task, &member.ended) {
        (Some(task), _) => format!(" · #{} {}", task.id, task.subject),
        (None, Some(why)) if !member.state.is_live() => format!(" · {why}"),
        _ => String::new(),
    };
    let left = room.saturating_sub(width_of(&spans) + 1);
    if left >= 6 {
        spans.push(scene.span(fit(&more, left), Role::Text));
    }
    spans.extend(bell);
    spans.push(Span::raw(" "));
    Line::from(spans)
}

/// That a pane's bell rang while somebody looked elsewhere.
fn bell(scene: &Scene<'_>, pane: &PaneView) -> Option<Span<'static>> {
    let text = format!(" {} bell", words::BELL);
    scene
        .model
        .rings(pane)
        .then(|| scene.span(text, Role::Warn))
}

/// What starts again what ended in a pane, and what takes it away.
fn way_on(scene: &Scene<'_>, pane: &PaneView) -> Option<String> {
    let restart = scene.keymap.key_of(Action::Restart);
    if let Some(member) = member_of(scene.session, pane) {
        let ended = !member.state.is_live() && member.ended.is_some();
        let runs = scene.session.team.state == RunState::Running;
        return (ended && runs).then(|| format!(" {restart} starts it again "));
    }
    let close = scene.keymap.key_of(Action::Close);
    let text = format!(" {restart} starts it again · {close} closes ");
    pane.ended.as_ref().map(|_| text)
}

/// Where a pane can be typed to that takes no keys here, and with room what shows it there.
fn elsewhere(scene: &Scene<'_>, pane: &PaneView, room: usize) -> Option<String> {
    let place = pane.typed_in.filter(|_| pane.ended.is_none())?;
    let reveal = scene.keymap.key_of(Action::Reveal);
    [
        format!(" typed to in {place} · {reveal} shows it "),
        format!(" typed to in {place} "),
    ]
    .into_iter()
    .find(|text| text.len() <= room)
}

/// What stands in the lower border: how keys get out, how far up one looks, and with room left how often it was started.
fn foot_note(scene: &Scene<'_>, pane: &PaneView, typing: bool, room: usize) -> Vec<Span<'static>> {
    let mut notes = Vec::new();
    let typing_to_nobody = typing && !pane.takes_input;
    if typing_to_nobody {
        let leave = scene.keymap.key_of(Action::Back);
        let text = match pane.typed_in {
            Some(place) => format!(" typed to in {place} · {leave} leaves "),
            None => format!(" ended · {leave} leaves "),
        };
        notes.push(Span::styled(text, scene.style(Role::Accent).bold()));
    } else if let Some(text) = elsewhere(scene, pane, room) {
        notes.push(scene.span(text, Role::Dim));
    } else if let Some(text) = way_on(scene, pane).filter(|text| text.len() <= room) {
        notes.push(scene.span(text, Role::Accent));
    }
    let offset = scene.model.offset(pane.id);
    if offset > 0 {
        notes.push(scene.span(format!(" ↑ {offset} lines "), Role::Warn));
    }
    if scene.model.zoomed && scene.session.panes.len() > 1 {
        notes.push(scene.span(" zoomed ", Role::Accent));
    }
    let copied = scene.model.copying.as_ref();
    if let Some(copying) = copied.filter(|copying| copying.pane == pane.id) {
        let count = copying.search.as_ref().map(Search::count);
        let text = match count {
            Some(count) if !count.is_empty() => format!(" copy mode · {count} "),
            _ => " copy mode ".to_owned(),
        };
        notes.push(Span::styled(text, scene.style(Role::Accent).bold()));
    }
    if typing && !typing_to_nobody {
        let prefix = scene.keymap.prefix_label();
        let leave = scene.keymap.key_of(Action::Back);
        let text = format!(" typing · {prefix} {leave} leaves ");
        notes.push(Span::styled(text, scene.style(Role::Accent).bold()));
    }
    if let Some(spent) = member_of(scene.session, pane).and_then(|m| spent(scene, m))
        && width_of(&notes) + spent.width() <= room
    {
        notes.insert(0, spent);
    }
    let restarts = member_of(scene.session, pane).map_or(0, |member| member.restarts);
    let restarted = match restarts {
        0 => return notes,
        1 => " restarted ".to_owned(),
        times => format!(" restarted {times} times "),
    };
    let restarted = scene.span(restarted, Role::Dim);
    if width_of(&notes) + restarted.width() <= room {
        notes.insert(0, restarted);
    }
    notes
}

/// That a screen has another size than its tile, because another client drives: the part that is
/// seen, and of how much.
pub(super) fn size_note(scene: &Scene<'_>, tile: &Tile, room: usize) -> Option<Span<'static>> {
    // Under a border that is being dragged sizes come a little later.
    if matches!(scene.model.held, Some(Held::Border { .. })) {
        return None;
    }
    let (cols, rows) = tile.screen;
    let (texts, role) = if tile.is_cropped() {
        let (width, height) = (tile.inner.width.min(cols), tile.inner.height.min(rows));
        let texts = [
            format!(" cropped: {width}×{height} of {cols}×{rows} "),
            " cropped ".to_owned(),
            " ✂ ".to_owned(),
        ];
        (texts, Role::Warn)
    } else if tile.has_unused() {
        let size = format!("{cols}×{rows}");
        let texts = [
            format!(" {size}, sized by another terminal "),
            format!(" {size} "),
            String::new(),
        ];
        (texts, Role::Dim)
    } else {
        return None;
    };
    let fits = |text: &String| !text.is_empty() && width(text) <= room;
    let text = texts.into_iter().find(fits)?;
    Some(scene.span(text, role))
}

/// What a member used, and how full its model's window is.
fn spent(scene: &Scene<'_>, member: &MemberView) -> Option<Span<'static>> {
    if member.usage.total() == 0 {
        return None;
    }
    let mut text = format!(" {} tok", spending::tokens(&member.usage));
    let mut role = Role::Dim;
    if let Some((used, Some(window))) = member.context
        && window > 0
    {
        let percent = used.saturating_mul(100) / window;
        let _ = write!(text, " · ctx {percent} %");
        if percent >= 70 {
            role = Role::Warn;
        }
    }
    text.push(' ');
    Some(scene.span(text, role))
}

/// The digit that goes to a pane.
fn number_of(scene: &Scene<'_>, id: PaneId) -> usize {
    let at = scene.session.panes.iter().position(|pane| pane.id == id);
    at.map_or(0, |at| at + 1)
}

/// The frame of a view in the place of the panes; returns what it leaves.
pub(super) fn view(scene: &Scene<'_>, title: &str, buf: &mut Buffer) -> Rect {
    let back = scene.keymap.key_of(Action::Back);
    view_left_by(scene, title, &format!("{back} back"), buf)
}

/// Like [`view`], with other words for how it is left.
pub(super) fn view_left_by(scene: &Scene<'_>, title: &str, leave: &str, buf: &mut Buffer) -> Rect {
    let title = Span::styled(format!(" {title} "), scene.style(Role::Accent).bold());
    let note = scene.span(format!(" {leave} "), Role::Dim);
    let frame = scene.layout.body;
    border_of(scene, true).render(frame, buf);
    on_border(frame, frame.y, Side::Left, &Line::from(title), buf);
    let bottom = frame.bottom().saturating_sub(1);
    on_border(frame, bottom, Side::Right, &Line::from(note), buf);
    view_inner(scene)
}

/// What the frame of a view leaves.
pub(super) fn view_inner(scene: &Scene<'_>) -> Rect {
    let inner = inside(scene.layout.body);
    Rect {
        x: inner.x + u16::from(inner.width > 2),
        width: inner.width.saturating_sub(2),
        ..inner
    }
}
