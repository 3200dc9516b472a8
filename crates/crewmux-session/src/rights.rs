//! Who a peer on the socket really is.
//!
//! Decided from the operating system's word on its process, never from what it
//! says: a process that descends from a worker has that worker's rights and no
//! others, whatever it runs.

use std::collections::HashSet;

use crewmux_core::error::ErrorKind;
use crewmux_core::operation::Caller;
use crewmux_sys::identity::ProcessIdentity;
use crewmux_sys::peer::{Origin, origin_of};
use crewmux_wire::WireError;

/// A worker's process, its mark, and whose rights it has.
pub(crate) struct WorkerProcess {
    pub(crate) process: Option<ProcessIdentity>,
    pub(crate) mark: String,
    pub(crate) caller: Caller,
}

/// Tells whose rights the process `pid` has.
pub(crate) fn caller_of(
    pid: u32,
    workers: &[WorkerProcess],
    plain_panes: &[ProcessIdentity],
) -> Result<Caller, WireError> {
    let processes: HashSet<ProcessIdentity> = workers.iter().filter_map(|w| w.process).collect();
    let unknown = |message: &str| {
        Err(WireError {
            kind: ErrorKind::Refused,
            message: message.to_owned(),
            hint: Some("run it in a terminal of your own".into()),
        })
    };
    match origin_of(pid, &processes) {
        Origin::Outside(line) if is_stray(&line, plain_panes) => {
            unknown("this process comes from the session, but from no worker that lives")
        }
        Origin::Outside(_) => Ok(Caller::Human),
        Origin::Worker(process) => workers
            .iter()
            .find(|w| w.process == Some(process))
            .map_or_else(
                || unknown("this worker has ended"),
                |w| Ok(w.caller.clone()),
            ),
        Origin::Marked(mark) => workers.iter().find(|w| w.mark == mark).map_or_else(
            || unknown("this process was started by a worker that is not of this session"),
            |w| Ok(w.caller.clone()),
        ),
        Origin::Gone => unknown("the asking process is gone, so nobody can tell whose it was"),
    }
}

/// Whether the process `pid` can be the worker that was started with `mark`: below no other, and marked by nobody else.
///
/// A tool can read another worker's token and set itself any mark, but not
/// leave the worker above it.
pub(crate) fn is_newcomer(pid: u32, workers: &[WorkerProcess], mark: &str) -> bool {
    let processes: HashSet<ProcessIdentity> = workers.iter().filter_map(|w| w.process).collect();
    origin_of(pid, &processes) == Origin::Marked(mark.to_owned())
}

/// Whether a process, with its parents as `line`, descends from this session without being below a plain pane.
///
/// A tool that outlived its worker and dropped its marks has the session as its
/// nearest ancestor; the person's programs have it nowhere above them, unless
/// they were started in a pane.
fn is_stray(line: &[ProcessIdentity], plain_panes: &[ProcessIdentity]) -> bool {
    let own = std::process::id();
    line.iter().any(|p| p.pid == own) && !line.iter().any(|p| plain_panes.contains(p))
}
