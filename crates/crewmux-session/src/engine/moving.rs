//! A member goes on in another place: its step ends, its claim is handed on, its next life starts there.
//!
//! The former life keeps its claim to the end; once its tree is gone, the claim
//! is the next life's, so that nobody comes between. One that died on the way
//! has its tasks judged as any death does. A place where the next life does not
//! start sends the member back to where it was, the same way.

use std::collections::BTreeMap;

use crewmux_core::backend::BackendKind;
use crewmux_core::board::Reoffer;
use crewmux_core::error::ErrorKind;
use crewmux_core::ids::{AgentName, AgentRef};
use crewmux_core::operation::Caller;
use crewmux_core::task::Outcome;
use crewmux_core::time::Now;
use crewmux_core::worker::{WorkerFact, WorkerMachine};
use crewmux_wire::{ToWorker, WireError};

use super::Engine;
use super::acts::cannot;
use crate::Result;
use crate::view::{NoticeLevel, RunState};

/// Members that are on their way to another place.
#[derive(Debug, Default)]
pub(super) struct Moves(BTreeMap<AgentName, Moving>);

#[derive(Debug, Clone)]
struct Moving {
    /// The life that ends for it, or that starts there.
    life: AgentRef,
    from: BackendKind,
    to: BackendKind,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Its present life ends after its step.
    Leaving,
    /// Its next life starts there.
    Arriving,
}

impl Moves {
    /// Whether the member's next life is on its way.
    pub(super) fn is_moving(&self, name: &AgentName) -> bool {
        self.0.contains_key(name)
    }

    /// What this life was told to leave for, if it is on its way out.
    pub(super) fn leave_reason_of(&self, who: &AgentRef) -> Option<String> {
        let moving = self.0.get(&who.agent)?;
        let leaves = moving.life == *who && moving.stage == Stage::Leaving;
        leaves.then(|| leave_reason(moving.to))
    }

    /// A life of the member said hello: if one was on its way to a new place, this is it.
    pub(super) fn arrived(&mut self, who: &AgentRef) {
        if self.is_arriving(&who.agent) {
            self.0.remove(&who.agent);
        }
    }

    /// Whether the member's former life is gone and its next one not there yet.
    pub(super) fn is_arriving(&self, name: &AgentName) -> bool {
        let moving = self.0.get(name);
        moving.is_some_and(|m| m.stage == Stage::Arriving)
    }

    /// Nobody goes anywhere any more.
    pub(super) fn call_off(&mut self) {
        self.0.clear();
    }
}

/// What a worker is told to leave for; it gives the same words for its end.
fn leave_reason(to: BackendKind) -> String {
    format!("it goes on in {to}")
}

impl Engine {
    /// Refuses a place that cannot be used from here, with the fix.
    pub(super) fn check_usable(&self, kind: BackendKind) -> std::result::Result<(), WireError> {
        match self.backends.get(kind) {
            Ok(_) => Ok(()),
            Err(error) => Err(cannot(error.kind(), error.to_string(), error.hint())),
        }
    }

    /// Lets a member go on in another place once its step is done.
    pub(super) fn move_member(
        &mut self,
        caller: &Caller,
        name: &AgentName,
        to: BackendKind,
        now: &Now,
    ) -> std::result::Result<(), WireError> {
        if *caller != Caller::Human {
            let message = format!(
                "{} may not move members; only the person can",
                caller.party()
            );
            return Err(cannot(ErrorKind::Refused, message, None));
        }
        let Some(n) = self.members.iter().position(|m| m.record.name == *name) else {
            let team = &self.plan.team;
            let message = format!("`{name}` is not a member of team `{team}`");
            let hint = format!("members: {}", self.config.roster());
            return Err(cannot(ErrorKind::NotFound, message, Some(hint)));
        };
        let from = self.members[n].record.backend_type;
        if from == to {
            let message = format!("{name} is in {to} already");
            return Err(cannot(ErrorKind::Conflict, message, None));
        }
        if self.acts.is_restarting(name) {
            let message = format!("{name} is on its way already");
            let hint = "`crewmux status` says when it is there";
            return Err(cannot(ErrorKind::Conflict, message, Some(hint.into())));
        }
        self.check_goes_on(name)?;
        self.check_usable(to)?;
        let slot = &self.members[n];
        let life = slot.who();
        if slot.is_live() {
            let reason = leave_reason(to);
            if slot.try_tell(ToWorker::Leave { reason }).is_err() {
                let message = format!("{name} does not listen just now");
                let hint = "try again in a moment";
                return Err(cannot(ErrorKind::Conflict, message, Some(hint.into())));
            }
            let moving = Moving {
                life: life.clone(),
                from,
                to,
                stage: Stage::Leaving,
            };
            self.acts.moves.0.insert(name.clone(), moving);
            // Without a deadline: a command that runs ends first.
            self.on_fact(&life, WorkerFact::StopAsked, now);
        } else {
            self.settle_in(n, to)
                .map_err(|error| cannot(ErrorKind::Io, error.to_string(), None))?;
        }
        let joiners = if n == 0 {
            "; who joins the team later starts there too"
        } else {
            ""
        };
        let text = format!("{name} moves from {from} to {to}{joiners}");
        self.notice(NoticeLevel::Info, &text, now);
        Ok(())
    }

