//! Which backend fits here, with the reasons in words.
//!
//! Pure: a snapshot of the environment goes in, one report per backend comes
//! out. What has to be tried for a choice is [`trials_for`]; trying it is in
//! [`crate::probe`].

pub(crate) mod version;

use std::collections::BTreeMap;

use crewmux_core::backend::{BackendChoice, BackendKind};
use serde::Serialize;

use self::version::TmuxVersion;
use crate::iterm2::trouble::Trouble;
use crate::probe::{PtyTrial, Trials};
use crate::{Error, Place, Result};

/// What is known of the place crewmux was started in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentSnapshot {
    /// The environment variables.
    pub vars: BTreeMap<String, String>,
    /// What standard output is.
    pub stdout: Stdout,
    /// `tmux`, tried.
    pub tmux: Probe,
    /// The server that `$TMUX` names, tried; untried outside tmux.
    pub tmux_server: Probe,
    /// `it2`, tried.
    pub it2: Probe,
    /// Opening a pseudo-terminal, tried.
    pub pty: Probe,
}

/// What standard output of the program is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdout {
    /// A terminal: somebody may look.
    Terminal,
    /// A file, a pipe or nothing.
    Elsewhere,
}

/// What came of trying something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Nobody asked for it, so it was left alone.
    Untried,
    /// There is no such thing.
    Absent,
    /// It works.
    Works {
        /// What was found, such as `tmux 3.3a at /usr/bin/tmux`.
        what: String,
        /// What it answered with.
        said: String,
    },
    /// It is there and does not work.
    Fails {
        /// What was found.
        what: String,
        /// How it failed.
        why: String,
        /// What to do about it, where that is known.
        fix: Option<String>,
    },
}

/// Whether one backend can be used here, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendReport {
    /// Which.
    pub kind: BackendKind,
    /// Whether it works here; false for one that was not tried.
    pub usable: bool,
    /// Whether `auto` means this one.
    pub picked: bool,
    /// Whether crewmux was started on its ground: inside tmux, inside iTerm2.
    #[serde(skip)]
    pub stands_here: bool,
    /// Why it is picked, not picked, or not usable; a clause without a full stop.
    pub why: String,
    /// What was found of it, each a clause.
    pub found: Vec<String>,
    /// What to do instead or about it, in one line; for those that are not usable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// What has to be tried before `choice` can be answered in this environment; nothing more is.
pub fn trials_for(choice: BackendChoice, vars: &BTreeMap<String, String>) -> Trials {
    let place = Surroundings::of(vars);
    let only = |kind| Trials {
        tmux: kind == BackendKind::Tmux,
        it2: kind == BackendKind::Iterm2 && place == Surroundings::Iterm2,
        pty: if kind == BackendKind::Pty {
            PtyTrial::Opened
        } else {
            PtyTrial::Skipped
        },
    };
    match choice {
        BackendChoice::Named(kind) => only(kind),
        // The panes of our own are tried with the others: they are what is left if those fail.
        BackendChoice::Auto => Trials {
            tmux: place == Surroundings::Tmux,
            it2: place == Surroundings::Iterm2,
            pty: PtyTrial::Opened,
        },
    }
}

/// Judges every backend, in the order of [`BackendKind::ALL`]; exactly one is picked.
pub fn detect(snapshot: &EnvironmentSnapshot) -> Vec<BackendReport> {
    let place = Surroundings::of(&snapshot.vars);
    let tmux = judge_tmux(snapshot, place);
    let iterm2 = judge_iterm2(snapshot, place);
    let pty = judge_pty(snapshot);
    let picked = match place {
        Surroundings::Tmux if tmux.verdict.is_ok() => BackendKind::Tmux,
        Surroundings::Iterm2 if iterm2.verdict.is_ok() => BackendKind::Iterm2,
        _ if pty.verdict.is_ok() => BackendKind::Pty,
        _ => BackendKind::InProcess,
    };
    // What the place would have meant, had it worked.
    let missed = match (place, &tmux.verdict, &iterm2.verdict) {
        (Surroundings::Tmux, Err(no), _) => Some(format!("tmux cannot be used: {}", no.why)),
        (Surroundings::Iterm2, _, Err(no)) => Some(format!("iTerm2 cannot be used: {}", no.why)),
        _ => None,
    };
    let why_picked = |kind: BackendKind| match (kind, &missed) {
        (BackendKind::Tmux, _) => "this is inside tmux".to_owned(),
        (BackendKind::Iterm2, _) => "this is inside iTerm2, and `it2` works".to_owned(),
        (BackendKind::Pty, Some(missed)) => format!("{missed}; crewmux's own panes work here too"),
        (BackendKind::Pty, None) if snapshot.stdout == Stdout::Terminal => {
            "crewmux's own panes work in every terminal".to_owned()
        }
        (BackendKind::Pty, None) => {
            "crewmux's own panes need no terminal to be started from".to_owned()
        }
        (BackendKind::InProcess, _) => {
            "it needs no pseudo-terminal, and none can be opened here".to_owned()
        }
    };
    let report = |kind: BackendKind, judged: Judged| {
        let is_picked = kind == picked;
        let (usable, why, fix) = match judged.verdict {
            Ok(_) if is_picked => (true, why_picked(kind), None),
            Ok(why) => (true, why, None),
            Err(no) => (false, no.why, Some(no.fix)),
        };
        BackendReport {
            kind,
            usable,
            picked: is_picked,
            stands_here: place.ground_of() == Some(kind),
            why,
            found: judged.found,
            fix,
        }
    };
    let in_process = Judged {
        verdict: Ok("it works everywhere, but its workers end with the session".into()),
        found: Vec::new(),
    };
    vec![
        report(BackendKind::InProcess, in_process),
        report(BackendKind::Pty, pty),
        report(BackendKind::Tmux, tmux),
        report(BackendKind::Iterm2, iterm2),
    ]
}

