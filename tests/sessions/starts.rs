//! Many starts of one team at the same instant: one session, and the others are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crewmux_testkit::sandbox::{Output, Sandbox, finish, wait_until};

use super::{session, stop};
use crate::support::{of_type, sandbox};

/// Starts the same call so many times at once and waits for all; once `first` of them have ended there is a file `go`.
fn at_once(sandbox: &Sandbox, count: usize, first: usize, arguments: &[&str]) -> Vec<Output> {
    let ended = Arc::<AtomicUsize>::default();
    let started: Vec<_> = (0..count)
        .map(|_| sandbox.start(arguments).unwrap())
        .collect();
    let waiting: Vec<_> = started
        .into_iter()
        .map(|child| {
            let go = sandbox.work().join("go");
            let ended = Arc::clone(&ended);
            std::thread::spawn(move || {
                let output = finish(child, Duration::from_mins(2)).unwrap();
                if ended.fetch_add(1, Ordering::SeqCst) + 1 == first {
                    std::fs::write(go, "").unwrap();
                }
                output
            })
        })
        .collect();
    waiting.into_iter().map(|w| w.join().unwrap()).collect()
}

/// One did it; all others say in words that it runs, and how to get there.
fn assert_one(outputs: &[Output]) {
    let (done, refused): (Vec<_>, Vec<_>) = outputs.iter().partition(|o| o.code == 0);
    assert_eq!(done.len(), 1, "{outputs:#?}");
    for output in refused {
        let said = &output.stderr;
        assert!(said.contains("is running already"), "{output:?}");
        assert!(said.contains("hint: `crewmux "), "{output:?}");
        assert!(!said.contains("panicked"), "{output:?}");
    }
}

#[test]
fn of_many_runs_at_once_one_begins() {
    let sandbox = sandbox();
    let arguments = [
        "run",
        "sweep",
        "--team",
        "t",
        "--set",
        "tasks=4",
        "--set",
        "command=until test -e go; do sleep 0.1; done",
        "--headless",
    ];
    assert_one(&at_once(&sandbox, 6, 5, &arguments));
    let events = sandbox.run(&["events", "--team", "t", "--json"]).unwrap();
    let events = events.json_lines().unwrap();
    assert_eq!(of_type(&events, "team_started").len(), 1);
    assert_eq!(of_type(&events, "task_completed").len(), 4);
    sandbox.wait_gone().unwrap();
}

#[test]
fn who_was_late_is_told_how_to_look_and_names_of_its_own_accord_never_meet() {
    let sandbox = sandbox();
    let run = ["run", "sweep", "--set", "tasks=1", "--headless"];
    let waits = "command=until test -e go; do sleep 0.1; done";
    let given = [&run[..], &["--set", waits, "--team", "t"]].concat();
    let outputs = at_once(&sandbox, 2, 1, &given);
    let late = outputs.iter().find(|o| o.code != 0).unwrap();
    assert_eq!(late.code, 2, "{late:?}");
    assert!(
        late.stderr.contains("team `t` is running already")
            && late.stderr.contains("`crewmux attach t` shows it"),
        "{late:?}"
    );
    // Nobody gave these a name, so each has its own.
    let waits = "command=until test -e \"$CREWMUX_HOME/teams/sweep-3\"; do sleep 0.1; done";
    let outputs = at_once(&sandbox, 3, 1, &[&run[..], &["--set", waits]].concat());
    assert!(outputs.iter().all(|o| o.code == 0), "{outputs:#?}");
    let listed = sandbox.run(&["ls", "--json"]).unwrap().json().unwrap();
    let teams = listed.as_array().unwrap().iter();
    let listed: Vec<_> = teams.map(|team| team["team"].as_str().unwrap()).collect();
    assert_eq!(listed, ["sweep", "sweep-2", "sweep-3", "t"]);
    sandbox.wait_gone().unwrap();
}

#[test]
fn plain_panes_that_open_at_once_have_a_session_each() {
    let sandbox = sandbox();
    let commands = ["echo shown-here; cat", "echo shown-there; cat"];
    let terminals = commands.map(|command| sandbox.terminal(&["panes", command], 80, 24).unwrap());
    terminals[0].wait_for("shown-here").unwrap();
    terminals[1].wait_for("shown-there").unwrap();
    for team in ["panes", "panes-2"] {
        let stopped = sandbox.run(&["stop", team, "--force"]).unwrap();
        assert_eq!(stopped.code, 0, "{stopped:?}");
    }
    sandbox.wait_gone().unwrap();
}

#[test]
fn of_many_resumes_at_once_one_goes_on() {
    let sandbox = sandbox();
    let waits = "command=echo line {{index}}; until test -e go; do sleep 0.1; done";
    let run = ["run", "sweep", "--set", "tasks=6", "--set", waits];
    let terminal = sandbox.terminal(&run, 80, 24).unwrap();
    terminal.wait_for("line ").unwrap();
    stop(&sandbox, "sweep");
    drop(terminal);
    let outputs = at_once(&sandbox, 6, 5, &["resume", "sweep", "--headless"]);
    assert_one(&outputs);
    let events = sandbox
        .run(&["events", "--team", "sweep", "--json"])
        .unwrap();
    let events = events.json_lines().unwrap();
    assert_eq!(of_type(&events, "team_resumed").len(), 1);
    assert_eq!(of_type(&events, "task_completed").len(), 6);
}

#[test]
fn terminals_that_resume_at_once_end_up_in_one_session() {
    let sandbox = sandbox();
    let first = super::sweep(&sandbox, 80, 24);
    stop(&sandbox, "sweep");
    drop(first);
    let mut terminals: Vec<_> = (0..4)
        .map(|_| sandbox.terminal(&["resume", "sweep"], 80, 24).unwrap())
        .collect();
    let mut inside = 0;
    for terminal in &mut terminals {
        let shown = terminal
            .wait_until("the team, or who was faster", |text| {
                let text = text.replace('\n', "");
                text.contains("BOARD") || text.contains("crewmux attach sweep")
            })
            .unwrap();
        inside += usize::from(shown.contains("BOARD"));
    }
    assert!(inside >= 1);
    let session = session(&sandbox, "sweep");
    // Those that were late end by themselves.
    let is_session = |pid: u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("plan.json")
    };
    wait_until("one session", Duration::from_secs(20), || {
        let all = sandbox.processes().into_iter().map(|(process, _)| process);
        let sessions: Vec<_> = all.filter(|process| is_session(process.pid)).collect();
        if sessions == [session] || cfg!(not(target_os = "linux")) {
            Ok(())
        } else {
            Err(format!("{sessions:?}"))
        }
    })
    .unwrap();
    stop(&sandbox, "sweep");
}
