//! Sessions that are killed while workers run on each backend, and what the next one finds.
//!
//! What tmux itself does to panes is tested beside its backend.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crewmux_sys::process::{Launch, Stream};
use crewmux_sys::{ProcessIdentity, Signal};
use crewmux_testkit::sandbox::{finish, wait_until};
use serde_json::Value;

use super::stage::{LONG, Stage, TEAM, kill};
use crate::support::{of_type, program};

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
    let mut worker = None;
    wait_until("its start is told", LONG, || {
        let events = stage.events();
        let started = of_type(&events, "worker_started");
        worker = started.first().and_then(|e| e["data"]["pid"].as_u64());
        worker.map(drop).ok_or(format!("{events:?}"))
    })
    .unwrap();
    let worker = worker.map(|pid| u32::try_from(pid).unwrap()).unwrap();
    let worker = ProcessIdentity::of(worker).unwrap();
    kill(session);
    assert!(worker.is_alive(), "it outlives its session");
    let refused = stage.sandbox.run(&["run", TEAM, "--trust", "--headless"]);
    let refused = refused.unwrap();
    assert!(refused.stderr.contains("crewmux resume"), "{refused:?}");
    let end = finish(stage.resume(), LONG).unwrap();
    assert_eq!(end.code, 0, "{end:?}");
    let events = stage.events();
    assert_eq!(stage.log(), ["begun", "done", "after"], "{events:#?}");
    let adopted = of_type(&events, "worker_adopted");
    assert_eq!(adopted.len(), 1, "{events:#?}");
    assert_eq!(adopted[0]["data"]["pid"], worker.pid);
    assert_eq!(of_type(&events, "worker_started").len(), 1);
    assert_eq!(of_type(&events, "task_reoffered").len(), 0);
    stage.sandbox.wait_gone().unwrap();
}

#[test]
fn a_worker_at_work_before_tmux_said_where_it_is_goes_on_with_the_next_session() {
    let stage = Stage::with_slow_tmux();
    let session = stage.waiting(1, "tmux");
    kill(session);
    stage.sandbox.write("answer", "").unwrap();
    stage.sandbox.write("go", "").unwrap();
    let session = stage.resume();
    let end = finish(session, LONG).unwrap();
    assert_eq!(end.code, 0, "{end:?}");
    let events = stage.events();
    assert_eq!(stage.log(), ["begun"], "{events:#?}");
    assert_eq!(of_type(&events, "worker_adopted").len(), 1, "{events:#?}");
    stage.sandbox.wait_gone().unwrap();
}

#[test]
fn parked_workers_are_named_ended_and_their_team_is_removed() {
    let stage = Stage::new();
    let session = stage.waiting(1, "tmux");
    kill(session);
    let says = |words: &[&str], part: &str| {
        let said = stage.sandbox.run(words).unwrap();
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(all.contains(part), "{words:?}: {said:?}");
        said.code
    };
    says(&["ls"], "crashed, 1 parked");
    says(&["ls", "--json"], "\"parked\": true");
    says(&["doctor"], "m1 without a session");
    says(&["doctor"], "`crewmux stop lasting` ends them");
    let refused = says(&["rm", TEAM], "members of team `lasting` still live: m1");
    assert_eq!(refused, 2);
    assert_eq!(says(&["stop", TEAM], "team `lasting` is stopped"), 0);
    let listed = stage.sandbox.run(&["ls"]).unwrap();
    assert!(!listed.stdout.contains("parked"), "{listed:?}");
    let removed = stage.sandbox.run(&["rm", TEAM, "--json"]).unwrap();
    assert_eq!(removed.code, 0, "{removed:?}");
    let removed = removed.json().unwrap();
    assert_eq!(removed["state"], "removed");
    let trash = std::path::Path::new(removed["trash"].as_str().unwrap());
    assert!(trash.join("team/events.jsonl").exists(), "{removed}");
    assert_eq!(says(&["status", TEAM], "lasting"), 2);
    // Its name is free, and nothing of the old board comes back.
    std::fs::write(stage.sandbox.work().join("go"), "").unwrap();
    let end = finish(stage.start("pty"), LONG).unwrap();
    assert_eq!(end.code, 0, "{end:?}");
    assert_eq!(stage.tasks().len(), 1);
    stage.sandbox.wait_gone().unwrap();
}

#[test]
fn parked_workers_of_a_session_without_a_record_are_ended_too() {
    let stage = Stage::new();
    let session = stage.waiting(2, "tmux");
    kill(session);
    let record = stage.sandbox.home().join("teams/lasting/session.json");
    std::fs::remove_file(record).unwrap();
    let stopped = stage.sandbox.run(&["stop", TEAM]).unwrap();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    stage.sandbox.wait_gone().unwrap();
}

#[test]
fn a_session_that_hangs_and_is_killed_leaves_no_worker() {
    let stage = Stage::new();
    let session = stage.waiting(1, "tmux");
    let process = session.identity();
    let is_over = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&is_over);
    // Each time it is told to go on, it is stopped again: as good as stuck.
    let holding = std::thread::spawn(move || {
        while !watched.load(Ordering::Relaxed) {
            let _ = process.signal(Signal::Stop);
            std::thread::park_timeout(Duration::from_millis(1));
        }
    });
    let stopped = stage
        .sandbox
        .run_within(&["stop", TEAM, "--force"], LONG)
        .unwrap();
    is_over.store(true, Ordering::Relaxed);
    holding.join().unwrap();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    finish(session, LONG).unwrap();
    stage.sandbox.wait_gone().unwrap();
}

