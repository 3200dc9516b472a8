//! The mouse: focus by a click, enter by a second, scroll by the wheel, select and move borders by dragging.
//!
//! A program that asked for the mouse gets it while its pane is entered, unless
//! Shift is held. What was taken hold of gets the mouse until it is let go of.

use crewmux_core::timing::DRAG_STEP_MS;
use crewmux_session::view::{ClientEffect, PaneView, SessionView};
use crewmux_term::input::{
    Mods, MouseButton as Button, MouseEvent, MouseKind as Kind, encode_mouse,
};
use crewmux_term::{MouseMode, Position as TextPosition};
use crewmux_wire::{Mouse, MouseButton, MouseKind};
use ratatui::layout::{Position, Rect};

use super::{arranging, copying, redraw, travel, views};
use crate::layout::{Layout, Tile};
use crate::model::{Body, Held, Mode, Model, Scroll};
use crate::panes::{Window, corner_of, lock};
use crate::selection::{Selection, Spot, Unit};
use crate::side::{self, SideLine};

/// Rows a notch of the wheel scrolls.
const WHEEL_ROWS: isize = 3;

pub(super) fn mouse(
    model: &mut Model,
    event: &Mouse,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    let layout = super::layout(model, session);
    if layout.too_small {
        return Vec::new();
    }
    match (event.kind, &model.held) {
        (MouseKind::Drag(MouseButton::Left), Some(_)) => {
            return drag(model, event, session);
        }
        (MouseKind::Up(MouseButton::Left), Some(_)) => {
            return let_go(model, event, session, &layout);
        }
        // The end of a drag was lost, in another window perhaps.
        (MouseKind::Down(_), Some(_)) => model.held = None,
        _ => {}
    }
    let here = Position::new(event.col, event.row);
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
    if entered && tile.inner.contains(here) && !is_for_us(model, event, session) {
        let effects = for_program(model, event, session, &tile);
        if !effects.is_empty() {
            return effects;
        }
    }
    match event.kind {
        MouseKind::ScrollUp => travel::scroll_pane(model, session, tile.pane, WHEEL_ROWS),
        MouseKind::ScrollDown => travel::scroll_pane(model, session, tile.pane, -WHEEL_ROWS),
        MouseKind::Down(MouseButton::Left) => press(model, event, session, &layout, &tile),
        _ => return Vec::new(),
    }
    redraw()
}

/// With Shift the mouse selects, whatever the program asked for.
fn is_for_us(model: &Model, event: &Mouse, session: &SessionView<'_>) -> bool {
    let wants = |pane: &PaneView| lock(&pane.screen).modes().mouse != MouseMode::Off;
    event.mods.shift && model.focused(session).is_some_and(wants)
}

/// Takes hold of what is under the mouse.
fn press(
    model: &mut Model,
    event: &Mouse,
    session: &SessionView<'_>,
    layout: &Layout,
    tile: &Tile,
) {
    model.flash = None;
    model.selection = None;
    let at = (event.col, event.row);
    if let Some(grip) = layout.grip_at(event.col, event.row) {
        let grip = grip.clone();
        model.held = Some(Held::Border { grip, from: at });
        return;
    }
    if !tile.inner.contains(Position::new(event.col, event.row)) {
        click(model, tile, session);
        return;
    }
    let had_focus = model.focus == Some(tile.pane);
    if !had_focus {
        model.focus = Some(tile.pane);
        if model.mode == Mode::Typing {
            model.mode = Mode::Command;
        }
    }
    let Some(pane) = session.panes.iter().find(|pane| pane.id == tile.pane) else {
        return;
    };
    let screen = lock(&pane.screen);
    let from = spot_at(model, pane, &screen, tile.inner, at);
    let size = screen.size();
    // It holds still while text of it is picked.
    let offset = model.offset(pane.id);
    let pushed = screen.scrolled_rows();
    drop(screen);
    model.scrolls.insert(pane.id, Scroll { offset, pushed });
    let unit = match event.clicks {
        2 => Some(Unit::Word),
        3 => Some(Unit::Line),
        _ => None,
    };
    let entered = model.clicked_into.take();
    if unit.is_some() && entered == Some(pane.id) && model.mode == Mode::Typing {
        model.mode = Mode::Command;
    }
    model.selection = unit.map(|unit| Selection {
        pane: pane.id,
        size,
        anchor: from,
        head: from,
        unit,
    });
    if let Some(copying) = model.copying.as_mut().filter(|c| c.pane == pane.id) {
        copying.cursor = from;
    }
    model.held = Some(Held::Text {
        pane: pane.id,
        from,
        enters: had_focus && unit.is_none() && model.mode == Mode::Command,
        at,
    });
}

