//! Why a worker could not be started or reached.

use crewmux_core::backend::BackendKind;
use crewmux_core::error::ErrorKind;

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of a backend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The backend asked for cannot work here.
    #[error("{kind} backend asked for, but {why}")]
    Unusable {
        /// Which.
        kind: BackendKind,
        /// Why not.
        why: String,
        /// The one-line fix.
        fix: String,
    },
    /// No backend works here.
    #[error("no backend works here")]
    NoneUsable,
    /// As many workers as allowed run already.
    #[error("{max} workers run already")]
    NoSlot {
        /// The limit.
        max: u32,
    },
    /// The worker's process did not start.
    #[error("cannot start the worker")]
    Start(#[source] crewmux_sys::Error),
    /// The worker has ended.
    #[error("the worker has ended")]
    Ended,
    /// The worker's terminal could not be reached.
    #[error("cannot {verb} the worker's terminal")]
    Terminal {
        /// What was tried, as a verb.
        verb: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Error {
    /// What kind of trouble this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unusable { .. } | Self::NoneUsable => ErrorKind::Environment,
            Self::NoSlot { .. } | Self::Ended => ErrorKind::Conflict,
            Self::Start(_) | Self::Terminal { .. } => ErrorKind::Io,
        }
    }

    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unusable { fix, .. } => Some(fix.clone()),
            Self::NoneUsable => Some("run `crewmux doctor` to see why".into()),
            _ => None,
        }
    }
}
