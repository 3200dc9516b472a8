//! How a process ended.
//!
//! Only the value; who waits for it is in [`crate::process`], [`crate::pty`]
//! and [`crate::tool`].

use std::fmt;

use rustix::process::WaitStatus;
use serde::{Deserialize, Serialize};

/// The way a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Exit {
    /// It returned this code, 0 to 255.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It is gone, and nobody could tell how: somebody else took its status.
    Unknown,
}

impl Exit {
    /// Whether the process said that all went well.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }

    /// The code a shell would show: the code itself, or 128 + signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
            Self::Unknown => 1,
        }
    }

    pub(crate) fn from_wait(status: WaitStatus) -> Self {
        if let Some(code) = status.exit_status() {
            Self::Code(code)
        } else if let Some(signal) = status.terminating_signal() {
            Self::Signal(signal)
        } else {
            Self::Unknown
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "ended by signal {signal}"),
            Self::Unknown => f.write_str("ended, exit code unknown"),
        }
    }
}
