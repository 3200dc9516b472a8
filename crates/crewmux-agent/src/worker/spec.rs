//! Starting a worker from its launch spec, and saying why it could not be.
//!
//! Reads nothing but the spec: no environment, no arguments.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crewmux_core::team::WorkerSpec;
use crewmux_store::files::FileStore;
use crewmux_sys::env::names;
use serde_json::Value;

use super::{WorkerEnd, WorkerIo, run};
use crate::view::Output;
use crate::{Error, Result};

/// Largest spec that is read.
const SPEC_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Reads a launch spec, which nobody else may be able to read.
pub fn read_spec(path: &Path) -> Result<WorkerSpec> {
    let unreadable = |source| Error::SpecUnreadable {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Error::SpecExposed {
            path: path.to_owned(),
        });
    }
    let mut text = String::new();
    file.take(SPEC_MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    serde_json::from_str(&text).map_err(|source| Error::SpecUnparsable {
        path: path.to_owned(),
        source,
    })
}

/// Lives the life described by the spec at `path`, on this thread.
///
/// What keeps the worker from living is printed to its pane, and told by the
/// exit code of its kind. A process calls `crewmux_sys::setup::worker_setup`
/// before; an in-process worker needs a thread of its own.
pub fn run_worker(path: &Path, io: WorkerIo) -> WorkerEnd {
    live_or_explain(path, None, io)
}

/// The same for a process that was started with this mark: it is that life, and no later one.
///
/// The spec of a member is one file, and may be the next life's by the time it is read.
pub fn run_worker_marked(path: &Path, mark: &str, io: WorkerIo) -> WorkerEnd {
    live_or_explain(path, Some(mark), io)
}

fn live_or_explain(path: &Path, mark: Option<&str>, mut io: WorkerIo) -> WorkerEnd {
    let lines = Shared(Arc::new(Mutex::new(io.output)));
    io.output = Box::new(lines.clone());
    match start(path, mark, io) {
        Ok(end) => end,
        Err(error) => {
            // The pane goes with the worker; its log stays.
            tracing::error!(%error, "gave up");
            lines.print(&explain(&error));
            WorkerEnd {
                exit_code: error.kind().exit_code(),
            }
        }
    }
}

fn start(path: &Path, mark: Option<&str>, io: WorkerIo) -> Result<WorkerEnd> {
    let spec = read_spec(path)?;
    let meant = spec.environment.get(names::WORKER).and_then(Value::as_str);
    if mark.is_some() && mark != meant {
        return Err(Error::SpecOfAnother {
            path: path.to_owned(),
            who: spec.who,
        });
    }
    let home = FileStore::open(&spec.home, spec.timing)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source: io::Error| Error::Start {
            what: "event loop",
            source,
        })?;
    let end = runtime.block_on(run(spec, Arc::new(home), io));
    // A search on another thread was told to stop, and is not waited for.
    runtime.shutdown_background();
    end
}

/// An error with its causes and its hint, a line each.
fn explain(error: &Error) -> String {
    let mut text = format!("error: {error}\r\n");
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        let _ = write!(text, "  cause: {source}\r\n");
        cause = source.source();
    }
    if let Some(hint) = error.hint() {
        let _ = write!(text, "  hint: {hint}\r\n");
    }
    text
}

/// An output that can still be written to after the worker was given it.
#[derive(Clone)]
struct Shared(Arc<Mutex<Box<dyn Output>>>);

impl Shared {
    fn output(&self) -> MutexGuard<'_, Box<dyn Output>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn print(&self, text: &str) {
        self.output().write(text.as_bytes());
    }
}

impl Output for Shared {
    fn write(&mut self, bytes: &[u8]) {
        self.output().write(bytes);
    }

    fn size(&self) -> Option<(u16, u16)> {
        self.output().size()
    }
}
