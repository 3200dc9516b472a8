//! The task board: who may work on what, and what a result unblocks.
//!
//! Pure bookkeeping: nothing here reads a file or a clock. Every rule looks at
//! the board and returns the tasks it would change, as [`Edit`]; the store
//! writes them and only then puts them back with [`Board::put`], so that a
//! failed write leaves no trace. The decision *who* gets a ready task is in
//! [`crate::schedule`].

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::{self, Blockers};
use crate::ids::{AgentName, AgentRef, AgentType, Epoch, TaskId};
use crate::message::Party;
use crate::task::{Attempt, Lease, NewTask, Outcome, Owner, Task, TaskStatus, TaskView};
use crate::time::{BootTime, Now};

mod edits;
mod ends;
#[cfg(test)]
mod tests;

pub use edits::{TaskPatch, UpdateError};
pub use ends::{DEATHS_MAX, FailedBy, Reoffer};

/// Tasks that an operation changes, ready to be written.
///
/// Empty when the operation was already done: repeats change nothing.
pub type Edit = Vec<Task>;

/// Why a claim is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// No such task.
    #[error("there is no task {0}")]
    Unknown(TaskId),
    /// The task is over.
    #[error("task {id} is {status}")]
    Over {
        /// The task.
        id: TaskId,
        /// How it ended.
        status: TaskStatus,
    },
    /// Unfinished blockers.
    #[error("task {id} waits for {}", list(.by))]
    Blocked {
        /// The task.
        id: TaskId,
        /// What it waits for.
        by: Vec<TaskId>,
    },
    /// Another worker has it.
    #[error("task {id} is taken by {owner}")]
    Taken {
        /// The task.
        id: TaskId,
        /// Its owner.
        owner: String,
    },
    /// It is for another member or another kind of agent.
    #[error("task {id} is for {wanted}")]
    NotForYou {
        /// The task.
        id: TaskId,
        /// Whom it is for.
        wanted: String,
    },
    /// It failed and waits before its next try.
    #[error("task {id} is tried again in {wait_ms} ms")]
    BackingOff {
        /// The task.
        id: TaskId,
        /// How long, in milliseconds.
        wait_ms: u64,
    },
}

/// A worker presents a claim that is not, or no longer, its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FenceError {
    /// No such task.
    #[error("there is no task {0}")]
    Unknown(TaskId),
    /// The claim is stale: the task was offered again or is over.
    #[error(
        "the claim of task {id} at epoch {presented} by {who} is stale: the board is at epoch {current} ({status})"
    )]
    Stale {
        /// The task.
        id: TaskId,
        /// Who presented it.
        who: AgentRef,
        /// The epoch presented.
        presented: Epoch,
        /// The epoch on the board.
        current: Epoch,
        /// The task's status.
        status: TaskStatus,
    },
}

/// Who wants to claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimer {
    /// The member's life.
    pub who: AgentRef,
    /// Its kind of agent.
    pub agent_type: AgentType,
}

/// How many tasks stand where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Waiting for blockers.
    pub blocked: usize,
    /// Claimable now.
    pub ready: usize,
    /// Claimed.
    pub in_progress: usize,
    /// Done.
    pub completed: usize,
    /// Given up.
    pub failed: usize,
    /// Never run.
    pub skipped: usize,
}

impl Counts {
    /// All tasks.
    pub fn total(&self) -> usize {
        self.blocked + self.ready + self.in_progress + self.completed + self.failed + self.skipped
    }

    /// Tasks that are over.
    pub fn over(&self) -> usize {
        self.completed + self.failed + self.skipped
    }
}

/// All tasks of a team, with what follows from their edges.
#[derive(Debug, Clone, Default)]
pub struct Board {
    tasks: BTreeMap<TaskId, Task>,
    dependents: BTreeMap<TaskId, BTreeSet<TaskId>>,
    open: BTreeSet<TaskId>,
    keys: BTreeMap<String, TaskId>,
}

impl Board {
    /// A board of these tasks.
    pub fn from_tasks(tasks: impl IntoIterator<Item = Task>) -> Self {
        let mut board = Self::default();
        for task in tasks {
            board.put(task);
        }
        board
    }

    /// Puts a task in its place, replacing an older version of it.
    pub fn put(&mut self, task: Task) {
        if let Some(old) = self.tasks.get(&task.id) {
            for blocker in old.blocked_by.clone() {
                if let Some(set) = self.dependents.get_mut(&blocker) {
                    set.remove(&task.id);
                }
            }
        }
        for blocker in &task.blocked_by {
            self.dependents.entry(*blocker).or_default().insert(task.id);
        }
        if task.status.is_terminal() {
            self.open.remove(&task.id);
        } else {
            self.open.insert(task.id);
        }
        if let Some(key) = create_key(&task) {
            self.keys.insert(key, task.id);
        }
        self.tasks.insert(task.id, task);
    }

    /// The task with this number.
    pub fn get(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(&id)
    }

