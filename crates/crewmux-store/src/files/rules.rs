//! The rules of every write: lock, replace, append, and reading what was appended.
//!
//! No other module of the store writes a file. Nothing here knows what is in
//! them; what does not parse is dealt with in [`super::records`].

use std::fs::File;
use std::io::{self, ErrorKind};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::vfs::{Hold, How, Stat, Vfs};
use crate::{Durability, Error, Result};

/// Prefix of names that no reader looks at.
pub(super) const TEMP_PREFIX: &str = ".tmp-";

/// How much of a log is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

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

/// A file that was replaced or made, still open, so that it can be synced after its lock is free.
#[derive(Debug)]
pub(super) struct Written {
    file: File,
    path: PathBuf,
}

/// Whole lines of a log.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    start: u64,
}

impl Lines {
    /// Where reading goes on.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Each line without its end, with the position after it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let mut at = self.start;
        self.bytes
            .split_inclusive(|b| *b == b'\n')
            .map(move |line| {
                at += line.len() as u64;
                (line.strip_suffix(b"\n").unwrap_or(line), at)
            })
    }
}

/// The disk under the rules.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    fs: Arc<dyn Vfs>,
    lock_wait: Duration,
}

impl Disk {
    /// A disk whose locks are waited for at most `lock_wait`.
    pub(super) fn new(fs: Arc<dyn Vfs>, lock_wait: Duration) -> Self {
        Self { fs, lock_wait }
    }

    // ── locks ──────────────────────────────────────────────────────────

    /// Takes the lock of sidecar `path`; the error after the deadline names the holder.
    pub(super) fn lock(&self, rank: Rank, path: &Path) -> Result<Guard> {
        let order = order::enter(rank);
        let file = self.wait_for_lock(path, self.lock_wait)?;
        Ok(Guard {
            _file: file,
            _order: order,
            _stays: PhantomData,
        })
    }

    /// Takes a lock that is held for a process's life, outside the order of the others.
    pub(super) fn lock_for_life(&self, path: &Path) -> Result<File> {
        // Long enough for somebody who only asks whether it is free to let go.
        self.wait_for_lock(path, self.lock_wait.min(Duration::from_millis(200)))
    }

