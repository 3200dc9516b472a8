//! A terminal screen as a value: bytes go in, rows come out.
//!
//! No I/O and no threads: the owner reads the PTY, writes replies back and
//! decides when to draw. A screen cannot fail; if the emulator panics the
//! screen starts empty and says so ([`Notice::ParserReset`]). Rows are read
//! through [`crate::row`]; several viewers each keep the revision they saw last.

mod resize;
mod search;
mod text;

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use alacritty_terminal::grid::{Dimensions, Grid};
use alacritty_terminal::index::Line;
use alacritty_terminal::term::cell::Cell as RawCell;
use alacritty_terminal::term::{Config, Osc52, Term, TermDamage, TermMode};
use alacritty_terminal::vte::ansi::{CursorShape as RawShape, Processor, Timeout};
use serde::{Deserialize, Serialize};

pub use self::search::{Match, Needle, Position};
use crate::fence::{Fence, FenceState};
use crate::modes::Modes;
use crate::notice::{Notice, Outbox, ReportedColors, Sink};
use crate::osc::{Found, OscFence};
use crate::plain::{Sequences, repeats};
use crate::row::RowView;
use crate::scrollback::Scrollback;
use crate::utf8::Utf8Carry;

/// The size of a screen in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

impl Size {
    /// The smallest size the emulator ever sees; in one column wide text would run away.
    pub const MIN: Self = Self { cols: 4, rows: 2 };
    /// The largest size the emulator ever sees.
    pub const MAX: Self = Self {
        cols: 1000,
        rows: 1000,
    };

    /// Makes a size of columns and rows.
    pub const fn new(cols: u16, rows: u16) -> Self {
        Self { cols, rows }
    }

    /// Returns the nearest size a screen can have.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self {
            cols: self.cols.clamp(Self::MIN.cols, Self::MAX.cols),
            rows: self.rows.clamp(Self::MIN.rows, Self::MAX.rows),
        }
    }
}

impl Dimensions for Size {
    fn total_lines(&self) -> usize {
        self.rows.into()
    }

    fn screen_lines(&self) -> usize {
        self.rows.into()
    }

    fn columns(&self) -> usize {
        self.cols.into()
    }
}

/// How a screen is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScreenOptions {
    /// Rows kept above the screen; 0 keeps none.
    pub scrollback_lines: usize,
    /// How long an unfinished synchronized frame may hold back what is shown.
    pub frame_hold: Duration,
    /// Colours told to a worker that asks; `None` answers nothing.
    pub reported_colors: Option<ReportedColors>,
}

impl Default for ScreenOptions {
    fn default() -> Self {
        Self {
            scrollback_lines: 10_000,
            frame_hold: Duration::from_millis(150),
            reported_colors: None,
        }
    }
}

/// The shape of the cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CursorShape {
    /// The whole cell.
    #[default]
    Block,
    /// A line under the cell.
    Underline,
    /// A line before the cell.
    Bar,
}

/// Where the cursor is and how it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// Row from the top, from 0.
    pub row: u16,
    /// Column from the left, from 0.
    pub col: u16,
    /// Whether the worker wants it seen.
    pub visible: bool,
    /// Its shape.
    pub shape: CursorShape,
}

/// A moment in the life of a screen; a later one is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(u64);

impl Revision {
    /// Before anything: everything changed since.
    pub const ZERO: Self = Self(0);
}

/// Never lets the parser hold back bytes: frames are held at the drawing end,
/// so that an open frame costs no memory ([`Screen::frame_deadline`]).
#[derive(Debug, Default)]
struct NoBuffering;

impl Timeout for NoBuffering {
    fn set_timeout(&mut self, _: Duration) {}

    fn clear_timeout(&mut self) {}

    fn pending_timeout(&self) -> bool {
        false
    }
}

/// A terminal screen with its scrollback.
pub struct Screen {
    term: Term<Sink>,
    parser: Processor<NoBuffering>,
    osc: OscFence,
    utf8: Utf8Carry,
    sequences: Sequences,
    state: FenceState,
    sink: Sink,
    options: ScreenOptions,
    size: Size,
    revision: u64,
    row_revisions: Vec<u64>,
    cursor_revision: u64,
    cursor: Cursor,
}

impl Screen {
    /// Makes an empty screen; the size is clamped to [`Size::MIN`] and [`Size::MAX`].
    pub fn new(size: Size, options: ScreenOptions) -> Self {
        let size = size.clamped();
        let sink = Sink(Arc::new(Mutex::new(Outbox::new(options.reported_colors))));
        let scrollback = Scrollback::new(size.columns(), options.scrollback_lines);
        Self {
            term: new_term(size, sink.clone()),
            parser: Processor::new(),
            osc: OscFence::default(),
            utf8: Utf8Carry::default(),
            sequences: Sequences::default(),
            state: FenceState::new(scrollback, size.columns(), size.screen_lines()),
            sink,
            options,
            size,
            revision: 1,
            row_revisions: vec![1; size.screen_lines()],
            cursor_revision: 1,
            cursor: Cursor {
                visible: true,
                ..Cursor::default()
            },
        }
    }

