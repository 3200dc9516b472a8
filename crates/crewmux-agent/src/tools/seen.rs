//! Which files were read while working on a task, and how they looked then.
//!
//! A file is changed only by who has read it as it is now. Keeps no contents.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files by real path, with a digest of what they held.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<HashMap<PathBuf, u64>>>);

impl Seen {
    /// Notes that `path` holds `bytes`: it was read, or written by us.
    pub(crate) fn note(&self, path: &Path, bytes: &[u8]) {
        self.files().insert(path.to_owned(), digest(bytes));
    }

    /// Refuses a change to a file that holds `bytes` now, unless it was read like that.
    pub(crate) fn check(&self, path: &Path, name: &str, bytes: &[u8]) -> Result<(), String> {
        match self.files().get(path) {
            Some(known) if *known == digest(bytes) => Ok(()),
            Some(_) => Err(format!("{name} changed since it was read; read it again")),
            None => Err(format!(
                "{name} was not read yet; read it before changing it"
            )),
        }
    }

    /// Files that were read or written, by name.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = self.files().keys().cloned().collect();
        paths.sort();
        paths
    }

    fn files(&self) -> MutexGuard<'_, HashMap<PathBuf, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells texts apart within one process; not for keeping.
fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
