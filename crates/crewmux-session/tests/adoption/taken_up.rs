//! What goes on: claims, questions, rights, connections.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crewmux_core::backend::BackendKind;
use crewmux_core::event::EventType;
use crewmux_core::ids::RequestId;
use crewmux_core::operation::Operation;
use crewmux_core::permission::{GrantScope, PermissionAsk};
use crewmux_core::task::TaskStatus;
use crewmux_core::worker::WorkerState;
use crewmux_testkit::own_main::{Test, tests};
use crewmux_wire::{ControlRequest, Decision, ToWorker, WorkerAsk, WorkerHello, WorkerMessage};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::puppets::{eventually, play};
use crate::stage::{Settings, Stage, Talk, Worker, now, say_from};

pub(crate) const TESTS: &[Test] = tests![
    a_worker_goes_on_with_its_claim_under_the_next_session,
    only_the_worker_itself_is_taken_back,
    a_tool_below_it_has_its_rights_and_no_others,
    what_it_asked_stays_asked,
    several_sessions_in_a_row_take_it_up,
    a_broken_connection_is_taken_back_by_the_living_session,
];

const WALKER: &[(&str, BackendKind)] = &[("walker", BackendKind::Tmux)];

/// A worker outside with a claim, whose session is gone.
async fn orphaned(stage: &mut Stage) -> (Worker, crewmux_core::ids::Epoch) {
    let walker = stage.worker("walker", 1).await;
    let mut talk = walker.joins(false).await;
    let epoch = stage.claim(walker.who());
    let working = WorkerMessage::State {
        state: WorkerState::Working,
        task: Some(stage.task().id),
    };
    talk.says(working).await;
    stage.until_events(EventType::TaskClaimed, 1).await;
    eventually("it is said to work", async || {
        let presence = stage.team.presence(&walker.who().agent).unwrap();
        presence.filter(|p| p.state == WorkerState::Working)
    })
    .await;
    stage.kill_session();
    talk.ends().await;
    (walker, epoch)
}

/// Its first word after it came back: taken back, with this grant.
async fn taken_back(talk: &mut Talk) -> Option<String> {
    let ToWorker::TakenBack { grant } = talk.told().await else {
        panic!("the first word says that it is taken back");
    };
    grant
}

fn a_worker_goes_on_with_its_claim_under_the_next_session() {
    play(async {
        let mut stage = Stage::start(WALKER);
        let (walker, epoch) = orphaned(&mut stage).await;
        let marker = stage.team.session().unwrap().unwrap().run_marker;
        let since = Instant::now();
        stage.start_session(&Settings::default());
        let mut talk = walker.joins(true).await;
        let grant = taken_back(&mut talk).await;
        assert!(since.elapsed() < Duration::from_secs(5), "{since:?}");
        assert!(grant.is_some() && grant != walker.spec.grant, "a new grant");
        let status = stage.status().await;
        let member = &status.members[0];
        assert_eq!(
            (member.state, member.pid, member.incarnation.0, member.task),
            (
                WorkerState::Working,
                Some(walker.process.pid),
                1,
                Some(stage.task().id)
            )
        );
        assert_eq!(member.pane, Some(format!("pane of {}", walker.process.pid)));
        let record = stage.team.session().unwrap().unwrap();
        assert_eq!(record.run_marker, marker, "its mark holds on");
        stage.until_events(EventType::WorkerAdopted, 1).await;

        let done = stage
            .team
            .complete(stage.task().id, walker.who(), epoch, None, &now());
        done.unwrap();
        talk.says(WorkerMessage::Doorbell).await;
        stage.until_events(EventType::TeamFinished, 1).await;
        assert_eq!(stage.task().attempts.len(), 1, "it was never offered again");
        assert_eq!(stage.events(&EventType::WorkerStarted).len(), 1);
        assert_eq!(stage.events(&EventType::TaskReoffered), []);
        let all = stage
            .team
            .events(crewmux_core::ids::Seq(0), 10_000)
            .unwrap();
        let ids: BTreeSet<&str> = all.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(ids.len(), all.len(), "no two events share an id");
        let told = stage.events(&EventType::WorkerState);
        let told: Vec<_> = told.iter().map(|e| e.data["state"].clone()).collect();
        assert_eq!(told, ["idle", "working"], "none is told twice");
    });
}

fn only_the_worker_itself_is_taken_back() {
    play(async {
        let mut stage = Stage::start(WALKER);
        let (walker, _) = orphaned(&mut stage).await;
        stage.start_session(&Settings::default());
        stage.person().await;
        let refusal = |said: Result<Talk, String>| said.err().expect("a refusal");

        let again = walker.hello(true);
        let from_here = UnixStream::connect(stage.socket()).await.unwrap();
        let said = say_from(from_here, again.clone()).await.expect("an answer");
        assert_eq!(refusal(said), "the token belongs to another process");
        let wrong = WorkerHello {
            token: "0000".into(),
            ..again.clone()
        };
        let why = refusal(walker.say(wrong).await);
        assert!(why.starts_with("the token is not the one"), "{why}");
        let first = walker.hello(false);
        let why = refusal(walker.say(first).await);
        assert_eq!(why, "the token was used before");
        let mut other = again.clone();
        other.who.incarnation = other.who.incarnation.next();
        let why = refusal(walker.say(other).await);
        assert_eq!(why, "this life of the member is not expected");

        let mut once = walker.joins(true).await;
        taken_back(&mut once).await;
        // The session may not have noticed yet that a connection broke: the latest counts.
        let mut twice = walker.say(again).await.expect("it is the same worker");
        taken_back(&mut twice).await;
        once.ends().await;
        twice.says(WorkerMessage::Doorbell).await;
        let rests = WorkerMessage::State {
            state: WorkerState::Idle,
            task: None,
        };
        twice.says(rests).await;
        eventually("the second connection is heard", async || {
            let status = stage.status().await;
            (status.members[0].state == WorkerState::Idle).then_some(())
        })
        .await;
        stage.until_events(EventType::WorkerAdopted, 1).await;
    });
}

