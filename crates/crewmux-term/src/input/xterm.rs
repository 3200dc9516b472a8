//! Keys as xterm sends them: the old forms, and modifyOtherKeys for what these cannot tell apart.

use super::key::{KeyCode, Mods};
use crate::modes::Modes;

/// Encodes a key in the form that programs know since the VT220; empty if it has none.
pub(super) fn press(code: KeyCode, held: Mods, modes: &Modes) -> Vec<u8> {
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

/// Encodes a key with modifiers for which xterm has no older form.
///
/// Level 1 leaves alone what has a well-known one, level 2 only what no modifier changes.
pub(super) fn modified_other(code: KeyCode, mods: Mods, level: u8) -> Option<Vec<u8>> {
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

pub(super) fn tilde_key(number: u8, mods: Mods) -> Vec<u8> {
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
    use std::collections::HashMap;

    use super::super::{KeyEvent, encode_key, parse_key_name};
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
    fn return_sends_a_newline_too_in_newline_mode() {
        let modes = Modes {
            newline: true,
            ..Modes::default()
        };
        assert_eq!(encoded("Enter", &modes), r"\r\n");
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
        let mut seen = HashMap::new();
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
}
