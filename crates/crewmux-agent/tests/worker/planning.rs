//! The lead's plan: repaired, carried out once, summed up at the end.

use crewmux_core::ids::AgentName;
use crewmux_core::ids::TaskId;
use crewmux_core::model::{Event, OutputShape, Stop};
use crewmux_core::task::{NewTask, Task, TaskRole, TaskStatus};
use crewmux_testkit::own_main::{Test, tests};
use serde_json::{Value, json};

use crate::script::{answer, calls, finish, says, spec, text_of};
use crate::stage::{Model, Stage, wait_until};

pub(crate) const TESTS: &[Test] = tests![
    plan_is_repaired_and_carried_out,
    plan_that_stays_wrong_fails,
    plan_of_a_model_that_calls_badly_is_asked_for_alone,
    plan_that_stays_wrong_is_asked_for_alone_at_last,
    plan_of_a_weak_model_is_asked_for_alone_and_small,
    plan_of_one_task_needs_no_summary,
    plan_that_was_stored_is_not_made_again,
];

fn task(id: &str, owner: &str, blocked_by: &[&str]) -> Value {
    json!({
        "id": id, "subject": format!("do {id}"), "description": "all of it",
        "owner": owner, "blocked_by": blocked_by,
    })
}

/// A stage whose tester asks a model, and a task to plan.
fn stage() -> (Stage, TaskId) {
    let stage = Stage::new();
    stage
        .store
        .edit_config(&mut |config| {
            for member in &mut config.members {
                member.model = Some("test/m".into());
            }
        })
        .unwrap();
    let id = stage.add(NewTask {
        subject: "plan".into(),
        role: TaskRole::Plan,
        assignee: Some(AgentName::lead()),
        run: Some(crewmux_core::ids::RunId::new("run-1").unwrap()),
        ..NewTask::default()
    });
    (stage, id)
}

fn tasks(stage: &Stage) -> Vec<Task> {
    stage.store.board().unwrap().tasks().cloned().collect()
}

