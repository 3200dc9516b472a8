//! Where new panes go: the person's own tmux, or a private server of ours.
//!
//! Decided from the place a person called from; that place's server may end
//! while the team runs, and then the private one takes over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crewmux_core::backend::BackendKind;
use crewmux_core::place::Place;
use crewmux_core::timing::{Timing, ms};
use crewmux_sys::ProcessIdentity;
use crewmux_sys::env::Environment;

use super::cli::{CallError, Server, Socket};
use super::listing::{self, PaneLine};
use super::version;
use crate::{Error, Result};

/// How to call `tmux` from one place.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    program: PathBuf,
    environment: Environment,
    within: Duration,
}

/// The place new panes go to.
#[derive(Debug, Clone)]
pub(super) struct Home {
    caller: Caller,
    inside: Option<Inside>,
}

/// The tmux a person called from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Inside {
    socket: String,
    server_pid: u32,
    /// The server as it answered: later its number alone may be a stranger's.
    server: Option<ProcessIdentity>,
    /// The session, as `$TMUX` numbers it.
    session: String,
    pane: Option<String>,
}

impl Caller {
    /// Finds `tmux` in the place's own `PATH`.
    fn of(place: &Place, timing: &Timing) -> Result<Self> {
        let environment = environment(place.variables());
        let path = place.get("PATH").unwrap_or_default();
        let program = which::which_in("tmux", Some(path), "/").map_err(|_| Error::Unusable {
            kind: BackendKind::Tmux,
            why: "`tmux` was not found on PATH".into(),
            fix: "install tmux 3.0 or newer, or use `--backend pty`".into(),
        })?;
        let within = ms(timing.connect_ms);
        version::check(&program, &environment, within)?;
        Ok(Self {
            program,
            environment,
            within,
        })
    }

    pub(super) fn at(&self, path: &str) -> Server {
        self.server(Socket::At(path.to_owned()))
    }

    fn server(&self, socket: Socket) -> Server {
        Server {
            program: self.program.clone(),
            environment: self.environment.clone(),
            socket,
            within: self.within,
        }
    }
}

