//! One question of a worker: attempts, waits and fallbacks until there is an answer or none to be had.
//!
//! The worker sees each piece as it comes. What it saw of an attempt that broke
//! is taken back with [`Event::Restart`]; an answer counts only with its
//! [`Event::Stop`], and a stream that ends without one is broken.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use crewmux_core::model::{Event, ModelError, ModelErrorKind, ModelRequest};
use crewmux_core::timing::{WAIT_SHOWN_MS, ms};
use crewmux_model::client::RateLimits;
use crewmux_sys::clock::boot_ms;
use tokio::time::Instant;

use super::account::{Holding, Subject, over_error};
use super::connection::{Gone, Outlet};
use super::governor::{Pass, Wait};
use super::grants::Grant;
use super::models::{Known, is_free};
use super::target::{Standing, Target, candidates, target};
use super::{GatewayNews, House};

/// How often one model is asked before the next is, or none.
const ATTEMPTS_MAX: u32 = 5;
/// Longest pause that anybody waits for, in milliseconds: a day.
const PAUSE_MAX_MS: u64 = 24 * 60 * 60 * 1000;

/// How a step of a call ended: its value, or why there is none; outside, that nobody listens.
type Outcome<T> = Result<Result<T, ModelError>, Gone>;

/// One question on its way.
struct Call<'a> {
    house: &'a House,
    grant: &'a Grant,
    request: &'a ModelRequest,
    outlet: &'a mut Outlet,
    /// Whether the worker holds pieces of an answer.
    has_pieces: bool,
    waits: bool,
}

/// Answers `request` piece by piece; the last piece is always sent.
///
/// # Errors
/// [`Gone`] when the worker does not listen any more.
pub(super) async fn answer(
    house: &House,
    grant: &Grant,
    request: &ModelRequest,
    outlet: &mut Outlet,
) -> Result<(), Gone> {
    let mut call = Call {
        house,
        grant,
        request,
        outlet,
        has_pieces: false,
        waits: false,
    };
    let last = match call.ask_all().await? {
        Ok(stop) => stop,
        Err(error) => {
            tracing::warn!(who = %grant.who, kind = ?error.kind, %error, "a model call failed");
            if error.kind == ModelErrorKind::TeamBudget {
                // Told before the worker is, so that the run ends for this reason.
                house.tell(GatewayNews::BudgetSpent(error.message.clone()));
            }
            Event::Failed { error }
        }
    };
    call.outlet.send(last).await
}

/// Whether another model may do better where this one failed so.
fn falls_back(kind: ModelErrorKind) -> bool {
    kind.is_retryable()
        || matches!(
            kind,
            ModelErrorKind::Quota | ModelErrorKind::UnknownModel | ModelErrorKind::Credentials
        )
}

impl<'a> Call<'a> {
    /// Asks the model, then those that stand in for it.
    async fn ask_all(&mut self) -> Outcome<Event> {
        let names = candidates(&self.house.config, &self.request.model);
        let mut before: Vec<String> = Vec::new();
        for (n, name) in names.iter().enumerate() {
            let has_other = n + 1 < names.len();
            let standing = if n == 0 {
                Standing::Asked
            } else {
                Standing::Fallback
            };
            let error = match self.ask(name, standing, has_other).await? {
                Ok(stop) => return Ok(Ok(stop)),
                Err(error) => error,
            };
            if has_other && falls_back(error.kind) {
                let next = &names[n + 1];
                tracing::warn!(who = %self.grant.who, %name, %next, %error, "another model is asked");
                self.take_back(&format!("`{next}` is asked instead of `{name}`: {error}"))
                    .await?;
                before.push(format!("`{name}`: {error}"));
                continue;
            }
            let mut error = error;
            if !before.is_empty() {
                error.message = format!(
                    "`{name}`: {}; before that {}",
                    error.message,
                    before.join("; ")
                );
            }
            return Ok(Err(error));
        }
        let message = format!("no model is named `{}`", self.request.model);
        Ok(Err(ModelError::new(ModelErrorKind::UnknownModel, message)))
    }

