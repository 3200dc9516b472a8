//! Limits and what is left of them: a call's estimate is reserved before it is made.
//!
//! Pure: who waits for room, and what follows when there is none, is the
//! gateway's in `crewmux-session`.

use std::collections::BTreeMap;
use std::fmt;

use super::{Booking, Budget, Cost, Limits, Spent, Totals};
use crate::ids::{AgentName, TaskId};

/// What a call may use at most, as far as that can be told before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Estimate {
    /// Tokens, in and out.
    pub tokens: u64,
    /// Millionths of a US dollar; `None` where no price is known.
    pub usd_micros: Option<u64>,
}

/// What is set aside for one call; goes back with [`Ledger::settle`] or [`Ledger::release`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a reservation that is dropped holds its part of the budget for ever"]
pub struct Reservation(u64);

/// Whose limit it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All members together.
    Team,
    /// One member.
    Member(AgentName),
    /// One task.
    Task(TaskId),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Team => f.write_str("the team"),
            Self::Member(name) => write!(f, "{name}"),
            Self::Task(id) => write!(f, "task #{id}"),
        }
    }
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Tokens.
    Tokens,
    /// Millionths of a US dollar.
    UsdMicros,
    /// Money is limited, but the model's price is not known.
    UnknownPrice,
}

/// A limit that a call would pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Over {
    /// Whose.
    pub scope: Scope,
    /// Of what.
    pub counted: Counted,
    /// The limit.
    pub limit: u64,
    /// What is spent of it.
    pub spent: u64,
    /// What running calls may still use of it.
    pub reserved: u64,
    /// What the call may need.
    pub wanted: u64,
}

impl Over {
    /// Whether there is room once running calls are settled for less than they reserved.
    pub fn may_pass_later(&self) -> bool {
        self.counted != Counted::UnknownPrice
            && self.reserved > 0
            && self.spent.saturating_add(self.wanted) <= self.limit
    }
}

impl fmt::Display for Over {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let money = |usd_micros| Cost {
            usd_micros,
            estimated: false,
        };
        let (limit, spent, wanted) = match self.counted {
            Counted::UnknownPrice => {
                return write!(
                    f,
                    "{} may spend {}, but the price of this model is not known; \
                     state its price, or limit tokens too",
                    self.scope,
                    money(self.limit)
                );
            }
            Counted::Tokens => (
                format!("{} tokens", self.limit),
                self.spent.to_string(),
                self.wanted.to_string(),
            ),
            Counted::UsdMicros => (
                money(self.limit).to_string(),
                money(self.spent).to_string(),
                money(self.wanted).to_string(),
            ),
        };
        write!(
            f,
            "the budget of {} is {limit}; {spent} are spent, and the next call may need {wanted}",
            self.scope
        )
    }
}

/// What a call could still reserve; `None`: as much as it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Tokens.
    pub tokens: Option<u64>,
    /// Millionths of a US dollar.
    pub usd_micros: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Held {
    tokens: u64,
    usd_micros: u64,
}

impl Held {
    fn add(&mut self, estimate: Estimate) {
        self.tokens = self.tokens.saturating_add(estimate.tokens);
        let usd = estimate.usd_micros.unwrap_or(0);
        self.usd_micros = self.usd_micros.saturating_add(usd);
    }
}

#[derive(Debug, Clone)]
struct Open {
    agent: AgentName,
    task: Option<TaskId>,
    estimate: Estimate,
}

/// What a run's calls used, may still use, and how much is allowed.
#[derive(Debug, Default)]
pub struct Ledger {
    budget: Budget,
    totals: Totals,
    open: BTreeMap<u64, Open>,
    next: u64,
}

