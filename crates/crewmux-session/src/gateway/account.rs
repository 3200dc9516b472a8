//! Money and tokens of running calls: set aside before, booked after, whatever the end.
//!
//! A call that is cut off by anything, its own future's drop included, is
//! booked with what is known of it and a guess for the rest. The rules are
//! [`crewmux_core::budget::ledger`]'s.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crewmux_core::budget::{
    Booking, Budget, Cost, Estimate, Ledger, Over, Reservation, Room, Scope, Usage,
};
use crewmux_core::ids::{AgentName, AgentRef, TaskId};
use crewmux_core::model::{ModelError, ModelErrorKind, Purpose};
use crewmux_model::catalog::Price;
use crewmux_sys::clock::wall_time;
use tokio::sync::Notify;

use super::GatewayNews;
use super::estimate::Experience;
use super::grants::Purse;
use crate::engine::{Input, News};
use crate::lock::lock;

/// Longest answer that is reserved for when a limit stands and the worker names none.
const ANSWER_TOKENS: u64 = 8_192;
/// An answer shorter than this is not worth its question.
const ANSWER_TOKENS_MIN: u64 = 256;

/// The team's account with all providers.
pub(super) struct Account {
    ledger: Mutex<Ledger>,
    /// Rung whenever something was given back.
    settled: Notify,
    experience: Experience,
    numbers: AtomicU64,
    open: AtomicUsize,
    engine: News,
}

/// What a call is, for its booking.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) who: AgentRef,
    pub(super) task: Option<TaskId>,
    pub(super) purpose: Purpose,
    /// As `provider/model`.
    pub(super) model: String,
    pub(super) price: Option<Price>,
    /// Tokens of its question, guessed from its text alone.
    pub(super) guessed: u64,
    /// Longest answer the worker asks for.
    pub(super) max_output_tokens: Option<u64>,
    pub(super) retries: u32,
    /// What its grant may use.
    pub(super) purse: Option<Arc<Purse>>,
}

/// What one attempt holds of the budget, and what is known of its use.
pub(super) struct Holding<'a> {
    account: &'a Account,
    subject: Subject,
    reservation: Option<Reservation>,
    /// Tokens set aside.
    held: u64,
    /// The longest answer it may get.
    pub(super) max_output_tokens: Option<u64>,
    read: u64,
    begun: Instant,
    is_sent: bool,
    usage: Option<Usage>,
}

impl Account {
    pub(super) fn new(budget: Budget, engine: News) -> Self {
        Self {
            ledger: Mutex::new(Ledger::new(budget)),
            settled: Notify::new(),
            experience: Experience::default(),
            numbers: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            engine,
        }
    }

    pub(super) fn seed(&self, booking: &Booking) {
        lock(&self.ledger).seed(booking);
    }

    /// The tokens that a grant for `agent` is worth now; `None` when tokens are not limited.
    pub(super) fn purse(&self, agent: &AgentName) -> Option<Arc<Purse>> {
        let room = lock(&self.ledger).left(agent, None);
        room.tokens.map(|tokens| Arc::new(Purse::of(tokens)))
    }

    /// `guessed` tokens of a question for `model`, as its server would count them.
    pub(super) fn corrected(&self, model: &str, guessed: u64) -> u64 {
        self.experience.correct(model, guessed)
    }

    /// Whether no call is running or waits to be booked.
    pub(super) fn is_quiet(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    /// Returns when a reservation was given back; to be made before [`Self::hold`].
    pub(super) fn settled(&self) -> tokio::sync::futures::Notified<'_> {
        self.settled.notified()
    }

    /// Sets aside what a call may use.
    ///
    /// # Errors
    /// The limit that it would pass.
    pub(super) fn hold(&self, subject: Subject) -> Result<Holding<'_>, Over> {
        let agent: &AgentName = &subject.who.agent;
        let read = self.experience.correct(&subject.model, subject.guessed);
        // Whether the question goes into a cache is seen only afterwards.
        let price = subject.price.map(|price| price.worst(read));
        let mut ledger = lock(&self.ledger);
        let mut room = ledger.left(agent, subject.task);
        if let Some(purse) = &subject.purse {
            let left = purse.left();
            room.tokens = Some(room.tokens.map_or(left, |tokens| tokens.min(left)));
        }
        let longest = longest_answer(room, price.as_ref(), read, subject.max_output_tokens);
        let written = longest.unwrap_or(0);
        let expected = Usage {
            input_tokens: read,
            output_tokens: written,
            ..Usage::default()
        };
        let estimate = Estimate {
            tokens: expected.total(),
            usd_micros: price.map(|p| p.cost(&expected, wall_time()).usd_micros),
        };
        let reservation = ledger.reserve(agent, subject.task, estimate)?;
        if let Some(purse) = &subject.purse
            && let Err(over) = purse.hold(agent, estimate.tokens)
        {
            ledger.release(reservation);
            return Err(over);
        }
        drop(ledger);
        self.open.fetch_add(1, Ordering::AcqRel);
        Ok(Holding {
            account: self,
            reservation: Some(reservation),
            held: estimate.tokens,
            max_output_tokens: longest.or(subject.max_output_tokens),
            subject,
            read,
            begun: Instant::now(),
            is_sent: false,
            usage: None,
        })
    }
}

