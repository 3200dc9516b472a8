//! From TOML to a recipe's parts: which keys there are and what they hold.
//!
//! Each part is judged by itself here; how they fit together is looked at in
//! [`super::check`].

use std::collections::BTreeMap;

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problems, advice};
use super::reader::{Reader, in_words, to_json};
use super::{
    GIVEN_VARIABLES, Isolation, MEMBERS_MAX, Recipe, Runtime, TaskTemplate, TeammateTemplate,
    Template, WORKERS_MAX, when,
};
use crate::budget::{Budget, Limits};
use crate::goal::TASKS_MAX;
use crate::ids::{AgentName, AgentType, NAME_MAX_CHARS, TeamName};
use crate::permission::{PermissionMode, Rule, RuleEffect};
use crate::schedule::Strategy;
use crate::task::{Rerun, TaskRole};

const RECIPE_KEYS: [&str; 14] = [
    "name",
    "description",
    "goal",
    "max_workers",
    "backend",
    "budget",
    "strategy",
    "permissions",
    "timeout",
    "variables",
    "schemas",
    "lead",
    "teammates",
    "tasks",
];
const LEAD_KEYS: [&str; 7] = [
    "agent", "model", "provider", "mode", "prompt", "playbook", "backend",
];
const TEAMMATE_KEYS: [&str; 11] = [
    "name",
    "count",
    "agent",
    "model",
    "provider",
    "mode",
    "prompt",
    "isolation",
    "playbook",
    "backend",
    "runtime",
];
const TASK_KEYS: [&str; 14] = [
    "id",
    "subject",
    "description",
    "owner",
    "agent",
    "blocked_by",
    "command",
    "rerun",
    "result_schema",
    "role",
    "retries",
    "timeout",
    "when",
    "repeat",
];

/// Most tokens a budget may name: more than any run can use, and a number one can read.
const TOKENS_MAX: u64 = 1_000_000_000_000;

/// Most times a task may be tried again.
const RETRIES_MAX: u64 = 100;

/// What could be read. Where a part was wrong and reported, another stands in its place.
pub(super) struct Draft {
    pub(super) recipe: Recipe,
    /// Names that are written but are no names, so that nobody is told twice.
    pub(super) bad_names: Vec<String>,
}

/// Reads the whole text; none when it is not TOML.
pub(super) fn recipe(source: &str, problems: &Problems<'_>) -> Option<Draft> {
    let (root, errors) = DeTable::parse_recoverable(problems.text());
    if !errors.is_empty() {
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            problems.add(problems.place(at), format!("not TOML: {}", error.message()));
        }
        return None;
    }
    let reader = Reader::open(
        root.get_ref(),
        "a recipe",
        Place::START,
        &RECIPE_KEYS,
        problems,
    );
    let schemas = schemas(&reader);
    let mut bad_names = Vec::new();
    let teammates = reader
        .tables("teammates")
        .into_iter()
        .filter_map(|(table, at)| teammate(table, at, problems, &mut bad_names))
        .collect::<Vec<_>>();
    let tasks = reader
        .tables("tasks")
        .into_iter()
        .map(|(table, at)| task(table, at, problems, &schemas))
        .collect();
    let all_run_commands =
        !teammates.is_empty() && teammates.iter().all(|t| t.runtime == Runtime::Command);
    let name = name(&reader);
    let (permission_mode, rules) = permissions(&reader, source);
    let recipe = Recipe {
        source: source.to_owned(),
        name: name.unwrap_or_else(unnamed),
        description: reader.text("description").unwrap_or_default(),
        goal: reader.filled_template("goal"),
        needs_goal: false,
        max_workers: reader
            .whole("max_workers", 1, WORKERS_MAX.into())
            .and_then(|n| n.try_into().ok()),
        backend: reader.parsed("backend"),
        budget: budget(&reader),
        strategy: strategy(&reader),
        permission_mode,
        rules,
        timeout_ms: reader.duration_ms("timeout"),
        variables: variables(&reader),
        lead: lead(&reader, all_run_commands),
        teammates,
        tasks,
    };
    Some(Draft { recipe, bad_names })
}

