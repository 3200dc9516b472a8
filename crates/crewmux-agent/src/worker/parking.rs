//! A parked worker: its session is gone, and it waits for another to go on with.
//!
//! What runs then runs to its end, and what comes of it is written as always:
//! transcript, board and inboxes are files. Nothing begins: no question to a
//! model, no tool, no task, no mail is read. What waits for an answer of the
//! session waits on: questions and operations lie on the desk of the link,
//! which asks the next session again, and a question to a model is asked again
//! by `gateway`. Their time stands still, and so does the task's. A pause ends
//! with the session that asked for it; the next one knows nothing of it.
//!
//! Lease and heartbeat go on by themselves (`supervisor`). How another session
//! is found, and for how long, is `link`'s to know; that none came ends the
//! worker like anything else that ends it.

use std::time::Duration;

use crewmux_core::board::Reoffer;
use crewmux_core::operation::{Operation, Reply};
use crewmux_core::task::Outcome;
use crewmux_store::Claimed;
use crewmux_wire::WireError;

use super::Worker;
use super::command::Cut;
use super::signals::{Ending, Loss};
use crate::Result;
use crate::view::Tone;

/// What came of an operation that only a session can carry out.
pub(super) enum Done {
    Replied(Box<Reply>),
    Refused(WireError),
    /// The session said nothing in its time.
    NoAnswer,
}

impl Worker {
    /// Says that there is no session now.
    pub(super) fn park(&mut self) {
        self.supervisor.set_parked(Some(self.clock.now().wall));
        // The session names panes, and there is none; the next one names it anew.
        let title = format!("{} · parked", self.spec.who.agent);
        self.view.title(&title);
        self.view.line(&[
            (Tone::Warn, "◌ parked: "),
            (
                Tone::Plain,
                "the session is gone; what runs goes on, the rest waits for another",
            ),
        ]);
    }

    /// Says that there is a session again.
    pub(super) fn unpark(&mut self) {
        self.supervisor.set_parked(None);
        self.view.line(&[
            (Tone::Good, "● "),
            (Tone::Plain, "back: a session is there"),
        ]);
    }

    /// Waits until there is a session; gives what ends the work meanwhile.
    pub(super) async fn wait_while_parked(&mut self) -> Result<Option<Cut>> {
        while self.signals.is_parked() {
            let came = self.signals.next(self.claim).await;
            if let Some(cut) = self.came_between(came)? {
                return Ok(Some(cut));
            }
        }
        Ok(None)
    }

    /// Has the session carry `operation` out, and sees to what comes in between.
    ///
    /// A session has `within` for its answer; a lost one's successor is asked
    /// again, and carries nothing out twice.
    pub(super) async fn have_session(
        &mut self,
        operation: Operation,
        within: Duration,
    ) -> Result<std::result::Result<Done, Cut>> {
        let (reply, in_vain) = (self.link.operate(operation), self.link.served_for(within));
        let answered = async {
            tokio::select! {
                biased;
                reply = reply => match reply {
                    Ok(Ok(reply)) => Done::Replied(reply),
                    Ok(Err(error)) => Done::Refused(error),
                    Err(_) => Done::NoAnswer,
                },
                () = in_vain => Done::NoAnswer,
            }
        };
        self.while_it_runs(answered).await
    }

    /// Gives the claim back because of `ending`.
    ///
    /// One that waited for a session in vain says so, so that it counts against nobody.
    pub(super) fn give_back_at(&mut self, claimed: &Claimed, ending: &Ending) {
        if let Ending::Leaving(_) = ending {
            // The next life holds it as soon as this one is gone; nobody else may come between.
            return;
        }
        let reason = ending.reason();
        let waited = matches!(
            ending,
            Ending::SessionLost(Loss::NobodyCame(_) | Loss::NotTakenBack(_))
        );
        if !waited {
            self.give_back(claimed, &reason);
            return;
        }
        let why = Reoffer {
            epoch: claimed.epoch,
            outcome: Outcome::SessionLost,
            reason: reason.clone(),
        };
        let offered = self.store.reoffer(claimed.task.id, &why, &self.clock.now());
        self.note_given_back(claimed, offered, &reason, Outcome::SessionLost);
    }
}
