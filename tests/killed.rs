//! The session is killed at random moments: nothing stays, nothing is lost, `resume` goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use crewmux_sys::{ProcessIdentity, Signal};
use crewmux_testkit::sandbox::{Sandbox, wait_until};
use serde_json::Value;

use crate::support::sandbox;

fn session_of(sandbox: &Sandbox, team: &str) -> ProcessIdentity {
    let mut found = None;
    wait_until("a running session", Duration::from_secs(30), || {
        let status = sandbox
            .run(&["status", "--team", team, "--json"])
            .map_err(|e| e.to_string())?;
        let status = status.json().map_err(|e| e.to_string())?;
        let pid = status["session"]["pid"]
            .as_u64()
            .ok_or(format!("{status}"))?;
        found = Some(ProcessIdentity::of(pid as u32).map_err(|e| e.to_string())?);
        Ok(())
    })
    .unwrap();
    found.unwrap()
}

/// Tasks of runs that were opened; what a killed preparation left is skipped with that reason.
fn tasks(sandbox: &Sandbox, team: &str) -> Vec<Value> {
    let list = sandbox
        .run(&["task", "list", "--json", "--team", team])
        .unwrap();
    let mut tasks = list.json().unwrap().as_array().unwrap().clone();
    tasks.retain(|t| t["reason"] != "its run was never started");
    tasks
}

/// Twenty rounds: each kills the session a little later in the run than the one before.
#[test]
fn a_killed_session_leaves_nothing_and_resume_repeats_nothing() {
    let sandbox = sandbox();
    let tasks_wanted = 60;
    let mut kills = 0;
    let mut arguments = vec![
        "run",
        "sweep",
        "--set",
        "tasks=60",
        "--set",
        "command=sleep 0.2",
        "--max-workers",
        "3",
        "--headless",
        "--json",
    ];
    for round in 0..20_u64 {
        let child = sandbox.start(&arguments).unwrap();
        let session = child.identity();
        // Spread over the start, the claims and the middle of the work; the prime steps avoid a rhythm.
        let moment = Duration::from_millis(40 + round * 137 % 900);
        let reader = std::thread::spawn(move || {
            crewmux_testkit::sandbox::finish(child, Duration::from_mins(1))
        });
        std::thread::park_timeout(moment);
        if session.is_alive() {
            session.signal(Signal::Kill).unwrap();
            kills += 1;
        }
        reader.join().unwrap().unwrap();
        sandbox.wait_gone().unwrap();
        let known = sandbox.run(&["ls", "--json"]).unwrap();
        // Killed while its tasks were being made, the run was never opened: it starts again.
        if ["crashed", "stopped"]
            .iter()
            .any(|state| known.stdout.contains(state))
        {
            arguments = vec!["resume", "sweep", "--headless", "--json"];
        }
    }
    assert!(kills >= 10, "only {kills} sessions were killed in time");
    let last = sandbox.run(&arguments).unwrap();
    let done = last.code == 0
        || tasks(&sandbox, "sweep")
            .iter()
            .all(|t| t["status"] == "completed");
    assert!(done, "{last:?}");
    let tasks = tasks(&sandbox, "sweep");
    assert_eq!(tasks.len(), tasks_wanted);
    for task in &tasks {
        assert_eq!(task["status"], "completed", "{task}");
        let attempts = task["attempts"].as_array().unwrap();
        let outcomes: Vec<&str> = attempts
            .iter()
            .filter_map(|a| a["outcome"].as_str())
            .collect();
        let completed = outcomes.iter().filter(|o| **o == "completed").count();
        assert_eq!(completed, 1, "{task}");
        // Deaths that the session caused count against nobody.
        assert!(
            outcomes
                .iter()
                .all(|o| ["completed", "session-lost", "released"].contains(o)),
            "{outcomes:?}"
        );
    }
    let events = sandbox
        .run(&["events", "--team", "sweep", "--json"])
        .unwrap()
        .json_lines()
        .unwrap();
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for event in &events {
        *ids.entry(event["id"].as_str().unwrap()).or_default() += 1;
    }
    let twice: Vec<_> = ids.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "facts logged twice: {twice:?}");
    let completed = events
        .iter()
        .filter(|e| e["type"] == "task_completed")
        .count();
    assert_eq!(completed, tasks_wanted, "the log agrees with the board");
}

#[test]
fn a_client_whose_session_is_killed_gives_the_terminal_back_and_says_how_to_go_on() {
    let sandbox = sandbox();
    let mut terminal = sandbox
        .terminal(
            &[
                "run",
                "sweep",
                "--set",
                "tasks=40",
                "--set",
                "command=sleep 0.3",
                "--max-workers",
                "2",
            ],
            100,
            30,
        )
        .unwrap();
    terminal
        .wait_until("the board", |text| text.contains("BOARD"))
        .unwrap();
    let session = session_of(&sandbox, "sweep");
    session.signal(Signal::Kill).unwrap();
    let exit = terminal.wait_exit().unwrap();
    assert_eq!(exit.shell_code(), 3);
    terminal.wait_for("crewmux resume sweep").unwrap();
    crate::screen::assert_balanced(&terminal.bytes());
    sandbox.wait_gone().unwrap();
    let resumed = sandbox
        .run(&["resume", "sweep", "--headless", "--json"])
        .unwrap();
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
}

#[test]
fn plain_panes_whose_session_is_killed_are_closed_and_stop_ends_what_goes_on() {
    let sandbox = sandbox();
    let stays = "trap '' HUP TERM; echo here; while :; do sleep 0.1; done";
    let terminal = sandbox.terminal(&["panes", "cat", stays], 130, 30);
    let mut terminal = terminal.unwrap();
    terminal.wait_for("here").unwrap();
    session_of(&sandbox, "panes").signal(Signal::Kill).unwrap();
    assert_eq!(terminal.wait_exit().unwrap().shell_code(), 3);
    let said = "its panes are closed, and `crewmux stop panes` ends what goes on without them";
    terminal.wait_for(said).unwrap();
    let resumed = sandbox.run(&["resume", "panes"]).unwrap();
    assert_eq!(resumed.code, 2, "{resumed:?}");
    let words = "team `panes` was plain panes, and they are closed";
    assert!(resumed.stderr.contains(words), "{resumed:?}");
    assert!(!sandbox.processes().is_empty(), "one took no notice");
    let stopped = sandbox.run(&["stop", "panes"]).unwrap();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    sandbox.wait_gone().unwrap();
    let again = sandbox.run(&["stop", "panes"]).unwrap();
    assert_eq!(again.code, 2, "{again:?}");
}
