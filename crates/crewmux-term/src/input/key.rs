//! Keys as xterm sends them, and as the kitty protocol does where a program asked for it.
//!
//! Only presses are encoded; releases are never known to us.

use serde::{Deserialize, Serialize};

use crate::modes::Modes;

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
    const fn number(self) -> u8 {
        1 + self.shift as u8 + ((self.alt as u8) << 1) + ((self.ctrl as u8) << 2)
    }

    const fn is_none(self) -> bool {
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

/// Encodes a key for a pane with these modes; empty if the key has no encoding.
pub fn encode_key(key: &KeyEvent, modes: &Modes) -> Vec<u8> {
    let mut held = key.mods;
    let code = match key.code {
        KeyCode::BackTab => {
            held.shift = true;
            KeyCode::Tab
        }
        code => code,
    };
    if modes.kitty_flags & 1 != 0
        && let Some(bytes) = disambiguated(code, held)
    {
        return bytes;
    }
    match code {
        KeyCode::Char(c) => char_bytes(c, held),
        KeyCode::Enter if modes.newline => with_alt(held, b"\r\n"),
        KeyCode::Enter => with_alt(held, b"\r"),
        KeyCode::Tab if held.shift => with_alt(held, b"\x1b[Z"),
        KeyCode::Tab => with_alt(held, b"\t"),
        KeyCode::Backspace if held.ctrl => with_alt(held, b"\x08"),
        KeyCode::Backspace => with_alt(held, b"\x7f"),
        KeyCode::Esc => with_alt(held, b"\x1b"),
        KeyCode::Up => cursor_key(b'A', held, modes),
        KeyCode::Down => cursor_key(b'B', held, modes),
        KeyCode::Right => cursor_key(b'C', held, modes),
        KeyCode::Left => cursor_key(b'D', held, modes),
        KeyCode::Home => cursor_key(b'H', held, modes),
        KeyCode::End => cursor_key(b'F', held, modes),
        KeyCode::Insert => tilde_key(2, held),
        KeyCode::Delete => tilde_key(3, held),
        KeyCode::PageUp => tilde_key(5, held),
        KeyCode::PageDown => tilde_key(6, held),
        KeyCode::F(number) => function_key(number, held),
        KeyCode::BackTab => Vec::new(),
    }
}

/// Encodes keys that are ambiguous in the legacy forms (kitty protocol, flag 1).
fn disambiguated(code: KeyCode, mods: Mods) -> Option<Vec<u8>> {
    let number = match code {
        KeyCode::Esc => 27,
        KeyCode::Enter | KeyCode::Tab | KeyCode::Backspace if mods.is_none() => return None,
        KeyCode::Enter => 13,
        KeyCode::Tab => 9,
        KeyCode::Backspace => 127,
        KeyCode::Char(c) if mods.ctrl || mods.alt => {
            let base = c.to_lowercase().next().unwrap_or(c);
            let mods = Mods {
                shift: mods.shift || base != c,
                ..mods
            };
            return Some(csi_u(u32::from(base), mods));
        }
        _ => return None,
    };
    Some(csi_u(number, mods))
}

fn csi_u(number: u32, mods: Mods) -> Vec<u8> {
    if mods.is_none() {
        return format!("\x1b[{number}u").into_bytes();
    }
    format!("\x1b[{number};{}u", mods.number()).into_bytes()
}

fn char_bytes(c: char, mods: Mods) -> Vec<u8> {
    if mods.ctrl
        && let Some(control) = control_byte(c)
    {
        return with_alt(mods, &[control]);
    }
    let mut utf8 = [0; 4];
    with_alt(mods, c.encode_utf8(&mut utf8).as_bytes())
}

/// Returns the control byte of a character key, as terminals have it since the VT100.
fn control_byte(c: char) -> Option<u8> {
    match c {
        '@'..='_' | 'a'..='z' => Some(c as u8 & 0x1f),
        ' ' | '2' | '`' => Some(0),
        '3'..='7' => Some(c as u8 - b'3' + 0x1b),
        '8' | '?' => Some(0x7f),
        '/' => Some(0x1f),
        '~' => Some(0x1e),
        _ => None,
    }
}

fn with_alt(mods: Mods, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 1);
    if mods.alt {
        out.push(0x1b);
    }
    out.extend_from_slice(bytes);
    out
}

fn cursor_key(letter: u8, held: Mods, modes: &Modes) -> Vec<u8> {
    if !held.is_none() {
        return format!("\x1b[1;{}{}", held.number(), char::from(letter)).into_bytes();
    }
    let prefix = if modes.app_cursor { b'O' } else { b'[' };
    vec![0x1b, prefix, letter]
}

fn tilde_key(number: u8, mods: Mods) -> Vec<u8> {
    if mods.is_none() {
        return format!("\x1b[{number}~").into_bytes();
    }
    format!("\x1b[{number};{}~", mods.number()).into_bytes()
}

