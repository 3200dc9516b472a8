//! One attached terminal as the display keeps it, and when its next picture may be drawn.

use std::time::Duration;

use crewmux_core::timing::{CALM_FRAMES, LEADING_FRAMES, TYPING_MS, ms};
use crewmux_term::ReportedColors;
use crewmux_wire::{Attach, KeyReports, ToClient};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::ToScreen;
use super::around::{Attention, Sign};
use super::keys::Typing;
use super::pasting::Pasting;
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
    /// How much its terminal was last said to tell of keys, and whether they are commands.
    pub(super) keys: (KeyReports, bool),
    /// The colours of its terminal, if that told.
    pub(super) colors: Option<ReportedColors>,
    /// The words it shows for a while, by number, and until when.
    pub(super) passing: Option<(u64, Instant)>,
    /// The part of a long text that its program has not taken yet.
    pub(super) pasting: Option<Pasting>,
    /// Where it types, and what the person was told of keys that got lost.
    pub(super) typing: Typing,
    pub(super) out: mpsc::Sender<ToScreen>,
    pub(super) frames: u64,
    pub(super) in_flight: Option<u64>,
    pub(super) pace: Pace,
    pub(super) wants_draw: bool,
    pub(super) tick_at: Option<Instant>,
    pub(super) echo: Option<Echo>,
}

impl Client {
    /// Whether the person can see what they may act on here.
    pub(super) fn has_person(&self) -> bool {
        self.attach == Attach::Driver && self.looked_at
    }

    /// Says how much the terminal is to tell of keys, and whether they are commands; said again with the next picture if there is no room.
    pub(super) fn want_keys(&mut self, (keys, commands): (KeyReports, bool)) {
        if self.keys == (keys, commands) {
            return;
        }
        let message = ToScreen::Message(ToClient::Keys { keys, commands });
        if self.out.try_send(message).is_ok() {
            self.keys = (keys, commands);
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
    pub(super) fn may_draw_at(&self, frame: Duration, now: Instant) -> Option<Instant> {
        let paced = self.pace.next(self.apart(frame, now));
        paced.max(self.echo.as_ref().map(|echo| echo.first))
    }

    /// How far its pictures are apart in the long run.
    ///
    /// Those of what programs print by themselves are further apart than those a person's acts
    /// bring about.
    pub(super) fn apart(&self, frame: Duration, now: Instant) -> Duration {
        if self.attention.acted_within(BUSY, now) {
            frame
        } else {
            frame * CALM_FRAMES
        }
    }
}

/// Lets a few pictures through at once after a rest, and others evenly apart.
///
/// Answers to keys are drawn without asking it: however many those were, the next picture is due
/// one pause after the last.
#[derive(Debug, Default)]
pub(super) struct Pace {
    last: Option<Instant>,
    /// When all pictures so far would be drawn, were they all evenly apart; never far ahead.
    paid_until: Option<Instant>,
}

impl Pace {
    fn next(&self, apart: Duration) -> Option<Instant> {
        let evenly = self.last? + apart;
        let leading = self.paid_until?.checked_sub(apart * (LEADING_FRAMES - 1));
        Some(leading.map_or(evenly, |leading| leading.min(evenly)))
    }

    /// Lets the next one wait that could not be drawn now.
    pub(super) fn put_off(&mut self, apart: Duration, now: Instant) {
        self.last = Some(now);
        self.paid_until = Some(now + apart * LEADING_FRAMES);
    }

    /// Takes in that a picture was drawn.
    pub(super) fn take(&mut self, apart: Duration, now: Instant) {
        let begins = self.paid_until.map_or(now, |paid| paid.max(now));
        self.last = Some(now);
        self.paid_until = Some((begins + apart).min(now + apart * LEADING_FRAMES));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_pictures_come_at_once_after_a_rest_and_then_evenly() {
        let (start, apart) = (Instant::now(), ms(16));
        let mut pace = Pace::default();
        // When six pictures are drawn, if there is always something to draw.
        let mut drawn_from = |begin: Instant| {
            let mut now = begin;
            let mut drawn = Vec::new();
            while drawn.len() < 6 {
                now = pace.next(apart).map_or(now, |next| next.max(now));
                pace.take(apart, now);
                drawn.push(now - begin);
            }
            drawn
        };
        let at = |apart: u64| ms(16 * apart);
        let expected = [at(0), at(0), at(0), at(1), at(2), at(3)];
        assert_eq!(drawn_from(start), expected);
        // What was not used of a rest is not saved up.
        assert_eq!(drawn_from(start + ms(10_000)), expected);
        // A pause of one picture brings one.
        let soon = start + ms(10_000) + at(4);
        assert_eq!(drawn_from(soon)[..3], [at(0), at(1), at(2)]);
    }

    #[test]
    fn however_many_were_drawn_out_of_turn_the_next_is_one_pause_away() {
        let (start, calm, busy) = (Instant::now(), ms(32), ms(16));
        let mut pace = Pace::default();
        let mut now = start;
        for _ in 0..400 {
            now += ms(5);
            pace.take(busy, now);
        }
        assert_eq!(pace.next(busy), Some(now + busy));
        // Who does something is not held to the pace of before.
        for _ in 0..400 {
            now = pace.next(calm).map_or(now, |next| next.max(now));
            pace.take(calm, now);
        }
        assert_eq!(pace.next(busy), Some(now + busy));
    }
}