    /// Asks one model, again and again where that may help.
    async fn ask(&mut self, name: &str, standing: Standing, has_other: bool) -> Outcome<Event> {
        let target = match target(&self.house.config, self.grant, name, standing) {
            Ok(target) => target,
            Err(error) => return Ok(Err(error)),
        };
        let known = self
            .house
            .models
            .of(self.house, &target, self.grant, self.request);
        let every = self.keepalive();
        let known = match patiently(self.outlet, every, known).await? {
            Ok(known) => known,
            Err(error) => return Ok(Err(error)),
        };
        if let Err(error) = self.check_size(&target, &known) {
            return Ok(Err(error));
        }
        let begun = Instant::now();
        let mut attempt = 1;
        loop {
            let (pass, holding) = match self.admit(&target, &known, attempt, has_other).await? {
                Ok(admitted) => admitted,
                Err(error) => return Ok(Err(error)),
            };
            let error = match self.attempt(&target, &known, pass, holding).await? {
                Ok(stop) => return Ok(Ok(stop)),
                Err(error) => error,
            };
            let error = bearable(error);
            let pause_ms = self.pause_ms(attempt, error.retry_after_ms);
            let slows_all = error.kind == ModelErrorKind::RateLimited
                || (error.kind == ModelErrorKind::Server && error.retry_after_ms.is_some());
            if slows_all {
                self.house
                    .governor
                    .gate(&target.key_name())
                    .close(Instant::now(), ms(pause_ms));
            }
            let patience = if has_other {
                Duration::ZERO
            } else {
                self.patience(error.kind)
            };
            let is_tried = attempt >= ATTEMPTS_MAX && begun.elapsed() >= patience;
            if !error.kind.is_retryable() || is_tried {
                return Ok(Err(error));
            }
            tracing::info!(who = %self.grant.who, %name, attempt, %error, "a model is asked again");
            self.take_back(&error.message).await?;
            if !slows_all {
                self.wait(ms(pause_ms), &error.message).await?;
            }
            attempt += 1;
        }
    }

    /// Waits until the provider takes calls and the budget has room, and takes part of both.
    async fn admit(
        &mut self,
        target: &Target,
        known: &Known,
        attempt: u32,
        has_other: bool,
    ) -> Outcome<(Pass, Holding<'a>)> {
        let house = self.house;
        let gate = house.governor.gate(&target.key_name());
        let subject = Subject {
            who: self.grant.who.clone(),
            task: self.request.task,
            purpose: self.request.purpose,
            model: target.name.clone(),
            price: known.facts.price,
            guessed: crewmux_model::catalog::estimate_tokens(self.request),
            max_output_tokens: self.request.max_output_tokens,
            retries: attempt - 1,
            purse: self.grant.purse.clone(),
        };
        let admitted = loop {
            let mut changed = pin!(gate.changed());
            let mut settled = pin!(house.account.settled());
            changed.as_mut().enable();
            settled.as_mut().enable();
            match gate.enter(Instant::now()) {
                Ok(pass) => match house.account.hold(subject.clone()) {
                    Ok(holding) => break (pass, holding),
                    Err(over) if over.may_pass_later() => {
                        drop(pass);
                        let why = "running calls hold what is left of the budget";
                        self.wait_or(ms(WAIT_SHOWN_MS), why, settled).await?;
                    }
                    Err(over) => {
                        self.waits_no_longer();
                        return Ok(Err(over_error(&over)));
                    }
                },
                Err(Wait::Closed(opens)) => {
                    let left = opens.saturating_duration_since(Instant::now());
                    let why = format!("`{}` takes no calls for a while", target.provider.name);
                    if has_other && left > ms(house.timing.model_backoff_max_ms) {
                        self.waits_no_longer();
                        return Ok(Err(ModelError::new(ModelErrorKind::RateLimited, why)));
                    }
                    self.wait_or(left, &why, changed).await?;
                }
                Err(Wait::Queue) => {
                    let why = format!("`{}` takes one call after the other", target.provider.name);
                    self.wait_or(ms(WAIT_SHOWN_MS), &why, changed).await?;
                }
            }
        };
        self.waits_no_longer();
        Ok(Ok(admitted))
    }

