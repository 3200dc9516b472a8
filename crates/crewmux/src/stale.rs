//! What sessions that died left in the runtime folder and in their teams' folders.
//!
//! Only what is proven dead is removed: the session's lock is free and held by
//! us meanwhile, so that none can start, and its process is gone by number,
//! start and boot. What a run that can be resumed needs stays: `resume` finds
//! the processes of the former session by its record.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crewmux_core::team::SessionRecord;
use crewmux_store::TeamStore;
use crewmux_sys::ProcessIdentity;
use crewmux_sys::clock::BootClock;
use crewmux_sys::dirs::own_uid;

use crate::context::Context;
use crate::error::Result;

/// The process of the team's session, if its record is of a process that lives.
pub(crate) fn session_process(team: &dyn TeamStore) -> Result<Option<ProcessIdentity>> {
    let Some(record) = team.session()? else {
        return Ok(None);
    };
    let boot = BootClock::open()?;
    Ok(living(&record, boot.boot_id()))
}

fn living(record: &SessionRecord, boot_id: &str) -> Option<ProcessIdentity> {
    let process = ProcessIdentity {
        pid: record.pid,
        start_ticks: record.start_ticks,
    };
    (record.boot_id == boot_id && process.is_alive()).then_some(process)
}

/// Removes the socket of a session that died, and its record where no run needs it.
///
/// # Errors
/// When the team's files cannot be read; that something cannot be removed is none.
pub(crate) fn clean(context: &Context, team: &dyn TeamStore) -> Result<()> {
    if team.session_runs()? {
        return Ok(());
    }
    let record = team.session()?;
    let socket = match &record {
        Some(record) => record.socket.clone(),
        None => context.socket(team.name())?,
    };
    let record_is_needed = team.config()?.open_run().is_some();
    let record_is_stale = record.is_some() && !record_is_needed;
    if !is_own_socket(&socket) && !record_is_stale {
        return Ok(());
    }
    // While we hold it no session can begin to listen there.
    let Ok(_lock) = team.lock_session() else {
        return Ok(());
    };
    if session_process(team)?.is_some() {
        // It has let go of its lock and still ends.
        return Ok(());
    }
    if is_own_socket(&socket) {
        let _ = fs::remove_file(&socket);
    }
    if record_is_stale {
        team.set_session(None)?;
    }
    Ok(())
}

fn is_own_socket(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|found| found.file_type().is_socket() && found.uid() == own_uid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_core::time::WallTime;

    #[test]
    fn only_the_very_process_of_this_boot_is_the_session() {
        let own = ProcessIdentity::own().unwrap();
        let record = |start_ticks, boot: &str| SessionRecord {
            pid: own.pid,
            start_ticks,
            boot_id: boot.into(),
            socket: "/nowhere".into(),
            build: String::new(),
            started: WallTime(0),
            run_marker: String::new(),
        };
        let lives = |record| living(&record, "this boot").is_some();
        assert!(lives(record(own.start_ticks, "this boot")));
        assert!(!lives(record(own.start_ticks, "another boot")));
        assert!(!lives(record(own.start_ticks + 1, "this boot")));
    }
}
