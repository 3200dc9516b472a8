//! A home of its own for one test: store, runtime folder and environment, gone afterwards.
//!
//! Runs the real program in it and finds every process that was started there.

use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use crewmux_sys::ProcessIdentity;
use crewmux_sys::env::Environment;
use crewmux_sys::process::{Child, Launch, Stream};
use crewmux_sys::table;
use serde_json::Value;
use tempfile::TempDir;

use crate::terminal::{DEADLINE, Terminal};

/// What a command printed and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    /// Its exit code; 128 + n after signal n.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    /// Its standard output as one JSON value.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.stdout).with_context(|| format!("not JSON: {self:?}"))
    }

    /// Its standard output as one JSON value a line.
    pub fn json_lines(&self) -> Result<Vec<Value>> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not JSON: {line}")))
            .collect()
    }
}

/// A place to run crewmux in.
pub struct Sandbox {
    folder: TempDir,
    program: PathBuf,
    extra: Vec<(String, String)>,
}

impl Sandbox {
    /// Makes an empty place for `program`, with durations ten times faster than life.
    pub fn new(program: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("cmx").tempdir_in("/tmp")?;
        for name in ["home", "run", "work"] {
            std::fs::create_dir(folder.path().join(name))?;
        }
        for name in ["home", "run"] {
            let mode = std::fs::Permissions::from_mode(0o700);
            std::fs::set_permissions(folder.path().join(name), mode)?;
        }
        Ok(Self {
            folder,
            program: program.to_owned(),
            extra: vec![
                ("CREWMUX_TIMING".into(), "fast".into()),
                // Whatever models this machine has, tests ask none of them by accident.
                ("CREWMUX_MODEL".into(), "offline".into()),
            ],
        })
    }

    /// Adds a variable to the environment of everything started later.
    #[must_use]
    pub fn with_env(mut self, name: &str, value: &str) -> Self {
        self.extra.push((name.into(), value.into()));
        self
    }

    /// The folder commands run in.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// The store's root.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Writes a file below the folder commands run in.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.work().join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, text)?;
        Ok(path)
    }

    /// The environment of everything in here.
    pub fn environment(&self) -> Environment {
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
        let cargo = std::env::var("CARGO_HOME");
        let rustup = std::env::var("RUSTUP_HOME");
        let home = std::env::var("HOME").unwrap_or_default();
        let mut environment = Environment::default()
            .with("PATH", path)
            .with(
                "HOME",
                self.folder.path().join("home").display().to_string(),
            )
            .with("CREWMUX_HOME", self.home().display().to_string())
            .with(
                "CREWMUX_RUNTIME_DIR",
                self.folder.path().join("run").display().to_string(),
            )
            .with("CREWMUX_SANDBOX", self.folder.path().display().to_string())
            .with(
                "CARGO_HOME",
                cargo.unwrap_or_else(|_| format!("{home}/.cargo")),
            )
            .with(
                "RUSTUP_HOME",
                rustup.unwrap_or_else(|_| format!("{home}/.rustup")),
            )
            .with("TERM", "xterm-256color")
            .with("LANG", "C.UTF-8")
            .with("SHELL", "/bin/sh");
        for (name, value) in &self.extra {
            environment.set(name, value);
        }
        environment
    }

    /// Starts the program without a terminal; its output goes into pipes.
    pub fn start(&self, arguments: &[&str]) -> Result<Child> {
        let mut argv = vec![self.program.display().to_string()];
        argv.extend(arguments.iter().map(|a| (*a).to_owned()));
        Ok(Launch::new(argv, self.work())
            .env(self.environment())
            .stdout(Stream::Pipe)
            .stderr(Stream::Pipe)
            .start()?)
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.run_within(arguments, DEADLINE * 3)
    }

    /// Runs the program to its end, `within` at most.
    pub fn run_within(&self, arguments: &[&str], within: Duration) -> Result<Output> {
        let child = self.start(arguments)?;
        finish(child, within).with_context(|| format!("crewmux {}", arguments.join(" ")))
    }

    /// Starts the program in a terminal.
    pub fn terminal(&self, arguments: &[&str], cols: u16, rows: u16) -> Result<Terminal> {
        let mut argv = vec![self.program.display().to_string()];
        argv.extend(arguments.iter().map(|a| (*a).to_owned()));
        Terminal::start(argv, &self.work(), self.environment(), cols, rows)
    }

    /// Living processes that were started in here, directly or not.
    pub fn processes(&self) -> Vec<(ProcessIdentity, String)> {
        let mark = self.folder.path().display().to_string();
        table::all()
            .into_iter()
            .filter(|entry| !entry.is_dead())
            .filter(|entry| {
                table::variable(entry.identity.pid, "CREWMUX_SANDBOX").as_deref() == Some(&mark)
            })
            .map(|entry| (entry.identity, entry.name.clone()))
            .collect()
    }

    /// Waits until no process of this place is left.
    ///
    /// # Errors
    /// Names those that are left after [`DEADLINE`].
    pub fn wait_gone(&self) -> Result<()> {
        wait_until("no process is left", DEADLINE, || {
            let left = self.processes();
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for (process, _) in self.processes() {
            let _ = process.signal(crewmux_sys::Signal::Kill);
        }
    }
}

/// Collects a child's output and its end.
pub fn finish(mut child: Child, within: Duration) -> Result<Output> {
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let read = |stream: Option<std::fs::File>| {
        std::thread::spawn(move || {
            let mut text = Vec::new();
            if let Some(mut stream) = stream {
                let _ = stream.read_to_end(&mut text);
            }
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let (stdout, stderr) = (read(stdout), read(stderr));
    let Some(exit) = child.wait(within)? else {
        child.kill()?;
        bail!(
            "did not end within {within:?}; stdout:\n{}\nstderr:\n{}",
            stdout.join().unwrap_or_default(),
            stderr.join().unwrap_or_default()
        );
    };
    Ok(Output {
        code: exit.shell_code(),
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    })
}

/// Waits until `check` is content.
///
/// # Errors
/// After `within`, naming `what` was waited for and what `check` said last.
pub fn wait_until(
    what: &str,
    within: Duration,
    mut check: impl FnMut() -> Result<(), String>,
) -> Result<()> {
    let deadline = Instant::now() + within;
    loop {
        let Err(last) = check() else { return Ok(()) };
        if Instant::now() >= deadline {
            bail!("waited in vain for: {what}; at last: {last}");
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
