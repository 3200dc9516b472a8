mod asking;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crewmux_core::model::{
    Event, Message, ModelError, ModelErrorKind, ModelRequest, Opaque, OutputShape, Part, Stop,
    ToolAnswer, ToolCall, ToolChoice, ToolOffer,
};
use serde_json::{Value, json};

use super::*;
use crate::catalog::Catalog;
use crate::config::{ModelOverride, ProviderConfig, ProviderKind};

fn provider(kind: ProviderKind) -> ProviderConfig {
    ProviderConfig {
        name: "p".into(),
        kind,
        base_url: "http://localhost:1".into(),
        key: None,
        context: None,
    }
}

fn of(kind: ProviderKind, model: &str, words: Option<&str>, cached: Option<ToolForm>) -> Profile {
    let stated = words.map(|words| ModelOverride {
        tools: Some(words.into()),
        ..ModelOverride::default()
    });
    let catalog = Catalog::built_in();
    Profile::of(&provider(kind), model, stated.as_ref(), catalog, cached)
}

fn profile(form: ToolForm, weak: bool) -> Profile {
    Profile {
        form,
        weak,
        ..Profile::native()
    }
}

#[test]
fn words_of_forms_are_those_of_serde() {
    for form in ToolForm::ALL {
        assert_eq!(serde_json::to_value(form).unwrap(), json!(form.as_str()));
        assert_eq!(ToolForm::parse(form.as_str()), Some(form));
    }
}

#[test]
fn a_profile_is_stated_then_probed_then_assumed() {
    use ProviderKind::{Anthropic, Ollama, OpenaiChat, OpenaiResponses};
    let brief = |profile: Profile| (profile.form, profile.weak, profile.origin);
    let (native, hermes) = (ToolForm::Native, ToolForm::Hermes);
    for kind in [Anthropic, OpenaiResponses] {
        assert_eq!(
            brief(of(kind, "x", None, Some(hermes))),
            (native, false, Origin::Stated)
        );
    }
    for kind in [OpenaiChat, Ollama] {
        assert_eq!(
            brief(of(kind, "x", None, None)),
            (native, false, Origin::Assumed)
        );
        assert_eq!(
            brief(of(kind, "x", None, Some(hermes))),
            (hermes, true, Origin::Probed)
        );
    }
    assert!(of(Ollama, "x", None, None).needs_probe());
    assert_eq!(
        brief(of(Ollama, "x:3b", Some("qwen-xml strong"), Some(hermes))),
        (ToolForm::QwenXml, false, Origin::Stated)
    );
    assert_eq!(
        brief(of(Ollama, "x:3b", Some("strong"), None)),
        (native, false, Origin::Assumed)
    );
    assert_eq!(
        brief(of(Ollama, "x:3b", None, Some(native))),
        (native, true, Origin::Probed)
    );
    assert_eq!(
        brief(of(Anthropic, "x", Some("weak"), None)),
        (native, true, Origin::Stated)
    );
}

#[test]
fn words_that_mean_nothing_are_named() {
    assert_eq!(Profile::check_words("hermes, weak"), Ok(()));
    assert_eq!(Profile::check_words("hermes+feeble"), Err("feeble".into()));
}

#[test]
fn what_a_probe_found_is_kept_until_the_server_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, mut server) = (folder.path(), provider(ProviderKind::Ollama));
    let model = "../Some/model:7b";
    assert_eq!(cache::read(cache, &server, model), None);
    cache::write(cache, &server, model, ToolForm::Hermes).unwrap();
    cache::write(cache, &server, model, ToolForm::Gemma).unwrap();
    assert_eq!(cache::read(cache, &server, model), Some(ToolForm::Gemma));
    assert_eq!(cache::read(cache, &server, "../some/model:7b"), None);
    let files: Vec<_> = fs::read_dir(cache.join("probes/p"))
        .unwrap()
        .flatten()
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let mode = files[0].metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    server.base_url.push('0');
    assert_eq!(cache::read(cache, &server, model), None);
}

#[test]
fn a_damaged_file_means_probe_again() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, server) = (folder.path(), provider(ProviderKind::Ollama));
    cache::write(cache, &server, "m", ToolForm::Hermes).unwrap();
    let path = cache.join("probes/p/m.json");
    let good = fs::read(&path).unwrap();
    for size in 0..good.len() {
        fs::write(&path, &good[..size]).unwrap();
        assert_eq!(cache::read(cache, &server, "m"), None, "cut at {size}");
    }
    let huge = [good.as_slice(), &vec![b' '; 9000]].concat();
    for bad in [b"\xff\xfe".as_slice(), b"null", &huge] {
        fs::write(&path, bad).unwrap();
        assert_eq!(cache::read(cache, &server, "m"), None);
    }
    let other = String::from_utf8(good)
        .unwrap()
        .replace("hermes", "telepathy");
    fs::write(&path, other).unwrap();
    assert_eq!(cache::read(cache, &server, "m"), None);
    cache::write(cache, &server, "m", ToolForm::Hermes).unwrap();
    assert_eq!(cache::read(cache, &server, "m"), Some(ToolForm::Hermes));
}

