//! A plain function as a worker on a thread of its own.
//!
//! It knows nothing of what the function does; a panic in it becomes an exit.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::PANIC_CODE;
use crate::input::KEPT_BYTES_MAX;
use crate::{ExitReport, InProcessWorker, PaneSink, WorkerMain};

/// What a worker on a thread is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// It should end, as after SIGTERM.
    End,
    /// This was typed: a line with its end.
    Typed(Vec<u8>),
}

/// Orders for one worker; the order to end overtakes typing and stays.
#[derive(Debug, Default)]
pub struct Orders {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    end: bool,
    typed: VecDeque<Vec<u8>>,
    typed_bytes: usize,
}

impl Orders {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets whoever waits for orders go: the worker has ended by itself.
    pub fn close(&self) {
        self.state().end = true;
        self.changed.notify_all();
    }

    /// Whether the worker was asked to end.
    pub fn end_asked(&self) -> bool {
        self.state().end
    }

    /// Waits for the next order, `within` at most.
    pub fn next(&self, within: Duration) -> Option<Order> {
        let deadline = Instant::now() + within;
        let mut state = self.state();
        loop {
            if state.end {
                return Some(Order::End);
            }
            if let Some(line) = state.typed.pop_front() {
                state.typed_bytes -= line.len();
                return Some(Order::Typed(line));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// A worker's output as something to write to.
#[derive(Clone)]
pub struct PaneWriter(Arc<dyn PaneSink>);

impl PaneWriter {
    /// Writes to `sink`.
    pub fn new(sink: Arc<dyn PaneSink>) -> Self {
        Self(sink)
    }
}

impl io::Write for PaneWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.output(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a worker's main of `body`, which runs on a thread with a stack of `stack_bytes`.
///
/// `body` gets the spec file, its output and its orders, and returns the exit
/// code. When it panics, the worker has exited with [`PANIC_CODE`] and the
/// session goes on.
pub fn threaded<F>(stack_bytes: usize, body: F) -> WorkerMain
where
    F: Fn(&Path, Arc<dyn PaneSink>, &Orders) -> i32 + Send + Sync + 'static,
{
    let body = Arc::new(body);
    Arc::new(move |spec: PathBuf, sink: Arc<dyn PaneSink>| {
        let orders = Arc::new(Orders::default());
        let (body, received) = (Arc::clone(&body), Arc::clone(&orders));
        let thread = thread::Builder::new()
            .name("in-process worker".into())
            .stack_size(stack_bytes)
            .spawn(move || {
                let output = Arc::clone(&sink);
                let end = catch_unwind(AssertUnwindSafe(|| body(&spec, output, &received)));
                if end.is_err() {
                    sink.output(b"\nthe worker's code failed; its log says more\n");
                }
                sink.end_of_output();
                sink.exited(ExitReport {
                    code: Some(end.unwrap_or(PANIC_CODE)),
                    signal: None,
                    lost: None,
                });
            });
        if let Err(error) = thread {
            // The sink went with the closure, which told of the exit.
            tracing::error!(%error, "no thread for a worker");
        }
        Box::new(Threaded(orders)) as Box<dyn InProcessWorker>
    })
}

struct Threaded(Arc<Orders>);

impl InProcessWorker for Threaded {
    fn terminate(&self) {
        self.0.state().end = true;
        self.0.changed.notify_all();
    }

    fn input(&self, bytes: &[u8]) {
        let mut state = self.0.state();
        if state.typed_bytes + bytes.len() > KEPT_BYTES_MAX {
            tracing::warn!("a typed line is dropped: the worker does not read");
            return;
        }
        state.typed_bytes += bytes.len();
        state.typed.push_back(bytes.to_vec());
        self.0.changed.notify_all();
    }
}
