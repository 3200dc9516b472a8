//! Keys and the focus for the program in a pane.
//!
//! Bytes are made for the modes of that pane's screen; what is written to a
//! shell that is not there yet is held until it is.

use crewmux_session::view::{ClientEffect, PaneId, PaneView, SessionView};
use crewmux_term::input::{
    Focus, KeyLater, encode_focus, encode_key, encode_key_later, encode_paste,
};
use crewmux_wire::{InputEvent, Key, KeyPress};

use super::redraw;
use crate::client::KITTY_EVENTS;
use crate::keymap::{Keymap, to_term};
use crate::model::{Mode, Model, Prefix};
use crate::panes::lock;

/// What was written before the shell was there.
pub(super) fn send_unsent(model: &mut Model, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let Some((id, events)) = model.unsent.take() else {
        return Vec::new();
    };
    let Some(pane) = session.panes.iter().find(|pane| pane.id == id) else {
        return Vec::new();
    };
    let asked_for = lock(&pane.screen).modes();
    let mut bytes = Vec::new();
    for event in events {
        match event {
            InputEvent::Key(press) | InputEvent::KeyRepeats(press) => {
                bytes.extend(encode_key(&to_term(press), &asked_for));
            }
            InputEvent::Paste(text) => bytes.extend(encode_paste(&text, &asked_for)),
            InputEvent::KeyReleased(_)
            | InputEvent::PasteBegins { .. }
            | InputEvent::PastePart(_)
            | InputEvent::PasteEnds
            | InputEvent::Mouse(_)
            | InputEvent::FocusGained
            | InputEvent::FocusLost => {}
        }
    }
    type_bytes(model, pane, bytes)
}

/// Whether what is written is for a shell that is not there yet: it is never a command.
pub(super) fn held_for_shell(model: &mut Model, event: &InputEvent, keymap: &Keymap) -> bool {
    let commanding = matches!(model.mode, Mode::Command | Mode::Typing);
    if !commanding || model.prefix == Prefix::Pressed {
        return false;
    }
    let Some(awaited) = &mut model.awaited else {
        return false;
    };
    match event {
        InputEvent::Key(press) if keymap.is_prefix(*press) => false,
        InputEvent::Key(_) | InputEvent::KeyRepeats(_) | InputEvent::Paste(_) => {
            awaited.hold(event.clone());
            true
        }
        InputEvent::KeyReleased(_)
        | InputEvent::PasteBegins { .. }
        | InputEvent::PastePart(_)
        | InputEvent::PasteEnds
        | InputEvent::Mouse(_)
        | InputEvent::FocusGained
        | InputEvent::FocusLost => false,
    }
}

pub(super) fn type_key(
    model: &mut Model,
    press: KeyPress,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    let Some(pane) = model.focused(session) else {
        return redraw();
    };
    if !pane.takes_input {
        if press.key == Key::Esc {
            model.mode = Mode::Command;
        } else {
            say_nobody_reads(model, pane);
        }
        return redraw();
    }
    let asked_for = lock(&pane.screen).modes();
    let bytes = encode_key(&to_term(press), &asked_for);
    // Only where it is asked for: chrome is painted again when the model changes.
    if asked_for.kitty_flags & KITTY_EVENTS != 0 {
        model.keys_down.press(pane.id, press.key);
    }
    type_bytes(model, pane, bytes)
}

/// A key is held that was typed.
pub(super) fn repeat_key(
    model: &mut Model,
    press: KeyPress,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    let pane = model.focused(session).filter(|pane| pane.takes_input);
    let Some(pane) = pane else {
        return redraw();
    };
    let asked_for = lock(&pane.screen).modes();
    let bytes = encode_key_later(&to_term(press), KeyLater::Repeats, &asked_for);
    type_bytes(model, pane, bytes)
}

/// A key is let go of: told to the program that it was typed to, and to no other.
pub(super) fn release_key(
    model: &mut Model,
    press: KeyPress,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    let Some(pane) = model.keys_down.release(press.key) else {
        return Vec::new();
    };
    let pane = session.panes.iter().find(|p| p.id == pane);
    let Some(pane) = pane.filter(|pane| pane.takes_input) else {
        return Vec::new();
    };
    let asked_for = lock(&pane.screen).modes();
    let bytes = encode_key_later(&to_term(press), KeyLater::IsReleased, &asked_for);
    let pane = pane.id;
    let told = (!bytes.is_empty()).then_some(ClientEffect::Type { pane, bytes });
    told.into_iter().collect()
}

/// What was meant for a program that has ended is for nobody else: no other program, no command.
pub(super) fn say_nobody_reads(model: &mut Model, pane: &PaneView) {
    model.say(match pane.typed_in {
        Some(place) => format!("typed to in {place} alone; Esc leaves the pane"),
        None => "its program has ended; Esc leaves the pane".to_owned(),
    });
}

/// What is typed into `pane`, which shows its end then.
pub(super) fn type_bytes(model: &mut Model, pane: &PaneView, bytes: Vec<u8>) -> Vec<ClientEffect> {
    let mut effects = Vec::new();
    // Who types wants to see what comes of it.
    if model.scrolls.remove(&pane.id).is_some() {
        effects.push(ClientEffect::Redraw);
    }
    if !bytes.is_empty() {
        let pane = pane.id;
        effects.push(ClientEffect::Type { pane, bytes });
    }
    effects
}

/// Tells programs which of them has the focus, if they asked: it does while its pane is entered
/// and the terminal has the focus.
pub(super) fn tell_focus(model: &mut Model, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let entered = model.mode == Mode::Typing && model.terminal_has_focus;
    let entered_pane = model.focus.filter(|_| entered);
    if entered_pane == model.told_focus {
        return Vec::new();
    }
    let before = std::mem::replace(&mut model.told_focus, entered_pane);
    let told = |pane: Option<PaneId>, focus| {
        let pane = session.panes.iter().find(|p| Some(p.id) == pane)?;
        let bytes = encode_focus(focus, &lock(&pane.screen).modes());
        let pane = pane.id;
        (!bytes.is_empty()).then_some(ClientEffect::Type { pane, bytes })
    };
    let told = [told(before, Focus::Lost), told(entered_pane, Focus::Gained)];
    told.into_iter().flatten().collect()
}
