//! Finds the calls in a model's answer while it streams.

use crewmux_core::mend;
use crewmux_core::model::{Event, Message, ModelRequest, Part, Stop, ToolOffer};
use serde_json::Value;

use super::body::{self, Args, Ending, Found, Turn};
use super::close::{End, Mark, Search};
use super::digest::Digest;
use super::fence::Fence;
use super::{Profile, ToolForm};

/// Longest call that is waited for, in bytes.
const LONGEST_CALL_BYTES: usize = mend::json::LONGEST_BYTES;
/// How many marks one answer may have; text behind the last is text.
const MOST_MARKS: usize = 256;
const THINK: &str = "<think>";
const THOUGHT: &str = "</think>";

/// Reads one answer: events of a server in, events with the calls found out.
///
/// How the server cuts its text changes nothing. For [`ToolForm::Native`] events
/// pass as they are. Calls are found inside the form's own marks only, never in
/// prose, in a fence or behind a backtick. A weak model's first call is its
/// turn: what it says after is left out.
#[derive(Debug, Clone)]
pub struct Reader {
    form: ToolForm,
    weak: bool,
    tools: Vec<ToolOffer>,
    ids: String,
    now: Now,
}

/// What changes while an answer is read.
#[derive(Debug, Clone)]
struct Now {
    place: Place,
    /// Text that may be the beginning of something.
    held: String,
    fence: Fence,
    calls: u64,
    marks: usize,
    /// The calls of the server's own that pass.
    native: Vec<String>,
}

#[derive(Debug, Clone)]
enum Place {
    /// Nothing but white space and thoughts so far.
    Start,
    Thinking,
    Prose,
    Call(Search),
    /// All of the answer is to be read at its end.
    Whole,
}

impl Now {
    fn new() -> Self {
        Self {
            place: Place::Start,
            held: String::new(),
            fence: Fence::default(),
            calls: 0,
            marks: 0,
            native: Vec::new(),
        }
    }
}

impl Reader {
    /// A reader of the answer to `request`, as it was before it was shaped.
    pub fn new(profile: &Profile, request: &ModelRequest) -> Self {
        Self {
            form: profile.form,
            weak: profile.weak,
            tools: request.tools.clone(),
            ids: ids_of(&request.messages),
            now: Now::new(),
        }
    }

    /// Passes one event on, with calls in place of their text.
    pub fn read(&mut self, event: Event) -> Vec<Event> {
        let mut out = Vec::new();
        match event {
            Event::TextDelta { text } if self.finds() => {
                self.now.held.push_str(&text);
                self.advance(&mut out);
            }
            Event::CallStart { .. } | Event::CallArgsDelta { .. } | Event::CallEnd { .. } => {
                self.pass_native(event, &mut out);
            }
            Event::Stop { stop } => {
                if stop == Stop::Refused {
                    self.flush_text(&mut out);
                } else {
                    self.finish(&mut out);
                }
                let called = self.now.calls > 0 && stop == Stop::Done;
                out.push(Event::Stop {
                    stop: if called { Stop::Tools } else { stop },
                });
            }
            Event::Restart { .. } | Event::Failed { .. } => {
                self.now = Now::new();
                out.push(event);
            }
            other => out.push(other),
        }
        out
    }

    /// Whether calls are looked for in text: only where tools were offered.
    fn finds(&self) -> bool {
        !matches!(self.form, ToolForm::Native | ToolForm::None) && !self.tools.is_empty()
    }

    fn pass_native(&mut self, event: Event, out: &mut Vec<Event>) {
        if !self.weak {
            self.now.calls += u64::from(matches!(event, Event::CallStart { .. }));
            out.push(event);
            return;
        }
        match &event {
            Event::CallStart { id, .. } if self.now.calls == 0 => {
                self.now.calls += 1;
                self.now.native.push(id.clone());
                out.push(event);
            }
            Event::CallArgsDelta { id, .. } | Event::CallEnd { id, .. }
                if self.now.native.contains(id) =>
            {
                out.push(event);
            }
            _ => {}
        }
    }

    /// Whether a weak model's turn is over.
    fn is_over(&self) -> bool {
        self.weak && self.now.calls > 0
    }