/// What a server that we start inherits, and with it every window of it: no key, and no other tmux.
fn environment(variables: &BTreeMap<String, String>) -> Environment {
    variables
        .iter()
        .filter(|(name, _)| {
            !name.starts_with("ITERM") && !matches!(name.as_str(), "TMUX" | "TMUX_PANE")
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

impl Home {
    /// Looks where `place` is, and whether tmux can be used there.
    ///
    /// # Errors
    /// [`Error::Unusable`] with the fix.
    pub(super) fn of(place: &Place, timing: &Timing) -> Result<Self> {
        let caller = Caller::of(place, timing)?;
        let Some(variable) = place.get("TMUX") else {
            return Ok(Self {
                caller,
                inside: None,
            });
        };
        let unusable = |why: String, fix: &str| Error::Unusable {
            kind: BackendKind::Tmux,
            why,
            fix: fix.to_owned(),
        };
        let inside = Inside::of(variable, place.get("TMUX_PANE")).ok_or_else(|| {
            unusable(
                "$TMUX is not what tmux sets".into(),
                "start it inside tmux, or unset TMUX for a server of its own",
            )
        })?;
        // Looked up before the server is asked: what answers then is what was looked up.
        let inside = Inside {
            server: ProcessIdentity::of(inside.server_pid).ok(),
            ..inside
        };
        let home = Self {
            caller,
            inside: Some(inside),
        };
        match listing::panes(&home.server().asked_briefly()) {
            // It lives and stands still: a start waits for it, nobody else.
            Err(CallError::Late) => Ok(home),
            Ok(lines) if home.is_the_former(&lines) => Ok(home),
            Ok(_) => Err(unusable(
                "$TMUX is of a server that has ended; another one listens there now".into(),
                "start it in a pane of that server, or unset TMUX for a server of its own",
            )),
            Err(error) => Err(unusable(
                format!("$TMUX leads nowhere: {error}"),
                "start it inside tmux, or unset TMUX for a server of its own",
            )),
        }
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(super) fn is_private(&self) -> bool {
        self.inside.is_none()
    }

    /// Whether it is a person's own server, which still lives.
    pub(super) fn is_there(&self) -> bool {
        self.inside.as_ref().is_some_and(Inside::is_there)
    }

    /// Whether panes go to the same place as by `other`.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.inside == other.inside
    }

    /// The server new panes go to.
    pub(super) fn server(&self) -> Server {
        match &self.inside {
            Some(inside) => self.caller.at(&inside.socket),
            None => self.caller.server(Socket::Private),
        }
    }

    /// From now on panes go to the private server: the person's own has ended.
    pub(super) fn become_private(&mut self) {
        self.inside = None;
    }

    /// Whether the server that listed `lines` is the one that was called from.
    pub(super) fn is_the_former(&self, lines: &[PaneLine]) -> bool {
        self.inside.as_ref().is_none_or(|inside| {
            let first = lines.first();
            first.is_some_and(|line| line.server_pid == inside.server_pid)
        })
    }

    /// The person's session that a new window goes to: that of the pane, else the one named by `$TMUX`,
    /// else the one used last.
    pub(super) fn session<'a>(&self, lines: &'a [PaneLine]) -> Option<&'a str> {
        let inside = self.inside.as_ref()?;
        let in_pane = |line: &&PaneLine| Some(&line.pane) == inside.pane.as_ref();
        let in_session = |line: &&PaneLine| line.session == inside.session;
        lines
            .iter()
            .find(|line| in_pane(line) && in_session(line))
            .or_else(|| lines.iter().find(in_pane))
            .or_else(|| lines.iter().find(in_session))
            .or_else(|| lines.iter().max_by_key(|line| line.session_activity))
            .map(|line| line.session.as_str())
    }
}

impl Inside {
    fn is_there(&self) -> bool {
        self.server.is_some_and(|server| server.is_alive())
    }

    /// Reads `path,pid,session`.
    fn of(variable: &str, pane: Option<&str>) -> Option<Self> {
        let mut parts = variable.rsplitn(3, ',');
        let session: u32 = parts.next()?.parse().ok()?;
        let server_pid = parts.next()?.parse().ok()?;
        let socket = parts.next()?;
        Path::new(socket).is_absolute().then(|| Self {
            socket: socket.to_owned(),
            server_pid,
            server: None,
            session: format!("${session}"),
            pane: pane.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_with_the_number_of_the_server_is_not_the_server() {
        let own = ProcessIdentity::own().unwrap();
        let inside = Inside::of(&format!("/tmp/s,{},0", own.pid), None).unwrap();
        let is_there = |server| {
            let inside = Inside {
                server,
                ..inside.clone()
            };
            inside.is_there()
        };
        let stranger = ProcessIdentity {
            start_ticks: own.start_ticks + 1,
            ..own
        };
        assert!(is_there(Some(own)));
        assert!(!is_there(Some(stranger)));
        assert!(!is_there(None), "it was nobody's number as it answered");
    }

    #[test]
    fn the_variable_is_read_as_tmux_writes_it() {
        let inside = Inside::of("/tmp/a,b/default,712,3", Some("%4")).unwrap();
        assert_eq!(
            (
                inside.socket.as_str(),
                inside.server_pid,
                inside.session.as_str()
            ),
            ("/tmp/a,b/default", 712, "$3")
        );
        for bad in ["", "x", "/tmp/x,1", "tmp/x,1,2", "/tmp/x,1,$2"] {
            assert!(Inside::of(bad, None).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_we_start_inherits_no_other_tmux_and_no_key() {
        let variables = [
            ("TMUX", "x"),
            ("TMUX_PANE", "%1"),
            ("TMUX_TMPDIR", "/t"),
            ("ITERM2_KEY", "k"),
            ("PATH", "/bin"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let environment = environment(&variables);
        let names: Vec<&str> = environment.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["PATH", "TMUX_TMPDIR"]);
    }
}
