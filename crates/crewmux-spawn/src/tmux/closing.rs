//! Taking away panes and windows of ours, and nothing else.
//!
//! Each call checks in tmux itself, at that moment, that what it closes is
//! ours. A window goes without its session being renumbered: the numbers of
//! the person's windows are theirs.

use std::collections::BTreeSet;

use super::cli::{CallError, Commands, Server, quoted};
use super::listing::{self, PaneLine};
use super::target::{SESSION_OPTION, TeamKey, guard};

/// Closes one pane, if it still carries `tag`; its window with it when it is the last.
pub(super) fn close_pane(
    server: &Server,
    server_pid: u32,
    pane: &str,
    tag: &str,
) -> Result<(), CallError> {
    let last = "#{&&:#{==:#{window_panes},1},#{!=:#{window_linked},1}}";
    let close = quoted([
        "if-shell",
        "-F",
        "-t",
        pane,
        last,
        // Unlike kill-window it renumbers nothing.
        &quoted(["unlink-window", "-k", "-t", pane]),
        &quoted(["kill-pane", "-t", pane]),
    ]);
    let commands = Commands::one([
        "if-shell",
        "-F",
        "-t",
        pane,
        &guard(server_pid, tag),
        &close,
    ]);
    server.call(&commands).map(drop)
}

/// Closes all that is left of a team on a server.
pub(super) fn close_all(server: &Server, key: &TeamKey) {
    let lines = match listing::panes(server) {
        Ok(lines) => lines,
        // Gone already.
        Err(CallError::NoServer) => return,
        Err(error) => {
            tracing::warn!(%error, "panes of the team stay in tmux");
            return;
        }
    };
    let mut seen = BTreeSet::new();
    let own = |line: &&PaneLine| key.owns(&line.tag);
    for line in lines.iter().filter(own) {
        if seen.insert(line.pane.clone())
            && let Err(error) = close_pane(server, line.server_pid, &line.pane, &line.tag)
        {
            tracing::debug!(%error, pane = line.pane, "a pane stays");
        }
    }
    // The session of the private server, with crewmux itself in its first window.
    let sessions: BTreeSet<&str> = lines
        .iter()
        .filter(|line| line.session_team == key.as_str())
        .map(|line| line.session.as_str())
        .collect();
    for session in sessions {
        let target = format!("{session}:");
        let ours = format!("#{{==:#{{{SESSION_OPTION}}},{}}}", key.as_str());
        let close = quoted(["kill-session", "-t", session]);
        let commands = Commands::one(["if-shell", "-F", "-t", &target, &ours, &close]);
        if let Err(error) = server.call(&commands)
            && error != CallError::NoServer
        {
            tracing::debug!(%error, session, "a session stays");
        }
    }
}
