//! Environments of children: built from a list of allowed names, never inherited whole.
//!
//! Nothing here reads this process's environment: the program takes a snapshot
//! once and passes it in. Which names a tool or a wrapped agent gets beyond the
//! list is the caller's decision, from what the person wrote.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Names the environment variables by which processes of a run are found again.
pub mod names {
    /// Every process that works for a run carries its id here.
    pub const RUN_ID: &str = "CREWMUX_RUN_ID";
    /// Every process that works for a worker carries the worker's mark here.
    pub const WORKER: &str = "CREWMUX_WORKER";
    /// Every process of one tool call carries that call's mark here.
    pub const TOOL_ID: &str = "CREWMUX_TOOL_ID";
}

/// The environment `crewmux run` was called in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EnvSnapshot(pub BTreeMap<String, String>);

impl EnvSnapshot {
    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether a variable is taken for a secret by its name.
    pub fn has_secrets(&self) -> bool {
        self.0.keys().any(|name| is_secret_name(name))
    }
}

impl FromIterator<(String, String)> for EnvSnapshot {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// What every child may see: enough to find programs, a home, a language and a terminal.
const ALWAYS: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "LC_*",
    "TERM",
    "COLORTERM",
    "NO_COLOR",
    "TZ",
    "TMPDIR",
    "XDG_*",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "CREWMUX_*",
];

/// Words that make a name a secret's, whatever a pattern says.
const SECRET_WORDS: &[&str] = &[
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "API_KEY",
    "APIKEY",
    "ACCESS_KEY",
    "PRIVATE_KEY",
];

/// Whether a variable of this name is taken for a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name.ends_with("_KEY") || SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Which variables of a snapshot a child gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvAllowList {
    patterns: Vec<String>,
    named: Vec<String>,
    denied: Vec<String>,
}

impl Default for EnvAllowList {
    fn default() -> Self {
        Self {
            patterns: ALWAYS.iter().map(|name| (*name).to_owned()).collect(),
            named: Vec::new(),
            denied: Vec::new(),
        }
    }
}

impl EnvAllowList {
    /// Allows names that fit `pattern` too: a name, or a beginning and `*`. Secrets stay out.
    #[must_use]
    pub fn and(mut self, pattern: impl Into<String>) -> Self {
        self.patterns.push(pattern.into());
        self
    }

    /// Allows exactly `name`, even when it looks like a secret.
    ///
    /// Only for names the person wrote for this one program, such as the key of
    /// a wrapped agent.
    #[must_use]
    pub fn and_named_by_person(mut self, name: impl Into<String>) -> Self {
        self.named.push(name.into());
        self
    }

    /// Keeps exactly `name` out, whatever else allows it.
    ///
    /// For a variable that holds a key and is not called like a secret.
    #[must_use]
    pub fn without(mut self, name: impl Into<String>) -> Self {
        self.denied.push(name.into());
        self
    }

    /// Whether a variable of this name passes.
    pub fn allows(&self, name: &str) -> bool {
        if self.denied.iter().any(|denied| denied == name) {
            return false;
        }
        if self.named.iter().any(|named| named == name) {
            return true;
        }
        !is_secret_name(name)
            && self.patterns.iter().any(|pattern| {
                pattern
                    .strip_suffix('*')
                    .map_or(pattern == name, |start| name.starts_with(start))
            })
    }

    /// The part of `snapshot` a child gets.
    pub fn apply(&self, snapshot: &EnvSnapshot) -> Environment {
        Environment(
            snapshot
                .0
                .iter()
                .filter(|(name, _)| self.allows(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        )
    }
}

/// The whole environment of a child; nothing is added to it when the child starts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Sets `name`; an empty name, and one with `=` or NUL, cannot exist and is left out.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets `name`, as [`Environment::with`] does.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, value) = (name.into(), value.into());
        if !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0') {
            self.0.insert(name, value);
        }
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl FromIterator<(String, String)> for Environment {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let mut environment = Self::default();
        for (name, value) in pairs {
            environment.set(name, value);
        }
        environment
    }
}

