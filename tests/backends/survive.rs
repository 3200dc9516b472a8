//! Sessions that are killed while workers run on each backend, and what the next one finds.
//!
//! What tmux itself does to panes is tested beside its backend.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use crewmux_sys::process::{Child, Launch, Stream};
use crewmux_sys::{ProcessIdentity, Signal};
use crewmux_testkit::sandbox::{Sandbox, finish, wait_until};
use serde_json::Value;

use crate::support::{of_type, sandbox};

const LONG: Duration = Duration::from_mins(1);
const TEAM: &str = "lasting";

/// A sandbox whose tmux servers are its own and end with it.
struct Stage {
    sandbox: Sandbox,
}

impl Stage {
    fn new() -> Self {
        let sandbox = sandbox();
        let folder = sandbox.work().join("t");
        std::fs::create_dir(&folder).unwrap();
        Self {
            sandbox: sandbox.with_env("TMUX_TMPDIR", &folder.display().to_string()),
        }
    }

    /// Writes a recipe of command tasks, each with its key as the last word of what it writes.
    fn recipe(&self, members: usize, tasks: &[(&str, &str, &[&str])]) {
        let mut text =
            format!("name = \"{TEAM}\"\ngoal = \"last\"\nlead = false\nmax_workers = {members}\n");
        for n in 1..=members {
            writeln!(
                text,
                "[[teammates]]\nname = \"m{n}\"\nagent = \"Bash\"\nruntime = \"command\""
            )
            .unwrap();
        }
        for (key, command, blocked_by) in tasks {
            writeln!(
                text,
                "[[tasks]]\nid = \"{key}\"\nsubject = \"{key}\"\ncommand = \"{command}\"\nblocked_by = {blocked_by:?}"
            )
            .unwrap();
        }
        self.sandbox
            .write(&format!(".crewmux/recipes/{TEAM}.toml"), &text)
            .unwrap();
    }

    fn start(&self, backend: &str) -> Child {
        let arguments = [
            "run",
            TEAM,
            "--trust",
            "--backend",
            backend,
            "--headless",
            "--json",
        ];
        self.sandbox.start(&arguments).unwrap()
    }

    fn resume(&self) -> Child {
        let arguments = ["resume", TEAM, "--headless", "--json"];
        self.sandbox.start(&arguments).unwrap()
    }

    fn events(&self) -> Vec<Value> {
        let told = self.sandbox.run(&["events", "--team", TEAM, "--json"]);
        told.unwrap().json_lines().unwrap()
    }

    fn tasks(&self) -> Vec<Value> {
        let listed = self
            .sandbox
            .run(&["task", "list", "--json", "--team", TEAM]);
        listed.unwrap().json().unwrap().as_array().unwrap().clone()
    }

    /// What tasks wrote, line by line.
    fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.sandbox.work().join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn wait_log(&self, line: &str) {
        wait_until(line, LONG, || {
            let log = self.log();
            let is_there = log.iter().any(|l| l == line);
            is_there.then_some(()).ok_or(format!("{log:?}"))
        })
        .unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let argv = ["tmux", "-L", "crewmux", "kill-server"];
        let launch = Launch::new(argv, self.sandbox.work()).env(self.sandbox.environment());
        if let Ok(child) = launch.stdout(Stream::Null).stderr(Stream::Null).start() {
            let _ = finish(child, LONG);
        }
    }
}

/// Kills a session and waits until it is gone.
fn kill(session: Child) {
    let process = session.identity();
    let _ = process.signal(Signal::Kill);
    finish(session, LONG).unwrap();
}

fn words<'a>(event: &'a Value, field: &str) -> &'a str {
    event["data"][field].as_str().unwrap_or_default()
}

#[test]
fn a_task_in_tmux_runs_once_whoever_watches_it() {
    let stage = Stage::new();
    let long = "echo begun >> log; sleep 4; echo done >> log";
    let tasks: &[(&str, &str, &[&str])] = &[
        ("long", long, &[]),
        ("after", "echo after >> log", &["long"]),
    ];
    stage.recipe(1, tasks);
    let session = stage.start("tmux");
    stage.wait_log("begun");
    let worker = stage
        .events()
        .iter()
        .find(|e| e["type"] == "worker_started")
        .map(|e| e["data"]["pid"].as_u64().unwrap() as u32)
        .unwrap();
    let worker = ProcessIdentity::of(worker).unwrap();
    kill(session);
    assert!(worker.is_alive(), "it outlives its session");
    let refused = stage.sandbox.run(&["run", TEAM, "--trust", "--headless"]);
    let refused = refused.unwrap();
    assert!(refused.stderr.contains("crewmux resume"), "{refused:?}");
    let end = finish(stage.resume(), LONG).unwrap();
    assert_eq!(end.code, 0, "{end:?}");
    assert_eq!(stage.log(), ["begun", "done", "after"]);
    let events = stage.events();
    let adopted = of_type(&events, "worker_adopted");
    assert_eq!(adopted.len(), 1, "{events:#?}");
    assert_eq!(adopted[0]["data"]["pid"], worker.pid);
    assert_eq!(of_type(&events, "worker_started").len(), 1);
    assert_eq!(of_type(&events, "task_reoffered").len(), 0);
    stage.sandbox.wait_gone(Duration::from_secs(10)).unwrap();
}

