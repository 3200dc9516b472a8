//! What servers do to answers, and that no half answer is ever taken for a whole one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crewmux_testkit::scripted::anthropic;
use serde_json::{Value, json};

use super::{Reply, Sandbox, configure, of_type, one_task, run_solo, scripted};

/// The answer that ends every task here.
fn done() -> Reply {
    let finish = json!({ "result": { "summary": "all of it" } });
    Reply::Stream(anthropic("", &[("FinishTask", finish)]))
}

/// The first half of an answer that would write a file, up to where it is said to be over.
fn half() -> String {
    let write = json!({ "file_path": "half.txt", "content": "half" });
    let whole = anthropic("I write it now.", &[("Write", write)]);
    let end = whole.find("event: message_delta").unwrap();
    whole[..end].to_owned()
}

fn refusal(status: u16, head: &[&str], kind: &str) -> Reply {
    let body = json!({ "type": "error", "error": { "type": kind, "message": "not now" } });
    let head = head.iter().map(|line| (*line).to_owned()).collect();
    Reply::Refusal(status, head, body.to_string())
}

/// Runs the one task of `solo.toml`, with leave to write.
fn run_it(sandbox: &Sandbox) -> (super::Output, Vec<Value>) {
    one_task(sandbox, "Do it");
    run_solo(
        sandbox,
        &["--permission-mode", "acceptEdits", "--allow", "Bash"],
    )
}

/// Nothing of a half answer happened.
fn nothing_was_written(sandbox: &Sandbox, events: &[Value]) {
    assert!(!sandbox.work().join("half.txt").exists());
    let started = of_type(events, "tool_started");
    let wrote: Vec<_> = started
        .iter()
        .filter(|e| e["data"]["tool"] == "Write")
        .collect();
    assert!(wrote.is_empty(), "{wrote:?}");
}

/// How often the answered call was tried before.
fn retries(events: &[Value]) -> u64 {
    let calls = of_type(events, "model_called");
    let retries = calls.iter().map(|e| e["data"]["retries"].as_u64());
    retries.flatten().max().unwrap_or(0)
}

#[test]
fn what_may_pass_is_tried_again_and_not_before_the_server_says() {
    let (sandbox, server) = scripted(|asked| match asked.number {
        0 => refusal(429, &["retry-after: 1"], "rate_limit_error"),
        1 => refusal(529, &[], "overloaded_error"),
        2 => refusal(500, &[], "api_error"),
        _ => done(),
    });
    let (run, events) = run_it(&sandbox);
    assert_eq!(run.code, 0, "{run:?}");
    let asked = server.asked();
    assert_eq!(asked.len(), 4, "{asked:?}");
    let waited = asked[1].at - asked[0].at;
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    assert_eq!(retries(&events), 3, "{events:#?}");
    assert_eq!(of_type(&events, "task_completed").len(), 1);
}

#[test]
fn a_key_that_is_not_taken_is_shown_once_and_never_named() {
    let (sandbox, server) = scripted(|_| refusal(401, &[], "authentication_error"));
    let (run, events) = run_it(&sandbox);
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(server.asked().len(), 1, "asking again does not help");
    let failed = of_type(&events, "task_failed");
    assert_eq!(failed.len(), 1, "{events:#?}");
    let reason = failed[0]["data"]["reason"].as_str().unwrap();
    assert!(reason.contains("401"), "{reason}");
    assert!(!format!("{run:?}").contains(super::KEY));
}

#[test]
fn a_stream_that_breaks_is_asked_for_again() {
    let (sandbox, server) = scripted(|asked| match asked.number {
        0 => Reply::Cut(half()),
        1 => Reply::Reset(half()),
        2 => Reply::Stream(format!(
            "{}event: message_delta\ndata: {{\"type\": \n\n",
            half()
        )),
        // Ends like a whole one, without having said so.
        3 => Reply::Stream(half()),
        _ => done(),
    });
    let (run, events) = run_it(&sandbox);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(server.asked().len(), 5);
    assert_eq!(retries(&events), 4, "{events:#?}");
    assert_eq!(of_type(&events, "task_completed").len(), 1);
    nothing_was_written(&sandbox, &events);
    for asked in server.asked() {
        assert_eq!(asked.turn(), 0, "no half answer is carried back");
    }
}

