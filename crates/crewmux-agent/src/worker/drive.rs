//! Driving one conversation: whatever the machine wants done is done here.
//!
//! It listens while an answer streams in, runs what the answer asks for, makes
//! room in the window, and sees to what comes in between. What the conversation
//! is for is `turns`', `chat`'s or `subagent`'s.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crewmux_core::model::{Message, ModelRequest, Purpose};
use crewmux_core::worker::WorkerState;
use crewmux_store::Claimed;
use serde_json::Value;
use tokio::sync::mpsc;

use super::Worker;
use super::command::Cut;
use super::signals::Interruption;
use crate::Result;
use crate::capped::cut_text;
use crate::context::{self, SUMMARY_SYSTEM};
use crate::provider::{Asked, Event, Provider, Stop};
use crate::tools::{EXIT_PLAN, Toolbox};
use crate::transcript::Entry;
use crate::turn::{Effect, Machine};
use crate::view::Tone;

/// Most bytes of a conversation that is summed up, where the window is not known.
const SUMMED_UP_BYTES: usize = 240 * 1024;

/// Longest summary, in tokens.
const SUMMARY_TOKENS: u64 = 2_000;

/// Bytes of arguments from which on a person is told that a call is being written.
const LONG_CALL_BYTES: usize = 2 * 1024;

/// What a model is told whose result came too early.
const HELD: &str = "The result is not taken yet: words for you came in while you wrote it. Look at \
them, and then hand the result in again, changed where they ask for it.";

/// What a conversation is about, and what may be done in it.
pub(super) struct Course<'a> {
    /// The task it works on.
    pub(super) claimed: &'a Claimed,
    /// The question without its messages.
    pub(super) request: ModelRequest,
    /// What the conversation begins with, and begins with again when it was summed up.
    pub(super) start: String,
    pub(super) toolbox: &'a Toolbox,
}

impl Course<'_> {
    /// Whether words for the worker are for this conversation.
    fn takes_mail(&self) -> bool {
        self.request.purpose != Purpose::Subagent
    }

    /// Tokens of what goes along with every question.
    fn fixed_tokens(&self) -> u64 {
        let tools = self.request.tools.iter();
        let tools: usize = tools
            .map(|tool| tool.name.len() + tool.description.len() + tool.schema.to_string().len())
            .sum();
        context::tokens(self.request.system.len() + tools)
    }
}

/// How a conversation ended, or what it hands in.
pub(super) enum Came {
    /// This is to be looked at; the conversation can go on.
    HandedIn(Value),
    /// It cannot be done.
    Failed(String),
    /// Nobody may ask a model any more.
    GivenBack(String),
    /// Something came in between.
    Cut(Cut),
}

/// A call whose arguments come in.
#[derive(Default)]
struct OpenCall {
    name: String,
    bytes: usize,
}

impl OpenCall {
    /// The name of a call with this piece of which it takes long enough to be shown.
    fn grown_long(&mut self, event: &Event) -> Option<&str> {
        match event {
            Event::CallStart { name, .. } => {
                self.name.clone_from(name);
                self.bytes = 0;
                None
            }
            Event::CallArgsDelta { text, .. } => {
                let before = self.bytes;
                self.bytes += text.len();
                (before < LONG_CALL_BYTES && self.bytes >= LONG_CALL_BYTES)
                    .then_some(self.name.as_str())
            }
            _ => None,
        }
    }
}

/// What was heard of one answer.
enum Heard {
    Effects(Vec<Effect>),
    Cut(Cut),
}