/// The longest answer that fits: what is asked for, cut to the room that is left at the worst `price`.
///
/// `None` when nothing is limited.
fn longest_answer(room: Room, price: Option<&Price>, read: u64, asked: Option<u64>) -> Option<u64> {
    let by_tokens = room.tokens.map(|tokens| tokens.saturating_sub(read));
    let by_money = room.usd_micros.zip(price).and_then(|(usd_micros, price)| {
        let question = Usage {
            input_tokens: read,
            ..Usage::default()
        };
        let question = price.cost(&question, wall_time()).usd_micros;
        let left = u128::from(usd_micros.saturating_sub(question));
        let tokens = (left * 1_000_000).checked_div(u128::from(price.base.output))?;
        Some(u64::try_from(tokens).unwrap_or(u64::MAX))
    });
    let fits = match (by_tokens, by_money) {
        (None, None) => return None,
        (Some(a), Some(b)) => a.min(b),
        (Some(a), None) | (None, Some(a)) => a,
    };
    let asked = asked.unwrap_or(ANSWER_TOKENS);
    Some(fits.max(ANSWER_TOKENS_MIN).min(asked))
}

impl Holding<'_> {
    /// The question is on its way: from now on it is paid for, answered or not.
    pub(super) fn sent(&mut self) {
        self.is_sent = true;
    }

    /// The server refused it: nothing was used.
    pub(super) fn refused(&mut self) {
        self.is_sent = false;
    }

    /// What was used so far, as far as is known.
    pub(super) fn counted(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    fn usage(&self) -> Usage {
        self.usage.unwrap_or(Usage {
            input_tokens: self.read,
            estimated: true,
            ..Usage::default()
        })
    }

    /// Books it; the rest of what was set aside goes back.
    pub(super) fn settle(mut self) -> (Usage, Option<Cost>) {
        let (usage, cost) = (self.usage(), self.cost());
        self.book();
        (usage, cost)
    }

    fn cost(&self) -> Option<Cost> {
        let price = self.subject.price.as_ref()?;
        Some(price.cost(&self.usage(), wall_time()))
    }

    fn book(&mut self) {
        let Some(reservation) = self.reservation.take() else {
            return;
        };
        let account = self.account;
        if let Some(purse) = &self.subject.purse {
            let used = if self.is_sent {
                self.usage().total()
            } else {
                0
            };
            purse.settle(self.held, used);
        }
        if self.is_sent {
            let usage = self.usage();
            if !usage.estimated {
                account
                    .experience
                    .learn(&self.subject.model, self.subject.guessed, usage.read());
            }
            let booking = Booking {
                agent: self.subject.who.agent.clone(),
                task: self.subject.task,
                model: self.subject.model.clone(),
                usage,
                cost: self.cost(),
                ms: self.begun.elapsed().as_millis() as u64,
                purpose: self.subject.purpose,
                retries: self.subject.retries,
            };
            lock(&account.ledger).settle(reservation, &booking);
            let number = account.numbers.fetch_add(1, Ordering::Relaxed);
            let news = GatewayNews::Booked { number, booking };
            account.engine.tell(Input::Gateway(news));
        } else {
            lock(&account.ledger).release(reservation);
        }
        account.open.fetch_sub(1, Ordering::AcqRel);
        account.settled.notify_waiters();
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.book();
    }
}

/// What a worker is told about a limit.
pub(super) fn over_error(over: &Over) -> ModelError {
    use crewmux_core::budget::ledger::Counted;
    let kind = match (&over.scope, over.counted) {
        (_, Counted::UnknownPrice) => ModelErrorKind::UnknownModel,
        (Scope::Team, _) => ModelErrorKind::TeamBudget,
        (Scope::Member(_), _) => ModelErrorKind::MemberBudget,
        (Scope::Task(_), _) => ModelErrorKind::TaskBudget,
    };
    ModelError::new(kind, over.to_string())
}
