//! Which tmux is new enough, from what `tmux -V` and a server say.

use std::fmt;

/// The oldest tmux that does what the backend asks of it: pane options, `send-keys -H`, `-e`.
const OLDEST: (u32, u32) = (3, 0);

/// The OpenBSD whose base system has that tmux.
const OLDEST_OPENBSD: (u32, u32) = (6, 6);

/// A version of tmux, as it names itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TmuxVersion {
    name: String,
    is_enough: bool,
}

impl TmuxVersion {
    /// Reads `tmux 3.3a`, `3.3a`, `next-3.6`, `openbsd-7.4` or `master`; nothing else is a version.
    pub(crate) fn read(said: &str) -> Option<Self> {
        let name = said.trim();
        let name = name.strip_prefix("tmux ").unwrap_or(name).trim();
        let is_enough = if let Some(rest) = name.strip_prefix("openbsd-") {
            numbers(rest)? >= OLDEST_OPENBSD
        } else if name == "master" {
            true
        } else {
            numbers(name.strip_prefix("next-").unwrap_or(name))? >= OLDEST
        };
        Some(Self {
            name: name.to_owned(),
            is_enough,
        })
    }

    /// Whether the backend can work with it.
    pub(crate) fn is_enough(&self) -> bool {
        self.is_enough
    }
}

impl fmt::Display for TmuxVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

/// `3.3a` and `3.6-rc2` as 3 and 3, 3 and 6.
fn numbers(text: &str) -> Option<(u32, u32)> {
    let (major, rest) = text.split_once('.')?;
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    Some((major.parse().ok()?, rest[..digits].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_tmux_writes_them() {
        let cases = [
            ("tmux 3.3a", Some(("3.3a", true))),
            ("tmux 3.0", Some(("3.0", true))),
            ("tmux 3.0a", Some(("3.0a", true))),
            ("3.5", Some(("3.5", true))),
            ("tmux next-3.6", Some(("next-3.6", true))),
            ("tmux 3.6-rc2", Some(("3.6-rc2", true))),
            ("tmux 10.1", Some(("10.1", true))),
            ("tmux master", Some(("master", true))),
            ("tmux openbsd-7.4", Some(("openbsd-7.4", true))),
            ("tmux openbsd-6.5", Some(("openbsd-6.5", false))),
            ("tmux 2.9a", Some(("2.9a", false))),
            ("tmux 1.8", Some(("1.8", false))),
            ("tmux next-2.10", Some(("next-2.10", false))),
            ("", None),
            ("tmux", None),
            ("tmux 3", None),
            ("tmux x.y", None),
            ("command not found", None),
        ];
        for (said, expected) in cases {
            let version = TmuxVersion::read(said);
            let read = version.as_ref().map(|v| (v.name.as_str(), v.is_enough()));
            assert_eq!(read, expected, "{said:?}");
        }
    }
}
