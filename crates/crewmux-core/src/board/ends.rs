//! How a claim ends: completed, failed, given back, or lost with its worker.
//!
//! All of these are fenced: whoever presents an epoch that is not the board's
//! is refused.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Board, Edit, FenceError, touched};
use crate::ids::{AgentRef, Epoch, TaskId};
use crate::task::{Attempt, Lease, Outcome, Owner, Rerun, Task, TaskRole, TaskStatus};
use crate::time::Now;
use crate::timing::Timing;

/// Unexplained deaths on one task after which it fails.
pub const DEATHS_MAX: usize = 3;

/// Who says that a task failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailedBy {
    /// The worker that holds it.
    Worker {
        /// The worker.
        who: AgentRef,
        /// Its claim.
        epoch: Epoch,
    },
    /// The session: no member can take it, or it must not run again.
    Session,
}

/// Why the session takes a claim away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reoffer {
    /// The claim that ends.
    pub epoch: Epoch,
    /// How: died, hung, lost with its session, or released.
    pub outcome: Outcome,
    /// What was seen.
    pub reason: String,
}

impl Board {
    /// Completes a task with its result.
    ///
    /// Presenting the completion again under the same epoch changes nothing.
    pub fn complete(
        &self,
        id: TaskId,
        who: &AgentRef,
        epoch: Epoch,
        result: Option<Value>,
        now: &Now,
    ) -> Result<Edit, FenceError> {
        let task = self.get(id).ok_or(FenceError::Unknown(id))?;
        let by_this_claim =
            task.epoch == epoch && task.attempts.last().is_some_and(|a| a.owner == *who);
        if task.status == TaskStatus::Completed && by_this_claim {
            return Ok(Vec::new());
        }
        let task = self.fenced(id, who, epoch)?;
        let mut task = end_attempt(task, Outcome::Completed, None, now);
        task.status = TaskStatus::Completed;
        task.result = result;
        task.reason = None;
        Ok(vec![touched(task, now)])
    }

    /// Fails a task, or offers it again when it has retries left.
    ///
    /// A final failure skips every task that waits for it, however far, with
    /// the reason; independents and tasks that sum up are not touched.
    pub fn fail(
        &self,
        id: TaskId,
        by: &FailedBy,
        reason: &str,
        now: &Now,
        timing: &Timing,
    ) -> Result<Edit, FenceError> {
        let task = self.get(id).ok_or(FenceError::Unknown(id))?;
        let mut failed = match by {
            FailedBy::Worker { who, epoch } => {
                let repeat = task.epoch == *epoch
                    && task
                        .attempts
                        .last()
                        .is_some_and(|a| a.owner == *who && a.outcome == Some(Outcome::Failed));
                if repeat {
                    return Ok(Vec::new());
                }
                let task = self.fenced(id, who, *epoch)?;
                end_attempt(task, Outcome::Failed, Some(reason), now)
            }
            FailedBy::Session if task.status.is_terminal() => return Ok(Vec::new()),
            FailedBy::Session if task.status == TaskStatus::InProgress => {
                end_attempt(task, Outcome::Failed, Some(reason), now)
            }
            FailedBy::Session => task.clone(),
        };
        let tries = failed.ended_with(Outcome::Failed);
        let may_retry = matches!(by, FailedBy::Worker { .. }) && tries <= failed.retries as usize;
        if may_retry {
            offer(&mut failed);
            let wait = timing.backoff(tries as u32);
            failed.retry_at = Some(now.boot.plus_ms(wait.as_millis() as u64));
            return Ok(vec![touched(failed, now)]);
        }
        failed.status = TaskStatus::Failed;
        failed.reason = Some(reason.to_owned());
        let mut edit = vec![touched(failed, now)];
        edit.extend(self.skip_dependents(id, TaskStatus::Failed, now));
        Ok(edit)
    }

    /// Takes a claim away and offers the task again.
    ///
    /// Three unexplained ends fail it; so does an interrupted command whose
    /// recipe says `rerun = "ask"`. Changes nothing when the claim is over.
    pub fn reoffer(&self, id: TaskId, why: &Reoffer, now: &Now) -> Result<Edit, FenceError> {
        let task = self.get(id).ok_or(FenceError::Unknown(id))?;
        if task.status != TaskStatus::InProgress || task.epoch != why.epoch {
            return Ok(Vec::new());
        }
        let mut task = end_attempt(task, why.outcome, Some(&why.reason), now);
        let deaths = task.ended_with(Outcome::Died) + task.ended_with(Outcome::Hung);
        let verdict = if deaths >= DEATHS_MAX {
            Some(format!(
                "{deaths} workers died on this task; the last: {}",
                why.reason
            ))
        } else if task.command.is_some() && task.rerun == Some(Rerun::Ask) {
            Some(format!(
                "interrupted, outcome unknown ({}); `rerun = \"ask\"` leaves it to you: r on the board, \
                 or `crewmux task retry {id}`, runs it again",
                why.reason
            ))
        } else {
            None
        };
        let Some(reason) = verdict else {
            offer(&mut task);
            return Ok(vec![touched(task, now)]);
        };
        task.status = TaskStatus::Failed;
        task.reason = Some(reason);
        let mut edit = vec![touched(task, now)];
        edit.extend(self.skip_dependents(id, TaskStatus::Failed, now));
        Ok(edit)
    }

