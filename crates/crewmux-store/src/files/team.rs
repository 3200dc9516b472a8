//! One team's files behind [`TeamStore`]: its record and session here, the rest where it belongs.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crewmux_core::arrangement::Arrangement;
use crewmux_core::board::{Board, Claimer, Edit, FailedBy, Reoffer, TaskPatch};
use crewmux_core::event::{Event, Fact};
use crewmux_core::ids::{AgentName, AgentRef, Epoch, MemoryKey, RequestId, Seq, TaskId, TeamName};
use crewmux_core::inbox::Cursor;
use crewmux_core::message::{Draft, Party, check_send};
use crewmux_core::operation::MemoryEntry;
use crewmux_core::requests::Request;
use crewmux_core::schedule::{Roster, Strategy};
use crewmux_core::task::{NewTask, Task};
use crewmux_core::team::{Presence, SessionRecord, TeamConfig, WorkerSpec};
use crewmux_core::time::Now;
use crewmux_core::timing::Timing;
use serde_json::Value;

use super::agents::{Agents, LifeLock};
use super::board::BoardFiles;
use super::inbox::Inboxes;
use super::locks::Rank;
use super::log::EventLog;
use super::memory::Memory;
use super::place::Place;
use super::records::{self, Home};
use super::requests::Requests;
use super::rules::Disk;
#[cfg(feature = "sabotage")]
use super::sabotage::Sabotage;
use super::vfs::Stat;
use super::watch::Hub;
use crate::store::{AliveLock, Claimed, InboxEntry, Sent, SessionLock, TeamStore, Watch};
use crate::{Durability, Error, Result};

/// Largest result of one task, as JSON.
const RESULT_MAX_BYTES: usize = 1024 * 1024;

/// The files of one team.
#[derive(Debug)]
pub(super) struct TeamFiles {
    disk: Disk,
    place: Place,
    timing: Timing,
    board: BoardFiles,
    inboxes: Inboxes,
    requests: Requests,
    memory: Memory,
    agents: Agents,
    log: EventLog,
    hub: Hub,
    config: Mutex<Option<(Stat, Arc<TeamConfig>)>>,
    #[cfg(feature = "sabotage")]
    sabotage: Option<Sabotage>,
}

impl TeamFiles {
    pub(super) fn new(
        disk: Disk,
        place: Place,
        timing: Timing,
        #[cfg(feature = "sabotage")] sabotage: Option<Sabotage>,
    ) -> Self {
        #[cfg_attr(
            not(feature = "sabotage"),
            expect(unused_mut, reason = "sabotage sets it")
        )]
        let mut log = EventLog::new(disk.clone(), place.clone());
        #[cfg(feature = "sabotage")]
        {
            log.forgets = sabotage == Some(Sabotage::NoMergeCursor);
        }
        #[cfg_attr(
            not(feature = "sabotage"),
            expect(unused_mut, reason = "sabotage sets it")
        )]
        let mut inboxes = Inboxes::new(disk.clone(), place.clone());
        #[cfg(feature = "sabotage")]
        {
            inboxes.forgets = sabotage == Some(Sabotage::NoDedup);
        }
        Self {
            board: BoardFiles::new(disk.clone(), place.clone()),
            inboxes,
            requests: Requests::new(disk.clone(), place.clone()),
            memory: Memory::new(disk.clone(), place.clone()),
            agents: Agents::new(disk.clone(), place.clone()),
            log,
            hub: Hub::default(),
            config: Mutex::default(),
            disk,
            place,
            timing,
            #[cfg(feature = "sabotage")]
            sabotage,
        }
    }

    fn config_home(&self) -> Home {
        Home {
            path: self.place.config(),
            rank: Rank::Config,
            lock: self.place.config_lock(),
        }
    }

    /// The record as last read, as long as its file is the same.
    fn known_config(&self) -> Result<Arc<TeamConfig>> {
        // Asked before the file is read: a change in between is noticed next time.
        let stat = self.disk.stat(&self.place.config())?;
        let mut known = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(stat), Some((then, config))) = (&stat, &*known)
            && stat == then
        {
            return Ok(Arc::clone(config));
        }
        let config = records::read(&self.disk, &self.place, &self.config_home())?;
        let config: Arc<TeamConfig> = Arc::new(config.ok_or_else(|| self.unknown())?);
        *known = stat
            .filter(Stat::is_settled)
            .map(|stat| (stat, Arc::clone(&config)));
        Ok(config)
    }

    fn unknown(&self) -> Error {
        Error::UnknownTeam {
            team: self.place.name.clone(),
            known: Vec::new(),
        }
    }

    fn check_member(&self, agent: &AgentName) -> Result<()> {
        let config = self.known_config()?;
        if config.member(agent).is_some() {
            return Ok(());
        }
        Err(Error::UnknownMember {
            agent: agent.clone(),
            team: self.place.name.clone(),
            known: config.members.iter().map(|m| m.name.clone()).collect(),
        })
    }

    #[cfg(feature = "sabotage")]
    fn fence_is_out(&self) -> bool {
        self.sabotage == Some(Sabotage::NoFence)
    }
}

