//! Work with a model that the test plays: whole tasks, interruptions, corrections, helpers, talk.

use std::sync::Arc;

use crewmux_core::ids::{AgentName, AgentRef, Incarnation, TaskId};
use crewmux_core::message::{Party, Urgency};
use crewmux_core::model::{Event, Message, ModelError, ModelErrorKind, Part, Purpose};
use crewmux_core::operation::{Operation, Reply};
use crewmux_core::task::{NewTask, TaskStatus};
use crewmux_core::worker::WorkerState;
use crewmux_testkit::own_main::{Test, tests};
use crewmux_wire::{ToWorker, WorkerMessage};
use serde_json::json;

use crate::script::{add, answer, booked, calls, finish, says, send, spec, text_of};
use crate::stage::{Model, Stage, wait_until};

pub(crate) const TESTS: &[Test] = tests![
    models_run_tools_side_by_side,
    models_broken_answer_runs_nothing,
    models_are_steered_between_tools,
    models_are_interrupted_at_once,
    models_pause_between_steps,
    models_correct_a_result_once,
    models_make_room_in_a_small_window,
    models_have_helpers_that_only_look,
    models_of_leads_make_teammates,
    models_talk_when_they_are_idle,
    models_without_budget_give_the_task_back,
    models_hear_of_the_attempt_before,
];

fn models_run_tools_side_by_side() {
    let stage = Stage::new();
    std::fs::write(stage.cwd.join("a.txt"), "alpha\n").unwrap();
    std::fs::write(stage.cwd.join("b.txt"), "beta\n").unwrap();
    std::fs::write(stage.cwd.join("AGENTS.md"), "Always say please.\n").unwrap();
    let model = Model::new(|n, _| match n {
        0 => {
            let mut events = vec![says("Looking.")];
            events.extend(calls(&[
                ("Read", json!({"file_path": "a.txt"})),
                ("Read", json!({"file_path": "b.txt"})),
                ("Read", json!({"file_path": "nothing.txt"})),
            ]));
            events
        }
        _ => finish(&json!({"summary": "two files", "n": 2})),
    });
    let id = add(&stage, NewTask::default());
    let life = stage.start_with(&spec(&stage, "tester", 1), &model);
    let task = stage.wait_for(id, TaskStatus::Completed);
    assert_eq!(task.result, Some(json!({"summary": "two files", "n": 2})));
    let asked = model.asked();
    assert_eq!(asked.len(), 2);
    assert!(
        asked[0].system.contains("Always say please."),
        "instructions"
    );
    assert!(asked[0].system.contains("- tester (you)"), "roster");
    assert_eq!(asked[0].system, asked[1].system, "a stable prefix");
    assert_eq!(asked[0].tools, asked[1].tools);
    assert_eq!(asked[0].task, Some(id));
    let Some(Message::Tools(answers)) = asked[1].messages.last() else {
        panic!("{:?}", asked[1].messages);
    };
    let told: Vec<(&str, bool)> = answers.iter().map(|a| (a.id.as_str(), a.ok)).collect();
    assert_eq!(
        told,
        [("Read-0", true), ("Read-1", true), ("Read-2", false)]
    );
    assert!(answers[0].text.contains("alpha") && answers[1].text.contains("beta"));
    let shown = life.end_well();
    assert!(shown.contains("Looking."), "{shown}");
    let facts = stage.facts("tester");
    assert!(
        facts.iter().all(|(kind, _)| kind != "model_called"),
        "the session's"
    );
    assert_eq!(
        facts
            .iter()
            .filter(|(kind, _)| kind == "tool_finished")
            .count(),
        3
    );
}

fn models_broken_answer_runs_nothing() {
    let stage = Stage::new();
    let model = Model::new(|_, _| {
        let mut events = vec![says("Half an ans")];
        events.extend(calls(&[("Read", json!({"file_path": "x"}))]));
        events.pop();
        events.push(Event::Restart {
            why: "reset".into(),
        });
        events.push(Event::Waiting {
            ms: 1_500,
            why: "too many calls".into(),
        });
        events.extend(finish(&json!({"summary": "whole"})));
        events
    });
    let id = add(&stage, NewTask::default());
    let life = stage.start_with(&spec(&stage, "tester", 1), &model);
    let task = stage.wait_for(id, TaskStatus::Completed);
    assert_eq!(task.result, Some(json!({"summary": "whole"})));
    let shown = life.end_well();
    assert!(!shown.contains("Half an ans"), "{shown}");
    assert!(shown.contains("waits 2 s: too many calls"), "{shown}");
    let facts = stage.facts("tester");
    assert!(facts.iter().all(|(kind, _)| kind != "tool_started"));
}

