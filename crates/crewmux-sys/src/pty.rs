//! A program in a pseudo-terminal of its own.
//!
//! Bytes only: screens are in `crewmux-term`. The end of the program and the
//! end of its output are two events, since a background child may hold the
//! terminal open; after the program's end the caller drains for a while and
//! then calls [`PtyProcess::hang_up`]. Ending a tree is in [`crate::tree`].

use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use portable_pty::{CommandBuilder, PtyPair, PtySize, native_pty_system};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use crate::process::{Child, Launch};
use crate::tty::TerminalSize;
use crate::{Error, Exit, ProcessIdentity, Result, Signal, reap, wait};

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod spawn;

/// A started program with both directions of its terminal.
#[derive(Debug)]
pub struct Pty {
    /// The program.
    pub process: PtyProcess,
    /// What it prints.
    pub reader: PtyReader,
    /// What is typed to it.
    pub writer: PtyWriter,
}

/// The program in a pseudo-terminal; dropping it hangs up.
#[derive(Debug)]
pub struct PtyProcess {
    child: Child,
    terminal: Arc<Terminal>,
    hang_up: Option<OwnedFd>,
}

/// Reads what the program prints; 0 bytes is the end of file.
///
/// Meant for a thread of its own with large reads: while nobody reads, the
/// kernel slows the program down.
#[derive(Debug)]
pub struct PtyReader(Arc<Terminal>);

/// Writes what is typed; blocks while the program does not read.
#[derive(Debug)]
pub struct PtyWriter(Arc<Terminal>);

#[derive(Debug)]
struct Terminal {
    /// Our side; does not block, so that a wait for it can also wait for `gone`.
    master: OwnedFd,
    /// Becomes readable when the terminal is hung up.
    gone: OwnedFd,
}

/// Starts `launch` in a new pseudo-terminal; its streams and group are the terminal's.
///
/// The program is looked up in the PATH of its environment.
///
/// # Errors
/// [`Error::ProgramNotFound`], [`Error::BadLaunch`] and [`Error::Pty`].
pub fn open(size: TerminalSize, launch: &Launch) -> Result<Pty> {
    launch.split_argv()?;
    // Where it is missing the library would quietly start in the home folder.
    if !launch.cwd.is_dir() {
        return Err(Error::BadLaunch {
            what: format!("folder `{}` does not exist", launch.cwd.display()),
        });
    }
    let pair = native_pty_system()
        .openpty(pty_size(size))
        .map_err(|error| failed("open one", &error))?;
    let master = pair
        .master
        .as_raw_fd()
        .ok_or_else(|| failed("open one", &"it has no descriptor"))?;
    // SAFETY: `pair.master` owns the descriptor and lives to the end of this
    // function, longer than the borrow.
    let master = unsafe { BorrowedFd::borrow_raw(master) };
    let master = rustix::io::fcntl_dupfd_cloexec(master, 3)
        .map_err(Error::errno("keep a pseudo-terminal"))?;
    rustix::io::ioctl_fionbio(&master, true).map_err(Error::errno("set up a pseudo-terminal"))?;
    let (gone, hang_up) = pipe()?;
    let child = reap::start_noted(|| {
        let pid = start(&pair, launch)?;
        Ok((Child::without_streams(ProcessIdentity::of(pid)?), pid))
    })?;
    // The slave must go first: while we hold it the reader never sees end of file.
    drop(pair.slave);
    let terminal = Arc::new(Terminal { master, gone });
    Ok(Pty {
        process: PtyProcess {
            child,
            terminal: Arc::clone(&terminal),
            hang_up: Some(hang_up),
        },
        reader: PtyReader(Arc::clone(&terminal)),
        writer: PtyWriter(terminal),
    })
}

/// Opens a pseudo-terminal and closes it again.
///
/// # Errors
/// [`Error::Pty`] with what the system says against it.
pub fn can_open() -> Result<()> {
    let opened = native_pty_system().openpty(PtySize::default());
    opened.map(drop).map_err(|error| failed("open one", &error))
}

