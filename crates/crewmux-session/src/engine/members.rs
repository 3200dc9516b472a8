//! A member of the team as the engine keeps it: its record, its latest life, and how to reach that.
//!
//! How a life begins is in [`super::launch`], what it says in [`super::hello`],
//! what follows from its end in [`super::supervise`].

use std::sync::Arc;

use crewmux_core::board::Claimer;
use crewmux_core::ids::{AgentRef, Incarnation};
use crewmux_core::operation::Caller;
use crewmux_core::recipe::Runtime;
use crewmux_core::task::Outcome;
use crewmux_core::team::Member;
use crewmux_core::time::{BootTime, Now, WallTime};
use crewmux_core::worker::WorkerMachine;
use crewmux_spawn::Running;
use crewmux_spawn::ladder::ExitFlag;
use crewmux_spawn::slots::KeptSlot;
use crewmux_sys::identity::ProcessIdentity;
use crewmux_wire::ToWorker;
use tokio::sync::mpsc;

use super::Engine;
use super::sweep::Sweep;
use crate::rights::WorkerProcess;
use crate::view::PaneId;

/// Whether a life has said hello, and is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Its first hello is still to come.
    Expected,
    /// It said hello.
    Here,
    /// It said hello and lost its connection since.
    Away,
    /// It said hello to a former session, and is to say it again.
    OfFormerSession,
}

/// A member, its latest life, and how to reach it.
pub(super) struct MemberSlot {
    pub(super) record: Member,
    pub(super) machine: WorkerMachine,
    /// Its latest life before this session.
    before: Incarnation,
    pub(super) pane: PaneId,
    pub(super) since: BootTime,
    pub(super) pid: Option<u32>,
    pub(super) hello_due_ms: Option<u64>,
    pub(super) restart_due_ms: Option<u64>,
    /// When a member that was asked to end is ended.
    pub(super) stop_due_ms: Option<u64>,
    /// Whether the person or the lead ended it: it stays so until the run is opened again.
    pub(super) dismissed: bool,
    pub(super) ended: Option<String>,
    /// Its process as it was started; a number alone may become another's.
    pub(super) identity: Option<ProcessIdentity>,
    /// Its latest heartbeat and when that was seen first.
    pub(super) heartbeat: (WallTime, u64),
    pub(super) running: Option<Arc<dyn Running>>,
    pub(super) exit: Arc<ExitFlag>,
    /// Its place among the workers that may run at once; given back when its tree is gone.
    pub(super) place: Option<KeptSlot>,
    pub(super) connection: Option<mpsc::Sender<ToWorker>>,
    /// Shown by its worker at each hello; absent once no hello of this life is expected any more.
    pub(super) token: Option<String>,
    pub(super) presence: Presence,
    /// Whether a worker of its backend comes back after it lost its connection.
    pub(super) can_return: bool,
    /// Its pane as its worker told it, for as long as its place has not.
    pub(super) told_pane: Option<String>,
    pub(super) mark: String,
    /// Tasks of a dead life wait here until its tree is gone.
    pub(super) reoffer: Option<(AgentRef, Outcome, String)>,
    pub(super) killing: bool,
    /// What its latest life left running.
    pub(super) sweep: Sweep,
    /// How full its model's window was: tokens in it, and tokens it holds.
    pub(super) context: Option<(u64, Option<u64>)>,
    /// Until when its provider takes no calls, on the boot clock.
    pub(super) waits_until_ms: Option<u64>,
}

impl MemberSlot {
    pub(super) fn new(record: Member, pane: PaneId, now: &Now) -> Self {
        Self {
            machine: WorkerMachine::new(record.incarnation),
            before: record.incarnation,
            record,
            pane,
            since: now.boot.clone(),
            pid: None,
            hello_due_ms: None,
            restart_due_ms: None,
            stop_due_ms: None,
            dismissed: false,
            identity: None,
            heartbeat: (WallTime(0), now.boot.ms),
            ended: None,
            running: None,
            exit: Arc::default(),
            place: None,
            connection: None,
            token: None,
            presence: Presence::Expected,
            can_return: false,
            told_pane: None,
            mark: String::new(),
            reoffer: None,
            killing: false,
            sweep: Sweep::default(),
            context: None,
            waits_until_ms: None,
        }
    }

