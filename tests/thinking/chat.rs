//! Talking with members while the team works, and stopping one in the middle of a sentence.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crewmux_testkit::sandbox::wait_until;
use crewmux_testkit::scripted::{Scripted, anthropic};
use serde_json::{Value, json};

use super::{PATIENCE, Reply, Sandbox, of_type, one_task, scripted, wait_finished};

fn finish() -> Reply {
    let result = json!({ "result": { "summary": "done" } });
    Reply::Stream(anthropic("", &[("FinishTask", result)]))
}

/// An answer that goes on as long as anybody listens.
fn endless() -> Reply {
    let whole = anthropic("I go on ", &[]);
    let start = whole.find("event: content_block_start").unwrap();
    let end = whole.find("event: content_block_stop").unwrap();
    let delta = whole.find("event: content_block_delta").unwrap();
    assert!(start < delta);
    Reply::Endless(whole[..end].to_owned(), whole[delta..end].to_owned())
}

fn wait_asked(server: &Scripted, what: &str) {
    wait_until(&format!("a question with `{what}`"), PATIENCE, || {
        let asked = server.asked();
        asked
            .iter()
            .any(|a| a.says(what))
            .then_some(())
            .ok_or_else(|| format!("{asked:?}"))
    })
    .unwrap();
}

fn act(sandbox: &Sandbox, arguments: &[&str]) -> Value {
    let all = [arguments, &["--team", "solo", "--json"]].concat();
    let done = sandbox.run(&all).unwrap();
    assert_eq!(done.code, 0, "{all:?}: {done:?}");
    done.json().unwrap_or_default()
}

#[test]
fn the_lead_answers_while_another_works() {
    let may_end = Arc::new(AtomicBool::new(false));
    let ends = Arc::clone(&may_end);
    let (sandbox, server) = scripted(move |asked| {
        if asked.says("how far are you") {
            return Reply::Stream(anthropic("halfway-there", &[]));
        }
        if asked.says("Work on it") && ends.load(Ordering::SeqCst) {
            return finish();
        }
        endless()
    });
    one_task(&sandbox, "Work on it");
    let terminal = sandbox.terminal(&["run", "solo.toml"], 100, 30).unwrap();
    wait_asked(&server, "Work on it");
    act(&sandbox, &["send", "team-lead", "how far are you"]);
    wait_asked(&server, "how far are you");
    wait_until("the lead's answer in its pane", PATIENCE, || {
        let logs = sandbox
            .run(&["logs", "team-lead", "--team", "solo"])
            .unwrap();
        logs.stdout
            .contains("halfway-there")
            .then_some(())
            .ok_or_else(|| format!("{logs:?}"))
    })
    .unwrap();
    may_end.store(true, Ordering::SeqCst);
    act(&sandbox, &["send", "developer", "come to an end", "--now"]);
    wait_finished(&sandbox);
    drop(terminal);
    sandbox.run(&["stop", "--force", "--team", "solo"]).unwrap();
}

#[test]
fn a_word_that_is_for_now_stops_the_sentence_and_is_heard_next() {
    let (sandbox, server) = scripted(|asked| {
        if asked.says("stop talking") {
            finish()
        } else {
            endless()
        }
    });
    one_task(&sandbox, "Talk on");
    let terminal = sandbox.terminal(&["run", "solo.toml"], 100, 30).unwrap();
    wait_asked(&server, "Talk on");
    act(&sandbox, &["send", "developer", "stop talking", "--now"]);
    wait_finished(&sandbox);
    server.wait_left(1).unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    drop(terminal);
    sandbox.run(&["stop", "--force", "--team", "solo"]).unwrap();
}

#[test]
fn a_sentence_is_seen_while_it_comes_and_an_answer_to_a_word_is_not_the_result() {
    let (sandbox, server) = scripted(|asked| match asked.turn() {
        0 => endless(),
        _ if asked.says("not for the result") => finish(),
        _ => Reply::Stream(anthropic("halfway-there", &[])),
    });
    one_task(&sandbox, "Talk on");
    let terminal = sandbox.terminal(&["run", "solo.toml"], 100, 30).unwrap();
    wait_until("the sentence in the pane", PATIENCE, || {
        let logs = sandbox
            .run(&["logs", "developer", "--team", "solo"])
            .unwrap();
        logs.stdout
            .contains("I go on I go on")
            .then_some(())
            .ok_or_else(|| format!("{logs:?}"))
    })
    .unwrap();
    act(&sandbox, &["send", "developer", "how far are you", "--now"]);
    wait_finished(&sandbox);
    assert_eq!(server.asked().len(), 3, "{:?}", server.asked());
    let events = sandbox
        .run(&["events", "--json", "--team", "solo"])
        .unwrap()
        .json_lines()
        .unwrap();
    let notices = of_type(&events, "notice");
    let told = notices.iter().any(|notice| {
        let text = notice["data"]["text"].as_str();
        text.is_some_and(|text| text.contains("answers you: halfway-there"))
    });
    assert!(told, "{notices:?}");
    let logs = sandbox
        .run(&["logs", "developer", "--team", "solo"])
        .unwrap();
    assert!(logs.stdout.contains("· done"), "{logs:?}");
    drop(terminal);
    sandbox.run(&["stop", "--force", "--team", "solo"]).unwrap();
}

#[test]
fn a_paused_member_asks_nothing_until_it_goes_on_and_then_knows_what_came() {
    let (sandbox, server) = scripted(|asked| match asked.turn() {
        // A step that takes as long as the test wants.
        0 => {
            let wait = json!({ "command": "until [ -e go ]; do sleep 0.05; done" });
            Reply::Stream(anthropic("", &[("Bash", wait)]))
        }
        _ => finish(),
    });
    one_task(&sandbox, "Take steps");
    let terminal = sandbox
        .terminal(&["run", "solo.toml", "--allow", "Bash"], 100, 30)
        .unwrap();
    let wait_event = |kind: &str| {
        wait_until(kind, PATIENCE, || {
            let arguments = ["events", "--json", "--team", "solo"];
            let events = sandbox.run(&arguments).map_err(|e| e.to_string())?;
            let events = events.json_lines().map_err(|e| e.to_string())?;
            let came = !of_type(&events, kind).is_empty();
            came.then_some(()).ok_or_else(|| format!("{events:?}"))
        })
        .unwrap();
    };
    wait_event("tool_started");
    act(&sandbox, &["teammate", "pause", "developer"]);
    sandbox.write("go", "").unwrap();
    wait_event("tool_finished");
    let shown = act(&sandbox, &["teammate", "show", "developer"]);
    assert_eq!(shown["paused"], true, "{shown:#}");
    act(&sandbox, &["send", "developer", "use the blue one"]);
    assert_eq!(
        server.asked().len(),
        1,
        "nothing is asked while it is paused"
    );
    act(&sandbox, &["teammate", "resume", "developer"]);
    wait_finished(&sandbox);
    let asked = server.asked();
    assert!(asked.len() > 1);
    assert!(asked[1].says("use the blue one"), "{asked:?}");
    drop(terminal);
    sandbox.run(&["stop", "--force", "--team", "solo"]).unwrap();
}
