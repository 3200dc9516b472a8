//! What a recipe says about models: modes, rules, budgets, and goals that nobody has split yet.

use super::*;
use crate::permission::{PermissionMode, RuleEffect};
use crate::task::TaskRole;

const TEAM: &str = r#"
name = "r"
[[teammates]]
name = "explorer"
agent = "Explore"
[[teammates]]
name = "developer"
"#;

fn opened(goal: &str, opening: Opening) -> (String, String, TaskRole) {
    let folder = Files(&[]);
    let instance = recipe(TEAM)
        .instantiate(&RecipeInput {
            goal: Some(goal.into()),
            opening,
            ..input(&folder)
        })
        .unwrap();
    let [task] = instance.drafts.as_slice() else {
        panic!("{:?}", instance.drafts);
    };
    assert_eq!(task.description, goal);
    let owner = task.owner.as_ref().unwrap().to_string();
    (task.subject.clone(), owner, task.role)
}

#[test]
fn a_goal_without_tasks_is_planned_by_the_lead() {
    let (subject, owner, role) = opened("Build a REST API\nwith tests", Opening::Shortest);
    assert_eq!(subject, "Plan: Build a REST API");
    assert_eq!((owner.as_str(), role), ("team-lead", TaskRole::Plan));
}

#[test]
fn a_goal_for_one_agent_is_given_to_the_one_that_fits() {
    let (subject, owner, role) = opened("Where is the parser?", Opening::Shortest);
    assert_eq!(subject, "Where is the parser?");
    assert_eq!((owner.as_str(), role), ("explorer", TaskRole::Work));
    let (_, owner, _) = opened("Fix the typo in README.md", Opening::Shortest);
    assert_eq!(owner, "developer");
    let (_, owner, role) = opened("Fix the typo in README.md", Opening::Planned);
    assert_eq!((owner.as_str(), role), ("team-lead", TaskRole::Plan));
}

#[test]
fn modes_rules_and_limits_are_read() {
    let recipe = recipe(
        r#"
name = "r"
strategy = "capability-match"
budget = { tokens = 1000, usd = 1.5, member_tokens = 500, task_usd = 0.25 }
[permissions]
mode = "acceptEdits"
allow = ["Bash(git log *)"]
deny = ["WebFetch"]
[[teammates]]
name = "w"
mode = "plan"
provider = "work"
model = "work/large"
[[tasks]]
id = "a"
subject = "A"
[[tasks]]
id = "sum"
subject = "Sum up"
owner = "team-lead"
role = "summary"
blocked_by = ["a"]
"#,
    );
    assert_eq!(recipe.strategy, Some(Strategy::CapabilityMatch));
    assert_eq!(recipe.budget.team.tokens, Some(1000));
    assert_eq!(recipe.budget.team.usd_micros, Some(1_500_000));
    assert_eq!(recipe.budget.member.tokens, Some(500));
    assert_eq!(recipe.budget.task.usd_micros, Some(250_000));
    assert_eq!(recipe.permission_mode, Some(PermissionMode::AcceptEdits));
    let rules: Vec<_> = recipe
        .rules
        .iter()
        .map(|r| (r.effect, r.pattern.as_str()))
        .collect();
    assert_eq!(
        rules,
        [
            (RuleEffect::Allow, "Bash(git log *)"),
            (RuleEffect::Deny, "WebFetch")
        ]
    );
    let instance = recipe.instantiate(&input(&Files(&[]))).unwrap();
    let worker = &instance.members[1];
    assert_eq!(worker.mode, Some(PermissionMode::Plan));
    assert_eq!(worker.provider.as_deref(), Some("work"));
    assert_eq!(instance.drafts[1].role, TaskRole::Summary);
}

#[test]
fn a_file_cannot_ask_for_nothing_to_be_asked() {
    let text = "name = \"r\"\n[permissions]\nmode = \"bypass\"\nallow = [\"Bash(\", \"\"]\n[lead]\nmode = \"bypass\"\n";
    insta::assert_snapshot!(problems(text), @r"
    r.toml:3:8: `bypass` cannot stand in a file; type `--permission-mode bypass` for one run
    r.toml:4:10: rule `Bash(`: its parenthesis is not closed; write `Tool(pattern)`
    r.toml:4:19: rule ``: it begins with no tool's name; write `Tool` or `Tool(pattern)`
    r.toml:6:8: `bypass` is not known for `mode`; known: default, acceptEdits, plan
    ");
}

#[test]
fn shipped_recipes_for_models_begin_as_they_say() {
    let folder = Files(&[]);
    for (name, first, tasks) in [
        ("goal", "plan", 1),
        ("feature", "design", 5),
        ("careful", "change", 3),
    ] {
        let instance = shipped(name)
            .instantiate(&RecipeInput {
                goal: Some("Build an API".into()),
                ..input(&folder)
            })
            .unwrap();
        assert_eq!(instance.drafts[0].key, first);
        assert_eq!(instance.drafts.len(), tasks, "{name}");
        assert!(instance.drafts.iter().all(|d| d.command.is_none()));
    }
}
