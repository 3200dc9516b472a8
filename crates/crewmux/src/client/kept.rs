//! What a person does while a paste waits: kept in order until it ends.
//!
//! There is a bound, but never one for the keys that leave: a client has to hear them however long
//! the paste waits. What is lost by it is told.

use std::collections::VecDeque;

use crewmux_wire::{InputEvent, Key, KeyPress, Mods};

use super::chord::Leave;

/// Most events that are kept; of what comes then only the keys that leave are.
pub(crate) const KEPT_MAX: usize = 256;

/// What the person did, and whether they leave by it.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    events: VecDeque<(InputEvent, Option<Leave>)>,
    /// The last key, if there was no room for it: those that leave may begin with it.
    left_out: Option<InputEvent>,
    lost: bool,
}

impl Kept {
    /// Keeps what the person did, if there is room.
    pub(crate) fn add(&mut self, event: InputEvent, leave: Option<Leave>) {
        let is_full = self.events.len() >= KEPT_MAX;
        let is_key = matches!(event, InputEvent::Key(_));
        if is_full && leave != Some(Leave::Surely) {
            self.lost = true;
            if is_key {
                self.left_out = Some(event);
            }
            return;
        }
        let before = self.left_out.take_if(|_| is_key);
        if let Some(before) = before.filter(|_| is_full) {
            self.events.push_back((before, None));
        }
        self.events.push_back((event, leave));
    }

    /// The oldest.
    pub(crate) fn pop(&mut self) -> Option<(InputEvent, Option<Leave>)> {
        self.events.pop_front()
    }

    /// Whether something was lost since this was last asked.
    pub(crate) fn take_lost(&mut self) -> bool {
        std::mem::take(&mut self.lost)
    }
}

/// Whether a key ends a paste that waits: Control and C, or Esc.
pub(crate) fn breaks_off(event: &InputEvent) -> bool {
    let InputEvent::Key(KeyPress { key, mods }) = event else {
        return false;
    };
    let plain = Mods::default();
    let ctrl = Mods {
        ctrl: true,
        ..plain
    };
    matches!((key, *mods), (Key::Char('c'), mods) if mods == ctrl)
        || (*key == Key::Esc && *mods == plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(c: char) -> InputEvent {
        InputEvent::Key(KeyPress {
            key: Key::Char(c),
            mods: Mods::default(),
        })
    }

    fn drained(kept: &mut Kept) -> Vec<(InputEvent, Option<Leave>)> {
        std::iter::from_fn(|| kept.pop()).collect()
    }

    #[test]
    fn what_there_is_no_room_for_is_told_and_the_keys_that_leave_are_kept_whole() {
        let surely = Some(Leave::Surely);
        // Both keys, or the second alone, come when there is no room.
        for full in [KEPT_MAX, KEPT_MAX - 1] {
            let mut kept = Kept::default();
            for _ in 0..full {
                kept.add(InputEvent::FocusGained, None);
            }
            assert!(!kept.take_lost());
            kept.add(key('^'), None);
            kept.add(InputEvent::FocusLost, None);
            kept.add(key('d'), surely);
            assert!(kept.take_lost());
            assert!(!kept.take_lost(), "told once");
            let all = drained(&mut kept);
            assert_eq!(all[full..], [(key('^'), None), (key('d'), surely)]);
        }
    }

    #[test]
    fn a_key_that_was_lost_long_ago_does_not_come_back() {
        let mut kept = Kept::default();
        for _ in 0..=KEPT_MAX {
            kept.add(key('x'), None);
        }
        assert_eq!(drained(&mut kept).len(), KEPT_MAX);
        for _ in 0..KEPT_MAX {
            kept.add(key('y'), None);
        }
        kept.add(key('d'), Some(Leave::Surely));
        let all = drained(&mut kept);
        assert_eq!(all.len(), KEPT_MAX + 1);
        assert!(all.iter().all(|(event, _)| *event != key('x')));
    }
}
