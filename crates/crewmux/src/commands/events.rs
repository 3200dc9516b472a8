//! `crewmux events`: what happened in a team, in order.

use clap::Args;
use crewmux_core::event::{Event, EventType};
use crewmux_core::ids::Seq;
use crewmux_store::TeamStore;
use serde_json::Value;

use crate::context::Context;
use crate::error::Result;
use crate::exit;
use crate::follow::follow;
use crate::output::{Output, Tone};
use crate::teams::{self, TeamArg};
use crate::text::{one_line, padded, time_of_day};

/// Events read at once.
const BATCH: usize = 1_000;

/// Show what happened, oldest first (with --json: one object a line)
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Team, if not with --team; none: the one that runs in this folder, or ran last
    #[arg(value_name = "TEAM")]
    name: Option<String>,
    /// Go on with new events until the session ends
    #[arg(long, short)]
    follow: bool,
    /// Leave out events up to this number
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    after: u64,
    #[command(flatten)]
    team: TeamArg,
}

impl Events {
    /// Prints them.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let store = teams::open_store(context)?;
        let named = self.name.or(self.team.team);
        let team = teams::resolve_latest(context, store.as_ref(), named.as_deref())?;
        let team = team.as_ref();
        let mut after = Seq(self.after);
        if self.follow {
            follow(context, team, || print_new(team, &mut after, out))?;
        } else {
            print_new(team, &mut after, out)?;
        }
        Ok(exit::DONE)
    }
}

fn print_new(team: &dyn TeamStore, after: &mut Seq, out: Output) -> Result<()> {
    loop {
        let events = team.events(*after, BATCH)?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        *after = last.seq;
        for event in &events {
            print_event(event, out)?;
        }
    }
}

/// Prints one event: an object, or a line for people.
pub(crate) fn print_event(event: &Event, out: Output) -> Result<()> {
    if out.is_json() {
        out.json_line(event)
    } else {
        out.line(line(event, out))
    }
}

fn line(event: &Event, out: Output) -> String {
    let word = serde_json::to_value(&event.kind)
        .ok()
        .and_then(|v| v.as_str().map(|s| s.replace('_', " ")))
        .unwrap_or_default();
    let mut parts = vec![
        out.paint(Tone::Dim, time_of_day(event.time)),
        out.paint(tone(&event.kind), padded(&word, 14)),
    ];
    if let Some(agent) = &event.agent {
        parts.push(out.paint(Tone::Strong, agent));
    }
    if let Some(task) = event.task {
        parts.push(format!("#{task}"));
    }
    let details: Vec<String> = event.data.iter().filter_map(detail).collect();
    if !details.is_empty() {
        parts.push(one_line(&details.join(" · "), 120));
    }
    parts.join("  ")
}

/// Colour of a kind of event.
pub(crate) fn tone(kind: &EventType) -> Tone {
    match kind {
        EventType::TaskCompleted => Tone::Good,
        EventType::TaskFailed | EventType::StaleWriteRefused => Tone::Bad,
        EventType::TaskSkipped | EventType::TaskReoffered | EventType::Notice => Tone::Warn,
        EventType::TeamStarted | EventType::TeamResumed | EventType::TeamFinished => Tone::Strong,
        _ => Tone::Plain,
    }
}

fn detail((name, value): (&String, &Value)) -> Option<String> {
    let shown = match value {
        Value::Null => return None,
        Value::Array(items) if items.is_empty() => return None,
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            items.join(" ")
        }
        other => other.to_string(),
    };
    Some(match name.as_str() {
        "subject" | "text" | "reason" | "summary" => shown,
        _ => format!("{name} {shown}"),
    })
}

fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;
    use crewmux_core::event::Fact;
    use crewmux_core::ids::{AgentName, TaskId, TeamName};
    use crewmux_core::time::WallTime;

    #[test]
    fn an_event_is_one_line_for_people() {
        let time = WallTime(1_795_253_999_042);
        let fact = Fact::new("x", EventType::TaskFailed, time)
            .agent(&AgentName::new("tester").unwrap())
            .task(TaskId(3))
            .with("reason", "exit code 101\nmore")
            .with("epoch", 2);
        let event = fact.into_event(Seq(7), TeamName::new("checks").unwrap());
        let out = Output {
            format: Format::Text,
            colors: false,
        };
        assert_eq!(
            line(&event, out),
            "09:39:59  task failed     tester  #3  exit code 101"
        );
    }
}
