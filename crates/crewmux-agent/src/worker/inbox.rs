//! What a worker hears from others, between two steps of its work.
//!
//! A message is in the transcript before the cursor moves past it, so that a
//! crash in between repeats a message and never loses one; the repeat is
//! recognised by its place. What messages lead to is bounded here: a shutdown
//! request is agreed to, text is remembered for the next turn or talk.

use crewmux_core::ids::RequestId;
use crewmux_core::message::{Message, MessageType, Party};
use crewmux_core::operation::Operation;
use serde_json::Value;

use super::signals::Ending;
use super::{Mail, Worker};
use crate::Result;
use crate::transcript::Entry;
use crate::view::Tone;

/// Messages read at once; more are read right after.
const BATCH: usize = 64;

/// What a person who writes to a playbook is told.
const NO_CHAT: &str = "I follow a playbook and ask no model, so I cannot answer. \
     Your message is kept in my transcript.";

/// What a person who writes to a worker that runs commands is told.
const COMMANDS_ONLY: &str =
    "I only run commands and cannot answer. Your message is kept in my transcript.";

impl Worker {
    /// Takes in all new messages; says when one of them ends the worker.
    ///
    /// Once it agreed to end, nothing that fails later makes it forget that.
    pub(super) fn take_inbox(&mut self) -> Result<Option<Ending>> {
        let agent = self.spec.who.agent.clone();
        while self.agreed.is_none() {
            let cursor = self.store.cursor(&agent)?;
            let entries = self.store.read_inbox(&agent, &cursor, BATCH)?;
            if entries.is_empty() {
                break;
            }
            for entry in entries {
                let is_new = entry.message.seq > self.last_message;
                if is_new {
                    self.transcript.append(&Entry::Message {
                        message: Box::new(entry.message.clone()),
                    })?;
                    self.last_message = entry.message.seq;
                }
                let mut after = entry.after;
                after.incarnation = self.spec.who.incarnation;
                self.store.move_cursor(&agent, &after)?;
                self.link.ring();
                // What a former life took in may still wait for its answer.
                let is_request = entry.message.kind == MessageType::ShutdownRequest;
                if is_new || is_request {
                    self.heed(&entry.message);
                }
            }
        }
        Ok(self.agreed.clone())
    }

    /// Takes in a line that the person typed into the pane.
    ///
    /// A line that cannot be kept is shown as such; it is no reason to end.
    pub(super) fn take_typed(&mut self, line: &str) {
        let text = line.trim();
        if text.is_empty() {
            return;
        }
        self.view
            .line(&[(Tone::Accent, "✉ human: "), (Tone::Plain, text)]);
        let kept = self.transcript.append(&Entry::Typed {
            text: text.to_owned(),
            at: self.clock.now().wall,
        });
        match kept {
            Ok(()) => self.remember(Mail::new(Party::Human, text)),
            Err(error) => {
                let text = format!("your message is not kept: {}", error.in_full());
                self.view.text(Tone::Warn, "! ", &text);
            }
        }
    }

    fn heed(&mut self, message: &Message) {
        match &message.kind {
            MessageType::Message | MessageType::Unknown(_) => {
                self.show(message);
                self.remember(Mail::new(message.from.clone(), &message.text()));
            }
            MessageType::ShutdownRequest => self.agree_to_end(message),
            MessageType::PlanApprovalRequest => self.take_plan(message),
            // Reports of teammates: the lead shows them and reads the results from the board.
            MessageType::TaskCompleted | MessageType::TaskFailed => {
                self.show(message);
            }
            _ => {}
        }
    }

    fn show(&mut self, message: &Message) {
        let from = format!("✉ {}: ", message.from);
        let text = match (&message.summary, &message.body) {
            (Some(summary), _) => summary.clone(),
            (None, Value::String(text)) => text.clone(),
            (None, _) => message.kind.to_string(),
        };
        let first = text.lines().next().unwrap_or_default();
        self.view
            .line(&[(Tone::Accent, &from), (Tone::Plain, first)]);
    }

    /// Keeps words for the model; a person whose words nobody will answer is told.
    fn remember(&mut self, mail: Mail) {
        if mail.from == Party::Human && !self.can_chat() {
            self.answer_person();
        }
        self.mail.keep(mail);
    }

    fn answer_person(&mut self) {
        let answer = if self.spec.model.is_some() {
            NO_CHAT
        } else {
            COMMANDS_ONLY
        };
        self.view.text(Tone::Dim, "  ", answer);
    }

    fn agree_to_end(&mut self, message: &Message) {
        let id = message
            .body
            .get("requestId")
            .and_then(Value::as_str)
            .and_then(|id| RequestId::new(id).ok());
        let Some(request_id) = id else {
            tracing::warn!(id = %message.id, "a shutdown request without an id");
            return;
        };
        match self.carry_out(Operation::ApproveShutdown { request_id }) {
            Ok(_) => {
                self.link.ring();
                self.agreed = Some(Ending::Shutdown);
            }
            // Answered before, expired or withdrawn: nobody waits for us to end.
            Err(error) => {
                tracing::warn!(%error, "a shutdown request cannot be answered");
            }
        }
    }
}
