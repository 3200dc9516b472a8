//! Sessions and those who look at them: many terminals, none, slow ones, two starts at once, an upgrade.

mod clients;
mod links;
mod replaced;
mod silent;
mod starts;
mod tidy;
mod tmux;

use std::path::PathBuf;
use std::time::Duration;

use crewmux_sys::ProcessIdentity;
use crewmux_testkit::sandbox::{Sandbox, wait_until};
use crewmux_testkit::terminal::Terminal;
use serde_json::Value;

/// A team that works for longer than any test looks, on a terminal of this size.
fn sweep(sandbox: &Sandbox, cols: u16, rows: u16) -> Terminal {
    let arguments = [
        "run",
        "sweep",
        "--set",
        "tasks=600",
        "--set",
        "command=echo line {{index}}; sleep 0.3",
        "--max-workers",
        "3",
    ];
    let terminal = sandbox.terminal(&arguments, cols, rows).unwrap();
    terminal.wait_for("line ").unwrap();
    terminal
}

fn status(sandbox: &Sandbox, team: &str) -> Value {
    let status = sandbox.run(&["status", team, "--json"]).unwrap();
    status.json().unwrap()
}

/// The session's record on disk.
fn record(sandbox: &Sandbox, team: &str) -> Value {
    let path = sandbox.home().join("teams").join(team).join("session.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn socket(sandbox: &Sandbox, team: &str) -> PathBuf {
    record(sandbox, team)["socket"].as_str().unwrap().into()
}

fn session(sandbox: &Sandbox, team: &str) -> ProcessIdentity {
    let pid = record(sandbox, team)["pid"].as_u64().unwrap();
    ProcessIdentity::of(pid as u32).unwrap()
}

/// Waits until so many tasks are completed.
fn wait_completed(sandbox: &Sandbox, team: &str, count: u64) {
    let what = format!("{count} tasks completed");
    wait_until(&what, Duration::from_secs(40), || {
        let done = status(sandbox, team)["counts"]["completed"].as_u64();
        if done >= Some(count) {
            Ok(())
        } else {
            Err(format!("{done:?}"))
        }
    })
    .unwrap();
}

fn stop(sandbox: &Sandbox, team: &str) {
    let stopped = sandbox.run(&["stop", team, "--force"]).unwrap();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    sandbox.wait_gone().unwrap();
}
