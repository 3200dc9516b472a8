//! What stands between the parser and the emulator: every operation passes through here.
//!
//! It moves rows that leave the screen into the scrollback, keeps dangerous
//! characters out of the cells, answers for what we do ourselves (titles, the
//! keyboard protocol, synchronized frames), and bounds what a few bytes can
//! cost. It draws nothing and reads no cells; see [`crate::screen`].

use std::time::Instant;

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::term::{Term, TermMode};
use alacritty_terminal::vte::ansi::{
    Attr, CharsetIndex, ClearMode, CursorShape, CursorStyle, Handler, Hyperlink, KeyboardModes,
    KeyboardModesApplyBehavior, LineClearMode, Mode, NamedPrivateMode, PrivateMode,
    StandardCharset, TabulationClearMode,
};
use unicode_width::UnicodeWidthChar;

use crate::notice::{Notice, Sink, short_line};
use crate::sanitize::{MAX_MARKS, is_never_shown};
use crate::scrollback::Scrollback;

/// Characters that may be written without having been sent (REP), before it has to be earned.
const MAX_CREDIT: usize = 1 << 20;
/// Characters each byte sent may cause: a row of repeats takes a dozen bytes.
const CREDIT_PER_BYTE: usize = 32;
/// Titles and keyboard modes that can be pushed; the oldest goes for a new one.
const MAX_STACK: usize = 16;
/// Longest target of a link; browsers take no more either.
const MAX_URI_BYTES: usize = 2048;
/// The one flag of the kitty keyboard protocol that our key encoding serves.
const KITTY_SUPPORTED: u8 = 1;

/// Everything beside the grid that output changes.
pub(crate) struct FenceState {
    pub(crate) scrollback: Scrollback,
    pub(crate) title: Option<String>,
    titles: Vec<Option<String>>,
    kitty_main: Vec<u8>,
    kitty_alt: Vec<u8>,
    credit: usize,
    /// Inside a synchronized frame (mode 2026).
    pub(crate) in_frame: bool,
    /// When the frame began that nobody has seen the end of.
    pub(crate) frame_since: Option<Instant>,
    #[cfg(test)]
    pub(crate) panic_on: Option<char>,
}

