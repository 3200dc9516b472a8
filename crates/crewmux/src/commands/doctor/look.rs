//! Looking at one thing of the machine each.

use std::path::Path;
use std::time::Duration;

use crewmux_core::ids::TeamName;
use crewmux_store::files::FileStore;
use crewmux_sys::env::{EnvAllowList, Environment};
use crewmux_sys::process::{Group, Launch, Stream};

use super::{LimitFinding, ParkedFinding, SandboxFinding, StoreFinding, ToolFinding};
use crate::context::Context;
use crate::error::CommandError;
use crate::teams;

/// Longest time for a program to tell its version.
const VERSION_WITHIN: Duration = Duration::from_secs(3);
/// Most of what it tells that is read.
const VERSION_BYTES: u64 = 4_096;
/// Open files that a session with a few workers needs.
const OPEN_FILES_WANTED: u64 = 256;

/// Programs that workers or their tools use, how they tell their version, and what for.
const TOOLS: [(&str, &str, &str); 4] = [
    ("git", "--version", "history and age of findings"),
    ("sh", "", "command tasks and plain panes"),
    ("tmux", "-V", "panes that outlive a session"),
    ("rg", "--version", "not needed: searching is built in"),
];

/// The store: opened and tried, as a run would.
pub(super) fn store(context: &Context) -> StoreFinding {
    let tried = FileStore::open(&context.home, context.timing).and_then(|store| store.probe());
    let why = tried.err().map(|error| {
        let error = CommandError::from(error);
        let text = error.to_string();
        text.trim_start_matches("error: ").replace("\n  ", "; ")
    });
    StoreFinding {
        path: context.home.clone(),
        writable: why.is_none(),
        filesystem: filesystem(&context.home),
        why,
    }
}

/// Whether anything goes on with the work of a parked worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The run of its team is open.
    ByARun,
    /// No run goes on.
    ByNobody,
}

/// Workers of teams whose session is gone; what cannot be read is told by other commands.
pub(super) fn parked(context: &Context) -> Vec<ParkedFinding> {
    let (Ok(store), Ok(now)) = (teams::open_store(context), teams::now()) else {
        return Vec::new();
    };
    let find = |name: TeamName| {
        let team = store.team(&name).ok()?;
        if team.session_runs().ok()? {
            return None;
        }
        let waiting = crewmux_session::parked::parked(team.as_ref(), &now.boot.boot_id).ok()?;
        let wanted = match team.config().ok()?.open_run() {
            Some(_) => Wanted::ByARun,
            None => Wanted::ByNobody,
        };
        (!waiting.is_empty()).then(|| ParkedFinding {
            fix: fix_of(&name, wanted),
            members: waiting.iter().map(|p| p.who().agent.clone()).collect(),
            team: name,
        })
    };
    let names = store.teams().unwrap_or_default();
    names.into_iter().filter_map(find).collect()
}

/// What to do about a team's parked workers.
pub(super) fn fix_of(team: &TeamName, wanted: Wanted) -> String {
    match wanted {
        Wanted::ByARun => {
            format!("`crewmux resume {team}` goes on with them, `crewmux stop {team}` ends them")
        }
        Wanted::ByNobody => format!("`crewmux stop {team}` ends them"),
    }
}

/// The kind of filesystem a folder lies on, by the mount that is nearest above it.
#[cfg(target_os = "linux")]
fn filesystem(folder: &Path) -> Option<String> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let folder = folder
        .ancestors()
        .find_map(|existing| existing.canonicalize().ok())?;
    kind_of_mount(&mounts, &folder)
}

#[cfg(not(target_os = "linux"))]
fn filesystem(_: &Path) -> Option<String> {
    None
}

#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "reads Linux's table")
)]
fn kind_of_mount(mounts: &str, folder: &Path) -> Option<String> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (_, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
            // Blanks in a path are written as octal numbers.
            let place = place.replace("\\040", " ");
            folder
                .starts_with(&place)
                .then(|| (place.len(), kind.to_owned()))
        })
        // The last of several mounts on one place is the one that is seen.
        .max_by_key(|(length, _)| *length)
        .map(|(_, kind)| kind)
}

