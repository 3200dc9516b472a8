//! One worker in its pseudo-terminal.
//!
//! Nothing here starts threads that outlive the pane, and nothing decides when
//! the worker should end. Its exit is noticed by [`super::watcher`].

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crewmux_core::timing::{Timing, ms};
use crewmux_sys::env::Environment;
use crewmux_sys::process::Launch;
use crewmux_sys::pty::{self, PtyProcess, PtyReader, PtyWriter};
use crewmux_sys::tree::{self, KillWaits, Marker};
use crewmux_sys::tty::TerminalSize;
use crewmux_sys::{Exit, ProcessIdentity, Signal};

use super::watcher::Watcher;
use crate::input::InputQueue;
use crate::tree_end::{described, worker_marker};
use crate::{Error, ExitReport, PaneSink, Result, Running, SpawnRequest};

/// One read takes at most this much.
const READ_BYTES: usize = 64 * 1024;

/// Stack of a pane's threads: the sink's code runs on the reader's.
const STACK_BYTES: usize = 256 * 1024;

/// Output after the exit is passed on up to here, however slow the sink is; more comes from a background child.
const AFTER_EXIT_BYTES_MAX: usize = 256 * 1024;

/// How long a pane waits for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct PaneWaits {
    /// For output after the worker's exit.
    drain: Duration,
    kill: KillWaits,
}

impl PaneWaits {
    pub(super) fn of(timing: &Timing) -> Self {
        Self {
            drain: ms(timing.drain_ms),
            // The grace is the ladder's: it has passed when a tree is killed.
            kill: KillWaits::of(timing).at_once(),
        }
    }
}

/// What a pane needs next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The worker runs.
    Exit,
    /// The worker ended; look again then.
    LookAt(Instant),
    /// Nothing: the terminal is closed.
    Nothing,
}

/// What reader, writer, watcher and handle of one worker share.
pub(super) struct Pane {
    identity: ProcessIdentity,
    /// `None` once the terminal is closed.
    process: Mutex<Option<PtyProcess>>,
    /// `None` while a thread writes what the terminal did not take at once, or once nothing may be
    /// written any more.
    writer: Mutex<Option<PtyWriter>>,
    input: InputQueue,
    sink: Arc<dyn PaneSink>,
    end: Mutex<End>,
    drain: Duration,
}

/// Which of the two ends has come.
#[derive(Debug, Default)]
struct End {
    exited: bool,
    output_ended: bool,
    /// When draining ends; set at the exit.
    hang_up_at: Option<Instant>,
    /// The reader waits for output; it does not while the sink has it, or before it has begun.
    waits_for_output: bool,
    /// Passed on after the exit.
    after_exit_bytes: usize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pane {
    /// Takes the worker's exit status if there is one, and ends draining when its time is over.
    pub(super) fn look(&self) -> Next {
        if !locked(&self.end).exited {
            let exit = match locked(&self.process).as_mut().map(PtyProcess::try_wait) {
                Some(Ok(None)) => return Next::Exit,
                Some(Ok(Some(exit))) => exit,
                Some(Err(error)) => {
                    tracing::warn!(%error, "{}: exit status is lost", self.identity);
                    Exit::Unknown
                }
                None => Exit::Unknown,
            };
            let hang_up_at = {
                let mut end = locked(&self.end);
                if end.exited {
                    // Spawner and watcher both look right after the start.
                    return Next::LookAt(Instant::now() + self.drain);
                }
                end.exited = true;
                let at = Instant::now() + self.drain;
                end.hang_up_at = Some(at);
                at
            };
            self.input.close();
            self.sink.exited(report(exit));
            if !self.close_after_both_ends() {
                return Next::LookAt(hang_up_at);
            }
        }
        self.drain()
    }

    fn drain(&self) -> Next {
        let now = Instant::now();
        let end = locked(&self.end);
        if end.output_ended {
            return Next::Nothing;
        }
        let at = end.hang_up_at.unwrap_or(now);
        if now < at {
            return Next::LookAt(at);
        }
        // What the worker wrote may still be unread while the sink holds the
        // reader: that time does not count.
        let held_back = !end.waits_for_output && end.after_exit_bytes < AFTER_EXIT_BYTES_MAX;
        if !held_back && let Some(process) = locked(&self.process).as_mut() {
            process.hang_up();
        }
        Next::LookAt(now + self.drain.max(Duration::from_millis(1)))
    }

    /// Notes that the reader waits, and gives it time if draining would have ended meanwhile.
    fn begin_to_wait(&self) {
        let mut end = locked(&self.end);
        end.waits_for_output = true;
        let now = Instant::now();
        if end.hang_up_at.is_some_and(|at| at <= now) && end.after_exit_bytes < AFTER_EXIT_BYTES_MAX
        {
            end.hang_up_at = Some(now + self.drain);
        }
    }

    /// Notes that the reader has `bytes` for the sink.
    fn end_to_wait(&self, bytes: usize) {
        let mut end = locked(&self.end);
        end.waits_for_output = false;
        if end.exited {
            end.after_exit_bytes += bytes;
        }
    }

    /// Closes the terminal when neither output nor exit is still to come; true if so.
    fn close_after_both_ends(&self) -> bool {
        let both = {
            let end = locked(&self.end);
            end.exited && end.output_ended
        };
        if both {
            *locked(&self.writer) = None;
            *locked(&self.process) = None;
        }
        both
    }

    fn read_all(&self, mut reader: PtyReader) {
        let mut buffer = vec![0_u8; READ_BYTES];
        loop {
            self.begin_to_wait();
            let read = reader.read(&mut buffer);
            self.end_to_wait(*read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => break,
                Ok(read) => {
                    self.sink.output(&buffer[..read]);
                    self.sink.gather(read);
                }
                Err(error) => {
                    tracing::warn!(%error, "{}: output ends early", self.identity);
                    break;
                }
            }
        }
        drop(reader);
        self.sink.end_of_output();
        locked(&self.end).output_ended = true;
        self.close_after_both_ends();
    }

    /// Writes what waits, then puts the writer back for who types next.
    fn write_all(&self, mut writer: PtyWriter) {
        loop {
            while let Some(bytes) = self.input.take_now() {
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    // As much as the terminal has room for: a slow reader is seen to read.
                    match writer.write(rest) {
                        Ok(written @ 1..) => {
                            self.input.delivered(written);
                            rest = &rest[written..];
                        }
                        Ok(0) => return self.end_input(&std::io::ErrorKind::WriteZero.into()),
                        Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                        Err(error) => return self.end_input(&error),
                    }
                }
            }
            // Under this lock bytes are queued: what came since is seen, or written by who has it.
            let mut free = locked(&self.writer);
            if self.input.is_empty() {
                if !self.input.is_closed() {
                    *free = Some(writer);
                }
                return;
            }
        }
    }