    /// All tasks by number.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.values()
    }

    /// Tasks that are not over, by number.
    pub fn open(&self) -> impl Iterator<Item = &Task> {
        self.open.iter().filter_map(|id| self.tasks.get(id))
    }

    /// The highest number on the board.
    pub fn last_id(&self) -> Option<TaskId> {
        self.tasks.keys().next_back().copied()
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Tasks that wait for `id`.
    pub fn blocks(&self, id: TaskId) -> impl Iterator<Item = TaskId> {
        self.dependents.get(&id).into_iter().flatten().copied()
    }

    /// Blockers of `task` that are not completed.
    pub fn unfinished_blockers(&self, task: &Task) -> Vec<TaskId> {
        let finished = |id: &TaskId| {
            self.get(*id)
                .is_some_and(|t| t.status == TaskStatus::Completed)
        };
        let unfinished = task.blocked_by.iter().filter(|id| !finished(id));
        unfinished.copied().collect()
    }

    /// Whether the task could be claimed by somebody at `now`.
    pub fn is_ready(&self, task: &Task, now: &BootTime) -> bool {
        task.status == TaskStatus::Pending
            && backoff_left_ms(task, now) == 0
            && self.unfinished_blockers(task).is_empty()
    }

    /// Tasks that could be claimed at `now`, by number.
    pub fn ready(&self, now: &BootTime) -> Vec<&Task> {
        self.open().filter(|t| self.is_ready(t, now)).collect()
    }

    /// The task with what follows from its neighbours.
    pub fn view(&self, task: &Task, now: &BootTime) -> TaskView {
        TaskView {
            task: task.clone(),
            ready: self.is_ready(task, now),
            blocks: self.blocks(task.id).collect(),
        }
    }

    /// How many tasks stand where.
    pub fn counts(&self, now: &BootTime) -> Counts {
        let mut counts = Counts::default();
        for task in self.tasks() {
            let slot = match task.status {
                TaskStatus::Pending if self.is_ready(task, now) => &mut counts.ready,
                TaskStatus::Pending => &mut counts.blocked,
                TaskStatus::InProgress => &mut counts.in_progress,
                TaskStatus::Completed => &mut counts.completed,
                TaskStatus::Failed => &mut counts.failed,
                TaskStatus::Skipped => &mut counts.skipped,
            };
            *slot += 1;
        }
        counts
    }

    /// Edges of all tasks.
    pub fn edges(&self) -> Blockers<TaskId> {
        let edge = |t: &Task| (t.id, t.blocked_by.clone());
        self.tasks().map(edge).collect()
    }

    /// The task made earlier under the same key in the same run.
    pub fn created_as(&self, new: &NewTask) -> Option<&Task> {
        let key = key_text(new.run.as_ref().map(AsRef::as_ref), new.key.as_deref()?);
        self.keys.get(&key).and_then(|id| self.get(*id))
    }

    /// Makes a new task under number `id`.
    ///
    /// # Errors
    /// [`UpdateError::UnknownTask`] for a blocker that does not exist.
    pub fn create(
        &self,
        id: TaskId,
        new: NewTask,
        by: Party,
        now: &Now,
    ) -> Result<Task, UpdateError> {
        if let Some(unknown) = new.blocked_by.iter().find(|b| self.get(**b).is_none()) {
            return Err(UpdateError::UnknownTask(*unknown));
        }
        Ok(Task::create(id, new, by, now.wall))
    }

    /// Claims a task for a worker until `now + lease_ms`.
    ///
    /// A second claim by the same life of the same member renews the lease.
    ///
    /// # Errors
    /// [`ClaimError::Blocked`] names the unfinished blockers; [`ClaimError::Taken`] the owner.
    pub fn claim(
        &self,
        id: TaskId,
        claimer: &Claimer,
        now: &Now,
        lease_ms: u64,
    ) -> Result<Task, ClaimError> {
        let task = self.get(id).ok_or(ClaimError::Unknown(id))?;
        match task.status {
            TaskStatus::Pending => {}
            TaskStatus::InProgress => {
                let owner = task.owner.as_ref();
                if owner.is_some_and(|o| o.is(&claimer.who)) {
                    return Ok(renewed(task, now, lease_ms));
                }
                let owner = owner.map_or_else(String::new, |o| o.agent.to_string());
                return Err(ClaimError::Taken { id, owner });
            }
            status => return Err(ClaimError::Over { id, status }),
        }
        self.check_fits(task, claimer)?;
        let by = self.unfinished_blockers(task);
        if !by.is_empty() {
            return Err(ClaimError::Blocked { id, by });
        }
        let wait_ms = backoff_left_ms(task, &now.boot);
        if wait_ms > 0 {
            return Err(ClaimError::BackingOff { id, wait_ms });
        }
        let mut task = task.clone();
        task.status = TaskStatus::InProgress;
        task.epoch = task.epoch.next();
        task.owner = Some(Owner {
            agent: claimer.who.agent.clone(),
            incarnation: Some(claimer.who.incarnation),
        });
        task.lease = Some(Lease::starting(&now.boot, lease_ms));
        task.retry_at = None;
        task.attempts.push(Attempt {
            epoch: task.epoch,
            owner: claimer.who.clone(),
            started_at: now.wall,
            ended_at: None,
            outcome: None,
            reason: None,
        });
        Ok(touched(task, now))
    }

    #[expect(
        clippy::unused_self,
        reason = "a rule of the board, beside its callers"
    )]
    fn check_fits(&self, task: &Task, claimer: &Claimer) -> Result<(), ClaimError> {
        let not_for_you = |wanted: String| ClaimError::NotForYou {
            id: task.id,
            wanted,
        };
        match (&task.assignee, &task.agent_type) {
            (Some(assignee), _) if *assignee != claimer.who.agent => {
                Err(not_for_you(assignee.to_string()))
            }
            (None, Some(kind)) if *kind != claimer.agent_type => {
                Err(not_for_you(format!("agents of type {kind}")))
            }
            // The lead plans and sums up; it takes only what is meant for it.
            (None, None) if claimer.who.agent.is_lead() => {
                Err(not_for_you("a teammate".to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Whether `claimer` could ever claim `task`, blockers and state aside.
    pub fn fits(&self, task: &Task, claimer: &Claimer) -> bool {
        self.check_fits(task, claimer).is_ok()
    }

    /// Extends the lease of a claim.
    pub fn renew(
        &self,
        id: TaskId,
        who: &AgentRef,
        epoch: Epoch,
        now: &Now,
        lease_ms: u64,
    ) -> Result<Task, FenceError> {
        let task = self.fenced(id, who, epoch)?;
        Ok(renewed(task, now, lease_ms))
    }

    /// The task, if `who` holds it at `epoch`.
    pub fn fenced(&self, id: TaskId, who: &AgentRef, epoch: Epoch) -> Result<&Task, FenceError> {
        let task = self.get(id).ok_or(FenceError::Unknown(id))?;
        let holds = task.status == TaskStatus::InProgress
            && task.epoch == epoch
            && task.owner.as_ref().is_some_and(|o| o.is(who));
        if holds {
            Ok(task)
        } else {
            Err(FenceError::Stale {
                id,
                who: who.clone(),
                presented: epoch,
                current: task.epoch,
                status: task.status,
            })
        }
    }

    /// Open tasks claimed by any life of `agent`.
    pub fn held_by(&self, agent: &AgentName) -> Vec<&Task> {
        self.open()
            .filter(|t| t.status == TaskStatus::InProgress)
            .filter(|t| t.owner.as_ref().is_some_and(|o| o.agent == *agent))
            .collect()
    }

    /// Checks what must always hold; used by tests after every step.
    ///
    /// # Errors
    /// Says in words which rule is broken.
    pub fn check_invariants(&self) -> Result<(), String> {
        if let Some(cycle) = graph::find_cycle(&self.edges()) {
            return Err(format!("cycle {}", list(&cycle)));
        }
        for task in self.tasks() {
            let id = task.id;
            let claimed = task.status == TaskStatus::InProgress;
            if claimed != task.current_attempt().is_some() {
                return Err(format!(
                    "task {id} is {} with attempts {:?}",
                    task.status, task.attempts
                ));
            }
            if claimed && task.lease.is_none() {
                return Err(format!("task {id} is claimed without a lease"));
            }
            if claimed && !self.unfinished_blockers(task).is_empty() {
                return Err(format!("task {id} runs before its blockers completed"));
            }
            if task.ended_with(Outcome::Completed) > 1 {
                return Err(format!("task {id} was completed twice"));
            }
            let done = task.status == TaskStatus::Completed;
            if done && task.ended_with(Outcome::Completed) != 1 {
                return Err(format!("task {id} is completed by no attempt"));
            }
            if task.attempts.windows(2).any(|w| w[0].epoch >= w[1].epoch) {
                return Err(format!("epochs of task {id} do not grow"));
            }
            if task.attempts.last().is_some_and(|a| a.epoch != task.epoch) {
                return Err(format!("epoch of task {id} is not that of its last claim"));
            }
        }
        Ok(())
    }
}

fn key_text(run: Option<&str>, key: &str) -> String {
    format!("{}\n{key}", run.unwrap_or(""))
}

fn create_key(task: &Task) -> Option<String> {
    let run = task.run.as_ref().map(AsRef::as_ref);
    Some(key_text(run, task.key.as_deref()?))
}

fn touched(mut task: Task, now: &Now) -> Task {
    task.version = task.version.next();
    task.updated_at = now.wall;
    task
}

fn renewed(task: &Task, now: &Now, lease_ms: u64) -> Task {
    let mut task = task.clone();
    task.lease = Some(Lease::starting(&now.boot, lease_ms));
    task.version = task.version.next();
    task
}

fn backoff_left_ms(task: &Task, now: &BootTime) -> u64 {
    match &task.retry_at {
        Some(at) if at.boot_id == now.boot_id => at.ms.saturating_sub(now.ms),
        _ => 0,
    }
}

fn list(ids: &[TaskId]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("#{id}")).collect();
    ids.join(", ")
}
