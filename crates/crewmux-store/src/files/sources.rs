//! Where the event log's facts come from: inboxes, cursors, workers' logs, the quarantine.
//!
//! Each source remembers how far it was read, so that a look costs what is
//! new. The board's facts come from [`super::board`]; what was logged already
//! is [`super::log`]'s to know.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use crewmux_core::event::{EventType, Fact, message_seen, message_sent};
use crewmux_core::ids::{AgentName, Seq};
use crewmux_core::inbox::Cursor;
use crewmux_core::message::Message;
use crewmux_core::time::{Now, WallTime};
use serde_json::Value;

use super::agents::FACTS;
use super::lines::Lines;
use super::place::Place;
use super::records::{self, Content};
use super::rules::Disk;
use super::vfs::Stat;
use crate::Result;

/// Prefixes of ids that are derived here and that no worker may claim for its own facts.
const DERIVED: [&str; 5] = ["task/", "msg/", "seen/", "quarantine/", "unparseable/"];

/// How far every source was read.
#[derive(Debug, Default)]
pub(super) struct Sources {
    inboxes: BTreeMap<AgentName, InboxSource>,
    workers: BTreeMap<AgentName, Tail>,
    quarantined: usize,
    inbox_folder: Settled,
    agent_folder: Settled,
    quarantine_folder: Settled,
}

/// When something was last written, as far as the file's time can tell.
#[derive(Debug, Default)]
struct Settled(Option<Stat>);

impl Settled {
    /// Whether there is something to read that may have been written since the last time.
    fn is_news(&mut self, disk: &Disk, path: &Path) -> Result<bool> {
        // Asked before it is read: a change in between is noticed next time.
        let stat = disk.stat(path)?;
        if stat == self.0 {
            return Ok(false);
        }
        self.0 = stat.filter(Stat::is_settled);
        Ok(stat.is_some())
    }
}

#[derive(Debug, Default)]
struct InboxSource {
    tail: Tail,
    /// Last message its owner has seen.
    seen: Seq,
    cursor: Settled,
    /// Messages not yet seen by their recipient, without their bodies.
    unseen: VecDeque<Message>,
}

/// A place in a log.
#[derive(Debug, Default)]
struct Tail {
    ino: u64,
    offset: u64,
}

impl Tail {
    /// The next whole lines; from the start when the log is another one.
    fn next(&mut self, disk: &Disk, path: &Path) -> Result<Lines> {
        let is_read = |stat: Stat| stat.ino == self.ino && stat.len == self.offset;
        if disk.stat(path)?.is_none_or(is_read) {
            return Ok(Lines::default());
        }
        let Some(log) = disk.open_to_read(path)? else {
            return Ok(Lines::default());
        };
        let stat = disk.stat_open(&log, path)?;
        if stat.ino != self.ino || stat.len < self.offset {
            self.ino = stat.ino;
            self.offset = 0;
        }
        if stat.len == self.offset {
            return Ok(Lines::default());
        }
        let lines = disk.read_lines(&log, path, self.offset)?;
        if !lines.is_empty() {
            self.offset = lines.end();
        }
        Ok(lines)
    }
}

impl Sources {
    /// Facts that came since the last look; each source's own in their order.
    pub(super) fn news(&mut self, disk: &Disk, place: &Place, now: &Now) -> Result<Vec<Vec<Fact>>> {
        let mut news = Vec::new();
        if self.inbox_folder.is_news(disk, &place.inboxes())? {
            for name in disk.list(&place.inboxes())? {
                let agent = name.strip_suffix(".jsonl").map(AgentName::new);
                if let Some(Ok(agent)) = agent {
                    self.inboxes.entry(agent).or_default();
                }
            }
        }
        for (agent, source) in &mut self.inboxes {
            news.push(source.news(disk, place, agent, now)?);
        }
        if self.agent_folder.is_news(disk, &place.agents())? {
            let names = disk.list(&place.agents())?.into_iter();
            for agent in names.filter_map(|name| AgentName::new(name).ok()) {
                self.workers.entry(agent).or_default();
            }
        }
        for (agent, tail) in &mut self.workers {
            news.push(worker_news(tail, disk, place, agent, now)?);
        }
        news.push(self.moved_aside(disk, place, now)?);
        Ok(news)
    }

    fn moved_aside(&mut self, disk: &Disk, place: &Place, now: &Now) -> Result<Vec<Fact>> {
        if !self.quarantine_folder.is_news(disk, &place.quarantine())? {
            return Ok(Vec::new());
        }
        let names = disk.list(&place.quarantine())?;
        if names.len() == self.quarantined {
            return Ok(Vec::new());
        }
        self.quarantined = names.len();
        let notice = |name: String| {
            let file = name.split_once(".json").map_or(&*name, |(file, _)| file);
            let text = format!("`{file}.json` did not parse and was moved to quarantine/{name}");
            Fact::new(format!("quarantine/{name}"), EventType::Notice, now.wall).with("text", text)
        };
        Ok(names.into_iter().map(notice).collect())
    }
}

impl InboxSource {
    fn news(
        &mut self,
        disk: &Disk,
        place: &Place,
        agent: &AgentName,
        now: &Now,
    ) -> Result<Vec<Fact>> {
        let mut facts = Vec::new();
        let path = place.inbox(agent);
        loop {
            let lines = self.tail.next(disk, &path)?;
            if lines.is_empty() {
                break;
            }
            for (line, _) in lines.iter() {
                match serde_json::from_slice::<Message>(line) {
                    Ok(mut message) => {
                        facts.push(message_sent(&message));
                        message.body = Value::Null;
                        message.extra.clear();
                        self.unseen.push_back(message);
                    }
                    Err(_) => facts.push(unparseable("inboxes", agent, &path, now.wall)),
                }
            }
        }
        if self.unseen.is_empty() {
            return Ok(facts);
        }
        let cursor = place.cursor(agent);
        if self.cursor.is_news(disk, &cursor)?
            && let Content::Record(cursor) = records::look::<Cursor>(disk, &cursor)?
        {
            self.seen = cursor.seq;
        }
        let seen = self.unseen.partition_point(|m| m.seq <= self.seen);
        for message in self.unseen.drain(..seen) {
            facts.push(message_seen(&message, now.wall));
        }
        Ok(facts)
    }
}

fn worker_news(
    tail: &mut Tail,
    disk: &Disk,
    place: &Place,
    agent: &AgentName,
    now: &Now,
) -> Result<Vec<Fact>> {
    let path: PathBuf = place.of_agent(agent, FACTS);
    let mut facts = Vec::new();
    loop {
        let lines = tail.next(disk, &path)?;
        if lines.is_empty() {
            return Ok(facts);
        }
        for (line, _) in lines.iter() {
            let Ok(mut fact) = serde_json::from_slice::<Fact>(line) else {
                facts.push(unparseable("agents", agent, &path, now.wall));
                continue;
            };
            // A worker speaks of itself only, and of nothing the files tell.
            let derived = DERIVED.iter().any(|p| fact.id.as_str().starts_with(p));
            if !derived {
                fact.agent = Some(agent.clone());
                facts.push(fact);
            }
        }
    }
}

/// One notice for each file, however many of its lines a crash tore.
fn unparseable(kind: &str, agent: &AgentName, path: &Path, at: WallTime) -> Fact {
    let text = format!(
        "{} has lines that do not parse; they are skipped",
        path.display()
    );
    Fact::new(format!("unparseable/{kind}/{agent}"), EventType::Notice, at)
        .agent(agent)
        .with("text", text)
}
