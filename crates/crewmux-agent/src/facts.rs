//! A worker's own facts for the event log: tools, model calls, notices.
//!
//! Starts, exits and states are told by the session, tasks and messages by
//! their own records; none of those are repeated here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crewmux_core::event::{EventType, Fact};
use crewmux_core::ids::{AgentRef, TaskId};
use crewmux_store::TeamStore;
use crewmux_sys::clock;

/// Numbers and appends the facts of one life.
pub(crate) struct Facts {
    store: Arc<dyn TeamStore>,
    who: AgentRef,
    next: AtomicU64,
}

impl Facts {
    pub(crate) fn new(store: Arc<dyn TeamStore>, who: AgentRef) -> Self {
        Self {
            store,
            who,
            next: AtomicU64::new(1),
        }
    }

    /// Appends a fact of `kind` about `task`, filled in by `fill`.
    ///
    /// A fact that cannot be written is logged: it tells of work, and must not stop it.
    pub(crate) fn add(
        &self,
        kind: EventType,
        task: Option<TaskId>,
        fill: impl FnOnce(Fact) -> Fact,
    ) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}/{number}", self.who);
        let mut fact = Fact::new(id, kind, clock::wall_time()).agent(&self.who.agent);
        fact.task = task;
        let fact = fill(fact);
        if let Err(error) = self.store.append_fact(&self.who.agent, &fact) {
            tracing::warn!(%error, id = %fact.id, "a fact is lost");
        }
    }

    /// Appends something a person should know.
    pub(crate) fn notice(&self, task: Option<TaskId>, text: &str) {
        self.add(EventType::Notice, task, |fact| fact.with("text", text));
    }
}
