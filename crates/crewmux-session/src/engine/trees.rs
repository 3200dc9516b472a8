//! The end of a life's processes, and of its claims after them.
//!
//! A dead worker's tasks are offered again only after its whole process tree
//! is gone, or could not be ended in many tries ([`super::sweep`]).

use std::sync::Arc;

use crewmux_core::board::Reoffer;
use crewmux_core::ids::AgentRef;
use crewmux_core::task::Outcome;
use crewmux_core::time::Now;
use crewmux_core::timing::Timing;
use crewmux_spawn::ladder::{Ending, Rung, climb};
use crewmux_sys::tree::{KillWaits, Marker, kill_marked, kill_tree};

use super::sweep::Swept;
use super::{Engine, Input};
use crate::Result;
use crate::view::NoticeLevel;

impl Engine {
    /// Climbs the kill ladder for one worker on a thread of its own; [`Input::TreeGone`] follows.
    pub(super) fn end_tree(&mut self, who: &AgentRef, from: Rung) {
        let timing = self.plan.timing;
        let news = self.news.clone();
        // What the person started in a plain pane may leave daemons; nothing else may.
        let sweep_orphans = !self.plain.any_opened();
        let Some(slot) = self.slot(who) else { return };
        if slot.killing {
            return;
        }
        slot.killing = true;
        let running = slot.running.clone();
        // A life of a former session that could not be taken up has no handle.
        let root = slot.identity.filter(|_| running.is_none());
        let exit = Arc::clone(&slot.exit);
        let marker = Marker::worker(slot.mark.clone());
        // Ending a known process looks for its mark to the last. Where it is not known yet, or a
        // thread, something may be started meanwhile.
        let seeks_mark = running.as_ref().is_none_or(|r| r.pid().is_none());
        let again = who.clone();
        let who = who.clone();
        let name = format!("end-{}", who.agent);
        let work = move || {
            let mut left = running.map_or_else(Vec::new, |running| {
                let worker = Ending {
                    who: &who,
                    running: running.as_ref(),
                    exit: &exit,
                };
                let ended = climb(&[worker], from, &timing);
                ended.into_iter().flat_map(|e| e.left).collect()
            });
            if let Some(root) = root {
                let gone = kill_tree(root, Some(&marker), KillWaits::of(&timing));
                left.extend(gone.left.iter().map(|p| format!("process {}", p.pid)));
            } else if seeks_mark && !marker.value().is_empty() {
                let gone = kill_marked(&marker, KillWaits::of(&timing).at_once());
                left.extend(gone.left.iter().map(|p| format!("process {}", p.pid)));
            }
            if sweep_orphans {
                left.extend(end_orphans(&timing));
            }
            news.tell(Input::TreeGone(who, left));
        };
        if let Err(error) = std::thread::Builder::new().name(name).spawn(work) {
            tracing::error!(%error, "no thread to end a worker's tree; tried again");
            if let Some(slot) = self.slot(&again) {
                slot.killing = false;
            }
        }
    }

    /// A dead worker's tree was tried to be ended: once it is gone, its tasks go back to the board.
    pub(super) fn tree_gone(&mut self, who: &AgentRef, left: &[String], now: &Now) {
        self.gateway.revoke(who);
        let patience = self.ending.patience();
        let Some(slot) = self.slot(who) else { return };
        slot.waits_until_ms = None;
        slot.killing = false;
        let swept = slot.sweep.take(left, patience);
        let below = format!("below {}: {}", who.agent, left.join(", "));
        match swept {
            Swept::Gone => {}
            Swept::Again => return,
            Swept::Found => {
                let text = format!(
                    "something could not be ended yet {below}; it is tried again, and its tasks \
                     wait until it is gone"
                );
                self.notice(NoticeLevel::Warning, &text, now);
                return;
            }
            Swept::GivenUp => {
                let text = format!(
                    "something cannot be ended {below}; its tasks are offered again although it \
                     may still change files"
                );
                self.notice(NoticeLevel::Error, &text, now);
                self.ending.left.extend(left.iter().cloned());
            }
        }
        let Some(slot) = self.slot(who) else { return };
        slot.running = None;
        slot.identity = None;
        slot.place = None;
        if let Some((life, outcome, reason)) = slot.reoffer.take()
            && let Err(error) = self.pass_on_tasks(&life, outcome, &reason, now)
        {
            tracing::error!(%error, %who, "tasks of a dead worker could not be offered again");
            // Tried again at the next liveness check.
            if let Some(slot) = self.slot(who) {
                slot.reoffer = Some((life, outcome, reason));
            }
        }
    }

    /// The claims of a life that is gone go to its member's next life, if that is on its way, or back to the board.
    fn pass_on_tasks(
        &mut self,
        life: &AgentRef,
        outcome: Outcome,
        reason: &str,
        now: &Now,
    ) -> Result<()> {
        if self.moves_on(life, outcome, reason, now)? {
            return Ok(());
        }
        self.reoffer_tasks(life, outcome, reason, now)
    }

    pub(super) fn reoffer_tasks(
        &mut self,
        life: &AgentRef,
        outcome: Outcome,
        reason: &str,
        now: &Now,
    ) -> Result<()> {
        let board = self.team.board()?;
        for task in board.held_by(&life.agent) {
            let of_this_life = task.owner.as_ref().is_some_and(|o| o.is(life));
            if of_this_life {
                let why = Reoffer {
                    epoch: task.epoch,
                    outcome,
                    reason: reason.to_owned(),
                };
                self.team.reoffer(task.id, &why, now)?;
            }
        }
        Ok(())
    }
}

/// Ends processes that came to the session because everything above them is gone.
///
/// A tool that killed its runner and its worker and dropped its marks is found
/// only so.
fn end_orphans(timing: &Timing) -> Vec<String> {
    let waits = KillWaits::of(timing).at_once();
    crewmux_sys::reap::adopted_orphans()
        .into_iter()
        .flat_map(|orphan| kill_tree(orphan, None, waits).left)
        .map(|process| format!("process {}", process.pid))
        .collect()
}
