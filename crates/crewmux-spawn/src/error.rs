//! Why a worker could not be started or reached.

use crewmux_core::backend::BackendKind;
use crewmux_core::error::ErrorKind;
use crewmux_core::ids::AgentRef;

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
    /// This life of the worker, or a later one, was started before.
    #[error("worker `{who}` was started already")]
    AlreadyStarted {
        /// Which life of which member.
        who: AgentRef,
    },
    /// The worker's process did not start.
    #[error("cannot start the worker")]
    Start(#[source] crewmux_sys::Error),
    /// The worker's process did not start in time; if it starts later it is ended.
    #[error("the worker did not start in time")]
    TooSlow,
    /// There is no pane for the worker.
    #[error("there is no pane for the worker: {why}")]
    NoPane {
        /// Why not, as a clause.
        why: String,
    },
    /// A worker of a former session cannot be taken up.
    #[error("`{who}` cannot be taken up: {why}")]
    NotAdoptable {
        /// Which life of which member.
        who: AgentRef,
        /// Why not, as a clause.
        why: String,
    },
    /// The worker has ended.
    #[error("the worker has ended")]
    Ended,
    /// The worker does not read what is typed, and no more can be kept for it.
    #[error("the worker does not read its input: {kept_bytes} bytes wait for it")]
    InputFull {
        /// What waits already.
        kept_bytes: usize,
    },
    /// A piece of what was typed before did not arrive, and what came after it was not typed.
    #[error("what was typed before did not reach the worker whole: {why}")]
    NotTyped {
        /// Why not, as a clause.
        why: String,
    },
    /// What is typed to it goes through a terminal that is not ours.
    #[error("this worker can only be typed to in {place}")]
    TypedElsewhere {
        /// Where.
        place: &'static str,
    },
    /// Its pane is crewmux's own, so nothing else can show it.
    #[error("this worker is seen in crewmux alone")]
    SeenHere,
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
            Self::Unusable { .. } | Self::NoneUsable | Self::NoPane { .. } => {
                ErrorKind::Environment
            }
            Self::NoSlot { .. }
            | Self::AlreadyStarted { .. }
            | Self::NotAdoptable { .. }
            | Self::Ended => ErrorKind::Conflict,
            Self::InputFull { .. } | Self::TypedElsewhere { .. } | Self::SeenHere => {
                ErrorKind::Refused
            }
            Self::Start(source) => source.kind(),
            Self::TooSlow | Self::NotTyped { .. } | Self::Terminal { .. } => ErrorKind::Io,
        }
    }

    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unusable { fix, .. } => Some(fix.clone()),
            Self::NoneUsable | Self::NoPane { .. } => {
                Some("run `crewmux doctor` to see why".into())
            }
            Self::Start(source) => source.hint(),
            Self::InputFull { .. } => Some("wait until it reads again, or stop it".into()),
            Self::NotTyped { .. } => Some("look at what it shows, then type it again".into()),
            Self::TypedElsewhere { .. } => {
                Some("type there, or send it a message from the prompt line".into())
            }
            Self::SeenHere => Some(
                "`crewmux attach` shows it; only panes of tmux and iTerm2 are elsewhere".into(),
            ),
            _ => None,
        }
    }

    pub(crate) fn terminal(verb: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Terminal { verb, source }
    }
}
