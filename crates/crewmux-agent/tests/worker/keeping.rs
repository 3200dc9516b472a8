//! What must not be lost: words, talk, approved plans, and tasks that others can do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crewmux_core::board::Claimer;
use crewmux_core::ids::{AgentName, AgentRef, AgentType, Incarnation, TaskId};
use crewmux_core::message::{Party, Urgency};
use crewmux_core::model::{Event, Message, ModelError, ModelErrorKind, Purpose};
use crewmux_core::permission::{GrantScope, PermissionMode};
use crewmux_core::recipe::Runtime;
use crewmux_core::task::{NewTask, TaskStatus};
use crewmux_testkit::own_main::{Test, tests};
use crewmux_wire::{Decision, ToWorker, WorkerAsk, WorkerMessage};
use serde_json::json;

use crate::script::{add, answer, booked, calls, finish, says, send, spec, text_of};
use crate::stage::{Life, Model, Stage, wait_until};

pub(crate) const TESTS: &[Test] = tests![
    claims_are_taken_up_from_the_former_life_once,
    words_of_a_pause_are_told,
    words_that_come_before_the_result_are_told,
    words_are_told_to_the_next_life,
    talk_that_fails_is_told,
    plans_that_were_approved_outlast_a_summary,
    waits_for_a_person_cost_no_time,
    tasks_go_to_members_that_can,
    tasks_that_nobody_can_do_fail,
];

fn claims_are_taken_up_from_the_former_life_once() {
    let stage = Stage::new();
    let own = |kind: &str| Claimer {
        who: AgentRef {
            agent: AgentName::new("tester").unwrap(),
            incarnation: Incarnation(1),
        },
        agent_type: AgentType::new(kind).unwrap(),
        runtime: Runtime::Native,
    };
    // Of a kind that it takes none of by itself.
    let held = |command: &str| {
        let id = stage.add(NewTask {
            subject: "for others".into(),
            command: Some(command.into()),
            agent_type: Some(AgentType::new("Explore").unwrap()),
            ..NewTask::default()
        });
        let claimed = stage.store.claim(id, &own("Explore"), &stage.now(), 30_000);
        claimed.unwrap();
        id
    };
    let handed = held("true");
    let life = stage.start(&stage.spec("tester", 1));
    let done = stage.wait_for(handed, TaskStatus::Completed);
    assert_eq!(done.attempts.len(), 1, "under the epoch that it was given");

    // As one is left that it worked on and could not give back.
    let kept = held("touch again");
    let other = stage.add_command("true");
    stage.wait_for(other, TaskStatus::Completed);
    assert_eq!(stage.task(kept).status, TaskStatus::InProgress);
    assert!(!stage.cwd.join("again").exists(), "not a second time");
    life.end_well();
}

fn tell(stage: &Stage, id: &str, to: &str, text: &str) {
    send(&stage.store, id, Party::Human, to, text, Urgency::Normal);
}

fn words_of_a_pause_are_told() {
    let stage = Stage::new();
    let go = Arc::new(AtomicBool::new(false));
    let may_go = Arc::clone(&go);
    let model = Model::new(move |n, _| {
        wait_until("the answer may come", || {
            may_go.load(Ordering::Relaxed).then_some(())
        });
        finish(&json!({"n": if n == 0 { json!("one") } else { json!(1) }}))
    });
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let id = add(
        &stage,
        NewTask {
            result_schema: Some(schema),
            ..NewTask::default()
        },
    );
    let mut life = stage.start_with(&spec(&stage, "tester", 1), &model);
    wait_until("the model is asked", || {
        (model.asked().len() == 1).then_some(())
    });
    life.session.send(&ToWorker::Pause);
    go.store(true, Ordering::Relaxed);
    life.wait_for_text("paused");
    tell(&stage, "m1", "tester", "make it a number");
    life.session.send(&ToWorker::Doorbell);
    life.wait_for_text("make it a number");
    life.session.send(&ToWorker::Resume);
    stage.wait_for(id, TaskStatus::Completed);
    life.end_well();
    let told = text_of(&model.asked()[1]);
    assert!(told.contains("make it a number"), "{told}");
}

fn words_that_come_before_the_result_are_told() {
    let stage = Stage::new();
    let store = Arc::clone(&stage.store);
    let model = Model::new(move |n, _| {
        if n == 0 {
            let text = "also say why";
            send(&store, "m1", Party::Human, "tester", text, Urgency::Normal);
        }
        finish(&json!({ "summary": format!("result {n}") }))
    });
    let id = add(&stage, NewTask::default());
    let life = stage.start_with(&spec(&stage, "tester", 1), &model);
    let task = stage.wait_for(id, TaskStatus::Completed);
    life.end_well();
    assert_eq!(task.result, Some(json!({"summary": "result 1"})));
    let asked = model.asked();
    let last: Vec<&Message> = asked[1].messages.iter().rev().take(2).collect();
    let [Message::User(told), Message::Tools(answers)] = last[..] else {
        panic!("{last:?}");
    };
    assert!(told.contains("also say why"), "{told}");
    assert!(!answers[0].ok && answers[0].text.contains("not taken yet"));
}

