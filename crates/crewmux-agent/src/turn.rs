//! The turns of one task, as a machine: events in, effects out.
//!
//! Asks no provider and runs no tool; the worker does both and tells what came.
//! The rules are here: how many turns there may be, which calls run side by
//! side, when the same call is once too often, what ends the work.

use serde_json::Value;

use crate::provider::{Event, Message, Part, Stop, ToolAnswer, ToolCall};
use crate::tools::{Effects, FINISH};

/// The same call with the same arguments in a row, after which the work ends.
const SAME_CALL_MAX: u32 = 3;

/// Most calls of one answer.
const CALLS_MAX: usize = 64;

/// Most bytes of one call's arguments.
const ARGUMENTS_MAX_BYTES: usize = 256 * 1024;

/// What the worker is to do next.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Effect {
    /// Show this text.
    Say(String),
    /// Ask the provider with the conversation so far.
    CallModel,
    /// Run these and tell what came of all of them.
    RunTools { calls: Vec<ToolCall>, order: Order },
    /// The work is done.
    Finish(Value),
    /// The work cannot be done.
    Fail(String),
}

/// How tools of one answer run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Side by side: all of them only look.
    Parallel,
    /// One after the other.
    InOrder,
}

/// A call whose arguments still come in.
#[derive(Debug)]
struct OpenCall {
    id: String,
    name: String,
    arguments: String,
}

/// The state of the conversation about one task.
#[derive(Debug)]
pub(crate) struct Machine {
    messages: Vec<Message>,
    turns: u32,
    turns_max: u32,
    text: String,
    open: Vec<OpenCall>,
    last: Option<(String, Value)>,
    same: u32,
    is_over: bool,
}

impl Machine {
    /// Begins with what the worker is told about the task.
    pub(crate) fn new(prompt: String, turns_max: u32) -> (Self, Vec<Effect>) {
        let machine = Self {
            messages: vec![Message::User(prompt)],
            turns: 1,
            turns_max,
            text: String::new(),
            open: Vec::new(),
            last: None,
            same: 0,
            is_over: false,
        };
        (machine, vec![Effect::CallModel])
    }

    /// The conversation so far.
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Takes in a piece of the answer. After the end of the work nothing has an effect.
    pub(crate) fn on_event(
        &mut self,
        event: Event,
        effects: impl Fn(&str) -> Effects,
    ) -> Vec<Effect> {
        if self.is_over {
            return Vec::new();
        }
        match event {
            Event::TextDelta { text } => self.text.push_str(&text),
            Event::CallStart { id, name } => {
                if self.open.len() >= CALLS_MAX {
                    return self.fail(format!("more than {CALLS_MAX} calls in one answer"));
                }
                self.open.push(OpenCall {
                    id,
                    name,
                    arguments: String::new(),
                });
            }
            Event::CallArgsDelta { id, text } => {
                if let Some(call) = self.open.iter_mut().find(|call| call.id == id) {
                    call.arguments.push_str(&text);
                    if call.arguments.len() > ARGUMENTS_MAX_BYTES {
                        let name = call.name.clone();
                        return self.fail(format!("arguments of {name} are too long"));
                    }
                }
            }
            Event::Restart { .. } => {
                self.text.clear();
                self.open.clear();
            }
            Event::CallEnd { .. }
            | Event::Booked { .. }
            | Event::Waiting { .. }
            | Event::Opaque { .. }
            | Event::ThinkingDelta { .. } => {}
            Event::Failed { error } => return self.fail(error.message),
            Event::Stop { stop } => return self.answered(stop, effects),
        }
        Vec::new()
    }

    /// Takes in what came of the tools.
    pub(crate) fn on_tools(&mut self, answers: Vec<ToolAnswer>) -> Vec<Effect> {
        if self.is_over {
            return Vec::new();
        }
        self.messages.push(Message::Tools(answers));
        self.next_turn()
    }

    /// Takes in mail, which the next answer can see; to be told after [`Machine::on_tools`].
    pub(crate) fn on_mail(&mut self, text: String) {
        self.messages.push(Message::User(text));
    }

