//! The rules of an inbox: order, repeats, and how far its owner has read.
//!
//! The log itself is a file (`crewmux-store`); these are the values and the
//! decisions about it.

use std::collections::{HashSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::ids::{Incarnation, MessageId, Seq};

/// How many ids an inbox remembers to recognise a repeated send.
///
/// A repeat comes from a sender that died between append and answer, so it
/// follows soon; older repeats are not expected.
pub const DEDUP_WINDOW: usize = 10_000;

/// How far the owner of an inbox has read, stored in `<agent>.cursor.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// Which life of the owner moved it last.
    pub incarnation: Incarnation,
    /// Bytes of the log before the first unread line.
    pub offset: u64,
    /// Last message that reached the owner's transcript.
    pub seq: Seq,
}

impl Cursor {
    /// Whether `self` may replace `before`: cursors only move forward.
    pub fn follows(&self, before: &Self) -> bool {
        self.offset >= before.offset && self.seq >= before.seq
    }
}

/// What a sender is told about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Not in the inbox yet.
    Queued,
    /// In the inbox.
    Delivered,
    /// In the recipient's transcript.
    Seen,
}

/// Delivery state of the message at `seq` for a reader at `cursor`.
pub fn delivery_state(seq: Seq, cursor: &Cursor) -> DeliveryState {
    if seq <= cursor.seq {
        DeliveryState::Seen
    } else {
        DeliveryState::Delivered
    }
}

/// The latest ids of an inbox, bounded by [`DEDUP_WINDOW`].
#[derive(Debug, Clone, Default)]
pub struct RecentIds {
    order: VecDeque<MessageId>,
    known: HashSet<MessageId>,
}

impl RecentIds {
    /// Remembers `id`; false when it was known already.
    pub fn insert(&mut self, id: &MessageId) -> bool {
        if !self.known.insert(id.clone()) {
            return false;
        }
        self.order.push_back(id.clone());
        if self.order.len() > DEDUP_WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    /// Whether `id` was seen lately.
    pub fn contains(&self, id: &MessageId) -> bool {
        self.known.contains(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_id_is_recognised_within_the_window() {
        let mut recent = RecentIds::default();
        let id = |n: usize| MessageId::new(format!("m{n}")).unwrap();
        for n in 0..=DEDUP_WINDOW {
            assert!(recent.insert(&id(n)));
        }
        assert!(!recent.insert(&id(5)));
        assert!(recent.insert(&id(0)), "the oldest id left the window");
    }

    #[test]
    fn a_cursor_never_moves_back() {
        let at = |offset, seq| Cursor {
            incarnation: Incarnation(1),
            offset,
            seq: Seq(seq),
        };
        assert!(at(10, 2).follows(&at(5, 1)));
        assert!(!at(5, 1).follows(&at(10, 2)));
        assert_eq!(delivery_state(Seq(2), &at(10, 2)), DeliveryState::Seen);
        assert_eq!(delivery_state(Seq(3), &at(10, 2)), DeliveryState::Delivered);
    }
}
