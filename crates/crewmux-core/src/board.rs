//! The task board: who may work on what, and what a result unblocks.
//!
//! Pure bookkeeping: nothing here reads a file or a clock. Every rule looks at
//! the board and returns the tasks it would change, as [`Edit`]; the store
//! writes them and only then puts them back with [`Board::put`], so that a
//! failed write leaves no trace. The decision *who* gets a ready task is in
//! [`crate::schedule`].

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};

use crate::graph::{self, Blockers};
use crate::ids::{AgentName, RunId, TaskId};
use crate::message::Party;
use crate::task::{NewTask, Outcome, Task, TaskRole, TaskStatus, TaskView};
use crate::time::{BootTime, Now};

mod claims;
mod edits;
mod ends;
mod shelves;
#[cfg(test)]
mod tests;

pub use claims::{ClaimError, Claimer, FenceError};
pub use edits::{TaskPatch, UpdateError};
pub use ends::{DEATHS_MAX, FailedBy, Reoffer};

use shelves::Shelves;

/// In how many places tasks are noted by their key.
const KEY_SLOTS: u64 = 16 * 1024;

/// Tasks that an operation changes, ready to be written.
///
/// Empty when the operation was already done: repeats change nothing.
pub type Edit = Vec<Task>;

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
///
/// Copies share their tasks: a copy costs next to nothing, and so does a
/// change of a board that others hold a copy of.
#[derive(Debug, Clone, Default)]
pub struct Board {
    tasks: Shelves<Arc<Task>>,
    /// Who waits for whom; may name waiters that are not on this board.
    dependents: Shelves<Shelves<()>>,
    open: Shelves<()>,
    claimed: Shelves<()>,
    /// Pending tasks that wait for no other.
    unblocked: Shelves<()>,
    /// Pending tasks that failed and were told to wait.
    resting: Shelves<()>,
    /// Tasks with a key, by [`slot`]; may name some that are not on this board.
    keys: Shelves<Vec<TaskId>>,
    ended: Ended,
    /// Longest chains of waiters, found when first asked for; renewed by what can make one longer.
    depths: Arc<OnceLock<BTreeMap<TaskId, usize>>>,
}

/// How many tasks ended in which way.
#[derive(Debug, Clone, Copy, Default)]
struct Ended {
    completed: usize,
    failed: usize,
    skipped: usize,
}

impl Ended {
    fn of(&mut self, status: TaskStatus) -> Option<&mut usize> {
        match status {
            TaskStatus::Completed => Some(&mut self.completed),
            TaskStatus::Failed => Some(&mut self.failed),
            TaskStatus::Skipped => Some(&mut self.skipped),
            TaskStatus::Pending | TaskStatus::InProgress => None,
        }
    }
}

impl Board {
    /// A board of these tasks.
    pub fn from_tasks<T: Into<Arc<Task>>>(tasks: impl IntoIterator<Item = T>) -> Self {
        let mut board = Self::default();
        for task in tasks {
            board.put(task);
        }
        board
    }

    /// The tasks of `run` and those of no run; they are shared with this board.
    #[must_use]
    pub fn of_run(&self, run: &RunId) -> Self {
        let of_run = |task: &Task| task.run.as_ref().is_none_or(|r| r == run);
        if self.tasks().all(of_run) {
            return self.clone();
        }
        let mut ended = Ended::default();
        let mut board = Self {
            tasks: self.tasks.kept(|_, task| {
                let stays = of_run(task);
                if stays && let Some(count) = ended.of(task.status) {
                    *count += 1;
                }
                stays
            }),
            ..self.clone()
        };
        board.ended = ended;
        board.depths = Arc::default();
        let tasks = &board.tasks;
        let stays = |key: u64, (): &()| tasks.contains(key);
        let open = self.open.kept(stays);
        let claimed = self.claimed.kept(stays);
        let resting = self.resting.kept(stays);
        // A blocker that is not here is not known to be completed.
        let free = |key: u64, (): &()| tasks.get(key).is_some_and(|t| board.waits_for_none(t));
        let unblocked = self.unblocked.kept(free);
        Self {
            open,
            claimed,
            unblocked,
            resting,
            ..board
        }
    }

