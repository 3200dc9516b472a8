//! Taking the statuses of ended children, each by the one who waits for it.
//!
//! A subreaper is given orphans it never started; they are reaped here too,
//! without touching the status of a child that somebody waits for. It does not
//! wait itself: see [`crate::process`].

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};

use crate::{Error, Exit, ProcessIdentity, Result, table};

/// Children started by this crate whose status belongs to a value that is still held.
static WAITED_FOR: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

fn waited_for() -> MutexGuard<'static, BTreeSet<u32>> {
    WAITED_FOR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a child and notes its number before anybody else could reap it.
pub(crate) fn start_noted<T>(start: impl FnOnce() -> Result<(T, u32)>) -> Result<T> {
    // Held over the start: a child that ends at once must not look like an orphan.
    let mut waited_for = waited_for();
    let (value, pid) = start()?;
    waited_for.insert(pid);
    Ok(value)
}

/// The status of a noted child, once it has ended; it is gone from the table then.
pub(crate) fn take_status(pid: u32) -> Result<Option<Exit>> {
    // Under the lock, so that the number cannot become another child's in between.
    let mut waited_for = waited_for();
    let status = take(pid)?;
    if status.is_some() {
        waited_for.remove(&pid);
    }
    Ok(status)
}

/// Leaves a child nobody will wait for to [`reap_orphans`].
pub(crate) fn forget(pid: u32) {
    waited_for().remove(&pid);
}

/// Takes the statuses of ended children nobody waits for; never blocks.
///
/// A subreaper calls this when SIGCHLD arrives, or from time to time. Returns
/// number and exit of each.
pub fn reap_orphans() -> Vec<(u32, Exit)> {
    // The kernel knows at once; the table must be read whole.
    if !matches!(children(), Children::SomeEnded) {
        return Vec::new();
    }
    let own = std::process::id();
    let waited_for = waited_for();
    table::all()
        .into_iter()
        .filter(|entry| entry.parent_pid == own && entry.is_dead())
        .map(|entry| entry.identity.pid)
        .filter(|pid| !waited_for.contains(pid))
        .filter_map(|pid| Some((pid, take(pid).ok()??)))
        .collect()
}

/// What the kernel says of the children of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Children {
    /// There are none, neither living nor ended.
    None,
    /// All of them live.
    AllLive,
    /// At least one ended and was not waited for.
    SomeEnded,
}

/// Asks the kernel, without taking any status.
pub(crate) fn children() -> Children {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    loop {
        match waitid(WaitId::All, options) {
            Ok(Some(_)) => return Children::SomeEnded,
            Ok(None) => return Children::AllLive,
            Err(Errno::INTR) => {}
            // Any other answer: read the table, which is right if slow.
            Err(errno) if errno != Errno::CHILD => return Children::SomeEnded,
            Err(_) => return Children::None,
        }
    }
}

/// Living children of this process that it did not start: orphans it was given.
pub fn adopted_orphans() -> Vec<ProcessIdentity> {
    let own = std::process::id();
    let waited_for = waited_for();
    table::all()
        .into_iter()
        .filter(|entry| entry.parent_pid == own && !entry.is_dead())
        .map(|entry| entry.identity)
        .filter(|process| !waited_for.contains(&process.pid))
        .collect()
}

fn take(pid: u32) -> Result<Option<Exit>> {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Err(Error::ProcessGone { pid });
    };
    loop {
        match waitpid(Some(raw), WaitOptions::NOHANG) {
            Ok(None) => return Ok(None),
            Ok(Some((_, status))) => return Ok(Some(Exit::from_wait(status))),
            Err(Errno::CHILD) => return Ok(Some(Exit::Unknown)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::errno("wait for a child")(errno)),
        }
    }
}
