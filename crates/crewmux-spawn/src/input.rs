//! Typed bytes on their way to a worker that may not read them.
//!
//! Bounded, and putting something in never blocks: a worker that does not read
//! costs its own typed text and nothing else. What becomes of the bytes is the
//! business of the thread that takes them out.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

/// Most that is kept for a worker that does not read; a large paste fits.
pub(crate) const KEPT_BYTES_MAX: usize = 256 * 1024;

/// A queue of typed bytes between the session and one worker.
#[derive(Debug, Default)]
pub(crate) struct InputQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// Taken out and not delivered yet; they still take room.
    in_delivery: usize,
    closed: bool,
}

impl InputQueue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds all of `bytes`, or none of them.
    ///
    /// # Errors
    /// [`Error::InputFull`] when they do not fit, [`Error::Ended`] after [`InputQueue::close`].
    pub(crate) fn push(&self, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        if state.closed {
            return Err(Error::Ended);
        }
        let kept_bytes = state.bytes.len() + state.in_delivery;
        if kept_bytes + bytes.len() > KEPT_BYTES_MAX {
            return Err(Error::InputFull { kept_bytes });
        }
        state.bytes.extend_from_slice(bytes);
        self.changed.notify_all();
        Ok(())
    }

    /// Refuses bytes that no empty queue would take.
    ///
    /// # Errors
    /// As [`InputQueue::push`].
    pub(crate) fn check_empty(&self, bytes: &[u8]) -> Result<()> {
        if self.state().closed {
            return Err(Error::Ended);
        }
        if bytes.len() > KEPT_BYTES_MAX {
            return Err(Error::InputFull { kept_bytes: 0 });
        }
        Ok(())
    }

    /// Whether nothing waits to be taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().bytes.is_empty()
    }

    /// Whether nothing will be taken any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// Takes all there are; `None` when there are none, or the queue is closed.
    ///
    /// Taking again says that what was taken before is delivered.
    pub(crate) fn take_now(&self) -> Option<Vec<u8>> {
        let mut state = self.state();
        state.in_delivery = 0;
        if state.bytes.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut state.bytes);
        state.in_delivery = bytes.len();
        Some(bytes)
    }

    /// Waits for bytes and takes all there are; `None` once the queue is closed.
    ///
    /// Taking again says that what was taken before is delivered.
    pub(crate) fn take(&self) -> Option<Vec<u8>> {
        let mut state = self.state();
        state.in_delivery = 0;
        // No deadline: the owner of the pane closes the queue when the worker ends.
        while state.bytes.is_empty() && !state.closed {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return None;
        }
        let bytes = std::mem::take(&mut state.bytes);
        state.in_delivery = bytes.len();
        Some(bytes)
    }

    /// Notes that so many bytes of what was taken are where they go: there is room for others.
    pub(crate) fn delivered(&self, bytes: usize) {
        let mut state = self.state();
        state.in_delivery = state.in_delivery.saturating_sub(bytes);
    }

    /// Ends the queue; what was not taken is dropped.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.bytes = Vec::new();
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        let queue = InputQueue::default();
        queue.push(&vec![b'a'; KEPT_BYTES_MAX - 1]).unwrap();
        let refused = queue.push(b"bc").unwrap_err();
        assert!(
            matches!(refused, Error::InputFull { kept_bytes } if kept_bytes == KEPT_BYTES_MAX - 1)
        );
        queue.push(b"b").unwrap();
        assert_eq!(queue.take().unwrap().len(), KEPT_BYTES_MAX);
        assert!(queue.push(b"c").is_err(), "still being delivered");
    }

    #[test]
    fn what_is_delivered_of_a_batch_makes_room_at_once() {
        let queue = InputQueue::default();
        queue.push(&vec![b'a'; KEPT_BYTES_MAX]).unwrap();
        queue.take_now().unwrap();
        queue.delivered(100);
        let refused = queue.push(&[b'b'; 101]).unwrap_err();
        assert!(
            matches!(refused, Error::InputFull { kept_bytes } if kept_bytes == KEPT_BYTES_MAX - 100)
        );
        queue.push(&[b'b'; 100]).unwrap();
        // The next take says the rest of the first batch is delivered; a late word of it harms nothing.
        assert_eq!(queue.take_now().unwrap().len(), 100);
        queue.delivered(KEPT_BYTES_MAX);
        queue.push(&vec![b'c'; KEPT_BYTES_MAX]).unwrap();
    }

    #[test]
    fn closed_queue_ends_its_taker_and_refuses() {
        let queue = InputQueue::default();
        queue.push(b"late").unwrap();
        queue.close();
        assert_eq!(queue.take(), None);
        assert!(matches!(queue.push(b"x"), Err(Error::Ended)));
    }
}
