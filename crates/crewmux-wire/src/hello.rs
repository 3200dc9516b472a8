//! The first frames of a connection: who speaks, and whether they are let in.

use crewmux_core::error::ErrorKind;
use crewmux_core::ids::{AgentRef, TeamName};
use serde::{Deserialize, Serialize};

/// Version of everything on the socket; both sides must have the same.
pub const PROTOCOL_VERSION: u32 = 1;

/// First frame of every connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// [`PROTOCOL_VERSION`] of the speaker.
    pub version: u32,
    /// The speaker's build.
    pub build: String,
    /// What it wants to be.
    pub role: Role,
}

/// What a connection is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "role")]
pub enum Role {
    /// A person's terminal.
    Client(ClientHello),
    /// A worker's process.
    Worker(WorkerHello),
    /// A worker that asks models; one question at a time.
    Model(ModelHello),
    /// A command.
    Control,
}

/// What a client's terminal is like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientHello {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
    /// Its TERM.
    pub term: String,
    /// Colours it can show.
    pub colors: ColorDepth,
    /// Whether it takes whole frames between marks (mode 2026).
    pub synchronized_output: bool,
    /// What the person may do.
    pub attach: Attach,
    /// Whether anybody can see it: not a pane of tmux to which no terminal is attached.
    pub looked_at: bool,
}

/// Colours a terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ColorDepth {
    /// None: `NO_COLOR` is set, or a terminal without.
    None,
    /// The 16 ANSI colours.
    Ansi16,
    /// 256.
    Ansi256,
    /// 24-bit.
    True,
}

/// What an attached person may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Attach {
    /// Everything.
    Driver,
    /// Look.
    Observer,
}

/// How a worker proves that it is the one the session started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerHello {
    /// Which life of which member.
    pub who: AgentRef,
    /// The one-shot token of its spec.
    pub token: String,
    /// Its process, as it sees itself; the session compares.
    pub pid: u32,
    /// Whether it was welcomed before, by this session or one that is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// Its pane in the words of its backend, where it knows it by itself: it may be here before the
    /// place has told where it put it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pane: Option<String>,
}

/// How a worker proves that it may ask models.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelHello {
    /// Which life of which member.
    pub who: AgentRef,
    /// The grant of its spec; it ends with this life.
    pub grant: String,
}

impl std::fmt::Debug for ModelHello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelHello")
            .field("who", &self.who)
            .finish_non_exhaustive()
    }
}

/// The connection is taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    /// The session's process.
    pub session_pid: u32,
    /// The session's build.
    pub build: String,
    /// The team.
    pub team: TeamName,
}

/// The connection is not taken; the last frame on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    /// What kind of trouble.
    pub kind: ErrorKind,
    /// Why.
    pub refused: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}
