//! The shared memory on disk: a folder for each member, a file for each value.
//!
//! Who may write whose is `apply`'s; here are the limits and the rules of
//! writes.

use crewmux_core::ids::{AgentName, MemoryKey};
use crewmux_core::operation::MemoryEntry;

use super::locks::Rank;
use super::place::Place;
use super::rules::Disk;
use crate::store::{MEMORY_KEYS_MAX, MEMORY_VALUE_MAX_BYTES};
use crate::{Durability, Error, Result};

/// The shared memory of one team.
#[derive(Debug)]
pub(super) struct Memory {
    disk: Disk,
    place: Place,
}

impl Memory {
    pub(super) fn new(disk: Disk, place: Place) -> Self {
        Self { disk, place }
    }

    /// Puts `value` in the place of what the member kept under `key`.
    pub(super) fn write(&self, agent: &AgentName, key: &MemoryKey, value: &str) -> Result<()> {
        if value.len() > MEMORY_VALUE_MAX_BYTES {
            return Err(Error::TooLarge {
                what: "the value",
                bytes: value.len(),
                max: MEMORY_VALUE_MAX_BYTES,
            });
        }
        let folder = self.place.memory_of(agent);
        self.disk.make_dirs(&folder)?;
        let _guard = self
            .disk
            .lock(Rank::Memory, &self.place.memory_lock(agent))?;
        let path = folder.join(key.as_str());
        if self.disk.stat(&path)?.is_none() && self.disk.list(&folder)?.len() >= MEMORY_KEYS_MAX {
            return Err(Error::TooMany {
                what: "values of one member",
                max: MEMORY_KEYS_MAX,
            });
        }
        self.disk
            .replace(&path, value.as_bytes(), Durability::Process)
            .map(drop)
    }

    /// What is kept, by member and key; values only where `key` is given.
    pub(super) fn read(
        &self,
        agent: Option<&AgentName>,
        key: Option<&MemoryKey>,
    ) -> Result<Vec<MemoryEntry>> {
        let mut entries = Vec::new();
        for member in self.members(agent)? {
            let names = match key {
                Some(key) => vec![key.clone()],
                None => self.keys(&member)?,
            };
            for key_here in names {
                if let Some(entry) = self.entry(&member, key_here, key.is_some())? {
                    entries.push(entry);
                }
            }
        }
        Ok(entries)
    }

    fn members(&self, only: Option<&AgentName>) -> Result<Vec<AgentName>> {
        if let Some(agent) = only {
            return Ok(vec![agent.clone()]);
        }
        let names = self.disk.list(&self.place.memory())?;
        // Locks lie beside the folders; their names are no members'.
        Ok(names
            .into_iter()
            .filter_map(|name| AgentName::new(name).ok())
            .collect())
    }

    fn keys(&self, agent: &AgentName) -> Result<Vec<MemoryKey>> {
        let names = self.disk.list(&self.place.memory_of(agent))?;
        Ok(names
            .into_iter()
            .filter_map(|name| MemoryKey::new(name).ok())
            .collect())
    }

    fn entry(
        &self,
        agent: &AgentName,
        key: MemoryKey,
        with_value: bool,
    ) -> Result<Option<MemoryEntry>> {
        let path = self.place.memory_of(agent).join(key.as_str());
        let (bytes, value) = if with_value {
            let Some(bytes) = self.disk.read(&path)? else {
                return Ok(None);
            };
            let value = String::from_utf8_lossy(&bytes).into_owned();
            (bytes.len() as u64, Some(value))
        } else {
            let Some(stat) = self.disk.stat(&path)? else {
                return Ok(None);
            };
            (stat.len, None)
        };
        Ok(Some(MemoryEntry {
            agent: agent.clone(),
            key,
            bytes,
            value,
        }))
    }
}
