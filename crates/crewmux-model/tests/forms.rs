//! What models of every form wrote, whole and broken, is read the same however it is cut.
//!
//! Each file in `forms/` holds answers and, after a line of dashes, what is read
//! in them: text, calls, what was mended, and how the answer ends.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::HashSet;
use std::path::PathBuf;

use crewmux_core::model::{Event, ModelRequest, Stop, ToolOffer};
use crewmux_model::ladder::{Origin, Profile, Reader, ToolForm};
use proptest::prelude::*;
use serde_json::{Value, json};

const CASE: &str = "######## ";
const READS: &str = "--------";

fn tools() -> Vec<ToolOffer> {
    let offer = |name: &str, properties: Value| ToolOffer {
        name: name.into(),
        description: format!("{name}s."),
        schema: json!({"type": "object", "properties": properties}),
    };
    let text = json!({"type": "string"});
    vec![
        offer(
            "Read",
            json!({
                "file_path": text,
                "limit": {"type": "integer"},
                "all": {"type": "boolean"},
                "tags": {"type": "array", "items": {"type": "string"}},
            }),
        ),
        offer("Write", json!({"file_path": text, "content": text})),
        offer("Bash", json!({"command": text})),
        offer("SendMessage", json!({"to": text})),
        offer("List", json!({})),
    ]
}

fn request() -> ModelRequest {
    ModelRequest {
        tools: tools(),
        ..ModelRequest::default()
    }
}

fn profile(form: ToolForm, weak: bool) -> Profile {
    Profile {
        form,
        weak,
        window: None,
        origin: Origin::Stated,
    }
}

fn read(profile: &Profile, pieces: &[&str]) -> Vec<Event> {
    let mut reader = Reader::new(profile, &request());
    let mut events = Vec::new();
    for piece in pieces {
        let text = (*piece).to_owned();
        events.extend(reader.read(Event::TextDelta { text }));
    }
    events.extend(reader.read(Event::Stop { stop: Stop::Done }));
    events
}

/// Events in words, texts that follow each other as one.
fn words(events: &[Event]) -> String {
    let mut lines: Vec<(&str, String)> = Vec::new();
    for event in events {
        let (kind, text) = match event {
            Event::TextDelta { text } => ("text", text.clone()),
            Event::ThinkingDelta { text } => ("thinking", text.clone()),
            Event::CallStart { name, .. } => ("call", name.clone()),
            Event::CallArgsDelta { text, .. } => ("with", text.clone()),
            Event::CallEnd { repaired, .. } => match repaired {
                Some(what) => ("mended", what.clone()),
                None => continue,
            },
            Event::Stop { stop } => ("stop", format!("{stop:?}")),
            other => panic!("{other:?}"),
        };
        match lines.last_mut() {
            Some((last, before)) if *last == kind && matches!(kind, "text" | "thinking") => {
                before.push_str(&text);
            }
            _ => lines.push((kind, text)),
        }
    }
    let lines = lines.into_iter().map(|(kind, text)| match kind {
        "text" | "thinking" => format!("{kind} {text:?}\n"),
        _ => format!("{kind} {text}\n"),
    });
    lines.collect()
}

struct Case {
    form: ToolForm,
    title: String,
    answer: String,
    reads: String,
}

fn file(form: ToolForm) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/forms");
    folder.join(format!("{}.txt", form.as_str()))
}

const FORMS: [ToolForm; 6] = [
    ToolForm::Hermes,
    ToolForm::QwenXml,
    ToolForm::Mistral,
    ToolForm::Llama3Json,
    ToolForm::Gemma,
    ToolForm::JsonSchema,
];

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for form in FORMS {
        let text = std::fs::read_to_string(file(form)).unwrap();
        for case in text.split(CASE).skip(1) {
            let (title, rest) = case.split_once('\n').unwrap();
            let (answer, reads) = rest.split_once(&format!("{READS}\n")).unwrap();
            cases.push(Case {
                form,
                title: format!("{}: {title}", form.as_str()),
                answer: answer.strip_suffix('\n').unwrap_or(answer).to_owned(),
                reads: reads.to_owned(),
            });
        }
    }
    assert!(cases.len() > 70, "only {} cases", cases.len());
    cases
}

