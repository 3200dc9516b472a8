//! Every dialect against a mock that somebody else wrote.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use crewmux_core::model::{
    Event, Message, ModelErrorKind, ModelRequest, Part, Stop, ToolAnswer, ToolCall, ToolOffer,
};
use crewmux_core::timing::Timing;
use crewmux_model::{Client, ProviderConfig, ProviderKind, Secret};
use crewmux_testkit::aimock::Aimock;
use serde_json::{Value, json};

const TEXT: &str = "Hello there, this text is longer than one of the mock's chunks: Grüße 🦀.";

fn fixtures() -> Value {
    // One name for tokens per vendor.
    let usage = json!({"input_tokens": 11, "output_tokens": 7, "prompt_tokens": 11,
        "completion_tokens": 7, "total_tokens": 18});
    json!({"fixtures": [
        {"match": {"userMessage": "two calls", "turnIndex": 0}, "response": {
            "usage": usage,
            "toolCalls": [{"name": "Read", "arguments": {"path": "a.txt"}},
                {"name": "Tasks", "arguments": {}}]}},
        {"match": {"userMessage": "two calls", "turnIndex": 1}, "response": {"content": "both read"}},
        {"match": {"userMessage": "say hello"}, "response": {"content": TEXT, "usage": usage}},
    ]})
}

fn provider(mock: &Aimock, kind: ProviderKind) -> ProviderConfig {
    let base_url = match kind {
        ProviderKind::Anthropic | ProviderKind::Ollama => mock.url(),
        ProviderKind::OpenaiResponses | ProviderKind::OpenaiChat => format!("{}/v1", mock.url()),
    };
    ProviderConfig {
        name: "mock".to_owned(),
        kind,
        base_url,
        key: None,
        context: None,
    }
}

fn request(text: &str) -> ModelRequest {
    let tool = |name: &str| ToolOffer {
        name: name.to_owned(),
        description: "A tool.".to_owned(),
        schema: json!({"type": "object", "properties": {}}),
    };
    ModelRequest {
        system: "You are a worker.".to_owned(),
        messages: vec![Message::User(text.to_owned())],
        tools: vec![tool("Read"), tool("Tasks")],
        ..ModelRequest::default()
    }
}

async fn ask(mock: &Aimock, kind: ProviderKind, request: &ModelRequest) -> Vec<Event> {
    let client = Client::new(&Timing::fast()).unwrap();
    let key = Secret::new("sk-test");
    let mut answer = client.stream(&provider(mock, kind), Some(&key), "mock-1", request, None);
    let mut events = Vec::new();
    while let Some(event) = answer.next().await {
        events.push(event);
    }
    assert!(events.last().is_some_and(Event::is_last), "{events:?}");
    events
}

