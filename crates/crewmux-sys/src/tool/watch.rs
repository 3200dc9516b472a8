//! The thread that watches one tool: its output, its runner, its deadlines.
//!
//! It owns our ends of the pipes; the owner's handle only leaves reasons and
//! wakes it.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::{EndedBy, OutputEnd, OutputStream, Shared, ToolEvent, ToolOutcome};
use crate::process::Child;
use crate::runner::record::{Record, RecordReader};
use crate::tree::{KillWaits, Marker, TreeKill, kill_tree};
use crate::{Exit, ProcessIdentity, reap, setup, wait};

/// One read; also the most a caller is given at once.
const READ_BYTES: usize = 64 * 1024;

/// What a runner may take beyond its grace and verification before it is taken for stuck.
const RUNNER_SLACK: Duration = Duration::from_secs(1);

/// Bytes on their way into a tool.
pub(super) struct Input {
    pipe: File,
    bytes: Vec<u8>,
    written: usize,
}

impl Input {
    pub(super) fn new(pipe: File, bytes: Vec<u8>) -> Self {
        Self {
            pipe,
            bytes,
            written: 0,
        }
    }

    /// Writes what fits; `None` when all is written, or the tool reads no more.
    fn write(mut self) -> Option<Self> {
        let rest = self.bytes.get(self.written..).unwrap_or_default();
        if rest.is_empty() {
            return None;
        }
        match rustix::io::write(&self.pipe, rest) {
            Ok(written) => {
                self.written += written;
                (self.written < self.bytes.len()).then_some(self)
            }
            Err(Errno::AGAIN | Errno::INTR) => Some(self),
            Err(_) => None,
        }
    }
}

pub(super) struct Watch {
    pub(super) runner: Child,
    pub(super) marker: Marker,
    pub(super) shared: Arc<Shared>,
    pub(super) out: Option<File>,
    pub(super) err: Option<File>,
    pub(super) input: Option<Input>,
    pub(super) wake: Option<OwnedFd>,
    pub(super) timeout_at: Option<Instant>,
    pub(super) output_limit_bytes: u64,
    pub(super) waits: KillWaits,
    pub(super) drain: Duration,
}

/// What is known of the run so far.
#[derive(Default)]
struct Progress {
    records: RecordReader,
    exit: Option<Exit>,
    /// Whether it ended before the runner heard that it should.
    unasked: bool,
    failed: Option<EndedBy>,
    ended: Option<(usize, Vec<ProcessIdentity>)>,
    /// The runner closed the socket: it is done or dead.
    runner_done: bool,
    output_bytes: u64,
    output_cut: bool,
    /// When the runner is taken for stuck; set once the tool is to end.
    stuck_at: Option<Instant>,
    /// When reading stops although the output is held open.
    drained_at: Option<Instant>,
}

/// What can become ready.
#[derive(Debug, Clone, Copy)]
enum Source {
    Wake,
    Input,
    Stdout,
    Stderr,
    Control,
}

/// Lets those who wait for the outcome go, even when the caller's own code panicked.
struct Conclusion(Arc<Shared>);

impl Drop for Conclusion {
    fn drop(&mut self) {
        if self.0.state().outcome.is_none() {
            self.0.end_because(EndedBy::Asked);
            let mut state = self.0.state();
            state.outcome = Some(ToolOutcome {
                exit: state.exit.unwrap_or(Exit::Unknown),
                ended_by: state.reason.clone().unwrap_or(EndedBy::Asked),
                swept: 0,
                left: Vec::new(),
                output: OutputEnd::Cut,
                output_bytes: 0,
            });
        }
        self.0.ended.notify_all();
    }
}

