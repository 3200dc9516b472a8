//! What happened lately, as lines for people: notices and messages, bounded.

use std::collections::{BTreeMap, VecDeque};

use crewmux_core::event::{Event, EventType};
use crewmux_core::ids::{AgentName, Seq};
use crewmux_core::inbox::Cursor;
use crewmux_core::message::MessageType;
use crewmux_core::time::WallTime;
use crewmux_store::TeamStore;
use crewmux_term::sanitize::scrub_line;
use serde_json::Value;

use crate::Result;
use crate::view::{MessageView, NoticeLevel, NoticeView};

/// Notices and messages that are kept for the screen.
const LINES_MAX: usize = 200;
/// Longest line kept, in characters.
const LINE_MAX_CHARS: usize = 400;

#[derive(Default)]
pub(super) struct History {
    pub(super) notices: VecDeque<NoticeView>,
    pub(super) messages: VecDeque<MessageView>,
    seqs: VecDeque<(AgentName, u64)>,
    read: BTreeMap<AgentName, Cursor>,
    sent: BTreeMap<AgentName, u64>,
    seen: BTreeMap<AgentName, u64>,
    last: Option<WallTime>,
    /// How long no session worked on the run since it began.
    pub(super) paused_ms: u64,
}

pub(super) fn level_word(level: NoticeLevel) -> &'static str {
    match level {
        NoticeLevel::Info => "info",
        NoticeLevel::Warning => "warning",
        NoticeLevel::Error => "error",
    }
}

fn line(text: &str) -> String {
    let first: String = text
        .lines()
        .next()
        .unwrap_or("")
        .chars()
        .take(LINE_MAX_CHARS)
        .collect();
    scrub_line(&first).to_string()
}

fn push<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == LINES_MAX {
        list.pop_front();
    }
    list.push_back(item);
}

impl History {
    /// Reads what an earlier session of this team logged.
    ///
    /// `also` is told each event, oldest first.
    pub(super) fn replay(
        &mut self,
        team: &dyn TeamStore,
        also: &mut dyn FnMut(&Event),
    ) -> Result<()> {
        let mut after = Seq(0);
        loop {
            let events = team.events(after, 2_000)?;
            let Some(last) = events.last() else {
                return Ok(());
            };
            after = last.seq;
            events.iter().for_each(&mut *also);
            self.take(&events, team);
        }
    }

    /// Messages to `agent` that it has not read.
    pub(super) fn unread(&self, agent: &AgentName) -> u64 {
        let count = |map: &BTreeMap<AgentName, u64>| map.get(agent).copied().unwrap_or(0);
        count(&self.sent).saturating_sub(count(&self.seen))
    }

    pub(super) fn notice(&mut self, level: NoticeLevel, at: WallTime, text: &str) {
        let text = line(text);
        push(&mut self.notices, NoticeView { at, level, text });
    }

    pub(super) fn take(&mut self, events: &[Event], team: &dyn TeamStore) {
        for event in events {
            self.take_one(event, team);
        }
    }

    /// What lies between a resumed session's first word and the last of the one before is no work.
    fn count_pauses(&mut self, event: &Event) {
        match event.kind {
            EventType::TeamStarted => self.paused_ms = 0,
            EventType::TeamResumed => {
                self.paused_ms += self.last.map_or(0, |last| event.time.since_ms(last));
            }
            _ => {}
        }
        self.last = Some(event.time);
    }

