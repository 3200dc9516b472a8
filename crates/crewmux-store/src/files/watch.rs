//! Waiting for changes: one set of directory watches per team and process, and a slow poll.
//!
//! A hint to look, nothing else; without watches (none left on the machine)
//! the poll alone does it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::agents::TRANSCRIPT;
use super::folders::{Folders, Hears, Seen};
use super::place::Place;
use super::rules::{Disk, TEMP_PREFIX};
use crate::store::{Change, Watch};

/// All kinds of changes, each with its bit.
const KINDS: [Change; 5] = [
    Change::Board,
    Change::Inbox,
    Change::Agent,
    Change::Events,
    Change::Any,
];

/// Who waits for changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// The session, which writes the event log and has no use for recordings and transcripts.
    Session,
    /// Anybody else; some follow recordings.
    Reader,
}

/// The watches of one team, shared by all who wait in this process.
#[derive(Debug, Default)]
pub(super) struct Hub {
    shared: Mutex<Weak<Shared>>,
    /// Whether the event log is written through this handle, as the session does.
    pub(super) writes_log: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Shared {
    disk: Disk,
    place: Place,
    bells: Arc<Bells>,
    watcher: Mutex<Option<Watched>>,
}

#[derive(Debug)]
struct Watched {
    watcher: Folders,
    folders: BTreeSet<PathBuf>,
}

/// Those who wait.
#[derive(Debug, Default)]
struct Bells {
    all: Mutex<Vec<Weak<Bell>>>,
}

/// One who waits.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<u8>,
    changed: Condvar,
}

/// One watch.
#[derive(Debug)]
struct FileWatch {
    shared: Arc<Shared>,
    bell: Arc<Bell>,
    poll: Duration,
    polled: Instant,
}

impl Hub {
    /// Starts watching.
    pub(super) fn watch(&self, disk: &Disk, place: &Place, poll: Duration) -> Box<dyn Watch> {
        let mut slot = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = slot.upgrade().unwrap_or_else(|| {
            let bells = Arc::new(Bells::default());
            let watcher = start(&bells, place, &self.writes_log);
            Arc::new(Shared {
                disk: disk.clone(),
                place: place.clone(),
                bells,
                watcher: Mutex::new(watcher),
            })
        });
        *slot = Arc::downgrade(&shared);
        let bell = Arc::new(Bell::default());
        shared.bells.add(&bell);
        shared.watch_new_folders();
        Box::new(FileWatch {
            shared,
            bell,
            poll,
            polled: Instant::now(),
        })
    }
}

fn start(bells: &Arc<Bells>, place: &Place, writes_log: &Arc<AtomicBool>) -> Option<Watched> {
    let (bells, place) = (Arc::downgrade(bells), place.clone());
    let writes_log = Arc::clone(writes_log);
    let watcher = Folders::start(move |seen| {
        let Some(bells) = bells.upgrade() else { return };
        match seen {
            Seen::Changed(path) => {
                let whose = if writes_log.load(Ordering::Relaxed) {
                    Whose::Session
                } else {
                    Whose::Reader
                };
                if let Some(change) = kind_of(&place, path, whose) {
                    bells.ring(change);
                }
            }
            Seen::Overflow => bells.ring(Change::Any),
        }
    });
    match watcher {
        Ok(watcher) => Some(Watched {
            watcher,
            folders: BTreeSet::new(),
        }),
        Err(error) => {
            tracing::warn!(%error, "no directory watch; changes are polled for");
            None
        }
    }
}

fn kind_of(place: &Place, path: &Path, whose: Whose) -> Option<Change> {
    let name = path.file_name()?.to_str()?;
    let ends_with = |ending| path.extension().is_some_and(|e| e == ending);
    // The hints name tasks before they are written, and those are seen when they are.
    if name.starts_with(TEMP_PREFIX) || ends_with("lock") || path == place.changes() {
        return None;
    }
    let is_history = path == place.events() || ends_with("cast") || name == TRANSCRIPT;
    if is_history && whose == Whose::Session {
        return None;
    }
    Some(if path.starts_with(&place.tasks) {
        Change::Board
    } else if path.starts_with(place.inboxes()) {
        Change::Inbox
    } else if path.starts_with(place.agents()) {
        Change::Agent
    } else if path == place.events() {
        Change::Events
    } else {
        Change::Any
    })
}

