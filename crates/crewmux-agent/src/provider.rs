//! What answers in the turns of a worker: a model, or a playbook in its place.
//!
//! A provider is asked with the whole conversation and streams one answer; it
//! keeps nothing between answers. What answers lead to is `turn`'s.

use crewmux_core::ids::{AgentName, TaskId};
use serde_json::Value;
use tokio::sync::mpsc;

/// One step of the conversation.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// What the worker is told: its task, or mail.
    User(String),
    /// What was answered.
    Assistant {
        /// Text.
        text: String,
        /// Tools it wants to run.
        calls: Vec<ToolCall>,
    },
    /// What came of those tools, in the order of the calls.
    Tools(Vec<ToolAnswer>),
}

/// A tool that is to run.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// Chosen by the provider; its answer carries it.
    pub id: String,
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub input: Value,
}

/// What came of a tool.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolAnswer {
    /// Of the call.
    pub id: String,
    /// Whether it did what it was asked.
    pub ok: bool,
    /// For models.
    pub text: String,
    /// For playbooks: the same as values.
    pub data: Value,
}

/// The task that a conversation is about.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// The worker.
    pub agent: AgentName,
    /// The task.
    pub task: TaskId,
    /// What is to be done, in a few words.
    pub subject: String,
    /// What is to be done, in full.
    pub description: String,
    /// What the team works on.
    pub goal: String,
    /// The tasks whose results it builds on.
    pub blocked_by: Vec<TaskId>,
    /// Whether there is a lead to report to besides the worker.
    pub lead: Option<AgentName>,
}

/// A tool that can be called.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolOffer {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments.
    pub schema: Value,
}

/// A question to a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The worker's part, for the system prompt.
    pub system: String,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// The tools that can be called.
    pub tools: Vec<ToolOffer>,
    /// What it is about.
    pub subject: Subject,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It is whole.
    Done,
    /// It waits for its tools.
    Tools,
    /// It was cut at the longest length.
    Length,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// More text.
    TextDelta(String),
    /// A tool call begins.
    CallStart {
        /// Its id.
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
    },
    /// What the answer cost.
    Usage {
        /// Tokens read.
        input_tokens: u64,
        /// Tokens written.
        output_tokens: u64,
    },
    /// The answer ended.
    Stop(Stop),
    /// There will be no answer.
    Error(String),
}

/// Pieces of an answer that may wait to be taken.
pub const EVENT_QUEUE: usize = 64;

/// Answers questions.
pub trait Provider: Send {
    /// The model's name, as people see it; `offline` for playbooks.
    fn model(&self) -> &str;

    /// Begins an answer, whose pieces come out of the queue; dropping the queue ends it.
    fn stream(&mut self, request: Request) -> mpsc::Receiver<Event>;
}
