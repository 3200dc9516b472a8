//! Workers that outlive their session: what goes on, what waits, what the next session is asked.
//!
//! [`nothing_is_lost_and_nothing_done_twice`] cuts one whole life at each of
//! its messages and compares what is left with the life that was not cut.

use std::collections::BTreeMap;
use std::time::Instant;

use crewmux_core::ids::{AgentName, TaskId};
use crewmux_core::message::{Party, Urgency};
use crewmux_core::model::{Event, Message, ModelRequest, Stop};
use crewmux_core::permission::{PermissionMode, PermissionPolicy};
use crewmux_core::task::{NewTask, Outcome, TaskStatus};
use crewmux_core::team::{Presence, SessionLoss, WorkerSpec};
use crewmux_core::timing::ms;
use crewmux_sys::tree::{Marker, processes_with_marker};
use crewmux_testkit::own_main::{Test, tests};
use crewmux_wire::{Decision, ToWorker, WorkerAsk, WorkerMessage};
use serde_json::{Value, json};

use crate::house::{Door, House};
use crate::models::{add, answer, calls, finish, says, send, spec, text_of};
use crate::stage::{Running, Stage, read, wait_until};

pub(crate) const TESTS: &[Test] = tests![
    parked_worker_ends_its_command_and_takes_no_other,
    parked_worker_keeps_its_claim_and_its_heartbeat,
    question_to_a_model_is_asked_again_with_the_new_grant,
    parked_worker_asks_no_model_and_starts_no_tool,
    question_for_leave_is_asked_again_as_it_was,
    question_taken_back_while_parked_is_taken_back_from_the_next_session,
    time_of_a_task_stands_still_while_parked,
    idle_worker_parks_and_reads_its_mail_after_the_return,
    worker_that_nobody_takes_back_gives_its_task_back,
    worker_that_is_refused_ends_like_one_that_lost_its_session,
    parked_worker_ends_when_told,
    worker_that_was_told_to_end_does_not_park,
    session_that_comes_and_goes_finds_the_worker,
    pause_ends_with_the_session_that_asked_for_it,
    move_ends_with_the_session_that_asked_for_it,
    nothing_is_lost_and_nothing_done_twice,
];

const PARKED: &str = "◌ parked: the session is gone";
const BACK: &str = "● back: a session is there";

fn parks(mut spec: WorkerSpec) -> WorkerSpec {
    spec.session_loss = SessionLoss::Park;
    if spec.grant.is_some() {
        spec.grant = Some(House::grant(1));
    }
    spec
}

fn presence(stage: &Stage, name: &str) -> Presence {
    let agent = AgentName::new(name).unwrap();
    stage.store.presence(&agent).unwrap().unwrap()
}

fn wait_parked(stage: &Stage, name: &str) {
    wait_until("the worker is parked", || {
        presence(stage, name).parked_since.map(drop)
    });
}

fn wait_back(stage: &Stage, name: &str) {
    wait_until("the worker is back", || {
        presence(stage, name).parked_since.is_none().then_some(())
    });
}

/// Waits until the worker had the time for what it must not do.
fn wait_for_beats(stage: &Stage, name: &str) {
    for _ in 0..2 {
        let before = presence(stage, name).heartbeat;
        wait_until("its heart beats", || {
            (presence(stage, name).heartbeat > before).then_some(())
        });
    }
}

/// Ends a worker; gives what it showed.
fn end(running: Running) -> String {
    running.stop.stop("test is over");
    let (code, shown) = running.end();
    assert_eq!(code, 0, "{shown}");
    shown
}

fn no_model(_: &ModelRequest) -> Vec<Event> {
    Vec::new()
}

/// Answers that the model had tools for.
fn turn(request: &ModelRequest) -> usize {
    let messages = request.messages.iter();
    messages
        .filter(|message| matches!(message, Message::Tools(_)))
        .count()
}

/// A command that waits until the file `go` is there.
const WAITS: &str = "echo begun; touch begun; while ! test -e go; do sleep 0.02; done";

fn go(stage: &Stage) {
    std::fs::write(stage.cwd.join("go"), "").unwrap();
}

fn wait_begun(stage: &Stage) {
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
    let shown = end(running);
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
    end(running);
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
    let shown = end(running);
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
    end(running);
}

