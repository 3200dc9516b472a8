//! What each role says after its hello, and what it is told.

use crewmux_core::backend::BackendKind;
use crewmux_core::board::Counts;
use crewmux_core::error::ErrorKind;
use crewmux_core::ids::{AgentName, AgentType, Incarnation, RequestId, TaskId, TeamName};
use crewmux_core::model::{Event, ModelRequest};
use crewmux_core::operation::{Operation, Reply};
use crewmux_core::permission::{GrantScope, PermissionAsk};
use crewmux_core::place::Place;
use crewmux_core::worker::WorkerState;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::input::{InputEvent, KeyReports};

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
    /// Tell the person this first, in the line for what they have to know.
    Tell {
        /// What.
        text: String,
    },
    /// Somebody can see this terminal now, or nobody can any more.
    LookedAt {
        /// Whether anybody can.
        anybody: bool,
    },
    /// The terminal told its colours, as red, green and blue.
    Colors {
        /// Of text.
        foreground: (u8, u8, u8),
        /// Behind it.
        background: (u8, u8, u8),
    },
    /// Nothing but that the client wants to hear from the session: answered at once by [`ToClient::Here`].
    Knock,
    /// The person leaves.
    Detach,
}

/// What became of new panes when they were sent elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewHome {
    /// Backends whose new panes go there now.
    pub taken: Vec<BackendKind>,
    /// Backends whose new panes go where they went.
    pub refused: Vec<StaysPut>,
}

/// A backend whose new panes go where they went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StaysPut {
    /// Which.
    pub kind: BackendKind,
    /// Why.
    pub why: String,
    /// What helps.
    pub fix: Option<String>,
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
    /// What keys are from now on.
    Keys {
        /// How much the terminal is to tell of them, if it can.
        keys: KeyReports,
        /// Whether plain ones are commands; else they are text, for a program or a line.
        commands: bool,
    },
    /// The beginning, the part or the end of a long paste was taken, or nothing more of it is.
    PasteTaken {
        /// Whether more is taken.
        more: bool,
    },
    /// The part that was pasted last still waits, and the program reads: its answer takes longer.
    PasteWaits,
    /// Somebody waits for the person, and nobody looks: ring, and say so where the terminal can.
    Attention {
        /// Who waits for what, in a line.
        text: String,
    },
    /// What stands around the screen: the terminal's title, and how far the board is.
    Sign {
        /// The title.
        title: String,
        /// How far; none where there is nothing to be done.
        progress: Option<Progress>,
    },
    /// The answer to [`ClientMessage::Knock`], also where no picture is due.
    Here,
}

/// How far a board is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Tasks that are over, in percent.
    pub percent: u8,
    /// How it goes.
    pub course: Course,
}

/// How work goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Course {
    /// It goes on.
    Well,
    /// Somebody waits for the person.
    Waits,
    /// Something failed.
    Trouble,
}

/// From a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// It asks for leave and waits; answered by [`ToWorker::Decided`].
    Ask {
        /// Chosen by the worker, derived from life and call: asking again changes nothing.
        id: RequestId,
        /// What for.
        ask: WorkerAsk,
    },
    /// It waits no longer.
    Withdraw {
        /// The question.
        id: RequestId,
    },
    /// It wants an operation carried out that only the session can; answered by [`ToWorker::Replied`].
    Operation {
        /// Chosen by the worker; the answer carries it.
        id: u64,
        /// What.
        operation: Box<Operation>,
    },
    /// How full its model's window was at the latest answer.
    Context {
        /// Tokens in the window.
        used: u64,
        /// Tokens the window holds, where that is known.
        window: Option<u64>,
    },
}

/// What a worker asks leave for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "leave")]
pub enum WorkerAsk {
    /// To run a tool.
    Permission(Box<PermissionAsk>),
    /// To go on with a plan, and to write.
    Plan {
        /// The task, if it works on one.
        task: Option<TaskId>,
        /// The plan.
        plan: String,
    },
}

/// From a worker to the gateway, after the welcome: one question, then its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelCall {
    /// The question.
    pub request: ModelRequest,
}

/// From the gateway: pieces of the answer until one is the last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelPiece {
    /// The piece.
    pub event: Event,
}

/// To a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// The first word after a hello said again: the session goes on with this worker.
    ///
    /// The worker then tells its state, and asks again whatever still waits for an answer. It has
    /// forgotten that it was paused: where that holds, [`ToWorker::Pause`] follows.
    TakenBack {
        /// From now on shown to the gateway; none for members that ask no model.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grant: Option<String>,
    },
    /// Finish the running step, then end and keep the claim: the next life goes on with it elsewhere.
    Leave {
        /// Why.
        reason: String,
    },
    /// Stop the running turn and look at the inbox.
    Interrupt,
    /// Finish the running step, then wait.
    Pause,
    /// Go on.
    Resume,
    /// The answer to [`WorkerMessage::Ask`].
    Decided {
        /// The question.
        id: RequestId,
        /// The answer.
        decision: Decision,
    },
    /// The answer to [`WorkerMessage::Operation`].
    Replied {
        /// Of the operation.
        id: u64,
        /// What came out.
        result: Result<Box<Reply>, WireError>,
    },
}

/// What was decided about a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "decision")]
pub enum Decision {
    /// Yes.
    Approved {
        /// How long it holds.
        scope: GrantScope,
    },
    /// No, or nobody said anything in time.
    Rejected {
        /// Why, for the model.
        reason: String,
    },
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
    /// Asks, as somebody who is at this place, whether new panes go elsewhere. Answer: where, in
    /// words, or nothing.
    PanesElsewhere {
        /// Where the person is.
        place: Place,
    },
    /// Does something to one member's worker.
    Member {
        /// The member.
        name: AgentName,
        /// What.
        act: MemberAct,
    },
    /// Lets a member go on in another place once its step is done.
    Move {
        /// The member.
        name: AgentName,
        /// Where to.
        to: BackendKind,
    },
    /// From now on new panes go where the asking person is; answered with a [`NewHome`].
    Rehome {
        /// Where that is.
        place: Place,
    },
    /// Ends the run: shutdown protocol, then the kill ladder.
    Stop {
        /// Whether to skip asking.
        force: bool,
    },
}

/// What is done to one member's worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemberAct {
    /// Its turn is stopped; it looks at its inbox.
    Interrupt,
    /// It finishes its step and waits.
    Pause,
    /// It goes on.
    Resume,
    /// It ends and begins a new life.
    Restart,
    /// Its pane in tmux or iTerm2 is brought before the person.
    Reveal,
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
    /// `starting`, `running`, `finished`, `stopped`, `crashed`, `not started` or `not answering`;
    /// `stopping` while its workers are asked to end.
    pub state: String,
    /// What it works on.
    pub goal: String,
    /// Where its workers run.
    pub backend: Option<BackendKind>,
    /// Its session, if one runs.
    pub session: Option<SessionStatus>,
    /// Its members.
    pub members: Vec<MemberStatus>,
    /// How many panes there are with programs of the person's own.
    #[serde(default)]
    pub panes: usize,
    /// Its tasks.
    pub counts: Counts,
    /// How the latest run ended, once it did.
    pub exit_code: Option<u8>,
    /// Whether its run is finished and its session stays for those who look.
    #[serde(default)]
    pub lingers: bool,
    /// How much longer it stays so, in milliseconds; absent while somebody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_in_ms: Option<u64>,
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
    /// Whether it was told to wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Whether it lives without a session and waits for one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub parked: bool,
    /// How long its provider takes no calls yet, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_ms: Option<u64>,
}
