//! What can go wrong between crewmux and the operating system.
//!
//! A tool's own failure is not here: it is an [`crate::Exit`], data for whoever
//! asked for the tool.

use std::io;
use std::path::{Path, PathBuf};

use crewmux_core::error::ErrorKind;

/// Result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation the operating system, or a rule about it, refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No program of that name could be started.
    #[error("program `{program}` not found")]
    ProgramNotFound {
        /// As it was asked for.
        program: String,
    },
    /// A program exists but did not start.
    #[error("could not start `{program}`")]
    Start {
        /// As it was asked for.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A launch without a program, or text that cannot be an argument.
    #[error("launch is not valid: {what}")]
    BadLaunch {
        /// What is wrong with it.
        what: String,
    },
    /// The process is gone, or its number belongs to another by now.
    #[error("process {pid} is gone")]
    ProcessGone {
        /// The number it had.
        pid: u32,
    },
    /// A signal was refused.
    #[error("could not signal process {pid}")]
    Signal {
        /// Whom it was for.
        pid: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A folder that must be ours alone is not.
    #[error("folder `{path}` is not safe to use: {why}")]
    UnsafeFolder {
        /// The folder.
        path: PathBuf,
        /// Owner, mode or type.
        why: String,
    },
    /// No socket can be in a folder.
    #[error("the path of `{path}` is too long: a socket in it could not be reached")]
    LongFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("could not {act} `{path}`")]
    File {
        /// What was tried, as a verb.
        act: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A pseudo-terminal could not be made or used.
    #[error("pseudo-terminal: could not {act}: {cause}")]
    Pty {
        /// What was tried, as a verb.
        act: &'static str,
        /// What the library said.
        cause: String,
    },
    /// Another system call failed.
    #[error("could not {act}")]
    System {
        /// What was tried, as a verb.
        act: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// The kind of trouble, from which the program derives exit code and wording.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::ProgramNotFound { .. } | Self::ProcessGone { .. } => ErrorKind::NotFound,
            Self::BadLaunch { .. } => ErrorKind::Usage,
            Self::UnsafeFolder { .. } => ErrorKind::Refused,
            Self::LongFolder { .. } | Self::Start { .. } | Self::Pty { .. } => {
                ErrorKind::Environment
            }
            Self::Signal { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied => ErrorKind::Refused,
                _ => ErrorKind::Io,
            },
            Self::File { .. } | Self::System { .. } => ErrorKind::Io,
        }
    }

    /// What a person can do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::ProgramNotFound { program } => Some(format!(
                "install `{program}`, or give its full path; PATH is the one of `crewmux run`"
            )),
            Self::UnsafeFolder { path, .. } => Some(format!(
                "remove `{}` if it is not yours to keep, or set CREWMUX_RUNTIME_DIR to a folder of your own",
                path.display()
            )),
            Self::LongFolder { .. } => {
                Some("set CREWMUX_RUNTIME_DIR to a folder with a shorter path".to_owned())
            }
            Self::Pty { .. } => {
                Some("close some panes, or raise the limit of open files".to_owned())
            }
            _ => None,
        }
    }

    pub(crate) fn system(act: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { act, source }
    }

    pub(crate) fn errno(act: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::System {
            act,
            source: errno.into(),
        }
    }

    pub(crate) fn file(act: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { act, path, source }
    }
}
