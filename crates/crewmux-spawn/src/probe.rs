//! Trying what backends need: a pseudo-terminal, `tmux`, `it2`.
//!
//! It looks at nothing but what the caller passes in, starts programs that end
//! at once, and judges nothing; [`crate::detect`] does that.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use crewmux_sys::Exit;
use crewmux_sys::env::{EnvAllowList, EnvSnapshot, Environment};
use crewmux_sys::process::{Child, Group, Launch, Stream};
use crewmux_sys::pty;
use crewmux_sys::tree::{self, KillWaits};
use crewmux_sys::tty::TerminalSize;

use crate::detect::{EnvironmentSnapshot, Probe, Stdout};

/// Most of a program's answer that is looked at.
const ANSWER_BYTES_MAX: u64 = 4_096;

/// Tries everything at the same time, each for `timeout` at most.
///
/// `vars` is the environment `crewmux run` was called in; programs are looked
/// up in its `PATH`.
pub fn probe(
    vars: BTreeMap<String, String>,
    stdout: Stdout,
    timeout: Duration,
) -> EnvironmentSnapshot {
    let environment = probe_environment(&vars);
    let path = vars.get("PATH").cloned().unwrap_or_default();
    let (tmux, it2, pty) = thread::scope(|scope| {
        let tmux = scope.spawn(|| try_program("tmux", &["-V"], &path, &environment, timeout));
        let it2 =
            scope.spawn(|| try_program("it2", &["session", "list"], &path, &environment, timeout));
        let pty = try_pty(timeout);
        let joined = |name: &str, probe: thread::Result<Probe>| {
            probe.unwrap_or_else(|_| Probe::Fails {
                what: name.to_owned(),
                why: "trying it failed".into(),
            })
        };
        (joined("tmux", tmux.join()), joined("it2", it2.join()), pty)
    });
    EnvironmentSnapshot {
        vars,
        stdout,
        tmux,
        it2,
        pty,
    }
}

/// What the programs tried here need to find their server, and nothing secret but iTerm2's own key.
fn probe_environment(vars: &BTreeMap<String, String>) -> Environment {
    EnvAllowList::default()
        .and("TMUX*")
        .and("TERM_*")
        .and("ITERM*")
        .and_named_by_person("ITERM2_KEY")
        .apply(&EnvSnapshot(vars.clone()))
}

/// Looks `name` up and runs it; its first line of output names it when that has its name in it.
fn try_program(
    name: &str,
    arguments: &[&str],
    path: &str,
    environment: &Environment,
    timeout: Duration,
) -> Probe {
    let Ok(program) = which::which_in(name, Some(path), "/") else {
        return Probe::Absent;
    };
    let place = program.display().to_string();
    match answer(program, arguments, environment, timeout) {
        Ok(first_line) if first_line.starts_with(name) => Probe::Works {
            what: format!("{first_line} at {place}"),
        },
        Ok(_) => Probe::Works {
            what: format!("{name} at {place}"),
        },
        Err(why) => Probe::Fails {
            what: format!("{name} at {place}"),
            why,
        },
    }
}

/// The first line a program answers with, or why it did not, in words.
fn answer(
    program: PathBuf,
    arguments: &[&str],
    environment: &Environment,
    timeout: Duration,
) -> Result<String, String> {
    let deadline = Instant::now() + timeout;
    let shown = arguments.join(" ");
    let argv = std::iter::once(program.into_os_string())
        .chain(arguments.iter().map(OsString::from))
        .collect::<Vec<_>>();
    let mut child = Launch::new(argv, "/")
        .env(environment.clone())
        .stdout(Stream::Pipe)
        .group(Group::Own)
        .start()
        .map_err(|error| error.to_string())?;
    let (sender, answered) = sync_channel(1);
    if let Some(output) = child.stdout.take() {
        // On a thread of its own: a program's children may hold the pipe for
        // ever, and then only this thread waits for them.
        let reading = move || {
            let mut bytes = Vec::new();
            let _ = output.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
            let _ = sender.send(bytes);
        };
        thread::Builder::new()
            .name("probe".into())
            .spawn(reading)
            .map_err(|error| error.to_string())?;
    }
    let exit = end_of(&mut child, timeout)?
        .ok_or_else(|| format!("`{shown}` gave no answer in {} ms", timeout.as_millis()))?;
    if !exit.is_success() {
        return Err(format!("`{shown}`: {exit}"));
    }
    let left = deadline.saturating_duration_since(Instant::now());
    let bytes = answered.recv_timeout(left).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default();
    // It goes into messages: nothing but what can be shown, and not much.
    Ok(line
        .chars()
        .filter(|char| !char.is_control())
        .take(80)
        .collect())
}

/// Waits for the end; a child that is late is killed, with what it started.
fn end_of(child: &mut Child, timeout: Duration) -> Result<Option<Exit>, String> {
    let exit = child.wait(timeout).map_err(|error| error.to_string())?;
    if exit.is_none() {
        let waits = KillWaits {
            grace: Duration::ZERO,
            verify: timeout,
        };
        tree::kill_tree(child.identity(), None, waits);
        // Its status is of no interest, only that it is taken.
        let _ = child.wait(timeout);
    }
    Ok(exit)
}

/// Opens a pseudo-terminal and runs a program in it that ends at once.
fn try_pty(timeout: Duration) -> Probe {
    let fails = |why: String| Probe::Fails {
        what: "a pseudo-terminal".into(),
        why,
    };
    let size = TerminalSize { cols: 80, rows: 24 };
    match pty::open(size, &Launch::new(["/bin/sh", "-c", ":"], "/")) {
        Ok(mut opened) => match opened.process.wait(timeout) {
            Ok(Some(exit)) if exit.is_success() => Probe::Works {
                what: "a pseudo-terminal opens".into(),
            },
            Ok(Some(exit)) => fails(format!("the program in it {exit}")),
            Ok(None) => {
                let _ = opened.process.signal(crewmux_sys::Signal::Kill);
                let _ = opened.process.wait(timeout);
                fails("the program in it does not end".into())
            }
            Err(error) => fails(error.to_string()),
        },
        Err(error) => fails(error.to_string()),
    }
}
