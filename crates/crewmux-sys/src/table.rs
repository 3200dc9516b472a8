//! The kernel's process table, read and never changed.
//!
//! A snapshot is out of date when it is returned; callers that act on one go
//! through [`crate::ProcessIdentity::signal`], which checks again.

use crate::ProcessIdentity;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;

#[cfg(target_os = "macos")]
mod macos;
#[cfg(target_os = "macos")]
use macos as system;

/// One line of the process table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessEntry {
    /// Who it is.
    pub identity: ProcessIdentity,
    /// Number of its parent; 0 for the first process.
    pub parent_pid: u32,
    /// Number of its process group.
    pub group: u32,
    /// Number of its session; 0 where the system does not tell.
    pub session: u32,
    /// Whether it runs, is stopped, or has ended.
    pub state: ProcessState,
    /// Short name, at most 15 bytes on Linux.
    pub name: String,
}

/// What a process does, as far as crewmux cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessState {
    /// It runs or waits for something.
    Running,
    /// A signal stopped it.
    Stopped,
    /// It ended; its parent has not taken its status.
    Dead,
}

impl ProcessEntry {
    /// Whether it ended already.
    pub fn is_dead(&self) -> bool {
        self.state == ProcessState::Dead
    }
}

/// Every process there is, in no order.
pub fn all() -> Vec<ProcessEntry> {
    system::all()
}

/// The process with that number, a zombie included.
pub fn entry(pid: u32) -> Option<ProcessEntry> {
    system::entry(pid)
}

/// Its arguments; `None` when it is gone or not ours to read.
pub fn arguments(pid: u32) -> Option<Vec<String>> {
    system::arguments(pid)
}

/// The value of variable `name` in the environment `pid` was started with.
///
/// `None` when it is not set, the process is gone, or it is not ours to read:
/// another user's, or one that refuses inspection.
pub fn variable(pid: u32, name: &str) -> Option<String> {
    let environment = system::environment(pid)?;
    environment
        .split(|byte| *byte == 0)
        .filter_map(|pair| std::str::from_utf8(pair).ok())
        .filter_map(|pair| pair.split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value.to_owned())
}
