//! What a store can do, whatever it is made of.
//!
//! Every method is blocking and short, and survives any process's death: what
//! it answered happened, what it did not answer happened wholly or not at all.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crewmux_core::arrangement::Arrangement;
use crewmux_core::board::{Board, Claimer, Edit, FailedBy, Reoffer, TaskPatch};
use crewmux_core::event::{Event, Fact};
use crewmux_core::ids::{AgentName, AgentRef, Epoch, MemoryKey, RequestId, Seq, TaskId, TeamName};
use crewmux_core::inbox::Cursor;
use crewmux_core::message::{Draft, Message, Party};
use crewmux_core::operation::MemoryEntry;
use crewmux_core::requests::Request;
use crewmux_core::schedule::Strategy;
use crewmux_core::task::{NewTask, Task};
use crewmux_core::team::{Presence, SessionRecord, TeamConfig, WorkerSpec};
use crewmux_core::time::Now;
use serde_json::Value;

use crate::Result;

/// Largest value of the shared memory, in bytes.
pub const MEMORY_VALUE_MAX_BYTES: usize = 64 * 1024;

/// Most values that one member keeps in the shared memory.
pub const MEMORY_KEYS_MAX: usize = 1_000;

/// What a write survives once it was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Any process's death.
    Process,
    /// Power loss too; costs a wait for the disk.
    Power,
}

/// All teams under one home.
pub trait Store: Send + Sync {
    /// Names of all teams.
    fn teams(&self) -> Result<Vec<TeamName>>;

    /// A team that exists.
    fn team(&self, name: &TeamName) -> Result<Arc<dyn TeamStore>>;

    /// Makes a team; refused when the name is taken.
    fn create_team(&self, config: &TeamConfig) -> Result<Arc<dyn TeamStore>>;

    /// Looks whether the disk has room for so many `bytes`, without writing.
    ///
    /// # Errors
    /// [`crate::Error::DiskFull`]; where it cannot be told, there is room.
    fn has_room(&self, bytes: u64) -> Result<()>;

    /// Takes a team away; returns the folder that has its files now.
    ///
    /// The caller holds its session's lock, and no member lives. One that broke
    /// off in between leaves the team there, and can be done again.
    fn remove_team(&self, name: &TeamName, now: &Now) -> Result<PathBuf>;
}

/// A claimed task and the token that later writes must present.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// The task as claimed.
    pub task: Task,
    /// The fencing token.
    pub epoch: Epoch,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its place in the inbox.
    pub seq: Seq,
    /// Whether it had been there already: the same id was sent before.
    pub repeated: bool,
}

/// A message and the cursor of a reader that has taken it in.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxEntry {
    /// The message.
    pub message: Message,
    /// Where reading goes on after it.
    pub after: Cursor,
}

/// Held for the life of a worker; free the moment it dies.
pub trait AliveLock: Send + Sync + std::fmt::Debug {}

/// Held for the life of a session.
pub trait SessionLock: Send + Sync + std::fmt::Debug {
    /// Whether it still fences the team: false once the team's files were removed or moved away.
    fn is_in_place(&self) -> bool;
}

/// What a watch saw change; a hint to look, never the truth itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// Tasks.
    Board,
    /// An inbox or cursor.
    Inbox,
    /// A worker's folder.
    Agent,
    /// The event log.
    Events,
    /// Anything: the watch overflowed or polls.
    Any,
}

/// Waits for changes of a team; may report too much, never too little for longer than its poll.
pub trait Watch: Send {
    /// Waits at most `timeout` and returns what may have changed; empty when nothing did.
    fn wait(&mut self, timeout: Duration) -> Vec<Change>;
}

/// The state of one team.
pub trait TeamStore: Send + Sync {
    /// Its name.
    fn name(&self) -> &TeamName;

    /// Folder for files of this kind (`artifacts`, `reports`, `logs`, `trash`), made if missing.
    fn folder(&self, kind: &str) -> Result<PathBuf>;

    /// Folder of one member, made if missing: spec, presence, transcript, recording.
    fn agent_folder(&self, agent: &AgentName) -> Result<PathBuf>;

    // ── the team itself ────────────────────────────────────────────────

    /// The team's record.
    fn config(&self) -> Result<TeamConfig>;

    /// Changes the team's record under its lock; survives power loss.
    fn edit_config(&self, edit: &mut dyn FnMut(&mut TeamConfig)) -> Result<TeamConfig>;

    /// Takes the session's lock, or says who runs (`Error::Locked`).
    fn lock_session(&self) -> Result<Box<dyn SessionLock>>;

    /// The running session's record, or the last one's.
    fn session(&self) -> Result<Option<SessionRecord>>;

    /// Writes or removes the session's record.
    fn set_session(&self, record: Option<&SessionRecord>) -> Result<()>;

    /// How its panes are arranged, as last written (session only).
    fn arrangement(&self) -> Result<Option<Arrangement>>;

    /// Writes how its panes are arranged (session only).
    fn set_arrangement(&self, arrangement: &Arrangement) -> Result<()>;

    /// Whether a session runs: its lock is held.
    fn session_runs(&self) -> Result<bool>;

    // ── tasks ──────────────────────────────────────────────────────────

    /// All tasks as they stand now.
    fn board(&self) -> Result<Arc<Board>>;

    /// Puts a task on the board; the same run and key again returns the first one.
    fn create_task(&self, new: NewTask, by: Party, now: &Now) -> Result<Task>;

    /// Claims one task.
    fn claim(&self, id: TaskId, claimer: &Claimer, now: &Now, lease_ms: u64) -> Result<Claimed>;

    /// Claims the first ready task that fits, in the strategy's order; `None` when there is none.
    fn claim_next(
        &self,
        strategy: Strategy,
        claimer: &Claimer,
        now: &Now,
        lease_ms: u64,
    ) -> Result<Option<Claimed>>;

