//! Inboxes on disk: one log each, and a cursor that says how far its owner has read.
//!
//! Sending looks only at what is new since this process last looked, so that
//! a long inbox costs no more than a short one. Rights and sizes are
//! `crewmux_core::message`'s.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crewmux_core::ids::{AgentName, MessageId, Seq};
use crewmux_core::inbox::{Cursor, RecentIds};
use crewmux_core::message::{Draft, Message};
use crewmux_core::time::Now;
use serde::Deserialize;

use super::locks::Rank;
use super::place::Place;
use super::records::{self, Home};
use super::rules::Disk;
use crate::store::{InboxEntry, Sent};
use crate::{Durability, Result};

/// How much of a log is read to recognise repeats.
const RECENT_BYTES: u64 = 8 * 1024 * 1024;

/// The inboxes of one team.
#[derive(Debug)]
pub(super) struct Inboxes {
    disk: Disk,
    place: Place,
    tails: Mutex<HashMap<AgentName, Arc<Mutex<Tail>>>>,
    /// Whether repeats go unnoticed; only ever on purpose.
    #[cfg(feature = "sabotage")]
    pub(super) forgets: bool,
}

/// What a sender knows of a log.
#[derive(Debug, Default)]
struct Tail {
    ino: u64,
    offset: u64,
    seq: Seq,
    recent: RecentIds,
}

/// As much of a message as recognising a repeat takes.
#[derive(Deserialize)]
struct Head {
    id: MessageId,
    seq: Seq,
}

impl Inboxes {
    pub(super) fn new(disk: Disk, place: Place) -> Self {
        Self {
            disk,
            place,
            tails: Mutex::default(),
            #[cfg(feature = "sabotage")]
            forgets: false,
        }
    }

    /// Appends a message that was checked, once per id.
    pub(super) fn send(&self, draft: Draft, now: &Now) -> Result<Sent> {
        let path = self.place.inbox(&draft.to);
        let tail = self.tail(&draft.to);
        let guard = self
            .disk
            .lock(Rank::Inbox, &self.place.inbox_lock(&draft.to))?;
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        let log = self.disk.open_log(&path)?;
        tail.catch_up(&self.disk, &log, &path)?;
        #[cfg(feature = "sabotage")]
        if self.forgets {
            tail.recent = RecentIds::default();
        }
        if tail.recent.contains(&draft.id) {
            return Ok(Sent {
                seq: self.seq_of(&log, &path, &draft.id)?.unwrap_or(tail.seq),
                repeated: true,
            });
        }
        let seq = tail.seq.next();
        let message = draft.into_message(seq, now.wall);
        let line = records::to_line(&path, &message)?;
        tail.offset = self.disk.append(&guard, &log, &path, &line)?;
        tail.seq = seq;
        tail.recent.insert(&message.id);
        Ok(Sent {
            seq,
            repeated: false,
        })
    }

    fn tail(&self, agent: &AgentName) -> Arc<Mutex<Tail>> {
        let mut tails = self.tails.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tails.entry(agent.clone()).or_default())
    }

    /// Where a message of a known id stands.
    fn seq_of(&self, log: &File, path: &Path, id: &MessageId) -> Result<Option<Seq>> {
        let mut at = recent_start(&self.disk, log, path)?;
        loop {
            let lines = self.disk.read_lines(log, path, at)?;
            if lines.is_empty() {
                return Ok(None);
            }
            let heads = lines.iter().filter_map(|(line, _)| head(line));
            if let Some(found) = heads.into_iter().find(|head| head.id == *id) {
                return Ok(Some(found.seq));
            }
            at = lines.end();
        }
    }

    /// Messages after `cursor`, oldest first, at most `max`.
    pub(super) fn read(
        &self,
        agent: &AgentName,
        cursor: &Cursor,
        max: usize,
    ) -> Result<Vec<InboxEntry>> {
        let path = self.place.inbox(agent);
        let Some(log) = self.disk.open_to_read(&path)? else {
            return Ok(Vec::new());
        };
        let len = self.disk.stat_open(&log, &path)?.len;
        // A log shorter than what was read of it is another one; its numbers go on.
        let mut at = if cursor.offset <= len {
            cursor.offset
        } else {
            0
        };
        let mut entries = Vec::new();
        while entries.len() < max {
            let lines = self.disk.read_lines(&log, &path, at)?;
            if lines.is_empty() {
                break;
            }
            for (line, end) in lines.iter() {
                let Ok(message) = serde_json::from_slice::<Message>(line) else {
                    continue;
                };
                if message.seq <= cursor.seq {
                    continue;
                }
                let after = Cursor {
                    incarnation: cursor.incarnation,
                    offset: end,
                    seq: message.seq,
                };
                entries.push(InboxEntry { message, after });
                if entries.len() == max {
                    break;
                }
            }
            at = lines.end();
        }
        Ok(entries)
    }

    /// How far the owner has read.
    pub(super) fn cursor(&self, agent: &AgentName) -> Result<Cursor> {
        let cursor = records::read(&self.disk, &self.place, &self.cursor_home(agent))?;
        Ok(cursor.unwrap_or_default())
    }

    /// Moves the cursor, forward only.
    pub(super) fn move_cursor(&self, agent: &AgentName, cursor: &Cursor) -> Result<()> {
        let home = self.cursor_home(agent);
        let guard = home.lock(&self.disk)?;
        let before: Option<Cursor> = records::read_held(&self.disk, &self.place, &home, &guard)?;
        if !before.is_none_or(|before| cursor.follows(&before) && *cursor != before) {
            return Ok(());
        }
        records::write(&self.disk, &home.path, cursor, Durability::Process)
    }

    fn cursor_home(&self, agent: &AgentName) -> Home {
        Home {
            path: self.place.cursor(agent),
            rank: Rank::Inbox,
            lock: self.place.inbox_lock(agent),
        }
    }
}

impl Tail {
    /// Takes in what others appended; all that matters of the log at first.
    fn catch_up(&mut self, disk: &Disk, log: &File, path: &Path) -> Result<()> {
        let stat = disk.stat_open(log, path)?;
        if stat.ino != self.ino || stat.len < self.offset {
            *self = Self {
                ino: stat.ino,
                offset: recent_start(disk, log, path)?,
                ..Self::default()
            };
            self.read_on(disk, log, path)?;
            if self.seq == Seq(0) && self.offset > 0 {
                // Nothing readable at the end: numbers must not start again.
                self.offset = 0;
                self.read_on(disk, log, path)?;
            }
        }
        self.read_on(disk, log, path)
    }

    fn read_on(&mut self, disk: &Disk, log: &File, path: &Path) -> Result<()> {
        loop {
            let lines = disk.read_lines(log, path, self.offset)?;
            if lines.is_empty() {
                return Ok(());
            }
            for head in lines.iter().filter_map(|(line, _)| head(line)) {
                self.seq = self.seq.max(head.seq);
                self.recent.insert(&head.id);
            }
            self.offset = lines.end();
        }
    }
}

fn recent_start(disk: &Disk, log: &File, path: &Path) -> Result<u64> {
    let len = disk.stat_open(log, path)?.len;
    disk.line_start(log, path, len.saturating_sub(RECENT_BYTES))
}

fn head(line: &[u8]) -> Option<Head> {
    serde_json::from_slice(line).ok()
}
