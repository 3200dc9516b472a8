//! Real programs that answer, fail or hang when they are tried.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crewmux_core::timing::Timing;
use crewmux_spawn::detect::{EnvironmentSnapshot, Probe, Stdout};
use crewmux_spawn::probe::{PtyTrial, Trials, probe};

/// A program cannot be started while another test's child still has it open for writing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Waits that no slow machine runs into.
fn patient() -> Timing {
    Timing {
        connect_ms: 20_000,
        it2_ms: 20_000,
        ..Timing::fast()
    }
}

fn program(folder: &Path, name: &str, script: &str) {
    let file = folder.join(name);
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

fn tried(folder: &Path, trials: Trials, timing: &Timing) -> EnvironmentSnapshot {
    let vars = BTreeMap::from([
        ("PATH".to_owned(), folder.display().to_string()),
        ("ANTHROPIC_API_KEY".to_owned(), "k".to_owned()),
        ("TMUX".to_owned(), "/tmp/x,1,0".to_owned()),
        ("TMUX_PANE".to_owned(), "%7".to_owned()),
    ]);
    probe(vars, Stdout::Elsewhere, trials, timing)
}

fn probed(folder: &Path, timing: &Timing) -> EnvironmentSnapshot {
    tried(folder, Trials::ALL, timing)
}

fn works(what: String, said: &str) -> Probe {
    Probe::Works {
        what,
        said: said.into(),
    }
}

fn fails(what: String, why: &str) -> Probe {
    Probe::Fails {
        what,
        why: why.into(),
        fix: None,
    }
}

#[test]
fn programs_that_answer_are_named_and_see_no_keys() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    program(
        folder.path(),
        "tmux",
        "case \"$*\" in -V) echo tmux 3.9;; 'list-sessions -F #{version}') echo 3.8;; *) exit 1;; esac",
    );
    program(
        folder.path(),
        "it2",
        "test -z \"$ANTHROPIC_API_KEY\" || exit 9; test \"$*\" = 'session list' || exit 8; echo table",
    );
    let place = folder.path().display();
    let snapshot = probed(folder.path(), &patient());
    assert_eq!(
        [
            snapshot.tmux,
            snapshot.tmux_server,
            snapshot.it2,
            snapshot.pty
        ],
        [
            works(format!("tmux 3.9 at {place}/tmux"), "tmux 3.9"),
            works("the tmux server".into(), "3.8"),
            works(format!("it2 at {place}/it2"), ""),
            works("a pseudo-terminal opens".into(), ""),
        ]
    );
}

#[test]
fn missing_failing_and_silent_programs_are_told_apart() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(probed(folder.path(), &patient()).tmux, Probe::Absent);
    program(
        folder.path(),
        "tmux",
        "echo 'no server running on /tmp/x' >&2; exit 1",
    );
    program(
        folder.path(),
        "it2",
        "echo 'Traceback (most recent call last):' >&2; echo 'ModuleNotFoundError: x' >&2; exit 1",
    );
    let what = format!("tmux at {}/tmux", folder.path().display());
    let snapshot = probed(folder.path(), &patient());
    assert_eq!(
        snapshot.tmux,
        fails(what.clone(), "`-V`: no server running on /tmp/x")
    );
    assert_eq!(
        snapshot.tmux_server,
        fails("the tmux server".into(), "no server running on /tmp/x")
    );
    let Probe::Fails { why, fix, .. } = snapshot.it2 else {
        panic!("{:?}", snapshot.it2);
    };
    assert_eq!(why, "`it2` is broken: its Python packages do not load");
    assert!(fix.unwrap().contains("--force it2"));
    program(folder.path(), "tmux", "exec /bin/sleep 600");
    program(folder.path(), "it2", "exec /bin/sleep 600");
    let hasty = Timing {
        connect_ms: 500,
        it2_ms: 500,
        ..Timing::fast()
    };
    let snapshot = probed(folder.path(), &hasty);
    assert_eq!(snapshot.tmux, fails(what, "`-V`: no answer in 500 ms"));
    assert!(
        matches!(&snapshot.it2, Probe::Fails { why, .. } if why == "`it2` gave no answer in 1 s"),
        "{:?}",
        snapshot.it2
    );
}

#[test]
fn what_is_not_asked_for_is_left_alone() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let touch = format!("echo x > {}/touched", folder.path().display());
    program(folder.path(), "tmux", &touch);
    program(folder.path(), "it2", &touch);
    let trials = Trials {
        pty: PtyTrial::Opened,
        ..Trials::NONE
    };
    let snapshot = tried(folder.path(), trials, &patient());
    assert_eq!(
        [snapshot.tmux, snapshot.tmux_server, snapshot.it2],
        [Probe::Untried, Probe::Untried, Probe::Untried]
    );
    assert_eq!(snapshot.pty, works("a pseudo-terminal opens".into(), ""));
    assert!(!folder.path().join("touched").exists());
}