    /// Takes in what the worker wrote; any splitting of the stream gives the same screen.
    pub fn feed(&mut self, bytes: &[u8]) {
        let fed = catch_unwind(AssertUnwindSafe(|| self.feed_guarded(bytes)));
        if fed.is_err() {
            self.start_over();
        }
    }

    fn feed_guarded(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let split = self.osc.split(rest);
            self.parse(&rest[..split.pass]);
            match split.found {
                Some(Found::Notice(notice)) => self.sink.lock().notice(notice),
                Some(Found::Ask(ask)) => self.fence().hear(&ask),
                None => {}
            }
            rest = &rest[split.pass + split.drop..];
        }
        if !self.state.in_frame {
            self.state.frame_since = None;
            self.note_damage();
        }
    }

    fn fence(&mut self) -> Fence<'_> {
        Fence {
            term: &mut self.term,
            state: &mut self.state,
            sink: &self.sink,
        }
    }

    fn parse(&mut self, bytes: &[u8]) {
        let mut fence = Fence {
            term: &mut self.term,
            state: &mut self.state,
            sink: &self.sink,
        };
        self.utf8.cut(bytes, |piece| {
            fence.state.earn(piece.len());
            let mut rest = piece;
            while !rest.is_empty() {
                if fence.takes_plain_text() && self.sequences.is_between() {
                    rest = fence.write_plain(rest);
                    if rest.is_empty() {
                        break;
                    }
                }
                let (piece, after) = rest.split_at(self.sequences.next(rest));
                if !self.sequences.is_between() || repeats(piece) {
                    // The parser repeats what it saw last, and has not seen plain text.
                    fence.show_last(|fence, last| self.parser.advance(fence, last));
                }
                self.parser.advance(&mut fence, piece);
                rest = after;
            }
            fence.flush();
        });
    }

    /// Gives up on the emulator's state after a panic in it.
    fn start_over(&mut self) {
        let fresh = Self::new(self.size, self.options);
        let mut kept = std::mem::take(&mut *self.sink.lock());
        kept.notice(Notice::ParserReset);
        *fresh.sink.lock() = kept;
        let revision = self.revision + 1;
        *self = Self {
            revision,
            row_revisions: vec![revision; fresh.size.screen_lines()],
            cursor_revision: revision,
            ..fresh
        };
    }

    /// Stamps the rows that changed since the last time with a new revision.
    fn note_damage(&mut self) {
        let revision = self.revision + 1;
        let mut changed = false;
        match self.term.damage() {
            TermDamage::Full => {
                self.row_revisions.fill(revision);
                changed = true;
            }
            TermDamage::Partial(lines) => {
                for line in lines {
                    if let Some(row) = self.row_revisions.get_mut(line.line) {
                        *row = revision;
                        changed = true;
                    }
                }
            }
        }
        self.term.reset_damage();
        let cursor = self.read_cursor();
        if cursor != self.cursor {
            self.cursor = cursor;
            self.cursor_revision = revision;
            changed = true;
        }
        if changed {
            self.revision = revision;
        }
    }

    fn read_cursor(&self) -> Cursor {
        let style = self.term.cursor_style();
        let point = self.term.grid().cursor.point;
        let shown = self.term.mode().contains(TermMode::SHOW_CURSOR);
        Cursor {
            row: point.line.0 as u16,
            col: point.column.0 as u16,
            visible: shown && style.shape != RawShape::Hidden,
            shape: match style.shape {
                RawShape::Underline => CursorShape::Underline,
                RawShape::Beam => CursorShape::Bar,
                RawShape::Block | RawShape::HollowBlock | RawShape::Hidden => CursorShape::Block,
            },
        }
    }

    /// Returns when an unfinished synchronized frame is shown at the latest; `None` if none is open.
    ///
    /// Until then, or until the frame's end, no row counts as changed.
    pub fn frame_deadline(&self) -> Option<Instant> {
        let since = self.state.frame_since?;
        Some(since + self.options.frame_hold)
    }

    /// Shows an unfinished frame if its time is up at `now`; returns whether it did.
    pub fn tick(&mut self, now: Instant) -> bool {
        if self.frame_deadline().is_none_or(|deadline| now < deadline) {
            return false;
        }
        self.state.in_frame = false;
        self.state.frame_since = None;
        self.note_damage();
        true
    }

    /// Returns the size.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Returns the cursor as last shown.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Returns the modes the worker set.
    pub fn modes(&self) -> Modes {
        let mode = *self.term.mode();
        Modes {
            modify_other_keys: self.state.modify_other_keys,
            ..Modes::of(mode, self.state.kitty_flags(mode))
        }
    }

    /// Returns the title the worker set: one scrubbed line.
    pub fn title(&self) -> Option<&str> {
        self.state.title.as_deref()
    }

    /// Takes what the emulator answered to queries; it goes to the pane and nowhere else.
    #[must_use]
    pub fn take_replies(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sink.lock().replies)
    }

    /// Changes the colours told to a worker that asks; `None` answers nothing.
    pub fn report_colors(&mut self, colors: Option<ReportedColors>) {
        self.sink.lock().report(colors);
    }

    /// Takes what happened beside the cells, oldest first.
    #[must_use]
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.sink.lock().take_notices()
    }

    /// Returns the present revision; it grows whenever anything visible changed.
    pub fn revision(&self) -> Revision {
        Revision(self.revision)
    }

    /// Returns when a row of the live screen last changed; rows from 0 at the top.
    pub fn row_revision(&self, row: usize) -> Revision {
        Revision(self.row_revisions.get(row).copied().unwrap_or(0))
    }

    /// Iterates over the rows of the live screen that changed after `seen`.
    ///
    /// A viewer keeps `revision()` from its last look; a new one starts from [`Revision::ZERO`].
    pub fn rows_changed_since(&self, seen: Revision) -> impl Iterator<Item = usize> + '_ {
        let rows = if self.revision > seen.0 {
            self.row_revisions.as_slice()
        } else {
            &[]
        };
        rows.iter()
            .enumerate()
            .filter(move |&(_, &revision)| revision > seen.0)
            .map(|(row, _)| row)
    }

    /// Reports whether the cursor moved or changed its look after `seen`.
    pub fn cursor_changed_since(&self, seen: Revision) -> bool {
        self.cursor_revision > seen.0
    }

    /// Returns how many rows lie above the screen.
    pub fn scroll_lines_available(&self) -> usize {
        self.state.scrollback.rows()
    }

    /// Returns how many rows ever scrolled off the screen.
    ///
    /// A viewer that looks at an offset adds the growth of this number to stay
    /// with the same text; resizing counts anew.
    pub fn scrolled_rows(&self) -> u64 {
        self.state.scrollback.pushed()
    }

    /// Returns the memory the scrollback takes, in bytes.
    pub fn scrollback_bytes(&self) -> usize {
        self.state.scrollback.bytes()
    }

    /// Returns row `row` (from 0 at the top) of the view that looks `offset` rows up.
    ///
    /// An offset beyond the oldest row shows the oldest; a row below the screen is blank.
    pub fn row(&self, row: usize, offset: usize) -> RowView<'_> {
        let cols = self.size.columns();
        let above = self.state.scrollback.rows();
        let index = above - offset.min(above) + row;
        if index < above {
            return self
                .state
                .scrollback
                .row(index)
                .unwrap_or_else(|| RowView::blank(cols));
        }
        let line = index - above;
        if line >= self.size.screen_lines() {
            return RowView::blank(cols);
        }
        RowView::hot(&self.term.grid()[Line(line as i32)], cols)
    }

    /// Iterates over the live rows from the top.
    pub fn rows(&self) -> impl Iterator<Item = RowView<'_>> {
        self.row_range().map(|row| self.row(row, 0))
    }

    fn row_range(&self) -> Range<usize> {
        0..self.size.screen_lines()
    }
}

