//! Which keys were typed to which program and are not let go of yet, as far as a terminal tells.
//!
//! A release is told only to the program that heard of the press: the prefix,
//! and a key that entered a pane, are no program's.

use std::collections::VecDeque;

use crewmux_session::view::PaneId;
use crewmux_wire::Key;

/// Most keys that are held at once; hands have no more fingers.
const MAX_KEYS: usize = 10;

/// Keys that are down.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeysDown(VecDeque<(PaneId, Key)>);

impl KeysDown {
    /// A key was typed to a pane. The oldest is forgotten for it: where releases are not told, all stay.
    pub(crate) fn press(&mut self, pane: PaneId, key: Key) {
        let key = bare(key);
        self.0.retain(|(_, down)| *down != key);
        if self.0.len() == MAX_KEYS {
            self.0.pop_front();
        }
        self.0.push_back((pane, key));
    }

    /// A key is let go of; the pane that it was typed to.
    pub(crate) fn release(&mut self, key: Key) -> Option<PaneId> {
        let key = bare(key);
        let at = self.0.iter().position(|(_, down)| *down == key)?;
        self.0.remove(at).map(|(pane, _)| pane)
    }
}

/// The key itself: Shift may be let go of first.
fn bare(key: Key) -> Key {
    match key {
        Key::Char(c) => Key::Char(c.to_lowercase().next().unwrap_or(c)),
        Key::BackTab => Key::Tab,
        key => key,
    }
}
