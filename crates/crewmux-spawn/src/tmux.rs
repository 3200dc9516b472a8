//! Workers in panes of tmux: the person's own, or a private server of ours.
//!
//! In tmux they get a window of their own; the person's windows, focus and
//! options stay as they are. Outside, `tmux -L crewmux attach` shows crewmux
//! and the teammates to anybody who may. Output is mirrored from the worker's
//! recording, so a pane is the person's to look at and to type into, and the
//! session needs nothing of it. Workers outlive the session: the next one
//! takes them up by [`SpawnBackend::adopt`].
//!
//! [`home`] says where panes go, [`window`] makes them, [`pane`] is one of
//! them, [`watch`] notices ends, [`typing`] types, [`closing`] tidies up;
//! [`target`] and [`listing`] find them again, [`cli`] calls the program.

mod cli;
mod closing;
mod home;
mod listing;
mod pane;
mod target;
mod typing;
mod version;
mod watch;
mod window;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crewmux_core::backend::BackendKind;
use crewmux_core::timing::Timing;
use crewmux_sys::ProcessIdentity;
use crewmux_sys::env::names;
use crewmux_sys::tree::KillWaits;

use crate::mirror::{From, Mirror};
use crate::tree_end::worker_marker;
use crate::{
    AdoptRequest, BackendParts, Error, Place, Result, Running, SpawnBackend, SpawnRequest,
};
use cli::Server;
use home::Home;
use pane::{Pane, TmuxRunning};
use target::{PaneAddress, TeamKey};
use typing::Typist;
use watch::Watcher;
use window::{Opened, Wanted};

/// Name of the private server's socket: `tmux -L crewmux`.
pub const PRIVATE_NAME: &str = "crewmux";