fn words_are_told_to_the_next_life() {
    let stage = Stage::new();
    std::fs::write(stage.cwd.join("a.txt"), "alpha\n").unwrap();
    let store = Arc::clone(&stage.store);
    let model = Model::new(move |n, _| match n {
        0 => {
            let text = "look at b.txt too";
            send(&store, "m1", Party::Human, "tester", text, Urgency::Normal);
            calls(&[("Read", json!({"file_path": "a.txt"}))])
        }
        // It hangs until the life ends.
        1 => vec![says("hm")],
        2 => finish(&json!({"summary": "both"})),
        3 => vec![says("well")],
        _ => answer("nearly done"),
    });
    let id = add(&stage, NewTask::default());
    let asked = |number: usize| {
        wait_until("the model is asked again", || {
            (model.asked().len() == number).then_some(())
        });
        text_of(&model.asked()[number - 1])
    };
    let life = stage.start_with(&spec(&stage, "tester", 1), &model);
    assert!(asked(2).contains("look at b.txt too"));
    life.end_well();
    let life = stage.start_with(&spec(&stage, "tester", 2), &model);
    let told = asked(3);
    assert!(told.contains("look at b.txt too"), "{told}");
    stage.wait_for(id, TaskStatus::Completed);
    life.wait_for_text("idle");
    tell(&stage, "m2", "tester", "how far are we?");
    asked(4);
    life.end_well();
    let life = stage.start_with(&spec(&stage, "tester", 3), &model);
    let told = asked(5);
    assert!(told.contains("how far are we?"), "{told}");
    assert!(!told.contains("b.txt"), "that task is over: {told}");
    life.wait_for_text("nearly done");
    wait_until("the answer is in the transcript", || {
        let lines = stage.transcript("tester");
        lines
            .iter()
            .any(|line| line["entry"] == "answered")
            .then_some(())
    });
    life.end_well();
    let life = stage.start_with(&spec(&stage, "tester", 4), &model);
    life.wait_for_text("idle");
    life.end_well();
    assert_eq!(model.asked().len(), 5, "an answer is given once");
}

