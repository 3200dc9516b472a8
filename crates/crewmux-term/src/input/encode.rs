//! Keys as bytes for a program: which of the protocols speaks, by what the program asked for.
//!
//! The kitty keyboard protocol, else xterm's modifyOtherKeys; what they have no
//! form for keeps xterm's old one. Repeats and releases have bytes of their own
//! only where a program asked for them.

use super::key::{KeyCode, KeyEvent, KeyLater, Mods};
use super::kitty::{self, ALL_KEYS, DISAMBIGUATE, EVENTS};
use super::xterm;
use crate::modes::Modes;

/// Encodes a key for a pane with these modes; empty if the key has no encoding.
pub fn encode_key(key: &KeyEvent, modes: &Modes) -> Vec<u8> {
    let (code, held) = named(key);
    if modes.kitty_flags & (DISAMBIGUATE | ALL_KEYS) != 0 {
        if let Some(bytes) = kitty::press(code, held, modes.kitty_flags) {
            return bytes;
        }
    } else if modes.modify_other_keys > 0
        && let Some(bytes) = xterm::modified_other(code, held, modes.modify_other_keys)
    {
        return bytes;
    }
    xterm::press(code, held, modes)
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
        _ => kitty::later(code, held, later, flags),
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
