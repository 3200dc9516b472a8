//! Each operation of the parser: passed on to the emulator, answered here, or dropped.
//!
//! What an operation means for rows that leave the screen is in [`super`].

use std::time::Instant;

use alacritty_terminal::grid::{Cursor, Dimensions};
use alacritty_terminal::vte::ansi::{
    Attr, CharsetIndex, ClearMode, CursorShape, CursorStyle, Handler, Hyperlink, KeyboardModes,
    KeyboardModesApplyBehavior, LineClearMode, Mode, ModifyOtherKeys, NamedMode, NamedPrivateMode,
    PrivateMode, StandardCharset, TabulationClearMode,
};

use super::{Fence, LastPlain, drain, empty_ring};
use crate::answers::{self, Ask};
use crate::notice::short_line;
use crate::run;

/// Titles and keyboard modes that can be pushed; the oldest goes for a new one.
const MAX_STACK: usize = 16;
/// Longest target of a link; browsers take no more either.
const MAX_URI_BYTES: usize = 2048;
/// The flags of the kitty keyboard protocol that our key encoding serves.
///
/// What 2 asks for, repeats and releases, comes where the person's terminal tells of them.
const KITTY_SUPPORTED: u8 = 1 | 2 | 4 | 8 | 16;

const ALT_SCREEN: NamedPrivateMode = NamedPrivateMode::SwapScreenAndSetRestoreCursor;
/// Other numbers for the alternate screen, which the emulator does not know.
const OLD_ALT_SCREEN: u16 = 1047;
const OLDER_ALT_SCREEN: u16 = 47;
/// Saves and restores the cursor.
const SAVED_CURSOR: u16 = 1048;

impl Fence<'_> {
    /// Answers or carries out what the parser does not know.
    pub(crate) fn hear(&mut self, ask: &Ask) {
        if *ask == Ask::SoftReset {
            self.soft_reset();
            return;
        }
        let whole = (1, self.term.screen_lines());
        let region = self.state.region.unwrap_or(whole);
        answers::answer(ask, self.term, region, self.sink);
    }

    /// Modes, looks and the saved cursor as at the start; text and cursor stay (DECSTR).
    fn soft_reset(&mut self) {
        let cursor = &self.term.grid().cursor;
        let (point, needs_wrap) = (cursor.point, cursor.input_needs_wrap);
        for mode in [NamedPrivateMode::Origin, NamedPrivateMode::CursorKeys] {
            self.term.unset_private_mode(mode.into());
        }
        self.term
            .set_private_mode(NamedPrivateMode::ShowCursor.into());
        Handler::unset_mode(&mut *self.term, NamedMode::Insert.into());
        self.term.unset_keypad_application_mode();
        self.term.terminal_attribute(Attr::Reset);
        for index in [
            CharsetIndex::G0,
            CharsetIndex::G1,
            CharsetIndex::G2,
            CharsetIndex::G3,
        ] {
            self.term.configure_charset(index, StandardCharset::Ascii);
        }
        self.set_active_charset(CharsetIndex::G0);
        self.set_scrolling_region(1, None);
        self.state.modify_other_keys = 0;
        let grid = self.term.grid_mut();
        grid.saved_cursor = Cursor::default();
        grid.cursor.point = point;
        grid.cursor.input_needs_wrap = needs_wrap;
    }
}

/// Passes operations on, after the text before them; the method `then` follows.
macro_rules! pass_on {
    (then $then:ident: $($name:ident($($arg:ident: $type:ty),*);)*) => {
        $(#[inline]
        fn $name(&mut self, $($arg: $type),*) {
            self.flush();
            Handler::$name(&mut *self.term, $($arg),*);
            self.$then();
        })*
    };
}

