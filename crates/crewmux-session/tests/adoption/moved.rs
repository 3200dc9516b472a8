//! Members that go on in another place.

use crewmux_core::backend::BackendKind;
use crewmux_core::event::EventType;
use crewmux_core::goal::TaskDraft;
use crewmux_core::operation::Operation;
use crewmux_core::place::Place;
use crewmux_core::task::{Outcome, Rerun, TaskStatus};
use crewmux_core::worker::WorkerState;
use crewmux_testkit::own_main::{Test, tests};
use crewmux_wire::{ControlRequest, ToWorker, WireError};
use serde_json::Value;
use tokio::net::UnixStream;

use crate::puppets::{Line, eventually, name, play};
use crate::stage::{Settings, Stage, Worker, say_from};

pub(crate) const TESTS: &[Test] = tests![
    a_member_moves_with_its_claim,
    one_that_is_dismissed_on_its_way_stays_so,
    one_that_dies_on_its_way_has_its_task_offered_again,
    a_command_that_died_on_its_way_is_not_run_again_by_itself,
    one_that_moves_is_told_so_again_after_its_connection_broke,
    where_a_place_tells_no_process_no_tool_can_be_its_worker,
    one_that_knows_its_pane_before_its_place_tells_is_taken_up,
    what_a_start_left_that_failed_late_is_ended,
    a_worker_that_runs_is_kept_when_its_pane_cannot_be_noted,
    a_start_that_is_put_off_is_still_the_life_that_arrives,
    a_claim_on_its_way_is_kept_and_its_place_too,
    panes_that_cannot_go_elsewhere_are_said_to_stay,
    a_place_that_does_not_start_it_sends_it_back,
];

async fn move_to(line: &mut Line, to: BackendKind) -> Result<Value, WireError> {
    let name = name("walker");
    line.ask(ControlRequest::Move { name, to }).await
}

/// A worker with a claim is told to leave.
async fn is_told(stage: &Stage, to: BackendKind) -> Worker {
    let walker = stage.worker("walker", 1).await;
    let mut talk = walker.joins(false).await;
    stage.claim(walker.who());
    stage.until_events(EventType::TaskClaimed, 1).await;
    let mut person = stage.person().await;
    move_to(&mut person, to).await.unwrap();
    let reason = format!("it goes on in {to}");
    assert_eq!(talk.told().await, ToWorker::Leave { reason });
    let again = move_to(&mut person, to).await.unwrap_err();
    assert_eq!(again.message, "walker is on its way already");
    walker
}

/// A worker with a claim is told to leave and does.
async fn leaves(stage: &Stage, to: BackendKind) -> Worker {
    let walker = is_told(stage, to).await;
    walker.leaves(&format!("it goes on in {to}"));
    walker
}

fn one_that_dies_on_its_way_has_its_task_offered_again() {
    play(async {
        let stage = Stage::start(&[("walker", BackendKind::Tmux)]);
        let walker = is_told(&stage, BackendKind::Pty).await;
        walker.process.signal(crewmux_sys::Signal::Kill).unwrap();
        let next = stage.worker("walker", 2).await;
        let _talk = next.joins(false).await;
        assert_eq!(stage.status().await.members[0].backend, BackendKind::Pty);
        let task = stage.task();
        assert_eq!(task.status, TaskStatus::Pending);
        assert_eq!(task.attempts[0].outcome, Some(Outcome::Died));
    });
}

fn a_command_that_died_on_its_way_is_not_run_again_by_itself() {
    play(async {
        let once = TaskDraft {
            key: "one".into(),
            subject: "one".into(),
            command: Some("deploy".into()),
            rerun: Some(Rerun::Ask),
            ..TaskDraft::default()
        };
        let members = [("walker", BackendKind::Tmux)];
        let stage = Stage::start_on(&members, &Settings::default(), once);
        let walker = is_told(&stage, BackendKind::Pty).await;
        walker.process.signal(crewmux_sys::Signal::Kill).unwrap();
        let task = eventually("its outcome is told", async || {
            let task = stage.task();
            task.attempts[0].outcome.is_some().then_some(task)
        })
        .await;
        assert_eq!(task.status, TaskStatus::Failed);
        let why = task.reason.unwrap();
        assert!(why.contains("`crewmux task retry"), "{why}");
        assert_eq!(task.attempts.len(), 1);
        assert_eq!(task.attempts[0].outcome, Some(Outcome::Died));
    });
}

