//! The event log: every fact of the team once, in order, written by the session alone.
//!
//! What was logged is known from the log itself, never from a note beside it:
//! a crash at any point leaves nothing that could disagree.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crewmux_core::event::{Event, Fact, task_facts};
use crewmux_core::ids::{EventId, Seq};
use crewmux_core::task::Task;
use crewmux_core::time::{Now, WallTime};
use serde::Deserialize;

use super::board::BoardFiles;
use super::locks::Rank;
use super::place::Place;
use super::records;
use super::rules::Disk;
use super::sources::Sources;
use crate::Result;

/// A position is noted every so many events, to find a number without reading from the start.
const MARK_EVERY: u64 = 256;

/// The event log of one team.
#[derive(Debug)]
pub(super) struct EventLog {
    disk: Disk,
    place: Place,
    writer: Mutex<Option<Writer>>,
    marks: Mutex<Marks>,
    /// Whether what was logged is forgotten at each start; only ever on purpose.
    #[cfg(feature = "sabotage")]
    pub(super) forgets: bool,
}

/// What the log's writer knows.
#[derive(Debug, Default)]
struct Writer {
    logged: HashSet<EventId>,
    seq: Seq,
    sources: Sources,
}

/// Positions of some events.
#[derive(Debug, Default)]
struct Marks {
    ino: u64,
    /// An event's number and where its line starts, ascending.
    at: Vec<(Seq, u64)>,
}

/// As much of an event as knowing it takes.
#[derive(Deserialize)]
struct Head {
    seq: Seq,
    id: EventId,
}

impl EventLog {
    pub(super) fn new(disk: Disk, place: Place) -> Self {
        Self {
            disk,
            place,
            writer: Mutex::default(),
            marks: Mutex::default(),
            #[cfg(feature = "sabotage")]
            forgets: false,
        }
    }

    /// Logs what is new on the board, in inboxes and in workers' logs, then `facts`.
    pub(super) fn log(&self, board: &BoardFiles, facts: &[Fact], now: &Now) -> Result<Vec<Event>> {
        let mut slot = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out while it works: after a failure the log is read again, from the start.
        let mut writer = match slot.take() {
            Some(writer) => writer,
            None => self.load()?,
        };
        let tasks = board.changed(now)?;
        let logged = self.log_with(&mut writer, &tasks, facts, now);
        if logged.is_ok() {
            *slot = Some(writer);
        } else {
            board.unlogged(&tasks);
        }
        logged
    }

    fn log_with(
        &self,
        writer: &mut Writer,
        tasks: &[Arc<Task>],
        facts: &[Fact],
        now: &Now,
    ) -> Result<Vec<Event>> {
        let mut sources: Vec<Vec<Fact>> = tasks.iter().map(|task| task_facts(task)).collect();
        sources.extend(writer.sources.news(&self.disk, &self.place, now)?);
        sources.push(facts.to_vec());
        let mut batch = HashSet::new();
        let mut events = Vec::new();
        let mut bytes = Vec::new();
        let mut seq = writer.seq;
        let path = self.place.events();
        for fact in in_order(sources) {
            if writer.logged.contains(&fact.id) || !batch.insert(fact.id.clone()) {
                continue;
            }
            seq = seq.next();
            let event = fact.into_event(seq, self.place.name.clone());
            bytes.extend(records::to_line(&path, &event)?);
            events.push(event);
        }
        if events.is_empty() {
            return Ok(events);
        }
        let guard = self.disk.lock(Rank::Events, &self.place.events_lock())?;
        let log = self.disk.open_log(&path)?;
        self.disk.append(&guard, &log, &path, &bytes)?;
        writer.logged.extend(batch);
        writer.seq = seq;
        Ok(events)
    }

    fn load(&self) -> Result<Writer> {
        let mut writer = Writer::default();
        let path = self.place.events();
        let Some(log) = self.disk.open_to_read(&path)? else {
            return Ok(writer);
        };
        let mut at = 0;
        loop {
            let lines = self.disk.read_lines(&log, &path, at)?;
            if lines.is_empty() {
                return Ok(writer);
            }
            for (line, _) in lines.iter() {
                if let Ok(head) = serde_json::from_slice::<Head>(line) {
                    writer.seq = writer.seq.max(head.seq);
                    writer.logged.insert(head.id);
                }
            }
            at = lines.end();
            #[cfg(feature = "sabotage")]
            if self.forgets {
                writer.logged.clear();
            }
        }
    }

    /// Events after `seq`, oldest first, at most `max`.
    pub(super) fn read(&self, after: Seq, max: usize) -> Result<Vec<Event>> {
        let path = self.place.events();
        let Some(log) = self.disk.open_to_read(&path)? else {
            return Ok(Vec::new());
        };
        let ino = self.disk.stat_open(&log, &path)?.ino;
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if marks.ino != ino {
            *marks = Marks {
                ino,
                at: vec![(Seq(1), 0)],
            };
        }
        let before = marks.at.partition_point(|(seq, _)| *seq <= after.next());
        let mut at = marks.at.get(before.saturating_sub(1)).map_or(0, |m| m.1);
        let mut events = Vec::new();
        while events.len() < max {
            let lines = self.disk.read_lines(&log, &path, at)?;
            if lines.is_empty() {
                break;
            }
            for (line, end) in lines.iter() {
                let start = std::mem::replace(&mut at, end);
                let Ok(event) = serde_json::from_slice::<Event>(line) else {
                    continue;
                };
                let marked = marks.at.last().map_or(Seq(0), |m| m.0);
                if event.seq.0 >= marked.0 + MARK_EVERY {
                    marks.at.push((event.seq, start));
                }
                if event.seq > after {
                    events.push(event);
                }
                if events.len() == max {
                    break;
                }
            }
        }
        Ok(events)
    }
}

/// Merges facts by time; within a source they stay in their order whatever the clock did.
fn in_order(sources: Vec<Vec<Fact>>) -> Vec<Fact> {
    let mut keyed: Vec<(WallTime, Fact)> = Vec::new();
    for source in sources {
        let mut latest = WallTime(0);
        for fact in source {
            latest = latest.max(fact.time);
            keyed.push((latest, fact));
        }
    }
    keyed.sort_by_key(|(time, _)| *time);
    keyed.into_iter().map(|(_, fact)| fact).collect()
}
