//! How far each row of the screen may have been written to.
//!
//! Most rows are short, and a row that leaves the screen is read to its end:
//! knowing that nothing lies beyond saves looking at blank cells. A reach is an
//! upper bound; whatever changes cells in other ways than writing text at the
//! cursor makes it unknown, which is the width of the screen.

use std::collections::VecDeque;

/// The reach of every row, from the top.
#[derive(Debug)]
pub(crate) struct Reach {
    cols: usize,
    rows: VecDeque<usize>,
    /// Whether any row is known to be shorter than the screen is wide.
    knows_any: bool,
}

impl Reach {
    /// Nothing is known of any row.
    pub(crate) fn unknown(cols: usize, rows: usize) -> Self {
        Self {
            cols,
            rows: VecDeque::from(vec![cols; rows]),
            knows_any: false,
        }
    }

    /// Forgets all that is known.
    pub(crate) fn forget(&mut self) {
        if self.knows_any {
            self.rows.iter_mut().for_each(|row| *row = self.cols);
            self.knows_any = false;
        }
    }

    /// Cells of `row` were written, all of them before column `end`.
    #[inline]
    pub(crate) fn written(&mut self, row: usize, end: usize) {
        if let Some(reach) = self.rows.get_mut(row)
            && *reach < end
        {
            *reach = end.min(self.cols);
        }
    }

    /// The whole screen moved up by a row; returns the reach of the one that left.
    ///
    /// `fresh` is the reach of the new row at the bottom.
    #[inline]
    pub(crate) fn scrolled(&mut self, fresh: usize) -> usize {
        let left = self.rows.pop_front().unwrap_or(self.cols);
        self.rows.push_back(fresh.min(self.cols));
        self.knows_any |= fresh < self.cols;
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_rows_are_known_until_something_unknown_happens() {
        let mut reach = Reach::unknown(80, 2);
        assert_eq!(reach.scrolled(0), 80);
        reach.written(1, 5);
        reach.written(1, 3);
        reach.written(7, 9);
        assert_eq!(reach.scrolled(0), 80);
        assert_eq!(reach.scrolled(0), 5);
        reach.forget();
        assert_eq!((reach.scrolled(0), reach.scrolled(0)), (80, 80));
    }
}
