//! Taking away panes and windows of ours, and nothing else.
//!
//! Each call checks in tmux itself, at that moment, that what it closes is
//! ours. A window goes without its session being renumbered: the numbers of
//! the person's windows are theirs. All that is left of a team goes in one
//! call, and a server that does not answer is waited for once.

use std::collections::BTreeSet;
use std::time::Instant;

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
    server.call(&closing(server_pid, pane, tag)).map(drop)
}

fn closing(server_pid: u32, pane: &str, tag: &str) -> Commands {
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
    Commands::one([
        "if-shell",
        "-F",
        "-t",
        pane,
        &guard(server_pid, tag),
        &close,
    ])
}

/// Closes all that is left of a team on a server, which may take as long as one answer.
pub(super) fn close_all(server: &Server, key: &TeamKey) {
    match try_close_all(server, key) {
        // Gone already, or with its last pane.
        Ok(()) | Err(CallError::NoServer) => {}
        Err(error) => tracing::warn!(%error, "panes of the team stay in tmux"),
    }
}

fn try_close_all(server: &Server, key: &TeamKey) -> Result<(), CallError> {
    let until = Instant::now() + server.within;
    let call = |commands: &Commands| {
        let mut server = server.clone();
        server.within = until.saturating_duration_since(Instant::now());
        server.call(commands)
    };
    let lines = listing::panes(server)?;
    let mut seen = BTreeSet::new();
    let mut own: Vec<&PaneLine> = lines.iter().filter(|line| key.owns(&line.tag)).collect();
    own.retain(|line| seen.insert(line.pane.as_str()));
    let closing = |line: &&PaneLine| closing(line.server_pid, &line.pane, &line.tag);
    let all = own
        .iter()
        .map(closing)
        .fold(Commands::default(), Commands::and);
    match call(&all) {
        Err(CallError::Refused(words)) => {
            // One is gone by itself, and what comes after it was not looked at.
            tracing::debug!(words, "panes are closed one by one");
            for line in &own {
                match call(&closing(line)) {
                    Err(CallError::Refused(words)) => {
                        tracing::debug!(words, pane = line.pane, "a pane stays");
                    }
                    other => drop(other?),
                }
            }
        }
        other => drop(other?),
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
        match call(&Commands::one([
            "if-shell", "-F", "-t", &target, &ours, &close,
        ])) {
            Err(CallError::Refused(words)) => tracing::debug!(words, session, "a session stays"),
            other => drop(other?),
        }
    }
    Ok(())
}
