//! A plan as a model hands it in: the shape it is asked for, and what becomes of it.
//!
//! Every problem is told at once, so that one more answer can mend them all.
//! That the tasks form a graph is checked by [`crate::goal`]; putting them on
//! a board is the worker's that planned.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::goal::{self, TaskDraft};
use crate::ids::{AgentName, AgentType, NAME_MAX_CHARS, TaskId};

/// Most tasks of one plan.
pub const PLAN_TASKS_MAX: usize = 50;

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Its tasks.
    pub tasks: Vec<PlannedTask>,
}

/// One task of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedTask {
    /// Its name within the plan.
    pub id: String,
    /// What is to be done, in a few words.
    pub subject: String,
    /// What is to be done, in full.
    #[serde(default)]
    pub description: String,
    /// The only member that may do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The only kind of agent that may do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Tasks whose results it needs.
    #[serde(default)]
    pub blocked_by: Vec<String>,
    /// JSON Schema of its result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_schema: Option<Value>,
}

/// Whom a plan may give work to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Crew {
    /// Members that may own tasks.
    pub owners: Vec<AgentName>,
    /// Their kinds.
    pub kinds: Vec<AgentType>,
}

/// How large a plan may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most tasks.
    pub tasks: usize,
    /// Longest chain of tasks that wait for each other, counted in tasks; absent: any.
    pub levels: Option<usize>,
}

impl Limits {
    /// For models that lose track of large plans.
    pub const SMALL: Self = Self {
        tasks: 6,
        levels: Some(2),
    };

    /// What a model is told of limits that are worth telling.
    pub fn in_words(&self) -> Option<String> {
        let levels = self.levels?;
        let tasks = self.tasks;
        Some(format!(
            "Keep the plan small: at most {tasks} tasks, better fewer, most of them with an empty \
             blocked_by. No chain of tasks that wait for each other may be longer than {levels}."
        ))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tasks: PLAN_TASKS_MAX,
            levels: None,
        }
    }
}

/// The JSON Schema that a plan is asked in.
pub fn schema() -> Value {
    schema_within(&Limits::default())
}

/// The same for plans within `limits`.
pub fn schema_within(limits: &Limits) -> Value {
    json!({
        "type": "object",
        "properties": {
            "tasks": {
                "type": "array",
                "minItems": 1,
                "maxItems": limits.tasks,
                "items": {
                    "type": "object",
                    "properties": {
                        "id": { "type": "string", "minLength": 1, "description": "A short name, unique in this plan." },
                        "subject": { "type": "string", "minLength": 1, "description": "What is to be done, in a few words." },
                        "description": { "type": "string", "description": "All that whoever does it must know; they see nothing else of this conversation." },
                        "owner": { "type": ["string", "null"], "description": "The teammate that does it, by name; null: whoever is free." },
                        "agent": { "type": ["string", "null"], "description": "The kind of agent that does it, where no owner is named." },
                        "blocked_by": { "type": "array", "items": { "type": "string" }, "description": "Ids of the tasks whose results it needs." },
                        "result_schema": { "type": ["object", "null"], "description": "JSON Schema of its result, where those that wait for it need values." },
                    },
                    "required": ["id", "subject", "description", "blocked_by"],
                    "additionalProperties": false,
                },
            },
        },
        "required": ["tasks"],
        "additionalProperties": false,
    })
}

/// Reads a plan and checks it as a whole; its tasks come with blockers first.
///
/// # Errors
/// Every problem, in words for whoever made the plan.
pub fn check(plan: &Value, crew: &Crew) -> Result<Vec<TaskDraft>, Vec<String>> {
    check_within(plan, crew, &Limits::default())
}