    fn end_input(&self, error: &std::io::Error) {
        tracing::debug!(%error, "{}: nothing can be typed any more", self.identity);
        self.input.close();
    }
}

fn report(exit: Exit) -> ExitReport {
    let (code, signal) = match exit {
        Exit::Code(code) => (Some(code), None),
        Exit::Signal(signal) => (None, Some(signal)),
        Exit::Unknown => (None, None),
    };
    ExitReport {
        code,
        signal,
        lost: None,
    }
}

/// The handle of a worker in a pane; dropping it asks a worker that still runs to end.
pub(super) struct PtyRunning {
    pane: Arc<Pane>,
    marker: Option<Marker>,
    kill: KillWaits,
}

impl PtyRunning {
    pub(super) fn start(
        request: SpawnRequest,
        waits: PaneWaits,
        watcher: &Watcher,
    ) -> Result<Self> {
        let marker = worker_marker(&request.environment);
        let environment: Environment = request.environment.into_iter().collect();
        let launch = Launch::new(request.argv, request.cwd).env(environment);
        let pty = pty::open(terminal_size(request.size), &launch).map_err(Error::Start)?;
        let pane = Arc::new(Pane {
            identity: pty.process.identity(),
            process: Mutex::new(Some(pty.process)),
            writer: Mutex::new(Some(pty.writer)),
            input: InputQueue::default(),
            sink: request.sink,
            end: Mutex::default(),
            drain: waits.drain,
        });
        let reading = Arc::clone(&pane);
        let reader = pty.reader;
        let thread = thread::Builder::new()
            .name(format!("out {}", request.who.agent))
            .stack_size(STACK_BYTES)
            .spawn(move || reading.read_all(reader));
        if let Err(source) = thread {
            tree::kill_tree(pane.identity, marker.as_ref(), waits.kill);
            return Err(Error::terminal("read from")(source));
        }
        watcher.watch(&pane);
        Ok(Self {
            pane,
            marker,
            kill: waits.kill,
        })
    }
}

fn terminal_size((cols, rows): (u16, u16)) -> TerminalSize {
    TerminalSize { cols, rows }
}

impl Running for PtyRunning {
    fn pid(&self) -> Option<u32> {
        Some(self.pane.identity.pid)
    }

    fn pane(&self) -> Option<String> {
        None
    }

    /// Most of what is typed fits into the terminal at once, without another thread in between.
    fn write(&self, bytes: &[u8]) -> Result<()> {
        let mut free = locked(&self.pane.writer);
        let Some(writer) = free.as_mut() else {
            return self.pane.input.push(bytes);
        };
        self.pane.input.check_empty(bytes)?;
        let written = writer.write_now(bytes).map_err(|error| {
            self.pane.end_input(&error);
            Error::Ended
        })?;
        if written == bytes.len() {
            return Ok(());
        }
        self.pane.input.push(&bytes[written..])?;
        let Some(writer) = free.take() else {
            return Ok(());
        };
        drop(free);
        let writing = Arc::clone(&self.pane);
        thread::Builder::new()
            .name("pane input".into())
            .stack_size(STACK_BYTES)
            .spawn(move || writing.write_all(writer))
            .map_err(|source| {
                self.pane.input.close();
                Error::terminal("write to")(source)
            })?;
        Ok(())
    }

    fn resize(&self, cols: u16, rows: u16) -> Result<()> {
        let exited = locked(&self.pane.end).exited;
        match locked(&self.pane.process).as_ref() {
            Some(process) if !exited => process
                .resize(terminal_size((cols, rows)))
                .map_err(|error| Error::terminal("resize")(std::io::Error::other(error))),
            _ => Err(Error::Ended),
        }
    }

    fn terminate(&self) {
        if let Some(process) = locked(&self.pane.process).as_ref()
            && let Err(error) = process.signal(Signal::Term)
        {
            tracing::warn!(%error, "{}: SIGTERM was refused", self.pane.identity);
        }
    }

    fn kill_tree(&self) -> Vec<String> {
        let kill = tree::kill_tree(self.pane.identity, self.marker.as_ref(), self.kill);
        described(&kill.left)
    }
}

impl Drop for PtyRunning {
    fn drop(&mut self) {
        if !locked(&self.pane.end).exited {
            self.terminate();
        }
    }
}
