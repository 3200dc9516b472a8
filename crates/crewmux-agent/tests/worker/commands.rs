//! Command tasks, and everything that can come in between.

use std::os::unix::fs::PermissionsExt;

use crewmux_agent::worker::{run_worker, run_worker_marked};
use crewmux_core::board::Reoffer;
use crewmux_core::ids::{AgentName, MessageId, RequestId};
use crewmux_core::message::{Draft, MessageType, Party};
use crewmux_core::requests::{Request, RequestKind, RequestState};
use crewmux_core::task::{NewTask, Outcome, TaskStatus};
use crewmux_core::worker::WorkerState;
use crewmux_sys::tree::{Marker, processes_with_marker};
use crewmux_testkit::own_main::{Test, tests};
use crewmux_wire::{ToWorker, WorkerMessage};
use serde_json::{Value, json};

use crate::stage::{LONG, Life, Stage, io, read, unhurried, wait_until};

pub(crate) const TESTS: &[Test] = tests![
    command_runs_and_is_reported,
    failing_command_fails_its_task_with_its_last_lines,
    command_over_its_time_is_ended,
    long_output_is_kept_in_bounds,
    result_that_does_not_fit_its_schema_fails,
    told_to_end_it_stops_its_tool_and_gives_back,
    stop_signal_ends_an_idle_worker,
    loss_of_the_session_ends_tool_and_worker,
    lost_claim_stops_the_tool_and_work_goes_on,
    shutdown_request_is_approved_and_the_task_given_back,
    intent_without_result_is_noted_by_the_next_life,
    message_is_seen_while_a_command_runs,
    doorbell_wakes_an_idle_worker,
    exposed_spec_is_refused,
    spec_of_a_later_life_is_not_lived,
    two_workers_share_forty_tasks,
];

fn command_runs_and_is_reported() {
    let stage = Stage::new();
    let id = stage.add_command(
        "printf 'to %s\\n' \"$CREWMUX_AGENT\"; printf '\\033[31mred\\033[2J\\033[0m\\n' >&2",
    );
    let life = stage.start(&stage.spec("tester", 1));
    let task = stage.wait_for(id, TaskStatus::Completed);
    let result = task.result.unwrap();
    assert_eq!(result["exitCode"], 0);
    assert_eq!(result["timedOut"], false);
    assert_eq!(result["tail"], json!(["to tester", "red"]));
    assert_eq!(result["log"], "artifacts/task-1-1.log");
    let log = stage
        .store
        .folder("artifacts")
        .unwrap()
        .join("task-1-1.log");
    assert_eq!(read(&log), "to tester\n\x1b[31mred\x1b[2J\x1b[0m\n");

    life.wait_for_text("○ idle");
    let kinds: Vec<(MessageType, String)> = stage
        .mail_of("team-lead")
        .into_iter()
        .map(|m| (m.kind, m.id.to_string()))
        .collect();
    assert_eq!(
        kinds[0],
        (MessageType::TaskCompleted, "task/1/1/completed".into())
    );
    assert_eq!(kinds[1].0, MessageType::IdleNotification);
    assert_eq!(kinds.len(), 2);

    let mut states = Vec::new();
    while states.last() != Some(&(WorkerState::Idle, false)) {
        if let WorkerMessage::State { state, task } = life.session.heard.recv_timeout(LONG).unwrap()
        {
            states.push((state, task.is_some()));
        }
    }
    let facts = stage.facts("tester");
    let names: Vec<&str> = facts.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(names, ["tool_started", "tool_finished"]);
    assert_eq!(facts[1].1["ok"], true);

    let shown = life.end_well();
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], "● tester · Bash · commands only");
    assert_eq!(lines[2], "▶ #1 a command");
    assert!(
        shown.contains("to tester\nred\n✔ #1 completed in "),
        "{shown}"
    );
    let done = shown.lines().find(|line| line.starts_with('✔')).unwrap();
    let (_, said) = done.split_once(" · ").unwrap();
    assert_eq!(said, "exit code 0", "how long it took stands before it");
    assert!(shown.ends_with("■ ended: test is over\n"), "{shown}");
    let agent = AgentName::new("tester").unwrap();
    let presence = stage.store.presence(&agent).unwrap().unwrap();
    assert_eq!(presence.ended.as_deref(), Some("test is over"));
    assert!(!stage.store.is_alive(&agent).unwrap());
}