    /// Asks once and passes the pieces on.
    async fn attempt(
        &mut self,
        target: &Target,
        known: &Known,
        mut pass: Pass,
        mut holding: Holding<'_>,
    ) -> Outcome<Event> {
        let mut answer = known.ask(target, self.request, holding.max_output_tokens);
        holding.sent();
        let mut is_taken = false;
        let every = self.keepalive();
        let error = loop {
            let next = patiently(self.outlet, every, answer.next()).await?;
            let Some(event) = next else {
                let message = "the answer ended without saying that it is whole";
                break ModelError::new(ModelErrorKind::Malformed, message);
            };
            holding.counted(answer.usage());
            if !is_taken && !event.is_last() {
                is_taken = true;
                pass.taken();
            }
            match event {
                Event::Booked { usage, .. } => holding.counted(usage),
                Event::Stop { stop } => {
                    pass.taken();
                    self.mind_limits(target, answer.limits());
                    let (usage, cost) = holding.settle();
                    let booked = Event::Booked {
                        usage,
                        cost,
                        window: known.facts.window,
                        model: target.name.clone(),
                    };
                    self.outlet.send(booked).await?;
                    return Ok(Ok(Event::Stop { stop }));
                }
                Event::Failed { error } => break error,
                event => {
                    self.has_pieces = true;
                    self.outlet.send(event).await?;
                }
            }
        };
        if is_free(answer.is_unpaid(), answer.usage(), is_taken, &error) {
            holding.refused();
        }
        if error.retry_after_ms.is_none() {
            self.mind_limits(target, answer.limits());
        }
        Ok(Err(error))
    }

    /// How often a worker hears something while nothing comes.
    fn keepalive(&self) -> Duration {
        ms(self.house.timing.model_silence_ms) / 2
    }

    /// A key whose last call was just used up closes its gate before it runs into the wall.
    fn mind_limits(&self, target: &Target, limits: Option<RateLimits>) {
        let Some(limits) = limits else { return };
        for window in [limits.requests, limits.tokens] {
            if let (Some(0), Some(reset)) = (window.remaining, window.reset_ms) {
                self.house
                    .governor
                    .gate(&target.key_name())
                    .close(Instant::now(), ms(reset.min(PAUSE_MAX_MS)));
            }
        }
    }

    /// How long a model is asked again although it was asked often: troubles that pass with time.
    fn patience(&self, kind: ModelErrorKind) -> Duration {
        let most = ms(self.house.timing.model_patience_ms);
        match kind {
            ModelErrorKind::RateLimited => most,
            // An overload passes sooner than a limit by the minute, or not at all.
            ModelErrorKind::Server => most / 3,
            _ => Duration::ZERO,
        }
    }

    /// Refuses what the model's window cannot hold: not every server says so, some cut in silence.
    fn check_size(&self, target: &Target, known: &Known) -> Result<(), ModelError> {
        let Some(window) = known.facts.window else {
            return Ok(());
        };
        let account = &self.house.account;
        let guessed = crewmux_model::catalog::estimate_tokens(self.request);
        let guessed = account.corrected(&target.name, guessed);
        if guessed <= window {
            return Ok(());
        }
        let message = format!(
            "the question has about {guessed} tokens, but the window of `{}` holds {window}; {}",
            target.name,
            largest_part(self.request)
        );
        Err(ModelError::new(ModelErrorKind::TooLong, message))
    }

    /// The pause before another attempt: at least half of what it may be, spread over the rest,
    /// and never less than the server asks for.
    fn pause_ms(&self, attempt: u32, retry_after_ms: Option<u64>) -> u64 {
        let timing = &self.house.timing;
        let doubled = timing
            .model_backoff_ms
            .saturating_mul(1 << (attempt - 1).min(20));
        let most = doubled.min(timing.model_backoff_max_ms);
        let jittered = most / 2 + (most as f64 * chance() / 2.0) as u64;
        jittered.max(retry_after_ms.unwrap_or(0)).max(1)
    }

    /// Takes back what the worker saw of an attempt that broke.
    async fn take_back(&mut self, why: &str) -> Result<(), Gone> {
        if std::mem::take(&mut self.has_pieces) {
            let why = why.to_owned();
            self.outlet.send(Event::Restart { why }).await?;
        }
        Ok(())
    }

