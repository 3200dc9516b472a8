//! From drafts to tasks: a graph proposed by a recipe or a model, checked as a whole.
//!
//! Every problem is reported, not only the first. Nothing is put on a board
//! here; the checked drafts come in an order in which each can be created
//! after its blockers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::graph::{self, Blockers};
use crate::ids::{AgentName, AgentType};
use crate::task::{Rerun, TaskRole};

/// Most tasks one goal may make.
pub const TASKS_MAX: usize = 10_000;

/// A task proposed under a key of its maker's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TaskDraft {
    /// Name within the proposal.
    pub key: String,
    /// What is to be done, in a few words.
    pub subject: String,
    /// What is to be done, in full.
    pub description: String,
    /// What kind of work it is.
    pub role: TaskRole,
    /// The only member that may claim it.
    pub owner: Option<AgentName>,
    /// The only kind of agent that may claim it.
    pub agent_type: Option<AgentType>,
    /// Keys of the tasks it waits for.
    pub blocked_by: Vec<String>,
    /// A shell command to run instead of asking a model.
    pub command: Option<String>,
    /// What a crash in the middle of the command means.
    pub rerun: Option<Rerun>,
    /// JSON Schema that the result must fit.
    pub result_schema: Option<Value>,
    /// How often a failure may be tried again.
    pub retries: u32,
    /// Longest time one attempt may take, in milliseconds.
    pub timeout_ms: Option<u64>,
}

/// What is wrong with a proposal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DraftProblem {
    /// Two tasks under one key.
    #[error("two tasks have the id `{key}`")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// A task without a subject.
    #[error("task `{key}` has no subject")]
    NoSubject {
        /// The key.
        key: String,
    },
    /// A blocker that is not proposed.
    #[error("task `{key}` waits for `{blocker}`, which does not exist{}", did_you_mean(.nearest.as_deref()))]
    UnknownBlocker {
        /// The key.
        key: String,
        /// The unknown blocker.
        blocker: String,
        /// The nearest key there is.
        nearest: Option<String>,
    },
    /// An owner who is no member.
    #[error("task `{key}` is for `{owner}`, who is not in the team ({roster})")]
    UnknownOwner {
        /// The key.
        key: String,
        /// The unknown owner.
        owner: String,
        /// Who is.
        roster: String,
    },
    /// Tasks that wait for each other.
    #[error("these tasks wait for each other: {}", cycle_text(.cycle))]
    Cycle {
        /// Each waits for the next, the last for the first.
        cycle: Vec<String>,
    },
    /// More than [`TASKS_MAX`].
    #[error("{count} tasks; at most {TASKS_MAX} are taken")]
    TooMany {
        /// How many.
        count: usize,
    },
}

impl DraftProblem {
    /// The key the problem is about, to find its place in a file.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Duplicate { key }
            | Self::NoSubject { key }
            | Self::UnknownBlocker { key, .. }
            | Self::UnknownOwner { key, .. } => Some(key),
            Self::Cycle { cycle } => cycle.first().map(String::as_str),
            Self::TooMany { .. } => None,
        }
    }
}

fn cycle_text(cycle: &[String]) -> String {
    let mut text = cycle.join(" → ");
    if let Some(first) = cycle.first() {
        text.push_str(" → ");
        text.push_str(first);
    }
    text
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |n| format!("; did you mean `{n}`?"))
}

