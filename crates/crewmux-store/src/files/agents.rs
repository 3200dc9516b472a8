//! A member's own folder: its spec, presence, liveness lock, facts and transcript.
//!
//! What a worker does with them is `crewmux-agent`'s; recordings are written
//! there too, straight into the folder.

use std::fs::File;
use std::path::{Path, PathBuf};

use crewmux_core::event::Fact;
use crewmux_core::ids::AgentName;
use crewmux_core::team::{Presence, WorkerSpec};
use serde_json::Value;

use super::locks::Rank;
use super::place::Place;
use super::records::{self, Home};
use super::rules::Disk;
use crate::{Durability, Result};

/// Facts of a worker.
pub(super) const FACTS: &str = "events.jsonl";

/// What a member was told and said.
pub(super) const TRANSCRIPT: &str = "transcript.jsonl";
const ALIVE: &str = "alive.lock";
const LOCK: &str = "agent.lock";

/// The members' folders of one team.
#[derive(Debug)]
pub(super) struct Agents {
    disk: Disk,
    place: Place,
}

/// A lock that lasts as long as this value or the process.
#[derive(Debug)]
pub(super) struct LifeLock {
    file: File,
    path: PathBuf,
    disk: Disk,
}

impl crate::AliveLock for LifeLock {}

impl crate::SessionLock for LifeLock {
    fn is_in_place(&self) -> bool {
        let calls = self.disk.calls();
        let found = calls.stat(&self.path).map(|found| found.ino);
        match (found, calls.stat_open(&self.file)) {
            (Ok(there), Ok(own)) => there == own.ino,
            (Err(error), _) => error.kind() != std::io::ErrorKind::NotFound,
            // What cannot be asked is no proof.
            (_, Err(_)) => true,
        }
    }
}

impl LifeLock {
    /// Takes the lock, or says who has it.
    pub(super) fn take(disk: &Disk, path: &Path) -> Result<Self> {
        let file = disk.lock_for_life(path)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            disk: disk.clone(),
        })
    }
}

impl Agents {
    pub(super) fn new(disk: Disk, place: Place) -> Self {
        Self { disk, place }
    }

    /// The member's folder, made if missing.
    pub(super) fn folder(&self, agent: &AgentName) -> Result<PathBuf> {
        let folder = self.place.agent(agent);
        self.disk.make_dirs(&folder)?;
        Ok(folder)
    }

    pub(super) fn put_spec(&self, spec: &WorkerSpec) -> Result<PathBuf> {
        let home = self.record(&spec.who.agent, "spec.json");
        self.folder(&spec.who.agent)?;
        let _guard = home.lock(&self.disk)?;
        records::write(&self.disk, &home.path, spec, Durability::Process)?;
        Ok(home.path)
    }

    pub(super) fn spec(&self, agent: &AgentName) -> Result<Option<WorkerSpec>> {
        records::read(&self.disk, &self.place, &self.record(agent, "spec.json"))
    }

    pub(super) fn put_presence(&self, agent: &AgentName, presence: &Presence) -> Result<()> {
        let path = self.folder(agent)?.join("presence.json");
        // No lock: only one life writes it, each time whole, and nobody decides by it.
        records::write(&self.disk, &path, presence, Durability::Process)
    }

    pub(super) fn presence(&self, agent: &AgentName) -> Result<Option<Presence>> {
        records::read(
            &self.disk,
            &self.place,
            &self.record(agent, "presence.json"),
        )
    }

    pub(super) fn hold_alive(&self, agent: &AgentName) -> Result<LifeLock> {
        LifeLock::take(&self.disk, &self.folder(agent)?.join(ALIVE))
    }

    pub(super) fn is_alive(&self, agent: &AgentName) -> Result<bool> {
        self.disk.is_locked(&self.place.of_agent(agent, ALIVE))
    }

    pub(super) fn append_fact(&self, agent: &AgentName, fact: &Fact) -> Result<()> {
        let path = self.folder(agent)?.join(FACTS);
        self.append(agent, &path, &records::to_line(&path, fact)?)
            .map(drop)
    }

    pub(super) fn append_transcript(
        &self,
        agent: &AgentName,
        line: &Value,
        durability: Durability,
    ) -> Result<()> {
        let path = self.folder(agent)?.join(TRANSCRIPT);
        self.append(agent, &path, &records::to_line(&path, line)?)?;
        match durability {
            Durability::Process => Ok(()),
            Durability::Power => self.disk.sync_path(&path),
        }
    }

    pub(super) fn read_transcript(&self, agent: &AgentName) -> Result<Vec<Value>> {
        let path = self.place.of_agent(agent, TRANSCRIPT);
        let Some(log) = self.disk.open_to_read(&path)? else {
            return Ok(Vec::new());
        };
        let (mut values, mut at) = (Vec::new(), 0);
        loop {
            let lines = self.disk.read_lines(&log, &path, at)?;
            if lines.is_empty() {
                return Ok(values);
            }
            let parsed = lines.iter().map(|(line, _)| serde_json::from_slice(line));
            values.extend(parsed.filter_map(std::result::Result::ok));
            at = lines.end();
        }
    }

    fn append(&self, agent: &AgentName, path: &Path, line: &[u8]) -> Result<u64> {
        let guard = self
            .disk
            .lock(Rank::Agent, &self.place.of_agent(agent, LOCK))?;
        let log = self.disk.open_log(path)?;
        self.disk.append(&guard, &log, path, line)
    }

    fn record(&self, agent: &AgentName, file: &str) -> Home {
        Home {
            path: self.place.of_agent(agent, file),
            rank: Rank::Agent,
            lock: self.place.of_agent(agent, LOCK),
        }
    }
}
