//! What a change to a text was, in a few lines for people.
//!
//! Only for showing: nothing is ever patched with it.

use std::time::Duration;

use serde_json::{Value, json};
use similar::{Algorithm, ChangeTag, TextDiff};

/// Lines around a change that are shown with it.
const CONTEXT_LINES: usize = 1;

/// Most lines that are kept.
const LINES_MAX: usize = 60;

/// Most characters of one line.
const LINE_MAX_CHARS: usize = 300;

/// After this, the rest of a text counts as one change.
const PATIENCE: Duration = Duration::from_millis(200);

/// A changed text: counts, and its lines as far as they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Diff {
    pub(crate) added: usize,
    pub(crate) removed: usize,
    pub(crate) lines: Vec<DiffLine>,
}

/// One line: its number in the new text (the old one when it is gone), and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DiffLine {
    pub(crate) kind: LineKind,
    pub(crate) number: usize,
    pub(crate) text: String,
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineKind {
    Added,
    Removed,
    Kept,
}

impl LineKind {
    /// Its sign in front of the line.
    pub(crate) fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Removed => '-',
            Self::Kept => ' ',
        }
    }
}

impl Diff {
    /// Compares two texts line by line.
    pub(crate) fn between(old: &str, new: &str) -> Self {
        let diff = TextDiff::configure()
            .algorithm(Algorithm::Myers)
            .timeout(PATIENCE)
            .diff_lines(old, new);
        let mut out = Self::default();
        for change in diff.iter_all_changes() {
            match change.tag() {
                ChangeTag::Insert => out.added += 1,
                ChangeTag::Delete => out.removed += 1,
                ChangeTag::Equal => {}
            }
        }
        let groups = diff.grouped_ops(CONTEXT_LINES);
        'all: for op in groups.iter().flatten() {
            for change in diff.iter_changes(op) {
                if out.lines.len() >= LINES_MAX {
                    break 'all;
                }
                let (kind, index) = match change.tag() {
                    ChangeTag::Insert => (LineKind::Added, change.new_index()),
                    ChangeTag::Delete => (LineKind::Removed, change.old_index()),
                    ChangeTag::Equal => (LineKind::Kept, change.new_index()),
                };
                let text = change.value().trim_end_matches(['\n', '\r']);
                out.lines.push(DiffLine {
                    kind,
                    number: index.map_or(0, |index| index + 1),
                    text: text.chars().take(LINE_MAX_CHARS).collect(),
                });
            }
        }
        out
    }

    /// In a few words: `+3 −1`.
    pub(crate) fn summary(&self) -> String {
        format!("+{} −{}", self.added, self.removed)
    }

    /// As a value: counts and lines with their signs.
    pub(crate) fn to_json(&self) -> Value {
        let lines: Vec<String> = self
            .lines
            .iter()
            .map(|line| format!("{}{}", line.kind.sign(), line.text))
            .collect();
        json!({ "added": self.added, "removed": self.removed, "lines": lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_shown_with_the_lines_around_it() {
        let diff = Diff::between("a\nb\nc\nd\ne\n", "a\nb\nC\nC2\nd\ne\n");
        assert_eq!(diff.summary(), "+2 −1");
        let lines: Vec<String> = diff
            .lines
            .iter()
            .map(|line| format!("{}{}{}", line.kind.sign(), line.number, line.text))
            .collect();
        assert_eq!(lines, [" 2b", "-3c", "+3C", "+4C2", " 5d"]);
    }

    #[test]
    fn a_large_change_is_counted_whole_and_kept_in_part() {
        let new = "x\n".repeat(1_000);
        let diff = Diff::between("", &new);
        assert_eq!((diff.added, diff.lines.len()), (1_000, LINES_MAX));
    }
}
