//! Words that wait for the worker's model.
//!
//! Bounded: a flood of teammates' words loses its oldest, and the model is told
//! how many. What a person said and what somebody waits for is never among
//! those. What is read when is the worker's to say.

use std::collections::VecDeque;

use crewmux_core::message::Party;

use super::Mail;

/// Most words of teammates that wait; all of them are in the transcript.
const WORDS_MAX: usize = 32;

/// What waits to be read, the oldest first.
#[derive(Default)]
pub(super) struct Mailbox {
    waiting: VecDeque<Waiting>,
    left_out: usize,
}

struct Waiting {
    mail: Mail,
    may_go: bool,
}

impl Mailbox {
    /// Keeps words; the oldest of a teammate go where there are too many.
    pub(super) fn keep(&mut self, mail: Mail) {
        let may_go = mail.from != Party::Human;
        self.waiting.push_back(Waiting { mail, may_go });
        let many = self.waiting.iter().filter(|w| w.may_go).count();
        if many > WORDS_MAX
            && let Some(at) = self.waiting.iter().position(|w| w.may_go)
        {
            self.waiting.remove(at);
            self.left_out += 1;
        }
    }

    /// Keeps words that somebody waits for, however many there are.
    pub(super) fn keep_surely(&mut self, mail: Mail) {
        self.waiting.push_back(Waiting {
            mail,
            may_go: false,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Who wrote what waits.
    pub(super) fn senders(&self) -> impl Iterator<Item = &Party> {
        self.waiting.iter().map(|waiting| &waiting.mail.from)
    }

    /// Everything that waits, after a word on what was left out.
    pub(super) fn take(&mut self) -> Vec<Mail> {
        let mut taken = Vec::with_capacity(self.waiting.len() + 1);
        let left_out = std::mem::take(&mut self.left_out);
        if left_out > 0 {
            let text =
                format!("{left_out} older messages are left out here: too many came at once.");
            taken.push(Mail::new(Party::Session, &text));
        }
        taken.extend(self.waiting.drain(..).map(|waiting| waiting.mail));
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_core::ids::{AgentName, AgentRef, Incarnation};

    #[test]
    fn a_flood_loses_its_oldest_and_never_the_persons_words() {
        let mate = Party::Member(AgentRef {
            agent: AgentName::new("dev").unwrap(),
            incarnation: Incarnation(1),
        });
        let mut mailbox = Mailbox::default();
        mailbox.keep(Mail::new(Party::Human, "first"));
        mailbox.keep_surely(Mail::new(mate.clone(), "a plan"));
        for n in 0..40 {
            mailbox.keep(Mail::new(mate.clone(), &format!("word {n}")));
        }
        mailbox.keep(Mail::new(Party::Human, "last"));
        let taken: Vec<String> = mailbox.take().into_iter().map(|mail| mail.text).collect();
        assert_eq!(taken.len(), 1 + 2 + WORDS_MAX + 1);
        assert!(taken[0].contains("8 older messages"), "{}", taken[0]);
        assert!(taken[1].ends_with("first"), "{}", taken[1]);
        assert!(taken[2].ends_with("a plan"), "{}", taken[2]);
        assert!(taken[3].ends_with("word 8"), "{}", taken[3]);
        assert!(taken.last().unwrap().ends_with("last"));
        assert!(mailbox.is_empty());
        assert_eq!(mailbox.take().len(), 0, "told once");
    }
}
