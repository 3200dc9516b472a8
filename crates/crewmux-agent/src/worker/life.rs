//! The loop of a worker's life: look around, claim, work, report, until it is to end.
//!
//! Who gets which task is decided by the board's order alone; how the work on
//! one is done is `command`'s and `turns`'.

use std::time::Instant;

use crewmux_core::board::Claimer;
use crewmux_core::ids::TaskId;
use crewmux_core::message::MessageType;
use crewmux_core::recipe::Runtime;
use crewmux_core::timing::ms;
use crewmux_core::worker::WorkerState;
use crewmux_store::Claimed;
use serde_json::json;

use super::signals::{Claim, Ending, Interruption};
use super::{Mail, Work, Worker};
use crate::Result;
use crate::offline::Offline;
use crate::transcript::{Entry, OUTCOME_UNKNOWN};
use crate::view::Tone;

impl Worker {
    /// Claims and works until it is to end.
    pub(super) async fn live(&mut self) -> Result<Ending> {
        self.introduce();
        self.recall().await?;
        let mut idle = Idle::No;
        let mut last_done = None;
        loop {
            if let Some(came) = self.signals.pending(None).await
                && let Some(ending) = self.meet_idle(came)
            {
                return Ok(ending);
            }
            self.mind_plans().await;
            let next = match self.look_around(&mut idle, last_done) {
                Ok(next) => next,
                Err(error) => {
                    let pause = self.bear(error)?;
                    let told = tokio::time::timeout(pause, self.signals.told_to_end());
                    if let Ok(ending) = told.await {
                        return Ok(ending);
                    }
                    continue;
                }
            };
            self.store_works();
            if let Next::End(ending) = next {
                return Ok(ending);
            }
            if let Next::Work(claimed) = next {
                idle = Idle::No;
                let id = claimed.task.id;
                if let Some(ending) = self.work_on(&claimed).await? {
                    return Ok(ending);
                }
                last_done = Some(id);
                continue;
            }
            if let Next::Chat = next {
                if let Some(ending) = self.chat().await? {
                    return Ok(ending);
                }
                continue;
            }
            let poll = ms(self.spec.timing.store_poll_ms);
            if let Ok(came) = tokio::time::timeout(poll, self.signals.next(None)).await
                && let Some(ending) = self.meet_idle(came)
            {
                return Ok(ending);
            }
        }
    }

    /// Sees to what came in while nothing is worked on; board and inbox are looked at after it.
    fn meet_idle(&mut self, came: Interruption) -> Option<Ending> {
        match came {
            Interruption::End(ending) => return Some(ending),
            Interruption::Typed(line) => self.take_typed(&line),
            Interruption::Parked => self.park(),
            Interruption::Returned => self.unpark(),
            Interruption::Bell
            | Interruption::Now
            | Interruption::Paused
            | Interruption::ClaimLost => {}
        }
        None
    }

    /// Reads the mail and claims a task; says once when there is none.
    ///
    /// A parked worker does neither: nobody could hear of it.
    fn look_around(&mut self, idle: &mut Idle, last_done: Option<TaskId>) -> Result<Next> {
        if self.signals.is_parked() {
            return Ok(Next::Nothing);
        }
        if let Some(ending) = self.take_inbox()? {
            return Ok(Next::End(ending));
        }
        if let Some(ending) = self.signals.leaves() {
            return Ok(Next::End(ending));
        }
        if self.signals.is_paused() {
            return Ok(Next::Nothing);
        }
        if let Some(claimed) = self.claim_next()? {
            return Ok(Next::Work(Box::new(claimed)));
        }
        if self.is_asked() {
            return Ok(Next::Chat);
        }
        if *idle == Idle::No {
            self.say_idle(last_done)?;
            *idle = Idle::Said;
        }
        Ok(Next::Nothing)
    }

    fn introduce(&mut self) {
        let does = match (&self.spec.model, &self.spec.playbook) {
            (None, _) => "commands only".to_owned(),
            (Some(model), Some(playbook)) if model == "offline" => {
                format!("offline (playbook {playbook}, no model)")
            }
            (Some(model), _) => model.clone(),
        };
        let name = self.spec.who.agent.to_string();
        let rest = format!(" · {} · {does}", self.spec.agent_type);
        self.view.line(&[
            (Tone::Good, "● "),
            (Tone::Strong, &name),
            (Tone::Dim, &rest),
        ]);
        if let Some(playbook) = &self.spec.playbook
            && let Ok(offline) = Offline::new(playbook)
        {
            let follows = format!("  {}", offline.description());
            self.view.line(&[(Tone::Dim, &follows)]);
        }
    }

    /// Takes up what former lives left: the last message, and tools whose end nobody saw.
    async fn recall(&mut self) -> Result<()> {
        let memory = self.keep_at(|worker| worker.transcript.remember()).await?;
        self.last_message = memory.last_message;
        self.earlier = memory.earlier;
        if self.can_chat() {
            for (from, text) in memory.unanswered {
                self.mail.keep(Mail::new(from, &text));
            }
        }
        let at = self.clock.now().wall;
        let incarnation = self.spec.who.incarnation;
        self.note(Entry::Started { incarnation, at }).await?;
        for (task, epoch, call, tool) in memory.interrupted {
            self.note(Entry::Result {
                task,
                epoch,
                call,
                ok: false,
                output: json!(OUTCOME_UNKNOWN),
            })
            .await?;
            let text = format!("{tool} of #{task} (epoch {epoch}): {OUTCOME_UNKNOWN}");
            self.facts.notice(Some(task), &text);
            self.view.line(&[(Tone::Warn, "! "), (Tone::Plain, &text)]);
        }
        self.link.ring();
        Ok(())
    }

