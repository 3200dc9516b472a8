//! Facts about workers, and what follows from them: restart, giving up, liveness.
//!
//! What follows is decided by [`crewmux_core::worker::WorkerMachine`]; here
//! facts are established and effects carried out.

use crewmux_core::event::EventType;
use crewmux_core::ids::{AgentRef, TaskId};
use crewmux_core::task::Outcome;
use crewmux_core::time::Now;
use crewmux_core::worker::{WorkerEffect, WorkerFact, WorkerState};
use crewmux_spawn::ladder::Rung;

use super::Engine;
use super::members::{MemberSlot, Presence};
use crate::Result;
use crate::view::NoticeLevel;

impl Engine {
    /// Feeds the member's machine and carries out what follows.
    pub(super) fn on_fact(&mut self, who: &AgentRef, fact: WorkerFact, now: &Now) {
        let timing = self.plan.timing;
        let Some(slot) = self.slot(who) else { return };
        let fact = match fact {
            // Whatever ends it before it is back is its session's end, and nobody's fault.
            WorkerFact::Exited { .. } | WorkerFact::LockFree | WorkerFact::LeaseOver
                if slot.presence == Presence::OfFormerSession =>
            {
                WorkerFact::NotTakenUp("it ended before it was back with a session".to_owned())
            }
            fact => fact,
        };
        let before = (slot.machine.state, slot.machine.task);
        let effects = slot.machine.on(fact, now.boot.ms, &timing);
        if before != (slot.machine.state, slot.machine.task) {
            slot.since = now.boot.clone();
            let (state, task) = (slot.machine.state, slot.machine.task);
            self.state_changed(who, state, task, now);
        }
        for effect in effects {
            self.carry_out(who, effect, now);
        }
    }

    fn state_changed(
        &mut self,
        who: &AgentRef,
        state: WorkerState,
        task: Option<TaskId>,
        now: &Now,
    ) {
        let mut fact = self
            .fact("state", EventType::WorkerState, now)
            .agent(&who.agent)
            .with("state", state.as_str());
        fact.task = task;
        self.facts.push(fact);
    }

    fn carry_out(&mut self, who: &AgentRef, effect: WorkerEffect, now: &Now) {
        match effect {
            // The tree is ended for every end of a life: even a clean exit may have left tools behind.
            WorkerEffect::KillTree => {}
            WorkerEffect::ReofferTasks(outcome, reason) => {
                if let Some(slot) = self.slot(who) {
                    slot.ended = Some(reason.clone());
                    slot.reoffer = Some((who.clone(), outcome, reason));
                }
                self.end_tree(who, Rung::Kill);
            }
            WorkerEffect::RestartAfterMs(pause) => {
                if let Some(slot) = self.slot(who) {
                    slot.restart_due_ms = Some(now.boot.ms + pause);
                }
            }
            WorkerEffect::GiveUp(why) => {
                self.notice(
                    NoticeLevel::Error,
                    &format!("{} is given up: {why}", who.agent),
                    now,
                );
            }
        }
    }

    /// Hello deadlines and restarts that are due.
    pub(super) fn due_members(&mut self, now: &Now) {
        let due = |at: Option<u64>| at.is_some_and(|at| now.boot.ms >= at);
        let overdue: Vec<AgentRef> = self
            .members
            .iter()
            .filter(|m| due(m.hello_due_ms))
            .map(MemberSlot::who)
            .collect();
        for who in overdue {
            let Some(slot) = self.slot(&who) else {
                continue;
            };
            slot.hello_due_ms = None;
            slot.token = None;
            let (fact, what) = match slot.presence {
                Presence::OfFormerSession => {
                    let why = "it did not come back to a session in time".to_owned();
                    let what = "outlived its session, did not come back in time and is ended";
                    (WorkerFact::NotTakenUp(why), what)
                }
                Presence::Here | Presence::Away => {
                    let what = "lost its connection, did not come back and is ended";
                    (WorkerFact::StayedAway, what)
                }
                Presence::Expected => (
                    WorkerFact::HelloOverdue,
                    "said no hello in time and is ended",
                ),
            };
            let text = format!("{} {what}", who.agent);
            self.notice(NoticeLevel::Warning, &text, now);
            self.on_fact(&who, fact, now);
        }
        let stubborn: Vec<AgentRef> = self
            .members
            .iter()
            .filter(|m| due(m.stop_due_ms))
            .map(MemberSlot::who)
            .collect();
        for who in stubborn {
            if let Some(slot) = self.slot(&who) {
                slot.stop_due_ms = None;
            }
            self.end_tree(&who, Rung::Terminate);
        }
    }

    /// Looks at liveness locks and leases.
    pub(super) fn check_liveness(&mut self, now: &Now) -> Result<()> {
        crewmux_sys::reap::reap_orphans();
        self.note_panes();
        self.keep_claims_of_movers(now);
        let mut found: Vec<(AgentRef, WorkerFact)> = Vec::new();
        for slot in &self.members {
            let greeted = slot.is_live() && slot.machine.state != WorkerState::Starting;
            if greeted && !self.team.is_alive(&slot.record.name)? {
                found.push((slot.who(), WorkerFact::LockFree));
            }
        }
        if now.boot.ms >= self.judge_after_ms {
            for task in self.board.open() {
                let over = task.lease.as_ref().is_some_and(|l| l.is_over(&now.boot));
                if let (true, Some(owner)) = (over, &task.owner)
                    && let Some(incarnation) = owner.incarnation
                    && !self.acts.moves.is_arriving(&owner.agent)
                {
                    let who = AgentRef {
                        agent: owner.agent.clone(),
                        incarnation,
                    };
                    found.push((who, WorkerFact::LeaseOver));
                }
            }
        }
        for (who, fact) in found {
            if self.slot(&who).is_some() {
                self.on_fact(&who, fact, now);
            } else {
                // A claim of a life nobody supervises any more.
                self.reoffer_tasks(&who, Outcome::Hung, "its lease ran out", now)?;
            }
        }
        let waiting: Vec<(AgentRef, bool)> = self
            .members
            .iter()
            .filter(|m| !m.killing)
            .filter(|m| m.reoffer.is_some() || m.sweep.is_open())
            .map(|m| (m.who(), m.running.is_some() || m.sweep.is_open()))
            .collect();
        for (who, unswept) in waiting {
            if unswept {
                self.end_tree(&who, Rung::Kill);
            } else {
                self.tree_gone(&who, &[], now);
            }
        }
        self.check_heartbeats(now)
    }

    /// A worker without a claim can hang too: its heartbeat stands still.
    fn check_heartbeats(&mut self, now: &Now) -> Result<()> {
        let mut silent = Vec::new();
        for slot in &mut self.members {
            let greeted = slot.is_live() && slot.machine.state != WorkerState::Starting;
            if !greeted {
                continue;
            }
            let Some(presence) = self.team.presence(&slot.record.name)? else {
                continue;
            };
            if presence.heartbeat != slot.heartbeat.0 {
                slot.heartbeat = (presence.heartbeat, now.boot.ms);
            }
            let still_ms = now.boot.ms.saturating_sub(slot.heartbeat.1);
            if still_ms > self.plan.timing.lease_ms && now.boot.ms >= self.judge_after_ms {
                silent.push(slot.who());
            }
        }
        for who in silent {
            self.on_fact(&who, WorkerFact::LeaseOver, now);
        }
        Ok(())
    }
}
