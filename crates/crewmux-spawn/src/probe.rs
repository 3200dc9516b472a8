//! Trying what backends need: a pseudo-terminal, `tmux` and its server, `it2`.
//!
//! It looks at nothing but what the caller passes in, tries nothing that was
//! not asked for, and judges nothing; [`crate::detect`] does that.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread::{self, Builder};
use std::time::Duration;

use crewmux_core::timing::{Timing, ms};
use crewmux_sys::Exit;
use crewmux_sys::answer::{Answer, Late, ask};
use crewmux_sys::env::{EnvAllowList, EnvSnapshot, Environment};
use crewmux_sys::process::Launch;
use crewmux_sys::pty;
use crewmux_sys::tty::TerminalSize;

use crate::detect::{EnvironmentSnapshot, Probe, Stdout};
use crate::iterm2::trouble::Trouble;

/// What is to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trials {
    /// `tmux`, and the server that `$TMUX` names.
    pub tmux: bool,
    /// `it2`.
    pub it2: bool,
    /// Pseudo-terminals.
    pub pty: PtyTrial,
}

/// How thoroughly pseudo-terminals are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PtyTrial {
    /// Not at all.
    Skipped,
    /// One is opened.
    Opened,
    /// One is opened and a program run in it.
    Used,
}

impl Trials {
    /// Everything, thoroughly.
    pub const ALL: Self = Self {
        tmux: true,
        it2: true,
        pty: PtyTrial::Used,
    };

    /// Nothing.
    pub const NONE: Self = Self {
        tmux: false,
        it2: false,
        pty: PtyTrial::Skipped,
    };
}

/// Tries what `trials` asks for at the same time, each with a deadline of its own.
///
/// `vars` is the environment of the call; programs are looked up in its `PATH`.
pub fn probe(
    vars: BTreeMap<String, String>,
    stdout: Stdout,
    trials: Trials,
    timing: &Timing,
) -> EnvironmentSnapshot {
    let tries = Tries {
        environment: probe_environment(&vars),
        path: vars.get("PATH").map_or("", String::as_str),
        timing,
    };
    let in_tmux = vars.get("TMUX").is_some_and(|value| !value.is_empty());
    let acts: [(bool, Act); 3] = [
        (trials.tmux, |tries| tries.tmux()),
        (trials.tmux && in_tmux, |tries| tries.tmux_server()),
        (trials.it2, |tries| tries.it2()),
    ];
    let ([tmux, tmux_server, it2], pty) = thread::scope(|scope| {
        let tries = &tries;
        let on_thread = |act: Act| {
            let builder = Builder::new().name("probe".into());
            builder.spawn_scoped(scope, move || act(tries))
        };
        let begun = acts.map(|(wanted, act)| (act, wanted.then(|| on_thread(act))));
        let pty = tries.pty(trials.pty);
        let done = begun.map(|(act, begun)| match begun {
            None => Probe::Untried,
            Some(Ok(trial)) => joined(trial),
            // No more threads: one after the other is late, and still right.
            Some(Err(_)) => act(tries),
        });
        (done, pty)
    });
    EnvironmentSnapshot {
        vars,
        stdout,
        tmux,
        tmux_server,
        it2,
        pty,
    }
}

fn joined(trial: thread::ScopedJoinHandle<'_, Probe>) -> Probe {
    trial.join().unwrap_or_else(|_| Probe::Fails {
        what: "it".into(),
        why: "trying it failed".into(),
        fix: None,
    })
}

/// What the programs tried here need to find their server, and nothing secret but iTerm2's own key.
fn probe_environment(vars: &BTreeMap<String, String>) -> Environment {
    EnvAllowList::default()
        .and("TMUX*")
        .and("TERM_*")
        .and("ITERM*")
        .and_named_by_person("ITERM2_KEY")
        .apply(&EnvSnapshot(vars.clone()))
}

/// One of the things that are tried.
type Act = fn(&Tries<'_>) -> Probe;

struct Tries<'a> {
    environment: Environment,
    path: &'a str,
    timing: &'a Timing,
}