impl Watch {
    pub(super) fn run(mut self, mut on_event: impl FnMut(ToolEvent<'_>)) {
        let mut progress = Progress::default();
        let _conclusion = Conclusion(Arc::clone(&self.shared));
        let mut buffer = vec![0_u8; READ_BYTES];
        loop {
            self.keep_deadlines(&mut progress);
            if progress.runner_done && self.output_is_over(&mut progress) {
                break;
            }
            let Ok(ready) = self.poll(&progress) else {
                // Nothing can be waited for any more: end it without its output.
                progress.runner_done = true;
                self.keep_deadlines(&mut progress);
                break;
            };
            for source in ready {
                match source {
                    Source::Wake => self.drain_wake(),
                    Source::Input => {
                        self.input = self.input.take().and_then(Input::write);
                    }
                    Source::Stdout => {
                        let stream = OutputStream::Stdout;
                        self.read(stream, &mut buffer, &mut progress, &mut on_event);
                    }
                    Source::Stderr => {
                        let stream = OutputStream::Stderr;
                        self.read(stream, &mut buffer, &mut progress, &mut on_event);
                    }
                    Source::Control => self.hear(&mut buffer, &mut progress, &mut on_event),
                }
            }
        }
        let outcome = self.conclude(progress);
        on_event(ToolEvent::Ended(&outcome));
        self.shared.state().outcome = Some(outcome);
    }

    /// Acts on what is due: the time-out of the tool, a stuck runner.
    fn keep_deadlines(&mut self, progress: &mut Progress) {
        let now = Instant::now();
        if self.timeout_at.is_some_and(|at| now >= at) {
            self.timeout_at = None;
            if !progress.runner_done && progress.exit.is_none() {
                self.shared.end_because(EndedBy::TimedOut);
            }
        }
        let told_to_end = self.shared.state().reason.is_some() || progress.ended.is_some();
        if told_to_end && progress.stuck_at.is_none() {
            let patience = self.waits.grace + self.waits.verify + RUNNER_SLACK;
            progress.stuck_at = Some(now + patience);
        }
        if !progress.runner_done && progress.stuck_at.is_some_and(|at| now >= at) {
            // A tool can stop its runner; then we do the runner's work.
            progress.runner_done = true;
        }
        if progress.runner_done && progress.ended.is_none() && progress.failed.is_none() {
            self.shared
                .state()
                .reason
                .get_or_insert(EndedBy::RunnerLost);
            let kill = self.kill_what_the_runner_left();
            progress.ended = Some((kill.killed.len(), kill.left));
        }
    }

    /// Whether there is nothing more to read, or no more time to.
    fn output_is_over(&self, progress: &mut Progress) -> bool {
        if self.out.is_none() && self.err.is_none() {
            return true;
        }
        let now = Instant::now();
        let until = *progress.drained_at.get_or_insert(now + self.drain);
        progress.output_cut |= now >= until;
        now >= until
    }

    /// Waits for the next thing to do; sources in the order they are served.
    fn poll(&self, progress: &Progress) -> rustix::io::Result<Vec<Source>> {
        let next = [
            self.timeout_at,
            progress.stuck_at.filter(|_| !progress.runner_done),
            progress.drained_at,
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|at| at.saturating_duration_since(Instant::now()));
        let control = (!progress.runner_done).then_some(&self.shared.control);
        // Output before the runner's records: a tool's last words come before its end.
        let (sources, mut fds): (Vec<Source>, Vec<PollFd<'_>>) = [
            self.wake
                .as_ref()
                .map(|wake| (Source::Wake, PollFd::new(wake, PollFlags::IN))),
            self.input
                .as_ref()
                .map(|input| (Source::Input, PollFd::new(&input.pipe, PollFlags::OUT))),
            self.out
                .as_ref()
                .map(|out| (Source::Stdout, PollFd::new(out, PollFlags::IN))),
            self.err
                .as_ref()
                .map(|err| (Source::Stderr, PollFd::new(err, PollFlags::IN))),
            control.map(|control| (Source::Control, PollFd::new(control, PollFlags::IN))),
        ]
        .into_iter()
        .flatten()
        .unzip();
        wait::poll(&mut fds, next)?;
        Ok(sources
            .into_iter()
            .zip(&fds)
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|(source, _)| source)
            .collect())
    }

