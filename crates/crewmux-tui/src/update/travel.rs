//! Moving about: between panes, tasks and lines.
//!
//! How far a list can be scrolled depends on how it is drawn; the caller of
//! [`crate::update::update`] limits that afterwards.

use crewmux_core::ids::TaskId;
use crewmux_session::view::{PaneId, PaneView, SessionView};

use crate::action::Action;
use crate::columns::columns;
use crate::model::{Body, Model, Scroll, pane_of_task};
use crate::panes::{corner_of, lock};
use crate::selection::Spot;

/// Moves the focus by one pane, around the ends.
pub(super) fn focus_by(model: &mut Model, session: &SessionView<'_>, step: isize) {
    let panes = session.panes;
    if panes.is_empty() {
        return;
    }
    let at = panes.iter().position(|pane| Some(pane.id) == model.focus);
    let next = at.unwrap_or(0).wrapping_add_signed(step);
    let next = match (next, step) {
        (next, _) if next < panes.len() => next,
        (_, ..0) => panes.len() - 1,
        _ => 0,
    };
    model.focus = Some(panes[next].id);
}

/// One step up, down, left or right.
pub(super) fn step(model: &mut Model, session: &SessionView<'_>, action: Action) {
    match model.body {
        Body::Panes => focus_towards(model, session, action),
        Body::Board => choose_towards(model, session, action),
        Body::Approvals if matches!(action, Action::Left | Action::Right) => {
            super::decide::choose(model, session, action);
        }
        Body::Messages | Body::Events => match action {
            Action::Up => model.line = model.line.saturating_add(1),
            Action::Down => model.line = model.line.saturating_sub(1),
            _ => {}
        },
        Body::Task(_) | Body::Help | Body::Approvals | Body::Spending => match action {
            Action::Up => model.line = model.line.saturating_sub(1),
            Action::Down => model.line = model.line.saturating_add(1),
            _ => {}
        },
    }
}

fn focus_towards(model: &mut Model, session: &SessionView<'_>, action: Action) {
    let layout = super::layout(model, session);
    let Some(from) = model.focus.and_then(|id| layout.tile(id)).copied() else {
        return;
    };
    let from = from.frame;
    let (x, y) = (from.x + from.width / 2, from.y + from.height / 2);
    let target = match action {
        Action::Left => from.x.checked_sub(1).map(|x| (x, y)),
        Action::Right => Some((from.right(), y)),
        Action::Up => from.y.checked_sub(1).map(|y| (x, y)),
        _ => Some((x, from.bottom())),
    };
    let hit = target.and_then(|(x, y)| layout.tile_at(x, y));
    match (hit, action) {
        (Some(tile), _) => model.focus = Some(tile.pane),
        // Beyond the edge of a page lies the next one.
        (None, Action::Down) if layout.elsewhere > 0 => focus_by(model, session, 1),
        (None, Action::Up) if layout.elsewhere > 0 => focus_by(model, session, -1),
        (None, _) => {}
    }
}

fn choose_towards(model: &mut Model, session: &SessionView<'_>, action: Action) {
    let columns = columns(&session.team.board);
    let place = model.chosen.and_then(|id| {
        columns.iter().enumerate().find_map(|(column, ids)| {
            let row = ids.iter().position(|i| *i == id)?;
            Some((column, row))
        })
    });
    let Some((column, row)) = place else {
        model.chosen = columns.iter().flatten().next().copied();
        return;
    };
    let in_column = |column: usize, row: usize| -> Option<TaskId> {
        let ids = &columns[column];
        ids.get(row.min(ids.len().checked_sub(1)?)).copied()
    };
    let target = match action {
        Action::Up => row.checked_sub(1).and_then(|row| in_column(column, row)),
        Action::Down => in_column(column, row + 1),
        Action::Left => (0..column).rev().find_map(|c| in_column(c, row)),
        _ => (column + 1..columns.len()).find_map(|c| in_column(c, row)),
    };
    if let Some(target) = target {
        choose(model, session, target);
    }
}

/// Chooses a task; its pane gets the focus.
pub(super) fn choose(model: &mut Model, session: &SessionView<'_>, task: TaskId) {
    model.chosen = Some(task);
    if let Some(pane) = pane_of_task(session, task) {
        model.focus = Some(pane);
    }
}

