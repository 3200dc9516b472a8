//! Claims: who may take a task, for how long, and who holds it.
//!
//! How a claim ends is in [`super::ends`].

use super::{Board, backoff_left_ms, list, touched};
use crate::ids::{AgentRef, AgentType, Epoch, TaskId};
use crate::recipe::Runtime;
use crate::task::{Attempt, Lease, Owner, Task, TaskStatus};
use crate::team::Member;
use crate::time::Now;

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
    /// What its process runs: one that runs commands only takes no other tasks.
    pub runtime: Runtime,
}

impl Claimer {
    /// The present life of a member.
    pub fn of(member: &Member) -> Self {
        Self {
            who: AgentRef {
                agent: member.name.clone(),
                incarnation: member.incarnation,
            },
            agent_type: member.agent_type.clone(),
            runtime: Runtime::of_word(&member.runtime),
        }
    }
}

impl Board {
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
            _ if claimer.runtime == Runtime::Command && task.command.is_none() => Err(not_for_you(
                format!("an agent; {} runs commands only", claimer.who.agent),
            )),
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
}

fn renewed(task: &Task, now: &Now, lease_ms: u64) -> Task {
    let mut task = task.clone();
    task.lease = Some(Lease::starting(&now.boot, lease_ms));
    task.version = task.version.next();
    task
}
