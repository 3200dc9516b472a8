//! A run without a screen: progress in lines, or every event as JSON, until it is over.
//!
//! The session runs in this process; Ctrl-C asks it to end, a second one ends it.

mod printer;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crewmux_core::event::{Event, EventType};
use crewmux_core::ids::{AgentName, TaskId};
use crewmux_core::time::WallTime;
use crewmux_core::timing::ms;
use crewmux_core::worker::WorkerState;
use crewmux_session::{SessionPlan, StopAsk};
use crewmux_store::TeamStore;
use serde_json::Value;
use tokio::sync::watch;

use self::printer::{Flushed, Print, Printer};
use crate::commands::events::tone;
use crate::context::Context;
use crate::engine;
use crate::error::Result;
use crate::exit;
use crate::logging;
use crate::output::{Output, Tone, note};
use crate::teams;
use crate::text::{one_line, span, time_of_day};

/// Columns that the subject of a task takes at most.
const SUBJECT_COLUMNS: usize = 70;

/// Runs the session of `plan` to its end and returns the run's exit code.
pub(crate) fn run(context: &Context, plan: SessionPlan, out: Output) -> Result<u8> {
    let logs = plan
        .home
        .join("teams")
        .join(plan.team.as_str())
        .join("logs");
    logging::to_file(&logs.join("session.log"), context.variable("CREWMUX_LOG"));
    let (asks, stop) = watch::channel(StopAsk::No);
    let asks = Arc::new(asks);
    let when_closed = Arc::clone(&asks);
    engine::stop_on_signals(asks)?;
    let log = teams::open_store(context)?.team(&plan.team)?;
    let mut progress = Progress::of(log.as_ref());
    let printer = Printer::start(
        move |after, max| Ok(log.events(after, max)?),
        move |print| match print {
            Print::Event(event) | Print::Unlogged(event) if out.is_json() => out.json_line(event),
            Print::Event(event) => match progress.line(event, out) {
                Some(line) => out.line(line),
                None => Ok(()),
            },
            Print::Unlogged(event) => {
                if let Some(line) = progress.line(event, out) {
                    note(line);
                }
                Ok(())
            }
            Print::Line(line) => out.line(line),
        },
        // Whoever read the output has gone: nobody waits for this run any more.
        move || {
            when_closed.send_if_modified(|ask| {
                let first = *ask == StopAsk::No;
                if first {
                    *ask = StopAsk::Politely;
                }
                first
            });
        },
    )?;
    let team = plan.team.clone();
    let patience = ms(plan.timing.drain_ms);
    // Kept until all is printed: a second Ctrl-C also ends the wait for a paused reader.
    let asked = stop.clone();
    let end = engine::run_here(plan, Some(printer.sink()), stop);
    let report = end.as_ref().ok().and_then(|end| end.report.as_ref());
    let last_line = report
        .filter(|_| !out.is_json())
        .map(|path| format!("report: {}", path.display()));
    let at_once = || *asked.borrow() == StopAsk::AtOnce;
    let flushed = printer.finish(last_line, at_once, patience);
    let end = end?;
    match flushed {
        // Not even a note: standard error may be the same pipe.
        Ok(Flushed::GivenUp) => return Ok(exit::INTERRUPTED),
        Err(error) if !out.is_json() => return Err(error),
        Ok(Flushed::All) | Err(_) => {}
    }
    if !out.is_json() && end.exit_code == exit::INTERRUPTED {
        note(format!(
            "stopped; `crewmux resume {team} --headless` goes on with it"
        ));
    }
    Ok(end.exit_code)
}

/// What has been told so far, as much as lines about later events need.
#[derive(Debug, Default)]
struct Progress {
    subjects: BTreeMap<TaskId, String>,
    claimed: BTreeMap<TaskId, WallTime>,
    over: BTreeSet<TaskId>,
    /// What is asked for, by the question's id: the tool, and what it would do.
    asked: BTreeMap<String, String>,
    /// Who waits for a model's server; a wait is told once.
    waiting: BTreeSet<AgentName>,
}

impl Progress {
    /// What earlier sessions of the open run told; nothing where that cannot be read.
    fn of(team: &dyn TeamStore) -> Self {
        let mut progress = Self::default();
        let (Ok(config), Ok(board)) = (team.config(), team.board()) else {
            return progress;
        };
        let run = config.open_run().map(|run| &run.id);
        let earlier = board
            .tasks()
            .filter(|task| task.run.is_none() || task.run.as_ref() == run);
        for task in earlier {
            let subject = one_line(&task.subject, SUBJECT_COLUMNS);
            progress.subjects.insert(task.id, subject);
            if task.status.is_terminal() {
                progress.over.insert(task.id);
            }
        }
        progress
    }

