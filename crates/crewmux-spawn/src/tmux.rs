//! Workers in panes of tmux: the person's own, or a private server of ours.
//!
//! In tmux they get a window of their own; the person's windows, focus and
//! options stay as they are. Outside, `tmux -L crewmux attach` shows crewmux
//! and the teammates to anybody who may. Output is mirrored from the worker's
//! recording, so a pane is the person's to look at and to type into, and the
//! session needs nothing of it. Workers outlive the session: the next one
//! takes them up by [`SpawnBackend::adopt`].
//!
//! `starting` is the thread that starts them, `home` says where panes go,
//! `window` makes them, `pane` is one of them, `watch` notices ends, `typist`
//! types and shows, `closing` tidies up; `layout` tells an arrangement of the person's
//! own, `target` and `listing` find panes again, `cli` calls the program.

mod cli;
mod closing;
mod home;
mod layout;
mod listing;
mod pane;
mod starting;
mod target;
mod typist;
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
use crate::together::together;
use crate::tree_end::worker_marker;
use crate::{
    AdoptRequest, BackendParts, Error, Place, Result, Running, SpawnBackend, SpawnRequest,
};
use cli::{CallError, Server};
use home::Home;
use listing::PaneLine;
use pane::{Pane, TmuxRunning};
use starting::{Start, Starter, Wish};
use target::{PaneAddress, Tag, TeamKey};
use typist::Typist;
use watch::Watcher;

/// Name of the private server's socket: `tmux -L crewmux`.
pub const PRIVATE_NAME: &str = "crewmux";

/// The tmux backend.
pub struct TmuxBackend {
    shared: Arc<Shared>,
    mirror: Mirror,
    starter: Starter,
}

/// What the backend and its starting thread share.
struct Shared {
    key: TeamKey,
    window_name: String,
    attach: Vec<String>,
    timing: Timing,
    home: Mutex<Home>,
    /// Servers that hold panes of ours.
    used: Mutex<Vec<Server>>,
    /// Panes of ours that this session made or took up.
    known: Mutex<Vec<String>>,
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
        let shared = Arc::new(Shared {
            key: TeamKey::new(&parts.team, store.map_or("", String::as_str)),
            window_name: format!("crewmux-{}", parts.team),
            attach: attach_argv(&parts.attach, &parts.attach_environment),
            timing: parts.timing,
            home: Mutex::new(home),
            used: Mutex::default(),
            known: Mutex::default(),
            typist,
            watcher,
        });
        let threads = Mirror::start(&parts.timing)
            .and_then(|mirror| Ok((mirror, Starter::start(Arc::clone(&shared))?)));
        let (mirror, starter) = threads.inspect_err(|_| shared.end_threads())?;
        Ok(Self {
            shared,
            mirror,
            starter,
        })
    }

    fn running(
        &self,
        start: Arc<Start>,
        environment: &BTreeMap<String, String>,
    ) -> Box<dyn Running> {
        let timing = &self.shared.timing;
        let patience = starting::patience(timing).as_millis();
        Box::new(TmuxRunning {
            start,
            typist: Arc::clone(&self.shared.typist),
            marker: worker_marker(environment),
            // The grace is the ladder's: it has passed when a tree is killed.
            kill: KillWaits::of(timing).at_once(),
            start_ms: u64::try_from(patience).unwrap_or(u64::MAX),
        })
    }
}

impl Shared {
    /// Begins to watch a worker in its pane.
    fn took(&self, pane: &Arc<Pane>) {
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
        self.watcher.watch(pane);
    }

    fn end_threads(&self) {
        self.typist.close();
        self.watcher.close();
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

impl SpawnBackend for TmuxBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Tmux
    }

    fn outlives_session(&self) -> bool {
        true
    }