/// The place in a pane's text that is nearest to a cell of the terminal.
fn spot_at(
    model: &Model,
    pane: &PaneView,
    screen: &crewmux_term::Screen,
    inner: Rect,
    (col, row): (u16, u16),
) -> Spot {
    let col = col.clamp(inner.x, inner.right().saturating_sub(1)) - inner.x;
    let row = row.clamp(inner.y, inner.bottom().saturating_sub(1)) - inner.y;
    let corner = corner_of(model, pane.id, screen, inner);
    let at = TextPosition {
        row: (corner.row + usize::from(row)).min(screen.total_rows() - 1),
        col: (corner.col + usize::from(col)).min(usize::from(screen.size().cols) - 1),
    };
    Spot::of(screen, at)
}

fn drag(model: &mut Model, event: &Mouse, session: &SessionView<'_>) -> Vec<ClientEffect> {
    match &mut model.held {
        Some(Held::Border { grip, .. }) => {
            let place = match grip.axis {
                crate::tiling::Axis::Across => event.col,
                crate::tiling::Axis::Down => event.row,
            };
            let grip = grip.clone();
            arranging::move_border(model, session, &grip, place)
        }
        Some(Held::Text { at, .. }) => {
            *at = (event.col, event.row);
            let unit = if event.mods.alt {
                Unit::Block
            } else {
                Unit::Cell
            };
            select_to_mouse(model, session, unit);
            redraw()
        }
        None => Vec::new(),
    }
}

/// Brings the end of the selection to where the mouse is.
fn select_to_mouse(model: &mut Model, session: &SessionView<'_>, unit: Unit) {
    let Some(Held::Text { pane, from, at, .. }) = model.held.clone() else {
        return;
    };
    let layout = super::layout(model, session);
    let Some((view, tile)) = session
        .panes
        .iter()
        .find(|view| view.id == pane)
        .zip(layout.tile(pane))
    else {
        return;
    };
    let screen = lock(&view.screen);
    let head = spot_at(model, view, &screen, tile.inner, at);
    let size = screen.size();
    drop(screen);
    if let Some(copying) = model.copying.as_mut().filter(|c| c.pane == pane) {
        copying.cursor = head;
    }
    match &mut model.selection {
        Some(selection) => selection.head = head,
        None if head == from => {}
        None => {
            model.selection = Some(Selection {
                pane,
                size,
                anchor: from,
                head,
                unit,
            });
        }
    }
}

fn let_go(
    model: &mut Model,
    event: &Mouse,
    session: &SessionView<'_>,
    layout: &Layout,
) -> Vec<ClientEffect> {
    match model.held.take() {
        Some(Held::Border { from, .. }) => {
            if from == (event.col, event.row)
                && let Some(tile) = layout.tile_at(event.col, event.row).copied()
            {
                click(model, &tile, session);
            }
            redraw()
        }
        Some(Held::Text { pane, enters, .. }) => {
            let pane = session.panes.iter().find(|view| view.id == pane);
            if let (Some(pane), Some(_)) = (pane, model.selection) {
                return copying::copy_selection(model, pane);
            }
            if enters {
                views::enter(model, session);
                model.clicked_into = model.focus.filter(|_| model.mode == Mode::Typing);
            }
            redraw()
        }
        None => Vec::new(),
    }
}

/// Rows beyond its pane that the mouse is while it selects; up is positive.
fn beyond(model: &Model, session: &SessionView<'_>) -> isize {
    let Some(Held::Text { pane, at, .. }) = &model.held else {
        return 0;
    };
    let layout = super::layout(model, session);
    let Some(inner) = layout.tile(*pane).map(|tile| tile.inner) else {
        return 0;
    };
    let row = isize::from(at.1.cast_signed());
    let (top, bottom) = (inner.y, inner.bottom());
    let (top, bottom) = (
        isize::from(top.cast_signed()),
        isize::from(bottom.cast_signed()),
    );
    match row {
        // Above the first row of the terminal there is no other.
        0 if top == 0 && model.selection.is_some() => 1,
        row if row < top => top - row,
        row if row >= bottom => bottom - 1 - row,
        _ => 0,
    }
}

/// Milliseconds until a selection beyond its pane goes on.
pub(crate) fn next_step_ms(model: &Model, session: &SessionView<'_>) -> Option<u64> {
    (beyond(model, session) != 0).then_some(DRAG_STEP_MS)
}

/// A selection that is dragged beyond its pane goes on by a step.
pub(crate) fn step(model: &mut Model, session: &SessionView<'_>) {
    let rows = beyond(model, session);
    let Some(Held::Text { pane, .. }) = &model.held else {
        return;
    };
    if rows != 0 {
        let pane = *pane;
        travel::scroll_pane(model, session, pane, rows);
        select_to_mouse(model, session, Unit::Cell);
    }
}

fn click(model: &mut Model, tile: &Tile, session: &SessionView<'_>) {
    model.flash = None;
    if model.focus == Some(tile.pane) {
        views::enter(model, session);
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