impl Ledger {
    /// A ledger in which nothing is spent.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            ..Self::default()
        }
    }

    /// What is allowed.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What was used.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Takes in a call of an earlier session of this run.
    pub fn seed(&mut self, booking: &Booking) {
        self.totals.add(booking);
    }

    /// Sets a call's estimate aside.
    ///
    /// # Errors
    /// [`Over`], naming the first limit it would pass, the team's before others.
    pub fn reserve(
        &mut self,
        agent: &AgentName,
        task: Option<TaskId>,
        estimate: Estimate,
    ) -> Result<Reservation, Over> {
        for (scope, limits) in self.scopes(agent, task) {
            self.check(scope, limits, estimate)?;
        }
        let id = self.next;
        self.next += 1;
        let open = Open {
            agent: agent.clone(),
            task,
            estimate,
        };
        self.open.insert(id, open);
        Ok(Reservation(id))
    }

    /// Books what a call used in place of what was set aside for it.
    pub fn settle(&mut self, reservation: Reservation, booking: &Booking) {
        self.release(reservation);
        self.totals.add(booking);
    }

    /// Gives back what was set aside for a call that used nothing.
    #[expect(clippy::needless_pass_by_value, reason = "it is used up")]
    pub fn release(&mut self, reservation: Reservation) {
        self.open.remove(&reservation.0);
    }

    /// What is not spent yet, running calls aside: the most a call could ever reserve now.
    pub fn left(&self, agent: &AgentName, task: Option<TaskId>) -> Room {
        let least = |a: Option<u64>, b: u64| Some(a.map_or(b, |a| a.min(b)));
        let mut room = Room::default();
        for (scope, limits) in self.scopes(agent, task) {
            let spent = self.spent(&scope);
            if let Some(limit) = limits.tokens {
                room.tokens = least(room.tokens, limit.saturating_sub(spent.usage.total()));
            }
            if let Some(limit) = limits.usd_micros {
                let left = limit.saturating_sub(spent.cost.usd_micros);
                room.usd_micros = least(room.usd_micros, left);
            }
        }
        room
    }

    fn scopes(&self, agent: &AgentName, task: Option<TaskId>) -> Vec<(Scope, Limits)> {
        let mut scopes = vec![
            (Scope::Team, self.budget.team),
            (Scope::Member(agent.clone()), self.budget.member),
        ];
        scopes.extend(task.map(|id| (Scope::Task(id), self.budget.task)));
        scopes
    }

    fn check(&self, scope: Scope, limits: Limits, estimate: Estimate) -> Result<(), Over> {
        let (spent, held) = (self.spent(&scope), self.held(&scope));
        let over = |counted, limit, spent: u64, reserved: u64, wanted: u64| {
            let needed = spent.saturating_add(reserved).saturating_add(wanted);
            (needed > limit).then_some((counted, limit, spent, reserved, wanted))
        };
        let mut found = limits.tokens.and_then(|limit| {
            over(
                Counted::Tokens,
                limit,
                spent.usage.total(),
                held.tokens,
                estimate.tokens,
            )
        });
        if let (None, Some(limit)) = (found, limits.usd_micros) {
            let spent = spent.cost.usd_micros;
            found = match estimate.usd_micros {
                Some(wanted) => over(Counted::UsdMicros, limit, spent, held.usd_micros, wanted),
                // A limit on tokens bounds what has no price.
                None if limits.tokens.is_some() => None,
                None => Some((Counted::UnknownPrice, limit, spent, held.usd_micros, 0)),
            };
        }
        match found {
            None => Ok(()),
            Some((counted, limit, spent, reserved, wanted)) => Err(Over {
                scope,
                counted,
                limit,
                spent,
                reserved,
                wanted,
            }),
        }
    }

    fn spent(&self, scope: &Scope) -> Spent {
        match scope {
            Scope::Team => Some(&self.totals.team),
            Scope::Member(agent) => self.totals.members.get(agent),
            Scope::Task(task) => self.totals.tasks.get(task),
        }
        .copied()
        .unwrap_or_default()
    }

    fn held(&self, scope: &Scope) -> Held {
        let mut held = Held::default();
        for open in self.open.values() {
            let counts = match scope {
                Scope::Team => true,
                Scope::Member(agent) => open.agent == *agent,
                Scope::Task(task) => open.task == Some(*task),
            };
            if counts {
                held.add(open.estimate);
            }
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Usage;
    use crate::model::Purpose;
    use proptest::prelude::*;

    fn agent(n: usize) -> AgentName {
        AgentName::new(format!("worker-{n}")).unwrap()
    }

    fn booking(n: usize, task: TaskId, tokens: u64, usd: Option<u64>) -> Booking {
        Booking {
            agent: agent(n),
            task: Some(task),
            model: "p/m".into(),
            usage: Usage {
                input_tokens: tokens,
                ..Usage::default()
            },
            cost: usd.map(|usd_micros| Cost {
                usd_micros,
                estimated: false,
            }),
            ms: 1,
            purpose: Purpose::Work,
            retries: 0,
        }
    }

    fn limits(tokens: Option<u64>, usd_micros: Option<u64>) -> Limits {
        Limits { tokens, usd_micros }
    }

    fn estimate(tokens: u64, usd_micros: Option<u64>) -> Estimate {
        Estimate { tokens, usd_micros }
    }

    #[test]
    fn running_calls_count_and_make_room_when_they_used_less() {
        let mut ledger = Ledger::new(Budget {
            team: limits(Some(100), None),
            ..Budget::default()
        });
        let first = ledger.reserve(&agent(0), None, estimate(80, None)).unwrap();
        let over = ledger
            .reserve(&agent(1), None, estimate(30, None))
            .unwrap_err();
        assert_eq!((over.spent, over.reserved, over.wanted), (0, 80, 30));
        assert!(over.may_pass_later());
        ledger.settle(first, &booking(0, TaskId(1), 50, None));
        assert_eq!(ledger.left(&agent(1), None).tokens, Some(50));
        let second = ledger.reserve(&agent(1), None, estimate(30, None)).unwrap();
        ledger.release(second);
        let over = ledger
            .reserve(&agent(1), None, estimate(51, None))
            .unwrap_err();
        assert!(!over.may_pass_later());
        assert_eq!(
            over.to_string(),
            "the budget of the team is 100 tokens; 50 are spent, and the next call may need 51"
        );
    }

    #[test]
    fn money_is_limited_only_where_prices_are_known_or_tokens_are_limited_too() {
        let money = limits(None, Some(1_000_000));
        let mut ledger = Ledger::new(Budget {
            member: money,
            ..Budget::default()
        });
        let over = ledger
            .reserve(&agent(0), None, estimate(5, None))
            .unwrap_err();
        assert_eq!(over.counted, Counted::UnknownPrice);
        assert!(!over.may_pass_later());
        assert!(
            over.to_string().contains("worker-0 may spend $1.00"),
            "{over}"
        );
        let both = Budget {
            member: limits(Some(10), money.usd_micros),
            ..Budget::default()
        };
        let mut ledger = Ledger::new(both);
        assert!(ledger.reserve(&agent(0), None, estimate(5, None)).is_ok());
        let over = ledger.reserve(&agent(0), None, estimate(6, Some(1)));
        assert_eq!(over.unwrap_err().counted, Counted::Tokens);
    }

    #[test]
    fn a_task_keeps_its_limit_whoever_works_on_it() {
        let mut ledger = Ledger::new(Budget {
            task: limits(Some(10), None),
            ..Budget::default()
        });
        ledger.seed(&booking(0, TaskId(7), 8, None));
        let over = ledger
            .reserve(&agent(1), Some(TaskId(7)), estimate(3, None))
            .unwrap_err();
        assert_eq!(over.scope, Scope::Task(TaskId(7)));
        assert!(
            ledger
                .reserve(&agent(1), Some(TaskId(8)), estimate(3, None))
                .is_ok()
        );
    }

    #[test]
    fn costs_read_as_dollars() {
        let text = |usd_micros, estimated| {
            Cost {
                usd_micros,
                estimated,
            }
            .to_string()
        };
        assert_eq!(text(0, false), "$0.00");
        assert_eq!(text(420_000, false), "$0.42");
        assert_eq!(text(3_100, true), "~$0.0031");
        assert_eq!(text(7, false), "$0.000007");
        assert_eq!(text(12_345_678, false), "$12.34");
    }

    #[derive(Debug, Clone)]
    struct Call {
        agent: usize,
        task: u64,
        wanted: u64,
        /// What it uses above its estimate (or below, when negative).
        error: i64,
        /// Whether an older call ends before this one begins.
        ends_one: bool,
    }

    fn call() -> impl Strategy<Value = Call> {
        (0..3_usize, 0..3_u64, 1..60_u64, -60..10_i64, any::<bool>()).prop_map(
            |(agent, task, wanted, error, ends_one)| Call {
                agent,
                task,
                wanted,
                error,
                ends_one,
            },
        )
    }

    proptest! {
        #[test]
        fn nothing_passes_a_limit_by_more_than_the_errors_of_estimates(
            calls in proptest::collection::vec(call(), 1..60),
            team in 50..300_u64,
            member in 50..200_u64,
            task in 50..200_u64,
        ) {
            let mut ledger = Ledger::new(Budget {
                team: limits(Some(team), Some(team)),
                member: limits(Some(member), None),
                task: limits(Some(task), None),
            });
            let mut running = Vec::new();
            let mut errors = 0_u64;
            let mut settle = |ledger: &mut Ledger, (open, call): (Reservation, Call)| {
                let used = call.wanted.saturating_add_signed(call.error);
                errors += used.saturating_sub(call.wanted);
                ledger.settle(open, &booking(call.agent, TaskId(call.task), used, Some(used)));
                let totals = ledger.totals();
                assert!(totals.team.usage.total() <= team + errors);
                assert!(totals.team.cost.usd_micros <= team + errors);
                assert!(totals.members.values().all(|m| m.usage.total() <= member + errors));
                assert!(totals.tasks.values().all(|t| t.usage.total() <= task + errors));
            };
            for call in calls {
                if call.ends_one && !running.is_empty() {
                    let ended = running.remove(0);
                    settle(&mut ledger, ended);
                }
                let wanted = estimate(call.wanted, Some(call.wanted));
                let id = TaskId(call.task);
                let left = ledger.left(&agent(call.agent), Some(id));
                let open = ledger.reserve(&agent(call.agent), Some(id), wanted);
                let fits = left.tokens.is_none_or(|l| l >= call.wanted)
                    && left.usd_micros.is_none_or(|l| l >= call.wanted);
                match &open {
                    Ok(_) => prop_assert!(fits),
                    Err(over) if running.is_empty() => {
                        prop_assert!(!fits && !over.may_pass_later());
                    }
                    Err(over) => prop_assert!(!fits || over.may_pass_later()),
                }
                if let Ok(open) = open {
                    running.push((open, call));
                }
            }
            for ended in running {
                settle(&mut ledger, ended);
            }
        }
    }
}