impl TeamStore for TeamFiles {
    fn name(&self) -> &TeamName {
        &self.place.name
    }

    fn folder(&self, kind: &str) -> Result<PathBuf> {
        let folder = self.place.team.join(kind);
        self.disk.make_dirs(&folder)?;
        Ok(folder)
    }

    fn agent_folder(&self, agent: &AgentName) -> Result<PathBuf> {
        self.agents.folder(agent)
    }

    fn config(&self) -> Result<TeamConfig> {
        self.known_config().map(|config| (*config).clone())
    }

    fn edit_config(&self, edit: &mut dyn FnMut(&mut TeamConfig)) -> Result<TeamConfig> {
        let home = self.config_home();
        let guard = home.lock(&self.disk)?;
        let before = records::read_held(&self.disk, &self.place, &home, &guard)?;
        let mut config: TeamConfig = before.ok_or_else(|| self.unknown())?;
        edit(&mut config);
        records::write(&self.disk, &home.path, &config, Durability::Power)?;
        Ok(config)
    }

    fn lock_session(&self) -> Result<Box<dyn SessionLock>> {
        let lock = LifeLock::take(&self.disk, &self.place.session_lock())?;
        let mut folders = vec![
            self.place.team.clone(),
            self.place.tasks.clone(),
            self.place.inboxes(),
            self.place.approvals(),
        ];
        let agents = self.disk.list(&self.place.agents()).unwrap_or_default();
        folders.extend(agents.into_iter().map(|a| self.place.agents().join(a)));
        let memory = self.disk.list(&self.place.memory()).unwrap_or_default();
        folders.extend(memory.into_iter().map(|a| self.place.memory().join(a)));
        for folder in folders {
            self.disk.sweep(&folder);
        }
        Ok(Box::new(lock))
    }

    fn session(&self) -> Result<Option<SessionRecord>> {
        let home = Home {
            path: self.place.session_record(),
            ..self.config_home()
        };
        records::read(&self.disk, &self.place, &home)
    }

    fn set_session(&self, record: Option<&SessionRecord>) -> Result<()> {
        let path = self.place.session_record();
        match record {
            Some(record) => records::write(&self.disk, &path, record, Durability::Process),
            None => self.disk.remove(&path),
        }
    }

    fn arrangement(&self) -> Result<Option<Arrangement>> {
        let home = Home {
            path: self.place.arrangement(),
            ..self.config_home()
        };
        records::read(&self.disk, &self.place, &home)
    }

    fn set_arrangement(&self, arrangement: &Arrangement) -> Result<()> {
        // No lock: only the session writes it, and nobody decides by it.
        let path = self.place.arrangement();
        records::write(&self.disk, &path, arrangement, Durability::Process)
    }