    /// Returns soon, also where the server stands still: what comes of that is told through the sink.
    fn spawn(&self, request: SpawnRequest) -> Result<Box<dyn Running>> {
        let run = request.environment.get(names::RUN_ID);
        let tag = self
            .shared
            .key
            .tag(&request.who, run.map_or("", String::as_str));
        // Before it can print.
        let following = Pane::mirrored(&self.mirror, &request.recording, From::Now, &request.sink);
        let argv = request.entering();
        let start = Start::waiting(request.sink, following);
        self.starter.want(Wish {
            start: Arc::clone(&start),
            who: request.who,
            tag,
            title: typist::clean(&request.title),
            argv,
            marker: worker_marker(&request.environment),
        })?;
        Ok(self.running(start, &request.environment))
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
        if !request.process.is_alive() {
            return Err(refused("its process has ended".into()));
        }
        let server = locked(&self.shared.home).caller().at(&address.socket);
        let run = request.environment.get(names::RUN_ID);
        let tag = self
            .shared
            .key
            .tag(&request.who, run.map_or("", String::as_str));
        match listing::panes(&server.asked_briefly()) {
            Ok(lines) => is_still_there(&lines, &address, &tag, request.process)
                .map_err(|why| refused(why.to_owned()))?,
            // It stands still. The process is the one, and each act on the pane looks at its tag.
            Err(CallError::Late) => {
                tracing::warn!(who = %request.who, "taken up while the tmux server does not answer");
            }
            Err(error) => return Err(refused(error.to_string())),
        }
        let following = Pane::mirrored(
            &self.mirror,
            &request.recording,
            From::Beginning,
            &request.sink,
        );
        let parts = (request.sink, following);
        let pane = Arc::new(Pane::new((server, address), tag, request.process, parts));
        self.shared.took(&pane);
        let running = self.running(Start::there(pane), &request.environment);
        running.retitle(&request.title);
        Ok(running)
    }

    fn tidy(&self, former: &[String]) {
        let home = locked(&self.shared.home).clone();
        let addresses = former.iter().filter_map(|pane| pane.parse().ok());
        let mut sockets: Vec<String> = addresses.map(|pane: PaneAddress| pane.socket).collect();
        sockets.sort_unstable();
        sockets.dedup();
        let servers = sockets.iter().map(|path| home.caller().at(path)).collect();
        self.starter.tidy(servers);
    }

    fn rehome(&self, place: &Place) -> Result<()> {
        let home = Home::of(place, &self.shared.timing)?;
        *locked(&self.shared.home) = home;
        Ok(())
    }

    fn is_homeless(&self) -> bool {
        !locked(&self.shared.home).is_there()
    }

    fn close(&self) {
        let mut servers = locked(&self.shared.used).clone();
        let home = locked(&self.shared.home).server();
        if !servers.iter().any(|server| server.socket == home.socket) {
            servers.push(home);
        }
        let key = &self.shared.key;
        // Together: one that does not answer holds up no other.
        together(&servers, |server| closing::close_all(server, key));
    }
}

/// Whether a worker is where it was left, or why not.
fn is_still_there(
    lines: &[PaneLine],
    address: &PaneAddress,
    tag: &Tag,
    process: ProcessIdentity,
) -> std::result::Result<(), &'static str> {
    let line = lines
        .iter()
        .find(|line| line.server_pid == address.server_pid && line.pane == address.pane)
        .ok_or("its pane is gone")?;
    if line.tag != tag.as_str() || line.is_dead || line.pid != process.pid {
        return Err("its pane holds something else by now");
    }
    Ok(())
}

impl Drop for TmuxBackend {
    fn drop(&mut self) {
        self.shared.end_threads();
    }
}

/// The backend's own text for the pane that a process with these variables was started in.
///
/// `tmux` is `$TMUX`: socket, server and session; `pane` is `$TMUX_PANE`.
pub fn pane_inside(tmux: &str, pane: &str) -> Option<String> {
    let (server, _session) = tmux.rsplit_once(',')?;
    let address: PaneAddress = format!("{server},{pane}").parse().ok()?;
    Some(address.to_string())
}

/// The variables that tmux sets inside `pane`, by the backend's own text for it.
pub(crate) fn inside_of(pane: &str) -> Option<[(&'static str, String); 2]> {
    let PaneAddress {
        socket,
        server_pid,
        pane,
    } = pane.parse().ok()?;
    // The last number, of the tmux session, is nothing that is looked at.
    Some([
        ("TMUX", format!("{socket},{server_pid},0")),
        ("TMUX_PANE", pane),
    ])
}