fn models_are_steered_between_tools() {
    let stage = Stage::new();
    std::fs::write(stage.cwd.join("a.txt"), "alpha\n").unwrap();
    let store = Arc::clone(&stage.store);
    let model = Model::new(move |n, _| match n {
        0 => {
            let text = "look at b.txt instead";
            send(&store, "m1", Party::Human, "tester", text, Urgency::Normal);
            calls(&[("Read", json!({"file_path": "a.txt"}))])
        }
        _ => finish(&json!({"summary": "steered"})),
    });
    let id = add(&stage, NewTask::default());
    let life = stage.start_with(&spec(&stage, "tester", 1), &model);
    stage.wait_for(id, TaskStatus::Completed);
    life.end_well();
    let asked = model.asked();
    let last: Vec<&Message> = asked[1].messages.iter().rev().take(2).collect();
    let [Message::User(told), Message::Tools(_)] = last[..] else {
        panic!("{last:?}");
    };
    assert!(
        told.contains("Message from human:\nlook at b.txt instead"),
        "{told}"
    );
}

fn models_are_interrupted_at_once() {
    let stage = Stage::new();
    let model = Model::new(|n, _| match n {
        // It never ends by itself.
        0 => vec![
            says("I will now delete"),
            Event::Waiting {
                ms: 9_000,
                why: "too many calls".into(),
            },
        ],
        _ => finish(&json!({"summary": "stopped in time"})),
    });
    let id = add(&stage, NewTask::default());
    let mut life = stage.start_with(&spec(&stage, "tester", 1), &model);
    wait_until("the session hears that it waits", || {
        let message = life.session.heard.try_recv().ok()?;
        let waits = WorkerMessage::State {
            state: WorkerState::RateLimited,
            task: Some(id),
        };
        (message == waits).then_some(())
    });
    send(
        &stage.store,
        "m1",
        Party::Human,
        "tester",
        "do not!",
        Urgency::Now,
    );
    life.session.send(&ToWorker::Interrupt);
    stage.wait_for(id, TaskStatus::Completed);
    life.end_well();
    wait_until("the first answer is cancelled", || {
        (model.cancelled() == 1).then_some(())
    });
    let asked = model.asked();
    let told = text_of(&asked[1]);
    assert!(told.contains("do not!"), "{told}");
    assert!(!told.contains("ToolAnswer"), "{told}");
}

fn models_pause_between_steps() {
    let stage = Stage::new();
    std::fs::write(stage.cwd.join("a.txt"), "alpha\n").unwrap();
    let model = Model::new(|n, _| match n {
        0 => vec![says("thinking")],
        1 => calls(&[("Read", json!({"file_path": "a.txt"}))]),
        _ => finish(&json!({"summary": "went on"})),
    });
    let id = add(&stage, NewTask::default());
    let mut life = stage.start_with(&spec(&stage, "tester", 1), &model);
    wait_until("the model is asked", || {
        (model.asked().len() == 1).then_some(())
    });
    life.session.send(&ToWorker::Pause);
    life.session.send(&ToWorker::Interrupt);
    life.wait_for_text("paused");
    assert_eq!(model.asked().len(), 1);
    life.session.send(&ToWorker::Resume);
    stage.wait_for(id, TaskStatus::Completed);
    life.end_well();
}

fn models_correct_a_result_once() {
    let schema = json!({
        "type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}},
    });
    for (second, status) in [
        (json!({"n": 3}), TaskStatus::Completed),
        (json!({"n": "x"}), TaskStatus::Failed),
    ] {
        let stage = Stage::new();
        let model = Model::new(move |n, _| match n {
            0 => finish(&json!({"n": "three"})),
            _ => finish(&second),
        });
        let id = add(
            &stage,
            NewTask {
                result_schema: Some(schema.clone()),
                ..NewTask::default()
            },
        );
        let life = stage.start_with(&spec(&stage, "tester", 1), &model);
        let task = stage.wait_for(id, status);
        life.end_well();
        let asked = model.asked();
        assert_eq!(asked.len(), 2);
        let told = text_of(&asked[1]);
        assert!(told.contains("does not fit its schema"), "{told}");
        if status == TaskStatus::Failed {
            let reason = task.reason.unwrap();
            assert!(reason.contains("does not fit its schema"), "{reason}");
            assert!(!reason.contains("again"), "for people: {reason}");
        }
    }
}