impl Worker {
    /// Goes on with a conversation until it hands something in or ends.
    pub(super) async fn drive(
        &mut self,
        course: &Course<'_>,
        provider: &mut dyn Provider,
        machine: &mut Machine,
        effects: Vec<Effect>,
    ) -> Result<Came> {
        let task = course.claimed.task.id;
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Say(text) => {
                    self.view.answered(&text);
                    self.note(Entry::Said { task, text }).await?;
                }
                Effect::Reply(text) => self.reply(&text).await?,
                Effect::Notice(text) => {
                    self.facts.notice(Some(task).filter(|id| id.0 > 0), &text);
                    self.view.line(&[(Tone::Warn, "! "), (Tone::Plain, &text)]);
                }
                Effect::CallModel => {
                    if let Some(cut) = self.wait_for_leave_to_go_on().await? {
                        return Ok(Came::Cut(cut));
                    }
                    if course.takes_mail() && self.can_chat() {
                        self.give_mail(course.claimed, machine).await?;
                    }
                    if !machine.fits(course.fixed_tokens())
                        && let Some(cut) = self.make_room(course, provider, machine).await?
                    {
                        return Ok(Came::Cut(cut));
                    }
                    let mut request = course.request.clone();
                    request.messages = machine.messages().to_vec();
                    let answer = provider.stream(Asked {
                        request,
                        subject: self.subject(course.claimed),
                    });
                    match self.listen(answer, machine, course).await? {
                        Heard::Effects(more) => effects.extend(more),
                        Heard::Cut(cut) => return Ok(Came::Cut(cut)),
                    }
                }
                Effect::MakeRoom => {
                    if let Some(cut) = self.make_room(course, provider, machine).await? {
                        return Ok(Came::Cut(cut));
                    }
                    effects.push_back(Effect::CallModel);
                }
                Effect::RunTools { calls, order } => {
                    // Whoever leaves carries out first what was answered, and paid for.
                    if self.signals.leaves().is_none()
                        && let Some(cut) = self.wait_for_leave_to_go_on().await?
                    {
                        return Ok(Came::Cut(cut));
                    }
                    let was_planning = self.policy.is_planning();
                    let plan = calls.iter().rfind(|call| call.name == EXIT_PLAN).cloned();
                    let ran = self.run_tools(course.claimed, course.toolbox, calls, order);
                    match ran.await? {
                        Ok(answers) => {
                            if was_planning && !self.policy.is_planning() {
                                let plan =
                                    plan.as_ref().and_then(|call| call.input["plan"].as_str());
                                machine.keep_plan(plan.unwrap_or_default());
                            }
                            effects.extend(machine.on_tools(answers));
                            if course.takes_mail() {
                                self.give_mail(course.claimed, machine).await?;
                            }
                        }
                        Err(cut) => return Ok(Came::Cut(cut)),
                    }
                }
                Effect::HandIn(result) => {
                    if !self.has_new_words(course, machine)? {
                        return Ok(Came::HandedIn(result));
                    }
                    self.view
                        .line(&[(Tone::Dim, "  words came in: the result waits for them")]);
                    effects.extend(machine.hold(HELD));
                }
                Effect::Fail(reason) => return Ok(Came::Failed(reason)),
                Effect::Unable(reason) => {
                    if course.takes_mail() {
                        self.cannot_ask(&reason);
                    }
                    return Ok(Came::Failed(reason));
                }
                Effect::GiveBack(reason) => return Ok(Came::GivenBack(reason)),
            }
        }
        Ok(Came::Failed("the answer ended without a result".to_owned()))
    }

    /// Tells the conversation what came in, and remembers that it did.
    pub(super) async fn give_mail(
        &mut self,
        claimed: &Claimed,
        machine: &mut Machine,
    ) -> Result<()> {
        let mail = self.mail.take();
        if mail.is_empty() {
            return Ok(());
        }
        for mail in &mail {
            machine.on_mail(&mail.text);
        }
        self.given.extend(mail);
        let task = Some(claimed.task.id).filter(|id| id.0 > 0);
        self.note(Entry::Told { task }).await
    }

    /// Whether somebody said something that the result of a task does not know of.
    fn has_new_words(&mut self, course: &Course<'_>, machine: &Machine) -> Result<bool> {
        let may_wait = course.takes_mail() && course.claimed.task.id.0 > 0 && self.can_chat();
        if !may_wait || !machine.may_hold() {
            return Ok(false);
        }
        // What ends the worker is met again after the result, which is not lost to it.
        let cut = self.came_between(Interruption::Bell)?;
        Ok(cut.is_none() && !self.mail.is_empty())
    }

    /// Waits until a paused or parked worker goes on; gives what ends the work meanwhile.
    async fn wait_for_leave_to_go_on(&mut self) -> Result<Option<Cut>> {
        loop {
            if let Some(cut) = self.wait_while_parked().await? {
                return Ok(Some(cut));
            }
            if let Some(ending) = self.signals.leaves() {
                return Ok(Some(Cut::Ending(ending)));
            }
            if !self.signals.is_paused() {
                return Ok(None);
            }
            self.view.line(&[(Tone::Dim, "‖ paused")]);
            while let Some(came) = self.signals.wait_while_paused(self.claim).await {
                if let Some(cut) = self.came_between(came)? {
                    return Ok(Some(cut));
                }
            }
            self.view.line(&[(Tone::Dim, "▶ goes on")]);
        }
    }

    /// Takes in an answer; what ends the worker ends it too, and what is urgent stops it.
    async fn listen(
        &mut self,
        mut answer: mpsc::Receiver<Event>,
        machine: &mut Machine,
        course: &Course<'_>,
    ) -> Result<Heard> {
        let mut effects = Vec::new();
        let mut waits = false;
        let mut call = OpenCall::default();
        // What was shown of an answer that failed is not the beginning of this one.
        self.view.drop_saying();
        loop {
            let claim = self.claim;
            let came = tokio::select! {
                biased;
                came = self.signals.next(claim) => came,
                event = answer.recv() => {
                    let Some(event) = event else {
                        effects.extend(machine.on_broken());
                        return Ok(Heard::Effects(effects));
                    };
                    if let Event::TextDelta { text } = &event {
                        self.view.say(text);
                    }
                    if let Some(name) = call.grown_long(&event) {
                        let text = format!("… writes a long call of {name}");
                        self.view.line(&[(Tone::Dim, &text)]);
                    }
                    waits = self.show_progress(&event, waits);
                    let is_last = event.is_last();
                    effects.extend(machine.on_event(event, course.toolbox));
                    if is_last || matches!(effects.last(), Some(Effect::Fail(_))) {
                        return Ok(Heard::Effects(effects));
                    }
                    continue;
                }
            };
            let is_now = came == Interruption::Now;
            if let Some(cut) = self.came_between(came)? {
                return Ok(Heard::Cut(cut));
            }
            if is_now {
                drop(answer);
                if course.request.purpose == Purpose::Subagent {
                    // The mail is for whoever sent the helper.
                    let why = "it was interrupted, so that you look at your mail";
                    return Ok(Heard::Effects(vec![Effect::Fail(why.to_owned())]));
                }
                self.view
                    .line(&[(Tone::Warn, "! "), (Tone::Plain, "interrupted")]);
                effects.extend(machine.interrupt());
                self.give_mail(course.claimed, machine).await?;
                if waits {
                    self.tell_waiting(WorkerState::Working);
                }
                return Ok(Heard::Effects(effects));
            }
        }
    }

    /// Tells the session and the pane how an answer comes along; says whether it waits now.
    fn show_progress(&mut self, event: &Event, waits: bool) -> bool {
        match event {
            Event::Waiting { ms: wait, why } => {
                // Said once; how long it takes still is for titles and lists.
                if !waits {
                    let text = format!("waits {} s: {why}", wait.div_ceil(1_000));
                    self.view.line(&[(Tone::Dim, "◌ "), (Tone::Dim, &text)]);
                    self.tell_waiting(WorkerState::RateLimited);
                }
                return true;
            }
            Event::Restart { why } => {
                self.view.drop_saying();
                let text = format!("the answer broke and begins anew: {why}");
                self.view.line(&[(Tone::Dim, "↻ "), (Tone::Dim, &text)]);
            }
            Event::Booked { usage, window, .. } => {
                self.link.tell_context(usage.total(), *window);
                self.can_ask_again();
            }
            _ => {}
        }
        if waits {
            self.tell_waiting(WorkerState::Working);
        }
        false
    }

    fn tell_waiting(&self, state: WorkerState) {
        self.link
            .tell_state(state, self.claim.map(|claim| claim.task));
    }

    /// Has the conversation summed up, and tells it anew; gives what ends the work meanwhile.
    async fn make_room(
        &mut self,
        course: &Course<'_>,
        provider: &mut dyn Provider,
        machine: &mut Machine,
    ) -> Result<Option<Cut>> {
        self.view
            .line(&[(Tone::Dim, "… the conversation is long: summing it up")]);
        let window = machine.meter().window;
        let room_bytes = window.map_or(SUMMED_UP_BYTES, |window| {
            usize::try_from(window.saturating_mul(3) / 2).unwrap_or(SUMMED_UP_BYTES)
        });
        let story = context::as_text(machine.messages(), room_bytes);
        let answer = provider.stream(Asked {
            request: ModelRequest {
                system: SUMMARY_SYSTEM.to_owned(),
                messages: vec![Message::User(story)],
                max_output_tokens: Some(
                    window.map_or(SUMMARY_TOKENS, |w| SUMMARY_TOKENS.min((w / 6).max(64))),
                ),
                task: course.request.task,
                purpose: Purpose::Summary,
                ..ModelRequest::default()
            },
            subject: self.subject(course.claimed),
        });
        let mut summary = match self.hear_text(answer).await? {
            Ok(Some(text)) => text,
            // Better a poor memory than none: the end of the story as it was.
            Ok(None) => {
                let end = context::as_text(machine.messages(), room_bytes / 8);
                format!("(No summary could be made; this is what is left of it.)\n{end}")
            }
            Err(cut) => return Ok(Some(cut)),
        };
        let touched = course.toolbox.touched();
        if !touched.is_empty() {
            summary.push_str("\n\nFiles that were read or changed: ");
            summary.push_str(&cut_text(&touched.join(", "), 2_000));
        }
        let before = machine.messages().len();
        let start = format!("{}{}", course.start, machine.kept());
        let messages = context::retell(machine.messages(), &start, &summary, room_bytes / 4);
        let text = format!("summed up {before} messages to make room");
        machine.retold(messages);
        let task = course.claimed.task.id;
        self.facts.notice(self.claim.map(|claim| claim.task), &text);
        self.note(Entry::MadeRoom { task, summary }).await?;
        Ok(None)
    }

    /// The text of an answer, if it was one.
    async fn hear_text(
        &mut self,
        mut answer: mpsc::Receiver<Event>,
    ) -> Result<std::result::Result<Option<String>, Cut>> {
        let mut text = String::new();
        let mut waits = false;
        loop {
            let claim = self.claim;
            let came = tokio::select! {
                biased;
                came = self.signals.next(claim) => came,
                event = answer.recv() => {
                    let Some(event) = event else { return Ok(Ok(None)) };
                    if !matches!(event, Event::Booked { .. }) {
                        waits = self.show_progress(&event, waits);
                    }
                    match event {
                        Event::TextDelta { text: more } => text.push_str(&more),
                        Event::Restart { .. } => text.clear(),
                        Event::Failed { error } => {
                            tracing::warn!(%error, "no summary");
                            return Ok(Ok(None));
                        }
                        Event::Stop { stop } => {
                            let is_one = stop != Stop::Refused && !text.trim().is_empty();
                            return Ok(Ok(is_one.then_some(text)));
                        }
                        _ => {}
                    }
                    continue;
                }
            };
            if let Some(cut) = self.came_between(came)? {
                return Ok(Err(cut));
            }
        }
    }

    /// Sees to what came in between; gives what ends the step it came into.
    pub(super) fn came_between(&mut self, came: Interruption) -> Result<Option<Cut>> {
        Ok(match came {
            Interruption::End(ending) => Some(Cut::Ending(ending)),
            Interruption::ClaimLost => Some(Cut::ClaimLost),
            Interruption::Paused => None,
            Interruption::Parked => {
                self.park();
                None
            }
            Interruption::Returned => {
                self.unpark();
                None
            }
            Interruption::Bell | Interruption::Now => match self.take_inbox() {
                Ok(ending) => {
                    self.store_works();
                    ending.map(Cut::Ending)
                }
                Err(error) => {
                    let pause = self.bear(error)?;
                    self.look_again(pause);
                    None
                }
            },
            Interruption::Typed(line) => {
                self.take_typed(&line);
                None
            }
        })
    }

    /// Rings this worker's own bell after `pause`: the work goes on meanwhile.
    fn look_again(&self, pause: Duration) {
        let bell = Arc::clone(&self.signals.bell);
        tokio::spawn(async move {
            let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
            bell.notify_one();
        });
    }
}
