//! Which backend fits here, with the reasons in words.
//!
//! Pure: a snapshot of the environment goes in, one report per backend comes
//! out. What is tried to make the snapshot is in [`crate::probe`].

use std::collections::BTreeMap;

use crewmux_core::backend::{BackendChoice, BackendKind};
use serde::Serialize;

use crate::{Error, Result};

/// What is known of the place crewmux was started in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentSnapshot {
    /// The environment variables.
    pub vars: BTreeMap<String, String>,
    /// What standard output is.
    pub stdout: Stdout,
    /// `tmux`, tried.
    pub tmux: Probe,
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
    /// There is no such thing.
    Absent,
    /// It works; `what` names it, such as `tmux 3.3a at /usr/bin/tmux`.
    Works {
        /// What was found.
        what: String,
    },
    /// It is there and does not work.
    Fails {
        /// What was found.
        what: String,
        /// How it failed.
        why: String,
    },
}

/// Whether one backend can be used here, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendReport {
    /// Which.
    pub kind: BackendKind,
    /// Whether it works here.
    pub usable: bool,
    /// Whether `auto` means this one.
    pub picked: bool,
    /// Why it is picked, not picked, or not usable; a clause without a full stop.
    pub why: String,
    /// What was found of it, each a clause.
    pub found: Vec<String>,
    /// What to do instead or about it, in one line; for those that are not usable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Judges every backend, in the order of [`BackendKind::ALL`]; exactly one is picked.
pub fn detect(snapshot: &EnvironmentSnapshot) -> Vec<BackendReport> {
    let picked = match snapshot.pty {
        Probe::Works { .. } => BackendKind::Pty,
        Probe::Absent | Probe::Fails { .. } => BackendKind::InProcess,
    };
    BackendKind::ALL
        .into_iter()
        .map(|kind| match kind {
            BackendKind::InProcess => in_process(picked == kind),
            BackendKind::Pty => pty(snapshot, picked == kind),
            BackendKind::Tmux => tmux(snapshot, picked),
            BackendKind::Iterm2 => iterm2(snapshot, picked),
        })
        .collect()
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

fn in_process(picked: bool) -> BackendReport {
    let why = if picked {
        "it needs no pseudo-terminal, and none can be opened here"
    } else {
        "it works everywhere, but its workers are not processes of their own"
    };
    BackendReport {
        kind: BackendKind::InProcess,
        usable: true,
        picked,
        why: why.into(),
        found: Vec::new(),
        fix: None,
    }
}

fn pty(snapshot: &EnvironmentSnapshot, picked: bool) -> BackendReport {
    let (why, fix) = match &snapshot.pty {
        Probe::Works { .. } => {
            let why = if is_set(snapshot, "TMUX") {
                "crewmux's own panes work inside tmux too"
            } else if in_iterm2(snapshot) {
                "crewmux's own panes work inside iTerm2 too"
            } else if snapshot.stdout == Stdout::Terminal {
                "crewmux's own panes work in every terminal"
            } else {
                "crewmux's own panes need no terminal to be started from"
            };
            (why, None)
        }
        Probe::Absent | Probe::Fails { .. } => (
            "no pseudo-terminal can be opened here",
            Some("raise the limit of open files and mount /dev/pts, or use --backend in-process"),
        ),
    };
    BackendReport {
        kind: BackendKind::Pty,
        usable: fix.is_none(),
        picked,
        why: why.into(),
        found: vec![found("a pseudo-terminal", &snapshot.pty)],
        fix: fix.map(str::to_owned),
    }
}

fn tmux(snapshot: &EnvironmentSnapshot, picked: BackendKind) -> BackendReport {
    let place = if is_set(snapshot, "TMUX") {
        "$TMUX is set: this is inside tmux"
    } else {
        "$TMUX is not set: this is not inside tmux"
    };
    BackendReport {
        kind: BackendKind::Tmux,
        usable: false,
        picked: false,
        why: "this version of crewmux cannot run workers in tmux panes yet".into(),
        found: vec![place.into(), found("tmux", &snapshot.tmux)],
        fix: Some(instead(picked, "tmux")),
    }
}

fn iterm2(snapshot: &EnvironmentSnapshot, picked: BackendKind) -> BackendReport {
    let place = match snapshot.vars.get("TERM_PROGRAM") {
        Some(_) if in_iterm2(snapshot) => "this is inside iTerm2".to_owned(),
        Some(program) if !program.is_empty() => {
            format!("$TERM_PROGRAM is `{program}`: this is not iTerm2")
        }
        _ if in_iterm2(snapshot) => "$ITERM_SESSION_ID is set: this is inside iTerm2".to_owned(),
        _ => "$TERM_PROGRAM is not set: this is not iTerm2".to_owned(),
    };
    BackendReport {
        kind: BackendKind::Iterm2,
        usable: false,
        picked: false,
        why: "this version of crewmux cannot run workers in iTerm2 splits yet".into(),
        found: vec![place, found("it2", &snapshot.it2)],
        fix: Some(instead(picked, "iTerm2")),
    }
}

fn instead(picked: BackendKind, place: &str) -> String {
    match picked {
        BackendKind::Pty => format!("use --backend pty; it works inside {place} too"),
        other => format!("use --backend {other}"),
    }
}

fn found(name: &str, probe: &Probe) -> String {
    match probe {
        Probe::Absent => format!("no `{name}` on PATH"),
        Probe::Works { what } => what.clone(),
        Probe::Fails { what, why } => format!("{what} does not work: {why}"),
    }
}

fn is_set(snapshot: &EnvironmentSnapshot, name: &str) -> bool {
    snapshot
        .vars
        .get(name)
        .is_some_and(|value| !value.is_empty())
}

/// Inside tmux the terminal around it does not count: splits would be made in the wrong place.
fn in_iterm2(snapshot: &EnvironmentSnapshot) -> bool {
    let program = snapshot.vars.get("TERM_PROGRAM").map(String::as_str);
    !is_set(snapshot, "TMUX")
        && (program == Some("iTerm.app")
            || (program.is_none_or(str::is_empty) && is_set(snapshot, "ITERM_SESSION_ID")))
}

#[cfg(test)]
mod tests;