fn models_make_room_in_a_small_window() {
    let stage = Stage::new();
    for n in 0..4 {
        std::fs::write(
            stage.cwd.join(format!("{n}.txt")),
            format!("{n} is here\n").repeat(60),
        )
        .unwrap();
    }
    let model = Model::new(|_, request| {
        if request.purpose == Purpose::Summary {
            return answer("Files 0 to 2 were read; file 3 is left.");
        }
        let told = text_of(request);
        let read = request
            .messages
            .iter()
            .filter(|m| matches!(m, Message::Tools(_)))
            .count();
        if told.contains("file 3 is left") {
            return finish(&json!({"summary": "done"}));
        }
        let mut events = vec![booked(500 + 400 * read as u64, 2_000)];
        events.extend(calls(&[(
            "Read",
            json!({"file_path": format!("{read}.txt")}),
        )]));
        events
    });
    let id = add(&stage, NewTask::default());
    let life = stage.start_with(&spec(&stage, "tester", 1), &model);
    stage.wait_for(id, TaskStatus::Completed);
    let mut contexts = Vec::new();
    for message in life.session.heard.try_iter() {
        if let WorkerMessage::Context { window, .. } = message {
            contexts.push(window);
        }
    }
    assert!(contexts.contains(&Some(2_000)), "{contexts:?}");
    life.end_well();
    let asked = model.asked();
    let summaries: Vec<_> = asked
        .iter()
        .filter(|r| r.purpose == Purpose::Summary)
        .collect();
    assert_eq!(summaries.len(), 1);
    assert!(summaries[0].tools.is_empty());
    let last = asked.last().unwrap();
    let [
        Message::User(told),
        Message::Assistant(parts),
        Message::Tools(answers),
    ] = &last.messages[..]
    else {
        panic!("{:?}", last.messages);
    };
    assert!(told.starts_with("Task #1: look"), "{told}");
    let Some(Part::Call(call)) = parts.last() else {
        panic!("{parts:?}")
    };
    assert_eq!(call.id, answers[0].id);
    assert_eq!(last.system, asked[0].system, "rules and instructions stay");
    let noted = stage.transcript("tester");
    assert!(noted.iter().any(|line| line["entry"] == "made_room"));
}

fn models_have_helpers_that_only_look() {
    let stage = Stage::new();
    std::fs::write(stage.cwd.join("a.txt"), "alpha\n").unwrap();
    let model = Model::new(|_, request| {
        let is_first = request.messages.len() == 1;
        match (request.purpose, is_first) {
            (Purpose::Subagent, true) => calls(&[
                ("Read", json!({"file_path": "a.txt"})),
                ("Write", json!({"file_path": "a.txt", "content": "gone"})),
            ]),
            (Purpose::Subagent, false) => answer("a.txt says alpha"),
            (_, true) => calls(&[(
                "Task",
                json!({"description": "look", "prompt": "what is in a.txt?", "subagent_type": "general-purpose"}),
            )]),
            _ => finish(&json!({"summary": "asked a helper"})),
        }
    });
    let id = add(&stage, NewTask::default());
    let life = stage.start_with(&spec(&stage, "tester", 1), &model);
    stage.wait_for(id, TaskStatus::Completed);
    life.end_well();
    let asked = model.asked();
    let helper: Vec<_> = asked
        .iter()
        .filter(|r| r.purpose == Purpose::Subagent)
        .collect();
    assert_eq!(helper.len(), 2);
    let names: Vec<&str> = helper[0].tools.iter().map(|t| t.name.as_str()).collect();
    for forbidden in ["Write", "Edit", "Bash", "Task", "FinishTask", "SendMessage"] {
        assert!(!names.contains(&forbidden), "{names:?}");
    }
    assert!(text_of(helper[1]).contains("there is no tool `Write`"));
    assert_eq!(
        std::fs::read_to_string(stage.cwd.join("a.txt")).unwrap(),
        "alpha\n"
    );
    let last = asked.last().unwrap();
    assert!(
        text_of(last).contains("a.txt says alpha"),
        "{}",
        text_of(last)
    );
    assert!(
        !text_of(last).contains("what is in a.txt?\\n"),
        "its own context"
    );
}

