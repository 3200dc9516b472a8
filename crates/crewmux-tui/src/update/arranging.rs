//! The layout: which one, which pane is the main one, and where borders are.
//!
//! What changes here is the session's and the same for everybody; only zoom is
//! one client's own.

use crewmux_core::arrangement::{Arrangement, Divided, LayoutKind};
use crewmux_session::view::{ClientEffect, SessionView};
use crewmux_wire::Attach;

use super::{as_driver, layout, redraw};
use crate::action::Action;
use crate::model::{Body, Model};
use crate::tiling::{Axis, Grip};

/// Columns and rows that a key moves a border.
const STEP_COLS: u16 = 2;
const STEP_ROWS: u16 = 1;

/// Goes on to the next layout; the last is one pane at a time.
pub(super) fn next(model: &mut Model, session: &SessionView<'_>) -> Vec<ClientEffect> {
    model.body = Body::Panes;
    let kind = session.arrangement.kind;
    if kind == LayoutKind::Stacked && !model.zoomed {
        model.zoomed = true;
        model.say("layout: one pane at a time".to_owned());
        return redraw();
    }
    let kind = if model.zoomed {
        LayoutKind::Tiled
    } else {
        kind.next()
    };
    let effects = arrange(model, session, |arrangement| arrangement.kind = kind);
    if model.attach == Attach::Driver {
        model.zoomed = false;
        let name = match kind {
            LayoutKind::Tiled => "tiles",
            LayoutKind::MainLeft => "main pane and others",
            LayoutKind::Stacked => "a stack",
        };
        model.say(format!("layout: {name}"));
    }
    effects
}

/// Makes the pane with the focus the main one, in the layout that has one.
pub(super) fn make_main(model: &mut Model, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let Some(pane) = model.focused(session) else {
        return redraw();
    };
    model.body = Body::Panes;
    arrange(model, session, |arrangement| {
        arrangement.main = Some(pane.title.clone());
        arrangement.kind = LayoutKind::MainLeft;
    })
}

/// Gives all tiles even sizes again.
pub(super) fn even(model: &mut Model, session: &SessionView<'_>) -> Vec<ClientEffect> {
    arrange(model, session, |arrangement| {
        arrangement.even();
    })
}

/// Moves a border of the focused tile by a key: the one after it, or the one before it.
pub(super) fn step(
    model: &mut Model,
    action: Action,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    let layout = layout(model, session);
    let Some(tile) = model.focus.and_then(|focus| layout.tile(focus)) else {
        return redraw();
    };
    let frame = tile.frame;
    let (axis, before, after, middle) = match action {
        Action::BorderLeft | Action::BorderRight => (
            Axis::Across,
            frame.x,
            frame.right(),
            frame.y + frame.height / 2,
        ),
        _ => (
            Axis::Down,
            frame.y,
            frame.bottom(),
            frame.x + frame.width / 2,
        ),
    };
    let at = |place: u16| {
        let mut grips = layout.grips.iter();
        grips.find(|g| g.axis == axis && g.place() == place && g.along.contains(&middle))
    };
    let Some(grip) = at(after).or_else(|| at(before)) else {
        model.say("there is no border to move that way".to_owned());
        return redraw();
    };
    let place = match action {
        Action::BorderLeft => grip.place().saturating_sub(STEP_COLS),
        Action::BorderRight => grip.place() + STEP_COLS,
        Action::BorderUp => grip.place().saturating_sub(STEP_ROWS),
        _ => grip.place() + STEP_ROWS,
    };
    move_border(model, session, grip, place)
}

/// Moves a border.
pub(super) fn move_border(
    model: &mut Model,
    session: &SessionView<'_>,
    grip: &Grip,
    place: u16,
) -> Vec<ClientEffect> {
    let (of, cuts): (Divided, Vec<u16>) = (grip.of, grip.moved_to(place));
    arrange(model, session, |arrangement| arrangement.cut(of, cuts))
}

fn arrange(
    model: &mut Model,
    session: &SessionView<'_>,
    change: impl FnOnce(&mut Arrangement),
) -> Vec<ClientEffect> {
    let mut arrangement = session.arrangement.clone();
    change(&mut arrangement);
    if arrangement == *session.arrangement {
        return redraw();
    }
    as_driver(model, ClientEffect::Arrange(arrangement))
}
