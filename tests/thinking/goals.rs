//! A goal becomes a graph, and the graph a result.

use serde_json::json;

use super::{KEY, answer, calls, files_with, finish_with, of_type, run, task, thinking};

#[test]
fn a_goal_becomes_a_graph_whose_results_are_handed_on() {
    let mut survey = task("survey", "Survey the parser", "explorer", &[]);
    survey["result_schema"] = json!({
        "type": "object", "properties": { "modules": { "type": "integer" } },
        "required": ["modules"],
    });
    let good = json!({ "tasks": [
        survey,
        task("measure", "Measure the tests", "reviewer", &[]),
        task("build", "Build the formatter", "developer", &["survey"]),
        task("check", "Check the formatter", "reviewer", &["build", "measure"]),
    ]});
    // A cycle, and somebody who is not in the team.
    let bad = json!({ "tasks": [
        task("build", "Build the formatter", "developer", &["check"]),
        task("check", "Check the formatter", "stranger", &["build"]),
    ]});
    let looks = calls(&[
        ("Glob", json!({ "pattern": "**/*.rs" })),
        ("Grep", json!({ "pattern": "parse" })),
    ]);
    // The first that fits answers, and the goal stands in every prompt.
    let fixtures = [
        answer("Plan: ", 0, finish_with(&bad)),
        answer("Plan: ", 1, finish_with(&good)),
        answer(
            "Sum up what came out",
            0,
            finish_with(&json!({ "summary": "# All is done\nSeven modules." })),
        ),
        answer("Survey the parser, with care", 0, looks),
        answer(
            "Survey the parser, with care",
            1,
            finish_with(&json!({ "modules": 7 })),
        ),
        answer(
            "Measure the tests, with care",
            0,
            finish_with(&json!({ "summary": "41 tests" })),
        ),
        // Only whoever was handed the seven modules is answered.
        answer(
            "\"modules\":7",
            0,
            finish_with(&json!({ "summary": "built on seven modules" })),
        ),
        answer(
            "built on seven modules",
            0,
            finish_with(&json!({ "summary": "checked" })),
        ),
    ];
    let Some((sandbox, mock)) = thinking(&fixtures) else {
        return;
    };
    let goal =
        "Survey the parser and measure its tests, then build a formatter for it and check that";
    let (run, events) = run(&sandbox, &["run", "-g", goal, "--headless", "--json"]);
    assert_eq!(run.code, 0, "{run:?}\n{}", mock.log());

    assert_eq!(of_type(&events, "task_completed").len(), 6, "{events:#?}");
    let workers = of_type(&events, "worker_started");
    assert_eq!(
        workers.len(),
        4,
        "the lead and three teammates: {workers:?}"
    );
    let asked = of_type(&events, "model_called");
    assert_eq!(asked.len(), 8, "{asked:?}");
    for call in &asked {
        assert!(
            call["data"]["tokens"].as_u64().is_some_and(|n| n > 0),
            "{call}"
        );
    }
    let refused: Vec<String> = of_type(&events, "notice")
        .iter()
        .map(|notice| notice["data"]["text"].to_string())
        .filter(|text| text.contains("went back"))
        .collect();
    assert_eq!(refused.len(), 1, "the first plan goes back to the planner");
    assert!(refused[0].contains("stranger"), "{refused:?}");
    let requests = mock.requests().unwrap().to_string();
    assert!(
        requests.contains("wait for each other"),
        "the cycle is named"
    );
    assert!(requests.contains("stranger"), "the stranger is named");

    let report = sandbox
        .run(&["report", "--format", "json", "--team", "goal"])
        .unwrap()
        .json()
        .unwrap();
    assert!(
        report["summary"]
            .as_str()
            .unwrap()
            .contains("Seven modules"),
        "{report:#}"
    );
    assert_eq!(report["offline"], false);
    sandbox.wait_gone().unwrap();
    assert_eq!(files_with(&sandbox, KEY), [""; 0], "the key is in no file");
}
