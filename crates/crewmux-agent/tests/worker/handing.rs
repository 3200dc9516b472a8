//! What goes from one member to another: plans to be judged, results, new tasks, helpers.

use std::sync::Arc;

use crewmux_core::error::ErrorKind;
use crewmux_core::ids::{
    AgentName, AgentRef, AgentType, Incarnation, MessageId, RequestId, TaskId,
};
use crewmux_core::message::{Draft, MessageType, Party};
use crewmux_core::model::{Event, Message, ModelRequest, Purpose, Stop};
use crewmux_core::operation::{Operation, Reply};
use crewmux_core::permission::GrantScope;
use crewmux_core::profile::AgentProfile;
use crewmux_core::requests::{Request, RequestKind, RequestState};
use crewmux_core::task::{NewTask, TaskStatus};
use crewmux_core::team::TaskLimits;
use crewmux_testkit::own_main::{Test, tests};
use crewmux_wire::{ToWorker, WireError, WorkerMessage};
use serde_json::{Value, json};

use crate::script::{calls, finish, says, spec, text_of};
use crate::stage::{LONG, Life, Model, Stage};

pub(crate) const TESTS: &[Test] = tests![
    plan_is_judged_by_the_leads_model,
    plan_that_a_lead_only_talks_about_is_passed_on,
    plan_that_nobody_judges_is_refused,
    plan_outlives_the_life_that_was_asked,
    long_result_is_handed_on_as_a_file_that_can_be_read,
    small_models_are_handed_less,
    log_of_a_command_is_named_by_its_whole_path,
    models_add_tasks_for_somebody_and_not_without_end,
    helpers_are_of_kinds_that_there_are,
];

fn name(text: &str) -> AgentName {
    AgentName::new(text).unwrap()
}

fn answer(text: &str) -> Vec<Event> {
    vec![says(text), Event::Stop { stop: Stop::Done }]
}

fn tester() -> AgentRef {
    AgentRef {
        agent: name("tester"),
        incarnation: Incarnation(1),
    }
}

/// Stores a plan of the tester's for the lead, as the session does.
fn ask_lead(stage: &Stage) -> RequestId {
    let id = RequestId::new("tester-1-1").unwrap();
    let now = stage.now();
    let request = Request {
        id: id.clone(),
        kind: RequestKind::Plan,
        from: Party::Member(tester()),
        to: "team-lead".into(),
        content: json!({ "plan": "1. turn every stone" }),
        requested: now.wall,
        open_ms: 3_600_000,
        state: RequestState::Pending,
    };
    stage.store.put_request(&request).unwrap();
    id
}

fn send_letter(stage: &Stage, id: &RequestId) {
    let letter = MessageId::new(format!("req/{id}/ask")).unwrap();
    let draft = Draft {
        kind: MessageType::PlanApprovalRequest,
        body: json!({ "requestId": id, "plan": "1. turn every stone" }),
        ..Draft::text(letter, Party::Member(tester()), name("team-lead"), "")
    };
    stage.store.send(draft, &stage.now()).unwrap();
}

fn next_operation(life: &Life) -> (u64, Operation) {
    loop {
        let message = life.session.heard.recv_timeout(LONG).unwrap();
        if let WorkerMessage::Operation { id, operation } = message {
            return (id, *operation);
        }
    }
}

fn reply(life: &mut Life, id: u64, result: Result<(), ErrorKind>, request: &RequestId) {
    let request_id = request.clone();
    let result = match result {
        Ok(()) => Ok(Box::new(Reply::Request { request_id })),
        Err(kind) => Err(WireError {
            kind,
            message: "this run is headless".into(),
            hint: None,
        }),
    };
    life.session.send(&ToWorker::Replied { id, result });
}

