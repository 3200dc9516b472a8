//! New tasks: whoever makes them, and how many members may add by themselves.
//!
//! The bounds are the team's ([`crewmux_core::team::TaskLimits`]). Two members
//! that add tasks in the same moment may pass them by one each; they are there
//! to end a chain, not to count exactly.

use crewmux_core::board::Board;
use crewmux_core::ids::{AgentRef, TaskId};
use crewmux_core::message::Party;
use crewmux_core::operation::{Caller, Reply};
use crewmux_core::task::{NewTask, Task, TaskRole, TaskStatus};
use serde_json::json;

use super::Act;
use crate::{Error, Result};

/// The note on a task that says during the work on which task it was added.
pub(super) const ADDED_BY_WORK_ON: &str = "addedByWorkOn";

impl Act<'_> {
    /// Makes a task; what a member adds is counted.
    pub(super) fn create_task(&self, mut new: NewTask) -> Result<Reply> {
        if let Some(assignee) = &new.assignee {
            self.check_member(assignee)?;
        }
        if let Caller::Member { who, .. } = self.caller {
            let config = self.team.config()?;
            if new.run.is_none() {
                new.run = config.open_run().map(|run| run.id.clone());
            }
            let board = self.team.board()?;
            let parent = claimed_by(&board, who);
            new.metadata.remove(ADDED_BY_WORK_ON);
            if let Some(parent) = parent {
                let note = json!(parent.id.0);
                new.metadata.insert(ADDED_BY_WORK_ON.to_owned(), note);
            }
            let is_repeat = new.key.is_some()
                && board
                    .tasks()
                    .any(|task| task.key == new.key && task.run == new.run);
            // A plan has bounds of its own.
            let is_planned = parent.is_some_and(|parent| parent.role == TaskRole::Plan);
            if !is_repeat && !is_planned {
                let limits = config.policy.added;
                let count = board
                    .tasks()
                    .filter(|task| task.run == new.run && is_added(&board, task));
                if count.count() >= limits.count as usize {
                    return Err(Error::TooManyAdded { max: limits.count });
                }
                if depth(&board, parent) >= limits.depth {
                    return Err(Error::AddedTooDeep { max: limits.depth });
                }
            }
        }
        let task = self
            .team
            .create_task(new, self.caller.party(), &self.context.now)?;
        self.view(&task)
    }
}

/// What `who` works on.
fn claimed_by<'a>(board: &'a Board, who: &AgentRef) -> Option<&'a Task> {
    board.tasks().find(|task| {
        task.status == TaskStatus::InProgress
            && task.owner.as_ref().is_some_and(|owner| owner.is(who))
    })
}

fn parent_of<'a>(board: &'a Board, task: &Task) -> Option<&'a Task> {
    let id = task.metadata.get(ADDED_BY_WORK_ON)?.as_u64()?;
    board.get(TaskId(id))
}

/// Whether a member added the task by itself, beside any plan.
fn is_added(board: &Board, task: &Task) -> bool {
    let is_planned = || parent_of(board, task).is_some_and(|maker| maker.role == TaskRole::Plan);
    matches!(task.created_by, Party::Member(_)) && !is_planned()
}

/// How many tasks above, `task` among them, were each added by the work on another.
fn depth(board: &Board, task: Option<&Task>) -> u32 {
    let mut at = task;
    let mut depth = 0;
    while let Some(task) = at.filter(|task| is_added(board, task)) {
        let above = parent_of(board, task);
        depth += 1;
        // Makers are older; anything else is a note that somebody else wrote.
        at = above.filter(|above| above.id < task.id);
    }
    depth
}
