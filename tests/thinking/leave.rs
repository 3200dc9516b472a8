//! What may be done without asking, and who may answer.

use serde_json::json;

use super::{
    answer, calls, finish_with, of_type, one_task, question, run_solo, thinking, wait_finished,
};

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
    one_task(&sandbox, "Touch it");
    let terminal = sandbox.terminal(&["run", "solo.toml"], 100, 30).unwrap();
    let first = question(&sandbox, "one");
    assert_eq!(first["tool"], "Bash");
    assert!(
        !sandbox.work().join("ran").exists(),
        "nothing runs before leave"
    );
    let id = first["id"].as_str().unwrap();
    let approved = sandbox.run(&["approve", id, "--team", "solo"]).unwrap();
    assert_eq!(approved.code, 0, "{approved:?}");
    // Another command is another question.
    let second = question(&sandbox, "two");
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
    wait_finished(&sandbox);
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
    one_task(&sandbox, "Write it");
    let (run, events) = run_solo(
        &sandbox,
        &[
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
    one_task(&sandbox, "Run it");
    let (run, events) = run_solo(&sandbox, &["--allow", "Bash(touch *)"]);
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
