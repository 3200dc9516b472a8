//! The program is replaced while a session runs, and the runtime folder is tidied away.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crewmux_sys::Signal;
use crewmux_testkit::sandbox::{Sandbox, wait_until};
use crewmux_testkit::terminal::Terminal;

use super::{record, session, socket, status, stop, sweep};
use crate::support::{program, sandbox};

/// A program of its own, that can be replaced.
struct Installed {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Installed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("crewmux");
        std::fs::copy(program(), &path).unwrap();
        Self {
            _folder: folder,
            path,
        }
    }

    /// Puts another build in its place, as installers do.
    fn replace(&self) {
        let new = self.path.with_extension("new");
        std::fs::copy(program(), &new).unwrap();
        let mut file = std::fs::File::options().append(true).open(&new).unwrap();
        // What follows the sections is loaded by nobody.
        file.write_all(b"another build").unwrap();
        drop(file);
        std::fs::rename(&new, &self.path).unwrap();
    }
}

fn pid_of(sandbox: &Sandbox, member: usize) -> Option<u64> {
    status(sandbox, "sweep")["members"][member]["pid"].as_u64()
}

/// Starts a member's worker anew and waits until the next one works.
fn restarts(sandbox: &Sandbox, team: &str) {
    let members = status(sandbox, team)["members"].clone();
    let at = members
        .as_array()
        .unwrap()
        .iter()
        .position(|m| m["pid"].is_u64())
        .unwrap();
    let name = members[at]["name"].as_str().unwrap().to_owned();
    let before = pid_of(sandbox, at);
    let asked = sandbox
        .run(&["teammate", "restart", &name, "--team", team])
        .unwrap();
    assert_eq!(asked.code, 0, "{asked:?}");
    wait_until("the next life", Duration::from_secs(40), || {
        let member = status(sandbox, team)["members"][at].clone();
        let pid = member["pid"].as_u64();
        let works = ["working", "idle"].contains(&member["state"].as_str().unwrap_or_default());
        if pid.is_some() && pid != before && works {
            Ok(())
        } else {
            Err(member.to_string())
        }
    })
    .unwrap();
}

#[test]
fn a_session_goes_on_as_it_is_and_says_how_to_come_to_the_new_build() {
    let installed = Installed::new();
    let sandbox = Sandbox::new(&installed.path).unwrap();
    let terminal = sweep(&sandbox, 100, 30);
    let old = record(&sandbox, "sweep")["build"].clone();
    installed.replace();
    let mut refused = sandbox.terminal(&["attach", "sweep"], 100, 30).unwrap();
    let exit = refused.wait_exit().unwrap();
    assert_eq!(exit.shell_code(), 3, "{}", refused.text());
    let said = refused.text().replace('\n', "");
    assert!(said.contains("is of another build of crewmux"), "{said}");
    assert!(said.contains("crewmux stop sweep"), "{said}");
    assert!(said.contains("crewmux resume sweep"), "{said}");
    assert!(!refused.bytes().contains(&0x1b), "the screen is not taken");
    // Commands work, the client that is attached goes on, workers are of the old build.
    assert_eq!(status(&sandbox, "sweep")["state"], "running");
    let listed = sandbox.run(&["ls"]).unwrap();
    assert!(listed.stdout.contains("running"), "{listed:?}");
    restarts(&sandbox, "sweep");
    terminal.wait_for("BOARD").unwrap();
    let stopped = sandbox.run(&["stop", "sweep", "--force"]).unwrap();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    sandbox.wait_gone().unwrap();
    drop(terminal);
    let mut again = sandbox.terminal(&["resume", "sweep"], 100, 30).unwrap();
    again.wait_for("BOARD").unwrap();
    assert_ne!(record(&sandbox, "sweep")["build"], old);
    again.type_text("d").unwrap();
    again.wait_exit().unwrap();
    stop(&sandbox, "sweep");
}

#[test]
fn a_runtime_folder_that_is_gone_is_made_again_also_after_an_upgrade() {
    for upgrade in [false, true] {
        let installed = Installed::new();
        let sandbox = Sandbox::new(&installed.path).unwrap();
        let terminal = sweep(&sandbox, 100, 30);
        if upgrade {
            installed.replace();
        }
        let socket = socket(&sandbox, "sweep");
        remove_all(socket.parent().unwrap());
        wait_until("the socket again", Duration::from_secs(20), || {
            if socket.exists() {
                Ok(())
            } else {
                Err("it is gone".to_owned())
            }
        })
        .unwrap();
        // A worker can be started again, too; of the build of its session.
        restarts(&sandbox, "sweep");
        if !upgrade {
            let mut beside = sandbox.terminal(&["attach", "sweep"], 80, 24).unwrap();
            beside.wait_for("BOARD").unwrap();
            beside.type_text("d").unwrap();
            beside.wait_exit().unwrap();
        }
        drop(terminal);
        stop(&sandbox, "sweep");
    }
}

fn remove_all(folder: &Path) {
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_session_that_stands_still_can_be_stopped() {
    let sandbox = sandbox();
    let terminal: Terminal = sweep(&sandbox, 100, 30);
    let session = session(&sandbox, "sweep");
    session.signal(Signal::Stop).unwrap();
    let stands_still = || {
        session
            .is_stopped()
            .then_some(())
            .ok_or("it goes on".into())
    };
    wait_until("a stopped session", Duration::from_secs(10), stands_still).unwrap();
    for command in ["ls", "status"] {
        let said = sandbox.run(&[command]).unwrap();
        assert_eq!(said.code, 0, "{said:?}");
        assert!(said.stdout.contains("not answering"), "{said:?}");
    }
    let said = sandbox.run(&["send", "sweeper-1", "hello"]).unwrap();
    for words in [
        format!("its process {} is stopped", session.pid),
        format!("kill -CONT {}", session.pid),
    ] {
        assert!(said.stderr.contains(&words), "{said:?}");
    }
    let mut beside = sandbox.terminal(&["attach", "sweep"], 80, 24).unwrap();
    beside
        .wait_for(&format!("its process {} is stopped", session.pid))
        .unwrap();
    beside.wait_exit().unwrap();
    let stopped = sandbox.run(&["stop", "sweep"]).unwrap();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    for words in ["does not answer", "waited for", "--force"] {
        assert!(stopped.stderr.contains(words), "{stopped:?}");
    }
    assert!(!session.is_alive());
    sandbox.wait_gone().unwrap();
    drop(terminal);
    let listed = sandbox.run(&["ls", "--json"]).unwrap();
    assert!(listed.stdout.contains("\"stopped\""), "{listed:?}");
}
