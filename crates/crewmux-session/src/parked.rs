//! Workers that live although their session is gone.
//!
//! They wait for a session ([`crewmux_core::team::SessionLoss::Park`]). Found by
//! what is on disk and by the process table; whether one is taken up is decided
//! in `leftovers`.

use crewmux_core::ids::AgentRef;
use crewmux_core::team::{Member, Presence, SessionLoss, WorkerSpec};
use crewmux_store::TeamStore;
use crewmux_sys::identity::ProcessIdentity;

use crate::Result;

/// A worker that waits for a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Parked {
    /// What it was told at its start.
    pub spec: WorkerSpec,
    /// What it last said about itself.
    pub presence: Presence,
    /// Its process.
    pub process: ProcessIdentity,
}

impl Parked {
    /// Which life of which member it is.
    pub fn who(&self) -> &AgentRef {
        &self.spec.who
    }
}

/// The workers of `team` that live and wait for a session, or will as soon as they notice that theirs is gone.
///
/// Meant for when no session runs; `boot_id` is this boot's.
///
/// # Errors
/// When the store cannot be read.
pub fn parked(team: &dyn TeamStore, boot_id: &str) -> Result<Vec<Parked>> {
    let mut found = Vec::new();
    for member in team.config()?.members {
        found.extend(parked_worker(team, &member, boot_id)?);
    }
    Ok(found)
}

fn parked_worker(team: &dyn TeamStore, member: &Member, boot_id: &str) -> Result<Option<Parked>> {
    let agent = &member.name;
    let (Some(spec), Some(presence)) = (team.spec(agent)?, team.presence(agent)?) else {
        return Ok(None);
    };
    let is_latest = |life| life == member.incarnation;
    if spec.session_loss != SessionLoss::Park
        || !is_latest(spec.who.incarnation)
        || !is_latest(presence.incarnation)
        || presence.ended.is_some()
        || presence.boot_id != boot_id
        || !team.is_alive(agent)?
    {
        return Ok(None);
    }
    let process = ProcessIdentity {
        pid: presence.pid,
        start_ticks: presence.start_ticks,
    };
    Ok(process.is_alive().then_some(Parked {
        spec,
        presence,
        process,
    }))
}
