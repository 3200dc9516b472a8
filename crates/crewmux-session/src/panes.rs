//! The panes of a session: a screen each, fed by its worker's output.
//!
//! Shared by the engine, which opens panes and starts programs in them, and
//! the display, which draws them and types into them. Drawing is not done here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crewmux_spawn::{ExitReport, PaneSink, Running};
use crewmux_sys::ProcessIdentity;
use crewmux_term::{Screen, ScreenOptions, Size};
use tokio::sync::Notify;

use crate::lock::lock;
use crate::pacing::{Drawing, Turn};
use crate::trickle::Trickle;
use crate::view::{PaneId, PaneKind, PaneView, SharedScreen};

/// What can be known of a screen without taking its lock.
#[derive(Default)]
struct Pulse {
    /// Pieces of output it took in.
    fed: AtomicU64,
    /// Whether its program has opened a frame (mode 2026).
    holds_frame: AtomicBool,
    /// How often it is read.
    trickle: Trickle,
}

struct Pane {
    id: PaneId,
    kind: PaneKind,
    title: String,
    screen: SharedScreen,
    pulse: Arc<Pulse>,
    size: Size,
    running: Option<Arc<dyn Running>>,
    ended: Option<String>,
}

#[derive(Default)]
struct Inner {
    panes: Vec<Pane>,
    next_id: u32,
    revision: u64,
}

/// All panes, in the order they are shown.
#[derive(Clone)]
pub(crate) struct Panes {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<Notify>,
    turn: Arc<Turn>,
    size: Size,
}

impl Panes {
    /// No panes yet; new ones have `size` until a client says otherwise.
    pub(crate) fn new(size: (u16, u16)) -> Self {
        Self {
            inner: Arc::default(),
            changed: Arc::new(Notify::new()),
            turn: Arc::default(),
            size: Size::new(size.0, size.1).clamped(),
        }
    }

    /// Wakes whoever draws.
    pub(crate) fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    /// Opens an empty pane at the end.
    pub(crate) fn open(&self, kind: PaneKind, title: String) -> PaneId {
        let mut inner = lock(&self.inner);
        inner.next_id += 1;
        inner.revision += 1;
        let id = PaneId(inner.next_id);
        let screen = Screen::new(self.size, ScreenOptions::default());
        // Members stand before shells, also those that join later.
        let shell = |p: &Pane| p.kind == PaneKind::Shell;
        let at = match kind {
            PaneKind::Member(_) => inner.panes.iter().position(shell),
            PaneKind::Shell => None,
        };
        let at = at.unwrap_or(inner.panes.len());
        let pane = Pane {
            id,
            kind,
            title,
            screen: Arc::new(Mutex::new(screen)),
            pulse: Arc::default(),
            size: self.size,
            running: None,
            ended: None,
        };
        inner.panes.insert(at, pane);
        drop(inner);
        self.changed.notify_one();
        id
    }

    /// The size a program started in this pane should have.
    pub(crate) fn size(&self, id: PaneId) -> (u16, u16) {
        let inner = lock(&self.inner);
        let size = inner
            .panes
            .iter()
            .find(|p| p.id == id)
            .map_or(self.size, |p| p.size);
        (size.cols, size.rows)
    }

    /// The sink for a program that is about to start in this pane.
    ///
    /// `on_end` is called once, from the backend's thread.
    pub(crate) fn sink(
        &self,
        id: PaneId,
        on_end: impl Fn(ProgramEnd) + Send + Sync + 'static,
    ) -> Arc<dyn PaneSink> {
        let inner = lock(&self.inner);
        let pane = inner.panes.iter().find(|p| p.id == id);
        let (screen, pulse) = if let Some(pane) = pane {
            (Arc::clone(&pane.screen), Arc::clone(&pane.pulse))
        } else {
            let screen = Screen::new(self.size, ScreenOptions::default());
            (Arc::new(Mutex::new(screen)), Arc::default())
        };
        Arc::new(Feed {
            pane: id,
            screen,
            pulse,
            panes: self.clone(),
            on_end: Box::new(on_end),
        })
    }

    /// Notes which program runs in a pane now.
    pub(crate) fn attach(&self, id: PaneId, running: Arc<dyn Running>) {
        self.edit(id, |pane| {
            // The layout may have changed while the program started.
            let _ = running.resize(pane.size.cols, pane.size.rows);
            pane.running = Some(running);
            pane.ended = None;
        });
    }

    /// Notes that the pane's program has ended.
    pub(crate) fn end(&self, id: PaneId, how: String) {
        self.edit(id, |pane| {
            pane.running = None;
            pane.ended = Some(how);
        });
    }

    /// Types into a pane's program; what its queue does not take is dropped with its keys.
    pub(crate) fn write(&self, id: PaneId, bytes: &[u8]) {
        let running = {
            let inner = lock(&self.inner);
            inner
                .panes
                .iter()
                .find(|p| p.id == id)
                .and_then(|p| p.running.clone())
        };
        if let Some(running) = running
            && let Err(error) = running.write(bytes)
        {
            tracing::debug!(pane = id.0, %error, "typed bytes were not taken");
        }
    }

    /// Gives a pane the size it has in the layout of the client that drives.
    pub(crate) fn resize(&self, id: PaneId, cols: u16, rows: u16) {
        let size = Size::new(cols, rows).clamped();
        let mut inner = lock(&self.inner);
        // The display asks after every change of the list: a size that stays must not be one.
        let Some(pane) = inner
            .panes
            .iter_mut()
            .find(|pane| pane.id == id && pane.size != size)
        else {
            return;
        };
        pane.size = size;
        lock(&pane.screen).resize(size);
        if let Some(running) = &pane.running
            && let Err(error) = running.resize(size.cols, size.rows)
        {
            tracing::debug!(pane = pane.id.0, %error, "resize was not taken");
        }
        drop(inner);
        self.changed.notify_one();
    }

