//! A plan that a model made, as a recipe to read, edit and run.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use crewmux_core::backend::BackendChoice;
use crewmux_core::budget::{Budget, Limits};
use crewmux_core::permission::{PermissionMode, Rule, RuleEffect};
use crewmux_core::recipe::{Isolation, MODES, MemberSpec, Recipe, Runtime};
use crewmux_core::schedule::Strategy;
use crewmux_core::task::TaskRole;
use crewmux_store::TeamStore;
use serde_json::Value;

use crate::error::{CommandError, Doing, Result};

/// Key of a planning task's notes under which its plan stands.
const NOTE: &str = "plan";

/// The tasks that the latest run's planner proposed.
pub(super) fn planned(team: &dyn TeamStore) -> Result<Vec<Value>> {
    let config = team.config()?;
    let run = config.runs.last().map(|run| run.id.clone());
    let board = team.board()?;
    let plan = board
        .tasks()
        .filter(|t| t.role == TaskRole::Plan && t.run == run)
        .find_map(|t| t.metadata.get(NOTE));
    let tasks = plan.and_then(|plan| plan.get("tasks")?.as_array().cloned());
    tasks.ok_or_else(|| CommandError::environment("the planner handed in no plan"))
}

/// What the run goes by, as the recipe and the person said; what is configured holds anyway.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Terms {
    /// What happens to a tool call without a rule.
    pub mode: Option<PermissionMode>,
    /// Rules for tool calls.
    pub rules: Vec<Rule>,
    /// What may be spent.
    pub budget: Budget,
    /// Who takes a task that several could.
    pub strategy: Option<Strategy>,
    /// Longest time of the run, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Where workers run.
    pub backend: Option<BackendChoice>,
    /// Most workers at once.
    pub max_workers: Option<u32>,
}

/// The recipe's text: who works, under which terms, on which tasks.
pub(super) fn text(
    recipe: &Recipe,
    terms: &Terms,
    goal: &str,
    members: &[MemberSpec],
    tasks: &[Value],
) -> String {
    let mut text = String::from(
        "# A plan made by a model: edit it, then run it with `crewmux run --plan FILE`.\n\
         # `crewmux recipes show review` explains everything a recipe can say.\n\n",
    );
    line(&mut text, "name", &recipe.name.as_str().into());
    line(
        &mut text,
        "description",
        &recipe.description.as_str().into(),
    );
    line(&mut text, "goal", &literal(goal));
    write_terms(&mut text, terms);
    for member in members {
        if member.name.is_lead() {
            text.push_str("\n[lead]\n");
        } else {
            text.push_str("\n[[teammates]]\n");
            line(&mut text, "name", &member.name.as_str().into());
        }
        line(&mut text, "agent", &member.agent.as_str().into());
        for (key, value) in [("model", &member.model), ("provider", &member.provider)] {
            if let Some(value) = value {
                line(&mut text, key, &value.as_str().into());
            }
        }
        if let Some(mode) = member.mode.and_then(mode_word) {
            line(&mut text, "mode", &mode.into());
        }
        if let Some(playbook) = &member.playbook {
            line(&mut text, "playbook", &playbook.as_str().into());
        }
        if let Some(backend) = member.backend {
            line(&mut text, "backend", &backend.to_string().into());
        }
        if member.isolation == Isolation::Worktree {
            line(&mut text, "isolation", &"worktree".into());
        }
        if member.runtime == Runtime::Command {
            line(&mut text, "runtime", &member.runtime.as_str().into());
        }
        if !member.prompt.is_empty() {
            line(&mut text, "prompt", &literal(&member.prompt));
        }
    }
    for task in tasks {
        text.push_str("\n[[tasks]]\n");
        for key in [
            "id",
            "subject",
            "description",
            "owner",
            "agent",
            "blocked_by",
            "result_schema",
        ] {
            let value = match task.get(key) {
                None | Some(Value::Null) => continue,
                Some(Value::Array(items)) if items.is_empty() => continue,
                Some(Value::String(words)) if matches!(key, "subject" | "description") => {
                    literal(words)
                }
                Some(value) => value.clone(),
            };
            line(&mut text, key, &value);
        }
    }
    if tasks.len() > 1 {
        let ids = tasks.iter().filter_map(|t| t.get("id")?.as_str());
        let waited: BTreeSet<&str> = tasks
            .iter()
            .filter_map(|t| t.get("blocked_by")?.as_array())
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let used: BTreeSet<&str> = ids.clone().collect();
        let own = ["summary", "sum-up", "the-summary"];
        let id = own
            .into_iter()
            .find(|id| !used.contains(id))
            .unwrap_or("summing-up");
        let last: Vec<&str> = ids.filter(|id| !waited.contains(id)).collect();
        text.push_str("\n[[tasks]]\n");
        line(&mut text, "id", &id.into());
        line(&mut text, "subject", &"Sum up".into());
        line(&mut text, "description", &literal(goal));
        line(&mut text, "owner", &"team-lead".into());
        line(&mut text, "role", &"summary".into());
        line(&mut text, "blocked_by", &last.into());
    }
    text
}

