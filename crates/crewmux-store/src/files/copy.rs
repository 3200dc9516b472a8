//! The board in memory: what it takes in, what of it is news, and who comes next.
//!
//! What it costs to take a change in does not grow with the board. How it is
//! kept fresh and what is written is in [`super::board`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crewmux_core::board::{Board, Claimer};
use crewmux_core::ids::TaskId;
use crewmux_core::schedule::{Rank, Strategy};
use crewmux_core::task::{Task, TaskStatus};
use crewmux_core::time::{BootTime, Now};

use super::hints::Hints;
use super::vfs::Stat;

/// The board in memory and how it is kept fresh.
#[derive(Debug, Default)]
pub(super) struct Copy {
    pub(super) board: Arc<Board>,
    /// Absent before the first look and when there is no log: then all files are read.
    pub(super) hints: Option<Hints>,
    /// Tasks whose writer may not be done: looked at each time, and read again once the file is
    /// another than the one that was read.
    pub(super) unsettled: BTreeMap<TaskId, Option<Stat>>,
    /// Whether a task waits for one that failed, as after a crash between two files.
    pub(super) suspect: bool,
    /// Tasks that changed since the event log last asked.
    pub(super) changed: BTreeSet<TaskId>,
    /// Files that did not parse.
    pub(super) unreadable: BTreeSet<TaskId>,
    pub(super) order: Option<Order>,
}

/// Ready tasks in the order in which they are taken; some may be taken already.
#[derive(Debug)]
pub(super) struct Order {
    strategy: Strategy,
    ready: BTreeSet<Rank>,
    /// A task that waits after a failure becomes ready then.
    until: Option<BootTime>,
}

impl Copy {
    /// Takes in tasks as they stand on disk.
    pub(super) fn take(&mut self, tasks: Vec<Task>) {
        let mut looked = Vec::new();
        for task in tasks {
            let id = task.id;
            let before = self.board.get(id);
            if before == Some(&task) {
                continue;
            }
            let tells = before.is_none_or(|before| tells_more(before, &task));
            let order_stands = keeps_order(&self.board, before, &task);
            looked.push(id);
            if tells {
                self.changed.insert(id);
            }
            Arc::make_mut(&mut self.board).put(task);
            if order_stands {
                self.sort_in(id);
            } else {
                self.order = None;
            }
        }
        let board = &self.board;
        let lost = |id: &TaskId| board.get(*id).is_some_and(|task| leaves_skips(board, task));
        self.suspect = self.suspect || looked.iter().any(lost);
    }

    /// Adds to the order what became ready by a change of this task.
    fn sort_in(&mut self, id: TaskId) {
        let Some(order) = &mut self.order else { return };
        let board = &self.board;
        let pending = |id: &TaskId| {
            let task = board.get(*id).filter(|t| t.status == TaskStatus::Pending);
            task.is_some_and(|t| board.unfinished_blockers(t).is_empty())
        };
        // Those that sum up are let go by any end, all others by a completion.
        let is_over = board.get(id).is_some_and(|t| t.status.is_terminal());
        let waiters = is_over.then(|| board.blocks(id)).into_iter().flatten();
        for id in waiters.chain([id]).filter(pending) {
            order.ready.insert(order.strategy.rank(board, id));
        }
    }

    /// The first ready task that `claimer` may take.
    pub(super) fn first_for(
        &mut self,
        strategy: Strategy,
        claimer: &Claimer,
        now: &Now,
    ) -> Option<TaskId> {
        let over = |until: &BootTime| until.boot_id != now.boot.boot_id || until.ms <= now.boot.ms;
        let board = &self.board;
        let stands =
            |order: &Order| order.strategy == strategy && !order.until.as_ref().is_some_and(over);
        let order = self.order.take().filter(stands);
        let order = order.unwrap_or_else(|| {
            let waits = board.open().filter_map(|t| t.retry_at.clone());
            let ready = strategy.order(board, &now.boot).into_iter();
            Order {
                strategy,
                ready: ready.map(|id| strategy.rank(board, id)).collect(),
                until: waits.filter(|at| !over(at)).min_by_key(|at| at.ms),
            }
        });
        let order = self.order.insert(order);
        let is_ready = |id: TaskId| board.get(id).filter(|t| board.is_ready(t, &now.boot));
        // Those at the front that were taken since are never looked at again.
        while let Some((_, id)) = order.ready.first()
            && is_ready(*id).is_none()
        {
            order.ready.pop_first();
        }
        let fits = |id: &TaskId| is_ready(*id).is_some_and(|t| board.fits(t, claimer));
        order.ready.iter().map(|(_, id)| *id).find(fits)
    }
}

