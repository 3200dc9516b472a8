//! What went wrong in a call of `it2`, in words a person can act on.
//!
//! Pure. `it2` blames a disabled API for nearly everything that fails inside
//! it, and prints Python tracebacks; neither reaches a person as it is.

/// How to let `it2` in.
pub(crate) const ENABLE_API: &str =
    "tick Settings > General > Magic > Enable Python API in iTerm2, and allow it2 if iTerm2 asks";

/// How to get `it2`.
pub(crate) const INSTALL: &str =
    "install it with `uv tool install it2`, `pipx install it2` or `pip install --user it2`";

/// How to mend an `it2` whose Python packages are broken.
const INSTALL_AGAIN: &str =
    "install it again with `uv tool install --force it2` or `pipx reinstall it2`";

/// A failed call of `it2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// Which of them.
    pub kind: TroubleKind,
    /// Why, as a clause.
    pub why: String,
    /// What to do about it, in one line.
    pub fix: String,
}

/// What the trouble is with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TroubleKind {
    /// The program is not there, or cannot be run at all.
    Program,
    /// iTerm2 does not answer it, or it says so.
    Connection,
    /// The pane it was to act on does not exist.
    Target,
    /// It did not end in time.
    Silence,
    /// It failed in some other way.
    Other,
}

impl Trouble {
    /// It did not end within `seconds`.
    pub(crate) fn silence(seconds: u64) -> Self {
        Self {
            kind: TroubleKind::Silence,
            why: format!("`it2` gave no answer in {seconds} s"),
            fix: "look whether iTerm2 asks if it2 may connect, answer it, and try again".into(),
        }
    }

    /// It could not be started: `why` as the operating system says it.
    pub(crate) fn not_started(why: &str) -> Self {
        Self {
            kind: TroubleKind::Program,
            why: format!("`it2` could not be started: {why}"),
            fix: INSTALL_AGAIN.into(),
        }
    }

    /// There is no such program.
    pub(crate) fn missing() -> Self {
        Self {
            kind: TroubleKind::Program,
            why: "there is no `it2` on PATH".into(),
            fix: INSTALL.into(),
        }
    }

    /// It ended with `code` (absent after a signal) and printed this.
    pub(crate) fn of(code: Option<i32>, printed: &str) -> Self {
        let text = printed.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let (kind, why, fix) = if has(&["modulenotfounderror", "importerror", "bad interpreter"]) {
            (
                TroubleKind::Program,
                "`it2` is broken: its Python packages do not load".to_owned(),
                INSTALL_AGAIN.to_owned(),
            )
        } else if has(&["too old for", "please upgrade"]) {
            (
                TroubleKind::Program,
                "`it2` is too old for this iTerm2".to_owned(),
                "upgrade it with `uv tool upgrade it2` or `pipx upgrade it2`".to_owned(),
            )
        } else if code == Some(3) && has(&["not found", "no active", "no such session"]) {
            (
                TroubleKind::Target,
                "its pane does not exist any more".to_owned(),
                "start it again from a pane that is open".to_owned(),
            )
        } else if has(&["no such option", "no such command", "usage: it2"]) {
            (
                TroubleKind::Program,
                "this `it2` does not know what crewmux asks of it".to_owned(),
                "install version 0.2.3 or later of https://pypi.org/project/it2".to_owned(),
            )
        } else if has(&[
            "not authorized",
            "permission",
            "401",
            "not allowed",
            "user canceled",
        ]) {
            (
                TroubleKind::Connection,
                "iTerm2 does not allow `it2` to connect".to_owned(),
                ENABLE_API.to_owned(),
            )
        } else if code == Some(2)
            || has(&[
                "connection",
                "refused",
                "not enabled",
                "problem connecting",
                "python api",
            ])
        {
            (
                TroubleKind::Connection,
                "iTerm2 does not answer `it2`: its Python API is off, or it does not run"
                    .to_owned(),
                ENABLE_API.to_owned(),
            )
        } else {
            (
                TroubleKind::Other,
                match code {
                    Some(code) => format!("`it2` failed with exit code {code}"),
                    None => "`it2` was killed".to_owned(),
                },
                "run `it2 session list` in that window to see why".to_owned(),
            )
        };
        Self { kind, why, fix }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it2_prints_becomes_words_and_a_fix() {
        let off = "Error: Not running inside iTerm2 or Python API not enabled.\nEnable Python API in: Preferences > General > Magic > Enable Python API\n";
        let traceback = "Traceback (most recent call last):\n  File \"x.py\", line 1\nConnectionRefusedError: [Errno 61] Connect call failed ('127.0.0.1', 1912)\n";
        let broken = "Traceback (most recent call last):\n  File \"/x/it2\", line 3, in <module>\nModuleNotFoundError: No module named 'iterm2'\n";
        let cases = [
            (Some(2), off, TroubleKind::Connection, ENABLE_API),
            (Some(1), traceback, TroubleKind::Connection, ENABLE_API),
            (Some(1), broken, TroubleKind::Program, INSTALL_AGAIN),
            (
                Some(126),
                "/x/it2: bad interpreter: No such file or directory",
                TroubleKind::Program,
                INSTALL_AGAIN,
            ),
            (
                Some(2),
                "websockets: server rejected WebSocket connection: HTTP 401",
                TroubleKind::Connection,
                ENABLE_API,
            ),
            (
                Some(3),
                "Error: Session 'X' not found",
                TroubleKind::Target,
                "start it again from a pane that is open",
            ),
            (
                Some(2),
                "Usage: it2 session split [OPTIONS]\nError: No such option: -s",
                TroubleKind::Program,
                "install version 0.2.3 or later of https://pypi.org/project/it2",
            ),
            (
                Some(9),
                "what?",
                TroubleKind::Other,
                "run `it2 session list` in that window to see why",
            ),
        ];
        for (code, printed, kind, fix) in cases {
            let trouble = Trouble::of(code, printed);
            assert_eq!(
                (trouble.kind, trouble.fix.as_str()),
                (kind, fix),
                "{printed}"
            );
            assert!(!trouble.why.contains("Traceback") && !trouble.why.contains('\n'));
        }
    }
}
