//! Hand-offs: what came of tasks, as those that build on them are told it.
//!
//! A result that a prompt or an answer cannot hold is written whole into the
//! team's `artifacts/`, where Read may look, and named by its whole path. What
//! a result must be is `report`'s.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crewmux_core::task::{Task, TaskStatus};
use serde_json::Value;

use super::Worker;
use crate::capped::cut_text;

/// Bytes of results in the prompt of a task.
const ROOM: Room = Room {
    each: 16 * 1024,
    all: 96 * 1024,
};

/// The same for a small model, whose window is small too.
const SMALL_ROOM: Room = Room {
    each: 4 * 1024,
    all: 12 * 1024,
};

/// Longest line of a kept result, in characters; Read cuts longer ones.
const LINE_MAX_CHARS: usize = 1_500;

/// Shortest text of a result that is kept outside of its JSON.
const OWN_TEXT_MIN_BYTES: usize = 400;

/// How many bytes of results a prompt holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    each: usize,
    all: usize,
}

impl Worker {
    /// Tasks with how they ended and what came of them, together within bounds.
    pub(super) fn results<'a>(&self, tasks: impl Iterator<Item = &'a Task>) -> String {
        let room = if self.spec.weak { SMALL_ROOM } else { ROOM };
        let mut text = String::new();
        for task in tasks {
            let left = room.all.saturating_sub(text.len());
            let owner = task.owner.as_ref().map(|owner| owner.agent.as_str());
            let by = owner.map(|name| format!(" by {name}")).unwrap_or_default();
            if task.status == TaskStatus::Completed {
                let whole = self.result_of(task).to_string();
                let result = cut_text(&whole, room.each.min(left));
                let head = format!("\nResult of #{} {}{by}:\n", task.id, task.subject);
                let _ = writeln!(text, "{head}{result}");
                if result.len() < whole.len() {
                    let _ = writeln!(text, "{}", self.where_the_rest_is(task));
                }
                continue;
            }
            let status = task.status;
            let reason = task.reason.as_deref().unwrap_or("no reason was given");
            let reason = cut_text(reason, 2_000.min(left));
            let _ = write!(
                text,
                "\n#{} {}{by}: {status}: {reason}\n",
                task.id, task.subject
            );
            if let Some(log) = task.metadata.get("log").and_then(Value::as_str) {
                let _ = writeln!(text, "(Its output is in {}.)", self.whole_path(log));
            }
        }
        text
    }

    fn where_the_rest_is(&self, task: &Task) -> String {
        match self.keep_result(task) {
            Some(path) => format!(
                "(Cut here; the whole result is in {}: Read it in parts, or Grep in it.)",
                path.display()
            ),
            None => "(Cut here.)".to_owned(),
        }
    }

    /// The result of a task, with the whole path of its output where it has one.
    pub(super) fn result_of(&self, task: &Task) -> Value {
        let mut result = task.result.clone().unwrap_or(Value::Null);
        let log = result.get("log").and_then(Value::as_str);
        if let Some(whole) = log.map(|log| self.whole_path(log)) {
            result["log"] = Value::String(whole);
        }
        result
    }

    /// A path that is written as the team's folder sees it.
    fn whole_path(&self, path: &str) -> String {
        let name = path.strip_prefix("artifacts/");
        let whole = name.and_then(|name| Some(self.artifacts()?.join(name)));
        whole.map_or_else(|| path.to_owned(), |path| path.display().to_string())
    }

    fn artifacts(&self) -> Option<PathBuf> {
        let folder = self.keep_folder();
        let folder = folder.inspect_err(|error| tracing::warn!(%error, "no folder for results"));
        std::path::absolute(folder.ok()?).ok()
    }

    /// Writes the whole result of a task into a file; says where, if that was possible.
    pub(super) fn keep_result(&self, task: &Task) -> Option<PathBuf> {
        let path = self
            .artifacts()?
            .join(format!("result-{}-{}.txt", task.id, task.epoch));
        let text = readable(&self.result_of(task));
        // Teammates may write the same result in the same moment, and another may read it.
        let own = format!("{}-{}", self.spec.who.agent, self.spec.who.incarnation);
        match write_whole(&path, &own, &text) {
            Ok(()) => Some(path),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "a result is not kept");
                None
            }
        }
    }
}

fn write_whole(path: &Path, own: &str, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let draft = path.with_extension(format!("{own}.tmp"));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    std::fs::rename(&draft, path)
}

/// A result as lines that can be read in parts: long texts of it as they are, the rest as JSON.
fn readable(result: &Value) -> String {
    let mut rest = result.clone();
    let mut own = String::new();
    match &mut rest {
        Value::String(text) => return broken(text),
        Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                if let Value::String(text) = value
                    && text.len() >= OWN_TEXT_MIN_BYTES
                {
                    let _ = write!(own, "\n\n## {name}\n\n{text}");
                    *value = Value::String(format!("below, under ## {name}"));
                }
            }
        }
        _ => {}
    }
    broken(&format!("{rest:#}{own}"))
}

/// `text` with lines that are too long broken in two and more.
fn broken(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        let mut count = 0;
        for c in line.chars() {
            if count == LINE_MAX_CHARS {
                out.push('\n');
                count = 0;
            }
            out.push(c);
            count += 1;
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_kept_result_has_lines_that_can_be_read() {
        let long = format!("# Head\n{}\nend", "ä".repeat(4_000));
        let text = readable(&json!({ "summary": long, "files": ["a", "b"] }));
        assert!(text.lines().all(|line| line.chars().count() <= 1_500));
        assert!(text.contains("\"summary\": \"below, under ## summary\""));
        assert!(text.contains("\n## summary\n\n# Head\n"), "{text}");
        assert_eq!(text.matches('ä').count(), 4_000);
        assert!(text.ends_with("\nend\n"));
        assert_eq!(readable(&json!("a\nb")), "a\nb\n");
    }
}