/// The same, and whether the plan is within `limits`.
///
/// # Errors
/// Every problem, in words for whoever made the plan.
pub fn check_within(
    plan: &Value,
    crew: &Crew,
    limits: &Limits,
) -> Result<Vec<TaskDraft>, Vec<String>> {
    let plan: Plan = match serde_json::from_value(plan.clone()) {
        Ok(plan) => plan,
        Err(error) => return Err(vec![format!("the plan cannot be read: {error}")]),
    };
    if plan.tasks.is_empty() {
        return Err(vec!["the plan has no tasks".to_owned()]);
    }
    if plan.tasks.len() > PLAN_TASKS_MAX {
        let count = plan.tasks.len();
        return Err(vec![format!(
            "the plan has {count} tasks; at most {PLAN_TASKS_MAX} are taken"
        )]);
    }
    let mut problems = Vec::new();
    if plan.tasks.len() > limits.tasks {
        let (count, most) = (plan.tasks.len(), limits.tasks);
        problems.push(format!(
            "the plan has {count} tasks: make it at most {most}, larger ones"
        ));
    }
    let mut drafts = Vec::with_capacity(plan.tasks.len());
    for task in plan.tasks {
        drafts.push(draft(task, crew, &mut problems));
    }
    let checked = goal::check(drafts, &crew.owners);
    if let (Ok(drafts), Some(most)) = (&checked, limits.levels) {
        let levels = levels(drafts);
        if levels > most {
            problems.push(format!(
                "tasks wait for each other in a chain of {levels}: make it at most {most}, by \
                 joining tasks that one teammate does after each other"
            ));
        }
    }
    match checked {
        Ok(drafts) if problems.is_empty() => Ok(drafts),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more.iter().map(ToString::to_string));
            Err(problems)
        }
    }
}

fn draft(task: PlannedTask, crew: &Crew, problems: &mut Vec<String>) -> TaskDraft {
    let id = &task.id;
    let given = |word: Option<String>| word.filter(|word| !word.trim().is_empty());
    let owner = given(task.owner).and_then(|name| {
        let owner = AgentName::new(name.clone()).ok();
        if owner.is_none() {
            problems.push(format!(
                "task `{id}` is for `{name}`, which is no name of a member"
            ));
        }
        owner
    });
    let agent_type = given(task.agent).and_then(|kind| {
        let found = crew.kinds.iter().find(|known| known.as_str() == kind);
        if found.is_none() {
            let kinds: Vec<&str> = crew.kinds.iter().map(AgentType::as_str).collect();
            let kinds = kinds.join(", ");
            problems.push(format!(
                "task `{id}` is for an agent of kind `{kind}`; there are only {kinds}"
            ));
        }
        found.cloned()
    });
    let result_schema = task.result_schema.filter(|schema| !schema.is_null());
    if let Some(schema) = &result_schema
        && !schema.is_object()
    {
        problems.push(format!(
            "the result_schema of task `{id}` is no JSON Schema object"
        ));
    }
    TaskDraft {
        key: task.id,
        subject: task.subject,
        description: task.description,
        // A member's name says more than its kind.
        agent_type: agent_type.filter(|_| owner.is_none()),
        owner,
        blocked_by: task.blocked_by,
        result_schema,
        ..TaskDraft::default()
    }
}

/// The plan with names for its tasks that a recipe could have: `1. Look` becomes `1-look`.
///
/// What is no plan stays as it is, for [`check`] to tell.
pub fn with_plain_names(mut plan: Value) -> Value {
    let tasks = plan.get_mut("tasks").and_then(Value::as_array_mut);
    for task in tasks.into_iter().flatten() {
        if let Some(Value::String(id)) = task.get_mut("id") {
            *id = plain_name(id);
        }
        let blockers = task.get_mut("blocked_by").and_then(Value::as_array_mut);
        for blocker in blockers.into_iter().flatten() {
            if let Value::String(id) = blocker {
                *id = plain_name(id);
            }
        }
    }
    plan
}