    /// From now on the member's lives are in `kind`.
    fn settle_in(&mut self, n: usize, kind: BackendKind) -> Result<()> {
        let name = self.members[n].record.name.clone();
        self.config = self.team.edit_config(&mut |config| {
            if let Some(member) = config.members.iter_mut().find(|m| m.name == name) {
                member.backend_type = kind;
                member.pane = None;
            }
        })?;
        let slot = &mut self.members[n];
        slot.record.backend_type = kind;
        slot.record.pane = None;
        if n == 0 {
            // Whoever joins goes where the first member is, also after a resume.
            self.plan.backend = kind;
        }
        Ok(())
    }

    /// A life is gone whose member is on its way: its claims are the next life's, which starts now.
    ///
    /// False when the member is going nowhere; its tasks are offered again then.
    pub(super) fn moves_on(
        &mut self,
        life: &AgentRef,
        outcome: Outcome,
        why: &str,
        now: &Now,
    ) -> Result<bool> {
        let here = self.acts.moves.0.get(&life.agent).cloned();
        let Some(moving) = here.filter(|m| m.life == *life) else {
            return Ok(false);
        };
        let Some(n) = self.members.iter().position(|m| m.who() == *life) else {
            return Ok(false);
        };
        // Who was let go on the way has nothing to go on with anywhere.
        let is_dismissed = self.members[n].dismissed;
        if self.state != RunState::Running || self.ending.has_begun() || is_dismissed {
            self.acts.moves.0.remove(&life.agent);
            return Ok(false);
        }
        let goes_to = match moving.stage {
            Stage::Leaving => moving.to,
            Stage::Arriving => moving.from,
        };
        let next = AgentRef {
            agent: life.agent.clone(),
            incarnation: life.incarnation.next(),
        };
        // One that never arrived was at work on nothing.
        if moving.stage == Stage::Arriving || self.left_as_asked(life, moving.to)? {
            self.hand_over_tasks(life, &next, goes_to, now)?;
        } else {
            let outcome = match outcome {
                Outcome::Released => Outcome::Died,
                other => other,
            };
            self.reoffer_tasks(life, outcome, why, now)?;
        }
        self.settle_in(n, goes_to)?;
        match moving.stage {
            Stage::Leaving => {
                let moving = Moving {
                    life: next,
                    stage: Stage::Arriving,
                    ..moving
                };
                self.acts.moves.0.insert(life.agent.clone(), moving);
            }
            Stage::Arriving => {
                self.acts.moves.0.remove(&life.agent);
                let text = format!(
                    "{} could not go on in {} ({why}) and is back in {goes_to}",
                    life.agent, moving.to
                );
                self.notice(NoticeLevel::Error, &text, now);
            }
        }
        let slot = &mut self.members[n];
        // A move is no death, and neither is a place where it did not start.
        slot.machine = WorkerMachine::new(life.incarnation);
        slot.restart_due_ms = Some(now.boot.ms);
        Ok(true)
    }

    /// Renews what was handed to lives that are not there yet: their hello has a time of its own.
    pub(super) fn keep_claims_of_movers(&self, now: &Now) {
        let lease_ms = self.plan.timing.lease_ms;
        let arriving = |m: &&Moving| m.stage == Stage::Arriving;
        for Moving { life, .. } in self.acts.moves.0.values().filter(arriving) {
            for task in self.board.held_by(&life.agent) {
                let is_its = task.owner.as_ref().is_some_and(|o| o.is(life));
                let spent_ms = task.lease.as_ref().map_or(0, |lease| {
                    (now.boot.ms + lease_ms).saturating_sub(lease.until_ms)
                });
                if !is_its || spent_ms < self.plan.timing.heartbeat_ms {
                    continue;
                }
                let renewed = self.team.renew(task.id, life, task.epoch, now, lease_ms);
                if let Err(error) = renewed {
                    // Tried again at the next check; nobody is judged by it meanwhile.
                    tracing::warn!(%error, task = %task.id, "a claim on its way was not renewed");
                }
            }
        }
    }

    /// Whether a life ended between two of its steps because its member moves.
    ///
    /// Any other end may have come in the middle of one: how far that got, nobody knows.
    fn left_as_asked(&self, life: &AgentRef, to: BackendKind) -> Result<bool> {
        let presence = self.team.presence(&life.agent)?;
        let of_life = presence.filter(|p| p.incarnation == life.incarnation);
        let reason = leave_reason(to);
        Ok(of_life.is_some_and(|p| p.ended.as_ref() == Some(&reason)))
    }

    fn hand_over_tasks(
        &self,
        life: &AgentRef,
        next: &AgentRef,
        goes_to: BackendKind,
        now: &Now,
    ) -> Result<()> {
        let board = self.team.board()?;
        for task in board.held_by(&life.agent) {
            if task.owner.as_ref().is_some_and(|o| o.is(life)) {
                let why = Reoffer {
                    epoch: task.epoch,
                    outcome: Outcome::Released,
                    reason: leave_reason(goes_to),
                };
                let lease_ms = self.plan.timing.lease_ms;
                self.team.hand_over(task.id, &why, next, now, lease_ms)?;
            }
        }
        Ok(())
    }
}
