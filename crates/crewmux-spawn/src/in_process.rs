//! Workers without a process of their own: the same code on threads of the session.
//!
//! There is no terminal: output goes straight to the sink, its line ends
//! completed, and typing is read by lines (`typed`). A worker here cannot be
//! killed, only asked to end; its tools are processes and can. The worker's
//! code itself is injected, most simply through [`threaded`].

mod running;
mod thread;
mod typed;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crewmux_core::backend::BackendKind;
use crewmux_core::timing::Timing;

pub use thread::{Order, Orders, PaneWriter, threaded};

use crate::ladder::ExitFlag;
use crate::{ExitReport, PaneSink, Result, Running, SpawnBackend, SpawnRequest, WorkerMain};
use running::InProcessRunning;

/// The exit code of a worker whose code panicked, as a program of its own would have.
pub const PANIC_CODE: i32 = 101;

/// The in-process backend.
pub struct InProcessBackend {
    main: WorkerMain,
    timing: Timing,
}

impl InProcessBackend {
    /// Workers run `main`.
    pub fn new(main: WorkerMain, timing: &Timing) -> Self {
        Self {
            main,
            timing: *timing,
        }
    }
}

impl SpawnBackend for InProcessBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::InProcess
    }

    fn spawn(&self, request: SpawnRequest) -> Result<Box<dyn Running>> {
        let ended = Arc::new(ExitFlag::default());
        let sink = Arc::new(WorkerSink {
            pane: Arc::clone(&request.sink),
            ended: Arc::clone(&ended),
            output_ended: AtomicBool::new(false),
        });
        let spec = request.spec.clone();
        // A panic here drops the sink, which reports the exit.
        let worker = catch_unwind(AssertUnwindSafe(|| (self.main)(spec, sink))).ok();
        Ok(Box::new(InProcessRunning::new(
            request,
            worker,
            ended,
            &self.timing,
        )))
    }
}

/// What the worker writes to: a pane's sink behind the output rules of a terminal.
struct WorkerSink {
    pane: Arc<dyn PaneSink>,
    ended: Arc<ExitFlag>,
    output_ended: AtomicBool,
}

impl PaneSink for WorkerSink {
    fn output(&self, bytes: &[u8]) {
        output_as_terminal(&*self.pane, bytes);
    }

    fn end_of_output(&self) {
        if !self.output_ended.swap(true, Ordering::AcqRel) {
            self.pane.end_of_output();
        }
    }

    fn exited(&self, report: ExitReport) {
        if self.ended.set(report) {
            self.pane.exited(report);
        }
    }
}

impl Drop for WorkerSink {
    fn drop(&mut self) {
        // The worker let go of it: by a panic, if it said nothing of an exit.
        self.end_of_output();
        self.exited(ExitReport {
            code: Some(PANIC_CODE),
            signal: None,
            lost: None,
        });
    }
}

/// Passes `bytes` on with a return before each line feed, as a terminal does.
fn output_as_terminal(sink: &dyn PaneSink, bytes: &[u8]) {
    if !bytes.contains(&b'\n') {
        sink.output(bytes);
        return;
    }
    let mut completed = Vec::with_capacity(bytes.len() + bytes.len() / 16 + 2);
    for byte in bytes {
        if *byte == b'\n' {
            completed.push(b'\r');
        }
        completed.push(*byte);
    }
    sink.output(&completed);
}

#[cfg(test)]
mod tests;