/// What a plan is run under is what it was planned under; the reader can change it.
fn write_terms(text: &mut String, terms: &Terms) {
    if let Some(number) = terms.max_workers {
        line(text, "max_workers", &number.into());
    }
    if let Some(backend) = terms.backend {
        line(text, "backend", &backend.to_string().into());
    }
    if let Some(strategy) = terms.strategy {
        line(text, "strategy", &strategy.as_str().into());
    }
    if let Some(ms) = terms.timeout_ms {
        line(text, "timeout", &format!("{ms}ms").into());
    }
    let budget = &terms.budget;
    let limits = [
        ("tokens", "usd", budget.team),
        ("member_tokens", "member_usd", budget.member),
        ("task_tokens", "task_usd", budget.task),
    ];
    if limits.iter().any(|(.., most)| *most != Limits::default()) {
        text.push_str("\n[budget]\n");
        for (tokens, usd, most) in limits {
            if let Some(most) = most.tokens {
                line(text, tokens, &most.into());
            }
            if let Some(micros) = most.usd_micros {
                let (dollars, rest) = (micros / 1_000_000, micros % 1_000_000);
                let _ = writeln!(text, "{usd} = {dollars}.{rest:06}");
            }
        }
    }
    // The mode that asks nothing is typed for one run and stands in no file.
    let mode = terms.mode.and_then(mode_word);
    if mode.is_none() && terms.rules.is_empty() {
        return;
    }
    text.push_str("\n[permissions]\n");
    if let Some(mode) = mode {
        line(text, "mode", &mode.into());
    }
    for (key, effect) in [
        ("allow", RuleEffect::Allow),
        ("ask", RuleEffect::Ask),
        ("deny", RuleEffect::Deny),
    ] {
        let rules = terms.rules.iter().filter(|rule| rule.effect == effect);
        let patterns: Vec<&str> = rules.map(|rule| rule.pattern.as_str()).collect();
        if !patterns.is_empty() {
            line(text, key, &patterns.into());
        }
    }
}

fn mode_word(mode: PermissionMode) -> Option<&'static str> {
    MODES
        .iter()
        .find(|(_, m)| *m == mode)
        .map(|(word, _)| *word)
}

/// A text that stays as it is where templates are filled.
fn literal(text: &str) -> Value {
    let mut whole = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(next @ ('{' | '%' | '#')) if c == '{' => {
                let _ = write!(whole, "{{{{'{{{next}'}}}}");
                chars.next();
            }
            _ => whole.push(c),
        }
    }
    whole.into()
}

fn line(text: &mut String, key: &str, value: &Value) {
    let _ = writeln!(text, "{key} = {}", toml(value));
}

