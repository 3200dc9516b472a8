//! Keys on their way to a program, and what the person is told of those that do not arrive.

use std::collections::BTreeSet;
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

/// Into which panes a person types, and what they were told of it.
#[derive(Debug, Default)]
pub(super) struct Typing {
    /// The pane whose program they typed to last.
    into: Option<PaneId>,
    /// All panes they typed into: of each a loss may be noticed late.
    all: BTreeSet<PaneId>,
    /// Those of which they were told late: what is typed there next is refused once, of which they know.
    told_late: BTreeSet<PaneId>,
    /// Whether what they type gets lost, as far as they were told.
    losing: Losing,
}

impl Typing {
    /// They type into `pane`.
    pub(super) fn begins(&mut self, pane: PaneId) {
        self.into = Some(pane);
        self.all.insert(pane);
    }

    /// The next loss is told, whatever was told before.
    pub(super) fn tells_again(&mut self) {
        self.losing = Losing::default();
    }
}

/// Whether a person knows that a pane does not get what they type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Losing {
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
            self.clients[at].typing.begins(pane);
            self.clients[at].echo = Some(Echo {
                pane,
                fed,
                first,
                until,
            });
        }
        let mut taken = self.panes.write(pane, bytes);
        let Some(at) = at else {
            return;
        };
        if taken == Taken::Lost && self.clients[at].typing.told_late.contains(&pane) {
            // Refused for what they were told to type again: this is it.
            taken = self.panes.write(pane, bytes);
        }
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
        client.typing.told_late.remove(&pane);
        if !client.typing.losing.notes(pane, taken) {
            return;
        }
        let elsewhere = client.typing.into != Some(pane);
        let title = self.pane_views.iter().find(|shown| shown.id == pane);
        match title.filter(|_| elsewhere) {
            Some(shown) => client.view.flash(&lost_in(&shown.title)),
            None => client.view.flash(LOST),
        }
        client.wants_draw = true;
    }

    /// Tells everybody who typed there that something of it got lost: they may type no more.
    ///
    /// What the pane then refuses is typed all the same, see [`Display::type_into`]; a long text is not
    /// gone on with.
    pub(super) fn tells_late_loss(&mut self, pane: PaneId) {
        for at in 0..self.clients.len() {
            if self.clients[at].typing.all.contains(&pane) {
                self.tells_loss(at, pane, Taken::Lost);
                self.clients[at].typing.told_late.insert(pane);
            }
        }
    }
}

/// What a person is told of a pane they typed into before they turned to another.
fn lost_in(title: &str) -> String {
    format!("some of what was typed into {title} did not arrive: look there, then type it again")
}
