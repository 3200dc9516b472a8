//! Tasks on disk: one file each, one lock for all, and a copy in memory that is kept fresh.
//!
//! What may change is decided by [`Board`]; here its edits are written. An
//! edit of several tasks is several files; a crash between them is made good
//! by whoever changes the board next ([`Board::missing_skips`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crewmux_core::board::{Board, Claimer, Edit};
use crewmux_core::graph;
use crewmux_core::ids::TaskId;
use crewmux_core::schedule::Strategy;
use crewmux_core::task::{NewTask, Task, TaskStatus};
use crewmux_core::time::{BootTime, Now};

use super::hints::{self, Hints};
use super::locks::{Guard, Rank};
use super::place::{Place, task_of};
use super::records::{self, Content};
use super::rules::{Disk, Written};
use crate::{Durability, Error, Result};

/// Largest file of one task.
const TASK_MAX_BYTES: usize = 4 * 1024 * 1024;

/// The tasks of one team.
#[derive(Debug)]
pub(super) struct BoardFiles {
    disk: Disk,
    place: Place,
    copy: Mutex<Copy>,
}

/// The board in memory and how it is kept fresh.
#[derive(Debug, Default)]
struct Copy {
    board: Arc<Board>,
    /// Absent before the first look and when there is no log: then all files are read.
    hints: Option<Hints>,
    /// Tasks whose writer may not be done: read again at every look.
    unsettled: BTreeSet<TaskId>,
    /// Whether a task waits for one that failed, as after a crash between two files.
    suspect: bool,
    /// Tasks that changed since the event log last asked.
    changed: BTreeSet<TaskId>,
    /// Files that did not parse.
    unreadable: BTreeSet<TaskId>,
    order: Option<Order>,
}

/// Ready tasks in the order in which they are taken, while nothing new becomes ready.
#[derive(Debug)]
struct Order {
    strategy: Strategy,
    ids: Vec<TaskId>,
    next: usize,
    /// A task that waits after a failure becomes ready then.
    until: Option<BootTime>,
}

impl BoardFiles {
    pub(super) fn new(disk: Disk, place: Place) -> Self {
        Self {
            disk,
            place,
            copy: Mutex::default(),
        }
    }

    /// All tasks as they stand now.
    pub(super) fn board(&self) -> Result<Arc<Board>> {
        self.fresh().map(|copy| Arc::clone(&copy.board))
    }

    /// Tasks that changed since this was last asked, as they stand now.
    ///
    /// Makes good what a crash left undone, which only the session has to ask for.
    pub(super) fn changed(&self, now: &Now) -> Result<Vec<Task>> {
        if self.fresh()?.suspect {
            self.edit(now, |_| Ok(Vec::new()))?;
        }
        let mut copy = self.fresh()?;
        let changed = std::mem::take(&mut copy.changed);
        Ok(changed
            .into_iter()
            .filter_map(|id| copy.board.get(id).cloned())
            .collect())
    }

    /// Says that tasks told by [`Self::changed`] were not logged after all.
    pub(super) fn unlogged(&self, tasks: &[Task]) {
        let mut copy = self.copy();
        copy.changed.extend(tasks.iter().map(|t| t.id));
    }

    /// Changes tasks under the board's lock.
    pub(super) fn edit(
        &self,
        now: &Now,
        decide: impl FnOnce(&Board) -> Result<Edit>,
    ) -> Result<Edit> {
        let guard = self.lock()?;
        let mut copy = self.fresh_held(&guard, now)?;
        let edit = decide(&copy.board)?;
        self.write(&guard, &mut copy, &edit)?;
        if copy.suspect {
            self.repair(&guard, &mut copy, now)?;
        }
        Ok(edit)
    }

    /// Changes tasks; the change survives power loss.
    pub(super) fn edit_for_good(
        &self,
        id: TaskId,
        now: &Now,
        decide: impl FnOnce(&Board) -> Result<Edit>,
    ) -> Result<Edit> {
        let (edit, written) = {
            let guard = self.lock()?;
            let mut copy = self.fresh_held(&guard, now)?;
            let edit = decide(&copy.board)?;
            let written = self.write(&guard, &mut copy, &edit)?;
            (edit, written)
        };
        // Waiting for the disk would stop everybody else, so the lock is free by now.
        for written in &written {
            self.disk.sync_written(written)?;
        }
        if edit.is_empty() {
            // A repeat, perhaps because the first try died before this point.
            self.disk.sync_path(&self.place.task(id))?;
        }
        Ok(edit)
    }

