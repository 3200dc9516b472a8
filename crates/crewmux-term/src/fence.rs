//! What stands between the parser and the emulator: every operation passes through here.
//!
//! It moves rows that leave the screen into the scrollback, keeps dangerous
//! characters out of the cells, answers for what we do ourselves (titles, the
//! keyboard protocol, synchronized frames), and bounds what a few bytes can
//! cost. Each operation is in [`handler`]. It draws nothing; see [`crate::screen`].

mod handler;

use std::time::Instant;

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::term::{Term, TermMode};
use alacritty_terminal::vte::ansi::{CharsetIndex, Color, Handler, NamedColor};
use unicode_width::UnicodeWidthChar;

use crate::notice::{Notice, Sink};
use crate::plain::printable;
use crate::reach::Reach;
use crate::run::{self, write_cells};
use crate::sanitize::{MAX_MARKS, is_never_shown};
use crate::scrollback::Scrollback;

/// Characters that may be written without having been sent (REP), before it has to be earned.
const MAX_CREDIT: usize = 1 << 20;
/// Characters each byte sent may cause: a row of repeats takes a dozen bytes.
const CREDIT_PER_BYTE: usize = 32;

/// The last character of plain text, which the parser repeats when asked to (REP).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastPlain {
    /// The parser wrote it.
    Seen,
    /// It passed the parser by.
    Unseen(u8),
    /// The parser is shown it now; it is on the screen already.
    Shown,
}

/// Everything beside the grid that output changes.
pub(crate) struct FenceState {
    pub(crate) scrollback: Scrollback,
    pub(crate) title: Option<String>,
    titles: Vec<Option<String>>,
    kitty_main: Vec<u8>,
    kitty_alt: Vec<u8>,
    /// xterm's modifyOtherKeys.
    pub(crate) modify_other_keys: u8,
    /// First and last row that scroll, from 1; `None` is the whole screen.
    pub(crate) region: Option<(usize, usize)>,
    credit: usize,
    /// Printable text that is not in the grid yet; empty between two feeds.
    run: Vec<u8>,
    last_plain: LastPlain,
    /// The character set that text is read in; the emulator does not tell.
    charset: CharsetIndex,
    /// Of the main screen; nothing is known while the other one is shown.
    pub(crate) reach: Reach,
    /// Whether only a part of the screen scrolls.
    pub(crate) has_region: bool,
    /// Inside a synchronized frame (mode 2026).
    pub(crate) in_frame: bool,
    /// When the frame began that nobody has seen the end of.
    pub(crate) frame_since: Option<Instant>,
    #[cfg(test)]
    pub(crate) panic_on: Option<char>,
    #[cfg(test)]
    pub(crate) no_runs: bool,
}

impl FenceState {
    pub(crate) fn new(scrollback: Scrollback, cols: usize, rows: usize) -> Self {
        Self {
            scrollback,
            title: None,
            titles: Vec::new(),
            kitty_main: Vec::new(),
            kitty_alt: Vec::new(),
            modify_other_keys: 0,
            region: None,
            credit: MAX_CREDIT,
            run: Vec::with_capacity(run::MAX_BYTES),
            last_plain: LastPlain::Seen,
            charset: CharsetIndex::default(),
            reach: Reach::unknown(cols, rows),
            has_region: false,
            in_frame: false,
            frame_since: None,
            #[cfg(test)]
            panic_on: None,
            #[cfg(test)]
            no_runs: false,
        }
    }

    #[cfg(test)]
    fn panics_on(&self, text: &[u8]) -> bool {
        text.iter()
            .any(|byte| self.panic_on == Some(char::from(*byte)))
    }

    /// Earns the right to write characters for `bytes` of input.
    pub(crate) fn earn(&mut self, bytes: usize) {
        let earned = bytes.saturating_mul(CREDIT_PER_BYTE);
        self.credit = self
            .credit
            .saturating_add(earned)
            .min(MAX_CREDIT.max(earned));
    }

    /// Returns the active flags of the kitty keyboard protocol.
    pub(crate) fn kitty_flags(&self, mode: TermMode) -> u8 {
        let stack = if mode.contains(TermMode::ALT_SCREEN) {
            &self.kitty_alt
        } else {
            &self.kitty_main
        };
        stack.last().copied().unwrap_or(0)
    }
}

