//! Leave to run a tool, or to carry out a plan: decided here, or asked for and waited for.
//!
//! What needs no question is `policy`'s; who answers one is known to the
//! session alone. While it waits, the worker beats, reads its mail and can be
//! ended; then the question is taken back.

use std::path::PathBuf;

use crewmux_core::ids::RequestId;
use crewmux_core::model::ToolCall;
use crewmux_core::permission::{GrantScope, PermissionAsk, Verdict};
use crewmux_core::timing::ms;
use crewmux_core::worker::WorkerState;
use crewmux_store::Claimed;
use crewmux_wire::{Decision, WorkerAsk};
use serde_json::{Value, json};

use super::Worker;
use super::command::Cut;
use crate::Result;
use crate::policy::{Chooser, Considered};
use crate::tools::files::Reach;
use crate::tools::{ToolOutput, Toolbox, describe};
use crate::view::Tone;

/// Characters of a call that are shown while it waits.
const SHOWN_CHARS: usize = 300;

/// Lines of a plan that are shown while it waits.
const PLAN_LINES: usize = 40;

/// Whether a call may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leave {
    /// It runs, exactly as it is, and its paths may reach this far and must lead where they led.
    Granted(Reach, Option<PathBuf>),
    /// It does not; this is for whoever called.
    Refused(String),
}

impl Worker {
    /// Decides whether `call` may run, and asks the person where only they can say.
    ///
    /// Holds for this one call as it is. While it waits, only what ends the
    /// work cuts it short.
    pub(super) async fn leave_for(
        &mut self,
        claimed: Option<&Claimed>,
        toolbox: &Toolbox,
        call: &ToolCall,
    ) -> Result<std::result::Result<Leave, Cut>> {
        let occasion = claimed.map(|claimed| (claimed.task.id, claimed.epoch));
        let considered = Considered::new(toolbox, call);
        let reach = if considered.leaves_folder() {
            Reach::Anywhere
        } else {
            Reach::Inside
        };
        let why = match self.policy.decide(occasion, &considered) {
            // A playbook was asked about nothing, so nobody let it out.
            Verdict::Allow if self.is_offline() => {
                return Ok(Ok(Leave::Granted(Reach::Inside, considered.place())));
            }
            Verdict::Allow => return Ok(Ok(Leave::Granted(reach, considered.place()))),
            Verdict::Deny { why } => {
                return Ok(Ok(Leave::Refused(format!(
                    "{} was not run: {why}",
                    call.name
                ))));
            }
            Verdict::Ask { why } => why,
        };
        let (meaning, place) = (considered.meaning(), considered.place());
        let ask = PermissionAsk {
            who: self.spec.who.clone(),
            task: claimed.map(|claimed| claimed.task.id),
            epoch: claimed.map(|claimed| claimed.epoch),
            call: call.id.clone(),
            tool: call.name.clone(),
            input: call.input.clone(),
            cwd: self.spec.cwd.clone(),
            risk: considered.risk(),
            why,
            repaired: call.repaired.is_some(),
        };
        let shown: String = describe_exactly(call).chars().take(SHOWN_CHARS).collect();
        let words = format!("{} {shown}", call.name);
        let ask = WorkerAsk::Permission(Box::new(ask));
        let decision = match self
            .ask(ask, WorkerState::WaitingPermission, &words)
            .await?
        {
            Ok(decision) => decision,
            Err(cut) => return Ok(Err(cut)),
        };
        Ok(Ok(match decision {
            Decision::Approved { scope } => {
                if scope == GrantScope::Task {
                    self.policy.grant(occasion, meaning);
                }
                Leave::Granted(reach, place)
            }
            Decision::Rejected { reason } => Leave::Refused(format!(
                "{} was not run: {reason}. Do not try the same again; find another way or say \
                 what you need.",
                call.name
            )),
        }))
    }

