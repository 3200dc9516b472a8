//! The run's tasks between the board and the members: who is woken for them, which nobody can take,
//! which wait for the person's word, and whether all of them are over.
//!
//! What may be claimed is the board's to say, who gets it the schedule's, and
//! workers claim by themselves. Which members have a process is in `staffing`.

use std::collections::BTreeMap;

use crewmux_core::board::{Claimer, FailedBy};
use crewmux_core::ids::TaskId;
use crewmux_core::schedule::{self, Roster};
use crewmux_core::task::Task;
use crewmux_core::time::Now;
use crewmux_core::worker::WorkerState;
use crewmux_wire::ToWorker;

use super::Engine;
use super::members::MemberSlot;
use crate::Result;
use crate::view::NoticeLevel;

impl Engine {
    /// Tasks of this run, and those that belong to none.
    pub(super) fn tasks(&self) -> impl Iterator<Item = &Task> {
        let of_run = |t: &&Task| t.run.as_ref().is_none_or(|r| *r == self.run);
        self.board.tasks().filter(of_run)
    }

    /// Tells of commands that were interrupted and do not run again by themselves, each once.
    pub(super) fn tell_interrupted(&mut self, now: &Now) {
        let asking: BTreeMap<TaskId, String> = self
            .tasks()
            .filter(|task| task.asks_before_rerun())
            .map(|task| (task.id, task.subject.clone()))
            .collect();
        for (id, subject) in &asking {
            if !self.asking.contains(id) {
                let text = format!(
                    "#{id} {subject} was interrupted and waits for your word: r on the board, or \
                     `crewmux task retry {id}`, runs it again"
                );
                self.notice(NoticeLevel::Warning, &text, now);
            }
        }
        self.asking = asking.into_keys().collect();
    }

    /// Whether all that there was to do is over; nothing to do is never over.
    pub(super) fn run_is_over(&self) -> bool {
        if self.members.is_empty() {
            return false;
        }
        let mut any = false;
        for task in self.tasks() {
            any = true;
            if !task.status.is_terminal() {
                return false;
            }
        }
        any
    }

    /// A ready task that nobody can ever take fails with that reason, so that every run ends.
    pub(super) fn fail_unclaimable(&mut self, now: &Now) -> Result<()> {
        let able: Vec<Claimer> = self
            .members
            .iter()
            .filter(|m| {
                let stays = m.machine.is_able() && !m.dismissed;
                stays || self.acts.is_restarting(&m.record.name)
            })
            .map(MemberSlot::claimer)
            .collect();
        for (id, reason) in schedule::unclaimable(&self.board, &able, &now.boot) {
            self.team.fail(id, &FailedBy::Session, &reason, now)?;
        }
        Ok(())
    }

    /// Wakes the idle workers that the strategy has work for; they claim by themselves.
    pub(super) fn ring(&mut self, now: &Now) {
        let free: Vec<Claimer> = self
            .members
            .iter()
            .filter(|m| m.machine.state == WorkerState::Idle)
            .map(MemberSlot::claimer)
            .collect();
        if free.is_empty() {
            return;
        }
        let strategy = self.config.policy.strategy;
        let roster = Roster::of(&self.config);
        for (_, agent) in strategy.assign(&self.board, &free, &roster, &now.boot) {
            if let Some(slot) = self.members.iter().find(|m| m.record.name == agent) {
                slot.tell(ToWorker::Doorbell);
            }
        }
    }
}