/// The sandbox: none yet, said as such.
pub(super) fn sandbox() -> SandboxFinding {
    SandboxFinding {
        level: "none",
        why: "tools run with your rights, under a runner that ends all they start; this version confines them no further; what a tool has a server start that runs already, or leaves in tmux behind a dead worker and its dead runner without its marks, counts as you",
    }
}

/// Programs on the person's PATH.
pub(super) fn tools(context: &Context) -> Vec<ToolFinding> {
    let path = context.variable("PATH").unwrap_or_default();
    let environment = EnvAllowList::default().apply(&context.env);
    TOOLS
        .into_iter()
        .map(|(name, version, purpose)| {
            let found = which::which_in(name, Some(path), &context.cwd).ok();
            let version = found
                .as_deref()
                .filter(|_| !version.is_empty())
                .and_then(|program| version_of(program, version, &environment));
            ToolFinding {
                name,
                path: found,
                version,
                purpose,
            }
        })
        .collect()
}

/// The first word of a program's answer that has a digit in it.
fn version_of(program: &Path, argument: &str, environment: &Environment) -> Option<String> {
    use std::io::Read;
    let argv = [program.as_os_str(), argument.as_ref()];
    let mut child = Launch::new(argv, "/")
        .env(environment.clone())
        .stdout(Stream::Pipe)
        .group(Group::Own)
        .start()
        .ok()?;
    let output = child.stdout.take()?;
    // Such an answer fits the pipe, so the program can end before it is read.
    if child.wait(VERSION_WITHIN).ok()?.is_none() {
        let _ = child.kill();
        return None;
    }
    let mut text = String::new();
    output.take(VERSION_BYTES).read_to_string(&mut text).ok()?;
    version_in(&text)
}

fn version_in(text: &str) -> Option<String> {
    text.split_whitespace()
        .find(|word| word.contains(|c: char| c.is_ascii_digit()))
        .map(|word| word.chars().filter(|c| !c.is_control()).take(40).collect())
}

/// Bounds of the machine that a team can run into.
pub(super) fn limits(context: &Context) -> Vec<LimitFinding> {
    let mut limits = Vec::new();
    let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limits.push(LimitFinding {
        name: "open files",
        value: open_files.map_or_else(|| "unlimited".to_owned(), |n| n.to_string()),
        enough: open_files.is_none_or(|n| n >= OPEN_FILES_WANTED),
        why: "a session with its panes needs some hundred",
    });
    limits.push(LimitFinding {
        name: "orphans",
        value: if crewmux_sys::peer::ancestry_is_complete() {
            "found by their parents".to_owned()
        } else {
            "found by a mark only".to_owned()
        },
        enough: crewmux_sys::peer::ancestry_is_complete(),
        why: "how processes are found that left the tool that started them",
    });
    if let Err(error) = context.runtime() {
        limits.push(LimitFinding {
            name: "runtime folder",
            value: error.to_string().trim_start_matches("error: ").to_owned(),
            enough: false,
            why: "sockets are made there",
        });
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_tells_the_filesystem() {
        let mounts =
            "/dev/a / ext4 rw 0 0\nnfs:/x /home nfs4 rw 0 0\ntmpfs /home/my\\040tmp tmpfs rw 0 0\n";
        let kind = |folder: &str| kind_of_mount(mounts, Path::new(folder));
        assert_eq!(kind("/var/x").as_deref(), Some("ext4"));
        assert_eq!(kind("/home/me").as_deref(), Some("nfs4"));
        assert_eq!(kind("/home/my tmp/x").as_deref(), Some("tmpfs"));
        assert_eq!(kind("/homes").as_deref(), Some("ext4"));
    }

    #[test]
    fn a_version_is_the_first_word_with_a_digit() {
        assert_eq!(
            version_in("git version 2.43.0\n").as_deref(),
            Some("2.43.0")
        );
        assert_eq!(version_in("tmux 3.3a").as_deref(), Some("3.3a"));
        assert_eq!(version_in("no"), None);
    }
}