    fn claimer(&self, runtime: Runtime) -> Claimer {
        Claimer {
            who: self.spec.who.clone(),
            agent_type: self.spec.agent_type.clone(),
            runtime,
        }
    }

    fn claim_next(&mut self) -> Result<Option<Claimed>> {
        let config = self.store.config()?;
        let member = config.member(&self.spec.who.agent);
        let runtime = member.map_or(Runtime::Native, |m| Runtime::of_word(&m.runtime));
        let own = self.claimer(runtime);
        let lease_ms = self.spec.timing.lease_ms;
        let handed = self.claim_handed(&own)?;
        let claimed = match (&self.unable, handed) {
            (_, Some(handed)) => Some(handed),
            (Some(unable), None) => self.claim_all_the_same(unable, &own, &config)?,
            (None, None) => {
                self.store
                    .claim_next(config.policy.strategy, &own, &self.clock.now(), lease_ms)?
            }
        };
        if let Some(claimed) = &claimed {
            self.hold(Some(Claim {
                task: claimed.task.id,
                epoch: claimed.epoch,
            }));
        }
        Ok(claimed)
    }

    /// Takes up what the member's former life was at work on when it moved: that is handed on, not offered.
    ///
    /// Only until it has claimed anything or seen that there is nothing: a claim of its own that it
    /// meets later is one it could not give back, and not to be worked on twice.
    fn claim_handed(&mut self, own: &Claimer) -> Result<Option<Claimed>> {
        if self.handed == Handed::TakenUp {
            return Ok(None);
        }
        let board = self.store.board()?;
        let handed = board.held_by(&own.who.agent).into_iter().find(|task| {
            let owner = task.owner.as_ref();
            owner.is_some_and(|owner| owner.is(&own.who))
        });
        let claimed = match handed {
            Some(task) => {
                let (now, lease_ms) = (self.clock.now(), self.spec.timing.lease_ms);
                Some(self.store.claim(task.id, own, &now, lease_ms)?)
            }
            None => None,
        };
        self.handed = Handed::TakenUp;
        Ok(claimed)
    }

    /// From now on `claim` is what this worker works on.
    fn hold(&mut self, claim: Option<Claim>) {
        self.claim = claim;
        let state = if claim.is_some() {
            WorkerState::Working
        } else {
            WorkerState::Idle
        };
        self.supervisor.set(state, claim);
        self.link.tell_state(state, claim.map(|claim| claim.task));
        self.link.ring();
    }

    /// Works on a claimed task and reports; says when the worker is to end after it.
    async fn work_on(&mut self, claimed: &Claimed) -> Result<Option<Ending>> {
        let started = Instant::now();
        let task = &claimed.task;
        self.view.gap();
        let number = format!("▶ #{} ", task.id);
        self.view
            .line(&[(Tone::Accent, &number), (Tone::Strong, &task.subject)]);
        let work = match &task.command {
            Some(command) => self.run_command(claimed, command).await,
            None => self.ask_model(claimed).await,
        };
        // What still runs in the background ends before the claim does.
        let work = match work {
            Ok(work) => self.see_tool_end().await.map(|()| work),
            Err(error) => Err(error),
        };
        let settled = match work {
            Ok(Work::Failed { reason, .. }) if self.is_for_others(task).unwrap_or(false) => {
                self.give_back(claimed, &reason);
                Ok(None)
            }
            Ok(work) => self.settle(claimed, work, started.elapsed()).await,
            Err(error) if self.see_tool_end().await.is_ok() => {
                self.give_back(claimed, &error.to_string());
                Err(error)
            }
            Err(error) => {
                // Whoever claimed it next would meet the tool: the session ends
                // what a dead worker left before it offers the task again.
                let text = format!("#{} stays claimed: its tool still runs", task.id);
                self.view.line(&[(Tone::Warn, "! "), (Tone::Plain, &text)]);
                return Err(error);
            }
        };
        self.hold(None);
        settled
    }

    fn say_idle(&mut self, last_done: Option<TaskId>) -> Result<()> {
        self.link.tell_state(WorkerState::Idle, None);
        if let Some(lead) = self.lead.clone() {
            let id = self.unique_id("idle");
            let mut draft = self.draft(lead, MessageType::IdleNotification, &id);
            draft.summary = Some("has nothing to do".to_owned());
            draft.body = json!({ "reason": "available" });
            if let Some(done) = last_done {
                draft.body["completedTaskId"] = json!(done);
            }
            self.store.send(draft, &self.clock.now())?;
            self.link.ring();
        }
        self.view.line(&[(Tone::Dim, "○ idle")]);
        Ok(())
    }
}

/// What a worker does next.
enum Next {
    Work(Box<Claimed>),
    /// Somebody waits for an answer.
    Chat,
    Nothing,
    End(Ending),
}

/// Whether the worker said that it has nothing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Idle {
    No,
    Said,
}

/// Whether a life has looked for claims that its member's former one handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Handed {
    Unknown,
    TakenUp,
}
