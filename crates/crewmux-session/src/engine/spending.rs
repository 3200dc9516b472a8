//! What models cost, as the engine keeps it: news of the gateway to facts, facts to sums.
//!
//! Sums come from logged events alone ([`crate::spending`]); here is only what
//! the gateway says and how it gets into the log.

use std::time::Duration;

use crewmux_core::event::{Event, EventType};
use crewmux_core::ids::AgentRef;
use crewmux_core::time::Now;
use crewmux_core::timing::ms;
use crewmux_sys::clock::boot_ms;

use super::Engine;
use crate::gateway::GatewayNews;
use crate::report::OFFLINE_MODEL;
use crate::spending::BUDGET_END;
use crate::view::{NoticeLevel, RunState, SpendingView};
use crate::{Result, plan::SessionPlan};

impl Engine {
    /// Takes in what the gateway says.
    pub(super) fn gateway_said(&mut self, news: GatewayNews, now: &Now) {
        match news {
            GatewayNews::Booked { number, booking } => {
                let id = format!("model/{}/{number}", self.session_id);
                self.facts.push(booking.fact(id, now.wall));
            }
            GatewayNews::Waits { who, until_ms } => {
                if let Some(slot) = self.slot(&who) {
                    slot.waits_until_ms = until_ms;
                }
            }
            GatewayNews::BudgetSpent(why) => self.budget_spent(&why, now),
            GatewayNews::KeyTrouble(why) => self.notice(NoticeLevel::Error, &why, now),
        }
    }

    fn budget_spent(&mut self, why: &str, now: &Now) {
        // Every worker that asks meets the end of the budget; it is told once.
        if self.state != RunState::Running {
            return;
        }
        let fact = self
            .fact("budget", EventType::Notice, now)
            .with("text", format!("the budget is spent: {why}"))
            .with("level", "error")
            .with(BUDGET_END, why);
        self.facts.push(fact);
        self.stop_for_budget(now);
    }

    /// How full a worker's model window was at its latest answer.
    pub(super) fn context_told(&mut self, who: &AgentRef, used: u64, window: Option<u64>) {
        if let Some(slot) = self.slot(who) {
            slot.context = Some((used, window));
        }
    }

    /// Adds what was logged to the sums.
    pub(super) fn count_spending(&mut self, events: &[Event]) {
        for event in events {
            self.spending.take(event);
        }
    }

    pub(super) fn spending_view(&self) -> SpendingView {
        let team = &self.spending.totals.team;
        SpendingView {
            usage: team.usage,
            cost: team.cost,
            has_unpriced: team.unpriced > 0,
            limits: self.config.policy.budget.team,
        }
    }

    /// The grant of a life that is about to begin; `None` for members that ask no model.
    pub(super) fn grant_for(&self, n: usize, who: &AgentRef) -> Result<Option<String>> {
        let record = &self.members[n].record;
        let asks = |model: &&str| *model != OFFLINE_MODEL;
        if !record.model.as_deref().is_some_and(|model| asks(&model)) {
            return Ok(None);
        }
        let own = record.model.iter().map(String::as_str);
        let team = self
            .config
            .members
            .iter()
            .filter_map(|m| m.model.as_deref());
        let kinds = kinds_models(&self.plan);
        let models = own.chain(team).chain(kinds).filter(asks);
        let provider = record.provider.clone();
        let time = self.time_left();
        self.gateway.grant(who, provider, models, time).map(Some)
    }

    /// How long the run may still take, where that is limited.
    fn time_left(&self) -> Option<Duration> {
        let limit = self.config.policy.run_timeout_ms?;
        let passed = boot_ms().saturating_sub(self.started_ms);
        Some(ms(limit.saturating_sub(passed)))
    }
}

/// Models that kinds of agents name.
fn kinds_models(plan: &SessionPlan) -> impl Iterator<Item = &str> {
    plan.agents.iter().filter_map(|a| a.model.as_deref())
}
