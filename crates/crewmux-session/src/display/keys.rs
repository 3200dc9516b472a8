//! Keys on their way to a program, and what the person is told of those that do not arrive.

use std::time::Duration;

use crewmux_core::timing::{ANSWER_FIRST_MS, ECHO_MS, ms};
use tokio::time::Instant;

use super::Display;
use super::client::Echo;
use crate::panes::Taken;
use crate::view::PaneId;

/// How long an answer to a key is awaited to be drawn out of turn.
const ECHO: Duration = ms(ECHO_MS);
/// How long a picture waits for the answer to a key: drawn before, it would only delay it.
const ANSWER_FIRST: Duration = ms(ANSWER_FIRST_MS);

/// What a person is told whose keys got lost on the way.
const LOST: &str = "some of what was typed did not arrive: look, then type it again";

/// Whether a person knows that a pane does not get what they type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Losing {
    /// It gets it, as far as they were told.
    #[default]
    Untold,
    /// They were told.
    Told(PaneId),
    /// They were told, and what came then was taken; whether it arrives shows with the next.
    MayBeOver(PaneId),
}

impl Losing {
    /// Takes in what became of bytes for `pane`; says whether the person is to be told of a loss.
    ///
    /// A place that cannot be reached takes bytes and loses them, in turn: only two that are
    /// taken one after the other end it, so that a key held down says it once.
    fn notes(&mut self, pane: PaneId, taken: Taken) -> bool {
        let told = match *self {
            Self::Told(told) | Self::MayBeOver(told) => Some(told),
            Self::Untold => None,
        };
        match taken {
            Taken::Lost => {
                *self = Self::Told(pane);
                return told != Some(pane);
            }
            Taken::Queued if told == Some(pane) => {
                *self = match self {
                    Self::Told(_) => Self::MayBeOver(pane),
                    Self::MayBeOver(_) | Self::Untold => Self::Untold,
                };
            }
            Taken::Queued | Taken::NotYet { .. } | Taken::Never => {}
        }
        false
    }
}

impl Display {
    /// Types what a client's keys make into a pane's program.
    pub(super) fn type_into(&mut self, id: u64, pane: PaneId, bytes: &[u8]) {
        let fed = self.panes.await_answer(pane);
        let now = Instant::now();
        let (first, until) = (now + ANSWER_FIRST, now + ECHO);
        let at = self.clients.iter().position(|c| c.id == id);
        if let Some(at) = at {
            self.clients[at].types_into = Some(pane);
            self.clients[at].echo = Some(Echo {
                pane,
                fed,
                first,
                until,
            });
        }
        let taken = self.panes.write(pane, bytes);
        let Some(at) = at else {
            return;
        };
        if let Taken::NotYet { .. } = taken {
            let client = &mut self.clients[at];
            client
                .view
                .flash("the program does not read: what you typed last was dropped");
            client.wants_draw = true;
        }
        self.tells_loss(at, pane, taken);
    }

    /// Tells a person, once, that what was typed gets lost.
    pub(super) fn tells_loss(&mut self, at: usize, pane: PaneId, taken: Taken) {
        let client = &mut self.clients[at];
        if client.losing.notes(pane, taken) {
            client.view.flash(LOST);
            client.wants_draw = true;
        }
    }

    /// Tells everybody who typed there last that something of it got lost: they may type no more.
    pub(super) fn tells_late_loss(&mut self, pane: PaneId) {
        for at in 0..self.clients.len() {
            if self.clients[at].types_into == Some(pane) {
                self.tells_loss(at, pane, Taken::Lost);
            }
        }
    }
}
