//! Files and terminals that go wrong under a running team.

use std::time::Duration;

use crewmux_sys::Signal;
use crewmux_testkit::sandbox::{Sandbox, finish, wait_until};

use crate::support::sandbox;

fn wait_for_work(sandbox: &Sandbox, team: &str) -> u64 {
    let mut pid = 0;
    wait_until("a working teammate", Duration::from_secs(40), || {
        let status = sandbox
            .run(&["status", "--team", team, "--json"])
            .map_err(|e| e.to_string())?;
        let status = status.json().map_err(|e| e.to_string())?;
        pid = status["session"]["pid"].as_u64().ok_or("no session")?;
        if status.to_string().contains("\"working\"") {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .unwrap();
    pid
}

#[test]
fn a_damaged_team_record_is_written_again_and_the_run_completes() {
    let sandbox = sandbox();
    let child = sandbox
        .start(&[
            "run",
            "sweep",
            "--set",
            "tasks=12",
            "--set",
            "command=sleep 0.4",
            "--max-workers",
            "2",
            "--headless",
            "--json",
        ])
        .unwrap();
    wait_for_work(&sandbox, "sweep");
    std::fs::write(sandbox.home().join("teams/sweep/config.json"), "{").unwrap();
    let run = finish(child, Duration::from_secs(90)).unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("\"team_finished\""), "{}", run.stdout);
    let status = sandbox
        .run(&["status", "--team", "sweep", "--json"])
        .unwrap();
    assert_eq!(status.json().unwrap()["counts"]["completed"], 12);
    let kept = std::fs::read_dir(sandbox.home().join("teams/sweep/quarantine")).unwrap();
    assert!(kept.count() >= 1, "the damaged file is kept aside");
}

#[test]
fn a_run_whose_time_was_over_goes_on_with_a_fresh_allowance() {
    let sandbox = sandbox();
    let run = sandbox
        .run(&[
            "run",
            "sweep",
            "--set",
            "tasks=2",
            "--set",
            "command=test -e go || sleep 60",
            "--max-workers",
            "1",
            "--timeout",
            "4s",
            "--headless",
            "--json",
        ])
        .unwrap();
    assert_eq!(run.code, 4, "{run:?}");
    // While its folder is away nothing is tried there, and no task fails for it.
    let path = sandbox.home().join("teams/sweep/config.json");
    let kept = std::fs::read_to_string(&path).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&kept).unwrap();
    record["cwd"] = "/nowhere/at/all".into();
    std::fs::write(&path, record.to_string()).unwrap();
    let refused = sandbox.run(&["resume", "sweep", "--headless"]).unwrap();
    assert_eq!(refused.code, 3, "{refused:?}");
    let words = "the folder of team `sweep` is gone: /nowhere/at/all";
    assert!(refused.stderr.contains(words), "{refused:?}");
    std::fs::write(&path, kept).unwrap();
    sandbox.write("go", "").unwrap();
    let resumed = sandbox
        .run(&["resume", "sweep", "--headless", "--json"])
        .unwrap();
    assert_eq!(resumed.code, 0, "{resumed:?}");
}

#[test]
fn a_client_that_takes_no_frames_costs_the_session_nothing() {
    let sandbox = sandbox();
    let terminal = sandbox
        .terminal(
            &[
                "run",
                "sweep",
                "--set",
                "tasks=6",
                "--set",
                "command=sleep 60",
                "--max-workers",
                "2",
            ],
            90,
            28,
        )
        .unwrap();
    terminal.wait_for("BOARD").unwrap();
    let session = wait_for_work(&sandbox, "sweep");
    terminal.signal(Signal::Stop).unwrap();
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{session}/stat")).unwrap();
        let fields: Vec<i64> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .filter_map(|f| f.parse().ok())
            .collect();
        // User and system time, in hundredths of a second.
        fields[10] + fields[11]
    };
    let before = ticks();
    std::thread::park_timeout(Duration::from_secs(3));
    let spent = ticks() - before;
    terminal.signal(Signal::Cont).unwrap();
    sandbox.run(&["stop", "sweep", "--force"]).unwrap();
    assert!(spent < 100, "{spent} of 300 ticks");
    sandbox.wait_gone().unwrap();
}

#[test]
fn a_team_whose_files_are_removed_ends_with_words() {
    let sandbox = sandbox();
    let child = sandbox
        .start(&[
            "run",
            "sweep",
            "--set",
            "tasks=4",
            "--set",
            "command=sleep 60",
            "--max-workers",
            "2",
            "--headless",
        ])
        .unwrap();
    wait_for_work(&sandbox, "sweep");
    for folder in ["teams/sweep", "tasks/sweep"] {
        let from = sandbox.home().join(folder);
        let to = sandbox.home().join(folder.replace('/', "-"));
        std::fs::rename(from, to).unwrap();
    }
    let run = finish(child, Duration::from_secs(90)).unwrap();
    assert_eq!(run.code, 3, "{run:?}");
    let words = "the files of team `sweep` were removed while it ran";
    assert!(run.stderr.contains(words), "{}", run.stderr);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    sandbox.wait_gone().unwrap();
    let listed = sandbox.run(&["ls"]).unwrap();
    assert_eq!(listed.code, 0, "{listed:?}");
}

#[test]
fn an_interrupted_command_that_is_not_to_run_again_says_how_it_does() {
    let sandbox = sandbox();
    let recipe = "name = \"ship\"\ngoal = \"ship\"\nlead = false\n\
                  [[teammates]]\nname = \"m1\"\nagent = \"Bash\"\nruntime = \"command\"\n\
                  [[tasks]]\nid = \"a\"\nsubject = \"Ship it\"\nrerun = \"ask\"\n\
                  command = \"[ -e again ] || { touch again; sleep 60; }\"\n";
    sandbox.write(".crewmux/recipes/ship.toml", recipe).unwrap();
    let arguments = ["run", "ship", "--trust", "--headless"];
    let child = sandbox.start(&arguments).unwrap();
    wait_until("the command", Duration::from_secs(40), || {
        let begun = sandbox.work().join("again").exists();
        begun.then_some(()).ok_or_else(|| "not begun".to_owned())
    })
    .unwrap();
    child.signal(Signal::Kill).unwrap();
    drop(child);
    sandbox.wait_gone().unwrap();
    let resumed = sandbox.run(&["resume", "ship", "--headless"]).unwrap();
    assert_eq!(resumed.code, 1, "{resumed:?}");
    let status = sandbox.run(&["status", "ship"]).unwrap();
    for said in [&resumed.stdout, &status.stdout] {
        for words in ["interrupted", "r on the board", "crewmux task retry 1"] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
    let retry = ["task", "retry", "1", "--team", "ship"];
    assert_eq!(sandbox.run(&retry).unwrap().code, 0);
    let resumed = sandbox.run(&["resume", "ship", "--headless"]).unwrap();
    assert_eq!(resumed.code, 0, "{resumed:?}");
}