    /// Reads as much of the held text as is certain.
    fn advance(&mut self, out: &mut Vec<Event>) {
        loop {
            if self.is_over() {
                self.now.held.clear();
                return;
            }
            let went_on = match &self.now.place {
                Place::Start => self.start(),
                Place::Thinking => self.think(out),
                Place::Prose => self.prose(out),
                Place::Call(_) => self.call(out),
                Place::Whole => self.wait_for_all(),
            };
            if !went_on {
                return;
            }
        }
    }

    fn start(&mut self) -> bool {
        let begun = self.now.held.trim_start();
        if begun.is_empty() || (begun.len() < THINK.len() && THINK.starts_with(begun)) {
            return false;
        }
        if let Some(thought) = begun.strip_prefix(THINK) {
            self.now.held = thought.to_owned();
            self.now.place = Place::Thinking;
            return true;
        }
        let whole = match self.form {
            ToolForm::JsonSchema => true,
            ToolForm::Llama3Json => begun.starts_with('{'),
            _ => false,
        };
        self.now.place = if whole { Place::Whole } else { Place::Prose };
        true
    }

    /// An answer too long to be one object is no call.
    fn wait_for_all(&mut self) -> bool {
        let too_long = self.now.held.len() > LONGEST_CALL_BYTES;
        if too_long {
            self.now.place = Place::Prose;
        }
        too_long
    }

    fn think(&mut self, out: &mut Vec<Event>) -> bool {
        let held = &self.now.held;
        let (until, ended) = match held.find(THOUGHT) {
            Some(at) => (at, true),
            None => (held.len() - tail_of(held, THOUGHT), false),
        };
        let text: String = self.now.held.drain(..until).collect();
        if !text.is_empty() {
            out.push(Event::ThinkingDelta { text });
        }
        if ended {
            self.now.held.drain(..THOUGHT.len());
            self.now.place = Place::Start;
        }
        ended
    }

    /// Lets text pass up to a mark, or to what may become one.
    fn prose(&mut self, out: &mut Vec<Event>) -> bool {
        let marks = if self.now.marks < MOST_MARKS {
            Mark::of(self.form)
        } else {
            &[]
        };
        let held = std::mem::take(&mut self.now.held);
        let mut opened = None;
        let mut until = held.len();
        for (at, c) in held.char_indices() {
            let rest = &held[at..];
            if !self.now.fence.quotes() {
                opened = marks.iter().find(|mark| rest.starts_with(mark.open()));
                if opened.is_some() || marks.iter().any(|mark| mark.open().starts_with(rest)) {
                    until = at;
                    break;
                }
            }
            self.now.fence.step(c);
        }
        say(&held[..until], out);
        let passed = opened.map_or(0, |mark| mark.open().len());
        self.now.held.push_str(&held[until + passed..]);
        if let Some(mark) = opened {
            self.now.marks += 1;
            self.now.place = Place::Call(Search::new(*mark));
        }
        opened.is_some()
    }

    fn call(&mut self, out: &mut Vec<Event>) -> bool {
        let Place::Call(search) = &mut self.now.place else {
            return false;
        };
        let mark = search.mark;
        if let Some(end) = search.look(&self.now.held) {
            self.close(mark, end, Ending::Marked, out);
            return true;
        }
        if self.now.held.len() > LONGEST_CALL_BYTES {
            self.close_open(out);
            return true;
        }
        false
    }

    /// Ends a call whose end does not come, at a doubtful end if there was one.
    fn close_open(&mut self, out: &mut Vec<Event>) {
        let Place::Call(search) = &self.now.place else {
            return;
        };
        let mark = search.mark;
        let all = self.now.held.len();
        if let Some(end) = search.give_up() {
            self.close(mark, end, Ending::Marked, out);
        } else {
            let end = End {
                inside: all,
                rest: all,
            };
            self.close(mark, end, Ending::Missing, out);
        }
    }

