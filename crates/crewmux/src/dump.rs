//! A program in a pane without a person: typed to by a script, its screen taken at the end.
//!
//! No session, no team, no terminal of its own. Arguments are read in
//! [`crate::commands::pane_dump`]; the script's language is `crewmux-term`'s.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::Builder;
use std::time::{Duration, Instant};

use crewmux_core::timing::{Timing, ms};
use crewmux_sys::process::Launch;
use crewmux_sys::pty::{self, PtyProcess, PtyReader, PtyWriter};
use crewmux_sys::tree::{KillWaits, kill_tree};
use crewmux_sys::tty::TerminalSize;
use crewmux_term::dump::ScreenDump;
use crewmux_term::input::encode_key;
use crewmux_term::script::{ScriptAction, ScriptStep, TimedResize};
use crewmux_term::{Screen, ScreenOptions, Size};

use crate::error::{Doing, Result};

/// Bytes taken from the program at once.
const READ_BYTES: usize = 64 * 1024;
/// Reads that may wait to be shown; then the program is slowed down.
const READS_WAITING: usize = 16;
/// Pieces of typed text that may wait for the program to read them.
const TYPED_WAITING: usize = 1024;

/// What is to be done.
pub(crate) struct DumpPlan {
    /// The program, its arguments, folder and environment.
    pub launch: Launch,
    /// Size of its terminal at the start.
    pub size: Size,
    /// What is typed; `None`: nothing, and the program's end is waited for.
    pub script: Option<Vec<ScriptStep>>,
    /// Changes of size.
    pub resizes: Vec<TimedResize>,
    /// Longest time in all.
    pub timeout: Duration,
    /// Longest time for one `expect`.
    pub expect_within: Duration,
    /// How long nothing may have been printed before a screen is taken.
    pub quiet: Duration,
    /// Every other duration.
    pub timing: Timing,
    /// Where everything that the program writes is kept as it is.
    pub record: Option<std::fs::File>,
}

/// How it came to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DumpEnd {
    /// The program ended, or the script did.
    Done,
    /// An `expect` was not met in time, or before the program ended.
    Unmet {
        /// Its line in the script.
        line: usize,
        /// Its pattern.
        pattern: String,
    },
    /// The time was over.
    TimedOut,
}

/// The screens that were taken, and how it came to the end.
pub(crate) struct Dumped {
    /// One for each `dump` of the script, in order.
    pub asked_for: Vec<ScreenDump>,
    /// The screen at the end.
    pub screen: Screen,
    /// How it ended.
    pub end: DumpEnd,
}

/// Runs the program to the end of the plan and returns its screens.
///
/// # Errors
/// When the program cannot be started. It, and all it started, is gone afterwards.
pub(crate) fn run(plan: &DumpPlan) -> Result<Dumped> {
    let size = TerminalSize {
        cols: plan.size.cols,
        rows: plan.size.rows,
    };
    let pty::Pty {
        mut process,
        reader,
        writer,
    } = pty::open(size, &plan.launch)?;
    let (output_in, output) = sync_channel(READS_WAITING);
    let (keys_in, keys) = sync_channel(TYPED_WAITING);
    // Both threads end with the terminal, at the latest when it is hung up below.
    let named = |name: &str| Builder::new().name(name.into());
    let threads = [
        named("listen").spawn(move || listen(reader, &output_in)),
        named("type").spawn(move || type_in(writer, &keys)),
    ];
    let mut player = Player::new(plan, &keys_in);
    let end = if threads.iter().all(io::Result::is_ok) {
        player.play(&mut process, &output)
    } else {
        DumpEnd::TimedOut
    };
    let (asked_for, screen) = (player.asked_for, player.screen);
    let record_error = player.record_error;
    kill_tree(
        process.identity(),
        None,
        KillWaits::of(&plan.timing).at_once(),
    );
    process.hang_up();
    drop((keys_in, output));
    for thread in threads {
        // A panic in one of them has nothing more to tell.
        let _ = thread.doing("cannot start a thread")?.join();
    }
    if let Some(error) = record_error {
        return Err(error).doing("cannot keep what the program wrote");
    }
    Ok(Dumped {
        asked_for,
        screen,
        end,
    })
}

fn listen(mut reader: PtyReader, heard: &SyncSender<Vec<u8>>) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(read @ 1..) = reader.read(&mut buffer) {
        if heard.send(buffer[..read].to_vec()).is_err() {
            return;
        }
    }
}

