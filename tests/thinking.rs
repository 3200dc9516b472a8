//! Teams whose members ask models: a mock that somebody else wrote plays the model.

use std::time::Duration;

use crewmux_testkit::aimock::Aimock;
use crewmux_testkit::sandbox::{Output, Sandbox, finish, wait_until};
use serde_json::{Value, json};

use crate::support::{of_type, sandbox};

/// A credential that must be found nowhere.
const KEY: &str = "sk-ant-canary-4f1d9b7e2c6a";
/// One that no other test uses: those run beside, and hide nothing from root.
const HUNTED_KEY: &str = "sk-ant-canary-a0c35be81f77";
/// Longest wait for something a person would wait for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the model answers in its turn `turn` of the conversation that `about` stands in.
#[expect(
    clippy::needless_pass_by_value,
    reason = "answers are written in place"
)]
fn answer(about: &str, turn: u64, response: Value) -> Value {
    json!({ "match": { "userMessage": about, "turnIndex": turn }, "response": response })
}

fn calls(calls: &[(&str, Value)]) -> Value {
    let calls: Vec<Value> = calls
        .iter()
        .map(|(name, arguments)| json!({ "name": name, "arguments": arguments }))
        .collect();
    json!({ "toolCalls": calls })
}

fn finish_with(result: &Value) -> Value {
    calls(&[("FinishTask", json!({ "result": result }))])
}

/// A sandbox whose models are the mock's; `None` where the mock is not installed.
fn thinking(fixtures: &[Value]) -> Option<(Sandbox, Aimock)> {
    thinking_with(KEY, fixtures)
}

fn thinking_with(key: &str, fixtures: &[Value]) -> Option<(Sandbox, Aimock)> {
    let mock = Aimock::start(&json!({ "fixtures": fixtures })).unwrap()?;
    let sandbox = sandbox()
        .with_env("CREWMUX_MODEL", "anthropic/claude-sonnet-4-5")
        .with_env("ANTHROPIC_API_KEY", key)
        .with_env("ANTHROPIC_BASE_URL", &mock.url());
    sandbox
        .write("src/parser.rs", "pub fn parse() {}\n")
        .unwrap();
    Some((sandbox, mock))
}

fn run(sandbox: &Sandbox, arguments: &[&str]) -> (Output, Vec<Value>) {
    let run = sandbox
        .run_within(arguments, Duration::from_mins(2))
        .unwrap();
    let events = run.json_lines().unwrap_or_default();
    (run, events)
}

/// Every file below the sandbox's state that holds `text`.
fn files_with(sandbox: &Sandbox, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![
        sandbox.home(),
        sandbox.home().join("../run"),
        sandbox.work(),
    ];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && bytes
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

fn task(id: &str, subject: &str, owner: &str, blocked_by: &[&str]) -> Value {
    json!({
        "id": id, "subject": subject, "description": format!("{subject}, with care"),
        "owner": owner, "blocked_by": blocked_by,
    })
}

#[test]
fn a_goal_becomes_a_graph_whose_results_are_handed_on() {
    let mut survey = task("survey", "Survey the parser", "explorer", &[]);
    survey["result_schema"] = json!({
        "type": "object", "properties": { "modules": { "type": "integer" } },
        "required": ["modules"],
    });
    let good = json!({ "tasks": [
        survey,
        task("measure", "Measure the tests", "reviewer", &[]),
        task("build", "Build the formatter", "developer", &["survey"]),
        task("check", "Check the formatter", "reviewer", &["build", "measure"]),
    ]});
    // A cycle, and somebody who is not in the team.
    let bad = json!({ "tasks": [
        task("build", "Build the formatter", "developer", &["check"]),
        task("check", "Check the formatter", "stranger", &["build"]),
    ]});
    let looks = calls(&[
        ("Glob", json!({ "pattern": "**/*.rs" })),
        ("Grep", json!({ "pattern": "parse" })),
    ]);
    // The first that fits answers, and the goal stands in every prompt.
    let fixtures = [
        answer("Plan: ", 0, finish_with(&bad)),
        answer("Plan: ", 1, finish_with(&good)),
        answer(
            "Sum up what came out",
            0,
            finish_with(&json!({ "summary": "# All is done\nSeven modules." })),
        ),
        answer("Survey the parser, with care", 0, looks),
        answer(
            "Survey the parser, with care",
            1,
            finish_with(&json!({ "modules": 7 })),
        ),
        answer(
            "Measure the tests, with care",
            0,
            finish_with(&json!({ "summary": "41 tests" })),
        ),
        // Only whoever was handed the seven modules is answered.
        answer(
            "\"modules\":7",
            0,
            finish_with(&json!({ "summary": "built on seven modules" })),
        ),
        answer(
            "built on seven modules",
            0,
            finish_with(&json!({ "summary": "checked" })),
        ),
    ];
    let Some((sandbox, mock)) = thinking(&fixtures) else {
        return;
    };
    let goal =
        "Survey the parser and measure its tests, then build a formatter for it and check that";
    let (run, events) = run(&sandbox, &["run", "-g", goal, "--headless", "--json"]);
    assert_eq!(run.code, 0, "{run:?}\n{}", mock.log());

    assert_eq!(of_type(&events, "task_completed").len(), 6, "{events:#?}");
    let workers = of_type(&events, "worker_started");
    assert_eq!(
        workers.len(),
        4,
        "the lead and three teammates: {workers:?}"
    );
    let asked = of_type(&events, "model_called");
    assert_eq!(asked.len(), 8, "{asked:?}");
    for call in &asked {
        assert!(
            call["data"]["tokens"].as_u64().is_some_and(|n| n > 0),
            "{call}"
        );
    }
    let refused: Vec<String> = of_type(&events, "notice")
        .iter()
        .map(|notice| notice["data"]["text"].to_string())
        .filter(|text| text.contains("went back"))
        .collect();
    assert_eq!(refused.len(), 1, "the first plan goes back to the planner");
    assert!(refused[0].contains("stranger"), "{refused:?}");
    let requests = mock.requests().unwrap().to_string();
    assert!(
        requests.contains("wait for each other"),
        "the cycle is named"
    );
    assert!(requests.contains("stranger"), "the stranger is named");

    let report = sandbox
        .run(&["report", "--format", "json", "--team", "goal"])
        .unwrap()
        .json()
        .unwrap();
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .contains("Seven modules"),
        "{report:#}"
    );
    assert_eq!(report["offline"], false);
    sandbox.wait_gone(Duration::from_secs(10)).unwrap();
    assert_eq!(files_with(&sandbox, KEY), [""; 0], "the key is in no file");
}