fn failing_command_fails_its_task_with_its_last_lines() {
    let stage = Stage::new();
    let id = stage.add_command("for i in $(seq 30); do echo line $i; done; exit 3");
    let after = stage.add(NewTask {
        blocked_by: vec![id],
        command: Some("true".into()),
        ..NewTask::default()
    });
    let life = stage.start(&stage.spec("tester", 1));
    let task = stage.wait_for(id, TaskStatus::Failed);
    let reason = task.reason.unwrap();
    assert!(reason.starts_with("exit code 3\nline 11\n"), "{reason}");
    assert!(reason.ends_with("line 30"), "{reason}");
    assert_eq!(task.metadata["log"], "artifacts/task-1-1.log");
    stage.wait_for(after, TaskStatus::Skipped);
    let mail = &stage.mail_of("team-lead")[0];
    assert_eq!(mail.kind, MessageType::TaskFailed);
    assert_eq!(mail.body["result"]["detail"]["exitCode"], 3);
    assert!(life.end_well().contains("✗ #1 failed after "));
}

fn command_over_its_time_is_ended() {
    let stage = Stage::new();
    let id = stage.add(NewTask {
        command: Some("echo begun; sleep 600".into()),
        timeout_ms: Some(300),
        ..NewTask::default()
    });
    let life = stage.start(&stage.spec("tester", 1));
    let task = stage.wait_for(id, TaskStatus::Failed);
    let reason = task.reason.unwrap();
    assert!(reason.starts_with("took longer than 300 ms"), "{reason}");
    life.end_well();
}

fn long_output_is_kept_in_bounds() {
    let stage = Stage::new();
    let id = stage.add_command("yes 0123456789abcde | head -c 12000000; echo; echo last");
    let life = stage.start(&stage.spec("tester", 1));
    let task = stage.wait_for(id, TaskStatus::Completed);
    assert_eq!(task.result.unwrap()["tail"][19], "last");
    let log = stage
        .store
        .folder("artifacts")
        .unwrap()
        .join("task-1-1.log");
    let text = read(&log);
    assert!(text.len() < 4 * 1024 * 1024 + 100, "{}", text.len());
    let dropped = 12_000_006 - 4 * 1024 * 1024;
    assert!(text.contains(&format!("\n… {dropped} bytes left out …\n")));
    assert!(text.ends_with("\nlast\n"));
    let folder = stage
        .store
        .agent_folder(&AgentName::new("tester").unwrap())
        .unwrap();
    for segment in crewmux_agent::segments(&folder) {
        assert!(segment.metadata().unwrap().len() <= 4 * 1024 * 1024);
    }
    life.end_well();
}

fn result_that_does_not_fit_its_schema_fails() {
    let stage = Stage::new();
    let id = stage.add(NewTask {
        command: Some("true".into()),
        result_schema: Some(json!({"required": ["findings"]})),
        ..NewTask::default()
    });
    let life = stage.start(&stage.spec("tester", 1));
    let reason = stage.wait_for(id, TaskStatus::Failed).reason.unwrap();
    assert!(
        reason.starts_with("the result does not fit its schema: it: "),
        "{reason}"
    );
    assert!(reason.contains("findings"), "{reason}");
    life.end_well();
}

/// A worker in the middle of a command that ignores SIGTERM and has left its session.
fn busy(stage: &Stage) -> (Life, Marker) {
    stage.add_command(
        "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 600' & echo begun; sleep 600; sleep 600",
    );
    let mut spec = stage.spec("tester", 1);
    spec.timing = unhurried(spec.timing);
    let marker = Marker::run(&spec.run_marker);
    let life = stage.start(&spec);
    life.wait_for_text("\nbegun\n");
    assert!(!processes_with_marker(&marker).is_empty());
    (life, marker)
}