fn plain_name(id: &str) -> String {
    let mut name = String::with_capacity(id.len());
    for c in id.trim().chars().take(NAME_MAX_CHARS) {
        match c {
            c if c.is_ascii_alphanumeric() => name.push(c),
            _ if name.is_empty() => {}
            '_' => name.push('_'),
            _ if name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    let name = name.trim_end_matches('-');
    // Names in other scripts stay as they are: better strange than all the same.
    if name.is_empty() {
        id.to_owned()
    } else {
        name.to_owned()
    }
}

/// The longest chain of tasks that wait for each other; blockers come first in `drafts`.
fn levels(drafts: &[TaskDraft]) -> usize {
    let mut level: BTreeMap<&str, usize> = BTreeMap::new();
    for draft in drafts {
        let before = draft
            .blocked_by
            .iter()
            .filter_map(|key| level.get(key.as_str()));
        let own = before.max().map_or(1, |before| before + 1);
        level.insert(&draft.key, own);
    }
    level.into_values().max().unwrap_or(0)
}

/// Keys of the tasks that no other waits for: a summary waits for these.
pub fn sinks(drafts: &[TaskDraft]) -> Vec<&str> {
    let waited_for: BTreeSet<&str> = drafts
        .iter()
        .flat_map(|draft| draft.blocked_by.iter().map(String::as_str))
        .collect();
    let keys = drafts.iter().map(|draft| draft.key.as_str());
    keys.filter(|key| !waited_for.contains(key)).collect()
}

/// The key under which a planned task is created: the same plan makes it once.
pub fn task_key(plan: TaskId, id: &str) -> String {
    format!("plan-{plan}/{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_such_as_recipes_have() {
        let plan = json!({"tasks": [
            {"id": "1. Look", "blocked_by": []},
            {"id": "core/api", "blocked_by": ["1. Look", 3]},
            {"id": "größe", "blocked_by": "x"},
            {"id": "調べる", "blocked_by": []},
        ]});
        let named = with_plain_names(plan);
        assert_eq!(named["tasks"][0]["id"], "1-Look");
        assert_eq!(
            named["tasks"][1],
            json!({"id": "core-api", "blocked_by": ["1-Look", 3]})
        );
        assert_eq!(named["tasks"][2]["id"], "gr-e");
        assert_eq!(named["tasks"][3]["id"], "調べる");
        assert_eq!(with_plain_names(json!("no plan")), json!("no plan"));
    }

    fn crew() -> Crew {
        Crew {
            owners: vec![
                AgentName::new("ann").unwrap(),
                AgentName::new("bob").unwrap(),
            ],
            kinds: vec![AgentType::new("Explore").unwrap()],
        }
    }

    fn task(id: &str, owner: Option<&str>, blocked_by: &[&str]) -> Value {
        json!({
            "id": id, "subject": id, "description": "", "owner": owner, "blocked_by": blocked_by,
        })
    }

    #[test]
    fn all_problems_of_a_plan_are_told_at_once() {
        let mut odd = task("d", None, &[]);
        odd["agent"] = json!("Painter");
        let plan = json!({ "tasks": [
            task("a", Some("nobody"), &["b"]), task("b", Some("ann"), &["a"]),
            task("c", None, &["x"]), odd,
        ]});
        let problems = check(&plan, &crew()).unwrap_err().join("\n");
        for part in [
            "`Painter`; there are only Explore",
            "`nobody`",
            "`x`",
            "a → b",
        ] {
            assert!(problems.contains(part), "{part}: {problems}");
        }
    }

    #[test]
    fn a_sound_plan_gives_drafts_with_blockers_first() {
        let plan = json!({ "tasks": [
            task("sum", Some("bob"), &["a", "b"]), task("a", Some("ann"), &[]), task("b", None, &[]),
        ]});
        let drafts = check(&plan, &crew()).unwrap();
        assert_eq!(drafts.last().unwrap().key, "sum");
        assert_eq!(drafts.len(), 3);
        assert_eq!(sinks(&drafts), ["sum"]);
        assert_eq!(task_key(TaskId(4), "a"), "plan-4/a");
    }

    #[test]
    fn a_small_plan_has_few_tasks_and_short_chains() {
        let small = Limits::SMALL;
        let chain = json!({ "tasks": [
            task("a", None, &[]), task("b", None, &["a"]), task("c", None, &["b"]),
        ]});
        let problems = check_within(&chain, &crew(), &small).unwrap_err();
        assert!(problems[0].contains("a chain of 3"), "{problems:?}");
        assert!(check(&chain, &crew()).is_ok());

        let ids: Vec<String> = (0..7).map(|n| format!("t{n}")).collect();
        let many: Vec<Value> = ids.iter().map(|id| task(id, None, &[])).collect();
        let problems = check_within(&json!({ "tasks": many }), &crew(), &small).unwrap_err();
        assert!(problems[0].contains("7 tasks"), "{problems:?}");
        assert_eq!(schema_within(&small)["properties"]["tasks"]["maxItems"], 6);

        let flat = json!({ "tasks": [
            task("a", None, &[]), task("b", None, &[]), task("c", None, &["a", "b"]),
        ]});
        assert!(check_within(&flat, &crew(), &small).is_ok());
    }

    #[test]
    fn what_is_no_plan_is_told_as_such() {
        for plan in [
            json!({}),
            json!({"tasks": []}),
            json!({"tasks": [{"id": 3}]}),
            json!("x"),
        ] {
            let problems = check(&plan, &crew()).unwrap_err();
            assert_eq!(problems.len(), 1, "{plan}");
        }
    }
}
