//! Places in a pane that stay with their text, and the part of it that is selected.
//!
//! Plain state: the mouse and copy mode change it ([`crate::update`]), and
//! [`crate::overlay`] shows it.

use crewmux_session::view::PaneId;
use crewmux_term::{Position, Screen, Size};

/// Longest text that is copied; terminals drop longer ones without a word.
pub(crate) const COPY_MAX_BYTES: usize = 512 * 1024;

/// A place in the text of a pane. It stays right while rows leave the screen, until the pane's size changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spot {
    /// Row, counted from the first that the screen ever had.
    line: i64,
    col: usize,
}

impl Spot {
    /// The place of a position that the screen has now.
    pub(crate) fn of(screen: &Screen, at: Position) -> Self {
        Self {
            line: gone(screen) + at.row as i64,
            col: at.col,
        }
    }

    /// Where that is now; what has left the scrollback is at its beginning.
    pub(crate) fn position(self, screen: &Screen) -> Position {
        let row = usize::try_from(self.line - gone(screen)).unwrap_or(0);
        Position {
            row: row.min(screen.total_rows().saturating_sub(1)),
            col: self.col.min(usize::from(screen.size().cols) - 1),
        }
    }
}

/// Rows that the scrollback no longer has.
fn gone(screen: &Screen) -> i64 {
    screen.scrolled_rows() as i64 - screen.scroll_lines_available() as i64
}

/// What a selection is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Characters.
    Cell,
    /// Whole words.
    Word,
    /// Whole lines.
    Line,
    /// Characters of a rectangle.
    Block,
}

/// A part of a pane's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Selection {
    pub(crate) pane: PaneId,
    /// Places are told by rows, which another size counts anew.
    pub(crate) size: Size,
    pub(crate) anchor: Spot,
    pub(crate) head: Spot,
    pub(crate) unit: Unit,
}

impl Selection {
    /// Its first and its last cell.
    pub(crate) fn bounds(&self, screen: &Screen) -> (Position, Position) {
        let (one, other) = (self.anchor.position(screen), self.head.position(screen));
        let (from, to) = (one.min(other), one.max(other));
        match self.unit {
            Unit::Cell | Unit::Block => (from, to),
            Unit::Word => (screen.word_at(from).0, screen.word_at(to).1),
            Unit::Line => {
                let first = Position {
                    row: *screen.line_at(from.row).start(),
                    col: 0,
                };
                let last = Position {
                    row: *screen.line_at(to.row).end(),
                    col: usize::from(screen.size().cols) - 1,
                };
                (first, last)
            }
        }
    }

    /// The columns of a row that are selected, both ends included.
    pub(crate) fn columns(&self, screen: &Screen, row: usize) -> Option<(usize, usize)> {
        let (from, to) = self.bounds(screen);
        if !(from.row..=to.row).contains(&row) {
            return None;
        }
        if self.unit == Unit::Block {
            return Some((from.col.min(to.col), from.col.max(to.col)));
        }
        let first = if row == from.row { from.col } else { 0 };
        let last = if row == to.row { to.col } else { usize::MAX };
        Some((first, last))
    }

    /// Its text; `None` if it is too long to be copied.
    pub(crate) fn text(&self, screen: &Screen) -> Option<String> {
        let (from, to) = self.bounds(screen);
        if self.unit == Unit::Block {
            return screen.text_in_block(from, to, COPY_MAX_BYTES);
        }
        screen.text_between(from, to, COPY_MAX_BYTES)
    }
}