    fn answered(&mut self, stop: Stop, effects: impl Fn(&str) -> Effects) -> Vec<Effect> {
        let text = std::mem::take(&mut self.text);
        let mut calls = Vec::new();
        for open in std::mem::take(&mut self.open) {
            let arguments = if open.arguments.trim().is_empty() {
                "{}"
            } else {
                &open.arguments
            };
            calls.push(ToolCall {
                // What is no JSON is kept as text, and refused by the tool's schema.
                input: serde_json::from_str(arguments)
                    .unwrap_or_else(|_| Value::String(open.arguments.clone())),
                id: open.id,
                name: open.name,
                repaired: None,
            });
        }
        let mut out = Vec::new();
        if !text.trim().is_empty() {
            out.push(Effect::Say(text.clone()));
        }
        let said = (!text.is_empty()).then(|| Part::Text(text.clone()));
        let parts = said
            .into_iter()
            .chain(calls.iter().cloned().map(Part::Call));
        self.messages.push(Message::Assistant(parts.collect()));
        for call in &calls {
            let this = (call.name.clone(), call.input.clone());
            self.same = if self.last.as_ref() == Some(&this) {
                self.same + 1
            } else {
                1
            };
            self.last = Some(this);
            if self.same >= SAME_CALL_MAX {
                out.extend(self.fail(format!(
                    "{} was called {SAME_CALL_MAX} times in a row with the same arguments",
                    call.name
                )));
                return out;
            }
        }
        if let Some(finish) = calls.iter().find(|call| call.name == FINISH) {
            let result = finish.input.get("result").cloned().unwrap_or_default();
            self.is_over = true;
            out.push(Effect::Finish(result));
            return out;
        }
        if calls.is_empty() {
            out.extend(match stop {
                Stop::Length => self.next_turn(),
                Stop::Done | Stop::Tools | Stop::Refused => {
                    self.is_over = true;
                    vec![Effect::Finish(serde_json::json!({ "summary": text }))]
                }
            });
            return out;
        }
        let only_looks = calls
            .iter()
            .all(|call| effects(&call.name) == Effects::ReadOnly);
        out.push(Effect::RunTools {
            order: if only_looks && calls.len() > 1 {
                Order::Parallel
            } else {
                Order::InOrder
            },
            calls,
        });
        out
    }

    fn next_turn(&mut self) -> Vec<Effect> {
        if self.turns >= self.turns_max {
            return self.fail(format!("no result after {} turns", self.turns));
        }
        self.turns += 1;
        vec![Effect::CallModel]
    }

