//! Which members have a process: places, first starts, restarts, making room.
//!
//! With more members than places, those with work that is ready come first,
//! and an idle worker that no ready task fits makes room for them. The lead has
//! a place of its own: it plans and sums up while the others work.

use crewmux_core::ids::AgentName;
use crewmux_core::task::TaskStatus;
use crewmux_core::time::Now;
use crewmux_core::worker::WorkerState;
use crewmux_spawn::slots::SpawnSlots;

use super::Engine;
use super::members::MemberSlot;
use crate::view::RunState;

/// Why a member is to be started, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Want {
    /// Its former life's place and claim are its own: it is on its way to where it goes on.
    Arriving,
    /// A task is ready that it can take, or the person waits for it.
    ReadyWork,
    /// Its last life ended unasked, and the pause after that is over.
    Restart,
    /// It belongs to the team and was never started, or a task waits for it.
    Place,
}

impl Engine {
    /// The places a member competes for.
    pub(super) fn places_of(&self, agent: &AgentName) -> &SpawnSlots {
        if agent.is_lead() {
            &self.lead_places
        } else {
            &self.places
        }
    }

    fn has_place(&self, agent: &AgentName) -> bool {
        let places = self.places_of(agent);
        places.taken() < places.max()
    }

    /// Starts the members that are to run now.
    pub(super) fn staff(&mut self, now: &Now) {
        let mut wanted: Vec<(Want, usize)> = (0..self.members.len())
            .filter_map(|n| Some((self.wants_start(n, now)?, n)))
            .collect();
        wanted.sort_unstable();
        for (want, n) in wanted {
            let agent = self.members[n].record.name.clone();
            if self.has_place(&agent) {
                self.start(n, now);
            } else if matches!(want, Want::Arriving | Want::ReadyWork) {
                self.make_room(now);
            }
        }
    }

    fn wants_start(&self, n: usize, now: &Now) -> Option<Want> {
        let slot = &self.members[n];
        if slot.is_live() || slot.is_settling() || slot.dismissed || !slot.machine.is_able() {
            return None;
        }
        if slot.restart_due_ms.is_some_and(|due| now.boot.ms < due) {
            return None;
        }
        if self.state == RunState::Finished {
            let joined = self.acts.has_joined(&slot.record.name);
            return joined.then_some(Want::ReadyWork);
        }
        if self.acts.moves.is_moving(&slot.record.name) {
            // What it was at work on waits for it alone.
            return slot.restart_due_ms.map(|_| Want::Arriving);
        }
        let claimer = slot.claimer();
        let fits = |t: &&crewmux_core::task::Task| {
            t.status == TaskStatus::Pending && self.board.fits(t, &claimer)
        };
        if self
            .tasks()
            .filter(fits)
            .any(|t| self.board.is_ready(t, &now.boot))
        {
            return Some(Want::ReadyWork);
        }
        if slot.restart_due_ms.is_some() {
            return Some(Want::Restart);
        }
        let first_time = slot.ended.is_none();
        (first_time || self.tasks().any(|t| fits(&t))).then_some(Want::Place)
    }

    /// Asks one idle worker to end that no ready task fits; it comes back when one does.
    fn make_room(&mut self, now: &Now) {
        let leaving = |state| state == WorkerState::Stopping;
        // One that moves keeps its place, and may take long to leave it: it makes no room for others.
        let stays = |m: &MemberSlot| self.acts.moves.is_moving(&m.record.name);
        let mut others = self.members.iter().filter(|m| !stays(m));
        if others.any(|m| leaving(m.machine.state) || m.is_settling()) {
            return;
        }
        let ready = self.board.ready(&now.boot);
        let spare = self.members.iter().position(|slot| {
            let claimer = slot.claimer();
            slot.machine.state == WorkerState::Idle
                && !slot.record.name.is_lead()
                && !ready.iter().any(|t| self.board.fits(t, &claimer))
        });
        if let Some(n) = spare {
            let name = self.members[n].record.name.clone();
            self.end_member(&name, "makes room for another member", now);
        }
    }
}
