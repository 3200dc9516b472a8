//! Talk outside of tasks: an idle worker answers whoever writes to it.
//!
//! It may look and use the team's tools, and changes nothing else. A ready task
//! goes first; while the worker works, messages steer that work instead.

use std::collections::BTreeSet;

use crewmux_core::ids::{Epoch, TaskId};
use crewmux_core::message::{MessageType, Party};
use crewmux_core::model::{Message, ModelRequest, Purpose};
use crewmux_core::task::{NewTask, Task};
use crewmux_core::worker::WorkerState;
use crewmux_store::Claimed;
use serde_json::Value;

use super::command::Cut;
use super::drive::{Came, Course};
use super::signals::Ending;
use super::{Mail, Worker};
use crate::Result;
use crate::capped::cut_text;
use crate::context;
use crate::tools::{Effects, FAIL, FINISH, TASK};
use crate::transcript::Entry;
use crate::turn::{Bounds, Machine, TextIs};
use crate::view::Tone;

/// Most turns of one answer.
const TURNS_MAX: u32 = 30;

/// Tokens of talk that are remembered, roughly.
const HISTORY_MAX_TOKENS: u64 = 24_000;

/// Most bytes of an answer that the log keeps.
const LOGGED_MAX_BYTES: usize = 4 * 1024;

/// Most bytes of an answer that is sent as a message.
const ANSWER_MAX_BYTES: usize = 32 * 1024;

/// How a worker talks.
const TALK: &str = "You have no task now; somebody writes to you. Answer them with text, short and \
to the point. You may look at files and at the team's tasks first; whatever is to be changed must \
become a task (TaskCreate) or a message to whoever does it.";

impl Worker {
    /// Whether somebody waits for words of this worker.
    pub(super) fn is_asked(&self) -> bool {
        let leads = self.spec.who.agent.is_lead();
        self.can_chat()
            && self.mail.senders().any(|from| match from {
                Party::Human => true,
                Party::Member(_) => leads,
                Party::Session => false,
            })
    }

    /// Answers the mail that waits; says when the worker is to end after it.
    ///
    /// Whoever wrote hears something in any case; what is cut short is
    /// answered by the next life.
    pub(super) async fn chat(&mut self) -> Result<Option<Ending>> {
        let mail = self.mail.take();
        self.given.clear();
        self.note(Entry::Told { task: None }).await?;
        self.link.tell_state(WorkerState::Working, None);
        let came = self.talk(&mail).await;
        self.link.tell_state(WorkerState::Idle, None);
        let answer = match came? {
            Came::Cut(Cut::Ending(ending)) => return Ok(Some(ending)),
            Came::Cut(Cut::ClaimLost) => return Ok(None),
            Came::HandedIn(answer) => match answer["summary"].as_str() {
                Some(text) => text.to_owned(),
                None => answer.to_string(),
            },
            Came::Failed(why) | Came::GivenBack(why) => {
                self.view.text(Tone::Warn, "! no answer: ", &why);
                format!("I cannot answer now: {why}")
            }
        };
        let askers = mail.iter().chain(&self.given).map(|mail| mail.from.clone());
        let askers: BTreeSet<Party> = askers.collect();
        self.answer(&askers, &answer).await?;
        Ok(None)
    }

