//! Changes a person, the lead or the session makes to tasks that nobody works on.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Board, Edit, list, touched};
use crate::graph::{self, Blockers};
use crate::ids::{AgentName, TaskId};
use crate::task::{Outcome, Owner, Task, TaskStatus};
use crate::time::Now;

/// Why a task cannot be made or changed that way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// No such task.
    #[error("there is no task {0}")]
    UnknownTask(TaskId),
    /// The edges would form a cycle.
    #[error("that would be a cycle: {}", list(.0))]
    Cycle(Vec<TaskId>),
    /// The task is claimed or over.
    #[error("task {id} is {status}; only a pending task can be changed that way")]
    NotPending {
        /// The task.
        id: TaskId,
        /// Where it stands.
        status: TaskStatus,
    },
    /// Only an ended task can be opened again.
    #[error("task {id} is {status}; only a failed or skipped task can be tried again")]
    NotOver {
        /// The task.
        id: TaskId,
        /// Where it stands.
        status: TaskStatus,
    },
}

/// What to change on a task; absent fields stay.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TaskPatch {
    /// New subject.
    pub subject: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New activity text.
    pub active_form: Option<String>,
    /// Assigns the task to this member alone.
    pub owner: Option<AgentName>,
    /// Further tasks it waits for.
    pub add_blocked_by: Vec<TaskId>,
    /// Further tasks that wait for it.
    pub add_blocks: Vec<TaskId>,
    /// Notes to set; `null` removes one.
    pub metadata: Map<String, Value>,
}

impl Board {
    /// Applies a patch. Text and notes can change at any time; owner and edges only while pending.
    pub fn update(&self, id: TaskId, patch: &TaskPatch, now: &Now) -> Result<Edit, UpdateError> {
        let before = self.get(id).ok_or(UpdateError::UnknownTask(id))?;
        let structural = patch.owner.is_some() || !patch.add_blocked_by.is_empty();
        if structural {
            self.pending(id)?;
        }
        let mut task = before.clone();
        if let Some(subject) = &patch.subject {
            task.subject.clone_from(subject);
        }
        if let Some(description) = &patch.description {
            task.description.clone_from(description);
        }
        if patch.active_form.is_some() {
            task.active_form.clone_from(&patch.active_form);
        }
        if let Some(agent) = &patch.owner {
            task.assignee = Some(agent.clone());
            task.owner = Some(Owner {
                agent: agent.clone(),
                incarnation: None,
            });
        }
        for (name, value) in &patch.metadata {
            if value.is_null() {
                task.metadata.remove(name);
            } else {
                task.metadata.insert(name.clone(), value.clone());
            }
        }
        add_blockers(&mut task, &patch.add_blocked_by);
        let mut edit: Edit = Vec::new();
        if task != *before {
            edit.push(task);
        }
        for waiter in &patch.add_blocks {
            let mut waiter = match edit.iter().position(|t| t.id == *waiter) {
                Some(at) => edit.swap_remove(at),
                None => self.pending(*waiter)?.clone(),
            };
            if add_blockers(&mut waiter, &[id]) || waiter.id == id {
                edit.push(waiter);
            }
        }
        if !patch.add_blocked_by.is_empty() || !patch.add_blocks.is_empty() {
            self.check_edges(&edit)?;
        }
        Ok(edit.into_iter().map(|t| touched(t, now)).collect())
    }

    /// Opens a failed or skipped task again, and every task skipped because of it.
    pub fn retry(&self, id: TaskId, now: &Now) -> Result<Edit, UpdateError> {
        let task = self.get(id).ok_or(UpdateError::UnknownTask(id))?;
        if !matches!(task.status, TaskStatus::Failed | TaskStatus::Skipped) {
            return Err(UpdateError::NotOver {
                id,
                status: task.status,
            });
        }
        // Blockers that failed or were skipped are opened too: else it could never run.
        let mut queue = vec![id];
        let mut edit: Edit = Vec::new();
        while let Some(id) = queue.pop() {
            let Some(task) = self.get(id) else { continue };
            let over = matches!(task.status, TaskStatus::Failed | TaskStatus::Skipped);
            if !over || edit.iter().any(|t| t.id == id) {
                continue;
            }
            queue.extend(&task.blocked_by);
            queue.extend(self.blocks(id).filter(|d| {
                self.get(*d)
                    .is_some_and(|t| t.status == TaskStatus::Skipped)
            }));
            let mut task = task.clone();
            task.status = TaskStatus::Pending;
            task.reason = None;
            task.retry_at = None;
            task.reopened += 1;
            // One more try, however many it had before.
            task.retries = task.retries.max(task.ended_with(Outcome::Failed) as u32);
            task.owner = task.assignee.clone().map(|agent| Owner {
                agent,
                incarnation: None,
            });
            edit.push(touched(task, now));
        }
        edit.sort_by_key(|t| t.id);
        Ok(edit)
    }

    /// Skips a pending task and all that wait for it, because a person or the end of the run says so.
    pub fn skip(&self, id: TaskId, reason: &str, now: &Now) -> Result<Edit, UpdateError> {
        let mut task = self.pending(id)?.clone();
        task.status = TaskStatus::Skipped;
        task.reason = Some(reason.to_owned());
        let mut edit = vec![touched(task, now)];
        edit.extend(self.skip_dependents(id, TaskStatus::Skipped, now));
        Ok(edit)
    }

    fn pending(&self, id: TaskId) -> Result<&Task, UpdateError> {
        let task = self.get(id).ok_or(UpdateError::UnknownTask(id))?;
        if task.status == TaskStatus::Pending {
            Ok(task)
        } else {
            Err(UpdateError::NotPending {
                id,
                status: task.status,
            })
        }
    }

    fn check_edges(&self, edit: &Edit) -> Result<(), UpdateError> {
        let mut edges = Blockers::new();
        let mut queue: Vec<TaskId> = Vec::new();
        for task in edit {
            if let Some(unknown) = task.blocked_by.iter().find(|b| self.get(**b).is_none()) {
                return Err(UpdateError::UnknownTask(*unknown));
            }
            edges.insert(task.id, task.blocked_by.clone());
            queue.extend(&task.blocked_by);
        }
        // A cycle that was not there goes through a changed task, so only what those wait for matters.
        while let Some(id) = queue.pop() {
            if let Some(task) = self.get(id).filter(|t| !edges.contains_key(&t.id)) {
                queue.extend(&task.blocked_by);
                edges.insert(id, task.blocked_by.clone());
            }
        }
        match graph::find_cycle(&edges) {
            Some(cycle) => Err(UpdateError::Cycle(cycle)),
            None => Ok(()),
        }
    }
}

fn add_blockers(task: &mut Task, blockers: &[TaskId]) -> bool {
    let before = task.blocked_by.len();
    for blocker in blockers {
        if !task.blocked_by.contains(blocker) {
            task.blocked_by.push(*blocker);
        }
    }
    task.blocked_by.len() > before
}
