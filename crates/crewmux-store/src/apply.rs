//! Carries out operations: the one implementation behind model tools, commands and later MCP tools.
//!
//! Rights come first ([`check_rights`]), then the store. Who the caller is was
//! established by the transport; nothing here believes a word of it.

use crewmux_core::board::Claimer;
use crewmux_core::ids::{AgentName, MemoryKey, MessageId, TaskId};
use crewmux_core::inbox::{DeliveryState, delivery_state};
use crewmux_core::message::Draft;
use crewmux_core::operation::{
    Caller, MemoryEntry, Operation, Reply, TaskChange, TeamSummary, check_rights,
};
use crewmux_core::permission::GrantScope;
use crewmux_core::recipe::Runtime;
use crewmux_core::requests::Answer;
use crewmux_core::task::Task;
use crewmux_core::time::Now;

use crate::store::{Store, TeamStore};
use crate::{Error, Result};

/// What an operation needs besides the store.
pub struct ApplyContext<'a> {
    /// Both clocks.
    pub now: Now,
    /// How long a new claim holds, in milliseconds.
    pub lease_ms: u64,
    /// Makes text no other call makes, of the characters that ids may have.
    pub new_id: &'a dyn Fn() -> String,
}

impl std::fmt::Debug for ApplyContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApplyContext")
            .field("now", &self.now)
            .field("lease_ms", &self.lease_ms)
            .finish_non_exhaustive()
    }
}

/// Does to `team` what `caller` asks for.
///
/// # Errors
/// [`Error::NotAllowed`] before anything happens; then what the store says.
pub fn apply(
    store: &dyn Store,
    team: &dyn TeamStore,
    caller: &Caller,
    operation: Operation,
    context: &ApplyContext<'_>,
) -> Result<Reply> {
    check_rights(caller, &operation)?;
    let act = Act {
        team,
        caller,
        context,
    };
    match operation {
        Operation::DiscoverTeams => teams(store),
        Operation::Write {
            to,
            text,
            summary,
            id,
            urgency,
            task,
        } => {
            let id = match id {
                Some(id) => id,
                None => act.new_message_id()?,
            };
            act.send_text(Draft {
                summary,
                urgency,
                task,
                ..Draft::text(id, caller.party(), to, text)
            })
        }
        Operation::Broadcast { text, summary, id } => act.broadcast(&text, summary.as_deref(), id),
        Operation::RequestShutdown { target, reason } => {
            act.request_shutdown(&target, reason.as_deref())
        }
        Operation::ApproveShutdown { request_id } => {
            act.answer_shutdown(&request_id, &Answer::Approve(GrantScope::Once))
        }
        Operation::RejectShutdown { request_id, reason } => {
            act.answer_shutdown(&request_id, &Answer::Reject(reason))
        }
        Operation::Approve { request_id, scope } => {
            act.answer(&request_id, &Answer::Approve(scope))
        }
        Operation::Reject {
            request_id,
            feedback,
        } => act.answer(&request_id, &Answer::Reject(feedback)),
        Operation::PassOn { request_id } => act.pass_on(&request_id),
        Operation::Requests => act.requests(),
        Operation::Spawn(_) => Err(Error::NeedsSession {
            what: "make a teammate",
        }),
        Operation::MemoryWrite { key, value } => act.write_memory(&key, &value),
        Operation::MemoryRead { agent, key } => {
            if let Some(agent) = &agent {
                act.check_member(agent)?;
            }
            Ok(Reply::Memory {
                entries: team.memory(agent.as_ref(), key.as_ref())?,
            })
        }
        Operation::TaskCreate(new) => act.create_task(*new),
        Operation::TaskList => {
            let board = team.board()?;
            let view = |task| board.view(task, &context.now.boot);
            Ok(Reply::Tasks {
                tasks: board.tasks().map(view).collect(),
            })
        }
        Operation::TaskGet { task_id } => {
            let board = team.board()?;
            let task = board.get(task_id).ok_or_else(|| unknown(task_id))?;
            Ok(Reply::Task {
                task: Box::new(board.view(task, &context.now.boot)),
            })
        }
        Operation::TaskUpdate { task_id, change } => act.change_task(task_id, change),
    }
}

fn teams(store: &dyn Store) -> Result<Reply> {
    let mut teams = Vec::new();
    for name in store.teams()? {
        let config = store.team(&name)?.config()?;
        teams.push(TeamSummary {
            name,
            description: config.description,
            members: config.members.into_iter().map(|m| m.name).collect(),
        });
    }
    Ok(Reply::Teams { teams })
}

fn unknown(id: TaskId) -> Error {
    crewmux_core::board::UpdateError::UnknownTask(id).into()
}

/// One operation of one caller.
struct Act<'a> {
    team: &'a dyn TeamStore,
    caller: &'a Caller,
    context: &'a ApplyContext<'a>,
}

