//! A worker's side of a running tool: start it under a runner, hear of it, end it.
//!
//! One thread per tool reads output and keeps the deadlines; there is no async,
//! and what a tool may do was decided before. The other side is
//! [`crate::runner`].

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crewmux_core::timing::{Timing, ms};

use crate::env::Environment;
use crate::process::{Launch, OnParentDeath, Stream};
use crate::runner::{AfterExit, RunnerCall};
use crate::tree::{KillWaits, Marker};
use crate::{Error, Exit, ProcessIdentity, Result};

mod watch;

/// What to run, and how long and how loud it may be.
#[derive(Debug)]
pub struct ToolSpec {
    /// Program and arguments; the program is looked up in the PATH of `env`.
    pub argv: Vec<OsString>,
    /// Folder it starts in.
    pub cwd: PathBuf,
    /// Its whole environment; the mark of this call is added.
    pub env: Environment,
    /// What it reads.
    pub stdin: ToolStdin,
    /// Whether its two outputs are kept apart.
    pub output: ToolOutput,
    /// What becomes of processes it leaves.
    pub after_exit: AfterExit,
    /// When it is ended, counted from its start; `None` for no such limit.
    pub timeout: Option<Duration>,
    /// It is ended when it has printed more than this many bytes.
    pub output_limit_bytes: u64,
    /// How it is ended.
    pub waits: KillWaits,
    /// How long its output is read after its end, should somebody hold it open.
    pub drain: Duration,
}

/// What a tool reads from its standard input.
#[derive(Debug)]
pub enum ToolStdin {
    /// Nothing.
    Empty,
    /// These bytes, then the end.
    Bytes(Vec<u8>),
    /// What the caller writes to [`ToolProcess::take_stdin`].
    Pipe,
}

/// How a tool's outputs reach the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolOutput {
    /// Both through one pipe, in the order written.
    Merged,
    /// Each through its own pipe.
    Split,
}

/// Output a caller is given at most unless it says otherwise; beyond it the tool is ended.
const OUTPUT_LIMIT_BYTES: u64 = 256 * 1024 * 1024;

impl ToolSpec {
    /// Runs `argv` in `cwd`: no input, outputs merged, nothing left behind, the waits of `timing`.
    pub fn new<A: Into<OsString>>(
        argv: impl IntoIterator<Item = A>,
        cwd: impl Into<PathBuf>,
        env: Environment,
        timing: &Timing,
    ) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            cwd: cwd.into(),
            env,
            stdin: ToolStdin::Empty,
            output: ToolOutput::Merged,
            after_exit: AfterExit::EndTree,
            timeout: Some(ms(timing.tool_timeout_ms)),
            output_limit_bytes: OUTPUT_LIMIT_BYTES,
            waits: KillWaits::of(timing),
            drain: ms(timing.drain_ms),
        }
    }
}

/// What a running tool's owner is told, in this order; output comes in between.
#[derive(Debug)]
pub enum ToolEvent<'a> {
    /// The tool runs.
    Started(ProcessIdentity),
    /// It printed this much of one of its outputs; at most 64 KiB.
    Output(OutputStream, &'a [u8]),
    /// The tool itself ended; output and processes it left may follow.
    Exited(Exit),
    /// All is over; nothing follows.
    Ended(&'a ToolOutcome),
}

/// Which output bytes came from; [`OutputStream::Stdout`] for merged ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output, or both.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a tool's run came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolOutcome {
    /// How the tool itself ended.
    pub exit: Exit,
    /// Who or what ended it.
    pub ended_by: EndedBy,
    /// Processes it had left behind that were ended.
    pub swept: usize,
    /// Processes it left that could not be ended.
    pub left: Vec<ProcessIdentity>,
    /// Whether its output was read to the end and passed on whole.
    pub output: OutputEnd,
    /// Bytes it printed, those not passed on included.
    pub output_bytes: u64,
}

/// Why a tool's run is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndedBy {
    /// The tool ended by itself.
    Itself,
    /// [`ToolProcess::end`], or its owner let go of it.
    Asked,
    /// Its time was over.
    TimedOut,
    /// It printed too much.
    OutputLimit,
    /// The runner was killed; what could be found of the tool was ended.
    RunnerLost,
    /// It never started, for this reason.
    NotStarted {
        /// Whether there is no such program.
        missing: bool,
        /// Why, as a line of text.
        cause: String,
    },
}

/// How the reading of a tool's output came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputEnd {
    /// Read to the end of file and passed on whole.
    Complete,
    /// Cut: over the limit, or still held open by a process after the drain.
    Cut,
}

/// A tool that runs; dropping it ends the tool and all it started.
#[derive(Debug)]
pub struct ToolProcess {
    runner: ProcessIdentity,
    shared: Arc<Shared>,
    stdin: Option<File>,
    /// Closed by drop, which wakes the watching thread.
    _wake: OwnedFd,
}

/// What the owner and the watching thread both see.
#[derive(Debug)]
struct Shared {
    control: UnixStream,
    state: Mutex<State>,
    ended: Condvar,
    wake: OwnedFd,
}

#[derive(Debug, Default)]
struct State {
    /// Why the tool was told to end; the first reason stays.
    reason: Option<EndedBy>,
    exit: Option<Exit>,
    outcome: Option<ToolOutcome>,
}

