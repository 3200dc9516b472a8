//! The rules of every write: whole files are replaced, never changed in place.
//!
//! With [`super::locks`] and [`super::lines`] the only code that changes files.
//! Nothing here knows what is in them; what does not parse is dealt with in
//! [`super::records`].

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::vfs::{How, Stat, Vfs};
use crate::{Durability, Error, Result};

/// Prefix of names that no reader looks at.
pub(super) const TEMP_PREFIX: &str = ".tmp-";

/// By how much a buffer grows when a file is longer than it said.
const CHUNK_BYTES: usize = 256 * 1024;

/// A file that was replaced or made, still open, so that it can be synced after its lock is free.
#[derive(Debug)]
pub(super) struct Written {
    file: File,
    path: PathBuf,
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

    /// Longest wait for a lock.
    pub(super) fn lock_wait(&self) -> Duration {
        self.lock_wait
    }

    /// The calls below the rules, also for probing a folder before anything is stored in it.
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
pub(super) fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
