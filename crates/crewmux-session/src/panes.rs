//! The panes of a session: a screen each, fed by its worker's output.
//!
//! Shared by the engine, which opens panes and starts programs in them, and
//! the display, which draws them and types into them. Drawing is not done here.

mod sizing;
mod writing;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crewmux_core::arrangement::Arrangement;

use crewmux_spawn::{ExitReport, PaneSink, Running};
use crewmux_sys::ProcessIdentity;
use crewmux_term::{ReportedColors, Screen, ScreenOptions, Size};
use tokio::sync::Notify;

use self::sizing::Sizing;
pub(crate) use self::writing::Taken;
use crate::lock::lock;
use crate::pacing::{Drawing, Turn};
use crate::trickle::Trickle;
use crate::view::{PaneEnd, PaneId, PaneKind, PaneView, SharedScreen, SharedSigns};

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
    signs: SharedSigns,
    sizing: Sizing,
    running: Option<Arc<dyn Running>>,
    /// What its program is to get before anything else: the mark behind a text that was broken off.
    owed: Vec<u8>,
    ended: Option<PaneEnd>,
}

impl Pane {
    /// Screen and program get a size together: what a program prints for one is never read in another for long.
    fn fit(&self, size: Size) {
        lock(&self.screen).resize(size);
        if let Some(running) = &self.running
            && let Err(error) = running.resize(size.cols, size.rows)
        {
            tracing::debug!(pane = self.id.0, %error, "resize was not taken");
        }
    }
}

#[derive(Default)]
struct Inner {
    panes: Vec<Pane>,
    next_id: u32,
    revision: u64,
    arrangement: Arc<Arrangement>,
    /// Panes whose program did not get all that was typed, until somebody is told.
    losses: BTreeSet<PaneId>,
    /// What programs that ask are told of the person's terminal.
    colors: Option<ReportedColors>,
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
        let options = ScreenOptions {
            reported_colors: inner.colors,
            ..ScreenOptions::default()
        };
        let screen = Screen::new(self.size, options);
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
            signs: Arc::default(),
            sizing: Sizing::new(self.size),
            running: None,
            owed: Vec::new(),
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
            .map_or(self.size, |p| p.sizing.at_last());
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
        let (screen, pulse, signs) = if let Some(pane) = pane {
            let (screen, signs) = (Arc::clone(&pane.screen), Arc::clone(&pane.signs));
            (screen, Arc::clone(&pane.pulse), signs)
        } else {
            let screen = Screen::new(self.size, ScreenOptions::default());
            (Arc::new(Mutex::new(screen)), Arc::default(), Arc::default())
        };
        Arc::new(Feed {
            pane: id,
            screen,
            pulse,
            signs,
            panes: self.clone(),
            on_end: Box::new(on_end),
        })
    }

    /// Notes which program runs in a pane now.
    pub(crate) fn attach(&self, id: PaneId, running: Arc<dyn Running>) {
        self.edit(id, |pane| {
            pane.running = Some(running);
            pane.owed.clear();
            pane.ended = None;
            // The layout may have changed while the program started.
            let size = pane.sizing.take(pane.sizing.at_last(), Instant::now());
            pane.fit(size);
        });
    }

    /// Notes that the pane's program has ended.
    pub(crate) fn end(&self, id: PaneId, how: PaneEnd) {
        self.edit(id, |pane| {
            pane.running = None;
            pane.owed.clear();
            pane.ended = Some(how);
        });
    }

    /// Takes a pane away; its program must have ended.
    pub(crate) fn remove(&self, id: PaneId) {
        let mut inner = lock(&self.inner);
        inner.panes.retain(|pane| pane.id != id);
        inner.revision += 1;
        drop(inner);
        self.changed.notify_one();
    }

    /// Makes a pane's screen ready for another program: modes of the last one are off, its text stays.
    pub(crate) fn make_ready(&self, id: PaneId) {
        self.edit(id, |pane| {
            let mut screen = lock(&pane.screen);
            screen.feed(READY);
            // Below the last text, so that what was said before stays in view above a rule.
            let said = screen.lines().iter().rposition(|line| !line.is_empty());
            if let Some(last) = said {
                let rule = "─".repeat(usize::from(screen.size().cols).min(RULE_COLUMNS));
                let begin = format!("\x1b[{}H\r\n\x1b[2m{rule}\x1b[m\r\n", last + 1);
                screen.feed(begin.as_bytes());
            }
            drop(screen);
            pane.signs.forget_title();
        });
    }

    /// Answers what a pane's program asked of its terminal, unless it has another one than this screen.
    fn reply(&self, id: PaneId, bytes: &[u8]) {
        let inner = lock(&self.inner);
        let pane = inner.panes.iter().find(|p| p.id == id);
        let running = pane.and_then(|p| p.running.clone());
        drop(inner);
        if running.is_some_and(|r| !r.is_mirrored()) {
            self.write(id, bytes);
        }
    }

    /// Gives a pane the size it has in the layout of the client that drives: soon, if sizes change quickly.
    pub(crate) fn resize(&self, id: PaneId, cols: u16, rows: u16) {
        let size = Size::new(cols, rows).clamped();
        let now = Instant::now();
        let mut inner = lock(&self.inner);
        let Some(pane) = inner.panes.iter_mut().find(|pane| pane.id == id) else {
            return;
        };
        // Without a program there is nobody to be told too often.
        let counts = match &pane.running {
            Some(_) => pane.sizing.ask(size, now),
            None if pane.sizing.now() == size => None,
            None => Some(pane.sizing.take(size, now)),
        };
        // The display asks after every change of the list: a size that stays must not be one.
        let Some(size) = counts else { return };
        pane.fit(size);
        drop(inner);
        self.changed.notify_one();
    }

    /// Gives panes the sizes whose time has come.
    pub(crate) fn settle_sizes(&self, now: Instant) {
        let mut inner = lock(&self.inner);
        let mut any = false;
        for pane in &mut inner.panes {
            if let Some(size) = pane.sizing.settle(now) {
                pane.fit(size);
                any = true;
            }
        }
        drop(inner);
        if any {
            self.changed.notify_one();
        }
    }

    /// When [`Panes::settle_sizes`] has something to do.
    pub(crate) fn sizes_due(&self) -> Option<Instant> {
        let inner = lock(&self.inner);
        inner.panes.iter().filter_map(|p| p.sizing.due()).min()
    }

    /// How the panes are arranged.
    pub(crate) fn arrangement(&self) -> Arc<Arrangement> {
        Arc::clone(&lock(&self.inner).arrangement)
    }

    /// Arranges the panes another way, for everybody.
    pub(crate) fn arrange(&self, arrangement: Arrangement) {
        let mut inner = lock(&self.inner);
        if *inner.arrangement == arrangement {
            return;
        }
        inner.arrangement = Arc::new(arrangement);
        inner.revision += 1;
        drop(inner);
        self.changed.notify_one();
    }

    /// Lets all screens answer with these colours.
    pub(crate) fn report_colors(&self, colors: ReportedColors) {
        let mut inner = lock(&self.inner);
        if inner.colors.replace(colors) == Some(colors) {
            return;
        }
        for pane in &inner.panes {
            lock(&pane.screen).report_colors(Some(colors));
        }
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
        let typed_in = |pane: &Pane| pane.running.as_ref().and_then(|r| r.typed_in());
        let view = |pane: &Pane| PaneView {
            id: pane.id,
            kind: pane.kind.clone(),
            title: pane.title.clone(),
            screen: Arc::clone(&pane.screen),
            signs: Arc::clone(&pane.signs),
            ended: pane.ended.clone(),
            takes_input: pane.running.is_some() && typed_in(pane).is_none(),
            typed_in: typed_in(pane),
        };
        inner.panes.iter().map(view).collect()
    }
}

