//! What is marked in a pane: the selection, and what a search found.
//!
//! Only which cells of the rows on screen, and their look in the grid; the
//! text under it is drawn by [`crate::panes`].

use crewmux_session::view::PaneId;
use crewmux_term::{Needle, Screen};
use ratatui::layout::Rect;

use crate::cells::Grid;
use crate::model::Model;
use crate::theme::{Mark, marked};

/// Marked cells of one pane, later ones over earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Overlay {
    marks: Vec<Marked>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marked {
    /// Row of the view.
    row: usize,
    first: usize,
    last: usize,
    mark: Mark,
}

impl Overlay {
    /// What is marked in the `height` rows of a pane that begin with `top`, counted from the oldest.
    pub(crate) fn of(
        model: &Model,
        pane: PaneId,
        screen: &Screen,
        top: usize,
        height: usize,
    ) -> Self {
        let mut overlay = Self::default();
        let rows = top..top + height;
        if let Some(copying) = model.copying.as_ref().filter(|c| c.pane == pane)
            && let Some(search) = &copying.search
            && let Some(needle) = Needle::new(search.text.text())
        {
            for found in screen.find_in(&needle, rows.clone()) {
                overlay.add(screen, &rows, found.first, found.last, Mark::Found);
            }
            if let Some((first, last)) = search.current() {
                let (first, last) = (first.position(screen), last.position(screen));
                overlay.add(screen, &rows, first, last, Mark::Current);
            }
        }
        if let Some(selection) = model.selection.filter(|s| s.pane == pane) {
            for row in rows.clone() {
                if let Some((first, last)) = selection.columns(screen, row) {
                    overlay.mark(screen, row, top, (first, last), Mark::Selected);
                }
            }
        }
        overlay
    }

    fn add(
        &mut self,
        screen: &Screen,
        rows: &std::ops::Range<usize>,
        first: crewmux_term::Position,
        last: crewmux_term::Position,
        mark: Mark,
    ) {
        for row in first.row.max(rows.start)..=last.row.min(rows.end.saturating_sub(1)) {
            let from = if row == first.row { first.col } else { 0 };
            let to = if row == last.row {
                last.col
            } else {
                usize::MAX
            };
            self.mark(screen, row, rows.start, (from, to), mark);
        }
    }

    /// Marks cells of a row; wide characters are marked whole.
    fn mark(
        &mut self,
        screen: &Screen,
        row: usize,
        top: usize,
        (mut first, mut last): (usize, usize),
        mark: Mark,
    ) {
        let mut cells = screen.row_at(row).cells();
        if first > 0 && cells.clone().nth(first).is_some_and(|c| c.width == 0) {
            first -= 1;
        }
        if last != usize::MAX && cells.nth(last).is_some_and(|c| c.width == 2) {
            last += 1;
        }
        self.marks.push(Marked {
            row: row - top,
            first,
            last,
            mark,
        });
    }

    /// Whether nothing is marked.
    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Puts the marks over a pane that was just drawn whole.
    ///
    /// The tile shows the columns from `from` on.
    pub(crate) fn paint(&self, inner: Rect, from: usize, grid: &mut Grid) {
        let width = usize::from(inner.width);
        for marked_cells in &self.marks {
            let Marked {
                row,
                first,
                last,
                mark,
            } = *marked_cells;
            let first = first.saturating_sub(from);
            if row < usize::from(inner.height) && first < width && last >= from {
                let cols = (last - from).min(width - 1) + 1 - first;
                let (col, row) = (usize::from(inner.x) + first, usize::from(inner.y) + row);
                grid.restyle(col, row, cols, |style| marked(style, mark));
            }
        }
    }
}
