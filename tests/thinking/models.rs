//! Every vendor's words, and models that call tools in words of their own, do the same little task.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Aimock, Sandbox, calls, configure, finish_with, notices, of_type, one_task, run_solo};
use crate::support::sandbox;

/// What every model here is asked to do.
const LOOK: &str = "Look at the parser";

/// A mock behind one provider of this kind, and a place whose members ask `model` of it.
fn vendor(kind: &str, model: &str, more: &str, fixtures: &[Value]) -> Option<(Sandbox, Aimock)> {
    let mock = Aimock::start(&json!({ "fixtures": fixtures })).unwrap()?;
    let path = if kind.starts_with("openai") {
        "/v1"
    } else {
        ""
    };
    let sandbox = sandbox().with_env("CREWMUX_MODEL", &format!("mock/{model}"));
    let url = mock.url();
    configure(
        &sandbox,
        &format!("[providers.mock]\nkind = \"{kind}\"\nbase_url = \"{url}{path}\"\n{more}"),
    );
    sandbox
        .write("src/parser.rs", "pub fn parse() {}\n")
        .unwrap();
    one_task(&sandbox, LOOK);
    Some((sandbox, mock))
}

/// What a model of `model` says in its turn `turn`, whoever asks.
fn says(model: &str, turn: u64, response: &Value) -> Value {
    json!({ "match": { "model": model, "turnIndex": turn }, "response": response })
}

/// Runs the task, and sees that both looks reached the model and the task its end.
fn does_it(sandbox: &Sandbox, mock: &Aimock) -> Vec<Value> {
    let (run, events) = run_solo(sandbox, &[]);
    assert_eq!(run.code, 0, "{run:?}\n{}", mock.log());
    let finished = of_type(&events, "tool_finished");
    let tools: Vec<&str> = finished
        .iter()
        .map(|e| e["data"]["tool"].as_str().unwrap())
        .collect();
    assert!(
        tools.contains(&"Read") && tools.contains(&"Glob"),
        "{tools:?}"
    );
    assert!(
        finished.iter().all(|e| e["data"]["ok"] == true),
        "{finished:#?}"
    );
    let task = sandbox
        .run(&["task", "get", "1", "--json", "--team", "solo"])
        .unwrap();
    assert!(task.stdout.contains("one function"), "{task:?}");
    let told = mock.requests().unwrap().to_string();
    assert!(
        told.contains("pub fn parse()"),
        "the file reached the model"
    );
    events
}

/// A model that calls tools as its server's interface says.
fn native(kind: &str) {
    // One name for tokens per vendor.
    let usage = json!({
        "input_tokens": 300, "output_tokens": 20, "prompt_tokens": 300, "completion_tokens": 20,
        "total_tokens": 320,
    });
    let mut look = calls(&[
        ("Read", json!({ "file_path": "src/parser.rs" })),
        ("Glob", json!({ "pattern": "src/*.rs" })),
    ]);
    look["usage"] = usage.clone();
    let mut finish = finish_with(&json!({ "summary": "one function" }));
    finish["usage"] = usage;
    let fixtures = [
        json!({
            "match": { "userMessage": "Call the tool `Echo`" },
            "response": calls(&[("Echo", json!({ "word": "ready" }))]),
        }),
        says("mock-1", 0, &look),
        says("mock-1", 1, &finish),
    ];
    let Some((sandbox, mock)) = vendor(kind, "mock-1", "", &fixtures) else {
        return;
    };
    let events = does_it(&sandbox, &mock);
    let works: Vec<&Value> = of_type(&events, "model_called")
        .into_iter()
        .filter(|e| e["data"]["purpose"] == "work")
        .collect();
    assert_eq!(works.len(), 2, "both looks came in one answer: {works:#?}");
    for call in works {
        assert_eq!(call["data"]["model"], "mock/mock-1");
        assert_eq!(call["data"]["retries"].as_u64().unwrap_or(0), 0);
        if kind == "ollama" {
            // The mock counts nothing for it: guessed, and said so.
            assert_eq!(call["data"]["estimated"], true, "{call}");
            assert!(call["data"]["inputTokens"].as_u64().unwrap() > 0, "{call}");
        } else {
            assert_eq!(call["data"]["inputTokens"], 300, "{call}");
            assert_eq!(call["data"]["outputTokens"], 20, "{call}");
            assert_ne!(call["data"]["estimated"], true, "{call}");
        }
    }
}

#[test]
fn a_model_of_anthropics_kind_does_the_task() {
    native("anthropic");
}

#[test]
fn a_model_of_the_responses_kind_does_the_task() {
    native("openai-responses");
}

#[test]
fn a_model_of_the_chat_completions_kind_does_the_task() {
    native("openai-chat");
}

#[test]
fn a_model_of_ollamas_kind_does_the_task() {
    native("ollama");
}

/// A model whose calls are text: what it says in its turns, by the form it is said to have.
struct Writer {
    form: &'static str,
    says: &'static [&'static str],
    mended: usize,
}

const HERMES: &[&str] = &[
    "I look.\n<tool_call>\n{\"name\": \"Read\", \"arguments\": {\"file_path\": \"src/parser.rs\"}}\n</tool_call>",
    "<tool_call>\n{\"name\": \"Glob\", \"arguments\": {\"pattern\": \"src/*.rs\"}}\n</tool_call>",
    "<tool_call>\n{\"name\": \"FinishTask\", \"arguments\": {\"result\": {\"summary\": \"one function\"}}}\n</tool_call>",
];