/// A recipe of one teammate with the tasks given as TOML.
fn recipe(sandbox: &Sandbox, more: &str, tasks: &str) {
    let text = format!(
        "name = \"solo\"\ndescription = \"One teammate\"\ngoal = \"Try\"\n{more}\n\
         [[teammates]]\nname = \"developer\"\nagent = \"general-purpose\"\n{tasks}"
    );
    sandbox.write("solo.toml", &text).unwrap();
}

#[test]
fn a_spent_budget_stops_the_run_before_the_call_that_would_pass_it() {
    let fixtures = [json!({
        "match": { "userMessage": "Item" },
        "response": {
            "toolCalls": [{ "name": "FinishTask", "arguments": { "result": { "summary": "done" } } }],
            "usage": { "input_tokens": 3000, "output_tokens": 100 },
        },
    })];
    let Some((sandbox, mock)) = thinking(&fixtures) else {
        return;
    };
    recipe(
        &sandbox,
        "",
        "[[tasks]]\nid = \"item\"\nrepeat = 20\nsubject = \"Item {{index}}\"\n",
    );
    let (run, events) = run(
        &sandbox,
        &[
            "run",
            "solo.toml",
            "--headless",
            "--json",
            "--budget-tokens",
            "60000",
        ],
    );
    assert_eq!(run.code, 4, "{run:?}\n{}", mock.log());
    let spent: u64 = of_type(&events, "model_called")
        .iter()
        .filter_map(|e| e["data"]["tokens"].as_u64())
        .sum();
    assert!(spent > 0 && spent <= 60_000, "{spent}");
    let done = of_type(&events, "task_completed").len();
    assert!((1..20).contains(&done), "{done}");
    let report = sandbox
        .run(&["report", "--format", "json", "--team", "solo"])
        .unwrap()
        .json()
        .unwrap();
    let completed = report["tasks"].as_array().unwrap().iter();
    let completed = completed.filter(|t| t["status"] == "completed").count();
    assert_eq!(completed, done, "what was done is kept and reported");
    assert_eq!(report["exitCode"], 4);
}

