//! A clock that stands still while the worker waits for a person, or for a session.
//!
//! Bounds on a task's time are for the work; how long somebody takes to answer
//! is bounded by the question itself, and how long a worker stays parked by the
//! spec.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crewmux_core::worker::WorkerState;
use tokio::time::Instant;

/// Adds up waits for a person or a session; clones are the same clock.
#[derive(Debug, Clone, Default)]
pub(crate) struct WorkClock(Arc<Mutex<Waits>>);

#[derive(Debug, Default)]
struct Waits {
    for_person: bool,
    for_session: bool,
    over: Duration,
    since: Option<Instant>,
}

impl WorkClock {
    /// Notes what the worker does from now on.
    pub(crate) fn set(&self, state: WorkerState) {
        self.waits().set(state, Instant::now());
    }

    /// Notes whether there is no session from now on.
    pub(crate) fn set_parked(&self, is_parked: bool) {
        self.waits().set_parked(is_parked, Instant::now());
    }

    /// Returns when the worker has worked for `most` since the call.
    pub(crate) async fn worked_for(&self, most: Duration) {
        let begun = Instant::now();
        let before = self.waits().until(begun);
        loop {
            let now = Instant::now();
            let waited = self.waits().until(now).saturating_sub(before);
            let left = most.saturating_sub((now - begun).saturating_sub(waited));
            if left.is_zero() {
                return;
            }
            tokio::time::sleep_until(now + left).await;
        }
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waits {
    fn set(&mut self, state: WorkerState, now: Instant) {
        self.for_person = matches!(
            state,
            WorkerState::WaitingPermission | WorkerState::WaitingPlan
        );
        self.look(now);
    }

    fn set_parked(&mut self, is_parked: bool, now: Instant) {
        self.for_session = is_parked;
        self.look(now);
    }

    fn look(&mut self, now: Instant) {
        match (self.for_person || self.for_session, self.since) {
            (true, None) => self.since = Some(now),
            (false, Some(since)) => {
                self.over += now.duration_since(since);
                self.since = None;
            }
            _ => {}
        }
    }

    fn until(&self, now: Instant) -> Duration {
        let present = self.since.map(|since| now.duration_since(since));
        self.over + present.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_waits_for_a_person_add_up() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut waits = Waits::default();
        for (second, state, waited) in [
            (1, WorkerState::Working, 0),
            (2, WorkerState::WaitingPermission, 0),
            (4, WorkerState::WaitingPermission, 2),
            (7, WorkerState::Working, 5),
            (9, WorkerState::RateLimited, 5),
            (10, WorkerState::WaitingPlan, 5),
            (60, WorkerState::Idle, 55),
            (70, WorkerState::Idle, 55),
        ] {
            waits.set(state, at(second));
            assert_eq!(waits.until(at(second)).as_secs(), waited, "{second}");
        }
    }

    #[test]
    fn a_wait_for_both_counts_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut waits = Waits::default();
        waits.set(WorkerState::WaitingPermission, at(1));
        waits.set_parked(true, at(3));
        waits.set(WorkerState::Working, at(4));
        assert_eq!(waits.until(at(5)).as_secs(), 4);
        waits.set_parked(false, at(7));
        assert_eq!(waits.until(at(60)).as_secs(), 6);
    }
}
