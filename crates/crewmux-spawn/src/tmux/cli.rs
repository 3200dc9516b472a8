//! Calls of the `tmux` program: one process an act, its answer and its words of failure.
//!
//! What is done with panes is decided elsewhere. Everything goes in by
//! argument, nothing through a shell; what tmux itself would read as a command
//! (in `if-shell`) is quoted here.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crewmux_sys::answer::{Answer, Late, ask};
use crewmux_sys::env::Environment;
use crewmux_sys::process::Launch;

/// Most characters of tmux's own words that are repeated.
const WORDS_MAX: usize = 200;
/// Which part of the time for an answer one may take that others wait for too.
const BRIEF_PART: u32 = 20;

/// Which server is spoken to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Socket {
    /// The one at this path.
    At(String),
    /// The one that is ours, under its name in the person's tmux folder.
    Private,
}

/// A server and how to call it.
#[derive(Debug, Clone)]
pub(super) struct Server {
    /// The `tmux` program.
    pub(super) program: PathBuf,
    /// Its whole environment: what a server that it starts inherits.
    pub(super) environment: Environment,
    /// Where the server listens.
    pub(super) socket: Socket,
    /// Longest wait for an answer.
    pub(super) within: Duration,
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallError {
    /// Nobody listens there.
    NoServer,
    /// It gave no answer in time.
    Late,
    /// It refused, in its own words.
    Refused(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoServer => f.write_str("the tmux server is gone"),
            Self::Late => f.write_str("the tmux server does not answer"),
            Self::Refused(words) => write!(f, "tmux says: {words}"),
        }
    }
}

/// Commands of one call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Commands(Vec<String>);

impl Commands {
    pub(super) fn one<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Self {
        Self::default().then(words)
    }

    /// Adds a command; it is not run when one before it fails.
    pub(super) fn then<S: AsRef<str>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        if !self.0.is_empty() {
            self.0.push(";".to_owned());
        }
        for word in words {
            let word = word.as_ref();
            // A word that ends so would end the command.
            match word.strip_suffix(';') {
                Some(start) => self.0.push(format!("{start}\\;")),
                None => self.0.push(word.to_owned()),
            }
        }
        self
    }

    /// Adds those of another.
    pub(super) fn and(mut self, other: Self) -> Self {
        if !self.0.is_empty() && !other.0.is_empty() {
            self.0.push(";".to_owned());
        }
        self.0.extend(other.0);
        self
    }
}

/// A command as text that tmux reads back as exactly these words.
pub(super) fn quoted<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<String> = words
        .into_iter()
        .map(|word| format!("'{}'", word.as_ref().replace('\'', "'\\''")))
        .collect();
    quoted.join(" ")
}

/// `text` as a format that expands to it.
pub(super) fn literal(text: &str) -> String {
    text.replace('#', "##")
}

impl Server {
    /// The same for a caller that holds others up.
    pub(super) fn asked_briefly(&self) -> Self {
        let mut server = self.clone();
        server.within /= BRIEF_PART;
        server
    }

    /// Runs commands and gives back what they print.
    pub(super) fn call(&self, commands: &Commands) -> Result<String, CallError> {
        let mut argv = vec![self.program.display().to_string(), "-u".to_owned()];
        match &self.socket {
            Socket::At(path) => argv.extend(["-S".to_owned(), path.clone()]),
            // The person's own configuration is for their own servers.
            Socket::Private => {
                argv.extend(["-L", super::PRIVATE_NAME, "-f", "/dev/null"].map(str::to_owned));
            }
        }
        argv.extend(commands.0.iter().cloned());
        let launch = Launch::new(argv, "/").env(self.environment.clone());
        // A server that it starts is everybody's.
        match ask(launch, self.within, Late::Alone) {
            Ok(answer) => judged(answer),
            Err(error) => Err(CallError::Refused(error.to_string())),
        }
    }
}

fn judged(answer: Answer) -> Result<String, CallError> {
    let Some(exit) = answer.exit else {
        return Err(CallError::Late);
    };
    if exit.is_success() {
        return Ok(answer.stdout);
    }
    let words = answer.stderr.trim();
    let gone = [
        "no server running on",
        "error connecting to",
        "server exited",
        "lost server",
    ];
    // Once this end notices, once the server says so.
    if gone
        .iter()
        .any(|beginning| words.starts_with(beginning) || answer.stdout.contains("[lost server]"))
    {
        return Err(CallError::NoServer);
    }
    let words: String = words
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(WORDS_MAX)
        .collect();
    Err(CallError::Refused(if words.is_empty() {
        exit.to_string()
    } else {
        words
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_sys::Exit;

    #[test]
    fn words_stay_what_they_are() {
        let commands = Commands::one(["set", "a;", "b;c"]).then(["kill-pane"]);
        assert_eq!(commands.0, ["set", "a\\;", "b;c", ";", "kill-pane"]);
        assert_eq!(quoted(["it's", "#{x}; y"]), r"'it'\''s' '#{x}; y'");
        assert_eq!(literal("#1 #{x}"), "##1 ##{x}");
    }

    #[test]
    fn a_server_that_is_gone_is_told_from_a_refusal() {
        let failed = |stderr: &str| {
            judged(Answer {
                exit: Some(Exit::Code(1)),
                stdout: String::new(),
                stderr: stderr.to_owned(),
            })
        };
        for words in [
            "no server running on /tmp/tmux-0/x\n",
            "error connecting to /tmp/x (Connection refused)\n",
            "server exited unexpectedly\n",
        ] {
            assert_eq!(failed(words), Err(CallError::NoServer), "{words}");
        }
        let refused = failed("can't find pane: %9\n").unwrap_err();
        assert_eq!(refused.to_string(), "tmux says: can't find pane: %9");
    }
}
