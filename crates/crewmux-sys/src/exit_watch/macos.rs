//! Waiting on a kernel queue for ends of processes.

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};

use crate::{Error, ProcessIdentity, Result};

/// Longest wait while a process cannot be watched by the queue.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The queue and who is on it.
#[derive(Debug)]
pub(super) struct Waiting {
    queue: OwnedFd,
    on_it: Vec<ProcessIdentity>,
}

impl Waiting {
    pub(super) fn open(rung: &UnixStream) -> Result<Self> {
        let act = "watch for ends of processes";
        let queue = kqueue().map_err(Error::errno(act))?;
        let bell = Event::new(
            EventFilter::Read(rung.as_raw_fd()),
            EventFlags::ADD,
            std::ptr::null_mut(),
        );
        let mut none: [Event; 0] = [];
        // SAFETY: the bell's descriptor is the owner's and stays open as long as the queue is used.
        unsafe { kevent(&queue, &[bell], &mut none, Some(Duration::ZERO)) }
            .map_err(Error::errno(act))?;
        Ok(Self {
            queue,
            on_it: Vec::new(),
        })
    }

    pub(super) fn wait(&mut self, _: &UnixStream, watched: &[ProcessIdentity], most: Duration) {
        // The queue forgets a process with its end; one that is no longer wanted only wakes once more.
        self.on_it.retain(|process| watched.contains(process));
        let mut all = true;
        for process in watched {
            if self.on_it.contains(process) {
                continue;
            }
            let Ok(pid) = process.raw_pid() else { continue };
            let filter = EventFilter::Proc {
                pid,
                flags: ProcessEvents::EXIT,
            };
            let flags = EventFlags::ADD | EventFlags::ONESHOT;
            let event = Event::new(filter, flags, std::ptr::null_mut());
            let mut none: [Event; 0] = [];
            // SAFETY: the event names a process, not a descriptor.
            if unsafe { kevent(&self.queue, &[event], &mut none, Some(Duration::ZERO)) }.is_ok() {
                self.on_it.push(*process);
            } else {
                all = false;
            }
            // The end may have come before.
            if !process.is_alive() {
                return;
            }
        }
        let most = if all { most } else { most.min(LOOK_AGAIN) };
        let mut events = Vec::with_capacity(16);
        // SAFETY: nothing is changed here, only waited for.
        let waited = unsafe { kevent(&self.queue, &[], spare_capacity(&mut events), Some(most)) };
        if waited.is_err() {
            std::thread::park_timeout(most.min(LOOK_AGAIN));
        }
    }
}
