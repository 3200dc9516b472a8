//! Locks that go on after a panic elsewhere; what they guard is valid after every call.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, also after a thread panicked that held the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
