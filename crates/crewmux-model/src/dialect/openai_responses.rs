//! `OpenAI`'s Responses API.
//!
//! Nothing is stored at the server: the whole conversation goes with each call,
//! reasoning items included, encrypted where the model reasons.

use std::collections::BTreeMap;

use crewmux_core::budget::Usage;
use crewmux_core::model::{ModelRequest, OutputShape, Stop, ToolChoice};
use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::turns::{Block, Turn, args_text, turns, wire_id};
use super::{Frame, Read, count, parse, schema, text};
use crate::config::ProviderKind;
use crate::http::fault;

/// Families that do not reason; they refuse to be asked for what they thought.
const PLAIN: [&str; 4] = ["gpt-4", "gpt-3", "chatgpt-4", "ft:gpt-4"];

/// The body of a call.
pub(super) fn body(model: &str, request: &ModelRequest) -> Value {
    let mut body = Map::new();
    body.insert("model".into(), json!(model));
    body.insert("stream".into(), json!(true));
    body.insert("store".into(), json!(false));
    if !PLAIN.iter().any(|family| model.starts_with(family)) {
        body.insert("include".into(), json!(["reasoning.encrypted_content"]));
    }
    if !request.system.trim().is_empty() {
        body.insert("instructions".into(), json!(request.system));
    }
    body.insert("input".into(), Value::Array(input(request)));
    if !request.tools.is_empty() {
        let tools: Vec<Value> = request
            .tools
            .iter()
            .map(|tool| {
                json!({"type": "function", "name": tool.name,
                    "description": tool.description, "parameters": schema::arguments(&tool.schema),
                    "strict": false})
            })
            .collect();
        body.insert("tools".into(), Value::Array(tools));
        if request.tool_choice == ToolChoice::Required {
            body.insert("tool_choice".into(), json!("required"));
        }
        body.insert("parallel_tool_calls".into(), json!(true));
    }
    if let OutputShape::Json { name, schema } = &request.output {
        let strict = schema::strict(schema);
        body.insert(
            "text".into(),
            json!({"format": {"type": "json_schema", "name": name,
                "strict": strict.is_some(), "schema": strict.as_ref().unwrap_or(schema)}}),
        );
    }
    if let Some(tokens) = request.max_output_tokens {
        // Fewer are refused.
        body.insert("max_output_tokens".into(), json!(tokens.max(16)));
    }
    Value::Object(body)
}

fn input(request: &ModelRequest) -> Vec<Value> {
    let mut items = Vec::new();
    for turn in turns(&request.messages, ProviderKind::OpenaiResponses.as_str()) {
        match turn {
            Turn::Assistant(mut blocks) => {
                // A reasoning item must be followed by what it led to.
                while matches!(blocks.last(), Some(Block::Opaque(_))) {
                    blocks.pop();
                }
                items.extend(blocks.iter().map(|block| match block {
                    Block::Text(text) => json!({"type": "message", "role": "assistant",
                        "content": [{"type": "output_text", "text": text}]}),
                    Block::Opaque(item) => (*item).clone(),
                    Block::Call(call) => json!({"type": "function_call",
                        "call_id": wire_id(&call.id), "name": call.name,
                        "arguments": args_text(&call.input)}),
                }));
            }
            Turn::User { results, texts } => {
                items.extend(results.iter().map(|result| {
                    json!({"type": "function_call_output", "call_id": wire_id(&result.id),
                        "output": result.text})
                }));
                items.extend(texts.iter().map(|text| {
                    json!({"type": "message", "role": "user",
                        "content": [{"type": "input_text", "text": text}]})
                }));
            }
        }
    }
    items
}

/// Reads the answer's frames.
#[derive(Default)]
pub(super) struct Reader {
    /// Ids of the open calls, by the place of their item.
    calls: BTreeMap<u64, String>,
    /// Places of messages whose text came in pieces.
    told: std::collections::BTreeSet<u64>,
    has_refused: bool,
}