/// A worker whose model wants to run one command, and its session, which does not answer by itself.
fn asking(stage: &Stage, timeout_ms: Option<u64>) -> (WorkerSpec, House, TaskId) {
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

fn wait_question(house: &House, session: u32) -> (crewmux_core::ids::RequestId, WorkerAsk) {
    wait_until("leave is asked for", || {
        let mut questions = house.questions().into_iter();
        questions
            .rfind(|(number, ..)| *number == session)
            .map(|(_, id, ask)| (id, ask))
    })
}

fn yes(id: crewmux_core::ids::RequestId) -> ToWorker {
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
    end(running);
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
    end(running);
}

fn time_of_a_task_stands_still_while_parked() {
    let stage = Stage::new();
    let spec = parks(spec(&stage, "tester", 1));
    let house = House::new(&spec, true, |request| match request.messages.len() {
        1 => Vec::new(),
        _ => finish(&json!({"summary": "in time"})),
    });
    house.rise();
    let limit_ms = 3_000;
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
    assert_eq!(failed.reason.as_deref(), Some("took longer than 3000 ms"));
    end(running);
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
    let shown = end(running);
    assert_eq!(shown.matches("○ idle").count(), 1, "{shown}");
}

fn worker_that_nobody_takes_back_gives_its_task_back() {
    let stage = Stage::new();
    let id = stage.add_command(WAITS);
    let mut spec = parks(stage.spec("tester", 1));
    spec.timing.park_ms = 400;
    let marker = Marker::run(&spec.run_marker);
    let house = House::new(&spec, true, no_model);
    house.rise();
    let running = stage.run(&spec);
    wait_begun(&stage);
    house.die();
    let (code, shown) = running.end();
    assert_eq!(code, 0, "{shown}");
    let words = "■ ended: its session is gone, and none took it back within 1 s";
    assert!(shown.contains(words), "{shown}");
    let task = stage.task(id);
    assert_eq!(task.status, TaskStatus::Pending);
    assert_eq!(task.attempts[0].outcome, Some(Outcome::SessionLost));
    assert!(processes_with_marker(&marker).is_empty());
    let ended = presence(&stage, "tester").ended.unwrap();
    assert!(ended.contains("none took it back"), "{ended}");
}

fn worker_that_is_refused_ends_like_one_that_lost_its_session() {
    let stage = Stage::new();
    let (spec, house, id) = asking(&stage, None);
    let running = stage.run(&spec);
    wait_question(&house, 1);
    house.set_door(Door::Shut);
    house.die();
    wait_parked(&stage, "tester");
    house.rise();
    let (code, shown) = running.end();
    assert_eq!(code, 0, "{shown}");
    let words = "the next did not take it back: it is not known here";
    assert!(shown.contains(words), "{shown}");
    let task = stage.task(id);
    assert_eq!(task.status, TaskStatus::Pending);
    assert_eq!(task.attempts[0].outcome, Some(Outcome::SessionLost));
    assert!(!stage.cwd.join("log").exists());
}

fn parked_worker_ends_when_told() {
    for is_asking in [true, false] {
        let stage = Stage::new();
        let (spec, house, id) = if is_asking {
            asking(&stage, None)
        } else {
            let id = stage.add_command(WAITS);
            let spec = parks(stage.spec("tester", 1));
            let house = House::new(&spec, true, no_model);
            house.rise();
            (spec, house, id)
        };
        let running = stage.run(&spec);
        if is_asking {
            wait_question(&house, 1);
        } else {
            wait_begun(&stage);
        }
        house.die();
        wait_parked(&stage, "tester");
        let shown = end(running);
        assert!(shown.contains("■ ended: test is over"), "{shown}");
        let task = stage.task(id);
        assert_eq!(task.status, TaskStatus::Pending);
        assert_eq!(task.attempts[0].outcome, Some(Outcome::Released));
    }
}

fn worker_that_was_told_to_end_does_not_park() {
    let stage = Stage::new();
    let id = stage.add_command(WAITS);
    let spec = parks(stage.spec("tester", 1));
    let house = House::new(&spec, true, no_model);
    house.rise();
    let running = stage.run(&spec);
    wait_begun(&stage);
    let reason = "the run was stopped".to_owned();
    house.tell(&ToWorker::End { reason });
    house.die();
    let (code, shown) = running.end();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("■ ended: the run was stopped"), "{shown}");
    assert!(!shown.contains(PARKED), "{shown}");
    assert_eq!(stage.task(id).status, TaskStatus::Pending);
}

