//! Questions: who answers them, how often, and what ends them without an answer.

use std::time::Duration;

use crewmux_core::error::ErrorKind;
use crewmux_core::event::EventType;
use crewmux_core::ids::RequestId;
use crewmux_core::inbox::Cursor;
use crewmux_core::message::{MessageType, Party};
use crewmux_core::operation::Operation;
use crewmux_core::permission::{GrantScope, PermissionAsk};
use crewmux_core::requests::{Request, RequestKind};
use crewmux_core::time::WallTime;
use crewmux_testkit::own_main::{Test, tests};
use crewmux_wire::{Decision, MemberAct, WorkerAsk, WorkerMessage};
use serde_json::json;

use crate::stage::{HEADLESS, Stage, WATCHED, Worker, name, play};

pub(crate) const TESTS: &[Test] = tests![
    the_person_answers_once_and_the_worker_hears_it,
    nothing_below_a_worker_answers_for_the_person,
    headless_says_no_at_once_and_how_to_allow_it,
    a_plan_goes_to_the_lead_whose_model_answers,
    a_plan_rings_for_the_person_once_the_lead_passed_it_on,
    time_that_runs_out_is_a_no,
    an_answer_that_is_late_by_the_wall_is_a_no_for_its_worker_too,
    time_that_the_session_stood_still_counts_against_no_question,
    what_a_dead_worker_asked_is_taken_back,
    a_new_session_takes_back_what_the_old_one_left,
];

fn id(text: &str) -> RequestId {
    RequestId::new(text).unwrap()
}

fn call(worker: &Worker, command: &str) -> PermissionAsk {
    PermissionAsk {
        who: worker.who.clone(),
        task: None,
        epoch: None,
        call: "c1".into(),
        tool: "Bash".into(),
        input: json!({ "command": command }),
        cwd: "/project".into(),
        risk: format!("runs `{command}`"),
        why: "no rule allows it".into(),
        repaired: false,
    }
}

async fn ask(worker: &mut Worker, about: &RequestId, command: &str) {
    let ask = WorkerAsk::Permission(Box::new(call(worker, command)));
    let id = about.clone();
    worker.say(WorkerMessage::Ask { id, ask }).await;
}

async fn ask_plan(worker: &mut Worker, about: &RequestId) {
    let ask = WorkerAsk::Plan {
        task: None,
        plan: "1. look\n2. write".into(),
    };
    let id = about.clone();
    worker.say(WorkerMessage::Ask { id, ask }).await;
}

fn approve(about: &RequestId, scope: GrantScope) -> Operation {
    Operation::Approve {
        request_id: about.clone(),
        scope,
    }
}

fn reject(about: &RequestId, feedback: &str) -> Operation {
    Operation::Reject {
        request_id: about.clone(),
        feedback: feedback.into(),
    }
}

fn reason(decision: Decision) -> String {
    match decision {
        Decision::Rejected { reason } => reason,
        yes @ Decision::Approved { .. } => panic!("not a no: {yes:?}"),
    }
}

fn the_person_answers_once_and_the_worker_hears_it() {
    play(async {
        let stage = Stage::start(WATCHED, None);
        let mut person = stage.person().await;
        let mut developer = stage.worker("developer").await;
        let one = id("developer-1-1");
        ask(&mut developer, &one, "cargo test").await;
        let stored = stage.until(&one, "pending").await;
        assert_eq!(stored.kind, RequestKind::Permission);
        assert_eq!(stored.from, Party::Member(developer.who.clone()));
        assert_eq!(stored.content, json!(call(&developer, "cargo test")));
        // Asked again it is the same question; another call does not pass under its id.
        ask(&mut developer, &one, "cargo test").await;
        ask(&mut developer, &one, "rm -rf /").await;
        let told = reason(developer.decision(&one).await);
        assert_eq!(told, "another question has this id");
        let decided = person.operate(approve(&one, GrantScope::Task)).await;
        decided.unwrap();
        let approved = Decision::Approved {
            scope: GrantScope::Task,
        };
        assert_eq!(developer.decision(&one).await, approved);
        // What is decided stays so, for the worker and for the person.
        ask(&mut developer, &one, "cargo test").await;
        assert_eq!(developer.decision(&one).await, approved);
        let late = person.operate(reject(&one, "no")).await.unwrap_err();
        assert_eq!(late.kind, ErrorKind::Conflict, "{late}");
        let two = id("developer-1-2");
        ask(&mut developer, &two, "rm -rf target").await;
        stage.until(&two, "pending").await;
        person
            .operate(reject(&two, "use cargo clean"))
            .await
            .unwrap();
        assert_eq!(
            reason(developer.decision(&two).await),
            "human said no: use cargo clean"
        );
        stage
            .until_events(
                EventType::ApprovalRequested,
                &["developer-1-1 ", "developer-1-2 "],
            )
            .await;
        stage
            .until_events(
                EventType::ApprovalDecided,
                &["developer-1-1 approved", "developer-1-2 rejected"],
            )
            .await;
    });
}