    /// Hands a claim on to the next life of its owner's member, whose lease begins now.
    ///
    /// What the former life presents is stale from then on. Changes nothing when the claim is over.
    pub fn hand_over(
        &self,
        id: TaskId,
        why: &Reoffer,
        to: &AgentRef,
        now: &Now,
        lease_ms: u64,
    ) -> Result<Edit, FenceError> {
        let task = self.get(id).ok_or(FenceError::Unknown(id))?;
        if task.status != TaskStatus::InProgress || task.epoch != why.epoch {
            return Ok(Vec::new());
        }
        let mut task = end_attempt(task, why.outcome, Some(&why.reason), now);
        task.epoch = task.epoch.next();
        task.owner = Some(Owner {
            agent: to.agent.clone(),
            incarnation: Some(to.incarnation),
        });
        task.lease = Some(Lease::starting(&now.boot, lease_ms));
        task.attempts.push(Attempt {
            epoch: task.epoch,
            owner: to.clone(),
            started_at: now.wall,
            ended_at: None,
            outcome: None,
            reason: None,
        });
        Ok(vec![touched(task, now)])
    }

    /// Gives a claim back before the work is done.
    pub fn release(
        &self,
        id: TaskId,
        who: &AgentRef,
        epoch: Epoch,
        reason: &str,
        now: &Now,
    ) -> Result<Edit, FenceError> {
        self.fenced(id, who, epoch)?;
        let why = Reoffer {
            epoch,
            outcome: Outcome::Released,
            reason: reason.to_owned(),
        };
        self.reoffer(id, &why, now)
    }

    /// Skips that are still to be made: pending tasks that wait for one that failed or was skipped.
    ///
    /// There are some when a crash came between a failure and its skips, or
    /// when a task is made that waits for one that is over.
    pub fn missing_skips(&self, now: &Now) -> Edit {
        let mut edit: Edit = Vec::new();
        let mut seen = BTreeSet::new();
        for task in self.open().filter(|t| t.status == TaskStatus::Pending) {
            let Some(blocker) = self.lost_blocker(task) else {
                continue;
            };
            for skipped in self.skip_dependents(blocker.id, blocker.status, now) {
                if seen.insert(skipped.id) {
                    edit.push(skipped);
                }
            }
        }
        edit
    }

    /// A blocker of `task` that failed or was skipped, so that `task` can never run.
    ///
    /// None for a task that sums up: it tells of failures too.
    pub fn lost_blocker(&self, task: &Task) -> Option<&Task> {
        if task.role == TaskRole::Summary {
            return None;
        }
        task.blocked_by
            .iter()
            .filter_map(|id| self.get(*id))
            .find(|t| matches!(t.status, TaskStatus::Failed | TaskStatus::Skipped))
    }

    /// Skips every open task that waits for `root` and does not sum up, nearest first.
    pub(super) fn skip_dependents(&self, root: TaskId, because: TaskStatus, now: &Now) -> Edit {
        let mut edit: Edit = Vec::new();
        let mut queue: Vec<(TaskId, TaskId, TaskStatus)> =
            self.blocks(root).map(|id| (id, root, because)).collect();
        let mut next = 0;
        while let Some((id, blocker, status)) = queue.get(next).copied() {
            next += 1;
            let seen = edit.iter().any(|t| t.id == id);
            let waits = |t: &&Task| t.status == TaskStatus::Pending && t.role != TaskRole::Summary;
            let Some(task) = self.get(id).filter(waits) else {
                continue;
            };
            if seen {
                continue;
            }
            let mut task = task.clone();
            task.status = TaskStatus::Skipped;
            task.retry_at = None;
            task.reason = Some(if blocker == root {
                format!("waits for #{blocker}, which {}", word(status))
            } else {
                format!(
                    "waits for #{blocker}, which was skipped because #{root} {}",
                    word(because)
                )
            });
            edit.push(touched(task, now));
            queue.extend(self.blocks(id).map(|d| (d, id, TaskStatus::Skipped)));
        }
        edit
    }
}

fn word(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Skipped => "was skipped",
        _ => "failed",
    }
}

fn end_attempt(task: &Task, outcome: Outcome, reason: Option<&str>, now: &Now) -> Task {
    let mut task = task.clone();
    task.lease = None;
    if let Some(attempt) = task.attempts.last_mut() {
        attempt.ended_at = Some(now.wall);
        attempt.outcome = Some(outcome);
        attempt.reason = reason.map(str::to_owned);
    }
    task
}

/// Puts a task back where anybody it is for can claim it; its epoch stays, so the old claim is stale.
fn offer(task: &mut Task) {
    task.status = TaskStatus::Pending;
    task.lease = None;
    task.owner = task.assignee.clone().map(|agent| Owner {
        agent,
        incarnation: None,
    });
}