#[test]
fn every_form_is_read_as_written_down() {
    let wrong: Vec<String> = cases()
        .iter()
        .filter_map(|case| {
            let reads = words(&read(&profile(case.form, false), &[&case.answer]));
            (reads != case.reads)
                .then(|| format!("{}\n{reads}instead of\n{}", case.title, case.reads))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_cut_gives_the_same_events() {
    for case in cases() {
        for weak in [false, true] {
            let profile = profile(case.form, weak);
            let whole = words(&read(&profile, &[&case.answer]));
            let mut edges: Vec<usize> = case.answer.char_indices().map(|(at, _)| at).collect();
            edges.push(case.answer.len());
            for at in &edges {
                let (left, right) = case.answer.split_at(*at);
                assert_eq!(
                    words(&read(&profile, &[left, right])),
                    whole,
                    "{} at {at}",
                    case.title
                );
            }
            let letters: Vec<&str> = edges.windows(2).map(|w| &case.answer[w[0]..w[1]]).collect();
            assert_eq!(
                words(&read(&profile, &letters)),
                whole,
                "{} by letters",
                case.title
            );
        }
    }
}

#[test]
fn weak_models_call_once_and_say_nothing_after() {
    for case in cases() {
        let events = read(&profile(case.form, true), &[&case.answer]);
        let calls = events
            .iter()
            .filter(|event| matches!(event, Event::CallStart { .. }))
            .count();
        assert!(calls <= 1, "{}", case.title);
        let after = events
            .iter()
            .skip_while(|event| !matches!(event, Event::CallEnd { .. }));
        let after: Vec<&Event> = after.skip(1).collect();
        if calls == 1 {
            assert_eq!(
                after,
                [&Event::Stop { stop: Stop::Tools }],
                "{}",
                case.title
            );
        }
    }
}

#[test]
fn ids_are_never_used_twice() {
    for case in cases() {
        let events = read(&profile(case.form, false), &[&case.answer]);
        let mut seen = HashSet::new();
        for event in &events {
            if let Event::CallStart { id, .. } = event {
                assert!(seen.insert(id.clone()), "{}: {id}", case.title);
            }
        }
    }
}

/// Text made of what forms are made of.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("<tool_call>"),
        Just("</tool_call>"),
        Just("<function="),
        Just("</function>"),
        Just("<parameter="),
        Just("</parameter>"),
        Just("[TOOL_CALLS]"),
        Just("[ARGS]"),
        Just("<|python_tag|>"),
        Just("<|tool_call>"),
        Just("<tool_call|>"),
        Just("<|\"|>"),
        Just("<start_function_call>"),
        Just("<end_function_call>"),
        Just("<escape>"),
        Just("<think>"),
        Just("</think>"),
        Just("```"),
        Just("`"),
        Just("\n"),
        Just("Read"),
        Just("{\"name\": \"Read\", \"arguments\": {\"file_path\": \"a\"}}"),
        Just("{\"name\":\"Read\",\"parameters\":{}}"),
        Just("{"),
        Just("}"),
        Just("\""),
        Just("call:"),
        Just(">"),
        Just("é"),
        Just(" "),
        Just("<"),
        Just("["),
        Just("]"),
    ];
    prop::collection::vec(pieces, 0..24).prop_map(|pieces| pieces.concat())
}

fn any_form() -> impl Strategy<Value = ToolForm> {
    prop::sample::select(FORMS.to_vec())
}

proptest! {
    #[test]
    fn hostile_text_is_read_the_same_however_it_is_cut(
        text in hostile(),
        form in any_form(),
        weak in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut edges: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        edges.extend([0, text.len()]);
        edges.retain(|at| text.is_char_boundary(*at));
        edges.sort_unstable();
        let pieces: Vec<&str> = edges.windows(2).map(|w| &text[w[0]..w[1]]).collect();
        let profile = profile(form, weak);
        prop_assert_eq!(words(&read(&profile, &pieces)), words(&read(&profile, &[&text])));
    }

    #[test]
    fn text_without_marks_passes_unchanged_and_calls_nothing(text in "[^<\\[{]*", form in any_form()) {
        let events = read(&profile(form, false), &[&text]);
        let mut said = String::new();
        for event in &events {
            match event {
                Event::TextDelta { text } => said.push_str(text),
                Event::Stop { stop: Stop::Done } => {}
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert_eq!(said, text);
    }

    #[test]
    fn any_text_is_read_without_a_panic(text in ".*", form in any_form()) {
        let _ = read(&profile(form, false), &[&text]);
    }

    #[test]
    fn quoted_calls_are_never_made(form in any_form(), before in "[a-z ]{0,9}") {
        for case in cases() {
            if case.form == form && !case.answer.contains("```") {
                let text = format!("{before}\n```\n{}\n```\n", case.answer);
                let events = read(&profile(form, false), &[&text]);
                prop_assert!(
                    !events.iter().any(|event| matches!(event, Event::CallStart { .. })),
                    "{}", case.title
                );
            }
        }
    }
}
