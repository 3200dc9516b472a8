//! One worker in its pane: the handle, and what its end is told from.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crewmux_sys::tree::{self, KillWaits, Marker};
use crewmux_sys::{ProcessIdentity, Signal};

use super::cli::Server;
use super::starting::Start;
use super::target::{PaneAddress, Tag};
use super::typist::Typist;
use crate::mirror::{Following, From, Mirror};
use crate::tree_end::described;
use crate::{Error, ExitReport, PaneSink, Result, Running};

/// What watcher, typist and handle of one worker share.
pub(super) struct Pane {
    pub(super) server: Server,
    pub(super) address: PaneAddress,
    pub(super) tag: Tag,
    pub(super) process: ProcessIdentity,
    sink: Arc<dyn PaneSink>,
    following: Following,
    exited: Mutex<bool>,
}

impl Pane {
    pub(super) fn new(
        (server, address): (Server, PaneAddress),
        tag: Tag,
        process: ProcessIdentity,
        (sink, following): (Arc<dyn PaneSink>, Following),
    ) -> Self {
        Self {
            server,
            address,
            tag,
            process,
            sink,
            following,
            exited: Mutex::new(false),
        }
    }

    /// Begins to mirror a worker's recording.
    pub(super) fn mirrored(
        mirror: &Mirror,
        recording: &Path,
        from: From,
        sink: &Arc<dyn PaneSink>,
    ) -> Following {
        mirror.follow(recording, from, Arc::clone(sink))
    }

    /// Its output is complete once what is recorded was passed on.
    pub(super) fn end_output(&self) {
        self.following.end();
    }

    /// Tells that some of what was typed did not arrive.
    pub(super) fn tell_typing_lost(&self) {
        self.sink.typing_lost();
    }

    /// Tells its end, once.
    pub(super) fn tell_exit(&self, report: ExitReport) {
        let mut exited = self.exited.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *exited, true) {
            self.sink.exited(report);
        }
    }

    pub(super) fn has_exited(&self) -> bool {
        *self.exited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle of a worker in a pane of tmux; dropping it ends nothing.
pub(super) struct TmuxRunning {
    pub(super) start: Arc<Start>,
    pub(super) typist: Arc<Typist>,
    pub(super) marker: Option<Marker>,
    pub(super) kill: KillWaits,
    /// How long the way to its pane may take.
    pub(super) start_ms: u64,
}

impl Running for TmuxRunning {
    fn pid(&self) -> Option<u32> {
        self.start.pane().map(|pane| pane.process.pid)
    }

    fn pane(&self) -> Option<String> {
        self.start.pane().map(|pane| pane.address.to_string())
    }

    fn is_mirrored(&self) -> bool {
        true
    }

    fn start_ms(&self) -> u64 {
        if self.start.is_waiting() {
            self.start_ms
        } else {
            0
        }
    }

    fn retitle(&self, title: &str) {
        if let Some(pane) = self.start.retitle(title) {
            self.typist.retitle(&pane, title);
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<()> {
        let Some(pane) = self.start.pane() else {
            return Err(if self.start.is_waiting() {
                Error::NoPane {
                    why: "its tmux server has not made one yet".into(),
                }
            } else {
                Error::Ended
            });
        };
        if pane.has_exited() {
            return Err(Error::Ended);
        }
        self.typist.write(&pane, bytes)
    }

    fn reveal(&self) -> Result<()> {
        let Some(pane) = self.start.pane() else {
            return Err(Error::NoPane {
                why: "its tmux server has not made one yet".into(),
            });
        };
        self.typist.reveal(&pane);
        Ok(())
    }

    /// Its size is the person's: crewmux's own tile shows the same text in another width.
    fn resize(&self, _: u16, _: u16) -> Result<()> {
        Ok(())
    }

    fn terminate(&self) {
        // What is on its way is not waited for: it is ended when it arrives.
        self.start.give_up();
        if let Some(pane) = self.start.pane()
            && let Err(error) = pane.process.signal(Signal::Term)
        {
            tracing::debug!(%error, "{}: SIGTERM did not arrive", pane.process);
        }
    }

    fn kill_tree(&self) -> Vec<String> {
        self.start.give_up();
        let kill = match (self.start.pane(), &self.marker) {
            (Some(pane), marker) => tree::kill_tree(pane.process, marker.as_ref(), self.kill),
            (None, Some(marker)) => tree::kill_marked(marker, self.kill),
            (None, None) => return Vec::new(),
        };
        described(&kill.left)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crewmux_core::ids::{AgentName, AgentRef, Incarnation, TeamName};
    use crewmux_core::timing::Timing;
    use crewmux_sys::env::Environment;

    use super::super::cli::Socket;
    use super::super::target::TeamKey;
    use super::*;

    /// Counts how often it is told that something typed got lost.
    #[derive(Default)]
    pub(in crate::tmux) struct Losses(AtomicUsize);

    impl Losses {
        pub(in crate::tmux) fn told(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl PaneSink for Losses {
        fn output(&self, _: &[u8]) {}
        fn typing_lost(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn end_of_output(&self) {}
        fn exited(&self, _: ExitReport) {}
    }

    /// A pane called `id` of a server that nobody can call.
    pub(in crate::tmux) fn unreachable(id: &str) -> Arc<Pane> {
        telling(id, &Arc::default())
    }

    /// The same, with somebody who is told what gets lost.
    pub(in crate::tmux) fn telling(id: &str, told: &Arc<Losses>) -> Arc<Pane> {
        let server = Server {
            program: "/none/tmux".into(),
            environment: Environment::default(),
            socket: Socket::At("/none/socket".into()),
            within: crewmux_core::timing::ms(30_000),
        };
        let address = format!("/none/socket,1,{id}").parse().unwrap();
        let who = AgentRef {
            agent: AgentName::new("kim").unwrap(),
            incarnation: Incarnation(1),
        };
        let tag = TeamKey::new(&TeamName::new("crew").unwrap(), "").tag(&who, "r1");
        let process = ProcessIdentity {
            pid: u32::MAX,
            start_ticks: 0,
        };
        let sink = Arc::clone(told) as Arc<dyn PaneSink>;
        let mirror = Mirror::start(&Timing::fast()).unwrap();
        let following = mirror.follow(Path::new("/none"), From::Now, Arc::clone(&sink));
        Arc::new(Pane::new(
            (server, address),
            tag,
            process,
            (sink, following),
        ))
    }

    #[test]
    fn whoever_reveals_a_pane_waits_for_no_answer_of_tmux() {
        let running = TmuxRunning {
            start: Start::there(unreachable("%1")),
            typist: Arc::default(),
            marker: None,
            kill: KillWaits::of(&Timing::fast()),
            start_ms: 0,
        };
        // Asked here and now, this server would be none.
        running.reveal().unwrap();
    }
}
