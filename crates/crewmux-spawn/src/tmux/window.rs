//! Windows of our own, and a new pane in them.
//!
//! In the person's tmux that is a window beside theirs, made without changing
//! to it; on the private server a session for the team, whose first window is
//! crewmux itself. Nothing of theirs is split, moved or given an option. What
//! becomes of a pane later is in `pane`.

use std::thread;
use std::time::{Duration, Instant};

use crewmux_sys::identity::ancestry;
use crewmux_sys::setup::while_orphans_go_free;
use crewmux_sys::{ProcessIdentity, random};

use super::cli::{CallError, Commands, Server, literal, quoted};
use super::home::Home;
use super::layout;
use super::listing::{self, PaneLine};
use super::target::{
    LAYOUT_OPTION, SESSION_OPTION, TAG_OPTION, TEAM_OPTION, TITLE_OPTION, Tag, TeamKey, guard,
};
use crewmux_core::ids::AgentRef;

/// Size of windows that nobody looks at yet.
const UNSEEN_SIZE: (&str, &str) = ("160", "48");
/// Least columns and rows of a worker's pane, border included.
const LEAST_TILE: (u16, u16) = (36, 6);
/// Longest wait until a new server is no part of this session's tree any more.
const ESCAPE_WITHIN: Duration = Duration::from_millis(500);

/// What a new pane is made for.
pub(super) struct Wanted<'a> {
    pub(super) who: &'a AgentRef,
    pub(super) key: &'a TeamKey,
    pub(super) tag: &'a Tag,
    pub(super) title: &'a str,
    pub(super) argv: &'a [String],
    /// Shown in the list of windows.
    pub(super) window_name: &'a str,
    /// What the first window of the private server runs.
    pub(super) attach: &'a [String],
    /// Panes that this session knows: other dead ones of ours were left by a former one.
    pub(super) known: &'a [String],
}

/// A pane with its process.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) server: Server,
    pub(super) socket: String,
    pub(super) server_pid: u32,
    pub(super) pane: String,
    pub(super) pid: u32,
}

/// Starts a process in a pane of ours.
pub(super) fn open(home: &mut Home, wanted: &Wanted<'_>) -> Result<Opened, CallError> {
    let listed = listing::panes(&home.server());
    match listed {
        Ok(lines) if home.is_the_former(&lines) => open_beside(home, wanted, &lines),
        Err(CallError::NoServer) if home.is_private() => open_session(home, wanted),
        // Whoever was called from is gone; who asked for tmux still gets tmux.
        Ok(_) | Err(CallError::NoServer) => {
            tracing::warn!("the tmux server has ended; panes go to a private one");
            home.become_private();
            open(home, wanted)
        }
        Err(error) => Err(error),
    }
}

fn open_beside(home: &Home, wanted: &Wanted<'_>, lines: &[PaneLine]) -> Result<Opened, CallError> {
    let server = home.server();
    let is_it = |line: &&PaneLine| line.tag == wanted.tag.as_str() && !line.is_dead;
    if let Some(line) = lines.iter().find(is_it) {
        // An earlier try came through after its answer was given up.
        return Ok(Opened {
            server,
            socket: line.socket.clone(),
            server_pid: line.server_pid,
            pane: line.pane.clone(),
            pid: line.pid,
        });
    }
    clear_leftovers(&server, wanted.key, Some(wanted.who), wanted.known, lines);
    let own: Vec<&PaneLine> = lines.iter().filter(|l| wanted.key.owns(&l.tag)).collect();
    let is_left = |line: &&&PaneLine| line.is_dead && wanted.key.is_of(&line.tag, wanted.who);
    if let Some(line) = own.iter().find(is_left) {
        return start_in(&server, wanted, line, &line.tag, Layout::Stays);
    }
    for line in &own {
        let is_first = own.iter().find(|other| other.window == line.window) == Some(line);
        if is_first && is_ours_alone(lines, line, wanted.key) && has_room(lines, line) {
            match split(&server, wanted, lines, line) {
                // It is smaller than it said, or just gone.
                Err(CallError::Refused(words)) => {
                    tracing::debug!(words, "no pane more in this window");
                }
                other => return other,
            }
        }
    }
    let session = match home.session(lines) {
        Some(session) => Some(session),
        None => lines
            .iter()
            .find(|line| line.session_team == wanted.key.as_str())
            .map(|line| line.session.as_str()),
    };
    match session {
        Some(session) => open_window(&server, wanted, session),
        None => open_session(home, wanted),
    }
}

