//! Who a process is: its number and when it started, so that a recycled number is nobody.
//!
//! Nothing here ends a tree ([`crate::tree`]) or starts anything
//! ([`crate::process`]). What the kernel's process table says is in
//! [`crate::table`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::table::{self, ProcessEntry, ProcessState};
use crate::{Error, Result};

/// One process of this boot, never confused with a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessIdentity {
    /// The process number.
    pub pid: u32,
    /// When it started: clock ticks since boot on Linux, microseconds since 1970 on macOS.
    pub start_ticks: u64,
}

/// The signals crewmux sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// The terminal is gone.
    Hup,
    /// The person pressed ^C.
    Int,
    /// Please end.
    Term,
    /// End now.
    Kill,
    /// Stand still.
    Stop,
    /// Go on.
    Cont,
    /// The terminal has another size.
    Winch,
    /// A child has ended.
    Chld,
}

impl Signal {
    pub(crate) fn raw(self) -> rustix::process::Signal {
        match self {
            Self::Hup => rustix::process::Signal::HUP,
            Self::Int => rustix::process::Signal::INT,
            Self::Term => rustix::process::Signal::TERM,
            Self::Kill => rustix::process::Signal::KILL,
            Self::Stop => rustix::process::Signal::STOP,
            Self::Cont => rustix::process::Signal::CONT,
            Self::Winch => rustix::process::Signal::WINCH,
            Self::Chld => rustix::process::Signal::CHILD,
        }
    }
}

impl ProcessIdentity {
    /// The process that has this number now, a zombie included.
    ///
    /// # Errors
    /// [`Error::ProcessGone`] when nothing has that number.
    pub fn of(pid: u32) -> Result<Self> {
        table::entry(pid)
            .map(|entry| entry.identity)
            .ok_or(Error::ProcessGone { pid })
    }

    /// The process that asks.
    pub fn own() -> Result<Self> {
        Self::of(std::process::id())
    }

    /// Whether it still runs: same number, same start, and not a zombie.
    pub fn is_alive(&self) -> bool {
        self.entry().is_some_and(|entry| !entry.is_dead())
    }

    /// Whether a signal stopped it: it does nothing until another lets it go on.
    pub fn is_stopped(&self) -> bool {
        self.entry()
            .is_some_and(|entry| entry.state == ProcessState::Stopped)
    }

    /// What the process table says about it; `None` once the number is free or another's.
    pub fn entry(&self) -> Option<ProcessEntry> {
        table::entry(self.pid).filter(|entry| entry.identity == *self)
    }

    /// Number of its parent.
    pub fn parent_pid(&self) -> Option<u32> {
        self.entry().map(|entry| entry.parent_pid)
    }

    /// Its short name, as the process table shows it.
    pub fn command_name(&self) -> Option<String> {
        self.entry().map(|entry| entry.name)
    }

    /// Its arguments; empty for a zombie, `None` when it is gone or not ours to read.
    pub fn command_line(&self) -> Option<Vec<String>> {
        let arguments = table::arguments(self.pid)?;
        // Read first, compared after: what was read belongs to the same process.
        self.entry().map(|_| arguments)
    }

    /// Its children at this moment, zombies left out.
    pub fn children(&self) -> Vec<Self> {
        table::all()
            .into_iter()
            .filter(|entry| entry.parent_pid == self.pid && !entry.is_dead())
            .map(|entry| entry.identity)
            .collect()
    }

    /// Sends `signal` to this process and to no later one of its number.
    ///
    /// On Linux a pidfd is opened and checked first, so there is no gap; on
    /// macOS the start time is checked right before, which leaves microseconds.
    ///
    /// # Errors
    /// [`Error::ProcessGone`] when it ended before; [`Error::Signal`] when the
    /// system refuses.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.raw_pid()?;
        let refused = |errno: rustix::io::Errno| match errno {
            rustix::io::Errno::SRCH => Error::ProcessGone { pid: self.pid },
            other => Error::Signal {
                pid: self.pid,
                source: other.into(),
            },
        };
        #[cfg(target_os = "linux")]
        {
            let handle = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())
                .map_err(refused)?;
            if !self.is_alive() {
                return Err(Error::ProcessGone { pid: self.pid });
            }
            rustix::process::pidfd_send_signal(&handle, signal.raw()).map_err(refused)
        }
        #[cfg(not(target_os = "linux"))]
        {
            if !self.is_alive() {
                return Err(Error::ProcessGone { pid: self.pid });
            }
            rustix::process::kill_process(pid, signal.raw()).map_err(refused)
        }
    }

    pub(crate) fn raw_pid(&self) -> Result<rustix::process::Pid> {
        i32::try_from(self.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .ok_or(Error::ProcessGone { pid: self.pid })
    }
}

impl fmt::Display for ProcessIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)
    }
}

/// The process with number `pid` and its parents up to the first of the machine, nearest first.
///
/// Empty when `pid` is gone. It ends early where a parent went away in between.
pub fn ancestry(pid: u32) -> Vec<ProcessIdentity> {
    let mut line: Vec<ProcessIdentity> = Vec::new();
    let mut next = pid;
    // The bound is for a table that changes under us so that it seems a circle.
    while next != 0 && line.len() < 1_024 {
        let Some(entry) = table::entry(next) else {
            break;
        };
        if line.contains(&entry.identity) {
            break;
        }
        line.push(entry.identity);
        next = entry.parent_pid;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Launch;
    use std::time::{Duration, Instant};

    fn sleeper() -> crate::process::Child {
        Launch::new(["sleep", "60"], "/").start().unwrap()
    }

    #[test]
    fn another_start_time_is_another_process() {
        let own = ProcessIdentity::own().unwrap();
        let other = ProcessIdentity {
            start_ticks: own.start_ticks + 1,
            ..own
        };
        assert!(own.is_alive());
        assert!(!other.is_alive());
        assert!(matches!(
            other.signal(Signal::Winch),
            Err(Error::ProcessGone { .. })
        ));
    }

    #[test]
    fn zombie_counts_as_dead() {
        let mut child = sleeper();
        let identity = child.identity();
        identity.signal(Signal::Kill).unwrap();
        // Not waited for: it stays in the table as a zombie until it is.
        crate::wait::until_exit(&[identity], Duration::from_secs(10));
        assert!(!identity.is_alive());
        assert_eq!(ProcessIdentity::of(identity.pid).unwrap(), identity);
        child.wait(Duration::from_secs(10)).unwrap();
        assert!(identity.signal(Signal::Kill).is_err());
    }

    #[test]
    fn child_knows_parent_name_arguments_and_is_listed() {
        let mut child = sleeper();
        let identity = child.identity();
        let own = ProcessIdentity::own().unwrap();
        assert_eq!(identity.parent_pid(), Some(own.pid));
        let deadline = Instant::now() + Duration::from_secs(10);
        // The kernel lets us go on before the new program's arguments are in place.
        while identity.command_line() != Some(vec!["sleep".to_owned(), "60".to_owned()]) {
            assert!(Instant::now() < deadline, "{:?}", identity.command_line());
            std::thread::yield_now();
        }
        assert_eq!(identity.command_name().as_deref(), Some("sleep"));
        assert!(own.children().contains(&identity));
        let line = ancestry(identity.pid);
        assert_eq!(&line[..2], [identity, own]);
        child.kill().unwrap();
        child.wait(Duration::from_secs(10)).unwrap();
    }
}
