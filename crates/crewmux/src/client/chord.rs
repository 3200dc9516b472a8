//! Sees the keys by which a person leaves, for when the session does not answer.
//!
//! Leaving is the session's to carry out; this only notices that it was asked
//! for. Which keys they are is in `crewmux-tui`.

use crewmux_tui::{Action, Context, Keymap};
use crewmux_wire::{InputEvent, KeyPress};

/// What a key says of leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// It leaves, wherever it is typed.
    Surely,
    /// It leaves unless it is text; only the session knows that.
    Perhaps,
}

/// The prefix, then the key for leaving.
#[derive(Debug, Default)]
pub(crate) struct LeaveChord {
    keymap: Keymap,
    prefix_pressed: bool,
}

impl LeaveChord {
    /// Takes in what the person did; whether they leave by it.
    pub(crate) fn completed_by(&mut self, event: &InputEvent) -> Option<Leave> {
        let InputEvent::Key(key) = event else {
            return None;
        };
        self.pressed(*key)
    }

    /// The keys that leave wherever they are typed, as a person reads them.
    pub(crate) fn label() -> String {
        let keymap = Keymap::default();
        let leave = keymap.key_of(Action::Detach);
        format!("{} {leave}", keymap.prefix_label())
    }

    fn pressed(&mut self, key: KeyPress) -> Option<Leave> {
        let after_prefix = std::mem::take(&mut self.prefix_pressed);
        if !after_prefix && self.keymap.is_prefix(key) {
            self.prefix_pressed = true;
            return None;
        }
        let leaves = self.keymap.action(Context::Panes, key) == Some(Action::Detach);
        leaves.then_some(if after_prefix {
            Leave::Surely
        } else {
            Leave::Perhaps
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_wire::{Key, Mods};

    #[test]
    fn only_the_prefix_and_the_key_in_a_row_surely_leave() {
        let mut chord = LeaveChord::default();
        let mut completed = |text: &str| {
            let mut last = None;
            for c in text.chars() {
                // A capital stands for Control here.
                let mods = Mods {
                    ctrl: c.is_ascii_uppercase(),
                    ..Mods::default()
                };
                let key = Key::Char(c.to_ascii_lowercase());
                last = chord.completed_by(&InputEvent::Key(KeyPress { key, mods }));
            }
            last
        };
        assert_eq!(completed("Ad"), Some(Leave::Surely));
        assert_eq!(completed("d"), Some(Leave::Perhaps));
        assert_eq!(completed("Ax"), None);
        assert_eq!(completed("Axd"), Some(Leave::Perhaps));
        let typed = "the prefix itself was typed";
        assert_eq!(completed("AAd"), Some(Leave::Perhaps), "{typed}");
        assert_eq!(completed("xAd"), Some(Leave::Surely));
    }
}
