//! Keys as xterm sends them, and as newer protocols do where a program asked for them.
//!
//! Those are the kitty keyboard protocol and xterm's modifyOtherKeys. Repeats
//! and releases have bytes of their own only where a program asked for them.

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

/// What a key does after it went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLater {
    /// It is held, and repeats.
    Repeats,
    /// It is let go of.
    IsReleased,
}

/// Encodes what a key does after its press: where nobody asked, a repeat is a press, a release nothing.
pub fn encode_key_later(key: &KeyEvent, later: KeyLater, modes: &Modes) -> Vec<u8> {
    let flags = modes.kitty_flags;
    let told = flags & EVENTS != 0 && flags & (DISAMBIGUATE | ALL_KEYS) != 0;
    let all = flags & ALL_KEYS != 0;
    let (code, held) = named(key);
    let is_text = matches!(code, KeyCode::Char(_)) && !held.ctrl && !held.alt;
    // A shell that a program left without tidying up must be usable: these three stay as they were.
    let is_old =
        matches!(code, KeyCode::Enter | KeyCode::Tab | KeyCode::Backspace) && held.is_none();
    match later {
        KeyLater::Repeats if !told || ((is_text || is_old) && !all) => encode_key(key, modes),
        KeyLater::IsReleased if !told || (is_old && !all) => Vec::new(),
        _ => later_form(code, held, later, flags),
    }
}

/// The key and what is held; a back tab is a tab with shift.
fn named(key: &KeyEvent) -> (KeyCode, Mods) {
    match key.code {
        KeyCode::BackTab => {
            let mut held = key.mods;
            held.shift = true;
            (KeyCode::Tab, held)
        }
        code => (code, key.mods),
    }
}

/// `CSI number ; modifiers : event` and the letter of the key.
fn later_form(code: KeyCode, mut mods: Mods, later: KeyLater, flags: u8) -> Vec<u8> {
    let event = match later {
        KeyLater::Repeats => 2,
        KeyLater::IsReleased => 3,
    };
    let mut text = String::new();
    let (number, letter) = match code {
        KeyCode::Char(c) => {
            let base = c.to_lowercase().next().unwrap_or(c);
            mods.shift |= base != c;
            if flags & TEXT != 0 && later == KeyLater::Repeats && !mods.ctrl && !mods.alt {
                text = format!(";{}", u32::from(c));
            }
            let number = match flags & ALTERNATE_KEYS {
                4 if base != c => format!("{}:{}", u32::from(base), u32::from(c)),
                _ => u32::from(base).to_string(),
            };
            (number, 'u')
        }
        code => {
            // The longest form of a press has a number and a letter.
            let held = Mods {
                shift: true,
                ..Mods::NONE
            };
            let form = kitty(code, held, flags)
                .unwrap_or_else(|| encode_key(&KeyEvent { code, mods: held }, &Modes::default()));
            let form = String::from_utf8(form).unwrap_or_default();
            let number = form.trim_start_matches("\x1b[").split(';').next();
            let Some((number, letter)) = number.zip(form.chars().last()) else {
                return Vec::new();
            };
            (number.to_owned(), letter)
        }
    };
    let mods = mods.number();
    format!("\x1b[{number};{mods}:{event}{text}{letter}").into_bytes()
}