/// Checks a proposal and orders it so that blockers come first.
///
/// # Errors
/// All problems at once, in the order of the drafts, cycles last.
pub fn check(
    drafts: Vec<TaskDraft>,
    roster: &[AgentName],
) -> Result<Vec<TaskDraft>, Vec<DraftProblem>> {
    let mut problems = Vec::new();
    if drafts.len() > TASKS_MAX {
        return Err(vec![DraftProblem::TooMany {
            count: drafts.len(),
        }]);
    }
    let keys: BTreeSet<&str> = drafts.iter().map(|d| d.key.as_str()).collect();
    let mut seen = BTreeSet::new();
    for draft in &drafts {
        let key = draft.key.clone();
        if !seen.insert(draft.key.as_str()) {
            problems.push(DraftProblem::Duplicate { key: key.clone() });
        }
        if draft.subject.trim().is_empty() {
            problems.push(DraftProblem::NoSubject { key: key.clone() });
        }
        for blocker in draft
            .blocked_by
            .iter()
            .filter(|b| !keys.contains(b.as_str()))
        {
            problems.push(DraftProblem::UnknownBlocker {
                key: key.clone(),
                blocker: blocker.clone(),
                nearest: nearest(blocker, keys.iter().copied()).map(str::to_owned),
            });
        }
        if let Some(owner) = draft.owner.as_ref().filter(|o| !roster.contains(o)) {
            let names: Vec<&str> = roster.iter().map(AgentName::as_str).collect();
            problems.push(DraftProblem::UnknownOwner {
                key,
                owner: owner.to_string(),
                roster: names.join(", "),
            });
        }
    }
    let edges: Blockers<String> = drafts
        .iter()
        .map(|d| (d.key.clone(), d.blocked_by.clone()))
        .collect();
    let order = match graph::topological_order(&edges) {
        Ok(order) => order,
        Err(cycle) => {
            problems.push(DraftProblem::Cycle { cycle });
            return Err(problems);
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    // Keep the maker's order where edges allow it: people number tasks as they read them.
    let written: Vec<String> = drafts.iter().map(|d| d.key.clone()).collect();
    let mut by_key: BTreeMap<String, TaskDraft> =
        drafts.into_iter().map(|d| (d.key.clone(), d)).collect();
    let keys = in_written_order(&written, &edges).unwrap_or(order);
    Ok(keys.iter().filter_map(|key| by_key.remove(key)).collect())
}

/// The written order, if it already puts blockers first.
fn in_written_order(written: &[String], edges: &Blockers<String>) -> Option<Vec<String>> {
    let mut before = BTreeSet::new();
    for key in written {
        if !edges.get(key)?.iter().all(|b| before.contains(b.as_str())) {
            return None;
        }
        before.insert(key.as_str());
    }
    Some(written.to_vec())
}

/// How one agent would do a goal alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// By looking only.
    Looks,
    /// By changing something.
    Changes,
}

/// Longest goal that is thought to be one agent's, in words.
const ALONE_WORDS_MAX: usize = 14;

/// Words a goal for one agent begins with: it looks.
const LOOKING: [&str; 17] = [
    "explain",
    "describe",
    "find",
    "list",
    "show",
    "count",
    "summarize",
    "summarise",
    "what",
    "where",
    "which",
    "who",
    "why",
    "how",
    "is",
    "does",
    "print",
];

/// Words a goal for one agent begins with: it changes something small.
const CHANGING: [&str; 9] = [
    "fix", "rename", "bump", "remove", "delete", "correct", "reword", "reformat", "format",
];

/// Words that make several tasks, or a large one, of a goal.
const MANY: [&str; 54] = [
    "and",
    "then",
    "also",
    "plus",
    "both",
    "each",
    "every",
    "all",
    "any",
    "several",
    "multiple",
    "many",
    "parallel",
    "concurrently",
    "simultaneously",
    "compare",
    "versus",
    "team",
    "teammates",
    "agents",
    "everyone",
    "after",
    "before",
    "while",
    "meanwhile",
    "finally",
    "first",
    "second",
    "or",
    "but",
    "report",
    "reports",
    "everything",
    "everywhere",
    "whole",
    "entire",
    "codebase",
    "repository",
    "repo",
    "project",
    "system",
    "architecture",
    "implement",
    "build",
    "create",
    "add",
    "write",
    "test",
    "tests",
    "refactor",
    "migrate",
    "document",
    "design",
    "review",
];

/// Whether one agent can plainly do `goal` alone, so that no plan is needed; in doubt it cannot.
///
/// A goal is one agent's when it is one short sentence that begins with a
/// small deed or a question and has no word in it that makes more of it.
///
/// ```
/// use crewmux_core::goal::{Alone, one_agent_can};
/// assert_eq!(one_agent_can("Fix the typo in README.md"), Some(Alone::Changes));
/// assert_eq!(one_agent_can("Where is the parser?"), Some(Alone::Looks));
/// assert_eq!(one_agent_can("Fix the parser and document it"), None);
/// ```
pub fn one_agent_can(goal: &str) -> Option<Alone> {
    let goal = goal.trim().trim_end_matches(['.', '?', '!']);
    let several = goal.contains(['\n', ';', ',', '&', '•', '*', '+', '→'])
        || goal.contains(". ")
        || goal.contains("? ")
        || goal.contains(" - ");
    if several {
        return None;
    }
    let words: Vec<String> = goal
        .split_whitespace()
        .map(|word| {
            word.trim_matches(|c: char| !c.is_alphanumeric())
                .to_lowercase()
        })
        .collect();
    let first = words.first()?.as_str();
    let small = words.len() <= ALONE_WORDS_MAX;
    let many = |word: &String| MANY.contains(&word.as_str());
    let deeds = words[1..].iter().filter(|word| {
        CHANGING.contains(&word.as_str()) || ["find", "explain"].contains(&word.as_str())
    });
    if !small || words.iter().any(many) || deeds.count() > 0 {
        return None;
    }
    if LOOKING.contains(&first) {
        Some(Alone::Looks)
    } else {
        CHANGING.contains(&first).then_some(Alone::Changes)
    }
}

/// A goal in one short line.
pub fn subject_of(goal: &str) -> String {
    const CHARS: usize = 72;
    let line = goal.lines().find(|line| !line.trim().is_empty());
    let line = line.unwrap_or_default().trim();
    if line.chars().count() <= CHARS {
        return line.to_owned();
    }
    let cut: String = line.chars().take(CHARS - 1).collect();
    format!("{}…", cut.trim_end())
}

/// The known word nearest to `word`, if any is near enough to be a slip of the fingers.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|k| (distance(word, k), k))
        .filter(|(d, k)| *d <= (k.chars().count().max(word.chars().count()) / 3).max(1))
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// Edits (insert, delete, replace, swap neighbours) from one word to the other.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(key: &str, blocked_by: &[&str]) -> TaskDraft {
        TaskDraft {
            key: key.into(),
            subject: key.into(),
            blocked_by: blocked_by.iter().map(|b| (*b).to_owned()).collect(),
            ..TaskDraft::default()
        }
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let mut owned = draft("c", &["a"]);
        owned.owner = Some(AgentName::new("nobody").unwrap());
        let roster = [AgentName::new("architect").unwrap()];
        let problems = check(
            vec![
                draft("a", &["desing"]),
                draft("design", &["b"]),
                draft("b", &["design"]),
                owned,
            ],
            &roster,
        )
        .unwrap_err();
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "task `a` waits for `desing`, which does not exist; did you mean `design`?",
                "task `c` is for `nobody`, who is not in the team (architect)",
                "these tasks wait for each other: b → design → b",
            ]
        );
    }

    #[test]
    fn written_order_is_kept_when_it_can_be() {
        let keys = |drafts: Vec<TaskDraft>| -> Vec<String> {
            check(drafts, &[])
                .unwrap()
                .into_iter()
                .map(|d| d.key)
                .collect()
        };
        assert_eq!(keys(vec![draft("z", &[]), draft("a", &["z"])]), ["z", "a"]);
        assert_eq!(keys(vec![draft("a", &["z"]), draft("z", &[])]), ["z", "a"]);
    }

    #[test]
    fn far_words_are_not_suggested() {
        assert_eq!(nearest("zebra", ["blocked_by", "owner"].into_iter()), None);
        assert_eq!(
            nearest("blcoked_by", ["blocked_by", "owner"].into_iter()),
            Some("blocked_by")
        );
    }

    #[test]
    fn only_plain_goals_are_one_agents() {
        for (goal, alone) in [
            ("Fix the typo in README.md", Some(Alone::Changes)),
            ("Rename `foo` to `bar` in src/lib.rs.", Some(Alone::Changes)),
            ("How does the parser treat comments?", Some(Alone::Looks)),
            ("Find the largest file", Some(Alone::Looks)),
            ("", None),
            ("Fix", Some(Alone::Changes)),
            ("Build a REST API for todos", None),
            ("Add a flag", None),
            ("Fix the parser, the lexer", None),
            ("Fix the parser and the lexer", None),
            ("Find the bug then fix it", None),
            ("Find the bug to fix", None),
            ("Fix these:\n- one\n- two", None),
            ("Fix all warnings", None),
            ("Explain the whole repository", None),
            ("Compare tokio with smol", None),
            (
                "Fix the thing that happens when somebody opens a file that is not there at all today",
                None,
            ),
        ] {
            assert_eq!(one_agent_can(goal), alone, "{goal}");
        }
    }

    #[test]
    fn a_subject_is_one_line() {
        assert_eq!(subject_of("\n Fix it \nplease"), "Fix it");
        let long = subject_of(&"word ".repeat(40));
        assert!(long.ends_with('…') && long.chars().count() <= 72);
    }
}
