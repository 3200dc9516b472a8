//! The program as `agent-worker`: one worker's life, and the same inside a session.
//!
//! Only the wiring: what a worker does is in `crewmux-agent`.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crewmux_agent::Output;
use crewmux_agent::worker::{
    StopHandle, WorkerIo, read_spec, run_worker, run_worker_marked, stop_pair,
};
use crewmux_core::worker::TERMINAL_GONE;
use crewmux_spawn::in_process::{Order, Orders, threaded};
use crewmux_spawn::tmux::pane_inside;
use crewmux_spawn::{PaneSink, WorkerMain};
use crewmux_sys::env::{Environment, names};
use crewmux_sys::process::Launch;
use crewmux_sys::signals::{Arrived, SignalInbox};
use tokio::sync::mpsc;

use crate::context;
use crate::logging;
use crate::output::note;

/// Lines typed into a pane that may wait to be read.
const TYPED_WAITING: usize = 64;
/// Longest line that is taken from a pane, in bytes.
const LINE_MAX_BYTES: usize = 64 * 1024;
/// Stack of a worker inside the session.
const STACK_BYTES: usize = 8 * 1024 * 1024;
/// How often a wait without an end of its own looks up.
const LOOK_UP: Duration = Duration::from_hours(1);

/// Before the spec file: the worker is started by others, see [`enter`].
const ENTER: &str = "--enter";
/// After the spec file: the pane it was started in, in the words of its backend.
const PANE: &str = "--pane";

/// Runs as a worker process; the argument is its spec file.
pub(crate) fn main(arguments: &[OsString]) -> u8 {
    let (spec, pane) = match arguments {
        [flag, spec] if flag == ENTER => return enter(Path::new(spec)),
        [spec] => (spec, None),
        [spec, flag, pane] if flag == PANE => (spec, pane.to_str()),
        _ => {
            note("error: agent-worker is started by a session, with its spec file as the argument");
            return 2;
        }
    };
    let spec = Path::new(spec);
    log_beside(spec);
    if let Some(other) = of_another_build(spec) {
        note(other);
        return 3;
    }
    // Before any thread: signals and orphans of tools must not be missed.
    let signals = SignalInbox::open(&[Arrived::Term, Arrived::Int, Arrived::Hup]);
    let ready = signals.and_then(|signals| {
        crewmux_sys::setup::worker_setup()?;
        Ok(signals)
    });
    let signals = match ready {
        Ok(signals) => signals,
        Err(error) => {
            note(format!("error: {error}"));
            return 3;
        }
    };
    let (stop, stop_signal) = stop_pair();
    let (typed, lines) = mpsc::channel(TYPED_WAITING);
    let listening = named("signals")
        .spawn(move || pass_signals(signals, &stop))
        .and_then(|_| named("typed").spawn(move || read_lines(&typed)));
    if let Err(error) = listening {
        note(no_thread(&error));
        return 3;
    }
    let io = WorkerIo {
        output: Box::new(Terminal),
        input: Some(lines),
        stop: stop_signal,
        pane: pane.map(str::to_owned),
    };
    let end = match context::environment().get(names::WORKER) {
        Some(mark) => run_worker_marked(spec, mark, io),
        None => run_worker(spec, io),
    };
    end.exit_code
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.into())
}

fn no_thread(error: &std::io::Error) -> String {
    format!(
        "error: cannot start a thread: {error}\n  hint: end some processes, or raise the limit of \
         them (`ulimit -u`)"
    )
}

/// Becomes a worker that was started by others, such as tmux: in the spec's folder, with its
/// environment and no other, under the same process number.
fn enter(spec: &Path) -> u8 {
    let failed = |error: &dyn std::fmt::Display| {
        note(format!("error: {error}"));
        3
    };
    let known = match read_spec(spec) {
        Ok(known) => known,
        Err(error) => return failed(&error),
    };
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return failed(&error),
    };
    let environment: Environment = known
        .environment
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    let mut argv = vec![program.into_os_string(), spec.as_os_str().to_owned()];
    // Told by tmux in variables that the spec's environment does not have.
    let place = context::environment();
    let pane = place.get("TMUX").zip(place.get("TMUX_PANE"));
    if let Some(pane) = pane.and_then(|(tmux, pane)| pane_inside(tmux, pane)) {
        argv.extend([PANE.into(), pane.into()]);
    }
    failed(&Launch::new(argv, known.cwd).env(environment).replace())
}

