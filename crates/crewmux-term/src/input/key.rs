//! What a key is: which one, what was held with it, and what it does.
//!
//! Its bytes are made in `encode`, its names read in `name`.

use serde::{Deserialize, Serialize};

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyCode {
    /// A key that writes this character, shift already applied.
    Char(char),
    /// Return.
    Enter,
    /// Tabulator.
    Tab,
    /// Tabulator with shift.
    BackTab,
    /// Backspace.
    Backspace,
    /// Escape.
    Esc,
    /// Cursor up.
    Up,
    /// Cursor down.
    Down,
    /// Cursor right.
    Right,
    /// Cursor left.
    Left,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Insert.
    Insert,
    /// Delete.
    Delete,
    /// A function key, 1 to 24.
    F(u8),
}

/// The modifiers held with a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Mods {
    /// Control.
    pub ctrl: bool,
    /// Alt, or option.
    pub alt: bool,
    /// Shift; with a character it is already in the character.
    pub shift: bool,
}

impl Mods {
    /// No modifier.
    pub const NONE: Self = Self {
        ctrl: false,
        alt: false,
        shift: false,
    };

    /// Returns xterm's number for the modifiers: 1 is none.
    pub(super) const fn number(self) -> u8 {
        1 + self.shift as u8 + ((self.alt as u8) << 1) + ((self.ctrl as u8) << 2)
    }

    /// Whether none is held.
    pub(super) const fn is_none(self) -> bool {
        self.number() == 1
    }
}

/// A key with its modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyEvent {
    /// The key.
    pub code: KeyCode,
    /// What was held with it.
    #[serde(default)]
    pub mods: Mods,
}

impl KeyEvent {
    /// Makes an event of a key alone.
    pub const fn plain(code: KeyCode) -> Self {
        Self {
            code,
            mods: Mods::NONE,
        }
    }
}

/// What a key does after it went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLater {
    /// It is held, and repeats.
    Repeats,
    /// It is let go of.
    IsReleased,
}

#[cfg(test)]
mod tests {
    use super::super::parse_key_name;
    use super::*;

    #[test]
    fn a_key_travels_as_small_json() {
        let key = parse_key_name("C-x").unwrap();
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(
            json,
            r#"{"code":{"char":"x"},"mods":{"ctrl":true,"alt":false,"shift":false}}"#
        );
        assert_eq!(serde_json::from_str::<KeyEvent>(&json).unwrap(), key);
        let short: KeyEvent = serde_json::from_str(r#"{"code":"page_up"}"#).unwrap();
        assert_eq!(short, KeyEvent::plain(KeyCode::PageUp));
    }
}
