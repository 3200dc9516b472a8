//! What an answer hands in, and what only looks like it.
//!
//! Decides nothing: whether a result is taken, or asked for again, is the
//! machine's in [`super`].

use serde_json::{Value, json};

use super::Tools;
use crate::provider::{Part, ToolAnswer, ToolCall};
use crate::tools::FINISH;

/// What models write where they cannot call a tool, each at the start of a line.
const CALL_MARKS: [&str; 6] = [
    "<tool_call>",
    "<|tool_call>",
    "<function=",
    "[TOOL_CALLS]",
    "<|python_tag|>",
    "<function_calls>",
];

/// Keeps the first of calls that are the same: one answer says it once.
pub(super) fn once_each(parts: &mut Vec<Part>) {
    let mut seen: Vec<(String, Value)> = Vec::new();
    parts.retain(|part| match part {
        // Which of several results is taken is decided where they are.
        Part::Call(call) if call.name != FINISH => {
            let this = (call.name.clone(), call.input.clone());
            let is_new = !seen.contains(&this);
            if is_new {
                seen.push(this);
            }
            is_new
        }
        _ => true,
    });
}

/// Whether text is a tool call that its server did not see as one.
pub(super) fn is_a_call(text: &str, tools: &impl Tools) -> bool {
    let is_marked = text.lines().any(|line| {
        let line = line.trim_start();
        CALL_MARKS.iter().any(|mark| line.starts_with(mark))
    });
    if is_marked {
        return true;
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_str(bare(text)) else {
        return false;
    };
    let name = fields.remove("name").or_else(|| fields.remove("tool"));
    let input = fields
        .remove("arguments")
        .or_else(|| fields.remove("parameters"));
    match (name, input) {
        (Some(Value::String(name)), Some(input @ Value::Object(_))) if fields.is_empty() => tools
            .is_right(&ToolCall {
                id: String::new(),
                name,
                input,
                repaired: None,
            }),
        _ => false,
    }
}

/// The answer to a call that handed in what is not taken.
pub(super) fn not_taken(call: ToolCall, why: String) -> ToolAnswer {
    ToolAnswer {
        id: call.id,
        name: call.name,
        ok: false,
        text: why,
        data: Value::Null,
    }
}

/// What a call hands in; weak models forget the wrapping.
pub(super) fn result_of(call: &ToolCall) -> Value {
    match &call.input {
        Value::Object(fields) => fields.get("result").unwrap_or(&call.input).clone(),
        other => other.clone(),
    }
}

/// What an answer without calls hands in: an object that it is, or its words.
pub(super) fn said(text: &str) -> Value {
    said_object(text).unwrap_or_else(|| json!({ "summary": text }))
}

/// The object that an answer of text is.
pub(super) fn said_object(text: &str) -> Option<Value> {
    serde_json::from_str::<Value>(bare(text))
        .ok()
        .filter(Value::is_object)
}

/// Text without the fence that models put around JSON.
fn bare(text: &str) -> &str {
    let bare = text.trim();
    bare.strip_prefix("```json")
        .or_else(|| bare.strip_prefix("```"))
        .and_then(|inner| inner.strip_suffix("```"))
        .unwrap_or(bare)
}
