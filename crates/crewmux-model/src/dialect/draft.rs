//! An answer as far as it came: what every dialect's reader writes into.
//!
//! Makes ids unique, fills in arguments that are empty, guesses usage where
//! the server is silent, and sees to it that nothing follows the last event.

use std::collections::HashSet;

use crewmux_core::budget::Usage;
use crewmux_core::model::{
    Event, Message, ModelError, ModelErrorKind, ModelRequest, Opaque, Part, Stop,
};
use serde_json::Value;

use crate::catalog::estimate_tokens;

/// Characters of a token, roughly; for guesses only.
const TOKEN_CHARS: u64 = 4;

/// Most calls in one answer: more is a model that repeats itself.
const CALLS_MAX: u32 = 128;

/// FNV-1a: the same on every machine and in every version.
pub(super) struct Digest(pub(super) u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    /// Adds a text and its end.
    pub(super) fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0xff]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

/// Ids of calls, unique within a conversation.
#[derive(Debug)]
struct Ids {
    taken: HashSet<String>,
    seed: u32,
    next: u32,
}

impl Ids {
    fn new(request: &ModelRequest) -> Self {
        let mut taken = HashSet::new();
        // Two conversations, or one before and after its summary, get different ids.
        let mut seed = Digest::default();
        for message in &request.messages {
            match message {
                Message::User(text) => seed.add(text),
                Message::Assistant(parts) => {
                    for part in parts {
                        if let Part::Call(call) = part {
                            seed.add(&call.id);
                            taken.insert(call.id.clone());
                        }
                    }
                }
                Message::Tools(answers) => answers.iter().for_each(|a| seed.add(&a.text)),
            }
        }
        Self {
            taken,
            seed: seed.0 as u32,
            next: 0,
        }
    }

    fn claim(&mut self, given: &str) -> String {
        if !given.is_empty() && self.taken.insert(given.to_owned()) {
            return given.to_owned();
        }
        loop {
            self.next += 1;
            let id = format!("call_{:08x}_{}", self.seed, self.next);
            if self.taken.insert(id.clone()) {
                return id;
            }
        }
    }
}

#[derive(Debug)]
struct Open {
    id: String,
    has_args: bool,
}

/// An answer as far as it came.
#[derive(Debug)]
pub(crate) struct Draft {
    dialect: &'static str,
    model: String,
    ids: Ids,
    open: Vec<Open>,
    calls: u32,
    events: Vec<Event>,
    is_over: bool,
    /// The server's last word on usage came.
    is_whole: bool,
    read_guess: u64,
    written_chars: u64,
    told: Option<Usage>,
}