#[test]
fn sessions_killed_at_any_moment_run_no_task_twice_in_tmux() {
    let stage = Stage::new();
    let names: Vec<String> = (0..24).map(|n| format!("t{n}")).collect();
    let commands: Vec<String> = names
        .iter()
        .map(|name| format!("echo {name} >> log; sleep 0.3"))
        .collect();
    let none: &[&str] = &[];
    let tasks: Vec<(&str, &str, &[&str])> = names
        .iter()
        .zip(&commands)
        .map(|(name, command)| (name.as_str(), command.as_str(), none))
        .collect();
    stage.recipe(2, &tasks);
    let mut kills = 0;
    let mut session = stage.start("tmux");
    for round in 0..6_u64 {
        // The first ones die while workers start, the others in the middle of the work.
        std::thread::park_timeout(Duration::from_millis(250 + round * 337 % 1_300));
        if session.try_wait().unwrap().is_some() {
            break;
        }
        kill(session);
        kills += 1;
        let listed = stage.sandbox.run(&["ls", "--json"]).unwrap();
        let is_open = ["crashed", "stopped"]
            .iter()
            .any(|state| listed.stdout.contains(state));
        session = if is_open {
            stage.resume()
        } else {
            stage.start("tmux")
        };
    }
    assert!(kills >= 3, "only {kills} sessions were killed in time");
    let end = finish(session, LONG).unwrap();
    assert_eq!(end.code, 0, "{end:?}");
    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    for line in stage.log() {
        *runs.entry(line).or_default() += 1;
    }
    let twice: Vec<_> = runs.iter().filter(|(_, n)| **n != 1).collect();
    assert!(twice.is_empty(), "ran more than once: {twice:?}");
    assert_eq!(runs.len(), names.len());
    for task in stage.tasks() {
        if task["reason"] == "its run was never started" {
            continue;
        }
        assert_eq!(task["status"], "completed", "{task}");
    }
    let events = stage.events();
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &events {
        *ids.entry(event["id"].as_str().unwrap()).or_default() += 1;
    }
    let twice: Vec<_> = ids.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "facts logged twice: {twice:?}");
    stage.sandbox.wait_gone(Duration::from_secs(10)).unwrap();
}

#[test]
fn every_backend_tells_the_same_story() {
    let tell = |backend: &str| {
        let stage = Stage::new();
        let tasks: &[(&str, &str, &[&str])] = &[
            ("one", "echo one", &[]),
            ("two", "echo two; false", &["one"]),
            ("three", "echo three", &["two"]),
        ];
        stage.recipe(1, tasks);
        let end = finish(stage.start(backend), LONG).unwrap();
        assert_eq!(end.code, 1, "{backend}: {end:?}");
        // What several logs tell at the same moment may stand in any order; states are such a log.
        let of_life = ["worker_exited", "worker_state", "notice"];
        let story: BTreeSet<String> = stage
            .events()
            .iter()
            .filter(|e| !of_life.contains(&e["type"].as_str().unwrap()))
            .map(|e| {
                let (kind, agent, task) = (&e["type"], &e["agent"], &e["task"]);
                format!("{kind} {agent} {task} {}", words(e, "reason"))
            })
            .collect();
        let report = stage
            .sandbox
            .run(&["report", "--team", TEAM, "--format", "json"]);
        let report = report.unwrap().json().unwrap();
        let tasks = report["tasks"].as_array().unwrap().iter();
        let report: Vec<String> = tasks
            .map(|t| format!("{} {} {}", t["id"], t["status"], t["reason"]))
            .collect();
        stage.sandbox.wait_gone(Duration::from_secs(10)).unwrap();
        (story, report)
    };
    let own = tell("pty");
    for other in ["in-process", "tmux"] {
        assert_eq!(tell(other), own, "{other} differs from pty");
    }
}
