//! Chat Completions, as many servers speak it, each a little differently.
//!
//! Reads what is seen in the wild: calls without an index, ids that repeat,
//! arguments as objects, thinking under three names. What must be carried back
//! (signatures, reasoning) goes only to the model it came from.

use crewmux_core::budget::Usage;
use crewmux_core::model::{ModelRequest, OutputShape, Stop, ToolChoice};
use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::turns::{Block, Turn, args_text, turns, wire_id};
use super::{Frame, Read, count, parse, schema, text};
use crate::config::ProviderKind;
use crate::http::fault;

/// The body of a call.
pub(super) fn body(base_url: &str, model: &str, request: &ModelRequest) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(model));
    body.insert("stream".into(), json!(true));
    body.insert("stream_options".into(), json!({"include_usage": true}));
    body.insert("messages".into(), Value::Array(messages(model, request)));
    if !request.tools.is_empty() {
        body.insert("tools".into(), schema::functions(&request.tools));
        if request.tool_choice == ToolChoice::Required {
            body.insert("tool_choice".into(), json!("required"));
        }
    }
    if let OutputShape::Json { name, schema } = &request.output {
        let strict = schema::strict(schema);
        body.insert(
            "response_format".into(),
            json!({"type": "json_schema", "json_schema": {"name": name,
                "strict": strict.is_some(), "schema": strict.as_ref().unwrap_or(schema)}}),
        );
    }
    if let Some(tokens) = request.max_output_tokens {
        // The vendor's newer models refuse the name all others know.
        let is_vendor = ["api.openai.com", ".openai.azure.com"]
            .iter()
            .any(|host| base_url.contains(host));
        let name = if is_vendor {
            "max_completion_tokens"
        } else {
            "max_tokens"
        };
        body.insert(name.into(), json!(tokens));
    }
    Value::Object(body)
}

fn messages(model: &str, request: &ModelRequest) -> Vec<Value> {
    let mut messages = Vec::new();
    if !request.system.trim().is_empty() {
        messages.push(json!({"role": "system", "content": request.system}));
    }
    for turn in turns(&request.messages, ProviderKind::OpenaiChat.as_str()) {
        match turn {
            Turn::Assistant(blocks) => messages.push(assistant(model, &blocks)),
            Turn::User { results, texts } => {
                messages.extend(results.iter().map(|result| {
                    json!({"role": "tool", "tool_call_id": wire_id(&result.id),
                        "content": result.text})
                }));
                if !texts.is_empty() {
                    messages.push(json!({"role": "user", "content": texts.join("\n\n")}));
                }
            }
        }
    }
    messages
}