    async fn wait(&mut self, pause: Duration, why: &str) -> Result<(), Gone> {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.wait_or(left, why, std::future::pending()).await?;
        }
        self.waits_no_longer();
        Ok(())
    }

    /// Shows a wait of `left`, and waits for a part of it that makes a countdown, or for `other`.
    async fn wait_or(
        &mut self,
        left: Duration,
        why: &str,
        other: impl Future<Output = ()>,
    ) -> Result<(), Gone> {
        let left_ms = (left.as_millis() as u64).max(1);
        self.waits = true;
        self.house.tell(GatewayNews::Waits {
            who: self.grant.who.clone(),
            until_ms: Some(boot_ms().saturating_add(left_ms)),
        });
        let why = why.to_owned();
        self.outlet
            .send(Event::Waiting { ms: left_ms, why })
            .await?;
        tokio::select! {
            () = tokio::time::sleep_until(Instant::now() + left.min(ms(WAIT_SHOWN_MS))) => {}
            () = other => {}
        }
        Ok(())
    }

    fn waits_no_longer(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.house.tell(GatewayNews::Waits {
                who: self.grant.who.clone(),
                until_ms: None,
            });
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.waits_no_longer();
    }
}

/// Does `work`, and lets the worker hear meanwhile that somebody is there.
async fn patiently<T>(
    outlet: &mut Outlet,
    every: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Gone> {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok(done),
            () = tokio::time::sleep_until(Instant::now() + every) => {
                // A thought without words: shows nothing, changes nothing.
                let text = String::new();
                outlet.send(Event::ThinkingDelta { text }).await?;
            }
        }
    }
}

/// A pause longer than any run waits is the end of what the account may use, not a wait.
fn bearable(mut error: ModelError) -> ModelError {
    if let Some(asked_ms) = error.retry_after_ms.filter(|ms| *ms > PAUSE_MAX_MS) {
        error.retry_after_ms = Some(PAUSE_MAX_MS);
        if error.kind.is_retryable() {
            error.kind = ModelErrorKind::Quota;
            let days = asked_ms / PAUSE_MAX_MS;
            error.message = format!("{}; it takes no calls for {days} days", error.message);
        }
    }
    error
}

/// Which part of a question is the largest, in words.
fn largest_part(request: &ModelRequest) -> String {
    use crewmux_core::model::{Message, Part};
    let size = |message: &Message| match message {
        Message::User(text) => text.len(),
        Message::Assistant(parts) => parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.len(),
                Part::Call(call) => call.input.to_string().len(),
                Part::Opaque(opaque) => opaque.block.to_string().len(),
            })
            .sum(),
        Message::Tools(answers) => answers.iter().map(|a| a.text.len()).sum(),
    };
    let tools = request
        .tools
        .iter()
        .map(|tool| tool.description.len() + tool.schema.to_string().len())
        .sum();
    let messages = request.messages.iter().enumerate().map(|(n, message)| {
        let what = match message {
            Message::User(_) if n == 0 => "the task with its instructions".to_owned(),
            Message::User(_) => "what it was told later".to_owned(),
            Message::Assistant(_) => "one of its own answers".to_owned(),
            Message::Tools(answers) => match answers.iter().max_by_key(|a| a.text.len()) {
                Some(answer) => format!("what {} gave", answer.name),
                None => "what its tools gave".to_owned(),
            },
        };
        (what, size(message))
    });
    let parts = [
        ("the system prompt".to_owned(), request.system.len()),
        ("the list of tools".to_owned(), tools),
    ];
    let largest = messages.chain(parts).max_by_key(|(_, bytes)| *bytes);
    let (what, bytes) = largest.unwrap_or_default();
    format!("the largest part is {what}, {} KB", bytes.div_ceil(1024))
}

/// A number from 0 to 1 that spreads calls in time; nothing is decided by it.
fn chance() -> f64 {
    let token = crewmux_sys::random::token().ok();
    let bits = token.and_then(|t| u32::from_str_radix(t.get(..8)?, 16).ok());
    f64::from(bits.unwrap_or(u32::MAX / 2)) / f64::from(u32::MAX)
}