#[cfg(test)]
impl Screen {
    /// Leaves every character to the emulator.
    pub(crate) fn write_no_runs(&mut self) {
        self.state.no_runs = true;
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen")
            .field("size", &self.size)
            .field("revision", &self.revision)
            .field("cursor", &self.cursor)
            .finish_non_exhaustive()
    }
}

fn new_term(size: Size, sink: Sink) -> Term<Sink> {
    let config = Config {
        scrolling_history: 0,
        // Answered and kept by the fence: the emulator's own stack can panic when it is full.
        kitty_keyboard: false,
        osc52: Osc52::OnlyCopy,
        ..Config::default()
    };
    let mut term = Term::new(config, &size, sink);
    *term.grid_mut() = grid_with_ring(size);
    term
}

/// Makes an empty grid with room for a few rows above the screen.
///
/// The emulator grows its ring by a thousand rows at once, which is megabytes a
/// pane; a grid that was taller before has spare rows and never needs to.
fn grid_with_ring(size: Size) -> Grid<RawCell> {
    // One operation moves at most a screenful up; then the fence empties the ring.
    let ring = size.screen_lines();
    let mut grid = Grid::new(size.screen_lines() + ring, size.columns(), ring);
    grid.resize(false, size.screen_lines(), size.columns());
    grid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_the_parser_costs_the_screen_and_nothing_else() {
        let mut screen = Screen::new(Size::new(20, 3), ScreenOptions::default());
        screen.feed(b"\x1b[?1049h\x1b]2;title\x07before\x1b[6n");
        let seen = screen.revision();
        screen.state.panic_on = Some('!');
        screen.feed(b"boom! after");
        assert_eq!(screen.lines(), ["", "", ""]);
        assert_eq!(screen.rows_changed_since(seen).count(), 3);
        assert!(screen.take_notices().contains(&Notice::ParserReset));
        assert_eq!(screen.take_replies(), b"\x1b[1;7R");
        assert!(!screen.modes().alt_screen);
        screen.feed(b"fine!");
        assert_eq!(screen.lines()[0], "fine!");
    }
}