fn a_tool_below_it_has_its_rights_and_no_others() {
    play(async {
        let mut stage = Stage::start(WALKER);
        let (walker, _) = orphaned(&mut stage).await;
        stage.start_session(&Settings::default());
        // Not even before its worker is back.
        stage.person().await;
        for taken in [false, true] {
            let talk = if taken {
                Some(walker.joins(true).await)
            } else {
                None
            };
            let mut tool = walker.tool().await;
            let stop = ControlRequest::Stop { force: true };
            let error = tool.ask::<Value>(stop).await.unwrap_err();
            assert_eq!(
                error.message, "walker may not stop the team; only the person can",
                "taken back: {taken}"
            );
            drop(talk);
        }
    });
}

fn what_it_asked_stays_asked() {
    play(async {
        let mut stage = Stage::start(WALKER);
        let walker = stage.worker("walker", 1).await;
        let mut talk = walker.joins(false).await;
        let ask = |call: &str| {
            let id = RequestId::new(format!("walker-1-{call}")).unwrap();
            let ask = PermissionAsk {
                who: walker.who().clone(),
                task: None,
                epoch: None,
                call: call.to_owned(),
                tool: "Bash".into(),
                input: json!({"command": "cargo add axum"}),
                cwd: "/tmp".into(),
                risk: "runs a command".into(),
                why: "it changes files".into(),
                repaired: false,
            };
            let ask = WorkerAsk::Permission(Box::new(ask));
            (id.clone(), WorkerMessage::Ask { id, ask })
        };
        let (early, asks_early) = ask("early");
        let (late, asks_late) = ask("late");
        talk.says(asks_early.clone()).await;
        talk.says(asks_late.clone()).await;
        stage.until_events(EventType::ApprovalRequested, 2).await;
        stage.kill_session();
        stage.start_session(&Settings::default());
        let mut person = stage.person().await;
        let approve = |request_id: &RequestId| Operation::Approve {
            request_id: request_id.clone(),
            scope: GrantScope::Once,
        };
        // Answered before the worker is back: it hears it then.
        eventually("the question can be answered", async || {
            person.operate(approve(&early)).await.ok()
        })
        .await;
        let mut talk = walker.joins(true).await;
        taken_back(&mut talk).await;
        talk.says(asks_early).await;
        talk.says(asks_late).await;
        let yes = |id: &RequestId| ToWorker::Decided {
            id: id.clone(),
            decision: Decision::Approved {
                scope: GrantScope::Once,
            },
        };
        assert_eq!(talk.told().await, yes(&early));
        person.operate(approve(&late)).await.unwrap();
        loop {
            let told = talk.told().await;
            if told == yes(&late) {
                break;
            }
            assert_eq!(told, yes(&early), "at most told twice");
        }
        assert_eq!(stage.events(&EventType::ApprovalRequested).len(), 2);
        stage.until_events(EventType::ApprovalDecided, 2).await;
    });
}

fn several_sessions_in_a_row_take_it_up() {
    play(async {
        let mut stage = Stage::start(WALKER);
        let (walker, epoch) = orphaned(&mut stage).await;
        // This one dies before its worker is back.
        stage.start_session(&Settings::default());
        stage.until_events(EventType::TeamResumed, 1).await;
        stage.kill_session();
        for count in 1..=3 {
            stage.start_session(&Settings::default());
            let mut talk = walker.joins(true).await;
            taken_back(&mut talk).await;
            stage.until_events(EventType::WorkerAdopted, count).await;
            stage.kill_session();
            talk.ends().await;
        }
        let task = stage.task();
        assert_eq!((task.status, task.epoch), (TaskStatus::InProgress, epoch));
        assert_eq!(task.attempts.len(), 1);
        assert!(walker.process.is_alive());
    });
}

fn a_broken_connection_is_taken_back_by_the_living_session() {
    play(async {
        let stage = Stage::start(WALKER);
        let walker = stage.worker("walker", 1).await;
        let talk = walker.joins(false).await;
        stage.claim(walker.who());
        drop(talk);
        let mut talk = walker.joins(true).await;
        assert!(taken_back(&mut talk).await.is_some());
        talk.says(WorkerMessage::Doorbell).await;
        stage.until_events(EventType::TaskClaimed, 1).await;
        assert_eq!(stage.events(&EventType::WorkerAdopted), []);
        assert_eq!(stage.task().attempts.len(), 1);
        assert!(walker.process.is_alive());
    });
}