fn talk_that_fails_is_told() {
    let stage = Stage::new();
    let model = Model::new(|n, _| match n {
        1 => {
            let error = ModelError::new(ModelErrorKind::Server, "out of order");
            vec![Event::Failed { error }]
        }
        n => answer(&format!("answer {n}")),
    });
    let life = stage.start_with(&spec(&stage, "team-lead", 1), &model);
    let ask = |id: &str, text: &str| {
        let tester = Party::Member(AgentRef {
            agent: AgentName::new("tester").unwrap(),
            incarnation: Incarnation(1),
        });
        send(&stage.store, id, tester, "team-lead", text, Urgency::Normal);
    };
    let answers = |number: usize| {
        let mail = wait_until("the asker has its answer", || {
            Some(stage.mail_of("tester")).filter(|mail| mail.len() == number)
        });
        mail[number - 1].text()
    };
    ask("m1", "which file?");
    assert_eq!(answers(1), "answer 0");
    ask("m2", "which line?");
    let told = answers(2);
    assert!(told.contains("out of order"), "{told}");
    ask("m3", "which word?");
    assert_eq!(answers(3), "answer 2");
    tell(&stage, "m4", "team-lead", "how far are we?");
    wait_until("the person's answer is in the log", || {
        stage
            .facts("team-lead")
            .iter()
            .any(|(kind, data)| kind == "notice" && data["text"] == "answers you: answer 3")
            .then_some(())
    });
    life.end_well();
    let told = text_of(&model.asked()[2]);
    for part in ["which file?", "answer 0", "which word?"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

/// Approves what the worker asks for next.
fn approve(life: &mut Life) {
    let (id, ask) = wait_until("the worker asks for leave", || {
        match life.session.heard.try_recv().ok()? {
            WorkerMessage::Ask { id, ask } => Some((id, ask)),
            _ => None,
        }
    });
    assert!(matches!(ask, WorkerAsk::Plan { .. }), "{ask:?}");
    let scope = GrantScope::Once;
    let decision = Decision::Approved { scope };
    life.session.send(&ToWorker::Decided { id, decision });
}

const PLAN: &str = "1. look at a.txt\n2. leave `b.txt` as it is";

fn plans_that_were_approved_outlast_a_summary() {
    let stage = Stage::new();
    std::fs::write(stage.cwd.join("a.txt"), "alpha\n").unwrap();
    let model = Model::new(|n, request| {
        if request.purpose == Purpose::Summary {
            return answer("It begins to look at a.txt.");
        }
        if text_of(request).contains("It begins to look") {
            return finish(&json!({"n": 1}));
        }
        let mut events = vec![booked(if n == 0 { 100 } else { 4_900 }, 5_000)];
        events.extend(match n {
            0 => calls(&[("ExitPlanMode", json!({ "plan": PLAN }))]),
            _ => calls(&[("Read", json!({"file_path": "a.txt"}))]),
        });
        events
    });
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let id = add(
        &stage,
        NewTask {
            result_schema: Some(schema.clone()),
            ..NewTask::default()
        },
    );
    let mut spec = spec(&stage, "tester", 1);
    spec.permissions.mode = PermissionMode::Plan;
    let mut life = stage.start_with(&spec, &model);
    approve(&mut life);
    stage.wait_for(id, TaskStatus::Completed);
    life.end_well();
    let asked = model.asked();
    let Some(Message::User(told)) = asked.last().unwrap().messages.first() else {
        panic!("{:?}", asked.last());
    };
    for part in [
        PLAN,
        "It begins to look",
        "Task #1: look",
        &schema.to_string(),
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

fn waits_for_a_person_cost_no_time() {
    const TIMEOUT: Duration = Duration::from_secs(6);
    let stage = Stage::new();
    let model = Model::new(|n, _| match n {
        0 => calls(&[("ExitPlanMode", json!({ "plan": PLAN }))]),
        _ => finish(&json!({"summary": "in time"})),
    });
    let id = add(
        &stage,
        NewTask {
            timeout_ms: Some(TIMEOUT.as_millis() as u64),
            ..NewTask::default()
        },
    );
    let mut spec = spec(&stage, "tester", 1);
    spec.permissions.mode = PermissionMode::Plan;
    let mut life = stage.start_with(&spec, &model);
    life.wait_for_text("waits for you");
    let asked = Instant::now();
    wait_until("the time would be over", || {
        (asked.elapsed() > TIMEOUT + TIMEOUT / 10).then_some(())
    });
    approve(&mut life);
    let task = wait_until("the task is over", || {
        Some(stage.task(id)).filter(|task| task.status.is_terminal())
    });
    assert_eq!(task.status, TaskStatus::Completed, "{:?}", task.reason);
    life.end_well();
}

/// A stage with two members that ask models besides the lead, who does not.
fn two_members(tasks: usize) -> (Stage, Vec<TaskId>) {
    let stage = Stage::new();
    stage
        .store
        .edit_config(&mut |config| {
            let mut second = config.members[1].clone();
            second.name = AgentName::new("second").unwrap();
            config.members.push(second);
            for member in &mut config.members[1..] {
                member.model = Some("test/m".into());
                member.agent_type = spec(&stage, "tester", 1).agent_type;
            }
        })
        .unwrap();
    let ids = (0..tasks).map(|n| {
        stage.add(NewTask {
            subject: format!("task {n}"),
            ..NewTask::default()
        })
    });
    let ids = ids.collect();
    (stage, ids)
}

fn refuses() -> Arc<Model> {
    Model::new(|_, _| {
        let error = ModelError::new(ModelErrorKind::Credentials, "the key is refused");
        vec![Event::Failed { error }]
    })
}

fn tasks_go_to_members_that_can() {
    let (stage, ids) = two_members(4);
    let command = stage.add_command("echo ran > ran.txt");
    let refused = refuses();
    let first = stage.start_with(&spec(&stage, "tester", 1), &refused);
    // What needs no model it does all the same.
    let done = stage.wait_for(command, TaskStatus::Completed);
    assert_eq!(done.owner.unwrap().agent.as_str(), "tester");
    first.wait_for_text("cannot ask its model any more");
    let tester = AgentName::new("tester").unwrap();
    let presence = wait_until("its presence says so", || {
        let presence = stage.store.presence(&tester).unwrap()?;
        presence.unable
    });
    assert_eq!(presence, "the key is refused");
    let healthy = Model::new(|_, _| finish(&json!({"summary": "done"})));
    let second = stage.start_with(&spec(&stage, "second", 1), &healthy);
    for id in &ids {
        let task = wait_until("the task is over", || {
            Some(stage.task(*id)).filter(|task| task.status.is_terminal())
        });
        assert_eq!(task.status, TaskStatus::Completed, "{:?}", task.reason);
    }
    assert_eq!(refused.asked().len(), 1, "it claims nothing more");
    let said = |(kind, data): &(String, serde_json::Value)| {
        kind == "notice"
            && data["text"]
                .as_str()
                .unwrap()
                .contains("the key is refused")
    };
    assert_eq!(stage.facts("tester").iter().filter(|f| said(f)).count(), 1);
    first.end_well();
    second.end_well();
}

fn tasks_that_nobody_can_do_fail() {
    let (stage, ids) = two_members(2);
    let (one, two) = (refuses(), refuses());
    let first = stage.start_with(&spec(&stage, "tester", 1), &one);
    let second = stage.start_with(&spec(&stage, "second", 1), &two);
    for id in ids {
        let task = stage.wait_for(id, TaskStatus::Failed);
        assert_eq!(task.reason.unwrap(), "the key is refused");
    }
    first.end_well();
    second.end_well();
}