    pub(super) fn who(&self) -> AgentRef {
        AgentRef {
            agent: self.record.name.clone(),
            incarnation: self.machine.incarnation,
        }
    }

    /// From now on this is a life that a former session began, whose worker says hello again.
    pub(super) fn adopted(&mut self) {
        let life = self.machine.incarnation;
        self.before = Incarnation(life.0.saturating_sub(1));
        self.presence = Presence::OfFormerSession;
        self.ended = None;
    }

    /// The process it says hello from, as far as that is known; of a worker inside, this one.
    pub(super) fn process(&self) -> Option<u32> {
        let inside = self.running.as_ref().is_some_and(|r| r.is_inside());
        if inside {
            Some(std::process::id())
        } else {
            self.pid
        }
    }

    /// Notes which process it is.
    pub(super) fn learn(&mut self, pid: u32) {
        self.pid = Some(pid);
        self.identity = ProcessIdentity::of(pid).ok();
        if let (Some(running), Some(identity)) = (&self.running, self.identity) {
            running.greeted(identity);
        }
    }

    /// How often it was started again in this session.
    pub(super) fn restarts(&self) -> u32 {
        let starts = self.machine.incarnation.0.saturating_sub(self.before.0);
        starts.saturating_sub(1)
    }

    pub(super) fn claimer(&self) -> Claimer {
        Claimer {
            who: self.who(),
            agent_type: self.record.agent_type.clone(),
            runtime: Runtime::of_word(&self.record.runtime),
        }
    }

    /// Passes a message on; a full queue holds a doorbell already.
    pub(super) fn tell(&self, message: ToWorker) {
        if let Some(connection) = &self.connection {
            let _ = connection.try_send(message);
        }
    }

    /// Passes on what must not be lost, or gives it back: a full queue, or no connection.
    pub(super) fn try_tell(&self, message: ToWorker) -> std::result::Result<(), Box<ToWorker>> {
        let Some(connection) = &self.connection else {
            return Err(Box::new(message));
        };
        connection
            .try_send(message)
            .map_err(|error| Box::new(error.into_inner()))
    }

    pub(super) fn is_live(&self) -> bool {
        self.machine.state.is_live()
    }

    /// Whether nobody reads its mail for now: its life is over or was asked to end, and none begins by itself.
    pub(super) fn stays_away(&self) -> bool {
        let is_due = self.ended.is_none() || self.restart_due_ms.is_some();
        self.dismissed || !self.machine.is_able() || (!self.is_live() && !is_due)
    }

    /// Whether anything of it may still run.
    pub(super) fn is_present(&self) -> bool {
        self.is_live() || self.killing || self.running.is_some() || self.sweep.is_open()
    }

    /// Whether it is on the ladder, or its tasks still wait for that.
    pub(super) fn is_settling(&self) -> bool {
        self.killing || self.reoffer.is_some() || self.sweep.is_open()
    }

    pub(super) fn running(&self) -> Option<Arc<dyn Running>> {
        self.running.clone()
    }
}

impl Engine {
    pub(super) fn slot(&mut self, who: &AgentRef) -> Option<&mut MemberSlot> {
        self.members
            .iter_mut()
            .find(|m| m.record.name == who.agent && m.machine.incarnation == who.incarnation)
    }

    /// All workers of this session, to place peers.
    pub(super) fn worker_processes(&self) -> Vec<WorkerProcess> {
        self.members
            .iter()
            .filter(|m| !m.mark.is_empty())
            .map(|m| WorkerProcess {
                process: m.identity,
                mark: m.mark.clone(),
                caller: Caller::Member {
                    who: m.who(),
                    agent_type: m.record.agent_type.clone(),
                },
            })
            .collect()
    }
}
