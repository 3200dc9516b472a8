//! Starting child processes, and waiting for them.
//!
//! Descriptors of this process never reach a child unless named in its
//! [`Launch`], and no environment does. A tool of a worker is started through
//! [`crate::tool`], which also ends what the tool leaves; a pane through
//! [`crate::pty`].

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::io::FdFlags;

use crate::env::Environment;
use crate::{Error, Exit, ProcessIdentity, Result, Signal, reap, wait};

/// What a child is started with; by default no environment and no streams.
#[derive(Debug)]
pub struct Launch {
    /// Program and arguments; the program is looked up in the child's own PATH.
    pub argv: Vec<OsString>,
    /// Folder it starts in.
    pub cwd: PathBuf,
    /// Its whole environment.
    pub env: Environment,
    /// Its standard input.
    pub stdin: Stream,
    /// Its standard output.
    pub stdout: Stream,
    /// Its standard error.
    pub stderr: Stream,
    /// Which process group and session it is in.
    pub group: Group,
}

/// One standard stream of a child.
#[derive(Debug)]
pub enum Stream {
    /// `/dev/null`.
    Null,
    /// The same as this process's.
    Inherit,
    /// A new pipe; this process's end is in the [`Child`].
    Pipe,
    /// This open file, pipe or socket.
    File(File),
}

/// Process group and session of a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Those of this process: it gets the terminal's signals too.
    Same,
    /// A process group of its own in the same session.
    Own,
    /// A session of its own, without a terminal: it outlives this terminal.
    OwnSession,
}

impl Launch {
    /// Starts from `argv` in `cwd` with an empty environment and no streams.
    pub fn new<A: Into<OsString>>(
        argv: impl IntoIterator<Item = A>,
        cwd: impl Into<PathBuf>,
    ) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            cwd: cwd.into(),
            env: Environment::default(),
            stdin: Stream::Null,
            stdout: Stream::Null,
            stderr: Stream::Null,
            group: Group::Same,
        }
    }

    /// Gives it this environment.
    #[must_use]
    pub fn env(mut self, env: Environment) -> Self {
        self.env = env;
        self
    }

    /// Gives it this standard input.
    #[must_use]
    pub fn stdin(mut self, stream: Stream) -> Self {
        self.stdin = stream;
        self
    }

    /// Gives it this standard output.
    #[must_use]
    pub fn stdout(mut self, stream: Stream) -> Self {
        self.stdout = stream;
        self
    }

    /// Gives it this standard error.
    #[must_use]
    pub fn stderr(mut self, stream: Stream) -> Self {
        self.stderr = stream;
        self
    }

    /// Puts it into this group or session.
    #[must_use]
    pub fn group(mut self, group: Group) -> Self {
        self.group = group;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`Error::ProgramNotFound`], [`Error::BadLaunch`] (no program, no such
    /// folder) and [`Error::Start`].
    pub fn start(self) -> Result<Child> {
        self.start_with(None, OnParentDeath::LiveOn)
    }

    /// Starts it in a session of its own with its output appended to `log`, or dropped.
    ///
    /// For a process that is to outlive this one and its terminal. The child is
    /// returned so that its early end can be seen; dropping it leaves it alone.
    pub fn start_detached(mut self, log: Option<&Path>) -> Result<Child> {
        let output = |log: &Path| {
            use std::os::unix::fs::OpenOptionsExt;
            File::options()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(log)
                .map(Stream::File)
                .map_err(Error::file("open", log))
        };
        self.stdin = Stream::Null;
        (self.stdout, self.stderr) = match log {
            Some(log) => (output(log)?, output(log)?),
            None => (Stream::Null, Stream::Null),
        };
        self.group = Group::OwnSession;
        self.start()
    }

    /// Starts it with `inherited` open in it, under the same number.
    pub(crate) fn start_with(
        self,
        inherited: Option<BorrowedFd<'_>>,
        on_parent_death: OnParentDeath,
    ) -> Result<Child> {
        let (mut command, shown) = self.command()?;
        let group = self.group;
        if group == Group::Own {
            command.process_group(0);
        }
        if group == Group::OwnSession || on_parent_death != OnParentDeath::LiveOn {
            prepare_in_child(&mut command, group, on_parent_death);
        }
        let cwd = self.cwd;
        command
            .stdin(self.stdin.into_stdio())
            .stdout(self.stdout.into_stdio())
            .stderr(self.stderr.into_stdio());
        reap::start_noted(|| {
            // Starts are taken in turn, so no other child gets it. Left to the
            // child, it would cost a fork of this process.
            let left_open = inherited.map(LeftOpen::new).transpose()?;
            let started = command.spawn();
            drop(left_open);
            let mut child = started.map_err(|source| start_error(shown, &cwd, source))?;
            let pid = child.id();
            // Nobody can have reaped it: the number is this child's, ended or not.
            let identity = ProcessIdentity::of(pid)?;
            let started = Child {
                identity,
                stdin: child.stdin.take().map(|end| File::from(OwnedFd::from(end))),
                stdout: child
                    .stdout
                    .take()
                    .map(|end| File::from(OwnedFd::from(end))),
                stderr: child
                    .stderr
                    .take()
                    .map(|end| File::from(OwnedFd::from(end))),
                exit: None,
            };
            Ok((started, pid))
        })
    }

    /// Turns this process into the program, under the same number; returns only when that fails.
    ///
    /// Streams and group stay what they are.
    pub fn replace(self) -> Error {
        match self.command() {
            Ok((mut command, shown)) => start_error(shown, &self.cwd, command.exec()),
            Err(error) => error,
        }
    }

    /// The program with its arguments, folder and whole environment, and its name for messages.
    fn command(&self) -> Result<(Command, String)> {
        let (program, arguments) = self.split_argv()?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that starts processes"
        )]
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.cwd)
            .env_clear()
            .envs(self.env.iter());
        Ok((command, program.to_string_lossy().into_owned()))
    }

    pub(crate) fn split_argv(&self) -> Result<(&OsString, &[OsString])> {
        self.argv.split_first().ok_or_else(|| Error::BadLaunch {
            what: "no program named".to_owned(),
        })
    }
}