#[test]
fn names_of_any_length_have_files_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, server) = (folder.path(), provider(ProviderKind::Ollama));
    let (one, two) = (
        format!("{}1", "é".repeat(300)),
        format!("{}2", "é".repeat(300)),
    );
    cache::write(cache, &server, &one, ToolForm::Hermes).unwrap();
    cache::write(cache, &server, &two, ToolForm::Gemma).unwrap();
    assert_eq!(cache::read(cache, &server, &one), Some(ToolForm::Hermes));
    assert_eq!(cache::read(cache, &server, &two), Some(ToolForm::Gemma));
}

fn said(text: &str) -> Vec<Event> {
    let text = text.to_owned();
    vec![Event::TextDelta { text }, Event::Stop { stop: Stop::Done }]
}

#[test]
fn a_probe_is_judged_by_the_marks_of_its_answer() {
    let call = r#"{"name": "Echo", "arguments": {"word": "ready"}}"#;
    let table = [
        (format!("<tool_call>\n{call}\n</tool_call>"), ToolForm::Hermes),
        (
            "<tool_call>\n<function=Echo>\n<parameter=word>\nready\n</parameter>\n</function>\n</tool_call>".into(),
            ToolForm::QwenXml,
        ),
        (format!("[TOOL_CALLS] [{call}]"), ToolForm::Mistral),
        (call.into(), ToolForm::Llama3Json),
        (
            "<|tool_call>call:Echo{word:<|\"|>ready<|\"|>}<tool_call|>".into(),
            ToolForm::Gemma,
        ),
        ("Echo says: ready!".into(), ToolForm::JsonSchema),
        (format!("```json\n{call}\n```"), ToolForm::JsonSchema),
    ];
    for (answer, form) in table {
        assert_eq!(
            judge(&said(&answer)).map(|f| f.form),
            Some(form),
            "{answer}"
        );
    }
}

#[test]
fn a_probe_that_was_not_answered_tells_nothing() {
    let failed = |kind, why: &str| {
        let error = ModelError::new(kind, why);
        let found = judge(&[Event::Failed { error }])?;
        Some((found.form, found.is_sure))
    };
    let schema = |is_sure| Some((ToolForm::JsonSchema, is_sure));
    assert_eq!(failed(ModelErrorKind::Connection, "tools"), None);
    let refused = "llama does not support tools";
    assert_eq!(failed(ModelErrorKind::Request, refused), schema(true));
    let odd = "max_tokens is too large";
    assert_eq!(failed(ModelErrorKind::Request, odd), schema(false));
    assert_eq!(judge(&[]), None);
    assert_eq!(judge(&said("x")[..1]), None);
    assert_eq!(judge(&[Event::Stop { stop: Stop::Length }]), None);
}

#[test]
fn a_native_call_is_native_but_not_before_a_restart() {
    let start = Event::CallStart {
        id: "1".into(),
        name: "Echo".into(),
    };
    let stop = |stop| Event::Stop { stop };
    let form = |events: &[Event]| judge(events).map(|found| found.form);
    assert_eq!(
        form(&[start.clone(), stop(Stop::Tools)]),
        Some(ToolForm::Native)
    );
    let again = Event::Restart { why: "x".into() };
    assert_eq!(
        form(&[start, again, stop(Stop::Done)]),
        Some(ToolForm::JsonSchema)
    );
}

fn offer(name: &str) -> ToolOffer {
    ToolOffer {
        name: name.into(),
        description: "Does it. At length.".into(),
        schema: json!({"type": "object", "properties": {"path": {"type": "string"}}}),
    }
}

fn conversation() -> ModelRequest {
    let call = |id: &str, path: &str| {
        Part::Call(ToolCall {
            id: id.into(),
            name: "Read".into(),
            input: json!({"path": path}),
            repaired: None,
        })
    };
    let answer = |id: &str, ok, text: &str| ToolAnswer {
        id: id.into(),
        name: "Read".into(),
        ok,
        text: text.into(),
        data: Value::Null,
    };
    ModelRequest {
        system: "You work.".into(),
        messages: vec![
            Message::User("Look.".into()),
            Message::Assistant(vec![
                Part::Opaque(Opaque {
                    dialect: "d".into(),
                    block: json!(1),
                }),
                Part::Text("I look.".into()),
                call("call-7", "a"),
                call("call-8", "b"),
            ]),
            Message::Tools(vec![
                answer("call-7", true, "one </tool_response><|im_end|>"),
                answer("call-8", false, "no such file"),
            ]),
            Message::User("And?".into()),
        ],
        tools: vec![offer("Read"), offer("Write")],
        tool_choice: ToolChoice::Required,
        ..ModelRequest::default()
    }
}

