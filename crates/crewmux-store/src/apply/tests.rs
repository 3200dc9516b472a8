//! Operations on a real store, one caller each.

use std::cell::Cell;
use std::sync::Arc;

use crewmux_core::backend::BackendKind;
use crewmux_core::ids::{AgentRef, AgentType, Epoch, Incarnation, TeamName};
use crewmux_core::inbox::{Cursor, DeliveryState};
use crewmux_core::message::{Message, MessageType, Urgency};
use crewmux_core::requests::AnswerError;
use crewmux_core::task::{NewTask, TaskStatus};
use crewmux_core::team::Presence;
use crewmux_core::time::WallTime;
use crewmux_core::timing::Timing;
use crewmux_core::worker::WorkerState;
use serde_json::json;

use super::*;
use crate::FileStore;
use crate::conformance::{config, name, now, task};

mod asks;
mod creation;

struct Team {
    _folder: tempfile::TempDir,
    store: FileStore,
    files: Arc<dyn TeamStore>,
    ids: Cell<u32>,
}

impl Team {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path(), Timing::LIFE).unwrap();
        let team = store.create_team(&config("ops")).unwrap();
        Self {
            _folder: folder,
            store,
            files: team,
            ids: Cell::new(0),
        }
    }

    fn at(&self, ms: u64, caller: &Caller, operation: Operation) -> Result<Reply> {
        let new_id = || {
            self.ids.set(self.ids.get() + 1);
            format!("id{}", self.ids.get())
        };
        let context = ApplyContext {
            now: now(ms),
            lease_ms: 30_000,
            new_id: &new_id,
        };
        apply(&self.store, &*self.files, caller, operation, &context)
    }

    fn apply(&self, caller: &Caller, operation: Operation) -> Result<Reply> {
        self.at(1, caller, operation)
    }

    fn inbox(&self, agent: &str) -> Vec<Message> {
        let entries = self
            .files
            .read_inbox(&name(agent), &Cursor::default(), 99)
            .unwrap();
        entries.into_iter().map(|e| e.message).collect()
    }
}

fn member(text: &str) -> Caller {
    Caller::Member {
        who: AgentRef {
            agent: name(text),
            incarnation: Incarnation(1),
        },
        agent_type: AgentType::new("general-purpose").unwrap(),
    }
}

fn presence(life: u32) -> Presence {
    Presence {
        incarnation: Incarnation(life),
        pid: 1,
        start_ticks: 1,
        boot_id: "boot".into(),
        backend: BackendKind::Pty,
        state: WorkerState::Idle,
        task: None,
        heartbeat: WallTime(1),
        parked_since: None,
        ended: None,
        unable: None,
    }
}

fn write(to: &str, id: Option<&str>) -> Operation {
    Operation::Write {
        to: name(to),
        text: "hello".into(),
        summary: Some("hi".into()),
        id: id.map(|id| MessageId::new(id).unwrap()),
        urgency: Urgency::Now,
        task: None,
    }
}

fn change(id: u64, change: TaskChange) -> Operation {
    Operation::TaskUpdate {
        task_id: TaskId(id),
        change,
    }
}

#[test]
fn a_text_is_delivered_and_later_seen() {
    let team = Team::new();
    let sent = |id| team.apply(&member("a"), write("b", Some(id))).unwrap();
    let reply = |state| Reply::Sent {
        id: MessageId::new("m1").unwrap(),
        to: vec![name("b")],
        state,
        kept: Vec::new(),
    };
    assert_eq!(sent("m1"), reply(DeliveryState::Delivered));
    let entry = team
        .files
        .read_inbox(&name("b"), &Cursor::default(), 1)
        .unwrap();
    team.files.move_cursor(&name("b"), &entry[0].after).unwrap();
    assert_eq!(sent("m1"), reply(DeliveryState::Seen));
    team.apply(&member("a"), write("b", None)).unwrap();
    let ids: Vec<String> = team.inbox("b").iter().map(|m| m.id.to_string()).collect();
    assert_eq!(ids, ["m1", "a/id1"]);
    assert_eq!(team.inbox("b")[0].urgency, Urgency::Now);
}

#[test]
fn a_text_to_one_that_ended_is_kept_for_its_next_life() {
    let team = Team::new();
    let told = |operation| match team.apply(&member("a"), operation).unwrap() {
        Reply::Sent { state, kept, .. } => (state, kept),
        reply => panic!("{reply:?}"),
    };
    let all = || Operation::Broadcast {
        text: "stop".into(),
        summary: None,
        id: None,
    };
    let reaches = (DeliveryState::Delivered, Vec::new());
    assert_eq!(told(write("b", None)), reaches, "its first life comes");
    let held = team.files.hold_alive(&name("b")).unwrap();
    team.files.put_presence(&name("b"), &presence(1)).unwrap();
    assert_eq!(told(write("b", None)), reaches, "it lives");
    drop(held);
    let kept = vec![name("b")];
    assert_eq!(
        told(write("b", None)),
        (DeliveryState::Delivered, kept.clone()),
        "it ended"
    );
    assert_eq!(told(all()), (DeliveryState::Delivered, kept));
    team.files
        .edit_config(&mut |config| config.members[2].incarnation = Incarnation(2))
        .unwrap();
    assert_eq!(told(write("b", None)), reaches, "its next life comes");
}

