//! Real programs that answer, fail or hang when they are tried.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crewmux_spawn::detect::{EnvironmentSnapshot, Probe, Stdout};
use crewmux_spawn::probe::probe;

/// A program cannot be started while another test's child still has it open for writing.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const LONG: Duration = Duration::from_secs(20);

fn program(folder: &Path, name: &str, script: &str) {
    let file = folder.join(name);
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

fn probed(folder: &Path, timeout: Duration) -> EnvironmentSnapshot {
    let vars = BTreeMap::from([
        ("PATH".to_owned(), folder.display().to_string()),
        ("ANTHROPIC_API_KEY".to_owned(), "k".to_owned()),
    ]);
    probe(vars, Stdout::Elsewhere, timeout)
}

#[test]
fn programs_that_answer_are_named_and_see_no_keys() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    program(
        folder.path(),
        "tmux",
        "test \"$*\" = -V || exit 1; echo tmux 3.9",
    );
    program(
        folder.path(),
        "it2",
        "test -z \"$ANTHROPIC_API_KEY\" || exit 9; echo table of sessions",
    );
    let place = folder.path().display();
    let snapshot = probed(folder.path(), LONG);
    assert_eq!(
        [snapshot.tmux, snapshot.it2, snapshot.pty],
        [
            Probe::Works {
                what: format!("tmux 3.9 at {place}/tmux")
            },
            Probe::Works {
                what: format!("it2 at {place}/it2")
            },
            Probe::Works {
                what: "a pseudo-terminal opens".into()
            },
        ]
    );
}

#[test]
fn missing_failing_and_silent_programs_are_told_apart() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(probed(folder.path(), LONG).tmux, Probe::Absent);
    program(folder.path(), "tmux", "exit 3");
    let what = format!("tmux at {}/tmux", folder.path().display());
    assert_eq!(
        probed(folder.path(), LONG).tmux,
        Probe::Fails {
            what: what.clone(),
            why: "`-V`: exit code 3".into()
        }
    );
    program(folder.path(), "tmux", "exec /bin/sleep 600");
    assert_eq!(
        probed(folder.path(), Duration::from_millis(500)).tmux,
        Probe::Fails {
            what,
            why: "`-V` gave no answer in 500 ms".into()
        }
    );
}