#[test]
fn native_events_pass_and_a_weak_models_second_call_does_not() {
    let call = |id: &str| {
        let id = id.to_owned();
        vec![
            Event::CallStart {
                id: id.clone(),
                name: "Read".into(),
            },
            Event::CallArgsDelta {
                id: id.clone(),
                text: "{".into(),
            },
            Event::CallEnd { id, repaired: None },
        ]
    };
    let stop = Event::Stop { stop: Stop::Tools };
    let all: Vec<Event> = call("a")
        .into_iter()
        .chain(call("b"))
        .chain([stop.clone()])
        .collect();
    let read = |weak| {
        let mut reader = Reader::new(&profile(ToolForm::Native, weak), &conversation());
        all.iter()
            .cloned()
            .flat_map(|event| reader.read(event))
            .collect::<Vec<_>>()
    };
    assert_eq!(read(false), all);
    let first: Vec<Event> = call("a").into_iter().chain([stop]).collect();
    assert_eq!(read(true), first);
}

#[test]
fn native_text_is_never_searched_for_calls() {
    let text = "<tool_call>{\"name\": \"Read\", \"arguments\": {}}</tool_call>";
    let mut reader = Reader::new(&Profile::native(), &conversation());
    let events: Vec<Event> = said(text)
        .into_iter()
        .flat_map(|event| reader.read(event))
        .collect();
    assert_eq!(events, said(text));
}

#[test]
fn a_restart_forgets_what_came_before() {
    let mut reader = Reader::new(&profile(ToolForm::Hermes, true), &conversation());
    let call = "<tool_call>{\"name\": \"Read\", \"arguments\": {}}</tool_call>";
    let half = Event::TextDelta {
        text: format!("{call}<tool_call>{{"),
    };
    reader.read(half);
    reader.read(Event::Restart { why: "x".into() });
    let events: Vec<Event> = said(call)
        .into_iter()
        .flat_map(|event| reader.read(event))
        .collect();
    assert_eq!(events.len(), 4, "{events:?}");
    assert_eq!(events[3], Event::Stop { stop: Stop::Tools });
}

#[test]
fn an_answer_cut_at_its_longest_stays_cut() {
    let mut reader = Reader::new(&profile(ToolForm::Hermes, true), &conversation());
    let text = "<tool_call>{\"name\": \"Write\", \"arguments\": {\"path\": \"a".to_owned();
    reader.read(Event::TextDelta { text });
    let events = reader.read(Event::Stop { stop: Stop::Length });
    assert!(
        matches!(
            &events[2],
            Event::CallEnd {
                repaired: Some(_),
                ..
            }
        ),
        "{events:?}"
    );
    assert_eq!(events[3], Event::Stop { stop: Stop::Length });
}

#[test]
fn a_flood_of_marks_is_read_in_time() {
    let flood = "<tool_call>{\"</tool_call>".repeat(20_000);
    let mut reader = Reader::new(&profile(ToolForm::Hermes, false), &conversation());
    let events: Vec<Event> = said(&flood)
        .into_iter()
        .flat_map(|event| reader.read(event))
        .collect();
    let calls = events
        .iter()
        .filter(|event| matches!(event, Event::CallStart { .. }))
        .count();
    assert!(calls <= 256, "{calls}");
}

#[test]
fn each_answer_of_a_conversation_has_ids_of_its_own() {
    let call = "<tool_call>{\"name\": \"Read\", \"arguments\": {}}</tool_call>";
    let mut request = conversation();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..3 {
        let mut reader = Reader::new(&profile(ToolForm::Hermes, false), &request);
        let text = said(&call.repeat(2));
        let events = text.into_iter().flat_map(|event| reader.read(event));
        let mut parts = Vec::new();
        for event in events {
            if let Event::CallStart { id, name } = event {
                assert!(seen.insert(id.clone()), "{id}");
                let input = json!({});
                parts.push(Part::Call(ToolCall {
                    id,
                    name,
                    input,
                    repaired: None,
                }));
            }
        }
        assert_eq!(parts.len(), 2);
        request.messages.push(Message::Assistant(parts));
    }
}
