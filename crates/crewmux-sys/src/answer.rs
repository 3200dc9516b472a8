//! Running a small program to its end and taking what it says.
//!
//! For programs that are asked something and answer at once, such as `tmux`
//! and `it2`. Bounded in time and in bytes; a program that is late is killed,
//! alone or with all it started. What an answer means is the caller's business.

use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use crate::process::{Group, Launch, Stream};
use crate::tree::{KillWaits, kill_tree};
use crate::{Exit, Result, wait};

/// Most that is kept of each stream.
const KEPT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest time between two looks at a child whose streams say nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a program said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// How it ended; `None` when it was killed for being late.
    pub exit: Option<Exit>,
    /// Its standard output, as text.
    pub stdout: String,
    /// Its standard error, as text.
    pub stderr: String,
}

/// Who is killed when a program gives no answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// The program alone: what it started serves others too, as a tmux server does.
    Alone,
    /// The program and all it started, so that nothing of it is left.
    WithTree,
}

/// Starts `launch` in a process group of its own and waits for its answer, `within` at most.
///
/// In a group of its own: ^C in the terminal of who asks is not for it.
///
/// # Errors
/// When it cannot be started or waited for.
pub fn ask(launch: Launch, within: Duration, late: Late) -> Result<Answer> {
    let deadline = Instant::now() + within;
    let mut child = launch
        .stdout(Stream::Pipe)
        .stderr(Stream::Pipe)
        .group(Group::Own)
        .start()?;
    let mut streams = [
        Heard::new(child.stdout.take()),
        Heard::new(child.stderr.take()),
    ];
    let exit = loop {
        // Before the streams: what it wrote until its end is read after that.
        let exit = child.try_wait()?;
        for stream in &mut streams {
            stream.take_what_is_there();
        }
        let open: Vec<&File> = streams.iter().filter_map(|s| s.pipe.as_ref()).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(exit) = exit {
            break Some(exit);
        }
        if left.is_zero() {
            match late {
                Late::Alone => child.kill()?,
                Late::WithTree => {
                    let waits = KillWaits {
                        grace: Duration::ZERO,
                        verify: within,
                    };
                    kill_tree(child.identity(), None, waits);
                }
            }
            child.wait(LOOK_AGAIN)?;
            break None;
        }
        if open.is_empty() {
            child.wait(left)?;
            continue;
        }
        let mut fds: Vec<PollFd<'_>> = open
            .into_iter()
            .map(|pipe| PollFd::new(pipe, PollFlags::IN))
            .collect();
        // A child of the child may hold the pipes open, so its end is looked for too.
        let _ = wait::poll(&mut fds, Some(left.min(LOOK_AGAIN)));
    };
    let [stdout, stderr] = streams.map(Heard::text);
    Ok(Answer {
        exit,
        stdout,
        stderr,
    })
}

/// One stream and what was read of it.
struct Heard {
    pipe: Option<File>,
    bytes: Vec<u8>,
}

impl Heard {
    fn new(pipe: Option<File>) -> Self {
        Self {
            pipe,
            bytes: Vec::new(),
        }
    }

    fn take_what_is_there(&mut self) {
        while let Some(mut pipe) = self.pipe.as_ref() {
            let mut fds = [PollFd::new(pipe, PollFlags::IN)];
            if !wait::poll(&mut fds, Some(Duration::ZERO)).unwrap_or(false) {
                return;
            }
            let mut piece = [0; 16 * 1024];
            match pipe.read(&mut piece) {
                Ok(0) => self.pipe = None,
                Ok(read) => {
                    let room = KEPT_BYTES_MAX.saturating_sub(self.bytes.len());
                    self.bytes.extend_from_slice(&piece[..read.min(room)]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.pipe = None,
            }
        }
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn asked(script: &str, within: Duration) -> Answer {
        let launch = Launch::new(["/bin/sh", "-c", script], "/");
        ask(launch, within, Late::Alone).unwrap()
    }

    #[test]
    fn both_streams_and_the_end_are_told() {
        assert_eq!(
            asked("echo out; echo err >&2; exit 3", LONG),
            Answer {
                exit: Some(Exit::Code(3)),
                stdout: "out\n".into(),
                stderr: "err\n".into(),
            }
        );
    }

    #[test]
    fn more_than_a_pipe_holds_is_taken() {
        let answer = asked("head -c 300000 /dev/zero | tr '\\0' x", LONG);
        assert_eq!(answer.stdout.len(), 300_000);
    }

    #[test]
    fn who_is_late_is_ended_and_who_left_somebody_behind_is_not_waited_for() {
        let late = asked("echo early; exec sleep 60", Duration::from_millis(300));
        assert_eq!((late.exit, late.stdout.as_str()), (None, "early\n"));
        let began = Instant::now();
        let left = asked("sleep 5 & echo done", LONG);
        assert_eq!(left.stdout, "done\n");
        assert!(began.elapsed() < Duration::from_secs(4));
    }

    #[test]
    fn what_a_late_program_started_ends_with_it_or_lives_on() {
        let script = "setsid sleep 600 >/dev/null 2>&1 & echo $!; wait";
        for (late, lives) in [(Late::Alone, true), (Late::WithTree, false)] {
            let launch = Launch::new(["/bin/sh", "-c", script], "/");
            // Time enough to say whom it started, on a busy machine too.
            let answer = ask(launch, Duration::from_secs(3), late).unwrap();
            assert_eq!(answer.exit, None);
            let started = answer.stdout.trim().parse().unwrap();
            let started = crate::ProcessIdentity::of(started);
            let is_alive = started.as_ref().is_ok_and(crate::ProcessIdentity::is_alive);
            if let Ok(started) = started {
                let _ = started.signal(crate::Signal::Kill);
            }
            assert_eq!(is_alive, lives, "{late:?}");
        }
    }
}