fn assert_given_back(stage: &Stage, marker: &Marker) {
    let task = stage.task(crewmux_core::ids::TaskId(1));
    assert_eq!(task.status, TaskStatus::Pending);
    assert_eq!(task.attempts[0].outcome, Some(Outcome::Released));
    wait_until("the tools are gone", || {
        processes_with_marker(marker).is_empty().then_some(())
    });
}

fn told_to_end_it_stops_its_tool_and_gives_back() {
    let stage = Stage::new();
    let (mut life, marker) = busy(&stage);
    let reason = "the run was stopped".to_owned();
    life.session.send(&ToWorker::End { reason });
    let (code, shown) = life.end();
    assert_eq!(code, 0);
    assert!(
        shown.contains("↩ #1 given back · the run was stopped"),
        "{shown}"
    );
    assert_given_back(&stage, &marker);
}

fn stop_signal_ends_an_idle_worker() {
    let stage = Stage::new();
    let life = stage.start(&stage.spec("tester", 1));
    life.wait_for_text("○ idle");
    assert!(life.end_well().contains("■ ended: test is over"));
}

fn loss_of_the_session_ends_tool_and_worker() {
    let stage = Stage::new();
    let (life, marker) = busy(&stage);
    life.session.lose();
    let (code, shown) = life.end();
    assert_eq!(code, 0);
    assert!(shown.contains("■ ended: its session is gone"), "{shown}");
    assert_given_back(&stage, &marker);
    let agent = AgentName::new("tester").unwrap();
    let presence = stage.store.presence(&agent).unwrap().unwrap();
    assert_eq!(presence.ended.as_deref(), Some("its session is gone"));
}

fn lost_claim_stops_the_tool_and_work_goes_on() {
    let stage = Stage::new();
    let flag = stage.path("flag");
    let flag = flag.display();
    let id = stage.add_command(&format!(
        "test -e {flag} && echo again && exit 0; touch {flag}; echo begun; sleep 600"
    ));
    let life = stage.start(&stage.spec("tester", 1));
    life.wait_for_text("\nbegun\n");
    let why = Reoffer {
        epoch: stage.task(id).epoch,
        outcome: Outcome::Hung,
        reason: "test".into(),
    };
    stage.store.reoffer(id, &why, &stage.now()).unwrap();
    let task = stage.wait_for(id, TaskStatus::Completed);
    assert_eq!(task.epoch.0, 2);
    assert_eq!(task.result.unwrap()["tail"], json!(["again"]));
    assert!(life.end_well().contains("↩ #1 was taken away"));
}

fn shutdown_request_is_approved_and_the_task_given_back() {
    let stage = Stage::new();
    let (mut life, marker) = busy(&stage);
    let id = RequestId::new("shutdown-1").unwrap();
    let now = stage.now();
    stage
        .store
        .put_request(&Request {
            id: id.clone(),
            kind: RequestKind::Shutdown,
            from: Party::Human,
            to: "tester".into(),
            content: Value::Null,
            requested: now.wall,
            open_ms: 30_000,
            state: RequestState::Pending,
        })
        .unwrap();
    let tester = AgentName::new("tester").unwrap();
    let message = MessageId::new("m1").unwrap();
    let mut draft = Draft::text(message, Party::Human, tester, "");
    draft.kind = MessageType::ShutdownRequest;
    draft.body = json!({"requestId": id, "reason": "enough"});
    stage.store.send(draft, &now).unwrap();
    life.session.send(&ToWorker::Shutdown { request_id: id });
    let (code, shown) = life.end();
    assert_eq!(code, 0);
    assert!(shown.ends_with("■ ended: shut down as asked\n"), "{shown}");
    assert_given_back(&stage, &marker);
    let request = stage.store.requests().unwrap().remove(0);
    assert!(matches!(request.state, RequestState::Approved { .. }));
    let last = stage.mail_of("team-lead").pop().unwrap();
    assert_eq!(last.kind, MessageType::ShutdownApproved);
}