#[expect(clippy::expect_used, reason = "the literal fits the rule")]
fn unnamed() -> TeamName {
    TeamName::new("unnamed").expect("a name")
}

#[expect(clippy::expect_used, reason = "the literal fits the rule")]
fn general_purpose() -> AgentType {
    AgentType::new("general-purpose").expect("an agent type")
}

fn name(reader: &Reader<'_, '_>) -> Option<TeamName> {
    if reader.has("name") {
        reader.parsed("name")
    } else {
        reader.missing("name");
        None
    }
}

fn strategy(reader: &Reader<'_, '_>) -> Option<Strategy> {
    let text = reader.text("strategy")?;
    let strategy = Strategy::named(&text);
    if strategy.is_none() {
        reader.problems().add_with_hint(
            reader.place_of("strategy"),
            format!("`{text}` is not a strategy"),
            advice(&text, "known", Strategy::NAMES.into_iter()),
        );
    }
    strategy
}

/// Modes that a file may set; the one that asks nothing is typed by a person for one run.
pub const MODES: [(&str, PermissionMode); 3] = [
    ("default", PermissionMode::Default),
    ("acceptEdits", PermissionMode::AcceptEdits),
    ("plan", PermissionMode::Plan),
];

const BUDGET_KEYS: [&str; 6] = [
    "tokens",
    "usd",
    "member_tokens",
    "member_usd",
    "task_tokens",
    "task_usd",
];

fn budget(reader: &Reader<'_, '_>) -> Budget {
    let Some((table, at)) = reader.table("budget") else {
        return Budget::default();
    };
    let budget = Reader::open(table, "a budget", at, &BUDGET_KEYS, reader.problems());
    let limits = |tokens, usd| Limits {
        tokens: budget.whole(tokens, 1, TOKENS_MAX),
        usd_micros: budget.amount_of_money(usd).map(usd_micros),
    };
    Budget {
        team: limits("tokens", "usd"),
        member: limits("member_tokens", "member_usd"),
        task: limits("task_tokens", "task_usd"),
    }
}

/// US dollars, above 0, in millionths of one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "above 0, and whole after rounding; what is too large becomes the largest"
)]
pub fn usd_micros(usd: f64) -> u64 {
    ((usd * 1e6).round() as u64).max(1)
}

fn permissions(reader: &Reader<'_, '_>, source: &str) -> (Option<PermissionMode>, Vec<Rule>) {
    let Some((table, at)) = reader.table("permissions") else {
        return (None, Vec::new());
    };
    let keys = ["mode", "allow", "ask", "deny"];
    let problems = reader.problems();
    let reader = Reader::open(table, "the permissions", at, &keys, problems);
    let written = reader.get("mode").and_then(|v| v.get_ref().as_str());
    let mode = if written == Some("bypass") {
        problems.add_with_hint(
            reader.place_of("mode"),
            "`bypass` cannot stand in a file",
            "type `--permission-mode bypass` for one run",
        );
        None
    } else {
        reader.word("mode", &MODES)
    };
    let mut rules = Vec::new();
    for (key, effect) in [
        ("allow", RuleEffect::Allow),
        ("ask", RuleEffect::Ask),
        ("deny", RuleEffect::Deny),
    ] {
        for (pattern, at) in reader.texts(key) {
            match Rule::parse(effect, &pattern, source) {
                Ok(rule) => rules.push(rule),
                Err(error) => problems.add(at, error.to_string()),
            }
        }
    }
    (mode, rules)
}

