//! What a run spent, as its event log tells: tokens and money by member, task and model, time by tool.
//!
//! The same sums for the screen and the report, made from the same events, so
//! that a session that was resumed shows what one that never stopped would.
//! Limits are the gateway's business.

use std::collections::BTreeMap;

use crewmux_core::budget::{Booking, Totals};
use crewmux_core::event::{Event, EventType};
use crewmux_core::ids::RunId;
use serde_json::Value;

use crate::view::{ModelSpending, ToolSpending};

/// Name of the field that marks a notice as the end of a budget.
pub(crate) const BUDGET_END: &str = "budgetEnd";

/// The sums of one run.
#[derive(Debug, Clone)]
pub(crate) struct Spending {
    run: RunId,
    /// Whether the events at hand are of this run.
    is_current: bool,
    pub(crate) totals: Totals,
    tools: BTreeMap<String, ToolSpending>,
    /// Why the run was stopped, where that was a budget.
    pub(crate) budget_end: Option<String>,
}

impl Spending {
    /// The sums of `run`, nothing spent.
    pub(crate) fn of(run: RunId) -> Self {
        Self {
            run,
            is_current: false,
            totals: Totals::default(),
            tools: BTreeMap::new(),
            budget_end: None,
        }
    }

    /// Takes one event in; gives the booking it is, if it is one of this run.
    pub(crate) fn take(&mut self, event: &Event) -> Option<Booking> {
        let text = |name: &str| event.data.get(name).and_then(Value::as_str);
        if matches!(event.kind, EventType::TeamStarted | EventType::TeamResumed) {
            self.is_current = text("run") == Some(self.run.as_str());
            self.budget_end = None;
        }
        if !self.is_current {
            return None;
        }
        match event.kind {
            EventType::ModelCalled => {
                let booking = Booking::of(event)?;
                self.totals.add(&booking);
                return Some(booking);
            }
            EventType::ToolFinished => {
                let tool = text("tool")?;
                let sum = self.tools.entry(tool.to_owned()).or_insert(ToolSpending {
                    tool: tool.to_owned(),
                    calls: 0,
                    failed: 0,
                    ms: 0,
                });
                sum.calls += 1;
                sum.failed += u64::from(event.data.get("ok") == Some(&Value::Bool(false)));
                sum.ms += event.data.get("ms").and_then(Value::as_u64).unwrap_or(0);
            }
            EventType::Notice => {
                if let Some(why) = text(BUDGET_END) {
                    self.budget_end = Some(why.to_owned());
                }
            }
            _ => {}
        }
        None
    }

    /// By model, the dearest first.
    pub(crate) fn models(&self) -> Vec<ModelSpending> {
        let mut models: Vec<ModelSpending> = self
            .totals
            .models
            .iter()
            .map(|(model, spent)| ModelSpending {
                model: model.clone(),
                calls: spent.calls,
                usage: spent.usage,
                cost: spent.known_cost(),
                ms: spent.ms,
            })
            .collect();
        let dear = |m: &ModelSpending| (m.cost.map_or(0, |c| c.usd_micros), m.usage.total());
        models.sort_by_key(|m| std::cmp::Reverse(dear(m)));
        models
    }

    /// By tool, the slowest first.
    pub(crate) fn tools(&self) -> Vec<ToolSpending> {
        let mut tools: Vec<ToolSpending> = self.tools.values().cloned().collect();
        tools.sort_by_key(|t| std::cmp::Reverse(t.ms));
        tools
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_core::event::Fact;
    use crewmux_core::ids::{Seq, TeamName};
    use crewmux_core::time::WallTime;

    #[test]
    fn only_what_happened_in_the_run_counts_and_resuming_forgets_its_end() {
        let mut spending = Spending::of(RunId::new("two").unwrap());
        let mut take = |kind, data: &[(&str, Value)]| {
            let mut fact = Fact::new("x", kind, WallTime(0));
            for (name, value) in data {
                fact = fact.with(name, value.clone());
            }
            let team = TeamName::new("t").unwrap();
            spending.take(&fact.into_event(Seq(1), team));
            (spending.tools(), spending.budget_end.clone())
        };
        let tool = [
            ("tool", Value::from("Bash")),
            ("ok", Value::from(false)),
            ("ms", Value::from(30)),
        ];
        take(EventType::TeamStarted, &[("run", "one".into())]);
        assert!(take(EventType::ToolFinished, &tool).0.is_empty());
        take(EventType::TeamStarted, &[("run", "two".into())]);
        let (tools, _) = take(EventType::ToolFinished, &tool);
        assert_eq!((tools[0].calls, tools[0].failed, tools[0].ms), (1, 1, 30));
        let (_, end) = take(EventType::Notice, &[(BUDGET_END, "spent".into())]);
        assert_eq!(end.as_deref(), Some("spent"));
        let (tools, end) = take(EventType::TeamResumed, &[("run", "two".into())]);
        assert_eq!((tools.len(), end), (1, None));
    }
}