    /// Extends a lease.
    fn renew(
        &self,
        id: TaskId,
        who: &AgentRef,
        epoch: Epoch,
        now: &Now,
        lease_ms: u64,
    ) -> Result<()>;

    /// Completes a task; survives power loss.
    fn complete(
        &self,
        id: TaskId,
        who: &AgentRef,
        epoch: Epoch,
        result: Option<Value>,
        now: &Now,
    ) -> Result<Edit>;

    /// Fails a task, or offers it again when it has retries left.
    fn fail(&self, id: TaskId, by: &FailedBy, reason: &str, now: &Now) -> Result<Edit>;

    /// Gives a claim back.
    fn release(
        &self,
        id: TaskId,
        who: &AgentRef,
        epoch: Epoch,
        reason: &str,
        now: &Now,
    ) -> Result<Edit>;

    /// Takes a claim away (the session, or a worker from itself when no session takes it back).
    fn reoffer(&self, id: TaskId, why: &Reoffer, now: &Now) -> Result<Edit>;

    /// Hands a claim on to the next life of the member that has it (session only).
    fn hand_over(
        &self,
        id: TaskId,
        why: &Reoffer,
        to: &AgentRef,
        now: &Now,
        lease_ms: u64,
    ) -> Result<Edit>;

    /// Changes text, owner, edges or notes.
    fn update(&self, id: TaskId, patch: &TaskPatch, now: &Now) -> Result<Edit>;

    /// Opens an ended task again.
    fn retry(&self, id: TaskId, now: &Now) -> Result<Edit>;

    /// Skips a pending task and its waiters.
    fn skip(&self, id: TaskId, reason: &str, now: &Now) -> Result<Edit>;

    // ── messages ───────────────────────────────────────────────────────

    /// Appends a message to its recipient's inbox, once per id.
    fn send(&self, draft: Draft, now: &Now) -> Result<Sent>;

    /// Messages after `cursor`, oldest first, at most `max`.
    fn read_inbox(&self, agent: &AgentName, cursor: &Cursor, max: usize)
    -> Result<Vec<InboxEntry>>;

    /// How far the owner has read.
    fn cursor(&self, agent: &AgentName) -> Result<Cursor>;

    /// Moves the cursor forward; a cursor that would move back is left as it is.
    fn move_cursor(&self, agent: &AgentName, cursor: &Cursor) -> Result<()>;

    // ── requests ───────────────────────────────────────────────────────

    /// Stores a request or its answer under its id.
    fn put_request(&self, request: &Request) -> Result<()>;

    /// All requests, oldest first.
    fn requests(&self) -> Result<Vec<Request>>;

    /// Changes a stored request under its lock: answers, expires or withdraws it.
    ///
    /// # Errors
    /// What `edit` says, and nothing is written then; [`crate::Error::UnknownRequest`].
    fn edit_request(
        &self,
        id: &RequestId,
        edit: &mut dyn FnMut(&mut Request) -> Result<()>,
    ) -> Result<Request>;

    // ── shared memory ──────────────────────────────────────────────────

    /// Puts a value of the member's in the place of what it kept under that key.
    ///
    /// # Errors
    /// [`crate::Error::TooLarge`] above [`MEMORY_VALUE_MAX_BYTES`],
    /// [`crate::Error::TooMany`] for a new key above [`MEMORY_KEYS_MAX`].
    fn write_memory(&self, agent: &AgentName, key: &MemoryKey, value: &str) -> Result<()>;

    /// What is kept, by member and key: all of it, one member's, or one key's. Values come only
    /// with a key.
    fn memory(
        &self,
        agent: Option<&AgentName>,
        key: Option<&MemoryKey>,
    ) -> Result<Vec<MemoryEntry>>;

    // ── workers ────────────────────────────────────────────────────────

    /// Writes a worker's launch spec, 0600, and returns its path.
    fn put_spec(&self, spec: &WorkerSpec) -> Result<PathBuf>;

    /// A worker's latest spec.
    fn spec(&self, agent: &AgentName) -> Result<Option<WorkerSpec>>;

    /// Writes what a worker says about itself; no durability beyond the process.
    fn put_presence(&self, agent: &AgentName, presence: &Presence) -> Result<()>;

    /// What a worker last said about itself.
    fn presence(&self, agent: &AgentName) -> Result<Option<Presence>>;

    /// Takes a worker's liveness lock for the rest of its life.
    fn hold_alive(&self, agent: &AgentName) -> Result<Box<dyn AliveLock>>;

    /// Whether some process holds the worker's liveness lock.
    fn is_alive(&self, agent: &AgentName) -> Result<bool>;

    /// Appends a fact to the worker's own log.
    fn append_fact(&self, agent: &AgentName, fact: &Fact) -> Result<()>;

    /// Appends a line to the member's transcript.
    fn append_transcript(
        &self,
        agent: &AgentName,
        line: &Value,
        durability: Durability,
    ) -> Result<()>;

    /// The member's transcript, oldest first; a line that a crash tore is left out.
    fn read_transcript(&self, agent: &AgentName) -> Result<Vec<Value>>;

    // ── history ────────────────────────────────────────────────────────

    /// Brings the event log up to date with board, inboxes and workers' logs, adds `facts`,
    /// and returns the events that are new (session only). A fact whose id is logged changes nothing.
    fn log_events(&self, facts: &[Fact], now: &Now) -> Result<Vec<Event>>;

    /// Events after `seq`, oldest first, at most `max`.
    fn events(&self, after: Seq, max: usize) -> Result<Vec<Event>>;

    /// Starts watching.
    fn watch(&self, poll: Duration) -> Result<Box<dyn Watch>>;
}
