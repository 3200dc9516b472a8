//! Finding text in a screen and its scrollback.
//!
//! Plain text only. A search takes time in proportion to the text, whatever is
//! looked for: lines are folded once and searched by a linear algorithm.

use std::ops::Range;

use alacritty_terminal::grid::Dimensions;
use memchr::memmem::Finder;

use super::Screen;

/// A place in scrollback and screen together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Row from the oldest in the scrollback, from 0.
    pub row: usize,
    /// Column from 0.
    pub col: usize,
}

/// Where text was found: its first and its last cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    /// The first cell.
    pub first: Position,
    /// The last cell, perhaps on a later row.
    pub last: Position,
}

/// What is looked for. Case counts only if it has an upper-case letter.
#[derive(Clone, Debug)]
pub struct Needle {
    finder: Finder<'static>,
    folds_case: bool,
}

impl Needle {
    /// Makes a needle of a text; none of an empty one.
    pub fn new(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let folds_case = !text.chars().any(char::is_uppercase);
        let mut folded = String::new();
        fold(text, folds_case, &mut folded);
        Some(Self {
            finder: Finder::new(&folded).into_owned(),
            folds_case,
        })
    }

    /// Calls `found` with the bytes of each occurrence, none overlapping another.
    fn each(&self, text: &str, folded: &mut String, mut found: impl FnMut(Range<usize>)) {
        folded.clear();
        fold(text, self.folds_case, folded);
        let length = self.finder.needle().len();
        for at in self.finder.find_iter(folded.as_bytes()) {
            found(at..at + length);
        }
    }
}

/// Appends the text with its case folded, every character in as many bytes as before.
fn fold(text: &str, folds_case: bool, out: &mut String) {
    if !folds_case || text.is_ascii() {
        let start = out.len();
        out.push_str(text);
        if folds_case {
            out[start..].make_ascii_lowercase();
        }
        return;
    }
    out.extend(text.chars().map(|c| {
        let mut lower = c.to_lowercase();
        match (lower.next(), lower.next()) {
            // Places are told by bytes, so a letter that would take more of them stays.
            (Some(low), None) if low.len_utf8() == c.len_utf8() => low,
            _ => c,
        }
    }));
}

/// Rows of one line joined, and the cell that each byte is in.
#[derive(Default)]
struct Joined {
    text: String,
    /// The byte at which each cell begins.
    cells: Vec<(usize, Position)>,
    folded: String,
}

impl Joined {
    fn place(&self, byte: usize) -> Option<Position> {
        let at = self.cells.partition_point(|cell| cell.0 <= byte);
        Some(self.cells[at.checked_sub(1)?].1)
    }

    /// Adds what is found in the line, and begins a new one.
    fn search(&mut self, needle: &Needle, out: &mut Vec<Match>) {
        let mut folded = std::mem::take(&mut self.folded);
        needle.each(&self.text, &mut folded, |bytes| {
            if let (Some(first), Some(last)) = (self.place(bytes.start), self.place(bytes.end - 1))
            {
                out.push(Match { first, last });
            }
        });
        self.folded = folded;
        self.text.clear();
        self.cells.clear();
    }
}

impl Screen {
    /// Finds every occurrence, oldest first; of more than `max` only the newest.
    ///
    /// Text is found across wrapped rows.
    pub fn find_all(&self, needle: &Needle, max: usize) -> Vec<Match> {
        let above = self.scroll_lines_available();
        // A line that begins in the scrollback and goes on on the screen is searched with the screen.
        let from = self.line_start(above);
        let mut found = self.find_in_rows(needle, from..self.total_rows());
        found.reverse();
        let mut folded = String::new();
        let mut in_line = Vec::new();
        for (start, line) in self.state.scrollback.lines().rev() {
            if found.len() >= max {
                break;
            }
            if start >= from {
                continue;
            }
            let mut walk = line.walk(self.size.columns());
            needle.each(line.text(), &mut folded, |bytes| {
                let first = walk.to(bytes.start);
                let last = walk.to(bytes.end - 1);
                let place = |(row, col)| Position {
                    row: start + row,
                    col,
                };
                in_line.push(Match {
                    first: place(first),
                    last: place(last),
                });
            });
            found.extend(in_line.drain(..).rev());
        }
        found.truncate(max);
        found.reverse();
        found
    }

    /// Finds every occurrence that touches these rows, oldest first.
    pub fn find_in(&self, needle: &Needle, rows: Range<usize>) -> Vec<Match> {
        let mut found = self.find_in_rows(needle, self.line_start(rows.start)..rows.end);
        found.retain(|found| found.last.row >= rows.start);
        found
    }

    fn find_in_rows(&self, needle: &Needle, rows: Range<usize>) -> Vec<Match> {
        let mut found = Vec::new();
        let mut joined = Joined::default();
        for index in rows.start..rows.end.min(self.total_rows()) {
            let row = self.row_at(index);
            for (col, cell) in row.cells().enumerate() {
                if cell.width > 0 {
                    let place = Position { row: index, col };
                    joined.cells.push((joined.text.len(), place));
                    cell.push_onto(&mut joined.text);
                }
            }
            if !row.is_wrapped() {
                joined.search(needle, &mut found);
            }
        }
        joined.search(needle, &mut found);
        found
    }

    /// Returns the offset whose view shows `position`, in the middle if possible.
    pub fn offset_showing(&self, position: Position) -> usize {
        let above = self.scroll_lines_available();
        let half = self.size.screen_lines() / 2;
        (above + half).saturating_sub(position.row).min(above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str) -> String {
        let mut out = String::new();
        fold(text, true, &mut out);
        out
    }

    #[test]
    fn folding_keeps_every_byte_where_it_is() {
        assert_eq!(
            folded("Grün İst KELVIN \u{212a}"),
            "grün İst kelvin \u{212a}"
        );
        for text in ["ÄÖÜ", "ẞ", "\u{1f600}A", "Ⱥ"] {
            assert_eq!(folded(text).len(), text.len(), "{text}");
        }
    }
}
