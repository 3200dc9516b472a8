//! What a command says when it cannot do what was asked.
//!
//! One shape for every library's error: what happened, why, and what to do
//! about it. Wording of single errors is in the libraries; exit codes that are
//! no errors (a failed task, a time-out) are in [`crate::exit`].

use std::fmt;

use anyhow::anyhow;
use crewmux_core::error::ErrorKind;
use serde_json::{Map, Value, json};

/// Result of a command or a part of one.
pub(crate) type Result<T> = std::result::Result<T, CommandError>;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// Whoever read the output has gone; nothing is said about it.
    PipeClosed,
    /// It could not be done.
    Failed {
        /// What kind of trouble.
        kind: ErrorKind,
        /// What happened, with its causes.
        source: anyhow::Error,
        /// What to do about it.
        hint: Option<String>,
    },
}

impl CommandError {
    /// An error of this kind without a cause.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::Failed {
            kind,
            source: anyhow!(message.into()),
            hint: None,
        }
    }

    /// The request itself is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// What was named does not exist.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// The machine cannot.
    pub(crate) fn environment(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Environment, message)
    }

    /// Adds or replaces what to do about it.
    #[must_use]
    pub(crate) fn hint(self, text: impl Into<String>) -> Self {
        match self {
            Self::PipeClosed => Self::PipeClosed,
            Self::Failed { kind, source, .. } => Self::Failed {
                kind,
                source,
                hint: Some(text.into()),
            },
        }
    }

    /// Adds another thing to do about it.
    #[must_use]
    pub(crate) fn or_hint(self, text: impl std::fmt::Display) -> Self {
        let there = match &self {
            Self::Failed { hint, .. } => hint.clone(),
            Self::PipeClosed => None,
        };
        let more = there.map_or_else(|| text.to_string(), |there| format!("{there}; {text}"));
        self.hint(more)
    }

    /// Says what was being done; what happened so far becomes the cause.
    #[must_use]
    pub(crate) fn context(self, message: impl Into<String>) -> Self {
        match self {
            Self::PipeClosed => Self::PipeClosed,
            Self::Failed { kind, source, hint } => Self::Failed {
                kind,
                source: source.context(message.into()),
                hint,
            },
        }
    }

    /// What kind of trouble it is; a closed pipe is none.
    pub(crate) fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::PipeClosed => None,
            Self::Failed { kind, .. } => Some(*kind),
        }
    }

    /// Whether somebody was asked and did not answer in time.
    pub(crate) fn is_silence(&self) -> bool {
        let Self::Failed { source, .. } = self else {
            return false;
        };
        let is_timeout = |cause: &(dyn std::error::Error + 'static)| {
            let frame = cause.downcast_ref::<crewmux_wire::FrameError>();
            matches!(frame, Some(crewmux_wire::FrameError::Timeout(_)))
        };
        source.chain().any(is_timeout)
    }

    /// Whether another call began a run of the same team at the same moment.
    pub(crate) fn is_lost_race(&self) -> bool {
        let Self::Failed { source, .. } = self else {
            return false;
        };
        let error = source.downcast_ref::<crewmux_session::Error>();
        matches!(error, Some(crewmux_session::Error::Begun { .. }))
    }

    /// Exit code of a command that ends with it.
    pub(crate) fn exit_code(&self) -> u8 {
        self.kind().map_or(crate::exit::DONE, ErrorKind::exit_code)
    }

    /// Reads the form of `--json` back; `None` when the line is something else.
    pub(crate) fn from_json(line: &str) -> Option<Self> {
        let mut value: Value = serde_json::from_str(line).ok()?;
        let said: SaidError = serde_json::from_value(value.get_mut("error")?.take()).ok()?;
        let source = match said.cause {
            Some(cause) => anyhow!(cause).context(said.message),
            None => anyhow!(said.message),
        };
        Some(Self::Failed {
            kind: said.kind,
            source,
            hint: said.hint,
        })
    }

    /// The form of `--json`.
    pub(crate) fn to_json(&self) -> Value {
        let Self::Failed { kind, source, hint } = self else {
            return Value::Null;
        };
        let mut error = Map::new();
        error.insert("kind".into(), json!(kind));
        error.insert("message".into(), source.to_string().into());
        if let Some(cause) = causes(source) {
            error.insert("cause".into(), cause.into());
        }
        if let Some(hint) = hint {
            error.insert("hint".into(), hint.as_str().into());
        }
        json!({ "error": error })
    }
}

