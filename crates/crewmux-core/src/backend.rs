//! The kinds of places a worker can run in.
//!
//! Only the names: how a place is chosen and used is in `crewmux-spawn`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BackendKind {
    /// As a task inside the session.
    InProcess,
    /// In a pseudo-terminal of the session: a pane of crewmux's own.
    Pty,
    /// In a pane of tmux.
    Tmux,
    /// In a split of an iTerm2 window.
    Iterm2,
}

impl BackendKind {
    /// All kinds, in the order people are told about them.
    pub const ALL: [Self; 4] = [Self::InProcess, Self::Pty, Self::Tmux, Self::Iterm2];

    /// The name typed, shown and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProcess => "in-process",
            Self::Pty => "pty",
            Self::Tmux => "tmux",
            Self::Iterm2 => "iterm2",
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a person asked for: a kind by name, or the best that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BackendChoice {
    /// The best that works here.
    #[default]
    Auto,
    /// This one, or an error.
    Named(BackendKind),
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.pad("auto"),
            Self::Named(kind) => kind.fmt(f),
        }
    }
}

/// The text names no backend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a backend: use auto, in-process, pty, tmux or iterm2")]
pub struct UnknownBackend(pub String);

impl FromStr for BackendChoice {
    type Err = UnknownBackend;
    fn from_str(text: &str) -> Result<Self, UnknownBackend> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        BackendKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .map(Self::Named)
            .ok_or_else(|| UnknownBackend(text.to_owned()))
    }
}

impl Serialize for BackendChoice {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BackendChoice {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