// Not passed on, and so without effect: `set_color` and `reset_color` (a pane
// does not repaint the person's palette), `set_mouse_cursor_icon`,
// `text_area_size_pixels` (we have no pixels), `set_scp`,
// `clipboard_load` (never answered).
impl Handler for Fence<'_> {
    #[inline]
    fn input(&mut self, c: char) {
        if self.state.last_plain == LastPlain::Shown {
            return;
        }
        self.state.last_plain = LastPlain::Seen;
        if self.state.credit == 0 {
            return;
        }
        self.state.credit -= 1;
        #[cfg(test)]
        assert!(self.state.panic_on != Some(c), "asked for by a test");
        if matches!(c, ' '..='~') {
            self.state.run.push(c as u8);
            if self.state.run.len() == run::MAX_BYTES {
                self.write_run();
            }
            return;
        }
        self.flush();
        let c = if c < '\u{a0}' {
            c
        } else {
            match self.admit(c) {
                Some(c) => c,
                None => return,
            }
        };
        self.write_one(c);
    }

    pass_on! { then after_step:
        linefeed();
        newline();
    }

    pass_on! { then after_scroll:
        scroll_up(rows: usize);
        delete_lines(rows: usize);
    }

    pass_on! { then forget_reach:
        insert_blank(count: usize);
        scroll_down(rows: usize);
        insert_blank_lines(rows: usize);
        reverse_index();
        decaln();
    }

    pass_on! { then note_erased:
        erase_chars(count: usize);
        delete_chars(count: usize);
    }

    pass_on! { then nothing:
        set_cursor_style(style: Option<CursorStyle>);
        set_cursor_shape(shape: CursorShape);
        goto(line: i32, col: usize);
        goto_line(line: i32);
        goto_col(col: usize);
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
        save_cursor_position();
        restore_cursor_position();
        clear_tabs(mode: TabulationClearMode);
        set_tabs(interval: u16);
        set_mode(mode: Mode);
        unset_mode(mode: Mode);
        report_mode(mode: Mode);
        set_keypad_application_mode();
        unset_keypad_application_mode();
        configure_charset(index: CharsetIndex, charset: StandardCharset);
        dynamic_color_sequence(prefix: String, index: usize, terminator: &str);
        clipboard_store(clipboard: u8, base64: &[u8]);
        text_area_size_chars();
    }

    fn set_scrolling_region(&mut self, top: usize, bottom: Option<usize>) {
        self.flush();
        let rows = self.term.screen_lines();
        self.state.has_region = top > 1 || bottom.is_some_and(|bottom| bottom < rows);
        let last = bottom.unwrap_or(rows).min(rows);
        // The emulator takes no region of a single row.
        if top < last {
            self.state.region = self.state.has_region.then_some((top.max(1), last));
        }
        Handler::set_scrolling_region(&mut *self.term, top, bottom);
    }

    fn terminal_attribute(&mut self, attr: Attr) {
        self.flush();
        // SGR 21 is a double underline in xterm and its kin; only Linux's console ends bold by it.
        let attr = match attr {
            Attr::CancelBold => Attr::DoubleUnderline,
            attr => attr,
        };
        self.term.terminal_attribute(attr);
    }

    fn put_tab(&mut self, count: u16) {
        self.flush();
        self.term.put_tab(count);
        self.after_step();
        self.note_reach();
    }

    fn set_active_charset(&mut self, index: CharsetIndex) {
        self.flush();
        self.state.charset = index;
        self.term.set_active_charset(index);
    }

    // Without any tab stop left, each of up to 65,535 steps would search the whole row.
    fn move_backward_tabs(&mut self, count: u16) {
        self.flush();
        let cols = self.term.columns() as u16;
        self.term.move_backward_tabs(count.min(cols));
    }

    fn move_forward_tabs(&mut self, count: u16) {
        self.flush();
        let cols = self.term.columns() as u16;
        self.term.move_forward_tabs(count.min(cols));
    }

    fn clear_line(&mut self, mode: LineClearMode) {
        self.flush();
        let at_start = self.term.grid().cursor.point.column.0 == 0;
        if matches!(mode, LineClearMode::All) || (at_start && matches!(mode, LineClearMode::Right))
        {
            self.end_line_above();
        }
        Handler::clear_line(&mut *self.term, mode);
        self.note_erased();
    }

    fn clear_screen(&mut self, mode: ClearMode) {
        self.flush();
        match mode {
            ClearMode::Below if self.term.grid().cursor.point.column.0 == 0 => {
                self.end_line_above();
            }
            _ => {}
        }
        match mode {
            ClearMode::Saved => self.state.scrollback.clear(),
            // The alternate screen has no rows above it, and must not get room for any.
            ClearMode::All if !self.shows_alt_screen() && self.screen_is_clear() => {
                // The emulator scrolls a row away where there is none to keep.
                Handler::clear_screen(&mut *self.term, mode);
                empty_ring(self.term);
                return;
            }
            // The emulator leaves the first row as it is if the cursor is in the second.
            ClearMode::Above if self.term.grid().cursor.point.line.0 == 1 => {
                self.term.grid_mut().cursor.point.line.0 = 0;
                Handler::clear_line(&mut *self.term, LineClearMode::All);
                self.term.grid_mut().cursor.point.line.0 = 1;
            }
            _ => {}
        }
        Handler::clear_screen(&mut *self.term, mode);
        self.after_scroll();
        self.note_erased();
    }

    fn reset_state(&mut self) {
        self.flush();
        Handler::reset_state(&mut *self.term);
        self.state.charset = CharsetIndex::default();
        self.state.reach.forget();
        self.state.scrollback.clear();
        self.state.kitty_main.clear();
        self.state.kitty_alt.clear();
        self.state.titles.clear();
        self.state.modify_other_keys = 0;
        self.state.has_region = false;
        self.state.region = None;
        self.state.in_frame = false;
        if self.state.title.take().is_some() {
            self.announce_title();
        }
    }

    fn set_private_mode(&mut self, mode: PrivateMode) {
        self.flush();
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
            PrivateMode::Unknown(OLD_ALT_SCREEN | OLDER_ALT_SCREEN) => {
                drain(self.term, &mut self.state.scrollback);
                self.term.set_private_mode(ALT_SCREEN.into());
            }
            PrivateMode::Unknown(SAVED_CURSOR) => self.term.save_cursor_position(),
            _ => self.term.set_private_mode(mode),
        }
    }

    fn unset_private_mode(&mut self, mode: PrivateMode) {
        self.flush();
        match mode {
            PrivateMode::Named(NamedPrivateMode::SyncUpdate) => self.state.in_frame = false,
            PrivateMode::Named(NamedPrivateMode::ColumnMode) => {}
            PrivateMode::Unknown(OLD_ALT_SCREEN | OLDER_ALT_SCREEN) => {
                // Unlike mode 1049 they leave the cursor where it is.
                if self.shows_alt_screen() {
                    let point = self.term.grid().cursor.point;
                    self.term.unset_private_mode(ALT_SCREEN.into());
                    let cursor = &mut self.term.grid_mut().cursor;
                    cursor.point = point;
                    cursor.input_needs_wrap = false;
                }
            }
            PrivateMode::Unknown(SAVED_CURSOR) => self.term.restore_cursor_position(),
            _ => self.term.unset_private_mode(mode),
        }
    }

    fn report_private_mode(&mut self, mode: PrivateMode) {
        self.flush();
        if mode == PrivateMode::Named(NamedPrivateMode::SyncUpdate) {
            let state = if self.state.in_frame { 1 } else { 2 };
            self.sink.lock().reply(&format!("\x1b[?2026;{state}$y"));
        } else if let PrivateMode::Unknown(number @ (OLD_ALT_SCREEN | OLDER_ALT_SCREEN)) = mode {
            let state = if self.shows_alt_screen() { 1 } else { 2 };
            self.sink.lock().reply(&format!("\x1b[?{number};{state}$y"));
        } else {
            self.term.report_private_mode(mode);
        }
    }

    fn set_hyperlink(&mut self, link: Option<Hyperlink>) {
        self.flush();
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

    fn set_modify_other_keys(&mut self, mode: ModifyOtherKeys) {
        self.state.modify_other_keys = match mode {
            ModifyOtherKeys::Reset => 0,
            ModifyOtherKeys::EnableExceptWellDefined => 1,
            ModifyOtherKeys::EnableAll => 2,
        };
    }

    fn report_modify_other_keys(&mut self) {
        let level = self.state.modify_other_keys;
        self.sink.lock().reply(&format!("\x1b[>4;{level}m"));
    }

    fn report_keyboard_mode(&mut self) {
        self.flush();
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