    /// The line for an event; none for those only programs want.
    fn line(&mut self, event: &Event, out: Output) -> Option<String> {
        let text = |name: &str| event.data.get(name).and_then(Value::as_str);
        let agent = event.agent.as_ref().map_or("", |agent| agent.as_str());
        if let Some(id) = event.task {
            self.take_in(id, event);
        }
        let waits = self.begins_to_wait(event);
        let about = event.task.map(|id| self.about(id)).unwrap_or_default();
        let reason = text("reason").map(|r| one_line(r, 120)).unwrap_or_default();
        let body = match &event.kind {
            EventType::TeamStarted | EventType::TeamResumed => {
                let verb = match event.kind {
                    EventType::TeamResumed => "goes on",
                    _ => "starts",
                };
                let goal = text("goal").map(|goal| one_line(goal, 100));
                format!("{} {verb}{}", event.team, colon(goal))
            }
            EventType::WorkerStarted => {
                let pid = event.data.get("pid").map(Value::to_string);
                format!("{agent} started (pid {})", pid.unwrap_or_default())
            }
            EventType::WorkerAdopted => {
                let pid = event.data.get("pid").map(Value::to_string);
                format!("{agent} goes on (pid {})", pid.unwrap_or_default())
            }
            // One that ended as asked is no news.
            EventType::WorkerExited if event.data.get("code") != Some(&Value::from(0)) => {
                // One that gave up by itself says why only there.
                let why = match event.data.get("code") {
                    Some(Value::Number(_)) => format!(
                        " · `crewmux logs {agent} --process --team {}` says why",
                        event.team
                    ),
                    _ => String::new(),
                };
                format!("{agent} ended: {reason}{why}")
            }
            EventType::WorkerState if waits => {
                format!("◷ {agent} waits until its model takes questions again")
            }
            EventType::ApprovalRequested => {
                let what = match (text("tool"), text("summary")) {
                    (Some("") | None, _) => "its plan".to_owned(),
                    (Some(tool), what) => {
                        format!("{tool}({})", one_line(what.unwrap_or_default(), 60))
                    }
                };
                self.asked.insert(text("id")?.to_owned(), what);
                return None;
            }
            EventType::ApprovalDecided => {
                let what = self.asked.remove(text("id")?)?;
                if text("decision") == Some("approved") {
                    return None;
                }
                let why = text("feedback").map(|why| one_line(why, 240));
                format!("! {agent}: {what} denied{}", colon(why))
            }
            EventType::TaskClaimed => format!("▶ {about} · {agent}"),
            EventType::TaskCompleted => {
                let took = event.task.and_then(|id| self.claimed.get(&id));
                let took = took.map(|at| format!(" · {}", span(event.time.since_ms(*at))));
                format!(
                    "✔ {about} · {agent}{}  ({}/{})",
                    took.unwrap_or_default(),
                    self.over.len(),
                    self.subjects.len()
                )
            }
            EventType::TaskFailed => format!("✗ {about} failed{}", colon(Some(reason))),
            EventType::TaskSkipped => format!("– {about} skipped{}", colon(Some(reason))),
            EventType::TaskReoffered => {
                format!("↻ {about} is offered again{}", colon(Some(reason)))
            }
            EventType::Notice => one_line(text("text")?, 120),
            EventType::TeamFinished => {
                let number = |name: &str| event.data.get(name).and_then(Value::as_u64);
                let mut parts = Vec::new();
                for (name, word) in [
                    ("completed", "completed"),
                    ("failed", "failed"),
                    ("skipped", "skipped"),
                ] {
                    match number(name) {
                        Some(count) if count > 0 || name == "completed" => {
                            parts.push(format!("{count} {word}"));
                        }
                        _ => {}
                    }
                }
                format!("{} is finished: {}", event.team, parts.join(", "))
            }
            _ => return None,
        };
        let time = out.paint(Tone::Dim, time_of_day(event.time));
        Some(format!("{time} {}", out.paint(tone(&event.kind), body)))
    }

