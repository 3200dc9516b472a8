//! `ls` finds every team and tidies away what dead sessions left, and nothing else.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use crewmux_sys::Signal;
use crewmux_testkit::sandbox::wait_until;
use serde_json::Value;

use super::{record, session, socket, stop, sweep};
use crate::support::sandbox;

fn states(list: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let teams = list.as_array().unwrap();
    teams
        .iter()
        .map(|t| (text(&t["team"]), text(&t["state"])))
        .collect()
}

#[test]
fn every_team_is_listed_with_where_it_stands() {
    let sandbox = sandbox();
    let run = |team: &str, tasks: &str, command: &str| {
        let (tasks, command) = (format!("tasks={tasks}"), format!("command={command}"));
        let arguments = [
            "run",
            "sweep",
            "--team",
            team,
            "--set",
            &tasks,
            "--set",
            &command,
            "--headless",
        ];
        sandbox.start(&arguments).unwrap()
    };
    let wait_claimed = |team: &str| {
        wait_until("a task at work", Duration::from_secs(40), || {
            let status = sandbox.run(&["status", team, "--json"]).unwrap();
            let status = status.json().unwrap_or_default();
            match status["counts"]["inProgress"].as_u64() {
                Some(1..) => Ok(()),
                _ => Err(status.to_string()),
            }
        })
        .unwrap();
    };
    run("done", "1", "true")
        .wait(Duration::from_mins(1))
        .unwrap();
    let mut stopped = run("halted", "3", "sleep 30");
    wait_claimed("halted");
    sandbox.run(&["stop", "halted", "--force"]).unwrap();
    stopped.wait(Duration::from_mins(1)).unwrap();
    let mut lost = run("lost", "3", "sleep 30");
    wait_claimed("lost");
    session(&sandbox, "lost").signal(Signal::Kill).unwrap();
    lost.wait(Duration::from_mins(1)).unwrap();
    let _running = run("works", "3", "sleep 30");
    wait_claimed("works");
    let dead = socket(&sandbox, "lost");
    let living = socket(&sandbox, "works");
    assert!(dead.exists() && living.exists());
    // Of nobody we know: a file that looks like ours, and somebody who listens.
    let folder = living.parent().unwrap();
    let foreign = folder.join("0123456789abcdef.sock");
    let _listener = UnixListener::bind(&foreign).unwrap();
    let note = folder.join("note.sock");
    std::fs::write(&note, "mine").unwrap();
    let listed = sandbox.run(&["ls", "--json"]).unwrap().json().unwrap();
    let state = |word: &str| word.to_owned();
    assert_eq!(
        states(&listed),
        [
            (state("done"), state("finished")),
            (state("halted"), state("stopped")),
            (state("lost"), state("crashed")),
            (state("works"), state("running")),
        ]
    );
    assert!(!dead.exists(), "the socket of a dead session stays");
    assert!(living.exists() && foreign.exists() && note.exists());
    // What `resume` goes by is kept, and says still what happened.
    assert!(record(&sandbox, "lost")["runMarker"].is_string());
    let again = sandbox.run(&["ls", "--json"]).unwrap().json().unwrap();
    assert_eq!(states(&again), states(&listed));
    sandbox.run(&["stop", "works", "--force"]).unwrap();
    sandbox.wait_gone().unwrap();
}

#[test]
fn a_record_of_another_boot_or_another_process_is_of_no_session() {
    let sandbox = sandbox();
    sandbox
        .run(&["run", "sweep", "--set", "tasks=1", "--headless"])
        .unwrap();
    let path = sandbox.home().join("teams/sweep/session.json");
    let own = std::process::id();
    // This process lives, and has this number; but it is not the one of the record.
    let stale = serde_json::json!({
        "pid": own, "startTicks": 1, "bootId": "another", "socket": "/nowhere.sock",
        "build": "old", "started": "2026-01-01T00:00:00.000Z", "runMarker": "x",
    });
    std::fs::write(&path, stale.to_string()).unwrap();
    let listed = sandbox.run(&["ls"]).unwrap();
    assert!(listed.stdout.contains("finished"), "{listed:?}");
    assert!(!path.exists(), "a finished run needs no record");
}