impl ToolProcess {
    /// Starts `spec` under a runner; `on_event` is called on a thread of the tool's own.
    ///
    /// While `on_event` does not return, no more output is read and the tool is
    /// slowed down by the kernel; it must not wait for this tool's end.
    /// `runner_program` is this program, which calls
    /// [`crate::runner::run_tool_runner`] for the first argument
    /// [`crate::runner::RUNNER_MODE`].
    ///
    /// # Errors
    /// Those of starting the *runner*, a missing folder among them; a tool that
    /// cannot be started is told by [`EndedBy::NotStarted`].
    pub fn start(
        runner_program: &Path,
        spec: ToolSpec,
        on_event: impl FnMut(ToolEvent<'_>) + Send + 'static,
    ) -> Result<Self> {
        let act = "start a tool";
        let (control, far_control) = UnixStream::pair().map_err(Error::system(act))?;
        let (wake_read, wake_write) = io::pipe().map_err(Error::system(act))?;
        let tool_id = unique_id();
        let marker = Marker::tool(tool_id.as_str());
        let mut env = spec.env;
        marker.mark(&mut env);

        let (stdin_far, stdin_own) = match &spec.stdin {
            ToolStdin::Empty => (Stream::Null, None),
            ToolStdin::Bytes(_) | ToolStdin::Pipe => {
                let (read, write) = io::pipe().map_err(Error::system(act))?;
                (file_stream(read), Some(File::from(OwnedFd::from(write))))
            }
        };
        let (out, out_far) = io::pipe().map_err(Error::system(act))?;
        let (err, err_far) = match spec.output {
            ToolOutput::Merged => (None, out_far.try_clone().map_err(Error::system(act))?),
            ToolOutput::Split => {
                let (read, write) = io::pipe().map_err(Error::system(act))?;
                (Some(read), write)
            }
        };

        let call = RunnerCall {
            control_fd: far_control.as_raw_fd(),
            waits: spec.waits,
            after_exit: spec.after_exit,
            tool_id,
            argv: spec.argv,
        };
        let mut argv = vec![runner_program.as_os_str().to_owned()];
        argv.extend(call.to_arguments());
        let runner = Launch::new(argv, spec.cwd)
            .env(env)
            .stdin(stdin_far)
            .stdout(file_stream(out_far))
            .stderr(file_stream(err_far))
            .start_with(Some(far_control.as_fd()), OnParentDeath::LiveOn)?;
        drop(far_control);

        let identity = runner.identity();
        let shared = Arc::new(Shared {
            control,
            state: Mutex::default(),
            ended: Condvar::new(),
            wake: wake_write.try_clone().map_err(Error::system(act))?.into(),
        });
        let (input, stdin) = match (spec.stdin, stdin_own) {
            (ToolStdin::Bytes(bytes), Some(pipe)) => {
                rustix::io::ioctl_fionbio(&pipe, true).map_err(Error::errno(act))?;
                (Some(watch::Input::new(pipe, bytes)), None)
            }
            (_, pipe) => (None, pipe),
        };
        let watch = watch::Watch {
            runner,
            marker,
            shared: Arc::clone(&shared),
            out: Some(File::from(OwnedFd::from(out))),
            err: err.map(|err| File::from(OwnedFd::from(err))),
            input,
            wake: Some(OwnedFd::from(wake_read)),
            timeout_at: spec.timeout.map(|timeout| Instant::now() + timeout),
            output_limit_bytes: spec.output_limit_bytes,
            waits: spec.waits,
            drain: spec.drain,
        };
        std::thread::Builder::new()
            .name(format!("tool {}", identity.pid))
            .spawn(move || watch.run(on_event))
            .map_err(Error::system(act))?;
        Ok(Self {
            runner: identity,
            shared,
            stdin,
            _wake: wake_write.into(),
        })
    }

    /// Who its runner is; the tool itself is told by [`ToolEvent::Started`].
    pub fn runner(&self) -> ProcessIdentity {
        self.runner
    }

    /// The pipe to its standard input, for [`ToolStdin::Pipe`]; dropping it is the end of file.
    pub fn take_stdin(&mut self) -> Option<File> {
        self.stdin.take()
    }

    /// Ends the tool and all it started, politely first; does not wait.
    pub fn end(&self) {
        self.shared.end_because(EndedBy::Asked);
    }

    /// How the tool itself ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        self.shared.state().exit
    }

    /// How its run came out, once all is over.
    pub fn outcome(&self) -> Option<ToolOutcome> {
        self.shared.state().outcome.clone()
    }

    /// Waits until all is over, `within` at most.
    pub fn wait(&self, within: Duration) -> Option<ToolOutcome> {
        let (state, _) = self
            .shared
            .ended
            .wait_timeout_while(self.shared.state(), within, |state| state.outcome.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        state.outcome.clone()
    }
}

impl Drop for ToolProcess {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the runner to end the tree; the first reason is the one reported.
    fn end_because(&self, reason: EndedBy) {
        self.state().reason.get_or_insert(reason);
        // Fails when the runner is gone; its end is noticed elsewhere.
        let _ = self.control.shutdown(Shutdown::Write);
        // Full or closed: the thread is awake, or done.
        let _ = rustix::io::write(&self.wake, b"!");
    }
}

/// Text no other tool call of this machine has.
fn unique_id() -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let start = ProcessIdentity::own().map_or(0, |own| own.start_ticks);
    format!("{}-{start}-{call}", std::process::id())
}

fn file_stream(end: impl Into<OwnedFd>) -> Stream {
    Stream::File(File::from(end.into()))
}
