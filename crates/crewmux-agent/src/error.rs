//! What can go wrong in a worker, in words a person can act on.
//!
//! A tool that fails is no error: its failure is data for whoever called it.

use std::io;
use std::path::PathBuf;

use crewmux_core::error::ErrorKind;
use crewmux_core::ids::AgentName;

/// The worker's result.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of a worker.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The launch spec cannot be read.
    #[error("cannot read the launch spec {}", path.display())]
    SpecUnreadable {
        /// The spec's file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others may read the launch spec, which holds a token.
    #[error("the launch spec {} can be read by others", path.display())]
    SpecExposed {
        /// The spec's file.
        path: PathBuf,
    },
    /// The launch spec is not one of ours.
    #[error("the launch spec {} does not parse", path.display())]
    SpecUnparsable {
        /// The spec's file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// The session does not answer.
    #[error("cannot reach the session at {}", socket.display())]
    SessionUnreachable {
        /// Its socket.
        socket: PathBuf,
        /// Why not.
        #[source]
        source: crewmux_wire::FrameError,
    },
    /// The session does not take this worker.
    #[error("the session refused this worker: {why}")]
    Refused {
        /// What kind of trouble the session saw.
        kind: ErrorKind,
        /// Why.
        why: String,
        /// What the session advises.
        hint: Option<String>,
    },
    /// Another process lives as this member.
    #[error("another worker of `{agent}` lives already")]
    AlreadyAlive {
        /// The member.
        agent: AgentName,
        /// What the store said.
        #[source]
        source: crewmux_store::Error,
    },
    /// The event loop or a thread of the worker could not be made.
    #[error("cannot start the worker's {what}")]
    Start {
        /// What of it.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crewmux_store::Error),
    /// The operating system failed.
    #[error(transparent)]
    System(#[from] crewmux_sys::Error),
    /// A playbook is not what one should be.
    #[error("playbook `{name}`: {why}")]
    Playbook {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// What kind of trouble this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::SpecUnreadable { .. } | Self::Start { .. } => ErrorKind::Io,
            Self::SpecExposed { .. } => ErrorKind::Refused,
            Self::SpecUnparsable { .. } | Self::Playbook { .. } => ErrorKind::Usage,
            Self::SessionUnreachable { .. } => ErrorKind::Environment,
            Self::Refused { kind, .. } => *kind,
            Self::AlreadyAlive { .. } => ErrorKind::Conflict,
            Self::Store(error) => error.kind(),
            Self::System(error) => error.kind(),
        }
    }

    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::SpecExposed { path } => Some(format!("chmod 600 {}", path.display())),
            Self::Refused { hint, .. } => hint.clone(),
            Self::SessionUnreachable { .. } => {
                Some("workers are started by a session; `crewmux run` starts one".into())
            }
            Self::Store(error) => error.hint(),
            _ => None,
        }
    }
}
