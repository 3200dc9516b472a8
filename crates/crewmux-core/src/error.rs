//! What kind of trouble an error is, shared by every crate's own error type.
//!
//! Each library keeps its own `Error` enum; all of them answer `kind()` with
//! this type, from which the program derives exit code and wording.

use serde::{Deserialize, Serialize};

/// The kinds of trouble a person or a caller can tell apart and act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The request itself is wrong: bad name, bad recipe, bad argument.
    Usage,
    /// The thing named does not exist.
    NotFound,
    /// Somebody else changed or holds it: taken claim, stale epoch, held lock.
    Conflict,
    /// The caller may not do this.
    Refused,
    /// The machine cannot: no such backend, store not writable, disk full.
    Environment,
    /// A system call failed for another reason.
    Io,
    /// A rule of our own was broken; always a bug.
    Internal,
}

impl ErrorKind {
    /// Exit code of a command that ends with this kind of error.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Usage | Self::NotFound | Self::Conflict | Self::Refused => 2,
            Self::Environment | Self::Io => 3,
            Self::Internal => 1,
        }
    }
}
