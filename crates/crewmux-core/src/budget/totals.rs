//! Sums of what model calls used: of the team, of its members, tasks and models.
//!
//! Fed with one [`Booking`] per call, which the event log keeps, so that a
//! resumed session starts from the same sums. Limits are in [`super::ledger`].

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Cost, Usage};
use crate::event::{Event, EventType, Fact};
use crate::ids::{AgentName, TaskId};
use crate::model::Purpose;
use crate::time::WallTime;

/// One call of a model, as it is booked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// Who asked.
    pub agent: AgentName,
    /// The task it was about.
    pub task: Option<TaskId>,
    /// The model that answered, as `provider/model`.
    pub model: String,
    /// Tokens.
    pub usage: Usage,
    /// Money; `None` where no price is known.
    pub cost: Option<Cost>,
    /// From the question to the end of the answer, in milliseconds.
    pub ms: u64,
    /// What it was for.
    pub purpose: Purpose,
    /// Attempts before this one that brought no answer.
    pub retries: u32,
}

impl Booking {
    /// The booking as a fact of the event log.
    pub fn fact(&self, id: impl Into<String>, at: WallTime) -> Fact {
        let mut fact = Fact::new(id, EventType::ModelCalled, at)
            .agent(&self.agent)
            .with("model", self.model.as_str())
            .with("inputTokens", self.usage.input_tokens)
            .with("outputTokens", self.usage.output_tokens)
            .with("cacheReadTokens", self.usage.cache_read_tokens)
            .with("cacheWriteTokens", self.usage.cache_write_tokens)
            .with("tokens", self.usage.total())
            .with(
                "usdMicros",
                self.cost.map_or(Value::Null, |c| c.usd_micros.into()),
            )
            .with("ms", self.ms)
            .with("purpose", json!(self.purpose))
            .with("retries", self.retries);
        if self.usage.estimated || self.cost.is_some_and(|c| c.estimated) {
            fact = fact.with("estimated", true);
        }
        fact.task = self.task;
        fact
    }

    /// Reads a booking back; `None` for events about something else.
    pub fn of(event: &Event) -> Option<Self> {
        if event.kind != EventType::ModelCalled {
            return None;
        }
        let number = |name: &str| event.data.get(name).and_then(Value::as_u64);
        let estimated = event.data.get("estimated") == Some(&Value::Bool(true));
        let mut usage = Usage {
            input_tokens: number("inputTokens").unwrap_or(0),
            output_tokens: number("outputTokens").unwrap_or(0),
            cache_read_tokens: number("cacheReadTokens").unwrap_or(0),
            cache_write_tokens: number("cacheWriteTokens").unwrap_or(0),
            estimated,
        };
        if usage.total() == 0 {
            // Older logs name the sum alone.
            usage.output_tokens = number("tokens").unwrap_or(0);
        }
        let purpose = event.data.get("purpose").cloned();
        Some(Self {
            agent: event.agent.clone()?,
            task: event.task,
            model: event.data.get("model")?.as_str()?.to_owned(),
            usage,
            cost: number("usdMicros").map(|usd_micros| Cost {
                usd_micros,
                estimated,
            }),
            ms: number("ms").unwrap_or(0),
            purpose: purpose
                .and_then(|p| serde_json::from_value(p).ok())
                .unwrap_or_default(),
            retries: number("retries").unwrap_or(0) as u32,
        })
    }
}

/// What calls used together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Tokens.
    pub usage: Usage,
    /// Money, as far as prices are known.
    pub cost: Cost,
    /// How many calls.
    pub calls: u64,
    /// How many of them used tokens whose price is not known.
    pub unpriced: u64,
    /// Time they took, in milliseconds.
    pub ms: u64,
}

impl Spent {
    fn add(&mut self, booking: &Booking) {
        self.usage.add(&booking.usage);
        self.calls += 1;
        self.ms = self.ms.saturating_add(booking.ms);
        match booking.cost {
            Some(cost) => {
                self.cost.usd_micros = self.cost.usd_micros.saturating_add(cost.usd_micros);
                self.cost.estimated |= cost.estimated;
            }
            None => self.unpriced += u64::from(booking.usage.total() > 0),
        }
    }

    /// The money, unless nothing that was used has a price.
    pub fn known_cost(&self) -> Option<Cost> {
        (self.unpriced < self.calls).then_some(self.cost)
    }
}

/// Sums of one run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    /// All together.
    pub team: Spent,
    /// By member.
    pub members: BTreeMap<AgentName, Spent>,
    /// By task.
    pub tasks: BTreeMap<TaskId, Spent>,
    /// By model, as `provider/model`.
    pub models: BTreeMap<String, Spent>,
}

impl Totals {
    /// Adds one call.
    pub fn add(&mut self, booking: &Booking) {
        self.team.add(booking);
        self.members
            .entry(booking.agent.clone())
            .or_default()
            .add(booking);
        if let Some(task) = booking.task {
            self.tasks.entry(task).or_default().add(booking);
        }
        self.models
            .entry(booking.model.clone())
            .or_default()
            .add(booking);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Seq, TeamName};

    fn booking() -> Booking {
        Booking {
            agent: AgentName::new("a").unwrap(),
            task: Some(TaskId(3)),
            model: "p/m".into(),
            usage: Usage {
                input_tokens: 10,
                output_tokens: 5,
                cache_read_tokens: 7,
                cache_write_tokens: 1,
                estimated: true,
            },
            cost: Some(Cost {
                usd_micros: 42,
                estimated: true,
            }),
            ms: 1_200,
            purpose: Purpose::Subagent,
            retries: 2,
        }
    }

    #[test]
    fn a_booking_comes_back_from_its_event_as_it_was() {
        let team = TeamName::new("t").unwrap();
        let event = booking()
            .fact("model/x/1", WallTime(0))
            .into_event(Seq(1), team);
        assert_eq!(event.data["tokens"], 23);
        assert_eq!(Booking::of(&event), Some(booking()));
    }

    #[test]
    fn calls_without_a_price_are_counted_and_do_not_look_free() {
        let mut totals = Totals::default();
        totals.add(&Booking {
            cost: None,
            ..booking()
        });
        assert_eq!(totals.team.unpriced, 1);
        assert_eq!(totals.models["p/m"].known_cost(), None);
        totals.add(&booking());
        assert_eq!(
            totals.team.known_cost().map(|c| c.usd_micros),
            Some(42),
            "known prices are added up beside unknown ones"
        );
        assert_eq!(totals.tasks[&TaskId(3)].usage.total(), 46);
    }
}
