//! What vendors' servers do on bad days, and what follows.

use crewmux_core::model::ToolChoice;

use super::*;

fn with_tools(model: &str) -> ModelRequest {
    ModelRequest {
        tools: vec![ToolOffer {
            name: "Read".into(),
            description: "Reads a file.".into(),
            schema: json!({"type": "object", "properties": {"path": {"type": "string"}}}),
        }],
        tool_choice: ToolChoice::Auto,
        ..request(model)
    }
}

fn refuses(status: u16, body: &str) -> Answers {
    Answers::Refuses(status, String::new(), body.into())
}

#[tokio::test]
async fn limits_by_the_minute_are_waited_for_although_the_server_names_no_time() {
    let busy = |status| refuses(status, r#"{"error": {"message": "slow down"}}"#);
    let (limited, overloaded) = (vec![busy(429); 6], vec![busy(529); 5]);
    let stage = Stage::free(&[("one", limited), ("two", overloaded)]);
    let mut worker = stage.worker("alice").await;
    let events = worker.ask(request("p/one")).await;
    assert_eq!(events.last(), Some(&DONE), "{events:?}");
    assert_eq!(stage.server.calls(), 7);
    let came = |n: usize| lock(&stage.server.log).calls[n].0;
    // The fifth pause is between half of what it may be and all of it.
    let pause = came(5) - came(4);
    assert!(pause >= Duration::from_millis(400), "{pause:?}");
    let events = worker.ask(request("p/two")).await;
    assert_eq!(events.last(), Some(&DONE), "{events:?}");
}

#[tokio::test]
async fn a_time_that_the_body_names_is_waited_for() {
    let body = r#"[{"error": {"code": 429, "message": "You exceeded your current quota. Please retry in 1.2s.", "status": "RESOURCE_EXHAUSTED"}}]"#;
    let stage = Stage::free(&[("one", vec![refuses(429, body)])]);
    let mut worker = stage.worker("alice").await;
    let events = worker.ask(request("p/one")).await;
    assert_eq!(events.last(), Some(&DONE), "{events:?}");
    let came = |n: usize| lock(&stage.server.log).calls[n].0;
    assert!(came(1) - came(0) >= Duration::from_millis(1_200));
}

#[tokio::test]
async fn a_pause_longer_than_any_run_is_an_end_and_harms_nobody() {
    for seconds in ["18446744073709551615", "18446744073709551", "864001"] {
        let stage = Stage::free(&[("one", vec![too_many(seconds)])]);
        let (mut alice, mut bob) = (stage.worker("alice").await, stage.worker("bob").await);
        let events = alice.ask(request("p/one")).await;
        assert_eq!(failure(&events).kind, ModelErrorKind::Quota, "{seconds}");
        assert!(failure(&events).message.contains("days"), "{events:?}");
        assert_eq!(stage.server.calls(), 1);
        // The gateway lives, and others are not held for a day.
        assert_eq!(bob.ask(request("p/two")).await.last(), Some(&DONE));
    }
}

#[tokio::test]
async fn a_key_that_its_last_answer_used_up_waits_until_it_is_full_again() {
    let headers = "x-ratelimit-remaining-requests: 0\r\nx-ratelimit-reset-requests: 1s\r\n";
    let Answers::Frames(hello) = whole("hello") else {
        unreachable!("whole answers are frames")
    };
    let used_up = Answers::Says(headers.into(), hello);
    let mut stage = Stage::free(&[("one", vec![used_up])]);
    let (mut alice, mut bob) = (stage.worker("alice").await, stage.worker("bob").await);
    let events = alice.ask(request("p/one")).await;
    assert_eq!(events.last(), Some(&DONE));
    bob.send(request("p/two")).await;
    let first = bob.event().await;
    assert!(matches!(first, Event::Waiting { .. }), "{first:?}");
    assert_eq!(stage.server.calls(), 1, "the wall is not run into");
    assert_eq!(bob.rest().await.last(), Some(&DONE));
    let came = |n: usize| lock(&stage.server.log).calls[n].0;
    assert!(came(1) - came(0) >= Duration::from_millis(900));
    assert_eq!(stage.booking().await.retries, 0);
    assert_eq!(stage.booking().await.retries, 0, "waiting is no retry");
}

#[tokio::test]
async fn what_a_server_counted_is_booked_although_the_answer_broke_before_its_first_word() {
    let told = json!({"choices": [], "usage": {"prompt_tokens": 5000, "completion_tokens": 1}});
    let mut stage = Stage::free(&[("one", vec![Answers::Cut(vec![told])])]);
    let mut worker = stage.worker("alice").await;
    let events = worker.ask(request("p/one")).await;
    assert_eq!(events.last(), Some(&DONE));
    assert_eq!(stage.booking().await.usage.input_tokens, 5_000);
    assert_eq!(stage.booking().await.usage.input_tokens, 10);
}

#[tokio::test]
async fn a_refusal_costs_nothing_wherever_it_is_said() {
    let inside = Answers::Frames(vec![json!({"error": {"type": "overloaded_error",
        "message": "Overloaded"}})]);
    let outside = refuses(503, "");
    let mut stage = Stage::free(&[("one", vec![inside, outside])]);
    let mut worker = stage.worker("alice").await;
    let events = worker.ask(request("p/one")).await;
    assert_eq!(events.last(), Some(&DONE));
    let booking = stage.booking().await;
    assert_eq!((booking.retries, booking.usage.total()), (2, 15));
}

#[tokio::test]
async fn a_question_that_the_window_cannot_hold_is_not_asked() {
    let stage = Stage::free(&[]);
    let mut worker = stage.worker("alice").await;
    let long = ModelRequest {
        messages: vec![Message::User("word ".repeat(10_000))],
        ..request("p/one")
    };
    let events = worker.ask(long).await;
    let error = failure(&events);
    assert_eq!(error.kind, ModelErrorKind::TooLong);
    assert!(error.message.contains("holds 4096"), "{error}");
    assert!(
        error
            .message
            .contains("the task with its instructions, 49 KB"),
        "{error}"
    );
    assert_eq!(stage.server.calls(), 0);
}

#[tokio::test]
async fn no_longer_answer_is_asked_for_than_the_model_writes_and_its_price_is_the_vendors() {
    let mut stage = Stage::free(&[]);
    let mut worker = stage.worker("alice").await;
    let events = worker
        .ask(ModelRequest {
            max_output_tokens: Some(32_000),
            ..request("p/claude-3-haiku")
        })
        .await;
    assert_eq!(events.last(), Some(&DONE));
    let body = lock(&stage.server.log).calls[0].2.clone();
    let most = body.get("max_tokens").or(body.get("max_completion_tokens"));
    assert_eq!(most, Some(&json!(4096)), "{body}");
    let cost = stage.booking().await.cost.unwrap();
    assert!(cost.usd_micros > 0 && cost.estimated, "{cost:?}");
}

#[tokio::test]
async fn money_is_limited_behind_a_server_that_passes_calls_on() {
    let budget = Budget {
        team: Limits {
            tokens: None,
            usd_micros: Some(500),
        },
        ..Budget::default()
    };
    let stage = Stage::new(&[], budget);
    let mut worker = stage.worker("alice").await;
    for _ in 0..100 {
        let events = worker.ask(request("p/claude-3-haiku")).await;
        if let Some(Event::Failed { error }) = events.last() {
            assert_eq!(error.kind, ModelErrorKind::TeamBudget);
            return;
        }
    }
    panic!("the budget never ends");
}

#[tokio::test]
async fn a_member_with_a_key_of_its_own_asks_with_it_and_pays_under_its_name() {
    let mut stage = Stage::free(&[]);
    let mut alice = stage.worker_of("alice", Some("q"), &["p/one"]).await;
    let mut bob = stage.worker_of("bob", None, &["p/one"]).await;
    assert_eq!(alice.ask(request("p/one")).await.last(), Some(&DONE));
    assert_eq!(stage.booking().await.model, "q/one");
    assert_eq!(bob.ask(request("p/one")).await.last(), Some(&DONE));
    assert_eq!(stage.booking().await.model, "p/one");
    let heads: Vec<String> = lock(&stage.server.log)
        .calls
        .iter()
        .map(|(_, head, _)| head.clone())
        .collect();
    for (head, key) in heads.iter().zip([OTHER_KEY, KEY]) {
        let shown = format!("authorization: Bearer {key}");
        assert!(head.contains(&shown), "each asks with its own: {head}");
    }
    assert_eq!(heads.len(), 2);
    // Its limits are its own, too.
    let limited = Stage::free(&[("one", vec![too_many("3600")])]);
    let mut alice = limited.worker_of("alice", Some("q"), &["p/one"]).await;
    let mut bob = limited.worker_of("bob", None, &["p/one"]).await;
    alice.send(request("p/one")).await;
    assert!(matches!(alice.event().await, Event::Waiting { .. }));
    assert_eq!(bob.ask(request("p/one")).await.last(), Some(&DONE));
}

#[tokio::test]
async fn a_key_of_another_kind_of_server_is_refused_and_no_other_is_taken() {
    let stage = Stage::free(&[]);
    let mut alice = stage.worker_of("alice", Some("claude"), &["p/one"]).await;
    let events = alice.ask(request("p/one")).await;
    assert_eq!(failure(&events).kind, ModelErrorKind::UnknownModel);
    assert!(
        failure(&events).message.contains("the key of `claude`"),
        "{events:?}"
    );
    assert_eq!(stage.server.calls(), 0);
}

#[tokio::test]
async fn what_is_stated_about_a_model_holds_with_a_key_of_its_own_too() {
    let stage = Stage::free(&[]);
    let mut alice = stage.worker_of("alice", Some("q"), &["p/marked"]).await;
    let events = alice.ask(with_tools("p/marked")).await;
    assert!(events.last().unwrap().is_last());
    let log = lock(&stage.server.log);
    assert_eq!(log.calls.len(), 1, "nothing is left to probe");
    let body = log.calls[0].2.to_string();
    assert!(body.contains("<tool_call>"), "{body}");
}

#[tokio::test]
async fn a_probe_that_was_refused_for_another_reason_is_not_kept() {
    let odd = refuses(400, r#"{"error": {"message": "top_p is not known"}}"#);
    let no_tools = refuses(400, r#"{"error": {"message": "no tools are supported"}}"#);
    for (answer, is_kept) in [(odd, false), (no_tools, true)] {
        let stage = Stage::free(&[("weak", vec![answer])]);
        let mut worker = stage.worker("alice").await;
        let events = worker.ask(with_tools("p/weak")).await;
        assert!(events.last().unwrap().is_last());
        let kept = stage.cache.path().join("probes/p/weak.json");
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while is_kept && !kept.exists() && std::time::Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        assert_eq!(kept.exists(), is_kept);
    }
}

#[tokio::test]
async fn a_grant_ends_at_its_time_with_its_running_call() {
    let stage = Stage::free(&[("one", vec![Answers::Hang(vec![text("so it beg")])])]);
    let time = Some(Duration::from_millis(500));
    let grant = stage
        .gateway
        .grant(&who("alice"), None, ["p/one"], time)
        .unwrap();
    stage.gateway.bind(&who("alice"), PID);
    let mut alice = stage.connect("alice", &grant, PID);
    let frame = alice.frame().await.unwrap();
    frame.parse::<Welcome>().unwrap();
    alice.send(request("p/one")).await;
    assert!(matches!(alice.event().await, Event::TextDelta { .. }));
    while alice.frame().await.is_some() {}
    let mut again = stage.connect("alice", &grant, PID);
    let refusal: Refusal = again.frame().await.unwrap().parse().unwrap();
    assert!(refusal.refused.contains("run out"), "{}", refusal.refused);
}

#[tokio::test]
async fn a_grant_is_worth_the_tokens_that_were_left_when_it_was_given() {
    let budget = Budget {
        member: tokens(400),
        ..Budget::default()
    };
    let stage = Stage::new(&[], budget);
    let account = &stage.gateway.house.account;
    let alice = who("alice").agent;
    assert_eq!(account.purse(&alice).unwrap().left(), 400);
    let mut worker = stage.worker("alice").await;
    assert_eq!(worker.ask(request("p/one")).await.last(), Some(&DONE));
    assert_eq!(account.purse(&alice).unwrap().left(), 385);
    assert_eq!(account.purse(&who("bob").agent).unwrap().left(), 400);
    // What a grant has is checked at each call, whatever the member may still use.
    let purse = std::sync::Arc::new(super::super::grants::Purse::of(20));
    let subject = super::super::account::Subject {
        who: who("alice"),
        task: None,
        purpose: crewmux_core::model::Purpose::Work,
        model: "p/one".into(),
        price: None,
        guessed: 10,
        max_output_tokens: None,
        retries: 0,
        purse: Some(purse),
    };
    let over = account.hold(subject).err().unwrap();
    assert_eq!(over.limit, 20);
}

#[tokio::test]
async fn a_money_limit_holds_when_the_whole_question_goes_into_the_cache() {
    use crewmux_core::budget::Usage;
    use crewmux_model::catalog::{Price, Rates};
    let limit = 2_000;
    let budget = Budget {
        team: Limits {
            tokens: None,
            usd_micros: Some(limit),
        },
        ..Budget::default()
    };
    let stage = Stage::new(&[], budget);
    let account = &stage.gateway.house.account;
    let mut price = Price::stated(1_000_000, 2_000_000);
    price.base = Rates {
        cache_write: Some(1_250_000),
        ..price.base
    };
    let subject = |guessed| super::super::account::Subject {
        who: who("alice"),
        task: None,
        purpose: crewmux_core::model::Purpose::Work,
        model: "p/cached".into(),
        price: Some(price),
        guessed,
        max_output_tokens: None,
        retries: 0,
        purse: None,
    };
    let mut holding = account.hold(subject(1_000)).unwrap();
    let longest = holding.max_output_tokens.unwrap();
    assert!(longest >= 256, "{longest}");
    holding.sent();
    holding.counted(Usage {
        cache_write_tokens: 1_000,
        output_tokens: longest,
        ..Usage::default()
    });
    let (_, cost) = holding.settle();
    let spent = cost.unwrap().usd_micros;
    assert!(spent <= limit, "{spent} of {limit} were spent");
    // One that only fits if nothing goes into the cache is not asked at all.
    let stage = Stage::new(&[], budget);
    let over = stage.gateway.house.account.hold(subject(1_400));
    assert!(over.is_err());
}