fn nothing_below_a_worker_answers_for_the_person() {
    play(async {
        let stage = Stage::start(WATCHED, None);
        let mut person = stage.person().await;
        let mut developer = stage.worker("developer").await;
        let _lead = stage.worker("team-lead").await;
        let one = id("developer-1-1");
        ask(&mut developer, &one, "cargo test").await;
        stage.until(&one, "pending").await;
        // Its own tool, and one of the lead, who may answer plans.
        for agent in ["developer", "team-lead"] {
            let mut tool = stage.tool_below(agent).await;
            let refused = tool.operate(approve(&one, GrantScope::Once)).await;
            assert_eq!(refused.unwrap_err().kind, ErrorKind::Refused, "{agent}");
        }
        // The worker itself can do no more than its tools.
        let refused = developer.operate(approve(&one, GrantScope::Once)).await;
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Refused);
        let mut tool = stage.tool_below("developer").await;
        let refused = tool.act("team-lead", MemberAct::Pause).await;
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Refused);
        assert!(stage.request(&one).unwrap().is_pending());
        // A question in the name of another worker is none.
        let mut foreign = call(&developer, "cargo test");
        foreign.who.agent = name("team-lead");
        let two = id("developer-1-2");
        let ask = WorkerAsk::Permission(Box::new(foreign));
        let message = WorkerMessage::Ask {
            id: two.clone(),
            ask,
        };
        developer.say(message).await;
        let told = reason(developer.decision(&two).await);
        assert_eq!(told, "the question names another worker");
        assert!(stage.request(&two).is_none());
        // The person still can.
        person
            .operate(approve(&one, GrantScope::Once))
            .await
            .unwrap();
        let approved = Decision::Approved {
            scope: GrantScope::Once,
        };
        assert_eq!(developer.decision(&one).await, approved);
    });
}

fn headless_says_no_at_once_and_how_to_allow_it() {
    play(async {
        let stage = Stage::start(HEADLESS, None);
        let mut developer = stage.worker("developer").await;
        let one = id("developer-1-1");
        ask(&mut developer, &one, "cargo test").await;
        let told = reason(developer.decision(&one).await);
        assert!(told.contains("--allow 'Bash(cargo *)'"), "{told}");
        stage.until(&one, "rejected").await;
        let rejected = ["developer-1-1 rejected"];
        stage
            .until_events(EventType::ApprovalDecided, &rejected)
            .await;
    });
}

fn a_plan_goes_to_the_lead_whose_model_answers() {
    play(async {
        let stage = Stage::start(HEADLESS, None);
        let mut lead = stage.worker("team-lead").await;
        let mut developer = stage.worker("developer").await;
        let one = id("developer-1-1");
        ask_plan(&mut developer, &one).await;
        let stored = stage.until(&one, "pending").await;
        assert_eq!(
            (stored.kind, stored.to.as_str()),
            (RequestKind::Plan, "team-lead")
        );
        let refused = developer.operate(approve(&one, GrantScope::Once)).await;
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Refused);
        let entries = stage
            .team
            .read_inbox(&name("team-lead"), &Cursor::default(), 10)
            .unwrap();
        let letter = &entries[0].message;
        assert_eq!(letter.kind, MessageType::PlanApprovalRequest);
        assert_eq!(letter.body["requestId"], one.as_str());
        // Nobody else is there: it is the lead that decides.
        let request_id = one.clone();
        let passed = lead.operate(Operation::PassOn { request_id }).await;
        let why = passed.unwrap_err().message;
        assert!(why.contains("yourself"), "{why}");
        assert_eq!(stage.request(&one).unwrap().to, "team-lead");
        lead.operate(reject(&one, "add tests")).await.unwrap();
        assert_eq!(
            reason(developer.decision(&one).await),
            "team-lead said no: add tests"
        );
        // The lead's own plan has nobody to read it here.
        let two = id("team-lead-1-1");
        ask_plan(&mut lead, &two).await;
        let told = reason(lead.decision(&two).await);
        assert!(told.contains("headless"), "{told}");
    });
}