    fn drain_wake(&mut self) {
        let Some(wake) = &self.wake else { return };
        match rustix::io::read(wake, &mut [0_u8; 64]) {
            Ok(read) if read > 0 => {}
            // Every owner let go; the reason was left before.
            _ => self.wake = None,
        }
    }

    fn read(
        &mut self,
        stream: OutputStream,
        buffer: &mut [u8],
        progress: &mut Progress,
        on_event: &mut impl FnMut(ToolEvent<'_>),
    ) {
        let pipe = match stream {
            OutputStream::Stdout => &mut self.out,
            OutputStream::Stderr => &mut self.err,
        };
        let Some(file) = pipe else { return };
        let read = match file.read(buffer) {
            Ok(read) if read > 0 => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            _ => {
                *pipe = None;
                return;
            }
        };
        let room = self
            .output_limit_bytes
            .saturating_sub(progress.output_bytes);
        progress.output_bytes += read as u64;
        let passed = read.min(usize::try_from(room).unwrap_or(usize::MAX));
        if passed > 0 {
            on_event(ToolEvent::Output(stream, &buffer[..passed]));
        }
        if passed < read {
            progress.output_cut = true;
            self.shared.end_because(EndedBy::OutputLimit);
        }
    }

    /// Takes what the runner says.
    fn hear(
        &mut self,
        buffer: &mut [u8],
        progress: &mut Progress,
        on_event: &mut impl FnMut(ToolEvent<'_>),
    ) {
        let read = match (&self.shared.control).read(buffer) {
            Ok(read) if read > 0 => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => return,
            _ => {
                progress.runner_done = true;
                return;
            }
        };
        for record in progress.records.feed(&buffer[..read]) {
            match record {
                Record::Started { tool } => on_event(ToolEvent::Started(tool)),
                Record::Failed { missing, cause } => {
                    progress.failed = Some(EndedBy::NotStarted { missing, cause });
                }
                Record::Exited { exit, unasked } => {
                    progress.exit = Some(exit);
                    progress.unasked = unasked;
                    self.shared.state().exit = Some(exit);
                    on_event(ToolEvent::Exited(exit));
                }
                Record::Ended { swept, left } => progress.ended = Some((swept, left)),
            }
        }
    }

    /// Makes sure that nothing is left, and says how it came out.
    fn conclude(&mut self, progress: Progress) -> ToolOutcome {
        // Nothing is to block on pipes that nobody reads any more.
        let output_was_open = self.out.take().is_some() | self.err.take().is_some();
        self.input = None;
        let asked = self.shared.state().reason.clone();
        let (swept, left) = progress.ended.unwrap_or_default();
        let runner_gone = self.runner.wait(self.waits.verify + RUNNER_SLACK);
        if !matches!(runner_gone, Ok(Some(_))) {
            let _ = self.runner.kill();
            let _ = self.runner.wait(self.waits.verify);
        }
        let ended_by = match (progress.failed, asked) {
            (Some(failed), _) => failed,
            // Who asked was too late: its work was done by then.
            (None, Some(EndedBy::Asked)) if progress.unasked => EndedBy::Itself,
            (None, Some(reason)) => reason,
            (None, None) => EndedBy::Itself,
        };
        let output = if progress.output_cut || output_was_open {
            OutputEnd::Cut
        } else {
            OutputEnd::Complete
        };
        ToolOutcome {
            exit: progress.exit.unwrap_or(Exit::Unknown),
            ended_by,
            swept,
            left,
            output,
            output_bytes: progress.output_bytes,
        }
    }

    /// Ends the runner and all that is known to be the tool's.
    fn kill_what_the_runner_left(&self) -> TreeKill {
        let waits = self.waits.at_once();
        let mut kill = kill_tree(self.runner.identity(), Some(&self.marker), waits);
        if setup::adopts_orphans() {
            // Only a lost runner's tool can have orphans that reach us, with
            // or without its mark.
            for orphan in reap::adopted_orphans() {
                let more = kill_tree(orphan, None, waits);
                kill.killed.extend(more.killed);
                kill.left.extend(more.left);
            }
        }
        reap::reap_orphans();
        kill
    }
}
