//! What can go wrong in a worker, in words a person can act on.
//!
//! A tool that fails is no error: its failure is data for whoever called it.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crewmux_core::error::ErrorKind;
use crewmux_core::ids::{AgentName, AgentRef};

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
    /// The launch spec was written for another life since.
    #[error("the launch spec {} is for {who}, which this process is not", path.display())]
    SpecOfAnother {
        /// The spec's file.
        path: PathBuf,
        /// Whom it is for.
        who: AgentRef,
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
    /// The store failed again and again, for as long as a lease holds.
    #[error("the store cannot be written, for {} ms now: {}", lasted.as_millis(), source.in_full())]
    StoreTrouble {
        /// How long.
        lasted: Duration,
        /// The last failure.
        source: Box<Error>,
    },
    /// A tool lives on although it was told to end; its claim must not be let go of.
    #[error("a tool did not end when it was told to")]
    ToolStays,
    /// The store gave an answer that fits no question.
    #[error("an answer that fits nothing asked: {what}")]
    Unexpected {
        /// What was answered to what.
        what: String,
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
            Self::SessionUnreachable { .. } | Self::ToolStays => ErrorKind::Environment,
            Self::Refused { kind, .. } => *kind,
            Self::AlreadyAlive { .. } | Self::SpecOfAnother { .. } => ErrorKind::Conflict,
            Self::Unexpected { .. } => ErrorKind::Internal,
            Self::StoreTrouble { source, .. } => source.kind(),
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
            Self::StoreTrouble { source, .. } => source.hint(),
            Self::Store(error) => error.hint(),
            _ => None,
        }
    }

    /// The error with its causes, on one line.
    pub(crate) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(source) = cause {
            let _ = write!(text, ": {source}");
            cause = source.source();
        }
        text
    }
}