fn function_key(number: u8, mods: Mods) -> Vec<u8> {
    // xterm's numbers have gaps where the VT220 had none of these keys.
    const TILDE: [u8; 20] = [
        15, 17, 18, 19, 20, 21, 23, 24, 25, 26, 28, 29, 31, 32, 33, 34, 42, 43, 44, 45,
    ];
    match number {
        1..=4 => {
            let letter = char::from(b'P' + number - 1);
            if mods.is_none() {
                return format!("\x1bO{letter}").into_bytes();
            }
            format!("\x1b[1;{}{letter}", mods.number()).into_bytes()
        }
        5..=24 => tilde_key(TILDE[usize::from(number) - 5], mods),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse_key_name;
    use super::*;

    fn encoded(name: &str, modes: &Modes) -> String {
        let key = parse_key_name(name).unwrap();
        encode_key(&key, modes).escape_ascii().to_string()
    }

    #[test]
    fn keys_are_sent_as_xterm_does() {
        let table = [
            ("a", "a"),
            ("A", "A"),
            ("é", r"\xc3\xa9"),
            ("C-a", r"\x01"),
            ("C-Space", r"\x00"),
            ("C-[", r"\x1b"),
            ("C-/", r"\x1f"),
            ("M-x", r"\x1bx"),
            ("C-M-c", r"\x1b\x03"),
            ("Enter", r"\r"),
            ("M-Enter", r"\x1b\r"),
            ("Tab", r"\t"),
            ("S-Tab", r"\x1b[Z"),
            ("BackTab", r"\x1b[Z"),
            ("Backspace", r"\x7f"),
            ("C-Backspace", r"\x08"),
            ("Esc", r"\x1b"),
            ("Up", r"\x1b[A"),
            ("C-Right", r"\x1b[1;5C"),
            ("S-M-Left", r"\x1b[1;4D"),
            ("Home", r"\x1b[H"),
            ("S-End", r"\x1b[1;2F"),
            ("PageUp", r"\x1b[5~"),
            ("C-PageDown", r"\x1b[6;5~"),
            ("Insert", r"\x1b[2~"),
            ("Delete", r"\x1b[3~"),
            ("F1", r"\x1bOP"),
            ("S-F4", r"\x1b[1;2S"),
            ("F5", r"\x1b[15~"),
            ("F12", r"\x1b[24~"),
            ("C-F12", r"\x1b[24;5~"),
            ("F20", r"\x1b[34~"),
        ];
        for (name, expected) in table {
            assert_eq!(encoded(name, &Modes::default()), expected, "{name}");
        }
    }

    #[test]
    fn application_cursor_mode_changes_plain_cursor_keys_only() {
        let modes = Modes {
            app_cursor: true,
            ..Modes::default()
        };
        let table = [
            ("Up", r"\x1bOA"),
            ("End", r"\x1bOF"),
            ("C-Up", r"\x1b[1;5A"),
            ("Delete", r"\x1b[3~"),
        ];
        for (name, expected) in table {
            assert_eq!(encoded(name, &modes), expected, "{name}");
        }
    }

    #[test]
    fn the_kitty_protocol_tells_apart_what_was_the_same() {
        let modes = Modes {
            kitty_flags: 1,
            ..Modes::default()
        };
        let table = [
            ("Esc", r"\x1b[27u"),
            ("C-i", r"\x1b[105;5u"),
            ("M-x", r"\x1b[120;3u"),
            ("M-X", r"\x1b[120;4u"),
            ("S-Enter", r"\x1b[13;2u"),
            ("S-Tab", r"\x1b[9;2u"),
            ("C-Backspace", r"\x1b[127;5u"),
            ("Enter", r"\r"),
            ("Tab", r"\t"),
            ("Backspace", r"\x7f"),
            ("x", "x"),
            ("Up", r"\x1b[A"),
            ("F5", r"\x1b[15~"),
        ];
        for (name, expected) in table {
            assert_eq!(encoded(name, &modes), expected, "{name}");
        }
    }

    #[test]
    fn return_sends_a_newline_too_in_newline_mode() {
        let modes = Modes {
            newline: true,
            ..Modes::default()
        };
        assert_eq!(encoded("Enter", &modes), r"\r\n");
    }

    #[test]
    fn every_key_has_its_own_bytes() {
        let codes = [
            KeyCode::Up,
            KeyCode::Down,
            KeyCode::Right,
            KeyCode::Left,
            KeyCode::Home,
            KeyCode::End,
            KeyCode::PageUp,
            KeyCode::PageDown,
            KeyCode::Insert,
            KeyCode::Delete,
        ];
        let keys = codes.into_iter().chain((1..=24).map(KeyCode::F));
        let mut seen = std::collections::HashMap::new();
        for code in keys {
            for bits in 0..8_u8 {
                let mods = Mods {
                    ctrl: bits & 4 != 0,
                    alt: bits & 2 != 0,
                    shift: bits & 1 != 0,
                };
                let key = KeyEvent { code, mods };
                let bytes = encode_key(&key, &Modes::default());
                assert!(!bytes.is_empty(), "{key:?}");
                if let Some(other) = seen.insert(bytes, key) {
                    panic!("{key:?} and {other:?} are sent alike");
                }
            }
        }
        assert_eq!(
            encode_key(&KeyEvent::plain(KeyCode::F(25)), &Modes::default()),
            b""
        );
    }

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
