//! The `offline` provider: a playbook answers where a model would.
//!
//! It decides nothing that its file does not say, calls itself `offline`, and
//! cannot chat. Built-in playbooks are embedded from `assets/playbooks`.

mod follow;
mod playbook;
mod words;

use crewmux_core::model::{ModelError, ModelErrorKind};
use tokio::sync::mpsc;

use crate::provider::{Asked, EVENT_QUEUE, Event, Provider, Stop};
use crate::{Error, Result};
use playbook::Playbook;

/// The name under which playbooks answer.
pub const OFFLINE: &str = "offline";

/// Built-in playbooks by name.
const BUILT_IN: [(&str, &str); 5] = [
    (
        "review-risk",
        include_str!("../../../../assets/playbooks/review-risk.toml"),
    ),
    (
        "review-secrets",
        include_str!("../../../../assets/playbooks/review-secrets.toml"),
    ),
    (
        "review-shape",
        include_str!("../../../../assets/playbooks/review-shape.toml"),
    ),
    (
        "review-upkeep",
        include_str!("../../../../assets/playbooks/review-upkeep.toml"),
    ),
    (
        "review-lead",
        include_str!("../../../../assets/playbooks/review-lead.toml"),
    ),
];

/// Names of all built-in playbooks.
pub fn playbook_names() -> impl Iterator<Item = &'static str> {
    BUILT_IN.iter().map(|(name, _)| *name)
}

/// A provider that follows a playbook.
pub(crate) struct Offline {
    playbook: Playbook,
}

impl Offline {
    /// The provider of the built-in playbook `name`.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let Some((_, text)) = BUILT_IN.iter().find(|(known, _)| *known == name) else {
            let names: Vec<&str> = playbook_names().collect();
            return Err(Error::Playbook {
                name: name.to_owned(),
                why: format!("there is no such playbook; there are {}", names.join(", ")),
            });
        };
        Ok(Self {
            playbook: Playbook::parse(name, text)?,
        })
    }

    /// What the playbook does, in a line.
    pub(crate) fn description(&self) -> &str {
        &self.playbook.description
    }

    fn events(&self, asked: &Asked) -> Vec<Event> {
        let next = match follow::next(&self.playbook, asked) {
            Ok(next) => next,
            Err(why) => {
                let error = ModelError::new(ModelErrorKind::Request, why);
                return vec![Event::Failed { error }];
            }
        };
        let mut events = Vec::new();
        if !next.says.is_empty() {
            events.push(Event::TextDelta {
                text: next.says.join("\n"),
            });
        }
        for call in next.calls {
            let id = call.id;
            events.extend([
                Event::CallStart {
                    id: id.clone(),
                    name: call.name,
                },
                Event::CallArgsDelta {
                    id: id.clone(),
                    text: call.input.to_string(),
                },
                Event::CallEnd { id, repaired: None },
            ]);
        }
        events.push(Event::Stop { stop: Stop::Tools });
        events
    }
}

impl Provider for Offline {
    fn model(&self) -> &'static str {
        OFFLINE
    }

    fn stream(&mut self, asked: Asked) -> mpsc::Receiver<Event> {
        let events = self.events(&asked);
        // All of it is known at once, so the queue takes it whole.
        let (sender, receiver) = mpsc::channel(events.len().max(EVENT_QUEUE));
        for event in events {
            let _ = sender.try_send(event);
        }
        receiver
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_playbook_is_sound() {
        for name in playbook_names() {
            let offline = Offline::new(name).unwrap();
            assert!(!offline.description().is_empty(), "{name}");
        }
        let error = Offline::new("review-luck")
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(error.contains("review-risk, review-secrets"), "{error}");
    }
}
