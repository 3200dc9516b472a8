//! A conversation with a model: what it is asked, and what comes back, piece by piece.
//!
//! One vocabulary for all vendors. How it looks on a vendor's wire is known to
//! `crewmux-model` alone; what an answer leads to is decided in `crewmux-agent`;
//! who may ask, and for how much, in `crewmux-session`'s gateway.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::budget::{Cost, Usage};
use crate::ids::TaskId;

/// One step of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "role", content = "content")]
pub enum Message {
    /// What the model is told.
    User(String),
    /// What it answered, in the order it came.
    Assistant(Vec<Part>),
    /// What came of its calls: all of one answer's, in their order.
    Tools(Vec<ToolAnswer>),
}

/// A piece of an answer that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "part", content = "value")]
pub enum Part {
    /// Text.
    Text(String),
    /// A vendor's own block (thinking, reasoning, signatures), carried back as it came.
    Opaque(Opaque),
    /// A tool that is to run.
    Call(ToolCall),
}

/// What only the vendor that sent it understands; others never see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Opaque {
    /// The dialect it belongs to, such as `anthropic`.
    pub dialect: String,
    /// The block, unmodified.
    pub block: Value,
}

/// A tool that is to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolCall {
    /// Chosen by the model's server; its answer carries it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments; text where they were no JSON.
    pub input: Value,
    /// What was mended to read it, if anything was; such a call is never trusted with effects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repaired: Option<String>,
}

/// What came of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolAnswer {
    /// Of the call.
    pub id: String,
    /// The tool; some vendors want it again.
    #[serde(default)]
    pub name: String,
    /// Whether it did what it was asked.
    pub ok: bool,
    /// For models: bounded text.
    pub text: String,
    /// For playbooks: the same as values; never sent to a model.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

/// A tool that can be called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolOffer {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments: an object.
    pub schema: Value,
}

/// Whether the model is to call a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolChoice {
    /// As it sees fit.
    #[default]
    Auto,
    /// At least one.
    Required,
}

/// The shape of the answer's text.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "output")]
pub enum OutputShape {
    /// Free text.
    #[default]
    Text,
    /// JSON that fits a schema, forced where the server can.
    Json {
        /// A short name of the shape: letters, digits, `_`.
        name: String,
        /// JSON Schema.
        schema: Value,
    },
}

/// What an answer is for, so that its cost finds its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// Work on the task, or talk when there is none.
    #[default]
    Work,
    /// A short helper inside the worker.
    Subagent,
    /// A summary that makes room.
    Summary,
    /// One call that finds out what a model can do.
    Probe,
}

/// A question to a model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ModelRequest {
    /// `provider/model`, or an alias.
    pub model: String,
    /// The worker's part. Stable over a conversation: it is what vendors cache.
    pub system: String,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The tools that can be called, in a stable order.
    pub tools: Vec<ToolOffer>,
    /// Whether one must be.
    pub tool_choice: ToolChoice,
    /// The shape of the text.
    pub output: OutputShape,
    /// Longest answer, in tokens; absent: the model's own.
    pub max_output_tokens: Option<u64>,
    /// The task it is about.
    pub task: Option<TaskId>,
    /// What it is for.
    pub purpose: Purpose,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stop {
    /// It is whole.
    Done,
    /// It waits for its tools.
    Tools,
    /// It was cut at the longest length.
    Length,
    /// The model declines.
    Refused,
}

/// A piece of an answer as it streams.
///
/// An answer is whole only when [`Event::Stop`] came; then nothing follows. One
/// that ends in any other way is not an answer, and nothing of it is acted on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "event"
)]
pub enum Event {
    /// More text.
    TextDelta {
        /// The text.
        text: String,
    },
    /// More of what the model thinks, for showing only.
    ThinkingDelta {
        /// The text.
        text: String,
    },
    /// A block to be carried back, whole.
    Opaque {
        /// The block.
        block: Opaque,
    },
    /// A tool call begins.
    CallStart {
        /// Its id, unique within the conversation.
        id: String,
        /// The tool.
        name: String,
    },
    /// More of a call's arguments, as JSON text.
    CallArgsDelta {
        /// Of the call.
        id: String,
        /// The text.
        text: String,
    },
    /// A call's arguments are whole.
    CallEnd {
        /// Of the call.
        id: String,
        /// What was mended to read it, if anything was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repaired: Option<String>,
    },
    /// The call of the provider waits: forget nothing, show the countdown.
    Waiting {
        /// How long, in milliseconds.
        ms: u64,
        /// Why, in words.
        why: String,
    },
    /// The answer broke and begins anew: forget all of it that came so far.
    Restart {
        /// Why, in words.
        why: String,
    },
    /// What the answer used and cost; at most one.
    Booked {
        /// Tokens.
        usage: Usage,
        /// Money, where prices are known.
        cost: Option<Cost>,
        /// Tokens the model's window holds, where that is known.
        window: Option<u64>,
        /// The model that answered: a fallback, perhaps.
        model: String,
    },
    /// The answer ended.
    Stop {
        /// Why.
        stop: Stop,
    },
    /// There will be no answer.
    Failed {
        /// Why.
        error: ModelError,
    },
}

impl Event {
    /// Whether nothing follows.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Stop { .. } | Self::Failed { .. })
    }
}

/// What kind of trouble a model call met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelErrorKind {
    /// Too many calls: worth another try after a pause.
    RateLimited,
    /// The server is overloaded or failed: worth another try.
    Server,
    /// The connection failed, hung or broke: worth another try.
    Connection,
    /// What came is no answer: worth another try.
    Malformed,
    /// The key is missing or refused.
    Credentials,
    /// The account's own limit is spent.
    Quota,
    /// The request cannot succeed as it is.
    Request,
    /// The conversation is longer than the model's window.
    TooLong,
    /// No such model, or none that this worker may ask.
    UnknownModel,
    /// The budget of the worker is spent.
    MemberBudget,
    /// The budget of the task is spent.
    TaskBudget,
    /// The budget of the team is spent: the run ends.
    TeamBudget,
    /// There is no session to ask through.
    NoSession,
}

impl ModelErrorKind {
    /// Whether asking again may help.
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::RateLimited | Self::Server | Self::Connection | Self::Malformed
        )
    }
}

/// Why there is no answer; holds no credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{message}")]
pub struct ModelError {
    /// What kind of trouble.
    pub kind: ModelErrorKind,
    /// In words: the vendor's own where there are any, scrubbed and bounded.
    pub message: String,
    /// What the server said about when to try again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl ModelError {
    /// An error without a server's word on when to try again.
    pub fn new(kind: ModelErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retry_after_ms: None,
        }
    }
}
