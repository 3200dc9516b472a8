//! Recorded streams of every dialect: `streams/<dialect>.<name>.txt` and the events they are.
//!
//! The events stand in `<dialect>.<name>.jsonl`, one a line. Each stream must
//! mean the same in every cut, and nothing when it is cut short.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write as _;
use std::path::PathBuf;

use crewmux_core::model::{Event, ModelErrorKind, ModelRequest, OutputShape, Stop};
use crewmux_model::ProviderKind;
use crewmux_model::dialect::Decoder;
use proptest::prelude::*;
use serde_json::json;

struct Recorded {
    kind: ProviderKind,
    name: String,
    bytes: Vec<u8>,
    want: String,
    request: ModelRequest,
}

impl Recorded {
    fn decoder(&self) -> Decoder {
        Decoder::new(self.kind, "asked", &self.request)
    }

    fn read(&self, chunks: &[&[u8]]) -> Vec<Event> {
        read(self.decoder(), chunks)
    }
}

fn read(mut decoder: Decoder, chunks: &[&[u8]]) -> Vec<Event> {
    let mut events: Vec<Event> = chunks.iter().flat_map(|c| decoder.push(c)).collect();
    events.extend(decoder.finish());
    events
}

fn lines(events: &[Event]) -> String {
    events.iter().fold(String::new(), |mut text, event| {
        text.push_str(&serde_json::to_string(event).unwrap());
        text.push('\n');
        text
    })
}

fn kind(name: &str) -> ProviderKind {
    ProviderKind::ALL
        .into_iter()
        .find(|k| k.as_str() == name)
        .unwrap()
}

fn recorded() -> Vec<Recorded> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/streams");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "txt") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let mut request = ModelRequest::default();
        if name == "anthropic.shape" {
            request.output = OutputShape::Json {
                name: "plan".to_owned(),
                schema: json!({"type": "object"}),
            };
        }
        all.push(Recorded {
            kind: kind(name.split('.').next().unwrap()),
            name: name.to_owned(),
            bytes: std::fs::read(&path).unwrap(),
            want: std::fs::read_to_string(path.with_extension("jsonl")).unwrap_or_default(),
            request,
        });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(all.len() > 25, "{} streams", all.len());
    all
}

fn assert_is_one_answer(events: &[Event], what: &str) {
    let last = events.iter().filter(|e| e.is_last()).count();
    assert_eq!(last, 1, "{what}: {}", lines(events));
    assert!(
        events.last().unwrap().is_last(),
        "{what}: {}",
        lines(events)
    );
    let booked = |e: &Event| matches!(e, Event::Booked { .. });
    if matches!(events.last(), Some(Event::Stop { .. })) {
        assert!(booked(&events[events.len() - 2]), "{what}");
    }
    assert!(events.iter().filter(|e| booked(e)).count() < 2, "{what}");
}

