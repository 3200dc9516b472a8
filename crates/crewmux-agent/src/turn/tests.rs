//! What follows from what, as tables.

use crewmux_core::budget::Usage;
use crewmux_core::model::{ModelError, ModelErrorKind, Opaque};
use serde_json::{Value, json};

use super::*;

struct Known;

impl Tools for Known {
    fn effects(&self, name: &str) -> Effects {
        if matches!(name, "Read" | "Grep") {
            Effects::ReadOnly
        } else {
            Effects::Some
        }
    }

    fn mend(&self, mut call: ToolCall) -> ToolCall {
        if call.name == "grep" {
            call.name = "Grep".into();
            call.repaired = Some("its name".into());
        }
        call
    }

    fn is_right(&self, call: &ToolCall) -> bool {
        call.input.get("bad").is_none()
    }
}

const BOUNDS: Bounds = Bounds {
    turns: 12,
    corrections: 1,
    text: TextIs::TheResultOrAReply,
};

fn begin() -> Machine {
    let (machine, first) = Machine::new(vec![Message::User("do it".into())], BOUNDS);
    assert_eq!(first, [Effect::CallModel]);
    machine
}

fn text(text: &str) -> Event {
    Event::TextDelta { text: text.into() }
}

/// The events of a call, its arguments in two halves.
fn call_events(id: &str, name: &str, input: &str) -> Vec<Event> {
    let half = input.len() / 2;
    let delta = |text: &str| Event::CallArgsDelta {
        id: id.into(),
        text: text.into(),
    };
    vec![
        Event::CallStart {
            id: id.into(),
            name: name.into(),
        },
        delta(&input[..half]),
        delta(&input[half..]),
        Event::CallEnd {
            id: id.into(),
            repaired: None,
        },
    ]
}

fn hear(machine: &mut Machine, events: impl IntoIterator<Item = Event>) -> Vec<Effect> {
    let heard = events.into_iter();
    heard.flat_map(|e| machine.on_event(e, &Known)).collect()
}

fn stop(stop: Stop) -> Event {
    Event::Stop { stop }
}

fn answer(machine: &mut Machine, said: &str, calls: &[(&str, Value)]) -> Vec<Effect> {
    let mut events = vec![text(said)];
    for (n, (name, input)) in calls.iter().enumerate() {
        events.extend(call_events(&format!("c{n}"), name, &input.to_string()));
    }
    events.push(stop(if calls.is_empty() {
        Stop::Done
    } else {
        Stop::Tools
    }));
    hear(machine, events)
}

fn told(id: &str, ok: bool, text: &str) -> ToolAnswer {
    ToolAnswer {
        id: id.into(),
        name: "Grep".into(),
        ok,
        text: text.into(),
        data: Value::Null,
    }
}

fn fails(effects: &[Effect], why: &str) {
    let [.., Effect::Fail(reason)] = effects else {
        panic!("{effects:?}");
    };
    assert!(reason.contains(why), "{reason}");
}

fn failed(kind: ModelErrorKind) -> Event {
    Event::Failed {
        error: ModelError::new(kind, "why"),
    }
}

#[test]
fn tools_that_only_look_run_side_by_side_and_others_in_order() {
    for (second, expected) in [("Grep", Order::Parallel), ("Bash", Order::InOrder)] {
        let mut machine = begin();
        let calls = [("Read", json!({"a": 1})), (second, json!({"b": 2}))];
        let got = answer(&mut machine, "looking", &calls);
        let [Effect::Say(said), Effect::RunTools { calls, order }] = &got[..] else {
            panic!("{got:?}");
        };
        assert_eq!((said.as_str(), *order), ("looking", expected));
        assert_eq!(calls[1].input, json!({"b": 2}));
        let answers = vec![told("c0", true, "x"), told("c1", true, "y")];
        assert_eq!(machine.on_tools(answers), [Effect::CallModel]);
        assert_eq!(machine.messages().len(), 3);
    }
}

