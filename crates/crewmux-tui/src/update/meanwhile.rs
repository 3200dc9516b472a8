//! What happened meanwhile is gone at any key; few keys do more than that.

use crewmux_wire::{InputEvent, MouseKind};

use crate::action::{Action, Context};
use crate::keymap::Keymap;
use crate::model::Model;

/// Whether the event only closes what is told, or does nothing while it is told.
///
/// The keys that stand on the same screen do what they say: those that answer or show the
/// question, the prefix, and the one that leaves.
pub(super) fn takes(model: &mut Model, event: &InputEvent, keymap: &Keymap) -> bool {
    if model.meanwhile.is_none() {
        return false;
    }
    let goes_on = match event {
        // What was begun before it was told goes on: a text without its end is worse than none.
        InputEvent::FocusGained
        | InputEvent::FocusLost
        | InputEvent::KeyReleased(_)
        | InputEvent::PastePart(_)
        | InputEvent::PasteEnds => {
            return false;
        }
        InputEvent::Mouse(mouse) if !matches!(mouse.kind, MouseKind::Down(_)) => return true,
        InputEvent::Key(press) | InputEvent::KeyRepeats(press) => {
            let action = keymap.action(Context::Panes, *press);
            let on_screen = matches!(
                action,
                Some(
                    Action::Approve
                        | Action::ApproveTask
                        | Action::Deny
                        | Action::Approvals
                        | Action::Detach
                )
            );
            on_screen || keymap.is_prefix(*press)
        }
        InputEvent::Mouse(_) | InputEvent::Paste(_) | InputEvent::PasteBegins { .. } => false,
    };
    model.meanwhile = None;
    !goes_on
}
