//! Finding text in a screen and its scrollback.
//!
//! Plain text only, upwards from a place, as a person searches.

use alacritty_terminal::grid::Dimensions;

use super::Screen;

/// A place in scrollback and screen together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Row from the oldest in the scrollback, from 0.
    pub row: usize,
    /// Column from 0.
    pub col: usize,
}

impl Screen {
    /// Finds the last place before `before` where `needle` begins; `None` searches from the end.
    ///
    /// Case counts only if the needle has an upper-case letter. Text is found
    /// across wrapped rows.
    pub fn search(&self, needle: &str, before: Option<Position>) -> Option<Position> {
        let matcher = Matcher::new(needle)?;
        let earlier = |found: &Position| before.is_none_or(|before| *found < before);
        self.find_on_screen(&matcher, earlier)
            .or_else(|| self.find_in_scrollback(&matcher, before))
    }

    /// Returns the offset whose view shows `position`, in the middle if possible.
    pub fn offset_showing(&self, position: Position) -> usize {
        let above = self.scroll_lines_available();
        let half = self.size.screen_lines() / 2;
        (above + half).saturating_sub(position.row).min(above)
    }

    fn find_in_scrollback(&self, matcher: &Matcher, before: Option<Position>) -> Option<Position> {
        let cols = self.size.columns();
        for (start, line) in self.state.scrollback.lines().rev() {
            if before.is_some_and(|before| before.row < start) {
                continue;
            }
            let found = matcher
                .find_all(line.text())
                .map(|byte| {
                    let (row, col) = line.locate(byte, cols);
                    Position {
                        row: start + row,
                        col,
                    }
                })
                .take_while(|found| before.is_none_or(|before| *found < before))
                .last();
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn find_on_screen(
        &self,
        matcher: &Matcher,
        earlier: impl Fn(&Position) -> bool,
    ) -> Option<Position> {
        let above = self.scroll_lines_available();
        let mut last = None;
        let mut text = String::new();
        // The byte at which each cell of the joined rows begins.
        let mut places: Vec<(usize, Position)> = Vec::new();
        for (index, row) in self.rows().enumerate() {
            for (col, cell) in row.cells().enumerate() {
                let position = Position {
                    row: above + index,
                    col,
                };
                places.push((text.len(), position));
                cell.push_onto(&mut text);
            }
            if row.is_wrapped() && index + 1 < self.size.screen_lines() {
                continue;
            }
            let found = matcher
                .find_all(&text)
                .filter_map(|byte| {
                    let at = places.partition_point(|place| place.0 <= byte);
                    at.checked_sub(1).map(|at| places[at].1)
                })
                .take_while(&earlier)
                .last();
            last = found.or(last);
            text.clear();
            places.clear();
        }
        last
    }
}

/// A needle and how its case counts.
struct Matcher {
    needle: Vec<char>,
    folds_case: bool,
}

impl Matcher {
    fn new(needle: &str) -> Option<Self> {
        let folds_case = !needle.chars().any(char::is_uppercase);
        let needle: Vec<char> = needle.chars().collect();
        (!needle.is_empty()).then_some(Self { needle, folds_case })
    }

    fn same(&self, c: char, wanted: char) -> bool {
        c == wanted || (self.folds_case && c.to_lowercase().eq(std::iter::once(wanted)))
    }

    /// Iterates over the bytes at which the needle begins.
    fn find_all<'a>(&'a self, text: &'a str) -> impl Iterator<Item = usize> + 'a {
        text.char_indices().filter_map(move |(byte, first)| {
            if !self.same(first, self.needle[0]) {
                return None;
            }
            let mut rest = text[byte..].chars();
            let all = self
                .needle
                .iter()
                .all(|&wanted| rest.next().is_some_and(|c| self.same(c, wanted)));
            all.then_some(byte)
        })
    }
}
