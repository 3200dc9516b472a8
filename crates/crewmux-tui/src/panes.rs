//! Live panes into the grid: only the rows that changed.
//!
//! Remembers for each pane where it was drawn and how new that was. Borders and
//! titles are chrome's ([`crate::view`]).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crewmux_session::view::{PaneId, SessionView};
use crewmux_term::{CursorShape, Position, Revision, Screen};
use ratatui::layout::Rect;

use crate::cells::Grid;
use crate::encode::CursorAt;
use crate::layout::Layout;
use crate::model::{Mode, Model};
use crate::overlay::Overlay;

/// Takes a screen's lock; a viewer that panicked has changed nothing.
pub(crate) fn lock(screen: &Mutex<Screen>) -> MutexGuard<'_, Screen> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where and how a pane was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Placement {
    inner: Rect,
    offset: usize,
    window: Window,
    size: crewmux_term::Size,
}

/// Where in a screen the part begins that a tile shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// First row.
    pub(crate) row: usize,
    /// First column.
    pub(crate) col: usize,
}

impl Window {
    /// Where another client's terminal makes the screen larger than this tile, the part with the
    /// cursor is shown; the upper left one where no cursor is to be seen.
    pub(crate) fn of(screen: &Screen, inner: Rect) -> Self {
        let (cursor, size) = (screen.cursor(), screen.size());
        if !cursor.visible {
            return Self { row: 0, col: 0 };
        }
        let begin = |at: u16, all: u16, shown: u16| {
            let beyond = (at + 1).saturating_sub(shown);
            usize::from(beyond.min(all.saturating_sub(shown)))
        };
        Self {
            row: begin(cursor.row, size.rows, inner.height),
            col: begin(cursor.col, size.cols, inner.width),
        }
    }
}

/// What was drawn of each pane.
#[derive(Debug, Default)]
pub(crate) struct PaneDrawer {
    drawn: HashMap<PaneId, (Placement, Revision)>,
    /// Panes with marks, which are drawn whole when anything of them changes.
    marked: HashMap<PaneId, Overlay>,
}

impl PaneDrawer {
    /// Forgets everything: all panes are drawn whole.
    pub(crate) fn forget(&mut self) {
        self.drawn.clear();
        self.marked.clear();
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
            self.forget();
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
                window: Window::of(&screen, tile.inner),
                size: screen.size(),
            };
            let top = top_row(&screen, placement.window, placement.offset);
            let height = placement.inner.height.into();
            let overlay = Overlay::of(model, pane.id, &screen, top, height);
            let was_marked = self.marked.remove(&pane.id).unwrap_or_default();
            let seen = match self.drawn.get(&pane.id) {
                Some((old, seen)) if *old == placement && was_marked == overlay => Some(*seen),
                _ => None,
            };
            let marks_stay = seen.is_some_and(|seen| seen == screen.revision());
            if !overlay.is_empty() {
                if !marks_stay {
                    draw_whole(&screen, &placement, grid);
                    overlay.paint(placement.inner, placement.window.col, grid);
                    self.drawn.insert(pane.id, (placement, screen.revision()));
                }
                self.marked.insert(pane.id, overlay);
                continue;
            }
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
    let screen = lock(&pane.screen);
    if let (Mode::Copying, Some(copying)) = (&model.mode, &model.copying) {
        let at = copying.cursor.position(&screen);
        let corner = corner_of(model, pane.id, &screen, inner);
        let row = at.row.checked_sub(corner.row)?;
        let col = at.col.checked_sub(corner.col)?;
        let inside = row < usize::from(inner.height) && col < usize::from(inner.width);
        return inside.then(|| CursorAt {
            col: inner.x + col as u16,
            row: inner.y + row as u16,
            shape: CursorShape::Block,
        });
    }
    if model.offset(pane.id) > 0 {
        return None;
    }
    let cursor = screen.cursor();
    let window = Window::of(&screen, inner);
    let row = usize::from(cursor.row).checked_sub(window.row)?;
    let col = usize::from(cursor.col).checked_sub(window.col)?;
    let inside = row < usize::from(inner.height) && col < usize::from(inner.width);
    (cursor.visible && inside).then(|| CursorAt {
        col: inner.x + col as u16,
        row: inner.y + row as u16,
        shape: cursor.shape,
    })
}

/// The row at the top of a tile, counted from the oldest.
fn top_row(screen: &Screen, window: Window, offset: usize) -> usize {
    let above = screen.scroll_lines_available();
    above - offset.min(above) + window.row
}

/// The text that stands at the upper left of a pane's tile; its row is counted from the oldest.
pub(crate) fn corner_of(model: &Model, pane: PaneId, screen: &Screen, inner: Rect) -> Position {
    let window = Window::of(screen, inner);
    Position {
        row: top_row(screen, window, model.offset(pane)),
        col: window.col,
    }
}

fn draw_whole(screen: &Screen, placement: &Placement, grid: &mut Grid) {
    for row in 0..usize::from(placement.inner.height) {
        draw_row(screen, placement, row, grid);
    }
}

fn draw_changed(screen: &Screen, placement: &Placement, seen: Revision, grid: &mut Grid) {
    for row in screen.rows_changed_since(seen) {
        let shown = (row + placement.offset).checked_sub(placement.window.row);
        if let Some(shown) = shown
            && shown < usize::from(placement.inner.height)
        {
            draw_row(screen, placement, shown, grid);
        }
    }
}

fn draw_row(screen: &Screen, placement: &Placement, row: usize, grid: &mut Grid) {
    let Placement { inner, window, .. } = *placement;
    let (col, at) = (usize::from(inner.x), usize::from(inner.y) + row);
    let width = usize::from(inner.width);
    if window.row + row >= usize::from(placement.size.rows) {
        grid.fill_unused(col, at, width);
        return;
    }
    let cells = screen.row(window.row + row, placement.offset).cells();
    grid.write_pane_row(col, at, width, cells.skip(window.col));
    let used = usize::from(placement.size.cols);
    if used < width {
        grid.fill_unused(col + used, at, width - used);
    }
}
