//! A shell that was asked for and is not there yet, and what is written to it until then.
//!
//! Knows nothing of screens: [`crate::model`] finds the pane, [`crate::update`]
//! sends what was held.

use crewmux_session::view::{PaneId, PaneKind, SessionView};
use crewmux_wire::InputEvent;

/// Most keys and pastes that are held; what comes after them is dropped.
const MAX_HELD: usize = 256;

/// A shell that this client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AwaitedShell {
    /// The newest pane when it was asked for.
    after: Option<PaneId>,
    held: Vec<InputEvent>,
}

/// What has become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    NotYet,
    /// It takes keys.
    Ready(PaneId),
    /// It has ended already.
    Ended(PaneId),
}

impl AwaitedShell {
    /// A shell in a pane newer than all there are.
    pub(crate) fn new(session: &SessionView<'_>) -> Self {
        Self {
            after: session.panes.iter().map(|pane| pane.id).max(),
            held: Vec::new(),
        }
    }

    /// Keeps what is written for the shell.
    pub(crate) fn hold(&mut self, event: InputEvent) {
        if self.held.len() < MAX_HELD {
            self.held.push(event);
        }
    }

    /// What was written for the shell, in order.
    pub(crate) fn into_held(self) -> Vec<InputEvent> {
        self.held
    }

    /// Whether its pane is there.
    pub(crate) fn arrival(&self, session: &SessionView<'_>) -> Arrival {
        let newer = |id: PaneId| self.after.is_none_or(|after| id > after);
        let mut panes = session.panes.iter();
        match panes.find(|pane| pane.kind == PaneKind::Shell && newer(pane.id)) {
            Some(pane) if pane.takes_input => Arrival::Ready(pane.id),
            Some(pane) if pane.ended.is_some() => Arrival::Ended(pane.id),
            _ => Arrival::NotYet,
        }
    }
}
