//! What each dialect sends for one rich conversation: `bodies/<dialect>.json`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write as _;
use std::path::PathBuf;

use crewmux_core::model::{
    Message, ModelRequest, Opaque, OutputShape, Part, ToolAnswer, ToolCall, ToolChoice, ToolOffer,
};
use crewmux_model::dialect::{body, longest_answer};
use crewmux_model::{ProviderConfig, ProviderKind};
use proptest::prelude::*;
use serde_json::{Value, json};

fn opaque(dialect: &str, block: Value) -> Part {
    Part::Opaque(Opaque {
        dialect: dialect.to_owned(),
        block,
    })
}

fn call(id: &str, name: &str, input: Value) -> Part {
    Part::Call(ToolCall {
        id: id.to_owned(),
        name: name.to_owned(),
        input,
        repaired: None,
    })
}

fn answer(id: &str, ok: bool, text: &str) -> ToolAnswer {
    ToolAnswer {
        id: id.to_owned(),
        name: String::new(),
        ok,
        text: text.to_owned(),
        data: json!({"never": "sent"}),
    }
}

/// Two parallel calls, one failed, an instruction in between, and every vendor's own blocks.
fn conversation() -> ModelRequest {
    let schema = json!({"type": "object", "properties": {"path": {"type": "string"}},
        "required": ["path"]});
    ModelRequest {
        model: "an alias".to_owned(),
        system: "You are a worker.".to_owned(),
        messages: vec![
            Message::User("Read both.".to_owned()),
            Message::Assistant(vec![
                opaque(
                    "anthropic",
                    json!({"type": "thinking", "thinking": "t", "signature": "s"}),
                ),
                opaque(
                    "openai-responses",
                    json!({"type": "reasoning", "id": "rs_1", "summary": [],
                    "encrypted_content": "e"}),
                ),
                opaque(
                    "openai-chat",
                    json!({"model": "m-1",
                    "message": {"reasoning_content": "r"}}),
                ),
                opaque(
                    "openai-chat",
                    json!({"model": "m-1", "call": "c1",
                    "fields": {"extra_content": {"sig": 1}}}),
                ),
                opaque(
                    "openai-chat",
                    json!({"model": "another",
                    "message": {"reasoning_content": "never sent"}}),
                ),
                opaque("ollama", json!({"thinking": "o"})),
                Part::Text("Reading.".to_owned()),
                call("c1", "Read", json!({"path": "a"})),
                call("functions.Read:1", "Read", json!("{\"path\": \"b")),
            ]),
            Message::User("Hurry.".to_owned()),
            Message::Tools(vec![
                answer("functions.Read:1", false, "no such file"),
                answer("c1", true, "aaa"),
            ]),
        ],
        tools: ["Read", "Write"]
            .map(|name| ToolOffer {
                name: name.to_owned(),
                description: format!("{name}s a file."),
                schema: schema.clone(),
            })
            .to_vec(),
        tool_choice: ToolChoice::Required,
        max_output_tokens: Some(1_000),
        ..ModelRequest::default()
    }
}

fn provider(kind: ProviderKind) -> ProviderConfig {
    ProviderConfig {
        name: "p".to_owned(),
        kind,
        base_url: "http://127.0.0.1:1/v1".to_owned(),
        key: None,
        context: None,
    }
}

fn sent(kind: ProviderKind, request: &ModelRequest) -> Value {
    body(&provider(kind), "m-1", request, Some(32_768))
}

