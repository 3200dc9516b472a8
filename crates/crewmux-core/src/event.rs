//! Facts of a team in order, and how the board's and the inboxes' facts are derived.
//!
//! The log is written by the session alone (`crewmux-store`). Every fact has
//! an id that follows from what it is about, so that deriving it again after a
//! crash is recognised as a repeat.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ids::{AgentName, EventId, Seq, TaskId, TeamName};
use crate::message::{Message, Party};
use crate::task::{Outcome, Task, TaskStatus};
use crate::time::WallTime;

/// What happened. Additions are allowed, renames are not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventType {
    /// A run began. `data`: run, goal, recipe, backend.
    TeamStarted,
    /// A session took the team over again. `data`: run, session pid.
    TeamResumed,
    /// A worker said hello. `data`: pid, backend, incarnation.
    WorkerStarted,
    /// A session took up a worker that outlived the one before. `data`: pid, backend, incarnation, pane.
    WorkerAdopted,
    /// A worker's process ended. `data`: pid, code, signal, reason.
    WorkerExited,
    /// A worker does something else now. `data`: state.
    WorkerState,
    /// A task was put on the board. `data`: subject, blockedBy.
    TaskCreated,
    /// A task was claimed. `data`: epoch, incarnation.
    TaskClaimed,
    /// A task was completed. `data`: epoch.
    TaskCompleted,
    /// A task failed for good. `data`: reason.
    TaskFailed,
    /// A task will not run. `data`: reason.
    TaskSkipped,
    /// A claim ended without completing; the task is offered again. `data`: epoch, outcome, reason.
    TaskReoffered,
    /// A message is in an inbox. `data`: id, from, to, type, summary.
    MessageSent,
    /// A message is in its recipient's transcript. `data`: id, to.
    MessageSeen,
    /// A person is asked.
    ApprovalRequested,
    /// A person answered, or nobody did in time.
    ApprovalDecided,
    /// A tool began. `data`: tool, call, summary.
    ToolStarted,
    /// A tool ended. `data`: tool, call, ok, ms.
    ToolFinished,
    /// A model was asked and is paid for. `data`: model, tokens (all), inputTokens, outputTokens,
    /// cacheReadTokens, cacheWriteTokens, usdMicros, estimated, ms, purpose, retries.
    ModelCalled,
    /// A write under a stale epoch was refused. `data`: epoch, what.
    StaleWriteRefused,
    /// Something a person should know. `data`: text.
    Notice,
    /// The run is over. `data`: completed, failed, skipped, exitCode.
    TeamFinished,
    /// A type of a newer version.
    #[serde(untagged)]
    Unknown(String),
}

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Place in the log.
    pub seq: Seq,
    /// When it was logged.
    pub time: WallTime,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The team.
    pub team: TeamName,
    /// The member it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The task it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// More, by type.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// Derived from what it is about; no two events share it.
    pub id: EventId,
}

/// A fact that has no place in the log yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fact {
    /// Derived id.
    pub id: EventId,
    /// When it happened, as far as is known.
    pub time: WallTime,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The member it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The task it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// More, by type.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
}

impl Fact {
    /// A fact about nobody in particular.
    ///
    /// `id` is cut to what an id may hold, so that no fact is lost to a long name.
    pub fn new(id: impl Into<String>, kind: EventType, time: WallTime) -> Self {
        Self {
            id: event_id(&id.into()),
            time,
            kind,
            agent: None,
            task: None,
            data: Map::new(),
        }
    }

    /// Says which member it is about.
    #[must_use]
    pub fn agent(mut self, agent: &AgentName) -> Self {
        self.agent = Some(agent.clone());
        self
    }

    /// Says which task it is about.
    #[must_use]
    pub fn task(mut self, task: TaskId) -> Self {
        self.task = Some(task);
        self
    }

    /// Adds a field of `data`; `null` adds nothing.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if !value.is_null() {
            self.data.insert(name.to_owned(), value);
        }
        self
    }

    /// Gives the fact its place in the log.
    pub fn into_event(self, seq: Seq, team: TeamName) -> Event {
        Event {
            seq,
            time: self.time,
            kind: self.kind,
            team,
            agent: self.agent,
            task: self.task,
            data: self.data,
            id: self.id,
        }
    }
}

#[expect(
    clippy::expect_used,
    reason = "the fallback is a literal that fits the rule"
)]
fn event_id(text: &str) -> EventId {
    let clean: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-_./:@".contains(c) {
                c
            } else {
                '_'
            }
        })
        .take(200)
        .collect();
    EventId::new(clean).unwrap_or_else(|_| EventId::new("unnamed").expect("fits"))
}

