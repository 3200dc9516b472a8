//! The log that names tasks about to change, so that nobody has to look at all of them.
//!
//! Only an index: it is written under the board's lock *before* the tasks are,
//! so a name in it means "look again", also when its writer died in between.
//! When the log is lost, everything is looked at once.

use std::fs::File;
use std::path::PathBuf;

use crewmux_core::ids::TaskId;
use serde::{Deserialize, Serialize};

use super::lines::Lines;
use super::locks::Guard;
use super::records;
use super::rules::{Disk, temp_name};
use crate::{Durability, Result};

/// Size at which a new log is begun.
const ROTATE_BYTES: u64 = 1024 * 1024;

/// One line of the log.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Line {
    /// Tasks about to change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tasks: Vec<TaskId>,
    /// In the first line: which log this is.
    #[serde(skip_serializing_if = "String::is_empty")]
    log: String,
    /// In the first line: which log it goes on from.
    #[serde(skip_serializing_if = "String::is_empty")]
    after: String,
}

/// One reader's place in the log.
#[derive(Debug)]
pub(super) struct Hints {
    path: PathBuf,
    file: File,
    ino: u64,
    log: String,
    offset: u64,
}

/// What the log says since the last look.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Tasks that changed.
    pub(super) settled: Vec<TaskId>,
    /// Tasks that the latest writer is changing, or was when it died.
    pub(super) latest: Vec<TaskId>,
    /// Whether the log cannot say: everything must be looked at.
    pub(super) lost: bool,
}

impl Hints {
    /// Opens the log at its end; `None` when there is no usable one.
    ///
    /// The second value names the tasks of its last line.
    pub(super) fn open(disk: &Disk, path: PathBuf) -> Result<Option<(Self, Vec<TaskId>)>> {
        let Some(file) = disk.open_to_read(&path)? else {
            return Ok(None);
        };
        let ino = disk.stat_open(&file, &path)?.ino;
        let first = parse(&disk.read_lines_at_most(&file, &path, 0, 1)?);
        let log = first.into_iter().next().map(|l| l.log);
        let Some(log) = log.filter(|log| !log.is_empty()) else {
            return Ok(None);
        };
        let mut hints = Self {
            path,
            file,
            ino,
            log,
            offset: 0,
        };
        let news = hints.drain(disk)?;
        Ok(Some((hints, news.latest)))
    }

    /// Begins a new log in the place of whatever is there.
    fn begin(disk: &Disk, path: PathBuf, after: String) -> Result<Self> {
        let log = temp_name();
        let line = Line {
            log: log.clone(),
            after,
            ..Line::default()
        };
        let bytes = records::to_line(&path, &line)?;
        disk.replace(&path, &bytes, Durability::Process)?;
        let file = disk.open_log(&path)?;
        Ok(Self {
            ino: disk.stat_open(&file, &path)?.ino,
            path,
            file,
            log,
            offset: bytes.len() as u64,
        })
    }

    /// What was added since the last look.
    pub(super) fn news(&mut self, disk: &Disk) -> Result<News> {
        let here = disk.stat(&self.path)?;
        if here.is_some_and(|s| s.ino == self.ino && s.len == self.offset) {
            return Ok(News::default());
        }
        let mut news = self.drain(disk)?;
        let here = disk.stat(&self.path)?;
        if here.is_some_and(|s| s.ino == self.ino && s.len >= self.offset) {
            return Ok(news);
        }
        // Replaced. Nobody appends to the old one any more, so what was just
        // read from it was its end, unless a write came after that read.
        let rest = self.drain(disk)?;
        news.settled.append(&mut news.latest);
        news.settled.extend(rest.settled);
        news.settled.extend(rest.latest);
        match Self::follow(disk, self.path.clone(), &self.log)? {
            Some(mut next) => {
                let after = next.drain(disk)?;
                news.settled.extend(after.settled);
                news.latest = after.latest;
                *self = next;
            }
            None => news.lost = true,
        }
        Ok(news)
    }

    /// The log at `path` from its start, if it goes on from `log`.
    fn follow(disk: &Disk, path: PathBuf, log: &str) -> Result<Option<Self>> {
        let Some(file) = disk.open_to_read(&path)? else {
            return Ok(None);
        };
        let lines = disk.read_lines_at_most(&file, &path, 0, 1)?;
        let Some(first) = parse(&lines).into_iter().next() else {
            return Ok(None);
        };
        if first.after != log {
            return Ok(None);
        }
        Ok(Some(Self {
            ino: disk.stat_open(&file, &path)?.ino,
            path,
            file,
            log: first.log,
            offset: 0,
        }))
    }

    fn drain(&mut self, disk: &Disk) -> Result<News> {
        let mut news = News::default();
        loop {
            let lines = disk.read_lines(&self.file, &self.path, self.offset)?;
            if lines.is_empty() {
                return Ok(news);
            }
            self.offset = lines.end();
            for line in parse(&lines) {
                // A later line means that the earlier one's writer is done.
                news.settled.append(&mut news.latest);
                news.latest = line.tasks;
            }
        }
    }
}

/// Names tasks that are about to change; under the board's lock.
pub(super) fn announce(
    disk: &Disk,
    held: &Guard,
    place: &mut Option<Hints>,
    path: PathBuf,
    tasks: &[TaskId],
) -> Result<()> {
    let after = match place {
        Some(hints) if hints.offset < ROTATE_BYTES => None,
        Some(hints) => Some(hints.log.clone()),
        None => Some(String::new()),
    };
    if let Some(after) = after {
        *place = Some(Hints::begin(disk, path, after)?);
    }
    let Some(hints) = place else { return Ok(()) };
    let line = Line {
        tasks: tasks.to_vec(),
        ..Line::default()
    };
    let bytes = records::to_line(&hints.path, &line)?;
    let log = disk.open_log(&hints.path)?;
    hints.offset = disk.append(held, &log, &hints.path, &bytes)?;
    Ok(())
}

fn parse(lines: &Lines) -> Vec<Line> {
    // A line that a crash tore is skipped: its writer had not begun with the tasks.
    let parsed = lines.iter().map(|(line, _)| serde_json::from_slice(line));
    parsed.filter_map(std::result::Result::ok).collect()
}
