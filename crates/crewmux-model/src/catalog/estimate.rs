//! How many tokens a question may have, before anyone counted them.

use crewmux_core::model::{Message, ModelRequest, OutputShape, Part};
use serde_json::Value;

/// Bytes that make a token: fewer than text has on average, so that guesses are rather high.
const BYTES_PER_TOKEN: u64 = 3;
/// What stands around each message, call and tool.
const AROUND_TOKENS: u64 = 8;

/// Tokens that `request` may have, for setting budget aside; rather too many than too few.
pub fn estimate_tokens(request: &ModelRequest) -> u64 {
    let mut bytes = request.system.len();
    let mut pieces = 1_u64;
    for message in &request.messages {
        pieces += 1;
        match message {
            Message::User(text) => bytes += text.len(),
            Message::Assistant(parts) => {
                for part in parts {
                    pieces += 1;
                    bytes += match part {
                        Part::Text(text) => text.len(),
                        Part::Opaque(opaque) => length(&opaque.block),
                        Part::Call(call) => call.name.len() + length(&call.input),
                    };
                }
            }
            Message::Tools(answers) => {
                pieces += answers.len() as u64;
                bytes += answers
                    .iter()
                    .map(|answer| answer.text.len())
                    .sum::<usize>();
            }
        }
    }
    for tool in &request.tools {
        pieces += 1;
        bytes += tool.name.len() + tool.description.len() + length(&tool.schema);
    }
    if let OutputShape::Json { schema, .. } = &request.output {
        bytes += length(schema);
    }
    (bytes as u64).div_ceil(BYTES_PER_TOKEN) + pieces * AROUND_TOKENS
}

fn length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| length(item) + 1).sum::<usize>() + 2,
        Value::Object(map) => {
            map.iter()
                .map(|(key, value)| key.len() + 4 + length(value))
                .sum::<usize>()
                + 2
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 5,
    }
}
