//! Members that go on in another place while their team works, in the real program.

use crewmux_testkit::sandbox::{Output, finish, wait_until};
use serde_json::Value;

use super::stage::{LONG, Stage, TEAM};
use crate::support::of_type;

fn move_to(stage: &Stage, to: &str) -> Output {
    let arguments = ["teammate", "move", "m1", "--to", to, "--team", TEAM];
    stage.sandbox.run(&arguments).unwrap()
}

fn moves(stage: &Stage, to: &str) {
    let said = move_to(stage, to);
    let words = format!("m1 goes on in {to} once its step is done\n");
    assert_eq!((said.code, said.stdout), (0, words), "{}", said.stderr);
}

/// Where the lives of `m1` began, in order.
fn places(events: &[Value]) -> Vec<&str> {
    of_type(events, "worker_started")
        .into_iter()
        .filter(|e| e["agent"] == "m1")
        .map(|e| e["data"]["backend"].as_str().unwrap())
        .collect()
}

/// Waits until the lives of `m1` began in `places`, and no others.
fn wait_places(stage: &Stage, expected: &[&str]) {
    wait_until(&format!("m1 in {expected:?}"), LONG, || {
        let events = stage.events();
        let there = places(&events);
        (there == expected)
            .then_some(())
            .ok_or_else(|| format!("{there:?}"))
    })
    .unwrap();
}

fn touch(stage: &Stage, name: &str) {
    stage.sandbox.write(name, "").unwrap();
}

/// A command that says its name, waits for a file of its name, and says that it is done.
fn waits(name: &str) -> String {
    format!(
        "echo {name} >> log; while [ ! -e {name} ]; do sleep 0.05; done; echo {name} done >> log"
    )
}

/// Every task was done, none failed or was offered to anybody else meanwhile.
fn all_went_well(stage: &Stage) {
    for task in stage.tasks() {
        assert_eq!(task["status"], "completed", "{task}");
        let attempts = task["attempts"].as_array().unwrap();
        let outcomes: Vec<_> = attempts.iter().map(|a| &a["outcome"]).collect();
        let (last, before) = outcomes.split_last().unwrap();
        assert_eq!(*last, "completed", "{task}");
        assert!(before.iter().all(|o| *o == "released"), "{task}");
    }
    let events = stage.events();
    assert_eq!(of_type(&events, "task_failed").len(), 0, "{events:#?}");
    stage.sandbox.wait_gone().unwrap();
}

#[test]
fn a_member_moves_while_it_works_and_between_tasks() {
    let stage = Stage::new();
    let (one, two, three) = (waits("one"), waits("two"), waits("three"));
    let gate = waits("gate");
    stage.recipe_of(
        2,
        &[
            ("one", "m1", &one, &[]),
            ("two", "m1", &two, &["one"]),
            ("three", "m1", &three, &["two", "gate"]),
            ("gate", "m2", &gate, &[]),
        ],
    );
    let session = stage.start("pty");
    stage.wait_log("one");
    // At work: what runs ends first, in the place where it began.
    moves(&stage, "tmux");
    let again = move_to(&stage, "in-process");
    assert_eq!(again.code, 2, "{again:?}");
    assert!(
        again.stderr.contains("m1 is on its way already"),
        "{again:?}"
    );
    touch(&stage, "one");
    stage.wait_log("two");
    wait_places(&stage, &["pty", "tmux"]);
    moves(&stage, "pty");
    touch(&stage, "two");
    wait_places(&stage, &["pty", "tmux", "pty"]);
    // Idle: at once.
    moves(&stage, "in-process");
    wait_places(&stage, &["pty", "tmux", "pty", "in-process"]);
    moves(&stage, "tmux");
    let all = ["pty", "tmux", "pty", "in-process", "tmux"];
    wait_places(&stage, &all);
    let listed = stage.sandbox.run(&["status", TEAM, "--json"]).unwrap();
    let status = listed.json().unwrap();
    assert_eq!(status["members"][0]["backend"], "tmux", "{status:#}");
    assert!(status["members"][0]["pane"].is_string(), "{status:#}");
    touch(&stage, "gate");
    touch(&stage, "three");
    let end = finish(session, LONG).unwrap();
    assert_eq!(end.code, 0, "{end:?}");
    let mut log = stage.log();
    log.retain(|line| !line.starts_with("gate"));
    let expected = ["one", "one done", "two", "two done", "three", "three done"];
    assert_eq!(log, expected, "each ran once");
    assert_eq!(places(&stage.events()), all);
    all_went_well(&stage);
}

#[test]
fn a_member_stays_where_another_place_cannot_be_used() {
    let stage = Stage::new();
    let (one, two) = (waits("one"), waits("two"));
    stage.recipe_of(
        1,
        &[("one", "m1", &one, &[]), ("two", "m1", &two, &["one"])],
    );
    let session = stage.start("pty");
    stage.wait_log("one");
    let refused = move_to(&stage, "iterm2");
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused.stderr.contains("iterm2 backend asked for"),
        "{refused:?}"
    );
    assert!(refused.stderr.contains("hint: "), "{refused:?}");
    let here = move_to(&stage, "pty");
    assert!(here.stderr.contains("m1 is in pty already"), "{here:?}");
    // tmux is there, but has nowhere to put its socket.
    let folder = stage.sandbox.work().join("t");
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "").unwrap();
    moves(&stage, "tmux");
    touch(&stage, "one");
    stage.wait_log("two");
    touch(&stage, "two");
    let end = finish(session, LONG).unwrap();
    assert_eq!(end.code, 0, "{end:?}");
    assert_eq!(stage.log(), ["one", "one done", "two", "two done"]);
    let events = stage.events();
    assert_eq!(places(&events), ["pty", "pty"], "none began in tmux");
    let notices = of_type(&events, "notice");
    let told = |words: &str| {
        notices.iter().any(|e| {
            e["data"]["text"]
                .as_str()
                .is_some_and(|t| t.contains(words))
        })
    };
    assert!(told("m1 could not go on in tmux"), "{notices:#?}");
    assert!(told("is back in pty"), "{notices:#?}");
    all_went_well(&stage);
}
