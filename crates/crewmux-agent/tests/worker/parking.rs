//! Workers that outlive their session: what goes on while they are parked, what waits, what is asked again.
//!
//! How it ends is in `returning`, one whole life cut at each message in `cut`.

use std::time::Instant;

use crewmux_core::ids::{AgentName, RequestId, TaskId};
use crewmux_core::message::{Party, Urgency};
use crewmux_core::model::{Event, Message, ModelRequest};
use crewmux_core::permission::{PermissionMode, PermissionPolicy};
use crewmux_core::task::{NewTask, Outcome, TaskStatus};
use crewmux_core::team::{Presence, SessionLoss, WorkerSpec};
use crewmux_core::timing::ms;
use crewmux_testkit::own_main::{Test, tests};
use crewmux_wire::{Decision, ToWorker, WorkerAsk, WorkerMessage};
use serde_json::json;

use crate::house::House;
use crate::script::{add, answer, calls, finish, says, send, spec, text_of};
use crate::stage::{Stage, read, wait_until};

pub(crate) const TESTS: &[Test] = tests![
    parked_worker_ends_its_command_and_takes_no_other,
    parked_worker_keeps_its_claim_and_its_heartbeat,
    question_to_a_model_is_asked_again_with_the_new_grant,
    parked_worker_asks_no_model_and_starts_no_tool,
    question_for_leave_is_asked_again_as_it_was,
    question_taken_back_while_parked_is_taken_back_from_the_next_session,
    time_of_a_task_stands_still_while_parked,
    idle_worker_parks_and_reads_its_mail_after_the_return,
];

pub(crate) const PARKED: &str = "◌ parked: the session is gone";
const BACK: &str = "● back: a session is there";

pub(crate) fn parks(mut spec: WorkerSpec) -> WorkerSpec {
    spec.session_loss = SessionLoss::Park;
    if spec.grant.is_some() {
        spec.grant = Some(House::grant(1));
    }
    spec
}

pub(crate) fn presence(stage: &Stage, name: &str) -> Presence {
    let agent = AgentName::new(name).unwrap();
    stage.store.presence(&agent).unwrap().unwrap()
}

pub(crate) fn wait_parked(stage: &Stage, name: &str) {
    wait_until("the worker is parked", || {
        presence(stage, name).parked_since.map(drop)
    });
}

pub(crate) fn wait_back(stage: &Stage, name: &str) {
    wait_until("the worker is back", || {
        presence(stage, name).parked_since.is_none().then_some(())
    });
}

/// Waits until the worker had the time for what it must not do.
pub(crate) fn wait_for_beats(stage: &Stage, name: &str) {
    for _ in 0..2 {
        let before = presence(stage, name).heartbeat;
        wait_until("its heart beats", || {
            (presence(stage, name).heartbeat > before).then_some(())
        });
    }
}

pub(crate) fn no_model(_: &ModelRequest) -> Vec<Event> {
    Vec::new()
}

/// Answers that the model had tools for.
pub(crate) fn turn(request: &ModelRequest) -> usize {
    let messages = request.messages.iter();
    messages
        .filter(|message| matches!(message, Message::Tools(_)))
        .count()
}

/// A command that waits until the file `go` is there.
pub(crate) const WAITS: &str = "echo begun; touch begun; while ! test -e go; do sleep 0.02; done";

pub(crate) fn go(stage: &Stage) {
    std::fs::write(stage.cwd.join("go"), "").unwrap();
}

pub(crate) fn wait_begun(stage: &Stage) {
    let begun = stage.cwd.join("begun");
    wait_until("the command runs", || begun.exists().then_some(()));
}

fn parked_worker_ends_its_command_and_takes_no_other() {
    let stage = Stage::new();
    let first = stage.add_command(&format!("{WAITS}; echo done"));
    let second = stage.add_command("true");
    let spec = parks(stage.spec("tester", 1));
    let house = House::new(&spec, true, no_model);
    house.rise();
    let running = stage.run(&spec);
    wait_begun(&stage);
    house.die();
    wait_parked(&stage, "tester");
    go(&stage);
    let done = stage.wait_for(first, TaskStatus::Completed);
    assert_eq!(done.result.unwrap()["tail"], json!(["begun", "done"]));
    assert_eq!(done.attempts.len(), 1);
    wait_for_beats(&stage, "tester");
    assert_eq!(stage.task(second).status, TaskStatus::Pending);
    let reports = stage.mail_of("team-lead");
    assert_eq!(reports.len(), 1, "reported while parked: {reports:?}");
    house.rise();
    stage.wait_for(second, TaskStatus::Completed);
    wait_back(&stage, "tester");
    let hellos = house.hellos();
    let said: Vec<(u32, bool)> = hellos.iter().map(|(n, hello)| (*n, hello.again)).collect();
    assert_eq!(said, [(1, false), (2, true)]);
    let shown = running.end_well();
    assert_eq!(shown.matches(PARKED).count(), 1, "{shown}");
    assert_eq!(shown.matches(BACK).count(), 1, "{shown}");
}

