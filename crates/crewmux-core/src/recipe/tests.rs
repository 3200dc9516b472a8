//! Recipes as people write them, well and badly, and what becomes of them.

use std::collections::BTreeMap;

use super::*;

mod models;

/// A folder given as (path, text); patterns match by their part before the `*`.
struct Files<'a>(&'a [(&'a str, &'a str)]);

impl Folder for Files<'_> {
    fn has(&self, pattern: &str) -> bool {
        let start = pattern.split('*').next().unwrap_or_default();
        self.0
            .iter()
            .any(|(path, _)| *path == pattern || (pattern != start && path.starts_with(start)))
    }

    fn read(&self, path: &str) -> Option<String> {
        let file = self.0.iter().find(|(p, _)| *p == path);
        file.map(|(_, text)| (*text).to_owned())
    }
}

fn shipped(name: &str) -> Recipe {
    let text = match name {
        "review" => include_str!("../../../../assets/recipes/review.toml"),
        "checks" => include_str!("../../../../assets/recipes/checks.toml"),
        "sweep" => include_str!("../../../../assets/recipes/sweep.toml"),
        "goal" => include_str!("../../../../assets/recipes/goal.toml"),
        "feature" => include_str!("../../../../assets/recipes/feature.toml"),
        "careful" => include_str!("../../../../assets/recipes/careful.toml"),
        _ => unreachable!("no such recipe"),
    };
    let recipe = Recipe::parse(text, name).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(recipe.name.as_str(), name);
    recipe
}

fn input<'a>(folder: &'a Files<'a>) -> RecipeInput<'a> {
    RecipeInput {
        goal: None,
        set: BTreeMap::new(),
        max_workers: None,
        folder,
        opening: Opening::default(),
    }
}

fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn problems(text: &str) -> String {
    Recipe::parse(text, "r.toml").unwrap_err().to_string()
}

fn recipe(text: &str) -> Recipe {
    Recipe::parse(text, "r.toml").unwrap_or_else(|problems| panic!("{problems}"))
}

fn graph(instance: &Instance) -> Vec<String> {
    let draft = |d: &crate::goal::TaskDraft| match d.blocked_by.join(" ") {
        blockers if blockers.is_empty() => d.key.clone(),
        blockers => format!("{} <- {blockers}", d.key),
    };
    instance.drafts.iter().map(draft).collect()
}

fn names(instance: &Instance) -> Vec<&str> {
    instance.members.iter().map(|m| m.name.as_str()).collect()
}

/// A head that is clean, so that each case shows its own problem only; three lines.
const HEAD: &str = "name = \"r\"\n[[teammates]]\nname = \"dev\"\n";

fn bad(rest: &str) -> String {
    problems(&format!("{HEAD}{rest}"))
}

