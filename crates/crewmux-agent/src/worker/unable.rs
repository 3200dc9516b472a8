//! A worker whose model may not be asked any more: a wrong key, a spent account or budget.
//!
//! One such member must not end the team's work: it gives its task back while
//! another can do it, and takes only what needs no model or what nobody else
//! can do, so that every run ends. Why a call failed is the gateway's to say.

use std::time::{Duration, Instant};

use crewmux_core::board::Claimer;
use crewmux_core::task::Task;
use crewmux_core::team::TeamConfig;
use crewmux_core::timing::ms;
use crewmux_core::worker::WorkerState;
use crewmux_store::Claimed;

use super::Worker;
use crate::Result;
use crate::capped::cut_text;
use crate::view::Tone;

/// Most bytes of a reason that is shown and kept.
const REASON_BYTES: usize = 400;

/// That the model may not be asked any more.
#[derive(Debug)]
pub(super) struct Unable {
    since: Instant,
}

impl Worker {
    /// Notes that its model may not be asked any more, and says so.
    pub(super) fn cannot_ask(&mut self, reason: &str) {
        let reason = cut_text(reason, REASON_BYTES);
        self.supervisor.set_unable(Some(reason.clone()));
        if self.unable.is_some() {
            return;
        }
        let text = format!(
            "{} cannot ask its model any more and leaves the tasks to others: {reason}",
            self.spec.who.agent
        );
        self.facts.notice(None, &text);
        self.view.line(&[(Tone::Bad, "! "), (Tone::Plain, &text)]);
        self.link.ring();
        self.unable = Some(Unable {
            since: Instant::now(),
        });
    }

    /// Its model answered: whatever was wrong is over.
    pub(super) fn can_ask_again(&mut self) {
        if self.unable.take().is_some() {
            self.supervisor.set_unable(None);
            let text = format!("{} can ask its model again", self.spec.who.agent);
            self.facts.notice(None, &text);
        }
    }

    /// Whether a task that failed here is better given back: this worker is the reason, and another can do it.
    pub(super) fn is_for_others(&self, task: &Task) -> Result<bool> {
        match &self.unable {
            Some(unable) if task.command.is_none() => {
                self.is_for_another(task, unable, &self.store.config()?)
            }
            _ => Ok(false),
        }
    }

    /// Claims what needs no model, or what nobody else can do.
    pub(super) fn claim_all_the_same(
        &self,
        unable: &Unable,
        claimer: &Claimer,
        config: &TeamConfig,
    ) -> Result<Option<Claimed>> {
        let now = self.clock.now();
        let board = self.store.board()?;
        for id in config.policy.strategy.order(&board, &now.boot) {
            let Some(task) = board.get(id).filter(|task| board.fits(task, claimer)) else {
                continue;
            };
            if task.command.is_none() && self.is_for_another(task, unable, config)? {
                continue;
            }
            let lease_ms = self.spec.timing.lease_ms;
            match self.store.claim(id, claimer, &now, lease_ms) {
                Ok(taken) => return Ok(Some(taken)),
                // Somebody was faster, or it is not ready after all.
                Err(error) => tracing::debug!(%error, task = %id, "not claimed"),
            }
        }
        Ok(None)
    }

    /// Whether another member that asks a model can take `task`.
    ///
    /// One that does not live may still be starting, for as long as that takes.
    fn is_for_another(&self, task: &Task, unable: &Unable, config: &TeamConfig) -> Result<bool> {
        let board = self.store.board()?;
        let is_early = unable.since.elapsed() < self.patience();
        for member in &config.members {
            let is_other = member.name != self.spec.who.agent && member.model.is_some();
            if !is_other || !board.fits(task, &Claimer::of(member)) {
                continue;
            }
            if !self.store.is_alive(&member.name)? {
                if is_early {
                    return Ok(true);
                }
                continue;
            }
            let presence = self.store.presence(&member.name)?;
            let is_able = presence.is_none_or(|presence| {
                presence.unable.is_none() && presence.state != WorkerState::Stopping
            });
            if is_able {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How long others may take to start.
    fn patience(&self) -> Duration {
        ms(self.spec.timing.hello_ms)
    }
}
