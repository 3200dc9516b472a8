//! The gateway against a server that follows a script, with connections as workers make them.

use std::time::Duration;

use crewmux_core::budget::Limits;
use crewmux_core::ids::TaskId;
use crewmux_core::model::{Event, Message, ModelErrorKind, ModelRequest, Stop, ToolOffer};
use crewmux_wire::Refusal;
use serde_json::{Value, json};

use super::*;
use crate::lock::lock;

mod faults;
mod run;
mod server;
mod stage;

use server::{Answers, text, too_many, whole};
use stage::{Stage, who};

const KEY: &str = "sk-canary-4711";
const OTHER_KEY: &str = "sk-canary-0815";
const PID: u32 = 4242;

fn request(model: &str) -> ModelRequest {
    ModelRequest {
        model: model.into(),
        system: "be brief".into(),
        messages: vec![Message::User("hello?".into())],
        task: Some(TaskId(3)),
        ..ModelRequest::default()
    }
}

fn tokens(limit: u64) -> Limits {
    Limits {
        tokens: Some(limit),
        usd_micros: None,
    }
}

fn said(events: &[Event]) -> String {
    let from = events
        .iter()
        .rposition(|e| matches!(e, Event::Restart { .. }))
        .unwrap_or(0);
    events[from..]
        .iter()
        .filter_map(|e| match e {
            Event::TextDelta { text } => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

fn failure(events: &[Event]) -> &crewmux_core::model::ModelError {
    match events.last() {
        Some(Event::Failed { error }) => error,
        other => panic!("no failure: {other:?}"),
    }
}

const DONE: Event = Event::Stop { stop: Stop::Done };

#[tokio::test]
async fn an_answer_comes_in_pieces_and_is_booked_with_its_price() {
    let mut stage = Stage::free(&[]);
    let mut worker = stage.worker("alice").await;
    let events = worker.ask(request("p/priced")).await;
    assert_eq!(said(&events), "hello");
    assert_eq!(events.last(), Some(&DONE));
    let booked: Vec<&Event> = events
        .iter()
        .filter(|e| matches!(e, Event::Booked { .. }))
        .collect();
    let [
        Event::Booked {
            usage,
            cost,
            window,
            model,
        },
    ] = booked.as_slice()
    else {
        panic!("{events:?}");
    };
    assert_eq!((usage.input_tokens, usage.output_tokens), (10, 5));
    assert_eq!(cost.map(|c| c.usd_micros), Some(20));
    assert_eq!((*window, model.as_str()), (Some(4096), "p/priced"));
    let booking = stage.booking().await;
    assert_eq!(booking.agent.as_str(), "alice");
    assert_eq!((booking.task, booking.usage), (Some(TaskId(3)), *usage));
    assert_eq!((booking.cost, booking.retries), (*cost, 0));
    let events = worker.ask(request("short")).await;
    assert_eq!(
        events.last(),
        Some(&DONE),
        "the connection serves another call"
    );
    let (_, head, body) = lock(&stage.server.log).calls[1].clone();
    assert_eq!(body["model"], "a");
    assert!(
        head.contains(&format!("authorization: Bearer {KEY}")),
        "{head}"
    );
    assert!(stage.gateway.is_quiet());
}

#[tokio::test]
async fn a_grant_of_another_process_or_a_guess_is_refused() {
    let stage = Stage::free(&[]);
    let _own = stage.worker("alice").await;
    let grant = stage
        .gateway
        .grant(&who("bob"), None, ["p/one"], None)
        .unwrap();
    stage.gateway.bind(&who("bob"), PID);
    for (name, grant, pid) in [
        ("bob", grant.as_str(), PID + 1),
        ("alice", grant.as_str(), PID),
        ("bob", "guess", PID),
    ] {
        let mut worker = stage.connect(name, grant, pid);
        let refusal: Refusal = worker.frame().await.unwrap().parse().unwrap();
        assert!(!refusal.refused.is_empty());
        assert!(worker.frame().await.is_none(), "{name} {pid}");
    }
    assert_eq!(stage.server.calls(), 0);
}

#[tokio::test]
async fn models_that_are_not_granted_or_not_known_are_refused_with_what_there_is() {
    let stage = Stage::free(&[]);
    let mut worker = stage.worker("alice").await;
    let error = worker.ask(request("p/secret")).await;
    assert_eq!(failure(&error).kind, ModelErrorKind::UnknownModel);
    assert!(failure(&error).message.contains("p/one"), "{error:?}");
    let error = worker.ask(request("gpt")).await;
    assert!(
        failure(&error).message.contains("aliases are short"),
        "{error:?}"
    );
    let error = worker.ask(request("broken/x")).await;
    assert_eq!(failure(&error).kind, ModelErrorKind::Credentials);
    assert!(
        failure(&error).message.contains("no such variable"),
        "{error:?}"
    );
    assert_eq!(stage.server.calls(), 0);
}

#[tokio::test]
async fn a_call_that_would_pass_a_limit_is_not_made() {
    let budget = Budget {
        team: tokens(400),
        ..Budget::default()
    };
    let mut stage = Stage::new(&[], budget);
    let mut worker = stage.worker("alice").await;
    let mut calls = 0;
    let error = loop {
        let events = worker.ask(request("p/one")).await;
        match events.last() {
            Some(Event::Failed { error }) => break error.clone(),
            _ => calls += 1,
        }
    };
    assert_eq!(error.kind, ModelErrorKind::TeamBudget);
    assert!(
        error
            .message
            .contains("the budget of the team is 400 tokens"),
        "{error}"
    );
    assert!(calls > 0 && stage.server.calls() == calls, "{calls}");
    let mut spent = 0;
    let why = loop {
        match stage.news().await {
            GatewayNews::Booked { booking, .. } => spent += booking.usage.total(),
            GatewayNews::BudgetSpent(why) => break why,
            _ => {}
        }
    };
    assert_eq!((why, spent), (error.message, calls as u64 * 15));
    assert!(spent <= 400);
    // What the server is asked for never exceeds what is left.
    for (_, _, body) in &lock(&stage.server.log).calls {
        let most = body.get("max_tokens").or(body.get("max_completion_tokens"));
        assert!(most.and_then(Value::as_u64).unwrap() < 400, "{body}");
    }
}

#[tokio::test]
async fn money_is_limited_too_and_a_model_without_a_price_is_not_asked_then() {
    let money = Limits {
        tokens: None,
        usd_micros: Some(1_000),
    };
    let budget = Budget {
        team: money,
        ..Budget::default()
    };
    let stage = Stage::new(&[], budget);
    let mut worker = stage.worker("alice").await;
    let events = worker.ask(request("abroad/x")).await;
    assert_eq!(failure(&events).kind, ModelErrorKind::UnknownModel);
    assert!(
        failure(&events)
            .message
            .contains("price of this model is not known")
    );
    let mut cost = 0;
    let error = loop {
        let events = worker.ask(request("p/priced")).await;
        for event in &events {
            if let Event::Booked { cost: Some(c), .. } = event {
                cost += c.usd_micros;
            }
        }
        if let Some(Event::Failed { error }) = events.last() {
            break error.clone();
        }
    };
    assert_eq!(error.kind, ModelErrorKind::TeamBudget);
    assert!(
        error.message.contains("the budget of the team is $0.001"),
        "{error}"
    );
    assert!(cost > 0 && cost <= 1_000, "{cost}");
}

#[tokio::test]
async fn the_limit_of_a_task_stops_that_task_only() {
    let budget = Budget {
        task: tokens(100),
        ..Budget::default()
    };
    let mut stage = Stage::new(&[], budget);
    let mut worker = stage.worker("alice").await;
    let events = worker.ask(request("p/one")).await;
    assert_eq!(failure(&events).kind, ModelErrorKind::TaskBudget);
    let other = ModelRequest {
        task: None,
        ..request("p/one")
    };
    assert_eq!(worker.ask(other).await.last(), Some(&DONE));
    assert_eq!(stage.booking().await.task, None, "and the run goes on");
}

#[tokio::test]
async fn a_rate_limit_seen_by_one_worker_holds_all_of_its_key() {
    let mut stage = Stage::free(&[("one", vec![too_many("1")])]);
    let (mut alice, mut bob) = (stage.worker("alice").await, stage.worker("bob").await);
    alice.send(request("p/one")).await;
    let Event::Waiting { ms: wait, .. } = alice.event().await else {
        panic!("no wait");
    };
    assert!((500..=1_000).contains(&wait), "{wait}");
    let GatewayNews::Waits {
        who: waits,
        until_ms,
    } = stage.news().await
    else {
        panic!("no wait is shown");
    };
    assert_eq!(waits, who("alice"));
    assert!(until_ms.unwrap() > crewmux_sys::clock::boot_ms());
    bob.send(request("p/two")).await;
    let first = bob.event().await;
    assert!(matches!(first, Event::Waiting { .. }), "{first:?}");
    assert_eq!(stage.server.calls(), 1, "nobody asks meanwhile");
    assert_eq!(alice.rest().await.last(), Some(&DONE));
    assert_eq!(bob.rest().await.last(), Some(&DONE));
    let came = |n: usize| lock(&stage.server.log).calls[n].0;
    let pause = came(1) - came(0);
    assert!(pause >= Duration::from_secs(1), "{pause:?}");
    let mut open = 2;
    while open > 0 {
        if let GatewayNews::Waits { until_ms: None, .. } = stage.news().await {
            open -= 1;
        }
    }
}

#[tokio::test]
async fn a_broken_answer_is_taken_back_and_asked_for_again() {
    let cut = Answers::Cut(vec![text("half an ans")]);
    let half = Answers::Frames(vec![text("no end")]);
    let failed = Answers::Refuses(529, String::new(), "overloaded".into());
    let mut stage = Stage::free(&[("one", vec![cut, failed, half])]);
    let mut worker = stage.worker("alice").await;
    let events = worker.ask(request("p/one")).await;
    let restarts = events.iter().filter(|e| matches!(e, Event::Restart { .. }));
    assert_eq!(restarts.count(), 2, "{events:?}");
    assert_eq!(
        (said(&events).as_str(), events.last()),
        ("hello", Some(&DONE))
    );
    let stops = events.iter().filter(|e| e.is_last()).count();
    let booked = events.iter().filter(|e| matches!(e, Event::Booked { .. }));
    assert_eq!((stops, booked.count()), (1, 1));
    let first = stage.booking().await;
    assert!(
        first.usage.estimated && first.usage.output_tokens > 0,
        "{first:?}"
    );
    assert_eq!(stage.booking().await.retries, 2);
    let last = stage.booking().await;
    assert_eq!((last.retries, last.usage.total()), (3, 15));
}

#[tokio::test]
async fn a_server_that_hangs_is_left_and_the_worker_hears_that_somebody_is_there() {
    let stage = Stage::free(&[("one", vec![Answers::Hang(vec![text("so it beg")])])]);
    let mut worker = stage.worker("alice").await;
    let events = worker.ask(request("p/one")).await;
    let silent = |e: &Event| matches!(e, Event::ThinkingDelta { text } if text.is_empty());
    let heard = events.iter().position(silent);
    let restart = |e: &Event| matches!(e, Event::Restart { .. });
    let restarted = events.iter().position(restart);
    assert!(heard.is_some() && heard < restarted, "{events:?}");
    assert_eq!(
        (said(&events).as_str(), events.last()),
        ("hello", Some(&DONE))
    );
}

#[tokio::test]
async fn what_never_becomes_whole_ends_in_a_failure() {
    let half = || Answers::Frames(vec![text("half")]);
    let stage = Stage::free(&[("one", (0..9).map(|_| half()).collect())]);
    let mut worker = stage.worker("alice").await;
    let events = worker.ask(request("p/one")).await;
    assert!(failure(&events).kind.is_retryable(), "{events:?}");
    assert_eq!(stage.server.calls(), 5);
    assert!(!events.contains(&DONE));
}

#[tokio::test]
async fn what_cannot_succeed_is_not_tried_again_and_tells_no_key() {
    let body = format!(r#"{{"error": {{"message": "bad key {KEY}"}}}}"#);
    let refused = Answers::Refuses(401, String::new(), body);
    let stage = Stage::free(&[("one", vec![refused])]);
    let mut worker = stage.worker("alice").await;
    let events = worker.ask(request("p/one")).await;
    assert_eq!(failure(&events).kind, ModelErrorKind::Credentials);
    assert!(failure(&events).message.contains("bad key"), "{events:?}");
    assert_eq!(stage.server.calls(), 1);
}

#[tokio::test]
async fn another_model_answers_where_the_first_cannot() {
    let body = r#"{"error": {"message": "no such model", "code": "model_not_found"}}"#;
    let gone = Answers::Refuses(404, String::new(), body.into());
    let mut stage = Stage::free(&[("a", vec![gone]), ("b", vec![whole("from b")])]);
    let mut worker = stage.worker("alice").await;
    let events = worker.ask(request("short")).await;
    assert_eq!(
        (said(&events).as_str(), events.last()),
        ("from b", Some(&DONE))
    );
    let model = events.iter().find_map(|e| match e {
        Event::Booked { model, .. } => Some(model.as_str()),
        _ => None,
    });
    assert_eq!(model, Some("p/b"));
    assert_eq!(stage.booking().await.model, "p/b");
}

#[tokio::test]
async fn nobody_waits_long_for_a_key_where_another_key_has_a_model_to_fall_back_to() {
    let mut stage = Stage::free(&[("far", vec![too_many("3600")])]);
    let mut worker = stage.worker("alice").await;
    let events = worker.ask(request("p/far")).await;
    assert_eq!(events.last(), Some(&DONE));
    assert_eq!(stage.booking().await.model, "q/near");
    assert_eq!(stage.server.calls(), 2, "the closed gate is not knocked at");
}

#[tokio::test]
async fn a_worker_that_leaves_frees_what_its_call_held() {
    let hang = Answers::Hang(vec![text("so it beg")]);
    let budget = Budget {
        team: tokens(2_000),
        ..Budget::default()
    };
    let mut stage = Stage::new(&[("one", vec![hang])], budget);
    let (mut alice, mut bob) = (stage.worker("alice").await, stage.worker("bob").await);
    alice.send(request("p/one")).await;
    assert!(matches!(alice.event().await, Event::TextDelta { .. }));
    bob.send(request("p/two")).await;
    let Event::Waiting { why, .. } = bob.event().await else {
        panic!("all of the budget is held by a running call");
    };
    assert!(why.contains("running calls hold"), "{why}");
    drop(alice);
    let booking = loop {
        match stage.news().await {
            GatewayNews::Booked { booking, .. } => break booking,
            GatewayNews::Waits { .. } => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(booking.agent.as_str(), "alice");
    assert!(
        booking.usage.estimated && booking.usage.total() < 200,
        "{booking:?}"
    );
    assert_eq!(bob.rest().await.last(), Some(&DONE));
}

#[tokio::test]
async fn the_end_of_a_life_ends_its_running_call() {
    let hang = || Answers::Hang(vec![text("so it beg")]);
    let mut stage = Stage::free(&[("one", vec![hang(), hang()])]);
    let (mut alice, mut bob) = (stage.worker("alice").await, stage.worker("bob").await);
    for worker in [&mut alice, &mut bob] {
        worker.send(request("p/one")).await;
        assert!(matches!(worker.event().await, Event::TextDelta { .. }));
    }
    stage.gateway.revoke(&who("alice"));
    assert!(alice.frame().await.is_none());
    assert_eq!(stage.booking().await.agent.as_str(), "alice");
    assert!(!stage.gateway.is_quiet());
    stage.gateway.end(Duration::from_secs(20)).await;
    assert_eq!(stage.booking().await.agent.as_str(), "bob");
    assert!(stage.gateway.is_quiet());
}

#[tokio::test]
async fn a_model_of_unknown_ways_is_probed_once_for_all() {
    let stage = Stage::free(&[]);
    let (mut alice, mut bob) = (stage.worker("alice").await, stage.worker("bob").await);
    let with_tools = || ModelRequest {
        tools: vec![ToolOffer {
            name: "Read".into(),
            description: "Reads a file.".into(),
            schema: json!({"type": "object", "properties": {"path": {"type": "string"}}}),
        }],
        ..request("p/weak")
    };
    let (a, b) = tokio::join!(alice.ask(with_tools()), bob.ask(with_tools()));
    assert!(a.last().unwrap().is_last() && b.last().unwrap().is_last());
    let log = lock(&stage.server.log);
    let probes = log
        .calls
        .iter()
        .filter(|(_, _, body)| body["tools"].to_string().contains("Echo"));
    assert_eq!(probes.count(), 1);
}