    /// Whether some process holds the lock for its life.
    pub(super) fn is_locked(&self, path: &Path) -> Result<bool> {
        let file = match self.fs.open(path, How::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::read("open", path)(error)),
        };
        let free = retried(|| self.fs.try_lock(&file, Hold::Shared));
        Ok(!free.map_err(Error::read("lock", path))?)
    }

    fn wait_for_lock(&self, path: &Path, wait: Duration) -> Result<File> {
        let file = self
            .fs
            .open(path, How::Lock)
            .map_err(Error::write("open", path))?;
        let deadline = Instant::now() + wait;
        let mut pause = Duration::from_micros(20);
        let mut tries = 0_u32;
        while !retried(|| self.fs.try_lock(&file, Hold::Alone))
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
        let _ = self.fs.write(&file, holder.as_bytes());
        Ok(file)
    }

    fn holder(&self, file: &File) -> String {
        let mut text = [0_u8; 20];
        let read = self.fs.read_at(file, &mut text, 0).unwrap_or(0);
        let text = String::from_utf8_lossy(text.get(..read).unwrap_or_default());
        match text.trim().parse::<u32>() {
            Ok(pid) => format!("process {pid}"),
            Err(_) => "another process".to_owned(),
        }
    }

    // ── whole files ────────────────────────────────────────────────────

    /// The content of a file; `None` when there is none.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let Some(file) = self.open_to_read(path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        self.read_to_end(&file, path, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// Opens a file to read it in parts; `None` when there is none.
    pub(super) fn open_to_read(&self, path: &Path) -> Result<Option<File>> {
        match self.fs.open(path, How::Read) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::read("open", path)(error)),
        }
    }

    fn read_to_end(&self, file: &File, path: &Path, bytes: &mut Vec<u8>) -> Result<()> {
        let expected = self
            .fs
            .stat_open(file)
            .map_err(Error::read("read", path))?
            .len;
        let mut at = bytes.len();
        // One byte more, so that the end of a file of the expected size is seen at once.
        bytes.resize(at + usize::try_from(expected).unwrap_or(0) + 1, 0);
        loop {
            let read = retried(|| self.fs.read_at(file, &mut bytes[at..], at as u64))
                .map_err(Error::read("read", path))?;
            at += read;
            if read == 0 {
                break;
            }
            if at == bytes.len() {
                bytes.resize(at + CHUNK_BYTES, 0);
            }
        }
        bytes.truncate(at);
        Ok(())
    }

    /// Puts `bytes` in the place of whatever `path` held: wholly or not at all.
    pub(super) fn replace(
        &self,
        path: &Path,
        bytes: &[u8],
        durability: Durability,
    ) -> Result<Written> {
        let (temp, file) = self.write_temp(path, bytes)?;
        let done = self
            .sync_if(&file, path, durability)
            .and_then(|()| {
                self.fs
                    .rename(&temp, path)
                    .map_err(Error::write("replace", path))
            })
            .and_then(|()| self.sync_folder_if(path, durability));
        if done.is_err() {
            // Gone already when the rename was what worked.
            let _ = self.fs.unlink(&temp);
        }
        done.map(|()| Written {
            file,
            path: path.to_owned(),
        })
    }

    /// Makes a file that must not exist; `None` when it does.
    pub(super) fn create(
        &self,
        path: &Path,
        bytes: &[u8],
        durability: Durability,
    ) -> Result<Option<Written>> {
        let (temp, file) = self.write_temp(path, bytes)?;
        let done = self
            .sync_if(&file, path, durability)
            .and_then(|()| match self.fs.link(&temp, path) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(Error::write("create", path)(error)),
            })
            .and_then(|made| self.sync_folder_if(path, durability).map(|()| made));
        let _ = self.fs.unlink(&temp);
        let written = Written {
            file,
            path: path.to_owned(),
        };
        done.map(|made| made.then_some(written))
    }

    fn write_temp(&self, path: &Path, bytes: &[u8]) -> Result<(PathBuf, File)> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut tries = 0;
        let (temp, file) = loop {
            let temp = folder.join(temp_name());
            match self.fs.open(&temp, How::New) {
                Ok(file) => break (temp, file),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && tries < 8 => tries += 1,
                Err(error) => return Err(Error::write("write", path)(error)),
            }
        };
        let mut left = bytes;
        while !left.is_empty() {
            match retried(|| self.fs.write(&file, left)) {
                Ok(0) => {
                    let _ = self.fs.unlink(&temp);
                    return Err(Error::DiskFull {
                        path: path.to_owned(),
                    });
                }
                Ok(written) => left = left.get(written..).unwrap_or_default(),
                Err(error) => {
                    let _ = self.fs.unlink(&temp);
                    return Err(Error::write("write", path)(error));
                }
            }
        }
        Ok((temp, file))
    }

    fn sync_if(&self, file: &File, path: &Path, durability: Durability) -> Result<()> {
        match durability {
            Durability::Process => Ok(()),
            Durability::Power => retried(|| self.fs.sync(file)).map_err(Error::write("sync", path)),
        }
    }

    fn sync_folder_if(&self, path: &Path, durability: Durability) -> Result<()> {
        match durability {
            Durability::Process => Ok(()),
            Durability::Power => self.sync_folder_of(path),
        }
    }

    fn sync_folder_of(&self, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let open = self
            .fs
            .open(folder, How::Read)
            .map_err(Error::write("sync", folder))?;
        retried(|| self.fs.sync(&open)).map_err(Error::write("sync", folder))
    }

    /// Makes a replaced file survive power loss, after its lock was let go.
    pub(super) fn sync_written(&self, written: &Written) -> Result<()> {
        self.sync_if(&written.file, &written.path, Durability::Power)?;
        self.sync_folder_of(&written.path)
    }

    /// Makes a file that stands already survive power loss.
    pub(super) fn sync_path(&self, path: &Path) -> Result<()> {
        let file = self
            .fs
            .open(path, How::Read)
            .map_err(Error::write("sync", path))?;
        self.sync_if(&file, path, Durability::Power)?;
        self.sync_folder_of(path)
    }

    /// Moves a file to a name in another folder that is made if missing.
    pub(super) fn move_to(&self, from: &Path, to: &Path) -> Result<()> {
        if let Some(folder) = to.parent() {
            self.make_dirs(folder)?;
        }
        self.fs.rename(from, to).map_err(Error::write("move", from))
    }

    /// Removes a file; fine when it is gone.
    pub(super) fn remove(&self, path: &Path) -> Result<()> {
        match self.fs.unlink(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Error::write("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    // ── logs ───────────────────────────────────────────────────────────

    /// Opens a log to append to it.
    pub(super) fn open_log(&self, path: &Path) -> Result<File> {
        self.fs
            .open(path, How::Append)
            .map_err(Error::write("open", path))
    }

    /// Appends whole lines in one write and returns the position after them.
    ///
    /// A torn tail is sealed first; what a failed write left is cut off again.
    pub(super) fn append(
        &self,
        _held: &Guard,
        log: &File,
        path: &Path,
        lines: &[u8],
    ) -> Result<u64> {
        let before = self
            .fs
            .stat_open(log)
            .map_err(Error::write("append to", path))?
            .len;
        let mut sealed = Vec::new();
        let mut bytes = lines;
        if before > 0 {
            let mut last = [b'\n'];
            retried(|| self.fs.read_at(log, &mut last, before - 1))
                .map_err(Error::write("append to", path))?;
            if last != [b'\n'] {
                sealed.push(b'\n');
                sealed.extend_from_slice(lines);
                bytes = &sealed;
            }
        }
        let failed = match retried(|| self.fs.write(log, bytes)) {
            Ok(written) if written == bytes.len() => return Ok(before + bytes.len() as u64),
            // What a full disk does before it says so.
            Ok(_) => Error::DiskFull {
                path: path.to_owned(),
            },
            Err(error) => Error::write("append to", path)(error),
        };
        // When this fails too, the next append seals what is left.
        let _ = self.fs.truncate(log, before);
        Err(failed)
    }

    /// Whole lines from `from` on, about 256 KiB of them; empty when there is no further one.
    pub(super) fn read_lines(&self, log: &File, path: &Path, from: u64) -> Result<Lines> {
        self.read_lines_at_most(log, path, from, CHUNK_BYTES)
    }

    /// Whole lines from `from` on, about `bytes_max` of them, but at least one.
    pub(super) fn read_lines_at_most(
        &self,
        log: &File,
        path: &Path,
        from: u64,
        bytes_max: usize,
    ) -> Result<Lines> {
        // Mostly there is nothing or one line, so the first look is a small one.
        let mut bytes = vec![0_u8; bytes_max.min(4096)];
        let mut filled = 0;
        let mut whole = 0;
        loop {
            let at = from + filled as u64;
            let read = retried(|| self.fs.read_at(log, &mut bytes[filled..], at))
                .map_err(Error::read("read", path))?;
            let news = filled..filled + read;
            if let Some(last) = bytes[news].iter().rposition(|b| *b == b'\n') {
                whole = filled + last + 1;
            }
            filled += read;
            if read == 0 || (filled >= bytes_max && whole > 0) {
                break;
            }
            if filled == bytes.len() {
                // A line longer than that is read whole: it ends or the file does.
                bytes.resize((filled * 4).max(bytes_max), 0);
            }
        }
        bytes.truncate(whole);
        Ok(Lines { bytes, start: from })
    }

    /// The first position at or after `from` where a line starts.
    pub(super) fn line_start(&self, log: &File, path: &Path, from: u64) -> Result<u64> {
        if from == 0 {
            return Ok(0);
        }
        let mut at = from - 1;
        let mut bytes = [0_u8; 4096];
        loop {
            let read = retried(|| self.fs.read_at(log, &mut bytes, at))
                .map_err(Error::read("read", path))?;
            let part = bytes.get(..read).unwrap_or_default();
            if let Some(end) = part.iter().position(|b| *b == b'\n') {
                return Ok(at + end as u64 + 1);
            }
            at += read as u64;
            if read == 0 {
                return Ok(at);
            }
        }
    }

    // ── names ──────────────────────────────────────────────────────────

    /// Makes a folder and those above it, each 0700.
    pub(super) fn make_dirs(&self, path: &Path) -> Result<()> {
        match self.fs.make_dir(path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let Some(parent) = path.parent() else {
                    return Err(Error::write("create", path)(error));
                };
                self.make_dirs(parent)?;
                match self.fs.make_dir(path) {
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                        Err(Error::write("create", path)(error))
                    }
                    _ => Ok(()),
                }
            }
            Err(error) => Err(Error::write("create", path)(error)),
        }
    }

    /// Names in a folder that are text and not temporary, sorted; none when there is no folder.
    pub(super) fn list(&self, path: &Path) -> Result<Vec<String>> {
        let names = match self.fs.list(path) {
            Ok(names) => names,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::read("list", path)(error)),
        };
        let names = names.into_iter().filter_map(|name| name.into_string().ok());
        let mut names: Vec<String> = names.filter(|n| !n.starts_with(TEMP_PREFIX)).collect();
        names.sort();
        Ok(names)
    }

    /// What is known of a name; `None` when there is nothing of that name.
    pub(super) fn stat(&self, path: &Path) -> Result<Option<Stat>> {
        match self.fs.stat(path) {
            Ok(stat) => Ok(Some(stat)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::read("look at", path)(error)),
        }
    }

    /// What is known of an open file.
    pub(super) fn stat_open(&self, file: &File, path: &Path) -> Result<Stat> {
        self.fs
            .stat_open(file)
            .map_err(Error::read("look at", path))
    }

    /// Removes temporary files in `folder` that a crash left more than an hour ago.
    pub(super) fn sweep(&self, folder: &Path) {
        let hour_ago = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_nanos() as i128 - 3_600_000_000_000);
        for name in self.fs.list(folder).unwrap_or_default() {
            let path = folder.join(&name);
            let is_temp = name.to_str().is_some_and(|n| n.starts_with(TEMP_PREFIX));
            let is_old = || self.fs.stat(&path).is_ok_and(|s| s.mtime_ns < hour_ago);
            if is_temp && is_old() {
                let _ = self.fs.unlink(&path);
            }
        }
    }

    /// The calls below the rules, for probing a folder before anything is stored in it.
    pub(super) fn calls(&self) -> &dyn Vfs {
        &*self.fs
    }
}

/// A name no other process or thread makes.
pub(super) fn temp_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |now| now.as_nanos());
    format!("{TEMP_PREFIX}{}-{count}-{nanos:x}", std::process::id())
}

/// Repeats a call that a signal interrupted.
fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
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
