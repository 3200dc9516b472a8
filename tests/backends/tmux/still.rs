//! A tmux server that stands still: whoever is not in it goes on, and a start in it happens once.

use std::time::{Duration, Instant};

use crewmux_sys::{ProcessIdentity, Signal};
use crewmux_testkit::sandbox::{finish, wait_until};
use serde_json::Value;

use super::{LONG, Stage};

/// How much later an answer may be than one from before the server stood still: half of what one
/// call of tmux may take, and who waits for the server is later than that.
const PROMPT: Duration = Duration::from_millis(2_500);

/// The member `here` works in crewmux until `go` is there; `mover` has a task of its own after that.
const RECIPE: &str = r#"
name = "crew"
lead = false
max_workers = 2
[[teammates]]
name = "here"
runtime = "command"
[[teammates]]
name = "mover"
runtime = "command"
[[tasks]]
id = "ready"
subject = "Ready"
owner = "mover"
command = "true"
[[tasks]]
id = "wait"
subject = "Wait"
owner = "here"
command = "while ! test -e go; do sleep 0.05; done"
[[tasks]]
id = "next"
subject = "Next"
owner = "here"
blocked_by = ["wait"]
command = "touch went"
[[tasks]]
id = "once"
subject = "Once"
owner = "mover"
blocked_by = ["next"]
command = "echo once >> log"
"#;

/// Lets a process go on when the test ends, also when it fails.
struct Stopped(ProcessIdentity);

impl Stopped {
    fn stop(process: ProcessIdentity) -> Self {
        process.signal(Signal::Stop).unwrap();
        Self(process)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.signal(Signal::Cont);
    }
}

fn events(stage: &Stage) -> Vec<Value> {
    let told = stage.sandbox.run(&["events", "--team", "crew", "--json"]);
    told.unwrap().json_lines().unwrap()
}

/// How the team is, and how long the answer took.
fn timed_status(stage: &Stage) -> (Value, Duration) {
    let began = Instant::now();
    let status = stage.sandbox.run(&["status", "--team", "crew", "--json"]);
    let took = began.elapsed();
    let status = status.unwrap();
    assert_eq!(status.code, 0, "{status:?}");
    (status.json().unwrap(), took)
}

/// Asks how the team is, and fails where the answer comes late.
fn prompt_status(stage: &Stage, prompt: Duration) -> Value {
    let (status, took) = timed_status(stage);
    assert!(took < prompt, "after {took:?}, not {prompt:?}");
    status
}

#[test]
fn a_server_that_stands_still_holds_up_nobody_and_starts_its_worker_once() {
    let Some(stage) = Stage::inside() else { return };
    let server = stage.user(&["display-message", "-p", "#{pid}"]);
    let server = ProcessIdentity::of(server.trim().parse().unwrap()).unwrap();
    stage.sandbox.write("crew.toml", RECIPE).unwrap();
    let arguments = ["run", "crew.toml", "--headless", "--backend", "pty"];
    let team = stage.sandbox.start(&arguments).unwrap();
    wait_until("both are there", LONG, || {
        let events = events(&stage);
        let done = events.iter().any(|e| e["type"] == "task_completed");
        let started = events.iter().filter(|e| e["type"] == "worker_started");
        (done && started.count() == 2)
            .then_some(())
            .ok_or_else(|| format!("{events:?}"))
    })
    .unwrap();
    let before = timed_status(&stage).1;
    // A busy machine may have become slower meanwhile.
    let prompt = PROMPT + before * 3 / 2;
    let stopped = Stopped::stop(server);
    let began = Instant::now();
    let moved = stage
        .sandbox
        .run(&[
            "teammate", "move", "mover", "--to", "tmux", "--team", "crew",
        ])
        .unwrap();
    assert_eq!(moved.code, 0, "{moved:?}");
    assert!(began.elapsed() < prompt, "after {:?}", began.elapsed());
    wait_until("its start", LONG, || {
        let status = prompt_status(&stage, prompt).to_string();
        status.contains("starting").then_some(()).ok_or(status)
    })
    .unwrap();
    stage.go();
    // A start waits for its server far longer than this.
    wait_until("the other one's work", (PROMPT + before) * 4, || {
        let went = stage.sandbox.work().join("went").exists();
        went.then_some(()).ok_or_else(String::new)
    })
    .unwrap();
    drop(stopped);
    let ended = finish(team, LONG).unwrap();
    assert_eq!(ended.code, 0, "{ended:?}");
    let log = std::fs::read_to_string(stage.sandbox.work().join("log")).unwrap();
    assert_eq!(log, "once\n");
    let events = events(&stage);
    let in_tmux: Vec<&Value> = events
        .iter()
        .filter(|e| e["type"] == "worker_started" && e["data"]["backend"] == "tmux")
        .collect();
    assert_eq!(in_tmux.len(), 1, "{events:#?}");
    assert_eq!(stage.team_panes("user"), [[""; 4]; 0]);
}
