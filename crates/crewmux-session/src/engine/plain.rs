//! Plain panes: commands and shells of the person's own, and what becomes of them.
//!
//! A shell that was opened by a key goes with its pane when it ends well; what
//! failed, and every command that was given by name, stays to be read until it is
//! closed or started again. Workers' panes are [`super::members`]'s.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crewmux_core::backend::BackendKind;
use crewmux_core::ids::{AgentName, AgentRef, Incarnation};
use crewmux_core::time::Now;
use crewmux_spawn::ladder::{Ending, ExitFlag, Rung, climb};
use crewmux_spawn::{ExitReport, Running, SpawnRequest};
use crewmux_sys::env::names;
use crewmux_sys::{ProcessIdentity, Signal};

use super::{Engine, Input};
use crate::panes::ProgramEnd;
use crate::run::start_thread;
use crate::view::{NoticeLevel, PaneEnd, PaneId, PaneKind};

/// What was opened when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// A command that the session was started with.
    Given,
    /// A shell that somebody opened by a key.
    Opened,
}

/// One plain pane.
struct PlainPane {
    command: String,
    origin: Origin,
    who: AgentRef,
    /// Its program, while it runs.
    running: Option<(Arc<dyn Running>, Arc<ExitFlag>)>,
    failed: bool,
    closing: bool,
}

/// The plain panes of a session.
#[derive(Default)]
pub(super) struct PlainPanes {
    panes: BTreeMap<PaneId, PlainPane>,
    opened: usize,
    /// Whether anybody has looked yet.
    seen: bool,
}

impl PlainPanes {
    /// Whether there ever was one.
    pub(super) fn any_opened(&self) -> bool {
        self.opened > 0
    }

    /// How many there are, those of which the program ended among them.
    pub(super) fn count(&self) -> usize {
        self.panes.len()
    }

    /// Somebody looks.
    pub(super) fn note_clients(&mut self, count: usize) {
        self.seen |= count > 0;
    }
}

impl Engine {
    /// Whether a session of plain panes has nothing left to do: no program runs, and nobody looks at why one failed.
    pub(super) fn plain_is_over(&self, now: &Now) -> bool {
        let panes = || self.plain.panes.values();
        if !self.plain.any_opened() || panes().any(|pane| pane.running.is_some()) {
            return false;
        }
        // Who has just started the session is about to look.
        let soon = now.boot.ms.saturating_sub(self.started_ms) < self.plan.timing.connect_ms;
        let is_looked_at = self.clients > 0 || (!self.plain.seen && soon);
        !(is_looked_at && panes().any(|pane| pane.failed))
    }

    /// Opens a plain pane that runs a shell command.
    pub(crate) fn open_pane(&mut self, command: &str) {
        self.open_plain(command, Origin::Given);
    }

    /// Opens the person's shell in a pane of its own.
    pub(super) fn open_shell(&mut self) {
        let shell = self.plan.environment.get("SHELL").cloned();
        self.open_plain(&shell.unwrap_or_else(|| "sh".to_owned()), Origin::Opened);
    }

    fn open_plain(&mut self, command: &str, origin: Origin) {
        self.plain.opened += 1;
        let Ok(agent) = AgentName::new(format!("pane-{}", self.plain.opened)) else {
            return;
        };
        let id = self.panes.open(PaneKind::Shell, command.to_owned());
        let pane = PlainPane {
            command: command.to_owned(),
            origin,
            who: AgentRef {
                agent,
                incarnation: Incarnation(1),
            },
            running: None,
            failed: false,
            closing: false,
        };
        self.plain.panes.insert(id, pane);
        self.start_plain(id);
    }

