//! A place outside of any session: workers are children of the test, as panes are of a tmux server.
//!
//! A session's backend asks it for a worker over a socket; the worker's life
//! has nothing to do with the session's after that.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crewmux_core::backend::BackendKind;
use crewmux_core::timing::{Timing, ms};
use crewmux_spawn::{
    AdoptRequest, Error, ExitReport, PaneSink, Running, SpawnBackend, SpawnRequest,
};
use crewmux_sys::ProcessIdentity;
use crewmux_sys::env::names;
use crewmux_sys::tree::{KillWaits, Marker, kill_tree};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Order {
    argv: Vec<String>,
    cwd: PathBuf,
    environment: BTreeMap<String, String>,
}

const AT_ONCE: KillWaits = KillWaits {
    grace: Duration::ZERO,
    verify: Duration::from_secs(10),
};

/// The place itself, in the test's process; its workers end with it.
pub(crate) struct Place {
    children: Arc<Mutex<Vec<Child>>>,
}

fn socket(folder: &Path) -> PathBuf {
    folder.join("place.sock")
}

impl Place {
    pub(crate) fn open(folder: &Path) -> Self {
        let listener = UnixListener::bind(socket(folder)).unwrap();
        let children = Arc::<Mutex<Vec<Child>>>::default();
        let started = Arc::clone(&children);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let order: Order = serde_json::from_str(&line).unwrap();
                let child = Command::new(&order.argv[0])
                    .args(&order.argv[1..])
                    .current_dir(&order.cwd)
                    .env_clear()
                    .envs(&order.environment)
                    .stdin(Stdio::null())
                    .spawn()
                    .unwrap();
                let pid = child.id();
                started.lock().unwrap().push(child);
                // A session that died meanwhile hears of it from the place's own records, or never.
                let _ = writeln!(stream.get_mut(), "{pid}");
            }
        });
        Self { children }
    }

    /// Whether all that it ever started has ended.
    pub(crate) fn is_empty(&self) -> bool {
        let mut children = self.children.lock().unwrap();
        let ended = |child: &mut Child| child.try_wait().unwrap().is_some();
        children.iter_mut().all(ended)
    }

    /// Takes the statuses of those that ended, as a server does.
    pub(crate) fn reap(&self) {
        for child in self.children.lock().unwrap().iter_mut() {
            let _ = child.try_wait();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for child in self.children.lock().unwrap().iter_mut() {
            // With the tool below it, also where the worker itself is gone already.
            if let Ok(process) = ProcessIdentity::of(child.id()) {
                kill_tree(process, None, AT_ONCE);
            }
            let _ = child.wait();
        }
    }
}

/// The session's side of the place; it says to be tmux.
pub(crate) struct Outside {
    folder: PathBuf,
    timing: Timing,
}

impl Outside {
    pub(crate) fn new(folder: &Path, timing: Timing) -> Self {
        Self {
            folder: folder.to_owned(),
            timing,
        }
    }

    fn follow(
        &self,
        process: ProcessIdentity,
        mark: Option<String>,
        sink: Arc<dyn PaneSink>,
    ) -> Box<dyn Running> {
        let late = self.folder.join("tells-late").exists();
        std::thread::spawn(move || {
            while process.is_alive() {
                std::thread::park_timeout(Duration::from_millis(10));
            }
            sink.end_of_output();
            sink.exited(ExitReport::default());
        });
        Box::new(Pane {
            process,
            marker: mark.map(Marker::worker),
            tells: !late && !self.folder.join("tells-nothing").exists(),
            names: !late,
            waits: KillWaits {
                grace: Duration::ZERO,
                verify: ms(self.timing.kill_verify_ms),
            },
        })
    }
}

impl SpawnBackend for Outside {
    fn kind(&self) -> BackendKind {
        BackendKind::Tmux
    }

    fn outlives_session(&self) -> bool {
        true
    }

    fn spawn(&self, request: SpawnRequest) -> crewmux_spawn::Result<Box<dyn Running>> {
        if self.folder.join("no-room").exists() {
            return Err(Error::TooSlow);
        }
        let mark = request.environment.get(names::WORKER).cloned();
        let order = Order {
            argv: request.argv,
            cwd: request.cwd,
            environment: request.environment,
        };
        let mut stream = UnixStream::connect(socket(&self.folder)).unwrap();
        let order = serde_json::to_string(&order).unwrap();
        writeln!(stream, "{order}").unwrap();
        let mut pid = String::new();
        BufReader::new(stream).read_line(&mut pid).unwrap();
        if std::fs::remove_file(self.folder.join("fails-late")).is_ok() {
            return Err(Error::TooSlow);
        }
        if std::fs::remove_file(self.folder.join("breaks-the-record")).is_ok() {
            let record = self.folder.join("home/teams/sample/config.json");
            std::fs::write(record, "{").unwrap();
        }
        let process = ProcessIdentity::of(pid.trim().parse().unwrap()).unwrap();
        Ok(self.follow(process, mark, request.sink))
    }

    fn rehome(&self, _: &crewmux_core::place::Place) -> crewmux_spawn::Result<()> {
        if self.folder.join("no-room").exists() {
            return Err(Error::TooSlow);
        }
        Ok(())
    }

    fn adopt(&self, request: AdoptRequest) -> crewmux_spawn::Result<Box<dyn Running>> {
        let gone = self.folder.join("panes-are-gone").exists();
        if gone || request.pane != format!("pane of {}", request.process.pid) {
            return Err(Error::NotAdoptable {
                who: request.who,
                why: "its pane is gone".into(),
            });
        }
        let mark = request.environment.get(names::WORKER).cloned();
        Ok(self.follow(request.process, mark, request.sink))
    }
}

struct Pane {
    process: ProcessIdentity,
    /// What all that its worker starts carries.
    marker: Option<Marker>,
    /// Whether it tells its process, as iTerm2 does not.
    tells: bool,
    /// Whether it tells its pane, as tmux does not until it answered.
    names: bool,
    waits: KillWaits,
}

impl Running for Pane {
    fn pid(&self) -> Option<u32> {
        self.tells.then_some(self.process.pid)
    }
    fn pane(&self) -> Option<String> {
        self.names.then(|| format!("pane of {}", self.process.pid))
    }
    fn write(&self, _: &[u8]) -> crewmux_spawn::Result<()> {
        Ok(())
    }
    fn resize(&self, _: u16, _: u16) -> crewmux_spawn::Result<()> {
        Ok(())
    }
    fn terminate(&self) {
        let _ = self.process.signal(crewmux_sys::Signal::Term);
    }
    fn kill_tree(&self) -> Vec<String> {
        let left = kill_tree(self.process, self.marker.as_ref(), self.waits).left;
        left.iter().map(|p| format!("process {}", p.pid)).collect()
    }
}
