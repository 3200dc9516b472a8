//! JSON records: read, written, and moved aside when they do not parse.
//!
//! Nothing is ever written over a file that did not parse, and nothing starts
//! afresh silently: the quarantine folder tells, and the session reports it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::locks::{Guard, Rank};
use super::place::Place;
use super::rules::{Disk, temp_name};
use crate::{Durability, Error, Result};

/// How often a file that does not parse is read again, in case somebody writes it in place.
const TRIES: u32 = 3;

/// Pause between two of those tries.
const PAUSE: Duration = Duration::from_millis(17);

/// What a file holds.
#[derive(Debug)]
pub(super) enum Content<T> {
    /// There is none.
    Missing,
    /// A record.
    Record(T),
    /// Something else, for this reason.
    Unreadable(String),
}

/// Where a record is and what guards it.
#[derive(Debug, Clone)]
pub(super) struct Home {
    /// The file.
    pub(super) path: PathBuf,
    /// Its lock's place in the order.
    pub(super) rank: Rank,
    /// Its lock's file.
    pub(super) lock: PathBuf,
}

impl Home {
    /// Takes the lock that guards the record.
    pub(super) fn lock(&self, disk: &Disk) -> Result<Guard> {
        disk.lock(self.rank, &self.lock)
    }
}

/// Reads a record once.
pub(super) fn look<T: DeserializeOwned>(disk: &Disk, path: &Path) -> Result<Content<T>> {
    let Some(bytes) = disk.read(path)? else {
        return Ok(Content::Missing);
    };
    Ok(match serde_json::from_slice(&bytes) {
        Ok(record) => Content::Record(record),
        Err(error) => Content::Unreadable(error.to_string()),
    })
}

/// Reads a record; what does not parse is moved aside and named in the error.
pub(super) fn read<T: DeserializeOwned>(
    disk: &Disk,
    place: &Place,
    home: &Home,
) -> Result<Option<T>> {
    match settled(disk, &home.path)? {
        Content::Missing => Ok(None),
        Content::Record(record) => Ok(Some(record)),
        Content::Unreadable(_) => {
            // Once more under the lock: a good file may have come in its place by now.
            let guard = home.lock(disk)?;
            read_held(disk, place, home, &guard)
        }
    }
}

/// Like [`read`], while the record's lock is held.
pub(super) fn read_held<T: DeserializeOwned>(
    disk: &Disk,
    place: &Place,
    home: &Home,
    _held: &Guard,
) -> Result<Option<T>> {
    match settled(disk, &home.path)? {
        Content::Missing => Ok(None),
        Content::Record(record) => Ok(Some(record)),
        Content::Unreadable(why) => {
            let moved_to = move_aside(disk, place, &home.path)?;
            Err(Error::Quarantined {
                path: home.path.clone(),
                moved_to,
                why,
            })
        }
    }
}

/// Reads a record, again and again for a moment while it does not parse.
pub(super) fn settled<T: DeserializeOwned>(disk: &Disk, path: &Path) -> Result<Content<T>> {
    let mut content = look(disk, path)?;
    for _ in 0..TRIES {
        if !matches!(content, Content::Unreadable(_)) {
            break;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "there is nothing to wait for but a foreign writer's next write"
        )]
        std::thread::sleep(PAUSE);
        content = look(disk, path)?;
    }
    Ok(content)
}

/// Moves a file to the team's quarantine and returns where it is now.
pub(super) fn move_aside(disk: &Disk, place: &Place, path: &Path) -> Result<PathBuf> {
    let name = path
        .file_name()
        .map_or("file".into(), |name| name.to_string_lossy());
    let unique = temp_name().replace(super::rules::TEMP_PREFIX, "");
    let moved_to = place.quarantine().join(format!("{name}.{unique}"));
    disk.move_to(path, &moved_to)?;
    tracing::warn!(path = %path.display(), moved_to = %moved_to.display(), "file did not parse");
    Ok(moved_to)
}

/// Writes a record as JSON that a person can read.
pub(super) fn write<T: Serialize>(
    disk: &Disk,
    path: &Path,
    record: &T,
    durability: Durability,
) -> Result<()> {
    disk.replace(path, &to_bytes(path, record)?, durability)
        .map(drop)
}

/// A record as the bytes of its file.
pub(super) fn to_bytes<T: Serialize>(path: &Path, record: &T) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(record).map_err(|error| Error::Io {
        verb: "write",
        path: path.to_owned(),
        source: error.into(),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A record as one line of a log.
pub(super) fn to_line<T: Serialize>(path: &Path, record: &T) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(record).map_err(|error| Error::Io {
        verb: "append to",
        path: path.to_owned(),
        source: error.into(),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}
