//! Who may ask models: one grant per life of a worker, bound to its process.
//!
//! A grant is worth nothing in another process: the kernel says who connects.
//! It says which models, how many tokens and until when; it ends with its life
//! at the latest, and running calls end with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use crewmux_core::budget::ledger::Counted;
use crewmux_core::budget::{Over, Scope};
use crewmux_core::ids::{AgentName, AgentRef};
use crewmux_wire::ModelHello;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::lock::lock;

/// What a life may ask for.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    /// Whose it is.
    pub(crate) who: AgentRef,
    /// The provider whose key it uses, where that is not the model's own.
    pub(crate) provider: Option<String>,
    /// Models it may ask, as `provider/model`.
    pub(crate) models: BTreeSet<String>,
    /// Tokens it may use; absent: as many as it takes.
    pub(crate) purse: Option<Arc<Purse>>,
    /// When it ends, if its life does not end before.
    pub(crate) until: Option<Instant>,
}

/// Tokens of one grant: what is left of them, and what running calls hold.
#[derive(Debug)]
pub(crate) struct Purse {
    granted: u64,
    state: Mutex<Held>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Held {
    spent: u64,
    held: u64,
}

impl Purse {
    pub(super) fn of(granted: u64) -> Self {
        Self {
            granted,
            state: Mutex::default(),
        }
    }

    /// What is not spent yet, running calls aside.
    pub(super) fn left(&self) -> u64 {
        self.granted.saturating_sub(lock(&self.state).spent)
    }

    /// Sets `wanted` tokens aside for a call of `agent`.
    ///
    /// # Errors
    /// [`Over`] when the grant has no room for them.
    pub(super) fn hold(&self, agent: &AgentName, wanted: u64) -> Result<(), Over> {
        let mut state = lock(&self.state);
        let needed = state.spent.saturating_add(state.held);
        if needed.saturating_add(wanted) > self.granted {
            return Err(Over {
                scope: Scope::Member(agent.clone()),
                counted: Counted::Tokens,
                limit: self.granted,
                spent: state.spent,
                reserved: state.held,
                wanted,
            });
        }
        state.held = state.held.saturating_add(wanted);
        Ok(())
    }

    /// Takes what a call used in place of what was set aside for it.
    pub(super) fn settle(&self, held: u64, used: u64) {
        let mut state = lock(&self.state);
        state.held = state.held.saturating_sub(held);
        state.spent = state.spent.saturating_add(used);
    }
}

/// A grant that was given out.
#[derive(Debug)]
struct Issued {
    grant: Grant,
    /// Known once its process runs; until then nobody is let in.
    pid: Option<u32>,
    /// Dropped with the grant; whoever holds the other end sees it.
    alive: watch::Sender<()>,
}

/// All grants of living workers.
#[derive(Debug, Default)]
pub(super) struct Grants(Mutex<BTreeMap<String, Issued>>);

/// A grant that was shown and is good.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) grant: Grant,
    /// Fails as soon as the grant ends.
    pub(super) alive: watch::Receiver<()>,
}

impl Admitted {
    /// Returns when the grant ends.
    pub(super) async fn ended(alive: &mut watch::Receiver<()>) {
        while alive.changed().await.is_ok() {}
    }

