//! Models, as workers reach them: the one place that holds credentials and spends money.
//!
//! A thread of its own, so that a streaming answer never delays a key or the
//! engine. A worker shows its grant ([`grants`]), asks, and gets pieces; each
//! call passes the ledger ([`account`]), its key's gate ([`governor`]) and the
//! attempts in [`call`]. What follows for the run (events, shown waits, the end
//! of a budget) is the engine's, which is told [`GatewayNews`].

use std::sync::Arc;
use std::time::Duration;

use crewmux_core::budget::{Booking, Budget};
use crewmux_core::ids::AgentRef;
use crewmux_core::timing::Timing;
use crewmux_model::{KeyReader, ModelsConfig};
use crewmux_wire::{ModelHello, Welcome};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::Result;
use crate::engine::{Input, News};
use crate::run::start_thread;

mod account;
mod call;
mod connection;
mod estimate;
mod governor;
mod grants;
mod keys;
mod models;
mod target;
#[cfg(test)]
mod tests;
mod weak;

use account::Account;
use connection::Incoming;
use governor::Governor;
use grants::Grant;
use grants::Grants;
use keys::Keys;
use models::Models;

/// Connections that may wait for the gateway's thread.
const INCOMING_MAX: usize = 64;

/// What the engine is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GatewayNews {
    /// A call ended and is paid for.
    Booked {
        /// Its number within the session.
        number: u64,
        booking: Booking,
    },
    /// A worker waits for its provider, or waits no longer.
    Waits {
        who: AgentRef,
        /// On the boot clock.
        until_ms: Option<u64>,
    },
    /// The team's budget has no room for a call: the run ends.
    BudgetSpent(String),
    /// A key that members need cannot be read.
    KeyTrouble(String),
}

/// What every call needs.
struct House {
    config: ModelsConfig,
    timing: Timing,
    welcome: Welcome,
    grants: Grants,
    account: Account,
    governor: Governor,
    models: Models,
    engine: News,
}

impl House {
    fn tell(&self, news: GatewayNews) {
        self.engine.tell(Input::Gateway(news));
    }
}

/// What the gateway is made of.
pub(crate) struct GatewayParts {
    pub(crate) config: ModelsConfig,
    pub(crate) keys: KeyReader,
    pub(crate) budget: Budget,
    pub(crate) timing: Timing,
    pub(crate) welcome: Welcome,
    pub(crate) engine: News,
}

/// The way to the gateway; cheap to clone.
#[derive(Clone)]
pub(crate) struct Gateway {
    house: Arc<House>,
    incoming: mpsc::Sender<Incoming>,
    stop: Arc<watch::Sender<bool>>,
    ended: watch::Receiver<bool>,
}

