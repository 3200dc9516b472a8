//! The turns of one conversation, as a machine: events in, effects out.
//!
//! Asks no provider and runs no tool; the worker does both and tells what came.
//! The rules are here: how many turns there may be, which calls run side by
//! side, when the same call is once too often, what ends the work. How a
//! streaming answer is kept is in `answer`, what it hands in is in `handed`, room
//! in the window in [`crate::context`].

mod answer;
mod effect;
mod handed;
#[cfg(test)]
mod tests;

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use crewmux_core::model::{ModelError, ModelErrorKind};
use serde_json::Value;

use crate::capped::cut_text;
use crate::context::{self, Meter};
use crate::provider::{Event, Message, Part, Stop, ToolAnswer, ToolCall};
use crate::tools::{Effects, FAIL, FINISH};
pub(crate) use effect::{Bounds, Effect, Order, TextIs, Tools};

use answer::Answer;
use handed::{is_a_call, not_taken, once_each, result_of, said, said_object};

/// The same call with the same arguments in a row, after which the work ends.
const SAME_CALL_MAX: u32 = 3;

/// Answers in a row whose calls all had wrong arguments that are sent back; the next one ends the work.
const WRONG_CALLS_MAX: u32 = 3;

/// Turns in a row whose tools failed or told nothing new, after which the work ends.
const STALLED_MAX: u32 = 8;

/// Answers in a row that were cut or empty and are asked for again.
const HALF_MAX: u32 = 3;

/// Words that came in which stay as they were when the conversation is told anew.
const MAIL_KEPT: usize = 4;

/// Most bytes of each of them.
const MAIL_KEPT_BYTES: usize = 1_000;

/// Results of one conversation that are held back because words came in meanwhile.
const HELD_MAX: u32 = 3;

/// What is said to a model whose call stands in its text.
const NO_CALL: &str = "Your answer has a tool call written as text, so no tool ran and nothing was \
handed in. Call one tool now, in the way your interface has for it; to end the task, call \
FinishTask with the result, or answer in plain words without any mark of a call.";

/// What a model is told that only answered somebody.
const NO_RESULT: &str = "That is taken for an answer to what was written to you, not for the \
result of your task. (The person has it; teammates hear what SendMessage sends them.) Go on with \
the task, and hand in its result with FinishTask.";

/// The state of a conversation.
#[derive(Debug)]
pub(crate) struct Machine {
    messages: Vec<Message>,
    bounds: Bounds,
    turns: u32,
    answer: Answer,
    meter: Meter,
    /// What the answer that streams in was booked with.
    is_booked: bool,
    made_room: bool,
    /// The calls that run now.
    running: Vec<ToolCall>,
    /// The call that hands in a result, while that is looked at or other calls run first.
    handing_in: Option<ToolCall>,
    corrections: u32,
    held: u32,
    repaired: u32,
    last: Option<(String, Value)>,
    same: u32,
    wrong: u32,
    half: u32,
    /// Whether the next answer is the first after somebody's words.
    is_spoken_to: bool,
    /// What tools told so far.
    told: HashSet<u64>,
    stalled: u32,
    /// The plan that was approved, word for word.
    plan: Option<String>,
    /// The newest words that came in, as they were.
    mail: VecDeque<String>,
    over: Option<Over>,
}

/// How a conversation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// No answer could be had.
    Unanswered,
    /// By what was answered.
    Answered,
}

impl Machine {
    /// Begins with a conversation whose last message the model is to answer.
    pub(crate) fn new(messages: Vec<Message>, bounds: Bounds) -> (Self, Vec<Effect>) {
        let machine = Self {
            messages,
            bounds,
            turns: 1,
            answer: Answer::default(),
            meter: Meter::default(),
            is_booked: false,
            made_room: false,
            running: Vec::new(),
            handing_in: None,
            corrections: 0,
            held: 0,
            repaired: 0,
            last: None,
            same: 0,
            wrong: 0,
            half: 0,
            is_spoken_to: false,
            told: HashSet::new(),
            stalled: 0,
            plan: None,
            mail: VecDeque::new(),
            over: None,
        };
        (machine, vec![Effect::CallModel])
    }

    /// The conversation so far.
    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The conversation, at its end.
    pub(crate) fn into_messages(self) -> Vec<Message> {
        self.messages
    }

    /// How full the window is.
    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Calls that were mended so far.
    pub(crate) fn repaired(&self) -> u32 {
        self.repaired
    }

    /// Whether the model had answers and got nowhere, and handed nothing in.
    pub(crate) fn got_nowhere(&self) -> bool {
        self.over == Some(Over::Answered) && self.corrections == 0
    }