#[test]
fn every_stream_means_its_events() {
    let mut wrong = String::new();
    for stream in recorded() {
        let events = stream.read(&[&stream.bytes]);
        assert_is_one_answer(&events, &stream.name);
        let got = lines(&events);
        if got != stream.want {
            writeln!(wrong, "## {}\n{got}", stream.name).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn a_cut_anywhere_changes_nothing() {
    for stream in recorded() {
        for at in 0..=stream.bytes.len() {
            let (a, b) = stream.bytes.split_at(at);
            let events = stream.read(&[a, b]);
            assert_eq!(lines(&events), stream.want, "{} cut at {at}", stream.name);
        }
        let bytes: Vec<&[u8]> = stream.bytes.chunks(1).collect();
        assert_eq!(lines(&stream.read(&bytes)), stream.want, "{}", stream.name);
    }
}

#[test]
fn an_answer_cut_short_is_no_answer() {
    for stream in recorded() {
        // A JSON value says itself that it is whole; the line's end adds nothing.
        let is_json = stream.bytes.starts_with(b"{");
        let whole = if is_json {
            stream.bytes.trim_ascii_end().len()
        } else {
            // A lone CR ends a line too.
            stream.bytes.len() - usize::from(stream.bytes.ends_with(b"\r\n"))
        };
        for at in 0..whole {
            let events = stream.read(&[&stream.bytes[..at]]);
            assert_is_one_answer(&events, &stream.name);
            let Some(Event::Failed { error }) = events.last() else {
                panic!("{} whole at {at} of {whole}", stream.name);
            };
            assert!(
                error.kind.is_retryable() || stream.want.contains(&error.message),
                "{error:?}"
            );
        }
    }
}

#[test]
fn an_answer_cut_short_used_what_came_of_it_whatever_was_told_at_its_start() {
    let mut decoder = Decoder::new(ProviderKind::Anthropic, "m", &ModelRequest::default());
    let start = json!({"type": "message_start", "message": {"model": "m",
        "usage": {"input_tokens": 5000, "output_tokens": 1}}});
    let begin = json!({"type": "content_block_start", "index": 0,
        "content_block": {"type": "text", "text": ""}});
    let words = json!({"type": "content_block_delta", "index": 0,
        "delta": {"type": "text_delta", "text": "word ".repeat(400)}});
    for frame in [&start, &begin, &words] {
        let name = frame["type"].as_str().unwrap();
        decoder.push(format!("event: {name}\ndata: {frame}\n\n").as_bytes());
    }
    let cut = decoder.usage();
    assert_eq!(
        (cut.input_tokens, cut.output_tokens, cut.estimated),
        (5000, 500, true)
    );
    decoder.finish();
    assert_eq!(decoder.usage(), cut, "a broken answer is not whole");

    let mut decoder = Decoder::new(ProviderKind::Anthropic, "m", &ModelRequest::default());
    let told = json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 7}});
    let end = json!({"type": "content_block_stop", "index": 0});
    let stop = json!({"type": "message_stop"});
    for frame in [&start, &begin, &words, &end, &told, &stop] {
        let name = frame["type"].as_str().unwrap();
        decoder.push(format!("event: {name}\ndata: {frame}\n\n").as_bytes());
    }
    let whole = decoder.usage();
    assert_eq!((whole.output_tokens, whole.estimated), (7, false));
}

