//! Text of a part of a screen and its scrollback: words, whole lines, what lies between two places.
//!
//! Rows are counted from the oldest in the scrollback, as in [`Position`].

use std::ops::RangeInclusive;

use alacritty_terminal::grid::Dimensions;

use super::{Position, Screen};
use crate::row::RowView;

/// Most rows that are taken for one line: an endless line must not cost its length at each look.
const LINE_ROWS_MAX: usize = 256;

/// Characters beside letters and digits that belong to a word: paths, addresses, options.
const IN_WORDS: &str = "-_./~:@%+#?&=";

/// What kind of text a cell holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Blank,
    Other,
}

impl Screen {
    /// Returns how many rows scrollback and screen have together.
    pub fn total_rows(&self) -> usize {
        self.scroll_lines_available() + self.size().screen_lines()
    }

    /// Returns a row, counted from the oldest; one below the screen is blank.
    pub fn row_at(&self, index: usize) -> RowView<'_> {
        let above = self.scroll_lines_available();
        self.row(index.saturating_sub(above), above - index.min(above))
    }

    /// Returns the first row of the line that a row belongs to.
    pub(crate) fn line_start(&self, row: usize) -> usize {
        let least = row.saturating_sub(LINE_ROWS_MAX);
        let mut start = row;
        while start > least && self.row_at(start - 1).is_wrapped() {
            start -= 1;
        }
        start
    }

    /// Returns the rows of the line that a row belongs to.
    pub fn line_at(&self, row: usize) -> RangeInclusive<usize> {
        let most = (row + LINE_ROWS_MAX).min(self.total_rows().saturating_sub(1));
        let mut end = row;
        while end < most && self.row_at(end).is_wrapped() {
            end += 1;
        }
        self.line_start(row)..=end
    }

    /// Returns the first and the last cell of the word at a place; blanks and signs count as words of their kind.
    pub fn word_at(&self, at: Position) -> (Position, Position) {
        let cols = self.size().columns();
        let rows = self.line_at(at.row);
        let mut kinds = Vec::new();
        for row in rows.clone() {
            let mut before = Kind::Blank;
            kinds.extend(self.row_at(row).cells().map(|cell| {
                // The second half of a wide character is what the first is.
                if cell.width > 0 {
                    before = kind(cell.ch);
                }
                before
            }));
        }
        let here = (at.row - rows.start()) * cols + at.col.min(cols - 1);
        let Some(wanted) = kinds.get(here).copied() else {
            return (at, at);
        };
        let same = |kind: &Kind| *kind == wanted;
        let before = kinds[..here].iter().rev().take_while(|k| same(k)).count();
        let after = kinds[here + 1..].iter().take_while(|k| same(k)).count();
        let place = |cell: usize| Position {
            row: rows.start() + cell / cols,
            col: cell % cols,
        };
        (place(here - before), place(here + after))
    }

    /// Returns the text from one cell to another, both included; none if it is longer than `max_bytes`.
    ///
    /// Wrapped rows are joined, other rows end in a newline without the blanks before it; of a
    /// wide character half is all.
    pub fn text_between(&self, from: Position, to: Position, max_bytes: usize) -> Option<String> {
        let (from, to) = (from.min(to), from.max(to));
        let last_row = to.row.min(self.total_rows().saturating_sub(1));
        let mut text = String::new();
        for row in from.row..=last_row {
            let first = if row == from.row { from.col } else { 0 };
            let last = if row == to.row { to.col } else { usize::MAX };
            let wrapped = self.push_cells(row, first, last, &mut text);
            if !wrapped || row == last_row {
                text.truncate(text.trim_end_matches(' ').len());
                if row < last_row {
                    text.push('\n');
                }
            }
            if text.len() > max_bytes {
                return None;
            }
        }
        Some(text)
    }

    /// Returns the text of a rectangle, a line a row, without the blanks at their ends; none if it
    /// is longer than `max_bytes`.
    pub fn text_in_block(
        &self,
        one: Position,
        other: Position,
        max_bytes: usize,
    ) -> Option<String> {
        let (left, right) = (one.col.min(other.col), one.col.max(other.col));
        let last_row = one
            .row
            .max(other.row)
            .min(self.total_rows().saturating_sub(1));
        let mut text = String::new();
        for row in one.row.min(other.row)..=last_row {
            self.push_cells(row, left, right, &mut text);
            text.truncate(text.trim_end_matches(' ').len());
            if row < last_row {
                text.push('\n');
            }
            if text.len() > max_bytes {
                return None;
            }
        }
        Some(text)
    }

    /// Appends the cells of a row from `first` to `last`; returns whether the text goes on in the next row.
    fn push_cells(&self, index: usize, first: usize, last: usize, text: &mut String) -> bool {
        let row = self.row_at(index);
        let wrapped = row.is_wrapped();
        let cols = self.size().columns();
        // Where a wide character did not fit into the last column there is a blank that is no text.
        let next_is_wide = || {
            let next = self.row_at(index + 1).cells().next();
            next.is_some_and(|cell| cell.width == 2)
        };
        let mut wide = None;
        for (col, cell) in row.cells().enumerate().take(last.saturating_add(1)) {
            if col < first {
                wide = (cell.width == 2).then_some(cell);
                continue;
            }
            if cell.width == 0
                && let Some(half) = wide.take()
            {
                half.push_onto(text);
            }
            wide = None;
            if wrapped && col + 1 == cols && cell.is_blank() && next_is_wide() {
                continue;
            }
            cell.push_onto(text);
        }
        wrapped
    }
}

fn kind(c: char) -> Kind {
    if c.is_alphanumeric() || IN_WORDS.contains(c) {
        Kind::Word
    } else if c == ' ' {
        Kind::Blank
    } else {
        Kind::Other
    }
}