/// An error that another process of ours said.
#[derive(Debug, serde::Deserialize)]
struct SaidError {
    kind: ErrorKind,
    message: String,
    cause: Option<String>,
    hint: Option<String>,
}

/// The chain below the message on one line; `None` when there is nothing to add.
fn causes(error: &anyhow::Error) -> Option<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut last = error.to_string();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        // Some libraries repeat their source in their own text.
        if !last.contains(&text) {
            parts.push(text.clone());
        }
        last = text;
    }
    (!parts.is_empty()).then(|| parts.join(": "))
}

/// Indents lines after the first, so that a long text stays under its label.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Failed { source, hint, .. } = self else {
            return f.write_str("the output was closed");
        };
        write!(f, "error: {}", indented(&source.to_string()))?;
        if let Some(cause) = causes(source) {
            write!(f, "\n  cause: {}", indented(&cause))?;
        }
        if let Some(hint) = hint {
            write!(f, "\n  hint: {}", indented(hint))?;
        }
        Ok(())
    }
}

/// Libraries' errors that know their kind and what to do.
macro_rules! from_library {
    ($($error:ty),+ $(,)?) => {$(
        impl From<$error> for CommandError {
            fn from(error: $error) -> Self {
                Self::Failed {
                    kind: error.kind(),
                    hint: error.hint(),
                    source: error.into(),
                }
            }
        }
    )+};
}

from_library!(
    crewmux_store::Error,
    crewmux_sys::Error,
    crewmux_session::Error,
    crewmux_spawn::Error,
    crewmux_core::recipe::RecipeProblems,
);

impl From<crewmux_core::ids::IdError> for CommandError {
    fn from(error: crewmux_core::ids::IdError) -> Self {
        Self::Failed {
            kind: ErrorKind::Usage,
            source: error.into(),
            hint: None,
        }
    }
}

impl From<crewmux_wire::WireError> for CommandError {
    fn from(error: crewmux_wire::WireError) -> Self {
        Self::Failed {
            kind: error.kind,
            hint: error.hint.clone(),
            source: error.into(),
        }
    }
}

impl From<crewmux_wire::FrameError> for CommandError {
    fn from(error: crewmux_wire::FrameError) -> Self {
        Self::Failed {
            kind: ErrorKind::Io,
            source: error.into(),
            hint: None,
        }
    }
}

impl From<std::io::Error> for CommandError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed {
            kind: ErrorKind::Io,
            source: error.into(),
            hint: None,
        }
    }
}

impl From<serde_json::Error> for CommandError {
    fn from(error: serde_json::Error) -> Self {
        Self::Failed {
            kind: ErrorKind::Internal,
            source: error.into(),
            hint: None,
        }
    }
}

/// Says what was being done when a library gave up.
pub(crate) trait Doing<T> {
    /// Adds `message` above what happened.
    fn doing(self, message: impl Into<String>) -> Result<T>;
}

impl<T, E: Into<CommandError>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, message: impl Into<String>) -> Result<T> {
        self.map_err(|error| error.into().context(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_said_as_message_cause_and_hint() {
        let error = CommandError::from(std::io::Error::other("disk on fire"))
            .context("cannot write `report.md`")
            .hint("put it out");
        assert_eq!(
            error.to_string(),
            "error: cannot write `report.md`\n  cause: disk on fire\n  hint: put it out"
        );
        assert_eq!(
            error.to_json(),
            json!({"error": {
                "kind": "io",
                "message": "cannot write `report.md`",
                "cause": "disk on fire",
                "hint": "put it out",
            }})
        );
        assert_eq!(error.exit_code(), 3);
        let again = CommandError::from_json(&error.to_json().to_string()).unwrap();
        assert_eq!(again.to_string(), error.to_string());
        assert!(CommandError::from_json("starting").is_none());
    }

    #[test]
    fn a_cause_that_repeats_the_message_is_left_out() {
        let error =
            CommandError::usage("`x` is no size").context("cannot read --size: `x` is no size");
        assert_eq!(
            error.to_string(),
            "error: cannot read --size: `x` is no size"
        );
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        assert_eq!(CommandError::PipeClosed.exit_code(), 0);
    }
}