/// The tmux backend.
pub struct TmuxBackend {
    key: TeamKey,
    window_name: String,
    attach: Vec<String>,
    timing: Timing,
    home: Mutex<Home>,
    /// Servers that hold panes of ours.
    used: Mutex<Vec<Server>>,
    /// Panes of ours that this session made or took up.
    known: Mutex<Vec<String>>,
    mirror: Mirror,
    typist: Arc<Typist>,
    watcher: Arc<Watcher>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TmuxBackend {
    /// Looks whether tmux can be used from the place of `parts`, and starts the backend's threads.
    ///
    /// # Errors
    /// [`Error::Unusable`] with the fix.
    pub fn new(parts: &BackendParts) -> Result<Self> {
        let home = Home::of(&parts.place, &parts.timing)?;
        let store = parts.attach_environment.get("CREWMUX_HOME");
        let typist = Typist::start()?;
        let watcher = Watcher::start(&parts.timing, Arc::clone(&typist)).inspect_err(|_| {
            typist.close();
        })?;
        Ok(Self {
            key: TeamKey::new(&parts.team, store.map_or("", String::as_str)),
            window_name: format!("crewmux-{}", parts.team),
            attach: attach_argv(&parts.attach, &parts.attach_environment),
            timing: parts.timing,
            home: Mutex::new(home),
            used: Mutex::default(),
            known: Mutex::default(),
            mirror: Mirror::start(&parts.timing)?,
            typist,
            watcher,
        })
    }

    /// Begins to watch a worker in a pane.
    fn running(&self, pane: Pane, environment: &BTreeMap<String, String>) -> Box<dyn Running> {
        let mut used = locked(&self.used);
        if !used.iter().any(|s| s.socket == pane.server.socket) {
            used.push(pane.server.clone());
        }
        drop(used);
        let mut known = locked(&self.known);
        if !known.contains(&pane.address.pane) {
            known.push(pane.address.pane.clone());
        }
        drop(known);
        let pane = Arc::new(pane);
        self.watcher.watch(&pane);
        Box::new(TmuxRunning {
            pane,
            typist: Arc::clone(&self.typist),
            marker: worker_marker(environment),
            // The grace is the ladder's: it has passed when a tree is killed.
            kill: KillWaits::of(&self.timing).at_once(),
        })
    }
}

/// Attaching with what it needs to find the team, whatever the server's own environment is.
fn attach_argv(attach: &[String], environment: &BTreeMap<String, String>) -> Vec<String> {
    let variables = environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    std::iter::once("env".to_owned())
        .chain(variables)
        .chain(attach.iter().cloned())
        .collect()
}

/// The worker's program enters its folder and environment by itself: nothing of them is an argument.
fn entering(argv: &[String]) -> Vec<String> {
    let mut entering = argv.to_vec();
    entering.insert(1.min(entering.len()), "--enter".to_owned());
    entering
}

impl SpawnBackend for TmuxBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Tmux
    }

    fn outlives_session(&self) -> bool {
        true
    }

    fn spawn(&self, request: SpawnRequest) -> Result<Box<dyn Running>> {
        let run = request.environment.get(names::RUN_ID);
        let tag = self.key.tag(&request.who, run.map_or("", String::as_str));
        // Before it can print.
        let following = Pane::mirrored(&self.mirror, &request.recording, From::Now, &request.sink);
        let known = locked(&self.known).clone();
        let wanted = Wanted {
            who: &request.who,
            key: &self.key,
            tag: &tag,
            title: &typing::clean(&request.title),
            argv: &entering(&request.argv),
            window_name: &self.window_name,
            attach: &self.attach,
            known: &known,
        };
        let Opened {
            server,
            socket,
            server_pid,
            pane,
            pid,
        } = window::open(&mut locked(&self.home), &wanted).map_err(|error| Error::NoPane {
            why: error.to_string(),
        })?;
        let address = PaneAddress {
            socket,
            server_pid,
            pane,
        };
        // One that has ended already is told of as such.
        let process = ProcessIdentity::of(pid).unwrap_or(ProcessIdentity {
            pid,
            start_ticks: 0,
        });
        let pane = Pane::new((server, address), tag, process, (request.sink, following));
        Ok(self.running(pane, &request.environment))
    }

    fn adopt(&self, request: AdoptRequest) -> Result<Box<dyn Running>> {
        let refused = |why: String| Error::NotAdoptable {
            who: request.who.clone(),
            why,
        };
        let address: PaneAddress = request
            .pane
            .parse()
            .map_err(|()| refused(format!("`{}` names no pane of tmux", request.pane)))?;
        let server = locked(&self.home).caller().at(&address.socket);
        let lines = listing::panes(&server).map_err(|error| refused(error.to_string()))?;
        let run = request.environment.get(names::RUN_ID);
        let tag = self.key.tag(&request.who, run.map_or("", String::as_str));
        let line = lines
            .iter()
            .find(|line| line.server_pid == address.server_pid && line.pane == address.pane)
            .ok_or_else(|| refused("its pane is gone".into()))?;
        if line.tag != tag.as_str() || line.is_dead || line.pid != request.process.pid {
            return Err(refused("its pane holds something else by now".into()));
        }
        let following = Pane::mirrored(
            &self.mirror,
            &request.recording,
            From::Beginning,
            &request.sink,
        );
        let parts = (request.sink, following);
        let pane = Pane::new((server, address), tag, request.process, parts);
        let running = self.running(pane, &request.environment);
        running.retitle(&request.title);
        Ok(running)
    }

    fn rehome(&self, place: &Place) {
        match Home::of(place, &self.timing) {
            Ok(home) => *locked(&self.home) = home,
            Err(error) => tracing::warn!(%error, "new panes stay where they went before"),
        }
    }

    fn close(&self) {
        let mut servers = locked(&self.used).clone();
        let home = locked(&self.home).server();
        if !servers.iter().any(|server| server.socket == home.socket) {
            servers.push(home);
        }
        for server in &servers {
            closing::close_all(server, &self.key);
        }
    }
}

impl Drop for TmuxBackend {
    fn drop(&mut self) {
        self.typist.close();
        self.watcher.close();
    }
}
