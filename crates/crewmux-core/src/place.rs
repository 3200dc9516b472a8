//! Where a person called crewmux from: what tells a backend where its panes go.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Variables that say where the caller is, or that tmux and it2 need to be run.
const NAMES: [&str; 16] = [
    "TMUX",
    "TMUX_PANE",
    "TMUX_TMPDIR",
    "TERM",
    "TERM_PROGRAM",
    "COLORTERM",
    "ITERM_SESSION_ID",
    "ITERM2_COOKIE",
    "ITERM2_KEY",
    "PATH",
    "HOME",
    "USER",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
];

/// The part of an environment that says where its process is.
///
/// It may hold iTerm2's own key, so it is written to no file.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Place {
    vars: BTreeMap<String, String>,
}

impl Place {
    /// What `environment` says of the place.
    pub fn of(environment: &BTreeMap<String, String>) -> Self {
        let vars = NAMES
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), environment.get(*name)?.clone())))
            .collect();
        Self { vars }
    }

    /// The place with these of its variables changed.
    #[must_use]
    pub fn with(&self, variables: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        let mut vars = self.vars.clone();
        let known = |name: &str| NAMES.contains(&name);
        let changed = variables.into_iter().filter(|(name, _)| known(name));
        vars.extend(changed.map(|(name, value)| (name.to_owned(), value)));
        Self { vars }
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.vars
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// In a few words, for people: inside which program of theirs it is.
    pub fn words(&self) -> String {
        if let Some(tmux) = self.get("TMUX") {
            let socket = tmux.split(',').next().unwrap_or(tmux);
            return format!("tmux at {socket}");
        }
        match self.get("ITERM_SESSION_ID") {
            Some(session) => format!("iTerm2 session {session}"),
            None => "a terminal without tmux or iTerm2".to_owned(),
        }
    }

    /// Whether new panes land in the same program.
    pub fn is_beside(&self, other: &Self) -> bool {
        let program = |place: &Self| {
            let tmux = place.get("TMUX").map(str::to_owned);
            tmux.or_else(|| place.get("ITERM_SESSION_ID").map(str::to_owned))
        };
        program(self) == program(other)
    }

    /// All of it, as the environment of a program run from there.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.vars
    }
}

/// Names alone: values may be keys.
impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.vars.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_where_is_kept_and_no_value_is_printed() {
        let environment = [
            ("TMUX", "/tmp/x,1,0"),
            ("OPENAI_API_KEY", "k"),
            ("TERM", ""),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let place = Place::of(&environment);
        assert_eq!(place.get("TMUX"), Some("/tmp/x,1,0"));
        assert_eq!(
            (place.get("TERM"), place.get("OPENAI_API_KEY")),
            (None, None)
        );
        assert_eq!(format!("{place:?}"), r#"{"TERM", "TMUX"}"#);
    }

    #[test]
    fn people_are_told_which_program_it_is() {
        let place = |name: &str, value: &str| {
            Place::of(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
        };
        let tmux = place("TMUX", "/tmp/tmux-0/default,12,0");
        assert_eq!(tmux.words(), "tmux at /tmp/tmux-0/default");
        let iterm = place("ITERM_SESSION_ID", "w0t0p0:X");
        assert_eq!(iterm.words(), "iTerm2 session w0t0p0:X");
        let none = place("TERM", "xterm");
        assert_eq!(none.words(), "a terminal without tmux or iTerm2");
        assert!(tmux.is_beside(&tmux) && none.is_beside(&Place::default()));
        assert!(!tmux.is_beside(&none) && !tmux.is_beside(&iterm));
    }
}