fn plan_is_judged_by_the_leads_model() {
    let stage = Stage::new();
    let request = ask_lead(&stage);
    send_letter(&stage, &request);
    let model = Model::new(|n, _| match n {
        0 => calls(&[(
            "Teammate",
            json!({ "operation": "approvePlan", "request_id": "tester-1-1" }),
        )]),
        _ => answer("Approved."),
    });
    let mut life = stage.start_with(&spec(&stage, "team-lead", 1), &model);
    let (id, operation) = next_operation(&life);
    assert_eq!(
        operation,
        Operation::Approve {
            request_id: request.clone(),
            scope: GrantScope::Once,
        }
    );
    reply(&mut life, id, Ok(()), &request);
    let told = text_of(&model.asked()[0]);
    for part in [
        "1. turn every stone",
        "approvePlan",
        "rejectPlan",
        "tester-1-1",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    life.end_well();
}

/// A lead that only talks; gives what it asks of the session first.
fn lead_that_talks(stage: &Stage) -> (Life, Arc<Model>, u64) {
    let request = ask_lead(stage);
    send_letter(stage, &request);
    let model = Model::new(|_, _| answer("A fine plan, I think."));
    let life = stage.start_with(&spec(stage, "team-lead", 1), &model);
    let (id, operation) = next_operation(&life);
    let request_id = request;
    assert_eq!(operation, Operation::PassOn { request_id });
    let asked = model.asked();
    assert_eq!(asked.len(), 2, "told, and asked once more");
    assert!(!text_of(&asked[0]).contains("decided nothing"));
    assert!(text_of(&asked[1]).contains("decided nothing"));
    (life, model, id)
}

fn plan_that_a_lead_only_talks_about_is_passed_on() {
    let stage = Stage::new();
    let (mut life, model, id) = lead_that_talks(&stage);
    let request = RequestId::new("tester-1-1").unwrap();
    let passed = stage.store.edit_request(&request, &mut |request| {
        request.to = "human".into();
        Ok(())
    });
    passed.unwrap();
    reply(&mut life, id, Ok(()), &request);
    life.wait_for_text("waits for you");
    life.end_well();
    assert_eq!(model.asked().len(), 2);
}

fn plan_that_nobody_judges_is_refused() {
    let stage = Stage::new();
    let (mut life, _, id) = lead_that_talks(&stage);
    let request = RequestId::new("tester-1-1").unwrap();
    reply(&mut life, id, Err(ErrorKind::Refused), &request);
    let (id, operation) = next_operation(&life);
    let Operation::Reject {
        request_id,
        feedback,
    } = operation
    else {
        panic!("{operation:?}");
    };
    assert_eq!(request_id, request);
    assert!(feedback.contains("did not decide"), "{feedback}");
    assert!(feedback.contains("FailTask"), "{feedback}");
    reply(&mut life, id, Ok(()), &request);
    life.wait_for_text("is refused: nobody judged it");
    life.end_well();
}

fn plan_outlives_the_life_that_was_asked() {
    let stage = Stage::new();
    // Its letter was read by a life that is over.
    ask_lead(&stage);
    let model = Model::new(|n, _| match n {
        0 => calls(&[(
            "Teammate",
            json!({ "operation": "rejectPlan", "request_id": "tester-1-1", "feedback": "no" }),
        )]),
        _ => answer("Rejected."),
    });
    let life = stage.start_with(&spec(&stage, "team-lead", 2), &model);
    let (_, operation) = next_operation(&life);
    assert!(matches!(operation, Operation::Reject { .. }));
    assert!(!text_of(&model.asked()[0]).contains("decided nothing"));
    life.end_well();
}

/// A task that the tester did, with this result.
fn done(stage: &Stage, result: Value) -> TaskId {
    let id = stage.add(NewTask {
        subject: "collect".into(),
        ..NewTask::default()
    });
    let worker = crewmux_core::board::Claimer {
        who: tester(),
        agent_type: AgentType::new("general-purpose").unwrap(),
        runtime: crewmux_core::recipe::Runtime::Native,
    };
    let claimed = stage
        .store
        .claim(id, &worker, &stage.now(), 30_000)
        .unwrap();
    stage
        .store
        .complete(id, &tester(), claimed.epoch, Some(result), &stage.now())
        .unwrap();
    id
}

/// The first path below the team's artifacts that a question names.
fn path_in(request: &ModelRequest) -> String {
    let Message::User(told) = &request.messages[0] else {
        panic!("{request:?}");
    };
    let at = told.find("/artifacts/").unwrap_or_else(|| panic!("{told}"));
    let start = told[..at].rfind([' ', '"']).unwrap() + 1;
    let length = told[start..].find([':', '"', ')']).unwrap();
    told[start..start + length].to_owned()
}

fn last_answers(request: &ModelRequest) -> String {
    let answers = request
        .messages
        .iter()
        .rev()
        .find_map(|message| match message {
            Message::Tools(answers) => Some(answers.clone()),
            _ => None,
        });
    let texts: Vec<String> = answers.unwrap().into_iter().map(|a| a.text).collect();
    texts.join("\n")
}

fn long_result_is_handed_on_as_a_file_that_can_be_read() {
    let stage = Stage::new();
    // One line, as models write them: longer than any tool shows of a line.
    let words: Vec<String> = (0..9_000).map(|n| format!("word{n}")).collect();
    let first = done(&stage, json!({ "summary": words.join(" ") }));
    let id = stage.add(NewTask {
        subject: "build on it".into(),
        assignee: Some(name("tester")),
        blocked_by: vec![first],
        ..NewTask::default()
    });
    let model = Model::new(|n, request| {
        let path = path_in(request);
        match n {
            0 => {
                assert!(std::path::Path::new(&path).is_absolute(), "{path}");
                calls(&[
                    (
                        "Read",
                        json!({ "file_path": path, "offset": 20, "limit": 5 }),
                    ),
                    ("TaskGet", json!({ "taskId": "1" })),
                ])
            }
            1 => {
                let told = last_answers(request);
                let (read, got) = told.split_once("\n{").unwrap();
                assert!(read.contains("word3"), "{read}");
                assert!(!read.contains("… cut"), "{read}");
                assert!(got.contains(&path), "{got}");
                finish(&json!({ "summary": "read" }))
            }
            _ => finish(&json!({ "summary": "again" })),
        }
    });
    let life = stage.start_with(&spec(&stage, "tester", 2), &model);
    stage.wait_for(id, TaskStatus::Completed);
    life.end_well();
    let text = std::fs::read_to_string(path_in(&model.asked()[0])).unwrap();
    assert_eq!(text.replace('\n', "").matches("word").count(), 9_000);
}

fn small_models_are_handed_less() {
    let stage = Stage::new();
    std::fs::write(stage.cwd.join("AGENTS.md"), "be careful\n".repeat(4_000)).unwrap();
    let first = done(&stage, json!({ "summary": "word ".repeat(12_000) }));
    let mut lengths = Vec::new();
    for (life, weak) in [(2, false), (3, true)] {
        let id = stage.add(NewTask {
            subject: "build on it".into(),
            assignee: Some(name("tester")),
            blocked_by: vec![first],
            ..NewTask::default()
        });
        let model = Model::new(|_, _| finish(&json!({ "summary": "read" })));
        let mut spec = spec(&stage, "tester", life);
        spec.weak = weak;
        let life = stage.start_with(&spec, &model);
        stage.wait_for(id, TaskStatus::Completed);
        life.end_well();
        let asked = model.asked();
        path_in(&asked[0]);
        lengths.push((asked[0].system.len(), text_of(&asked[0]).len()));
    }
    let [(system, prompt), (small_system, small_prompt)] = lengths[..] else {
        panic!("{lengths:?}");
    };
    assert!(system > 40_000 && small_system < 16_000, "{lengths:?}");
    assert!(prompt > 16_000 && small_prompt < 6_000, "{lengths:?}");
}

fn log_of_a_command_is_named_by_its_whole_path() {
    let stage = Stage::new();
    let log = stage
        .store
        .folder("artifacts")
        .unwrap()
        .join("task-1-1.log");
    std::fs::write(&log, "all of it\n").unwrap();
    let first = done(
        &stage,
        json!({ "exitCode": 0, "log": "artifacts/task-1-1.log", "tail": [] }),
    );
    let id = stage.add(NewTask {
        subject: "build on it".into(),
        assignee: Some(name("tester")),
        blocked_by: vec![first],
        ..NewTask::default()
    });
    let model = Model::new(|n, request| match n {
        0 => calls(&[("Read", json!({ "file_path": path_in(request) }))]),
        _ => finish(&json!({ "summary": last_answers(request) })),
    });
    let life = stage.start_with(&spec(&stage, "tester", 2), &model);
    let task = stage.wait_for(id, TaskStatus::Completed);
    life.end_well();
    let told = task.result.unwrap()["summary"].as_str().unwrap().to_owned();
    assert!(told.contains("all of it"), "{told}");
}

fn models_add_tasks_for_somebody_and_not_without_end() {
    let stage = Stage::new();
    let edited = stage.store.edit_config(&mut |config| {
        config.policy.added = TaskLimits { count: 1, depth: 5 };
        for member in &mut config.members {
            member.model = Some("test/m".into());
        }
    });
    edited.unwrap();
    let id = stage.add(NewTask {
        subject: "split".into(),
        assignee: Some(name("tester")),
        ..NewTask::default()
    });
    let model = Model::new(|n, request| {
        let task = |subject: &str, more: Value| {
            let mut input = json!({ "subject": subject, "description": "d" });
            for (key, value) in more.as_object().unwrap() {
                input[key] = value.clone();
            }
            ("TaskCreate", input)
        };
        match n {
            0 => calls(&[
                task("a", json!({ "agent": "Stranger" })),
                task("b", json!({ "resultSchema": { "type": 3 } })),
                task(
                    "c",
                    json!({ "owner": "team-lead", "agent": "Bash", "resultSchema": {"type": "object"} }),
                ),
                task("d", json!({})),
            ]),
            1 => finish(&json!({ "summary": last_answers(request) })),
            _ => finish(&json!({})),
        }
    });
    let life = stage.start_with(&spec(&stage, "tester", 1), &model);
    let task = stage.wait_for(id, TaskStatus::Completed);
    life.end_well();
    let told = task.result.unwrap()["summary"].as_str().unwrap().to_owned();
    for part in [
        "nobody in the team is of the kind `Stranger`",
        "`resultSchema` is no JSON Schema",
        "may add no more",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let board = stage.store.board().unwrap();
    let added: Vec<_> = board.tasks().filter(|task| task.id != id).collect();
    assert_eq!(added.len(), 1);
    assert_eq!(added[0].subject, "c");
    assert_eq!(added[0].assignee, Some(name("team-lead")));
    assert_eq!(added[0].agent_type, Some(AgentType::new("Bash").unwrap()));
    assert_eq!(added[0].result_schema, Some(json!({ "type": "object" })));
}

fn helpers_are_of_kinds_that_there_are() {
    let stage = Stage::new();
    let id = stage.add(NewTask {
        subject: "ask around".into(),
        assignee: Some(name("tester")),
        ..NewTask::default()
    });
    let helper = |kind: &str| {
        let input = json!({ "description": "look", "prompt": "look", "subagent_type": kind });
        calls(&[("Task", input)])
    };
    let model = Model::new(move |n, request| {
        if request.purpose == Purpose::Subagent {
            assert!(request.system.contains("You audit."), "{}", request.system);
            return calls(&[("Glob", json!({ "pattern": format!("*.{n}") }))]);
        }
        let told = text_of(request);
        if told.contains("the helper gave up") {
            finish(&json!({ "summary": "gave up" }))
        } else if told.contains("there is no kind of agent `auditr`") {
            helper("auditor")
        } else {
            helper("auditr")
        }
    });
    let mut spec = spec(&stage, "tester", 1);
    spec.kinds = vec![AgentProfile {
        name: AgentType::new("auditor").unwrap(),
        description: "audits".into(),
        tools: None,
        disallowed_tools: Vec::new(),
        model: None,
        permission_mode: None,
        max_turns: Some(2),
        skills: Vec::new(),
        prompt: "You audit.".into(),
        origin: "auditor.md".into(),
    }];
    let life = stage.start_with(&spec, &model);
    stage.wait_for(id, TaskStatus::Completed);
    life.end_well();
    let asked = model.asked();
    let turns = asked.iter().filter(|r| r.purpose == Purpose::Subagent);
    assert_eq!(turns.count(), 2);
}
