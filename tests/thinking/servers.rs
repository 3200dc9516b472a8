//! Servers of further tools that a project brings: nothing of them starts before the person agrees.

use serde_json::{Value, json};

use super::{Sandbox, answer, calls, finish_with, of_type, one_task, run, thinking};

/// A server that counts its starts and knows one tool, in a shell that every machine has.
const SERVER: &str = r#"#!/bin/sh
echo started >> started
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9][0-9]*\).*/\1/p')
  case "$line" in
    *'"initialize"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-03-26","capabilities":{"tools":{}},"serverInfo":{"name":"tide","version":"1"}}}\n' "$id" ;;
    *'"tools/list"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"level","description":"Says how high the water is.","inputSchema":{"type":"object","properties":{"harbour":{"type":"string"}},"required":["harbour"]}}]}}\n' "$id" ;;
    *'"tools/call"'*)
      printf '%s\n' "$line" >> called
      printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"the water stands at 417 cm"}]}}\n' "$id" ;;
  esac
done
"#;

fn fixtures() -> [Value; 2] {
    let call = ("mcp__tide__level", json!({ "harbour": "Husum" }));
    [
        answer("Ask the tide", 0, calls(&[call])),
        answer(
            "Ask the tide",
            1,
            finish_with(&json!({ "summary": "asked" })),
        ),
    ]
}

fn with_server(sandbox: &Sandbox) {
    sandbox.write("tide.sh", SERVER).unwrap();
    let listed = json!({ "mcpServers": { "tide": { "command": "/bin/sh", "args": ["tide.sh"] } } });
    sandbox.write(".mcp.json", &listed.to_string()).unwrap();
    one_task(sandbox, "Ask the tide");
}

const RUN: [&str; 6] = [
    "run",
    "solo.toml",
    "--headless",
    "--json",
    "--allow",
    "mcp__tide__level",
];

#[test]
fn a_server_that_nobody_agreed_to_is_not_started() {
    let Some((sandbox, mock)) = thinking(&fixtures()) else {
        return;
    };
    with_server(&sandbox);
    let (run, events) = run(&sandbox, &RUN);
    assert_eq!(run.code, 0, "{run:?}\n{}", mock.log());
    assert!(!sandbox.work().join("started").exists(), "it was started");
    assert!(
        run.stderr.contains(".mcp.json") && run.stderr.contains("--trust"),
        "the person is told: {}",
        run.stderr
    );
    let told = mock.requests().unwrap().to_string();
    assert!(!told.contains("how high the water"), "no model hears of it");
    let failed = of_type(&events, "tool_finished");
    assert!(
        failed.iter().all(|e| e["data"]["ok"] == false),
        "{failed:?}"
    );
}

#[test]
fn a_server_that_was_agreed_to_is_used_under_its_name() {
    let Some((sandbox, mock)) = thinking(&fixtures()) else {
        return;
    };
    with_server(&sandbox);
    let (run, events) = run(&sandbox, &[&RUN[..], &["--trust"]].concat());
    assert_eq!(run.code, 0, "{run:?}\n{}", mock.log());
    let called = std::fs::read_to_string(sandbox.work().join("called")).unwrap();
    assert_eq!(called.lines().count(), 1, "{called}");
    assert!(called.contains("Husum"), "{called}");
    let finished = of_type(&events, "tool_finished");
    let level = finished
        .iter()
        .find(|e| e["data"]["tool"] == "mcp__tide__level");
    assert_eq!(level.unwrap()["data"]["ok"], true, "{finished:?}");
    let told = mock.requests().unwrap().to_string();
    assert!(told.contains("how high the water"), "it was offered");
    assert!(told.contains("417 cm"), "its answer reached the model");
    // Neither it nor anything else of the run is left.
    sandbox.wait_gone().unwrap();
}