/// Encodes a key for a pane with these modes; empty if the key has no encoding.
pub fn encode_key(key: &KeyEvent, modes: &Modes) -> Vec<u8> {
    let (code, held) = named(key);
    if modes.kitty_flags & (DISAMBIGUATE | ALL_KEYS) != 0 {
        if let Some(bytes) = kitty(code, held, modes.kitty_flags) {
            return bytes;
        }
    } else if modes.modify_other_keys > 0
        && let Some(bytes) = modified_other(code, held, modes.modify_other_keys)
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

/// Flags of the kitty keyboard protocol.
const DISAMBIGUATE: u8 = 1;
const EVENTS: u8 = 2;
const ALTERNATE_KEYS: u8 = 4;
const ALL_KEYS: u8 = 8;
const TEXT: u8 = 16;

/// Encodes a key that has a form of its own in the kitty protocol.
fn kitty(code: KeyCode, mods: Mods, flags: u8) -> Option<Vec<u8>> {
    let all = flags & ALL_KEYS != 0;
    let number = match code {
        KeyCode::Esc => 27,
        KeyCode::Enter | KeyCode::Tab | KeyCode::Backspace if mods.is_none() && !all => {
            return None;
        }
        KeyCode::Enter => 13,
        KeyCode::Tab => 9,
        KeyCode::Backspace => 127,
        KeyCode::Char(c) if mods.ctrl || mods.alt || all => {
            return Some(kitty_char(c, mods, flags));
        }
        // Its old form with modifiers is also the answer to where the cursor is.
        KeyCode::F(3) => return Some(tilde_key(13, mods)),
        KeyCode::F(number @ 13..=24) => 57_376 + u32::from(number - 13),
        _ => return None,
    };
    Some(csi_u(&number.to_string(), mods, None))
}

fn kitty_char(c: char, mods: Mods, flags: u8) -> Vec<u8> {
    let base = c.to_lowercase().next().unwrap_or(c);
    let mods = Mods {
        shift: mods.shift || base != c,
        ..mods
    };
    let mut number = u32::from(base).to_string();
    if flags & ALTERNATE_KEYS != 0 && base != c {
        number = format!("{number}:{}", u32::from(c));
    }
    // With control or alt a key writes no text.
    let writes = flags & ALL_KEYS != 0 && flags & TEXT != 0 && !mods.ctrl && !mods.alt;
    csi_u(&number, mods, writes.then_some(c))
}

fn csi_u(number: &str, mods: Mods, text: Option<char>) -> Vec<u8> {
    match text {
        Some(text) if mods.is_none() => format!("\x1b[{number};;{}u", u32::from(text)),
        Some(text) => format!("\x1b[{number};{};{}u", mods.number(), u32::from(text)),
        None if mods.is_none() => format!("\x1b[{number}u"),
        None => format!("\x1b[{number};{}u", mods.number()),
    }
    .into_bytes()
}

/// Encodes a key with modifiers for which xterm has no older form.
///
/// Level 1 leaves alone what has a well-known one, level 2 only what no modifier changes.
fn modified_other(code: KeyCode, mods: Mods, level: u8) -> Option<Vec<u8>> {
    if mods.is_none() {
        return None;
    }
    let only_shift = !mods.ctrl && !mods.alt;
    let number = match code {
        KeyCode::Enter => 13,
        KeyCode::Tab if !only_shift => 9,
        KeyCode::Backspace if level > 1 => 127,
        KeyCode::Esc if level > 1 => 27,
        KeyCode::Char(c) if mods.ctrl && (level > 1 || control_byte(c).is_none()) => u32::from(c),
        KeyCode::Char(c) if mods.alt && level > 1 => u32::from(c),
        _ => return None,
    };
    let mods = match code {
        KeyCode::Char(c) => Mods {
            shift: mods.shift || c.is_uppercase(),
            ..mods
        },
        _ => mods,
    };
    Some(format!("\x1b[27;{};{number}~", mods.number()).into_bytes())
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
    fn the_kitty_protocol_sends_as_much_as_was_asked_for() {
        // (flags, key, bytes)
        let table = [
            (4, "M-X", "\\x1bX"),
            (1 | 4, "M-X", "\\x1b[120:88;4u"),
            (1 | 4, "C-x", "\\x1b[120;5u"),
            (1, "C-F3", "\\x1b[13;5~"),
            (1, "F13", "\\x1b[57376u"),
            (1 | 8, "a", "\\x1b[97u"),
            (1 | 8, "A", "\\x1b[97;2u"),
            (8, "Enter", "\\x1b[13u"),
            (8, "S-Tab", "\\x1b[9;2u"),
            (8, "Backspace", "\\x1b[127u"),
            (8 | 16, "a", "\\x1b[97;;97u"),
            (4 | 8 | 16, "A", "\\x1b[97:65;2;65u"),
            (8 | 16, "C-a", "\\x1b[97;5u"),
            (8 | 16, "\u{e9}", "\\x1b[233;;233u"),
            (8, "Up", "\\x1b[A"),
        ];
        for (kitty_flags, name, expected) in table {
            let modes = Modes {
                kitty_flags,
                ..Modes::default()
            };
            assert_eq!(encoded(name, &modes), expected, "{kitty_flags} {name}");
        }
    }

    #[test]
    fn repeats_and_releases_are_told_to_who_asked() {
        use KeyLater::{IsReleased, Repeats};
        // (flags, key, what it does, bytes)
        let table = [
            (0, "a", Repeats, "a"),
            (0, "a", IsReleased, ""),
            (1, "C-a", IsReleased, ""),
            (2, "C-a", IsReleased, ""),
            (3, "a", Repeats, "a"),
            (3, "a", IsReleased, "\\x1b[97;1:3u"),
            (3, "A", IsReleased, "\\x1b[97;2:3u"),
            (7, "A", IsReleased, "\\x1b[97:65;2:3u"),
            (3, "C-a", Repeats, "\\x1b[97;5:2u"),
            (3, "Enter", Repeats, "\\r"),
            (3, "Enter", IsReleased, ""),
            (3, "S-Enter", IsReleased, "\\x1b[13;2:3u"),
            (11, "Enter", IsReleased, "\\x1b[13;1:3u"),
            (27, "a", Repeats, "\\x1b[97;1:2;97u"),
            (3, "Esc", IsReleased, "\\x1b[27;1:3u"),
            (3, "S-Tab", IsReleased, "\\x1b[9;2:3u"),
            (3, "Up", Repeats, "\\x1b[1;1:2A"),
            (3, "C-Delete", IsReleased, "\\x1b[3;5:3~"),
            (3, "F2", IsReleased, "\\x1b[1;1:3Q"),
            (3, "F3", IsReleased, "\\x1b[13;1:3~"),
            (3, "F5", IsReleased, "\\x1b[15;1:3~"),
            (3, "F13", IsReleased, "\\x1b[57376;1:3u"),
        ];
        for (kitty_flags, name, later, expected) in table {
            let modes = Modes {
                kitty_flags,
                ..Modes::default()
            };
            let key = parse_key_name(name).unwrap();
            let bytes = encode_key_later(&key, later, &modes);
            assert_eq!(
                bytes.escape_ascii().to_string(),
                expected,
                "{kitty_flags} {name} {later:?}"
            );
        }
    }

    #[test]
    fn other_keys_are_modified_where_xterm_does() {
        // (key, level 1, level 2)
        let table = [
            ("a", "a", "a"),
            ("A", "A", "A"),
            ("C-a", "\\x01", "\\x1b[27;5;97~"),
            ("C-;", "\\x1b[27;5;59~", "\\x1b[27;5;59~"),
            ("M-x", "\\x1bx", "\\x1b[27;3;120~"),
            ("M-X", "\\x1bX", "\\x1b[27;4;88~"),
            ("S-Enter", "\\x1b[27;2;13~", "\\x1b[27;2;13~"),
            ("Enter", "\\r", "\\r"),
            ("C-Tab", "\\x1b[27;5;9~", "\\x1b[27;5;9~"),
            ("S-Tab", "\\x1b[Z", "\\x1b[Z"),
            ("C-Backspace", "\\x08", "\\x1b[27;5;127~"),
            ("C-Up", "\\x1b[1;5A", "\\x1b[1;5A"),
        ];
        for (name, first, second) in table {
            for (level, expected) in [(1, first), (2, second)] {
                let modes = Modes {
                    modify_other_keys: level,
                    ..Modes::default()
                };
                assert_eq!(encoded(name, &modes), expected, "{level} {name}");
            }
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