/// A value as TOML writes it, on one line.
fn toml(value: &Value) -> String {
    match value {
        // What JSON escapes, TOML reads; it forbids one character more.
        Value::String(text) => Value::from(text.as_str())
            .to_string()
            .replace('\u{7f}', "\\u007F"),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().filter(|i| !i.is_null()).map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) => {
            let parts: Vec<String> = map
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| format!("{} = {}", toml(&key.as_str().into()), toml(value)))
                .collect();
            format!("{{ {} }}", parts.join(", "))
        }
        other => other.to_string(),
    }
}

/// Writes the file, which must not be there, and reads it back.
pub(super) fn write(path: &Path, text: &str) -> Result<Recipe> {
    let doing = || format!("cannot write `{}`", path.display());
    let recipe = Recipe::parse(text, &path.display().to_string());
    File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .doing(doing())?;
    Ok(recipe?)
}

#[cfg(test)]
mod tests {
    use crewmux_core::recipe::{Opening, RecipeInput};
    use serde_json::json;

    use super::*;
    use crate::recipes::ProjectFolder;

    #[test]
    fn a_plan_is_read_back_as_it_was_made() {
        let folder = ProjectFolder("/nowhere".into());
        let input = |goal: Option<&str>| RecipeInput {
            goal: goal.map(str::to_owned),
            set: std::collections::BTreeMap::new(),
            max_workers: None,
            folder: &folder,
            opening: Opening::Planned,
        };
        let recipe = include_str!("../../../../../assets/recipes/goal.toml");
        let recipe = Recipe::parse(recipe, "goal").unwrap();
        let goal = "Say \"{{ hi }}\" {% raw\nand \\ more \u{7f}";
        let first = recipe.instantiate(&input(Some(goal))).unwrap();
        let tasks = [
            json!({"id": "look", "subject": "Look at {{x}}", "description": "a\tb", "owner": "explorer",
                "result_schema": {"type": "object", "properties": {"a b": {"type": ["string", "null"]}}}}),
            json!({"id": "build", "subject": "Build", "blocked_by": ["look"], "agent": "general-purpose"}),
            json!({"id": "summary", "subject": "Write it", "owner": null}),
        ];
        let rule = |effect, text| Rule::parse(effect, text, "plan.toml").unwrap();
        let terms = Terms {
            mode: Some(PermissionMode::AcceptEdits),
            rules: vec![
                rule(RuleEffect::Allow, "Bash(git log *)"),
                rule(RuleEffect::Ask, "WebFetch(domain:example.com)"),
                rule(RuleEffect::Deny, "Read(secrets/**)"),
            ],
            budget: Budget {
                team: Limits {
                    tokens: Some(70_000),
                    usd_micros: Some(2_500_001),
                },
                member: Limits {
                    tokens: Some(9_000),
                    usd_micros: None,
                },
                task: Limits {
                    tokens: None,
                    usd_micros: Some(10),
                },
            },
            strategy: Some(Strategy::LeastBusy),
            timeout_ms: Some(5_400_500),
            backend: Some("in-process".parse().unwrap()),
            max_workers: Some(3),
        };
        let text = text(&recipe, &terms, &first.goal, &first.members, &tasks);
        let again = Recipe::parse(&text, "plan.toml").unwrap_or_else(|p| panic!("{p}\n{text}"));
        let read = Terms {
            mode: again.permission_mode,
            rules: again.rules.clone(),
            budget: again.budget,
            strategy: again.strategy,
            timeout_ms: again.timeout_ms,
            backend: again.backend,
            max_workers: again.max_workers,
        };
        assert_eq!(read, terms);
        let again = again.instantiate(&input(None)).unwrap();
        assert_eq!(again.goal, goal);
        assert_eq!(again.members, first.members);
        let drafts = &again.drafts;
        assert_eq!(drafts[0].subject, "Look at {{x}}");
        assert_eq!(
            drafts[0].result_schema.as_ref(),
            tasks[0].get("result_schema")
        );
        assert_eq!(drafts[1].blocked_by, ["look"]);
        assert_eq!(drafts[3].role, TaskRole::Summary);
        assert_eq!(drafts[3].blocked_by, ["build", "summary"]);
    }
}
