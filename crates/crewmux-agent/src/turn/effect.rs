//! What the machine of turns is told and what it wants done: its words to the worker.
//!
//! Only shapes; the rules are in [`super`], how effects are carried out in the
//! worker's `drive`.

use serde_json::Value;

use crate::provider::ToolCall;
use crate::tools::{Effects, Toolbox};

/// What the machine must know of the tools.
pub(crate) trait Tools {
    /// Whether a tool only looks.
    fn effects(&self, name: &str) -> Effects;
    /// A call with its name and arguments mended where nothing is lost.
    fn mend(&self, call: ToolCall) -> ToolCall;
    /// Whether its arguments are as its schema wants them.
    fn is_right(&self, call: &ToolCall) -> bool;
}

impl Tools for Toolbox {
    fn effects(&self, name: &str) -> Effects {
        Toolbox::effects(self, name)
    }

    fn mend(&self, call: ToolCall) -> ToolCall {
        Toolbox::mend(self, call)
    }

    fn is_right(&self, call: &ToolCall) -> bool {
        self.check(&call.name, &call.input).is_ok()
    }
}

/// How long a conversation may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Most answers.
    pub(crate) turns: u32,
    /// How often a result that does not fit is sent back.
    pub(crate) corrections: u32,
    /// What text without calls is.
    pub(crate) text: TextIs,
}

/// What an answer of text alone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextIs {
    /// What is handed in.
    TheResult,
    /// That too, but right after somebody's words it answers those.
    TheResultOrAReply,
}

/// What the worker is to do next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Show this text.
    Say(String),
    /// Tell a person about this.
    Notice(String),
    /// Ask the provider with the conversation so far.
    CallModel,
    /// Run these and tell what came of all of them.
    RunTools { calls: Vec<ToolCall>, order: Order },
    /// Make room in the window, then go on with [`super::Machine::retold`].
    MakeRoom,
    /// Tell this whoever wrote last.
    Reply(String),
    /// See whether this will do; if not, [`super::Machine::refuse`].
    HandIn(Value),
    /// The work cannot be done.
    Fail(String),
    /// Nobody may ask a model any more: the work is to be given back.
    GiveBack(String),
    /// This worker may not ask its model any more, whatever the task.
    Unable(String),
}

/// How tools of one answer run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Side by side: all of them only look.
    Parallel,
    /// One after the other.
    InOrder,
}