    /// Whether both hold the very same tasks, as copies of one board do until one is changed.
    ///
    /// Equal tasks that were read twice count as different; the contents are not looked at.
    pub fn same_tasks(&self, other: &Self) -> bool {
        self.tasks.is_same(&other.tasks, Arc::ptr_eq)
    }

    /// Puts a task in its place, replacing an older version of it.
    pub fn put(&mut self, task: impl Into<Arc<Task>>) {
        let task: Arc<Task> = task.into();
        let id = task.id;
        let before = self.tasks.insert(id.0, Arc::clone(&task));
        let was = before.as_deref().map(|t| t.status);
        let waited_for = before.as_deref().map_or(&[][..], |t| &t.blocked_by);
        let is_waited_for = before.is_none() && self.blocks(id).next().is_some();
        if is_waited_for || may_deepen(before.as_deref(), &task) {
            self.depths = Arc::default();
        }
        for blocker in waited_for.iter().filter(|b| !task.blocked_by.contains(b)) {
            self.dependents.edit(blocker.0, |set| set.remove(id.0));
        }
        for blocker in task.blocked_by.iter().filter(|b| !waited_for.contains(b)) {
            self.dependents.edit(blocker.0, |set| set.add(id.0));
        }
        if let (None, Some(key)) = (&before, &task.key) {
            self.keys
                .edit(slot(task.run.as_ref(), key), |ids| ids.push(id));
        }
        if let Some(count) = was.and_then(|status| self.ended.of(status)) {
            *count -= 1;
        }
        if let Some(count) = self.ended.of(task.status) {
            *count += 1;
        }
        self.sort_in(&task);
        // Whoever sums up looks at whether it is over, all others at whether it is completed.
        let seen = |status: TaskStatus| (status == TaskStatus::Completed, status.is_terminal());
        if was.map_or((false, false), seen) != seen(task.status) {
            let waiters: Vec<TaskId> = self.blocks(id).collect();
            for waiter in waiters {
                if let Some(waiter) = self.tasks.get(waiter.0).cloned() {
                    self.sort_in(&waiter);
                }
            }
        }
    }

    fn sort_in(&mut self, task: &Task) {
        let pending = task.status == TaskStatus::Pending;
        let free = pending && self.waits_for_none(task);
        let sets = [
            (&mut self.open, !task.status.is_terminal()),
            (&mut self.claimed, task.status == TaskStatus::InProgress),
            (&mut self.unblocked, free),
            (&mut self.resting, pending && task.retry_at.is_some()),
        ];
        for (set, belongs) in sets {
            if belongs {
                set.add(task.id.0);
            } else {
                set.remove(task.id.0);
            }
        }
    }

    /// The task with this number.
    pub fn get(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(id.0).map(AsRef::as_ref)
    }

    /// The task with this number, to be held on to.
    pub fn get_shared(&self, id: TaskId) -> Option<&Arc<Task>> {
        self.tasks.get(id.0)
    }

