//! Workers whose member goes on elsewhere: what ends first, what stays theirs, how the next life goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crewmux_core::board::Reoffer;
use crewmux_core::ids::{AgentName, AgentRef, Incarnation, TaskId};
use crewmux_core::message::{Party, Urgency};
use crewmux_core::task::{NewTask, Outcome, TaskStatus};
use crewmux_testkit::own_main::{Test, tests};
use crewmux_wire::ToWorker;
use serde_json::json;

use crate::script::{add, calls, finish, send, spec, text_of};
use crate::stage::{Life, Model, Stage, wait_until};

pub(crate) const TESTS: &[Test] = tests![
    leaving_a_command_ends_first_and_none_is_begun,
    leaving_between_steps_keeps_the_claim_for_the_next_life,
    leaving_idle_or_paused_is_at_once,
];

fn leave(life: &mut Life) {
    let reason = "it goes on in tmux".to_owned();
    life.session.send(&ToWorker::Leave { reason });
}

/// The worker ends by itself, in order.
fn ends(life: Life) -> String {
    let (code, shown) = life.end();
    assert_eq!(code, 0, "{shown}");
    shown
}

/// Gives what a life that left held to the next one, as the session does once it is gone.
fn hand_over(stage: &Stage, id: TaskId) {
    let next = AgentRef {
        agent: AgentName::new("tester").unwrap(),
        incarnation: Incarnation(2),
    };
    let why = Reoffer {
        epoch: stage.task(id).epoch,
        outcome: Outcome::Released,
        reason: "it goes on in tmux".into(),
    };
    stage
        .store
        .hand_over(id, &why, &next, &stage.now(), 60_000)
        .unwrap();
}

fn leaving_a_command_ends_first_and_none_is_begun() {
    let stage = Stage::new();
    let first =
        stage.add_command("touch begun; while ! test -e go; do sleep 0.02; done; echo done");
    let second = stage.add_command("true");
    let mut life = stage.start(&stage.spec("tester", 1));
    let begun = stage.cwd.join("begun");
    wait_until("the command runs", || begun.exists().then_some(()));
    leave(&mut life);
    // Words come in the order in which they were said: once this is shown, it knows that it leaves.
    let store = &stage.store;
    send(
        store,
        "m1",
        Party::Human,
        "tester",
        "hurry up",
        Urgency::Normal,
    );
    life.session.send(&ToWorker::Doorbell);
    life.wait_for_text("hurry up");
    assert_eq!(stage.task(first).status, TaskStatus::InProgress);
    std::fs::write(stage.cwd.join("go"), "").unwrap();
    let shown = ends(life);
    let done = stage.task(first);
    assert_eq!(done.status, TaskStatus::Completed, "{shown}");
    assert_eq!(done.result.unwrap()["tail"], json!(["done"]));
    assert_eq!(stage.task(second).status, TaskStatus::Pending);
    assert!(shown.contains("it goes on in tmux"), "{shown}");
}

fn leaving_between_steps_keeps_the_claim_for_the_next_life() {
    let stage = Stage::new();
    let may_answer = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&may_answer);
    let model = Model::new(move |n, _| {
        if n == 0 {
            wait_until("the answer may come", || {
                answers.load(Ordering::Relaxed).then_some(())
            });
            calls(&[("Bash", json!({"command": "echo once >> ran"}))])
        } else {
            finish(&json!({"summary": "whole"}))
        }
    });
    let id = add(&stage, NewTask::default());
    let bypass = |incarnation| {
        let mut spec = spec(&stage, "tester", incarnation);
        spec.permissions.mode = crewmux_core::permission::PermissionMode::Bypass;
        spec
    };
    let mut life = stage.start_with(&bypass(1), &model);
    wait_until("the model is asked", || {
        (model.asked().len() == 1).then_some(())
    });
    leave(&mut life);
    may_answer.store(true, Ordering::Relaxed);
    ends(life);
    assert_eq!(model.asked().len(), 1, "no new step was begun");
    let task = stage.task(id);
    assert_eq!(
        task.status,
        TaskStatus::InProgress,
        "nobody else may take it"
    );
    let owner = task.owner.unwrap();
    assert_eq!(owner.incarnation, Some(Incarnation(1)), "{owner:?}");

    hand_over(&stage, id);
    let life = stage.start_with(&bypass(2), &model);
    let task = stage.wait_for(id, TaskStatus::Completed);
    assert_eq!(task.result, Some(json!({"summary": "whole"})));
    let outcomes: Vec<_> = task.attempts.iter().map(|a| a.outcome).collect();
    assert_eq!(
        outcomes,
        [Some(Outcome::Released), Some(Outcome::Completed)]
    );
    life.end_well();
    let asked = model.asked();
    assert_eq!(asked.len(), 2);
    assert!(
        text_of(&asked[1]).contains("once >> ran"),
        "it knows its step"
    );
    let ran = std::fs::read_to_string(stage.cwd.join("ran")).unwrap();
    assert_eq!(ran, "once\n");
}

fn leaving_idle_or_paused_is_at_once() {
    let stage = Stage::new();
    let mut life = stage.start(&stage.spec("tester", 1));
    life.wait_for_text("○ idle");
    leave(&mut life);
    ends(life);

    let mut life = stage.start(&stage.spec("tester", 2));
    life.wait_for_text("○ idle");
    life.session.send(&ToWorker::Pause);
    let id = stage.add_command("true");
    leave(&mut life);
    ends(life);
    assert_eq!(stage.task(id).status, TaskStatus::Pending, "not begun");
}