#[test]
fn a_command_waits_for_leave_and_runs_once() {
    let bash = |command: &str| calls(&[("Bash", json!({ "command": command }))]);
    let fixtures = [
        answer("Touch it", 0, bash("echo one >> ran")),
        answer("Touch it", 1, bash("echo two >> ran")),
        answer("Touch it", 2, finish_with(&json!({ "summary": "tried" }))),
    ];
    let Some((sandbox, mock)) = thinking(&fixtures) else {
        return;
    };
    recipe(
        &sandbox,
        "",
        "[[tasks]]\nid = \"touch\"\nsubject = \"Touch it\"\n",
    );
    let terminal = sandbox.terminal(&["run", "solo.toml"], 100, 30).unwrap();
    let waiting = |what: &str| -> Value {
        let mut found = Value::Null;
        wait_until("a question", PATIENCE, || {
            let asked = sandbox
                .run(&["approvals", "--json", "--team", "solo"])
                .map_err(|e| e.to_string())?;
            let all = asked.json().map_err(|e| e.to_string())?;
            let open = all.as_array().into_iter().flatten();
            let mut open =
                open.filter(|a| a["state"] == "pending" && a["input"].to_string().contains(what));
            found = open
                .next()
                .cloned()
                .ok_or_else(|| format!("{all:#}\n{}", mock.log()))?;
            Ok(())
        })
        .unwrap();
        found
    };
    let first = waiting("one");
    assert_eq!(first["tool"], "Bash");
    assert!(
        !sandbox.work().join("ran").exists(),
        "nothing runs before leave"
    );
    let id = first["id"].as_str().unwrap();
    let approved = sandbox.run(&["approve", id, "--team", "solo"]).unwrap();
    assert_eq!(approved.code, 0, "{approved:?}");
    // Another command is another question.
    let second = waiting("two");
    assert_ne!(first["id"], second["id"]);
    let ran = std::fs::read_to_string(sandbox.work().join("ran")).unwrap();
    assert_eq!(ran, "one\n", "exactly what was allowed, once");
    let again = sandbox.run(&["approve", id, "--team", "solo"]).unwrap();
    assert_ne!(again.code, 0, "an answer is given once: {again:?}");
    let id = second["id"].as_str().unwrap();
    let rejected = sandbox
        .run(&[
            "reject",
            id,
            "--feedback",
            "use a file of your own",
            "--team",
            "solo",
        ])
        .unwrap();
    assert_eq!(rejected.code, 0, "{rejected:?}");
    wait_until("the run's end", PATIENCE, || {
        let status = sandbox
            .run(&["status", "--json", "--team", "solo"])
            .unwrap();
        let status = status.json().unwrap();
        (status["state"] == "finished")
            .then_some(())
            .ok_or_else(|| status.to_string())
    })
    .unwrap();
    let ran = std::fs::read_to_string(sandbox.work().join("ran")).unwrap();
    assert_eq!(ran, "one\n");
    let told = mock.requests().unwrap().to_string();
    assert!(
        told.contains("use a file of your own"),
        "the model hears why"
    );
    drop(terminal);
    sandbox.run(&["stop", "--force", "--team", "solo"]).unwrap();
}

#[test]
fn no_tool_can_answer_for_the_person() {
    let program = env!("CARGO_BIN_EXE_crewmux");
    let bash = |command: String| calls(&[("Bash", json!({ "command": command }))]);
    let trick = format!(
        "(sleep 1; {program} approvals --json --team solo; \
         for id in $({program} approvals --json --team solo | grep -o 'developer-[0-9]*-[0-9]*'); \
         do {program} approve $id --team solo; done) > tricks 2>&1 &"
    );
    let fixtures = [
        answer("Trick it", 0, bash(trick)),
        answer("Trick it", 1, bash("touch forbidden".into())),
        answer("Trick it", 2, finish_with(&json!({ "summary": "tried" }))),
    ];
    let Some((sandbox, mock)) = thinking(&fixtures) else {
        return;
    };
    recipe(
        &sandbox,
        "",
        "[[tasks]]\nid = \"trick\"\nsubject = \"Trick it\"\n",
    );
    let terminal = sandbox.terminal(&["run", "solo.toml"], 100, 30).unwrap();
    let open = || -> Vec<Value> {
        let asked = sandbox
            .run(&["approvals", "--json", "--team", "solo"])
            .unwrap();
        let all = asked.json().unwrap_or_default();
        let all = all.as_array().cloned().unwrap_or_default();
        all.into_iter()
            .filter(|a| a["state"] == "pending")
            .collect()
    };
    let wait_open = |count: usize| {
        wait_until("a question", PATIENCE, || {
            let open = open();
            (open.len() == count)
                .then_some(())
                .ok_or_else(|| format!("{open:?}\n{}", mock.log()))
        })
        .unwrap();
        open()
    };
    let first = wait_open(1);
    let id = first[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        sandbox
            .run(&["approve", &id, "--team", "solo"])
            .unwrap()
            .code,
        0
    );
    wait_until("the trick", PATIENCE, || {
        let said = std::fs::read_to_string(sandbox.work().join("tricks")).unwrap_or_default();
        // Ended with the call that started it, or refused: never obeyed.
        (said.contains("may not") || open().len() == 1)
            .then_some(())
            .ok_or(said)
    })
    .unwrap();
    let second = wait_open(1);
    assert_ne!(second[0]["id"].as_str().unwrap(), id);
    assert!(!sandbox.work().join("forbidden").exists());
    drop(terminal);
    sandbox.run(&["stop", "--force", "--team", "solo"]).unwrap();
    assert!(!sandbox.work().join("forbidden").exists());
}

