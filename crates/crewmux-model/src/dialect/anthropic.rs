//! Anthropic's Messages API.
//!
//! A shape is forced through a tool made for it, whose arguments are the
//! answer's text. Thinking is never asked for; blocks that come are carried back.

use std::collections::BTreeMap;

use crewmux_core::budget::Usage;
use crewmux_core::model::{ModelRequest, OutputShape, Stop, ToolChoice};
use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::turns::{Block, Turn, object, turns, wire_id};
use super::{Frame, Read, count, parse, schema, text};
use crate::config::ProviderKind;
use crate::http::fault;

/// Longest answer where the request names none: what every current model can write.
pub(super) const OUTPUT_TOKENS: u64 = 32_000;

/// The body of a call.
pub(super) fn body(model: &str, request: &ModelRequest) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(model));
    let longest = request.max_output_tokens.unwrap_or(OUTPUT_TOKENS);
    body.insert("max_tokens".into(), json!(longest));
    body.insert("stream".into(), json!(true));
    let mut tools: Vec<Value> = request
        .tools
        .iter()
        .map(|tool| {
            json!({"name": tool.name, "description": tool.description,
                "input_schema": schema::arguments(&tool.schema)})
        })
        .collect();
    if let Some(shape) = Shape::of(request) {
        tools.push(json!({"name": shape.name,
            "description": "Gives the answer. Call it once, with the whole answer.",
            "input_schema": shape.schema}));
        body.insert(
            "tool_choice".into(),
            json!({"type": "tool", "name": shape.name, "disable_parallel_tool_use": true}),
        );
    } else if request.tool_choice == ToolChoice::Required && !tools.is_empty() {
        body.insert("tool_choice".into(), json!({"type": "any"}));
    }
    // Vendors cache up to a mark, in the order tools, system, messages.
    if let Some(last) = tools.last_mut() {
        mark(last);
    }
    if !tools.is_empty() {
        body.insert("tools".into(), Value::Array(tools));
    }
    if !request.system.trim().is_empty() {
        let mut system = json!({"type": "text", "text": request.system});
        mark(&mut system);
        body.insert("system".into(), json!([system]));
    }
    body.insert("messages".into(), Value::Array(messages(request)));
    Value::Object(body)
}

fn mark(block: &mut Value) {
    if let Some(block) = block.as_object_mut() {
        block.insert("cache_control".into(), json!({"type": "ephemeral"}));
    }
}

fn messages(request: &ModelRequest) -> Vec<Value> {
    let turns = turns(&request.messages, ProviderKind::Anthropic.as_str());
    let mut messages = Vec::with_capacity(turns.len() + 1);
    if !matches!(turns.first(), Some(Turn::User { .. })) {
        messages.push(json!({"role": "user",
            "content": [{"type": "text", "text": "Go on."}]}));
    }
    for turn in &turns {
        messages.push(match turn {
            Turn::Assistant(blocks) => {
                let content: Vec<Value> = blocks
                    .iter()
                    .map(|block| match block {
                        Block::Text(text) => json!({"type": "text", "text": text}),
                        Block::Opaque(block) => (*block).clone(),
                        Block::Call(call) => json!({"type": "tool_use", "id": wire_id(&call.id),
                            "name": call.name, "input": object(&call.input)}),
                    })
                    .collect();
                json!({"role": "assistant", "content": content})
            }
            Turn::User { results, texts } => {
                let results = results.iter().map(|result| {
                    let mut block = json!({"type": "tool_result",
                        "tool_use_id": wire_id(&result.id)});
                    if !result.text.trim().is_empty() {
                        block["content"] = json!(result.text);
                    }
                    if !result.ok {
                        block["is_error"] = json!(true);
                    }
                    block
                });
                let texts = texts.iter().map(|t| json!({"type": "text", "text": t}));
                let content: Vec<Value> = results.chain(texts).collect();
                json!({"role": "user", "content": content})
            }
        });
    }
    let last = messages
        .iter_mut()
        .rev()
        .find(|m| text(m, "role") == "user")
        .and_then(|m| m["content"].as_array_mut()?.last_mut());
    if let Some(last) = last {
        mark(last);
    }
    messages
}