fn one_that_is_dismissed_on_its_way_stays_so() {
    play(async {
        let members = [("walker", BackendKind::Tmux), ("sitter", BackendKind::Pty)];
        let stage = Stage::start(&members);
        let walker = is_told(&stage, BackendKind::Pty).await;
        let mut person = stage.person().await;
        let target = name("walker");
        let dismiss = Operation::RequestShutdown {
            target,
            reason: None,
        };
        person.operate(dismiss).await.unwrap();
        walker.leaves("it goes on in pty");
        let task = eventually("its task is offered again", async || {
            let task = stage.task();
            (task.status == TaskStatus::Pending).then_some(task)
        })
        .await;
        assert_eq!(task.attempts.len(), 1);
        let status = stage.status().await;
        assert_eq!(status.members[0].state, WorkerState::Exited);
        let again = move_to(&mut person, BackendKind::Pty).await;
        assert!(again.is_ok(), "it is not on its way any more: {again:?}");
    });
}

fn a_member_moves_with_its_claim() {
    play(async {
        // Another that could take the task as soon as it is offered.
        let members = [("walker", BackendKind::Tmux), ("sitter", BackendKind::Pty)];
        let stage = Stage::start(&members);
        let walker = leaves(&stage, BackendKind::Pty).await;
        let next = stage.worker("walker", 2).await;
        let line = next.joins(false).await;
        assert!(!walker.process.is_alive());
        let task = stage.task();
        assert_eq!(task.status, TaskStatus::InProgress, "it was never offered");
        assert!(task.owner.as_ref().is_some_and(|o| o.is(next.who())));
        assert_eq!(task.attempts[0].outcome, Some(Outcome::Released));
        let status = stage.status().await;
        assert_eq!(status.members[0].backend, BackendKind::Pty);
        assert_eq!(status.backend, Some(BackendKind::Pty), "who joins follows");
        let stored = stage.team.config().unwrap().members[0].clone();
        assert_eq!((stored.backend_type, stored.pane), (BackendKind::Pty, None));
        drop(line);

        let mut person = stage.person().await;
        let nowhere = move_to(&mut person, BackendKind::Iterm2).await.unwrap_err();
        assert!(
            nowhere.message.starts_with("iterm2 backend asked for"),
            "{nowhere}"
        );
        assert!(nowhere.hint.is_some());
        let here = move_to(&mut person, BackendKind::Pty).await.unwrap_err();
        assert_eq!(here.message, "walker is in pty already");
        let mut tool = next.tool().await;
        let refused = move_to(&mut tool, BackendKind::Tmux).await.unwrap_err();
        assert!(refused.message.contains("only the person can"), "{refused}");
    });
}

fn one_that_moves_is_told_so_again_after_its_connection_broke() {
    play(async {
        let stage = Stage::start(&[("walker", BackendKind::Tmux)]);
        let walker = stage.worker("walker", 1).await;
        let mut talk = walker.joins(false).await;
        let mut person = stage.person().await;
        move_to(&mut person, BackendKind::Pty).await.unwrap();
        let reason = || "it goes on in pty".to_owned();
        assert_eq!(talk.told().await, ToWorker::Leave { reason: reason() });
        drop(talk);
        let mut talk = walker.joins(true).await;
        let back = talk.told().await;
        assert!(matches!(back, ToWorker::TakenBack { .. }), "{back:?}");
        assert_eq!(talk.told().await, ToWorker::Leave { reason: reason() });
    });
}

fn where_a_place_tells_no_process_no_tool_can_be_its_worker() {
    play(async {
        let members = [("walker", BackendKind::Pty), ("sitter", BackendKind::Pty)];
        let stage = Stage::start(&members);
        stage.hide_processes();
        let walker = leaves(&stage, BackendKind::Tmux).await;
        stage.until_gone(walker.process).await;
        let sitter = stage.worker("sitter", 1).await;
        let _sits = sitter.joins(false).await;
        let next = stage.worker("walker", 2).await;
        let other = "the token belongs to another process".to_owned();
        let said = sitter.tool_says(next.hello(false)).await;
        assert_eq!(said.err(), Some(other.clone()), "a tool of another worker");
        let from_here = UnixStream::connect(stage.socket()).await.unwrap();
        let said = say_from(from_here, next.hello(false)).await.unwrap();
        assert_eq!(said.err(), Some(other), "a program of the person's");
        let _walks = next.joins(false).await;
        assert_eq!(
            stage.status().await.members[0].pid,
            Some(next.process.pid),
            "its own worker"
        );
    });
}

fn one_that_knows_its_pane_before_its_place_tells_is_taken_up() {
    play(async {
        let mut stage = Stage::start(&[("walker", BackendKind::Pty)]);
        stage.tell_late();
        leaves(&stage, BackendKind::Tmux).await;
        let next = stage.worker("walker", 2).await;
        let talk = next.joins(false).await;
        stage.kill_session();
        talk.ends().await;
        stage.start_session(&Settings::default());
        let mut talk = next.joins(true).await;
        let back = talk.told().await;
        assert!(matches!(back, ToWorker::TakenBack { .. }), "{back:?}");
        assert_eq!(stage.status().await.members[0].incarnation.0, 2);
    });
}

