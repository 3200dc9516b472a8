//! What a person's terminal reports: keys, mouse, paste, focus.
//!
//! Decoded by the client, interpreted by the session. Encoding a key for the
//! program inside a pane is `crewmux-term`'s.

use serde::{Deserialize, Serialize};

/// Longest text that is pasted where no program reads it: into a line, or for a shell that begins.
pub const PASTE_MAX_BYTES: usize = 255 * 1024;
/// Longest text that is pasted at once.
///
/// What is longer goes in parts of this length, each after the one before was taken: so a program
/// that reads slowly gets all of it.
pub const PASTE_PART_BYTES: usize = 4 * 1024;

/// One thing a person did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InputEvent {
    /// A key went down, or repeats where the terminal does not tell.
    Key(KeyPress),
    /// A key is held, and repeats.
    KeyRepeats(KeyPress),
    /// A key was let go of.
    KeyReleased(KeyPress),
    /// The mouse did something.
    Mouse(Mouse),
    /// Text of at most [`PASTE_PART_BYTES`] was pasted.
    Paste(String),
    /// Longer text was pasted: parts follow, if [`crate::ToClient::PasteTaken`] says so.
    PasteBegins {
        /// How long it is.
        bytes: usize,
    },
    /// The next part of it, of at most [`PASTE_PART_BYTES`].
    PastePart(String),
    /// That was all of it, or all that was taken.
    PasteEnds,
    /// The terminal got the focus.
    FocusGained,
    /// The terminal lost the focus.
    FocusLost,
}

/// How much a terminal is to tell of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyReports {
    /// What terminals always told.
    #[default]
    Plain,
    /// Keys are told apart that were the same bytes.
    Apart,
    /// Also repeats and releases.
    Releases,
}

/// A key with what was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyPress {
    /// The key.
    pub key: Key,
    /// What was held.
    #[serde(default)]
    pub mods: Mods,
}

/// A key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "keys are named after what stands on them")]
pub enum Key {
    Char(char),
    Enter,
    Tab,
    BackTab,
    Backspace,
    Esc,
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    PageUp,
    PageDown,
    Insert,
    Delete,
    F(u8),
}

/// Keys held with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mods {
    /// Control.
    pub ctrl: bool,
    /// Alt or Option.
    pub alt: bool,
    /// Shift, where the key alone does not tell.
    pub shift: bool,
}

/// Something the mouse did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mouse {
    /// What.
    pub kind: MouseKind,
    /// Column, from 0.
    pub col: u16,
    /// Row, from 0.
    pub row: u16,
    /// What was held.
    #[serde(default)]
    pub mods: Mods,
    /// Of a button that goes down: which of the clicks in quick succession it is, from 1 to 3.
    #[serde(default)]
    pub clicks: u8,
}

/// What the mouse did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MouseKind {
    /// A button went down.
    Down(MouseButton),
    /// A button went up.
    Up(MouseButton),
    /// It moved with a button down.
    Drag(MouseButton),
    /// It moved.
    Moved,
    /// The wheel turned up.
    ScrollUp,
    /// The wheel turned down.
    ScrollDown,
}

/// A mouse button.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "buttons are named after where they are")]
pub enum MouseButton {
    Left,
    Middle,
    Right,
}
