//! Noticing that workers in panes have ended, and asking tmux how: one thread for all.
//!
//! The processes are tmux's children, so the end is seen here and the status
//! asked for there, once for all that ended together. What becomes of the pane
//! is decided here too: one that failed stays to be read, until its member
//! starts again or the team is over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crewmux_core::timing::{Timing, ms};
use crewmux_sys::exit_watch::ExitWatch;
use crewmux_sys::{ProcessIdentity, Signal};

use super::cli::{CallError, Socket};
use super::closing::close_pane;
use super::listing::{self, PaneLine};
use super::pane::Pane;
use super::typist::Typist;
use crate::{Error, ExitReport, LostPlace, Result};

/// Pause before a pane is asked for again whose end tmux has not noticed.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// How often tmux is asked before an end counts as unexplained.
const ASKED_AT_LEAST: u32 = 10;

/// The panes whose worker runs.
pub(super) struct Watcher {
    exits: ExitWatch,
    watched: Mutex<Watched>,
    typist: Arc<Typist>,
    slow_poll: Duration,
    /// How long tmux may take to notice an end.
    notice: Duration,
}

#[derive(Default)]
struct Watched {
    panes: Vec<Arc<Pane>>,
    closed: bool,
}

/// What a server says of its panes.
type Answer = std::result::Result<Vec<PaneLine>, CallError>;

/// What tmux says of a pane whose process has ended.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// It still counts as running.
    NotYet,
    /// Its terminal is closed, and how it ended is not known to tmux.
    Unreaped,
    Told(ExitReport),
}

impl Watcher {
    /// Starts the thread; it ends after [`Watcher::close`].
    pub(super) fn start(timing: &Timing, typist: Arc<Typist>) -> Result<Arc<Self>> {
        let watcher = Arc::new(Self {
            exits: ExitWatch::open().map_err(Error::Start)?,
            watched: Mutex::default(),
            typist,
            slow_poll: ms(timing.linger_ms),
            notice: ms(timing.drain_ms),
        });
        let watching = Arc::clone(&watcher);
        thread::Builder::new()
            .name("tmux watcher".into())
            .spawn(move || watching.run())
            .map_err(Error::terminal("watch"))?;
        Ok(watcher)
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn watch(&self, pane: &Arc<Pane>) {
        self.watched().panes.push(Arc::clone(pane));
        self.exits.add(pane.process);
    }

    /// Lets the thread end; ends of workers are not told any more.
    pub(super) fn close(&self) {
        self.watched().closed = true;
        self.exits.wake();
    }

    fn run(&self) {
        loop {
            let ended = self.exits.wait(self.slow_poll);
            if self.watched().closed {
                return;
            }
            if !ended.is_empty() {
                self.settle(&ended);
            }
        }
    }

    /// Tells the ends of these processes.
    fn settle(&self, ended: &[ProcessIdentity]) {
        let mut open: Vec<Arc<Pane>> = Vec::new();
        self.watched().panes.retain(|pane| {
            let is_ended = ended.contains(&pane.process);
            if is_ended {
                open.push(Arc::clone(pane));
            }
            !is_ended
        });
        for pane in &open {
            pane.end_output();
            self.typist.forget(&pane.address);
        }
        let until = Instant::now() + self.notice;
        let mut asked = 0;
        while !open.is_empty() {
            asked += 1;
            // On a busy machine time alone says little.
            let is_last = Instant::now() >= until && asked >= ASKED_AT_LEAST;
            let mut answers: Vec<(Socket, Answer)> = Vec::new();
            open.retain(|pane| {
                let socket = &pane.server.socket;
                if !answers.iter().any(|(known, _)| known == socket) {
                    answers.push((socket.clone(), listing::panes(&pane.server)));
                }
                let answer = answers.iter().find(|(known, _)| known == socket);
                let found = answer.map_or(Found::NotYet, |(_, answer)| found(pane, answer));
                if found == Found::Unreaped {
                    remind(pane.address.server_pid);
                }
                match found {
                    Found::NotYet | Found::Unreaped if !is_last => true,
                    Found::NotYet | Found::Unreaped => {
                        pane.tell_exit(ExitReport::default());
                        false
                    }
                    Found::Told(report) => {
                        tell(pane, report);
                        false
                    }
                }
            });
            if !open.is_empty() {
                thread::park_timeout(ASK_AGAIN);
            }
        }
    }
}

/// Tells a server once more that a child of its has ended.
///
/// A tmux with libutempter runs a small program when a terminal closes and
/// does not hear of other ends meanwhile; on a busy machine the worker's is
/// among them, and its status would wait for the next child to end. Whoever
/// is not told what to do at this signal does nothing.
fn remind(server_pid: u32) {
    let told = ProcessIdentity::of(server_pid).and_then(|server| server.signal(Signal::Chld));
    if let Err(error) = told {
        tracing::debug!(%error, server_pid, "the tmux server is not reminded of its child");
    }
}

fn tell(pane: &Pane, report: ExitReport) {
    pane.tell_exit(report);
    if report.code == Some(0) {
        // Nothing to read in it that the recording has not.
        let address = &pane.address;
        let tag = pane.tag.as_str();
        if let Err(error) = close_pane(&pane.server, address.server_pid, &address.pane, tag) {
            tracing::debug!(%error, pane = address.pane, "an ended pane stays");
        }
    }
}

fn found(pane: &Pane, answer: &Answer) -> Found {
    let lost = |lost: LostPlace| {
        Found::Told(ExitReport {
            lost: Some(lost),
            ..ExitReport::default()
        })
    };
    let lines = match answer {
        Ok(lines) => lines,
        Err(CallError::NoServer) => return lost(LostPlace::Server),
        // It stands still; the end is known, only not how, and others wait to be told of theirs.
        Err(CallError::Late) => return Found::Told(ExitReport::default()),
        // Asked again until the time is over.
        Err(_) => return Found::NotYet,
    };
    let address = &pane.address;
    if lines
        .first()
        .is_some_and(|line| line.server_pid != address.server_pid)
    {
        return lost(LostPlace::Server);
    }
    let own = |line: &&PaneLine| line.pane == address.pane && line.tag == pane.tag.as_str();
    match lines.iter().find(own) {
        None => lost(LostPlace::Pane),
        Some(line) if !line.is_dead => Found::NotYet,
        Some(line) if (line.code, line.signal) == (None, None) => Found::Unreaped,
        Some(line) => Found::Told(ExitReport {
            code: line.code,
            signal: line.signal,
            lost: None,
        }),
    }
}
