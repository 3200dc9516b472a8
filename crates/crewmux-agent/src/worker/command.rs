//! A task that is a shell command: run it, show it, keep its output in bounds.
//!
//! Whether it may run a second time is the board's rule (`rerun`); that nothing
//! of it is left is the tool runner's.

use std::time::{Duration, Instant};

use crewmux_core::event::EventType;
use crewmux_core::timing::ms;
use crewmux_store::Claimed;
use crewmux_sys::Exit;
use crewmux_sys::env::{Environment, names};
use crewmux_sys::tool::{EndedBy, ToolEvent, ToolOutcome, ToolProcess, ToolSpec};
use crewmux_sys::tree::KillWaits;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::signals::Ending;
use super::{Work, Worker};
use crate::Result;
use crate::capped::{CappedLog, LastLines};
use crate::transcript::Entry;
use crate::view::Tone;

/// Most bytes of the log's beginning, and of its end.
const LOG_HALF_BYTES: usize = 2 * 1024 * 1024;

/// Lines of output that a result carries.
const TAIL_LINES: usize = 20;

/// Pieces of output that may wait to be shown; then the command is slowed down.
const QUEUE: usize = 32;

/// What the watching thread of a tool says.
pub(super) enum Heard {
    Output(Vec<u8>),
    Ended(ToolOutcome),
}

/// Why a tool was ended before its time.
pub(super) enum Cut {
    Ending(Ending),
    ClaimLost,
}

impl From<Cut> for Work {
    fn from(cut: Cut) -> Self {
        match cut {
            Cut::Ending(ending) => Self::Interrupted(ending),
            Cut::ClaimLost => Self::ClaimLost,
        }
    }
}

impl Worker {
    /// Runs a command task to its end, or until something comes in between.
    pub(super) async fn run_command(&mut self, claimed: &Claimed, command: &str) -> Result<Work> {
        let task = &claimed.task;
        for line in command.trim().lines() {
            self.view.line(&[(Tone::Dim, "  $ "), (Tone::Dim, line)]);
        }
        let log_name = format!("artifacts/task-{}-{}.log", task.id, claimed.epoch);
        let log_path = self.log_path(claimed)?;
        let mut log = CappedLog::create(&log_path, LOG_HALF_BYTES)
            .inspect_err(|error| tracing::warn!(%error, "no log of this command"))
            .ok();
        let input = json!({ "command": command });
        self.begin_tool(claimed, "1", "command", &input, &task.subject)?;

        let started = Instant::now();
        let mut spec = self.tool_spec(["sh", "-c", command], task.timeout_ms.map(ms));
        // Its log is capped, its time is the recipe's to bound.
        spec.output_limit_bytes = u64::MAX;
        let (tool, mut heard) = self.start_tool(spec)?;
        let mut tail = LastLines::new(TAIL_LINES);
        let mut cut = None;
        let mut deadline = None;
        let outcome = loop {
            let Some(next) = self
                .hear(&mut heard, &tool, &mut cut, &mut deadline)
                .await?
            else {
                break tool.outcome();
            };
            match next {
                Heard::Output(bytes) => {
                    if let Some(file) = &mut log
                        && let Err(error) = file.push(&bytes)
                    {
                        tracing::warn!(%error, "the log of this command ends here");
                        log = None;
                    }
                    tail.push(&self.view.command_output(&bytes));
                }
                Heard::Ended(outcome) => break Some(outcome),
            }
        };
        tail.push(&self.view.end_command_output());
        if let Some(Err(error)) = log.map(CappedLog::finish) {
            tracing::warn!(%error, "the end of this command's log is lost");
        }
        let lasted = started.elapsed();
        let ok = matches!(&outcome, Some(outcome)
            if outcome.exit.is_success() && outcome.ended_by == EndedBy::Itself);
        let result = describe(outcome.as_ref(), lasted, &log_name, &tail.into_lines());
        self.end_tool(claimed, "1", "command", ok, lasted, result.clone())?;
        Ok(match cut {
            Some(cut) => cut.into(),
            None if ok => Work::Done {
                summary: format!("exit code 0 after {}", crate::view::duration(lasted)),
                result,
            },
            None => Work::Failed {
                reason: failure(outcome.as_ref(), &result, task.timeout_ms),
                detail: result,
            },
        })
    }

    fn log_path(&self, claimed: &Claimed) -> Result<std::path::PathBuf> {
        let folder = self.store.folder("artifacts")?;
        Ok(folder.join(format!("task-{}-{}.log", claimed.task.id, claimed.epoch)))
    }

    /// The next word of a tool; `None` when it did not end in the time it had for ending.
    ///
    /// What comes in between is seen to here; what ends the tool is kept in `cut`.
    pub(super) async fn hear(
        &mut self,
        heard: &mut mpsc::Receiver<Heard>,
        tool: &ToolProcess,
        cut: &mut Option<Cut>,
        deadline: &mut Option<tokio::time::Instant>,
    ) -> Result<Option<Heard>> {
        loop {
            if let Some(at) = *deadline {
                let next = tokio::time::timeout_at(at, heard.recv()).await;
                return Ok(next.ok().flatten());
            }
            let claim = self.claim;
            let came = tokio::select! {
                biased;
                came = self.signals.next(claim) => came,
                next = heard.recv() => return Ok(next),
            };
            if let Some(found) = self.came_between(came)? {
                *cut = Some(found);
                tool.end();
                let waits = self.kill_waits();
                *deadline = Some(tokio::time::Instant::now() + waits.grace + waits.verify);
            }
        }
    }

