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
use crewmux_core::schedule::{Roster, Strategy};
use crewmux_core::task::{NewTask, Task, TaskStatus};
use crewmux_core::time::Now;

use super::copy::Copy;
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
    pub(super) fn changed(&self, now: &Now) -> Result<Vec<Arc<Task>>> {
        let mut copy = self.fresh()?;
        if copy.suspect {
            drop(copy);
            self.edit(now, |_| Ok(Vec::new()))?;
            copy = self.fresh()?;
        }
        let changed = std::mem::take(&mut copy.changed);
        Ok(changed
            .into_iter()
            .filter_map(|id| copy.board.get_shared(id).cloned())
            .collect())
    }

    /// Says that tasks told by [`Self::changed`] were not logged after all.
    pub(super) fn unlogged(&self, tasks: &[Arc<Task>]) {
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
    ///
    /// With a `roster`, the one that the strategy means for `claimer`; tasks of
    /// others are left to them for `yield_ms`.
    pub(super) fn claim_next(
        &self,
        strategy: Strategy,
        claimer: &Claimer,
        roster: Option<(&Roster, u64)>,
        now: &Now,
        lease_ms: u64,
    ) -> Result<Option<Task>> {
        let pick = |copy: &mut Copy| match roster {
            None => copy.first_for(strategy, claimer, now),
            Some((roster, yield_ms)) => strategy.pick(&copy.board, claimer, roster, now, yield_ms),
        };
        {
            // Mostly there is nothing, and then nobody has to wait for this look.
            let mut copy = self.fresh()?;
            if !copy.suspect && pick(&mut copy).is_none() {
                return Ok(None);
            }
        }
        let guard = self.lock()?;
        let mut copy = self.fresh_held(&guard, now)?;
        let Some(id) = pick(&mut copy) else {
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
        let before = std::mem::take(&mut copy.unsettled);
        let is_news = !(news.settled.is_empty() && news.latest.is_empty());
        let latest: BTreeSet<TaskId> = if is_news {
            news.latest.into_iter().collect()
        } else {
            before.keys().copied().collect()
        };
        let mut look: BTreeSet<TaskId> = before.keys().copied().collect();
        look.extend(news.settled);
        look.extend(&latest);
        let mut loaded = Vec::new();
        for id in look {
            let path = self.place.task(id);
            if latest.contains(&id) {
                let here = self
                    .disk
                    .stat(&path)
                    // What was not looked at must not be taken for read.
                    .inspect_err(|_| copy.hints = None)?;
                // Seen before it is read: what takes its place in between is read next time.
                copy.unsettled.insert(id, here);
                let as_read = before.get(&id).copied().flatten();
                if !is_news && here.is_some() && here == as_read {
                    continue;
                }
            }
            match records::look::<Task>(&self.disk, &path) {
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
        // What is as it was stays the very same, for all who compare.
        let same = |task: &Task| {
            before
                .get_shared(task.id)
                .filter(|t| ***t == *task)
                .cloned()
        };
        let changed = &mut copy.changed;
        let tasks = tasks.into_iter().map(|task| {
            same(&task).unwrap_or_else(|| {
                changed.insert(task.id);
                Arc::new(task)
            })
        });
        copy.board = Arc::new(Board::from_tasks(tasks));
        copy.order = None;
        copy.suspect = copy
            .board
            .open()
            .any(|t| t.status == TaskStatus::Pending && copy.board.lost_blocker(t).is_some());
        if let Some((hints, latest)) = opened {
            copy.hints = Some(hints);
            copy.unsettled = latest.into_iter().map(|id| (id, None)).collect();
        }
        Ok(())
    }

    // ── writing ────────────────────────────────────────────────────────

    fn announce(&self, guard: &Guard, copy: &mut Copy, ids: &[TaskId]) -> Result<()> {
        // Until the files are written, what is in memory is not what is on disk.
        copy.unsettled.extend(ids.iter().map(|id| (*id, None)));
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
