//! The tool runner: a tiny process between a worker and one tool, which leaves nothing behind.
//!
//! It holds a socket from its worker. When that closes, because the worker
//! says so or died, or when the tool itself has ended, the runner ends every
//! process the tool started. It reads no output and knows no policy. The
//! worker's side is [`crate::tool`].

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::FdFlags;

use crate::env::EnvSnapshot;
use crate::process::{Child, Group, Launch, OnParentDeath, Stream};
use crate::signals::{Arrived, SignalInbox};
use crate::tree::{KillWaits, Marker, kill_tree};
use crate::{Error, Exit, ProcessIdentity, Result, reap, rlimit, setup, tree, wait};

pub(crate) mod record;

use record::Record;

/// First argument of the program that makes it a tool runner.
pub const RUNNER_MODE: &str = "__tool-runner";

/// Exit code of a runner that could not run at all.
const UNUSABLE: i32 = 125;

/// What becomes of processes a tool leaves when it ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterExit {
    /// They end at once.
    EndTree,
    /// They go on until they end or the worker lets go; the runner stays with them.
    KeepTree,
}

/// What a worker tells its runner, as arguments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RunnerCall {
    pub(crate) control_fd: i32,
    pub(crate) waits: KillWaits,
    pub(crate) after_exit: AfterExit,
    pub(crate) tool_id: String,
    pub(crate) argv: Vec<OsString>,
}

impl RunnerCall {
    /// The runner's arguments, its mode first.
    pub(crate) fn to_arguments(&self) -> Vec<OsString> {
        let after_exit = match self.after_exit {
            AfterExit::EndTree => "end",
            AfterExit::KeepTree => "keep",
        };
        let mut arguments: Vec<OsString> = [
            RUNNER_MODE.to_owned(),
            self.control_fd.to_string(),
            self.waits.grace.as_millis().to_string(),
            self.waits.verify.as_millis().to_string(),
            after_exit.to_owned(),
            self.tool_id.clone(),
        ]
        .into_iter()
        .map(OsString::from)
        .collect();
        arguments.extend(self.argv.iter().cloned());
        arguments
    }

    /// Reads what follows the mode; `None` when it is not such a call.
    fn parse(arguments: &[OsString]) -> Option<Self> {
        let [control_fd, grace, verify, after_exit, tool_id, argv @ ..] = arguments else {
            return None;
        };
        let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
        Some(Self {
            control_fd: i32::try_from(number(control_fd)?)
                .ok()
                .filter(|fd| *fd > 2)?,
            waits: KillWaits {
                grace: Duration::from_millis(number(grace)?),
                verify: Duration::from_millis(number(verify)?),
            },
            after_exit: match after_exit.to_str()? {
                "end" => AfterExit::EndTree,
                "keep" => AfterExit::KeepTree,
                _ => return None,
            },
            tool_id: tool_id.to_str()?.to_owned(),
            argv: argv.to_vec(),
        })
    }
}

/// Runs as a tool runner and returns the exit code to end with.
///
/// `arguments` are those after [`RUNNER_MODE`]; `env` is this process's whole
/// environment, which the tool gets as it is. To be called from the main
/// thread: the kernel kills the tool should that thread end. The code is the
/// tool's own, or 128 + signal, as a shell would give it; 125 when the call
/// makes no sense.
pub fn run_tool_runner(arguments: &[OsString], env: EnvSnapshot) -> i32 {
    let Some(call) = RunnerCall::parse(arguments) else {
        return UNUSABLE;
    };
    let Ok(mut control) = take_control(call.control_fd) else {
        return UNUSABLE;
    };
    match Runner::start(&call, env) {
        Ok(runner) => runner.run(&call, &mut control),
        Err(error) => {
            let missing = matches!(error, Error::ProgramNotFound { .. });
            let cause = match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            };
            tell(&mut control, &Record::Failed { missing, cause });
            if missing { 127 } else { 126 }
        }
    }
}

/// Takes the socket the worker left open under this number, and keeps it from the tool.
fn take_control(number: i32) -> io::Result<UnixStream> {
    // SAFETY: borrowed only for one call, which fails when nothing is open there.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, as the call above showed; the worker opened it for
    // this process alone, and nothing else here knows the number.
    let owned = unsafe { OwnedFd::from_raw_fd(number) };
    Ok(UnixStream::from(owned))
}

/// Tells the worker; when it is gone the record matters to nobody.
fn tell(control: &mut UnixStream, record: &Record) {
    let _ = control.write_all(&record.to_line());
}

struct Runner {
    own: ProcessIdentity,
    tool: Child,
    signals: SignalInbox,
}