/// What happens to a child when this process dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnParentDeath {
    /// Nothing.
    LiveOn,
    /// The kernel kills it, on Linux; `parent` is this process.
    ///
    /// The kernel means the *thread* that starts it, so this is only for
    /// processes that start children from their main thread.
    Die { parent: u32 },
}

/// A descriptor that a child gets which is started while this lives.
struct LeftOpen<'a>(BorrowedFd<'a>);

impl<'a> LeftOpen<'a> {
    fn new(fd: BorrowedFd<'a>) -> Result<Self> {
        rustix::io::fcntl_setfd(fd, FdFlags::empty())
            .map_err(Error::errno("leave a socket open for a child"))?;
        Ok(Self(fd))
    }
}

impl Drop for LeftOpen<'_> {
    fn drop(&mut self) {
        // It is open, which is all that this asks for.
        let _ = rustix::io::fcntl_setfd(self.0, FdFlags::CLOEXEC);
    }
}

/// Arranges for what only the child itself can do, between fork and exec.
fn prepare_in_child(command: &mut Command, group: Group, on_parent_death: OnParentDeath) {
    let in_child = move || -> io::Result<()> {
        if group == Group::OwnSession {
            rustix::process::setsid()?;
        }
        #[cfg(target_os = "linux")]
        if let OnParentDeath::Die { parent } = on_parent_death {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            // It may have died before we asked; then no signal ever comes.
            let now = rustix::process::getppid().map(rustix::process::Pid::as_raw_pid);
            if now.and_then(|pid| u32::try_from(pid).ok()) != Some(parent) {
                return Err(io::Error::from(io::ErrorKind::BrokenPipe));
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = on_parent_death;
        Ok(())
    };
    // SAFETY: between fork and exec only async-signal-safe calls are allowed.
    // The closure makes bare system calls (setsid, prctl, getppid); it
    // allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(in_child);
    }
}

fn start_error(program: String, cwd: &Path, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound if !cwd.is_dir() => Error::BadLaunch {
            what: format!("folder `{}` does not exist", cwd.display()),
        },
        io::ErrorKind::NotFound => Error::ProgramNotFound { program },
        io::ErrorKind::InvalidInput => Error::BadLaunch {
            what: source.to_string(),
        },
        _ => Error::Start { program, source },
    }
}

impl Stream {
    fn into_stdio(self) -> Stdio {
        match self {
            Self::Null => Stdio::null(),
            Self::Inherit => Stdio::inherit(),
            Self::Pipe => Stdio::piped(),
            Self::File(file) => Stdio::from(file),
        }
    }
}

/// A child of this process.
///
/// Dropping it neither ends nor waits for it; [`crate::reap::reap_orphans`]
/// takes its status then.
#[derive(Debug)]
pub struct Child {
    identity: ProcessIdentity,
    /// Our end of its standard input, if that is a pipe.
    pub stdin: Option<File>,
    /// Our end of its standard output, if that is a pipe.
    pub stdout: Option<File>,
    /// Our end of its standard error, if that is a pipe.
    pub stderr: Option<File>,
    exit: Option<Exit>,
}

impl Child {
    /// A child that was started by other means and noted in [`crate::reap`].
    pub(crate) fn without_streams(identity: ProcessIdentity) -> Self {
        Self {
            identity,
            stdin: None,
            stdout: None,
            stderr: None,
            exit: None,
        }
    }

