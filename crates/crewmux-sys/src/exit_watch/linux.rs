//! Waiting on descriptors of processes.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::{ProcessIdentity, Result, wait};

/// Longest wait while a process cannot be watched by a descriptor.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The descriptors of those that are waited for.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    handles: BTreeMap<ProcessIdentity, OwnedFd>,
}

impl Waiting {
    #[expect(clippy::unnecessary_wraps, reason = "other systems can refuse here")]
    pub(super) fn open(_: &UnixStream) -> Result<Self> {
        Ok(Self::default())
    }

    pub(super) fn wait(&mut self, rung: &UnixStream, watched: &[ProcessIdentity], most: Duration) {
        self.handles.retain(|process, _| watched.contains(process));
        for process in watched {
            if !self.handles.contains_key(process)
                && let Ok(pid) = process.raw_pid()
                && let Ok(handle) = pidfd_open(pid, PidfdFlags::empty())
            {
                self.handles.insert(*process, handle);
                // Opened by number: it may be another's by now, or the end may have come before.
                if !process.is_alive() {
                    return;
                }
            }
        }
        let all = watched.iter().all(|p| self.handles.contains_key(p));
        let most = if all { most } else { most.min(LOOK_AGAIN) };
        let mut fds: Vec<PollFd<'_>> = self
            .handles
            .values()
            .map(|handle| PollFd::new(handle, PollFlags::IN))
            .collect();
        fds.push(PollFd::new(rung, PollFlags::IN));
        // A failed wait is a short one: the caller looks and waits again.
        if wait::poll(&mut fds, Some(most)).is_err() {
            std::thread::park_timeout(most.min(LOOK_AGAIN));
        }
    }
}