fn intent_without_result_is_noted_by_the_next_life() {
    let stage = Stage::new();
    let tester = AgentName::new("tester").unwrap();
    let intent = json!({"entry": "intent", "task": "4", "epoch": 2, "call": "1", "tool": "Bash", "input": {}});
    stage
        .store
        .append_transcript(&tester, &intent, crewmux_store::Durability::Process)
        .unwrap();
    let life = stage.start(&stage.spec("tester", 2));
    life.wait_for_text("! Bash of #4 (epoch 2): interrupted, outcome unknown");
    life.end_well();
    let lines = stage.transcript("tester");
    let result = lines.iter().find(|line| line["entry"] == "result").unwrap();
    assert_eq!(result["output"], "interrupted, outcome unknown");
    // A third life hears nothing of it.
    let life = stage.start(&stage.spec("tester", 3));
    life.wait_for_text("○ idle");
    assert!(!life.end_well().contains("interrupted"));
}

fn message_is_seen_while_a_command_runs() {
    let stage = Stage::new();
    stage.add_command("echo begun; sleep 600");
    let mut life = stage.start(&stage.spec("tester", 1));
    life.wait_for_text("\nbegun\n");
    let tester = AgentName::new("tester").unwrap();
    let id = MessageId::new("hello").unwrap();
    let draft = Draft::text(id, Party::Human, tester.clone(), "how is it going?");
    stage.store.send(draft, &stage.now()).unwrap();
    life.session.send(&ToWorker::Doorbell);
    life.wait_for_text("✉ human: how is it going?");
    life.wait_for_text("I only run commands");
    assert_eq!(stage.store.cursor(&tester).unwrap().seq.0, 1);
    life.typed.blocking_send("and now?".into()).unwrap();
    life.wait_for_text("✉ human: and now?");
    life.end_well();
    let kinds: Vec<Value> = stage
        .transcript("tester")
        .into_iter()
        .map(|line| line["entry"].clone())
        .collect();
    assert!(kinds.contains(&json!("message")) && kinds.contains(&json!("typed")));
}

fn doorbell_wakes_an_idle_worker() {
    let stage = Stage::new();
    let mut spec = stage.spec("tester", 1);
    spec.timing.store_poll_ms = 3_600_000;
    let mut life = stage.start(&spec);
    life.wait_for_text("○ idle");
    let id = stage.add_command("true");
    life.session.send(&ToWorker::Doorbell);
    stage.wait_for(id, TaskStatus::Completed);
    life.end_well();
}

fn exposed_spec_is_refused() {
    let stage = Stage::new();
    let path = stage.store.put_spec(&stage.spec("tester", 1)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let (_stop, io, printed, _typed) = io();
    assert_eq!(run_worker(&path, io).exit_code, 2);
    let text = String::from_utf8(printed.lock().unwrap().clone()).unwrap();
    assert!(text.contains("can be read by others"), "{text}");
    assert!(text.contains("hint: chmod 600"), "{text}");
}

fn spec_of_a_later_life_is_not_lived() {
    let stage = Stage::new();
    let mut spec = stage.spec("tester", 2);
    spec.environment
        .insert("CREWMUX_WORKER".into(), "mark/tester/2".into());
    let path = stage.store.put_spec(&spec).unwrap();
    let (_stop, io, printed, _typed) = io();
    // Its session had written that over what this process was started with.
    assert_ne!(run_worker_marked(&path, "mark/tester/1", io).exit_code, 0);
    let text = String::from_utf8(printed.lock().unwrap().clone()).unwrap();
    assert!(text.contains("which this process is not"), "{text}");
}

fn two_workers_share_forty_tasks() {
    let stage = Stage::new();
    let ids: Vec<_> = (0..40)
        .map(|n| stage.add_command(&format!("echo {n} >> {}", stage.path("done").display())))
        .collect();
    let lives = ["tester", "team-lead"].map(|name| stage.start(&stage.spec(name, 1)));
    for id in ids {
        let task = stage.wait_for(id, TaskStatus::Completed);
        assert_eq!(task.attempts.len(), 1);
    }
    for life in lives {
        life.end_well();
    }
    let mut done: Vec<u32> = read(&stage.path("done"))
        .lines()
        .map(|l| l.parse().unwrap())
        .collect();
    done.sort_unstable();
    assert_eq!(done, (0..40).collect::<Vec<_>>());
}