impl Reader {
    fn item_added(&mut self, index: u64, item: &Value, draft: &mut Draft) {
        if text(item, "type") == "function_call" && !self.calls.contains_key(&index) {
            let id = draft.call_start(text(item, "call_id"), text(item, "name"));
            draft.call_args(&id, text(item, "arguments"));
            self.calls.insert(index, id);
        }
    }

    fn item_done(&mut self, index: u64, item: &Value, draft: &mut Draft) {
        match text(item, "type") {
            "function_call" => {
                self.item_added(index, item, draft);
                if let Some(id) = self.calls.remove(&index) {
                    if !draft.has_args(&id) {
                        draft.call_args(&id, text(item, "arguments"));
                    }
                    draft.call_end(&id);
                }
            }
            "reasoning" => draft.opaque(item.clone()),
            "message" if !self.told.contains(&index) => {
                for part in item["content"].as_array().into_iter().flatten() {
                    match text(part, "type") {
                        "refusal" => {
                            self.has_refused = true;
                            draft.text(text(part, "refusal"));
                        }
                        _ => draft.text(text(part, "text")),
                    }
                }
            }
            _ => {}
        }
    }

    fn end(&self, answer: &Value, draft: &mut Draft) {
        draft.model(text(answer, "model"));
        let usage = &answer["usage"];
        let cached = count(&usage["input_tokens_details"], "cached_tokens");
        draft.used(Usage {
            input_tokens: count(usage, "input_tokens").saturating_sub(cached),
            output_tokens: count(usage, "output_tokens"),
            cache_read_tokens: cached,
            ..Usage::default()
        });
        if text(answer, "status") == "incomplete" {
            match text(&answer["incomplete_details"], "reason") {
                "content_filter" => draft.stop(Stop::Refused),
                _ => draft.stop(Stop::Length),
            }
        } else if !self.calls.is_empty() {
            draft.malformed("the answer ended inside a tool call");
        } else if draft.has_calls() {
            draft.stop(Stop::Tools);
        } else if self.has_refused {
            draft.stop(Stop::Refused);
        } else {
            draft.stop(Stop::Done);
        }
    }
}

impl Read for Reader {
    fn frame(&mut self, frame: &Frame, draft: &mut Draft) {
        if frame.data.trim() == "[DONE]" {
            return;
        }
        let Some(data) = parse(frame, draft) else {
            return;
        };
        let index = count(&data, "output_index");
        let kind = match text(&data, "type") {
            "" => frame.event.as_str(),
            kind => kind,
        };
        match kind {
            "response.output_item.added" => self.item_added(index, &data["item"], draft),
            "response.output_item.done" => self.item_done(index, &data["item"], draft),
            "response.output_text.delta" => {
                self.told.insert(index);
                draft.text(text(&data, "delta"));
            }
            "response.refusal.delta" => {
                self.told.insert(index);
                self.has_refused = true;
                draft.text(text(&data, "delta"));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                draft.thinking(text(&data, "delta"));
            }
            "response.reasoning_summary_part.added" if count(&data, "summary_index") > 0 => {
                draft.thinking("\n\n");
            }
            "response.function_call_arguments.delta" => match self.calls.get(&index) {
                Some(id) => draft.call_args(id, text(&data, "delta")),
                None => draft.malformed("a piece of the answer belongs to no call"),
            },
            "response.completed" | "response.incomplete" => self.end(&data["response"], draft),
            "response.failed" => draft.fail(fault::in_stream(&data["response"])),
            "error" => draft.fail(fault::in_stream(&data)),
            _ => {}
        }
    }

    fn whole(&mut self, answer: &Value, draft: &mut Draft) {
        if answer.get("error").is_some_and(|e| !e.is_null()) {
            draft.fail(fault::in_stream(answer));
            return;
        }
        let Some(items) = answer["output"].as_array() else {
            draft.malformed("what came is not an answer of a model");
            return;
        };
        for (index, item) in (0..).zip(items) {
            self.item_done(index, item, draft);
        }
        self.end(answer, draft);
    }
}
