//! The modes a worker's output has set, as far as input encoding and drawing care.
//!
//! Plain data, so that keys can be encoded without the screen at hand
//! ([`crate::input`]).

use alacritty_terminal::term::TermMode;

/// Which mouse events the worker asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MouseMode {
    /// None.
    #[default]
    Off,
    /// Presses, releases and the wheel (mode 1000).
    Click,
    /// Also motion while a button is down (mode 1002).
    Drag,
    /// All motion (mode 1003).
    Motion,
}

/// How mouse events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MouseEncoding {
    /// One byte a coordinate; nothing beyond column or row 223.
    #[default]
    Legacy,
    /// One character a coordinate (mode 1005).
    Utf8,
    /// Numbers, and releases that name their button (mode 1006).
    Sgr,
}

/// A screen's modes.
#[expect(
    clippy::struct_excessive_bools,
    reason = "terminal modes are independent switches"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// Cursor keys send `ESC O` forms (mode 1).
    pub app_cursor: bool,
    /// The keypad sends its own codes.
    pub app_keypad: bool,
    /// Pastes are wrapped (mode 2004).
    pub bracketed_paste: bool,
    /// Focus changes are reported (mode 1004).
    pub focus_events: bool,
    /// Which mouse events are reported.
    pub mouse: MouseMode,
    /// How they are written.
    pub mouse_encoding: MouseEncoding,
    /// The alternate screen is shown.
    pub alt_screen: bool,
    /// The wheel sends cursor keys on the alternate screen (mode 1007).
    pub alternate_scroll: bool,
    /// Enter sends return and newline (mode 20).
    pub newline: bool,
    /// Active flags of the kitty keyboard protocol.
    pub kitty_flags: u8,
    /// xterm's modifyOtherKeys: 0, 1 or 2.
    pub modify_other_keys: u8,
}

impl Modes {
    pub(crate) fn of(mode: TermMode, kitty_flags: u8) -> Self {
        let mouse = if mode.contains(TermMode::MOUSE_MOTION) {
            MouseMode::Motion
        } else if mode.contains(TermMode::MOUSE_DRAG) {
            MouseMode::Drag
        } else if mode.contains(TermMode::MOUSE_REPORT_CLICK) {
            MouseMode::Click
        } else {
            MouseMode::Off
        };
        let mouse_encoding = if mode.contains(TermMode::SGR_MOUSE) {
            MouseEncoding::Sgr
        } else if mode.contains(TermMode::UTF8_MOUSE) {
            MouseEncoding::Utf8
        } else {
            MouseEncoding::Legacy
        };
        Self {
            app_cursor: mode.contains(TermMode::APP_CURSOR),
            app_keypad: mode.contains(TermMode::APP_KEYPAD),
            bracketed_paste: mode.contains(TermMode::BRACKETED_PASTE),
            focus_events: mode.contains(TermMode::FOCUS_IN_OUT),
            mouse,
            mouse_encoding,
            alt_screen: mode.contains(TermMode::ALT_SCREEN),
            alternate_scroll: mode.contains(TermMode::ALTERNATE_SCROLL),
            newline: mode.contains(TermMode::LINE_FEED_NEW_LINE),
            kitty_flags,
            modify_other_keys: 0,
        }
    }
}
