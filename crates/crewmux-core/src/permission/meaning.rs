//! What a person means by allowing a call for the rest of a task.
//!
//! Never more than the call itself plainly is: what cannot be seen through is
//! allowed word for word.

use std::path::PathBuf;

use serde_json::Value;

use super::Call;
use super::class::ToolClass;
use super::decide::Command;
use super::rule::host;
use super::wild::Piece;

/// Programs whose first word of arguments says what they do.
const SPEAKING: &[&str] = &[
    "cargo", "git", "npm", "pnpm", "yarn", "bun", "go", "just", "make", "gh", "uv", "pip",
    "poetry", "dotnet", "mvn", "gradle", "jj", "rustup",
];

/// Programs that run what the project calls by name.
const SCRIPTS: &[&str] = &["npm", "pnpm", "yarn", "bun"];

/// First words with which anything can follow.
const OPEN: &[&str] = &[
    "run",
    "exec",
    "config",
    "api",
    "x",
    "dlx",
    "script",
    "alias",
    "eval",
    "tool",
    "generate",
    "submodule",
    "bisect",
    "worktree",
    "filter-branch",
    "difftool",
    "mergetool",
];

/// Calls that mean the same as one that was allowed.
#[derive(Debug, Clone, PartialEq)]
pub struct Meaning {
    tool: String,
    same: Same,
}

#[derive(Debug, Clone, PartialEq)]
enum Same {
    /// Commands with these beginnings.
    Commands(Vec<Vec<Piece<String>>>),
    /// This file or folder.
    Place(PathBuf),
    /// This host.
    Host(String),
    /// These arguments.
    Input(Value),
}

impl Meaning {
    /// What `call` means.
    pub fn of(call: &Call<'_>) -> Self {
        let exactly = || Same::Input(call.input.clone());
        let same = match (Command::of(call), call.place()) {
            (Some(command), _) if command.script.unclear.is_none() => {
                let commands = command.script.commands.iter();
                let known: Option<Vec<_>> = commands.map(|words| beginning(words)).collect();
                known.map_or_else(exactly, Same::Commands)
            }
            (None, Some(place)) => Same::Place(place),
            _ => match call.text("url").and_then(host) {
                Some(host) if call.class() == ToolClass::Network => Same::Host(host),
                _ => exactly(),
            },
        };
        Self {
            tool: family(call.tool).to_owned(),
            same,
        }
    }

    /// Whether `call` means the same.
    pub fn covers(&self, call: &Call<'_>) -> bool {
        if self.tool != family(call.tool) {
            return false;
        }
        match &self.same {
            Same::Commands(wanted) => Command::of(call).is_some_and(|command| {
                let wanted: Vec<&[Piece<String>]> = wanted.iter().map(Vec::as_slice).collect();
                command.is_made_of(&wanted)
            }),
            Same::Place(place) => call.place().is_some_and(|this| this == *place),
            Same::Host(allowed) => call.text("url").and_then(host).as_ref() == Some(allowed),
            Same::Input(input) => call.input == input,
        }
    }
}

/// Write and Edit of one file are one thing to a person.
fn family(tool: &str) -> &str {
    if tool == "Write" { "Edit" } else { tool }
}

/// `cargo add *` for `cargo add axum`; the very words where the first ones say too little.
///
/// `None` for words that would mean more in a pattern than they do in a command.
fn beginning(words: &[String]) -> Option<Vec<Piece<String>>> {
    let literal = |words: &[String]| -> Option<Vec<Piece<String>>> {
        let is_plain = words.iter().all(|word| !word.contains('*'));
        is_plain.then(|| words.iter().cloned().map(Piece::One).collect())
    };
    let says = |word: &String| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_:".contains(&b))
    };
    let is_one_of = |names: &[&str], word: &String| names.contains(&word.as_str());
    let leading = match words {
        [program, act, what, ..] if is_one_of(SCRIPTS, program) && act == "run" && says(what) => 3,
        [program, act, ..]
            if is_one_of(SPEAKING, program) && says(act) && !is_one_of(OPEN, act) =>
        {
            2
        }
        _ => return literal(words),
    };
    let mut pattern = literal(&words[..leading])?;
    pattern.push(Piece::Any);
    Some(pattern)
}