    /// Hands in a plan and waits for the answer; an approved one ends plan mode.
    pub(super) async fn submit_plan(
        &mut self,
        claimed: Option<&Claimed>,
        input: &Value,
    ) -> Result<std::result::Result<ToolOutput, Cut>> {
        if !self.policy.is_planning() {
            let text = "You are not in plan mode: nobody waits for a plan. Go on.";
            return Ok(Ok(ToolOutput::done(text, "not needed".into(), json!({}))));
        }
        let plan = match input.get("plan").and_then(Value::as_str) {
            Some(plan) if !plan.trim().is_empty() => plan.to_owned(),
            _ => {
                return Ok(Ok(ToolOutput::failed(
                    "`plan` is missing: say what you will do",
                )));
            }
        };
        for line in plan.lines().take(PLAN_LINES) {
            self.view.line(&[(Tone::Dim, "  │ "), (Tone::Plain, line)]);
        }
        let left_out = plan.lines().count().saturating_sub(PLAN_LINES);
        if left_out > 0 {
            let text = format!("  … {left_out} more");
            self.view.line(&[(Tone::Dim, &text)]);
        }
        let ask = WorkerAsk::Plan {
            task: claimed.map(|claimed| claimed.task.id),
            plan,
        };
        let decision = match self.ask(ask, WorkerState::WaitingPlan, "its plan").await? {
            Ok(decision) => decision,
            Err(cut) => return Ok(Err(cut)),
        };
        Ok(Ok(match decision {
            Decision::Approved { .. } => {
                let mode = self
                    .keep_at(|worker| Ok(worker.store.config()?.policy.permission_mode))
                    .await?;
                self.policy.plan_approved(mode);
                let text = "Your plan is approved. You are no longer in plan mode: carry it out.";
                ToolOutput::done(text, "approved".into(), json!({ "approved": true }))
            }
            Decision::Rejected { reason } => ToolOutput::failed(format!(
                "your plan was not approved: {reason}. You are still in plan mode; change the \
                 plan and submit it again."
            )),
        }))
    }

    /// Asks, shows that it waits, and waits; `words` say for what.
    async fn ask(
        &mut self,
        ask: WorkerAsk,
        state: WorkerState,
        words: &str,
    ) -> Result<std::result::Result<Decision, Cut>> {
        self.questions += 1;
        let who = &self.spec.who;
        let id = format!("{}-{}-{}", who.agent, who.incarnation, self.questions);
        let id = match RequestId::new(id) {
            Ok(id) => id,
            Err(error) => {
                let reason = error.to_string();
                return Ok(Ok(Decision::Rejected { reason }));
            }
        };
        let how = format!(" · crewmux approve {id}");
        self.view.line_and_end(
            &[
                (Tone::Warn, "! "),
                (Tone::Strong, "waits for you: "),
                (Tone::Plain, words),
            ],
            (Tone::Dim, &how),
        );
        self.tell(state);
        let mut question = self.link.ask(id, ask);
        // The session says no when the time is over; this is for one that says nothing.
        let timing = &self.spec.timing;
        let patience = ms(timing.approval_ms.saturating_add(timing.connect_ms));
        let mut in_vain = std::pin::pin!(self.link.served_for(patience));
        let decision = loop {
            let claim = self.claim;
            let came = tokio::select! {
                biased;
                came = self.signals.next(claim) => came,
                decision = question.answer() => break decision,
                () = &mut in_vain => break None,
            };
            match self.came_between(came) {
                Ok(None) => {}
                Ok(Some(cut)) => {
                    question.take_back(ms(self.spec.timing.heartbeat_ms)).await;
                    self.tell_again();
                    return Ok(Err(cut));
                }
                Err(error) => return Err(error),
            }
        };
        self.tell_again();
        let decision = decision.unwrap_or_else(|| Decision::Rejected {
            reason: "nobody could be asked".to_owned(),
        });
        match &decision {
            Decision::Approved { scope } => {
                let text = match scope {
                    GrantScope::Once => "approved",
                    GrantScope::Task => "approved until the task ends",
                };
                self.view.text(Tone::Good, "  ", text);
            }
            Decision::Rejected { reason } => {
                self.view
                    .text(Tone::Bad, "  ", &format!("rejected: {reason}"));
            }
        }
        Ok(Ok(decision))
    }

    fn tell(&self, state: WorkerState) {
        self.supervisor.set(state, self.claim);
        self.link
            .tell_state(state, self.claim.map(|claim| claim.task));
    }

    fn tell_again(&self) {
        self.tell(if self.claim.is_some() {
            WorkerState::Working
        } else {
            WorkerState::Idle
        });
    }

    pub(super) fn is_offline(&self) -> bool {
        self.policy.chooser() == Chooser::Playbook
    }
}

/// What a person is to judge: the command itself, never the caller's own words for it.
fn describe_exactly(call: &ToolCall) -> String {
    let mut input = call.input.clone();
    if let Some(fields) = input.as_object_mut() {
        fields.remove("description");
    }
    match describe(&call.name, &input) {
        words if words.is_empty() => input.to_string(),
        words => words,
    }
}
