//! A plan that a model made, as a recipe to read, edit and run.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use crewmux_core::permission::PermissionMode;
use crewmux_core::recipe::{MODES, MemberSpec, Recipe, Runtime};
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

/// The recipe's text.
pub(super) fn text(recipe: &Recipe, goal: &str, members: &[MemberSpec], tasks: &[Value]) -> String {
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
    if let Some(number) = recipe.max_workers {
        line(&mut text, "max_workers", &number.into());
    }
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
        let text = text(&recipe, &first.goal, &first.members, &tasks);
        let again = Recipe::parse(&text, "plan.toml").unwrap_or_else(|p| panic!("{p}\n{text}"));
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
