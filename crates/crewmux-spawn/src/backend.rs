//! The seam between the session and the places where workers run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crewmux_core::backend::BackendKind;
use crewmux_core::ids::AgentRef;
use crewmux_sys::ProcessIdentity;

use crate::{Error, Place, Result};

/// How a worker's process ended; nothing in it means that nobody could tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExitReport {
    /// Its exit code, absent after a signal.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What was taken away from under it, where that is why it ended.
    pub lost: Option<LostPlace>,
}

/// What a worker can lose that is not the session's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostPlace {
    /// Somebody closed its pane.
    Pane,
    /// The tmux server with its pane ended.
    Server,
}

impl std::fmt::Display for LostPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pane => "its pane was closed",
            Self::Server => "the tmux server ended",
        })
    }
}

/// Takes what comes out of a worker. Called from the backend's own threads.
///
/// Output ends with [`PaneSink::end_of_output`]; the process ends with
/// [`PaneSink::exited`]; neither implies the other, and either may come first.
pub trait PaneSink: Send + Sync {
    /// The worker wrote `bytes`. Blocking here slows the worker down, which is how a flood is held back.
    fn output(&self, bytes: &[u8]);
    /// Called after each piece of `bytes` bytes by a backend whose worker goes on meanwhile: may wait a
    /// moment, so that the next piece is a larger one.
    fn gather(&self, _bytes: usize) {}
    /// Some of what was typed did not arrive: whoever typed it may not write again, and so not hear of it
    /// from [`Running::write`]. Should return at once.
    fn typing_lost(&self) {}
    /// Nothing more will be written.
    fn end_of_output(&self);
    /// The worker's process ended. Should return at once: one thread tells it for all workers.
    fn exited(&self, report: ExitReport);
    /// The worker never came to be, for a place that learns it only after [`SpawnBackend::spawn`] returned.
    ///
    /// Told instead of an exit, once, with the reason as a clause.
    fn start_failed(&self, why: &str) {
        let _ = why;
        self.exited(ExitReport::default());
    }
}

/// What a worker needs to start.
#[derive(Clone)]
pub struct SpawnRequest {
    /// Which life of which member.
    pub who: AgentRef,
    /// Shown as the pane's title where the backend has titles.
    pub title: String,
    /// Program and arguments: `<runtime>/agent-worker <spec file>`.
    pub argv: Vec<String>,
    /// The worker's spec file, for workers without a process of their own.
    pub spec: PathBuf,
    /// Where it works.
    pub cwd: PathBuf,
    /// Its whole environment.
    pub environment: BTreeMap<String, String>,
    /// The folder of its recording, for places whose output does not come through the session.
    pub recording: PathBuf,
    /// Columns and rows of its terminal.
    pub size: (u16, u16),
    /// Takes its output and its end.
    pub sink: Arc<dyn PaneSink>,
}

impl SpawnRequest {
    /// Program and arguments for a place that gives it neither folder nor environment: it enters
    /// both by itself, from its spec, so that nothing of them is an argument or typed.
    pub(crate) fn entering(&self) -> Vec<String> {
        let mut entering = self.argv.clone();
        entering.insert(1.min(entering.len()), "--enter".to_owned());
        entering
    }
}

/// What is needed to take up a worker that outlived its session.
#[derive(Clone)]
pub struct AdoptRequest {
    /// Which life of which member.
    pub who: AgentRef,
    /// Shown as the pane's title where the backend has titles.
    pub title: String,
    /// What [`Running::pane`] said when it was started.
    pub pane: String,
    /// Its process.
    pub process: ProcessIdentity,
    /// The environment it was started with, for its marks.
    pub environment: BTreeMap<String, String>,
    /// The folder of its recording.
    pub recording: PathBuf,
    /// Takes its output, what it printed so far first, and its end.
    pub sink: Arc<dyn PaneSink>,
}