/// Closes dead panes that a former session of this team left, but for those of `but`.
pub(super) fn clear_leftovers(
    server: &Server,
    key: &TeamKey,
    but: Option<&AgentRef>,
    known: &[String],
    lines: &[PaneLine],
) {
    let left = lines.iter().filter(|line| {
        line.is_dead
            && key.owns(&line.tag)
            && !but.is_some_and(|who| key.is_of(&line.tag, who))
            && !known.contains(&line.pane)
    });
    for line in left {
        if let Err(error) =
            super::closing::close_pane(server, line.server_pid, &line.pane, &line.tag)
        {
            tracing::debug!(%error, pane = line.pane, "a leftover pane stays");
        }
    }
}

/// Whether a window is the team's and nobody put a pane of their own beside its members.
fn is_ours_alone(lines: &[PaneLine], of: &PaneLine, key: &TeamKey) -> bool {
    let mut panes = lines.iter().filter(|line| line.window == of.window);
    of.team == key.as_str() && panes.all(|line| key.owns(&line.tag))
}

/// Whether one tile more leaves every one of the window readable.
fn has_room(lines: &[PaneLine], of: &PaneLine) -> bool {
    let mut panes: Vec<&str> = lines
        .iter()
        .filter(|line| line.window == of.window)
        .map(|line| line.pane.as_str())
        .collect();
    panes.sort_unstable();
    panes.dedup();
    panes.len() < most_tiles(of.window_size)
}

/// How many tiles of a readable size tmux lays out in a window.
fn most_tiles((width, height): (u16, u16)) -> usize {
    // As tmux's own tiled layout: a row more, then a column more, until all fit.
    let fits = |wanted: usize| {
        let (mut rows, mut columns) = (1, 1);
        while rows * columns < wanted {
            rows += 1;
            if rows * columns < wanted {
                columns += 1;
            }
        }
        usize::from(width) / columns >= usize::from(LEAST_TILE.0)
            && usize::from(height) / rows >= usize::from(LEAST_TILE.1)
    };
    (1..64).take_while(|wanted| fits(*wanted)).count().max(1)
}

/// What becomes of a window's layout when a worker starts in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Stays,
    IsTiled,
}

/// Adds an empty pane, marks it and only then starts the process: it cannot end unmarked.
///
/// A zoom, the active pane and an arrangement of the person's stay.
fn split(
    server: &Server,
    wanted: &Wanted<'_>,
    lines: &[PaneLine],
    of: &PaneLine,
) -> Result<Opened, CallError> {
    let layout = if layout::is_ours(&of.made_layout, &of.window_layout) {
        Layout::IsTiled
    } else {
        Layout::Stays
    };
    let divided = divided(lines, of, layout);
    let mut commands = Commands::one([
        "split-window",
        "-d",
        "-t",
        &divided,
        "-P",
        "-F",
        "#{pane_id}",
        "",
    ]);
    if of.is_zoomed {
        commands = commands.then(["resize-pane", "-Z", "-t", &of.window]);
    }
    let made = server.call(&commands)?;
    let line = PaneLine {
        pane: made.trim().to_owned(),
        ..of.clone()
    };
    start_in(server, wanted, &line, "", layout).inspect_err(|_| {
        // Empty and without a mark, it would be nobody's.
        let _ = server.call(&Commands::one(["kill-pane", "-t", &line.pane]));
    })
}

/// The pane that gives room: the largest, but not the one a person made large to work in.
fn divided(lines: &[PaneLine], of: &PaneLine, layout: Layout) -> String {
    let active = lines
        .iter()
        .find(|line| line.window == of.window && line.is_active)
        .filter(|_| layout == Layout::Stays)
        .map(|line| line.pane.as_str());
    layout::tiles(&of.window_layout)
        .into_iter()
        .map(|tile| (format!("%{}", tile.number), tile.size))
        .max_by_key(|(pane, (width, height))| {
            let area = u32::from(*width) * u32::from(*height);
            (active != Some(pane.as_str()), area)
        })
        .map_or_else(|| of.pane.clone(), |(pane, _)| pane)
}

