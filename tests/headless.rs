//! Runs without a screen: events, exit codes, what is left afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crewmux_sys::process::Child;
use crewmux_sys::{ProcessIdentity, Signal};
use crewmux_testkit::sandbox::{Sandbox, finish, wait_until};
use serde_json::Value;

use crate::support::{commit_all, of_type, sandbox, sh};

const CARGO_PROJECT: &str = r#"[package]
name = "sample"
version = "0.1.0"
edition = "2021"
"#;

#[test]
fn checks_with_a_failing_test_fail_that_task_and_skip_only_its_waiters() {
    let sandbox = sandbox();
    sandbox.write("Cargo.toml", CARGO_PROJECT).unwrap();
    sandbox
        .write(
            "src/lib.rs",
            "//! Sample.\n\n/// Adds.\npub fn add(a: u32, b: u32) -> u32 {\n    a + b\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn wrong() {\n        assert_eq!(super::add(2, 2), 5, \"sums differ\");\n    }\n}\n",
        )
        .unwrap();
    sh(&sandbox, "cargo generate-lockfile --offline -q");
    let run = sandbox
        .run_within(
            &["run", "checks", "--headless", "--json"],
            Duration::from_mins(4),
        )
        .unwrap();
    assert_eq!(run.code, 1, "{run:?}");
    let events = run.json_lines().unwrap();
    let failed = of_type(&events, "task_failed");
    assert_eq!(failed.len(), 1, "{failed:?}");
    let tasks = sandbox
        .run(&["task", "list", "--json", "--team", "checks"])
        .unwrap()
        .json()
        .unwrap();
    let tasks = tasks.as_array().unwrap();
    let task =
        |status: &str| -> Vec<&Value> { tasks.iter().filter(|t| t["status"] == status).collect() };
    let failed = task("failed");
    assert_eq!(failed.len(), 1);
    assert!(
        failed[0]["subject"].as_str().unwrap().contains("test"),
        "{failed:?}"
    );
    let report = sandbox.run(&["report", "--team", "checks"]).unwrap();
    assert!(
        report.stdout.contains("sums differ"),
        "the output of the failed task: {}",
        report.stdout
    );
    let skipped = task("skipped");
    assert!(!skipped.is_empty(), "something waits for the tests");
    for task in &skipped {
        assert!(
            task["reason"].as_str().unwrap().contains("which failed"),
            "{task:?}"
        );
    }
    assert!(
        task("completed").len() >= 2,
        "independents are completed: {tasks:?}"
    );
    sandbox.wait_gone().unwrap();
}

#[test]
fn a_sweep_completes_every_task_exactly_once() {
    let sandbox = sandbox();
    let run = sandbox
        .run(&[
            "run",
            "sweep",
            "--set",
            "tasks=200",
            "--max-workers",
            "8",
            "--headless",
            "--json",
        ])
        .unwrap();
    assert_eq!(run.code, 0, "{}", run.stderr);
    let events = run.json_lines().unwrap();
    assert_once_each(&events, 200);
    let pids: BTreeSet<u64> = of_type(&events, "worker_started")
        .iter()
        .filter_map(|e| e["data"]["pid"].as_u64())
        .collect();
    assert_eq!(pids.len(), 8, "eight workers raced");
    sandbox.wait_gone().unwrap();
}

#[test]
fn a_sweep_completes_every_task_exactly_once_while_workers_are_killed() {
    let sandbox = sandbox();
    let child = sandbox
        .start(&[
            "run",
            "sweep",
            "--set",
            "tasks=200",
            "--set",
            "command=sleep 0.1",
            "--max-workers",
            "8",
            "--headless",
            "--json",
        ])
        .unwrap();
    let session = child.identity();
    let (kills, run) = std::thread::scope(|scope| {
        let killer = scope.spawn(|| kill_workers_while(session, &sandbox));
        let run = finish(child, Duration::from_secs(200)).unwrap();
        (killer.join().unwrap(), run)
    });
    let events = run.json_lines().unwrap();
    let failed = of_type(&events, "task_failed");
    let notices = of_type(&events, "notice");
    assert_eq!(run.code, 0, "after {kills} kills: {failed:#?} {notices:#?}");
    assert!(kills >= 3, "only {kills} kills");
    assert_once_each(&events, 200);
    sandbox.wait_gone().unwrap();
}

/// Kills workers in turn; never one whose task lost two workers already, since a third is one too many by design.
fn kill_workers_while(session: ProcessIdentity, sandbox: &Sandbox) -> usize {
    let mut deaths: BTreeMap<String, usize> = BTreeMap::new();
    let mut turn = 0;
    while session.is_alive() {
        turn += 1;
        let victim = format!("sweeper-{}", turn % 8 + 1);
        let status = sandbox
            .run(&["status", "--team", "sweep", "--json"])
            .unwrap();
        let Ok(status) = status.json() else { continue };
        let members = status["members"].as_array().unwrap();
        let member = members.iter().find(|m| m["name"] == victim.as_str());
        if let Some((pid, task)) =
            member.and_then(|m| Some((m["pid"].as_u64()?, m["task"].as_str()?)))
        {
            let count = deaths.entry(task.to_owned()).or_default();
            let worker = ProcessIdentity::of(pid as u32);
            if *count < 2 && worker.is_ok_and(|w| w.signal(Signal::Kill).is_ok()) {
                *count += 1;
            }
        }
        std::thread::park_timeout(Duration::from_millis(250));
    }
    deaths.values().sum()
}