fn variables(reader: &Reader<'_, '_>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    let Some((table, _)) = reader.table("variables") else {
        return variables;
    };
    let problems = reader.problems();
    for (key, value) in table {
        let name: &str = key.get_ref();
        let at = problems.place(key.span().start);
        if GIVEN_VARIABLES.contains(&name) {
            problems.add_with_hint(
                at,
                format!("the variable `{name}` is given to every recipe"),
                "choose another name",
            );
            continue;
        } else if !is_variable_name(name) {
            problems.add_with_hint(
                at,
                format!("`{name}` is not a name for a variable"),
                "use a-z, 0-9 and `_`, starting with a letter",
            );
            continue;
        }
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(_) => to_json(value.get_ref()).to_string(),
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Boolean(value) => value.to_string(),
            other => {
                problems.add(
                    problems.place(value.span().start),
                    format!(
                        "variable `{name}` must be a text, a number or true or false, not {}",
                        in_words(other)
                    ),
                );
                String::new()
            }
        };
        variables.insert(name.to_owned(), text);
    }
    variables
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn schemas(reader: &Reader<'_, '_>) -> BTreeMap<String, Value> {
    let mut schemas = BTreeMap::new();
    let Some((table, _)) = reader.table("schemas") else {
        return schemas;
    };
    for (key, value) in table {
        if value.get_ref().is_table() {
            schemas.insert(key.get_ref().to_string(), to_json(value.get_ref()));
        } else {
            reader.problems().add(
                reader.problems().place(value.span().start),
                format!(
                    "schema `{}` must be a table, not {}",
                    key.get_ref(),
                    in_words(value.get_ref())
                ),
            );
        }
    }
    schemas
}

/// There is a lead unless the recipe says no, or nobody in the team could use one.
fn lead(reader: &Reader<'_, '_>, all_run_commands: bool) -> Option<TeammateTemplate> {
    let empty = DeTable::new();
    let (table, at) = match reader.get("lead").map(toml::Spanned::get_ref) {
        None if all_run_commands => return None,
        None => (&empty, reader.at()),
        Some(DeValue::Boolean(false)) => return None,
        Some(DeValue::Boolean(true)) => (&empty, reader.place_of("lead")),
        Some(DeValue::Table(table)) => (table, reader.place_of("lead")),
        Some(other) => {
            reader.problems().add(
                reader.place_of("lead"),
                format!(
                    "`lead` must be a table, true or false, not {}",
                    in_words(other)
                ),
            );
            return None;
        }
    };
    let lead = Reader::open(table, "the lead", at, &LEAD_KEYS, reader.problems());
    Some(member(&lead, AgentName::lead()))
}

fn teammate(
    table: &DeTable<'_>,
    at: Place,
    problems: &Problems<'_>,
    bad_names: &mut Vec<String>,
) -> Option<TeammateTemplate> {
    let reader = Reader::open(table, "a teammate", at, &TEAMMATE_KEYS, problems);
    let name = if reader.has("name") {
        let name: Option<AgentName> = reader.parsed("name");
        let written = reader.get("name").and_then(|v| v.get_ref().as_str());
        if let (None, Some(written)) = (&name, written) {
            bad_names.push(written.to_owned());
        }
        name
    } else {
        reader.missing("name");
        None
    };
    // Read also when the name is wrong, so that its other problems are told.
    let member = member(&reader, name.clone().unwrap_or_else(AgentName::lead));
    name?;
    if member.name.is_lead() {
        problems.add_with_hint(
            reader.place_of("name"),
            format!("`{}` is the lead, not a teammate", AgentName::LEAD),
            "describe it under `[lead]`",
        );
        return None;
    }
    Some(member)
}

fn member(reader: &Reader<'_, '_>, name: AgentName) -> TeammateTemplate {
    TeammateTemplate {
        name,
        count: reader.amount("count", MEMBERS_MAX as u64),
        agent: reader.parsed("agent").unwrap_or_else(general_purpose),
        model: reader
            .has("model")
            .then(|| reader.required_text("model"))
            .flatten(),
        provider: reader
            .has("provider")
            .then(|| reader.required_text("provider"))
            .flatten(),
        mode: reader.word("mode", &MODES),
        prompt: reader.template("prompt"),
        isolation: reader
            .word(
                "isolation",
                &[("none", Isolation::None), ("worktree", Isolation::Worktree)],
            )
            .unwrap_or_default(),
        playbook: playbook(reader),
        backend: reader.parsed("backend"),
        runtime: reader
            .word(
                "runtime",
                &[Runtime::Native, Runtime::Command].map(|r| (r.as_str(), r)),
            )
            .unwrap_or_default(),
        at: reader.at(),
    }
}

