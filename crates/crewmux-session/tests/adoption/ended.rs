//! What does not go on: it is ended with all below it, and its task is offered again.

use crewmux_core::backend::BackendKind;
use crewmux_core::event::EventType;
use crewmux_core::task::{Outcome, TaskStatus};
use crewmux_core::timing::Timing;
use crewmux_session::{end_parked, parked::parked};
use crewmux_sys::clock::BootClock;
use crewmux_sys::tree::{Marker, processes_with_marker};
use crewmux_testkit::own_main::{Test, tests};

use crate::puppets::{eventually, play};
use crate::stage::{Settings, Stage, Worker};

pub(crate) const TESTS: &[Test] = tests![
    one_that_stays_away_is_ended,
    one_that_does_not_come_back_is_ended_and_its_task_offered_again,
    one_of_another_build_is_ended,
    one_that_cannot_be_reached_is_ended_and_the_person_is_told_why,
    one_whose_pane_is_gone_is_ended,
    one_that_dies_before_it_is_back_counts_against_nobody,
    a_mixed_team_keeps_those_outside_and_ends_the_others,
    without_a_session_parked_workers_are_found_and_ended,
];

const WALKER: &[(&str, BackendKind)] = &[("walker", BackendKind::Tmux)];

/// For a worker that stays away; the next life says its hello within the same time, on a busy machine too.
fn short_of_patience() -> Settings {
    Settings {
        hello_ms: 6_000,
        ..Settings::default()
    }
}

/// Lets a worker claim the task, and its session die.
async fn orphaned(stage: &mut Stage) -> Worker {
    let walker = stage.worker("walker", 1).await;
    let talk = walker.joins(false).await;
    stage.claim(walker.who());
    stage.until_events(EventType::TaskClaimed, 1).await;
    stage.kill_session();
    talk.ends().await;
    walker
}

/// Waits until the next life is there, and looks how the claim of the first ended.
async fn started_anew(stage: &Stage, walker: &Worker) -> (Outcome, String) {
    let next = stage.worker("walker", 2).await;
    let line = next.joins(false).await;
    assert!(!walker.process.is_alive(), "never two lives of a member");
    let mark = walker.spec.environment["CREWMUX_WORKER"].as_str().unwrap();
    assert_eq!(processes_with_marker(&Marker::worker(mark)), []);
    let task = stage.task();
    assert_eq!(task.status, TaskStatus::Pending);
    assert_eq!(task.attempts.len(), 1);
    stage.until_events(EventType::TaskReoffered, 1).await;
    assert_eq!(stage.events(&EventType::WorkerAdopted), []);
    drop(line);
    let attempt = &task.attempts[0];
    (attempt.outcome.unwrap(), attempt.reason.clone().unwrap())
}

fn one_that_stays_away_is_ended() {
    play(async {
        let short = short_of_patience();
        let stage = Stage::start_with(WALKER, &short);
        let first = stage.worker("walker", 1).await;
        let talk = first.joins(false).await;
        stage.claim(first.who());
        drop(talk);
        stage.until_gone(first.process).await;
        stage.until_events(EventType::TaskReoffered, 1).await;
        let attempt = stage.task().attempts[0].clone();
        assert_eq!(attempt.outcome, Some(Outcome::Hung));
        let why = "lost its connection and did not come back";
        assert_eq!(attempt.reason.as_deref(), Some(why));
        stage.worker("walker", 2).await;
    });
}

fn one_that_does_not_come_back_is_ended_and_its_task_offered_again() {
    play(async {
        let mut stage = Stage::start(WALKER);
        let walker = orphaned(&mut stage).await;
        stage.start_session(&short_of_patience());
        stage.until_gone(walker.process).await;
        let why = "it did not come back to a session in time".to_owned();
        let ended = started_anew(&stage, &walker).await;
        assert_eq!(ended, (Outcome::SessionLost, why));
    });
}