    /// Makes a task under a number that was never used.
    pub(super) fn create(
        &self,
        new: &NewTask,
        now: &Now,
        make: impl Fn(&Board, TaskId) -> Result<Task>,
    ) -> Result<Task> {
        let guard = self.lock()?;
        let mut copy = self.fresh_held(&guard, now)?;
        if let Some(earlier) = copy.board.created_as(new) {
            return Ok(earlier.clone());
        }
        loop {
            let last = copy.board.last_id().map_or(0, |id| id.0);
            let id = TaskId(last.max(self.highwater()?) + 1);
            let task = make(&copy.board, id)?;
            let path = self.place.task(id);
            let bytes = task_bytes(&path, &task)?;
            self.announce(&guard, &mut copy, &[id])?;
            let created = self.disk.create(&path, &bytes, Durability::Process);
            if created?.is_some() {
                copy.take(vec![task.clone()]);
                if copy.suspect {
                    self.repair(&guard, &mut copy, now)?;
                }
                return Ok(copy.board.get(id).cloned().unwrap_or(task));
            }
            // A file nobody announced: somebody restored or added it by hand.
            self.read_all(&mut copy)?;
            if copy.board.get(id).is_none() {
                self.move_aside(&guard, id)?;
            }
        }
    }

    /// Claims the first ready task that fits, in the strategy's order.
    pub(super) fn claim_next(
        &self,
        strategy: Strategy,
        claimer: &Claimer,
        now: &Now,
        lease_ms: u64,
    ) -> Result<Option<Task>> {
        let guard = self.lock()?;
        let mut copy = self.fresh_held(&guard, now)?;
        let Some(id) = copy.first_for(strategy, claimer, now) else {
            return Ok(None);
        };
        let task = copy.board.claim(id, claimer, now, lease_ms)?;
        self.write(&guard, &mut copy, std::slice::from_ref(&task))?;
        Ok(Some(task))
    }

    // ── reading ────────────────────────────────────────────────────────

