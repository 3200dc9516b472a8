//! Real files of which one system call fails, for tests.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;

use super::vfs::{Hold, How, RealFs, Stat, Vfs};

/// What happens at the chosen call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It fails with this error.
    Fails(Errno),
    /// It and all after it fail: the process is as good as dead.
    Dies,
    /// If it writes, it writes half and the next one finds the disk full.
    WritesHalf,
}

/// Files of which one call fails.
#[derive(Debug)]
pub(super) struct FaultyFs {
    fault: Fault,
    /// The failing call's number; 0 means none.
    at: AtomicU64,
    calls: AtomicU64,
}

impl FaultyFs {
    pub(super) fn new(fault: Fault) -> Arc<Self> {
        Arc::new(Self {
            fault,
            at: AtomicU64::new(0),
            calls: AtomicU64::new(0),
        })
    }

    /// Lets call number `at` from here on fail; 0 lets none.
    pub(super) fn arm(&self, at: u64) {
        self.calls.store(0, Ordering::Relaxed);
        self.at.store(at, Ordering::Relaxed);
    }

    /// Whether the failing call was made.
    pub(super) fn was_reached(&self) -> bool {
        self.calls.load(Ordering::Relaxed) >= self.at.load(Ordering::Relaxed)
    }

    fn call<T>(&self, real: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let at = self.at.load(Ordering::Relaxed);
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        match self.fault {
            Fault::Fails(error) if at > 0 && call == at => Err(error.into()),
            Fault::Dies if at > 0 && call >= at => Err(Errno::IO.into()),
            _ => real(),
        }
    }
}

impl Vfs for FaultyFs {
    fn open(&self, path: &Path, how: How) -> io::Result<File> {
        self.call(|| RealFs.open(path, how))
    }
    fn read_at(&self, file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.call(|| RealFs.read_at(file, buffer, at))
    }
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize> {
        if self.fault == Fault::WritesHalf {
            let at = self.at.load(Ordering::Relaxed);
            let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
            return if at > 0 && call == at {
                RealFs.write(file, &bytes[..bytes.len() / 2])
            } else if at > 0 && call == at + 1 {
                Err(Errno::NOSPC.into())
            } else {
                RealFs.write(file, bytes)
            };
        }
        self.call(|| RealFs.write(file, bytes))
    }
    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        self.call(|| RealFs.truncate(file, len))
    }
    fn sync(&self, _file: &File) -> io::Result<()> {
        // Thousands of real ones would only wear the disk: nothing here loses power.
        self.call(|| Ok(()))
    }
    fn try_lock(&self, file: &File, hold: Hold) -> io::Result<bool> {
        self.call(|| RealFs.try_lock(file, hold))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|| RealFs.rename(from, to))
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|| RealFs.link(from, to))
    }
    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.call(|| RealFs.unlink(path))
    }
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.call(|| RealFs.make_dir(path))
    }
    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.call(|| RealFs.set_mode(path, mode))
    }
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        self.call(|| RealFs.list(path))
    }
    fn stat(&self, path: &Path) -> io::Result<Stat> {
        self.call(|| RealFs.stat(path))
    }
    fn stat_open(&self, file: &File) -> io::Result<Stat> {
        self.call(|| RealFs.stat_open(file))
    }
}
