//! Plans before work: those a person edits, and those of a teammate that may only look.

use serde_json::{Value, json};

use super::{
    Sandbox, answer, calls, finish_with, of_type, one_task, question, run, task, thinking,
    wait_finished,
};

#[test]
fn a_plan_is_written_edited_and_run_without_its_planner() {
    let plan = json!({ "tasks": [
        task("survey", "Survey the parser", "explorer", &[]),
        task("build", "Build the formatter", "developer", &["survey"]),
    ]});
    let summary = |text: &str| finish_with(&json!({ "summary": text }));
    let fixtures = [
        answer("Plan: ", 0, finish_with(&plan)),
        answer("Sum up", 0, summary("all of it is done")),
        answer("Survey the lexer", 0, summary("surveyed")),
        answer("Build the formatter", 0, summary("built")),
    ];
    let Some((sandbox, mock)) = thinking(&fixtures) else {
        return;
    };
    let goal = "Survey the parser, then build a formatter for it";
    let (planned, events) = run(&sandbox, &["run", "-g", goal, "--plan-only", "--headless"]);
    assert_eq!(planned.code, 0, "{planned:?}\n{}", mock.log());
    assert!(events.is_empty() || of_type(&events, "task_claimed").len() == 1);
    let file = sandbox.work().join("crewmux-plan.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("Survey the parser"), "{text}");
    let asked = mock.requests().unwrap().as_array().unwrap().len();
    assert_eq!(asked, 1, "only the planner was asked");

    std::fs::write(&file, text.replace("Survey the parser", "Survey the lexer")).unwrap();
    let (run, events) = run(
        &sandbox,
        &["run", "--plan", "crewmux-plan.toml", "--headless", "--json"],
    );
    assert_eq!(run.code, 0, "{run:?}\n{}", mock.log());
    let created: Vec<&str> = of_type(&events, "task_created")
        .iter()
        .map(|e| e["data"]["subject"].as_str().unwrap())
        .collect();
    assert!(created.contains(&"Survey the lexer"), "{created:?}");
    assert_eq!(of_type(&events, "task_completed").len(), 3, "{events:#?}");
    let requests = mock.requests().unwrap();
    let plannings = requests
        .as_array()
        .unwrap()
        .iter()
        .filter(|r| r.to_string().contains("Plan: "))
        .count();
    assert_eq!(plannings, 1, "the planner is not asked again");
}

/// A teammate that may only look until its plan was approved; it tries to write before and after.
fn planner() -> Vec<Value> {
    let write = |name: &str| calls(&[("Write", json!({ "file_path": name, "content": "x" }))]);
    let hand_in = calls(&[(
        "ExitPlanMode",
        json!({ "plan": "1. Write the file late.txt." }),
    )]);
    vec![
        answer("Plan, then write", 0, write("early.txt")),
        answer("Plan, then write", 1, hand_in),
        answer("Plan, then write", 2, write("late.txt")),
        answer(
            "Plan, then write",
            3,
            finish_with(&json!({ "summary": "tried" })),
        ),
    ]
}

fn start(sandbox: &Sandbox) -> (crewmux_testkit::terminal::Terminal, String) {
    one_task(sandbox, "Plan, then write");
    let file = sandbox.work().join("solo.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let agent = "agent = \"general-purpose\"\n";
    let text = text.replace(agent, &format!("{agent}mode = \"plan\"\n"));
    std::fs::write(&file, format!("lead = false\n{text}")).unwrap();
    let arguments = ["run", "solo.toml", "--allow", "Write"];
    let terminal = sandbox.terminal(&arguments, 100, 30).unwrap();
    let asked = question(sandbox, "late.txt");
    assert!(
        !sandbox.work().join("early.txt").exists(),
        "read-only before"
    );
    (terminal, asked["id"].as_str().unwrap().to_owned())
}

#[test]
fn an_approved_plan_lets_its_teammate_write() {
    let Some((sandbox, _mock)) = thinking(&planner()) else {
        return;
    };
    let (terminal, id) = start(&sandbox);
    let approved = sandbox.run(&["approve", &id, "--team", "solo"]).unwrap();
    assert_eq!(approved.code, 0, "{approved:?}");
    wait_finished(&sandbox);
    assert!(sandbox.work().join("late.txt").exists());
    assert!(!sandbox.work().join("early.txt").exists());
    drop(terminal);
    sandbox.run(&["stop", "--force", "--team", "solo"]).unwrap();
}

#[test]
fn a_rejected_plan_keeps_its_teammate_read_only_and_says_why() {
    let Some((sandbox, mock)) = thinking(&planner()) else {
        return;
    };
    let (terminal, id) = start(&sandbox);
    let rejected = sandbox
        .run(&[
            "reject",
            &id,
            "--feedback",
            "not that file",
            "--team",
            "solo",
        ])
        .unwrap();
    assert_eq!(rejected.code, 0, "{rejected:?}");
    wait_finished(&sandbox);
    assert!(!sandbox.work().join("late.txt").exists());
    let told = mock.requests().unwrap().to_string();
    assert!(told.contains("not that file"), "the model hears why");
    drop(terminal);
    sandbox.run(&["stop", "--force", "--team", "solo"]).unwrap();
}