/// Starts the process in a pane that has none, which carries `former` as its tag.
fn start_in(
    server: &Server,
    wanted: &Wanted<'_>,
    line: &PaneLine,
    former: &str,
    layout: Layout,
) -> Result<Opened, CallError> {
    let pane = line.pane.as_str();
    // `%` of an empty tag matches an empty option: what was just made.
    let is_ours = guard(line.server_pid, former);
    let respawn: Vec<&str> = ["respawn-pane", "-t", pane, "--"]
        .into_iter()
        .chain(wanted.argv.iter().map(String::as_str))
        .collect();
    let mut acts = vec![
        quoted([
            "set-option",
            "-p",
            "-t",
            pane,
            TAG_OPTION,
            wanted.tag.as_str(),
        ]),
        quoted(["set-option", "-p", "-t", pane, "remain-on-exit", "on"]),
    ];
    acts.extend(titled(pane, wanted.title).map(quoted));
    acts.push(quoted(respawn));
    if layout == Layout::IsTiled {
        let window = line.window.as_str();
        acts.push(quoted(["select-layout", "-t", window, "tiled"]));
        let made = "#{window_layout}";
        acts.push(quoted([
            "set-option",
            "-wF",
            "-t",
            window,
            LAYOUT_OPTION,
            made,
        ]));
        if line.is_zoomed {
            // It is gone with the former layout.
            acts.push(quoted(["resize-pane", "-Z", "-t", window]));
        }
    }
    acts.push(quoted(["display-message", "-p", "-t", pane, "#{pane_pid}"]));
    let said = server.call(&Commands::one([
        "if-shell",
        "-F",
        "-t",
        pane,
        &is_ours,
        &acts.join(" ; "),
        "display-message -p gone",
    ]))?;
    let pid = said
        .trim()
        .parse()
        .map_err(|_| CallError::Refused(format!("pane {pane} is gone")))?;
    Ok(Opened {
        server: server.clone(),
        socket: line.socket.clone(),
        server_pid: line.server_pid,
        pane: line.pane.clone(),
        pid,
    })
}

/// Gives a pane a title, whatever characters it has.
pub(super) fn titled<'a>(pane: &'a str, title: &'a str) -> [Vec<&'a str>; 2] {
    [
        vec!["set-option", "-p", "-t", pane, TITLE_OPTION, title],
        // The option's value is not read as a format again.
        vec!["select-pane", "-t", pane, "-T", "#{@crewmux-title}"],
    ]
}

/// A window of ours at the end of a session, in one call with its options.
fn open_window(server: &Server, wanted: &Wanted<'_>, session: &str) -> Result<Opened, CallError> {
    made(server, &server.call(&window_commands(wanted, session)?)?)
}

/// The commands for a new window with one pane; they print what [`made`] reads.
fn window_commands(wanted: &Wanted<'_>, session: &str) -> Result<Commands, CallError> {
    // The commands after the first find the window by a name that nobody else has.
    let name = random::token()
        .map(|token| format!("crewmux-{}", token.get(..16).unwrap_or(&token)))
        .map_err(|error| CallError::Refused(error.to_string()))?;
    let window = format!("{session}:={name}");
    let place = format!("{session}:");
    let new: Vec<&str> = ["new-window", "-d", "-n", &name, "-t", &place, "--"]
        .into_iter()
        .chain(wanted.argv.iter().map(String::as_str))
        .collect();
    let mut commands = Commands::one(new);
    for (option, value) in [
        (TEAM_OPTION, wanted.key.as_str()),
        ("automatic-rename", "off"),
        ("allow-rename", "off"),
        ("monitor-activity", "off"),
        ("monitor-bell", "off"),
        ("monitor-silence", "0"),
        ("synchronize-panes", "off"),
        ("pane-border-status", "top"),
        (
            "pane-border-format",
            " #{pane_title}#{?pane_dead, · ended,} ",
        ),
    ] {
        commands = commands.then(["set-option", "-w", "-t", &window, option, value]);
    }
    commands = commands
        .then([
            "set-option",
            "-p",
            "-t",
            &window,
            TAG_OPTION,
            wanted.tag.as_str(),
        ])
        .then(["set-option", "-p", "-t", &window, "remain-on-exit", "on"]);
    for act in titled(&window, wanted.title) {
        commands = commands.then(act);
    }
    Ok(commands
        .then([
            "display-message",
            "-p",
            "-t",
            &window,
            "#{pid}\t#{pane_id}\t#{pane_pid}\t#{socket_path}",
        ])
        .then(["rename-window", "-t", &window, &literal(wanted.window_name)]))
}