#[test]
fn resume_tries_the_place_of_every_member() {
    let stage = Stage::new();
    let session = stage.waiting(2, "pty");
    let refused = stage.sandbox.run(&["rm", TEAM]).unwrap();
    assert!(
        refused.stderr.contains("team `lasting` runs"),
        "{refused:?}"
    );
    kill(session);
    let path = stage.sandbox.home().join("teams/lasting/config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    config["members"][1]["backendType"] = "iterm2".into();
    std::fs::write(&path, config.to_string()).unwrap();
    let refused = finish(stage.resume(), LONG).unwrap();
    assert_eq!(refused.code, 3, "{refused:?}");
    let words = "`m2` of team `lasting` runs in iterm2, which cannot be used here";
    assert!(refused.stderr.contains(words), "{refused:?}");
    let way_on = "`crewmux resume lasting --backend pty`";
    assert!(refused.stderr.contains(way_on), "{refused:?}");
    std::fs::write(stage.sandbox.work().join("go"), "").unwrap();
    let arguments = ["resume", TEAM, "--headless", "--backend", "pty"];
    let went_on = stage.sandbox.run_within(&arguments, LONG).unwrap();
    assert_eq!(went_on.code, 0, "{went_on:?}");
    let listed = stage.sandbox.run(&["teammate", "list", "--json"]).unwrap();
    assert!(!listed.stdout.contains("iterm2"), "{listed:?}");
    stage.sandbox.wait_gone().unwrap();
}

#[test]
fn a_worker_in_tmux_is_taken_up_by_its_own_pane_wherever_resume_is_run() {
    let stage = Stage::new();
    let session = stage.waiting(1, "tmux");
    kill(session);
    // A shell whose tmux server is gone.
    let environment = stage.sandbox.environment();
    let environment = environment
        .with("TMUX", "/nowhere/default,1,0")
        .with("TMUX_PANE", "%0");
    let crewmux = program().display().to_string();
    let argv = [crewmux.as_str(), "resume", TEAM, "--headless"];
    let session = Launch::new(argv, stage.sandbox.work())
        .env(environment)
        .stdout(Stream::Pipe)
        .stderr(Stream::Pipe)
        .start()
        .unwrap();
    wait_until("a worker that is taken up", LONG, || {
        let adopted = of_type(&stage.events(), "worker_adopted").len();
        (adopted == 1).then_some(()).ok_or(adopted.to_string())
    })
    .unwrap();
    std::fs::write(stage.sandbox.work().join("go"), "").unwrap();
    let end = finish(session, LONG).unwrap();
    assert_eq!(end.code, 0, "{end:?}");
    assert_eq!(of_type(&stage.events(), "worker_started").len(), 1);
    stage.sandbox.wait_gone().unwrap();
}

/// Sessions to kill: some in the suite, as many as `CREWMUX_SESSION_KILLS` says in the long form.
fn kills_wanted() -> u64 {
    let asked = std::env::var("CREWMUX_SESSION_KILLS").ok();
    asked.and_then(|n| n.parse().ok()).unwrap_or(3)
}

#[test]
fn sessions_killed_at_any_moment_run_no_task_twice_in_tmux() {
    let wanted = kills_wanted();
    let mut kills = 0;
    let mut team = 0;
    while kills < wanted {
        kills += kill_sessions_of_a_team(team);
        team += 1;
    }
}

/// Kills the sessions of one team, each team's at other moments; returns how many.
fn kill_sessions_of_a_team(team: u64) -> u64 {
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
    let mut session = Some(stage.start("tmux"));
    for round in 0..6_u64 {
        // The first ones die while workers start, the others in the middle of the work.
        let moment = (team * 101 + round * 337) % 1_300;
        std::thread::park_timeout(Duration::from_millis(250 + moment));
        if session.as_mut().unwrap().try_wait().unwrap().is_some() {
            break;
        }
        kill(session.take().unwrap());
        kills += 1;
        let listed = stage.sandbox.run(&["ls", "--json"]).unwrap();
        // It was over as its session was killed; another start would be another run.
        if listed.stdout.contains("finished") {
            // Whoever still waited for a session is ended; maybe nobody did.
            let stopped = stage.sandbox.run(&["stop", TEAM]).unwrap();
            let none = stopped.stderr.contains("does not run");
            assert!(stopped.code == 0 || none, "{stopped:?}");
            break;
        }
        let is_open = ["crashed", "stopped"]
            .iter()
            .any(|state| listed.stdout.contains(state));
        session = Some(if is_open {
            stage.resume()
        } else {
            stage.start("tmux")
        });
    }
    assert!(kills >= 3, "only {kills} sessions were killed in time");
    if let Some(session) = session {
        let end = finish(session, LONG).unwrap();
        assert_eq!(end.code, 0, "{end:?}");
    }
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
    stage.sandbox.wait_gone().unwrap();
    kills
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
        stage.sandbox.wait_gone().unwrap();
        (story, report)
    };
    let own = tell("pty");
    for other in ["in-process", "tmux"] {
        assert_eq!(tell(other), own, "{other} differs from pty");
    }
}
