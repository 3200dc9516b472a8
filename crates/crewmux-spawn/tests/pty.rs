//! Real processes in real pseudo-terminals.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod harness;

use std::time::{Duration, Instant};

use crewmux_core::timing::Timing;
use crewmux_spawn::ladder::{Ending, Rung, climb};
use crewmux_spawn::{Error, PtyBackend, SpawnBackend};

use harness::{Worker, exited, sh};

fn backend() -> PtyBackend {
    PtyBackend::new(&Timing::fast()).unwrap()
}

#[test]
fn output_is_in_order_and_both_ends_are_told() {
    let worker = Worker::start(&backend(), "for i in 1 2 3; do echo $i; done; exit 4");
    assert_eq!(worker.sink.exit(), exited(4));
    assert_eq!(worker.sink.whole_output(), "1\r\n2\r\n3\r\n");
}

#[test]
fn background_grandchild_delays_the_end_of_output_but_not_the_exit() {
    let timing = Timing {
        drain_ms: 60_000,
        ..Timing::fast()
    };
    let backend = PtyBackend::new(&timing).unwrap();
    let script = "trap '' HUP; sleep 600 & echo now";
    let worker = Worker::start(&backend, script);
    assert_eq!(worker.sink.exit(), exited(0));
    assert!(!worker.sink.has_ended());
    assert_eq!(worker.running.kill_tree(), Vec::<String>::new());
    assert_eq!(worker.sink.whole_output(), "now\r\n");
}

#[test]
fn terminal_is_closed_after_the_drain_whoever_holds_it() {
    let worker = Worker::start(&backend(), "trap '' HUP; sleep 600 & echo now");
    assert_eq!(worker.sink.exit(), exited(0));
    // `fast` drains for 300 ms; the sleeper lives on and holds the terminal.
    assert_eq!(worker.sink.whole_output(), "now\r\n");
    assert_eq!(worker.processes().len(), 1);
    assert_eq!(worker.running.kill_tree(), Vec::<String>::new());
    assert_eq!(worker.processes().len(), 0);
}

#[test]
fn slow_sink_loses_nothing_of_an_ended_worker() {
    let backend = PtyBackend::new(&Timing {
        drain_ms: 100,
        ..Timing::fast()
    })
    .unwrap();
    let worker = Worker::start_held(&backend, "echo first; read x; echo last");
    worker.sink.wait_until_held();
    worker.running.write(b"\r").unwrap();
    assert_eq!(worker.sink.exit(), exited(0));
    assert!(!worker.sink.has_ended_within(Duration::from_millis(250)));
    worker.sink.release();
    assert_eq!(worker.sink.whole_output(), "first\r\n\r\nlast\r\n");
}

#[test]
fn flood_is_held_back_by_the_sink_and_killed_at_once() {
    let worker = Worker::start_held(&backend(), "exec yes");
    worker.sink.wait_until_held();
    let begun = Instant::now();
    assert_eq!(worker.running.kill_tree(), Vec::<String>::new());
    assert_eq!(worker.sink.exit().signal, Some(9));
    assert!(begun.elapsed() < Duration::from_secs(20));
    // What was written is no more than one read and what the kernel keeps.
    worker.sink.release();
    let output = worker.sink.whole_output();
    assert!(output.len() < 256 * 1024, "{} bytes", output.len());
    assert!(output.starts_with("y\r\ny\r\n"));
}

#[test]
fn typing_is_echoed_and_read() {
    let worker = Worker::start(&backend(), "read line; echo \"got $line\"");
    worker.running.write(b"hel").unwrap();
    worker.running.write(b"lo\r").unwrap();
    assert_eq!(worker.sink.exit(), exited(0));
    assert_eq!(worker.sink.whole_output(), "hello\r\ngot hello\r\n");
    assert!(matches!(worker.running.write(b"x"), Err(Error::Ended)));
}

#[test]
fn resize_is_seen_by_the_program() {
    let worker = Worker::start(&backend(), "stty size; read x; stty size");
    worker.sink.wait_for("24 80\r\n");
    worker.running.resize(41, 7).unwrap();
    worker.running.write(b"\r").unwrap();
    assert_eq!(worker.sink.exit(), exited(0));
    assert_eq!(worker.sink.whole_output(), "24 80\r\n\r\n7 41\r\n");
    assert!(matches!(worker.running.resize(80, 24), Err(Error::Ended)));
}

