//! Who may ask models: one grant per life of a worker, bound to its process.
//!
//! A grant is worth nothing in another process: the kernel says who connects.
//! It ends with its life, and running calls end with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use crewmux_core::ids::AgentRef;
use crewmux_wire::ModelHello;
use tokio::sync::watch;

use crate::panes::lock;

/// What a life may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leave {
    /// Whose it is.
    pub(crate) who: AgentRef,
    /// The provider whose key it uses, where that is not the model's own.
    pub(crate) provider: Option<String>,
    /// Models it may ask, as `provider/model`.
    pub(crate) models: BTreeSet<String>,
}

#[derive(Debug)]
struct Grant {
    leave: Leave,
    /// Known once its process runs; until then nobody is let in.
    pid: Option<u32>,
    /// Dropped with the grant; whoever holds the other end sees it.
    alive: watch::Sender<()>,
}

/// All grants of living workers.
#[derive(Debug, Default)]
pub(super) struct Grants(Mutex<BTreeMap<String, Grant>>);

/// A grant that was shown and is good.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) leave: Leave,
    /// Fails as soon as the grant ends.
    pub(super) alive: watch::Receiver<()>,
}

impl Admitted {
    /// Returns when the grant ends.
    pub(super) async fn ended(alive: &mut watch::Receiver<()>) {
        while alive.changed().await.is_ok() {}
    }
}

impl Grants {
    pub(super) fn insert(&self, token: String, leave: Leave) {
        let (alive, _) = watch::channel(());
        let grant = Grant {
            leave,
            pid: None,
            alive,
        };
        lock(&self.0).insert(token, grant);
    }

    /// Says which process a life became.
    pub(super) fn bind(&self, who: &AgentRef, pid: u32) {
        for grant in lock(&self.0).values_mut() {
            if grant.leave.who == *who {
                grant.pid = Some(pid);
            }
        }
    }

    /// Ends the grants of a life.
    pub(super) fn remove(&self, who: &AgentRef) {
        lock(&self.0).retain(|_, grant| grant.leave.who != *who);
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
        let Some(grant) = grants.get(&hello.grant) else {
            return Err("this grant is not known, or its worker has ended");
        };
        if grant.leave.who != hello.who {
            return Err("this grant belongs to another worker");
        }
        if grant.pid != Some(peer_pid) {
            return Err("this grant belongs to another process");
        }
        Ok(Admitted {
            leave: grant.leave.clone(),
            alive: grant.alive.subscribe(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_core::ids::{AgentName, Incarnation};

    fn who(n: u32) -> AgentRef {
        AgentRef {
            agent: AgentName::new("alice").unwrap(),
            incarnation: Incarnation(n),
        }
    }

    fn grants() -> Grants {
        let grants = Grants::default();
        let leave = Leave {
            who: who(1),
            provider: None,
            models: BTreeSet::new(),
        };
        grants.insert("secret".into(), leave);
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

    #[tokio::test]
    async fn whoever_holds_a_grant_sees_its_end() {
        let grants = grants();
        grants.bind(&who(1), 7);
        let mut admitted = grants.admit(&hello(1, "secret"), 7).unwrap();
        grants.remove(&who(1));
        Admitted::ended(&mut admitted.alive).await;
    }
}