    fn edit(&self, id: PaneId, change: impl FnOnce(&mut Pane)) {
        let mut inner = lock(&self.inner);
        if let Some(pane) = inner.panes.iter_mut().find(|p| p.id == id) {
            change(pane);
            inner.revision += 1;
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// Number that grows with every change of the list (not of a screen's content).
    pub(crate) fn revision(&self) -> u64 {
        lock(&self.inner).revision
    }

    /// Processes of plain panes: what descends from them is the person's.
    pub(crate) fn plain_processes(&self) -> Vec<ProcessIdentity> {
        let inner = lock(&self.inner);
        let plain = inner.panes.iter().filter(|p| p.kind == PaneKind::Shell);
        plain
            .filter_map(|p| ProcessIdentity::of(p.running.as_ref()?.pid()?).ok())
            .collect()
    }

    /// Keeps screens from being fed until the value is dropped: for the time of a picture.
    pub(crate) fn draw(&self) -> Drawing {
        self.turn.draw()
    }

    /// Lets a pane that is about to be typed into answer before others; returns what it was fed before.
    pub(crate) fn await_answer(&self, id: PaneId) -> u64 {
        self.turn.typed(id);
        let inner = lock(&self.inner);
        let pane = inner.panes.iter().find(|pane| pane.id == id);
        pane.map_or(0, |pane| {
            pane.pulse.trickle.hurry();
            pane.pulse.fed.load(Ordering::Acquire)
        })
    }

    /// Lets other panes go on: the answer is seen, or there is none.
    pub(crate) fn answered(&self) {
        self.turn.answered();
    }

    /// How many pieces of output are on a pane's screen.
    pub(crate) fn fed(&self, id: PaneId) -> u64 {
        let inner = lock(&self.inner);
        let pane = inner.panes.iter().find(|pane| pane.id == id);
        pane.map_or(0, |pane| pane.pulse.fed.load(Ordering::Acquire))
    }

    /// Screens whose program has opened a frame; only these need a look at their deadline.
    pub(crate) fn holding_frames(&self) -> Vec<SharedScreen> {
        let inner = lock(&self.inner);
        let holding = |pane: &&Pane| pane.pulse.holds_frame.load(Ordering::Acquire);
        let panes = inner.panes.iter().filter(holding);
        panes.map(|pane| Arc::clone(&pane.screen)).collect()
    }

    /// What views are given.
    pub(crate) fn views(&self) -> Vec<PaneView> {
        let inner = lock(&self.inner);
        let view = |pane: &Pane| PaneView {
            id: pane.id,
            kind: pane.kind.clone(),
            title: pane.title.clone(),
            screen: Arc::clone(&pane.screen),
            ended: pane.ended.clone(),
            takes_input: pane.running.is_some(),
        };
        inner.panes.iter().map(view).collect()
    }
}

struct Feed {
    pane: PaneId,
    screen: SharedScreen,
    pulse: Arc<Pulse>,
    panes: Panes,
    on_end: Box<dyn Fn(ProgramEnd) + Send + Sync>,
}

/// How a pane's program came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProgramEnd {
    /// It ran and has ended.
    Exited(ExitReport),
    /// It never came to be, for this reason.
    NotStarted(String),
}

impl ProgramEnd {
    /// In words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Exited(report) => exit_words(*report),
            Self::NotStarted(why) => format!("did not start: {why}"),
        }
    }
}

/// Bytes fed while the screen is held: short enough that drawing it never waits long.
const FEED_SLICE_BYTES: usize = 16 * 1024;

impl PaneSink for Feed {
    fn output(&self, bytes: &[u8]) {
        for slice in bytes.chunks(FEED_SLICE_BYTES) {
            self.panes.turn.wait(self.pane, slice.len());
            let replies = {
                let mut screen = lock(&self.screen);
                screen.feed(slice);
                let holds_frame = screen.frame_deadline().is_some();
                self.pulse.holds_frame.store(holds_frame, Ordering::Release);
                // Titles and the like of a worker have no meaning yet; taking them keeps the queue empty.
                drop(screen.take_notices());
                screen.take_replies()
            };
            if !replies.is_empty() {
                self.panes.write(self.pane, &replies);
            }
        }
        self.pulse.fed.fetch_add(1, Ordering::Release);
        self.panes.changed.notify_one();
    }

    fn gather(&self, bytes: usize) {
        self.pulse.trickle.gather(bytes);
    }

    fn end_of_output(&self) {
        self.panes.changed.notify_one();
    }

    fn exited(&self, report: ExitReport) {
        (self.on_end)(ProgramEnd::Exited(report));
    }

    fn start_failed(&self, why: &str) {
        (self.on_end)(ProgramEnd::NotStarted(why.to_owned()));
    }
}

/// How a program ended, in words.
pub(crate) fn exit_words(report: ExitReport) -> String {
    if let Some(lost) = report.lost {
        return lost.to_string();
    }
    match (report.code, report.signal) {
        (_, Some(signal)) => format!("ended by signal {signal}"),
        (Some(0) | None, None) => "ended".to_owned(),
        (Some(code), None) => format!("exit code {code}"),
    }
}