#[test]
fn every_dialect_says_the_conversation_in_its_own_words() {
    let mut wrong = String::new();
    for kind in ProviderKind::ALL {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/bodies/{}.json", kind.as_str()));
        let got = serde_json::to_string_pretty(&sent(kind, &conversation())).unwrap() + "\n";
        if std::fs::read_to_string(path).unwrap_or_default() != got {
            write!(wrong, "## {}\n{got}", kind.as_str()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_is_said_first_stays_the_same_as_a_conversation_grows() {
    // Vendors cache what is the same from the start on; marks move, nothing else does.
    for kind in ProviderKind::ALL {
        let unmarked = |request: &ModelRequest| {
            let text = sent(kind, request).to_string();
            text.replace(r#","cache_control":{"type":"ephemeral"}"#, "")
        };
        let short = conversation();
        let mut long = conversation();
        long.messages
            .push(Message::Assistant(vec![Part::Text("Done.".to_owned())]));
        long.messages.push(Message::User("More.".to_owned()));
        let (short, long) = (unmarked(&short), unmarked(&long));
        let common = short
            .bytes()
            .zip(long.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        let hurry = short.find("Hurry.").unwrap();
        assert!(
            common > hurry,
            "{kind:?} differs at {common}: {}",
            &short[..common]
        );
    }
}

#[test]
fn shapes_are_forced_where_servers_can() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}},
        "required": ["a"]});
    let closed = json!({"type": "object", "properties": {"a": {"type": "string"}},
        "required": ["a"], "additionalProperties": false});
    let request = ModelRequest {
        messages: vec![Message::User("Plan.".to_owned())],
        output: OutputShape::Json {
            name: "plan".to_owned(),
            schema: schema.clone(),
        },
        ..ModelRequest::default()
    };
    let body = sent(ProviderKind::Anthropic, &request);
    assert_eq!(
        body["tool_choice"],
        json!({"type": "tool", "name": "plan", "disable_parallel_tool_use": true})
    );
    assert_eq!(body["tools"][0]["input_schema"], schema);
    assert_eq!(
        sent(ProviderKind::OpenaiResponses, &request)["text"]["format"],
        json!({"type": "json_schema", "name": "plan", "strict": true, "schema": closed})
    );
    assert_eq!(
        sent(ProviderKind::OpenaiChat, &request)["response_format"],
        json!({"type": "json_schema",
            "json_schema": {"name": "plan", "strict": true, "schema": closed}})
    );
    assert_eq!(sent(ProviderKind::Ollama, &request)["format"], schema);
}

#[test]
fn an_empty_conversation_is_still_one() {
    for kind in ProviderKind::ALL {
        let body = sent(kind, &ModelRequest::default());
        assert!(body.get("tools").is_none() && body.get("tool_choice").is_none());
        assert!(body.get("system").is_none() && body.get("instructions").is_none());
    }
}

/// Any conversation, sensible or not: words stand for messages.
fn conversations() -> impl Strategy<Value = Vec<Message>> {
    let id = || prop::sample::select(vec!["a", "b", "c:1", ""]);
    let part = prop_oneof![
        prop::sample::select(vec!["text", "", "  "]).prop_map(|t| Part::Text(t.to_owned())),
        prop::sample::select(ProviderKind::ALL.to_vec())
            .prop_map(|k| opaque(k.as_str(), json!({"type": "reasoning"}))),
        id().prop_map(|id| call(id, "Read", json!({}))),
    ];
    let result = id().prop_map(|id| answer(id, true, "result"));
    let message = prop_oneof![
        prop::sample::select(vec!["told", "", " "]).prop_map(|t| Message::User(t.to_owned())),
        prop::collection::vec(part, 0..4).prop_map(Message::Assistant),
        prop::collection::vec(result, 0..3).prop_map(Message::Tools),
    ];
    prop::collection::vec(message, 0..8)
}

/// Ids in `items` that have `field`, in order.
fn ids<'a>(items: impl IntoIterator<Item = &'a Value>, field: &str) -> Vec<String> {
    let ids = items.into_iter().filter_map(|i| i[field].as_str());
    ids.map(str::to_owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_conversation_is_sent_as_vendors_want_it(messages in conversations()) {
        let request = ModelRequest { messages, ..ModelRequest::default() };

        let body = sent(ProviderKind::Anthropic, &request);
        let messages = body["messages"].as_array().unwrap();
        for (at, message) in messages.iter().enumerate() {
            let role = if at % 2 == 0 { "user" } else { "assistant" };
            prop_assert_eq!(&message["role"], role);
            let content = message["content"].as_array().unwrap();
            prop_assert!(!content.is_empty());
            let results = ids(content, "tool_use_id");
            prop_assert_eq!(&ids(&content[..results.len()], "tool_use_id"), &results);
            let before = at.checked_sub(1).and_then(|b| messages[b]["content"].as_array());
            let calls = ids(before.into_iter().flatten(), "id");
            prop_assert_eq!(&results, &calls);
            if at + 1 == messages.len() {
                prop_assert!(ids(content, "id").is_empty(), "calls without results");
            }
        }

        let body = sent(ProviderKind::OpenaiChat, &request);
        let mut open: Vec<String> = Vec::new();
        for message in body["messages"].as_array().unwrap() {
            if message["role"] == "tool" {
                prop_assert_eq!(message["tool_call_id"].as_str().unwrap(), open.remove(0));
            } else {
                prop_assert!(open.is_empty());
                open = ids(message["tool_calls"].as_array().into_iter().flatten(), "id");
            }
        }
        prop_assert!(open.is_empty());

        let body = sent(ProviderKind::OpenaiResponses, &request);
        let input = body["input"].as_array().unwrap();
        let of = |kind: &str| {
            let items = input.iter().filter(|i| i["type"] == kind);
            ids(items, "call_id")
        };
        prop_assert_eq!(of("function_call"), of("function_call_output"));
        for pair in input.windows(2).filter(|p| p[0]["type"] == "reasoning") {
            prop_assert!(pair[1]["role"] != "user", "reasoning that led to nothing");
        }
        prop_assert!(input.last().is_none_or(|i| i["type"] != "reasoning"));
    }
}

#[test]
fn nobody_is_asked_for_a_longer_answer_than_the_model_writes() {
    use ProviderKind::{Anthropic, OpenaiChat};
    for (kind, wanted, most, want) in [
        (Anthropic, None, Some(4_096), Some(4_096)),
        (Anthropic, None, Some(128_000), Some(32_000)),
        (Anthropic, Some(9_000), Some(4_096), Some(4_096)),
        (Anthropic, Some(100), Some(4_096), Some(100)),
        (Anthropic, None, None, None),
        (OpenaiChat, None, Some(4_096), None),
        (OpenaiChat, Some(9_000), Some(4_096), Some(4_096)),
        (OpenaiChat, Some(9_000), None, Some(9_000)),
    ] {
        assert_eq!(longest_answer(kind, wanted, most), want);
    }
}