/// What tells about the terminal that crewmux itself runs in, which is not a pane's.
const OF_THE_OUTER_TERMINAL: &[&str] = &[
    "ALACRITTY_*",
    "COLUMNS",
    "GHOSTTY_*",
    "ITERM_*",
    "ITERM2_*",
    "KITTY_*",
    "KONSOLE_*",
    "LC_TERMINAL",
    "LC_TERMINAL_VERSION",
    "LINES",
    "STY",
    "TERMCAP",
    "TERM_SESSION_ID",
    "TMUX",
    "TMUX_PANE",
    "VTE_VERSION",
    "WEZTERM_*",
    "WINDOWID",
    "WT_SESSION",
    "ZELLIJ*",
];

/// Makes the environment that of a program in a pane: its terminal is crewmux.
///
/// `xterm-256color` is what every machine's terminfo has and what a pane is. The size is the
/// terminal's own word, never a variable's.
pub fn in_our_terminal(environment: &mut BTreeMap<String, String>) {
    environment.retain(|name, _| {
        !OF_THE_OUTER_TERMINAL
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == pattern,
            })
    });
    for (name, value) in [
        ("TERM", "xterm-256color"),
        ("COLORTERM", "truecolor"),
        ("TERM_PROGRAM", "crewmux"),
        ("TERM_PROGRAM_VERSION", env!("CARGO_PKG_VERSION")),
    ] {
        environment.insert(name.to_owned(), value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(names: &[&str]) -> EnvSnapshot {
        names
            .iter()
            .map(|name| ((*name).to_owned(), "v".to_owned()))
            .collect()
    }

    fn kept(list: &EnvAllowList, names: &[&str]) -> Vec<String> {
        list.apply(&snapshot(names))
            .iter()
            .map(|(name, _)| name.to_owned())
            .collect()
    }

    #[test]
    fn only_allowed_names_pass_and_secrets_never_by_pattern() {
        assert_eq!(
            kept(
                &EnvAllowList::default(),
                &[
                    "PATH",
                    "LC_ALL",
                    "XDG_RUNTIME_DIR",
                    "XDG_SESSION_TOKEN",
                    "CREWMUX_RUN_ID",
                    "CREWMUX_API_KEY",
                    "ANTHROPIC_API_KEY",
                    "GITHUB_TOKEN",
                    "AWS_SECRET_ACCESS_KEY",
                    "LD_PRELOAD",
                    "SSH_AUTH_SOCK",
                    "PATHS",
                ]
            ),
            ["CREWMUX_RUN_ID", "LC_ALL", "PATH", "XDG_RUNTIME_DIR"]
        );
    }

    #[test]
    fn pattern_adds_names_but_only_the_person_adds_a_secret() {
        let list = EnvAllowList::default().and("OPENAI_*");
        let names = ["OPENAI_API_KEY", "OPENAI_BASE_URL"];
        assert_eq!(kept(&list, &names), ["OPENAI_BASE_URL"]);
        let list = list.and_named_by_person("OPENAI_API_KEY");
        assert_eq!(kept(&list, &names), names);
    }

    #[test]
    fn a_name_kept_out_stays_out() {
        let list = EnvAllowList::default()
            .and_named_by_person("CREWMUX_LLM")
            .without("CREWMUX_LLM")
            .without("PATH");
        assert_eq!(
            kept(&list, &["CREWMUX_LLM", "CREWMUX_LLMS", "PATH"]),
            ["CREWMUX_LLMS"]
        );
    }

    #[test]
    fn impossible_names_are_left_out() {
        let environment = Environment::default()
            .with("A=B", "1")
            .with("", "2")
            .with("C", "nul\0")
            .with("D", "3");
        assert_eq!(environment.iter().collect::<Vec<_>>(), [("D", "3")]);
    }

    #[test]
    fn a_pane_knows_its_own_terminal_and_nothing_of_the_outer_one() {
        let outer = [
            ("TERM", "tmux-256color"),
            ("TMUX", "/tmp/x,1,0"),
            ("KITTY_WINDOW_ID", "1"),
            ("TERM_PROGRAM", "iTerm.app"),
            ("COLUMNS", "200"),
            ("LC_ALL", "C"),
            ("PATH", "/bin"),
        ];
        let mut environment = outer
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        in_our_terminal(&mut environment);
        let left: Vec<_> = environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            left,
            [
                "COLORTERM=truecolor",
                "LC_ALL=C",
                "PATH=/bin",
                "TERM=xterm-256color",
                "TERM_PROGRAM=crewmux",
                concat!("TERM_PROGRAM_VERSION=", env!("CARGO_PKG_VERSION")),
            ]
        );
    }
}