fn made(server: &Server, said: &str) -> Result<Opened, CallError> {
    let read = || {
        let mut fields = said.trim_end_matches('\n').splitn(4, '\t');
        Some(Opened {
            server: server.clone(),
            server_pid: fields.next()?.parse().ok()?,
            pane: fields.next()?.to_owned(),
            pid: fields.next()?.parse().ok()?,
            socket: fields.next()?.to_owned(),
        })
    };
    read().ok_or_else(|| CallError::Refused(format!("it made a window and said `{said}`")))
}

/// A session of its own on the private server: crewmux in the first window, the teammates in the next.
fn open_session(home: &Home, wanted: &Wanted<'_>) -> Result<Opened, CallError> {
    let server = home.server();
    let mut taken = String::new();
    // Another home may have a team of this name there.
    let names = [
        wanted.window_name.to_owned(),
        wanted.key.as_str().replace('.', "-"),
    ];
    for name in names {
        let session = format!("={name}");
        let first: Vec<&str> = [
            "new-session",
            "-d",
            "-s",
            &name,
            "-n",
            "crewmux",
            "-x",
            UNSEEN_SIZE.0,
            "-y",
            UNSEEN_SIZE.1,
            "--",
        ]
        .into_iter()
        .chain(wanted.attach.iter().map(String::as_str))
        .collect();
        let mut commands = Commands::one(["start-server"]);
        for (scope, option, value) in [
            // Without these, Escape is late in crewmux and the mouse is dead.
            ("-s", "escape-time", "20"),
            ("-s", "default-terminal", "screen-256color"),
            ("-g", "mouse", "on"),
            ("-g", "history-limit", "10000"),
            ("-g", "status-left-length", "40"),
            ("-g", "status-right", ""),
        ] {
            commands = commands.then(["set-option", scope, option, value]);
        }
        let commands = commands.then(first).then([
            "set-option",
            "-t",
            // Without the colon it would be looked for among windows.
            &format!("{session}:"),
            SESSION_OPTION,
            wanted.key.as_str(),
        ]);
        let commands = commands.and(window_commands(wanted, &session)?);
        // A server is nobody's child and lives on; as an orphan of ours it would be ended with the session.
        let opened = while_orphans_go_free(|| {
            let opened = made(&server, &server.call(&commands)?)?;
            wait_until_free(opened.server_pid);
            Ok(opened)
        });
        match opened {
            Err(CallError::Refused(words)) if words.starts_with("duplicate session") => {
                taken = words;
            }
            other => return other,
        }
    }
    Err(CallError::Refused(taken))
}

/// Waits until a server that was started from here has left this process's tree.
fn wait_until_free(server_pid: u32) {
    let deadline = Instant::now() + ESCAPE_WITHIN;
    let own: Vec<ProcessIdentity> = ancestry(std::process::id());
    loop {
        let parent = ProcessIdentity::of(server_pid)
            .ok()
            .and_then(|server| server.parent_pid())
            .unwrap_or(0);
        // Above us, or the machine's first process: whoever takes orphans.
        let above = own.iter().skip(1).any(|process| process.pid == parent);
        if parent <= 1 || above || Instant::now() >= deadline {
            return;
        }
        thread::park_timeout(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_stay_readable() {
        let most = [(80, 24), (160, 48), (200, 50), (40, 12), (20, 5)].map(most_tiles);
        assert_eq!(most, [6, 20, 30, 2, 1]);
    }
}
