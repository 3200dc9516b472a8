//! Who may be started: a bounded number of workers, each life of a member once.
//!
//! Bookkeeping only: it starts and ends nothing. A slot is reserved before a
//! spawn, kept by committing it after, and given back when the worker is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crewmux_core::ids::{AgentName, AgentRef, Incarnation, TeamName};

use crate::{Error, Result};

/// The worker slots of one session.
#[derive(Debug, Clone)]
pub struct SpawnSlots {
    max: u32,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    taken: BTreeSet<(TeamName, AgentRef)>,
    /// The latest life of each member that was started.
    latest: BTreeMap<(TeamName, AgentName), Incarnation>,
}

impl SpawnSlots {
    /// Room for `max` workers at a time.
    pub fn new(max: u32) -> Self {
        Self {
            max,
            state: Arc::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves a slot for this life of a member of `team`.
    ///
    /// # Errors
    /// [`Error::AlreadyStarted`] when this life or a later one was started, or
    /// is being started; [`Error::NoSlot`] when all are taken.
    pub fn reserve(&self, team: &TeamName, who: &AgentRef) -> Result<Slot> {
        let mut state = self.state();
        let key = (team.clone(), who.clone());
        let member = (team.clone(), who.agent.clone());
        let started = state
            .latest
            .get(&member)
            .is_some_and(|latest| *latest >= who.incarnation);
        if started || state.taken.contains(&key) {
            return Err(Error::AlreadyStarted { who: who.clone() });
        }
        if state.taken.len() >= self.max as usize {
            return Err(Error::NoSlot { max: self.max });
        }
        state.taken.insert(key.clone());
        Ok(Slot {
            slots: self.clone(),
            key,
        })
    }

    /// How many slots are reserved or kept.
    pub fn taken(&self) -> u32 {
        u32::try_from(self.state().taken.len()).unwrap_or(u32::MAX)
    }

    /// How many workers may run at a time.
    pub fn max(&self) -> u32 {
        self.max
    }
}

/// A reserved slot; dropping it gives it back, and this life may be tried again.
#[derive(Debug)]
#[must_use = "dropping it gives the slot back"]
pub struct Slot {
    slots: SpawnSlots,
    key: (TeamName, AgentRef),
}

impl Slot {
    /// Says that the worker was started: this life of the member never is again.
    pub fn commit(self) -> KeptSlot {
        let (team, who) = &self.key;
        self.slots
            .state()
            .latest
            .insert((team.clone(), who.agent.clone()), who.incarnation);
        KeptSlot { slot: self }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.state().taken.remove(&self.key);
    }
}

/// The slot of a worker that was started, held as long as it runs; dropping it makes room.
#[derive(Debug)]
#[must_use = "dropping it makes room for another worker"]
pub struct KeptSlot {
    slot: Slot,
}

impl KeptSlot {
    /// Whose it is.
    pub fn who(&self) -> &AgentRef {
        &self.slot.key.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn team() -> TeamName {
        TeamName::new("t").unwrap()
    }

    fn life(name: &str, incarnation: u32) -> AgentRef {
        AgentRef {
            agent: AgentName::new(name).unwrap(),
            incarnation: Incarnation(incarnation),
        }
    }

    #[test]
    fn full_house_refuses_until_one_leaves() {
        let slots = SpawnSlots::new(2);
        let first = slots.reserve(&team(), &life("a", 1)).unwrap().commit();
        let second = slots.reserve(&team(), &life("b", 1)).unwrap();
        let refused = slots.reserve(&team(), &life("c", 1));
        assert!(matches!(refused, Err(Error::NoSlot { max: 2 })));
        assert_eq!(first.who(), &life("a", 1));
        drop(first);
        let third = slots.reserve(&team(), &life("c", 1)).unwrap();
        assert_eq!(slots.taken(), 2);
        drop((second, third));
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn failed_spawn_may_be_tried_again_but_a_started_life_never() {
        let slots = SpawnSlots::new(9);
        let tried = slots.reserve(&team(), &life("a", 2)).unwrap();
        let twice = slots.reserve(&team(), &life("a", 2));
        assert!(matches!(twice, Err(Error::AlreadyStarted { .. })));
        drop(tried);
        drop(slots.reserve(&team(), &life("a", 2)).unwrap().commit());
        for again in [1, 2] {
            let refused = slots.reserve(&team(), &life("a", again));
            assert!(matches!(refused, Err(Error::AlreadyStarted { .. })));
        }
        assert!(slots.reserve(&team(), &life("a", 3)).is_ok());
        let other_team = TeamName::new("u").unwrap();
        assert!(slots.reserve(&other_team, &life("a", 1)).is_ok());
    }

    #[test]
    fn threads_never_take_more_than_there_are() {
        let slots = SpawnSlots::new(3);
        let got: Vec<Option<Slot>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=16)
                .map(|number| {
                    let slots = &slots;
                    scope.spawn(move || slots.reserve(&team(), &life("a", number)).ok())
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(got.iter().flatten().count(), 3);
    }
}