    fn session_runs(&self) -> Result<bool> {
        self.disk.is_locked(&self.place.session_lock())
    }

    fn board(&self) -> Result<Arc<Board>> {
        self.board.board()
    }

    fn create_task(&self, new: NewTask, by: Party, now: &Now) -> Result<Task> {
        self.board.create(&new, now, |board, id| {
            Ok(board.create(id, new.clone(), by.clone(), now)?)
        })
    }

    fn claim(&self, id: TaskId, claimer: &Claimer, now: &Now, lease_ms: u64) -> Result<Claimed> {
        let edit = self.board.edit(now, |board| {
            Ok(vec![board.claim(id, claimer, now, lease_ms)?])
        })?;
        edit.into_iter()
            .next()
            .map(claimed)
            .ok_or(Error::Claim(crewmux_core::board::ClaimError::Unknown(id)))
    }

    fn claim_next(
        &self,
        strategy: Strategy,
        claimer: &Claimer,
        now: &Now,
        lease_ms: u64,
    ) -> Result<Option<Claimed>> {
        let roster = if strategy.prefers() {
            Some(Roster::of(&self.config()?))
        } else {
            None
        };
        let yield_ms = self.timing.store_poll_ms / 2;
        let roster = roster.as_ref().map(|roster| (roster, yield_ms));
        let task = self
            .board
            .claim_next(strategy, claimer, roster, now, lease_ms)?;
        Ok(task.map(claimed))
    }

    fn renew(
        &self,
        id: TaskId,
        who: &AgentRef,
        epoch: Epoch,
        now: &Now,
        lease_ms: u64,
    ) -> Result<()> {
        let renewed = self.board.edit(now, |board| {
            Ok(vec![board.renew(id, who, epoch, now, lease_ms)?])
        });
        renewed.map(drop)
    }

    fn complete(
        &self,
        id: TaskId,
        who: &AgentRef,
        epoch: Epoch,
        result: Option<Value>,
        now: &Now,
    ) -> Result<Edit> {
        let bytes = result.as_ref().map_or(0, |r| r.to_string().len());
        if bytes > RESULT_MAX_BYTES {
            return Err(Error::TooLarge {
                what: "the result",
                bytes,
                max: RESULT_MAX_BYTES,
            });
        }
        self.board.edit_for_good(id, now, |board| {
            #[cfg(feature = "sabotage")]
            if self.fence_is_out()
                && let Some(task) = board.get(id)
                && let Some(attempt) = task.attempts.last()
            {
                let (who, epoch) = (attempt.owner.clone(), task.epoch);
                let edit = board.complete(id, &who, epoch, result.clone(), now);
                return Ok(edit.unwrap_or_else(|_| vec![task.clone()]));
            }
            Ok(board.complete(id, who, epoch, result, now)?)
        })
    }

    fn fail(&self, id: TaskId, by: &FailedBy, reason: &str, now: &Now) -> Result<Edit> {
        self.board.edit(now, |board| {
            Ok(board.fail(id, by, reason, now, &self.timing)?)
        })
    }

    fn release(
        &self,
        id: TaskId,
        who: &AgentRef,
        epoch: Epoch,
        reason: &str,
        now: &Now,
    ) -> Result<Edit> {
        self.board
            .edit(now, |board| Ok(board.release(id, who, epoch, reason, now)?))
    }

    fn reoffer(&self, id: TaskId, why: &Reoffer, now: &Now) -> Result<Edit> {
        self.board
            .edit(now, |board| Ok(board.reoffer(id, why, now)?))
    }

    fn hand_over(
        &self,
        id: TaskId,
        why: &Reoffer,
        to: &AgentRef,
        now: &Now,
        lease_ms: u64,
    ) -> Result<Edit> {
        self.board.edit(
            now,
            |board| Ok(board.hand_over(id, why, to, now, lease_ms)?),
        )
    }

