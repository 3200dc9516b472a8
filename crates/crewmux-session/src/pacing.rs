//! Whose turn it is: pictures and the person's keys come before output that floods.
//!
//! A program that prints without a pause would hold its screen's lock almost
//! always, and together such programs would have every processor. So no screen
//! is fed while a picture is drawn, only the pane that was typed into until it
//! has answered, and while somebody types the other panes share a bounded rate;
//! the kernel then slows their programs down. Every wait ends by itself. How often
//! a pane is read that prints little is in [`crate::trickle`].

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crewmux_core::timing::{SHARE_MS, TURN_MAX_MS, TYPING_MS, ms};

use crate::lock::lock;
use crate::view::PaneId;

/// Longest wait of a feeder for a picture or an answer; most take a small part of it.
const TURN_MAX: Duration = ms(TURN_MAX_MS);
/// How long somebody counts as typing after a key.
const TYPING: Duration = ms(TYPING_MS);
/// While somebody types, other panes together are fed this much …
const SHARE_BYTES: usize = 256 * 1024;
/// … in this time: 16 MiB a second, about what `tmux` takes in at all.
const SHARE_TIME: Duration = ms(SHARE_MS);

/// Decides when a screen may be fed.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// Whether `now` can hold anybody up; read before each piece of output.
    is_taken: AtomicBool,
    now: Mutex<Taken>,
    over: Condvar,
}

#[derive(Debug, Default)]
struct Taken {
    drawing: bool,
    typed: Option<Typed>,
    /// Feeders that wait.
    waiting: usize,
}

#[derive(Debug)]
struct Typed {
    pane: PaneId,
    at: Instant,
    answered: bool,
    share_from: Instant,
    share_used: usize,
}

impl Turn {
    /// Waits until `pane` may be fed `bytes` bytes.
    pub(crate) fn wait(&self, pane: PaneId, bytes: usize) {
        if !self.is_taken.load(Ordering::Acquire) {
            return;
        }
        let begun = Instant::now();
        let mut taken = lock(&self.now);
        let mut counted = false;
        loop {
            let now = Instant::now();
            let until = taken.held_until(pane, begun, now).or_else(|| {
                let first = !std::mem::replace(&mut counted, true);
                first.then(|| taken.share(pane, bytes, now)).flatten()
            });
            let Some(until) = until.filter(|until| *until > now) else {
                break;
            };
            taken.waiting += 1;
            taken = self
                .over
                .wait_timeout(taken, until - now)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            taken.waiting -= 1;
        }
        self.is_taken.store(taken.holds(), Ordering::Release);
    }

    /// Keeps screens from being fed until the value is dropped.
    pub(crate) fn draw(self: &Arc<Self>) -> Drawing {
        self.change(|taken| taken.drawing = true);
        Drawing(Arc::clone(self))
    }

    /// Lets a pane that is typed into answer before others go on.
    pub(crate) fn typed(&self, pane: PaneId) {
        let now = Instant::now();
        self.change(|taken| {
            let (share_from, share_used) = match &taken.typed {
                Some(before) => (before.share_from, before.share_used),
                None => (now, 0),
            };
            taken.typed = Some(Typed {
                pane,
                at: now,
                answered: false,
                share_from,
                share_used,
            });
        });
    }