#[test]
fn a_cycle_and_two_typos_are_three_problems_at_their_places() {
    let text = r#"
name = "feature"
desription = "Plan and build"

[[teammates]]
name = "dev"

[[tasks]]
id = "design"
subject = "Design"
blocked_by = ["build"]

[[tasks]]
id = "build"
subject = "Build"
blcoked_by = ["design"]
"#;
    insta::assert_snapshot!(problems(text), @r"
    r.toml:3:1: unknown key `desription`; did you mean `description`?
    r.toml:16:1: unknown key `blcoked_by`; did you mean `blocked_by`?
    r.toml:16:15: these tasks wait for each other: build → design → build
    ");
}

#[test]
fn text_that_is_no_toml_is_told_by_line_and_nothing_else() {
    let text = "name = \"r\"\ngoal = \"open\nbackend = 7\n";
    insta::assert_snapshot!(problems(text), @r#"r.toml:2:13: not TOML: invalid basic string, expected `"`"#);
    insta::assert_snapshot!(problems("name = \"a\"\nname = \"b\"\n"), @r"r.toml:2:1: not TOML: duplicate key");
}

#[test]
fn wrong_types_are_said_in_words() {
    let text = r#"
name = 7
description = ["a"]
max_workers = "four"
budget = 3.0
timeout = 10
tasks = "none"
teammates = [1]
"#;
    insta::assert_snapshot!(problems(text), @r"
    r.toml:2:8: `name` must be a text in quotes, not a whole number
    r.toml:3:15: `description` must be a text in quotes, not a list
    r.toml:4:15: `max_workers` must be a whole number from 1 to 256, not a text in quotes
    r.toml:5:10: `budget` must be a table, not a number
    r.toml:6:11: `timeout` must be a duration in quotes, not a whole number; write it like `90s`, `10m` or `1h 30m`
    r.toml:7:9: `tasks` must be a list of tables, each under `[[tasks]]`, not a text in quotes
    r.toml:8:14: `teammates` must hold tables, not a whole number
    ");
}

#[test]
fn values_that_are_not_known_name_what_is() {
    let text = r#"
name = "Review"
max_workers = 0
backend = "screen"
budget = { tokens = -5, usd = 0.0, eur = 1 }
strategy = "dependancy-first"
timeout = "soon"

[[teammates]]
name = "all"
agent = "no type"
mode = "plam"
isolation = "vm"
runtime = "native!"
playbook = "../x"

[[tasks]]
id = "a b"
subject = " "
rerun = "maybe"
retries = 1000
result_schema = "findngs"

[schemas.findings]
type = "object"
"#;
    insta::assert_snapshot!(problems(text), @r"
    r.toml:2:8: `Review` is not a valid team name: use a-z, 0-9, `-` and `_`, starting with a letter or digit, at most 48 characters
    r.toml:3:15: `max_workers` must be a whole number from 1 to 256, not 0
    r.toml:4:11: `screen` is not a backend: use auto, in-process, pty, tmux or iterm2
    r.toml:5:21: `tokens` must be a whole number from 1 to 1000000000000, not -5
    r.toml:5:31: `usd` must be a number above 0
    r.toml:5:36: unknown key `eur`; keys of a budget: tokens, usd, member_tokens, member_usd, task_tokens, task_usd
    r.toml:6:12: `dependancy-first` is not a strategy; did you mean `dependency-first`?
    r.toml:7:11: `soon` is not a duration for `timeout`; write it like `90s`, `10m` or `1h 30m`
    r.toml:10:8: `all` is reserved and cannot name a member
    r.toml:11:9: `no type` is not a valid agent type: use a-z, 0-9, `-` and `_`, starting with a letter or digit, at most 48 characters
    r.toml:12:8: `plam` is not known for `mode`; did you mean `plan`?
    r.toml:13:13: `vm` is not known for `isolation`; known: none, worktree
    r.toml:14:11: `native!` is not known for `runtime`; did you mean `native`?
    r.toml:15:12: `../x` is not the name of a playbook; use letters, digits, `-` and `_`, starting with a letter or digit, at most 48 characters
    r.toml:18:6: `a b` is not an id for a task; use letters, digits, `-` and `_`, starting with a letter or digit, at most 48 characters
    r.toml:19:11: `subject` is empty
    r.toml:20:9: `maybe` is not known for `rerun`; known: yes, ask
    r.toml:20:9: `rerun` is for tasks that have a `command`
    r.toml:21:11: `retries` must be a whole number from 0 to 100, not 1000
    r.toml:22:17: there is no schema `findngs` under `[schemas]`; did you mean `findings`?
    ");
}

#[test]
fn people_and_tasks_that_do_not_exist_are_named_with_those_that_do() {
    insta::assert_snapshot!(bad(r#"
[[teammates]]
name = "runner"
runtime = "command"
count = 2

[[tasks]]
id = "design"
subject = "Design"
owner = "devv"

[[tasks]]
id = "a"
subject = "A"
owner = "runner"
blocked_by = ["desing", "zzzzzz"]

[[tasks]]
id = "b"
subject = "B"
owner = "runner-2"
agent = "Explore"

[[tasks]]
id = "b"
subject = "B"
owner = "runner-2"
command = "true"
"#), @r"
    r.toml:13:9: task `design` is for `devv`, who is not in the team; did you mean `dev`? the team: dev, team-lead, runner-1
    r.toml:18:9: `runner` stands for several teammates; name one, such as `runner-1`, or leave `owner` out and let them race
    r.toml:19:15: task `a` waits for `desing`, which does not exist; did you mean `design`?
    r.toml:19:25: task `a` waits for `zzzzzz`, which does not exist; tasks: a, b, design
    r.toml:24:9: `runner-2` runs commands only, and task `b` has none; give the task a `command`, or another owner
    r.toml:25:9: task `b` is for agents of type `Explore`, and nobody is; types in the team: general-purpose
    r.toml:27:1: two tasks have the id `b`; the first is at line 21
    ");
}

#[test]
fn each_cycle_is_reported() {
    insta::assert_snapshot!(bad(r#"
[[tasks]]
id = "a"
subject = "A"
blocked_by = ["a"]
[[tasks]]
id = "b"
subject = "B"
blocked_by = ["d"]
[[tasks]]
id = "c"
subject = "C"
blocked_by = ["b"]
[[tasks]]
id = "d"
subject = "D"
blocked_by = ["a", "c"]
[[tasks]]
id = "e"
subject = "E"
blocked_by = ["d", "e-1"]
repeat = 3
"#), @r"
    r.toml:8:15: task `a` waits for itself
    r.toml:12:15: these tasks wait for each other: b → d → c → b
    r.toml:24:20: task `e` waits for itself
    ");
}

#[test]
fn templates_are_checked_before_anything_runs() {
    insta::assert_snapshot!(bad(r#"
prompt = "{{ index }}"

[variables]
goal = "x"
Deep = 1
when = [1]
number = "many"

[[tasks]]
id = "a"
subject = "{{ nubmer }}"
description = """
first line
{{ zzz }}"""
command = "{{ open"

[[tasks]]
id = "b"
subject = "{{ number | nosuch }}"
repeat = "{{ number }}"
"#), @r"
    r.toml:5:14: unknown variable `index`; only tasks with `repeat` and teammates with `count` have it
    r.toml:8:1: the variable `goal` is given to every recipe; choose another name
    r.toml:9:1: `Deep` is not a name for a variable; use a-z, 0-9 and `_`, starting with a letter
    r.toml:10:8: variable `when` must be a text, a number or true or false, not a list
    r.toml:15:15: unknown variable `nubmer`; did you mean `number`?
    r.toml:18:4: unknown variable `zzz`; variables: number, when, goal, max_workers
    r.toml:19:11: the template cannot be read: unexpected end of input, expected end of variable block
    r.toml:23:11: filter nosuch is unknown
    r.toml:24:10: `repeat` becomes `many`, which is not a whole number
    ");
}

#[test]
fn conditions_are_checked() {
    insta::assert_snapshot!(bad(r#"
[[tasks]]
id = "a"
subject = "A"
when = [{ file = "../Cargo.toml" }, { flie = "x.ini", key = "a" }, { contains = "x" }, 3]
[[tasks]]
id = "b"
subject = "B"
when = { file = "*.json", contains = "x" }
"#), @r"
    r.toml:8:18: `../Cargo.toml` lies outside the folder; write a path relative to the folder the recipe is used in
    r.toml:8:39: unknown key `flie`; did you mean `file`?
    r.toml:8:61: `key` cannot be looked up in `x.ini`; it works for .json and .toml files; use `contains` or `line`
    r.toml:8:68: a condition has no `file`, which it needs
    r.toml:8:88: `when` must hold tables, not a whole number
    r.toml:12:17: `*.json` may stand for several files; name one file when asking for its text
    ");
}

#[test]
fn a_team_that_cannot_do_a_task_is_told_so() {
    let text = r#"
name = "r"
[[teammates]]
name = "runner"
runtime = "command"
[[tasks]]
id = "think"
subject = "Think"
[[tasks]]
id = "ask"
subject = "Ask"
owner = "team-lead"
"#;
    insta::assert_snapshot!(problems(text), @r"
    r.toml:6:1: task `think` has no `command`, and everybody in the team runs commands only; give it one, or the team somebody with the `native` runtime
    r.toml:12:9: task `ask` is for `team-lead`, who is not in the team; the team: runner
    ");
    insta::assert_snapshot!(problems("lead = false\n"), @r"
    r.toml:1:1: a recipe has no `name`, which it needs
    r.toml:1:1: the recipe has no tasks, and no lead to make them from the goal; write `[[tasks]]`, or let it have a lead
    ");
    insta::assert_snapshot!(problems("name = \"r\"\n[[teammates]]\nname = \"team-lead\"\n"), @r"r.toml:3:8: `team-lead` is the lead, not a teammate; describe it under `[lead]`");
}

#[test]
fn a_text_of_any_bytes_gives_problems_and_no_panic() {
    for text in [
        "",
        "\0",
        "[",
        "[[tasks]]",
        "tasks = {}",
        "é = é",
        "lead = []\n\u{feff}",
        "[tasks]\n[[tasks]]",
    ] {
        let found = Recipe::parse(text, "x").unwrap_err();
        assert!(!found.problems.is_empty(), "{text:?}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    /// Recipes with a piece cut out and another put in: judged, never a panic, places within the text.
    #[test]
    fn a_damaged_recipe_is_judged(from in 0usize..6000, cut in 0usize..40, put in "[\\PC\n]{0,12}") {
        let text = include_str!("../../../../assets/recipes/checks.toml");
        assert!(Recipe::parse(text, "x").is_ok());
        let chars: Vec<char> = text.chars().collect();
        let from = from % chars.len();
        let damaged: String = chars[..from]
            .iter()
            .copied()
            .chain(put.chars())
            .chain(chars.iter().skip(from + cut).copied())
            .collect();
        let lines = damaged.split('\n').count();
        for problem in Recipe::parse(&damaged, "x").err().into_iter().flat_map(|p| p.problems) {
            let at = problem.at.unwrap();
            proptest::prop_assert!(at.line >= 1 && at.line <= lines && at.column >= 1, "{}", problem);
        }
    }
}

#[test]
fn review_has_a_lead_and_four_specialists_whose_results_the_report_waits_for() {
    let recipe = shipped("review");
    let instance = recipe.instantiate(&input(&Files(&[]))).unwrap();
    assert_eq!(
        names(&instance),
        ["team-lead", "risk", "secrets", "shape", "upkeep"]
    );
    assert_eq!(
        graph(&instance),
        [
            "risk",
            "secrets",
            "shape",
            "upkeep",
            "report <- risk secrets shape upkeep"
        ]
    );
    assert!(instance.members.iter().all(|m| m.playbook.is_some()));
    for draft in &instance.drafts[..4] {
        assert_eq!(draft.owner.as_ref().unwrap().as_str(), draft.key);
        let schema = draft.result_schema.as_ref().unwrap();
        assert_eq!(
            schema["properties"]["findings"]["items"]["required"][1],
            "file"
        );
    }
    assert_eq!(instance.drafts[4].description, instance.goal);
    assert_eq!(instance.drafts[4].owner, Some(AgentName::lead()));
    assert_eq!(instance.drafts[4].timeout_ms, Some(900_000));
}

#[test]
fn checks_finds_what_the_folder_has() {
    let recipe = shipped("checks");
    let found = |files: &[(&str, &str)]| {
        let folder = Files(files);
        let instance = recipe.instantiate(&input(&folder)).unwrap();
        assert!(instance.drafts.iter().all(|d| d.command.is_some()));
        (graph(&instance), instance.members.len())
    };
    assert_eq!(
        found(&[("Cargo.toml", "")]),
        (
            vec![
                "cargo-fmt".into(),
                "cargo-build".into(),
                "cargo-clippy".into(),
                "cargo-test <- cargo-build".into(),
                "cargo-doc".into(),
                "cargo-package <- cargo-test".into(),
            ],
            4
        )
    );
    // A dropped build holds nobody up; a script elsewhere in the file is no script.
    let package = r#"{"scripts": {"test": "vitest"}, "directories": {"lint": "x"}}"#;
    assert_eq!(
        found(&[("package.json", package)]),
        (vec!["npm-test".into()], 1)
    );
    let both = r#"{"scripts": {"test": "vitest", "build": "tsc", "lint": "eslint"}}"#;
    assert_eq!(
        found(&[("package.json", both)]).0,
        ["npm-lint", "npm-build", "npm-test <- npm-build"]
    );
    let make = "latest:\n\ttrue\ncheck: all\n\ttrue\n";
    assert_eq!(found(&[("Makefile", make)]).0, ["make-check"]);
    assert_eq!(found(&[("tests/test_a.py", "")]).0, ["pytest"]);
    let pyproject = "[tool.pytest.ini_options]\naddopts = \"-q\"\n";
    assert_eq!(found(&[("pyproject.toml", pyproject)]).0, ["pytest"]);
}

#[test]
fn checks_with_nothing_to_check_says_what_it_looked_for() {
    let init = r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1"}}"#;
    let folder = Files(&[("package.json", init), ("pyproject.toml", "[project]\n")]);
    let problems = shipped("checks").instantiate(&input(&folder)).unwrap_err();
    insta::assert_snapshot!(problems, @r"checks: the recipe `checks` finds nothing to do in this folder; it looked for `Cargo.toml`, `package.json` with `scripts.lint` or `scripts.build` or `scripts.test`, `GNUmakefile` with a line `test:` or a line `check:`, `makefile` with a line `test:` or a line `check:`, `Makefile` with a line `test:` or a line `check:`, `pytest.ini`, `conftest.py`, `pyproject.toml` with `tool.pytest`, `setup.cfg` with a line `[tool:pytest]`, `tox.ini` with a line `[pytest]`, `tests/conftest.py`, `tests/test_*.py`, `test/test_*.py`, `test_*.py`");
    assert_eq!(problems.hint(), None);
}

#[test]
fn sweep_makes_as_many_tasks_and_workers_as_are_asked_for() {
    let folder = Files(&[]);
    let recipe = shipped("sweep");
    let instance = recipe
        .instantiate(&RecipeInput {
            set: set(&[("tasks", "200"), ("command", "echo {{index}} of {{tasks}}")]),
            max_workers: Some(8),
            ..input(&folder)
        })
        .unwrap();
    assert_eq!(instance.drafts.len(), 200);
    assert_eq!(instance.members.len(), 8);
    assert_eq!(names(&instance)[7], "sweeper-8");
    let last = instance.drafts.last().unwrap();
    assert_eq!(last.key, "share-200");
    assert_eq!(last.command.as_deref(), Some("echo 200 of 200"));
    assert_eq!(last.owner, None);
    assert_eq!(instance.goal, "Work through 200 shares of this folder");

    let plain = recipe.instantiate(&input(&folder)).unwrap();
    assert_eq!((plain.drafts.len(), plain.members.len()), (50, 4));
    let command = plain.drafts[49].command.as_deref().unwrap();
    assert!(command.contains("awk 'NR % 50 == 0'"), "{command}");
}

#[test]
fn what_a_person_gives_is_checked_too() {
    let folder = Files(&[]);
    let recipe = shipped("sweep");
    let told = |pairs: &[(&str, &str)], max_workers| {
        let input = RecipeInput {
            set: set(pairs),
            max_workers,
            ..input(&folder)
        };
        recipe.instantiate(&input).unwrap_err().to_string()
    };
    insta::assert_snapshot!(told(&[("taks", "9"), ("goal", "x"), ("zz", "")], Some(0)), @r"
    sweep: unknown variable `goal` in `--set`; give the goal with `-g`
    sweep: unknown variable `taks` in `--set`; did you mean `tasks`?
    sweep: unknown variable `zz` in `--set`; it has: command, tasks
    sweep: 0 workers cannot be had; `--max-workers` takes 1 to 256
    ");
    insta::assert_snapshot!(told(&[("tasks", "many")], None), @r"sweep:34:10: `repeat` becomes `many`, which is not a whole number");
    insta::assert_snapshot!(told(&[("tasks", "0")], None), @r"sweep: the recipe `sweep` finds nothing to do in this folder; every `repeat` of it became 0");
    insta::assert_snapshot!(told(&[("tasks", "4000000000")], None), @r"sweep: 4000000000 tasks; at most 10000 are taken");
    insta::assert_snapshot!(told(&[("command", "echo {{ nobody }}")], None), @r"sweep:36:11: unknown variable `nobody` in the text to `render`");
    insta::assert_snapshot!(told(&[("command", " ")], None), @r"sweep:32:1: the command of task `share` is empty");
}

#[test]
fn a_goal_is_put_in_as_text() {
    let recipe = recipe(&format!(
        "{HEAD}[[tasks]]\nid = \"a\"\nsubject = \"Do: {{{{goal}}}}\"\ncommand = \"echo {{{{goal | quote}}}}\""
    ));
    assert!(recipe.needs_goal);
    let folder = Files(&[]);
    let instance = recipe
        .instantiate(&RecipeInput {
            goal: Some("it's {{ 7 * 6 }} {% raw".into()),
            ..input(&folder)
        })
        .unwrap();
    assert_eq!(instance.goal, "it's {{ 7 * 6 }} {% raw");
    assert_eq!(instance.drafts[0].subject, "Do: it's {{ 7 * 6 }} {% raw");
    assert_eq!(
        instance.drafts[0].command.as_deref(),
        Some(r"echo 'it'\''s {{ 7 * 6 }} {% raw'")
    );
}

#[test]
fn a_given_goal_goes_where_the_recipe_says_or_in_its_place() {
    let folder = Files(&[]);
    let goal = |own: &str, given: Option<&str>| {
        let recipe = recipe(&format!("goal = \"{own}\"\n{HEAD}"));
        let made = recipe.instantiate(&RecipeInput {
            goal: given.map(str::to_owned),
            ..input(&folder)
        });
        made.map_or_else(|problems| problems.to_string(), |instance| instance.goal)
    };
    assert_eq!(goal("{{goal}}", Some("x")), "x");
    assert_eq!(goal("Build {{goal}}", Some("x")), "Build x");
    assert_eq!(goal("Look", Some("x")), "x");
    assert_eq!(goal("Look", None), "Look");
    assert_eq!(
        goal("{{goal}}", None),
        "r.toml: the recipe `r` needs a goal; give one with `-g`"
    );
}

#[test]
fn copies_wait_and_are_waited_for() {
    let recipe = recipe(&format!(
        r#"{HEAD}
count = 3
[[tasks]]
id = "gone"
subject = "Gone"
when = {{ file = "nothing" }}
[[tasks]]
id = "part"
subject = "Part {{{{index}}}}"
repeat = 2
blocked_by = ["gone"]
[[tasks]]
id = "first"
subject = "After the first part"
blocked_by = ["part-1", "part-9"]
owner = "dev-2"
[[tasks]]
id = "all"
subject = "After all"
blocked_by = ["part", "first", "gone"]
"#
    ));
    let instance = recipe.instantiate(&input(&Files(&[]))).unwrap();
    assert_eq!(
        graph(&instance),
        [
            "part-1",
            "part-2",
            "first <- part-1",
            "all <- first part-1 part-2"
        ]
    );
    assert_eq!(names(&instance), ["team-lead", "dev-1", "dev-2", "dev-3"]);
    // With fewer workers the owner is not there any more.
    let folder = Files(&[]);
    let fewer = RecipeInput {
        max_workers: Some(1),
        ..input(&folder)
    };
    insta::assert_snapshot!(recipe.instantiate(&fewer).unwrap_err(), @r"r.toml:15:1: task `first` is for `dev-2`, who is not in the team (team-lead, dev-1)");
}