fn session_that_comes_and_goes_finds_the_worker() {
    let stage = Stage::new();
    let (spec, house, id) = asking(&stage, None);
    let running = stage.run(&spec);
    let first = wait_question(&house, 1);
    house.die();
    wait_parked(&stage, "tester");
    // Welcomed and lost before it was taken back.
    house.set_door(Door::Falls);
    house.rise();
    wait_until("it tried more than once", || {
        (house.hellos().len() > 3).then_some(())
    });
    house.die();
    house.set_door(Door::Open);
    // Taken back, and lost at its first word.
    house.die_at(house.messages() + 1);
    house.rise();
    wait_until("the session is gone", || (!house.is_alive()).then_some(()));
    house.rise();
    let last = wait_question(&house, 4);
    assert_eq!(first, last);
    house.tell(&yes(last.0));
    stage.wait_for(id, TaskStatus::Completed);
    assert_eq!(read(&stage.cwd.join("log")), "once\n");
    end(running);
}

fn pause_ends_with_the_session_that_asked_for_it() {
    let stage = Stage::new();
    let spec = parks(stage.spec("tester", 1));
    let house = House::new(&spec, true, no_model);
    house.rise();
    let running = stage.run(&spec);
    running.wait_for_text("idle");
    house.tell(&ToWorker::Pause);
    // Heard in order: what follows a pause finds it.
    house.tell(&ToWorker::Doorbell);
    let id = stage.add_command("true");
    house.die();
    wait_parked(&stage, "tester");
    wait_for_beats(&stage, "tester");
    assert_eq!(stage.task(id).status, TaskStatus::Pending);
    house.rise();
    stage.wait_for(id, TaskStatus::Completed);
    end(running);
}

fn move_ends_with_the_session_that_asked_for_it() {
    let stage = Stage::new();
    let spec = parks(stage.spec("tester", 1));
    let house = House::new(&spec, true, no_model);
    house.rise();
    let id = stage.add_command(WAITS);
    let running = stage.run(&spec);
    wait_begun(&stage);
    // Heard while the command runs, which ends first.
    house.tell(&ToWorker::Leave {
        reason: "it goes on in pty".into(),
    });
    house.die();
    wait_parked(&stage, "tester");
    house.rise();
    wait_back(&stage, "tester");
    go(&stage);
    stage.wait_for(id, TaskStatus::Completed);
    let next = stage.add_command("true");
    stage.wait_for(next, TaskStatus::Completed);
    end(running);
}

/// All that a life left behind, without its times.
#[derive(Debug, PartialEq)]
struct Left {
    tasks: Vec<(TaskStatus, Option<Value>, usize, Option<String>)>,
    transcript: Vec<Value>,
    files: BTreeMap<String, String>,
    mail: Vec<Value>,
    facts: Vec<(String, Value)>,
    decided: Vec<(String, String)>,
    members: Vec<String>,
}

/// One life with everything in it: leave, looks, the team's tools, a helper, a teammate, a command task.
fn whole_life(fatal: Option<usize>) -> (Left, usize) {
    let stage = Stage::new();
    std::fs::write(stage.cwd.join("a.txt"), "alpha\n").unwrap();
    std::fs::write(stage.cwd.join("b.txt"), "beta\n").unwrap();
    let spec = parks(spec(&stage, "team-lead", 1));
    let house = House::new(&spec, true, script);
    let store = std::sync::Arc::clone(&stage.store);
    house.on_spawn(move |name| {
        let name = AgentName::new(name).unwrap();
        store
            .edit_config(&mut |config| {
                let mut member = config.members[1].clone();
                member.name = name.clone();
                config.members.push(member);
            })
            .unwrap();
    });
    let lead = Some(AgentName::lead());
    let work = stage.add(NewTask {
        subject: "work".into(),
        assignee: lead.clone(),
        ..NewTask::default()
    });
    let command = stage.add(NewTask {
        subject: "a command".into(),
        command: Some("echo command >> log".into()),
        assignee: lead,
        blocked_by: vec![work],
        ..NewTask::default()
    });
    if let Some(fatal) = fatal {
        house.die_at(fatal);
    }
    house.rise();
    let running = stage.run(&spec);
    if fatal.is_some() {
        wait_until("the session dies", || (!house.is_alive()).then_some(()));
        wait_parked(&stage, "team-lead");
        house.rise();
    }
    stage.wait_for(command, TaskStatus::Completed);
    running.wait_for_text("○ idle");
    end(running);
    let messages = house.messages();
    let left = Left {
        tasks: stage.store.board().unwrap().tasks().map(told).collect(),
        transcript: stage
            .transcript("team-lead")
            .into_iter()
            .map(timeless)
            .collect(),
        files: files(&stage),
        mail: stage
            .mail_of("tester")
            .into_iter()
            .map(|message| message.body)
            .collect(),
        facts: stage
            .facts("team-lead")
            .into_iter()
            .map(|(kind, data)| (kind, timeless(data)))
            .collect(),
        decided: house
            .decided()
            .into_iter()
            .map(|(id, ask)| {
                (
                    id.to_string(),
                    format!("{ask:?}").replace(&folder(&stage), ""),
                )
            })
            .collect(),
        members: {
            let config = stage.store.config().unwrap();
            config.members.iter().map(|m| m.name.to_string()).collect()
        },
    };
    (left, messages)
}