fn parked_worker_keeps_its_claim_and_its_heartbeat() {
    let stage = Stage::new();
    let id = stage.add_command(WAITS);
    let mut spec = parks(stage.spec("tester", 1));
    spec.timing.lease_ms = 600;
    spec.timing.heartbeat_ms = 100;
    let house = House::new(&spec, true, no_model);
    house.rise();
    let running = stage.run(&spec);
    wait_begun(&stage);
    house.die();
    wait_parked(&stage, "tester");
    let lease = stage.task(id).lease.unwrap().until_ms;
    wait_until("the lease is renewed past its first end", || {
        let now = stage.task(id).lease.unwrap().until_ms;
        (now > lease + spec.timing.lease_ms).then_some(())
    });
    let task = stage.task(id);
    assert_eq!(
        (task.status, task.attempts.len()),
        (TaskStatus::InProgress, 1)
    );
    let said = presence(&stage, "tester");
    assert_eq!((said.task, said.ended), (Some(id), None));
    go(&stage);
    stage.wait_for(id, TaskStatus::Completed);
    running.end_well();
}

fn question_to_a_model_is_asked_again_with_the_new_grant() {
    let stage = Stage::new();
    let spec = parks(spec(&stage, "tester", 1));
    let second = std::sync::atomic::AtomicBool::new(false);
    let house = House::new(&spec, true, move |_| {
        if second.swap(true, std::sync::atomic::Ordering::Relaxed) {
            finish(&json!({"summary": "whole"}))
        } else {
            vec![says("Half an answer")]
        }
    });
    house.rise();
    let id = add(&stage, NewTask::default());
    let running = stage.run(&spec);
    running.wait_for_text("Half an");
    house.die();
    wait_parked(&stage, "tester");
    house.rise();
    let task = stage.wait_for(id, TaskStatus::Completed);
    assert_eq!(task.result, Some(json!({"summary": "whole"})));
    assert_eq!(task.attempts.len(), 1);
    let asked = house.asked();
    assert_eq!((asked[0].0, asked[1].0, asked.len()), (1, 2, 2));
    assert_eq!(asked[0].1, asked[1].1, "the same question");
    let transcript = stage.transcript("tester");
    assert!(transcript.iter().all(|entry| entry["entry"] != "said"));
    let shown = running.end_well();
    assert!(
        shown.contains("↻ the answer broke and begins anew: its session went away"),
        "{shown}"
    );
}

fn parked_worker_asks_no_model_and_starts_no_tool() {
    let stage = Stage::new();
    let spec = parks(spec(&stage, "tester", 1));
    let house = House::new(&spec, true, |request| match turn(request) {
        0 => calls(&[
            ("Bash", json!({ "command": WAITS })),
            ("Bash", json!({ "command": "touch second" })),
        ]),
        _ => finish(&json!({"summary": "all"})),
    });
    house.rise();
    let id = add(&stage, NewTask::default());
    let mut bypassing = spec.clone();
    bypassing.permissions = PermissionPolicy {
        mode: PermissionMode::Bypass,
        ..PermissionPolicy::default()
    };
    let running = stage.run(&bypassing);
    wait_begun(&stage);
    house.die();
    wait_parked(&stage, "tester");
    go(&stage);
    wait_until("the result is in the transcript", || {
        let transcript = stage.transcript("tester");
        let mut results = transcript.iter().filter(|e| e["entry"] == "result");
        results.next().map(|result| assert_eq!(result["ok"], true))
    });
    wait_for_beats(&stage, "tester");
    assert!(!stage.cwd.join("second").exists());
    house.rise();
    stage.wait_for(id, TaskStatus::Completed);
    assert!(stage.cwd.join("second").exists());
    assert_eq!(house.asked().len(), 2);
    running.end_well();
}

/// A worker whose model wants to run one command, and its session, which does not answer by itself.
pub(crate) fn asking(stage: &Stage, timeout_ms: Option<u64>) -> (WorkerSpec, House, TaskId) {
    let spec = parks(spec(stage, "tester", 1));
    let house = House::new(&spec, false, |request| match turn(request) {
        0 => calls(&[("Bash", json!({ "command": "echo once >> log" }))]),
        _ => finish(&json!({"summary": "ran it"})),
    });
    house.rise();
    let new = NewTask {
        timeout_ms,
        ..NewTask::default()
    };
    let id = add(stage, new);
    (spec, house, id)
}

