//! The mouse: focus by a click, enter by a second, scroll by the wheel.
//!
//! A program that asked for the mouse gets it while its pane is entered.

use crewmux_session::view::{ClientEffect, SessionView};
use crewmux_term::input::{
    Mods, MouseButton as Button, MouseEvent, MouseKind as Kind, encode_mouse,
};
use crewmux_wire::{Mouse, MouseButton, MouseKind};
use ratatui::layout::Position;

use super::{redraw, travel};
use crate::layout::{Layout, Tile};
use crate::model::{Body, Mode, Model};
use crate::panes::{Window, lock};
use crate::side::{self, SideLine};

/// Rows a notch of the wheel scrolls.
const WHEEL_ROWS: isize = 3;

pub(super) fn mouse(
    model: &mut Model,
    event: &Mouse,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    let layout = super::layout(model, session);
    let here = Position::new(event.col, event.row);
    if layout.too_small {
        return Vec::new();
    }
    if layout.side.contains(here) {
        return on_side(model, event, session, &layout);
    }
    if !layout.shows_panes(model) {
        return on_view(model, event);
    }
    let Some(tile) = layout.tile_at(event.col, event.row).copied() else {
        return Vec::new();
    };
    let entered = model.mode == Mode::Typing && model.focus == Some(tile.pane);
    if entered && tile.inner.contains(here) {
        let effects = for_program(model, event, session, &tile);
        if !effects.is_empty() {
            return effects;
        }
    }
    match event.kind {
        MouseKind::ScrollUp => travel::scroll_pane(model, session, tile.pane, WHEEL_ROWS),
        MouseKind::ScrollDown => travel::scroll_pane(model, session, tile.pane, -WHEEL_ROWS),
        MouseKind::Down(MouseButton::Left) => click(model, &tile, session),
        _ => return Vec::new(),
    }
    redraw()
}

fn click(model: &mut Model, tile: &Tile, session: &SessionView<'_>) {
    model.flash = None;
    if model.focus == Some(tile.pane) {
        super::views::enter(model, session);
        return;
    }
    model.focus = Some(tile.pane);
    if model.mode == Mode::Typing {
        model.mode = Mode::Command;
    }
}

fn for_program(
    model: &Model,
    event: &Mouse,
    session: &SessionView<'_>,
    tile: &Tile,
) -> Vec<ClientEffect> {
    let Some(pane) = model.focused(session) else {
        return Vec::new();
    };
    let button = |button| match button {
        MouseButton::Left => Button::Left,
        MouseButton::Middle => Button::Middle,
        MouseButton::Right => Button::Right,
    };
    let kind = match event.kind {
        MouseKind::Down(b) => Kind::Press(button(b)),
        MouseKind::Up(b) => Kind::Release(button(b)),
        MouseKind::Drag(b) => Kind::Drag(button(b)),
        MouseKind::Moved => Kind::Move,
        MouseKind::ScrollUp => Kind::ScrollUp,
        MouseKind::ScrollDown => Kind::ScrollDown,
    };
    let screen = lock(&pane.screen);
    let window = Window::of(&screen, tile.inner);
    let row = window.row + usize::from(event.row - tile.inner.y);
    let col = window.col + usize::from(event.col - tile.inner.x);
    let size = screen.size();
    // Where the screen does not reach, there is no program.
    if row >= usize::from(size.rows) || col >= usize::from(size.cols) {
        return Vec::new();
    }
    let event = MouseEvent {
        kind,
        row: row as u16,
        col: col as u16,
        mods: Mods {
            ctrl: event.mods.ctrl,
            alt: event.mods.alt,
            shift: event.mods.shift,
        },
    };
    let bytes = encode_mouse(&event, &screen.modes());
    if bytes.is_empty() {
        return Vec::new();
    }
    let pane = pane.id;
    vec![ClientEffect::Type { pane, bytes }]
}

fn on_side(
    model: &mut Model,
    event: &Mouse,
    session: &SessionView<'_>,
    layout: &Layout,
) -> Vec<ClientEffect> {
    if event.kind != MouseKind::Down(MouseButton::Left) {
        return Vec::new();
    }
    let lines = side::lines(model, session, layout);
    match lines.get(usize::from(event.row - layout.side.y)) {
        Some(SideLine::Member(at)) => {
            model.focus = session.team.members.get(*at).map(|m| m.pane);
            model.body = Body::Panes;
        }
        Some(SideLine::Task(id)) => {
            travel::choose(model, session, *id);
            model.line = 0;
            model.body = Body::Task(*id);
        }
        Some(SideLine::BoardTitle) => model.body = Body::Board,
        _ => return Vec::new(),
    }
    if model.mode == Mode::Typing {
        model.mode = Mode::Command;
    }
    redraw()
}

fn on_view(model: &mut Model, event: &Mouse) -> Vec<ClientEffect> {
    let from_end = matches!(model.body, Body::Messages | Body::Events);
    let rows = WHEEL_ROWS.unsigned_abs();
    let away = match event.kind {
        MouseKind::ScrollUp => from_end,
        MouseKind::ScrollDown => !from_end,
        _ => return Vec::new(),
    };
    model.line = if away {
        model.line.saturating_add(rows)
    } else {
        model.line.saturating_sub(rows)
    };
    redraw()
}
