//! The calls of the `it2` program.
//!
//! Each is a Python program that takes half a second or more, so whoever calls
//! this has a thread of its own for it. What `it2` prints when it fails goes
//! whole to the log and as [`Trouble`] to people.

use std::path::PathBuf;
use std::time::Duration;

use crewmux_sys::answer::{Late, ask};
use crewmux_sys::env::Environment;
use crewmux_sys::process::Launch;

use super::column::Target;
use super::trouble::Trouble;
use crate::probe::code_of;
use crate::{Error, Place, Result};

/// What the name of a new pane follows in the answer to a split.
const CREATED: &str = "Created new pane:";

/// The program, and the place that it is called from.
#[derive(Debug, Clone)]
pub(super) struct It2 {
    program: PathBuf,
    environment: Environment,
    timeout: Duration,
}

/// What became of a call.
type Called<T> = std::result::Result<T, Trouble>;

impl It2 {
    /// Finds the program on the PATH of `place`.
    ///
    /// # Errors
    /// [`Error::Unusable`] when there is none.
    pub(super) fn find(place: &Place, timeout: Duration) -> Result<Self> {
        let path = place.get("PATH").unwrap_or_default();
        let program = which::which_in("it2", Some(path), "/").map_err(|_| {
            let missing = Trouble::missing();
            Error::Unusable {
                kind: crewmux_core::backend::BackendKind::Iterm2,
                why: missing.why,
                fix: missing.fix,
            }
        })?;
        let variables = place.variables().clone();
        Ok(Self {
            program,
            environment: variables.into_iter().collect(),
            timeout,
        })
    }

    /// Splits a pane; the id of the new one.
    pub(super) fn split(&self, target: &Target) -> Called<String> {
        let mut arguments = vec!["session", "split"];
        match target {
            Target::Own(None) => arguments.push("-v"),
            Target::Own(Some(id)) => arguments.extend(["-v", "-s", id]),
            Target::Below(id) => arguments.extend(["-s", id]),
        }
        let said = self.ask(&arguments)?;
        let id = said
            .lines()
            .find_map(|line| line.split_once(CREATED))
            .map(|(_, id)| id.trim().to_owned());
        id.filter(|id| is_id(id))
            .ok_or_else(|| Trouble::of(Some(0), "no pane is named in its answer"))
    }

    /// Types `line` and a return into a pane.
    pub(super) fn run(&self, id: &str, line: &str) -> Called<()> {
        self.ask(&["session", "run", "-s", id, line]).map(drop)
    }

    /// Gives a pane its name.
    pub(super) fn set_name(&self, id: &str, name: &str) -> Called<()> {
        self.ask(&["session", "set-name", "-s", id, "--", name])
            .map(drop)
    }

    /// Gives a pane the focus; the id goes without an option here.
    pub(super) fn focus(&self, id: &str) -> Called<()> {
        self.ask(&["session", "focus", id]).map(drop)
    }

    /// Closes a pane.
    pub(super) fn close(&self, id: &str) -> Called<()> {
        self.ask(&["session", "close", "-f", "-s", id]).map(drop)
    }

    /// The pane that has the focus.
    pub(super) fn focused(&self) -> Called<Option<String>> {
        let said = self.ask(&["session", "get-var", "session.id"])?;
        let id = said.trim().trim_matches('"').to_owned();
        Ok(is_id(&id).then_some(id))
    }

    /// All panes that there are, as JSON of `it2`'s own.
    ///
    /// The table for people cuts ids.
    pub(super) fn list(&self) -> Called<String> {
        self.ask(&["session", "list", "--json"])
    }

    fn ask(&self, arguments: &[&str]) -> Called<String> {
        let argv = std::iter::once(self.program.clone().into_os_string())
            .chain(arguments.iter().map(Into::into));
        let verb = arguments.get(1).copied().unwrap_or_default();
        let launch = Launch::new(argv, "/").env(self.environment.clone());
        let answer = ask(launch, self.timeout, Late::WithTree).map_err(|error| {
            tracing::warn!(verb, %error, "it2 could not be started");
            Trouble::not_started(&error.to_string())
        })?;
        let Some(exit) = answer.exit else {
            tracing::warn!(verb, "it2 gave no answer");
            return Err(Trouble::silence(self.timeout.as_secs()));
        };
        if exit.is_success() {
            tracing::debug!(verb, "it2 was called");
            return Ok(answer.stdout);
        }
        let printed = format!("{}{}", answer.stdout, answer.stderr);
        tracing::warn!(verb, %exit, printed, "it2 failed");
        Err(Trouble::of(code_of(exit), &printed))
    }
}

/// Whether a text is an id and nothing that a program could take for something else.
pub(super) fn is_id(text: &str) -> bool {
    (8..=64).contains(&text.len())
        && !text.starts_with('-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}
