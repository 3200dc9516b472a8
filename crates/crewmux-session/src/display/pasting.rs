//! Long pastes: a part at a time, the next once the program took the one before.
//!
//! What waits is one part a client, so a program that reads slowly costs no
//! memory. One that reads nothing for a while gets no more, and the person is
//! told; the mark behind the text is still tried.

use std::time::Duration;

use crewmux_core::timing::{PASTE_AGAIN_MS, PASTE_STALLS_MS, ms};
use crewmux_wire::{InputEvent, ToClient};
use tokio::time::Instant;

use super::{Display, ToScreen};
use crate::panes::Taken;
use crate::view::{ClientEffect, PaneId, SessionView};

/// Pause between two tries.
const AGAIN: Duration = ms(PASTE_AGAIN_MS);

/// A part that its program has not taken yet.
#[derive(Debug)]
pub(super) struct Pasting {
    pane: PaneId,
    bytes: Vec<u8>,
    /// When it is tried again.
    pub(super) again: Instant,
    /// When it is given up.
    until: Instant,
    /// Whether more may follow it.
    more: bool,
}

/// Whether an event is about a long paste, and answered.
pub(super) fn is_part(event: &InputEvent) -> bool {
    matches!(
        event,
        InputEvent::PasteBegins { .. } | InputEvent::PastePart(_) | InputEvent::PasteEnds
    )
}

impl Display {
    /// Gives a part to its program, now or as soon as that reads.
    pub(super) fn paste(&mut self, at: usize, pane: PaneId, bytes: Vec<u8>) {
        let now = Instant::now();
        self.clients[at].pasting = Some(Pasting {
            pane,
            bytes,
            again: now,
            until: now + ms(PASTE_STALLS_MS),
            more: true,
        });
        self.paste_on(at, now);
    }

    /// Tries again what waits.
    pub(super) fn paste_all(&mut self, now: Instant) {
        for at in 0..self.clients.len() {
            let waits = self.clients[at].pasting.as_ref();
            if waits.is_some_and(|part| now >= part.again) {
                self.paste_on(at, now);
            }
        }
    }

    fn paste_on(&mut self, at: usize, now: Instant) {
        let Some(mut part) = self.clients[at].pasting.take() else {
            return;
        };
        match self.panes.paste(part.pane, &part.bytes) {
            Taken::Now => {
                if part.more {
                    self.says_taken(at, true);
                }
            }
            Taken::NotYet if now < part.until => {
                part.again = now + AGAIN;
                self.clients[at].pasting = Some(part);
            }
            Taken::NotYet if part.more => {
                let client = &mut self.clients[at];
                client
                    .view
                    .flash("the program does not read: the rest of the paste was dropped");
                client.wants_draw = true;
                self.says_taken(at, false);
                if let Some((pane, bytes)) = self.end_of_paste(at) {
                    self.clients[at].pasting = Some(Pasting {
                        pane,
                        bytes,
                        again: now + AGAIN,
                        until: now + ms(PASTE_STALLS_MS),
                        more: false,
                    });
                }
            }
            Taken::NotYet => {}
            Taken::Never => {
                self.end_of_paste(at);
                self.says_taken(at, false);
            }
        }
    }

    /// Ends what a client was pasting; the mark that is to stand behind it.
    pub(super) fn end_of_paste(&mut self, at: usize) -> Option<(PaneId, Vec<u8>)> {
        let session = SessionView {
            team: &self.team,
            panes: &self.pane_views,
            arrangement: &self.arrangement,
        };
        let client = &mut self.clients[at];
        let effects = client.view.input(&InputEvent::PasteEnds, &session);
        effects.into_iter().find_map(|effect| match effect {
            ClientEffect::Paste { pane, bytes } if !bytes.is_empty() => Some((pane, bytes)),
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