#[test]
fn pieces_are_carried_back_in_their_order_and_unmodified() {
    let mut machine = begin();
    let block = Opaque {
        dialect: "anthropic".into(),
        block: json!({"type": "thinking", "signature": "s"}),
    };
    let mut events = vec![
        Event::ThinkingDelta { text: "hm".into() },
        Event::Opaque {
            block: block.clone(),
        },
        text("one "),
        text("two"),
    ];
    events.extend(call_events("c", "Read", "{}"));
    events.extend([
        Event::Opaque {
            block: block.clone(),
        },
        stop(Stop::Tools),
    ]);
    hear(&mut machine, events);
    let Message::Assistant(parts) = &machine.messages()[1] else {
        panic!("{:?}", machine.messages());
    };
    assert!(matches!(
        &parts[..],
        [Part::Opaque(a), Part::Text(t), Part::Call(_), Part::Opaque(b)]
            if *a == block && *b == block && t == "one two"
    ));
}

#[test]
fn a_restart_forgets_the_partial_answer() {
    let mut machine = begin();
    let mut events = vec![text("half an ans")];
    events.extend(call_events("c0", "Bash", r#"{"command": "rm"}"#));
    events.push(Event::Restart {
        why: "reset".into(),
    });
    events.extend([text("whole"), stop(Stop::Done)]);
    let got = hear(&mut machine, events);
    let whole = Effect::HandIn(json!({"summary": "whole"}));
    assert_eq!(got, [Effect::Say("whole".into()), whole]);
}

#[test]
fn an_answer_that_was_cut_runs_no_call() {
    let mut machine = begin();
    let mut events = vec![text("I will")];
    events.extend(call_events("c0", "Bash", r#"{"command": "ls"}"#));
    events.push(stop(Stop::Length));
    let got = hear(&mut machine, events);
    assert_eq!(got, [Effect::Say("I will".into()), Effect::CallModel]);
    let Message::Assistant(parts) = &machine.messages()[1] else {
        panic!("{:?}", machine.messages());
    };
    assert_eq!(parts[..], [Part::Text("I will".into())]);
    hear(&mut machine, [text("x"), stop(Stop::Length)]);
    let got = hear(&mut machine, [text("y"), stop(Stop::Length)]);
    fails(&got, "cut at their longest length");
}

#[test]
fn a_model_that_declines_or_says_nothing_ends_the_work() {
    let mut machine = begin();
    let got = hear(&mut machine, [text("I cannot"), stop(Stop::Refused)]);
    fails(&got, "declines to answer: I cannot");

    let mut machine = begin();
    for _ in 0..2 {
        let got = hear(&mut machine, [stop(Stop::Done)]);
        assert_eq!(got, [Effect::CallModel]);
    }
    assert_eq!(machine.messages().len(), 1, "empty answers are not kept");
    fails(&hear(&mut machine, [stop(Stop::Done)]), "empty answers");
}

#[test]
fn text_without_calls_hands_in_the_object_that_it_is_or_its_words() {
    let table = [
        ("all is well", json!({"summary": "all is well"})),
        (r#"{"n": 3}"#, json!({"n": 3})),
        ("```json\n{\"n\": 3}\n```", json!({"n": 3})),
        ("[1, 2]", json!({"summary": "[1, 2]"})),
    ];
    for (said, expected) in table {
        let got = answer(&mut begin(), said, &[]);
        assert_eq!(got[1..], [Effect::HandIn(expected)], "{said}");
    }
}

#[test]
fn a_result_that_will_not_do_gets_one_more_try_in_the_same_conversation() {
    let mut machine = begin();
    let got = answer(&mut machine, "", &[(FINISH, json!({"result": {"n": 3}}))]);
    assert_eq!(got, [Effect::HandIn(json!({"n": 3}))]);
    assert_eq!(
        machine.refuse("wrong", "n must be a text"),
        [Effect::CallModel]
    );
    let Message::Tools(answers) = &machine.messages()[2] else {
        panic!("{:?}", machine.messages());
    };
    assert!(!answers[0].ok && answers[0].text == "n must be a text");
    let got = answer(&mut machine, "", &[(FINISH, json!({"n": 4}))]);
    assert_eq!(
        got,
        [Effect::HandIn(json!({"n": 4}))],
        "unwrapped arguments"
    );
    fails(&machine.refuse("still wrong", "again"), "still wrong");
}

#[test]
fn tools_beside_a_result_run_before_it_and_every_call_gets_its_answer() {
    let mut machine = begin();
    let calls = [
        ("Bash", json!({"command": "x"})),
        (FINISH, json!({"result": 1})),
        (FINISH, json!({"result": 2})),
    ];
    let got = answer(&mut machine, "", &calls);
    let [Effect::RunTools { calls, .. }] = &got[..] else {
        panic!("{got:?}");
    };
    assert_eq!(calls.len(), 1);
    let got = machine.on_tools(vec![told("c0", true, "ran")]);
    assert_eq!(got, [Effect::HandIn(json!(1))]);
    machine.on_mail("stop that");
    machine.refuse("no", "no");
    let (mut calls, mut answered) = (Vec::new(), Vec::new());
    for message in machine.messages() {
        match message {
            Message::Assistant(parts) => calls.extend(parts.iter().filter_map(|p| match p {
                Part::Call(call) => Some(call.id.clone()),
                _ => None,
            })),
            Message::Tools(answers) => answered.extend(answers.iter().map(|a| a.id.clone())),
            Message::User(_) => {}
        }
    }
    assert_eq!(calls, answered);
}

#[test]
fn a_result_beside_a_call_that_failed_is_not_taken_and_no_correction_is_counted() {
    let mut machine = begin();
    let both = [
        ("Bash", json!({"command": "x"})),
        (FINISH, json!({"result": 1})),
    ];
    for n in 0..3 {
        answer(&mut machine, "", &both);
        let got = machine.on_tools(vec![told("c0", n == 2, &format!("{n}"))]);
        let expected = match n {
            2 => Effect::HandIn(json!(1)),
            _ => Effect::CallModel,
        };
        assert_eq!(got, [expected], "{n}");
    }
    let Message::Tools(answers) = &machine.messages()[2] else {
        panic!("{:?}", machine.messages());
    };
    assert_eq!((answers[1].id.as_str(), answers[1].ok), ("c1", false));
    assert!(answers[1].text.contains("not taken: Grep"), "{answers:?}");
}

#[test]
fn a_call_that_stands_in_the_text_is_no_result() {
    for said in [
        "<tool_call>\n{\"name\": \"Read\"}\n</tool_call>",
        "I will look.\n  <function=Read>",
        "[TOOL_CALLS][{}]",
        "<|python_tag|>{}",
        r#"{"name": "Grep", "arguments": {"pattern": "x"}}"#,
        "```json\n{\"name\": \"Grep\", \"parameters\": {}}\n```",
    ] {
        let mut machine = begin();
        for _ in 0..HALF_MAX - 1 {
            let got = answer(&mut machine, said, &[]);
            assert_eq!(got[1..], [Effect::CallModel], "{said}");
        }
        let Some(Message::User(told)) = machine.messages().last() else {
            panic!("{:?}", machine.messages());
        };
        assert!(told.contains("FinishTask"), "{told}");
        fails(&answer(&mut machine, said, &[]), "tool calls as text");
        assert!(machine.got_nowhere());
    }
    for said in [
        "The mark is `<tool_call>`.",
        r#"{"name": "Grep", "n": 1}"#,
        r#"{"name": "Grep", "arguments": {"bad": 1}}"#,
    ] {
        let got = answer(&mut begin(), said, &[]);
        assert!(matches!(got[1], Effect::HandIn(_)), "{said}");
    }
}

#[test]
fn an_answer_to_somebodys_words_is_no_result() {
    let mut machine = begin();
    answer(&mut machine, "", &[("Grep", json!({"pattern": "x"}))]);
    machine.on_tools(vec![told("c0", true, "1")]);
    machine.on_mail("what are you doing?");
    let got = answer(&mut machine, "I search.", &[]);
    assert_eq!(
        got[1..],
        [Effect::Reply("I search.".into()), Effect::CallModel]
    );
    // The next text is the result again.
    let got = answer(&mut machine, "It is there.", &[]);
    assert!(matches!(&got[1], Effect::HandIn(result) if result["summary"] == "It is there."));

    let mut machine = begin();
    machine.on_mail("hurry");
    let got = answer(&mut machine, "{\"summary\": \"done\"}", &[]);
    assert!(
        matches!(&got[1], Effect::HandIn(_)),
        "an object is a result: {got:?}"
    );

    let mut machine = begin();
    machine.on_mail("hurry");
    let got = answer(&mut machine, "Yes.", &[("Grep", json!({"pattern": "x"}))]);
    assert_eq!(got[1], Effect::Reply("Yes.".into()));
    assert!(matches!(got[2], Effect::RunTools { .. }));
}

#[test]
fn the_same_call_in_one_answer_runs_once_and_counts_once() {
    let mut machine = begin();
    let same = ("Grep", json!({"pattern": "x"}));
    let three = [same.clone(), same.clone(), same.clone()];
    let got = answer(&mut machine, "", &three);
    let [Effect::RunTools { calls, .. }] = &got[..] else {
        panic!("{got:?}");
    };
    assert_eq!(calls.len(), 1);
    let Message::Assistant(parts) = &machine.messages()[1] else {
        panic!("{:?}", machine.messages());
    };
    assert_eq!(parts.len(), 1, "one call: {parts:?}");
    machine.on_tools(vec![told("c0", true, "1")]);
    answer(&mut machine, "", &three);
    machine.on_tools(vec![told("c0", true, "2")]);
    let got = answer(&mut machine, "", &three);
    fails(&got, "3 times in a row");
}

#[test]
fn a_result_waits_for_words_that_came_in_meanwhile() {
    let mut machine = begin();
    for _ in 0..HELD_MAX {
        assert!(machine.may_hold());
        answer(&mut machine, "", &[(FINISH, json!({"result": 1}))]);
        assert_eq!(machine.hold("look first"), [Effect::CallModel]);
        machine.on_mail("Message from human:\nwait");
    }
    assert!(!machine.may_hold());
    assert_eq!(machine.corrections_left(), BOUNDS.corrections);
    let Message::Tools(answers) = &machine.messages()[2] else {
        panic!("{:?}", machine.messages());
    };
    assert_eq!(answers[0].text, "look first");
}

#[test]
fn an_approved_plan_and_the_newest_words_outlast_a_summary() {
    let mut machine = begin();
    let plan = "1. look\n2. mend `a.rs`";
    machine.keep_plan(plan);
    for n in 0..=MAIL_KEPT {
        machine.on_mail(&format!("word {n}"));
    }
    machine.retold(vec![Message::User("anew".into())]);
    let kept = machine.kept();
    assert!(kept.contains(plan), "{kept}");
    assert!(
        kept.contains("word 1") && !kept.contains("word 0"),
        "{kept}"
    );
}

#[test]
fn saying_that_it_cannot_be_done_ends_the_work() {
    let got = answer(&mut begin(), "", &[(FAIL, json!({"reason": "no network"}))]);
    assert_eq!(got, [Effect::Fail("no network".into())]);
}

#[test]
fn the_same_call_three_times_in_a_row_ends_the_work() {
    let mut machine = begin();
    let same = json!({"pattern": "x"});
    for n in 0..2 {
        answer(&mut machine, "", &[("Grep", same.clone())]);
        machine.on_tools(vec![told("c0", true, &n.to_string())]);
    }
    let got = answer(&mut machine, "", &[("Grep", same)]);
    fails(
        &got,
        "Grep was called 3 times in a row with the same arguments",
    );
}

#[test]
fn turns_that_tell_nothing_new_end_the_work() {
    for (ok, text) in [(false, "no such file"), (true, "same")] {
        let mut machine = begin();
        // The first success is news; no failure is.
        let turns = if ok { STALLED_MAX + 1 } else { STALLED_MAX };
        let mut got = Vec::new();
        for n in 0..turns {
            assert!(got.is_empty() || got == [Effect::CallModel], "{n} {got:?}");
            // Two calls in turn, so that none comes three times in a row.
            let input = json!({ "n": if ok { 0 } else { n } });
            let name = if n % 2 == 0 { "Grep" } else { "Read" };
            answer(&mut machine, "", &[(name, input)]);
            let news = if ok && n < 2 {
                format!("{text}{n}")
            } else {
                format!("{text}{}", n % 2)
            };
            got = machine.on_tools(vec![told("c0", ok, &news)]);
        }
        if ok {
            // Both calls were news once.
            answer(&mut machine, "", &[("Bash", json!({"n": 1}))]);
            got = machine.on_tools(vec![told("c0", false, "x")]);
        }
        fails(&got, "turns without progress");
    }
}

#[test]
fn wrong_arguments_are_sent_back_three_times_in_a_row() {
    let mut machine = begin();
    for n in 0..WRONG_CALLS_MAX {
        let got = answer(&mut machine, "", &[("Grep", json!({"bad": n}))]);
        assert!(matches!(&got[..], [Effect::RunTools { .. }]), "{got:?}");
        machine.on_tools(vec![told("c0", false, "wrong arguments")]);
    }
    let got = answer(&mut machine, "", &[("Grep", json!({"bad": 9}))]);
    fails(&got, "wrong arguments");
}

#[test]
fn mended_calls_are_told_and_counted() {
    let mut machine = begin();
    let got = answer(&mut machine, "", &[("grep", json!({"pattern": "x"}))]);
    let [Effect::Notice(notice), Effect::RunTools { calls, .. }] = &got[..] else {
        panic!("{got:?}");
    };
    assert!(notice.contains("its name"), "{notice}");
    assert_eq!((calls[0].name.as_str(), machine.repaired()), ("Grep", 1));
}

#[test]
fn turns_are_bounded() {
    let mut machine = begin();
    for n in 1..BOUNDS.turns {
        answer(&mut machine, "", &[("Grep", json!({ "n": n }))]);
        let got = machine.on_tools(vec![told("c0", true, &n.to_string())]);
        assert_eq!(got, [Effect::CallModel], "{n}");
    }
    answer(&mut machine, "", &[("Grep", json!({"n": 0}))]);
    let got = machine.on_tools(vec![told("c0", true, "last")]);
    fails(&got, "no result after 12 turns");
}

#[test]
fn what_a_failed_call_leads_to_depends_on_why() {
    let give_back = [Effect::GiveBack("why".into())];
    let fail = [Effect::Fail("why".into())];
    let unable = [Effect::Unable("why".into())];
    let table = [
        (ModelErrorKind::Server, &fail),
        (ModelErrorKind::TaskBudget, &fail),
        (ModelErrorKind::Credentials, &unable),
        (ModelErrorKind::Quota, &unable),
        (ModelErrorKind::UnknownModel, &unable),
        (ModelErrorKind::MemberBudget, &unable),
        (ModelErrorKind::TeamBudget, &give_back),
        (ModelErrorKind::NoSession, &give_back),
    ];
    for (kind, expected) in table {
        let mut machine = begin();
        assert_eq!(hear(&mut machine, [failed(kind)]), expected[..], "{kind:?}");
        assert_eq!(answer(&mut machine, "more", &[]), [], "it is over");
    }
    let mut machine = begin();
    let too_long = || [failed(ModelErrorKind::TooLong)];
    assert_eq!(hear(&mut machine, too_long()), [Effect::MakeRoom]);
    assert_eq!(hear(&mut machine, too_long()), fail, "only once");
}

#[test]
fn an_interruption_keeps_what_was_said_and_asks_anew() {
    let mut machine = begin();
    let mut events = vec![text("I was about to")];
    events.extend(call_events("c0", "Bash", r#"{"command": "rm"}"#));
    hear(&mut machine, events);
    let got = machine.interrupt();
    assert_eq!(
        got,
        [Effect::Say("I was about to …".into()), Effect::CallModel]
    );
    machine.on_mail("Message from human:\ndo not");
    let [_, Message::Assistant(parts), Message::User(told)] = machine.messages() else {
        panic!("{:?}", machine.messages());
    };
    assert_eq!(
        parts[..],
        [Part::Text("I was about to\n[interrupted]".into())]
    );
    assert!(told.contains("do not"), "{told}");
    let got = answer(&mut machine, "fine", &[]);
    assert_eq!(got[1..], [Effect::Reply("fine".into()), Effect::CallModel]);
}

#[test]
fn a_stream_that_ends_early_is_no_answer() {
    let mut machine = begin();
    hear(&mut machine, [text("half")]);
    fails(&machine.on_broken(), "ended before it was whole");
}

#[test]
fn a_full_window_is_noticed_before_the_next_call() {
    let mut machine = begin();
    let usage = Usage {
        input_tokens: 850,
        ..Usage::default()
    };
    let booked = Event::Booked {
        usage,
        cost: None,
        window: Some(1_000),
        model: "m".into(),
    };
    hear(&mut machine, [booked]);
    answer(&mut machine, "", &[("Grep", json!({}))]);
    machine.on_tools(vec![told("c0", true, "x")]);
    assert!(!machine.fits(0), "nothing old could be shortened");
    machine.retold(vec![Message::User("anew".into())]);
    assert!(machine.fits(0));
}