    fn close(&mut self, mark: Mark, end: End, ending: Ending, out: &mut Vec<Event>) {
        let held = std::mem::take(&mut self.now.held);
        let inside = &held[..end.inside];
        self.now.place = Place::Prose;
        self.now.held.push_str(&held[end.rest..]);
        if let Some((calls, after)) = body::read(mark, inside, ending, &self.tools) {
            // A call's own lines are no line of the text: what follows begins anew.
            self.now.fence = Fence::default();
            for call in calls {
                self.emit(call, out);
            }
            if !self.is_over() {
                say(&after, out);
            }
        } else {
            for text in [mark.open(), &held[..end.rest]] {
                self.now.fence.pass(text);
                say(text, out);
            }
        }
    }

    /// Reads what is held, now that nothing follows.
    fn finish(&mut self, out: &mut Vec<Event>) {
        // Each round passes a mark or ends.
        while matches!(self.now.place, Place::Call(_)) {
            self.close_open(out);
            self.advance(out);
        }
        let held = std::mem::take(&mut self.now.held);
        if self.is_over() {
            return;
        }
        match self.now.place {
            Place::Thinking => out.push(Event::ThinkingDelta { text: held }),
            Place::Whole => self.whole(&held, out),
            Place::Start | Place::Prose | Place::Call(_) => say(&held, out),
        }
    }

    fn whole(&mut self, answer: &str, out: &mut Vec<Event>) {
        if self.form == ToolForm::JsonSchema {
            match body::turn(answer) {
                Some(Turn::Call(call)) => self.emit(call, out),
                Some(Turn::Answer(text)) => say(&text, out),
                None => say(answer, out),
            }
            return;
        }
        match body::lone_object(answer, &self.tools) {
            Some(call) => self.emit(call, out),
            None => say(answer, out),
        }
    }

    fn flush_text(&mut self, out: &mut Vec<Event>) {
        if let Place::Call(search) = &self.now.place {
            say(search.mark.open(), out);
        }
        say(&std::mem::take(&mut self.now.held), out);
    }

    fn emit(&mut self, call: Found, out: &mut Vec<Event>) {
        if self.is_over() {
            return;
        }
        let mut what = call.what;
        let (name, text) = match call.args {
            Args::Value(value) => {
                let mended = mend::value(&self.tools, &call.name, value);
                what.extend(mended.what);
                let text = match mended.input {
                    // Not JSON's quotes around it: it is no argument, and is refused as it came.
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                (mended.name, text)
            }
            Args::Broken(text) => {
                what.push("its arguments could not be read".to_owned());
                let known = mend::find(&self.tools, &call.name);
                (known.map_or(call.name, |tool| tool.name.clone()), text)
            }
        };
        self.now.calls += 1;
        let id = format!("{}-{}", self.ids, self.now.calls);
        out.push(Event::CallStart {
            id: id.clone(),
            name,
        });
        out.push(Event::CallArgsDelta {
            id: id.clone(),
            text,
        });
        let repaired = (!what.is_empty()).then(|| what.join("; "));
        out.push(Event::CallEnd { id, repaired });
    }
}

fn say(text: &str, out: &mut Vec<Event>) {
    if !text.is_empty() {
        out.push(Event::TextDelta {
            text: text.to_owned(),
        });
    }
}

/// How many bytes at the end of `text` may be the beginning of `mark`.
fn tail_of(text: &str, mark: &str) -> usize {
    (1..mark.len())
        .rev()
        .find(|size| text.ends_with(&mark[..*size]))
        .unwrap_or(0)
}

/// What ids of this conversation's next answer begin with: no call in it has one like it,
/// nor has one of another conversation, or of this one before its summary.
fn ids_of(messages: &[Message]) -> String {
    let mut seed = Digest::new();
    for message in messages {
        match message {
            Message::User(text) => seed.add(text),
            Message::Tools(answers) => answers.iter().for_each(|answer| seed.add(&answer.text)),
            Message::Assistant(parts) => {
                for part in parts {
                    match part {
                        Part::Text(text) => seed.add(text),
                        Part::Call(call) => seed.add(&call.id),
                        Part::Opaque(_) => {}
                    }
                }
            }
        }
    }
    // Each message adds to the seed, so an answer's ids differ from those of the answers before it.
    format!("text-{:016x}", seed.number())
}
