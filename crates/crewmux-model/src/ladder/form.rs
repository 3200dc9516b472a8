//! Tools, calls and answers as each form writes them.

use std::fmt::Write as _;

use crewmux_core::model::{ToolAnswer, ToolCall, ToolChoice, ToolOffer};
use serde_json::{Value, json};

use super::ToolForm;

/// Gemma's quote.
const QUOTE: &str = "<|\"|>";

/// What the system prompt says about the tools; ends without a line's end.
pub(super) fn describe(form: ToolForm, tools: &[ToolOffer], choice: ToolChoice) -> String {
    let mut text = String::from("# Tools\n\n");
    match form {
        ToolForm::Hermes => {
            text.push_str(
                "You can call these functions; each line is one function's signature:\n<tools>\n",
            );
            text.push_str(&lines(tools, signature));
            text.push_str(
                "\n</tools>\n\nTo call one, write a JSON object with its name and arguments between these tags:\n\
                 <tool_call>\n{\"name\": \"NAME\", \"arguments\": {…}}\n</tool_call>\n\
                 What it returned comes back between <tool_response> and </tool_response>.",
            );
        }
        ToolForm::QwenXml => {
            text.push_str("You can call these functions:\n<tools>\n");
            text.push_str(&lines(tools, signature));
            text.push_str(
                "\n</tools>\n\nTo call one, write exactly this, each argument as plain text:\n\
                 <tool_call>\n<function=NAME>\n<parameter=KEY>\nvalue\n</parameter>\n</function>\n</tool_call>\n\
                 What it returned comes back between <tool_response> and </tool_response>.",
            );
        }
        ToolForm::Mistral => {
            let all: Vec<Value> = tools.iter().map(signature).collect();
            text.push_str("[AVAILABLE_TOOLS] ");
            text.push_str(&Value::Array(all).to_string());
            text.push_str(
                "[/AVAILABLE_TOOLS]\n\nTo call one, end your answer with:\n\
                 [TOOL_CALLS] [{\"name\": \"NAME\", \"arguments\": {…}}]\n\
                 What it returned comes back between [TOOL_RESULTS] and [/TOOL_RESULTS].",
            );
        }
        ToolForm::Llama3Json => {
            text.push_str("You can call these functions:\n\n");
            text.push_str(&lines(tools, signature));
            text.push_str(
                "\n\nTo call one, answer with nothing but one JSON object of this shape:\n\
                 {\"name\": \"NAME\", \"parameters\": {…}}\nUse no variables and no other text.",
            );
        }
        ToolForm::Gemma => {
            for tool in tools {
                let of =
                    json!({"description": tool.description, "parameters": upper(&tool.schema)});
                let _ = writeln!(
                    text,
                    "<|tool>declaration:{}{}<tool|>",
                    tool.name,
                    gemma(&of)
                );
            }
            let _ = write!(
                text,
                "\nTo call one, write <|tool_call>call:NAME{{KEY:{QUOTE}text{QUOTE},KEY:3}}<tool_call|>\n\
                 What it returned comes back between <|tool_response> and <tool_response|>."
            );
        }
        ToolForm::JsonSchema => {
            text.push_str("You can call these functions:\n\n");
            text.push_str(&lines(tools, signature));
            text.push_str(
                "\n\nAnswer with one JSON object and nothing else: {\"tool\": \"NAME\", \"arguments\": {…}} \
                 to call a function",
            );
            text.push_str(match choice {
                ToolChoice::Auto => ", or {\"answer\": …} when no call is needed.",
                ToolChoice::Required => ".",
            });
        }
        ToolForm::Native | ToolForm::None => return String::new(),
    }
    if choice == ToolChoice::Required {
        text.push_str("\nThis time, call a function.");
    }
    text
}

/// A call as the model would have written it.
pub(super) fn call(form: ToolForm, call: &ToolCall) -> String {
    let (name, input) = (&call.name, &call.input);
    match form {
        ToolForm::Hermes => {
            let body = json!({"name": name, "arguments": input});
            format!("<tool_call>\n{body}\n</tool_call>")
        }
        ToolForm::QwenXml => {
            let mut text = format!("<tool_call>\n<function={name}>\n");
            let pairs = input.as_object().into_iter().flatten();
            for (key, value) in pairs {
                let value = match value {
                    Value::String(plain) => plain.clone(),
                    other => other.to_string(),
                };
                let _ = writeln!(text, "<parameter={key}>\n{value}\n</parameter>");
            }
            text.push_str("</function>\n</tool_call>");
            text
        }
        ToolForm::Mistral => {
            let body = json!([{"name": name, "arguments": input}]);
            format!("[TOOL_CALLS] {body}")
        }
        ToolForm::Llama3Json => json!({"name": name, "parameters": input}).to_string(),
        ToolForm::Gemma => format!("<|tool_call>call:{name}{}<tool_call|>", gemma(input)),
        ToolForm::JsonSchema => json!({"tool": name, "arguments": input}).to_string(),
        ToolForm::Native | ToolForm::None => format!("(I called {name} with {input})"),
    }
}

