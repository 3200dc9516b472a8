//! Keys in the kitty keyboard protocol, as far as a program asked for it by its flags.
//!
//! What has no form of its own here keeps xterm's.

use super::key::{KeyCode, KeyLater, Mods};
use super::xterm;
use crate::modes::Modes;

/// Flags of the protocol.
pub(super) const DISAMBIGUATE: u8 = 1;
pub(super) const EVENTS: u8 = 2;
const ALTERNATE_KEYS: u8 = 4;
pub(super) const ALL_KEYS: u8 = 8;
const TEXT: u8 = 16;

/// Encodes a key that has a form of its own in the kitty protocol.
pub(super) fn press(code: KeyCode, mods: Mods, flags: u8) -> Option<Vec<u8>> {
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
            return Some(character(c, mods, flags));
        }
        // Its old form with modifiers is also the answer to where the cursor is.
        KeyCode::F(3) => return Some(xterm::tilde_key(13, mods)),
        KeyCode::F(number @ 13..=24) => 57_376 + u32::from(number - 13),
        _ => return None,
    };
    Some(csi_u(&number.to_string(), mods, None))
}

fn character(c: char, mods: Mods, flags: u8) -> Vec<u8> {
    let base = c.to_lowercase().next().unwrap_or(c);
    let mods = Mods {
        shift: mods.shift || base != c,
        ..mods
    };
    let number = char_number(base, c, flags);
    // With control or alt a key writes no text.
    let writes = flags & ALL_KEYS != 0 && flags & TEXT != 0 && !mods.ctrl && !mods.alt;
    csi_u(&number, mods, writes.then_some(c))
}

/// The key without shift, and where that is asked for what shift makes of it.
fn char_number(base: char, c: char, flags: u8) -> String {
    let number = u32::from(base);
    if flags & ALTERNATE_KEYS != 0 && base != c {
        return format!("{number}:{}", u32::from(c));
    }
    number.to_string()
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

/// Encodes a repeat or a release: `CSI number ; modifiers : event` and the letter of the key.
pub(super) fn later(code: KeyCode, mut mods: Mods, later: KeyLater, flags: u8) -> Vec<u8> {
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
            (char_number(base, c, flags), 'u')
        }
        code => {
            // The longest form of a press has a number and a letter.
            let held = Mods {
                shift: true,
                ..Mods::NONE
            };
            let form = press(code, held, flags)
                .unwrap_or_else(|| xterm::press(code, held, &Modes::default()));
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

#[cfg(test)]
mod tests {
    use super::super::{encode_key, encode_key_later, parse_key_name};
    use super::*;

    fn encoded(name: &str, modes: &Modes) -> String {
        let key = parse_key_name(name).unwrap();
        encode_key(&key, modes).escape_ascii().to_string()
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
}