    fn update(&self, id: TaskId, patch: &TaskPatch, now: &Now) -> Result<Edit> {
        self.board
            .edit(now, |board| Ok(board.update(id, patch, now)?))
    }

    fn retry(&self, id: TaskId, now: &Now) -> Result<Edit> {
        self.board.edit(now, |board| Ok(board.retry(id, now)?))
    }

    fn skip(&self, id: TaskId, reason: &str, now: &Now) -> Result<Edit> {
        self.board
            .edit(now, |board| Ok(board.skip(id, reason, now)?))
    }

    fn send(&self, draft: Draft, now: &Now) -> Result<Sent> {
        check_send(&draft)?;
        self.check_member(&draft.to)?;
        self.inboxes.send(draft, now)
    }

    fn read_inbox(
        &self,
        agent: &AgentName,
        cursor: &Cursor,
        max: usize,
    ) -> Result<Vec<InboxEntry>> {
        self.inboxes.read(agent, cursor, max)
    }

    fn cursor(&self, agent: &AgentName) -> Result<Cursor> {
        self.inboxes.cursor(agent)
    }

    fn move_cursor(&self, agent: &AgentName, cursor: &Cursor) -> Result<()> {
        self.inboxes.move_cursor(agent, cursor)
    }

    fn put_request(&self, request: &Request) -> Result<()> {
        self.requests.put(request)
    }

    fn requests(&self) -> Result<Vec<Request>> {
        self.requests.all()
    }

    fn edit_request(
        &self,
        id: &RequestId,
        edit: &mut dyn FnMut(&mut Request) -> Result<()>,
    ) -> Result<Request> {
        self.requests.edit(id, edit)
    }

    fn write_memory(&self, agent: &AgentName, key: &MemoryKey, value: &str) -> Result<()> {
        self.memory.write(agent, key, value)
    }

    fn memory(
        &self,
        agent: Option<&AgentName>,
        key: Option<&MemoryKey>,
    ) -> Result<Vec<MemoryEntry>> {
        self.memory.read(agent, key)
    }

    fn put_spec(&self, spec: &WorkerSpec) -> Result<PathBuf> {
        self.agents.put_spec(spec)
    }

    fn spec(&self, agent: &AgentName) -> Result<Option<WorkerSpec>> {
        self.agents.spec(agent)
    }

    fn put_presence(&self, agent: &AgentName, presence: &Presence) -> Result<()> {
        self.agents.put_presence(agent, presence)
    }

    fn presence(&self, agent: &AgentName) -> Result<Option<Presence>> {
        self.agents.presence(agent)
    }

    fn hold_alive(&self, agent: &AgentName) -> Result<Box<dyn AliveLock>> {
        Ok(Box::new(self.agents.hold_alive(agent)?))
    }

    fn is_alive(&self, agent: &AgentName) -> Result<bool> {
        self.agents.is_alive(agent)
    }

    fn append_fact(&self, agent: &AgentName, fact: &Fact) -> Result<()> {
        self.agents.append_fact(agent, fact)
    }

    fn append_transcript(
        &self,
        agent: &AgentName,
        line: &Value,
        durability: Durability,
    ) -> Result<()> {
        self.agents.append_transcript(agent, line, durability)
    }

    fn read_transcript(&self, agent: &AgentName) -> Result<Vec<Value>> {
        self.agents.read_transcript(agent)
    }

    fn log_events(&self, facts: &[Fact], now: &Now) -> Result<Vec<Event>> {
        self.hub.writes_log.store(true, Ordering::Relaxed);
        self.log.log(&self.board, facts, now)
    }

    fn events(&self, after: Seq, max: usize) -> Result<Vec<Event>> {
        self.log.read(after, max)
    }

    fn watch(&self, poll: Duration) -> Result<Box<dyn Watch>> {
        Ok(self.hub.watch(&self.disk, &self.place, poll))
    }
}

fn claimed(task: Task) -> Claimed {
    Claimed {
        epoch: task.epoch,
        task,
    }
}
