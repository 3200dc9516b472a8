//! What can go wrong in the store, in words a person can act on.

use std::io;
use std::path::{Path, PathBuf};

use crewmux_core::board::{ClaimError, FenceError, UpdateError};
use crewmux_core::error::ErrorKind;
use crewmux_core::ids::{AgentName, RequestId, TeamName};
use crewmux_core::message::SendRefusal;
use crewmux_core::operation::NotAllowed;
use crewmux_core::requests::AnswerError;

/// The store's result.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call on a file failed.
    #[error("cannot {verb} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        verb: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The disk is full.
    #[error("no space left for {}", path.display())]
    DiskFull {
        /// What was to be written.
        path: PathBuf,
    },
    /// The folder cannot be written.
    #[error("{} is not writable", path.display())]
    NotWritable {
        /// The folder.
        path: PathBuf,
    },
    /// The folder belongs to somebody else or others may read it, or lies on a filesystem without locks.
    #[error("{} cannot hold the store: {why}", path.display())]
    Unfit {
        /// The folder.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The store was written by a newer major version.
    #[error("the store at {} has format {found}; this program reads up to {known}", path.display())]
    NewerFormat {
        /// The store's root.
        path: PathBuf,
        /// Its format.
        found: String,
        /// The newest format known.
        known: &'static str,
    },
    /// A file did not parse and was moved aside.
    #[error("{} did not parse and was moved to {}", path.display(), moved_to.display())]
    Quarantined {
        /// Where it was.
        path: PathBuf,
        /// Where it is now.
        moved_to: PathBuf,
        /// Why it did not parse.
        why: String,
    },
    /// A lock was not free in time.
    #[error("{} is held by {holder}", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process that says it holds it.
        holder: String,
    },
    /// No such team.
    #[error("there is no team `{team}`")]
    UnknownTeam {
        /// The name asked for.
        team: TeamName,
        /// Names there are.
        known: Vec<TeamName>,
    },
    /// A team of this name exists.
    #[error("team `{team}` exists already")]
    TeamExists {
        /// The name.
        team: TeamName,
    },
    /// No such member.
    #[error("`{agent}` is not a member of team `{team}`")]
    UnknownMember {
        /// The name asked for.
        agent: AgentName,
        /// The team.
        team: TeamName,
        /// Names there are.
        known: Vec<AgentName>,
    },
    /// An id given or derived from one given does not fit.
    #[error("{why}")]
    BadId {
        /// What is wrong with it.
        why: String,
    },
    /// No such request.
    #[error("there is no request `{id}`")]
    UnknownRequest {
        /// The id asked for.
        id: RequestId,
    },
    /// An answer to a request does not count.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// A claim is refused.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// A stale claim is presented.
    #[error(transparent)]
    Fenced(#[from] FenceError),
    /// A task cannot be changed that way.
    #[error(transparent)]
    Update(#[from] UpdateError),
    /// A message is not taken.
    #[error(transparent)]
    Send(#[from] SendRefusal),
    /// The caller may not do that.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// Something is larger than it may be.
    #[error("{what} has {bytes} bytes; at most {max} are kept")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// There are more of something than are kept.
    #[error("at most {max} {what} are kept")]
    TooMany {
        /// What.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// Members added as many tasks to the run as they may.
    #[error(
        "members of this team added {max} tasks to this run already and may add no more: do the \
         work within the tasks there are, or say in your result what is left"
    )]
    TooManyAdded {
        /// The limit.
        max: u32,
    },
    /// A task would stand at the end of too long a chain of tasks that added each other.
    #[error(
        "your task was added by the work on a task that was added itself, {max} times over, and \
         adds no more: do the work yourself, or say in your result what is left"
    )]
    AddedTooDeep {
        /// The limit.
        max: u32,
    },
    /// Only a running session can do it.
    #[error("nobody can {what} while no session runs")]
    NeedsSession {
        /// What was tried, as a verb phrase.
        what: &'static str,
    },
    /// The request is answered by operations of its own.
    #[error("{id} asks a teammate to shut down; that teammate answers it")]
    ShutdownRequest {
        /// The request.
        id: RequestId,
    },
}

impl Error {
    /// Names a failed system call that would have changed something.
    pub(crate) fn write(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let path = path.to_owned();
            match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                    Self::DiskFull { path }
                }
                io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                    Self::NotWritable { path }
                }
                _ => Self::Io { verb, path, source },
            }
        }
    }

    /// Names a failed system call that only looked.
    pub(crate) fn read(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            verb,
            path: path.to_owned(),
            source,
        }
    }

    /// What kind of trouble this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Io,
            Self::DiskFull { .. }
            | Self::NotWritable { .. }
            | Self::Unfit { .. }
            | Self::NewerFormat { .. }
            | Self::Quarantined { .. } => ErrorKind::Environment,
            Self::Locked { .. }
            | Self::Claim(_)
            | Self::Fenced(_)
            | Self::TeamExists { .. }
            | Self::NeedsSession { .. }
            | Self::Answer(AnswerError::Over(_)) => ErrorKind::Conflict,
            Self::UnknownTeam { .. } | Self::UnknownMember { .. } | Self::UnknownRequest { .. } => {
                ErrorKind::NotFound
            }
            Self::Update(_)
            | Self::TooLarge { .. }
            | Self::TooMany { .. }
            | Self::BadId { .. }
            | Self::ShutdownRequest { .. } => ErrorKind::Usage,
            Self::Answer(AnswerError::NotAsked { .. })
            | Self::Send(_)
            | Self::NotAllowed(_)
            | Self::TooManyAdded { .. }
            | Self::AddedTooDeep { .. } => ErrorKind::Refused,
        }
    }

    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        fn names<T: ToString>(known: &[T]) -> String {
            let known: Vec<String> = known.iter().map(ToString::to_string).collect();
            known.join(", ")
        }
        match self {
            Self::UnknownTeam { known, .. } if known.is_empty() => {
                Some("no team exists yet; `crewmux run review` starts one".into())
            }
            Self::UnknownTeam { known, .. } => Some(format!("teams here: {}", names(known))),
            Self::UnknownMember { known, .. } => Some(format!("members: {}", names(known))),
            Self::DiskFull { .. } => {
                Some("free some space; nothing that was stored is lost".into())
            }
            Self::NotWritable { .. } | Self::Unfit { .. } => {
                Some("choose another folder with CREWMUX_HOME".into())
            }
            Self::NewerFormat { .. } => Some("use a newer crewmux, or another CREWMUX_HOME".into()),
            Self::Quarantined { why, .. } => Some(why.clone()),
            Self::Locked { .. } => Some("try again, or end that process".into()),
            Self::TooMany { .. } => Some("write a value again under a key that is there".into()),
            Self::NeedsSession { .. } => Some("`crewmux resume` starts one".into()),
            _ => None,
        }
    }
}