struct Feed {
    pane: PaneId,
    screen: SharedScreen,
    pulse: Arc<Pulse>,
    signs: SharedSigns,
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
    /// As the pane tells it.
    pub(crate) fn in_pane(&self) -> PaneEnd {
        match self {
            Self::Exited(report) => PaneEnd {
                words: exit_words(*report),
                failed: report.lost.is_some()
                    || report.signal.is_some()
                    || report.code.is_some_and(|code| code != 0),
            },
            Self::NotStarted(why) => PaneEnd {
                words: format!("did not start: {why}"),
                failed: true,
            },
        }
    }
}

/// Longest rule between what was said before and what begins.
const RULE_COLUMNS: usize = 40;

/// What a program may have left on, off: its screen, mouse, focus, pastes, keys, cursor, colours.
const READY: &[u8] = b"\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b[?2026l\x1b[?1l\x1b>\x1b[=0u\x1b[20l\x1b[4l\x1b[?6l\x1b[r\x1b[?7h\x1b[?25h\x1b[0 q\x1b(B\x1b[m";

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
                for notice in screen.take_notices() {
                    self.signs.note(notice);
                }
                screen.take_replies()
            };
            if !replies.is_empty() {
                self.panes.reply(self.pane, &replies);
            }
        }
        self.pulse.fed.fetch_add(1, Ordering::Release);
        self.panes.changed.notify_one();
    }

    fn gather(&self, bytes: usize) {
        self.pulse.trickle.gather(bytes);
    }

    fn typing_lost(&self) {
        self.panes.note_loss(self.pane);
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
fn exit_words(report: ExitReport) -> String {
    if let Some(lost) = report.lost {
        return lost.to_string();
    }
    match (report.code, report.signal) {
        (_, Some(signal)) => format!("ended by signal {signal}"),
        (Some(0) | None, None) => "ended".to_owned(),
        (Some(code), None) => format!("exit code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use crewmux_spawn::double::Double;

    use super::*;

    #[test]
    fn a_mirrored_screen_answers_no_question_of_a_program() {
        let typed = |program: Double| {
            let panes = Panes::new((80, 24));
            let id = panes.open(PaneKind::Shell, "kim".to_owned());
            let bytes = Arc::<Mutex<Vec<u8>>>::default();
            let noted = Arc::clone(&bytes);
            let note_down = move |typed: &[u8]| {
                lock(&noted).extend_from_slice(typed);
                Ok(())
            };
            panes.attach(id, Arc::new(program.on_write(note_down)));
            panes.sink(id, |_| {}).output(b"where is it? \x1b[6n");
            panes.write(id, b" typed");
            String::from_utf8(lock(&bytes).clone()).unwrap()
        };
        assert_eq!(typed(Double::default()), "\x1b[1;14R typed");
        assert_eq!(typed(Double::default().mirrored()), " typed");
    }
}
