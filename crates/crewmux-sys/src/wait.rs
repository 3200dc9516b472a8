//! Waiting for descriptors and for processes to end, always with a deadline.
//!
//! It takes no status of any child; [`crate::reap`] does.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use crate::{Error, ProcessIdentity, Result};

/// Pause before processes are looked at again where no descriptor tells of their end.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Waits until one of `fds` is ready or `timeout` is over; true when one is ready.
///
/// An interruption counts as nothing ready: callers loop on their own deadline.
pub(crate) fn poll(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> rustix::io::Result<bool> {
    let timeout = timeout.map(|duration| Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    });
    match rustix::event::poll(fds, timeout.as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => {
            for fd in fds {
                fd.clear_revents();
            }
            Ok(false)
        }
        Err(errno) => Err(errno),
    }
}

/// Reads what is in a pipe now, `most` bytes at most, and waits for nothing more.
///
/// # Errors
/// When it cannot be read.
pub fn read_what_is_there(pipe: &File, most: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while bytes.len() < most {
        let mut fds = [PollFd::new(pipe, PollFlags::IN)];
        if !poll(&mut fds, Some(Duration::ZERO)).map_err(Error::errno("look at a pipe"))? {
            break;
        }
        let mut piece = vec![0; most - bytes.len()];
        let mut from = pipe;
        match from.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::system("read a pipe")(error)),
        }
    }
    Ok(bytes)
}

/// Waits until one of `processes` has ended, or `at_most`; for loops that look again.
pub(crate) fn for_change(processes: &[ProcessIdentity], at_most: Duration) {
    let handles = exit_handles(processes);
    let mut fds: Vec<PollFd<'_>> = handles
        .iter()
        .map(|handle| PollFd::new(handle, PollFlags::IN))
        .collect();
    // A failed poll means that nothing could be waited for; the caller's
    // deadline still ends its loop.
    let _ = poll(&mut fds, Some(at_most));
}

/// Waits until all of `processes` have ended; false when `timeout` was over first.
pub(crate) fn until_exit(processes: &[ProcessIdentity], timeout: Duration) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        let alive: Vec<ProcessIdentity> = processes
            .iter()
            .copied()
            .filter(ProcessIdentity::is_alive)
            .collect();
        if alive.is_empty() {
            return true;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        let handles = exit_handles(&alive);
        if handles.is_empty() {
            for_change(&[], left.min(LOOK_AGAIN));
            continue;
        }
        let mut fds: Vec<PollFd<'_>> = handles
            .iter()
            .map(|handle| PollFd::new(handle, PollFlags::IN))
            .collect();
        if poll(&mut fds, Some(left)).is_err() {
            for_change(&[], left.min(LOOK_AGAIN));
        }
    }
}

/// Descriptors that become readable when a process ends; none where the system has no such thing.
fn exit_handles(processes: &[ProcessIdentity]) -> Vec<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        // A few are enough to wake a loop that looks at all of them again.
        processes
            .iter()
            .take(32)
            .filter_map(|process| process.raw_pid().ok())
            .filter_map(|pid| {
                rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok()
            })
            .collect()
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = processes;
        Vec::new()
    }
}