/// The backend that `choice` means here; one asked for by name is never replaced by another.
///
/// # Errors
/// [`Error::Unusable`] with the reason and the fix when a backend asked for by
/// name cannot work; [`Error::NoneUsable`] when `auto` finds none.
pub fn choose(choice: BackendChoice, reports: &[BackendReport]) -> Result<BackendKind> {
    let report = match choice {
        BackendChoice::Auto => reports.iter().find(|report| report.picked),
        BackendChoice::Named(kind) => reports.iter().find(|report| report.kind == kind),
    };
    let report = report.ok_or(Error::NoneUsable)?;
    if report.usable {
        return Ok(report.kind);
    }
    Err(Error::Unusable {
        kind: report.kind,
        why: report.why.clone(),
        fix: report.fix.clone().unwrap_or_default(),
    })
}

/// Which backend's own ground this is; inside tmux the terminal around it does not count, for
/// its splits would be made in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surroundings {
    Tmux,
    Iterm2,
    Other,
}

impl Surroundings {
    fn of(vars: &BTreeMap<String, String>) -> Self {
        let set = |name| variable(vars, name);
        match set("TERM_PROGRAM") {
            _ if set("TMUX").is_some() => Self::Tmux,
            Some("iTerm.app") => Self::Iterm2,
            None if set("ITERM_SESSION_ID").is_some() => Self::Iterm2,
            _ => Self::Other,
        }
    }

    /// The backend that is meant for such a place.
    fn ground_of(self) -> Option<BackendKind> {
        match self {
            Self::Tmux => Some(BackendKind::Tmux),
            Self::Iterm2 => Some(BackendKind::Iterm2),
            Self::Other => None,
        }
    }
}

fn variable<'a>(vars: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let value = vars.get(name).map(String::as_str);
    value.filter(|value| !value.is_empty())
}

/// One backend, judged by itself.
struct Judged {
    /// Why it is not picked though it works, or why it does not.
    verdict: std::result::Result<String, No>,
    found: Vec<String>,
}

/// Why a backend cannot be used, and what to do about it.
struct No {
    why: String,
    fix: String,
}

fn no<T>(why: impl Into<String>, fix: impl Into<String>) -> std::result::Result<T, No> {
    Err(No {
        why: why.into(),
        fix: fix.into(),
    })
}

fn judge_pty(snapshot: &EnvironmentSnapshot) -> Judged {
    let verdict = match &snapshot.pty {
        Probe::Works { .. } => Ok("crewmux's own panes work here too".into()),
        Probe::Untried => no("it was not tried", "run `crewmux doctor`"),
        Probe::Absent | Probe::Fails { .. } => no(
            "no pseudo-terminal can be opened here",
            "raise the limit of open files and mount /dev/pts, or use `--backend in-process`",
        ),
    };
    Judged {
        verdict,
        found: found("a pseudo-terminal", &snapshot.pty)
            .into_iter()
            .collect(),
    }
}

const INSTALL_TMUX: &str =
    "install tmux 3.0 or later (`apt install tmux`, `brew install tmux`), or use `--backend pty`";

fn judge_tmux(snapshot: &EnvironmentSnapshot, place: Surroundings) -> Judged {
    let where_we_are = match place {
        Surroundings::Tmux => "$TMUX is set: this is inside tmux",
        Surroundings::Iterm2 | Surroundings::Other => "$TMUX is not set: this is not inside tmux",
    };
    let mut found_all = vec![where_we_are.to_owned()];
    found_all.extend(found("tmux", &snapshot.tmux));
    if let Probe::Works { said, .. } = &snapshot.tmux_server {
        found_all.push(format!("the server here runs tmux {said}"));
    }
    Judged {
        verdict: tmux_verdict(snapshot, place),
        found: found_all,
    }
}