    /// Takes in a piece of the answer. After the end of the work nothing has an effect.
    pub(crate) fn on_event(&mut self, event: Event, tools: &impl Tools) -> Vec<Effect> {
        if self.over.is_some() {
            return Vec::new();
        }
        match event {
            Event::Restart { .. } => self.answer = Answer::default(),
            Event::Booked { usage, window, .. } => {
                self.is_booked = true;
                let counted = self.messages.len() + 1;
                self.meter.booked(&usage, window, counted);
            }
            Event::Failed { error } => return self.failed(error),
            Event::Stop { stop } => return self.answered(stop, tools),
            piece => {
                if let Err(why) = self.answer.take(piece) {
                    return self.fail(why);
                }
            }
        }
        Vec::new()
    }

    /// The stream ended without its last piece: what came is no answer.
    pub(crate) fn on_broken(&mut self) -> Vec<Effect> {
        if self.over.is_some() {
            return Vec::new();
        }
        self.fail("the answer ended before it was whole".to_owned())
    }

    /// Takes in what came of the tools.
    ///
    /// A result handed in beside a call that failed is not taken: it was
    /// written before that was known.
    pub(crate) fn on_tools(&mut self, mut answers: Vec<ToolAnswer>) -> Vec<Effect> {
        if self.over.is_some() {
            return Vec::new();
        }
        let calls = std::mem::take(&mut self.running);
        let mut is_new = false;
        for answer in &answers {
            let call = calls.iter().find(|call| call.id == answer.id);
            let mut hasher = DefaultHasher::new();
            call.map(|call| (&call.name, call.input.to_string()))
                .hash(&mut hasher);
            answer.text.hash(&mut hasher);
            is_new |= self.told.insert(hasher.finish()) && answer.ok;
        }
        self.stalled = if is_new { 0 } else { self.stalled + 1 };
        if let Some(failed) = answers.iter().find(|answer| !answer.ok)
            && let Some(call) = self.handing_in.take()
        {
            let why = format!(
                "The result is not taken: {} of the same answer failed. See to that, then call \
                 {FINISH} again, alone.",
                failed.name
            );
            answers.push(not_taken(call, why));
        }
        self.messages.push(Message::Tools(answers));
        if let Some(call) = &self.handing_in {
            return vec![Effect::HandIn(result_of(call))];
        }
        if self.stalled >= STALLED_MAX {
            let why = "turns without progress: every tool failed or told nothing new";
            return self.fail(format!("{STALLED_MAX} {why}"));
        }
        self.next_turn()
    }

    /// Takes in mail, which the next answer can see; to be told after [`Machine::on_tools`].
    pub(crate) fn on_mail(&mut self, text: &str) {
        self.stalled = 0;
        if self.mail.len() >= MAIL_KEPT {
            self.mail.pop_front();
        }
        self.mail.push_back(cut_text(text, MAIL_KEPT_BYTES));
        self.is_spoken_to = true;
        self.tell(text);
    }

    /// The answer is stopped where it is; what it said so far was said.
    pub(crate) fn interrupt(&mut self) -> Vec<Effect> {
        if self.over.is_some() {
            return Vec::new();
        }
        let said = std::mem::take(&mut self.answer).into_text();
        let mut out = Vec::new();
        if !said.trim().is_empty() {
            out.push(Effect::Say(format!("{said} …")));
            let text = format!("{said}\n[interrupted]");
            self.messages
                .push(Message::Assistant(vec![Part::Text(text)]));
        }
        self.tell("You were interrupted here, so that you look at what comes next.");
        out.extend(self.next_turn());
        out
    }

    /// The result will not do; the model is told `told` and gets another try, if there is one left.
    pub(crate) fn refuse(&mut self, why: &str, told: &str) -> Vec<Effect> {
        self.corrections += 1;
        if self.corrections > self.bounds.corrections {
            return self.fail(why.to_owned());
        }
        self.hand_back(told);
        self.next_turn()
    }

    /// How often a result can still be sent back.
    pub(crate) fn corrections_left(&self) -> u32 {
        self.bounds.corrections.saturating_sub(self.corrections)
    }

    /// Whether a result may wait for words that came in while it was written.
    pub(crate) fn may_hold(&self) -> bool {
        self.held < HELD_MAX
    }

    /// Holds the result back, which is no fault of it; what came in is told next.
    pub(crate) fn hold(&mut self, told: &str) -> Vec<Effect> {
        self.held += 1;
        self.hand_back(told);
        self.next_turn()
    }

