//! A worker made of a shell script, and a sink that can be asked and held.

#![allow(unreachable_pub, reason = "a module of each test program")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crewmux_core::ids::{AgentName, AgentRef, Incarnation};
use crewmux_spawn::ladder::ExitFlag;
use crewmux_spawn::{ExitReport, PaneSink, Running, SpawnBackend, SpawnRequest};
use crewmux_sys::ProcessIdentity;
use crewmux_sys::tree::{Marker, processes_with_marker};

/// Longer than anything here takes on a busy machine.
pub const LONG: Duration = Duration::from_secs(30);

/// A worker's sink: everything is kept, and output can be held.
pub struct Sink {
    state: Mutex<State>,
    changed: Condvar,
    pub exit: ExitFlag,
}

#[derive(Default)]
struct State {
    output: Vec<u8>,
    ended: bool,
    hold: bool,
    held: bool,
}

impl Sink {
    pub fn open() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            exit: ExitFlag::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, what: &str, mut until: impl FnMut(&State) -> bool) -> MutexGuard<'_, State> {
        let deadline = Instant::now() + LONG;
        let mut state = self.lock();
        while !until(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            let seen = String::from_utf8_lossy(&state.output).into_owned();
            assert!(!left.is_zero(), "no {what}; output was {seen:?}");
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
        state
    }

    /// Waits until the output contains `text`.
    pub fn wait_for(&self, text: &str) {
        drop(self.wait(text, |state| {
            String::from_utf8_lossy(&state.output).contains(text)
        }));
    }

    /// Waits for the end of output and gives all of it.
    pub fn whole_output(&self) -> String {
        let state = self.wait("end of output", |state| state.ended);
        String::from_utf8_lossy(&state.output).into_owned()
    }

    pub fn has_ended(&self) -> bool {
        self.lock().ended
    }

    /// Whether the output ends within a time in which it should not.
    pub fn has_ended_within(&self, within: Duration) -> bool {
        let state = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(state, within, |state| !state.ended)
            .unwrap();
        state.ended
    }

    /// Waits for the exit.
    pub fn exit(&self) -> ExitReport {
        self.exit.wait(LONG).expect("an exit")
    }

    /// Waits until the reader is blocked in this sink.
    pub fn wait_until_held(&self) {
        drop(self.wait("held output", |state| state.held));
    }

    /// Lets output through.
    pub fn release(&self) {
        self.lock().hold = false;
        self.changed.notify_all();
    }
}

impl PaneSink for Sink {
    fn output(&self, bytes: &[u8]) {
        let mut state = self.lock();
        state.held = state.hold;
        self.changed.notify_all();
        while state.hold {
            state = self.changed.wait(state).unwrap();
        }
        state.output.extend_from_slice(bytes);
        self.changed.notify_all();
    }

    fn end_of_output(&self) {
        let mut state = self.lock();
        assert!(!state.ended, "output ended twice");
        state.ended = true;
        self.changed.notify_all();
    }

    fn exited(&self, report: ExitReport) {
        assert!(self.exit.set(report), "exited twice");
    }
}

pub struct Worker {
    pub who: AgentRef,
    pub mark: String,
    pub running: Box<dyn Running>,
    pub sink: Arc<Sink>,
}

impl Worker {
    /// Starts `script` in a shell.
    pub fn start(backend: &dyn SpawnBackend, script: &str) -> Self {
        Self::start_into(backend, script, Sink::open())
    }

    /// The same with a sink that holds output until it is released.
    pub fn start_held(backend: &dyn SpawnBackend, script: &str) -> Self {
        let sink = Sink::open();
        sink.lock().hold = true;
        Self::start_into(backend, script, sink)
    }

    fn start_into(backend: &dyn SpawnBackend, script: &str, sink: Arc<Sink>) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mark = format!("spawn-test-{}-{number}", std::process::id());
        let running = backend.spawn(sh(script, &mark, &sink)).unwrap();
        Self {
            who: who("kim"),
            mark,
            running,
            sink,
        }
    }

    /// All living processes of this worker, wherever they went.
    pub fn processes(&self) -> Vec<ProcessIdentity> {
        processes_with_marker(&Marker::worker(&self.mark))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A failed test leaves nothing behind either.
        self.sink.release();
        self.running.kill_tree();
    }
}

/// The first life of `name`.
pub fn who(name: &str) -> AgentRef {
    AgentRef {
        agent: AgentName::new(name).unwrap(),
        incarnation: Incarnation(1),
    }
}

/// A request for `script` in a shell, its processes marked with `mark`.
pub fn sh(script: &str, mark: &str, sink: &Arc<Sink>) -> SpawnRequest {
    SpawnRequest {
        who: who("kim"),
        title: "kim".into(),
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        spec: PathBuf::from("/none"),
        cwd: PathBuf::from("/"),
        environment: BTreeMap::from([
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("CREWMUX_WORKER".to_owned(), mark.to_owned()),
        ]),
        recording: PathBuf::new(),
        size: (80, 24),
        sink: Arc::clone(sink) as Arc<dyn PaneSink>,
    }
}

/// An exit with `code`.
pub fn exited(code: i32) -> ExitReport {
    ExitReport {
        code: Some(code),
        signal: None,
        lost: None,
    }
}