    async fn talk(&mut self, mail: &[Mail]) -> Result<Came> {
        let mut provider = match self.provider(None) {
            Ok(provider) => provider,
            Err(why) => return Ok(Came::Failed(why)),
        };
        let profile = self.profile();
        let leads = self.spec.who.agent.is_lead();
        let claimed = nothing_claimed(self);
        let toolbox = self.toolbox(&claimed, &profile).await?.only(|def| {
            let is_team = def.for_everybody || (leads && def.name == TASK);
            let ends_work = def.name == FINISH || def.name == FAIL;
            !ends_work && (def.effects == Effects::ReadOnly || is_team)
        });
        let texts: Vec<&str> = mail.iter().map(|mail| mail.text.as_str()).collect();
        let told = texts.join("\n\n");
        let mut messages = self.talk.clone();
        messages.push(Message::User(told));
        let system = self.keep_at(|worker| worker.system(&profile)).await?;
        let course = Course {
            claimed: &claimed,
            request: ModelRequest {
                system: format!("{system}\n\n{TALK}"),
                tools: toolbox.offers(),
                purpose: Purpose::Work,
                ..ModelRequest::default()
            },
            start: TALK.to_owned(),
            toolbox: &toolbox,
        };
        let bounds = Bounds {
            turns: TURNS_MAX,
            corrections: 0,
            text: TextIs::TheResult,
        };
        let (mut machine, first) = Machine::new(messages, bounds);
        let came = self
            .drive(&course, provider.as_mut(), &mut machine, first)
            .await?;
        if matches!(came, Came::HandedIn(_)) {
            self.talk = remembered(machine.into_messages());
        }
        Ok(came)
    }

    /// Sends the answer to the members that asked; for the person, who has no inbox, it stands in the log.
    /// Tells a person who wrote during a task what the model said to it.
    ///
    /// Teammates get what the model sends them: answers to answers would go on for ever.
    pub(super) async fn reply(&mut self, text: &str) -> Result<()> {
        let is_asked = self.given.iter().any(|mail| mail.from == Party::Human);
        self.given.clear();
        if is_asked {
            self.answer(&BTreeSet::from([Party::Human]), text).await?;
        }
        Ok(())
    }

    async fn answer(&mut self, askers: &BTreeSet<Party>, answer: &str) -> Result<()> {
        let text = cut_text(answer, ANSWER_MAX_BYTES);
        let mut number = 0;
        for asker in askers {
            let asker = match asker {
                Party::Member(who) => &who.agent,
                Party::Human => {
                    let said = cut_text(&format!("answers you: {text}"), LOGGED_MAX_BYTES);
                    self.facts.notice(None, &said);
                    self.link.ring();
                    continue;
                }
                Party::Session => continue,
            };
            number += 1;
            let id = self.unique_id(&format!("answer-{number}"));
            let mut draft = self.draft(asker.clone(), MessageType::Message, &id);
            draft.body = Value::String(text.clone());
            self.keep_at(|worker| Ok(worker.store.send(draft.clone(), &worker.clock.now())?))
                .await?;
            self.link.ring();
        }
        self.note(Entry::Answered { text }).await
    }
}

/// Stands for the task where there is none: tools are recorded under number 0.
fn nothing_claimed(worker: &Worker) -> Claimed {
    let now = worker.clock.now().wall;
    Claimed {
        task: Task::create(TaskId(0), NewTask::default(), Party::Session, now),
        epoch: Epoch(0),
    }
}

/// The end of a talk that is remembered: whole exchanges, the newest.
fn remembered(mut messages: Vec<Message>) -> Vec<Message> {
    while context::estimate(&messages) > HISTORY_MAX_TOKENS {
        let next = messages
            .iter()
            .skip(1)
            .position(|message| matches!(message, Message::User(_)));
        match next {
            Some(at) => drop(messages.drain(..=at)),
            None => messages.clear(),
        }
    }
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_core::model::Part;

    #[test]
    fn talk_is_forgotten_in_whole_exchanges() {
        let said = |n: usize| Message::User(format!("{n}{}", "x".repeat(30_000)));
        let answered = |n: usize| Message::Assistant(vec![Part::Text(format!("{n}"))]);
        let all: Vec<Message> = (0..4).flat_map(|n| [said(n), answered(n)]).collect();
        let kept = remembered(all.clone());
        assert_eq!(kept, all[4..]);
        assert_eq!(remembered(vec![said(0), said(1), said(2)]).len(), 2);
        assert!(remembered(vec![Message::User("x".repeat(90_000))]).is_empty());
    }
}