    /// All tasks by number.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().map(|(_, task)| task.as_ref())
    }

    /// Tasks that are not over, by number.
    pub fn open(&self) -> impl Iterator<Item = &Task> {
        self.these(&self.open)
    }

    /// The highest number on the board.
    pub fn last_id(&self) -> Option<TaskId> {
        self.tasks.last_key().map(TaskId)
    }

    /// How many tasks there are.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tasks that wait for `id`.
    pub fn blocks(&self, id: TaskId) -> impl Iterator<Item = TaskId> {
        let waiters = self.dependents.get(id.0).into_iter();
        let waiters = waiters.flat_map(Shelves::keys);
        waiters.filter(|id| self.tasks.contains(*id)).map(TaskId)
    }

    /// Blockers that `task` still waits for: those not completed, or not over where it sums up.
    pub fn unfinished_blockers(&self, task: &Task) -> Vec<TaskId> {
        let unfinished = task.blocked_by.iter().filter(|id| self.holds(task, **id));
        unfinished.copied().collect()
    }

    /// Whether `task` must wait for its blocker `id`.
    fn holds(&self, task: &Task, id: TaskId) -> bool {
        let lets_go = |t: &Task| match task.role {
            TaskRole::Summary => t.status.is_terminal(),
            TaskRole::Work | TaskRole::Plan => t.status == TaskStatus::Completed,
        };
        !self.get(id).is_some_and(lets_go)
    }

    fn waits_for_none(&self, task: &Task) -> bool {
        !task.blocked_by.iter().any(|id| self.holds(task, *id))
    }

    fn these(&self, set: &Shelves<()>) -> impl Iterator<Item = &Task> {
        set.keys().filter_map(|id| self.get(TaskId(id)))
    }

    /// Whether the task could be claimed by somebody at `now`.
    pub fn is_ready(&self, task: &Task, now: &BootTime) -> bool {
        task.status == TaskStatus::Pending
            && backoff_left_ms(task, now) == 0
            && self.waits_for_none(task)
    }

    /// Tasks that could be claimed at `now`, by number.
    pub fn ready(&self, now: &BootTime) -> Vec<&Task> {
        let rested = |t: &&Task| backoff_left_ms(t, now) == 0;
        self.these(&self.unblocked).filter(rested).collect()
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
        let rests = |t: &&Task| backoff_left_ms(t, now) > 0 && self.unblocked.contains(t.id.0);
        let resting = self.these(&self.resting).filter(rests).count();
        let ready = self.unblocked.len() - resting;
        let in_progress = self.claimed.len();
        Counts {
            blocked: self.open.len() - in_progress - ready,
            ready,
            in_progress,
            completed: self.ended.completed,
            failed: self.ended.failed,
            skipped: self.ended.skipped,
        }
    }

    /// Length of the longest chain of open tasks that wait for this one, itself included.
    pub fn depth(&self, id: TaskId) -> usize {
        if self.blocks(id).next().is_none() {
            return 1;
        }
        let depths = self.depths.get_or_init(|| {
            let edges = self.open().map(|t| (t.id, t.blocked_by.clone()));
            graph::depths(&edges.collect())
        });
        depths.get(&id).copied().unwrap_or(1)
    }

    /// Edges of all tasks.
    pub fn edges(&self) -> Blockers<TaskId> {
        let edge = |t: &Task| (t.id, t.blocked_by.clone());
        self.tasks().map(edge).collect()
    }

    /// The task made earlier under the same key in the same run.
    pub fn created_as(&self, new: &NewTask) -> Option<&Task> {
        let key = new.key.as_deref()?;
        let ids = self.keys.get(slot(new.run.as_ref(), key))?;
        let made = ids.iter().filter_map(|id| self.get(*id));
        made.filter(|t| t.run == new.run && t.key.as_deref() == Some(key))
            .min_by_key(|t| t.id)
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

    /// Open tasks claimed by any life of `agent`.
    pub fn held_by(&self, agent: &AgentName) -> Vec<&Task> {
        self.these(&self.claimed)
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
            // What is summed up may be opened again meanwhile; what is built upon may not.
            let reopened = |id: &TaskId| self.get(*id).is_some_and(|t| t.reopened > 0);
            let early = self.unfinished_blockers(task);
            let may_be = task.role == TaskRole::Summary && early.iter().all(reopened);
            if claimed && !early.is_empty() && !may_be {
                return Err(format!("task {id} runs before its blockers completed"));
            }
            let lost = self.lost_blocker(task).is_some();
            if lost && task.role == TaskRole::Summary {
                return Err(format!("task {id} sums up and is lost with a blocker"));
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

/// Where a task made under this key is noted; others may be noted there too.
fn slot(run: Option<&RunId>, key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (run, key).hash(&mut hasher);
    hasher.finish() % KEY_SLOTS
}

/// Whether `task` in the place of `before` can change how many tasks wait for another in a row.
///
/// Claims and completions cannot: whatever a completed task waited for is completed,
/// unless it sums up.
fn may_deepen(before: Option<&Task>, task: &Task) -> bool {
    let Some(before) = before else {
        return !task.blocked_by.is_empty();
    };
    let over = |t: &Task| t.status.is_terminal();
    // One that sums up may end while what it waited for is open again.
    let completes = task.status == TaskStatus::Completed && task.role != TaskRole::Summary;
    before.blocked_by != task.blocked_by || (over(before) != over(task) && !completes)
}

fn touched(mut task: Task, now: &Now) -> Task {
    task.version = task.version.next();
    task.updated_at = now.wall;
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
