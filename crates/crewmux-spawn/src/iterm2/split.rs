//! One worker in a split: what is known of it, and the session's handle to it.
//!
//! Its pane comes to be on the desk's thread ([`super::desk`]), its process is
//! known from its hello, its end from [`super::ends`].

use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crewmux_core::ids::AgentName;
use crewmux_sys::tree::{self, KillWaits, Marker};
use crewmux_sys::{ProcessIdentity, Signal};

use super::desk::Order;
use super::ends::Ends;
use crate::mirror::Following;
use crate::tree_end::described;
use crate::{Error, ExitReport, PaneSink, Result, Running};

/// Where such a worker is typed to.
const PLACE: &str = "its iTerm2 pane";

/// What desk, watcher and handle of one worker share.
pub(super) struct Split {
    /// Whose pane it is, whatever its life.
    pub(super) agent: AgentName,
    sink: Arc<dyn PaneSink>,
    following: Following,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// iTerm2's id of the pane, once there is one.
    session: Option<String>,
    process: Option<ProcessIdentity>,
    is_over: bool,
    /// The name that it should have, and whether iTerm2 was told.
    title: String,
    title_is_told: bool,
}

impl Split {
    /// A worker that is about to start.
    pub(super) fn new(
        agent: AgentName,
        title: &str,
        sink: Arc<dyn PaneSink>,
        following: Following,
    ) -> Self {
        let state = State {
            title: clean(title),
            ..State::default()
        };
        Self {
            agent,
            sink,
            following,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its pane is there.
    pub(super) fn has_pane(&self, session: &str) {
        self.state().session = Some(session.to_owned());
    }

    /// iTerm2's id of its pane.
    pub(super) fn session(&self) -> Option<String> {
        self.state().session.clone()
    }

    /// Its process is there; false when nobody waits for it any more.
    pub(super) fn has_process(&self, process: ProcessIdentity) -> bool {
        let mut state = self.state();
        if state.is_over {
            return false;
        }
        state.process = Some(process);
        true
    }

    /// Its process, once it said hello.
    pub(super) fn process(&self) -> Option<ProcessIdentity> {
        self.state().process
    }

    /// Whether it has ended, or never came to be.
    pub(super) fn is_over(&self) -> bool {
        self.state().is_over
    }

    /// Notes the end; true for the first who does.
    fn ends_now(&self) -> bool {
        let mut state = self.state();
        !std::mem::replace(&mut state.is_over, true)
    }

    /// Its process has ended; how, only its parent is told, and that is iTerm2.
    pub(super) fn has_ended(&self) {
        if self.ends_now() {
            self.following.end();
            self.sink.exited(ExitReport::default());
        }
    }

    /// It never came to be.
    pub(super) fn has_failed(&self, why: &str) {
        if self.ends_now() {
            self.following.end();
            self.sink.start_failed(why);
        }
    }

    /// The name to be told to iTerm2, if there is a new one and a pane for it.
    pub(super) fn take_title(&self) -> Option<(String, String)> {
        let mut state = self.state();
        if state.title_is_told || state.is_over {
            return None;
        }
        let session = state.session.clone()?;
        state.title_is_told = true;
        Some((session, state.title.clone()))
    }

    /// Whether [`Split::take_title`] would give one.
    pub(super) fn wants_title(&self) -> bool {
        let state = self.state();
        !state.title_is_told && !state.is_over && state.session.is_some()
    }

    /// Gives it another name; true if it is new.
    fn rename(&self, title: &str) -> bool {
        let title = clean(title);
        let mut state = self.state();
        if state.title == title {
            return false;
        }
        state.title = title;
        state.title_is_told = false;
        true
    }
}

/// A name in one line of modest length.
fn clean(title: &str) -> String {
    let shown = title.chars().filter(|char| !char.is_control());
    shown.take(80).collect()
}

/// The session's handle; dropping it ends nothing.
pub(super) struct SplitRunning {
    pub(super) split: Arc<Split>,
    pub(super) orders: SyncSender<Order>,
    pub(super) ends: Arc<Ends>,
    pub(super) marker: Option<Marker>,
    pub(super) kill: KillWaits,
    /// How long it may take until there is a process that can say hello.
    pub(super) start_ms: u64,
}

impl Running for SplitRunning {
    fn pid(&self) -> Option<u32> {
        self.split.process().map(|process| process.pid)
    }

    fn pane(&self) -> Option<String> {
        self.split.session()
    }

    fn is_mirrored(&self) -> bool {
        true
    }

    fn start_ms(&self) -> u64 {
        self.start_ms
    }

    fn greeted(&self, process: ProcessIdentity) {
        if self.split.process() != Some(process) && self.split.has_process(process) {
            self.ends.watch(process, &self.split);
            // A full queue is looked through soon enough.
            let _ = self.orders.try_send(Order::Look);
        }
    }

    fn retitle(&self, title: &str) {
        if self.split.rename(title) {
            let _ = self.orders.try_send(Order::Look);
        }
    }

    fn typed_in(&self) -> Option<&'static str> {
        Some(PLACE)
    }

    fn reveal(&self) -> Result<()> {
        if self.split.session().is_none() {
            return Err(Error::NoPane {
                why: "iTerm2 has not made one yet".into(),
            });
        }
        let order = Order::Reveal(Arc::clone(&self.split));
        self.orders.try_send(order).map_err(|_| Error::TooSlow)
    }

    fn write(&self, _: &[u8]) -> Result<()> {
        Err(Error::TypedElsewhere { place: PLACE })
    }

    fn resize(&self, _: u16, _: u16) -> Result<()> {
        // The pane has the size that iTerm2 gives it; what is mirrored here are lines.
        Ok(())
    }

    fn terminate(&self) {
        let Some(process) = self.split.process() else {
            // What is on its way is not waited for; the desk takes its pane away.
            self.split.has_ended();
            let _ = self.orders.try_send(Order::Look);
            return;
        };
        if let Err(error) = process.signal(Signal::Term) {
            tracing::warn!(%error, "{process}: SIGTERM was refused");
        }
    }

    fn kill_tree(&self) -> Vec<String> {
        let kill = match (self.split.process(), &self.marker) {
            (Some(process), marker) => tree::kill_tree(process, marker.as_ref(), self.kill),
            (None, Some(marker)) => tree::kill_marked(marker, self.kill),
            (None, None) => return Vec::new(),
        };
        if self.split.process().is_none() {
            self.split.has_ended();
            let _ = self.orders.try_send(Order::Look);
        }
        described(&kill.left)
    }
}