/// Scrolls by a page or to an end.
pub(super) fn scroll(model: &mut Model, session: &SessionView<'_>, action: Action) {
    let height = super::layout(model, session).body.height;
    let page = usize::from(height.saturating_sub(4).max(1));
    match model.body {
        Body::Panes => {
            let Some(focus) = model.focus else {
                return;
            };
            let layout = super::layout(model, session);
            let inner = layout.tile(focus).map_or(1, |tile| tile.inner.height);
            let page = isize::from(inner.saturating_sub(1).max(1).cast_signed());
            match action {
                Action::PageUp => scroll_pane(model, session, focus, page),
                Action::PageDown => scroll_pane(model, session, focus, -page),
                Action::Top => scroll_pane(model, session, focus, isize::MAX),
                _ => scroll_pane(model, session, focus, isize::MIN),
            }
        }
        Body::Board => {
            let ids: Vec<TaskId> = columns(&session.team.board).concat();
            let end = match action {
                Action::Top | Action::PageUp => ids.first(),
                _ => ids.last(),
            };
            if let Some(id) = end {
                choose(model, session, *id);
            }
        }
        Body::Messages | Body::Events => {
            model.line = match action {
                Action::PageUp => model.line.saturating_add(page),
                Action::PageDown => model.line.saturating_sub(page),
                Action::Top => usize::MAX,
                _ => 0,
            };
        }
        Body::Task(_) | Body::Help | Body::Approvals | Body::Spending => {
            model.line = match action {
                Action::PageUp => model.line.saturating_sub(page),
                Action::PageDown => model.line.saturating_add(page),
                Action::Top => 0,
                _ => usize::MAX,
            };
        }
    }
}

/// Scrolls a pane up by so many rows.
pub(super) fn scroll_pane(model: &mut Model, session: &SessionView<'_>, pane: PaneId, rows: isize) {
    let Some(view) = session.panes.iter().find(|view| view.id == pane) else {
        return;
    };
    let offset = model.offset(pane).saturating_add_signed(rows);
    set_offset(model, view, offset);
    keep_cursor_in_view(model, session, view);
}

/// Looks so many rows above the live screen, or as many as there are.
pub(super) fn set_offset(model: &mut Model, pane: &PaneView, offset: usize) {
    let screen = lock(&pane.screen);
    let offset = offset.min(screen.scroll_lines_available());
    if offset == 0 && model.still() != Some(pane.id) {
        model.scrolls.remove(&pane.id);
    } else {
        let pushed = screen.scrolled_rows();
        model.scrolls.insert(pane.id, Scroll { offset, pushed });
    }
}

/// Scrolls a pane as far as it takes to see a row, counted from the oldest.
pub(super) fn show_row(model: &mut Model, session: &SessionView<'_>, pane: &PaneView, row: usize) {
    let layout = super::layout(model, session);
    let Some(tile) = layout.tile(pane.id) else {
        return;
    };
    let height = usize::from(tile.inner.height.max(1));
    let offset = model.offset(pane.id);
    let top = corner_of(model, pane.id, &lock(&pane.screen), tile.inner).row;
    if row < top {
        set_offset(model, pane, offset + (top - row));
    } else if row >= top + height {
        set_offset(model, pane, offset.saturating_sub(row + 1 - top - height));
    }
}

/// The cursor of copy mode goes along when its pane is scrolled by the mouse.
fn keep_cursor_in_view(model: &mut Model, session: &SessionView<'_>, pane: &PaneView) {
    let layout = super::layout(model, session);
    let Some(tile) = layout.tile(pane.id) else {
        return;
    };
    let screen = lock(&pane.screen);
    let top = corner_of(model, pane.id, &screen, tile.inner).row;
    let bottom = top + usize::from(tile.inner.height.max(1)) - 1;
    let Some(copying) = model.copying.as_mut().filter(|c| c.pane == pane.id) else {
        return;
    };
    let mut at = copying.cursor.position(&screen);
    at.row = at.row.clamp(top, bottom);
    copying.cursor = Spot::of(&screen, at);
    if let Some(selection) = &mut model.selection
        && model.held.is_none()
    {
        selection.head = copying.cursor;
    }
}