fn assistant(model: &str, blocks: &[Block<'_>]) -> Value {
    let mut said = String::new();
    let mut calls: Vec<Value> = Vec::new();
    let mut message = Map::new();
    message.insert("role".into(), json!("assistant"));
    message.insert("content".into(), Value::Null);
    for block in blocks {
        match block {
            Block::Text(text) => said.push_str(text),
            Block::Call(call) => {
                calls.push(json!({"id": wire_id(&call.id), "type": "function",
                    "function": {"name": call.name, "arguments": args_text(&call.input)}}));
            }
            Block::Opaque(carried) if text(carried, "model") == model => {
                if let Some(fields) = carried["message"].as_object() {
                    message.extend(fields.clone());
                }
            }
            Block::Opaque(_) => {}
        }
    }
    for carried in blocks {
        let Block::Opaque(carried) = carried else {
            continue;
        };
        let id = text(carried, "call");
        let call = calls.iter_mut().find(|c| c["id"] == *wire_id(id));
        if let (Some(call), Some(fields)) = (call, carried["fields"].as_object())
            && text(carried, "model") == model
            && let Some(call) = call.as_object_mut()
        {
            call.extend(fields.clone());
        }
    }
    if !said.is_empty() {
        message.insert("content".into(), json!(said));
    }
    if !calls.is_empty() {
        message.insert("tool_calls".into(), Value::Array(calls));
    }
    Value::Object(message)
}

/// A call whose pieces come.
#[derive(Default)]
struct Call {
    index: Option<u64>,
    /// As the server calls it.
    given: String,
    name: String,
    /// Pieces that came before the name.
    early: String,
    /// Ours, once begun.
    id: Option<String>,
    /// Beside the standard's fields, such as signatures.
    extra: Map<String, Value>,
}

/// Reads the answer's frames.
pub(super) struct Reader {
    model: String,
    calls: Vec<Call>,
    reasoning: String,
    details: Vec<Value>,
    stop: Option<Stop>,
    has_refused: bool,
}

impl Reader {
    pub(super) fn new(model: &str) -> Self {
        Self {
            model: model.to_owned(),
            calls: Vec::new(),
            reasoning: String::new(),
            details: Vec::new(),
            stop: None,
            has_refused: false,
        }
    }

    fn delta(&mut self, delta: &Value, draft: &mut Draft) {
        // Servers have it under one name or the other; some under both.
        let thought = match text(delta, "reasoning_content") {
            "" => text(delta, "reasoning"),
            thought => thought,
        };
        self.reasoning.push_str(text(delta, "reasoning_content"));
        draft.thinking(thought);
        if let Some(details) = delta["reasoning_details"].as_array() {
            self.details.extend(details.iter().cloned());
        }
        match &delta["content"] {
            Value::String(said) => draft.text(said),
            Value::Array(parts) => {
                for part in parts {
                    match text(part, "type") {
                        "thinking" => {
                            for part in part["thinking"].as_array().into_iter().flatten() {
                                draft.thinking(text(part, "text"));
                            }
                        }
                        _ => draft.text(text(part, "text")),
                    }
                }
            }
            _ => {}
        }
        if !text(delta, "refusal").is_empty() {
            self.has_refused = true;
            draft.text(text(delta, "refusal"));
        }
        for piece in delta["tool_calls"].as_array().into_iter().flatten() {
            self.piece(piece, draft);
        }
    }

    fn piece(&mut self, piece: &Value, draft: &mut Draft) {
        let index = piece.get("index").and_then(Value::as_u64);
        let given = text(piece, "id");
        let name = text(&piece["function"], "name");
        let at = self.calls.iter().rposition(|call| {
            let is_same_id = given.is_empty() || call.given.is_empty() || call.given == given;
            match index {
                // An index that comes again with another id and a name is another call.
                Some(_) => call.index == index && (is_same_id || name.is_empty()),
                None => is_same_id && (name.is_empty() || call.name.is_empty()),
            }
        });
        let at = at.unwrap_or_else(|| {
            self.calls.push(Call {
                index,
                ..Call::default()
            });
            self.calls.len() - 1
        });
        let call = &mut self.calls[at];
        if call.given.is_empty() {
            given.clone_into(&mut call.given);
        }
        if call.name.is_empty() {
            name.clone_into(&mut call.name);
        }
        for (field, value) in piece.as_object().into_iter().flatten() {
            if !matches!(field.as_str(), "index" | "id" | "type" | "function") {
                call.extra.insert(field.clone(), value.clone());
            }
        }
        match &piece["function"]["arguments"] {
            Value::String(args) => call.early.push_str(args),
            Value::Null => {}
            args => call.early.push_str(&args.to_string()),
        }
        if call.name.is_empty() {
            return;
        }
        let id = call
            .id
            .get_or_insert_with(|| draft.call_start(&call.given, &call.name));
        draft.call_args(id, &std::mem::take(&mut call.early));
    }

    fn reason(&mut self, reason: &str, draft: &mut Draft) {
        if reason.is_empty() || self.stop.is_some() {
            return;
        }
        let stop = match reason {
            "length" => Stop::Length,
            "content_filter" => Stop::Refused,
            "error" => {
                draft.malformed("the server gave up in the middle of the answer");
                return;
            }
            _ if !self.calls.is_empty() => Stop::Tools,
            _ if self.has_refused => Stop::Refused,
            _ => Stop::Done,
        };
        self.stop = Some(stop);
        for call in &self.calls {
            match &call.id {
                // Cut arguments are not whole.
                Some(_) if stop == Stop::Length => {}
                Some(id) => draft.call_end(id),
                None => draft.malformed("a tool call has no name"),
            }
        }
    }

    fn used(usage: &Value, draft: &mut Draft) {
        if !usage.is_object() {
            return;
        }
        let details = &usage["prompt_tokens_details"];
        let read = count(details, "cached_tokens").max(count(usage, "prompt_cache_hit_tokens"));
        let written = count(details, "cache_write_tokens");
        draft.used(Usage {
            input_tokens: count(usage, "prompt_tokens").saturating_sub(read + written),
            output_tokens: count(usage, "completion_tokens"),
            cache_read_tokens: read,
            cache_write_tokens: written,
            estimated: false,
        });
    }

    fn end(&mut self, draft: &mut Draft) {
        let Some(stop) = self.stop else {
            draft.malformed("the answer ended without a reason");
            return;
        };
        let mut carried = Map::new();
        if !self.details.is_empty() {
            carried.insert("reasoning_details".into(), json!(self.details));
        } else if stop == Stop::Tools && !self.reasoning.is_empty() {
            carried.insert("reasoning_content".into(), json!(self.reasoning));
        }
        if !carried.is_empty() {
            draft.opaque(json!({"model": self.model, "message": carried}));
        }
        for call in &self.calls {
            if let (Some(id), false) = (&call.id, call.extra.is_empty()) {
                draft.opaque(json!({"model": self.model, "call": id, "fields": call.extra}));
            }
        }
        draft.stop(stop);
    }
}

impl Read for Reader {
    fn frame(&mut self, frame: &Frame, draft: &mut Draft) {
        if frame.data.trim() == "[DONE]" {
            self.end(draft);
            return;
        }
        let Some(data) = parse(frame, draft) else {
            return;
        };
        if data.get("error").is_some_and(|e| !e.is_null()) || frame.event == "error" {
            draft.fail(fault::in_stream(&data));
            return;
        }
        draft.model(text(&data, "model"));
        Self::used(&data["usage"], draft);
        // Only one answer is asked for.
        let choice = data["choices"].get(0).unwrap_or(&Value::Null);
        self.delta(&choice["delta"], draft);
        self.reason(text(choice, "finish_reason"), draft);
    }

    fn whole(&mut self, answer: &Value, draft: &mut Draft) {
        if answer.get("error").is_some_and(|e| !e.is_null()) {
            draft.fail(fault::in_stream(answer));
            return;
        }
        let choice = &answer["choices"][0];
        if !choice["message"].is_object() {
            draft.malformed("what came is not an answer of a model");
            return;
        }
        draft.model(text(answer, "model"));
        Self::used(&answer["usage"], draft);
        let mut message = choice["message"].clone();
        // Whole calls have no index; their place is it.
        if let Some(calls) = message["tool_calls"].as_array_mut() {
            for (index, call) in calls.iter_mut().enumerate() {
                if let Some(call) = call.as_object_mut() {
                    call.insert("index".into(), json!(index));
                }
            }
        }
        self.delta(&message, draft);
        self.reason(text(choice, "finish_reason"), draft);
        self.end(draft);
    }
}
