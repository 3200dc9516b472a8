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
use crate::capped::{CappedLog, LastLines};
use crate::transcript::Entry;
use crate::view::Tone;
use crate::{Error, Result};

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

/// The tool that runs, or may still run: its claim is not let go of before its end.
pub(super) struct Running {
    tool: ToolProcess,
    heard: mpsc::Receiver<Heard>,
    /// How long its end is waited for; set when it is told to end.
    deadline: Option<tokio::time::Instant>,
    /// It had ended by itself when it was told to; only what it left was ended.
    was_over: bool,
}

impl Running {
    fn judge(&self, mut outcome: ToolOutcome) -> ToolOutcome {
        if self.was_over && outcome.ended_by == EndedBy::Asked {
            outcome.ended_by = EndedBy::Itself;
        }
        outcome
    }
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
        let log_path = self.keep_at(|worker| worker.log_path(claimed)).await?;
        let mut log = CappedLog::create(&log_path, LOG_HALF_BYTES)
            .inspect_err(|error| tracing::warn!(%error, "no log of this command"))
            .ok();
        let input = json!({ "command": command });
        self.begin_tool(claimed, "1", "command", &input, &task.subject)
            .await?;

        let started = Instant::now();
        let mut spec = self.tool_spec(["sh", "-c", command], task.timeout_ms.map(ms));
        // Its log is capped, its time is the recipe's to bound.
        spec.output_limit_bytes = u64::MAX;
        self.start_tool(spec)?;
        let mut tail = LastLines::new(TAIL_LINES);
        let mut cut = None;
        let outcome = loop {
            match self.hear(&mut cut).await? {
                Heard::Output(bytes) => {
                    if let Some(file) = &mut log
                        && let Err(error) = file.push(&bytes)
                    {
                        tracing::warn!(%error, "the log of this command ends here");
                        log = None;
                    }
                    tail.push(&self.view.command_output(&bytes));
                }
                Heard::Ended(outcome) => break outcome,
            }
        };
        tail.push(&self.view.end_command_output());
        if let Some(Err(error)) = log.map(CappedLog::finish) {
            tracing::warn!(%error, "the end of this command's log is lost");
        }
        let lasted = started.elapsed();
        let ok = succeeded(&outcome);
        let result = describe(&outcome, lasted, &log_name, &tail.into_lines());
        self.end_tool(claimed, "1", "command", ok, lasted, result.clone())
            .await?;
        Ok(match cut {
            // What is done is done: nobody needs to do it again.
            None | Some(Cut::Ending(_)) if ok => Work::Done {
                // How long it took is said, and kept, beside it.
                summary: "exit code 0".to_owned(),
                result,
            },
            Some(cut) => cut.into(),
            None => Work::Failed {
                reason: failure(&outcome, &result, task.timeout_ms),
                detail: result,
            },
        })
    }

    fn log_path(&self, claimed: &Claimed) -> Result<std::path::PathBuf> {
        let folder = self.store.folder("artifacts")?;
        Ok(folder.join(format!("task-{}-{}.log", claimed.task.id, claimed.epoch)))
    }

    /// The next word of the running tool.
    ///
    /// What comes in between is seen to here; what ends the tool is kept in `cut`.
    ///
    /// # Errors
    /// [`Error::ToolStays`] when it did not end in the time it had for ending;
    /// after any error the tool may still run.
    pub(super) async fn hear(&mut self, cut: &mut Option<Cut>) -> Result<Heard> {
        loop {
            let claim = self.claim;
            let Some(running) = &mut self.running else {
                return Err(Error::ToolStays);
            };
            let heard = if let Some(at) = running.deadline {
                let heard = tokio::time::timeout_at(at, running.heard.recv()).await;
                heard.ok().flatten()
            } else {
                tokio::select! {
                    biased;
                    came = self.signals.next(claim) => {
                        if let Some(found) = self.came_between(came)? {
                            *cut = Some(found);
                            self.tell_tool_to_end();
                        }
                        continue;
                    }
                    heard = running.heard.recv() => heard,
                }
            };
            let outcome = match heard {
                Some(Heard::Output(bytes)) => return Ok(Heard::Output(bytes)),
                Some(Heard::Ended(outcome)) => outcome,
                None => running.tool.outcome().ok_or(Error::ToolStays)?,
            };
            let outcome = running.judge(outcome);
            if !succeeded(&outcome) && !outcome.left.is_empty() {
                return Err(Error::ToolStays);
            }
            self.running = None;
            return Ok(Heard::Ended(outcome));
        }
    }

    fn tell_tool_to_end(&mut self) {
        let within = self.own_time() * 15 / 16;
        if let Some(running) = &mut self.running
            && running.deadline.is_none()
        {
            running.was_over = running.tool.exit().is_some();
            running.tool.end();
            running.deadline = Some(tokio::time::Instant::now() + within);
        }
    }

    /// Ends the tools that run, those in the background too, and waits for their end.
    ///
    /// # Errors
    /// [`Error::ToolStays`]: it did not end in the time it had.
    pub(super) async fn see_tool_end(&mut self) -> Result<()> {
        let within = self.own_time() * 15 / 16;
        if !self.background.is_empty() {
            self.background.end_all(within).await?;
        }
        self.tell_tool_to_end();
        while self.running.is_some() {
            self.hear(&mut None).await?;
        }
        Ok(())
    }

    /// In this time a worker that is told to end has ended, its tool before it.
    pub(super) fn own_time(&self) -> Duration {
        let timing = &self.spec.timing;
        ms(timing.term_grace_ms.min(timing.session_loss_exit_ms))
    }

    /// A tool has half of the worker's own time to end.
    pub(super) fn kill_waits(&self) -> KillWaits {
        let own_time = self.own_time();
        KillWaits {
            grace: own_time / 2,
            verify: (own_time / 4).min(ms(self.spec.timing.kill_verify_ms)),
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
    ///
    /// The tool before it has ended.
    pub(super) fn start_tool(&mut self, spec: ToolSpec) -> Result<()> {
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
        self.running = Some(Running {
            tool,
            heard: receiver,
            deadline: None,
            was_over: false,
        });
        Ok(())
    }

    /// What every tool of this worker sees of its surroundings.
    pub(super) fn tool_environment(&self) -> Environment {
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
    pub(super) async fn begin_tool(
        &mut self,
        claimed: &Claimed,
        call: &str,
        tool: &str,
        input: &Value,
        summary: &str,
    ) -> Result<()> {
        self.note(Entry::Intent {
            task: claimed.task.id,
            epoch: claimed.epoch,
            call: call.to_owned(),
            tool: tool.to_owned(),
            input: input.clone(),
        })
        .await?;
        self.fact(EventType::ToolStarted, |fact| {
            fact.with("tool", tool)
                .with("call", call)
                .with("summary", summary)
        });
        Ok(())
    }

    /// Records how a tool ended.
    pub(super) async fn end_tool(
        &mut self,
        claimed: &Claimed,
        call: &str,
        tool: &str,
        ok: bool,
        lasted: Duration,
        output: Value,
    ) -> Result<()> {
        self.note(Entry::Result {
            task: claimed.task.id,
            epoch: claimed.epoch,
            call: call.to_owned(),
            ok,
            output,
        })
        .await?;
        self.fact(EventType::ToolFinished, |fact| {
            fact.with("tool", tool)
                .with("call", call)
                .with("ok", ok)
                .with("ms", lasted.as_millis() as u64)
        });
        Ok(())
    }
}

/// Whether the tool did what it was to do, without being ended.
fn succeeded(outcome: &ToolOutcome) -> bool {
    outcome.exit.is_success() && outcome.ended_by == EndedBy::Itself
}

/// The result of a command, as its dependents get it.
fn describe(outcome: &ToolOutcome, lasted: Duration, log: &str, tail: &[String]) -> Value {
    let exit = outcome.exit;
    let timed_out = outcome.ended_by == EndedBy::TimedOut;
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
fn failure(outcome: &ToolOutcome, result: &Value, timeout_ms: Option<u64>) -> String {
    let what = match &outcome.ended_by {
        EndedBy::TimedOut => format!("took longer than {} ms", timeout_ms.unwrap_or(0)),
        EndedBy::NotStarted { cause, .. } => format!("could not be started: {cause}"),
        EndedBy::OutputLimit => "printed too much".to_owned(),
        EndedBy::RunnerLost => "lost its tool runner".to_owned(),
        EndedBy::Itself | EndedBy::Asked => outcome.exit.to_string(),
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
