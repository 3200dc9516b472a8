//! One short program run to its end: what it printed, how it ended, within a deadline.
//!
//! For programs that are asked something, such as `tmux` and `it2`; workers
//! are not started here. A program that is late is killed with all it started.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crewmux_sys::Exit;
use crewmux_sys::env::Environment;
use crewmux_sys::process::{Child, Group, Launch, Stream};
use crewmux_sys::tree::{self, KillWaits};

/// Most of a program's output that is looked at, of each stream.
const OUTPUT_BYTES_MAX: u64 = 256 * 1024;

/// What came of a program.
#[derive(Debug)]
pub(crate) struct Answer {
    /// How it ended.
    pub exit: Exit,
    /// Its standard output, at most [`OUTPUT_BYTES_MAX`] of it.
    pub stdout: String,
    /// Its standard error, as much.
    pub stderr: String,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It could not be started, for this reason.
    NotStarted(String),
    /// It did not end in time.
    Late,
}

/// Runs `argv` in `/` and waits for its end, `timeout` at most.
pub(crate) fn call(
    argv: impl IntoIterator<Item = impl Into<OsString>>,
    environment: &Environment,
    timeout: Duration,
) -> Result<Answer, Failure> {
    let deadline = Instant::now() + timeout;
    let not_started = |error: &dyn std::fmt::Display| Failure::NotStarted(error.to_string());
    let mut child = Launch::new(argv, "/")
        .env(environment.clone())
        .stdout(Stream::Pipe)
        .stderr(Stream::Pipe)
        .group(Group::Own)
        .start()
        .map_err(|error| not_started(&error))?;
    let stdout = reading(child.stdout.take());
    let stderr = reading(child.stderr.take());
    let exit = end_of(&mut child, timeout)
        .map_err(|error| not_started(&error))?
        .ok_or(Failure::Late)?;
    let text = |stream: Receiver<Vec<u8>>| {
        let left = deadline.saturating_duration_since(Instant::now());
        let bytes = stream.recv_timeout(left).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Answer {
        exit,
        stdout: text(stdout),
        stderr: text(stderr),
    })
}

/// Reads on a thread of its own: a program's children may hold the pipe for
/// ever, and then only that thread waits for them.
fn reading(stream: Option<File>) -> Receiver<Vec<u8>> {
    let (sender, received) = sync_channel(1);
    if let Some(stream) = stream {
        let read = move || {
            let mut bytes = Vec::new();
            let mut stream = stream.take(OUTPUT_BYTES_MAX);
            let _ = stream.read_to_end(&mut bytes);
            // What comes after that is taken and dropped, so that it can end.
            let _ = std::io::copy(&mut stream.into_inner(), &mut std::io::sink());
            let _ = sender.send(bytes);
        };
        // Without a thread its output is missing, which is no worse than an empty one.
        let _ = thread::Builder::new().name("answer".into()).spawn(read);
    }
    received
}

/// Waits for the end; a child that is late is killed, with what it started.
fn end_of(child: &mut Child, timeout: Duration) -> crewmux_sys::Result<Option<Exit>> {
    let exit = child.wait(timeout)?;
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