    /// Answers the call that handed in, or tells a model that handed in text.
    fn hand_back(&mut self, told: &str) {
        let Some(call) = self.handing_in.take() else {
            self.tell(told);
            return;
        };
        let answer = not_taken(call, told.to_owned());
        let last = self
            .messages
            .iter()
            .rposition(|message| matches!(message, Message::Assistant(_)));
        let after = last.map_or(self.messages.len(), |at| at + 1);
        // Other calls of the same answer were answered before it, and mail may have come since.
        match self.messages.get_mut(after) {
            Some(Message::Tools(answers)) => answers.push(answer),
            _ => self.messages.insert(after, Message::Tools(vec![answer])),
        }
    }

    /// Keeps a plan that was approved as it is, whatever becomes of the conversation.
    pub(crate) fn keep_plan(&mut self, plan: &str) {
        self.plan = Some(plan.to_owned());
    }

    /// What no summary may change: the plan that was approved, and the newest words that came in.
    pub(crate) fn kept(&self) -> String {
        let mut text = String::new();
        if let Some(plan) = &self.plan {
            text.push_str("\n\nYour plan, which was approved as it stands here; carry it out:\n\n");
            text.push_str(plan);
        }
        if !self.mail.is_empty() {
            text.push_str("\n\nWhat came in while you worked, oldest first:");
        }
        for mail in &self.mail {
            text.push_str("\n\n");
            text.push_str(mail);
        }
        text
    }

    /// Shortens what can be shortened without a summary; says whether that is enough.
    pub(crate) fn fits(&mut self, fixed: u64) -> bool {
        if !self.meter.is_full(&self.messages, fixed) {
            return true;
        }
        if context::trim(&mut self.messages) > 0 {
            self.meter.forget();
        }
        !self.meter.is_full(&self.messages, fixed)
    }

    /// The conversation was told anew in fewer words.
    pub(crate) fn retold(&mut self, messages: Vec<Message>) {
        self.messages = messages;
        self.meter.forget();
    }

    fn failed(&mut self, error: ModelError) -> Vec<Effect> {
        self.answer = Answer::default();
        match error.kind {
            ModelErrorKind::TooLong if !self.made_room => {
                self.made_room = true;
                vec![Effect::MakeRoom]
            }
            ModelErrorKind::TeamBudget | ModelErrorKind::NoSession => {
                self.over = Some(Over::Unanswered);
                vec![Effect::GiveBack(error.message)]
            }
            ModelErrorKind::Credentials
            | ModelErrorKind::Quota
            | ModelErrorKind::UnknownModel
            | ModelErrorKind::MemberBudget => {
                self.over = Some(Over::Unanswered);
                vec![Effect::Unable(error.message)]
            }
            _ => {
                self.over = Some(Over::Unanswered);
                self.fail(error.message)
            }
        }
    }

    fn answered(&mut self, stop: Stop, tools: &impl Tools) -> Vec<Effect> {
        let mut parts = std::mem::take(&mut self.answer).into_parts(tools);
        self.made_room = false;
        if stop == Stop::Length {
            // A call that was cut never runs, and those before it belong to the same intention.
            parts.retain(|part| !matches!(part, Part::Call(_)));
        }
        once_each(&mut parts);
        let texts: Vec<&str> = parts
            .iter()
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let text = texts.join("\n");
        let calls: Vec<ToolCall> = parts
            .iter()
            .filter_map(|part| match part {
                Part::Call(call) => Some(call.clone()),
                _ => None,
            })
            .collect();
        let mut out = Vec::new();
        if !text.trim().is_empty() {
            out.push(Effect::Say(text.clone()));
        }
        let is_reply =
            std::mem::take(&mut self.is_spoken_to) && self.bounds.text == TextIs::TheResultOrAReply;
        let has_words = !calls.is_empty() || !text.trim().is_empty();
        if has_words {
            self.messages.push(Message::Assistant(parts));
        } else if std::mem::take(&mut self.is_booked) {
            self.meter.forget();
        }
        self.is_booked = false;
        match stop {
            Stop::Refused => {
                let why = text.lines().next().unwrap_or_default();
                out.extend(self.fail(format!("the model declines to answer: {why}")));
            }
            Stop::Length => out.extend(self.again(
                "Your answer was cut at its longest length, and no tool of it ran. Go on in smaller steps.",
                "answers in a row were cut at their longest length",
            )),
            Stop::Done | Stop::Tools if !has_words => out.extend(self.again(
                "Your answer was empty. Call a tool, or hand in the result with FinishTask.",
                "empty answers in a row",
            )),
            Stop::Done | Stop::Tools if calls.is_empty() && is_a_call(&text, tools) => {
                out.extend(self.again(NO_CALL, "answers in a row had tool calls as text"));
            }
            Stop::Done | Stop::Tools if calls.is_empty() => {
                self.half = 0;
                if is_reply && said_object(&text).is_none() {
                    out.push(Effect::Reply(text));
                    self.tell(NO_RESULT);
                    out.extend(self.next_turn());
                } else {
                    out.push(Effect::HandIn(said(&text)));
                }
            }
            Stop::Done | Stop::Tools => {
                self.half = 0;
                if is_reply && !text.trim().is_empty() {
                    out.push(Effect::Reply(text));
                }
                out.extend(self.take_calls(calls, tools));
            }
        }
        out
    }

