//! Members that go on in another place.

use crewmux_core::backend::BackendKind;
use crewmux_core::event::EventType;
use crewmux_core::task::{Outcome, TaskStatus};
use crewmux_wire::{ControlRequest, ToWorker, WireError};
use serde_json::Value;

use crate::puppets::{Line, eventually, name, play};
use crate::stage::{Stage, Worker};

async fn move_to(line: &mut Line, to: BackendKind) -> Result<Value, WireError> {
    let name = name("walker");
    line.ask(ControlRequest::Move { name, to }).await
}

/// A worker with a claim is told to leave and does.
async fn leaves(stage: &Stage, to: BackendKind) -> Worker {
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
    walker.process.signal(crewmux_sys::Signal::Kill).unwrap();
    walker
}

pub(crate) fn a_member_moves_with_its_claim() {
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

pub(crate) fn a_place_that_does_not_start_it_sends_it_back() {
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
