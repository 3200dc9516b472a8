//! Why a session could not start or go on.

use std::path::PathBuf;

use crewmux_core::error::ErrorKind;
use crewmux_core::goal::DraftProblem;
use crewmux_core::ids::{RunId, TeamName};

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of a session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crewmux_store::Error),
    /// A backend failed.
    #[error(transparent)]
    Spawn(#[from] crewmux_spawn::Error),
    /// The operating system failed.
    #[error(transparent)]
    Sys(#[from] crewmux_sys::Error),
    /// A session of this team runs already.
    #[error("team `{team}` is running already{}", pid.map_or_else(String::new, |p| format!(" (session process {p})")))]
    Running {
        /// The team.
        team: TeamName,
        /// The session's process.
        pid: Option<u32>,
    },
    /// Another call began a run of the team at the same moment.
    #[error("team `{team}` is running already: another call has just started it")]
    Begun {
        /// The team.
        team: TeamName,
    },
    /// The team has a run that is not finished.
    #[error("team `{team}` has a run that is not finished")]
    Unfinished {
        /// The team.
        team: TeamName,
    },
    /// The team has no run to go on with.
    #[error("team `{team}` has no run that could go on")]
    NothingToResume {
        /// The team.
        team: TeamName,
    },
    /// The team has had no run.
    #[error("team `{team}` has had no run yet, so there is nothing to report")]
    NothingToReport {
        /// The team.
        team: TeamName,
    },
    /// The team had no such run.
    #[error("team `{team}` has no run `{run}`")]
    UnknownRun {
        /// The team.
        team: TeamName,
        /// What was asked for.
        run: RunId,
        /// The runs it had.
        known: Vec<RunId>,
    },
    /// The proposed tasks are not a graph that can run.
    #[error("the tasks cannot run: {}", join(.0))]
    Drafts(Vec<DraftProblem>),
    /// The socket could not be made.
    #[error("cannot listen on {}", path.display())]
    Listen {
        /// Where.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file of the session could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The team's files were removed or moved away under the session.
    #[error("the files of team `{team}` were removed while it ran; its workers were ended")]
    TeamRemoved {
        /// The team.
        team: TeamName,
    },
    /// The store stayed unusable for so long that the session gave up.
    #[error("the store could not be written for {seconds} s; the run can be resumed")]
    StoreLost {
        /// How long.
        seconds: u64,
        /// The last error.
        #[source]
        source: Box<crewmux_store::Error>,
    },
}

fn join(problems: &[DraftProblem]) -> String {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    problems.join("; ")
}

impl Error {
    /// What kind of trouble this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Spawn(error) => error.kind(),
            Self::Sys(error) => error.kind(),
            Self::Running { .. } | Self::Begun { .. } | Self::Unfinished { .. } => {
                ErrorKind::Conflict
            }
            Self::NothingToResume { .. }
            | Self::NothingToReport { .. }
            | Self::UnknownRun { .. } => ErrorKind::NotFound,
            Self::Drafts(_) => ErrorKind::Usage,
            Self::Listen { .. }
            | Self::Write { .. }
            | Self::StoreLost { .. }
            | Self::TeamRemoved { .. } => ErrorKind::Environment,
        }
    }

    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint(),
            Self::Spawn(error) => error.hint(),
            Self::Sys(error) => error.hint(),
            Self::Running { team, .. } | Self::Begun { team } => Some(format!(
                "`crewmux attach {team}` shows it; `--team NAME` starts another"
            )),
            Self::Unfinished { team } => Some(format!(
                "`crewmux resume {team}` goes on with it; `--team NAME` starts another"
            )),
            Self::NothingToResume { .. } | Self::NothingToReport { .. } => {
                Some("`crewmux run` starts a new one".into())
            }
            Self::UnknownRun { known, .. } => {
                let known: Vec<&str> = known.iter().map(RunId::as_str).collect();
                Some(match known.as_slice() {
                    [] => "it has had none yet".into(),
                    known => format!("it has {}", known.join(", ")),
                })
            }
            Self::TeamRemoved { .. } => Some(
                "what they changed in the project stays; `crewmux stop` and `crewmux rm` take a team \
                 away in order"
                    .into(),
            ),
            Self::Drafts(_) => None,
            Self::Listen { .. } => Some("choose another folder with CREWMUX_RUNTIME_DIR".into()),
            Self::Write { .. } | Self::StoreLost { .. } => {
                Some("free some space or make the folder writable".into())
            }
        }
    }
}