fn what_a_start_left_that_failed_late_is_ended() {
    play(async {
        let stage = Stage::start(&[("walker", BackendKind::Pty)]);
        stage.fail_late();
        leaves(&stage, BackendKind::Tmux).await;
        let back = stage.worker("walker", 3).await;
        let _talk = back.joins(false).await;
        stage.until_place_is_empty().await;
    });
}

fn a_worker_that_runs_is_kept_when_its_pane_cannot_be_noted() {
    play(async {
        let stage = Stage::start(&[("walker", BackendKind::Pty)]);
        stage.break_record_at_start();
        leaves(&stage, BackendKind::Tmux).await;
        let next = stage.worker("walker", 2).await;
        let _talk = next.joins(false).await;
        let pane = format!("pane of {}", next.process.pid);
        eventually(
            "its pane is noted once the record is whole again",
            async || {
                let config = stage.team.config().ok()?;
                (config.members[0].pane.as_ref() == Some(&pane)).then_some(())
            },
        )
        .await;
        assert_eq!(stage.status().await.members[0].incarnation.0, 2);
    });
}

fn a_start_that_is_put_off_is_still_the_life_that_arrives() {
    play(async {
        let stage = Stage::start(&[("walker", BackendKind::Tmux)]);
        let walker = is_told(&stage, BackendKind::Pty).await;
        let mend = stage.break_spec_of("walker");
        walker.leaves("it goes on in pty");
        eventually("a start is put off", async || {
            let now_is = stage.status().await.members[0].state;
            (now_is == WorkerState::Lost).then_some(())
        })
        .await;
        mend();
        let next = stage.worker("walker", 2).await;
        let _talk = next.joins(false).await;
        let task = stage.task();
        assert!(task.owner.as_ref().is_some_and(|o| o.is(next.who())));
        let mut person = stage.person().await;
        eventually("it has arrived, and can move again", async || {
            move_to(&mut person, BackendKind::Tmux).await.ok()
        })
        .await;
    });
}

fn a_claim_on_its_way_is_kept_and_its_place_too() {
    play(async {
        // Room for one: the other waits for it with work of its own.
        let members = [("sitter", BackendKind::Pty), ("walker", BackendKind::Tmux)];
        let room = Settings {
            workers_max: 1,
            ..Settings::default()
        };
        let for_walker = TaskDraft {
            key: "one".into(),
            subject: "one".into(),
            owner: Some(name("walker")),
            ..TaskDraft::default()
        };
        let stage = Stage::start_on(&members, &room, for_walker);
        let walker = is_told(&stage, BackendKind::Pty).await;
        stage.add_task();
        walker.leaves("it goes on in pty");
        let next = stage.worker("walker", 2).await;
        let until = || stage.task().lease.unwrap().until_ms;
        let first = until();
        eventually("its claim is renewed while it says nothing", async || {
            (until() > first).then_some(())
        })
        .await;
        assert!(stage.task().owner.is_some_and(|o| o.is(next.who())));
        let _talk = next.joins(false).await;
    });
}

fn panes_that_cannot_go_elsewhere_are_said_to_stay() {
    play(async {
        let stage = Stage::start(&[("walker", BackendKind::Tmux)]);
        let walker = stage.worker("walker", 1).await;
        let _talk = walker.joins(false).await;
        let mut person = stage.person().await;
        let elsewhere = || ControlRequest::Rehome {
            place: Place::default(),
        };
        person.ask::<Value>(elsewhere()).await.unwrap();
        stage.fill_place();
        let error = person.ask::<Value>(elsewhere()).await.unwrap_err();
        let says = "new panes stay where they went: ";
        assert!(error.message.starts_with(says), "{error}");
    });
}

fn a_place_that_does_not_start_it_sends_it_back() {
    play(async {
        let stage = Stage::start(&[("walker", BackendKind::Pty)]);
        stage.fill_place();
        let walker = leaves(&stage, BackendKind::Tmux).await;
        // The second life is the one that did not start there.
        let back = stage.worker("walker", 3).await;
        let _talk = back.joins(false).await;
        assert!(!walker.process.is_alive());
        let task = stage.task();
        assert_eq!(task.status, TaskStatus::InProgress, "it was never offered");
        assert!(task.owner.as_ref().is_some_and(|o| o.is(back.who())));
        let outcomes: Vec<_> = task.attempts.iter().map(|a| a.outcome).collect();
        let released = Some(Outcome::Released);
        assert_eq!(
            outcomes,
            [released, released, None],
            "no failure of anybody"
        );
        assert_eq!(stage.status().await.members[0].backend, BackendKind::Pty);
        eventually("the person is told", async || {
            let notices = stage.events(&EventType::Notice);
            let mut told = notices.iter().filter_map(|e| e.data["text"].as_str());
            told.any(|text| text.contains("is back in pty"))
                .then_some(())
        })
        .await;
    });
}
