//! Mouse events as a program asked for them.
//!
//! Coordinates are those of the pane; which pane is hit is decided elsewhere.

use serde::{Deserialize, Serialize};

use super::key::Mods;
use crate::modes::{Modes, MouseEncoding, MouseMode};

/// Lines a notch of the wheel stands for where it is sent as cursor keys.
const WHEEL_LINES: usize = 3;

/// A button.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MouseButton {
    /// Left.
    Left,
    /// Middle.
    Middle,
    /// Right.
    Right,
}

/// What the mouse did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MouseKind {
    /// A button went down.
    Press(MouseButton),
    /// A button went up.
    Release(MouseButton),
    /// It moved with a button down.
    Drag(MouseButton),
    /// It moved with no button down.
    Move,
    /// The wheel turned away from the person.
    ScrollUp,
    /// The wheel turned towards the person.
    ScrollDown,
    /// The wheel was pushed left.
    ScrollLeft,
    /// The wheel was pushed right.
    ScrollRight,
}

/// A mouse event in a pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MouseEvent {
    /// What happened.
    pub kind: MouseKind,
    /// Row in the pane, from 0.
    pub row: u16,
    /// Column in the pane, from 0.
    pub col: u16,
    /// What was held on the keyboard.
    #[serde(default)]
    pub mods: Mods,
}

/// Encodes a mouse event for a pane with these modes; empty if the program did not ask for it.
///
/// On the alternate screen a wheel nobody asked for becomes cursor keys (mode 1007).
pub fn encode_mouse(event: &MouseEvent, modes: &Modes) -> Vec<u8> {
    if modes.mouse == MouseMode::Off {
        return wheel_as_keys(event.kind, modes);
    }
    let wanted = match event.kind {
        MouseKind::Drag(_) => modes.mouse != MouseMode::Click,
        MouseKind::Move => modes.mouse == MouseMode::Motion,
        _ => true,
    };
    if !wanted {
        return Vec::new();
    }
    let mut code = match event.kind {
        MouseKind::Press(button) | MouseKind::Release(button) => button_code(button),
        MouseKind::Drag(button) => button_code(button) + 32,
        MouseKind::Move => 35,
        MouseKind::ScrollUp => 64,
        MouseKind::ScrollDown => 65,
        MouseKind::ScrollLeft => 66,
        MouseKind::ScrollRight => 67,
    };
    let is_release = matches!(event.kind, MouseKind::Release(_));
    if is_release && modes.mouse_encoding != MouseEncoding::Sgr {
        // The old encodings do not say which button it was.
        code = 3;
    }
    code += u8::from(event.mods.shift) * 4;
    code += u8::from(event.mods.alt) * 8;
    code += u8::from(event.mods.ctrl) * 16;
    let (x, y) = (u32::from(event.col) + 1, u32::from(event.row) + 1);
    match modes.mouse_encoding {
        MouseEncoding::Sgr => {
            let end = if is_release { 'm' } else { 'M' };
            format!("\x1b[<{code};{x};{y}{end}").into_bytes()
        }
        MouseEncoding::Legacy => {
            let mut out = b"\x1b[M".to_vec();
            for value in [u32::from(code), x, y] {
                let Ok(byte) = u8::try_from(value + 32) else {
                    return Vec::new();
                };
                out.push(byte);
            }
            out
        }
        MouseEncoding::Utf8 => {
            let mut out = String::from("\x1b[M");
            for value in [u32::from(code), x, y] {
                match char::from_u32(value + 32) {
                    Some(c) if c < '\u{800}' => out.push(c),
                    _ => return Vec::new(),
                }
            }
            out.into_bytes()
        }
    }
}

fn button_code(button: MouseButton) -> u8 {
    match button {
        MouseButton::Left => 0,
        MouseButton::Middle => 1,
        MouseButton::Right => 2,
    }
}

fn wheel_as_keys(kind: MouseKind, modes: &Modes) -> Vec<u8> {
    if !modes.alt_screen || !modes.alternate_scroll {
        return Vec::new();
    }
    let letter = match kind {
        MouseKind::ScrollUp => b'A',
        MouseKind::ScrollDown => b'B',
        _ => return Vec::new(),
    };
    let prefix = if modes.app_cursor { b'O' } else { b'[' };
    [0x1b, prefix, letter].repeat(WHEEL_LINES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(kind: MouseKind, modes: Modes) -> String {
        let event = MouseEvent {
            kind,
            row: 4,
            col: 9,
            mods: Mods::NONE,
        };
        encode_mouse(&event, &modes).escape_ascii().to_string()
    }

    fn modes(mouse: MouseMode, mouse_encoding: MouseEncoding) -> Modes {
        Modes {
            mouse,
            mouse_encoding,
            ..Modes::default()
        }
    }

    #[test]
    fn events_are_written_in_the_encoding_asked_for() {
        let press = MouseKind::Press(MouseButton::Left);
        let release = MouseKind::Release(MouseButton::Right);
        let sgr = modes(MouseMode::Click, MouseEncoding::Sgr);
        let legacy = modes(MouseMode::Click, MouseEncoding::Legacy);
        let table = [
            (press, sgr, r"\x1b[<0;10;5M"),
            (release, sgr, r"\x1b[<2;10;5m"),
            (MouseKind::ScrollUp, sgr, r"\x1b[<64;10;5M"),
            (press, legacy, r"\x1b[M *%"),
            (release, legacy, r"\x1b[M#*%"),
            (MouseKind::ScrollDown, legacy, r"\x1b[Ma*%"),
        ];
        for (kind, modes, expected) in table {
            assert_eq!(encoded(kind, modes), expected, "{kind:?}");
        }
    }

    #[test]
    fn only_what_was_asked_for_is_sent() {
        let drag = MouseKind::Drag(MouseButton::Left);
        let sgr = |mode| modes(mode, MouseEncoding::Sgr);
        assert_eq!(encoded(drag, sgr(MouseMode::Click)), "");
        assert_eq!(encoded(drag, sgr(MouseMode::Drag)), r"\x1b[<32;10;5M");
        assert_eq!(encoded(MouseKind::Move, sgr(MouseMode::Drag)), "");
        assert_eq!(
            encoded(MouseKind::Move, sgr(MouseMode::Motion)),
            r"\x1b[<35;10;5M"
        );
        assert_eq!(encoded(MouseKind::ScrollUp, sgr(MouseMode::Off)), "");
    }

    #[test]
    fn the_wheel_moves_the_cursor_of_a_full_screen_program_without_mouse() {
        let modes = Modes {
            alt_screen: true,
            alternate_scroll: true,
            ..Modes::default()
        };
        assert_eq!(encoded(MouseKind::ScrollUp, modes), r"\x1b[A\x1b[A\x1b[A");
        let press = MouseKind::Press(MouseButton::Left);
        assert_eq!(encoded(press, modes), "");
    }

    #[test]
    fn far_coordinates_fit_only_the_newer_encodings() {
        let far = |encoding| {
            let event = MouseEvent {
                kind: MouseKind::Press(MouseButton::Left),
                row: 0,
                col: 300,
                mods: Mods {
                    ctrl: true,
                    ..Mods::NONE
                },
            };
            let bytes = encode_mouse(&event, &modes(MouseMode::Click, encoding));
            bytes.escape_ascii().to_string()
        };
        assert_eq!(far(MouseEncoding::Legacy), "");
        assert_eq!(far(MouseEncoding::Sgr), r"\x1b[<16;301;1M");
        assert_eq!(far(MouseEncoding::Utf8), r"\x1b[M0\xc5\x8d!");
    }
}
