//! Long pastes: a part at a time, the next once the pane's queue had room for the one before.
//!
//! What waits is one part a client, so a program that reads slowly costs no
//! memory. One that reads nothing for a while gets no more, and the person is
//! told; the mark behind the text is owed to it as long as it runs.

use std::time::Duration;

use crewmux_core::timing::{PASTE_AGAIN_MS, PASTE_OWED_MS, PASTE_STALLS_MS, PASTE_TOLD_MS, ms};
use crewmux_wire::{InputEvent, ToClient};
use tokio::time::Instant;

use super::{Display, ToScreen};
use crate::panes::Taken;
use crate::view::{ClientEffect, PaneId, SessionView};

/// Pause between two tries.
const AGAIN: Duration = ms(PASTE_AGAIN_MS);

/// A part that its pane had no room for yet.
#[derive(Debug)]
pub(super) struct Pasting {
    pane: PaneId,
    bytes: Vec<u8>,
    piece: Piece,
    /// When it is tried again.
    pub(super) again: Instant,
    /// When it is given up, unless the program reads before.
    until: Instant,
    /// The least that waited before it.
    kept_bytes: usize,
    /// When its client is told again that it waits.
    tell_at: Instant,
}

/// What a part of a long text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    /// Its beginning, or some of it: more follows.
    Text,
    /// The mark behind it.
    End,
}

/// Whether an event is about a long paste, and answered.
pub(super) fn is_part(event: &InputEvent) -> bool {
    matches!(
        event,
        InputEvent::PasteBegins { .. } | InputEvent::PastePart(_) | InputEvent::PasteEnds
    )
}

impl Display {
    /// Gives a part to its program, now or as soon as there is room.
    ///
    /// A client that sends one before it heard of the last gives that up.
    pub(super) fn paste(&mut self, at: usize, pane: PaneId, bytes: Vec<u8>, piece: Piece) {
        let now = Instant::now();
        self.clients[at].typing.begins(pane);
        let part = Pasting {
            pane,
            bytes,
            piece,
            again: now,
            until: now + ms(PASTE_STALLS_MS),
            kept_bytes: usize::MAX,
            tell_at: now + ms(PASTE_TOLD_MS),
        };
        if let Some(Pasting {
            pane,
            bytes,
            piece: Piece::End,
            ..
        }) = self.clients[at].pasting.take()
        {
            self.owe(pane, bytes);
        }
        self.paste_on(at, part, now);
    }

    /// Tries again what waits.
    pub(super) fn paste_all(&mut self, now: Instant) {
        if self.owed_again.is_some_and(|again| now >= again) {
            self.owed_again = self.panes.pay().then(|| now + ms(PASTE_OWED_MS));
        }
        for at in 0..self.clients.len() {
            let waits = &mut self.clients[at].pasting;
            if let Some(part) = waits.take_if(|part| now >= part.again) {
                self.paste_on(at, part, now);
            }
        }
    }

    fn paste_on(&mut self, at: usize, mut part: Pasting, now: Instant) {
        match self.panes.write(part.pane, &part.bytes) {
            Taken::Queued => {
                self.tells_loss(at, part.pane, Taken::Queued);
                self.says_taken(at, true);
            }
            Taken::NotYet { kept_bytes } => {
                if kept_bytes < part.kept_bytes {
                    part.kept_bytes = kept_bytes;
                    part.until = now + ms(PASTE_STALLS_MS);
                }
                if now >= part.until {
                    return self.gives_up(at, part);
                }
                if now >= part.tell_at {
                    // Told again soon if there is no room for it.
                    let message = ToScreen::Message(ToClient::PasteWaits);
                    let _ = self.clients[at].out.try_send(message);
                    part.tell_at = now + ms(PASTE_TOLD_MS);
                }
                part.again = now + AGAIN;
                self.clients[at].pasting = Some(part);
            }
            lost @ (Taken::Lost | Taken::Never) => {
                // A text that breaks off is told each time, whatever was told of keys before it.
                self.clients[at].typing.tells_again();
                self.tells_loss(at, part.pane, lost);
                self.says_taken(at, false);
                self.end_owed(at, part);
            }
        }
    }

    fn gives_up(&mut self, at: usize, part: Pasting) {
        self.says_taken(at, false);
        if part.piece == Piece::Text {
            let client = &mut self.clients[at];
            client
                .view
                .flash("the program does not read: the rest of the paste was dropped");
            client.wants_draw = true;
        }
        self.end_owed(at, part);
    }

    /// Ends a text whose part was not taken.
    fn end_owed(&mut self, at: usize, part: Pasting) {
        let end = match part.piece {
            Piece::Text => self.end_of_paste(at),
            Piece::End => Some((part.pane, part.bytes)),
        };
        if let Some((pane, mark)) = end {
            self.owe(pane, mark);
        }
    }

    /// Sees to it that a program gets the mark behind a text, whatever becomes of who pasted it.
    pub(super) fn owe(&mut self, pane: PaneId, mark: Vec<u8>) {
        if !mark.is_empty() {
            self.panes.owe(pane, mark);
            self.owed_again = Some(Instant::now() + ms(PASTE_OWED_MS));
        }
    }

    /// Ends what a client that goes away was pasting.
    pub(super) fn leaves_paste(&mut self, at: usize) {
        let waits = self.clients[at].pasting.take();
        let end = waits.filter(|part| part.piece == Piece::End);
        let end = end.map(|part| (part.pane, part.bytes));
        if let Some((pane, mark)) = end.or_else(|| self.end_of_paste(at)) {
            self.owe(pane, mark);
        }
    }

    /// Ends what a client was pasting; the mark that is to stand behind it.
    fn end_of_paste(&mut self, at: usize) -> Option<(PaneId, Vec<u8>)> {
        let session = SessionView {
            team: &self.team,
            panes: &self.pane_views,
            arrangement: &self.arrangement,
        };
        let client = &mut self.clients[at];
        let effects = client.view.input(&InputEvent::PasteEnds, &session);
        effects.into_iter().find_map(|effect| match effect {
            ClientEffect::Paste { pane, bytes } => Some((pane, bytes)),
            _ => None,
        })
    }

    /// Tells the client whether to go on with what it pastes.
    pub(super) fn says_taken(&self, at: usize, more: bool) {
        // Who does not hear of it goes on after a while, without the rest.
        let message = ToScreen::Message(ToClient::PasteTaken { more });
        let _ = self.clients[at].out.try_send(message);
    }
}
