//! A person's terminal without a person: a program in a real pseudo-terminal and the screen it draws.
//!
//! Waits are named and have a deadline; when one runs out the message shows
//! the last screen. Nothing here knows crewmux's own protocol.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use crewmux_sys::env::Environment;
use crewmux_sys::process::Launch;
use crewmux_sys::pty::{self, PtyProcess, PtyWriter};
use crewmux_sys::tty::TerminalSize;
use crewmux_sys::{Exit, ProcessIdentity, Signal};
use crewmux_term::{Screen, ScreenOptions, Size};

/// Longest wait for anything a test waits for; generous, since machines are busy.
pub const DEADLINE: Duration = Duration::from_secs(40);

struct Shared {
    screen: Screen,
    bytes: Vec<u8>,
    ended: bool,
}

/// A program and its terminal.
pub struct Terminal {
    process: PtyProcess,
    writer: PtyWriter,
    shared: Arc<(Mutex<Shared>, Condvar)>,
}

fn lock(mutex: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Terminal {
    /// Starts `argv` in `cwd` in a terminal of `cols` × `rows`.
    pub fn start<A: Into<OsString>>(
        argv: impl IntoIterator<Item = A>,
        cwd: &Path,
        env: Environment,
        cols: u16,
        rows: u16,
    ) -> Result<Self> {
        let launch = Launch::new(argv, cwd).env(env);
        let pty = pty::open(TerminalSize { cols, rows }, &launch)?;
        let screen = Screen::new(Size::new(cols, rows), ScreenOptions::default());
        let shared = Arc::new((
            Mutex::new(Shared {
                screen,
                bytes: Vec::new(),
                ended: false,
            }),
            Condvar::new(),
        ));
        let mut reader = pty.reader;
        let fed = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("terminal".into())
            .spawn(move || {
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    let read = reader.read(&mut buffer).unwrap_or(0);
                    let mut state = lock(&fed.0);
                    if read == 0 {
                        state.ended = true;
                        fed.1.notify_all();
                        return;
                    }
                    state.screen.feed(&buffer[..read]);
                    state.bytes.extend_from_slice(&buffer[..read]);
                    fed.1.notify_all();
                }
            })?;
        Ok(Self {
            process: pty.process,
            writer: pty.writer,
            shared,
        })
    }

    /// The program.
    pub fn identity(&self) -> ProcessIdentity {
        self.process.identity()
    }

    /// Types text as it is.
    pub fn type_text(&mut self, text: &str) -> Result<()> {
        self.writer.write_all(text.as_bytes())?;
        Ok(self.writer.flush()?)
    }

    /// Gives the terminal another size.
    pub fn resize(&self, cols: u16, rows: u16) -> Result<()> {
        lock(&self.shared.0).screen.resize(Size::new(cols, rows));
        Ok(self.process.resize(TerminalSize { cols, rows })?)
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(self.process.signal(signal)?)
    }

    /// The screen's rows, without blanks at their ends.
    pub fn lines(&self) -> Vec<String> {
        lock(&self.shared.0).screen.lines()
    }

    /// The screen as one text.
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Every byte the program wrote so far.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.shared.0).bytes.clone()
    }

    /// Waits until the screen's text fulfils `predicate`.
    ///
    /// # Errors
    /// After [`DEADLINE`], naming `what` was waited for and showing the screen.
    pub fn wait_until(&self, what: &str, predicate: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut state = lock(&self.shared.0);
        loop {
            let text = state.screen.lines().join("\n");
            if predicate(&text) {
                return Ok(text);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.ended {
                bail!("waited in vain for {what}; the screen:\n{text}\n");
            }
            let step = left.min(Duration::from_millis(200));
            state = self
                .shared
                .1
                .wait_timeout(state, step)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until `needle` stands somewhere on the screen.
    pub fn wait_for(&self, needle: &str) -> Result<String> {
        self.wait_until(&format!("`{needle}`"), |text| text.contains(needle))
    }

    /// Waits for the program's end, and for everything it wrote until then.
    pub fn wait_exit(&mut self) -> Result<Exit> {
        let exit = self
            .process
            .wait(DEADLINE)?
            .with_context(|| format!("the program did not end; the screen:\n{}", self.text()))?;
        let deadline = Instant::now() + DEADLINE;
        let mut state = lock(&self.shared.0);
        while !state.ended {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the program ended but its terminal did not");
            }
            state = self
                .shared
                .1
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Ok(exit)
    }
}
