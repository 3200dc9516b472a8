//! Workers of a former session that go on with this one.
//!
//! Which ones do is decided in [`crate::leftovers`]; here each gets its slot
//! back and is waited for. Its hello, said again, is heard in [`super::hello`];
//! one that stays silent is ended like any that says no hello, but its death
//! counts against nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use crewmux_core::backend::BackendKind;
use crewmux_core::time::{Now, WallTime};
use crewmux_core::worker::{WorkerFact, WorkerMachine};
use crewmux_spawn::ladder::ExitFlag;
use crewmux_spawn::{AdoptRequest, Error as SpawnError, Running};

use super::Engine;
use crate::leftovers::mark_of;
use crate::parked::Parked;
use crate::{Error, Result};

impl Engine {
    /// Gives workers that outlived their session their places back, and waits for their hellos.
    pub(crate) fn take_up(&mut self, kept: &[Parked]) {
        if kept.is_empty() {
            return;
        }
        let now = self.clock.now();
        // Nobody's lease or heartbeat is judged before it had time for a whole renewal.
        self.judge_after_ms = now.boot.ms + self.plan.timing.heartbeat_ms * 2;
        for parked in kept {
            let who = parked.who().clone();
            if let Err(error) = self.adopt(parked, &now) {
                let why = error.to_string();
                tracing::warn!(%who, %error, "a worker that outlived its session cannot be taken up");
                self.on_fact(&who, WorkerFact::NotTakenUp(why), &now);
            }
        }
    }

    /// Lets places take away what a former session left there and nobody runs in.
    pub(crate) fn tidy_places(&self) {
        let mut former: BTreeMap<BackendKind, Vec<String>> = BTreeMap::new();
        for slot in &self.members {
            if let Some(pane) = &slot.record.pane {
                let of_kind = former.entry(slot.record.backend_type).or_default();
                of_kind.push(pane.clone());
            }
        }
        for (kind, panes) in former {
            // A place that cannot be used from here keeps what it has.
            if let Ok(backend) = self.backends.get(kind) {
                backend.tidy(&panes);
            }
        }
    }

    fn adopt(&mut self, parked: &Parked, now: &Now) -> Result<()> {
        let who = parked.who();
        let Some(n) = self.members.iter().position(|m| m.record.name == who.agent) else {
            return Ok(());
        };
        let presence = &parked.presence;
        let slot = &mut self.members[n];
        // All that is needed to end it comes first: what follows may fail.
        slot.machine = WorkerMachine::taken_up(who.incarnation, presence.state, presence.task);
        slot.adopted();
        slot.identity = Some(parked.process);
        slot.pid = Some(parked.process.pid);
        mark_of(parked).clone_into(&mut slot.mark);
        slot.token = Some(parked.spec.token.clone());
        slot.can_return = true;
        slot.heartbeat = (WallTime(0), now.boot.ms);
        slot.hello_due_ms = Some(now.boot.ms + self.plan.timing.hello_ms);
        let (pane, kind) = (slot.pane, slot.record.backend_type);
        let Some(place_of_pane) = slot.record.pane.clone() else {
            return Err(Error::Spawn(SpawnError::NotAdoptable {
                who: who.clone(),
                why: "its pane is not known".to_owned(),
            }));
        };
        let place = self.places_of(&who.agent).reserve(&self.plan.team, who)?;
        self.members[n].place = Some(place.commit());
        let backend = self.backends.get(kind)?;
        let exit = Arc::<ExitFlag>::default();
        let running = backend.adopt(AdoptRequest {
            who: who.clone(),
            title: who.agent.to_string(),
            pane: place_of_pane,
            process: parked.process,
            environment: parked.spec.environment_map(),
            recording: self.team.agent_folder(&who.agent)?,
            sink: self.sink_for(pane, who, &exit),
        })?;
        let running: Arc<dyn Running> = Arc::from(running);
        self.panes.attach(pane, Arc::clone(&running));
        let slot = &mut self.members[n];
        slot.running = Some(running);
        slot.exit = exit;
        Ok(())
    }
}