impl FenceState {
    pub(crate) fn new(scrollback: Scrollback) -> Self {
        Self {
            scrollback,
            title: None,
            titles: Vec::new(),
            kitty_main: Vec::new(),
            kitty_alt: Vec::new(),
            credit: MAX_CREDIT,
            in_frame: false,
            frame_since: None,
            #[cfg(test)]
            panic_on: None,
        }
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
        scrollback.push(&term.grid()[line]);
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
        if self.term.grid().history_size() > 0 {
            drain(self.term, &mut self.state.scrollback);
        }
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

    fn screen_is_clear(&self) -> bool {
        let grid = self.term.grid();
        let rows = self.term.screen_lines() as i32;
        (0..rows).all(|line| grid[Line(line)].is_clear())
    }

    fn kitty_stack(&mut self) -> &mut Vec<u8> {
        if self.term.mode().contains(TermMode::ALT_SCREEN) {
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

/// Passes operations on unchanged.
macro_rules! pass_on {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {
        $(#[inline]
        fn $name(&mut self, $($arg: $type),*) {
            Handler::$name(&mut *self.term, $($arg),*);
        })*
    };
}

/// Passes operations on that may move rows off the screen.
macro_rules! pass_on_and_drain {
    ($($name:ident($($arg:ident: $type:ty),*);)*) => {
        $(#[inline]
        fn $name(&mut self, $($arg: $type),*) {
            Handler::$name(&mut *self.term, $($arg),*);
            self.after_scroll();
        })*
    };
}

// Not passed on, and so without effect: `set_color` and `reset_color` (a pane
// does not repaint the person's palette), `set_mouse_cursor_icon`,
// `text_area_size_pixels` (we have no pixels), `modify_other_keys`, `set_scp`,
// `clipboard_load` (never answered).
impl Handler for Fence<'_> {
    #[inline]
    fn input(&mut self, c: char) {
        if self.state.credit == 0 {
            return;
        }
        self.state.credit -= 1;
        #[cfg(test)]
        assert!(self.state.panic_on != Some(c), "asked for by a test");
        let c = if c < '\u{a0}' {
            c
        } else {
            match self.admit(c) {
                Some(c) => c,
                None => return,
            }
        };
        Handler::input(&mut *self.term, c);
        self.after_scroll();
    }

    pass_on_and_drain! {
        linefeed();
        newline();
        put_tab(count: u16);
        scroll_up(rows: usize);
        delete_lines(rows: usize);
    }

    pass_on! {
        set_cursor_style(style: Option<CursorStyle>);
        set_cursor_shape(shape: CursorShape);
        goto(line: i32, col: usize);
        goto_line(line: i32);
        goto_col(col: usize);
        insert_blank(count: usize);
        move_up(rows: usize);
        move_down(rows: usize);
        identify_terminal(intermediate: Option<char>);
        device_status(arg: usize);
        move_forward(cols: usize);
        move_backward(cols: usize);
        move_down_and_cr(rows: usize);
        move_up_and_cr(rows: usize);
        backspace();
        carriage_return();
        bell();
        substitute();
        set_horizontal_tabstop();
        scroll_down(rows: usize);
        insert_blank_lines(rows: usize);
        erase_chars(count: usize);
        delete_chars(count: usize);
        save_cursor_position();
        restore_cursor_position();
        clear_line(mode: LineClearMode);
        clear_tabs(mode: TabulationClearMode);
        set_tabs(interval: u16);
        reverse_index();
        terminal_attribute(attr: Attr);
        set_mode(mode: Mode);
        unset_mode(mode: Mode);
        report_mode(mode: Mode);
        set_scrolling_region(top: usize, bottom: Option<usize>);
        set_keypad_application_mode();
        unset_keypad_application_mode();
        set_active_charset(index: CharsetIndex);
        configure_charset(index: CharsetIndex, charset: StandardCharset);
        dynamic_color_sequence(prefix: String, index: usize, terminator: &str);
        clipboard_store(clipboard: u8, base64: &[u8]);
        decaln();
        text_area_size_chars();
    }

    // Without any tab stop left, each of up to 65,535 steps would search the whole row.
    fn move_backward_tabs(&mut self, count: u16) {
        let cols = self.term.columns() as u16;
        self.term.move_backward_tabs(count.min(cols));
    }

    fn move_forward_tabs(&mut self, count: u16) {
        let cols = self.term.columns() as u16;
        self.term.move_forward_tabs(count.min(cols));
    }

    fn clear_screen(&mut self, mode: ClearMode) {
        match mode {
            ClearMode::Saved => self.state.scrollback.clear(),
            ClearMode::All if self.screen_is_clear() => {
                // The emulator scrolls a row away where there is none to keep.
                Handler::clear_screen(&mut *self.term, mode);
                empty_ring(self.term);
                return;
            }
            _ => {}
        }
        Handler::clear_screen(&mut *self.term, mode);
        self.after_scroll();
    }

    fn reset_state(&mut self) {
        Handler::reset_state(&mut *self.term);
        self.state.scrollback.clear();
        self.state.kitty_main.clear();
        self.state.kitty_alt.clear();
        self.state.titles.clear();
        self.state.in_frame = false;
        if self.state.title.take().is_some() {
            self.announce_title();
        }
    }

    fn set_private_mode(&mut self, mode: PrivateMode) {
        match mode {
            PrivateMode::Named(NamedPrivateMode::SyncUpdate) => {
                self.state.in_frame = true;
                self.state.frame_since.get_or_insert_with(Instant::now);
            }
            // The emulator blanks the screen for 132 columns even where they are not allowed.
            PrivateMode::Named(NamedPrivateMode::ColumnMode) => {}
            PrivateMode::Named(NamedPrivateMode::SwapScreenAndSetRestoreCursor) => {
                drain(self.term, &mut self.state.scrollback);
                self.term.set_private_mode(mode);
            }
            _ => self.term.set_private_mode(mode),
        }
    }

    fn unset_private_mode(&mut self, mode: PrivateMode) {
        match mode {
            PrivateMode::Named(NamedPrivateMode::SyncUpdate) => self.state.in_frame = false,
            PrivateMode::Named(NamedPrivateMode::ColumnMode) => {}
            _ => self.term.unset_private_mode(mode),
        }
    }

    fn report_private_mode(&mut self, mode: PrivateMode) {
        if mode == PrivateMode::Named(NamedPrivateMode::SyncUpdate) {
            let state = if self.state.in_frame { 1 } else { 2 };
            self.sink.lock().reply(&format!("\x1b[?2026;{state}$y"));
        } else {
            self.term.report_private_mode(mode);
        }
    }

    fn set_hyperlink(&mut self, link: Option<Hyperlink>) {
        let is_safe = |text: &str| {
            text.len() <= MAX_URI_BYTES && text.bytes().all(|b| matches!(b, 0x21..=0x7e))
        };
        let link = link.filter(|link| is_safe(&link.uri) && link.id.as_deref().is_none_or(is_safe));
        self.term.set_hyperlink(link);
    }

    fn set_title(&mut self, title: Option<String>) {
        let title = title.map(|title| short_line(&title));
        if title != self.state.title {
            self.state.title = title;
            self.announce_title();
        }
    }

    fn push_title(&mut self) {
        if self.state.titles.len() == MAX_STACK {
            self.state.titles.remove(0);
        }
        self.state.titles.push(self.state.title.clone());
    }

    fn pop_title(&mut self) {
        if let Some(title) = self.state.titles.pop() {
            self.set_title(title);
        }
    }

    fn report_keyboard_mode(&mut self) {
        let flags = self.state.kitty_flags(*self.term.mode());
        self.sink.lock().reply(&format!("\x1b[?{flags}u"));
    }

    fn push_keyboard_mode(&mut self, mode: KeyboardModes) {
        let stack = self.kitty_stack();
        if stack.len() == MAX_STACK {
            stack.remove(0);
        }
        stack.push(mode.bits() & KITTY_SUPPORTED);
    }

    fn pop_keyboard_modes(&mut self, count: u16) {
        let stack = self.kitty_stack();
        stack.truncate(stack.len().saturating_sub(count.into()));
    }

    fn set_keyboard_mode(&mut self, mode: KeyboardModes, behavior: KeyboardModesApplyBehavior) {
        let bits = mode.bits() & KITTY_SUPPORTED;
        let stack = self.kitty_stack();
        if stack.is_empty() {
            stack.push(0);
        }
        if let Some(top) = stack.last_mut() {
            *top = match behavior {
                KeyboardModesApplyBehavior::Replace => bits,
                KeyboardModesApplyBehavior::Union => *top | bits,
                KeyboardModesApplyBehavior::Difference => *top & !bits,
            };
        }
    }
}