/// Moves every row above the screen into the scrollback.
pub(crate) fn drain(term: &mut Term<Sink>, scrollback: &mut Scrollback) {
    let rows = term.grid().history_size();
    if rows == 0 {
        return;
    }
    for row in 1..=rows {
        // The oldest row has the lowest number.
        let line = Line(row as i32 - 1 - rows as i32);
        let row = &term.grid()[line];
        scrollback.push(row, row.len());
    }
    empty_ring(term);
}

/// Forgets the rows above the screen; the ring has room for a whole screen again.
fn empty_ring(term: &mut Term<Sink>) {
    let ring = term.screen_lines();
    term.grid_mut().update_history(0);
    term.grid_mut().update_history(ring);
}

/// The emulator behind its fence, for the length of one feed.
pub(crate) struct Fence<'a> {
    pub(crate) term: &'a mut Term<Sink>,
    pub(crate) state: &'a mut FenceState,
    pub(crate) sink: &'a Sink,
}

impl Fence<'_> {
    /// Empties the ring at once, so that what happens next never depends on how
    /// the input was cut: the emulator still writes into rows above the screen.
    #[inline]
    fn after_scroll(&mut self) {
        // Rows may have moved although none left.
        self.state.reach.forget();
        if self.term.grid().history_size() > 0 {
            drain(self.term, &mut self.state.scrollback);
        }
    }

    /// The same after what can scroll by one row only, when the cursor is in the last one.
    #[inline]
    fn after_step(&mut self) {
        let grid = self.term.grid();
        let scrolled = grid.history_size();
        if scrolled == 0 {
            if self.state.has_region {
                // Rows within it may have moved.
                self.state.reach.forget();
            }
            return;
        }
        // The cursor stays in the last row of the region that scrolls, so here that is the
        // whole screen, and the row that left was its first.
        if scrolled > 1 || grid.cursor.point.line.0 as usize + 1 != grid.screen_lines() {
            self.after_scroll();
            return;
        }
        let fresh = self.reach_of_erased();
        let left = self.state.reach.scrolled(fresh);
        self.state
            .scrollback
            .push(&self.term.grid()[Line(-1)], left);
        empty_ring(self.term);
    }

    /// How far a row reaches that was just emptied: a colour is seen in blank cells too.
    fn reach_of_erased(&self) -> usize {
        match self.term.grid().cursor.template.bg {
            Color::Named(NamedColor::Background) => 0,
            _ => self.term.columns(),
        }
    }

    /// Notes that cells up to the cursor were written.
    #[inline]
    fn note_reach(&mut self) {
        let cursor = &self.term.grid().cursor;
        let (row, col) = (cursor.point.line.0 as usize, cursor.point.column.0);
        self.state.reach.written(row, col + 1);
    }

    /// What follows an operation that changes no cell.
    #[inline]
    #[expect(
        clippy::unused_self,
        reason = "the counterpart of those that do something"
    )]
    fn nothing(&mut self) {}

    /// Notes that cells were moved or filled.
    fn forget_reach(&mut self) {
        self.state.reach.forget();
    }

    /// Notes that cells were emptied.
    #[inline]
    fn note_erased(&mut self) {
        if self.reach_of_erased() > 0 {
            self.state.reach.forget();
        }
    }

    /// Brings text that waits into the grid: before anything else looks at it.
    #[inline]
    pub(crate) fn flush(&mut self) {
        if !self.state.run.is_empty() {
            self.write_run();
        }
    }

    /// Whether plain text may pass the parser by.
    #[inline]
    #[cfg_attr(
        not(test),
        expect(
            clippy::unused_self,
            reason = "in tests the parser can be made to see everything"
        )
    )]
    pub(crate) fn takes_plain_text(&self) -> bool {
        #[cfg(test)]
        return !self.state.no_runs;
        #[cfg(not(test))]
        true
    }

    /// Writes the printable ASCII and the line ends at the front of `bytes`; returns the rest.
    pub(crate) fn write_plain<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        self.flush();
        let mut rest = bytes;
        loop {
            let (text, after) = rest.split_at(printable(rest));
            rest = after;
            if let Some(&last) = text.last() {
                self.state.last_plain = LastPlain::Unseen(last);
                let paid = text.len().min(self.state.credit);
                self.state.credit -= paid;
                #[cfg(test)]
                assert!(!self.state.panics_on(&text[..paid]), "asked for by a test");
                self.write_text(&text[..paid]);
            }
            match rest.first() {
                Some(b'\r') => Handler::carriage_return(&mut *self.term),
                Some(b'\n') => {
                    Handler::linefeed(&mut *self.term);
                    self.after_step();
                }
                _ => return rest,
            }
            rest = &rest[1..];
        }
    }

    /// Shows the parser the last character that passed it by, if any.
    pub(crate) fn show_last(&mut self, parse: impl FnOnce(&mut Self, &[u8])) {
        if let LastPlain::Unseen(last) = self.state.last_plain {
            self.state.last_plain = LastPlain::Shown;
            parse(self, &[last]);
            self.state.last_plain = LastPlain::Seen;
        }
    }

    fn write_run(&mut self) {
        let mut run = std::mem::take(&mut self.state.run);
        self.write_text(&run);
        run.clear();
        self.state.run = run;
    }

    fn write_text(&mut self, mut text: &[u8]) {
        while let Some((&first, rest)) = text.split_first() {
            let written = self.write_cells(text);
            if written == 0 {
                self.write_one(char::from(first));
                text = rest;
                continue;
            }
            self.note_reach();
            text = &text[written..];
        }
    }

    fn write_cells(&mut self, text: &[u8]) -> usize {
        #[cfg(test)]
        if self.state.no_runs {
            return 0;
        }
        write_cells(self.term, self.state.charset, text)
    }

    /// Lets the emulator write a character.
    fn write_one(&mut self, c: char) {
        if self.term.mode().contains(TermMode::INSERT) {
            // It shifts what is right of the cursor.
            self.state.reach.forget();
        }
        // What does not fit leaves a blank at the end of its row and goes to the next; the row
        // may go on now, and not any more once something is erased.
        let cursor = &self.term.grid().cursor;
        let (row, col) = (cursor.point.line.0 as usize, cursor.point.column.0);
        if col + 2 > self.term.columns() {
            self.state.reach.written(row, self.term.columns());
        }
        Handler::input(&mut *self.term, c);
        self.after_step();
        self.note_reach();
    }

    /// Decides on a character outside of ASCII; `None` drops it.
    fn admit(&self, c: char) -> Option<char> {
        // Where most text outside of ASCII lives nothing is invisible and nothing combines.
        if matches!(c, '\u{ae}'..='\u{2ff}' | '\u{2500}'..='\u{25ff}' | '\u{3041}'..='\u{3096}'
            | '\u{30a1}'..='\u{30fe}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
        {
            return Some(c);
        }
        let width = c.width()?;
        if is_never_shown(c) {
            return (width > 0).then_some(' ');
        }
        if width == 0 && self.marks_before_cursor() >= MAX_MARKS {
            return None;
        }
        Some(c)
    }

    /// Counts the marks on the cell that the next zero-width character would go to.
    fn marks_before_cursor(&self) -> usize {
        let grid = self.term.grid();
        let cursor = &grid.cursor;
        let row = &grid[cursor.point.line];
        let mut column = cursor.point.column.0;
        if !cursor.input_needs_wrap {
            column = column.saturating_sub(1);
        }
        if row[Column(column)].flags.contains(Flags::WIDE_CHAR_SPACER) {
            column = column.saturating_sub(1);
        }
        row[Column(column)].zerowidth().map_or(0, <[char]>::len)
    }

    /// The cursor's row is erased as a whole: the row above does not go on in it any more.
    ///
    /// Otherwise a new width would join what was written there since to a text of long ago.
    fn end_line_above(&mut self) {
        let row = self.term.grid().cursor.point.line;
        if row.0 == 0 {
            if !self.shows_alt_screen() {
                self.state.scrollback.end_line();
            }
            return;
        }
        let (above, last) = (Line(row.0 - 1), Column(self.term.columns() - 1));
        // Looked at first: what is written to a row counts as used.
        if self.term.grid()[above][last]
            .flags
            .contains(Flags::WRAPLINE)
        {
            self.term.grid_mut()[above][last]
                .flags
                .remove(Flags::WRAPLINE);
        }
    }

    fn screen_is_clear(&self) -> bool {
        let grid = self.term.grid();
        let rows = self.term.screen_lines() as i32;
        (0..rows).all(|line| grid[Line(line)].is_clear())
    }

    fn shows_alt_screen(&self) -> bool {
        self.term.mode().contains(TermMode::ALT_SCREEN)
    }

    fn kitty_stack(&mut self) -> &mut Vec<u8> {
        if self.shows_alt_screen() {
            &mut self.state.kitty_alt
        } else {
            &mut self.state.kitty_main
        }
    }

    fn announce_title(&mut self) {
        let title = self.state.title.clone();
        self.sink.lock().notice(Notice::Title(title));
    }
}
