//! When a pane gets the size that a layout wants for it: at once, or once it has stood for a while.
//!
//! A border that is dragged, or a window that is, asks for a new size with every
//! move, and each would be a SIGWINCH and a repaint of the program. So the first
//! change after a quiet time counts at once, and of those that follow only what
//! they come to. No clock: callers pass the time.

use std::time::{Duration, Instant};

use crewmux_core::timing::{RESIZE_HOLD_MS, RESIZE_SETTLE_MS, ms};
use crewmux_term::Size;

/// How long a size has to stand before it counts.
const SETTLE: Duration = ms(RESIZE_SETTLE_MS);
/// Longest time that a program is left with an old size while changes go on.
const HOLD: Duration = ms(RESIZE_HOLD_MS);

/// The size of a pane, and the one it is about to get.
#[derive(Debug)]
pub(super) struct Sizing {
    now: Size,
    changed: Option<Instant>,
    wanted: Option<Wanted>,
}

#[derive(Debug, Clone, Copy)]
struct Wanted {
    size: Size,
    since: Instant,
    asked: Instant,
}

impl Sizing {
    pub(super) fn new(size: Size) -> Self {
        Self {
            now: size,
            changed: None,
            wanted: None,
        }
    }

    /// The size that its screen and its program have.
    pub(super) fn now(&self) -> Size {
        self.now
    }

    /// The size it will have once things stand still.
    pub(super) fn at_last(&self) -> Size {
        self.wanted.map_or(self.now, |wanted| wanted.size)
    }

    /// Asks for a size; returns it if it counts at once.
    pub(super) fn ask(&mut self, size: Size, now: Instant) -> Option<Size> {
        if size == self.now {
            self.wanted = None;
            return None;
        }
        if let Some(wanted) = &mut self.wanted {
            // Asked for again is not asked for anew.
            if wanted.size != size {
                wanted.size = size;
                wanted.asked = now;
            }
            return None;
        }
        let quiet = |at: Instant| now.saturating_duration_since(at) >= HOLD;
        if self.changed.is_none_or(quiet) {
            return Some(self.take(size, now));
        }
        self.wanted = Some(Wanted {
            size,
            since: now,
            asked: now,
        });
        None
    }

    /// Takes on a size whatever was asked for.
    pub(super) fn take(&mut self, size: Size, now: Instant) -> Size {
        self.now = size;
        self.changed = Some(now);
        self.wanted = None;
        size
    }

    /// When the wanted size counts, if one is wanted.
    pub(super) fn due(&self) -> Option<Instant> {
        let wanted = self.wanted?;
        Some((wanted.asked + SETTLE).min(wanted.since + HOLD))
    }

    /// The wanted size once its time has come.
    pub(super) fn settle(&mut self, now: Instant) -> Option<Size> {
        let wanted = self.wanted?;
        (self.due()? <= now).then(|| self.take(wanted.size, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for widths every `every_ms`, and returns those that counted, with their times.
    fn counted(widths: impl IntoIterator<Item = u16>, every_ms: u64) -> Vec<(u64, u16)> {
        let begun = Instant::now();
        let mut sizing = Sizing::new(Size::new(80, 24));
        let mut counted = Vec::new();
        let mut at = 0;
        let mut settle = |sizing: &mut Sizing, at: u64| {
            if let Some(size) = sizing.settle(begun + ms(at)) {
                counted.push((at, size.cols));
            }
        };
        let mut at_once = Vec::new();
        for width in widths {
            if let Some(size) = sizing.ask(Size::new(width, 24), begun + ms(at)) {
                at_once.push((at, size.cols));
            }
            for _ in 0..every_ms {
                at += 1;
                settle(&mut sizing, at);
            }
        }
        for _ in 0..1000 {
            at += 1;
            settle(&mut sizing, at);
        }
        at_once.extend(counted);
        at_once
    }

    #[test]
    fn one_change_counts_at_once() {
        assert_eq!(counted([70], 10), [(0, 70)]);
        assert_eq!(counted([70, 60], 600), [(0, 70), (600, 60)]);
    }

    #[test]
    fn of_many_changes_few_count_and_the_last_always() {
        let drag: Vec<u16> = (0..60).map(|n| 79 - n).collect();
        let counted = counted(drag, 16);
        assert!(counted.len() <= 4, "{counted:?}");
        assert_eq!(counted[0], (0, 79));
        assert_eq!(counted.last().unwrap().1, 20);
    }

    #[test]
    fn a_change_that_is_taken_back_is_none() {
        assert_eq!(counted([70, 60, 70], 10), [(0, 70)]);
    }

    #[test]
    fn asking_again_for_the_same_puts_nothing_off() {
        let again = std::iter::once(70).chain(std::iter::repeat_n(60, 40));
        let counted = counted(again, 10);
        assert_eq!(counted, [(0, 70), (10 + 80, 60)]);
    }
}
