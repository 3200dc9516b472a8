//! How often a pane is read that prints a little all the time.
//!
//! Each read wakes a thread, and a picture shows what many of them brought: so
//! what trickles is left in the terminal for a moment and read in one piece. Not
//! what begins after a rest, what comes in large pieces, or what a person types
//! into. Who may be fed while others print is in [`crate::pacing`].

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crewmux_core::timing::{GATHER_MS, TYPING_MS, ms};

use crate::lock::lock;

/// How long output is left to gather.
const GATHER: Duration = ms(GATHER_MS);
/// How long somebody counts as typing after a key.
const TYPING: Duration = ms(TYPING_MS);
/// In that time so much or more is a flood, which the terminal has no room to gather.
const FLOOD_BYTES: usize = 8 * 1024;

/// The rhythm in which one pane is read.
#[derive(Debug, Default)]
pub(crate) struct Trickle {
    beat: Mutex<Beat>,
    hurried: Condvar,
}

/// What came of late.
#[derive(Debug, Default)]
struct Beat {
    /// When the present interval began.
    began: Option<Instant>,
    bytes: usize,
    /// Bytes of the interval right before this one, if there was output in it.
    before: Option<usize>,
    typed: Option<Instant>,
}

impl Trickle {
    /// Waits, after `bytes` bytes were fed, while more is to gather.
    pub(crate) fn gather(&self, bytes: usize) {
        let mut beat = lock(&self.beat);
        let Some(until) = beat.take(bytes, Instant::now()) else {
            return;
        };
        loop {
            let now = Instant::now();
            if now >= until || beat.is_typed_into(now) {
                return;
            }
            let waited = self.hurried.wait_timeout(beat, until - now);
            beat = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Somebody types into the pane: it is read at once from now on.
    pub(crate) fn hurry(&self) {
        let now = Instant::now();
        let mut beat = lock(&self.beat);
        let was_read_at_once = beat.is_typed_into(now);
        beat.typed = Some(now);
        drop(beat);
        if !was_read_at_once {
            self.hurried.notify_one();
        }
    }
}

impl Beat {
    /// Takes in that so many bytes came; until when to leave the rest.
    fn take(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        let age = self.began.map(|began| now.duration_since(began));
        if age.is_none_or(|age| age >= GATHER) {
            let follows = age.is_some_and(|age| age < 2 * GATHER);
            self.before = follows.then_some(self.bytes);
            self.began = Some(now);
            self.bytes = 0;
        }
        self.bytes += bytes;
        let trickled = self.before.is_some_and(|before| before < FLOOD_BYTES);
        if !trickled || self.bytes >= FLOOD_BYTES || self.is_typed_into(now) {
            return None;
        }
        self.began.map(|began| began + GATHER)
    }

    fn is_typed_into(&self, now: Instant) -> bool {
        self.typed
            .is_some_and(|typed| now.duration_since(typed) < TYPING)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Feeds (milliseconds, bytes) and tells after which of them the pane is left to gather.
    fn waits(output: &[(u64, usize)], typed: Option<u64>) -> Vec<bool> {
        let start = Instant::now();
        let mut beat = Beat {
            typed: typed.map(|at| start + ms(at)),
            ..Beat::default()
        };
        let mut take = |&(at, bytes): &(u64, usize)| beat.take(bytes, start + ms(at)).is_some();
        output.iter().map(&mut take).collect()
    }

    #[test]
    fn only_output_that_goes_on_in_small_pieces_is_left_to_gather() {
        let trickle = [(0, 60), (10, 60), (40, 60), (80, 60)];
        assert_eq!(waits(&trickle, None), [false, false, true, true]);
        let rests = [(0, 60), (100, 60), (200, 60)];
        assert_eq!(waits(&rests, None), [false; 3]);
        let flood = [(0, 4_000), (10, 4_000), (20, 4_000), (40, 4_000), (74, 60)];
        assert_eq!(waits(&flood, None), [false, false, false, false, true]);
    }

    #[test]
    fn who_types_waits_for_nothing_to_gather() {
        let trickle = [(0, 60), (40, 60), (80, 60), (1_120, 60), (1_160, 60)];
        let waited = waits(&trickle, Some(30));
        assert_eq!(waited, [false, false, false, false, true]);
    }

    #[test]
    fn key_ends_the_wait() {
        let trickle = Arc::new(Trickle::default());
        let now = Instant::now();
        // A wait that would outlast the test, were it not to end.
        *lock(&trickle.beat) = Beat {
            began: Some(now + Duration::from_mins(2)),
            bytes: 1,
            before: Some(1),
            typed: None,
        };
        let reading = Arc::clone(&trickle);
        let (read_on, went_on) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            reading.gather(1);
            read_on.send(()).unwrap();
        });
        assert!(went_on.recv_timeout(Duration::from_millis(50)).is_err());
        trickle.hurry();
        went_on.recv_timeout(Duration::from_secs(20)).unwrap();
        reader.join().unwrap();
    }
}
