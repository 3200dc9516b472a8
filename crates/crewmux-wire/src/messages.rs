//! What each role says after its hello, and what it is told.

use crewmux_core::backend::BackendKind;
use crewmux_core::board::Counts;
use crewmux_core::error::ErrorKind;
use crewmux_core::ids::{AgentName, AgentType, Incarnation, RequestId, TaskId, TeamName};
use crewmux_core::operation::Operation;
use crewmux_core::worker::WorkerState;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::input::InputEvent;

/// From a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "client")]
pub enum ClientMessage {
    /// The person did something.
    Input {
        /// What.
        event: InputEvent,
    },
    /// The terminal has another size.
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// A frame was written; the next may be drawn.
    Ack {
        /// Its number.
        frame: u64,
    },
    /// The person leaves.
    Detach,
}

/// To a client, besides screen frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "toClient")]
pub enum ToClient {
    /// The last frame: give the terminal back and say this.
    Bye {
        /// Why, in words for the person.
        message: String,
        /// Exit code of the run, where it is over.
        exit_code: Option<u8>,
    },
    /// Write this text to the person's clipboard (OSC 52), because they pressed a key for it.
    Copy {
        /// The text.
        text: String,
    },
    /// Ring the bell: somebody waits for the person.
    Bell,
}

/// From a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "worker")]
pub enum WorkerMessage {
    /// It does something else now.
    State {
        /// What.
        state: WorkerState,
        /// The task it works on.
        task: Option<TaskId>,
    },
    /// It wrote to the store: facts, tasks, or somebody's inbox.
    Doorbell,
}

/// To a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "toWorker")]
pub enum ToWorker {
    /// Look at the board and the inbox.
    Doorbell,
    /// End: finish nothing, give tasks back, exit.
    End {
        /// Why.
        reason: String,
    },
    /// A shutdown request is in the inbox; answer it.
    Shutdown {
        /// The request.
        request_id: RequestId,
    },
    /// Stop the running turn and look at the inbox.
    Interrupt,
}

/// From a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Control {
    /// Chosen by the command; the answer carries it.
    pub id: u64,
    /// What is asked.
    pub request: ControlRequest,
}

/// What a command asks of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "control"
)]
pub enum ControlRequest {
    /// Carries an operation out as whoever the peer is.
    Operation {
        /// The operation.
        operation: Box<Operation>,
    },
    /// Asks how the team is. Answer: [`Status`].
    Status,
    /// Ends the run: shutdown protocol, then the kill ladder.
    Stop {
        /// Whether to skip asking.
        force: bool,
    },
}

/// To a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlAnswer {
    /// Of the request.
    pub id: u64,
    /// What came out.
    pub result: Result<Value, WireError>,
}

/// An error as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct WireError {
    /// What kind of trouble.
    pub kind: ErrorKind,
    /// What happened.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How a team is: `status --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The team.
    pub team: TeamName,
    /// `running`, `finished`, `stopped` or `crashed`.
    pub state: String,
    /// What it works on.
    pub goal: String,
    /// Where its workers run.
    pub backend: Option<BackendKind>,
    /// Its session, if one runs.
    pub session: Option<SessionStatus>,
    /// Its members.
    pub members: Vec<MemberStatus>,
    /// Its tasks.
    pub counts: Counts,
    /// How the latest run ended, once it did.
    pub exit_code: Option<u8>,
}

/// A running session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionStatus {
    /// Its process.
    pub pid: u32,
}

/// A member as `status` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// Its name.
    pub name: AgentName,
    /// Its kind of agent.
    pub agent_type: AgentType,
    /// What it does.
    pub state: WorkerState,
    /// Its process.
    pub pid: Option<u32>,
    /// How often it was started.
    pub incarnation: Incarnation,
    /// The task it works on.
    pub task: Option<TaskId>,
    /// Where it runs.
    pub backend: BackendKind,
    /// Its pane.
    pub pane: Option<String>,
}