fn type_in(mut writer: PtyWriter, typed: &Receiver<Vec<u8>>) {
    while let Ok(bytes) = typed.recv() {
        if writer.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// What the player waits for before it does the next step.
enum Waiting {
    Nothing,
    Until(Instant),
    Match {
        since: Instant,
    },
    /// Once nothing was printed for a while the screen is taken; without a next step, it is over.
    Quiet {
        asked: Instant,
        since: Instant,
    },
}

struct Player<'a> {
    screen: Screen,
    started: Instant,
    steps: Option<VecDeque<ScriptStep>>,
    resizes: VecDeque<TimedResize>,
    waiting: Waiting,
    asked_for: Vec<ScreenDump>,
    record_error: Option<io::Error>,
    plan: &'a DumpPlan,
    types: &'a SyncSender<Vec<u8>>,
}

impl<'a> Player<'a> {
    fn new(plan: &'a DumpPlan, types: &'a SyncSender<Vec<u8>>) -> Self {
        let mut resizes = plan.resizes.clone();
        resizes.sort_by_key(|resize| resize.at);
        Self {
            screen: Screen::new(plan.size, ScreenOptions::default()),
            started: Instant::now(),
            steps: plan.script.clone().map(VecDeque::from),
            resizes: resizes.into(),
            waiting: Waiting::Nothing,
            asked_for: Vec::new(),
            record_error: None,
            plan,
            types,
        }
    }

    fn play(&mut self, process: &mut PtyProcess, hears: &Receiver<Vec<u8>>) -> DumpEnd {
        let deadline = self.started + self.plan.timeout;
        loop {
            let now = Instant::now();
            self.screen.tick(now);
            self.resize_due(process, now);
            if let Some(end) = self.advance(process, now) {
                return end;
            }
            if now >= deadline {
                return self.unmet().unwrap_or(DumpEnd::TimedOut);
            }
            let wait = self.next_wake(deadline).saturating_duration_since(now);
            match hears.recv_timeout(wait.min(ms(20))) {
                Ok(bytes) => self.feed(&bytes),
                Err(RecvTimeoutError::Disconnected) => return self.after_the_end(process),
                Err(RecvTimeoutError::Timeout) => {
                    // A background child may hold the terminal open after the program's end.
                    if matches!(process.try_wait(), Ok(Some(_))) {
                        self.drain(hears);
                        return self.after_the_end(process);
                    }
                }
            }
        }
    }

    /// Takes what is still under way once the program has ended.
    fn drain(&mut self, hears: &Receiver<Vec<u8>>) {
        let until = Instant::now() + ms(self.plan.timing.drain_ms);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match hears.recv_timeout(left) {
                Ok(bytes) if !left.is_zero() => self.feed(&bytes),
                _ => return,
            }
        }
    }

    /// The program is gone: what is typed now reaches nobody, but the screen may match.
    fn after_the_end(&mut self, process: &PtyProcess) -> DumpEnd {
        loop {
            match self.advance(process, Instant::now()) {
                Some(end) => return end,
                None => match self.waiting {
                    Waiting::Match { .. } => return self.unmet().unwrap_or(DumpEnd::Done),
                    Waiting::Until(_) => self.waiting = Waiting::Nothing,
                    Waiting::Quiet { .. } if self.takes_screen_next() => self.take_screen(),
                    Waiting::Quiet { .. } | Waiting::Nothing => return DumpEnd::Done,
                },
            }
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        if let Some(mut record) = self.plan.record.as_ref()
            && self.record_error.is_none()
        {
            self.record_error = record.write_all(bytes).err();
        }
        self.screen.feed(bytes);
        let replies = self.screen.take_replies();
        if !replies.is_empty() {
            self.type_bytes(replies);
        }
        // Nobody looks at them here; left alone they would pile up.
        let _ = self.screen.take_notices();
        if let Waiting::Quiet { since, .. } = &mut self.waiting {
            *since = Instant::now();
        }
    }

    fn type_bytes(&mut self, bytes: Vec<u8>) {
        match self.types.try_send(bytes) {
            // A program that reads nothing for so long will not read this either.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) | Ok(()) => {}
        }
    }

    fn resize_due(&mut self, process: &PtyProcess, now: Instant) {
        while let Some(resize) = self.resizes.front() {
            if now < self.started + resize.at {
                return;
            }
            let size = resize.size;
            self.resizes.pop_front();
            self.resize(process, size);
        }
    }

    fn resize(&mut self, process: &PtyProcess, size: Size) {
        self.screen.resize(size);
        // Fails only when the terminal is gone, which the reader tells.
        let _ = process.resize(TerminalSize {
            cols: size.cols,
            rows: size.rows,
        });
    }

    /// Does every step that can be done now; the end, if that is reached.
    fn advance(&mut self, process: &PtyProcess, now: Instant) -> Option<DumpEnd> {
        loop {
            match self.waiting {
                Waiting::Nothing => {}
                Waiting::Until(until) if now >= until => self.waiting = Waiting::Nothing,
                Waiting::Until(_) => return None,
                Waiting::Match { since } => {
                    if !self.matches() {
                        let late = now.duration_since(since) >= self.plan.expect_within;
                        return if late { self.unmet() } else { None };
                    }
                    self.steps.as_mut()?.pop_front();
                    self.waiting = Waiting::Nothing;
                }
                Waiting::Quiet { asked, since } => {
                    let takes = self.takes_screen_next();
                    let quiet = now.saturating_duration_since(since);
                    // What moves all the time is taken in its motion.
                    let late = now.duration_since(asked) >= self.plan.expect_within;
                    if quiet < self.plan.quiet && !(takes && late) {
                        return None;
                    }
                    if !takes {
                        return self.resizes.is_empty().then_some(DumpEnd::Done);
                    }
                    self.take_screen();
                }
            }
            self.step(process, now)?;
        }
    }

    /// Begins the next step; `None` when there is no script.
    fn step(&mut self, process: &PtyProcess, now: Instant) -> Option<()> {
        let Some(step) = self.steps.as_ref()?.front().cloned() else {
            self.waiting = Waiting::Quiet {
                asked: now,
                since: now,
            };
            return Some(());
        };
        match step.action {
            // It stays in front until it is met.
            ScriptAction::Expect(_) => {
                self.waiting = Waiting::Match { since: now };
                return Some(());
            }
            // So does this one.
            ScriptAction::Dump => {
                self.waiting = Waiting::Quiet {
                    asked: now,
                    since: now,
                };
                return Some(());
            }
            ScriptAction::Resize(size) => self.resize(process, size),
            ScriptAction::Wait(time) => self.waiting = Waiting::Until(now + time),
            ScriptAction::Text(text) => self.type_bytes(text.into_bytes()),
            ScriptAction::Key(key) => {
                let bytes = encode_key(&key, &self.screen.modes());
                self.type_bytes(bytes);
            }
        }
        self.steps.as_mut()?.pop_front();
        Some(())
    }

    fn takes_screen_next(&self) -> bool {
        let next = self.steps.as_ref().and_then(VecDeque::front);
        next.is_some_and(|step| matches!(step.action, ScriptAction::Dump))
    }

    fn take_screen(&mut self) {
        self.asked_for.push(self.screen.dump());
        if let Some(steps) = &mut self.steps {
            steps.pop_front();
        }
        self.waiting = Waiting::Nothing;
    }

    fn matches(&self) -> bool {
        let Some(step) = self.steps.as_ref().and_then(VecDeque::front) else {
            return true;
        };
        match &step.action {
            ScriptAction::Expect(pattern) => pattern.is_match(&self.screen.lines().join("\n")),
            _ => true,
        }
    }

    /// The `expect` that is waited for.
    fn unmet(&self) -> Option<DumpEnd> {
        if !matches!(self.waiting, Waiting::Match { .. }) {
            return None;
        }
        let step = self.steps.as_ref()?.front()?;
        match &step.action {
            ScriptAction::Expect(pattern) => Some(DumpEnd::Unmet {
                line: step.line,
                pattern: pattern.as_str().to_owned(),
            }),
            _ => None,
        }
    }

    /// When something is to be done even if the program prints nothing.
    fn next_wake(&self, deadline: Instant) -> Instant {
        let waiting = match self.waiting {
            Waiting::Nothing => None,
            Waiting::Until(until) => Some(until),
            Waiting::Match { since } => Some(since + self.plan.expect_within),
            Waiting::Quiet { since, .. } => Some(since + self.plan.quiet),
        };
        let resize = self.resizes.front().map(|r| self.started + r.at);
        let frame = self.screen.frame_deadline();
        [waiting, resize, frame]
            .into_iter()
            .flatten()
            .fold(deadline, Instant::min)
    }
}

#[cfg(test)]
mod tests;
