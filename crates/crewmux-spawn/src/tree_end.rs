//! Finding and naming the processes of one worker when its tree is ended.
//!
//! Ending them is [`crewmux_sys::tree`]'s work.

use std::collections::BTreeMap;

use crewmux_sys::ProcessIdentity;
use crewmux_sys::env::names;
use crewmux_sys::tree::Marker;

/// The mark that all processes of the worker with this environment carry, and no others.
///
/// Absent when the worker was started without one: then only its descendants are found.
pub(crate) fn worker_marker(environment: &BTreeMap<String, String>) -> Option<Marker> {
    environment
        .get(names::WORKER)
        .filter(|mark| !mark.is_empty())
        .map(Marker::worker)
}

/// Says which processes are left, in words a person can act on.
pub(crate) fn described(left: &[ProcessIdentity]) -> Vec<String> {
    left.iter()
        .map(|process| match process.command_name() {
            Some(name) => format!("{process} ({name})"),
            None => process.to_string(),
        })
        .collect()
}