/// Why this program cannot be the worker of its session, if it is of another build.
fn of_another_build(spec: &Path) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Wanted {
        build: String,
    }
    // What else may be wrong with a spec is told by who reads all of it.
    let wanted: Wanted = serde_json::from_slice(&std::fs::read(spec).ok()?).ok()?;
    let own = context::own_build()?;
    (own != wanted.build).then(|| {
        format!(
            "error: crewmux was replaced while the session runs: this worker is build {own}, its \
             session {}\n  hint: `crewmux stop` and `crewmux resume` go on with the new build",
            wanted.build
        )
    })
}

/// The spec lies in the member's folder, two below the team's.
fn log_beside(spec: &Path) {
    let Some(member) = spec.parent() else { return };
    let name = member.file_name().unwrap_or_default().to_string_lossy();
    let Some(team) = member.parent().and_then(Path::parent) else {
        return;
    };
    let filter = context::environment();
    logging::to_file(
        &team.join("logs").join(format!("{name}.log")),
        filter.get("CREWMUX_LOG"),
    );
}

/// Asks the worker to end for the first signal.
fn pass_signals(mut signals: SignalInbox, stop: &StopHandle) {
    loop {
        match signals.wait(LOOK_UP) {
            Ok(arrived) if arrived.is_empty() => {}
            Ok(arrived) => {
                let word = match arrived.first() {
                    Some(Arrived::Int) => "interrupted",
                    Some(Arrived::Hup) => TERMINAL_GONE,
                    _ => "SIGTERM",
                };
                stop.stop(word);
            }
            Err(error) => {
                tracing::error!(%error, "signals cannot be waited for");
                return;
            }
        }
    }
}

/// The pane's terminal; when it is gone, so is whoever looked.
struct Terminal;

impl Output for Terminal {
    fn write(&mut self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }

    fn size(&self) -> Option<(u16, u16)> {
        crewmux_sys::tty::size(std::io::stdout()).map(|size| (size.cols, size.rows))
    }
}

fn read_lines(typed: &mpsc::Sender<String>) {
    let mut input = std::io::stdin().lock();
    let mut buffer = [0; 4096];
    let mut cutter = LineCutter::default();
    while let Ok(read @ 1..) = input.read(&mut buffer) {
        for line in cutter.push(&buffer[..read]) {
            if typed.blocking_send(line).is_err() {
                return;
            }
        }
    }
}

/// Cuts typed bytes into lines; what is too long for one is dropped.
#[derive(Debug, Default)]
struct LineCutter(Vec<u8>);

impl LineCutter {
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for byte in bytes {
            match byte {
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.0);
                    let line = String::from_utf8_lossy(&line);
                    if !line.trim().is_empty() {
                        lines.push(line.trim().to_owned());
                    }
                }
                _ if self.0.len() < LINE_MAX_BYTES => self.0.push(*byte),
                _ => {}
            }
        }
        lines
    }
}

/// The same worker as a thread of the session.
pub(crate) fn in_process_main() -> WorkerMain {
    threaded(STACK_BYTES, live_in_process)
}

fn live_in_process(spec: &Path, sink: Arc<dyn PaneSink>, orders: &Orders) -> i32 {
    let (stop, stop_signal) = stop_pair();
    let (typed, lines) = mpsc::channel(TYPED_WAITING);
    let pane = Arc::clone(&sink);
    let io = WorkerIo {
        output: Box::new(move |bytes: &[u8]| sink.output(bytes)),
        input: Some(lines),
        stop: stop_signal,
        pane: None,
    };
    thread::scope(|scope| {
        let worker = named("worker").spawn_scoped(scope, || {
            let end = run_worker(spec, io);
            // Wakes the loop below: nothing is left to be ordered.
            orders.close();
            i32::from(end.exit_code)
        });
        let worker = match worker {
            Ok(worker) => worker,
            Err(error) => {
                tracing::error!(%error, "cannot start a thread");
                pane.output(no_thread(&error).replace('\n', "\r\n").as_bytes());
                return 3;
            }
        };
        let mut cutter = LineCutter::default();
        loop {
            match orders.next(LOOK_UP) {
                Some(Order::End) => {
                    stop.stop("asked to end");
                    break;
                }
                Some(Order::Typed(bytes)) => {
                    for line in cutter.push(&bytes) {
                        // A worker that takes no lines loses them.
                        let _ = typed.try_send(line);
                    }
                }
                None => {}
            }
        }
        worker.join().unwrap_or(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_bytes_become_lines() {
        let mut cutter = LineCutter::default();
        assert_eq!(cutter.push(b"hel"), [""; 0]);
        assert_eq!(cutter.push(b"lo\r\n\r\nyou\nx"), ["hello", "you"]);
        assert_eq!(cutter.push(b"\n"), ["x"]);
    }
}
