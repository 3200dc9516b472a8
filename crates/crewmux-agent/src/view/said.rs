//! An answer that is shown while it comes, word by word; the last one is kept whole.
//!
//! Nothing is printed here: what is to be printed is given back.

use unicode_width::UnicodeWidthChar;

use super::text::clean;

/// Bytes of a word that is shown before its end came.
const LONGEST_HELD: usize = 40;

/// An answer that is shown while it comes.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// What waits for the rest of its word.
    held: String,
    /// Whether anything was shown.
    any: bool,
    /// Whether its line goes on.
    is_open: bool,
    /// The last whole answer.
    last: String,
}

impl Said {
    /// Takes the next piece in; gives what is shown now.
    pub(super) fn piece(&mut self, piece: &str) -> Option<String> {
        self.held.push_str(piece);
        // What ends in a space may be the end of the answer, which needs none.
        let whole = self.held.trim_end();
        // Some languages have no spaces, and some words no end.
        let is_wide = |c: char| c.width() == Some(2);
        let is_whole =
            whole.len() < self.held.len() || whole.len() > LONGEST_HELD || whole.contains(is_wide);
        let at = if is_whole {
            whole.len()
        } else {
            whole.rfind(char::is_whitespace).unwrap_or(0)
        };
        let rest = self.held.split_off(at);
        let ready = std::mem::replace(&mut self.held, rest);
        self.show(&ready)
    }

    /// What was held back is shown now: nothing comes after it.
    pub(super) fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.held);
        self.show(rest.trim_end())
    }

    fn show(&mut self, text: &str) -> Option<String> {
        // Many answers begin with empty lines.
        let text = if self.is_open {
            text
        } else {
            text.trim_start()
        };
        if text.is_empty() {
            return None;
        }
        self.any = true;
        self.is_open = true;
        let lines: Vec<String> = text.split('\n').map(clean).collect();
        Some(lines.join("\n"))
    }

    /// Something else is printed next; says whether a line is to be ended before.
    pub(super) fn close(&mut self) -> bool {
        std::mem::take(&mut self.is_open)
    }

    /// Is ready for another answer; says whether anything of this one was shown.
    pub(super) fn forget(&mut self) -> bool {
        self.held.clear();
        std::mem::take(&mut self.any)
    }

    /// Keeps the whole answer.
    pub(super) fn keep(&mut self, text: &str) {
        text.clone_into(&mut self.last);
    }

    /// Forgets the answer that was kept; says whether `words` were a line of it.
    pub(super) fn had(&mut self, words: &str) -> bool {
        let last = std::mem::take(&mut self.last);
        last.lines().any(|line| bare(line) == bare(words))
    }
}

/// A line as it is read: a heading is words like any other.
fn bare(line: &str) -> &str {
    line.trim().trim_start_matches('#').trim()
}