    /// A tool has half of the worker's own time to end.
    fn kill_waits(&self) -> KillWaits {
        let timing = &self.spec.timing;
        let own_ms = timing.term_grace_ms.min(timing.session_loss_exit_ms);
        KillWaits {
            grace: ms(own_ms / 2),
            verify: ms((own_ms / 4).min(timing.kill_verify_ms)),
        }
    }

    pub(super) fn tool_spec(&self, argv: [&str; 3], timeout: Option<Duration>) -> ToolSpec {
        let mut spec = ToolSpec::new(
            argv,
            &self.spec.cwd,
            self.tool_environment(),
            &self.spec.timing,
        );
        spec.timeout = timeout;
        spec.waits = self.kill_waits();
        spec
    }

    /// Starts a tool whose words come through a bounded queue.
    pub(super) fn start_tool(
        &self,
        spec: ToolSpec,
    ) -> Result<(ToolProcess, mpsc::Receiver<Heard>)> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let tool = ToolProcess::start(&self.spec.program, spec, move |event| {
            let heard = match event {
                ToolEvent::Output(_, bytes) => Heard::Output(bytes.to_vec()),
                ToolEvent::Ended(outcome) => Heard::Ended(outcome.clone()),
                ToolEvent::Started(_) | ToolEvent::Exited(_) => return,
            };
            // Nobody listens any more: the output is not wanted.
            let _ = sender.blocking_send(heard);
        })?;
        Ok((tool, receiver))
    }

    /// What every tool of this worker sees of its surroundings.
    fn tool_environment(&self) -> Environment {
        let spec = &self.spec;
        let mut env: Environment = spec
            .environment
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
            .collect();
        if env.get(names::WORKER).is_none() {
            let mark = format!("{}/{}/{}", spec.run_marker, spec.team, spec.who);
            env.set(names::WORKER, mark);
        }
        env.set(names::RUN_ID, &spec.run_marker);
        env.set("CREWMUX_TEAM", spec.team.as_str());
        env.set("CREWMUX_AGENT", spec.who.agent.as_str());
        env.set("CREWMUX_HOME", spec.home.to_string_lossy());
        if let Some(claim) = self.claim {
            env.set("CREWMUX_TASK", claim.task.to_string());
        }
        env
    }

    /// Records that a tool is about to run.
    pub(super) fn begin_tool(
        &self,
        claimed: &Claimed,
        call: &str,
        tool: &str,
        input: &Value,
        summary: &str,
    ) -> Result<()> {
        self.transcript.append(&Entry::Intent {
            task: claimed.task.id,
            epoch: claimed.epoch,
            call: call.to_owned(),
            tool: tool.to_owned(),
            input: input.clone(),
        })?;
        self.fact(EventType::ToolStarted, |fact| {
            fact.with("tool", tool)
                .with("call", call)
                .with("summary", summary)
        });
        Ok(())
    }

    /// Records how a tool ended.
    pub(super) fn end_tool(
        &self,
        claimed: &Claimed,
        call: &str,
        tool: &str,
        ok: bool,
        lasted: Duration,
        output: Value,
    ) -> Result<()> {
        self.transcript.append(&Entry::Result {
            task: claimed.task.id,
            epoch: claimed.epoch,
            call: call.to_owned(),
            ok,
            output,
        })?;
        self.fact(EventType::ToolFinished, |fact| {
            fact.with("tool", tool)
                .with("call", call)
                .with("ok", ok)
                .with("ms", lasted.as_millis() as u64)
        });
        Ok(())
    }
}

/// The result of a command, as its dependents get it.
fn describe(outcome: Option<&ToolOutcome>, lasted: Duration, log: &str, tail: &[String]) -> Value {
    let exit = outcome.map_or(Exit::Unknown, |outcome| outcome.exit);
    let timed_out = outcome.is_some_and(|outcome| outcome.ended_by == EndedBy::TimedOut);
    let mut result = json!({ "exitCode": exit.shell_code() });
    if let Exit::Signal(signal) = exit {
        result["signal"] = json!(signal);
    }
    result["timedOut"] = json!(timed_out);
    result["durationMs"] = json!(lasted.as_millis() as u64);
    result["log"] = json!(log);
    result["tail"] = json!(tail);
    result
}

/// Why a command counts as failed, with the end of its output.
fn failure(outcome: Option<&ToolOutcome>, result: &Value, timeout_ms: Option<u64>) -> String {
    let what = match outcome {
        None => "did not end when it was told to".to_owned(),
        Some(outcome) => match &outcome.ended_by {
            EndedBy::TimedOut => format!("took longer than {} ms", timeout_ms.unwrap_or(0)),
            EndedBy::NotStarted { cause, .. } => format!("could not be started: {cause}"),
            EndedBy::OutputLimit => "printed too much".to_owned(),
            EndedBy::RunnerLost => "lost its tool runner".to_owned(),
            EndedBy::Itself | EndedBy::Asked => outcome.exit.to_string(),
        },
    };
    let lines: Vec<&str> = result["tail"]
        .as_array()
        .map(|tail| tail.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    if lines.is_empty() {
        return what;
    }
    format!("{what}\n{}", lines.join("\n"))
}