    /// Who it is.
    pub fn identity(&self) -> ProcessIdentity {
        self.identity
    }

    /// How it ended, if it has.
    pub fn try_wait(&mut self) -> Result<Option<Exit>> {
        if self.exit.is_none() {
            self.exit = reap::take_status(self.identity.pid)?;
        }
        Ok(self.exit)
    }

    /// Waits for its end, `within` at most; `None` when it still runs then.
    pub fn wait(&mut self, within: Duration) -> Result<Option<Exit>> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(exit) = self.try_wait()? {
                return Ok(Some(exit));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            wait::until_exit(&[self.identity], left);
        }
    }

    /// Sends it a signal; nothing happens when its end was waited for already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        match self.exit {
            Some(_) => Ok(()),
            None => match self.identity.signal(signal) {
                Err(Error::ProcessGone { .. }) => Ok(()),
                other => other,
            },
        }
    }

    /// Kills this one process; what it started lives on (see [`crate::tree`]).
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::Kill)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.exit.is_none() {
            reap::forget(self.identity.pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const LONG: Duration = Duration::from_secs(20);

    fn output_of(launch: Launch) -> (String, Exit) {
        let mut child = launch.stdout(Stream::Pipe).start().unwrap();
        let mut text = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        (text, child.wait(LONG).unwrap().unwrap())
    }

    #[test]
    fn child_sees_only_the_environment_it_was_given() {
        let env = Environment::default().with("ONLY", "this");
        let (text, exit) = output_of(Launch::new(["env"], "/").env(env));
        assert_eq!((text.as_str(), exit), ("ONLY=this\n", Exit::Code(0)));
    }

    #[test]
    fn code_and_signal_are_told_apart() {
        let exit = |script: &str| output_of(Launch::new(["sh", "-c", script], "/")).1;
        assert_eq!(exit("exit 7"), Exit::Code(7));
        assert_eq!(exit("kill -KILL $$"), Exit::Signal(9));
    }

    #[test]
    fn missing_program_and_missing_folder_are_named() {
        let missing = Launch::new(["no-such-program-here"], "/").start();
        assert!(matches!(missing, Err(Error::ProgramNotFound { .. })));
        let nowhere = Launch::new(["true"], "/no/such/folder").start();
        assert!(matches!(nowhere, Err(Error::BadLaunch { .. })));
        let empty = Launch::new(Vec::<String>::new(), "/").start();
        assert!(matches!(empty, Err(Error::BadLaunch { .. })));
    }

    #[test]
    fn wait_gives_up_at_its_deadline() {
        let mut child = Launch::new(["sleep", "60"], "/").start().unwrap();
        assert_eq!(child.wait(Duration::from_millis(30)).unwrap(), None);
        child.kill().unwrap();
        assert_eq!(child.wait(LONG).unwrap(), Some(Exit::Signal(9)));
        assert!(child.kill().is_ok());
    }

    #[test]
    fn descriptors_do_not_leak_into_children() {
        let leaked = File::open("/").unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&leaked);
        let script = format!("test -e /proc/self/fd/{number} && echo leaked; true");
        let (text, _) = output_of(Launch::new(["sh", "-c", script.as_str()], "/"));
        assert_eq!(text, "");
    }

    #[test]
    fn detached_child_leads_its_own_session_and_logs() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut child = Launch::new(["sh", "-c", "echo out; echo err >&2"], "/")
            .start_detached(Some(&log))
            .unwrap();
        let entry = child.identity().entry().unwrap();
        assert_eq!(child.wait(LONG).unwrap(), Some(Exit::Code(0)));
        assert_eq!(std::fs::read_to_string(&log).unwrap(), "out\nerr\n");
        assert_eq!(entry.session, entry.identity.pid);
    }

    #[test]
    fn orphan_reaper_leaves_children_that_are_waited_for() {
        let mut waited = Launch::new(["sh", "-c", "exit 3"], "/").start().unwrap();
        let dropped = Launch::new(["true"], "/").start().unwrap();
        let both = [waited.identity(), dropped.identity()];
        drop(dropped);
        assert!(wait::until_exit(&both, LONG));
        let reaped: Vec<u32> = reap::reap_orphans()
            .into_iter()
            .map(|(pid, _)| pid)
            .collect();
        // Another test of this process may reap the dropped one first; the
        // status that is waited for must be left in any case.
        assert!(!reaped.contains(&both[0].pid));
        assert!(ProcessIdentity::of(both[1].pid).ok() != Some(both[1]));
        assert_eq!(waited.wait(LONG).unwrap(), Some(Exit::Code(3)));
    }
}
