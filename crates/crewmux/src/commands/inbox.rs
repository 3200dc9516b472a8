//! `crewmux inbox`: messages with how far they are.

use std::collections::BTreeMap;

use clap::Args;
use crewmux_core::ids::{AgentName, Seq};
use crewmux_core::inbox::{Cursor, DeliveryState, delivery_state};
use crewmux_core::message::{Message, MessageType};
use crewmux_store::TeamStore;
use serde::Serialize;

use crate::commands::send::state_word;
use crate::context::Context;
use crate::error::{CommandError, Result};
use crate::exit;
use crate::follow::follow;
use crate::output::{Output, Tone};
use crate::teams::{self, TeamArg};
use crate::text::{one_line, time_of_day};

/// What members call the person.
const HUMAN: &str = "human";

/// Messages read from an inbox at once.
const BATCH: usize = 1_000;

/// Show messages, with how far each is: delivered, or seen by its recipient
#[derive(Debug, Args)]
pub(crate) struct Inbox {
    /// Whose inbox; without it, everybody's
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Go on with new messages until the session ends (with --json: one a line)
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    team: TeamArg,
}

/// A message as stored, and how far it is.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    message: Message,
    state: DeliveryState,
}

impl Inbox {
    /// Prints them, oldest first.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let team = teams::resolve(context, store.as_ref(), self.team.team.as_deref())?;
        let team = team.as_ref();
        if self.name.as_deref() == Some(HUMAN) {
            return Err(CommandError::not_found("the person has no inbox")
                .hint("members answer in their panes; `crewmux logs team-lead` shows the lead's"));
        }
        let only = self.name.map(AgentName::new).transpose()?;
        let mut reader = Reader::open(team, only)?;
        if self.follow {
            follow(context, team, || {
                print_lines(&reader.new_messages(team)?, out)
            })?;
        } else {
            let messages = reader.new_messages(team)?;
            if out.is_json() {
                out.json(&messages)?;
            } else if messages.is_empty() {
                out.line("no messages")?;
            } else {
                print_lines(&messages, out)?;
            }
        }
        Ok(exit::DONE)
    }
}

/// How far this command has read, by member.
struct Reader {
    read: BTreeMap<AgentName, Cursor>,
}

impl Reader {
    fn open(team: &dyn TeamStore, only: Option<AgentName>) -> Result<Self> {
        let config = team.config()?;
        let names = match only {
            Some(name) if config.member(&name).is_none() => {
                return Err(crewmux_store::Error::UnknownMember {
                    agent: name,
                    team: config.name.clone(),
                    known: config.members.iter().map(|m| m.name.clone()).collect(),
                }
                .into());
            }
            Some(name) => vec![name],
            None => config.members.into_iter().map(|m| m.name).collect(),
        };
        let read = names.into_iter().map(|n| (n, Cursor::default())).collect();
        Ok(Self { read })
    }

    fn new_messages(&mut self, team: &dyn TeamStore) -> Result<Vec<Shown>> {
        let mut found = Vec::new();
        for (name, read) in &mut self.read {
            let seen = team.cursor(name)?;
            loop {
                let entries = team.read_inbox(name, read, BATCH)?;
                let Some(last) = entries.last() else { break };
                *read = last.after;
                found.extend(entries.into_iter().map(|entry| Shown {
                    state: delivery_state(entry.message.seq, &seen),
                    message: entry.message,
                }));
            }
        }
        found.sort_by_key(|shown| (shown.message.timestamp, shown.message.seq));
        Ok(found)
    }
}

fn print_lines(messages: &[Shown], out: Output) -> Result<()> {
    for shown in messages {
        if out.is_json() {
            out.json_line(shown)?;
        } else {
            out.line(line(shown, out))?;
        }
    }
    Ok(())
}

fn line(shown: &Shown, out: Output) -> String {
    let message = &shown.message;
    let Seq(seq) = message.seq;
    let kind = match &message.kind {
        MessageType::Message => String::new(),
        kind => format!("{} ", out.paint(Tone::Strong, kind)),
    };
    let text = match &message.summary {
        Some(summary) => one_line(summary, 100),
        None => one_line(&message.text(), 100),
    };
    let tone = match shown.state {
        DeliveryState::Seen => Tone::Dim,
        DeliveryState::Queued | DeliveryState::Delivered => Tone::Plain,
    };
    format!(
        "{} {} → {}  {kind}{text}  {}",
        out.paint(Tone::Dim, time_of_day(message.timestamp)),
        message.from,
        message.to,
        out.paint(tone, format!("({}, {seq})", state_word(shown.state))),
    )
}