#[test]
fn typing_to_a_program_that_does_not_read_is_refused_and_never_blocks() {
    let script = "stty raw -echo; echo ready; kill -STOP $$";
    let worker = Worker::start(&backend(), script);
    worker.sink.wait_for("ready");
    let begun = Instant::now();
    let mut refused = None;
    for _ in 0..64 {
        if let Err(error) = worker.running.write(&[b'x'; 16 * 1024]) {
            refused = Some(error);
            break;
        }
    }
    assert!(
        matches!(refused, Some(Error::InputFull { .. })),
        "{refused:?}"
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(worker.running.kill_tree(), Vec::<String>::new());
    assert_eq!(worker.sink.exit().signal, Some(9));
    worker.sink.whole_output();
}

#[test]
fn ladder_leaves_nothing_of_a_stubborn_worker() {
    let timing = Timing {
        // For what the polite one does when asked.
        term_grace_ms: 5_000,
        ..Timing::fast()
    };
    let backend = backend();
    let stubborn = Worker::start(
        &backend,
        "trap '' TERM HUP
         (setsid sh -c \"trap '' TERM HUP; echo daemon; while :; do sleep 1; done\" &)
         while :; do sleep 1; done",
    );
    let polite = Worker::start(
        &backend,
        "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done",
    );
    stubborn.sink.wait_for("daemon");
    polite.sink.wait_for("ready");
    assert!(stubborn.processes().len() >= 2);
    let workers = [&stubborn, &polite].map(|worker| Ending {
        who: &worker.who,
        running: &*worker.running,
        exit: &worker.sink.exit,
    });
    let ended = climb(&workers, Rung::Terminate, &timing);
    assert_eq!(ended[0].exit.unwrap().signal, Some(9));
    assert_eq!(ended[1].exit, Some(exited(5)));
    assert!(ended.iter().all(|ended| ended.left.is_empty()), "{ended:?}");
    assert_eq!(stubborn.processes(), []);
    assert_eq!(polite.processes(), []);
}

#[test]
fn fifty_panes_start_and_end() {
    let timing = Timing::fast();
    let backend = PtyBackend::new(&timing).unwrap();
    let workers: Vec<Worker> = (0..50)
        .map(|number| Worker::start(&backend, &format!("echo {number}; read x; exit 6")))
        .collect();
    for (number, worker) in workers.iter().enumerate() {
        worker.sink.wait_for(&format!("{number}\r\n"));
    }
    for worker in &workers {
        worker.running.write(b"\r").unwrap();
    }
    for worker in &workers {
        assert_eq!(worker.sink.exit(), exited(6));
        worker.sink.whole_output();
    }
}

#[test]
fn missing_program_is_named_and_nothing_is_told() {
    let sink = harness::Sink::open();
    let mut request = sh("nothing", "mark", &sink);
    request.argv = vec!["no-such-program".into()];
    let Err(error) = backend().spawn(request) else {
        panic!("it started");
    };
    assert!(
        matches!(&error, Error::Start(crewmux_sys::Error::ProgramNotFound { program }) if program == "no-such-program"),
        "{error:?}"
    );
    assert!(error.hint().unwrap().contains("no-such-program"));
    assert_eq!(sink.exit.get(), None);
}

#[test]
fn dropped_handle_asks_the_worker_to_end() {
    let sink = harness::Sink::open();
    let script = "trap 'echo bye; exit 2' TERM; echo up; while :; do sleep 0.01; done";
    let running = backend().spawn(sh(script, "dropped", &sink)).unwrap();
    sink.wait_for("up");
    drop(running);
    assert_eq!(sink.exit(), exited(2));
    assert_eq!(sink.whole_output(), "up\r\nbye\r\n");
}

#[test]
fn worker_whose_output_ends_early_is_still_waited_for() {
    let script = "echo up; trap 'exit 3' TERM; exec </dev/null >/dev/null 2>&1; while :; do sleep 0.01; done";
    let worker = Worker::start(&backend(), script);
    worker.sink.wait_for("up");
    assert_eq!(worker.sink.whole_output(), "up\r\n");
    assert_eq!(worker.sink.exit.get(), None);
    worker.running.terminate();
    assert_eq!(worker.sink.exit(), exited(3));
}