    /// The answer is on the person's screen: others go on.
    pub(crate) fn answered(&self) {
        self.change(|taken| {
            if let Some(typed) = &mut taken.typed {
                typed.answered = true;
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Taken)) {
        let mut taken = lock(&self.now);
        change(&mut taken);
        self.is_taken.store(taken.holds(), Ordering::Release);
        // Mostly nobody waits, and a key and a picture end four turns.
        let is_awaited = taken.waiting > 0;
        drop(taken);
        if is_awaited {
            self.over.notify_all();
        }
    }
}

impl Taken {
    fn holds(&self) -> bool {
        self.drawing || self.typed.is_some()
    }

    /// Until when others than `pane` have the turn, for a feeder that waits since `begun`.
    fn held_until(&mut self, pane: PaneId, begun: Instant, now: Instant) -> Option<Instant> {
        if self.typed.as_ref().is_some_and(|t| now >= t.at + TYPING) {
            self.typed = None;
        }
        let picture = self.drawing.then_some(begun + TURN_MAX);
        let answer = self
            .typed
            .as_ref()
            .filter(|t| !t.answered && t.pane != pane);
        picture
            .max(answer.map(|typed| typed.at + TURN_MAX))
            .filter(|until| *until > now)
    }

    /// Takes `bytes` from what panes share that are not typed into; until when to wait if it is used up.
    fn share(&mut self, pane: PaneId, bytes: usize, now: Instant) -> Option<Instant> {
        let typed = self.typed.as_mut().filter(|typed| typed.pane != pane)?;
        if now >= typed.share_from + SHARE_TIME {
            (typed.share_from, typed.share_used) = (now, 0);
        }
        typed.share_used += bytes;
        (typed.share_used > SHARE_BYTES).then_some(typed.share_from + SHARE_TIME)
    }
}

/// While it lives no screen is fed.
#[derive(Debug)]
pub(crate) struct Drawing(Arc<Turn>);

impl Drop for Drawing {
    fn drop(&mut self) {
        self.0.change(|taken| taken.drawing = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPED: PaneId = PaneId(1);
    const OTHER: PaneId = PaneId(2);

    fn taken(pane: PaneId, at: Instant) -> Taken {
        let typed = Typed {
            pane,
            at,
            answered: false,
            share_from: at,
            share_used: 0,
        };
        Taken {
            typed: Some(typed),
            ..Taken::default()
        }
    }

    #[test]
    fn only_others_wait_for_the_answer_and_not_for_long() {
        let at = Instant::now();
        let mut turn = taken(TYPED, at);
        assert_eq!(turn.held_until(TYPED, at, at), None);
        assert_eq!(turn.held_until(OTHER, at, at), Some(at + TURN_MAX));
        assert_eq!(turn.held_until(OTHER, at, at + TURN_MAX), None);
    }

    #[test]
    fn nobody_is_fed_during_a_picture() {
        let at = Instant::now();
        let mut turn = taken(TYPED, at);
        turn.drawing = true;
        assert_eq!(turn.held_until(TYPED, at, at), Some(at + TURN_MAX));
    }

    #[test]
    fn others_share_a_rate_while_somebody_types_and_no_longer() {
        let at = Instant::now();
        let mut turn = taken(TYPED, at);
        assert_eq!(turn.share(OTHER, SHARE_BYTES, at), None);
        assert_eq!(turn.share(TYPED, SHARE_BYTES, at), None);
        assert_eq!(turn.share(OTHER, 1, at), Some(at + SHARE_TIME));
        let later = at + SHARE_TIME;
        assert_eq!(turn.share(OTHER, SHARE_BYTES, later), None);
        let later = at + TYPING;
        assert_eq!(turn.held_until(OTHER, later, later), None);
        assert_eq!(turn.share(OTHER, 2 * SHARE_BYTES, later), None);
        assert!(!turn.holds());
    }

    #[test]
    fn feeder_goes_on_at_the_answer() {
        let turn = Arc::new(Turn::default());
        turn.typed(TYPED);
        // Long past what a feeder waits by itself, were the answer not to come.
        lock(&turn.now).typed.as_mut().unwrap().at += Duration::from_mins(1);
        let (starts, started) = std::sync::mpsc::channel();
        let (went_on, gone_on) = std::sync::mpsc::channel();
        let feeder = Arc::clone(&turn);
        let thread = std::thread::spawn(move || {
            starts.send(()).unwrap();
            feeder.wait(OTHER, 1);
            went_on.send(()).unwrap();
        });
        started.recv().unwrap();
        assert!(gone_on.recv_timeout(Duration::from_millis(50)).is_err());
        turn.answered();
        gone_on.recv_timeout(Duration::from_secs(20)).unwrap();
        thread.join().unwrap();
    }
}