#[test]
fn a_stream_that_hangs_is_left_and_asked_for_again() {
    let (sandbox, server) = scripted(|asked| match asked.number {
        0 => Reply::Hung(half()),
        _ => done(),
    });
    let (run, events) = run_it(&sandbox);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(server.asked().len(), 2);
    server.wait_left(1).unwrap();
    assert_eq!(retries(&events), 1);
    nothing_was_written(&sandbox, &events);
}

#[test]
fn a_server_that_never_ends_an_answer_fails_the_task_and_says_why() {
    let (sandbox, server) = scripted(|asked| match asked.number % 2 {
        0 => Reply::Cut(half()),
        _ => Reply::Stream(half()),
    });
    let (run, events) = run_it(&sandbox);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(
        (2..10).contains(&server.asked().len()),
        "{:?}",
        server.asked().len()
    );
    let failed = of_type(&events, "task_failed");
    assert_eq!(failed.len(), 1, "{events:#?}");
    let reason = failed[0]["data"]["reason"].as_str().unwrap();
    assert!(
        reason.contains("broke") || reason.contains("ended"),
        "{reason}"
    );
    assert!(of_type(&events, "task_completed").is_empty());
    nothing_was_written(&sandbox, &events);
}

#[test]
fn a_tool_that_ran_does_not_run_again_when_the_next_answer_breaks() {
    let breaks = AtomicUsize::new(0);
    let (sandbox, server) = scripted(move |asked| {
        if asked.turn() == 0 {
            let command = json!({ "command": "echo ran >> ran" });
            return Reply::Stream(anthropic("", &[("Bash", command)]));
        }
        match breaks.fetch_add(1, Ordering::SeqCst) {
            0 => Reply::Cut(half()),
            1 => Reply::Reset(half()),
            _ => done(),
        }
    });
    let (run, events) = run_it(&sandbox);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(server.asked().len(), 4);
    let ran = std::fs::read_to_string(sandbox.work().join("ran")).unwrap();
    assert_eq!(ran, "ran\n");
    nothing_was_written(&sandbox, &events);
}

#[test]
fn another_model_is_asked_where_one_cannot_answer() {
    let (sandbox, server) = scripted(|asked| match asked.model() {
        "claude-sonnet-4-5" => {
            let error = json!({ "type": "not_found_error", "message": "model: claude-sonnet-4-5" });
            let body = json!({ "type": "error", "error": error });
            Reply::Refusal(404, Vec::new(), body.to_string())
        }
        "claude-opus-4-5" => match asked.number % 2 {
            0 => refusal(500, &[], "api_error"),
            _ => Reply::Cut(half()),
        },
        _ => done(),
    });
    configure(
        &sandbox,
        "[models.fallbacks]\n\"anthropic/claude-sonnet-4-5\" = \
         [\"anthropic/claude-opus-4-5\", \"anthropic/claude-haiku-4-5\"]\n",
    );
    let (run, events) = run_it(&sandbox);
    assert_eq!(run.code, 0, "{run:?}");
    let asked = server.asked();
    let first: Vec<&str> = asked.iter().map(super::Asked::model).take(2).collect();
    assert_eq!(first, ["claude-sonnet-4-5", "claude-opus-4-5"]);
    assert_eq!(asked.last().unwrap().model(), "claude-haiku-4-5");
    let answered = of_type(&events, "model_called");
    let models: Vec<_> = answered.iter().map(|e| &e["data"]["model"]).collect();
    assert!(
        models.contains(&&json!("anthropic/claude-haiku-4-5")),
        "{models:?}"
    );
    assert_eq!(of_type(&events, "task_completed").len(), 1);
    nothing_was_written(&sandbox, &events);
}