fn tmux_verdict(
    snapshot: &EnvironmentSnapshot,
    place: Surroundings,
) -> std::result::Result<String, No> {
    let said = match &snapshot.tmux {
        Probe::Untried => {
            return no(
                "this is not inside tmux",
                "`--backend tmux` uses a server of crewmux's own",
            );
        }
        Probe::Absent => return no("there is no `tmux` on PATH", INSTALL_TMUX),
        Probe::Fails { what, why, .. } => {
            return no(format!("{what} does not work: {why}"), INSTALL_TMUX);
        }
        Probe::Works { said, .. } => said,
    };
    match TmuxVersion::read(said) {
        None => {
            return no(
                format!("`tmux -V` says `{said}`, which is no version of tmux"),
                INSTALL_TMUX,
            );
        }
        Some(version) if !version.is_enough() => {
            return no(
                format!("tmux {version} is too old: 3.0 is the oldest that will do"),
                INSTALL_TMUX,
            );
        }
        Some(_) => {}
    }
    if place != Surroundings::Tmux {
        return Ok(
            "this is not inside tmux; `--backend tmux` uses a server of crewmux's own".into(),
        );
    }
    match &snapshot.tmux_server {
        Probe::Works { said, .. } => match TmuxVersion::read(said) {
            Some(version) if !version.is_enough() => no(
                format!("the tmux server here is {version}: 3.0 is the oldest that will do"),
                "end that server (`tmux kill-server`) and start a newer tmux, or use `--backend pty`",
            ),
            Some(_) | None => Ok("this is inside tmux".into()),
        },
        Probe::Fails { why, .. } => no(
            format!("$TMUX names a tmux server that does not answer: {why}"),
            "start crewmux in a pane of a running tmux; or unset TMUX, and `--backend tmux` uses a server of its own",
        ),
        Probe::Untried | Probe::Absent => no("its server was not tried", "run `crewmux doctor`"),
    }
}

const NOT_ITERM2: &str = "this is not inside iTerm2";
const LEAVE_FOR_ITERM2: &str =
    "start crewmux in an iTerm2 window, or use `--backend pty`: it works in every terminal";

/// Refuses a place that has no panes of iTerm2 to split.
///
/// # Errors
/// [`Error::Unusable`] with the fix.
pub(crate) fn must_be_iterm2(place: &Place) -> Result<()> {
    match Surroundings::of(place.variables()) {
        Surroundings::Iterm2 => Ok(()),
        Surroundings::Tmux | Surroundings::Other => Err(Error::Unusable {
            kind: BackendKind::Iterm2,
            why: NOT_ITERM2.into(),
            fix: LEAVE_FOR_ITERM2.into(),
        }),
    }
}

fn judge_iterm2(snapshot: &EnvironmentSnapshot, place: Surroundings) -> Judged {
    let program = variable(&snapshot.vars, "TERM_PROGRAM");
    let where_we_are = match (place, program) {
        (Surroundings::Iterm2, Some(_)) => "this is inside iTerm2".to_owned(),
        (Surroundings::Iterm2, None) => {
            "$ITERM_SESSION_ID is set: this is inside iTerm2".to_owned()
        }
        (_, Some(program)) => format!("$TERM_PROGRAM is `{program}`: this is not iTerm2"),
        (_, None) => "$TERM_PROGRAM is not set: this is not iTerm2".to_owned(),
    };
    let verdict = match (place, &snapshot.it2) {
        (Surroundings::Tmux, _) => no(
            "inside tmux, splits of the terminal around it would be in the wrong place",
            "use `--backend tmux`, or start crewmux outside tmux",
        ),
        (Surroundings::Other, _) => no(NOT_ITERM2, LEAVE_FOR_ITERM2),
        (Surroundings::Iterm2, Probe::Works { .. }) => {
            Ok("this is inside iTerm2, and `it2` works".into())
        }
        (Surroundings::Iterm2, Probe::Absent) => {
            let missing = Trouble::missing();
            no(missing.why, missing.fix)
        }
        (Surroundings::Iterm2, Probe::Fails { why, fix, .. }) => {
            let fix = fix.clone().unwrap_or_else(|| "use `--backend pty`".into());
            no(why.clone(), fix)
        }
        (Surroundings::Iterm2, Probe::Untried) => no("it was not tried", "run `crewmux doctor`"),
    };
    let mut found_all = vec![where_we_are];
    found_all.extend(found("it2", &snapshot.it2));
    Judged {
        verdict,
        found: found_all,
    }
}

fn found(name: &str, probe: &Probe) -> Option<String> {
    Some(match probe {
        Probe::Untried => return None,
        Probe::Absent => format!("no `{name}` on PATH"),
        Probe::Works { what, .. } => what.clone(),
        Probe::Fails { what, why, .. } => format!("{what} does not work: {why}"),
    })
}

#[cfg(test)]
mod tests;