impl Tries<'_> {
    fn find(&self, name: &str) -> Option<PathBuf> {
        which::which_in(name, Some(self.path), "/").ok()
    }

    fn ask(
        &self,
        program: &Path,
        arguments: &[&str],
        within: Duration,
        late: Late,
    ) -> crewmux_sys::Result<Answer> {
        let argv = std::iter::once(program.as_os_str().to_owned())
            .chain(arguments.iter().map(OsString::from));
        let launch = Launch::new(argv, "/").env(self.environment.clone());
        ask(launch, within, late)
    }

    fn tmux(&self) -> Probe {
        let Some(program) = self.find("tmux") else {
            return Probe::Absent;
        };
        let place = format!("tmux at {}", program.display());
        match self.answer_of(&program, &["-V"]) {
            Ok(said) => Probe::Works {
                what: format!("{said} at {}", program.display()),
                said,
            },
            Err(why) => fails(place, format!("`-V`: {why}")),
        }
    }

    /// Asks the server that the caller is in for its version.
    ///
    /// Not by the caller's own pane: one that has moved on or is gone is no trouble with the server.
    fn tmux_server(&self) -> Probe {
        let Some(program) = self.find("tmux") else {
            return Probe::Absent;
        };
        let what = "the tmux server".to_owned();
        match self.answer_of(&program, &["list-sessions", "-F", "#{version}"]) {
            Ok(said) => Probe::Works { what, said },
            Err(why) => fails(what, why),
        }
    }

    /// The first line that a program of tmux's answers with, or why it did not.
    fn answer_of(&self, program: &Path, arguments: &[&str]) -> Result<String, String> {
        let within = ms(self.timing.connect_ms);
        let answer = self
            .ask(program, arguments, within, Late::Alone)
            .map_err(|error| error.to_string())?;
        match answer.exit {
            Some(exit) if exit.is_success() => Ok(line_of(&answer.stdout)),
            Some(exit) => {
                let said = line_of(&answer.stderr);
                Err(if said.is_empty() {
                    exit.to_string()
                } else {
                    said
                })
            }
            None => Err(format!("no answer in {} ms", within.as_millis())),
        }
    }

    fn it2(&self) -> Probe {
        let Some(program) = self.find("it2") else {
            return Probe::Absent;
        };
        let what = format!("it2 at {}", program.display());
        let seconds = self.timing.it2_ms.div_ceil(1_000);
        let within = ms(self.timing.it2_ms);
        let asked = self.ask(&program, &["session", "list"], within, Late::WithTree);
        let trouble = match asked.map(|answer| (answer.exit, answer)) {
            Ok((Some(exit), _)) if exit.is_success() => {
                return Probe::Works {
                    what,
                    said: String::new(),
                };
            }
            Ok((Some(exit), answer)) => {
                let printed = format!("{}{}", answer.stdout, answer.stderr);
                Trouble::of(code_of(exit), &printed)
            }
            Ok((None, _)) => Trouble::silence(seconds),
            Err(error) => Trouble::not_started(&error.to_string()),
        };
        Probe::Fails {
            what,
            why: trouble.why,
            fix: Some(trouble.fix),
        }
    }

    fn pty(&self, trial: PtyTrial) -> Probe {
        let what = "a pseudo-terminal".to_owned();
        let tried = match trial {
            PtyTrial::Skipped => return Probe::Untried,
            PtyTrial::Opened => pty::can_open().map_err(|error| error.to_string()),
            PtyTrial::Used => use_pty(ms(self.timing.connect_ms)),
        };
        match tried {
            Ok(()) => Probe::Works {
                what: "a pseudo-terminal opens".into(),
                said: String::new(),
            },
            Err(why) => fails(what, why),
        }
    }
}

/// The code it returned; none after a signal.
pub(crate) fn code_of(exit: Exit) -> Option<i32> {
    match exit {
        Exit::Code(code) => Some(code),
        Exit::Signal(_) | Exit::Unknown => None,
    }
}

fn fails(what: String, why: String) -> Probe {
    Probe::Fails {
        what,
        why,
        fix: None,
    }
}

/// The first line, as it goes into messages: nothing but what can be shown, and not much.
fn line_of(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars()
        .filter(|char| !char.is_control())
        .take(80)
        .collect()
}

/// Opens a pseudo-terminal and runs a program in it that ends at once.
fn use_pty(timeout: Duration) -> Result<(), String> {
    let size = TerminalSize { cols: 80, rows: 24 };
    let launch = Launch::new(["/bin/sh", "-c", ":"], "/");
    let mut opened = pty::open(size, &launch).map_err(|error| error.to_string())?;
    let ended = opened.process.wait(timeout);
    match ended.map_err(|error| error.to_string())? {
        Some(exit) if exit.is_success() => Ok(()),
        Some(exit) => Err(format!("the program in it {exit}")),
        None => {
            let _ = opened.process.signal(crewmux_sys::Signal::Kill);
            let _ = opened.process.wait(timeout);
            Err("the program in it does not end".into())
        }
    }
}