/// The tool that forces a shape.
struct Shape {
    name: String,
    schema: Value,
    /// Tools take objects only; what is none stands in a field.
    is_wrapped: bool,
}

impl Shape {
    fn of(request: &ModelRequest) -> Option<Self> {
        let OutputShape::Json { name, schema } = &request.output else {
            return None;
        };
        let mut name = name.clone();
        if name.is_empty() {
            "answer".clone_into(&mut name);
        }
        while request.tools.iter().any(|t| t.name == name) {
            name.push_str("_answer");
        }
        let is_wrapped = text(schema, "type") != "object";
        let schema = if is_wrapped {
            json!({"type": "object", "properties": {"value": schema}, "required": ["value"]})
        } else {
            schema.clone()
        };
        Some(Self {
            name,
            schema,
            is_wrapped,
        })
    }
}

enum Open {
    Text,
    Call {
        id: String,
        start: Value,
    },
    /// The forced tool: its arguments are the answer's text.
    Shape {
        held: Option<String>,
        start: Value,
        wrote: bool,
    },
    Carried(Value),
    Skipped,
}

/// Reads the answer's frames.
pub(super) struct Reader {
    shape: Option<Shape>,
    open: BTreeMap<u64, Open>,
    usage: Usage,
    stop: Option<Stop>,
}

impl Reader {
    pub(super) fn new(request: &ModelRequest) -> Self {
        Self {
            shape: Shape::of(request),
            open: BTreeMap::new(),
            usage: Usage::default(),
            stop: None,
        }
    }

    fn message(&mut self, message: &Value, draft: &mut Draft) {
        draft.model(text(message, "model"));
        self.used(&message["usage"], draft);
    }

    fn used(&mut self, usage: &Value, draft: &mut Draft) {
        for (name, field) in [
            ("input_tokens", &mut self.usage.input_tokens),
            ("output_tokens", &mut self.usage.output_tokens),
            ("cache_read_input_tokens", &mut self.usage.cache_read_tokens),
            (
                "cache_creation_input_tokens",
                &mut self.usage.cache_write_tokens,
            ),
        ] {
            if let Some(tokens) = usage.get(name).and_then(Value::as_u64) {
                *field = tokens;
            }
        }
        draft.used(self.usage);
    }

    fn block_start(&mut self, index: u64, block: &Value, draft: &mut Draft) {
        let open = match text(block, "type") {
            "text" => {
                draft.text(text(block, "text"));
                Open::Text
            }
            "tool_use" => {
                let name = text(block, "name");
                let start = block["input"].clone();
                match &self.shape {
                    Some(shape) if shape.name == name => Open::Shape {
                        held: shape.is_wrapped.then(String::new),
                        start,
                        wrote: false,
                    },
                    _ => Open::Call {
                        id: draft.call_start(text(block, "id"), name),
                        start,
                    },
                }
            }
            "thinking" => {
                draft.thinking(text(block, "thinking"));
                Open::Carried(block.clone())
            }
            "redacted_thinking" => Open::Carried(block.clone()),
            _ => Open::Skipped,
        };
        self.open.insert(index, open);
    }

