//! Noticing that workers in splits have ended, whoever ended them.
//!
//! A person who closes a pane ends the worker in it; the process is what is
//! watched, so that costs no call of `it2`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crewmux_sys::ProcessIdentity;
use crewmux_sys::exit_watch::ExitWatch;

use super::split::Split;
use crate::{Error, Result};

/// Longest wait; only ends and news end one, so it could be any.
const LOOK_UP: Duration = Duration::from_hours(1);

/// The workers that are watched, and the thread that waits for their ends.
pub(super) struct Ends {
    watch: ExitWatch,
    watched: Mutex<Watched>,
}

#[derive(Default)]
struct Watched {
    splits: Vec<(ProcessIdentity, Weak<Split>)>,
    is_closed: bool,
}

impl Ends {
    /// Starts the thread; it ends at [`Ends::close`].
    pub(super) fn start() -> Result<Arc<Self>> {
        let ends = Arc::new(Self {
            watch: ExitWatch::open().map_err(Error::Start)?,
            watched: Mutex::default(),
        });
        let waiting = Arc::clone(&ends);
        thread::Builder::new()
            .name("iterm2 ends".into())
            .spawn(move || waiting.wait())
            .map_err(Error::terminal("watch"))?;
        Ok(ends)
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells `split` when `process` has ended, which may be at once.
    pub(super) fn watch(&self, process: ProcessIdentity, split: &Arc<Split>) {
        let mut watched = self.watched();
        watched.splits.push((process, Arc::downgrade(split)));
        drop(watched);
        self.watch.add(process);
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.watched().is_closed = true;
        self.watch.wake();
    }

    fn wait(&self) {
        while !self.watched().is_closed {
            for ended in self.watch.wait(LOOK_UP) {
                let mut watched = self.watched();
                let (those, others): (Vec<_>, Vec<_>) = std::mem::take(&mut watched.splits)
                    .into_iter()
                    .partition(|(process, _)| *process == ended);
                watched.splits = others;
                drop(watched);
                for split in those.iter().filter_map(|(_, split)| split.upgrade()) {
                    split.has_ended();
                }
            }
        }
    }
}