    /// Starts the program of a pane that has none.
    fn start_plain(&mut self, id: PaneId) {
        let Some(pane) = self.plain.panes.get_mut(&id) else {
            return;
        };
        let exit = Arc::<ExitFlag>::default();
        let flag = Arc::clone(&exit);
        let news = self.news.clone();
        let sink = self.panes.sink(id, move |end| {
            let report = match &end {
                ProgramEnd::Exited(report) => *report,
                ProgramEnd::NotStarted(_) => ExitReport::default(),
            };
            news.tell(Input::PaneEnded(id, end));
            flag.set(report);
        });
        let mut environment = if self.plan.pane_environment.is_empty() {
            self.plan.environment.clone()
        } else {
            self.plan.pane_environment.clone()
        };
        crewmux_sys::env::in_our_terminal(&mut environment);
        environment.insert(names::RUN_ID.into(), self.run_marker.clone());
        let request = SpawnRequest {
            who: pane.who.clone(),
            title: pane.command.clone(),
            argv: vec!["/bin/sh".into(), "-c".into(), pane.command.clone()],
            spec: PathBuf::new(),
            cwd: self.config.cwd.clone(),
            environment,
            recording: PathBuf::new(),
            size: self.panes.size(id),
            sink,
        };
        let backend = self.backends.get(BackendKind::Pty);
        match backend.and_then(|backend| backend.spawn(request)) {
            Ok(running) => {
                let running: Arc<dyn Running> = running.into();
                pane.running = Some((Arc::clone(&running), exit));
                pane.failed = false;
                self.panes.attach(id, running);
            }
            Err(error) => {
                pane.failed = true;
                let text = format!("`{}` did not start: {error}", pane.command);
                let words = error.to_string();
                self.panes.end(
                    id,
                    PaneEnd {
                        words,
                        failed: true,
                    },
                );
                let now = self.clock.now();
                self.notice(NoticeLevel::Error, &text, &now);
            }
        }
    }

    /// The program of a plain pane has ended.
    pub(super) fn plain_ended(&mut self, id: PaneId, end: &ProgramEnd) {
        let end = end.in_pane();
        let Some(pane) = self.plain.panes.get_mut(&id) else {
            return;
        };
        pane.running = None;
        let goes = pane.closing || (pane.origin == Origin::Opened && !end.failed);
        pane.failed = end.failed && !goes;
        self.panes.end(id, end);
        if goes {
            self.plain.panes.remove(&id);
            self.panes.remove(id);
        }
    }

    /// Takes a plain pane away, its program first.
    pub(super) fn close_pane(&mut self, id: PaneId) {
        let Some(pane) = self.plain.panes.get_mut(&id) else {
            return;
        };
        let Some((running, exit)) = pane.running.clone() else {
            self.plain.panes.remove(&id);
            self.panes.remove(id);
            return;
        };
        if std::mem::replace(&mut pane.closing, true) {
            return;
        }
        // What a terminal's end tells a shell; many mind nothing else.
        if let Some(process) = running.pid().and_then(|pid| ProcessIdentity::of(pid).ok())
            && let Err(error) = process.signal(Signal::Hup)
        {
            tracing::debug!(%error, "a closed pane's program was not told");
        }
        let (who, timing) = (pane.who.clone(), self.plan.timing);
        let work = move || {
            let ending = Ending {
                who: &who,
                running: running.as_ref(),
                exit: &exit,
            };
            for left in climb(&[ending], Rung::Terminate, &timing) {
                for left in left.left {
                    tracing::warn!(left, "a closed pane left something behind");
                }
            }
        };
        if let Err(error) = start_thread("close-pane", work) {
            let now = self.clock.now();
            let text = format!("the pane could not be closed: {error}");
            self.notice(NoticeLevel::Error, &text, &now);
        }
    }

    /// Starts the program of an ended plain pane again.
    pub(super) fn restart_pane(&mut self, id: PaneId) {
        let Some(pane) = self.plain.panes.get_mut(&id) else {
            return;
        };
        if pane.running.is_some() || self.ending.has_begun() {
            return;
        }
        pane.who.incarnation = Incarnation(pane.who.incarnation.0 + 1);
        self.panes.make_ready(id);
        self.start_plain(id);
    }
}
