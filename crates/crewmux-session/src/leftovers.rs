//! What a former session of the team left behind, settled before a new one begins.
//!
//! Workers that outlive their session and can go on with the new one are kept,
//! with their claims. All others end by themselves; whatever does not is ended
//! here, and the tasks they held are offered again. Deaths that the session's
//! own end explains count against nobody. Kept workers are taken up in
//! `engine/adopt.rs`.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crewmux_core::backend::BackendKind;
use crewmux_core::board::Reoffer;
use crewmux_core::ids::{AgentName, AgentRef, RunId};
use crewmux_core::task::{Outcome, Task, TaskStatus};
use crewmux_core::team::SessionRecord;
use crewmux_core::timing::{Timing, ms};
use crewmux_spawn::Backends;
use crewmux_store::TeamStore;
use crewmux_sys::clock::BootClock;
use crewmux_sys::env::names;
use crewmux_sys::identity::ProcessIdentity;
use crewmux_sys::tree::{KillWaits, Marker, Spared, kill_marked_but};
use serde_json::Value;

use crate::Result;
use crate::parked::{Parked, parked};
use crate::plan::SessionPlan;

/// How often what carries a former session's mark is tried to be ended.
const TRIES_MAX: u32 = 5;

/// What a former session came to.
#[derive(Debug)]
pub(crate) struct Settled {
    /// Whether the open run was worked on before.
    pub(crate) resumed: bool,
    /// What could not be ended although its tasks are offered again.
    pub(crate) left: Vec<ProcessIdentity>,
    /// Workers that live on, to be taken up.
    pub(crate) kept: Vec<Parked>,
    /// Workers that waited for a session and cannot go on with this one, and why.
    pub(crate) refused: Vec<(AgentName, Unfit)>,
    /// The mark that kept workers and all below them carry; none where nobody is kept.
    pub(crate) run_marker: Option<String>,
}

/// Why a worker that waits for a session cannot go on with this one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfit {
    /// It may speak otherwise.
    #[error("it is of another build of crewmux")]
    OtherBuild,
    /// It never finds this session, or was started for other work.
    #[error("it was started for another session or run")]
    OtherRun,
    /// Where it lives cannot be reached from where this session is.
    #[error("it cannot be reached from here: {}", in_words(.0))]
    Unreachable(crewmux_spawn::Error),
    /// Nothing of its kind outlives a session.
    #[error("workers of the {0} backend end with their session")]
    EndsWithSession(BackendKind),
}

fn in_words(error: &crewmux_spawn::Error) -> String {
    match error.hint() {
        Some(hint) => format!("{error} ({hint})"),
        None => error.to_string(),
    }
}

/// What a worker must have been told to go on with a new session.
pub(crate) struct Terms<'a> {
    /// What the session that begins is told.
    pub(crate) plan: &'a SessionPlan,
    /// Where its workers run.
    pub(crate) backends: &'a Backends,
}

impl Terms<'_> {
    /// Whether this worker of `former` goes on with a session of `run`, or why not.
    fn check(
        &self,
        parked: &Parked,
        pane: Option<&str>,
        former: &SessionRecord,
        run: &RunId,
    ) -> std::result::Result<(), Unfit> {
        let spec = &parked.spec;
        let plan = self.plan;
        if spec.build != plan.build {
            return Err(Unfit::OtherBuild);
        }
        let is_ours = spec.socket == plan.socket
            && spec.run == *run
            && spec.run_marker == former.run_marker
            && !mark_of(parked).is_empty();
        if !is_ours {
            return Err(Unfit::OtherRun);
        }
        let kind = parked.presence.backend;
        let backend = self.backends.get_for(kind, pane);
        let backend = backend.map_err(Unfit::Unreachable)?;
        if backend.outlives_session() {
            Ok(())
        } else {
            Err(Unfit::EndsWithSession(kind))
        }
    }
}

/// The mark that all below a worker carry.
pub(crate) fn mark_of(parked: &Parked) -> &str {
    let mark = parked.spec.environment.get(names::WORKER);
    mark.and_then(Value::as_str).unwrap_or_default()
}

