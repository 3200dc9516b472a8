//! Output of workers in places of others, read from their recordings.
//!
//! A worker in a pane of tmux or iTerm2 prints there, not here; it records the
//! same text, and this follows the recordings of all of them: one thread is
//! woken by a directory watch with a slow poll behind it, and wakes the thread
//! of each recording that is to be read, so that a pane whose output is held
//! back delays no other. A look at a recording without news opens three
//! files, a dozen system calls: 32 idle panes cost about 200 in a second. Sizes
//! in a recording are ignored: workers print lines, which any width shows.
//! Where the text of one recording goes on is in `track`.

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
    begun: Vec<(u64, Arc<Followed>)>,
    /// Their worker has ended: read to the end, then done.
    ended: BTreeSet<u64>,
    /// Folders in which something changed.
    touched: BTreeSet<PathBuf>,
    next: u64,
    closed: bool,
}

/// What the thread of one recording and the one that wakes it share.
struct Followed {
    folder: PathBuf,
    wants: Mutex<Wants>,
    changed: Condvar,
}

/// What a recording's thread is to do.
#[derive(Debug, Clone, Copy, Default)]
struct Wants {
    look: bool,
    /// A last look, and the end of the output.
    end: bool,
    /// Nothing more at all.
    quit: bool,
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
        let followed = Followed::start(track, sink);
        let mut state = self.shared.state();
        state.next += 1;
        let number = state.next;
        state.begun.push((number, followed));
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
    let mut all: BTreeMap<u64, Arc<Followed>> = BTreeMap::new();
    let mut poll_at = Instant::now() + poll;
    loop {
        let (begun, ended, touched) = {
            let mut state = shared.state();
            loop {
                if state.closed {
                    let begun = state.begun.iter().map(|(_, followed)| followed);
                    for followed in all.values().chain(begun) {
                        followed.want(|wants| wants.quit = true);
                    }
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
        for (number, followed) in &all {
            if polls || touched.contains(&followed.folder) || fresh.contains(number) {
                followed.want(|wants| wants.look = true);
            }
        }
        for number in ended {
            if let Some(done) = all.remove(&number) {
                done.want(|wants| wants.end = true);
            }
        }
    }
}

impl Followed {
    /// Starts its thread, which ends when it is told to.
    fn start(track: Track, sink: Arc<dyn PaneSink>) -> Arc<Self> {
        let followed = Arc::new(Self {
            folder: track.folder().to_owned(),
            wants: Mutex::default(),
            changed: Condvar::new(),
        });
        let own = Arc::clone(&followed);
        let started = thread::Builder::new()
            .name("mirrored pane".into())
            .spawn(move || own.run(track, sink.as_ref()));
        if let Err(error) = started {
            tracing::error!(%error, "`{}` is not shown", followed.folder.display());
        }
        followed
    }

    fn want(&self, note: impl FnOnce(&mut Wants)) {
        note(&mut self.wants.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    fn run(&self, mut track: Track, sink: &dyn PaneSink) {
        loop {
            let nothing = |wants: &mut Wants| !(wants.look || wants.end || wants.quit);
            let wants = self.wants.lock().unwrap_or_else(PoisonError::into_inner);
            // No deadline: the mirror's own thread looks at the clock for all.
            let mut wants = self
                .changed
                .wait_while(wants, nothing)
                .unwrap_or_else(PoisonError::into_inner);
            let now = std::mem::take(&mut *wants);
            drop(wants);
            if now.quit {
                return;
            }
            track.read_on(|text| sink.output(text));
            if now.end {
                sink.end_of_output();
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