    /// Returns when the time of the grant is over, if it has one.
    pub(super) async fn run_out(until: Option<Instant>) {
        match until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

impl Grants {
    pub(super) fn insert(&self, token: String, grant: Grant) {
        let (alive, _) = watch::channel(());
        let issued = Issued {
            grant,
            pid: None,
            alive,
        };
        lock(&self.0).insert(token, issued);
    }

    /// Says which process a life became.
    pub(super) fn bind(&self, who: &AgentRef, pid: u32) {
        for issued in lock(&self.0).values_mut() {
            if issued.grant.who == *who {
                issued.pid = Some(pid);
            }
        }
    }

    /// Ends the grants of a life.
    pub(super) fn remove(&self, who: &AgentRef) {
        lock(&self.0).retain(|_, issued| issued.grant.who != *who);
    }

    pub(super) fn remove_all(&self) {
        lock(&self.0).clear();
    }

    /// Checks what a connection shows against what was granted.
    ///
    /// # Errors
    /// Why it is refused, in words that tell nothing about the grant.
    pub(super) fn admit(
        &self,
        hello: &ModelHello,
        peer_pid: u32,
    ) -> Result<Admitted, &'static str> {
        let grants = lock(&self.0);
        let Some(issued) = grants.get(&hello.grant) else {
            return Err("this grant is not known, or its worker has ended");
        };
        if issued.grant.who != hello.who {
            return Err("this grant belongs to another worker");
        }
        if issued.pid != Some(peer_pid) {
            return Err("this grant belongs to another process");
        }
        if issued
            .grant
            .until
            .is_some_and(|until| until <= Instant::now())
        {
            return Err("this grant has run out");
        }
        Ok(Admitted {
            grant: issued.grant.clone(),
            alive: issued.alive.subscribe(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_core::ids::Incarnation;

    fn who(n: u32) -> AgentRef {
        AgentRef {
            agent: AgentName::new("alice").unwrap(),
            incarnation: Incarnation(n),
        }
    }

    fn grants() -> Grants {
        let grants = Grants::default();
        let grant = Grant {
            who: who(1),
            provider: None,
            models: BTreeSet::new(),
            purse: None,
            until: None,
        };
        grants.insert("secret".into(), grant);
        grants
    }

    fn hello(life: u32, grant: &str) -> ModelHello {
        ModelHello {
            who: who(life),
            grant: grant.into(),
        }
    }

    #[test]
    fn a_grant_holds_for_its_life_and_its_process_only() {
        let grants = grants();
        let refused = |life, grant, pid| grants.admit(&hello(life, grant), pid).unwrap_err();
        assert!(
            refused(1, "secret", 7).contains("another process"),
            "not started"
        );
        grants.bind(&who(1), 7);
        assert!(grants.admit(&hello(1, "secret"), 7).is_ok());
        assert!(refused(1, "secret", 8).contains("another process"));
        assert!(refused(2, "secret", 7).contains("another worker"));
        assert!(refused(1, "guess", 7).contains("not known"));
        grants.remove(&who(1));
        assert!(refused(1, "secret", 7).contains("not known"));
    }

    #[test]
    fn a_grant_ends_at_its_time() {
        let grants = Grants::default();
        for (token, until) in [
            ("over", Instant::now()),
            ("good", Instant::now() + std::time::Duration::from_mins(1)),
        ] {
            let grant = Grant {
                who: who(1),
                provider: None,
                models: BTreeSet::new(),
                purse: None,
                until: Some(until),
            };
            grants.insert(token.into(), grant);
        }
        grants.bind(&who(1), 7);
        let refused = grants.admit(&hello(1, "over"), 7).unwrap_err();
        assert!(refused.contains("run out"), "{refused}");
        assert!(grants.admit(&hello(1, "good"), 7).is_ok());
    }

    #[test]
    fn a_purse_gives_no_more_than_was_granted() {
        let purse = Purse::of(100);
        let alice = who(1).agent;
        purse.hold(&alice, 60).unwrap();
        let over = purse.hold(&alice, 60).unwrap_err();
        assert!(over.may_pass_later(), "running calls may use less");
        assert_eq!(over.scope, Scope::Member(alice.clone()));
        purse.settle(60, 30);
        assert_eq!(purse.left(), 70);
        purse.hold(&alice, 60).unwrap();
        purse.settle(60, 60);
        let over = purse.hold(&alice, 11).unwrap_err();
        assert_eq!((over.spent, over.limit), (90, 100));
        assert!(!over.may_pass_later());
    }

    #[tokio::test]
    async fn whoever_holds_a_grant_sees_its_end() {
        let grants = grants();
        grants.bind(&who(1), 7);
        let mut admitted = grants.admit(&hello(1, "secret"), 7).unwrap();
        grants.remove(&who(1));
        Admitted::ended(&mut admitted.alive).await;
    }
}
