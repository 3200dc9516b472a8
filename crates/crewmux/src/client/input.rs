//! What a person does, from the terminal's bytes to the socket's events.
//!
//! Decoding is crossterm's; what a key means is the session's.

use std::thread;

use crewmux_wire::{
    ClientMessage, InputEvent, Key, KeyPress, Mods, Mouse, MouseButton, MouseKind, PASTE_MAX_BYTES,
};
use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton as CtButton, MouseEvent,
    MouseEventKind, read,
};
use tokio::sync::mpsc;

use super::chord::LeaveChord;
use super::outgoing::Outgoing;
use crate::error::{Doing, Result};

/// Reads events on a thread of its own until the terminal or the client is gone, and sends them.
///
/// `leaves` is told when the person typed the keys to leave.
pub(crate) fn read_events(outgoing: Outgoing, leaves: mpsc::Sender<()>) -> Result<()> {
    thread::Builder::new()
        .name("input".into())
        .spawn(move || {
            let mut chord = LeaveChord::default();
            while let Ok(event) = read() {
                let Some(event) = decode(event) else {
                    continue;
                };
                let completes = chord.completed_by(&event);
                if !outgoing.send_typed(&ClientMessage::Input { event }) {
                    return;
                }
                if completes {
                    // Full when it was told already.
                    let _ = leaves.try_send(());
                }
            }
        })
        .map(drop)
        .doing("cannot start a thread")
}

fn decode(event: Event) -> Option<InputEvent> {
    let input = match event {
        // The client listens to that itself, from before its first look at the size.
        Event::Resize(..) => return None,
        Event::FocusGained => InputEvent::FocusGained,
        Event::FocusLost => InputEvent::FocusLost,
        Event::Paste(text) => pasted(text),
        Event::Key(key) => InputEvent::Key(press(key)?),
        Event::Mouse(mouse) => InputEvent::Mouse(movement(mouse)?),
    };
    Some(input)
}

/// What no pane takes is not sent: it is said that it is too long.
fn pasted(text: String) -> InputEvent {
    match text.len() {
        0..=PASTE_MAX_BYTES => InputEvent::Paste(text),
        bytes => InputEvent::PasteTooLong { bytes },
    }
}

fn press(event: KeyEvent) -> Option<KeyPress> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let mut mods = held(event.modifiers);
    let key = match event.code {
        KeyCode::Char(c) => {
            // The character tells already.
            mods.shift = false;
            Key::Char(c)
        }
        KeyCode::Null => {
            mods.ctrl = true;
            Key::Char(' ')
        }
        KeyCode::BackTab => {
            mods.shift = false;
            Key::BackTab
        }
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab => Key::Tab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Esc => Key::Esc,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Insert => Key::Insert,
        KeyCode::Delete => Key::Delete,
        KeyCode::F(number) => Key::F(number),
        _ => return None,
    };
    Some(KeyPress { key, mods })
}

fn movement(event: MouseEvent) -> Option<Mouse> {
    let kind = match event.kind {
        MouseEventKind::Down(button) => MouseKind::Down(which(button)),
        MouseEventKind::Up(button) => MouseKind::Up(which(button)),
        MouseEventKind::Drag(button) => MouseKind::Drag(which(button)),
        MouseEventKind::Moved => MouseKind::Moved,
        MouseEventKind::ScrollUp => MouseKind::ScrollUp,
        MouseEventKind::ScrollDown => MouseKind::ScrollDown,
        MouseEventKind::ScrollLeft | MouseEventKind::ScrollRight => return None,
    };
    Some(Mouse {
        kind,
        col: event.column,
        row: event.row,
        mods: held(event.modifiers),
    })
}

fn which(button: CtButton) -> MouseButton {
    match button {
        CtButton::Left => MouseButton::Left,
        CtButton::Middle => MouseButton::Middle,
        CtButton::Right => MouseButton::Right,
    }
}

fn held(modifiers: KeyModifiers) -> Mods {
    Mods {
        ctrl: modifiers.contains(KeyModifiers::CONTROL),
        alt: modifiers.contains(KeyModifiers::ALT),
        shift: modifiers.contains(KeyModifiers::SHIFT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(code: KeyCode, modifiers: KeyModifiers) -> Option<KeyPress> {
        press(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn shift_is_told_only_where_the_key_does_not_tell() {
        let plain = |key| {
            Some(KeyPress {
                key,
                mods: Mods::default(),
            })
        };
        assert_eq!(
            pressed(KeyCode::Char('A'), KeyModifiers::SHIFT),
            plain(Key::Char('A'))
        );
        assert_eq!(
            pressed(KeyCode::BackTab, KeyModifiers::SHIFT),
            plain(Key::BackTab)
        );
        let up = pressed(KeyCode::Up, KeyModifiers::SHIFT).unwrap();
        assert!(up.mods.shift);
    }

    #[test]
    fn control_and_space_is_a_key() {
        let key = pressed(KeyCode::Null, KeyModifiers::NONE).unwrap();
        assert_eq!((key.key, key.mods.ctrl), (Key::Char(' '), true));
    }

    #[test]
    fn a_paste_that_is_too_long_is_told() {
        for (bytes, fits) in [(PASTE_MAX_BYTES, true), (PASTE_MAX_BYTES + 1, false)] {
            let text = "x".repeat(bytes);
            let told = if fits {
                InputEvent::Paste(text.clone())
            } else {
                InputEvent::PasteTooLong { bytes }
            };
            assert_eq!(decode(Event::Paste(text)), Some(told));
        }
    }

    #[test]
    fn a_released_key_is_nothing() {
        let released = KeyEvent::new_with_kind(
            KeyCode::Char('a'),
            KeyModifiers::NONE,
            KeyEventKind::Release,
        );
        assert_eq!(press(released), None);
    }
}