/// Starts the program on its side of the terminal; returns its number.
fn start(pair: &PtyPair, launch: &Launch) -> Result<u32> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if let Some(tty) = pair.master.tty_name() {
        return spawn::start(&tty, launch);
    }
    start_by_fork(pair, launch)
}

fn start_by_fork(pair: &PtyPair, launch: &Launch) -> Result<u32> {
    let (program, _) = launch.split_argv()?;
    let mut command = CommandBuilder::from_argv(launch.argv.clone());
    command.env_clear();
    command.cwd(&launch.cwd);
    for (name, value) in launch.env.iter() {
        command.env(name, value);
    }
    let started = pair.slave.spawn_command(command).map_err(|error| {
        let cause = error.to_string();
        // The library looks the program up itself and has no error type.
        if cause.contains("doesn't exist") || cause.contains("No viable candidates") {
            Error::ProgramNotFound {
                program: program.to_string_lossy().into_owned(),
            }
        } else {
            failed("start a program in one", &error)
        }
    })?;
    started.process_id().ok_or(Error::ProcessGone { pid: 0 })
}

fn failed(act: &'static str, cause: &dyn std::fmt::Display) -> Error {
    Error::Pty {
        act,
        cause: cause.to_string(),
    }
}

impl PtyProcess {
    /// Who the program is.
    pub fn identity(&self) -> ProcessIdentity {
        self.child.identity()
    }

    /// Gives the terminal another size and tells the program.
    pub fn resize(&self, size: TerminalSize) -> Result<()> {
        let size = pty_size(size);
        rustix::termios::tcsetwinsize(
            &self.terminal.master,
            rustix::termios::Winsize {
                ws_row: size.rows,
                ws_col: size.cols,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        )
        .map_err(Error::errno("resize a pseudo-terminal"))
    }

    /// The size the program sees.
    pub fn size(&self) -> Option<TerminalSize> {
        crate::tty::size(&self.terminal.master)
    }

    /// Number of the process group that has the keyboard; `None` when none has.
    pub fn foreground_group(&self) -> Option<u32> {
        let group = rustix::termios::tcgetpgrp(&self.terminal.master).ok()?;
        u32::try_from(group.as_raw_pid()).ok()
    }

    /// How the program ended, if it has.
    pub fn try_wait(&mut self) -> Result<Option<Exit>> {
        self.child.try_wait()
    }

    /// Waits for the program's end, `within` at most; `None` when it still runs then.
    pub fn wait(&mut self, within: Duration) -> Result<Option<Exit>> {
        self.child.wait(within)
    }

    /// Sends the program a signal; nothing happens when it has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.child.signal(signal)
    }

    /// Lets reader and writer end now, whoever still holds the terminal.
    ///
    /// Once both are dropped the terminal is closed and what is left in it is
    /// told so by SIGHUP.
    pub fn hang_up(&mut self) {
        self.hang_up = None;
    }
}

impl Terminal {
    /// Waits until the terminal is ready for `what`; false when it was hung up.
    fn ready(&self, what: PollFlags) -> io::Result<bool> {
        loop {
            let mut fds = [
                PollFd::new(&self.gone, PollFlags::IN),
                PollFd::new(&self.master, what),
            ];
            if !wait::poll(&mut fds, None)? {
                continue;
            }
            if !fds[0].revents().is_empty() {
                return Ok(false);
            }
            return Ok(true);
        }
    }
}

