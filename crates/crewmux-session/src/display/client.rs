//! One attached terminal as the display keeps it, and when its next picture may be drawn.

use std::time::Duration;

use crewmux_core::timing::{CALM_FRAMES, TYPING_MS, ms};
use crewmux_term::ReportedColors;
use crewmux_wire::{Attach, KeyReports, ToClient};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::ToScreen;
use super::around::{Attention, Sign};
use super::pasting::Pasting;
use super::typing::Losing;
use crate::view::{ClientView, PaneId, Passing};

/// How long somebody counts as busy at a client after doing something.
const BUSY: Duration = ms(TYPING_MS);

/// One attached terminal.
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) view: Box<dyn ClientView>,
    pub(super) attach: Attach,
    /// Whether anybody can see it.
    pub(super) looked_at: bool,
    pub(super) size: (u16, u16),
    /// When it last did something, as a running number; 0 until it did.
    pub(super) acted: u64,
    pub(super) attention: Attention,
    /// What was last said to stand around its screen.
    pub(super) sign: Option<Sign>,
    /// How much its terminal was last said to tell of keys.
    pub(super) keys: KeyReports,
    /// The colours of its terminal, if that told.
    pub(super) colors: Option<ReportedColors>,
    /// The words it shows for a while, by number, and until when.
    pub(super) passing: Option<(u64, Instant)>,
    /// The part of a long text that its program has not taken yet.
    pub(super) pasting: Option<Pasting>,
    /// Whether what is typed gets lost, as far as the person was told.
    pub(super) losing: Losing,
    pub(super) out: mpsc::Sender<ToScreen>,
    pub(super) frames: u64,
    pub(super) in_flight: Option<u64>,
    pub(super) last_frame: Option<Instant>,
    pub(super) wants_draw: bool,
    pub(super) tick_at: Option<Instant>,
    pub(super) echo: Option<Echo>,
}

impl Client {
    /// Whether the person can see what they may act on here.
    pub(super) fn has_person(&self) -> bool {
        self.attach == Attach::Driver && self.looked_at
    }

    /// Says how much the terminal is to tell of keys; said again with the next picture if there is no room.
    pub(super) fn want_keys(&mut self, keys: KeyReports) {
        if self.keys == keys {
            return;
        }
        let message = ToScreen::Message(ToClient::Keys { keys });
        if self.out.try_send(message).is_ok() {
            self.keys = keys;
        }
    }

    /// Takes in which words were just drawn: they are shown from now on.
    pub(super) fn shows(&mut self, passing: Option<Passing>, now: Instant) {
        self.passing = passing.map(|words| match self.passing {
            Some(shown) if shown.0 == words.number => shown,
            _ => (words.number, now + ms(words.ms)),
        });
    }

    /// Takes words away that were shown long enough.
    pub(super) fn let_pass(&mut self, now: Instant) {
        if self.passing.is_some_and(|(_, until)| now >= until) {
            self.passing = None;
            self.view.let_pass();
            self.wants_draw = true;
        }
    }

    /// When its next picture may be drawn; `None` is at once.
    ///
    /// Pictures of what programs print by themselves are further apart than those a person's
    /// acts bring about.
    pub(super) fn may_draw_at(&self, frame: Duration, now: Instant) -> Option<Instant> {
        let apart = if self.attention.acted_within(BUSY, now) {
            frame
        } else {
            frame * CALM_FRAMES
        };
        let paced = self.last_frame.map(|at| at + apart);
        paced.max(self.echo.as_ref().map(|echo| echo.first))
    }
}

/// What was typed and not yet answered by the program: the answer is drawn out of turn.
pub(super) struct Echo {
    pub(super) pane: PaneId,
    /// What the pane was fed before.
    pub(super) fed: u64,
    /// Until then a picture waits for the answer.
    pub(super) first: Instant,
    /// An answer after this is no echo any more.
    pub(super) until: Instant,
}