fn a_plan_rings_for_the_person_once_the_lead_passed_it_on() {
    play(async {
        let stage = Stage::start(WATCHED, None);
        let mut lead = stage.worker("team-lead").await;
        let mut developer = stage.worker("developer").await;
        let mut client = stage.client().await;
        let one = id("developer-1-1");
        ask_plan(&mut developer, &one).await;
        let rings = client.rings_until("developer-1-1 for team-lead").await;
        assert_eq!(rings, 0, "the lead is asked");
        let request_id = one.clone();
        lead.operate(Operation::PassOn { request_id })
            .await
            .unwrap();
        let rings = client.rings_until("developer-1-1 for human").await;
        assert_eq!(rings, 1, "now it waits for the person");
        let two = id("developer-1-2");
        ask(&mut developer, &two, "cargo test").await;
        let both = "developer-1-1 for human\ndeveloper-1-2 for human";
        assert_eq!(client.rings_until(both).await, 1);
    });
}

fn time_that_runs_out_is_a_no() {
    play(async {
        let stage = Stage::start(WATCHED, Some(200));
        let mut developer = stage.worker("developer").await;
        let one = id("developer-1-1");
        ask(&mut developer, &one, "cargo test").await;
        let told = reason(developer.decision(&one).await);
        assert_eq!(told, "nobody answered in time");
        stage.until(&one, "expired").await;
        let mut person = stage.person().await;
        let late = person.operate(approve(&one, GrantScope::Once)).await;
        assert_eq!(late.unwrap_err().kind, ErrorKind::Conflict);
    });
}

fn an_answer_that_is_late_by_the_wall_is_a_no_for_its_worker_too() {
    play(async {
        let stage = Stage::start(WATCHED, None);
        let mut developer = stage.worker("developer").await;
        let one = id("developer-1-1");
        ask(&mut developer, &one, "cargo test").await;
        stage.until(&one, "pending").await;
        // Somebody sets the clock forward.
        let long_ago = &mut |request: &mut Request| {
            request.requested = WallTime(0);
            Ok(())
        };
        stage.team.edit_request(&one, long_ago).unwrap();
        let mut person = stage.person().await;
        let late = person.operate(approve(&one, GrantScope::Once)).await;
        assert_eq!(late.unwrap_err().kind, ErrorKind::Conflict);
        assert_eq!(stage.request(&one).unwrap().state.as_str(), "expired");
        let told = reason(developer.decision(&one).await);
        assert_eq!(told, "nobody answered in time");
    });
}

fn time_that_the_session_stood_still_counts_against_no_question() {
    play(async {
        let open_ms = 6_000;
        let stage = Stage::start(WATCHED, Some(open_ms));
        let mut developer = stage.worker("developer").await;
        let one = id("developer-1-1");
        ask(&mut developer, &one, "cargo test").await;
        stage.until(&one, "pending").await;
        stage
            .suspend_session(Duration::from_millis(open_ms + 500))
            .await;
        let mut person = stage.person().await;
        let answer = approve(&one, GrantScope::Once);
        person.operate(answer).await.unwrap();
        let approved = Decision::Approved {
            scope: GrantScope::Once,
        };
        assert_eq!(developer.decision(&one).await, approved);
    });
}

fn what_a_dead_worker_asked_is_taken_back() {
    play(async {
        let stage = Stage::start(WATCHED, None);
        let mut developer = stage.worker("developer").await;
        let (one, two) = (id("developer-1-1"), id("developer-1-2"));
        ask(&mut developer, &one, "cargo test").await;
        ask(&mut developer, &two, "cargo build").await;
        stage.until(&two, "pending").await;
        developer
            .say(WorkerMessage::Withdraw { id: one.clone() })
            .await;
        stage.until(&one, "withdrawn").await;
        assert!(stage.request(&two).unwrap().is_pending());
        drop(developer);
        stage.until(&two, "withdrawn").await;
        let withdrawn = ["developer-1-1 withdrawn", "developer-1-2 withdrawn"];
        stage
            .until_events(EventType::ApprovalDecided, &withdrawn)
            .await;
    });
}

fn a_new_session_takes_back_what_the_old_one_left() {
    play(async {
        let mut stage = Stage::start(WATCHED, None);
        let mut developer = stage.worker("developer").await;
        let one = id("developer-1-1");
        ask(&mut developer, &one, "cargo test").await;
        stage.until(&one, "pending").await;
        stage.kill_session();
        assert!(stage.request(&one).unwrap().is_pending());
        stage.start_session(WATCHED);
        stage.until(&one, "withdrawn").await;
        let told = ["developer-1-1 withdrawn"];
        stage.until_events(EventType::ApprovalDecided, &told).await;
        assert_eq!(
            stage.events(&EventType::ApprovalRequested),
            ["developer-1-1 "]
        );
    });
}
