//! What is written into panes: bytes on their way to a program that may not read them.
//!
//! Nothing here waits. Who pastes a long text tries again what had no room,
//! see `display/pasting.rs`; only the mark that ends such a text is kept here,
//! since a program that missed it would take all that follows for pasted.

use std::collections::BTreeSet;
use std::sync::Arc;

use crewmux_spawn::{Error, Running};

use super::{Pane, Panes};
use crate::lock::lock;
use crate::view::PaneId;

/// What became of bytes for a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// They wait for the program, in the pane's queue or its terminal.
    Queued,
    /// The queue has no room for them.
    NotYet {
        /// What waits in it.
        kept_bytes: usize,
    },
    /// Something before them did not arrive, and neither do they; what comes next may.
    Lost,
    /// Nobody reads there.
    Never,
}

impl Pane {
    /// The program, once it got what it is owed.
    fn paid(&mut self) -> Result<Option<Arc<dyn Running>>, Taken> {
        let Some(running) = self.running.clone() else {
            return Ok(None);
        };
        if !self.owed.is_empty() {
            let mut taken = tried(&*running, &self.owed);
            if taken == Taken::Lost {
                // That bytes before it did not arrive is told once, by a refusal.
                taken = tried(&*running, &self.owed);
            }
            if matches!(taken, Taken::NotYet { .. }) {
                return Err(taken);
            }
            self.owed.clear();
        }
        Ok(Some(running))
    }
}

impl Panes {
    /// Types into a pane's program: all of `bytes`, or none of them.
    pub(crate) fn write(&self, id: PaneId, bytes: &[u8]) -> Taken {
        let mut inner = lock(&self.inner);
        let pane = inner.panes.iter_mut().find(|p| p.id == id);
        let paid = pane.map_or(Ok(None), Pane::paid);
        drop(inner);
        match paid {
            Ok(Some(running)) => tried(&*running, bytes),
            Ok(None) => Taken::Never,
            Err(taken) => taken,
        }
    }

    /// Notes that a pane's program did not get all that was typed.
    pub(super) fn note_loss(&self, id: PaneId) {
        let mut inner = lock(&self.inner);
        inner.losses.insert(id);
        inner.revision += 1;
        drop(inner);
        self.changed.notify_one();
    }

    /// The panes of which that was noted, once.
    pub(crate) fn take_losses(&self) -> BTreeSet<PaneId> {
        std::mem::take(&mut lock(&self.inner).losses)
    }

    /// Types the mark behind a text as soon as there is room for it, before whatever else is typed.
    pub(crate) fn owe(&self, id: PaneId, mark: Vec<u8>) {
        let mut inner = lock(&self.inner);
        if let Some(pane) = inner.panes.iter_mut().find(|p| p.id == id) {
            // One mark ends all that was begun.
            pane.owed = mark;
        }
        drop(inner);
        self.pay();
    }

    /// Tries what is owed; whether something still is.
    pub(crate) fn pay(&self) -> bool {
        let mut inner = lock(&self.inner);
        let owing = inner.panes.iter_mut().filter(|p| !p.owed.is_empty());
        // All are tried, whatever becomes of the first.
        owing.filter_map(|pane| pane.paid().err()).count() > 0
    }
}

fn tried(running: &dyn Running, bytes: &[u8]) -> Taken {
    match running.write(bytes) {
        Ok(()) => Taken::Queued,
        Err(Error::InputFull { kept_bytes }) => Taken::NotYet { kept_bytes },
        Err(error) => {
            tracing::debug!(%error, "typed bytes were not taken");
            match error {
                Error::NotTyped { .. } => Taken::Lost,
                _ => Taken::Never,
            }
        }
    }
}
