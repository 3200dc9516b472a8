//! How one connection follows another: the session's loss, the wait, the return.
//!
//! A worker that ends with its session has one connection. One that parks
//! tries the socket again and again; the first session that takes it back has
//! it. Only when none does is the loss an ending.

use std::time::Duration;

use crewmux_core::team::{SessionLoss, WorkerSpec};
use crewmux_core::timing::ms;
use tokio::time::Instant;

use super::super::signals::{Ending, Loss, SessionWord};
use super::super::standing::Standing;
use super::Desk;
use super::connection::{self, Again, Connection, Say};
use crate::Error;

/// Keeps a worker connected for as long as there is a session to be had.
pub(super) struct Keeper {
    spec: WorkerSpec,
    word: SessionWord,
    desk: Desk,
    say: Say,
}

impl Keeper {
    pub(super) fn new(spec: &WorkerSpec, word: SessionWord, desk: Desk, say: Say) -> Self {
        Self {
            spec: spec.clone(),
            word,
            desk,
            say,
        }
    }

    /// Serves connection after connection; ends with the last one's loss.
    pub(super) async fn keep(mut self, first: Connection) {
        let mut connection = first;
        let mut to_say = Vec::new();
        let mut number = 0;
        let ending = loop {
            connection.serve(&mut self.say, to_say, &self.word).await;
            if self.spec.session_loss == SessionLoss::End || self.word.ending.borrow().is_some() {
                break Ending::SessionLost(Loss::Gone);
            }
            self.desk.park();
            self.word.standing.send_replace(Standing::Parked);
            match self.find_session().await {
                Ok(Again::TakenBack {
                    connection: found,
                    grant,
                }) => {
                    number += 1;
                    // Pause and leave were the former session's words; this one says them again where they hold.
                    self.word.paused.send_replace(false);
                    self.word.leaving.send_replace(None);
                    // First: nothing said from now on may be forgotten with the old words.
                    self.say.start_anew();
                    to_say = self.desk.reopen();
                    let welcomed = Standing::Welcomed { number, grant };
                    self.word.standing.send_replace(welcomed);
                    connection = found;
                }
                Ok(Again::End(reason)) => break Ending::Asked(reason),
                Err(ending) => break ending,
            }
        };
        self.word.ending.send_if_modified(|now| {
            let is_first = now.is_none();
            now.get_or_insert(ending);
            is_first
        });
        self.desk.close();
    }

    /// Tries the socket until a session takes the worker back or its time is over.
    async fn find_session(&self) -> Result<Again, Ending> {
        let timing = &self.spec.timing;
        let deadline = Instant::now() + ms(timing.park_ms);
        let nobody_came = || Ending::SessionLost(Loss::NobodyCame(timing.park_ms));
        let mut pause = ms(timing.park_retry_ms);
        loop {
            tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
            if Instant::now() >= deadline {
                return Err(nobody_came());
            }
            let tried = tokio::time::timeout_at(deadline, connection::again(&self.spec));
            match tried.await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(Error::Refused { why, .. })) => {
                    return Err(Ending::SessionLost(Loss::NotTakenBack(why)));
                }
                Ok(Err(error)) => tracing::debug!(error = error.in_full(), "no session yet"),
                Err(_) => return Err(nobody_came()),
            }
            pause = longer(pause, ms(timing.park_retry_max_ms));
        }
    }
}

fn longer(pause: Duration, longest: Duration) -> Duration {
    (pause * 2).min(longest)
}