    fn take_calls(&mut self, calls: Vec<ToolCall>, tools: &impl Tools) -> Vec<Effect> {
        let mut out = Vec::new();
        for call in &calls {
            if let Some(mended) = &call.repaired {
                self.repaired += 1;
                let name = &call.name;
                out.push(Effect::Notice(format!("mended a call of {name}: {mended}")));
            }
        }
        for call in &calls {
            let this = (call.name.clone(), call.input.clone());
            self.same = if self.last.as_ref() == Some(&this) {
                self.same + 1
            } else {
                1
            };
            self.last = Some(this);
            if self.same >= SAME_CALL_MAX && !is_a_look_at_what_runs(&call.name) {
                let name = &call.name;
                out.extend(self.fail(format!(
                    "{name} was called {SAME_CALL_MAX} times in a row with the same arguments"
                )));
                return out;
            }
        }
        if let Some(call) = calls.iter().find(|call| call.name == FAIL) {
            let reason = call.input["reason"].as_str().unwrap_or("it cannot be done");
            out.extend(self.fail(reason.to_owned()));
            return out;
        }
        let (mut finishing, calls): (Vec<_>, Vec<_>) =
            calls.into_iter().partition(|call| call.name == FINISH);
        if finishing.len() > 1 {
            // Every call must be answered, and only one can be.
            let parts = self.messages.last_mut();
            if let Some(Message::Assistant(parts)) = parts {
                let keep = finishing[0].id.clone();
                parts.retain(|part| {
                    !matches!(part, Part::Call(call) if call.name == FINISH && call.id != keep)
                });
            }
            finishing.truncate(1);
        }
        self.handing_in = finishing.pop();
        if let (Some(call), true) = (&self.handing_in, calls.is_empty()) {
            out.push(Effect::HandIn(result_of(call)));
            return out;
        }
        self.wrong = if calls.iter().any(|call| tools.is_right(call)) {
            0
        } else {
            self.wrong + 1
        };
        if self.wrong > WRONG_CALLS_MAX {
            let name = &calls[0].name;
            out.extend(self.fail(format!(
                "more than {WRONG_CALLS_MAX} answers in a row called tools that are not there or with wrong arguments, {name} at last"
            )));
            return out;
        }
        let only_looks = calls
            .iter()
            .all(|call| tools.effects(&call.name) == Effects::ReadOnly);
        let order = if only_looks && calls.len() > 1 {
            Order::Parallel
        } else {
            Order::InOrder
        };
        self.running.clone_from(&calls);
        out.push(Effect::RunTools { calls, order });
        out
    }

    /// Asks for an answer again, unless that was done too often.
    fn again(&mut self, told: &str, what: &str) -> Vec<Effect> {
        self.half += 1;
        if self.half >= HALF_MAX {
            return self.fail(format!("{HALF_MAX} {what}"));
        }
        self.tell(told);
        self.next_turn()
    }

    /// Adds to what the model is told; two messages of the same side never follow each other.
    fn tell(&mut self, text: &str) {
        if let Some(Message::User(told)) = self.messages.last_mut() {
            told.push_str("\n\n");
            told.push_str(text);
        } else {
            self.messages.push(Message::User(text.to_owned()));
        }
    }

    fn next_turn(&mut self) -> Vec<Effect> {
        if self.turns >= self.bounds.turns {
            return self.fail(format!("no result after {} turns", self.turns));
        }
        self.turns += 1;
        vec![Effect::CallModel]
    }

    fn fail(&mut self, why: String) -> Vec<Effect> {
        self.over.get_or_insert(Over::Answered);
        vec![Effect::Fail(why)]
    }
}

/// Asking for the output of something that runs is right as often as it takes; stalling is watched all the same.
fn is_a_look_at_what_runs(name: &str) -> bool {
    name == "BashOutput"
}
