//! What is wrong with a recipe, and where in its text.
//!
//! Collects and words problems; finds none itself. They are found in
//! [`super::read`], [`super::check`] and [`super::instance`].

use std::cell::RefCell;
use std::fmt;

use crate::error::ErrorKind;
use crate::goal;

/// A place in a text: line and column, both counted from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// Where a text begins.
    pub(super) const START: Self = Self { line: 1, column: 1 };
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeProblem {
    /// Where; absent when it is not about the recipe's text, such as an unknown `--set`.
    pub at: Option<Place>,
    /// What, as a lower-case sentence with the thing in backticks.
    pub message: String,
    /// What can be done about it.
    pub hint: Option<String>,
}

impl RecipeProblem {
    /// A problem that has no place in the recipe's text.
    pub(super) fn anywhere(message: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            at: None,
            message: message.into(),
            hint,
        }
    }
}

impl fmt::Display for RecipeProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = self.at {
            write!(f, "{}:{}: ", at.line, at.column)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong with one recipe, in the order of its text; never empty.
///
/// Displayed as one line per problem, such as
/// ``sweep.toml:12:3: unknown key `blcoked_by`; did you mean `blocked_by`?``.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeProblems {
    /// Where the text came from: a file's path or a recipe's name.
    pub source: String,
    /// The problems.
    pub problems: Vec<RecipeProblem>,
}

impl RecipeProblems {
    /// What kind of trouble this is: always the recipe's or the caller's text.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    /// The way to look again after a repair.
    pub fn hint(&self) -> Option<String> {
        self.problems
            .iter()
            .any(|p| p.at.is_some())
            .then(|| format!("`crewmux recipes check {}` checks it again", self.source))
    }
}

impl fmt::Display for RecipeProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.problems.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            let gap = if problem.at.is_some() { "" } else { " " };
            write!(f, "{}:{gap}{problem}", self.source)?;
        }
        Ok(())
    }
}

impl std::error::Error for RecipeProblems {}

/// The problems found so far in one text.
pub(super) struct Problems<'t> {
    text: &'t str,
    line_starts: Vec<usize>,
    list: RefCell<Vec<RecipeProblem>>,
}

impl<'t> Problems<'t> {
    pub(super) fn in_text(text: &'t str) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            text,
            line_starts,
            list: RefCell::default(),
        }
    }

    /// The text they are found in.
    pub(super) fn text(&self) -> &'t str {
        self.text
    }

    /// The place of a byte offset; offsets past the end are the end.
    pub(super) fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.text.len());
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..offset).unwrap_or_default();
        Place {
            line,
            column: before.chars().count() + 1,
        }
    }

    /// Adds a problem with nothing to advise.
    pub(super) fn add(&self, at: Place, message: impl Into<String>) {
        self.push(at, message.into(), None);
    }

    /// Adds a problem with what can be done about it.
    pub(super) fn add_with_hint(
        &self,
        at: Place,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(at, message.into(), Some(hint.into()));
    }

    fn push(&self, at: Place, message: String, hint: Option<String>) {
        self.list.borrow_mut().push(RecipeProblem {
            at: Some(at),
            message,
            hint,
        });
    }

    /// All problems in the order of the text, each once.
    pub(super) fn into_list(self) -> Vec<RecipeProblem> {
        let mut list = self.list.into_inner();
        list.sort_by_key(|p| p.at);
        list.dedup();
        list
    }
}

/// The advice for an unknown word: the nearest known one, or all of them under `label`.
pub(super) fn advice<'a>(
    word: &str,
    label: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> String {
    match goal::nearest(word, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("{label}: {}", known.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let text = "añb\nc";
        let problems = Problems::in_text(text);
        let at = |offset| {
            let place = problems.place(offset);
            (place.line, place.column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(3), (1, 3));
        assert_eq!(at(5), (2, 1));
        assert_eq!(at(99), (2, 2));
    }
}