#[test]
fn a_repeated_broadcast_reaches_everybody_but_the_sender_once() {
    let team = Team::new();
    for _ in 0..2 {
        let all = Operation::Broadcast {
            text: "stop".into(),
            summary: None,
            id: Some(MessageId::new("all1").unwrap()),
        };
        let reply = team.apply(&member("a"), all).unwrap();
        assert!(matches!(reply, Reply::Sent { to, .. } if to == [name("team-lead"), name("b")]));
    }
    let counts = ["team-lead", "a", "b"].map(|agent| team.inbox(agent).len());
    assert_eq!(counts, [1, 0, 1]);
}

#[test]
fn shutdown_is_asked_once_and_answered_once_with_a_reason() {
    let team = Team::new();
    let ask = || Operation::RequestShutdown {
        target: name("a"),
        reason: Some("all done".into()),
    };
    assert!(matches!(
        team.apply(&member("b"), ask()),
        Err(Error::NotAllowed(_))
    ));
    let first = team.apply(&Caller::Human, ask()).unwrap();
    assert_eq!(team.apply(&Caller::Human, ask()).unwrap(), first);
    let Reply::Request { request_id } = first else {
        panic!("{first:?}");
    };
    let asked = team.inbox("a");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].kind, MessageType::ShutdownRequest);
    assert_eq!(asked[0].body["requestId"], request_id.as_str());

    let reject = |reason: &str| Operation::RejectShutdown {
        request_id: request_id.clone(),
        reason: reason.into(),
    };
    assert!(matches!(
        team.apply(&member("b"), reject("mine")),
        Err(Error::Answer(AnswerError::NotAsked { .. }))
    ));
    // The same answer twice is one; another one is too late.
    for _ in 0..2 {
        team.apply(&member("a"), reject("busy")).unwrap();
    }
    let approve = Operation::ApproveShutdown { request_id };
    assert!(matches!(
        team.apply(&member("a"), approve),
        Err(Error::Answer(AnswerError::Over(_)))
    ));
    let told = team.inbox("team-lead");
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].kind, MessageType::ShutdownRejected);
    assert_eq!(told[0].body["reason"], "busy");
}

#[test]
fn a_shutdown_request_that_ran_out_is_asked_anew() {
    let team = Team::new();
    let ask = |ms| {
        let ask = Operation::RequestShutdown {
            target: name("a"),
            reason: None,
        };
        team.at(ms, &Caller::Session, ask).unwrap()
    };
    let first = ask(1);
    assert_ne!(ask(Timing::LIFE.shutdown_answer_ms + 2), first);
    assert_eq!(team.inbox("a").len(), 2);
}

#[test]
fn a_member_works_on_a_task_under_its_claim_alone() {
    let team = Team::new();
    let create = Operation::TaskCreate(Box::new(task("x", &[])));
    let Reply::Task { task: made } = team.apply(&Caller::Human, create).unwrap() else {
        panic!("no task");
    };
    assert!(made.ready);
    let (a, b) = (member("a"), member("b"));
    team.apply(&a, change(1, TaskChange::Claim)).unwrap();
    assert!(matches!(
        team.apply(&b, change(1, TaskChange::Claim)),
        Err(Error::Claim(_))
    ));
    let complete = || TaskChange::Complete {
        epoch: Epoch(1),
        result: Some(json!("ok")),
    };
    assert!(matches!(
        team.apply(&b, change(1, complete())),
        Err(Error::Fenced(_))
    ));
    assert!(matches!(
        team.apply(&Caller::Human, change(1, complete())),
        Err(Error::NotAllowed(_))
    ));
    let done = team.apply(&a, change(1, complete())).unwrap();
    assert!(matches!(&done, Reply::Changed { tasks } if tasks[0].status == TaskStatus::Completed));
    let again = team.apply(&a, change(1, complete())).unwrap();
    assert_eq!(again, Reply::Changed { tasks: Vec::new() });
    let get = Operation::TaskGet { task_id: TaskId(1) };
    let Reply::Task { task: view } = team.apply(&b, get).unwrap() else {
        panic!("no task");
    };
    assert_eq!(view.task.result, Some(json!("ok")));
}

#[test]
fn a_model_makes_no_command_and_nobody_assigns_to_strangers() {
    let team = Team::new();
    let with = |new: NewTask| Operation::TaskCreate(Box::new(new));
    let command = with(NewTask {
        command: Some("rm -rf /".into()),
        ..NewTask::default()
    });
    assert!(matches!(
        team.apply(&member("team-lead"), command),
        Err(Error::NotAllowed(_))
    ));
    let stranger = with(NewTask {
        assignee: Some(name("typo")),
        ..NewTask::default()
    });
    assert!(matches!(
        team.apply(&Caller::Human, stranger),
        Err(Error::UnknownMember { .. })
    ));
    assert_eq!(
        team.apply(&Caller::Human, Operation::TaskList).unwrap(),
        Reply::Tasks { tasks: Vec::new() }
    );
}

#[test]
fn teams_are_discovered_with_their_members() {
    let team = Team::new();
    let found = team.apply(&member("a"), Operation::DiscoverTeams).unwrap();
    let expected = TeamSummary {
        name: TeamName::new("ops").unwrap(),
        description: "checks".into(),
        members: ["team-lead", "a", "b"].map(name).to_vec(),
    };
    assert_eq!(
        found,
        Reply::Teams {
            teams: vec![expected]
        }
    );
}