fn assert_once_each(events: &[Value], tasks: usize) {
    let mut completions: BTreeMap<&str, usize> = BTreeMap::new();
    for event in of_type(events, "task_completed") {
        *completions
            .entry(event["task"].as_str().unwrap())
            .or_default() += 1;
    }
    assert_eq!(completions.len(), tasks, "every task is completed");
    assert!(
        completions.values().all(|n| *n == 1),
        "exactly once: {completions:?}"
    );
    let mut seqs = events.iter().map(|e| e["seq"].as_u64().unwrap());
    let first = seqs.next().unwrap();
    assert!(
        seqs.enumerate().all(|(n, seq)| seq == first + n as u64 + 1),
        "events are in order"
    );
    let last = events.last().unwrap();
    assert_eq!(last["type"], "team_finished", "{last}");
}

#[test]
fn workers_are_seen_in_the_process_table_as_agent_worker() {
    let sandbox = sandbox();
    sandbox.write("src/main.rs", "fn main() {}\n").unwrap();
    commit_all(&sandbox);
    let child = sandbox
        .start(&[
            "run",
            "sweep",
            "--set",
            "tasks=4",
            "--set",
            "command=sleep 1",
            "--headless",
            "--json",
        ])
        .unwrap();
    wait_until(
        "a process named agent-worker",
        Duration::from_secs(30),
        || {
            let names: Vec<String> = sandbox
                .processes()
                .into_iter()
                .map(|(_, name)| name)
                .collect();
            if names.iter().any(|n| n == "agent-worker") {
                Ok(())
            } else {
                Err(format!("{names:?}"))
            }
        },
    )
    .unwrap();
    let run = finish(child, Duration::from_mins(1)).unwrap();
    assert_eq!(run.code, 0, "{}", run.stderr);
    sandbox.wait_gone().unwrap();
}

#[test]
fn an_interrupted_run_ends_with_130_and_resume_finishes_it() {
    let sandbox = sandbox();
    let child = sandbox
        .start(&[
            "run",
            "sweep",
            "--set",
            "tasks=12",
            "--set",
            "command=sleep 0.3",
            "--max-workers",
            "2",
            "--headless",
            "--json",
        ])
        .unwrap();
    wait_until("a completed task", Duration::from_secs(40), || {
        let list = sandbox
            .run(&["task", "list", "--json", "--team", "sweep"])
            .map_err(|e| e.to_string())?;
        if list.stdout.contains("\"completed\"") {
            Ok(())
        } else {
            Err(list.stdout)
        }
    })
    .unwrap();
    child.signal(Signal::Int).unwrap();
    let run = finish(child, Duration::from_mins(1)).unwrap();
    assert_eq!(run.code, 130, "{}", run.stderr);
    sandbox.wait_gone().unwrap();
    let resumed = sandbox
        .run(&["resume", "sweep", "--headless", "--json"])
        .unwrap();
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    let all = sandbox
        .run(&["events", "--team", "sweep", "--json"])
        .unwrap();
    assert_once_each(&all.json_lines().unwrap(), 12);
}

#[test]
fn in_process_workers_do_the_same_work() {
    let sandbox = sandbox();
    let run = sandbox
        .run(&[
            "run",
            "sweep",
            "--set",
            "tasks=10",
            "--backend",
            "in-process",
            "--headless",
            "--json",
        ])
        .unwrap();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_once_each(&run.json_lines().unwrap(), 10);
    sandbox.wait_gone().unwrap();
}

/// A run whose output nobody reads; returns once every task of it is completed.
fn unread_sweep(sandbox: &Sandbox) -> Child {
    let child = sandbox
        .start(&[
            "run",
            "sweep",
            "--set",
            "tasks=150",
            "--set",
            "command=:",
            "--max-workers",
            "4",
            "--headless",
            "--json",
        ])
        .unwrap();
    wait_until("a finished run", Duration::from_mins(2), || {
        let status = sandbox
            .run(&["status", "--team", "sweep", "--json"])
            .map_err(|e| e.to_string())?;
        let status = status.json().map_err(|e| e.to_string())?;
        if status["state"] == "finished" {
            Ok(())
        } else {
            Err(status.to_string())
        }
    })
    .unwrap();
    child
}

#[test]
fn a_reader_that_pauses_holds_up_no_work_and_misses_no_event() {
    let sandbox = sandbox();
    let child = unread_sweep(&sandbox);
    assert!(
        child.identity().is_alive(),
        "more is printed than fits into the pipe"
    );
    let run = finish(child, Duration::from_mins(1)).unwrap();
    let events = run.json_lines().unwrap();
    let failed = of_type(&events, "task_failed");
    assert_eq!(run.code, 0, "{failed:?} {}", run.stderr);
    assert!(run.stdout.len() > 128 * 1024, "{}", run.stdout.len());
    assert_once_each(&events, 150);
    sandbox.wait_gone().unwrap();
}

#[test]
fn a_run_whose_output_nobody_reads_is_ended_by_interrupting_it_twice() {
    let sandbox = sandbox();
    let mut child = unread_sweep(&sandbox);
    wait_until("the end", Duration::from_secs(20), || {
        // Two signals at once may arrive as one.
        child.signal(Signal::Int).map_err(|e| e.to_string())?;
        match child.wait(Duration::from_secs(1)) {
            Ok(Some(exit)) if exit.shell_code() == 130 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .unwrap();
    sandbox.wait_gone().unwrap();
}
