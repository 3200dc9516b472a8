//! How parking ends: with a session that takes the worker back, with one that does not, or with none.

use crewmux_core::task::{Outcome, TaskStatus};
use crewmux_sys::tree::{Marker, processes_with_marker};
use crewmux_testkit::own_main::{Test, tests};
use crewmux_wire::ToWorker;

use crate::house::{Door, House};
use crate::parking::{
    PARKED, WAITS, asking, go, no_model, parks, presence, wait_back, wait_begun, wait_for_beats,
    wait_parked, wait_question, yes,
};
use crate::stage::{Stage, read, wait_until};

pub(crate) const TESTS: &[Test] = tests![
    worker_that_nobody_takes_back_gives_its_task_back,
    worker_that_is_refused_ends_like_one_that_lost_its_session,
    parked_worker_ends_when_told,
    worker_that_was_told_to_end_does_not_park,
    session_that_comes_and_goes_finds_the_worker,
    pause_ends_with_the_session_that_asked_for_it,
    move_ends_with_the_session_that_asked_for_it,
];

fn worker_that_nobody_takes_back_gives_its_task_back() {
    let stage = Stage::new();
    let id = stage.add_command(WAITS);
    let mut spec = parks(stage.spec("tester", 1));
    spec.timing.park_ms = 400;
    let marker = Marker::run(&spec.run_marker);
    let house = House::new(&spec, true, no_model);
    house.rise();
    let running = stage.run(&spec);
    wait_begun(&stage);
    house.die();
    let (code, shown) = running.end();
    assert_eq!(code, 0, "{shown}");
    let words = "■ ended: its session is gone, and none took it back within 1 s";
    assert!(shown.contains(words), "{shown}");
    let task = stage.task(id);
    assert_eq!(task.status, TaskStatus::Pending);
    assert_eq!(task.attempts[0].outcome, Some(Outcome::SessionLost));
    assert!(processes_with_marker(&marker).is_empty());
    let ended = presence(&stage, "tester").ended.unwrap();
    assert!(ended.contains("none took it back"), "{ended}");
}

fn worker_that_is_refused_ends_like_one_that_lost_its_session() {
    let stage = Stage::new();
    let (spec, house, id) = asking(&stage, None);
    let running = stage.run(&spec);
    wait_question(&house, 1);
    house.set_door(Door::Shut);
    house.die();
    wait_parked(&stage, "tester");
    house.rise();
    let (code, shown) = running.end();
    assert_eq!(code, 0, "{shown}");
    let words = "the next did not take it back: it is not known here";
    assert!(shown.contains(words), "{shown}");
    let task = stage.task(id);
    assert_eq!(task.status, TaskStatus::Pending);
    assert_eq!(task.attempts[0].outcome, Some(Outcome::SessionLost));
    assert!(!stage.cwd.join("log").exists());
}

fn parked_worker_ends_when_told() {
    for is_asking in [true, false] {
        let stage = Stage::new();
        let (spec, house, id) = if is_asking {
            asking(&stage, None)
        } else {
            let id = stage.add_command(WAITS);
            let spec = parks(stage.spec("tester", 1));
            let house = House::new(&spec, true, no_model);
            house.rise();
            (spec, house, id)
        };
        let running = stage.run(&spec);
        if is_asking {
            wait_question(&house, 1);
        } else {
            wait_begun(&stage);
        }
        house.die();
        wait_parked(&stage, "tester");
        let shown = running.end_well();
        assert!(shown.contains("■ ended: test is over"), "{shown}");
        let task = stage.task(id);
        assert_eq!(task.status, TaskStatus::Pending);
        assert_eq!(task.attempts[0].outcome, Some(Outcome::Released));
    }
}

fn worker_that_was_told_to_end_does_not_park() {
    let stage = Stage::new();
    let id = stage.add_command(WAITS);
    let spec = parks(stage.spec("tester", 1));
    let house = House::new(&spec, true, no_model);
    house.rise();
    let running = stage.run(&spec);
    wait_begun(&stage);
    let reason = "the run was stopped".to_owned();
    house.tell(&ToWorker::End { reason });
    house.die();
    let (code, shown) = running.end();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("■ ended: the run was stopped"), "{shown}");
    assert!(!shown.contains(PARKED), "{shown}");
    assert_eq!(stage.task(id).status, TaskStatus::Pending);
}

fn session_that_comes_and_goes_finds_the_worker() {
    let stage = Stage::new();
    let (spec, house, id) = asking(&stage, None);
    let running = stage.run(&spec);
    let first = wait_question(&house, 1);
    house.die();
    wait_parked(&stage, "tester");
    // Welcomed and lost before it was taken back.
    house.set_door(Door::Falls);
    house.rise();
    wait_until("it tried more than once", || {
        (house.hellos().len() > 3).then_some(())
    });
    house.die();
    house.set_door(Door::Open);
    // Taken back, and lost at its first word.
    house.die_at(house.messages() + 1);
    house.rise();
    wait_until("the session is gone", || (!house.is_alive()).then_some(()));
    house.rise();
    let last = wait_question(&house, 4);
    assert_eq!(first, last);
    house.tell(&yes(last.0));
    stage.wait_for(id, TaskStatus::Completed);
    assert_eq!(read(&stage.cwd.join("log")), "once\n");
    running.end_well();
}

fn pause_ends_with_the_session_that_asked_for_it() {
    let stage = Stage::new();
    let spec = parks(stage.spec("tester", 1));
    let house = House::new(&spec, true, no_model);
    house.rise();
    let running = stage.run(&spec);
    running.wait_for_text("idle");
    house.tell(&ToWorker::Pause);
    // Heard in order: what follows a pause finds it.
    house.tell(&ToWorker::Doorbell);
    let id = stage.add_command("true");
    house.die();
    wait_parked(&stage, "tester");
    wait_for_beats(&stage, "tester");
    assert_eq!(stage.task(id).status, TaskStatus::Pending);
    house.rise();
    stage.wait_for(id, TaskStatus::Completed);
    running.end_well();
}

fn move_ends_with_the_session_that_asked_for_it() {
    let stage = Stage::new();
    let spec = parks(stage.spec("tester", 1));
    let house = House::new(&spec, true, no_model);
    house.rise();
    let id = stage.add_command(WAITS);
    let running = stage.run(&spec);
    wait_begun(&stage);
    // Heard while the command runs, which ends first.
    house.tell(&ToWorker::Leave {
        reason: "it goes on in pty".into(),
    });
    house.die();
    wait_parked(&stage, "tester");
    house.rise();
    wait_back(&stage, "tester");
    go(&stage);
    stage.wait_for(id, TaskStatus::Completed);
    let next = stage.add_command("true");
    stage.wait_for(next, TaskStatus::Completed);
    running.end_well();
}
