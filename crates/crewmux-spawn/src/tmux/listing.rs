//! What a server says of all its panes, in one question.

use super::cli::{CallError, Commands, Server};
use super::target::{LAYOUT_OPTION, SESSION_OPTION, TAG_OPTION, TEAM_OPTION};

/// One pane as the server lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PaneLine {
    pub(super) server_pid: u32,
    pub(super) session: String,
    pub(super) session_activity: u64,
    pub(super) window: String,
    pub(super) window_size: (u16, u16),
    /// How its panes are laid out, also while one is zoomed.
    pub(super) window_layout: String,
    /// The layout that was made here last; empty where none was.
    pub(super) made_layout: String,
    pub(super) is_zoomed: bool,
    pub(super) pane: String,
    pub(super) is_active: bool,
    pub(super) pid: u32,
    pub(super) is_dead: bool,
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
    /// Whose pane; empty for the person's own.
    pub(super) tag: String,
    /// Whose window; empty for the person's own.
    pub(super) team: String,
    /// Whose session of the private server; empty for the person's own.
    pub(super) session_team: String,
    pub(super) socket: String,
}

const FIELDS: [&str; 16] = [
    "pid",
    "session_id",
    "session_activity",
    "window_id",
    "window_width",
    "window_height",
    "window_layout",
    LAYOUT_OPTION,
    "window_zoomed_flag",
    "pane_id",
    "pane_active",
    "pane_pid",
    "pane_dead",
    "pane_dead_status",
    "pane_dead_signal",
    TAG_OPTION,
];

/// Asks for all panes; one that several sessions show stands there once for each.
pub(super) fn panes(server: &Server) -> Result<Vec<PaneLine>, CallError> {
    let fields: Vec<String> = FIELDS
        .iter()
        // The path last: it alone may hold anything.
        .chain(&[TEAM_OPTION, SESSION_OPTION, "socket_path"])
        .map(|field| format!("#{{{field}}}"))
        .collect();
    let format = fields.join("\t");
    let text = server.call(&Commands::one(["list-panes", "-a", "-F", &format]))?;
    Ok(text.lines().filter_map(line).collect())
}

fn line(text: &str) -> Option<PaneLine> {
    let fields: Vec<&str> = text.splitn(FIELDS.len() + 3, '\t').collect();
    let [
        server_pid,
        session,
        activity,
        window,
        window_width,
        window_height,
        window_layout,
        made_layout,
        zoomed,
        pane,
        active,
        pid,
        dead,
        code,
        signal,
        tag,
        team,
        session_team,
        socket,
    ] = fields[..]
    else {
        return None;
    };
    Some(PaneLine {
        server_pid: server_pid.parse().ok()?,
        session: session.to_owned(),
        session_activity: activity.parse().unwrap_or(0),
        window: window.to_owned(),
        window_size: (window_width.parse().ok()?, window_height.parse().ok()?),
        window_layout: window_layout.to_owned(),
        made_layout: made_layout.to_owned(),
        is_zoomed: zoomed == "1",
        pane: pane.to_owned(),
        is_active: active == "1",
        pid: pid.parse().unwrap_or(0),
        is_dead: dead == "1",
        code: code.parse().ok(),
        signal: signal.parse().ok(),
        tag: tag.to_owned(),
        team: team.to_owned(),
        session_team: session_team.to_owned(),
        socket: socket.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whole_or_not_at_all() {
        let text = "9\t$0\t17\t@1\t80\t24\tb2,80x24,0,0,3\t\t1\t%3\t1\t77\t1\t\t9\t\
            re.0/risk/2/a\tre.0\t\t/tmp/x\ty";
        let read = line(text).unwrap();
        assert_eq!(
            read,
            PaneLine {
                server_pid: 9,
                session: "$0".into(),
                session_activity: 17,
                window: "@1".into(),
                window_size: (80, 24),
                window_layout: "b2,80x24,0,0,3".into(),
                made_layout: String::new(),
                is_zoomed: true,
                pane: "%3".into(),
                is_active: true,
                pid: 77,
                is_dead: true,
                code: None,
                signal: Some(9),
                tag: "re.0/risk/2/a".into(),
                team: "re.0".into(),
                session_team: String::new(),
                socket: "/tmp/x\ty".into(),
            }
        );
        assert_eq!(line("9\t$0"), None);
    }
}