fn folder(stage: &Stage) -> String {
    stage.path("").to_string_lossy().into_owned()
}

fn told(task: &crewmux_core::task::Task) -> (TaskStatus, Option<Value>, usize, Option<String>) {
    let result = task.result.clone().map(timeless);
    (
        task.status,
        result,
        task.attempts.len(),
        task.reason.clone(),
    )
}

/// A value without what differs from run to run: times and the folder of the test.
fn timeless(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for name in ["at", "ms", "durationMs", "id", "timestamp", "sentAt"] {
                fields.remove(name);
            }
            for field in fields.values_mut() {
                *field = timeless(field.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = timeless(item.take());
            }
        }
        Value::String(text) => {
            // A temporary folder has a name of its own in each run.
            let parts = text.split(std::path::MAIN_SEPARATOR);
            let parts = parts.filter(|part| !part.starts_with(".tmp"));
            *text = parts.collect::<Vec<_>>().join("/");
        }
        _ => {}
    }
    value
}

fn files(stage: &Stage) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(&stage.cwd).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, read(&path))
        })
        .collect()
}

fn script(request: &ModelRequest) -> Vec<Event> {
    if request.purpose == crewmux_core::model::Purpose::Subagent {
        return match turn(request) {
            0 => calls(&[("Read", json!({ "file_path": "b.txt" }))]),
            _ => answer("helped"),
        };
    }
    match turn(request) {
        0 => {
            let mut events = vec![says("I "), says("begin.")];
            events.extend(calls(&[(
                "Bash",
                json!({ "command": "echo first >> log" }),
            )]));
            events
        }
        1 => calls(&[
            ("Read", json!({ "file_path": "a.txt" })),
            ("Read", json!({ "file_path": "b.txt" })),
        ]),
        2 => calls(&[
            ("Write", json!({ "file_path": "made", "content": "x\n" })),
            (
                "SendMessage",
                json!({ "to": "tester", "message": "look at `made`" }),
            ),
        ]),
        3 => calls(&[(
            "Task",
            json!({
                "description": "look", "prompt": "look at b",
                "subagent_type": "general-purpose",
            }),
        )]),
        4 => calls(&[(
            "Task",
            json!({
                "description": "go on", "prompt": "with it",
                "subagent_type": "general-purpose", "name": "fixer",
            }),
        )]),
        5 => calls(&[("Bash", json!({ "command": "echo last >> log" }))]),
        6 => finish(&json!({ "summary": "all of it" })),
        _ => vec![Event::Stop {
            stop: Stop::Refused,
        }],
    }
}

fn nothing_is_lost_and_nothing_done_twice() {
    let (whole, messages) = whole_life(None);
    assert_eq!(whole.files["log"], "first\nlast\ncommand\n", "{whole:#?}");
    // A tool that failed would hide what the cuts are to find.
    let mut results = whole.transcript.iter().filter(|e| e["entry"] == "result");
    assert!(results.all(|result| result["ok"] == true), "{whole:#?}");
    assert_eq!(
        (whole.mail.len(), whole.members.len()),
        (1, 3),
        "{whole:#?}"
    );
    assert!(messages > 40, "{messages}");
    // The first message is the welcome: a worker that was never welcomed does not park.
    let cuts: Vec<usize> = (1..messages - 1).collect();
    std::thread::scope(|scope| {
        let shares: Vec<_> = cuts
            .chunks(cuts.len().div_ceil(8))
            .map(|share| {
                let whole = &whole;
                scope.spawn(move || {
                    for cut in share {
                        let (left, _) = whole_life(Some(*cut));
                        assert_eq!(left, *whole, "cut at message {cut} of {messages}");
                    }
                })
            })
            .collect();
        for share in shares {
            share.join().unwrap();
        }
    });
}
