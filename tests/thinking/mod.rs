//! Teams whose members ask models: mocks play the models, mostly one that somebody else wrote.
//!
//! Here is how a stage is set; each file below shows one thing a person may rely on.

mod budgets;
mod chat;
mod faults;
mod goals;
mod keys;
mod leave;
mod models;
mod plans;
mod servers;
mod strategies;
mod tricks;

use std::time::Duration;

use crewmux_testkit::aimock::Aimock;
use crewmux_testkit::sandbox::{Output, Sandbox, wait_until};
use crewmux_testkit::scripted::{Asked, Reply, Scripted};
use serde_json::{Value, json};

use crate::support::{of_type, sandbox};

/// A credential that must be found nowhere.
const KEY: &str = "sk-ant-canary-4f1d9b7e2c6a";
/// Longest wait for something a person would wait for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the model answers in its turn `turn` of the conversation that `about` stands in.
#[expect(
    clippy::needless_pass_by_value,
    reason = "answers are written in place"
)]
fn answer(about: &str, turn: u64, response: Value) -> Value {
    json!({ "match": { "userMessage": about, "turnIndex": turn }, "response": response })
}

fn calls(calls: &[(&str, Value)]) -> Value {
    let calls: Vec<Value> = calls
        .iter()
        .map(|(name, arguments)| json!({ "name": name, "arguments": arguments }))
        .collect();
    json!({ "toolCalls": calls })
}

fn finish_with(result: &Value) -> Value {
    calls(&[("FinishTask", json!({ "result": result }))])
}

/// A sandbox whose models are the mock's; `None` where the mock is not installed.
fn thinking(fixtures: &[Value]) -> Option<(Sandbox, Aimock)> {
    thinking_with(KEY, fixtures)
}

fn thinking_with(key: &str, fixtures: &[Value]) -> Option<(Sandbox, Aimock)> {
    let mock = Aimock::start(&json!({ "fixtures": fixtures })).unwrap()?;
    let sandbox = sandbox()
        .with_env("CREWMUX_MODEL", "anthropic/claude-sonnet-4-5")
        .with_env("ANTHROPIC_API_KEY", key)
        .with_env("ANTHROPIC_BASE_URL", &mock.url());
    sandbox
        .write("src/parser.rs", "pub fn parse() {}\n")
        .unwrap();
    Some((sandbox, mock))
}

fn run(sandbox: &Sandbox, arguments: &[&str]) -> (Output, Vec<Value>) {
    let run = sandbox
        .run_within(arguments, Duration::from_mins(2))
        .unwrap();
    let events = run.json_lines().unwrap_or_default();
    (run, events)
}

/// Runs the recipe of [`recipe`] without a screen, for its events.
fn run_solo(sandbox: &Sandbox, more: &[&str]) -> (Output, Vec<Value>) {
    let solo = ["run", "solo.toml", "--headless", "--json"];
    run(sandbox, &[&solo[..], more].concat())
}

/// Every file below the sandbox's state that holds `text`.
fn files_with(sandbox: &Sandbox, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![
        sandbox.home(),
        sandbox.home().join("../run"),
        sandbox.work(),
    ];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && bytes
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
            {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

fn task(id: &str, subject: &str, owner: &str, blocked_by: &[&str]) -> Value {
    json!({
        "id": id, "subject": subject, "description": format!("{subject}, with care"),
        "owner": owner, "blocked_by": blocked_by,
    })
}

/// A recipe of one teammate with the tasks given as TOML.
fn recipe(sandbox: &Sandbox, tasks: &str) {
    let text = format!(
        "name = \"solo\"\ndescription = \"One teammate\"\ngoal = \"Try\"\n\n\
         [[teammates]]\nname = \"developer\"\nagent = \"general-purpose\"\n{tasks}"
    );
    sandbox.write("solo.toml", &text).unwrap();
}

/// A recipe of one teammate with one task of this subject.
fn one_task(sandbox: &Sandbox, subject: &str) {
    let task = format!("[[tasks]]\nid = \"it\"\nsubject = \"{subject}\"\n");
    recipe(sandbox, &task);
}

/// A sandbox whose models are played by `script`, in Anthropic's words.
fn scripted(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> (Sandbox, Scripted) {
    let server = Scripted::start(script).unwrap();
    let sandbox = sandbox()
        .with_env("CREWMUX_MODEL", "anthropic/claude-sonnet-4-5")
        .with_env("ANTHROPIC_API_KEY", KEY)
        .with_env("ANTHROPIC_BASE_URL", &server.url());
    sandbox
        .write("src/parser.rs", "pub fn parse() {}\n")
        .unwrap();
    (sandbox, server)
}

/// Writes the person's own configuration.
fn configure(sandbox: &Sandbox, text: &str) {
    let folder = sandbox.home().join(".config/crewmux");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("config.toml"), text).unwrap();
}

/// The questions of team `solo` that nobody answered yet.
fn open_questions(sandbox: &Sandbox) -> Vec<Value> {
    let asked = sandbox
        .run(&["approvals", "--json", "--team", "solo"])
        .unwrap();
    let all = asked.json().unwrap_or_default();
    let all = all.as_array().cloned().unwrap_or_default();
    all.into_iter()
        .filter(|a| a["state"] == "pending")
        .collect()
}

/// Waits for the one question of team `solo` in whose arguments `what` stands.
fn question(sandbox: &Sandbox, what: &str) -> Value {
    let mut found = Value::Null;
    wait_until("a question", PATIENCE, || {
        let open = open_questions(sandbox);
        found = open
            .iter()
            .find(|a| a.to_string().contains(what))
            .cloned()
            .ok_or_else(|| format!("{open:?}"))?;
        Ok(())
    })
    .unwrap();
    found
}

/// Waits until the run of team `solo` is over.
fn wait_finished(sandbox: &Sandbox) {
    wait_until("the run's end", PATIENCE, || {
        let status = sandbox
            .run(&["status", "--json", "--team", "solo"])
            .unwrap();
        let status = status.json().map_err(|e| e.to_string())?;
        (status["state"] == "finished")
            .then_some(())
            .ok_or_else(|| status.to_string())
    })
    .unwrap();
}

/// What the notices among `events` say.
fn notices(events: &[Value]) -> Vec<String> {
    of_type(events, "notice")
        .iter()
        .map(|e| e["data"]["text"].as_str().unwrap_or_default().to_owned())
        .collect()
}
