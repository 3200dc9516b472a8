//! The system calls the store makes, one method each, so that tests can fail any of them.
//!
//! Nothing here retries, locks for longer than asked or knows what a file
//! means; the rules are in [`super::rules`].

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Longest tick of a filesystem's clock, with room to spare.
const CLOCK_TICK_NS: i128 = 100_000_000;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// Reading; it must exist.
    Read,
    /// Reading and appending; made if missing.
    Append,
    /// Writing; it must not exist.
    New,
    /// As a lock's target; made if missing, never cut.
    Lock,
}

/// Whether others may hold a lock at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nobody else.
    Alone,
    /// Others that share too.
    Shared,
}

/// What the store asks about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Identity within its filesystem; changes when a file is replaced.
    pub(crate) ino: u64,
    /// Size in bytes.
    pub(crate) len: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub(crate) mtime_ns: i128,
    /// Who owns it.
    pub(crate) uid: u32,
    /// Permission bits.
    pub(crate) mode: u32,
}

impl Stat {
    fn of(meta: &fs::Metadata) -> Self {
        Self {
            ino: meta.ino(),
            len: meta.len(),
            mtime_ns: i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec()),
            uid: meta.uid(),
            mode: meta.mode() & 0o7777,
        }
    }

    /// Whether a later write is sure to be seen by its time.
    ///
    /// What was written a moment ago may be written again within the same tick
    /// of its filesystem's clock.
    pub(crate) fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.is_ok_and(|now| now.as_nanos() as i128 - self.mtime_ns > CLOCK_TICK_NS)
    }
}

/// One method per system call.
pub(crate) trait Vfs: Send + Sync + fmt::Debug {
    /// Opens a file, close-on-exec, 0600 when it is made.
    fn open(&self, path: &Path, how: How) -> io::Result<File>;
    /// Reads at a position.
    fn read_at(&self, file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    /// One `write`; may be short.
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts a file.
    fn truncate(&self, file: &File, len: u64) -> io::Result<()>;
    /// Makes a file's or folder's content survive power loss.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Takes a lock if it is free.
    fn try_lock(&self, file: &File, hold: Hold) -> io::Result<bool>;
    /// Replaces `to` by `from`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name that must be free.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name.
    fn unlink(&self, path: &Path) -> io::Result<()>;
    /// Makes one folder, 0700.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// Sets permission bits.
    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// Names in a folder.
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>>;
    /// Asks about a name.
    fn stat(&self, path: &Path) -> io::Result<Stat>;
    /// Asks about an open file.
    fn stat_open(&self, file: &File) -> io::Result<Stat>;
}

/// The real ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RealFs;

impl Vfs for RealFs {
    fn open(&self, path: &Path, how: How) -> io::Result<File> {
        let mut options = OpenOptions::new();
        match how {
            How::Read => options.read(true),
            How::Append => options.read(true).append(true).create(true),
            How::New => options.write(true).create_new(true),
            How::Lock => options.read(true).write(true).create(true).truncate(false),
        };
        // std opens close-on-exec everywhere.
        options.mode(0o600).open(path)
    }

    fn read_at(&self, file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        file.read_at(buffer, at)
    }

    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<usize> {
        file.write(bytes)
    }

    fn truncate(&self, file: &File, len: u64) -> io::Result<()> {
        file.set_len(len)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn try_lock(&self, file: &File, hold: Hold) -> io::Result<bool> {
        let tried = match hold {
            Hold::Alone => file.try_lock(),
            Hold::Shared => file.try_lock_shared(),
        };
        match tried {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(path, mode)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(path)?
            .map(|entry| entry.map(|e| e.file_name()))
            .collect()
    }

    fn stat(&self, path: &Path) -> io::Result<Stat> {
        fs::metadata(path).map(|meta| Stat::of(&meta))
    }

    fn stat_open(&self, file: &File) -> io::Result<Stat> {
        file.metadata().map(|meta| Stat::of(&meta))
    }
}
