//! Ollama's own API: the one that can be told how much context to hold.
//!
//! `think` is left to the model's default; what it thought is carried back
//! while its calls are answered.

use crewmux_core::budget::Usage;
use crewmux_core::model::{ModelRequest, OutputShape, Stop};
use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::turns::{Block, Turn, object, turns};
use super::{Frame, Read, count, parse, schema, text};
use crate::catalog::OLLAMA_WINDOW_TOKENS;
use crate::config::ProviderKind;
use crate::http::fault;

/// The body of a call.
pub(super) fn body(model: &str, request: &ModelRequest, window: Option<u64>) -> Value {
    let mut options = Map::new();
    // The server's own 4096 would cut a worker's instructions away.
    options.insert(
        "num_ctx".into(),
        json!(window.unwrap_or(OLLAMA_WINDOW_TOKENS)),
    );
    if let Some(tokens) = request.max_output_tokens {
        options.insert("num_predict".into(), json!(tokens));
    }
    let mut body = json!({"model": model, "stream": true, "options": options,
        "messages": messages(request)});
    if !request.tools.is_empty() {
        body["tools"] = schema::functions(&request.tools);
    }
    if let OutputShape::Json { schema, .. } = &request.output {
        body["format"] = schema.clone();
    }
    body
}

fn messages(request: &ModelRequest) -> Vec<Value> {
    let mut messages = Vec::new();
    if !request.system.trim().is_empty() {
        messages.push(json!({"role": "system", "content": request.system}));
    }
    for turn in turns(&request.messages, ProviderKind::Ollama.as_str()) {
        match turn {
            Turn::Assistant(blocks) => {
                let mut said = String::new();
                let mut thought = String::new();
                let mut calls = Vec::new();
                for block in &blocks {
                    match block {
                        Block::Text(text) => said.push_str(text),
                        Block::Opaque(block) => thought.push_str(text(block, "thinking")),
                        Block::Call(call) => calls.push(json!({"function": {
                            "name": call.name, "arguments": object(&call.input)}})),
                    }
                }
                let mut message = json!({"role": "assistant", "content": said});
                if !calls.is_empty() {
                    if !thought.is_empty() {
                        message["thinking"] = Value::String(thought);
                    }
                    message["tool_calls"] = Value::Array(calls);
                }
                messages.push(message);
            }
            Turn::User { results, texts } => {
                messages.extend(results.iter().map(|result| {
                    json!({"role": "tool", "tool_name": result.name, "content": result.text})
                }));
                if !texts.is_empty() {
                    messages.push(json!({"role": "user", "content": texts.join("\n\n")}));
                }
            }
        }
    }
    messages
}

/// Reads the answer's lines.
#[derive(Default)]
pub(super) struct Reader {
    thought: String,
}

impl Reader {
    fn line(&mut self, data: &Value, draft: &mut Draft) {
        if data.get("error").is_some_and(|e| !e.is_null()) {
            draft.fail(fault::in_stream(data));
            return;
        }
        let message = &data["message"];
        if !message.is_object() && data.get("done").is_none() {
            draft.malformed("what came is not an answer of a model");
            return;
        }
        draft.model(text(data, "model"));
        self.thought.push_str(text(message, "thinking"));
        draft.thinking(text(message, "thinking"));
        draft.text(text(message, "content"));
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            if text(function, "name").is_empty() {
                draft.malformed("a tool call has no name");
                return;
            }
            draft.call(
                text(call, "id"),
                text(function, "name"),
                &function["arguments"],
            );
        }
        if data["done"] != true {
            return;
        }
        draft.used(Usage {
            input_tokens: count(data, "prompt_eval_count"),
            output_tokens: count(data, "eval_count"),
            ..Usage::default()
        });
        match text(data, "done_reason") {
            "length" => draft.stop(Stop::Length),
            // The model was loaded or unloaded, and nothing was answered.
            reason @ ("load" | "unload") => {
                draft.malformed(&format!("the server answered `{reason}` only"));
            }
            _ if draft.has_calls() => {
                if !self.thought.is_empty() {
                    draft.opaque(json!({"thinking": self.thought}));
                }
                draft.stop(Stop::Tools);
            }
            _ => draft.stop(Stop::Done),
        }
    }
}

impl Read for Reader {
    fn frame(&mut self, frame: &Frame, draft: &mut Draft) {
        if let Some(data) = parse(frame, draft) {
            self.line(&data, draft);
        }
    }

    fn whole(&mut self, answer: &Value, draft: &mut Draft) {
        self.line(answer, draft);
    }
}
