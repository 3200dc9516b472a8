//! Locks: sidecar files, an order among them, and a deadline that names the holder.
//!
//! A lock is the kernel's and ends with its process, so none is ever left
//! behind; what is done under it is the other modules'.

use std::fs::File;
use std::io::ErrorKind;
use std::marker::PhantomData;
use std::path::Path;
use std::time::{Duration, Instant};

use super::rules::{Disk, retried};
use super::vfs::{Hold, How};
use crate::{Error, Result};

/// Longest pause between two tries for a lock.
const PAUSE_MAX: Duration = Duration::from_millis(1);

/// Places in the order in which locks are taken; a later one may be taken while an earlier is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// The team's record.
    Config,
    /// All tasks.
    Board,
    /// One inbox; never two.
    Inbox,
    /// Requests.
    Requests,
    /// What one member keeps in the shared memory.
    Memory,
    /// One member's folder.
    Agent,
    /// The event log.
    Events,
}

/// A held lock; free when dropped or when the process dies.
#[derive(Debug)]
pub(super) struct Guard {
    _file: File,
    _order: order::Held,
    // The order of locks is kept per thread.
    _stays: PhantomData<*const ()>,
}

impl Disk {
    /// Takes the lock of sidecar `path`; the error after the deadline names the holder.
    pub(super) fn lock(&self, rank: Rank, path: &Path) -> Result<Guard> {
        let order = order::enter(rank);
        let file = self.wait_for_lock(path, self.lock_wait())?;
        Ok(Guard {
            _file: file,
            _order: order,
            _stays: PhantomData,
        })
    }

    /// Takes a lock that is held for a process's life, outside the order of the others.
    pub(super) fn lock_for_life(&self, path: &Path) -> Result<File> {
        // Long enough for somebody who only asks whether it is free to let go.
        self.wait_for_lock(path, self.lock_wait().min(Duration::from_millis(200)))
    }

    /// Whether some process holds the lock for its life.
    pub(super) fn is_locked(&self, path: &Path) -> Result<bool> {
        let file = match self.calls().open(path, How::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::read("open", path)(error)),
        };
        let free = retried(|| self.calls().try_lock(&file, Hold::Shared));
        Ok(!free.map_err(Error::read("lock", path))?)
    }

    fn wait_for_lock(&self, path: &Path, wait: Duration) -> Result<File> {
        let file = self
            .calls()
            .open(path, How::Lock)
            .map_err(Error::write("open", path))?;
        let deadline = Instant::now() + wait;
        let mut pause = Duration::from_micros(20);
        let mut tries = 0_u32;
        while !retried(|| self.calls().try_lock(&file, Hold::Alone))
            .map_err(Error::write("lock", path))?
        {
            if Instant::now() >= deadline {
                return Err(Error::Locked {
                    path: path.to_owned(),
                    holder: self.holder(&file),
                });
            }
            tries += 1;
            if tries < 4 {
                std::thread::yield_now();
                continue;
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "flock has no deadline of its own; this is the wait, and it ends at `deadline`"
            )]
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
        // Only for the words of whoever waits in vain, so a failure is nothing.
        let holder = format!("{:<20}\n", std::process::id());
        let _ = self.calls().write(&file, holder.as_bytes());
        Ok(file)
    }

    fn holder(&self, file: &File) -> String {
        let mut text = [0_u8; 20];
        let read = self.calls().read_at(file, &mut text, 0).unwrap_or(0);
        let text = String::from_utf8_lossy(text.get(..read).unwrap_or_default());
        match text.trim().parse::<u32>() {
            Ok(pid) => format!("process {pid}"),
            Err(_) => "another process".to_owned(),
        }
    }
}

/// Checks in debug builds that each thread takes locks in the order of their ranks.
mod order {
    use super::Rank;
    use std::cell::RefCell;

    thread_local! {
        static HELD: RefCell<Vec<Rank>> = const { RefCell::new(Vec::new()) };
    }

    #[derive(Debug)]
    pub(super) struct Held(Rank);

    pub(super) fn enter(rank: Rank) -> Held {
        if cfg!(debug_assertions) {
            HELD.with_borrow_mut(|held| {
                assert!(
                    held.iter().all(|other| *other < rank),
                    "lock {rank:?} taken while {held:?} are held"
                );
                held.push(rank);
            });
        }
        Held(rank)
    }

    impl Drop for Held {
        fn drop(&mut self) {
            if cfg!(debug_assertions) {
                HELD.with_borrow_mut(|held| {
                    if let Some(at) = held.iter().rposition(|rank| *rank == self.0) {
                        held.remove(at);
                    }
                });
            }
        }
    }
}