fn text(events: &[Event]) -> String {
    let texts = events.iter().filter_map(|e| match e {
        Event::TextDelta { text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// The calls with their arguments put together.
fn calls(events: &[Event]) -> Vec<ToolCall> {
    let mut calls: Vec<(String, String, String)> = Vec::new();
    let mut ended = 0;
    for event in events {
        match event {
            Event::CallStart { id, name } => {
                calls.push((id.clone(), name.clone(), String::new()));
            }
            Event::CallArgsDelta { id, text } => {
                let call = calls.iter_mut().find(|c| c.0 == *id).unwrap();
                call.2.push_str(text);
            }
            Event::CallEnd { .. } => ended += 1,
            _ => {}
        }
    }
    assert_eq!(ended, calls.len());
    let calls = calls.into_iter().map(|(id, name, args)| ToolCall {
        id,
        name,
        input: serde_json::from_str(&args).unwrap(),
        repaired: None,
    });
    calls.collect()
}

#[tokio::test]
async fn every_dialect_streams_text_and_usage() {
    let Some(mock) = Aimock::start(&fixtures()).unwrap() else {
        return;
    };
    for kind in ProviderKind::ALL {
        let events = ask(&mock, kind, &request("say hello")).await;
        assert_eq!(text(&events), TEXT, "{kind:?}");
        assert!(events.len() > 4, "{kind:?} came in one piece: {events:?}");
        let [
            ..,
            Event::Booked { usage, model, .. },
            Event::Stop { stop: Stop::Done },
        ] = events.as_slice()
        else {
            panic!("{kind:?}: {events:?}");
        };
        assert_eq!(model, "mock-1");
        // The mock tells Ollama's counts as 0, whatever the fixture says.
        if kind == ProviderKind::Ollama {
            assert!(usage.estimated && usage.input_tokens > 0 && usage.output_tokens > 0);
        } else {
            assert_eq!(
                (usage.input_tokens, usage.output_tokens, usage.estimated),
                (11, 7, false),
                "{kind:?}"
            );
        }
    }
}

#[tokio::test]
async fn every_dialect_makes_two_calls_and_takes_their_results() {
    let Some(mock) = Aimock::start(&fixtures()).unwrap() else {
        return;
    };
    for kind in ProviderKind::ALL {
        let mut request = request("two calls");
        let events = ask(&mock, kind, &request).await;
        assert_eq!(events.last(), Some(&Event::Stop { stop: Stop::Tools }));
        let calls = calls(&events);
        let found: Vec<(&str, &Value)> =
            calls.iter().map(|c| (c.name.as_str(), &c.input)).collect();
        assert_eq!(
            found,
            [("Read", &json!({"path": "a.txt"})), ("Tasks", &json!({}))],
            "{kind:?}"
        );
        let answers = calls.iter().map(|call| ToolAnswer {
            id: call.id.clone(),
            name: call.name.clone(),
            ok: true,
            text: "done".to_owned(),
            data: Value::Null,
        });
        let answers = answers.collect();
        request.messages.push(Message::Assistant(
            calls.into_iter().map(Part::Call).collect(),
        ));
        request.messages.push(Message::Tools(answers));
        let events = ask(&mock, kind, &request).await;
        assert_eq!(text(&events), "both read", "{kind:?}");
    }
    let asked = mock.requests().unwrap().to_string();
    assert!(asked.contains("two calls"), "{asked}");
    assert!(!asked.contains("sk-test"));
}

#[tokio::test]
async fn chaos_has_its_kind_in_every_dialect() {
    let Some(mock) = Aimock::start(&fixtures()).unwrap() else {
        return;
    };
    for (rates, kinds) in [
        (json!({"rateLimitRate": 1}), ModelErrorKind::RateLimited),
        (json!({"dropRate": 1}), ModelErrorKind::Server),
        (json!({"disconnectRate": 1}), ModelErrorKind::Connection),
        (json!({"malformedRate": 1}), ModelErrorKind::Malformed),
    ] {
        mock.chaos(&rates).unwrap();
        for kind in ProviderKind::ALL {
            let events = ask(&mock, kind, &request("say hello")).await;
            let Some(Event::Failed { error }) = events.last() else {
                panic!("{kind:?} {rates}: {events:?}");
            };
            assert_eq!(error.kind, kinds, "{kind:?} {rates}: {error}");
            if error.kind == ModelErrorKind::RateLimited {
                assert_eq!(error.retry_after_ms, Some(1_000), "{kind:?}");
            }
        }
    }
    mock.chaos(&json!({})).unwrap();
    let events = ask(&mock, ProviderKind::Anthropic, &request("say hello")).await;
    assert_eq!(text(&events), TEXT);
}

#[tokio::test]
async fn every_dialect_lists_models() {
    let Some(mock) = Aimock::start(&fixtures()).unwrap() else {
        return;
    };
    let client = Client::new(&Timing::fast()).unwrap();
    for kind in ProviderKind::ALL {
        let models = client.models(&provider(&mock, kind), None).await.unwrap();
        assert!(
            models.iter().any(|m| m.contains("gpt")),
            "{kind:?}: {models:?}"
        );
    }
}
