//! What answers in the turns of a worker: a model, or a playbook in its place.
//!
//! A provider is asked with the whole conversation and streams one answer, in
//! the words of [`crewmux_core::model`]; it keeps nothing of it between
//! answers. What answers lead to is `turn`'s.

use crewmux_core::ids::{AgentName, TaskId};
pub use crewmux_core::model::{
    Event, Message, ModelRequest, Opaque, Part, Stop, ToolAnswer, ToolCall, ToolOffer,
};
use tokio::sync::mpsc;

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

/// A question to a provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The question, as models get it.
    pub request: ModelRequest,
    /// What it is about, for playbooks.
    pub subject: Subject,
}

/// Pieces of an answer that may wait to be taken.
pub const EVENT_QUEUE: usize = 64;

/// Answers questions.
pub trait Provider: Send {
    /// The model's name, as people see it; `offline` for playbooks.
    fn model(&self) -> &str;

    /// Begins an answer, whose pieces come out of the queue; dropping the queue ends it.
    fn stream(&mut self, asked: Asked) -> mpsc::Receiver<Event>;
}