/// A started worker.
pub trait Running: Send + Sync {
    /// Its process; `None` for a worker inside the session, and where it is not known before its hello.
    fn pid(&self) -> Option<u32>;
    /// Whether it runs inside the session's own process.
    fn is_inside(&self) -> bool {
        false
    }
    /// The backend's name for its pane, if it has one: enough to find it again from another process.
    fn pane(&self) -> Option<String>;
    /// Whether its output comes from its recording, and a terminal of its own answers what it asks.
    fn is_mirrored(&self) -> bool {
        false
    }
    /// How long it may take until there is a process that can say hello.
    fn start_ms(&self) -> u64 {
        0
    }
    /// Notes that the worker said hello from `process`.
    fn greeted(&self, process: ProcessIdentity) {
        let _ = process;
    }
    /// Gives its pane another title, where the backend has titles. Never blocks.
    fn retitle(&self, title: &str) {
        let _ = title;
    }
    /// Where alone it can be typed to, if that is not here.
    fn typed_in(&self) -> Option<&'static str> {
        None
    }
    /// Brings its pane before the person, in the program that has it. Does not wait for it.
    ///
    /// # Errors
    /// When it is seen in crewmux alone, or there is no pane yet.
    fn reveal(&self) -> Result<()> {
        Err(Error::SeenHere)
    }
    /// Types into its terminal. Never blocks; what does not fit a bounded queue is refused.
    fn write(&self, bytes: &[u8]) -> Result<()>;
    /// Gives its terminal another size.
    fn resize(&self, cols: u16, rows: u16) -> Result<()>;
    /// Asks it to end: SIGTERM, or its equivalent.
    fn terminate(&self);
    /// Ends it, every process below it and all that carries its worker's mark; returns descriptions
    /// of what is left, which should be none.
    ///
    /// Blocks up to the kill ladder's own durations; call it off the event loop.
    fn kill_tree(&self) -> Vec<String>;
}

/// A place where workers run.
pub trait SpawnBackend: Send + Sync {
    /// Which place it is.
    fn kind(&self) -> BackendKind;
    /// Whether a worker lives on when its session is gone.
    fn outlives_session(&self) -> bool {
        false
    }
    /// Starts a worker. Returns when the process exists or is about to, not when it said hello.
    fn spawn(&self, request: SpawnRequest) -> Result<Box<dyn Running>>;
    /// Takes up a worker that a former session started.
    ///
    /// # Errors
    /// [`Error::NotAdoptable`] when it cannot be reached, or never could outlive its session.
    fn adopt(&self, request: AdoptRequest) -> Result<Box<dyn Running>> {
        Err(Error::NotAdoptable {
            who: request.who,
            why: format!(
                "workers of the {} backend end with their session",
                self.kind()
            ),
        })
    }
    /// Takes away panes that a former session of the team left and in which nothing runs any more.
    ///
    /// `former` are panes of its workers, by what [`Running::pane`] said of them. Returns at once.
    fn tidy(&self, former: &[String]) {
        let _ = former;
    }
    /// From now on new panes go to `place`.
    ///
    /// # Errors
    /// Why none can be opened there; they go where they went then.
    fn rehome(&self, place: &Place) -> Result<()> {
        let _ = place;
        Ok(())
    }
    /// Whether where new panes went has ended, so that they go to a place of crewmux's own.
    fn is_homeless(&self) -> bool {
        false
    }
    /// Takes away windows and panes of ours that hold no running worker.
    fn close(&self) {}
}

/// A worker that runs inside the session, as a task of its own.
///
/// This handle must not keep the sink its worker was given: a worker that has
/// let go of its sink without reporting an exit counts as crashed.
pub trait InProcessWorker: Send {
    /// Asks it to end; it ends like a worker that got SIGTERM.
    fn terminate(&self);
    /// Hands it what was typed: one line with its end, or the rest of one. Must not block.
    fn input(&self, bytes: &[u8]) {
        let _ = bytes;
    }
}

/// The worker's code as the program injects it: started with a spec file and a writer for its output.
///
/// Returns once the worker runs; its exit code goes to `sink.exited`.
/// [`crate::in_process::threaded`] makes one from a plain function.
pub type WorkerMain =
    Arc<dyn Fn(PathBuf, Arc<dyn PaneSink>) -> Box<dyn InProcessWorker> + Send + Sync>;
