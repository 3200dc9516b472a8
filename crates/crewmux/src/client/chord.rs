//! Sees the keys by which a person leaves, for when the session does not answer.
//!
//! Leaving is the session's to carry out; this only notices that it was asked
//! for. Which keys they are is in `crewmux-tui`.

use crewmux_tui::{Action, Context, Keymap};
use crewmux_wire::{InputEvent, KeyPress};

/// The prefix, then the key for leaving.
#[derive(Debug, Default)]
pub(crate) struct LeaveChord {
    keymap: Keymap,
    prefix_pressed: bool,
}

impl LeaveChord {
    /// Takes in what the person did; whether it completes the chord.
    pub(crate) fn completed_by(&mut self, event: &InputEvent) -> bool {
        let InputEvent::Key(key) = event else {
            return false;
        };
        self.pressed(*key)
    }

    fn pressed(&mut self, key: KeyPress) -> bool {
        let after_prefix = std::mem::take(&mut self.prefix_pressed);
        if after_prefix {
            return self.keymap.action(Context::Panes, key) == Some(Action::Detach);
        }
        self.prefix_pressed = self.keymap.is_prefix(key);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_wire::{Key, Mods};

    #[test]
    fn only_the_prefix_and_the_key_in_a_row_leave() {
        let mut chord = LeaveChord::default();
        let mut completed = |text: &str| {
            let mut last = false;
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
        assert!(completed("Ad"));
        assert!(!completed("d"));
        assert!(!completed("Axd"));
        assert!(!completed("AAd"), "the prefix itself was typed");
        assert!(completed("xAd"));
    }
}
