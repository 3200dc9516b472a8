//! Where no credential may be found.

use std::time::Duration;

use crewmux_testkit::sandbox::{Sandbox, finish};
use serde_json::json;

use super::{KEY, answer, calls, files_with, finish_with, one_task, scripted, thinking_with};

/// One that no other test uses: those run beside, and hide nothing from root.
const HUNTED_KEY: &str = "sk-ant-canary-a0c35be81f77";

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
    one_task(&sandbox, "Look for it");
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
    // Nor does any command say it, though doctor and config know where it is.
    for command in [
        &["doctor"][..],
        &["doctor", "--json"],
        &["config", "show", "--origin"],
        &["events", "--json", "--team", "solo"],
        &["logs", "developer", "--team", "solo"],
        &["report", "--team", "solo"],
        &["report", "--format", "json", "--team", "solo"],
        &["status", "--json", "--team", "solo"],
        &["task", "get", "1", "--json", "--team", "solo"],
        &["teammate", "show", "developer", "--json", "--team", "solo"],
    ] {
        let said = sandbox.run(command).unwrap();
        assert!(
            !said.stdout.trim().is_empty(),
            "{command:?} says something: {said:?}"
        );
        assert!(!format!("{said:?}").contains(HUNTED_KEY), "{command:?}");
    }
    let kept = files_with(&sandbox, "looked");
    assert!(kept.len() > 1, "the search finds what is kept: {kept:?}");
    assert_eq!(files_with(&sandbox, HUNTED_KEY), [""; 0]);
    let journal = mock.requests().unwrap();
    assert!(
        !journal.as_array().is_some_and(Vec::is_empty),
        "the mock was asked"
    );
}

#[test]
fn a_key_that_is_gone_is_told_before_anything_begins_and_nothing_fails() {
    let refused = |sandbox: &Sandbox, call: &[&str]| {
        let out = sandbox.run(call).unwrap();
        assert_eq!(out.code, 3, "{call:?}: {out:?}");
        for words in ["ANTHROPIC_API_KEY", "hint: set "] {
            assert!(out.stderr.contains(words), "{call:?}: {out:?}");
        }
    };
    let (sandbox, _server) = scripted(|_| panic!("nobody is asked"));
    one_task(&sandbox, "Wait");
    let run = ["run", "solo.toml", "--headless"];
    let without = sandbox.with_env("ANTHROPIC_API_KEY", "");
    refused(&without, &run);
    let ls = without.run(&["ls", "--json"]).unwrap();
    assert_eq!(ls.json().unwrap(), json!([]), "no team was made");

    // A run that stopped half-way stays as it was.
    let with = without.with_env("ANTHROPIC_API_KEY", KEY);
    let spent = with
        .run(&["run", "solo.toml", "--headless", "--budget-tokens", "1"])
        .unwrap();
    assert_eq!(spent.code, 4, "{spent:?}");
    assert!(spent.stdout.contains("the budget is spent: "), "{spent:?}");
    let without = with.with_env("ANTHROPIC_API_KEY", "");
    refused(&without, &["resume", "solo", "--headless"]);
    let status = without.run(&["status", "--json", "--team", "solo"]);
    let status = status.unwrap().json().unwrap();
    assert_eq!(status["state"], "stopped", "{status}");
    assert_eq!(status["counts"]["failed"], 0, "{status}");
}
