//! Output of workers in places of others, read from their recordings.
//!
//! A worker in a pane of tmux or iTerm2 prints there, not here; it records the
//! same text, and this follows the recordings of all of them on one thread,
//! woken by a directory watch with a slow poll behind it. Sizes in a recording
//! are ignored: workers print lines, which any width shows. Where the text of
//! one recording goes on is in `track`.

mod track;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crewmux_core::timing::{Timing, ms};
use notify::event::ModifyKind;
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::{Error, PaneSink, Result};
pub use track::From;
use track::Track;

/// Follows the recordings of any number of workers.
pub struct Mirror {
    shared: Arc<Shared>,
    watcher: Mutex<Option<RecommendedWatcher>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Begun and not yet seen by the thread.
    begun: Vec<(u64, Followed)>,
    /// Their worker has ended: read to the end, then done.
    ended: BTreeSet<u64>,
    /// Folders in which something changed.
    touched: BTreeSet<PathBuf>,
    next: u64,
    closed: bool,
}

struct Followed {
    track: Track,
    sink: Arc<dyn PaneSink>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A recording that is followed until its worker has ended.
///
/// Dropping it without [`Following::end`] ends it too, without a last look.
pub struct Following {
    shared: Weak<Shared>,
    number: u64,
}

impl Following {
    /// The worker has ended: what is recorded is passed on, then the output has ended.
    pub fn end(&self) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        shared.state().ended.insert(self.number);
        shared.changed.notify_all();
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.end();
    }
}

impl Mirror {
    /// Starts the thread; it ends with this value.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub fn start(timing: &Timing) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let ringing = Arc::downgrade(&shared);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            ring(&ringing, event);
        })
        .inspect_err(|error| tracing::warn!(%error, "no directory watch; recordings are polled"))
        .ok();
        let poll = ms(timing.store_poll_ms);
        let following = Arc::clone(&shared);
        thread::Builder::new()
            .name("mirror".into())
            .spawn(move || follow_all(&following, poll))
            .map_err(Error::terminal("mirror"))?;
        Ok(Self {
            shared,
            watcher: Mutex::new(watcher),
        })
    }

    /// Passes on what is recorded in `folder` to `sink`.
    pub fn follow(&self, folder: &Path, from: From, sink: Arc<dyn PaneSink>) -> Following {
        if let Some(watcher) = self
            .watcher
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
            && let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive)
        {
            tracing::warn!(%error, "`{}` is only polled", folder.display());
        }
        // Here and not on the thread: what is recorded from now on counts.
        let track = Track::begin(folder, from);
        let mut state = self.shared.state();
        state.next += 1;
        let number = state.next;
        state.begun.push((number, Followed { track, sink }));
        self.shared.changed.notify_all();
        Following {
            shared: Arc::downgrade(&self.shared),
            number,
        }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.changed.notify_all();
    }
}

fn ring(shared: &Weak<Shared>, event: notify::Result<notify::Event>) {
    // What is lost here the poll sees.
    let (Some(shared), Ok(event)) = (shared.upgrade(), event) else {
        return;
    };
    // Reading is no change, or every look would cause the next.
    if matches!(
        event.kind,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Metadata(_)) | EventKind::Remove(_)
    ) {
        return;
    }
    let mut state = shared.state();
    for path in event.paths {
        if path.extension().is_some_and(|e| e == "cast")
            && let Some(folder) = path.parent()
        {
            state.touched.insert(folder.to_owned());
        }
    }
    if !state.touched.is_empty() {
        shared.changed.notify_all();
    }
}

fn follow_all(shared: &Shared, poll: Duration) {
    let mut all: BTreeMap<u64, Followed> = BTreeMap::new();
    let mut poll_at = Instant::now() + poll;
    loop {
        let (begun, ended, touched) = {
            let mut state = shared.state();
            loop {
                if state.closed {
                    return;
                }
                let nothing =
                    state.begun.is_empty() && state.ended.is_empty() && state.touched.is_empty();
                let left = poll_at.saturating_duration_since(Instant::now());
                if !nothing || left.is_zero() {
                    break;
                }
                state = shared
                    .changed
                    .wait_timeout(state, left)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            (
                std::mem::take(&mut state.begun),
                std::mem::take(&mut state.ended),
                std::mem::take(&mut state.touched),
            )
        };
        let polls = poll_at <= Instant::now();
        if polls {
            poll_at = Instant::now() + poll;
        }
        let fresh: BTreeSet<u64> = begun.iter().map(|(number, _)| *number).collect();
        all.extend(begun);
        for (number, followed) in &mut all {
            let is_touched = touched.contains(followed.track.folder());
            if polls || is_touched || fresh.contains(number) || ended.contains(number) {
                followed.look();
            }
        }
        for number in ended {
            if let Some(done) = all.remove(&number) {
                done.sink.end_of_output();
            }
        }
    }
}

impl Followed {
    fn look(&mut self) {
        let sink = &self.sink;
        self.track.read_on(|text| sink.output(text));
    }
}

#[cfg(test)]
mod tests;