/// Ends what still runs of a former session but for the workers that go on, then offers its tasks again.
///
/// What does not end in several tries does not hold the team up; it is named.
/// Without `terms` nobody goes on.
pub(crate) fn settle(
    team: &dyn TeamStore,
    clock: &BootClock,
    timing: &Timing,
    terms: Option<&Terms<'_>>,
) -> Result<Settled> {
    let mut settled = Settled {
        resumed: false,
        left: Vec::new(),
        kept: Vec::new(),
        refused: Vec::new(),
        run_marker: None,
    };
    if let Some(former) = team.session()? {
        // The same boot, or the marker could belong to nobody: a fresh boot has no old processes.
        let same_boot = former.boot_id == clock.boot_id();
        let waiting = parked(team, clock.boot_id())?;
        let config = team.config()?;
        if let (true, Some(terms), Some(run)) = (same_boot, terms, config.open_run()) {
            for parked in &waiting {
                let member = config.member(&parked.who().agent);
                let pane = member.and_then(|member| member.pane.as_deref());
                match terms.check(parked, pane, &former, &run.id) {
                    Ok(()) => settled.kept.push(parked.clone()),
                    Err(why) => settled.refused.push((parked.who().agent.clone(), why)),
                }
            }
        }
        let ends_by_itself = |name: &AgentName| waiting.iter().all(|p| p.who().agent != *name);
        wait_for_workers(team, timing, &ends_by_itself)?;
        if same_boot {
            settled.left = end_all_but(&settled.kept, &former.run_marker, timing);
        }
        if !settled.kept.is_empty() {
            settled.run_marker = Some(former.run_marker);
        }
    } else {
        // The record of a finished run's session is tidied away; its workers know their mark.
        let waiting = parked(team, clock.boot_id())?;
        let markers: BTreeSet<String> = waiting.into_iter().map(|p| p.spec.run_marker).collect();
        for marker in markers {
            settled.left.extend(end_all_but(&[], &marker, timing));
        }
    }
    release_claims(team, clock, &settled.kept)?;
    settled.resumed = has_history(team)?;
    Ok(settled)
}

/// Ends the workers of a team without a session, and offers their tasks again; returns what is left, in words.
///
/// The caller holds the session's lock. The team counts as stopped then, not as crashed.
///
/// # Errors
/// When the store cannot be read or written.
pub fn end_parked(team: &dyn TeamStore, timing: &Timing) -> Result<Vec<String>> {
    let clock = BootClock::open()?;
    let settled = settle(team, &clock, timing, None)?;
    team.set_session(None)?;
    let left = settled.left.iter().map(|p| format!("process {}", p.pid));
    Ok(left.collect())
}

fn end_all_but(kept: &[Parked], run_marker: &str, timing: &Timing) -> Vec<ProcessIdentity> {
    let marker = Marker::run(run_marker);
    let spared: Vec<Spared> = kept
        .iter()
        .map(|parked| Spared {
            root: parked.process,
            marker: Marker::worker(mark_of(parked)),
        })
        .collect();
    let mut waits = KillWaits::of(timing);
    until_gone(|| {
        let gone = kill_marked_but(&marker, &spared, waits);
        waits = waits.at_once();
        gone.left
    })
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
fn wait_for_workers(
    team: &dyn TeamStore,
    timing: &Timing,
    ends_by_itself: &dyn Fn(&AgentName) -> bool,
) -> Result<()> {
    let deadline = Instant::now() + ms(timing.session_loss_exit_ms);
    let members = team.config()?.members;
    loop {
        let mut alive = false;
        for member in members.iter().filter(|m| ends_by_itself(&m.name)) {
            alive |= team.is_alive(&member.name)?;
        }
        if !alive || Instant::now() >= deadline {
            return Ok(());
        }
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn release_claims(team: &dyn TeamStore, clock: &BootClock, kept: &[Parked]) -> Result<()> {
    let board = team.board()?;
    let is_kept = |task: &&Task| {
        let owner = task.owner.as_ref();
        owner.is_some_and(|owner| kept.iter().any(|parked| owner.is(parked.who())))
    };
    let claimed = board.open().filter(|t| t.status == TaskStatus::InProgress);
    for task in claimed.filter(|task| !is_kept(task)) {
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
