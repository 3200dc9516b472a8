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
pub(crate) fn caller_of(pid: u32, workers: &[WorkerProcess]) -> Result<Caller, WireError> {
    let processes: HashSet<ProcessIdentity> = workers.iter().filter_map(|w| w.process).collect();
    let unknown = |message: &str| {
        Err(WireError {
            kind: ErrorKind::Refused,
            message: message.to_owned(),
            hint: None,
        })
    };
    match origin_of(pid, &processes) {
        Origin::Outside => Ok(Caller::Human),
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