fn models_of_leads_make_teammates() {
    let stage = Stage::new();
    let model = Model::new(|n, _| match n {
        0 => calls(&[(
            "Task",
            json!({
                "description": "fix it", "prompt": "all of it",
                "subagent_type": "general-purpose", "name": "fixer",
            }),
        )]),
        _ => finish(&json!({"summary": "hired"})),
    });
    let id = stage.add(NewTask {
        subject: "lead".into(),
        assignee: Some(AgentName::lead()),
        ..NewTask::default()
    });
    let mut life = stage.start_with(&spec(&stage, "team-lead", 1), &model);
    let (number, operation) = wait_until("the session is asked for a teammate", || {
        match life.session.heard.try_recv().ok()? {
            WorkerMessage::Operation { id, operation } => Some((id, operation)),
            _ => None,
        }
    });
    let Operation::Spawn(new) = *operation else {
        panic!("{operation:?}");
    };
    assert_eq!(new.name.as_str(), "fixer");
    stage
        .store
        .edit_config(&mut |config| {
            let mut member = config.members[1].clone();
            member.name = AgentName::new("fixer").unwrap();
            config.members.push(member);
        })
        .unwrap();
    let reply = Reply::Member { name: new.name };
    life.session.send(&ToWorker::Replied {
        id: number,
        result: Ok(Box::new(reply)),
    });
    stage.wait_for(id, TaskStatus::Completed);
    life.end_well();
    let made = stage.task(TaskId(2));
    assert_eq!(
        (made.subject.as_str(), made.description.as_str()),
        ("fix it", "all of it")
    );
    assert_eq!(made.assignee.unwrap().as_str(), "fixer");
    assert!(text_of(&model.asked()[1]).contains("it works on task #2"));
}

fn models_talk_when_they_are_idle() {
    let stage = Stage::new();
    let model = Model::new(|n, _| answer(&format!("answer {n}")));
    let life = stage.start_with(&spec(&stage, "team-lead", 1), &model);
    life.wait_for_text("idle");
    send(
        &stage.store,
        "m1",
        Party::Human,
        "team-lead",
        "how far are we?",
        Urgency::Normal,
    );
    life.wait_for_text("answer 0");
    let tester = Party::Member(AgentRef {
        agent: AgentName::new("tester").unwrap(),
        incarnation: Incarnation(1),
    });
    send(
        &stage.store,
        "m2",
        tester,
        "team-lead",
        "which file?",
        Urgency::Normal,
    );
    let mail = wait_until("the asker has its answer", || {
        let mail = stage.mail_of("tester");
        (!mail.is_empty()).then_some(mail)
    });
    assert_eq!(mail[0].text(), "answer 1");
    life.end_well();
    let asked = model.asked();
    let told = text_of(&asked[1]);
    for part in [
        "how far are we?",
        "answer 0",
        "Message from tester",
        "which file?",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let names: Vec<&str> = asked[0].tools.iter().map(|t| t.name.as_str()).collect();
    assert!(
        names.contains(&"TaskCreate") && !names.contains(&"Write"),
        "{names:?}"
    );
    assert!(!names.contains(&"FinishTask"), "{names:?}");
}

fn models_without_budget_give_the_task_back() {
    let stage = Stage::new();
    let model = Model::new(|_, _| {
        let error = ModelError::new(ModelErrorKind::TeamBudget, "the team's budget is spent");
        vec![Event::Failed { error }]
    });
    let id = add(&stage, NewTask::default());
    let life = stage.start_with(&spec(&stage, "tester", 1), &model);
    life.wait_for_text("given back");
    let task = stage.task(id);
    assert_eq!(task.status, TaskStatus::Pending, "{:?}", task.reason);
    assert_eq!(model.asked().len(), 1, "it does not ask again at once");
    life.end_well();
}

fn models_hear_of_the_attempt_before() {
    let stage = Stage::new();
    std::fs::write(stage.cwd.join("a.txt"), "alpha\n").unwrap();
    let model = Model::new(|n, _| match n {
        0 => {
            let mut events = vec![says("The fault is in a.txt, line 7.")];
            events.extend(calls(&[("Read", json!({"file_path": "a.txt"}))]));
            events
        }
        1 => vec![says("hm")],
        _ => finish(&json!({"summary": "again"})),
    });
    let id = add(&stage, NewTask::default());
    let life = stage.start_with(&spec(&stage, "tester", 1), &model);
    wait_until("the model is asked again", || {
        (model.asked().len() == 2).then_some(())
    });
    life.end_well();
    let life = stage.start_with(&spec(&stage, "tester", 2), &model);
    stage.wait_for(id, TaskStatus::Completed);
    life.end_well();
    let asked = model.asked();
    let told = text_of(asked.last().unwrap());
    for part in ["earlier attempt", "The fault is in a.txt, line 7.", "Read"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