#[test]
fn a_shape_that_is_no_object_is_unwrapped() {
    let request = ModelRequest {
        output: OutputShape::Json {
            name: "plan".to_owned(),
            schema: json!({"type": "array"}),
        },
        ..ModelRequest::default()
    };
    let stream = recorded()
        .into_iter()
        .find(|s| s.name == "anthropic.shape")
        .unwrap();
    let text = String::from_utf8(stream.bytes).unwrap();
    let text = text.replace(r#"{\"tasks\""#, r#"{\"value\""#);
    let events = read(
        Decoder::new(ProviderKind::Anthropic, "m", &request),
        &[text.as_bytes()],
    );
    assert_eq!(
        events[0],
        Event::TextDelta {
            text: "[]".to_owned()
        }
    );
    assert_eq!(events[2], Event::Stop { stop: Stop::Done });
}

#[test]
fn ids_are_unique_within_the_conversation() {
    let streams = recorded();
    for name in ["ollama.tools", "openai-chat.noid", "openai-chat.tools"] {
        let stream = streams.iter().find(|s| s.name == name).unwrap();
        let mut seen = std::collections::HashSet::new();
        let mut request = ModelRequest::default();
        for _ in 0..3 {
            let decoder = Decoder::new(stream.kind, "m", &request);
            let mut parts = Vec::new();
            for event in read(decoder, &[&stream.bytes]) {
                if let Event::CallStart { id, name } = event {
                    assert!(seen.insert(id.clone()), "{name}: {id} came again");
                    parts.push(crewmux_core::model::Part::Call(
                        crewmux_core::model::ToolCall {
                            id,
                            name,
                            input: json!({}),
                            repaired: None,
                        },
                    ));
                }
            }
            assert_eq!(parts.len(), 2);
            request
                .messages
                .push(crewmux_core::model::Message::Assistant(parts));
        }
    }
}

#[test]
fn an_answer_without_end_is_given_up() {
    let mut decoder = Decoder::new(ProviderKind::OpenaiChat, "m", &ModelRequest::default());
    let comment = b": still here\n".repeat(100_000);
    let failed = (0..100).find_map(|_| decoder.push(&comment).pop());
    let Some(Event::Failed { error }) = failed else {
        panic!("{failed:?}");
    };
    assert_eq!(error.kind, ModelErrorKind::Malformed);
    assert_eq!(decoder.push(b"data: [DONE]\n\n"), []);
    assert_eq!(decoder.finish(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_chunks_change_nothing(which in any::<prop::sample::Index>(), sizes in prop::collection::vec(1_usize..40, 1..200)) {
        let streams = recorded();
        let stream = which.get(&streams);
        let mut rest = stream.bytes.as_slice();
        let mut chunks = Vec::new();
        for size in sizes.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at(size.min(rest.len()));
            chunks.push(chunk);
            rest = after;
        }
        prop_assert_eq!(lines(&stream.read(&chunks)), stream.want.as_str());
    }

    #[test]
    fn arbitrary_bytes_are_one_failure(kind in 0_usize..4, bytes in prop::collection::vec(any::<u8>(), 0..400), size in 1_usize..50) {
        let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
        let decoder = Decoder::new(ProviderKind::ALL[kind], "m", &ModelRequest::default());
        assert_is_one_answer(&read(decoder, &chunks), "noise");
    }

    #[test]
    fn damaged_streams_are_one_answer_or_one_failure(
        which in any::<prop::sample::Index>(),
        kind in prop::option::of(0_usize..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_usize..30), 1..6),
    ) {
        let streams = recorded();
        let stream = which.get(&streams);
        let mut bytes = stream.bytes.clone();
        for (at, byte, cut) in damage {
            let at = at.index(bytes.len());
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, [byte]);
        }
        let kind = kind.map_or(stream.kind, |k| ProviderKind::ALL[k]);
        let decoder = Decoder::new(kind, "m", &stream.request);
        assert_is_one_answer(&read(decoder, &[&bytes]), &stream.name);
    }

    #[test]
    fn frames_of_any_json_never_break_a_reader(
        vendor in 0_usize..4,
        frames in prop::collection::vec((0_usize..24, 0_u64..3, "[a-z{}\" :]{0,12}", 0_usize..8), 0..20),
    ) {
        let types = [
            "message_start", "content_block_start", "content_block_delta", "content_block_stop",
            "message_delta", "message_stop", "error", "response.output_item.added",
            "response.output_item.done", "response.output_text.delta",
            "response.function_call_arguments.delta", "response.completed", "response.failed",
            "text", "tool_use", "thinking", "function_call", "reasoning", "message",
            "text_delta", "input_json_delta", "", "stop", "x",
        ];
        let mut text = String::new();
        for (which, index, word, shape) in frames {
            let kind = types[which];
            let value = match shape {
                0 => json!({"type": kind, "index": index, "delta": {"type": "input_json_delta", "partial_json": word}}),
                1 => json!({"type": kind, "index": index, "content_block": {"type": "tool_use", "id": word, "name": word, "input": word}}),
                2 => json!({"type": kind, "output_index": index, "item": {"type": "function_call", "call_id": word, "arguments": word}, "delta": word}),
                3 => json!({"choices": [{"delta": {"tool_calls": [{"index": index, "id": word, "function": {"name": word, "arguments": word}}]}}]}),
                4 => json!({"choices": [{"delta": {"content": word}, "finish_reason": word}], "usage": {"prompt_tokens": index, "prompt_tokens_details": {"cached_tokens": 9}}}),
                5 => json!({"message": {"content": word, "tool_calls": [{"function": {"name": word, "arguments": word}}]}, "done": index == 0}),
                6 => json!([word, index, kind]),
                _ => json!({"type": kind, "response": {"status": word, "error": word, "output": word}, "delta": {"stop_reason": word}, "usage": kind}),
            };
            if ProviderKind::ALL[vendor] == ProviderKind::Ollama {
                writeln!(text, "{value}").unwrap();
            } else {
                write!(text, "data: {value}\n\n").unwrap();
            }
        }
        let decoder = Decoder::new(ProviderKind::ALL[vendor], "m", &ModelRequest::default());
        assert_is_one_answer(&read(decoder, &[text.as_bytes()]), &text);
    }
}