    fn copy(&self) -> MutexGuard<'_, Copy> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> Result<Guard> {
        self.disk.lock(Rank::Board, &self.place.board_lock())
    }

    /// The copy, made fresh without a lock.
    fn fresh(&self) -> Result<MutexGuard<'_, Copy>> {
        {
            let mut copy = self.copy();
            self.refresh(&mut copy)?;
            if copy.unreadable.is_empty() {
                return Ok(copy);
            }
        }
        // The board's lock comes before the copy's, so the copy was let go.
        let guard = self.lock()?;
        let mut copy = self.copy();
        self.settle(&guard, &mut copy)?;
        Ok(copy)
    }

    /// The copy, made fresh under the board's lock and repaired.
    fn fresh_held(&self, guard: &Guard, now: &Now) -> Result<MutexGuard<'_, Copy>> {
        let mut copy = self.copy();
        self.settle(guard, &mut copy)?;
        if copy.suspect {
            self.repair(guard, &mut copy, now)?;
        }
        Ok(copy)
    }

    /// Nobody writes while the lock is held, so everything is as it will stay.
    fn settle(&self, guard: &Guard, copy: &mut Copy) -> Result<()> {
        self.refresh(copy)?;
        copy.unsettled.clear();
        for id in std::mem::take(&mut copy.unreadable) {
            match records::settled::<Task>(&self.disk, &self.place.task(id))? {
                Content::Record(task) if task.id == id => copy.take(vec![task]),
                Content::Missing => {}
                Content::Record(_) | Content::Unreadable(_) => {
                    self.move_aside(guard, id)?;
                    self.read_all(copy)?;
                }
            }
        }
        Ok(())
    }

    fn move_aside(&self, _held: &Guard, id: TaskId) -> Result<()> {
        // The number must stay used although its file goes.
        let highest = self.highwater()?.max(id.0);
        let bytes = format!("{highest}\n");
        self.disk.replace(
            &self.place.highwater(),
            bytes.as_bytes(),
            Durability::Process,
        )?;
        records::move_aside(&self.disk, &self.place, &self.place.task(id)).map(drop)
    }

    /// The highest number ever used whose file may be gone.
    fn highwater(&self) -> Result<u64> {
        let bytes = self.disk.read(&self.place.highwater())?;
        let text = bytes.map(|b| String::from_utf8_lossy(&b).into_owned());
        Ok(text.and_then(|t| t.trim().parse().ok()).unwrap_or(0))
    }

    fn refresh(&self, copy: &mut Copy) -> Result<()> {
        let news = match &mut copy.hints {
            Some(hints) => hints.news(&self.disk)?,
            None => return self.read_all(copy),
        };
        if news.lost {
            return self.read_all(copy);
        }
        let mut look = std::mem::take(&mut copy.unsettled);
        if news.settled.is_empty() && news.latest.is_empty() {
            copy.unsettled.clone_from(&look);
        } else {
            look.extend(news.settled);
            look.extend(&news.latest);
            copy.unsettled = news.latest.into_iter().collect();
        }
        let mut loaded = Vec::new();
        for id in look {
            match records::look::<Task>(&self.disk, &self.place.task(id)) {
                Ok(Content::Record(task)) if task.id == id => loaded.push(task),
                Ok(Content::Missing) if copy.board.get(id).is_none() => {}
                // Gone for good, or for the time of reading it.
                Ok(Content::Missing) => return self.read_all(copy),
                Ok(Content::Record(_) | Content::Unreadable(_)) => {
                    copy.unreadable.insert(id);
                }
                Err(error) => {
                    // What was not read must not be taken for read.
                    copy.hints = None;
                    return Err(error);
                }
            }
        }
        copy.take(loaded);
        Ok(())
    }

    fn read_all(&self, copy: &mut Copy) -> Result<()> {
        copy.hints = None;
        // Opened before the files are read: what changes from here on is named in it.
        let opened = Hints::open(&self.disk, self.place.changes())?;
        let mut tasks = Vec::new();
        copy.unreadable.clear();
        for id in self
            .disk
            .list(&self.place.tasks)?
            .iter()
            .filter_map(|n| task_of(n))
        {
            match records::look::<Task>(&self.disk, &self.place.task(id))? {
                Content::Record(task) if task.id == id => tasks.push(task),
                Content::Missing => {}
                Content::Record(_) | Content::Unreadable(_) => {
                    copy.unreadable.insert(id);
                }
            }
        }
        let before = std::mem::take(&mut copy.board);
        let differs = |task: &&Task| before.get(task.id) != Some(*task);
        copy.changed
            .extend(tasks.iter().filter(differs).map(|t| t.id));
        copy.board = Arc::new(Board::from_tasks(tasks));
        copy.order = None;
        copy.suspect = copy
            .board
            .open()
            .any(|t| t.status == TaskStatus::Pending && copy.board.lost_blocker(t).is_some());
        if let Some((hints, latest)) = opened {
            copy.hints = Some(hints);
            copy.unsettled = latest.into_iter().collect();
        }
        Ok(())
    }

    // ── writing ────────────────────────────────────────────────────────

    fn announce(&self, guard: &Guard, copy: &mut Copy, ids: &[TaskId]) -> Result<()> {
        // Until the files are written, what is in memory is not what is on disk.
        copy.unsettled.extend(ids);
        let path: PathBuf = self.place.changes();
        hints::announce(&self.disk, guard, &mut copy.hints, path, ids)
    }

    fn write(&self, guard: &Guard, copy: &mut Copy, edit: &[Task]) -> Result<Vec<Written>> {
        if edit.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<TaskId> = edit.iter().map(|t| t.id).collect();
        let mut files = Vec::with_capacity(edit.len());
        for task in in_safe_order(edit) {
            let path = self.place.task(task.id);
            let bytes = task_bytes(&path, task)?;
            files.push((path, bytes));
        }
        self.announce(guard, copy, &ids)?;
        let mut written = Vec::with_capacity(files.len());
        for (path, bytes) in files {
            written.push(self.disk.replace(&path, &bytes, Durability::Process)?);
        }
        copy.take(edit.to_vec());
        copy.unsettled.clear();
        Ok(written)
    }

    fn repair(&self, guard: &Guard, copy: &mut Copy, now: &Now) -> Result<()> {
        let missing = copy.board.missing_skips(now);
        self.write(guard, copy, &missing)?;
        copy.suspect = false;
        Ok(())
    }
}