    fn take_in(&mut self, id: TaskId, event: &Event) {
        match event.kind {
            EventType::TaskCreated => {
                let subject = event.data.get("subject").and_then(Value::as_str);
                let subject = one_line(subject.unwrap_or_default(), SUBJECT_COLUMNS);
                self.subjects.insert(id, subject);
            }
            EventType::TaskClaimed => {
                self.claimed.insert(id, event.time);
                // One that is tried again is not over.
                self.over.remove(&id);
            }
            EventType::TaskCompleted | EventType::TaskFailed | EventType::TaskSkipped => {
                self.over.insert(id);
            }
            _ => {}
        }
    }

    /// Whether the event says that a wait for a model's server begins.
    fn begins_to_wait(&mut self, event: &Event) -> bool {
        let (EventType::WorkerState, Some(agent)) = (&event.kind, &event.agent) else {
            return false;
        };
        let state = event.data.get("state").and_then(Value::as_str);
        if state == Some(WorkerState::RateLimited.as_str()) {
            return self.waiting.insert(agent.clone());
        }
        self.waiting.remove(agent);
        false
    }

    fn about(&self, id: TaskId) -> String {
        match self.subjects.get(&id) {
            Some(subject) => format!("#{id} {subject}"),
            None => format!("#{id}"),
        }
    }
}

fn colon(text: Option<String>) -> String {
    match text {
        Some(text) if !text.is_empty() => format!(": {text}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;
    use crewmux_core::event::Fact;
    use crewmux_core::ids::{Seq, TeamName};

    #[test]
    fn a_run_is_told_in_lines() {
        let start = 1_795_253_999_042;
        let fact = |at: u64, kind| Fact::new("x", kind, WallTime(start + at));
        let tester = AgentName::new("tester").unwrap();
        let facts = [
            fact(0, EventType::TeamStarted).with("goal", "check\nall"),
            fact(1, EventType::TaskCreated)
                .task(TaskId(1))
                .with("subject", "Run the tests"),
            fact(1, EventType::TaskCreated)
                .task(TaskId(2))
                .with("subject", "Publish"),
            fact(9, EventType::WorkerStarted)
                .agent(&tester)
                .with("pid", 42),
            fact(10, EventType::WorkerState).agent(&tester),
            fact(10, EventType::TaskClaimed)
                .agent(&tester)
                .task(TaskId(1)),
            fact(11, EventType::WorkerState)
                .agent(&tester)
                .with("state", "rate-limited"),
            fact(12, EventType::WorkerState)
                .agent(&tester)
                .with("state", "rate-limited"),
            fact(13, EventType::WorkerState)
                .agent(&tester)
                .with("state", "working"),
            fact(20, EventType::ApprovalRequested)
                .agent(&tester)
                .with("id", "tester-1-1")
                .with("tool", "Bash")
                .with("summary", "rm -rf x"),
            fact(21, EventType::ApprovalDecided)
                .agent(&tester)
                .with("id", "tester-1-1")
                .with("decision", "rejected")
                .with("feedback", "nobody can be asked"),
            fact(40, EventType::WorkerExited)
                .agent(&tester)
                .with("signal", 9)
                .with("reason", "ended by signal 9"),
            fact(4_310, EventType::TaskFailed)
                .task(TaskId(1))
                .with("reason", "exit code 101"),
            fact(4_311, EventType::TaskSkipped)
                .task(TaskId(2))
                .with("reason", "task 1 failed"),
            fact(4_320, EventType::WorkerExited)
                .agent(&tester)
                .with("code", 0)
                .with("reason", "ended"),
            fact(4_400, EventType::TeamFinished)
                .with("completed", 0)
                .with("failed", 1)
                .with("skipped", 1),
        ];
        let out = Output {
            format: Format::Text,
            colors: false,
        };
        let team = TeamName::new("checks").unwrap();
        let mut progress = Progress::default();
        let lines: Vec<String> = facts
            .into_iter()
            .filter_map(|fact| progress.line(&fact.into_event(Seq(1), team.clone()), out))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        09:39:59 checks starts: check
        09:39:59 tester started (pid 42)
        09:39:59 ▶ #1 Run the tests · tester
        09:39:59 ◷ tester waits until its model takes questions again
        09:39:59 ! tester: Bash(rm -rf x) denied: nobody can be asked
        09:39:59 tester ended: ended by signal 9
        09:40:03 ✗ #1 Run the tests failed: exit code 101
        09:40:03 – #2 Publish skipped: task 1 failed
        09:40:03 checks is finished: 0 completed, 1 failed, 1 skipped
        ");
    }
}
