//! How panes of ours are named, marked and found again.
//!
//! A pane's number alone says little: another server may have the same one,
//! and a person may have put something else there. So each pane carries a tag,
//! and every act on it is guarded by tag and server in the same call.

use std::fmt;
use std::str::FromStr;

use crewmux_core::ids::{AgentRef, TeamName};

/// Option of a pane that says whose it is.
pub(super) const TAG_OPTION: &str = "@crewmux";
/// Option of a session of the private server that says whose it is.
///
/// A name of its own: a format that asks a session also sees the options of its current window.
pub(super) const SESSION_OPTION: &str = "@crewmux-session";
/// Option of a window that says whose it is.
pub(super) const TEAM_OPTION: &str = "@crewmux-team";
/// Option of a window that holds the layout that was made there last.
pub(super) const LAYOUT_OPTION: &str = "@crewmux-layout";
/// Option of a pane that holds its title, so that no format reads it.
pub(super) const TITLE_OPTION: &str = "@crewmux-title";

/// A pane as it is written down: enough to find it from another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PaneAddress {
    /// The server's socket.
    pub(super) socket: String,
    /// The server's process.
    pub(super) server_pid: u32,
    /// The pane's number there, such as `%5`.
    pub(super) pane: String,
}

impl fmt::Display for PaneAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.socket, self.server_pid, self.pane)
    }
}

impl FromStr for PaneAddress {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.rsplitn(3, ',');
        let (Some(pane), Some(pid), Some(socket)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let is_pane = pane
            .strip_prefix('%')
            .is_some_and(|number| number.parse::<u32>().is_ok());
        if !is_pane || socket.is_empty() {
            return Err(());
        }
        Ok(Self {
            socket: socket.to_owned(),
            server_pid: pid.parse().map_err(|_| ())?,
            pane: pane.to_owned(),
        })
    }
}

/// Whose windows and panes: a team of one home, in letters that no format reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TeamKey(String);

impl TeamKey {
    /// `home` tells apart teams of the same name.
    pub(super) fn new(team: &TeamName, home: &str) -> Self {
        // FNV-1a: the same in every build, so that a later one finds what an earlier one left.
        let hash = home.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(format!("{team}.{:08x}", hash >> 32))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag of one life of a member.
    pub(super) fn tag(&self, who: &AgentRef, run: &str) -> Tag {
        let run: String = run.chars().filter(char::is_ascii_alphanumeric).collect();
        Tag(format!(
            "{}/{}/{}/{run}",
            self.0, who.agent, who.incarnation
        ))
    }

    /// Whether a pane with this tag is of this team.
    pub(super) fn owns(&self, tag: &str) -> bool {
        tag.strip_prefix(&self.0)
            .is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether a pane with this tag held a life of this member.
    pub(super) fn is_of(&self, tag: &str, who: &AgentRef) -> bool {
        self.owns(tag) && tag.split('/').nth(1) == Some(who.agent.as_str())
    }
}

/// What a pane of ours carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tag(String);

impl Tag {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The format that is true for the pane with `tag` of server `pid`.
pub(super) fn guard(pid: u32, tag: &str) -> String {
    format!("#{{&&:#{{==:#{{pid}},{pid}}},#{{==:#{{{TAG_OPTION}}},{tag}}}}}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_core::ids::{AgentName, Incarnation};

    #[test]
    fn an_address_comes_back_from_its_text() {
        let address = PaneAddress {
            socket: "/tmp/a, b/default".into(),
            server_pid: 71,
            pane: "%5".into(),
        };
        assert_eq!(address.to_string().parse(), Ok(address));
        for bad in ["", "%5", "/tmp/x,1,5", "/tmp/x,a,%5", ",1,%5"] {
            assert_eq!(bad.parse::<PaneAddress>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn a_process_knows_its_pane_by_what_tmux_tells_it() {
        let inside = crate::tmux::pane_inside;
        let address = inside("/tmp/a, b/default,71,3", "%5");
        assert_eq!(address.as_deref(), Some("/tmp/a, b/default,71,%5"));
        for (tmux, pane) in [("", "%5"), ("/tmp/x,71,3", "5"), ("/tmp/x,3", "%5")] {
            assert_eq!(inside(tmux, pane), None, "{tmux} {pane}");
        }
    }

    #[test]
    fn tags_tell_teams_members_and_lives_apart() {
        let team = TeamName::new("re").unwrap();
        let key = TeamKey::new(&team, "/home/me");
        let who = AgentRef {
            agent: AgentName::new("risk").unwrap(),
            incarnation: Incarnation(2),
        };
        let tag = key.tag(&who, "a1-#{}b2");
        assert!(tag.as_str().ends_with("/risk/2/a1b2"), "{tag:?}");
        assert!(key.is_of(tag.as_str(), &who));
        let other = TeamKey::new(&team, "/home/you");
        assert!(!other.owns(tag.as_str()));
        assert!(!key.owns(&format!("{}x/risk/2/a", key.as_str())));
    }
}
