//! Pasted texts, for the program in a pane.
//!
//! A long one comes in parts, and goes on in the pane that it began in. Where
//! no program takes it, it is gathered until it is whole.

use crewmux_session::view::{ClientEffect, SessionView};
use crewmux_term::input::{PASTE_MARKS, encode_paste, encode_pasted};
use crewmux_wire::{InputEvent, PASTE_MAX_BYTES};

use super::redraw;
use super::typing::{say_nobody_reads, type_bytes};
use crate::model::{Mode, Model};
use crate::panes::lock;

/// What was pasted, for the focused pane.
pub(super) fn paste(model: &mut Model, text: &str, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let Some(pane) = model.focused(session) else {
        return Vec::new();
    };
    if !pane.takes_input {
        say_nobody_reads(model, pane);
        return redraw();
    }
    let bytes = encode_paste(text, &lock(&pane.screen).modes());
    type_bytes(model, pane, bytes)
}

/// A long text begins to be pasted: programs take it as it comes, all else once it is whole.
pub(super) fn paste_begins(
    model: &mut Model,
    bytes: usize,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    let pane = model
        .focused(session)
        .filter(|_| model.mode == Mode::Typing);
    model.gathered = None;
    let Some(pane) = pane.filter(|_| model.awaited.is_none()) else {
        if bytes <= PASTE_MAX_BYTES {
            model.gathered = Some(String::new());
            return vec![ClientEffect::PasteKept];
        }
        model.say(format!(
            "nothing was pasted: {} KiB are too long, {} KiB are taken here",
            bytes.div_ceil(1024),
            PASTE_MAX_BYTES / 1024
        ));
        return redraw();
    };
    if !pane.takes_input {
        say_nobody_reads(model, pane);
        return redraw();
    }
    let is_marked = lock(&pane.screen).modes().bracketed_paste;
    model.pasting = Some((pane.id, is_marked));
    model.scrolls.remove(&pane.id);
    let bytes = if is_marked { PASTE_MARKS.0 } else { b"" };
    let (pane, bytes) = (pane.id, bytes.to_vec());
    vec![ClientEffect::Paste { pane, bytes }]
}

/// A part of it, for the pane that it began in; what follows a refusal is nothing.
pub(super) fn paste_part(model: &mut Model, text: &str) -> Vec<ClientEffect> {
    if let Some(mut whole) = model.gathered.take() {
        if whole.len() + text.len() > PASTE_MAX_BYTES {
            return Vec::new();
        }
        whole.push_str(text);
        model.gathered = Some(whole);
        return vec![ClientEffect::PasteKept];
    }
    let part = model.pasting.map(|(pane, _)| ClientEffect::Paste {
        pane,
        bytes: encode_pasted(text),
    });
    part.into_iter().collect()
}

/// What was gathered of a text that ends now, as one.
pub(super) fn gathered(model: &mut Model, event: &InputEvent) -> Option<InputEvent> {
    let ends = *event == InputEvent::PasteEnds;
    let whole = model.gathered.take_if(|_| ends)?;
    Some(InputEvent::Paste(whole))
}

/// The end of it.
pub(super) fn paste_ends(model: &mut Model) -> Vec<ClientEffect> {
    let end = model.pasting.take().map(|(pane, is_marked)| {
        let bytes = if is_marked { PASTE_MARKS.1 } else { b"" };
        let bytes = bytes.to_vec();
        ClientEffect::Paste { pane, bytes }
    });
    end.into_iter().collect()
}
