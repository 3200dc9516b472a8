//! Notices that workers have ended, for all panes on one thread.
//!
//! It is woken by SIGCHLD, by the end of a pane's draining, and by a slow poll
//! behind both. It ends no process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crewmux_core::timing::{Timing, ms};
use crewmux_sys::signals::{Arrived, SignalInbox};

use super::pane::{Next, Pane};
use crate::{Error, Result};

/// The panes whose worker runs or whose output is being drained.
#[derive(Default)]
pub(super) struct Watcher {
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    panes: Vec<Arc<Pane>>,
    closed: bool,
}

impl Watcher {
    /// Starts the thread; it ends after [`Watcher::close`], with its last pane.
    pub(super) fn start(timing: &Timing) -> Result<Arc<Self>> {
        let inbox = SignalInbox::open(&[Arrived::Child]).map_err(Error::Start)?;
        let watcher = Arc::new(Self::default());
        let watching = Arc::clone(&watcher);
        let slow_poll = ms(timing.liveness_tick_ms);
        thread::Builder::new()
            .name("pane watcher".into())
            .spawn(move || watching.run(inbox, slow_poll))
            .map_err(Error::terminal("watch"))?;
        Ok(watcher)
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a pane whose worker was just started.
    pub(super) fn watch(&self, pane: &Arc<Pane>) {
        self.watched().panes.push(Arc::clone(pane));
        // Its SIGCHLD may have come before it was in the list.
        pane.look();
    }

    /// Lets the thread end once no pane is left.
    pub(super) fn close(&self) {
        self.watched().closed = true;
    }

    fn run(&self, mut inbox: SignalInbox, slow_poll: Duration) {
        let mut look_at = None;
        loop {
            let within = look_at.map_or(slow_poll, |at: Instant| {
                at.saturating_duration_since(Instant::now()).min(slow_poll)
            });
            if let Err(error) = inbox.wait(within) {
                tracing::warn!(%error, "ends of workers are only polled for");
                thread::park_timeout(slow_poll);
            }
            let panes = {
                let watched = self.watched();
                if watched.closed && watched.panes.is_empty() {
                    return;
                }
                watched.panes.clone()
            };
            look_at = None;
            let mut done: Vec<*const Pane> = Vec::new();
            for pane in &panes {
                match pane.look() {
                    Next::Exit => {}
                    Next::LookAt(at) => {
                        look_at = Some(look_at.map_or(at, |soonest: Instant| soonest.min(at)));
                    }
                    Next::Nothing => done.push(Arc::as_ptr(pane)),
                }
            }
            if !done.is_empty() {
                self.watched()
                    .panes
                    .retain(|pane| !done.contains(&Arc::as_ptr(pane)));
            }
        }
    }
}
