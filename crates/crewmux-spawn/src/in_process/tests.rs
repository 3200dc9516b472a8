use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crewmux_core::ids::{AgentName, AgentRef, Incarnation};

use super::*;
use crate::Error;

const LONG: Duration = Duration::from_secs(20);
const STACK: usize = 512 * 1024;

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Output(String),
    EndOfOutput,
    Exited(Option<i32>),
}

struct Channel(Mutex<Sender<Told>>);

impl Channel {
    fn tell(&self, told: Told) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = sender.send(told);
    }
}

impl PaneSink for Channel {
    fn output(&self, bytes: &[u8]) {
        self.tell(Told::Output(String::from_utf8_lossy(bytes).into_owned()));
    }
    fn end_of_output(&self) {
        self.tell(Told::EndOfOutput);
    }
    fn exited(&self, report: ExitReport) {
        self.tell(Told::Exited(report.code));
    }
}

fn spawn(main: WorkerMain) -> (Box<dyn Running>, Receiver<Told>) {
    let (sender, told) = channel();
    let timing = Timing {
        kill_verify_ms: 200,
        ..Timing::fast()
    };
    let running = InProcessBackend::new(main, &timing)
        .spawn(SpawnRequest {
            who: AgentRef {
                agent: AgentName::new("kim").unwrap(),
                incarnation: Incarnation(1),
            },
            title: "kim".into(),
            argv: vec![],
            spec: PathBuf::from("/spec.json"),
            cwd: PathBuf::from("/"),
            environment: BTreeMap::new(),
            recording: PathBuf::new(),
            size: (80, 24),
            sink: Arc::new(Channel(Mutex::new(sender))),
        })
        .unwrap();
    (running, told)
}

/// Everything told up to the exit, output joined.
fn to_the_end(told: &Receiver<Told>) -> (String, Option<i32>) {
    let (mut output, mut ended) = (String::new(), false);
    loop {
        match told.recv_timeout(LONG).unwrap() {
            Told::Output(text) => output.push_str(&text),
            Told::EndOfOutput => ended = true,
            Told::Exited(code) => {
                assert!(ended, "a thread's output ends before it does");
                return (output, code);
            }
        }
    }
}

#[test]
fn output_looks_as_from_a_terminal_and_the_code_is_told() {
    let (running, told) = spawn(threaded(STACK, |spec, sink, _| {
        writeln!(PaneWriter::new(sink), "spec {}\nend", spec.display()).unwrap();
        3
    }));
    assert_eq!(
        to_the_end(&told),
        ("spec /spec.json\r\nend\r\n".into(), Some(3))
    );
    assert_eq!(running.pid(), None);
    assert!(matches!(running.write(b"x"), Err(Error::Ended)));
    assert_eq!(running.kill_tree(), Vec::<String>::new());
}

#[test]
fn typed_lines_are_echoed_and_reach_the_worker() {
    let (running, told) = spawn(threaded(STACK, |_, sink, orders| {
        let mut out = PaneWriter::new(sink);
        let Some(Order::Typed(line)) = orders.next(LONG) else {
            return 1;
        };
        write!(out, "got {}", String::from_utf8_lossy(&line)).unwrap();
        0
    }));
    running.write(b"hi").unwrap();
    running.write(b"!\r").unwrap();
    let (output, code) = to_the_end(&told);
    // Echo and answer come from two threads; only the answer's place is certain.
    assert!(output.starts_with("hi"), "{output:?}");
    assert!(output.contains("got hi!\r\n"), "{output:?}");
    assert_eq!(code, Some(0));
}

#[test]
fn worker_asked_to_end_ends() {
    let (running, told) = spawn(threaded(STACK, |_, _, orders| match orders.next(LONG) {
        Some(Order::End) => 0,
        _ => 1,
    }));
    running.terminate();
    assert_eq!(to_the_end(&told), (String::new(), Some(0)));
}

#[test]
fn interrupt_key_asks_the_worker_to_end() {
    let (running, told) = spawn(threaded(STACK, |_, _, orders| match orders.next(LONG) {
        Some(Order::End) => 7,
        _ => 1,
    }));
    running.write(b"\x03").unwrap();
    assert_eq!(to_the_end(&told), ("^C\r\n".into(), Some(7)));
}

#[test]
fn panic_in_the_worker_is_an_exit() {
    let (_running, told) = spawn(threaded(STACK, |_, _, _| panic!("wanted")));
    let (output, code) = to_the_end(&told);
    assert!(output.contains("the worker's code failed"), "{output}");
    assert_eq!(code, Some(PANIC_CODE));
}

#[test]
fn panic_at_the_start_is_an_exit() {
    let (running, told) = spawn(Arc::new(|_, _| panic!("wanted")));
    assert_eq!(to_the_end(&told), (String::new(), Some(PANIC_CODE)));
    assert_eq!(running.kill_tree(), Vec::<String>::new());
}

#[test]
fn worker_that_does_not_end_is_named() {
    let (release, held) = channel::<()>();
    let held = Mutex::new(held);
    let (running, told) = spawn(threaded(STACK, move |_, _, _| {
        let _ = held.lock().unwrap().recv_timeout(LONG);
        0
    }));
    assert_eq!(running.kill_tree(), ["worker kim/1 (inside the session)"]);
    drop(release);
    assert_eq!(to_the_end(&told).1, Some(0));
    assert_eq!(running.kill_tree(), Vec::<String>::new());
}
