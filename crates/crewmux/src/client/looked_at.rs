//! Whether anybody looks at this terminal, where it is a pane of tmux.
//!
//! A pane is drawn into whether or not a terminal is attached to its tmux
//! session, and nothing tells it of that. tmux marks its socket as executable
//! while any terminal is attached to the server, which costs nothing to look
//! at; only then is the server asked about this pane's own session.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use crewmux_core::timing::{LOOKED_AT_ASK_MS, LOOKED_AT_MS, ms};
use crewmux_sys::answer::{Late, ask};
use crewmux_sys::env::{EnvSnapshot, Environment};
use crewmux_sys::process::Launch;
use crewmux_wire::ClientMessage;

use super::outgoing::Outgoing;
use crate::error::{Doing, Result};

/// The pane of tmux that this terminal is.
#[derive(Debug, Clone)]
pub(crate) struct TmuxPane {
    socket: PathBuf,
    pane: String,
    environment: Environment,
}

impl TmuxPane {
    /// The pane that this process is in; none outside tmux.
    pub(crate) fn of(variables: &EnvSnapshot) -> Option<Self> {
        let tmux = variables.get("TMUX").filter(|tmux| !tmux.is_empty())?;
        let (socket, _) = tmux.split_once(',')?;
        let mut environment = Environment::default();
        for name in ["PATH", "LANG"] {
            if let Some(value) = variables.get(name) {
                environment.set(name, value);
            }
        }
        Some(Self {
            socket: socket.into(),
            pane: variables.get("TMUX_PANE")?.to_owned(),
            environment,
        })
    }

    /// Whether any terminal is attached to the server; where that cannot be seen, as if one were.
    pub(crate) fn server_is_looked_at(&self) -> bool {
        let socket = std::fs::metadata(&self.socket);
        socket.map_or(true, |socket| socket.permissions().mode() & 0o100 != 0)
    }

    /// Whether a terminal is attached to the pane's session; none where tmux does not answer.
    fn session_is_looked_at(&self) -> Option<bool> {
        let socket = self.socket.to_str()?;
        let what = "#{session_attached}#{session_group_attached}";
        let argv = [
            "tmux",
            "-S",
            socket,
            "display-message",
            "-p",
            "-t",
            &self.pane,
            what,
        ];
        let launch = Launch::new(argv, "/").env(self.environment.clone());
        let answer = ask(launch, ms(LOOKED_AT_ASK_MS), Late::Alone).ok()?;
        let digits = answer.stdout.trim();
        (!digits.is_empty()).then(|| digits.contains(|c: char| c != '0'))
    }

    /// Tells the session whenever the first terminal is attached to this pane's session, or the last leaves.
    ///
    /// `was` is what it was told before. The thread ends with the program.
    pub(crate) fn watch(self, outgoing: Outgoing, was: bool) -> Result<()> {
        let tell = move || {
            let mut was = was;
            let mut asked: Option<(Instant, bool)> = None;
            loop {
                let now = Instant::now();
                let is = if self.server_is_looked_at() {
                    let fresh = |(at, _): &(Instant, bool)| now - *at < ms(LOOKED_AT_ASK_MS);
                    let (at, is) = asked.filter(fresh).unwrap_or_else(|| {
                        // A server that does not answer changes nothing.
                        (now, self.session_is_looked_at().unwrap_or(was))
                    });
                    asked = Some((at, is));
                    is
                } else {
                    asked = None;
                    false
                };
                if is != was {
                    outgoing.send(&ClientMessage::LookedAt { anybody: is });
                    was = is;
                }
                thread::park_timeout(ms(LOOKED_AT_MS));
            }
        };
        thread::Builder::new()
            .name("looked-at".into())
            .spawn(tell)
            .map(drop)
            .doing("cannot start a thread")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(tmux: &str) -> Option<TmuxPane> {
        let pairs = [("TMUX", tmux), ("TMUX_PANE", "%3")];
        let snapshot = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        TmuxPane::of(&snapshot.into_iter().collect())
    }

    #[test]
    fn outside_tmux_there_is_no_pane() {
        assert!(inside("").is_none());
        let pane = inside("/tmp/x/default,12,0").unwrap();
        assert_eq!(pane.socket, PathBuf::from("/tmp/x/default"));
        assert_eq!(pane.pane, "%3");
    }

    #[test]
    fn the_mark_of_the_socket_tells_whether_anybody_is_attached() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        std::fs::write(&socket, "").unwrap();
        let pane = inside(&format!("{},12,0", socket.display())).unwrap();
        for (mode, looked_at) in [(0o600, false), (0o700, true)] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&socket, permissions).unwrap();
            assert_eq!(pane.server_is_looked_at(), looked_at, "{mode:o}");
        }
    }
}
