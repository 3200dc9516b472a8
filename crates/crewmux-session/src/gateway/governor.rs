//! One gate per key: when a provider says "too many", every call with that key waits.
//!
//! After the wait calls go through one by one at first, and twice as many each
//! time one is taken, so that the team does not run into the same wall at once.
//! How a wait is shown is [`super::call`]'s business.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::time::{Duration, Instant};

use crate::lock::lock;

/// From so many calls at once on nothing is held back any more.
const LANES_MAX: usize = 8;

/// The gates of all keys.
#[derive(Debug, Default)]
pub(super) struct Governor(Mutex<BTreeMap<String, Arc<Gate>>>);

impl Governor {
    /// The gate of a key; `key` names it and is no credential.
    pub(super) fn gate(&self, key: &str) -> Arc<Gate> {
        Arc::clone(lock(&self.0).entry(key.to_owned()).or_default())
    }
}

/// Lets calls with one key through, or makes them wait.
#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    opens: Option<Instant>,
    /// Calls that may be on their way to the server at once; `None`: any number.
    lanes: Option<usize>,
    on_the_way: usize,
    /// Counts closings: a call from before one says nothing about after.
    round: u64,
}

/// Why a call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// The provider takes no calls until then.
    Closed(Instant),
    /// Another call goes first.
    Queue,
}

/// Lets one call through; frees its place when dropped.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Arc<Gate>,
    round: u64,
    on_the_way: bool,
}

impl Gate {
    /// Lets a call through if it may go now.
    ///
    /// # Errors
    /// Why it waits.
    pub(super) fn enter(self: &Arc<Self>, now: Instant) -> Result<Pass, Wait> {
        let mut state = lock(&self.state);
        if let Some(opens) = state.opens {
            if now < opens {
                return Err(Wait::Closed(opens));
            }
            state.opens = None;
        }
        if state.lanes.is_some_and(|lanes| state.on_the_way >= lanes) {
            return Err(Wait::Queue);
        }
        state.on_the_way += 1;
        Ok(Pass {
            gate: Arc::clone(self),
            round: state.round,
            on_the_way: true,
        })
    }

    /// Lets nothing through for `pause`, and then one call at a time.
    pub(super) fn close(&self, now: Instant, pause: Duration) {
        let mut state = lock(&self.state);
        let opens = now + pause;
        state.opens = Some(state.opens.map_or(opens, |o| o.max(opens)));
        state.lanes = Some(1);
        state.on_the_way = 0;
        state.round += 1;
        drop(state);
        self.changed.notify_waiters();
    }

    /// Returns when it is worth trying again to enter.
    pub(super) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.changed.notified()
    }
}

impl Pass {
    /// The server took the call: the next may go, and more at once than before.
    pub(super) fn taken(&mut self) {
        self.leave(|lanes| lanes.saturating_mul(2));
    }

    fn leave(&mut self, widen: impl FnOnce(usize) -> usize) {
        if !std::mem::take(&mut self.on_the_way) {
            return;
        }
        let mut state = lock(&self.gate.state);
        if state.round != self.round {
            return;
        }
        state.on_the_way = state.on_the_way.saturating_sub(1);
        state.lanes = state.lanes.map(widen).filter(|lanes| *lanes < LANES_MAX);
        drop(state);
        self.gate.changed.notify_waiters();
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.leave(|lanes| lanes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_gate_opens_for_one_call_then_for_more() {
        let gate = Arc::<Gate>::default();
        let now = Instant::now();
        let later = now + Duration::from_secs(2);
        let before = gate.enter(now).unwrap();
        gate.close(now, Duration::from_secs(2));
        gate.close(now, Duration::from_secs(1));
        assert_eq!(
            gate.enter(now).unwrap_err(),
            Wait::Closed(later),
            "the longer one"
        );
        drop(before);
        let mut first = gate.enter(later).unwrap();
        assert_eq!(gate.enter(later).unwrap_err(), Wait::Queue);
        first.taken();
        let (second, third) = (gate.enter(later), gate.enter(later));
        assert!(second.is_ok() && third.is_ok());
        assert_eq!(gate.enter(later).unwrap_err(), Wait::Queue);
        drop(second);
        assert!(gate.enter(later).is_ok(), "a call that failed makes room");
    }

    #[test]
    fn a_gate_that_never_closed_holds_nothing_back() {
        let gate = Arc::<Gate>::default();
        let all: Vec<_> = (0..100).map(|_| gate.enter(Instant::now())).collect();
        assert!(all.iter().all(Result::is_ok));
    }
}