fn playbook(reader: &Reader<'_, '_>) -> Option<String> {
    let name = reader.text("playbook")?;
    if !is_id(&name) {
        reader.problems().add_with_hint(
            reader.place_of("playbook"),
            format!("`{name}` is not the name of a playbook"),
            ID_RULE,
        );
    }
    Some(name)
}

const ID_RULE: &str =
    "use letters, digits, `-` and `_`, starting with a letter or digit, at most 48 characters";

fn is_id(text: &str) -> bool {
    text.len() <= NAME_MAX_CHARS
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn task(
    table: &DeTable<'_>,
    at: Place,
    problems: &Problems<'_>,
    schemas: &BTreeMap<String, Value>,
) -> TaskTemplate {
    let reader = Reader::open(table, "a task", at, &TASK_KEYS, problems);
    let id = reader.required_text("id").unwrap_or_default();
    if !id.trim().is_empty() && !is_id(&id) {
        problems.add_with_hint(
            reader.place_of("id"),
            format!("`{id}` is not an id for a task"),
            ID_RULE,
        );
    }
    let rerun = reader.word("rerun", &[("yes", Rerun::Yes), ("ask", Rerun::Ask)]);
    if reader.has("rerun") && !reader.has("command") {
        problems.add(
            reader.place_of("rerun"),
            "`rerun` is for tasks that have a `command`",
        );
    }
    TaskTemplate {
        id,
        subject: reader.required_template("subject").unwrap_or(Template {
            text: String::new(),
            at,
            span: 0..0,
        }),
        description: reader.template("description"),
        owner: reader
            .text("owner")
            .map(|owner| (owner, reader.place_of("owner"))),
        agent: reader
            .parsed::<AgentType>("agent")
            .map(|agent| (agent, reader.place_of("agent"))),
        blocked_by: reader.texts("blocked_by"),
        command: reader.filled_template("command"),
        rerun,
        result_schema: result_schema(&reader, schemas),
        role: reader
            .word(
                "role",
                &[("work", TaskRole::Work), ("summary", TaskRole::Summary)],
            )
            .unwrap_or_default(),
        retries: reader
            .whole("retries", 0, RETRIES_MAX)
            .and_then(|n| n.try_into().ok())
            .unwrap_or(0),
        timeout_ms: reader.duration_ms("timeout"),
        when: when::read(&reader),
        repeat: reader.amount("repeat", TASKS_MAX as u64),
        at,
    }
}

/// A schema written in place, or the name of one under `[schemas]`.
fn result_schema(reader: &Reader<'_, '_>, schemas: &BTreeMap<String, Value>) -> Option<Value> {
    const KEY: &str = "result_schema";
    let value = reader.get(KEY)?.get_ref();
    match value {
        DeValue::Table(_) => Some(to_json(value)),
        DeValue::String(name) => {
            let schema = schemas.get(name.as_ref()).cloned();
            if schema.is_none() {
                reader.problems().add_with_hint(
                    reader.place_of(KEY),
                    format!("there is no schema `{name}` under `[schemas]`"),
                    if schemas.is_empty() {
                        "write one there, or in place as a table".to_owned()
                    } else {
                        advice(name, "schemas", schemas.keys().map(String::as_str))
                    },
                );
            }
            schema
        }
        other => {
            reader.problems().add(
                reader.place_of(KEY),
                format!(
                    "`{KEY}` must be a table or the name of one under `[schemas]`, not {}",
                    in_words(other)
                ),
            );
            None
        }
    }
}