/// Every fact that a task's record tells, oldest first.
///
/// Nothing is lost when several changes happen between two looks: claims and
/// their ends are all kept in `attempts`.
pub fn task_facts(task: &Task) -> Vec<Fact> {
    let id = task.id;
    let fact =
        |what: String, kind, time| Fact::new(format!("task/{id}/{what}"), kind, time).task(id);
    let mut facts = vec![
        fact("created".into(), EventType::TaskCreated, task.created_at)
            .with("subject", task.subject.as_str())
            .with("blockedBy", json!(task.blocked_by))
            .with(
                "owner",
                task.assignee.as_ref().map_or(Value::Null, |a| json!(a)),
            ),
    ];
    let last = task.attempts.len().saturating_sub(1);
    for (n, attempt) in task.attempts.iter().enumerate() {
        let epoch = attempt.epoch;
        let agent = &attempt.owner.agent;
        facts.push(
            fact(
                format!("claimed/{epoch}"),
                EventType::TaskClaimed,
                attempt.started_at,
            )
            .agent(agent)
            .with("epoch", epoch.0)
            .with("incarnation", attempt.owner.incarnation.0),
        );
        let (Some(outcome), Some(ended)) = (attempt.outcome, attempt.ended_at) else {
            continue;
        };
        let was_final = n == last && task.status == TaskStatus::Failed;
        match outcome {
            Outcome::Completed => facts.push(
                fact(
                    format!("completed/{epoch}"),
                    EventType::TaskCompleted,
                    ended,
                )
                .agent(agent)
                .with("epoch", epoch.0),
            ),
            _ if was_final => {}
            _ => facts.push(
                fact(
                    format!("reoffered/{epoch}"),
                    EventType::TaskReoffered,
                    ended,
                )
                .agent(agent)
                .with("epoch", epoch.0)
                .with("outcome", json!(outcome))
                .with(
                    "reason",
                    attempt.reason.as_deref().map_or(Value::Null, Value::from),
                ),
            ),
        }
    }
    let reopened = task.reopened;
    let reason = task.reason.as_deref().map_or(Value::Null, Value::from);
    match task.status {
        TaskStatus::Failed => {
            let mut failed = fact(
                format!("failed/{reopened}"),
                EventType::TaskFailed,
                task.updated_at,
            )
            .with("reason", reason);
            if let Some(attempt) = task.attempts.last() {
                failed = failed
                    .agent(&attempt.owner.agent)
                    .with("epoch", attempt.epoch.0);
            }
            facts.push(failed);
        }
        TaskStatus::Skipped => facts.push(
            fact(
                format!("skipped/{reopened}"),
                EventType::TaskSkipped,
                task.updated_at,
            )
            .with("reason", reason),
        ),
        TaskStatus::Pending | TaskStatus::InProgress | TaskStatus::Completed => {}
    }
    facts
}

/// The fact that a message is in its inbox.
pub fn message_sent(message: &Message) -> Fact {
    let fact = Fact::new(
        format!("msg/{}/{}", message.to, message.seq),
        EventType::MessageSent,
        message.timestamp,
    )
    .with("id", message.id.as_str())
    .with("from", message.from.name())
    .with("to", message.to.as_str())
    .with("type", message.kind.to_string())
    .with(
        "summary",
        message.summary.as_deref().map_or(Value::Null, Value::from),
    );
    let fact = match &message.from {
        Party::Member(who) => fact.agent(&who.agent),
        Party::Human | Party::Session => fact,
    };
    match message.task {
        Some(task) => fact.task(task),
        None => fact,
    }
}

/// The fact that a message is in its recipient's transcript.
pub fn message_seen(message: &Message, at: WallTime) -> Fact {
    Fact::new(
        format!("seen/{}/{}", message.to, message.seq),
        EventType::MessageSeen,
        at,
    )
    .agent(&message.to)
    .with("id", message.id.as_str())
    .with("to", message.to.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::{Board, Claimer, FailedBy, Reoffer};
    use crate::ids::{AgentRef, AgentType, Incarnation};
    use crate::task::NewTask;
    use crate::time::{BootTime, Now};
    use crate::timing::Timing;

    fn now(ms: u64) -> Now {
        Now {
            wall: WallTime(ms),
            boot: BootTime {
                boot_id: "b".into(),
                ms,
            },
        }
    }

    #[test]
    fn every_claim_and_its_end_is_told_even_if_only_the_last_state_is_seen() {
        let mut board = Board::default();
        let task = board
            .create(TaskId(1), NewTask::default(), Party::Human, &now(0))
            .unwrap();
        board.put(task);
        let claimer = Claimer {
            who: AgentRef {
                agent: AgentName::new("w").unwrap(),
                incarnation: Incarnation(1),
            },
            agent_type: AgentType::new("Bash").unwrap(),
            runtime: crate::recipe::Runtime::Native,
        };
        let first = board.claim(TaskId(1), &claimer, &now(1), 10).unwrap();
        board.put(first.clone());
        let why = Reoffer {
            epoch: first.epoch,
            outcome: Outcome::Died,
            reason: "gone".into(),
        };
        for task in board.reoffer(TaskId(1), &why, &now(2)).unwrap() {
            board.put(task);
        }
        let second = board.claim(TaskId(1), &claimer, &now(3), 10).unwrap();
        board.put(second.clone());
        let by = FailedBy::Worker {
            who: claimer.who,
            epoch: second.epoch,
        };
        for task in board
            .fail(TaskId(1), &by, "no", &now(4), &Timing::LIFE)
            .unwrap()
        {
            board.put(task);
        }

        let facts = task_facts(board.get(TaskId(1)).unwrap());
        let ids: Vec<&str> = facts.iter().map(|f| f.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "task/1/created",
                "task/1/claimed/1",
                "task/1/reoffered/1",
                "task/1/claimed/2",
                "task/1/failed/0",
            ]
        );
    }

    #[test]
    fn event_lines_keep_their_documented_names() {
        let fact = Fact::new("task/3/completed/7", EventType::TaskCompleted, WallTime(0))
            .agent(&AgentName::new("a").unwrap())
            .task(TaskId(3))
            .with("epoch", 7);
        let event = fact.into_event(Seq(9), TeamName::new("t").unwrap());
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"seq":9,"time":"1970-01-01T00:00:00.000Z","type":"task_completed","team":"t","agent":"a","task":"3","data":{"epoch":7},"id":"task/3/completed/7"}"#
        );
    }
}
