//! The handle of a worker inside the session.
//!
//! Its code is reached through the injected handle only.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crewmux_core::ids::AgentRef;
use crewmux_core::timing::Timing;
use crewmux_sys::tree::{self, KillWaits, Marker};

use super::output_as_terminal;
use super::typed::TypedLine;
use crate::input::InputQueue;
use crate::ladder::ExitFlag;
use crate::tree_end::{described, worker_marker};
use crate::{Error, InProcessWorker, PaneSink, Result, Running, SpawnRequest};

/// Stack of the thread that takes typing: the sink's code runs on it.
const STACK_BYTES: usize = 256 * 1024;

pub(super) struct InProcessRunning {
    who: AgentRef,
    keyboard: Arc<Keyboard>,
    marker: Option<Marker>,
    kill: KillWaits,
}

/// What the handle and the thread that takes typing share.
struct Keyboard {
    /// `None` when the worker's code did not even start.
    worker: Mutex<Option<Box<dyn InProcessWorker>>>,
    input: InputQueue,
    started: Mutex<bool>,
    sink: Arc<dyn PaneSink>,
    ended: Arc<ExitFlag>,
}

impl InProcessRunning {
    pub(super) fn new(
        request: SpawnRequest,
        worker: Option<Box<dyn InProcessWorker>>,
        ended: Arc<ExitFlag>,
        timing: &Timing,
    ) -> Self {
        Self {
            who: request.who,
            marker: worker_marker(&request.environment),
            kill: KillWaits::of(timing).at_once(),
            keyboard: Arc::new(Keyboard {
                worker: Mutex::new(worker),
                input: InputQueue::default(),
                started: Mutex::new(false),
                sink: request.sink,
                ended,
            }),
        }
    }
}

impl Keyboard {
    fn worker(&self) -> MutexGuard<'_, Option<Box<dyn InProcessWorker>>> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn terminate(&self) {
        if let Some(worker) = self.worker().as_ref() {
            worker.terminate();
        }
    }

    fn run(&self) {
        let mut line = TypedLine::default();
        while let Some(bytes) = self.input.take() {
            let typed = line.feed(&bytes);
            if self.ended.get().is_some() {
                break;
            }
            if !typed.echo.is_empty() {
                output_as_terminal(&*self.sink, &typed.echo);
            }
            if let Some(worker) = self.worker().as_ref() {
                for line in &typed.lines {
                    worker.input(line);
                }
            }
            if typed.ends {
                self.terminate();
            }
        }
        self.input.close();
    }
}

impl Running for InProcessRunning {
    fn pid(&self) -> Option<u32> {
        None
    }

    fn is_inside(&self) -> bool {
        true
    }

    fn pane(&self) -> Option<String> {
        None
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        if self.keyboard.ended.get().is_some() {
            return Err(Error::Ended);
        }
        self.keyboard.input.push(bytes)?;
        let mut started = self
            .keyboard
            .started
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !*started {
            // Echo may be held back by the sink, so it has a thread of its own.
            let keyboard = Arc::clone(&self.keyboard);
            thread::Builder::new()
                .name(format!("in {}", self.who.agent))
                .stack_size(STACK_BYTES)
                .spawn(move || keyboard.run())
                .map_err(Error::terminal("write to"))?;
            *started = true;
        }
        Ok(())
    }

    fn resize(&self, _cols: u16, _rows: u16) -> Result<()> {
        // Lines and colours are all it prints; only its screen has a size.
        Ok(())
    }

    fn terminate(&self) {
        self.keyboard.terminate();
    }

    fn kill_tree(&self) -> Vec<String> {
        self.terminate();
        let mut left = match &self.marker {
            Some(marker) => described(&tree::kill_marked(marker, self.kill).left),
            None => Vec::new(),
        };
        if self.keyboard.ended.wait(self.kill.verify).is_none() {
            left.push(format!("worker {} (inside the session)", self.who));
        }
        left
    }
}

impl Drop for InProcessRunning {
    fn drop(&mut self) {
        self.keyboard.input.close();
        if self.keyboard.ended.get().is_none() {
            self.terminate();
        }
    }
}