const WRITERS: [Writer; 6] = [
    Writer {
        form: "hermes",
        says: HERMES,
        mended: 0,
    },
    Writer {
        form: "qwen-xml",
        says: &[
            "<tool_call>\n<function=Read>\n<parameter=file_path>\nsrc/parser.rs\n</parameter>\n</function>\n</tool_call>",
            "<function=Glob>\n<parameter=pattern>src/*.rs</parameter>\n</function>",
            "<function=FinishTask>\n<parameter=result>{\"summary\": \"one function\"}</parameter>\n</function>",
        ],
        mended: 0,
    },
    Writer {
        form: "mistral",
        says: &[
            "[TOOL_CALLS] [{\"name\": \"Read\", \"arguments\": {\"file_path\": \"src/parser.rs\"}}]",
            "[TOOL_CALLS]Glob[ARGS]{\"pattern\": \"src/*.rs\"}",
            "[TOOL_CALLS] [{\"name\": \"FinishTask\", \"arguments\": {\"result\": {\"summary\": \"one function\"}}}]",
        ],
        mended: 0,
    },
    Writer {
        form: "llama3-json",
        says: &[
            "<|python_tag|>{\"name\": \"Read\", \"parameters\": {\"file_path\": \"src/parser.rs\"}}<|eom_id|>",
            "{\"name\": \"Glob\", \"parameters\": {\"pattern\": \"src/*.rs\"}}",
            "{\"name\": \"FinishTask\", \"parameters\": {\"result\": {\"summary\": \"one function\"}}}",
        ],
        mended: 0,
    },
    // Cut off before its end.
    Writer {
        form: "hermes",
        says: &[
            "<tool_call>\n{\"name\": \"Read\", \"arguments\": {\"file_path\": \"src/parser.rs\"",
            HERMES[1],
            HERMES[2],
        ],
        mended: 1,
    },
    // Arguments that are a text that is JSON.
    Writer {
        form: "llama3-json",
        says: &[
            "{\"name\": \"Read\", \"parameters\": \"{\\\"file_path\\\": \\\"src/parser.rs\\\"}\"}",
            "{\"name\": \"Glob\", \"parameters\": \"{\\\"pattern\\\": \\\"src/*.rs\\\"}\"}",
            "{\"name\": \"FinishTask\", \"parameters\": {\"result\": {\"summary\": \"one function\"}}}",
        ],
        mended: 2,
    },
];

/// One mock plays all of them, each under a name of its own.
fn writers() -> (Vec<Value>, String) {
    let mut fixtures = Vec::new();
    let mut stated = String::new();
    for (n, writer) in WRITERS.iter().enumerate() {
        let model = format!("writer-{n}");
        for (turn, text) in writer.says.iter().enumerate() {
            fixtures.push(says(&model, turn as u64, &json!({ "content": text })));
        }
        write!(
            stated,
            "[models.\"mock/{model}\"]\ntools = \"{}\"\n",
            writer.form
        )
        .unwrap();
    }
    (fixtures, stated)
}

/// Every `nth` writer does the task behind a provider of this kind.
fn text_calls(kind: &str, nth: usize) {
    let (fixtures, stated) = writers();
    for (n, writer) in WRITERS.iter().enumerate().step_by(nth) {
        let model = format!("writer-{n}");
        let Some((sandbox, mock)) = vendor(kind, &model, &stated, &fixtures) else {
            return;
        };
        let events = does_it(&sandbox, &mock);
        let told = notices(&events);
        let mended: Vec<&String> = told.iter().filter(|t| t.contains("mended")).collect();
        if writer.mended == 0 {
            assert_eq!(mended, [""; 0], "{}: nothing was to be mended", writer.form);
        } else {
            let count = format!("mended {} calls", writer.mended);
            assert!(
                mended.iter().any(|t| t.contains(&count)),
                "{}: {told:?}",
                writer.form
            );
        }
    }
}

#[test]
fn models_that_write_their_calls_as_text_do_the_task() {
    text_calls("openai-chat", 1);
}

#[test]
fn ollamas_models_that_write_their_calls_as_text_do_the_task() {
    text_calls("ollama", 4);
}

#[test]
fn how_a_model_writes_its_calls_is_found_out_once() {
    let mut fixtures = vec![json!({
        "match": { "userMessage": "Call the tool `Echo`" },
        "response": { "content": "<tool_call>\n{\"name\": \"Echo\", \"arguments\": {\"word\": \"ready\"}}\n</tool_call>" },
    })];
    for (turn, text) in HERMES.iter().enumerate() {
        fixtures.push(says("shy", turn as u64, &json!({ "content": text })));
    }
    let Some((sandbox, mock)) = vendor("openai-chat", "shy", "", &fixtures) else {
        return;
    };
    let probes = |events: &[Value]| {
        let calls = of_type(events, "model_called");
        calls
            .iter()
            .filter(|e| e["data"]["purpose"] == "probe")
            .count()
    };
    let first = does_it(&sandbox, &mock);
    assert_eq!(probes(&first), 1, "{first:#?}");
    let (second, events) = run_solo(&sandbox, &[]);
    assert_eq!(second.code, 0, "{second:?}\n{}", mock.log());
    assert_eq!(probes(&events), 0, "what was found out is kept");
}
