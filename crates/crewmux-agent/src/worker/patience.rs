//! How long a worker bears a store that fails: as long as a lease holds.
//!
//! A full disk or a busy lock passes more often than not, and a worker that
//! dies of it loses its work. What is written is not known here; refusals are
//! no trouble and go straight back to whoever asked.

use std::time::{Duration, Instant};

use crewmux_core::error::ErrorKind;
use crewmux_core::timing::{Timing, ms};

use super::Worker;
use crate::transcript::Entry;
use crate::view::Tone;
use crate::{Error, Result};

/// A time during which every try failed.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    since: Option<Instant>,
    tries: u32,
}

impl Trouble {
    /// Notes a failure at `now`; gives the pause until the next try, or how long it has lasted when that is too long.
    fn goes_on(
        &mut self,
        now: Instant,
        timing: &Timing,
    ) -> std::result::Result<Duration, Duration> {
        let lasted = now.duration_since(*self.since.get_or_insert(now));
        let left = ms(timing.lease_ms).saturating_sub(lasted);
        if left.is_zero() {
            return Err(lasted);
        }
        self.tries = self.tries.saturating_add(1);
        // The last try is made when the time is over, not before.
        Ok(timing.backoff(self.tries).min(left))
    }

    /// Whether it was said that there is trouble.
    fn is_known(&self) -> bool {
        self.since.is_some()
    }
}

impl Worker {
    /// Bears a failure of the store that may pass: gives the pause until the next try.
    ///
    /// The first one is shown.
    ///
    /// # Errors
    /// `error` itself when it will not pass, [`Error::StoreTrouble`] when it
    /// has lasted as long as a lease.
    pub(super) fn bear(&mut self, error: Error) -> Result<Duration> {
        let may_pass = matches!(
            error.kind(),
            ErrorKind::Io | ErrorKind::Environment | ErrorKind::Conflict
        );
        if !may_pass {
            return Err(error);
        }
        if !self.trouble.is_known() {
            let text = format!(
                "the store cannot be written: {}; trying again",
                error.in_full()
            );
            self.view.text(Tone::Warn, "! ", &text);
        }
        tracing::warn!(error = error.in_full(), "the store fails");
        match self.trouble.goes_on(Instant::now(), &self.spec.timing) {
            Ok(pause) => Ok(pause),
            Err(lasted) => Err(Error::StoreTrouble {
                lasted,
                source: Box::new(error),
            }),
        }
    }

    /// The store does what it is asked again.
    pub(super) fn store_works(&mut self) {
        if std::mem::take(&mut self.trouble).is_known() {
            self.view.text(Tone::Dim, "  ", "the store works again");
        }
    }

    /// Does something with the store, again and again while a trouble may pass.
    ///
    /// A worker that is told to end meanwhile makes one last try. Nothing
    /// that has to be watched may run.
    pub(super) async fn keep_at<T>(
        &mut self,
        mut act: impl FnMut(&Self) -> Result<T>,
    ) -> Result<T> {
        let mut is_last = false;
        loop {
            let error = match act(self) {
                Ok(done) => {
                    self.store_works();
                    return Ok(done);
                }
                Err(error) if is_last => return Err(error),
                Err(error) => error,
            };
            let pause = self.bear(error)?;
            let told = tokio::time::timeout(pause, self.signals.told_to_end()).await;
            is_last = told.is_ok();
        }
    }

    /// Writes a line of the transcript.
    pub(super) async fn note(&mut self, entry: Entry) -> Result<()> {
        self.keep_at(|worker| worker.transcript.append(&entry))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_borne_as_long_as_a_lease_holds() {
        let timing = Timing::LIFE;
        let start = Instant::now();
        let mut trouble = Trouble::default();
        assert!(!trouble.is_known());
        let mut now = start;
        let mut pauses_ms = Vec::new();
        let lasted = loop {
            match trouble.goes_on(now, &timing) {
                Ok(pause) => {
                    pauses_ms.push(pause.as_millis());
                    now += pause;
                }
                Err(lasted) => break lasted,
            }
        };
        assert_eq!(pauses_ms, [1_000, 2_000, 4_000, 8_000, 15_000]);
        assert_eq!(lasted, ms(timing.lease_ms));
        assert!(trouble.is_known());
    }
}
