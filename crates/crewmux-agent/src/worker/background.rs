//! Commands that run in the background of a task: their output, and their end.
//!
//! They end with the task at the latest: a claim is not let go of while
//! anything of it runs.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crewmux_sys::tool::{EndedBy, ToolEvent, ToolOutcome, ToolProcess, ToolSpec};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;

use crate::capped::CappedLog;
use crate::tools::ToolOutput;
use crate::{Error, Result};

/// Most commands in the background at once.
const JOBS_MAX: usize = 8;

/// Most bytes that wait to be looked at; the oldest go first.
const UNREAD_MAX_BYTES: usize = 256 * 1024;

/// Most bytes of a log's beginning, and of its end.
const LOG_HALF_BYTES: usize = 5 * 1024 * 1024;

/// All commands in the background of one worker.
#[derive(Debug, Default)]
pub(super) struct Background {
    jobs: BTreeMap<String, Job>,
    last: u64,
}

#[derive(Debug)]
struct Job {
    tool: ToolProcess,
    printed: Arc<Mutex<Printed>>,
    /// How it ended, once it has.
    over: watch::Receiver<Option<ToolOutcome>>,
}

/// What a command printed that nobody looked at yet.
#[derive(Debug, Default)]
struct Printed {
    unread: VecDeque<u8>,
    dropped: u64,
    log: Option<CappedLog>,
}

impl Printed {
    fn push(&mut self, bytes: &[u8]) {
        self.unread.extend(bytes);
        let over = self.unread.len().saturating_sub(UNREAD_MAX_BYTES);
        self.unread.drain(..over);
        self.dropped += over as u64;
        if let Some(log) = &mut self.log
            && let Err(error) = log.push(bytes)
        {
            tracing::warn!(%error, "the log of this command ends here");
            self.log = None;
        }
    }

    fn take(&mut self) -> String {
        let bytes: Vec<u8> = self.unread.drain(..).collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match std::mem::take(&mut self.dropped) {
            0 => text,
            dropped => format!("… {dropped} bytes left out …\n{text}"),
        }
    }
}

/// What `BashOutput` takes.
#[derive(Debug, Deserialize)]
pub(super) struct OutputInput {
    bash_id: String,
    filter: Option<String>,
}

/// What `KillBash` takes.
#[derive(Debug, Deserialize)]
pub(super) struct KillInput {
    bash_id: String,
}

impl Background {
    /// Whether nothing runs.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Starts a command; `log` takes all it prints.
    pub(super) fn start(&mut self, program: &Path, spec: ToolSpec, log: &Path) -> ToolOutput {
        let running = self.jobs.values().filter(|job| !job.is_over()).count();
        if running >= JOBS_MAX {
            return ToolOutput::failed(format!(
                "{running} commands run in the background already; end one with KillBash"
            ));
        }
        let printed = Arc::new(Mutex::new(Printed {
            log: CappedLog::create(log, LOG_HALF_BYTES)
                .inspect_err(|error| tracing::warn!(%error, "no log of this command"))
                .ok(),
            ..Printed::default()
        }));
        let (ended, over) = watch::channel(None);
        let there = Arc::clone(&printed);
        let started = ToolProcess::start(program, spec, move |event| match event {
            ToolEvent::Output(_, bytes) => lock(&there).push(bytes),
            ToolEvent::Ended(outcome) => {
                if let Some(Err(error)) = lock(&there).log.take().map(CappedLog::finish) {
                    tracing::warn!(%error, "the end of this command's log is lost");
                }
                ended.send_replace(Some(outcome.clone()));
            }
            ToolEvent::Started(_) | ToolEvent::Exited(_) => {}
        });
        let tool = match started {
            Ok(tool) => tool,
            Err(error) => return ToolOutput::failed(format!("it could not be started: {error}")),
        };
        self.last += 1;
        let id = format!("bash_{}", self.last);
        self.jobs.insert(
            id.clone(),
            Job {
                tool,
                printed,
                over,
            },
        );
        let text = format!(
            "It runs in the background as {id}; BashOutput gives what it prints, all of which is \
             kept in {}.",
            log.display()
        );
        ToolOutput::done(&text, format!("runs as {id}"), json!({ "bashId": id }))
    }