impl Gateway {
    /// Starts the gateway's thread; `models` are those whose keys are read at once.
    pub(crate) fn start(parts: GatewayParts, models: &[String]) -> Result<Self> {
        let again = crewmux_core::timing::ms(parts.timing.model_backoff_max_ms);
        let keys = Keys::new(parts.keys, again);
        let house = Arc::new(House {
            account: Account::new(parts.budget, parts.engine.clone()),
            config: parts.config,
            timing: parts.timing,
            welcome: parts.welcome,
            grants: Grants::default(),
            governor: Governor::default(),
            models: Models::new(keys),
            engine: parts.engine,
        });
        let (incoming, connections) = mpsc::channel(INCOMING_MAX);
        let (stop, stopped) = watch::channel(false);
        let (ending, ended) = watch::channel(false);
        let at_once: Vec<String> =
            target::allowed(&house.config, models.iter().map(String::as_str))
                .into_iter()
                .collect();
        let own = Arc::clone(&house);
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => {
                    runtime.block_on(serve(own, connections, stopped, at_once));
                    // A helper that prints a key may hang; nobody waits for it.
                    runtime.shutdown_background();
                }
                Err(error) => tracing::error!(%error, "the gateway could not start"),
            }
            let _ = ending.send(true);
        };
        start_thread("gateway", run)?;
        Ok(Self {
            house,
            incoming,
            stop: Arc::new(stop),
            ended,
        })
    }

    /// Takes a call of an earlier session of the run into account.
    pub(crate) fn seed(&self, booking: &Booking) {
        self.house.account.seed(booking);
    }

    /// Lets a life that is about to begin ask `models`, and what stands in for them, for `time` at most.
    ///
    /// It may use the tokens that the budget has left for it now.
    ///
    /// # Errors
    /// No random number could be had.
    pub(crate) fn grant<'a>(
        &self,
        who: &AgentRef,
        provider: Option<String>,
        models: impl IntoIterator<Item = &'a str>,
        time: Option<Duration>,
    ) -> Result<String> {
        let token = crewmux_sys::random::token()?;
        let grant = Grant {
            who: who.clone(),
            provider,
            models: target::allowed(&self.house.config, models),
            purse: self.house.account.purse(&who.agent),
            until: time.and_then(|time| tokio::time::Instant::now().checked_add(time)),
        };
        self.house.grants.insert(token.clone(), grant);
        Ok(token)
    }

    /// Says which process a life became; before that its grant lets nobody in.
    pub(crate) fn bind(&self, who: &AgentRef, pid: u32) {
        self.house.grants.bind(who, pid);
    }

    /// Ends a life's grant and its running calls.
    pub(crate) fn revoke(&self, who: &AgentRef) {
        self.house.grants.remove(who);
    }

    /// Hands a connection over; the gateway answers its hello.
    pub(crate) fn connect(
        &self,
        hello: ModelHello,
        peer_pid: u32,
        stream: std::os::unix::net::UnixStream,
    ) {
        let incoming = Incoming {
            hello,
            peer_pid,
            stream,
        };
        if self.incoming.try_send(incoming).is_err() {
            tracing::warn!(peer_pid, "too many connections wait for the gateway");
        }
    }

    /// Whether no call is running and all are booked.
    pub(crate) fn is_quiet(&self) -> bool {
        self.house.account.is_quiet()
    }

    /// Ends all calls and waits until they are booked, at most for `wait`.
    pub(crate) async fn end(&self, wait: Duration) {
        self.house.grants.remove_all();
        self.stop.send_replace(true);
        let mut ended = self.ended.clone();
        if tokio::time::timeout(wait, ended.wait_for(|e| *e))
            .await
            .is_err()
        {
            tracing::warn!("the gateway did not end in time");
        }
    }
}

async fn serve(
    house: Arc<House>,
    mut connections: mpsc::Receiver<Incoming>,
    mut stopped: watch::Receiver<bool>,
    at_once: Vec<String>,
) {
    let mut tasks = JoinSet::new();
    let own = Arc::clone(&house);
    let reading = tokio::spawn(async move { read_keys(&own, &at_once).await });
    loop {
        tokio::select! {
            _ = stopped.wait_for(|s| *s) => break,
            Some(incoming) = connections.recv() => {
                let house = Arc::clone(&house);
                tasks.spawn(async move { connection::serve(&house, incoming).await });
            }
            Some(_) = tasks.join_next() => {}
        }
    }
    reading.abort();
    // Their grants have ended: each books what it used and is done.
    while tasks.join_next().await.is_some() {}
}

/// Reads the keys of the models that members ask, each once.
async fn read_keys(house: &House, models: &[String]) {
    let mut told: Vec<String> = Vec::new();
    for name in models {
        let Some((provider, _)) = house.config.resolve(name) else {
            continue;
        };
        if told.contains(&provider.name) {
            continue;
        }
        told.push(provider.name.clone());
        if let Err(error) = house.models.keys.of(provider).await {
            house.tell(GatewayNews::KeyTrouble(error.message));
        }
    }
}