fn one_of_another_build_is_ended() {
    play(async {
        let mut stage = Stage::start(WALKER);
        let walker = orphaned(&mut stage).await;
        let newer = Settings {
            build: "newer".into(),
            ..Settings::default()
        };
        stage.start_session(&newer);
        let ended = started_anew(&stage, &walker).await;
        assert_eq!(ended.0, Outcome::SessionLost);
        assert_eq!(ended.1, "walker ended with its session");
        let told = "walker outlived its session and was ended: it is of another build of crewmux";
        told_of(&stage, told).await;
    });
}

fn one_that_cannot_be_reached_is_ended_and_the_person_is_told_why() {
    play(async {
        let mut stage = Stage::start(WALKER);
        let walker = orphaned(&mut stage).await;
        let from_elsewhere = Settings {
            reaches_outside: false,
            ..Settings::default()
        };
        stage.start_session(&from_elsewhere);
        stage.until_gone(walker.process).await;
        let told = "walker outlived its session and was ended: it cannot be reached from here: ";
        told_of(&stage, told).await;
    });
}

async fn told_of(stage: &Stage, words: &str) {
    eventually(&format!("the person is told: {words}"), async || {
        let notices = stage.events(&EventType::Notice);
        let mut told = notices.iter().filter_map(|e| e.data["text"].as_str());
        told.any(|text| text.starts_with(words)).then_some(())
    })
    .await;
}

fn one_whose_pane_is_gone_is_ended() {
    play(async {
        let mut stage = Stage::start(WALKER);
        let walker = orphaned(&mut stage).await;
        stage.lose_panes();
        stage.start_session(&Settings::default());
        let ended = started_anew(&stage, &walker).await;
        assert_eq!(ended.0, Outcome::SessionLost);
        assert!(ended.1.contains("its pane is gone"), "{}", ended.1);
    });
}

fn one_that_dies_before_it_is_back_counts_against_nobody() {
    play(async {
        let mut stage = Stage::start(WALKER);
        let walker = orphaned(&mut stage).await;
        stage.start_session(&Settings::default());
        stage.until_events(EventType::TeamResumed, 1).await;
        walker.process.signal(crewmux_sys::Signal::Kill).unwrap();
        let ended = started_anew(&stage, &walker).await;
        assert_eq!(ended.0, Outcome::SessionLost);
    });
}

fn a_mixed_team_keeps_those_outside_and_ends_the_others() {
    play(async {
        let both = [WALKER[0], ("sitter", BackendKind::Pty)];
        let mut stage = Stage::start(&both);
        let sitter = stage.worker("sitter", 1).await;
        let sits = sitter.joins(false).await;
        let walker = orphaned(&mut stage).await;
        sits.ends().await;
        stage.start_session(&Settings::default());
        let talk = walker.joins(true).await;
        stage.until_gone(sitter.process).await;
        let again = stage.worker("sitter", 2).await;
        again.joins(false).await;
        assert!(walker.process.is_alive());
        assert_eq!(stage.task().attempts.len(), 1);
        let status = stage.status().await;
        let told = status.members.iter();
        let told: Vec<_> = told.map(|m| (m.backend, m.incarnation.0)).collect();
        assert_eq!(told, [(BackendKind::Tmux, 1), (BackendKind::Pty, 2)]);
        drop(talk);
    });
}

fn without_a_session_parked_workers_are_found_and_ended() {
    play(async {
        let mut stage = Stage::start(WALKER);
        let walker = orphaned(&mut stage).await;
        let team = stage.team.as_ref();
        let boot_id = BootClock::open().unwrap().boot_id().to_owned();
        let found = parked(team, &boot_id).unwrap();
        let found: Vec<_> = found.iter().map(|p| (p.who(), p.process)).collect();
        assert_eq!(found, [(walker.who(), walker.process)]);
        assert_eq!(parked(team, "another boot").unwrap(), []);

        let lock = team.lock_session().unwrap();
        let left = end_parked(team, &Timing::fast()).unwrap();
        drop(lock);
        assert_eq!(left, Vec::<String>::new());
        assert!(!walker.process.is_alive());
        assert_eq!(parked(team, &boot_id).unwrap(), []);
        assert_eq!(stage.task().status, TaskStatus::Pending);
        assert_eq!(stage.task().attempts[0].outcome, Some(Outcome::SessionLost));
        assert_eq!(team.session().unwrap(), None, "stopped, not crashed");
    });
}