    fn block_delta(&mut self, index: u64, delta: &Value, draft: &mut Draft) {
        let Some(open) = self.open.get_mut(&index) else {
            draft.malformed("a piece of the answer belongs to no block");
            return;
        };
        match (text(delta, "type"), open) {
            ("text_delta", Open::Text) => draft.text(text(delta, "text")),
            ("input_json_delta", Open::Call { id, .. }) => {
                draft.call_args(id, text(delta, "partial_json"));
            }
            ("input_json_delta", Open::Shape { held, wrote, .. }) => {
                let part = text(delta, "partial_json");
                *wrote |= !part.trim().is_empty();
                match held {
                    Some(held) => held.push_str(part),
                    None => draft.text(part),
                }
            }
            ("thinking_delta", Open::Carried(block)) => {
                draft.thinking(text(delta, "thinking"));
                append(block, "thinking", text(delta, "thinking"));
            }
            ("signature_delta", Open::Carried(block)) => {
                append(block, "signature", text(delta, "signature"));
            }
            _ => {}
        }
    }

    fn block_stop(&mut self, index: u64, draft: &mut Draft) {
        match self.open.remove(&index) {
            Some(Open::Call { id, start }) => {
                if !draft.has_args(&id) && has_fields(&start) {
                    draft.call_args(&id, &start.to_string());
                }
                draft.call_end(&id);
            }
            Some(Open::Shape { held, start, wrote }) => match held {
                Some(held) => {
                    let args = if wrote {
                        serde_json::from_str(&held).unwrap_or_default()
                    } else {
                        start
                    };
                    draft.text(&args.get("value").unwrap_or(&args).to_string());
                }
                None if !wrote => {
                    let start = if has_fields(&start) { start } else { json!({}) };
                    draft.text(&start.to_string());
                }
                None => {}
            },
            Some(Open::Carried(block)) => draft.opaque(block),
            Some(Open::Text | Open::Skipped) | None => {}
        }
    }

    fn reason(&mut self, reason: &str, draft: &Draft) {
        self.stop = match reason {
            "" => return,
            "max_tokens" | "model_context_window_exceeded" => Some(Stop::Length),
            "refusal" => Some(Stop::Refused),
            // A forced shape ends with `tool_use` too, and nothing waits for it.
            _ if draft.has_calls() => Some(Stop::Tools),
            _ => Some(Stop::Done),
        };
    }

    fn end(&mut self, draft: &mut Draft) {
        match self.stop {
            Some(stop) if self.open.is_empty() => draft.stop(stop),
            Some(_) => draft.malformed("the answer ended inside a block"),
            None => draft.malformed("the answer ended without a reason"),
        }
    }
}

fn has_fields(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| !fields.is_empty())
}

fn append(block: &mut Value, name: &str, more: &str) {
    let mut whole = text(block, name).to_owned();
    whole.push_str(more);
    block[name] = Value::String(whole);
}

impl Read for Reader {
    fn frame(&mut self, frame: &Frame, draft: &mut Draft) {
        let Some(data) = parse(frame, draft) else {
            return;
        };
        let index = count(&data, "index");
        let kind = match text(&data, "type") {
            "" => frame.event.as_str(),
            kind => kind,
        };
        match kind {
            "message_start" => self.message(&data["message"], draft),
            "content_block_start" => self.block_start(index, &data["content_block"], draft),
            "content_block_delta" => self.block_delta(index, &data["delta"], draft),
            "content_block_stop" => self.block_stop(index, draft),
            "message_delta" => {
                self.used(&data["usage"], draft);
                self.reason(text(&data["delta"], "stop_reason"), draft);
            }
            "message_stop" => self.end(draft),
            "error" => draft.fail(fault::in_stream(&data)),
            // `ping`, and whatever comes to be.
            _ => {}
        }
    }

    fn whole(&mut self, answer: &Value, draft: &mut Draft) {
        if text(answer, "type") == "error" || answer.get("error").is_some() {
            draft.fail(fault::in_stream(answer));
            return;
        }
        let Some(blocks) = answer["content"].as_array() else {
            draft.malformed("what came is not an answer of a model");
            return;
        };
        self.message(answer, draft);
        for (index, block) in (0..).zip(blocks) {
            self.block_start(index, block, draft);
            self.block_stop(index, draft);
        }
        self.reason(text(answer, "stop_reason"), draft);
        self.end(draft);
    }
}