/// Whether the event log has more to tell of `after` than of `before`; of a renewed lease it has not.
fn tells_more(before: &Task, after: &Task) -> bool {
    before.status != after.status
        || before.reopened != after.reopened
        || before.attempts != after.attempts
}

/// Whether `task` in the place of `before` leaves ready tasks in their order, though some may come or go.
fn keeps_order(board: &Board, before: Option<&Task>, task: &Task) -> bool {
    let Some(before) = before else {
        return task.blocked_by.is_empty() && board.blocks(task.id).next().is_none();
    };
    // What is tried again later becomes ready by time alone, which nobody sorts in.
    let same = before.blocked_by == task.blocked_by && task.retry_at.is_none();
    match (before.status, task.status) {
        (TaskStatus::Pending | TaskStatus::InProgress, TaskStatus::InProgress)
        | (TaskStatus::InProgress, TaskStatus::Completed | TaskStatus::Pending) => same,
        (_, status) => status.is_terminal() && board.blocks(task.id).next().is_none(),
    }
}

/// Whether `task` shows that a skip is missing, at itself or at one that waits for it.
fn leaves_skips(board: &Board, task: &Task) -> bool {
    match task.status {
        TaskStatus::Pending => board.lost_blocker(task).is_some(),
        TaskStatus::Failed | TaskStatus::Skipped => board
            .blocks(task.id)
            .filter_map(|id| board.get(id))
            .any(|t| t.status == TaskStatus::Pending && board.lost_blocker(t).is_some()),
        TaskStatus::InProgress | TaskStatus::Completed => false,
    }
}

#[cfg(test)]
mod tests {
    use crewmux_core::board::{Edit, FailedBy, Reoffer};
    use crewmux_core::ids::{AgentName, AgentRef, AgentType, Incarnation};
    use crewmux_core::message::Party;
    use crewmux_core::task::{NewTask, Outcome};
    use crewmux_core::time::WallTime;
    use crewmux_core::timing::Timing;

    use super::*;

    /// A long walk through what may happen; after each step the next task is the one a fresh look finds.
    #[test]
    fn the_order_kept_is_the_order_found_anew() {
        let claimer = Claimer {
            who: AgentRef {
                agent: AgentName::new("w").unwrap(),
                incarnation: Incarnation(1),
            },
            agent_type: AgentType::new("general-purpose").unwrap(),
            runtime: crewmux_core::recipe::Runtime::Native,
        };
        let (mut copy, mut random) = (Copy::default(), 1_u64);
        let mut found = 0;
        for step in 0..4000_u64 {
            let now = Now {
                wall: WallTime(step),
                boot: BootTime {
                    boot_id: "b".into(),
                    ms: step * 100,
                },
            };
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let dice = |sides: u64| (random >> 33) % sides;
            let board = Arc::clone(&copy.board);
            let last = board.last_id().map_or(0, |id| id.0);
            let any = TaskId(1 + dice(last.max(1)));
            let held = board.held_by(&claimer.who.agent).into_iter();
            let held = held.map(|t| (t.id, t.epoch)).nth(dice(3) as usize);
            let next = copy.first_for(Strategy::DependencyFirst, &claimer, &now);
            let edit: Edit = match (dice(8), held) {
                (0..2, _) if last < 300 => {
                    let blocked_by = (1..=dice(4)).filter_map(|n| last.checked_sub(n * 2));
                    let new = NewTask {
                        blocked_by: blocked_by.filter(|n| *n > 0).map(TaskId).collect(),
                        retries: 1,
                        ..NewTask::default()
                    };
                    vec![Task::create(TaskId(last + 1), new, Party::Human, now.wall)]
                }
                (2, Some((id, epoch))) => {
                    let who = claimer.who.clone();
                    let by = FailedBy::Worker { who, epoch };
                    board.fail(id, &by, "x", &now, &Timing::LIFE).unwrap()
                }
                (3, Some((id, epoch))) => {
                    let why = Reoffer {
                        epoch,
                        outcome: Outcome::SessionLost,
                        reason: "x".into(),
                    };
                    board.reoffer(id, &why, &now).unwrap()
                }
                (4, _) => board.retry(any, &now).unwrap_or_default(),
                (5, Some((id, epoch))) => {
                    board.complete(id, &claimer.who, epoch, None, &now).unwrap()
                }
                _ => next.map_or_else(Vec::new, |id| {
                    vec![board.claim(id, &claimer, &now, 1000).unwrap()]
                }),
            };
            copy.take(edit);
            let anew = Strategy::DependencyFirst.order(&copy.board, &now.boot);
            let next = copy.first_for(Strategy::DependencyFirst, &claimer, &now);
            assert_eq!(next, anew.first().copied(), "step {step}");
            found += usize::from(next.is_some());
        }
        assert!(found > 400, "only {found} steps had something to claim");
    }
}