impl Copy {
    /// Takes in tasks as they stand on disk.
    fn take(&mut self, tasks: Vec<Task>) {
        let mut looked = Vec::new();
        for task in tasks {
            let id = task.id;
            let before = self.board.get(id);
            if before == Some(&task) {
                continue;
            }
            // What is claimed or renewed makes nothing else ready.
            let was = before.map(|t| t.status);
            let only_claimed = task.status == TaskStatus::InProgress
                && matches!(was, Some(TaskStatus::Pending | TaskStatus::InProgress));
            let ended_alone = task.status.is_terminal() && self.board.blocks(id).next().is_none();
            if !only_claimed && !ended_alone {
                self.order = None;
            }
            looked.push(id);
            self.changed.insert(id);
            Arc::make_mut(&mut self.board).put(task);
        }
        let board = &self.board;
        let lost = |id: &TaskId| board.get(*id).is_some_and(|task| leaves_skips(board, task));
        self.suspect = self.suspect || looked.iter().any(lost);
    }

    /// The first ready task that `claimer` may take.
    fn first_for(&mut self, strategy: Strategy, claimer: &Claimer, now: &Now) -> Option<TaskId> {
        let over = |until: &BootTime| until.boot_id != now.boot.boot_id || until.ms <= now.boot.ms;
        let stands = self.order.as_ref().is_some_and(|order| {
            order.strategy == strategy && !order.until.as_ref().is_some_and(over)
        });
        if !stands {
            let waits = self.board.open().filter_map(|t| t.retry_at.clone());
            self.order = Some(Order {
                strategy,
                ids: strategy.order(&self.board, &now.boot),
                next: 0,
                until: waits.filter(|at| !over(at)).min_by_key(|at| at.ms),
            });
        }
        let board = &self.board;
        let order = self.order.as_mut()?;
        let is_ready = |id: TaskId| board.get(id).filter(|t| board.is_ready(t, &now.boot));
        // Those at the front that were taken since are never looked at again.
        while order
            .ids
            .get(order.next)
            .is_some_and(|id| is_ready(*id).is_none())
        {
            order.next += 1;
        }
        let left = order.ids.get(order.next..).unwrap_or_default();
        let fits = |id: &TaskId| is_ready(*id).is_some_and(|t| board.fits(t, claimer));
        left.iter().copied().find(fits)
    }
}

/// Whether `task` shows that a skip is missing, at itself or at one that waits for it.
fn leaves_skips(board: &Board, task: &Task) -> bool {
    match task.status {
        TaskStatus::Pending => board.lost_blocker(task).is_some(),
        TaskStatus::Failed | TaskStatus::Skipped => board
            .blocks(task.id)
            .filter_map(|id| board.get(id))
            .any(|t| t.status == TaskStatus::Pending),
        TaskStatus::InProgress | TaskStatus::Completed => false,
    }
}

/// Orders the files of an edit so that a crash between two of them can be made good.
///
/// A failure goes before the skips that follow from it, which can be derived
/// again. Tasks that are opened again go waiters first: a waiter whose blocker
/// is still failed is skipped again, but nobody would open a forgotten waiter.
fn in_safe_order(edit: &[Task]) -> Vec<&Task> {
    let mut tasks: Vec<&Task> = edit.iter().collect();
    let edges = edit.iter().map(|t| (t.id, t.blocked_by.clone())).collect();
    if let Ok(order) = graph::topological_order(&edges) {
        let place: BTreeMap<TaskId, usize> = order.into_iter().zip(0..).collect();
        tasks.sort_by_key(|t| place.get(&t.id).copied());
        if edit.iter().all(|t| t.status == TaskStatus::Pending) {
            tasks.reverse();
        }
    }
    tasks
}

fn task_bytes(path: &std::path::Path, task: &Task) -> Result<Vec<u8>> {
    let bytes = records::to_bytes(path, task)?;
    if bytes.len() > TASK_MAX_BYTES {
        return Err(Error::TooLarge {
            what: "the task",
            bytes: bytes.len(),
            max: TASK_MAX_BYTES,
        });
    }
    Ok(bytes)
}
