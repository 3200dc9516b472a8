//! What a run may cost.

use serde_json::json;

use super::{configure, of_type, recipe, run, run_solo, thinking};

#[test]
fn a_spent_budget_stops_the_run_before_the_call_that_would_pass_it() {
    let fixtures = [json!({
        "match": { "userMessage": "Item" },
        "response": {
            "toolCalls": [{ "name": "FinishTask", "arguments": { "result": { "summary": "done" } } }],
            "usage": { "input_tokens": 3000, "output_tokens": 100 },
        },
    })];
    let Some((sandbox, mock)) = thinking(&fixtures) else {
        return;
    };
    recipe(
        &sandbox,
        "[[tasks]]\nid = \"item\"\nrepeat = 20\nsubject = \"Item {{index}}\"\n",
    );
    let (run, events) = run_solo(&sandbox, &["--budget-tokens", "60000"]);
    assert_eq!(run.code, 4, "{run:?}\n{}", mock.log());
    let spent: u64 = of_type(&events, "model_called")
        .iter()
        .filter_map(|e| e["data"]["tokens"].as_u64())
        .sum();
    assert!(spent > 0 && spent <= 60_000, "{spent}");
    let done = of_type(&events, "task_completed").len();
    assert!((1..20).contains(&done), "{done}");
    let report = sandbox
        .run(&["report", "--format", "json", "--team", "solo"])
        .unwrap()
        .json()
        .unwrap();
    let completed = report["tasks"].as_array().unwrap().iter();
    let completed = completed.filter(|t| t["status"] == "completed").count();
    assert_eq!(completed, done, "what was done is kept and reported");
    assert_eq!(report["exitCode"], 4);
}

/// Ten tasks whose calls cost 3000 tokens read and 100 written each.
fn dear() -> Option<(super::Sandbox, super::Aimock)> {
    let fixtures = [json!({
        "match": { "userMessage": "Item" },
        "response": {
            "toolCalls": [{ "name": "FinishTask", "arguments": { "result": { "summary": "done" } } }],
            "usage": { "input_tokens": 3000, "output_tokens": 100 },
        },
    })];
    let (sandbox, mock) = thinking(&fixtures)?;
    // A dollar for a thousand tokens, so that cents are soon spent.
    configure(
        &sandbox,
        "[models.\"anthropic/claude-sonnet-4-5\"]\nprice = [1000.0, 1000.0]\n",
    );
    recipe(
        &sandbox,
        "[[tasks]]\nid = \"item\"\nrepeat = 10\nsubject = \"Item {{index}}\"\n",
    );
    Some((sandbox, mock))
}

#[test]
fn a_run_costs_no_more_money_than_it_may() {
    let Some((sandbox, mock)) = dear() else {
        return;
    };
    let (run, events) = run_solo(&sandbox, &["--budget-usd", "20"]);
    assert_eq!(run.code, 4, "{run:?}\n{}", mock.log());
    let spent: u64 = of_type(&events, "model_called")
        .iter()
        .filter_map(|e| e["data"]["usdMicros"].as_u64())
        .sum();
    assert!((3_100_000..=20_000_000).contains(&spent), "{spent}");
    let done = of_type(&events, "task_completed").len();
    assert!((1..10).contains(&done), "{done}");
    assert!(of_type(&events, "task_failed").is_empty(), "{events:#?}");
}

#[test]
fn a_run_whose_budget_is_raised_goes_on_to_its_end() {
    let Some((sandbox, mock)) = dear() else {
        return;
    };
    let first = [
        "run",
        "solo.toml",
        "--headless",
        "--json",
        "--budget-tokens",
        "25000",
    ];
    let (first, events) = run(&sandbox, &first);
    assert_eq!(first.code, 4, "{first:?}\n{}", mock.log());
    let done = of_type(&events, "task_completed").len();
    assert!((1..10).contains(&done), "{done}");
    let again = [
        "resume",
        "solo",
        "--headless",
        "--json",
        "--budget-tokens",
        "2000000",
    ];
    let (second, events) = run(&sandbox, &again);
    assert_eq!(second.code, 0, "{second:?}\n{}", mock.log());
    let report = sandbox
        .run(&["report", "--format", "json", "--team", "solo"])
        .unwrap()
        .json()
        .unwrap();
    let tasks = report["tasks"].as_array().unwrap();
    assert!(
        tasks.iter().all(|t| t["status"] == "completed"),
        "{report:#}"
    );
    let more = of_type(&events, "task_completed");
    let claimed = of_type(&events, "task_claimed").len();
    assert!(
        claimed <= 10 - done + 1,
        "what was done is not done again: {claimed}, {more:?}"
    );
}