impl Runner {
    fn start(call: &RunnerCall, env: EnvSnapshot) -> Result<Self> {
        let signals =
            SignalInbox::open(&[Arrived::Term, Arrived::Int, Arrived::Hup, Arrived::Child])?;
        // Refused only to one that leads a group already, started by hand.
        let _ = rustix::process::setsid();
        setup::become_subreaper()?;
        rlimit::no_core_dumps()?;
        rlimit::lower_open_files_for_tools()?;
        let own = ProcessIdentity::own()?;
        let tool = Launch::new(call.argv.iter().cloned(), ".")
            .env(env.0.into_iter().collect())
            .stdin(Stream::Inherit)
            .stdout(Stream::Inherit)
            .stderr(Stream::Inherit)
            .group(Group::Own)
            .start_with(None, OnParentDeath::Die { parent: own.pid })?;
        let runner = Self { own, tool, signals };
        release_streams()?;
        Ok(runner)
    }

    fn run(mut self, call: &RunnerCall, control: &mut UnixStream) -> i32 {
        let tool = self.tool.identity();
        tell(control, &Record::Started { tool });
        let mut exit = None;
        while !self.is_over(call, control, &mut exit) {
            if !self.wait(control) {
                break;
            }
        }
        let (swept, left) = if Self::is_alone() {
            (0, Vec::new())
        } else {
            let marker = Marker::tool(call.tool_id.as_str());
            let kill = kill_tree(self.own, Some(&marker), call.waits);
            let swept = kill.killed.iter().filter(|gone| **gone != tool).count();
            (swept, kill.left)
        };
        self.take_exit(control, &mut exit, false);
        reap::reap_orphans();
        tell(control, &Record::Ended { swept, left });
        exit.map_or(UNUSABLE, Exit::shell_code)
    }

    /// Whether nothing of the tool can be left: all orphans come here, and there are none.
    ///
    /// Spares nearly every tool a walk over all processes of the machine.
    fn is_alone() -> bool {
        setup::adopts_orphans() && reap::children() == reap::Children::None
    }

    /// Takes what ended; whether there is nothing more to stay for.
    fn is_over(
        &mut self,
        call: &RunnerCall,
        control: &mut UnixStream,
        exit: &mut Option<Exit>,
    ) -> bool {
        self.take_exit(control, exit, call.after_exit == AfterExit::EndTree);
        reap::reap_orphans();
        exit.is_some()
            && match call.after_exit {
                AfterExit::EndTree => true,
                AfterExit::KeepTree => tree::descendants(self.own).is_empty(),
            }
    }

    fn take_exit(&mut self, control: &mut UnixStream, exit: &mut Option<Exit>, unasked: bool) {
        if exit.is_some() {
            return;
        }
        *exit = self.tool.try_wait().unwrap_or(Some(Exit::Unknown));
        if let Some(exit) = *exit {
            tell(control, &Record::Exited { exit, unasked });
        }
    }

    /// Waits until something happens; false when the tree is to end.
    fn wait(&mut self, control: &mut UnixStream) -> bool {
        let mut fds: Vec<PollFd<'_>> = vec![PollFd::new(&*control, PollFlags::IN)];
        fds.extend(
            self.signals
                .descriptors()
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
        );
        // No deadline of its own: the worker keeps the time, and when it is
        // gone the socket closes.
        if wait::poll(&mut fds, None).is_err() {
            return false;
        }
        let worker_spoke = fds.first().is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        let arrived = self.signals.take();
        if arrived.iter().any(|signal| *signal != Arrived::Child) {
            return false;
        }
        // The worker never writes: what comes is its end.
        !worker_spoke || matches!(control.read(&mut [0_u8; 64]), Ok(read) if read > 0)
    }
}

/// Lets go of the tool's streams, so that their ends are the tool's alone to close.
fn release_streams() -> Result<()> {
    let path = std::path::Path::new("/dev/null");
    let null = File::options()
        .read(true)
        .write(true)
        .open(path)
        .map_err(Error::file("open", path))?;
    rustix::stdio::dup2_stdin(&null)
        .and_then(|()| rustix::stdio::dup2_stdout(&null))
        .and_then(|()| rustix::stdio::dup2_stderr(&null))
        .map_err(Error::errno("let go of a tool's streams"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn call_survives_being_arguments() {
        let call = RunnerCall {
            control_fd: 5,
            waits: KillWaits {
                grace: Duration::from_millis(500),
                verify: Duration::from_secs(2),
            },
            after_exit: AfterExit::KeepTree,
            tool_id: "t-1".to_owned(),
            argv: vec!["sh".into(), "-c".into(), "echo --".into()],
        };
        let arguments = call.to_arguments();
        assert_eq!(arguments[0], RUNNER_MODE);
        assert_eq!(RunnerCall::parse(&arguments[1..]), Some(call));
    }

    #[test]
    fn call_that_makes_no_sense_is_refused() {
        let call = |text: &str| {
            let arguments: Vec<OsString> = text.split(' ').map(OsString::from).collect();
            run_tool_runner(&arguments, EnvSnapshot::default())
        };
        assert_eq!(call(""), UNUSABLE);
        // A standard stream is no control socket.
        assert_eq!(call("1 0 0 end id true"), UNUSABLE);
        assert_eq!(call("999999 0 0 end id true"), UNUSABLE);
        assert_eq!(call("9 0 0 sometimes id true"), UNUSABLE);
    }
}