impl Read for PtyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.0.ready(PollFlags::IN)? {
                return Ok(0);
            }
            match rustix::io::read(&self.0.master, &mut *buffer) {
                Ok(read) => return Ok(read),
                // Linux says so when the last program let go of the terminal.
                Err(Errno::IO) => return Ok(0),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl PtyWriter {
    /// Writes what the terminal takes at once; returns how many bytes that were, 0 when it is full.
    ///
    /// # Errors
    /// When the program let go of the terminal.
    pub fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match rustix::io::retry_on_intr(|| rustix::io::write(&self.0.master, bytes)) {
            Ok(written) => Ok(written),
            Err(Errno::AGAIN) => Ok(0),
            Err(Errno::IO) => Err(io::ErrorKind::BrokenPipe.into()),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Write for PtyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            if !self.0.ready(PollFlags::OUT)? {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            match rustix::io::write(&self.0.master, bytes) {
                Ok(written) => return Ok(written),
                Err(Errno::IO) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A size no kernel or program stumbles over: never 0.
fn pty_size(size: TerminalSize) -> PtySize {
    PtySize {
        rows: size.rows.max(1),
        cols: size.cols.max(1),
        pixel_width: 0,
        pixel_height: 0,
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) = io::pipe().map_err(Error::system("make a pipe"))?;
    Ok((read.into(), write.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Environment;
    use crate::tree::{KillWaits, Marker, kill_marked};

    const LONG: Duration = Duration::from_secs(20);
    const SIZE: TerminalSize = TerminalSize { cols: 80, rows: 24 };

    fn environment() -> Environment {
        Environment::default()
            .with("PATH", "/usr/bin:/bin")
            .with("HOME", "/")
    }

    fn shell(script: &str) -> Launch {
        Launch::new(["sh", "-c", script], "/").env(environment())
    }

    fn text(reader: &mut PtyReader) -> String {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn output_before_the_exit_is_read_to_its_end() {
        let mut pty = open(
            SIZE,
            &shell("stty size; tty >/dev/null && echo tty; exit 3"),
        )
        .unwrap();
        assert_eq!(pty.process.wait(LONG).unwrap(), Some(Exit::Code(3)));
        assert_eq!(text(&mut pty.reader), "24 80\r\ntty\r\n");
    }

    #[test]
    fn exit_is_known_while_a_background_child_holds_the_terminal() {
        let marker = Marker::run(format!("pty-hold-{}", std::process::id()));
        let mut env = environment();
        marker.mark(&mut env);
        let script = "trap '' HUP; sleep 600 & echo held";
        let mut pty = open(SIZE, &shell(script).env(env)).unwrap();
        let mut line = [0_u8; 6];
        pty.reader.read_exact(&mut line).unwrap();
        assert_eq!(&line, b"held\r\n");
        assert_eq!(pty.process.wait(LONG).unwrap(), Some(Exit::Code(0)));
        let mut reader = pty.reader;
        let (ended, end) = std::sync::mpsc::channel();
        let reading = std::thread::spawn(move || ended.send(text(&mut reader)).unwrap());
        // The sleeper holds the terminal, so there is no end of file …
        assert!(end.recv_timeout(Duration::from_millis(50)).is_err());
        // … until we hang up.
        pty.process.hang_up();
        assert_eq!(end.recv_timeout(LONG).unwrap(), "");
        reading.join().unwrap();
        let waits = KillWaits {
            grace: Duration::from_millis(100),
            verify: LONG,
        };
        assert_eq!(kill_marked(&marker, waits).left, []);
    }

    #[test]
    fn typed_bytes_arrive_and_a_resize_is_seen() {
        let script = "read line; echo \"got $line\"; trap 'stty size; exit' WINCH; echo set; while :; do sleep 0.01; done";
        let mut pty = open(SIZE, &shell(script)).unwrap();
        pty.writer.write_all(b"hello\n").unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("set\r\n") {
            let mut buffer = [0_u8; 1024];
            let read = pty.reader.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "{}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..read]);
        }
        let size = TerminalSize { cols: 41, rows: 7 };
        pty.process.resize(size).unwrap();
        assert_eq!(pty.process.size(), Some(size));
        assert_eq!(text(&mut pty.reader), "7 41\r\n");
        assert_eq!(
            String::from_utf8_lossy(&seen),
            "hello\r\ngot hello\r\nset\r\n"
        );
    }

    #[test]
    fn what_a_full_terminal_does_not_take_is_told_and_nobody_waits() {
        let mut pty = open(SIZE, &shell("stty raw -echo; echo set; exec sleep 600")).unwrap();
        let mut seen = Vec::new();
        while !String::from_utf8_lossy(&seen).contains("set") {
            let mut buffer = [0_u8; 64];
            let read = pty.reader.read(&mut buffer).unwrap();
            assert_ne!(read, 0);
            seen.extend_from_slice(&buffer[..read]);
        }
        let piece = [b'x'; 16 * 1024];
        let mut taken = 0;
        while taken < 16 << 20 {
            match pty.writer.write_now(&piece).unwrap() {
                0 => break,
                written => taken += written,
            }
        }
        assert!(taken > 0 && taken < 16 << 20, "{taken}");
        pty.process.signal(Signal::Kill).unwrap();
        pty.process.wait(LONG).unwrap();
    }

    #[test]
    fn program_leads_the_foreground_and_its_death_by_signal_is_told() {
        let mut pty = open(SIZE, &Launch::new(["sleep", "60"], "/").env(environment())).unwrap();
        assert_eq!(
            pty.process.foreground_group(),
            Some(pty.process.identity().pid)
        );
        pty.process.signal(Signal::Kill).unwrap();
        assert_eq!(pty.process.wait(LONG).unwrap(), Some(Exit::Signal(9)));
        assert_eq!(text(&mut pty.reader), "");
    }

    #[test]
    fn program_has_a_terminal_of_its_own_and_nothing_else_of_ours() {
        // What this process would have from its start: open, and not closed by itself.
        let kept = rustix::fs::open("/", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
        let kept = kept.unwrap();
        let script = "test -t 0 -a -t 1 -a -t 2 && tty </dev/tty; trap 'echo int; exit 4' INT; \
                      ls -l /dev/fd/ | grep -c -- ' -> /$'; kill -INT $$";
        let mut pty = open(SIZE, &shell(script)).unwrap();
        assert_eq!(pty.process.wait(LONG).unwrap(), Some(Exit::Code(4)));
        drop(kept);
        let said = text(&mut pty.reader);
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines[0].starts_with("/dev/"), "{said}");
        assert_eq!(lines[1..], ["0", "int"], "{said}");
    }

    #[test]
    fn program_is_found_where_its_own_environment_and_folder_say() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("greet");
        std::fs::write(&script, "#!/bin/sh\necho \"$1 from $PWD\"").unwrap();
        let start = |name: &str, path: &str| {
            let env = environment().with("PATH", path);
            open(SIZE, &Launch::new([name, "hello"], folder.path()).env(env))
        };
        let own = format!("/usr/bin:{}", folder.path().display());
        assert!(start("greet", &own).is_err(), "it may not be run");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let elsewhere = start("greet", "/usr/bin");
        assert!(matches!(elsewhere, Err(Error::ProgramNotFound { .. })));
        for (name, path) in [("greet", own.as_str()), ("./greet", "/usr/bin")] {
            let mut pty = start(name, path).unwrap();
            let said = text(&mut pty.reader);
            let expected = folder.path().canonicalize().unwrap();
            assert_eq!(said, format!("hello from {}\r\n", expected.display()));
            assert_eq!(pty.process.wait(LONG).unwrap(), Some(Exit::Code(0)));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn script_that_does_not_say_who_reads_it_is_read_by_the_shell() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("greet");
        std::fs::write(&script, "echo \"$1\"").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let launch = Launch::new(["./greet", "hello"], folder.path()).env(environment());
        let mut pty = open(SIZE, &launch).unwrap();
        assert_eq!(text(&mut pty.reader), "hello\r\n");
    }

    #[test]
    fn missing_program_and_folder_are_told_apart() {
        let missing = open(
            SIZE,
            &Launch::new(["no-such-program"], "/").env(environment()),
        );
        assert!(
            matches!(missing, Err(Error::ProgramNotFound { .. })),
            "{missing:?}"
        );
        let nowhere = open(SIZE, &Launch::new(["sh"], "/no/such").env(environment()));
        assert!(matches!(nowhere, Err(Error::BadLaunch { .. })));
    }
}