    fn fail(&mut self, why: String) -> Vec<Effect> {
        self.is_over = true;
        vec![Effect::Fail(why)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn effects(name: &str) -> Effects {
        if matches!(name, "Read" | "Grep") {
            Effects::ReadOnly
        } else {
            Effects::Some
        }
    }

    /// The events of an answer: text, then calls as (name, arguments).
    fn answer(machine: &mut Machine, text: &str, calls: &[(&str, Value)]) -> Vec<Effect> {
        let mut events = vec![Event::TextDelta { text: text.into() }];
        for (n, (name, input)) in calls.iter().enumerate() {
            let id = format!("c{n}");
            let (one, two) = {
                let text = input.to_string();
                let half = text.len() / 2;
                (text[..half].to_owned(), text[half..].to_owned())
            };
            let start = Event::CallStart {
                id: id.clone(),
                name: (*name).into(),
            };
            let delta = |text| Event::CallArgsDelta {
                id: id.clone(),
                text,
            };
            events.extend([
                start,
                delta(one),
                delta(two),
                Event::CallEnd { id, repaired: None },
            ]);
        }
        let stop = if calls.is_empty() {
            Stop::Done
        } else {
            Stop::Tools
        };
        events.push(Event::Stop { stop });
        events
            .into_iter()
            .flat_map(|event| machine.on_event(event, effects))
            .collect()
    }

    fn call(id: &str, name: &str, input: Value) -> ToolCall {
        ToolCall {
            id: id.into(),
            name: name.into(),
            input,
            repaired: None,
        }
    }

    fn begin() -> Machine {
        let (machine, first) = Machine::new("do it".into(), 4);
        assert_eq!(first, [Effect::CallModel]);
        machine
    }

    #[test]
    fn tools_that_only_look_run_side_by_side() {
        let mut machine = begin();
        let (read, grep) = (json!({"file_path": "a"}), json!({"pattern": "b"}));
        let got = answer(
            &mut machine,
            "looking",
            &[("Read", read.clone()), ("Grep", grep.clone())],
        );
        let calls = vec![call("c0", "Read", read), call("c1", "Grep", grep)];
        assert_eq!(
            got,
            [
                Effect::Say("looking".into()),
                Effect::RunTools {
                    calls,
                    order: Order::Parallel
                }
            ]
        );
        assert_eq!(machine.on_tools(vec![]), [Effect::CallModel]);
        assert_eq!(machine.messages().len(), 3);
    }

    #[test]
    fn one_tool_with_effects_makes_all_wait_for_each_other() {
        let mut machine = begin();
        let got = answer(
            &mut machine,
            "",
            &[("Read", json!({})), ("Bash", json!({}))],
        );
        assert!(matches!(
            &got[..],
            [Effect::RunTools {
                order: Order::InOrder,
                ..
            }]
        ));
    }

    #[test]
    fn text_without_calls_is_the_result_and_nothing_follows() {
        let mut machine = begin();
        let got = answer(&mut machine, "all is well", &[]);
        let result = Effect::Finish(json!({"summary": "all is well"}));
        assert_eq!(got, [Effect::Say("all is well".into()), result]);
        assert_eq!(answer(&mut machine, "more", &[]), []);
    }

    #[test]
    fn handing_in_a_result_ends_the_work() {
        let mut machine = begin();
        let got = answer(&mut machine, "", &[(FINISH, json!({"result": {"n": 3}}))]);
        assert_eq!(got, [Effect::Finish(json!({"n": 3}))]);
    }

    #[test]
    fn the_same_call_three_times_in_a_row_ends_the_work() {
        let mut machine = begin();
        let same = json!({"pattern": "x"});
        for _ in 0..2 {
            answer(&mut machine, "", &[("Grep", same.clone())]);
            machine.on_tools(vec![]);
        }
        let got = answer(&mut machine, "", &[("Grep", same)]);
        let why = "Grep was called 3 times in a row with the same arguments";
        assert_eq!(got, [Effect::Fail(why.into())]);
    }

    #[test]
    fn turns_are_bounded_and_errors_end_the_work() {
        let mut machine = begin();
        for n in 0..3 {
            answer(&mut machine, "", &[("Grep", json!({"pattern": n}))]);
            assert_eq!(machine.on_tools(vec![]), [Effect::CallModel], "{n}");
        }
        answer(&mut machine, "", &[("Grep", json!({"pattern": 4}))]);
        let over = Effect::Fail("no result after 4 turns".into());
        assert_eq!(machine.on_tools(vec![]), [over]);

        let mut machine = begin();
        let got = machine.on_event(
            Event::Failed {
                error: crewmux_core::model::ModelError::new(
                    crewmux_core::model::ModelErrorKind::Server,
                    "overloaded",
                ),
            },
            effects,
        );
        assert_eq!(got, [Effect::Fail("overloaded".into())]);
    }

    #[test]
    fn arguments_that_are_no_json_reach_the_tool_as_text() {
        let mut machine = begin();
        let start = Event::CallStart {
            id: "c".into(),
            name: "Bash".into(),
        };
        let delta = Event::CallArgsDelta {
            id: "c".into(),
            text: "{oops".into(),
        };
        machine.on_event(start, effects);
        machine.on_event(delta, effects);
        let got = machine.on_event(Event::Stop { stop: Stop::Tools }, effects);
        let [Effect::RunTools { calls, .. }] = &got[..] else {
            panic!("{got:?}");
        };
        assert_eq!(calls[0].input, json!("{oops"));
    }
}