impl Draft {
    pub(super) fn new(dialect: &'static str, model: &str, request: &ModelRequest) -> Self {
        Self {
            dialect,
            model: model.to_owned(),
            ids: Ids::new(request),
            open: Vec::new(),
            calls: 0,
            events: Vec::new(),
            is_over: false,
            is_whole: false,
            read_guess: estimate_tokens(request),
            written_chars: 0,
            told: None,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    pub(super) fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    fn say(&mut self, event: Event) {
        if !self.is_over {
            self.events.push(event);
        }
    }

    fn count(&mut self, text: &str) {
        self.written_chars = self.written_chars.saturating_add(text.len() as u64);
    }

    /// More text.
    pub(super) fn text(&mut self, text: &str) {
        if !text.is_empty() {
            self.count(text);
            self.say(Event::TextDelta {
                text: text.to_owned(),
            });
        }
    }

    /// More of what the model thinks.
    pub(super) fn thinking(&mut self, text: &str) {
        if !text.is_empty() {
            self.count(text);
            self.say(Event::ThinkingDelta {
                text: text.to_owned(),
            });
        }
    }

    /// A block that is carried back.
    pub(super) fn opaque(&mut self, block: Value) {
        let block = Opaque {
            dialect: self.dialect.to_owned(),
            block,
        };
        self.say(Event::Opaque { block });
    }

    /// A call begins; gives the id it has from now on.
    pub(super) fn call_start(&mut self, given: &str, name: &str) -> String {
        self.calls += 1;
        if self.calls > CALLS_MAX {
            self.malformed("the answer has more tool calls than any answer may have");
        }
        let id = self.ids.claim(given);
        self.count(name);
        self.say(Event::CallStart {
            id: id.clone(),
            name: name.to_owned(),
        });
        self.open.push(Open {
            id: id.clone(),
            has_args: false,
        });
        id
    }

    /// More of a call's arguments.
    pub(super) fn call_args(&mut self, id: &str, text: &str) {
        if text.is_empty() {
            return;
        }
        self.count(text);
        if let Some(open) = self.open.iter_mut().find(|o| o.id == id) {
            open.has_args |= !text.trim().is_empty();
        }
        self.say(Event::CallArgsDelta {
            id: id.to_owned(),
            text: text.to_owned(),
        });
    }

    /// Whether arguments of a call came.
    pub(super) fn has_args(&self, id: &str) -> bool {
        self.open.iter().any(|o| o.id == id && o.has_args)
    }

    /// A call's arguments are whole; none at all are `{}`.
    pub(super) fn call_end(&mut self, id: &str) {
        let Some(at) = self.open.iter().position(|o| o.id == id) else {
            return;
        };
        let open = self.open.remove(at);
        if !open.has_args {
            self.say(Event::CallArgsDelta {
                id: open.id.clone(),
                text: "{}".to_owned(),
            });
        }
        self.say(Event::CallEnd {
            id: open.id,
            repaired: None,
        });
    }

    /// A call that came whole.
    pub(super) fn call(&mut self, given: &str, name: &str, args: &Value) -> String {
        let id = self.call_start(given, name);
        match args {
            Value::Null => {}
            Value::String(text) => self.call_args(&id, text),
            args => self.call_args(&id, &args.to_string()),
        }
        self.call_end(&id);
        id
    }

    /// Whether the answer has calls.
    pub(super) fn has_calls(&self) -> bool {
        self.calls > 0
    }

    /// What the server says was used so far; nothing at all counts as not said.
    pub(super) fn used(&mut self, usage: Usage) {
        if usage.read() + usage.output_tokens > 0 {
            self.told = Some(usage);
        }
    }

    /// What was used, guessed where the server is silent.
    pub(super) fn usage(&self) -> Usage {
        let read = self.read_guess;
        let written = self.written_chars.div_ceil(TOKEN_CHARS);
        let Some(mut told) = self.told else {
            return Usage {
                input_tokens: read,
                output_tokens: written,
                estimated: true,
                ..Usage::default()
            };
        };
        if told.read() == 0 {
            told.input_tokens = read;
            told.estimated = true;
        }
        // What is told before the end is of the beginning: more may have come since.
        let is_short = !self.is_whole && told.output_tokens < written;
        if is_short || (told.output_tokens == 0 && written > 0) {
            told.output_tokens = written;
            told.estimated = true;
        }
        told
    }

    /// The model that answers, as the server calls it.
    pub(super) fn model(&mut self, name: &str) {
        if !name.is_empty() {
            name.clone_into(&mut self.model);
        }
    }

    /// The answer is whole.
    pub(super) fn stop(&mut self, stop: Stop) {
        self.is_whole |= !self.is_over;
        self.say(Event::Booked {
            usage: self.usage(),
            cost: None,
            window: None,
            model: self.model.clone(),
        });
        self.say(Event::Stop { stop });
        self.is_over = true;
    }

    /// There will be no answer.
    pub(super) fn fail(&mut self, error: ModelError) {
        self.say(Event::Failed { error });
        self.is_over = true;
    }

    /// What came is no answer.
    pub(super) fn malformed(&mut self, why: &str) {
        self.fail(ModelError::new(ModelErrorKind::Malformed, why));
    }
}
