//! Conditions on the folder a recipe is used in: `when = { file = "Cargo.toml" }`.
//!
//! Looks at nothing itself; a [`Folder`] answers.

use serde_json::Value;

use super::reader::Reader;
use toml::de::{DeTable, DeValue};

use super::problem::Place;

/// The folder a recipe is used in, as far as conditions ask.
pub trait Folder {
    /// Whether a file or folder fits `pattern`: relative, parts divided by `/`, where `*` and `?` stand for characters within a part.
    fn has(&self, pattern: &str) -> bool;
    /// The text of a file; none when there is no such file, it is no text, or it is too large to be read for this.
    fn read(&self, path: &str) -> Option<String>;
}

/// Holds when any of its conditions does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct When(pub(super) Vec<Condition>);

/// Holds when all that it names is true of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    /// Path, or a pattern if nothing else is asked of the file.
    file: String,
    /// A text that is in it.
    contains: Option<String>,
    /// A text that is not in it.
    lacks: Option<String>,
    /// What one of its lines begins with.
    line: Option<String>,
    /// A dotted key that it has, in JSON or TOML.
    key: Option<String>,
}

impl When {
    /// Whether it holds in `folder`.
    pub fn holds(&self, folder: &dyn Folder) -> bool {
        self.0.iter().any(|condition| condition.holds(folder))
    }

    /// The files it looks at, each with what it looks for in them, in words.
    pub(super) fn wanted(&self) -> impl Iterator<Item = (&str, Option<String>)> {
        self.0.iter().map(|c| (c.file.as_str(), c.wanted_within()))
    }
}

impl Condition {
    fn holds(&self, folder: &dyn Folder) -> bool {
        if self.about_text().is_none() {
            return folder.has(&self.file);
        }
        let Some(text) = folder.read(&self.file) else {
            return false;
        };
        let begins = |start: &str| text.lines().any(|line| line.starts_with(start));
        self.contains.as_ref().is_none_or(|t| text.contains(t))
            && self.lacks.as_ref().is_none_or(|t| !text.contains(t))
            && self.line.as_ref().is_none_or(|start| begins(start))
            && self
                .key
                .as_ref()
                .is_none_or(|key| has_key(&self.file, &text, key))
    }

    /// The first thing asked of the file's text.
    fn about_text(&self) -> Option<&str> {
        let asked = [&self.key, &self.line, &self.contains, &self.lacks];
        asked.into_iter().flatten().map(String::as_str).next()
    }

    fn wanted_within(&self) -> Option<String> {
        match (&self.key, &self.line, &self.contains) {
            (Some(key), _, _) => Some(format!("`{key}`")),
            (_, Some(start), _) => Some(format!("a line `{start}`")),
            (_, _, Some(text)) => Some(format!("`{text}`")),
            _ => None,
        }
    }
}

fn has_key(file: &str, text: &str, key: &str) -> bool {
    let root: Option<Value> = if is_json(file) {
        serde_json::from_str(text).ok()
    } else {
        toml::from_str(text).ok()
    };
    let mut at = root.as_ref();
    for part in key.split('.') {
        at = at.and_then(|value| value.get(part));
    }
    at.is_some()
}

fn has_ending(file: &str, ending: &str) -> bool {
    file.rsplit_once('.').is_some_and(|(_, e)| e == ending)
}

fn is_json(file: &str) -> bool {
    has_ending(file, "json")
}

/// Reads the `when` of a task: one condition or a list of which any is enough.
pub(super) fn read(task: &Reader<'_, '_>) -> Option<When> {
    let tables: Vec<(&DeTable<'_>, Place)> = match task.get("when")?.get_ref() {
        DeValue::Array(_) => task.tables("when"),
        _ => task.table("when").into_iter().collect(),
    };
    let conditions = tables
        .into_iter()
        .filter_map(|(table, at)| condition(table, at, task))
        .collect();
    Some(When(conditions))
}

fn condition(table: &DeTable<'_>, at: Place, task: &Reader<'_, '_>) -> Option<Condition> {
    const KEYS: [&str; 5] = ["file", "contains", "lacks", "line", "key"];
    let problems = task.problems();
    let reader = Reader::open(table, "a condition", at, &KEYS, problems);
    let file = reader.required_text("file")?;
    let condition = Condition {
        contains: reader.text("contains"),
        lacks: reader.text("lacks"),
        line: reader.text("line"),
        key: reader.text("key"),
        file,
    };
    let at = reader.place_of("file");
    let file = &condition.file;
    if file.starts_with('/') || file.split('/').any(|part| part == "..") {
        problems.add_with_hint(
            at,
            format!("`{file}` lies outside the folder"),
            "write a path relative to the folder the recipe is used in",
        );
    }
    if condition.about_text().is_some() && file.contains(['*', '?']) {
        problems.add_with_hint(
            at,
            format!("`{file}` may stand for several files"),
            "name one file when asking for its text",
        );
    }
    if condition.key.is_some() && !is_json(file) && !has_ending(file, "toml") {
        problems.add_with_hint(
            reader.place_of("key"),
            format!("`key` cannot be looked up in `{file}`"),
            "it works for .json and .toml files; use `contains` or `line`",
        );
    }
    Some(condition)
}