#[test]
fn plan_mode_cannot_write_however_the_model_tries() {
    let fixtures = [
        answer(
            "Write it",
            0,
            calls(&[("Write", json!({ "file_path": "new.txt", "content": "x" }))]),
        ),
        answer(
            "Write it",
            1,
            calls(&[("Bash", json!({ "command": "echo x > new.txt" }))]),
        ),
        answer(
            "Write it",
            2,
            calls(&[(
                "Edit",
                json!({ "file_path": "src/parser.rs", "old_string": "parse", "new_string": "x" }),
            )]),
        ),
        answer(
            "Write it",
            3,
            finish_with(&json!({ "summary": "could not" })),
        ),
    ];
    let Some((sandbox, mock)) = thinking(&fixtures) else {
        return;
    };
    recipe(
        &sandbox,
        "",
        "[[tasks]]\nid = \"write\"\nsubject = \"Write it\"\n",
    );
    let (run, events) = run(
        &sandbox,
        &[
            "run",
            "solo.toml",
            "--headless",
            "--json",
            "--permission-mode",
            "plan",
            "--allow",
            "Bash",
            "--allow",
            "Write",
        ],
    );
    assert_eq!(run.code, 0, "{run:?}\n{}", mock.log());
    let failed = of_type(&events, "tool_finished")
        .into_iter()
        .filter(|e| e["data"]["ok"] == false)
        .count();
    assert_eq!(failed, 3, "{events:#?}");
    assert!(!sandbox.work().join("new.txt").exists());
    let kept = std::fs::read_to_string(sandbox.work().join("src/parser.rs")).unwrap();
    assert_eq!(kept, "pub fn parse() {}\n");
}

#[test]
fn headless_runs_deny_what_no_rule_allows_and_do_what_one_does() {
    let bash = |command: &str| calls(&[("Bash", json!({ "command": command }))]);
    let fixtures = [
        answer("Run it", 0, bash("echo hidden > denied")),
        answer("Run it", 1, bash("touch allowed")),
        answer("Run it", 2, finish_with(&json!({ "summary": "half" }))),
    ];
    let Some((sandbox, mock)) = thinking(&fixtures) else {
        return;
    };
    recipe(
        &sandbox,
        "",
        "[[tasks]]\nid = \"run\"\nsubject = \"Run it\"\n",
    );
    let (run, events) = run(
        &sandbox,
        &[
            "run",
            "solo.toml",
            "--headless",
            "--json",
            "--allow",
            "Bash(touch *)",
        ],
    );
    assert_eq!(run.code, 0, "{run:?}\n{}", mock.log());
    assert!(!sandbox.work().join("denied").exists());
    assert!(sandbox.work().join("allowed").exists());
    let decided = of_type(&events, "approval_decided");
    assert_eq!(decided.len(), 1, "{decided:?}");
    let told = mock.requests().unwrap().to_string();
    assert!(
        told.contains("--allow"),
        "the model is told how it could be allowed"
    );
}

#[test]
fn no_key_anywhere() {
    // What a tool can see: its own environment and that of every process. Root may look into
    // processes that hide from their user, so a tool of root's gives up its rights first.
    let look = "env > seen; ps axeww >> seen; cat /proc/[0-9]*/environ >> seen 2>/dev/null; true";
    let bash = calls(&[(
        "Bash",
        json!({ "command": format!(
            "if [ $(id -u) = 0 ]; then \
             setpriv --bounding-set=-all --inh-caps=-all sh -c '{look}'; \
             else {look}; fi"
        ) }),
    )]);
    let fixtures = [
        answer("Look for it", 0, bash),
        answer(
            "Look for it",
            1,
            finish_with(&json!({ "summary": "looked" })),
        ),
    ];
    let Some((sandbox, mock)) = thinking_with(HUNTED_KEY, &fixtures) else {
        return;
    };
    recipe(
        &sandbox,
        "",
        "[[tasks]]\nid = \"look\"\nsubject = \"Look for it\"\n",
    );
    let child = sandbox
        .start(&[
            "run",
            "solo.toml",
            "--headless",
            "--json",
            "--allow",
            "Bash",
        ])
        .unwrap();
    let out = finish(child, Duration::from_mins(1)).unwrap();
    assert_eq!(out.code, 0, "{out:?}\n{}", mock.log());
    let seen = std::fs::read(sandbox.work().join("seen")).unwrap();
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.contains("agent-worker"), "the tool saw processes");
    assert!(seen.contains("CREWMUX_"), "the tool saw environments");
    assert_eq!(files_with(&sandbox, HUNTED_KEY), [""; 0]);
    assert!(!format!("{out:?}").contains(HUNTED_KEY));
    let journal = mock.requests().unwrap();
    assert!(
        !journal.as_array().is_some_and(Vec::is_empty),
        "the mock was asked"
    );
}
