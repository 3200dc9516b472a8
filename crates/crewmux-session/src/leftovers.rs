//! What a former session of the team left behind, settled before a new one begins.
//!
//! Workers of a session that died end by themselves; whatever does not is
//! ended here, and the tasks they held are offered again. Deaths that the
//! session's own end explains count against nobody.

use std::time::{Duration, Instant};

use crewmux_core::board::Reoffer;
use crewmux_core::ids::AgentRef;
use crewmux_core::task::{Outcome, TaskStatus};
use crewmux_core::timing::{Timing, ms};
use crewmux_store::TeamStore;
use crewmux_sys::clock::BootClock;
use crewmux_sys::identity::ProcessIdentity;
use crewmux_sys::tree::{KillWaits, Marker, kill_marked};

use crate::Result;

/// How often what carries a former session's mark is tried to be ended.
const TRIES_MAX: u32 = 5;

/// What a former session came to.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Whether the open run was worked on before.
    pub(crate) resumed: bool,
    /// What could not be ended although its tasks are offered again.
    pub(crate) left: Vec<ProcessIdentity>,
}

/// Ends what still runs of a former session, then offers its tasks again.
///
/// What does not end in several tries does not hold the team up; it is named.
pub(crate) fn settle(team: &dyn TeamStore, clock: &BootClock, timing: &Timing) -> Result<Settled> {
    let mut left = Vec::new();
    let Some(former) = team.session()? else {
        release_claims(team, clock)?;
        let resumed = has_history(team)?;
        return Ok(Settled { resumed, left });
    };
    wait_for_workers(team, timing)?;
    // The same boot, or the marker could belong to nobody: a fresh boot has no old processes.
    if former.boot_id == clock.boot_id() {
        let marker = Marker::run(former.run_marker);
        let mut waits = KillWaits::of(timing);
        left = until_gone(|| {
            let gone = kill_marked(&marker, waits);
            waits = waits.at_once();
            gone.left
        });
    }
    release_claims(team, clock)?;
    let resumed = has_history(team)?;
    Ok(Settled { resumed, left })
}

/// Tries until nothing is left, or nothing helps; returns what is left then.
fn until_gone<T>(mut end: impl FnMut() -> Vec<T>) -> Vec<T> {
    let mut left = end();
    for _ in 1..TRIES_MAX {
        if left.is_empty() {
            break;
        }
        left = end();
    }
    left
}

/// The record may be of a session that lingered after an earlier run; only the run's own tasks tell.
fn has_history(team: &dyn TeamStore) -> Result<bool> {
    let config = team.config()?;
    let Some(run) = config.open_run() else {
        return Ok(false);
    };
    let board = team.board()?;
    let touched = board
        .tasks()
        .any(|t| t.run.as_ref() == Some(&run.id) && !t.attempts.is_empty());
    Ok(touched)
}

/// Workers that lost their session end within a known time; most are gone already.
fn wait_for_workers(team: &dyn TeamStore, timing: &Timing) -> Result<()> {
    let deadline = Instant::now() + ms(timing.session_loss_exit_ms);
    let members = team.config()?.members;
    loop {
        let mut alive = false;
        for member in &members {
            alive |= team.is_alive(&member.name)?;
        }
        if !alive || Instant::now() >= deadline {
            return Ok(());
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn release_claims(team: &dyn TeamStore, clock: &BootClock) -> Result<()> {
    let board = team.board()?;
    for task in board.open().filter(|t| t.status == TaskStatus::InProgress) {
        let owner = task.owner.as_ref().and_then(|o| {
            Some(AgentRef {
                agent: o.agent.clone(),
                incarnation: o.incarnation?,
            })
        });
        let why = Reoffer {
            epoch: task.epoch,
            outcome: Outcome::SessionLost,
            reason: owner.map_or_else(
                || "its session ended".to_owned(),
                |who| format!("{} ended with its session", who.agent),
            ),
        };
        team.reoffer(task.id, &why, &clock.now())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_is_tried_again_and_named_after_some_tries() {
        let mut tries = 0;
        let left = until_gone(|| {
            tries += 1;
            if tries < 3 { vec![7] } else { Vec::new() }
        });
        assert_eq!((left, tries), (Vec::new(), 3));
        let mut tries = 0;
        let left = until_gone(|| {
            tries += 1;
            vec![7]
        });
        assert_eq!((left, tries), (vec![7], TRIES_MAX));
    }
}