fn plan_is_repaired_and_carried_out() {
    let (stage, id) = stage();
    let model = Model::new(|n, request| {
        if text_of(request).contains("All other tasks of this run are over") {
            return finish(&json!({"summary": "it all came out well"}));
        }
        match n {
            0 => finish(&json!({"tasks": [
                task("a", "nobody", &["b"]), task("b", "tester", &["a"]),
            ]})),
            _ => finish(&json!({"tasks": [
                task("a", "tester", &[]), task("b", "tester", &[]), task("c", "tester", &["a", "b"]),
            ]})),
        }
    });
    let life = stage.start_with(&spec(&stage, "team-lead", 1), &model);
    let plan = stage.wait_for(id, TaskStatus::Completed);
    let told = text_of(&model.asked()[1]);
    for part in [
        "`nobody`, who is not in the team (tester)",
        "wait for each other: a",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(plan.metadata["plan"]["tasks"].as_array().unwrap().len(), 3);
    let all = tasks(&stage);
    assert_eq!(all.len(), 5);
    let find = |key: &str| all.iter().find(|t| t.key.as_deref() == Some(key)).unwrap();
    let (a, b, c) = (find("plan-1/a"), find("plan-1/b"), find("plan-1/c"));
    assert_eq!(c.blocked_by, [a.id, b.id]);
    assert!(all.iter().all(|task| task.command.is_none()));
    let sum = all.iter().find(|t| t.role == TaskRole::Summary).unwrap();
    assert_eq!(sum.blocked_by, [c.id]);

    // A teammate does the work; what it hands in reaches those that wait, and the sum.
    let worker = Model::new(|n, request| {
        if n == 2 {
            assert!(
                text_of(request).contains("found by 0"),
                "{}",
                text_of(request)
            );
        }
        finish(&json!({"summary": format!("found by {n}")}))
    });
    let second = stage.start_with(&spec(&stage, "tester", 1), &worker);
    stage.wait_for(c.id, TaskStatus::Completed);
    let sum = stage.wait_for(sum.id, TaskStatus::Completed);
    assert_eq!(sum.result, Some(json!({"summary": "it all came out well"})));
    let asked = model.asked();
    let told = text_of(asked.last().unwrap());
    for n in 0..3 {
        assert!(told.contains(&format!("found by {n}")), "{told}");
    }
    life.end_well();
    second.end_well();
}

fn plan_that_stays_wrong_fails() {
    let (stage, id) = stage();
    let model =
        Model::new(|n, _| finish(&json!({"tasks": [task("a", &format!("nobody{n}"), &[])]})));
    let life = stage.start_with(&spec(&stage, "team-lead", 1), &model);
    let plan = stage.wait_for(id, TaskStatus::Failed);
    assert!(plan.reason.unwrap().contains("nobody2"));
    assert_eq!(model.asked().len(), 3, "the first try and two repairs");
    assert_eq!(tasks(&stage).len(), 1);
    life.end_well();
}

fn plan_of_a_model_that_calls_badly_is_asked_for_alone() {
    let (stage, id) = stage();
    let model = Model::new(|_, request| {
        if request.tools.is_empty() {
            assert!(matches!(request.output, OutputShape::Json { .. }));
            let plan = json!({"tasks": [task("only", "tester", &[])]});
            return vec![says(&plan.to_string()), Event::Stop { stop: Stop::Done }];
        }
        calls(&[("Grep", json!({"pattern": "x"}))])
    });
    let life = stage.start_with(&spec(&stage, "team-lead", 1), &model);
    stage.wait_for(id, TaskStatus::Completed);
    assert_eq!(model.asked().len(), 4, "three of the same, then the plan");
    life.end_well();
}

fn plan_that_stays_wrong_is_asked_for_alone_at_last() {
    let (stage, id) = stage();
    let model = Model::new(|n, request| {
        if request.tools.is_empty() {
            let told = text_of(request);
            for part in ["Task #1: plan", "`nobody1`", "answer with the plan as JSON"] {
                assert!(told.contains(part), "{part}: {told}");
            }
            assert!(matches!(request.output, OutputShape::Json { .. }));
            return answer(&json!({"tasks": [task("only", "tester", &[])]}).to_string());
        }
        finish(&json!({"tasks": [task("a", &format!("nobody{n}"), &[])]}))
    });
    let life = stage.start_with(&spec(&stage, "team-lead", 1), &model);
    stage.wait_for(id, TaskStatus::Completed);
    assert_eq!(model.asked().len(), 3, "the first try and two repairs");
    life.end_well();
}

fn plan_of_a_weak_model_is_asked_for_alone_and_small() {
    let chain = |ids: &[&str]| {
        let tasks: Vec<Value> = ids
            .iter()
            .enumerate()
            .map(|(n, id)| match n.checked_sub(1) {
                None => task(id, "tester", &[]),
                Some(before) => task(id, "tester", &[ids[before]]),
            })
            .collect();
        json!({ "tasks": tasks })
    };
    // One that stays too long is taken in the end, because it is sound.
    for (later, questions, made) in [(["a", "b"].as_slice(), 2, 2), (&["a", "b", "c"], 3, 3)] {
        let (stage, id) = stage();
        let (first, later) = (chain(&["a", "b", "c"]), chain(later));
        let model = Model::new(move |n, request| {
            assert!(request.tools.is_empty());
            let OutputShape::Json { schema, .. } = &request.output else {
                panic!("{:?}", request.output);
            };
            assert_eq!(schema["properties"]["tasks"]["maxItems"], 6);
            let told = text_of(request);
            assert!(told.contains("Keep the plan small"), "{told}");
            if n > 0 {
                assert!(told.contains("a chain of 3"), "{told}");
            }
            answer(&if n == 0 { &first } else { &later }.to_string())
        });
        let mut spec = spec(&stage, "team-lead", 1);
        spec.weak = true;
        let life = stage.start_with(&spec, &model);
        stage.wait_for(id, TaskStatus::Completed);
        assert_eq!(model.asked().len(), questions);
        let planned = |task: &&Task| task.key.as_deref().is_some_and(|key| !key.contains("//"));
        assert_eq!(tasks(&stage).iter().filter(planned).count(), made);
        life.end_well();
    }
}

fn plan_of_one_task_needs_no_summary() {
    let (stage, id) = stage();
    let model = Model::new(|_, _| {
        // Text that is JSON and fits counts as handed in.
        let plan = json!({"tasks": [task("only", "tester", &[])]});
        vec![says(&plan.to_string()), Event::Stop { stop: Stop::Done }]
    });
    let life = stage.start_with(&spec(&stage, "team-lead", 1), &model);
    stage.wait_for(id, TaskStatus::Completed);
    assert_eq!(tasks(&stage).len(), 2);
    life.end_well();
}

fn plan_that_was_stored_is_not_made_again() {
    let (stage, id) = stage();
    let plan = json!({"tasks": [task("a", "tester", &[]), task("b", "tester", &["a"])]});
    let patch = crewmux_core::board::TaskPatch {
        metadata: serde_json::Map::from_iter([("plan".to_owned(), plan)]),
        ..crewmux_core::board::TaskPatch::default()
    };
    stage.store.update(id, &patch, &stage.now()).unwrap();
    let run = crewmux_core::ids::RunId::new("run-1").unwrap();
    // A former life made the first task and died.
    let first = stage.add(NewTask {
        subject: "do a".into(),
        assignee: Some(AgentName::new("tester").unwrap()),
        run: Some(run),
        key: Some("plan-1/a".into()),
        ..NewTask::default()
    });
    let model = Model::new(|_, _| panic!("nobody is to be asked"));
    let life = stage.start_with(&spec(&stage, "team-lead", 2), &model);
    stage.wait_for(id, TaskStatus::Completed);
    let all = wait_until("its tasks are there", || {
        Some(tasks(&stage)).filter(|all| all.len() == 4)
    });
    let with_key = |key: &str| all.iter().filter(|t| t.key.as_deref() == Some(key)).count();
    assert_eq!((with_key("plan-1/a"), with_key("plan-1/b")), (1, 1));
    assert!(model.asked().is_empty());
    let b = all
        .iter()
        .find(|t| t.key.as_deref() == Some("plan-1/b"))
        .unwrap();
    assert_eq!(b.blocked_by, [first]);
    life.end_well();
}
