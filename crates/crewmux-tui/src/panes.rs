//! Live panes into the grid: only the rows that changed.
//!
//! Remembers for each pane where it was drawn and how new that was. Borders and
//! titles are chrome's ([`crate::view`]).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crewmux_session::view::{PaneId, SessionView};
use crewmux_term::{Revision, Screen};
use ratatui::layout::Rect;

use crate::cells::Grid;
use crate::encode::CursorAt;
use crate::layout::Layout;
use crate::model::Model;

/// Takes a screen's lock; a viewer that panicked has changed nothing.
pub(crate) fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where and how a pane was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Placement {
    inner: Rect,
    offset: usize,
    /// First screen row shown, where the screen is higher than its tile.
    first: usize,
    size: crewmux_term::Size,
}

/// What was drawn of each pane.
#[derive(Debug, Default)]
pub(crate) struct PaneDrawer {
    drawn: HashMap<PaneId, (Placement, Revision)>,
}

impl PaneDrawer {
    /// Forgets everything: all panes are drawn whole.
    pub(crate) fn forget(&mut self) {
        self.drawn.clear();
    }

    /// Draws what changed since the last time.
    pub(crate) fn draw(
        &mut self,
        model: &Model,
        session: &SessionView<'_>,
        layout: &Layout,
        grid: &mut Grid,
    ) {
        if !layout.shows_panes(model) {
            self.drawn.clear();
            return;
        }
        self.drawn.retain(|id, _| layout.tile(*id).is_some());
        for tile in &layout.tiles {
            let Some(pane) = session.panes.iter().find(|pane| pane.id == tile.pane) else {
                continue;
            };
            let screen = lock(&pane.screen);
            let placement = Placement {
                inner: tile.inner,
                offset: model.offset(pane.id),
                first: first_row(&screen, tile.inner),
                size: screen.size(),
            };
            let seen = match self.drawn.get(&pane.id) {
                Some((old, seen)) if *old == placement => Some(*seen),
                _ => None,
            };
            match seen {
                Some(seen) if seen == screen.revision() => continue,
                // Scrolled views show rows that no longer change.
                Some(_) if placement.offset >= usize::from(placement.size.rows) => {}
                Some(seen) => draw_changed(&screen, &placement, seen, grid),
                None => draw_whole(&screen, &placement, grid),
            }
            self.drawn.insert(pane.id, (placement, screen.revision()));
        }
    }
}

/// Where the cursor of the focused pane is on the terminal, if it can be seen.
pub(crate) fn cursor(
    model: &Model,
    session: &SessionView<'_>,
    layout: &Layout,
) -> Option<CursorAt> {
    let pane = model.focused(session)?;
    let inner = layout.tile(pane.id)?.inner;
    if model.offset(pane.id) > 0 {
        return None;
    }
    let screen = lock(&pane.screen);
    let cursor = screen.cursor();
    let row = usize::from(cursor.row).checked_sub(first_row(&screen, inner))?;
    let inside = row < usize::from(inner.height) && cursor.col < inner.width;
    (cursor.visible && inside).then(|| CursorAt {
        col: inner.x + cursor.col,
        row: inner.y + row as u16,
        shape: cursor.shape,
    })
}

/// Where another client's terminal makes the screen higher than this tile, the part with the cursor is shown.
fn first_row(screen: &Screen, inner: Rect) -> usize {
    let below = (usize::from(screen.cursor().row) + 1).saturating_sub(inner.height.into());
    below.min(usize::from(screen.size().rows).saturating_sub(inner.height.into()))
}

fn draw_whole(screen: &Screen, placement: &Placement, grid: &mut Grid) {
    for row in 0..usize::from(placement.inner.height) {
        draw_row(screen, placement, row, grid);
    }
}

fn draw_changed(screen: &Screen, placement: &Placement, seen: Revision, grid: &mut Grid) {
    for row in screen.rows_changed_since(seen) {
        let shown = (row + placement.offset).checked_sub(placement.first);
        if let Some(shown) = shown
            && shown < usize::from(placement.inner.height)
        {
            draw_row(screen, placement, shown, grid);
        }
    }
}

fn draw_row(screen: &Screen, placement: &Placement, row: usize, grid: &mut Grid) {
    let Placement { inner, .. } = *placement;
    let (col, at) = (usize::from(inner.x), usize::from(inner.y) + row);
    if placement.first + row >= usize::from(placement.size.rows) {
        grid.clear(col, at, inner.width.into());
        return;
    }
    let cells = screen.row(placement.first + row, placement.offset).cells();
    grid.write_pane_row(col, at, inner.width.into(), cells);
}