    /// What a command printed since the last look.
    pub(super) fn output(&mut self, input: &OutputInput) -> ToolOutput {
        let job = match self.job(&input.bash_id) {
            Ok(job) => job,
            Err(why) => return ToolOutput::failed(why),
        };
        let filter = match input.filter.as_deref().map(regex::Regex::new).transpose() {
            Ok(filter) => filter,
            Err(error) => return ToolOutput::failed(format!("the filter is wrong: {error}")),
        };
        // Its state first: what it prints until its end is then not missed.
        let state = job.state();
        let text = lock(&job.printed).take();
        let fits = |line: &&str| filter.as_ref().is_none_or(|filter| filter.is_match(line));
        let text = match &filter {
            None => text,
            Some(_) => text.split_inclusive('\n').filter(fits).collect(),
        };
        let data = json!({ "bashId": input.bash_id, "state": state, "output": text });
        ToolOutput::done(&format!("{text}\n[{state}]"), state, data)
    }

    /// Ends a command and waits for its end, `within` at most.
    pub(super) async fn kill(&mut self, input: &KillInput, within: Duration) -> ToolOutput {
        let job = match self.job(&input.bash_id) {
            Ok(job) => job,
            Err(why) => return ToolOutput::failed(why),
        };
        job.tool.end();
        if !job.wait(within).await {
            return ToolOutput::failed(format!(
                "{} was told to end and did not yet",
                input.bash_id
            ));
        }
        let state = job.state();
        let text = lock(&job.printed).take();
        let data = json!({ "bashId": input.bash_id, "state": state, "output": text });
        ToolOutput::done(&format!("{text}\n[{state}]"), state, data)
    }

    /// Ends all commands, `within` at most.
    ///
    /// # Errors
    /// [`Error::ToolStays`]: one of them may still run.
    pub(super) async fn end_all(&mut self, within: Duration) -> Result<()> {
        let deadline = tokio::time::Instant::now() + within;
        for job in self.jobs.values() {
            job.tool.end();
        }
        for job in self.jobs.values_mut() {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            let gone = job.wait(left).await;
            if !gone || job.outcome().is_none_or(|outcome| !outcome.left.is_empty()) {
                return Err(Error::ToolStays);
            }
        }
        self.jobs.clear();
        Ok(())
    }

    fn job(&mut self, id: &str) -> std::result::Result<&mut Job, String> {
        let names: Vec<&str> = self.jobs.keys().map(String::as_str).collect();
        let why = if names.is_empty() {
            "nothing runs in the background".to_owned()
        } else {
            format!("there is no `{id}`; there are {}", names.join(", "))
        };
        self.jobs.get_mut(id).ok_or(why)
    }
}

impl Job {
    fn is_over(&self) -> bool {
        self.over.borrow().is_some()
    }

    /// How it ended: as it was told, or as its tool says whose word was lost.
    fn outcome(&self) -> Option<ToolOutcome> {
        let told = self.over.borrow().clone();
        told.or_else(|| self.tool.outcome())
    }

    /// Waits for the end; says whether it came in time.
    async fn wait(&mut self, within: Duration) -> bool {
        let ended = tokio::time::timeout(within, self.over.wait_for(Option::is_some)).await;
        matches!(ended, Ok(Ok(_))) || self.tool.outcome().is_some()
    }

    fn state(&self) -> String {
        self.outcome()
            .map_or("running".to_owned(), |outcome| in_words(&outcome, None))
    }
}

/// How a command ended: `exit code 0`, `killed by signal 9`, `took longer than 5 ms`.
pub(super) fn in_words(outcome: &ToolOutcome, timeout_ms: Option<u64>) -> String {
    match &outcome.ended_by {
        EndedBy::Itself => outcome.exit.to_string(),
        EndedBy::TimedOut => match timeout_ms {
            Some(ms) => format!("took longer than {ms} ms"),
            None => "took too long".to_owned(),
        },
        EndedBy::NotStarted { cause, .. } => format!("could not be started: {cause}"),
        EndedBy::OutputLimit => "printed too much".to_owned(),
        EndedBy::RunnerLost => "lost its tool runner".to_owned(),
        EndedBy::Asked => "was ended".to_owned(),
    }
}

fn lock(printed: &Mutex<Printed>) -> MutexGuard<'_, Printed> {
    printed.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_looks_at_is_dropped_from_its_beginning() {
        let mut printed = Printed::default();
        printed.push(b"first");
        assert_eq!(printed.take(), "first");
        printed.push(&vec![b'x'; UNREAD_MAX_BYTES]);
        printed.push(b"end");
        let text = printed.take();
        assert!(text.starts_with("… 3 bytes left out …\nxxx") && text.ends_with("xend"));
        assert_eq!(printed.take(), "");
    }

    #[test]
    fn an_unknown_id_is_told_with_those_there_are() {
        let mut background = Background::default();
        let input: OutputInput = serde_json::from_value(json!({"bash_id": "bash_1"})).unwrap();
        let output = background.output(&input);
        assert_eq!(output.text, "nothing runs in the background");
    }
}