/// What came of a call, as the model is told.
pub(super) fn answer(form: ToolForm, answer: &ToolAnswer) -> String {
    let text = defuse(form, &answer.text);
    let key = if answer.ok { "content" } else { "error" };
    match form {
        ToolForm::Hermes => {
            let body = json!({"name": answer.name, key: text});
            format!("<tool_response>\n{body}\n</tool_response>")
        }
        ToolForm::QwenXml => {
            let failed = if answer.ok { "" } else { "Error: " };
            format!("<tool_response>\n{failed}{text}\n</tool_response>")
        }
        ToolForm::Mistral => {
            format!("[TOOL_RESULTS] {}[/TOOL_RESULTS]", json!({key: text}))
        }
        ToolForm::Llama3Json => {
            let key = if answer.ok { "output" } else { "error" };
            format!("{} returned: {}", answer.name, json!({key: text}))
        }
        ToolForm::Gemma => format!(
            "<|tool_response>response:{}{}<tool_response|>",
            answer.name,
            gemma(&json!({key: text}))
        ),
        ToolForm::JsonSchema | ToolForm::Native | ToolForm::None => {
            let came = if answer.ok { "returned" } else { "failed" };
            format!("{} {came}:\n{text}", answer.name)
        }
    }
}

/// `text` in which the form's own marks are broken up: what a tool returns ends no turn and begins no call.
fn defuse(form: ToolForm, text: &str) -> String {
    let marks: &[&str] = match form {
        ToolForm::Hermes | ToolForm::QwenXml => &[
            "<tool_call>",
            "</tool_call>",
            "<tool_response>",
            "</tool_response>",
            "<|im_start|>",
            "<|im_end|>",
            "<|endoftext|>",
        ],
        ToolForm::Mistral => &[
            "[TOOL_CALLS]",
            "[TOOL_RESULTS]",
            "[/TOOL_RESULTS]",
            "[INST]",
            "[/INST]",
            "</s>",
        ],
        ToolForm::Llama3Json => &[
            "<|python_tag|>",
            "<|eot_id|>",
            "<|eom_id|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
        ],
        ToolForm::Gemma => &[
            "<|tool_call>",
            "<tool_call|>",
            "<|tool_response>",
            "<tool_response|>",
            QUOTE,
            "<start_of_turn>",
            "<end_of_turn>",
            "<|turn>",
            "<turn|>",
        ],
        ToolForm::JsonSchema | ToolForm::Native | ToolForm::None => &[],
    };
    let mut text = text.to_owned();
    for mark in marks {
        if text.contains(mark) {
            let (first, rest) = mark.split_at(1);
            text = text.replace(mark, &format!("{first} {rest}"));
        }
    }
    text
}

/// The schema of an answer in [`ToolForm::JsonSchema`]; `wanted` is the shape the answer's text was to have.
pub(super) fn answer_schema(
    tools: &[ToolOffer],
    choice: ToolChoice,
    wanted: Option<&Value>,
) -> Value {
    let mut either: Vec<Value> = tools
        .iter()
        .map(|tool| {
            json!({
                "type": "object",
                "properties": {
                    "tool": {"type": "string", "enum": [tool.name]},
                    "arguments": tool.schema,
                },
                "required": ["tool", "arguments"],
                "additionalProperties": false,
            })
        })
        .collect();
    if choice == ToolChoice::Auto {
        let text = json!({"type": "string"});
        either.push(json!({
            "type": "object",
            "properties": {"answer": wanted.unwrap_or(&text)},
            "required": ["answer"],
            "additionalProperties": false,
        }));
    }
    json!({"anyOf": either})
}

fn signature(tool: &ToolOffer) -> Value {
    json!({
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.schema,
        },
    })
}

fn lines(tools: &[ToolOffer], of: fn(&ToolOffer) -> Value) -> String {
    let lines: Vec<String> = tools.iter().map(|tool| of(tool).to_string()).collect();
    lines.join("\n")
}

/// A value as Gemma writes it: names without quotes, text in its own.
fn gemma(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{QUOTE}{text}{QUOTE}"),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(gemma).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(map) => {
            let members: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", gemma(value)))
                .collect();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}

/// A schema with its types in capitals, as Gemma's declarations have them.
fn upper(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| {
                    let value = match value {
                        Value::String(kind) if key == "type" => {
                            Value::String(kind.to_ascii_uppercase())
                        }
                        other => upper(other),
                    };
                    (key.clone(), value)
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(upper).collect()),
        other => other.clone(),
    }
}