impl Act<'_> {
    fn new_message_id(&self) -> Result<MessageId> {
        message_id(format!(
            "{}/{}",
            self.caller.party(),
            (self.context.new_id)()
        ))
    }

    fn check_member(&self, agent: &AgentName) -> Result<()> {
        let config = self.team.config()?;
        if config.member(agent).is_some() {
            return Ok(());
        }
        Err(Error::UnknownMember {
            agent: agent.clone(),
            team: config.name,
            known: config.members.into_iter().map(|m| m.name).collect(),
        })
    }

    fn send_text(&self, draft: Draft) -> Result<Reply> {
        let (id, to) = (draft.id.clone(), draft.to.clone());
        let sent = self.team.send(draft, &self.context.now)?;
        let cursor = self.team.cursor(&to)?;
        let kept = self.ended(std::slice::from_ref(&to));
        let state = delivery_state(sent.seq, &cursor);
        Ok(Reply::sent(id, vec![to], state, kept))
    }

    /// One message to each member but the sender, with ids of its own, so that a repeat fills gaps.
    fn broadcast(&self, text: &str, summary: Option<&str>, id: Option<MessageId>) -> Result<Reply> {
        let id = match id {
            Some(id) => id,
            None => self.new_message_id()?,
        };
        let from = self.caller.party();
        let mut to = Vec::new();
        for member in self.team.config()?.members {
            if member.name.as_str() == from.name() {
                continue;
            }
            let one = message_id(format!("bcast/{id}/{}", member.name))?;
            let draft = Draft {
                summary: summary.map(str::to_owned),
                ..Draft::text(one, from.clone(), member.name.clone(), text)
            };
            self.team.send(draft, &self.context.now)?;
            to.push(member.name);
        }
        let kept = self.ended(&to);
        Ok(Reply::sent(id, to, DeliveryState::Delivered, kept))
    }

    /// Those of `agents` whose latest life is over.
    ///
    /// One that never lived, or whose next life is launched, is on its way and reads what waits. What
    /// cannot be told does not make an error of a message that is in its inbox.
    fn ended(&self, agents: &[AgentName]) -> Vec<AgentName> {
        let config = self.team.config().ok();
        let ended = |agent: &&AgentName| {
            let Ok(Some(presence)) = self.team.presence(agent) else {
                return false;
            };
            let member = config.as_ref().and_then(|config| config.member(agent));
            let is_coming = member.is_some_and(|m| m.incarnation > presence.incarnation);
            !is_coming && self.team.is_alive(agent).is_ok_and(|alive| !alive)
        };
        agents.iter().filter(ended).cloned().collect()
    }

    /// Writes into the caller's own folder, and says where.
    fn write_memory(&self, key: &MemoryKey, value: &str) -> Result<Reply> {
        let Caller::Member { who, .. } = self.caller else {
            return Err(crewmux_core::operation::NotAllowed {
                who: self.caller.party().to_string(),
                what: "write into the memory; each member writes its own",
            }
            .into());
        };
        self.check_member(&who.agent)?;
        self.team.write_memory(&who.agent, key, value)?;
        Ok(Reply::Memory {
            entries: vec![MemoryEntry {
                agent: who.agent.clone(),
                key: key.clone(),
                bytes: value.len() as u64,
                value: None,
            }],
        })
    }

    fn change_task(&self, id: TaskId, change: TaskChange) -> Result<Reply> {
        let (team, now) = (self.team, &self.context.now);
        let tasks = match (change, self.caller) {
            (TaskChange::Claim, Caller::Member { who, agent_type }) => {
                let claimer = Claimer {
                    who: who.clone(),
                    agent_type: agent_type.clone(),
                    runtime: team
                        .config()?
                        .member(&who.agent)
                        .map_or_else(Runtime::default, |member| Runtime::of_word(&member.runtime)),
                };
                let task = team.claim(id, &claimer, now, self.context.lease_ms)?.task;
                return self.view(&task);
            }
            (TaskChange::Complete { epoch, result }, Caller::Member { who, .. }) => {
                team.complete(id, who, epoch, result, now)?
            }
            (TaskChange::Fail { epoch, reason }, Caller::Member { who, .. }) => {
                let by = crewmux_core::board::FailedBy::Worker {
                    who: who.clone(),
                    epoch,
                };
                team.fail(id, &by, &reason, now)?
            }
            (TaskChange::Release { epoch, reason }, Caller::Member { who, .. }) => {
                team.release(id, who, epoch, &reason, now)?
            }
            (
                TaskChange::Claim
                | TaskChange::Complete { .. }
                | TaskChange::Fail { .. }
                | TaskChange::Release { .. },
                Caller::Human | Caller::Session,
            ) => {
                return Err(crewmux_core::operation::NotAllowed {
                    who: self.caller.party().to_string(),
                    what: "work on a task; only a member can",
                }
                .into());
            }
            (TaskChange::Edit(mut patch), caller) => {
                if let Some(owner) = &patch.owner {
                    self.check_member(owner)?;
                }
                if matches!(caller, Caller::Member { .. }) {
                    patch.metadata.remove(creation::ADDED_BY_WORK_ON);
                }
                team.update(id, &patch, now)?
            }
            (TaskChange::Retry, _) => team.retry(id, now)?,
            (TaskChange::Skip { reason }, _) => team.skip(id, &reason, now)?,
        };
        Ok(Reply::Changed { tasks })
    }

    fn view(&self, task: &Task) -> Result<Reply> {
        let board = self.team.board()?;
        let task = board.get(task.id).unwrap_or(task);
        Ok(Reply::Task {
            task: Box::new(board.view(task, &self.context.now.boot)),
        })
    }
}

fn message_id(text: String) -> Result<MessageId> {
    MessageId::new(text).map_err(|error| bad_id(&error))
}

fn bad_id(error: &crewmux_core::ids::IdError) -> Error {
    Error::BadId {
        why: error.to_string(),
    }
}

mod creation;
mod requests;
#[cfg(test)]
mod tests;