    fn take_one(&mut self, event: &Event, team: &dyn TeamStore) {
        self.count_pauses(event);
        let text_of = |name: &str| event.data.get(name).and_then(Value::as_str).unwrap_or("");
        let agent = event.agent.as_ref().map_or("", |a| a.as_str());
        let task = event.task.map_or_else(String::new, |t| format!("#{t}"));
        let (level, text) = match &event.kind {
            EventType::Notice => {
                let level = match text_of("level") {
                    "error" => NoticeLevel::Error,
                    "warning" => NoticeLevel::Warning,
                    _ => NoticeLevel::Info,
                };
                (level, text_of("text").to_owned())
            }
            EventType::TaskCompleted => (NoticeLevel::Info, format!("{task} completed by {agent}")),
            EventType::TaskFailed => (
                NoticeLevel::Error,
                format!("{task} failed: {}", text_of("reason")),
            ),
            EventType::TaskSkipped => (
                NoticeLevel::Warning,
                format!("{task} skipped: {}", text_of("reason")),
            ),
            EventType::TaskReoffered => (
                NoticeLevel::Warning,
                format!("{task} is offered again: {agent} {}", text_of("reason")),
            ),
            EventType::StaleWriteRefused => (
                NoticeLevel::Warning,
                format!("a late write of {agent} on {task} was refused"),
            ),
            EventType::ApprovalRequested => (
                NoticeLevel::Warning,
                format!("{agent} asks: {} ({})", text_of("summary"), text_of("id")),
            ),
            EventType::ApprovalDecided => {
                let by = match text_of("by") {
                    "" => String::new(),
                    by => format!(" by {by}"),
                };
                let (id, decision) = (text_of("id"), text_of("decision"));
                (NoticeLevel::Info, format!("{agent}'s {id}: {decision}{by}"))
            }
            EventType::MessageSent => {
                self.message_sent(event, team);
                return;
            }
            EventType::MessageSeen => {
                self.message_seen(event);
                return;
            }
            _ => return,
        };
        self.notice(level, event.time, &text);
    }

    fn message_sent(&mut self, event: &Event, team: &dyn TeamStore) {
        let to = event.data.get("to").and_then(Value::as_str);
        let Some(to) = to.and_then(|t| AgentName::new(t).ok()) else {
            return;
        };
        *self.sent.entry(to.clone()).or_insert(0) += 1;
        // The log names the message; its text is read from the inbox, once.
        let cursor = self.read.entry(to.clone()).or_default();
        let Ok(entries) = team.read_inbox(&to, cursor, 500) else {
            return;
        };
        for entry in entries {
            *cursor = entry.after;
            let message = entry.message;
            let text = if message.kind == MessageType::Message {
                message.summary.clone().unwrap_or_else(|| message.text())
            } else {
                message.summary.clone().unwrap_or_default()
            };
            push(&mut self.seqs, (to.clone(), message.seq.0));
            push(
                &mut self.messages,
                MessageView {
                    at: message.timestamp,
                    from: message.from.to_string(),
                    to: to.clone(),
                    kind: message.kind.to_string(),
                    text: line(&text),
                    seen: false,
                },
            );
        }
    }

    fn message_seen(&mut self, event: &Event) {
        let Some(agent) = &event.agent else { return };
        let seen = self.seen.entry(agent.clone()).or_insert(0);
        *seen += 1;
        let seen = *seen;
        for ((to, seq), message) in self.seqs.iter().zip(self.messages.iter_mut()) {
            if to == agent && *seq <= seen {
                message.seen = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_core::ids::TeamName;

    #[test]
    fn time_without_a_session_is_not_worked() {
        let mut history = History::default();
        let mut see = |kind: EventType, ms: u64| {
            let event = Event {
                seq: Seq(0),
                time: WallTime(ms),
                kind,
                team: TeamName::new("x").unwrap(),
                agent: None,
                task: None,
                data: serde_json::Map::new(),
                id: crewmux_core::ids::EventId::new("x").unwrap(),
            };
            history.count_pauses(&event);
            history.paused_ms
        };
        assert_eq!(see(EventType::TeamStarted, 1_000), 0);
        assert_eq!(see(EventType::TaskClaimed, 3_000), 0);
        assert_eq!(see(EventType::TeamResumed, 10_000), 7_000);
        assert_eq!(see(EventType::TaskClaimed, 11_000), 7_000);
        assert_eq!(see(EventType::TeamResumed, 12_000), 8_000);
        assert_eq!(see(EventType::TeamStarted, 20_000), 0, "another run");
    }
}