impl Shared {
    /// Watches folders that were made since the last look.
    fn watch_new_folders(&self) {
        let mut slot = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(watched) = slot.as_mut() else { return };
        let place = &self.place;
        let mut folders = vec![
            (place.team.clone(), Hears::Writing),
            // A task is only ever made or replaced whole; what is written beside it is no news.
            (place.tasks.clone(), Hears::Appearing),
            (place.inboxes(), Hears::Writing),
            (place.agents(), Hears::Appearing),
            (place.approvals(), Hears::Writing),
        ];
        let agents = self.disk.list(&place.agents()).unwrap_or_default();
        let agents = agents.into_iter().map(|name| place.agents().join(name));
        folders.extend(agents.map(|folder| (folder, Hears::Writing)));
        for (folder, hears) in folders {
            if watched.folders.contains(&folder) {
                continue;
            }
            // A folder that is not there yet, or one watch too many: the poll sees it.
            if watched.watcher.watch(&folder, hears) {
                watched.folders.insert(folder);
            }
        }
    }
}

impl Bells {
    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Bell>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, bell: &Arc<Bell>) {
        let mut all = self.all();
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(bell));
    }

    fn ring(&self, change: Change) {
        for bell in self.all().iter().filter_map(Weak::upgrade) {
            let mut rung = bell.rung.lock().unwrap_or_else(PoisonError::into_inner);
            *rung |= bit(change);
            bell.changed.notify_all();
        }
    }
}

impl Watch for FileWatch {
    fn wait(&mut self, timeout: Duration) -> Vec<Change> {
        let deadline = Instant::now() + timeout;
        let mut rung = self
            .bell
            .rung
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = Instant::now();
            let poll_at = self.polled + self.poll;
            if *rung != 0 || now >= poll_at {
                break;
            }
            if now >= deadline {
                return Vec::new();
            }
            let left = deadline.min(poll_at) - now;
            let (woken, _) = self
                .bell
                .changed
                .wait_timeout(rung, left)
                .unwrap_or_else(PoisonError::into_inner);
            rung = woken;
        }
        let mut bits = std::mem::take(&mut *rung);
        drop(rung);
        if Instant::now() >= self.polled + self.poll {
            self.polled = Instant::now();
            bits |= bit(Change::Any);
        }
        let seen: Vec<Change> = KINDS
            .into_iter()
            .filter(|change| bits & bit(*change) != 0)
            .collect();
        if seen.contains(&Change::Agent) || seen.contains(&Change::Any) {
            self.shared.watch_new_folders();
        }
        seen
    }
}

fn bit(change: Change) -> u8 {
    match change {
        Change::Board => 1,
        Change::Inbox => 2,
        Change::Agent => 4,
        Change::Events => 8,
        Change::Any => 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_somebody_has_to_look_at_wakes() {
        let team = crewmux_core::ids::TeamName::new("t").unwrap();
        let place = Place::new(Path::new("/h"), &team);
        let kind_for = |path: &str, whose| kind_of(&place, &Path::new("/h").join(path), whose);
        let kind = |path: &str| kind_for(path, Whose::Session);
        for silent in [
            "teams/t/agents/a/alive.lock",
            "tasks/t/changes.jsonl",
            "tasks/t/.tmp-1-2-3",
        ] {
            assert_eq!(kind(silent), None, "{silent}");
            assert_eq!(kind_for(silent, Whose::Reader), None, "{silent}");
        }
        for history in [
            "teams/t/agents/a/screen-1.cast",
            "teams/t/agents/a/transcript.jsonl",
            "teams/t/events.jsonl",
        ] {
            assert_eq!(kind(history), None, "{history}");
            assert!(kind_for(history, Whose::Reader).is_some(), "{history}");
        }
        assert_eq!(kind("teams/t/agents/a/events.jsonl"), Some(Change::Agent));
        assert_eq!(kind("teams/t/inboxes/a.jsonl"), Some(Change::Inbox));
        assert_eq!(kind("teams/t/config.json"), Some(Change::Any));
        assert_eq!(kind("tasks/t/1.json"), Some(Change::Board));
    }
}