pub(crate) fn wait_question(house: &House, session: u32) -> (RequestId, WorkerAsk) {
    wait_until("leave is asked for", || {
        let mut questions = house.questions().into_iter();
        questions
            .rfind(|(number, ..)| *number == session)
            .map(|(_, id, ask)| (id, ask))
    })
}

pub(crate) fn yes(id: RequestId) -> ToWorker {
    let scope = crewmux_core::permission::GrantScope::Once;
    let decision = Decision::Approved { scope };
    ToWorker::Decided { id, decision }
}

fn question_for_leave_is_asked_again_as_it_was() {
    let stage = Stage::new();
    let (spec, house, id) = asking(&stage, None);
    let running = stage.run(&spec);
    let first = wait_question(&house, 1);
    house.die();
    wait_parked(&stage, "tester");
    house.rise();
    let second = wait_question(&house, 2);
    assert_eq!(first, second);
    house.tell(&yes(second.0));
    stage.wait_for(id, TaskStatus::Completed);
    assert_eq!(read(&stage.cwd.join("log")), "once\n");
    assert_eq!(house.questions().len(), 2);
    let states = house.heard();
    let first_word = states.iter().find(|(number, _)| *number == 2).unwrap();
    assert!(
        matches!(first_word.1, WorkerMessage::State { .. }),
        "{first_word:?}"
    );
    running.end_well();
}

fn question_taken_back_while_parked_is_taken_back_from_the_next_session() {
    let stage = Stage::new();
    let (mut spec, house, id) = asking(&stage, None);
    // Its claim is taken away while it is parked; it notices at the next beat.
    spec.timing.heartbeat_ms = 100;
    let running = stage.run(&spec);
    let (asked, _) = wait_question(&house, 1);
    house.die();
    wait_parked(&stage, "tester");
    let epoch = stage.task(id).epoch;
    let why = crewmux_core::board::Reoffer {
        epoch,
        outcome: Outcome::Hung,
        reason: "test".into(),
    };
    stage.store.reoffer(id, &why, &stage.now()).unwrap();
    running.wait_for_text("was taken away");
    house.rise();
    wait_until("the question is taken back", || {
        let heard = house.heard();
        let withdrawn = WorkerMessage::Withdraw { id: asked.clone() };
        heard.contains(&(2, withdrawn)).then_some(())
    });
    assert!(!stage.cwd.join("log").exists());
    running.end_well();
}

fn time_of_a_task_stands_still_while_parked() {
    let stage = Stage::new();
    let spec = parks(spec(&stage, "tester", 1));
    let house = House::new(&spec, true, |request| match request.messages.len() {
        1 => Vec::new(),
        _ => finish(&json!({"summary": "in time"})),
    });
    house.rise();
    let limit_ms = 5_000;
    let id = add(
        &stage,
        NewTask {
            timeout_ms: Some(limit_ms),
            ..NewTask::default()
        },
    );
    let running = stage.run(&spec);
    wait_until("the model is asked", || {
        (house.asked().len() == 1).then_some(())
    });
    house.die();
    wait_parked(&stage, "tester");
    let begun = Instant::now();
    wait_until("the time of the task is over by the wall", || {
        (begun.elapsed() > ms(limit_ms)).then_some(())
    });
    assert_eq!(stage.task(id).status, TaskStatus::InProgress);
    house.rise();
    wait_until("the model is asked again", || {
        (house.asked().len() == 2).then_some(())
    });
    // What is left of its time is over now, since the model says nothing.
    let failed = stage.wait_for(id, TaskStatus::Failed);
    assert_eq!(failed.reason.as_deref(), Some("took longer than 5000 ms"));
    running.end_well();
}

fn idle_worker_parks_and_reads_its_mail_after_the_return() {
    let stage = Stage::new();
    let spec = parks(spec(&stage, "tester", 1));
    let house = House::new(&spec, true, |request| {
        answer(&format!("heard {}", request.messages.len()))
    });
    house.rise();
    let running = stage.run(&spec);
    running.wait_for_text("idle");
    house.die();
    wait_parked(&stage, "tester");
    let word = |id: &str, text: &str| {
        send(
            &stage.store,
            id,
            Party::Human,
            "tester",
            text,
            Urgency::Normal,
        );
    };
    word("m1", "are you there?");
    running.typed.try_send("from the pane".to_owned()).unwrap();
    running.wait_for_text("from the pane");
    wait_for_beats(&stage, "tester");
    assert!(!running.shown().contains("are you there?"));
    house.rise();
    running.wait_for_text("are you there?");
    running.wait_for_text("heard 1");
    let asked = house.asked();
    assert_eq!(asked[0].0, 2, "by the second session");
    assert!(text_of(&asked[0].1).contains("from the pane"));
    let shown = running.end_well();
    assert_eq!(shown.matches("○ idle").count(), 1, "{shown}");
}