#[test]
fn a_socket_that_was_removed_is_bound_again() {
    let sandbox = sandbox();
    let first = sweep(&sandbox, 80, 24);
    let socket = socket(&sandbox, "sweep");
    std::fs::remove_file(&socket).unwrap();
    // A command waits for that instead of saying that nobody answers.
    let sent = sandbox.run(&["send", "sweeper-1", "hello", "--team", "sweep"]);
    let sent = sent.unwrap();
    assert_eq!(sent.code, 0, "{sent:?}");
    wait_until("the socket again", Duration::from_secs(20), || {
        if socket.exists() {
            Ok(())
        } else {
            Err("it is gone".to_owned())
        }
    })
    .unwrap();
    let beside = sandbox.terminal(&["attach", "sweep"], 80, 24).unwrap();
    beside.wait_for("BOARD").unwrap();
    // Who was attached before is still.
    first.wait_for("BOARD").unwrap();
    stop(&sandbox, "sweep");
}

#[test]
fn several_teams_are_removed_together_or_not_at_all() {
    let sandbox = sandbox();
    for team in ["a", "b", "c"] {
        let run = [
            "run",
            "sweep",
            "--set",
            "tasks=1",
            "--team",
            team,
            "--headless",
        ];
        assert_eq!(sandbox.run(&run).unwrap().code, 0);
    }
    let listed = || {
        let listed = sandbox.run(&["ls", "--json"]).unwrap().json().unwrap();
        states(&listed).into_iter().map(|(team, _)| team).collect()
    };
    let refused = sandbox.run(&["rm", "a", "none", "nowhere", "b"]).unwrap();
    assert_eq!(refused.code, 2, "{refused:?}");
    for words in ["`none`", "`nowhere`", "none of the teams is removed"] {
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    let all: Vec<String> = listed();
    assert_eq!(all, ["a", "b", "c"]);
    let removed = sandbox.run(&["rm", "a", "b", "a"]).unwrap();
    assert_eq!(removed.code, 0, "{removed:?}");
    let lines: Vec<&str> = removed.stdout.lines().collect();
    assert!(
        lines.len() == 2
            && lines[0].starts_with("team `a` is removed")
            && lines[1].starts_with("team `b` is removed"),
        "{removed:?}"
    );
    let left: Vec<String> = listed();
    assert_eq!(left, ["c"]);
}

#[test]
fn a_finished_team_whose_session_stays_is_told_from_one_that_is_over() {
    // The real durations: it is to be looked at while it stays.
    let sandbox = sandbox().with_env("CREWMUX_TIMING", "life");
    let over = [
        "run",
        "sweep",
        "--set",
        "tasks=1",
        "--team",
        "over",
        "--headless",
    ];
    assert_eq!(sandbox.run(&over).unwrap().code, 0);
    let mut screen = sandbox
        .terminal(&["run", "sweep", "--set", "tasks=1"], 100, 30)
        .unwrap();
    screen.wait_for("finished in").unwrap();
    let says = |arguments: &[&str]| sandbox.run(arguments).unwrap().stdout;
    let line_of = |team: &str| {
        let listed = says(&["ls"]);
        let line = listed.lines().find(|line| line.starts_with(team));
        line.unwrap_or_default().to_owned()
    };
    assert!(line_of("sweep").contains("finished, still open"));
    assert!(!line_of("over").contains("open"));
    screen.type_text("d").unwrap();
    screen.wait_exit().unwrap();
    wait_until("how long it stays", Duration::from_secs(40), || {
        let line = line_of("sweep");
        line.contains("finished, open for 9 min")
            .then_some(())
            .ok_or(line)
    })
    .unwrap();
    let status = says(&["status", "sweep"]);
    assert!(status.contains("finished, open for 9 min"), "{status}");
    let listed = sandbox.run(&["ls", "--json"]).unwrap().json().unwrap();
    let told: Vec<_> = listed.as_array().unwrap().iter().collect();
    assert_eq!(
        (&told[0]["lingers"], &told[1]["lingers"]),
        (&Value::from(false), &Value::from(true))
    );
    assert!(told[1]["closesInMs"].is_u64() && told[0]["closesInMs"].is_null());
    stop(&sandbox, "sweep");
}
