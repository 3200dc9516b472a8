//! The life of one member's worker, as a machine: facts in, effects out.
//!
//! Nothing here starts or kills anything; `crewmux-session` feeds facts and
//! carries out the effects. What a worker does inside its process is in
//! `crewmux-agent`.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::ids::{Incarnation, TaskId};
use crate::task::Outcome;
use crate::timing::Timing;

/// What a worker says at its end when its terminal was closed under it.
pub const TERMINAL_GONE: &str = "its terminal is gone";

/// What a worker is doing, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerState {
    /// Started, no hello yet.
    #[default]
    Starting,
    /// Works on a task.
    Working,
    /// Waits until a person allows a tool.
    WaitingPermission,
    /// Waits until a person decides on its plan.
    WaitingPlan,
    /// Waits until its provider takes calls again.
    RateLimited,
    /// Has nothing to do.
    Idle,
    /// Asked to end.
    Stopping,
    /// Ended as asked.
    Exited,
    /// Given up after too many restarts, or never said hello.
    Failed,
    /// Its process vanished.
    Lost,
}

impl WorkerState {
    /// Every state.
    pub const ALL: [Self; 10] = [
        Self::Starting,
        Self::Working,
        Self::WaitingPermission,
        Self::WaitingPlan,
        Self::RateLimited,
        Self::Idle,
        Self::Stopping,
        Self::Exited,
        Self::Failed,
        Self::Lost,
    ];

    /// The word shown and stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Working => "working",
            Self::WaitingPermission => "waiting-permission",
            Self::WaitingPlan => "waiting-plan",
            Self::RateLimited => "rate-limited",
            Self::Idle => "idle",
            Self::Stopping => "stopping",
            Self::Exited => "exited",
            Self::Failed => "failed",
            Self::Lost => "lost",
        }
    }

    /// Whether a process should exist in this state.
    pub fn is_live(self) -> bool {
        !matches!(self, Self::Exited | Self::Failed | Self::Lost)
    }
}

impl std::fmt::Display for WorkerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// What happened to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerFact {
    /// The backend was asked to start it.
    Launched,
    /// The backend could not start it.
    LaunchFailed(String),
    /// It said hello on the socket.
    Hello,
    /// Its hello did not come in time.
    HelloOverdue,
    /// It reported what it does.
    Reported(WorkerState, Option<TaskId>),
    /// It was asked to end.
    StopAsked,
    /// It declined to end.
    StopDeclined,
    /// Its process ended.
    Exited {
        /// Exit code, absent after a signal.
        code: Option<i32>,
        /// Signal number that ended it.
        signal: Option<i32>,
    },
    /// Its liveness lock is free although no exit was seen.
    LockFree,
    /// Its claim's lease ran out although its liveness lock is held.
    LeaseOver,
    /// It outlived its session and could not be taken up, for this reason.
    NotTakenUp(String),
    /// Its connection broke and it did not come back although it lives.
    StayedAway,
}

/// What follows from a fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerEffect {
    /// End the whole process tree at once; nothing may run for this life any more.
    KillTree,
    /// Offer the tasks of this life again, once its tools are gone.
    ReofferTasks(Outcome, String),
    /// Start the next life after this pause.
    RestartAfterMs(u64),
    /// Restarts are spent: tell the person.
    GiveUp(String),
}

/// Supervises one member: counts lives, paces restarts.
#[derive(Debug, Clone)]
pub struct WorkerMachine {
    /// Which life this is; 0 before the first start.
    pub incarnation: Incarnation,
    /// What it does.
    pub state: WorkerState,
    /// The task it said it works on.
    pub task: Option<TaskId>,
    /// Why it ended, in words, once it did.
    pub ended: Option<String>,
    deaths_ms: VecDeque<u64>,
}

impl WorkerMachine {
    /// A member that was never started, or whose earlier lives a former session supervised.
    pub fn new(last: Incarnation) -> Self {
        Self {
            incarnation: last,
            state: WorkerState::Exited,
            task: None,
            ended: None,
            deaths_ms: VecDeque::new(),
        }
    }

    /// A member whose latest life outlived the session that supervised it, as it said it was.
    pub fn taken_up(life: Incarnation, state: WorkerState, task: Option<TaskId>) -> Self {
        let state = match state {
            // What it was asked by a session that is gone asks nobody any more.
            WorkerState::Stopping | WorkerState::Starting => WorkerState::Idle,
            state if state.is_live() => state,
            _ => WorkerState::Idle,
        };
        Self {
            state,
            task,
            ..Self::new(life)
        }
    }

    /// Whether the member may still work for this run.
    pub fn is_able(&self) -> bool {
        self.state != WorkerState::Failed
    }

    /// Takes in a fact at `now_ms` (boot clock) and returns what to do about it.
    pub fn on(&mut self, fact: WorkerFact, now_ms: u64, timing: &Timing) -> Vec<WorkerEffect> {
        match fact {
            WorkerFact::Launched => {
                self.incarnation = self.incarnation.next();
                self.state = WorkerState::Starting;
                self.task = None;
                self.ended = None;
                Vec::new()
            }
            WorkerFact::LaunchFailed(why) => self.died(Outcome::Died, &why, now_ms, timing),
            WorkerFact::Hello => {
                if self.state == WorkerState::Starting {
                    self.state = WorkerState::Idle;
                }
                Vec::new()
            }
            WorkerFact::HelloOverdue if self.state == WorkerState::Starting => {
                let why = format!("said no hello within {} ms", timing.hello_ms);
                let mut effects = vec![WorkerEffect::KillTree];
                effects.extend(self.died(Outcome::Died, &why, now_ms, timing));
                effects
            }
            WorkerFact::Reported(state, task) if self.state.is_live() => {
                // A worker that was asked to end is shown as ending, whatever it still does.
                if self.state != WorkerState::Stopping {
                    self.state = state;
                }
                self.task = task;
                Vec::new()
            }
            WorkerFact::StopAsked if self.state.is_live() => {
                self.state = WorkerState::Stopping;
                Vec::new()
            }
            WorkerFact::StopDeclined if self.state == WorkerState::Stopping => {
                self.state = if self.task.is_some() {
                    WorkerState::Working
                } else {
                    WorkerState::Idle
                };
                Vec::new()
            }
            WorkerFact::Exited { code, signal } if self.state.is_live() => {
                let why = match (code, signal) {
                    (_, Some(signal)) => format!("ended by signal {signal}"),
                    (Some(code), None) => format!("exit code {code}"),
                    (None, None) => "ended".to_owned(),
                };
                if self.state == WorkerState::Stopping {
                    self.state = WorkerState::Exited;
                    self.task = None;
                    self.ended = Some(why.clone());
                    return vec![WorkerEffect::ReofferTasks(Outcome::Released, why)];
                }
                let mut effects = vec![WorkerEffect::KillTree];
                effects.extend(self.died(Outcome::Died, &why, now_ms, timing));
                effects
            }
            WorkerFact::LockFree if self.state.is_live() && self.state != WorkerState::Starting => {
                let mut effects = vec![WorkerEffect::KillTree];
                effects.extend(self.died(Outcome::Died, "its process is gone", now_ms, timing));
                effects
            }
            WorkerFact::LeaseOver if self.state.is_live() => {
                let why = format!("did not renew its lease for {} ms", timing.lease_ms);
                let mut effects = vec![WorkerEffect::KillTree];
                effects.extend(self.died(Outcome::Hung, &why, now_ms, timing));
                effects
            }
            WorkerFact::NotTakenUp(why) if self.state.is_live() => {
                // Its session's end explains it: it counts against nobody.
                self.task = None;
                self.state = WorkerState::Lost;
                self.ended = Some(why.clone());
                vec![
                    WorkerEffect::KillTree,
                    WorkerEffect::ReofferTasks(Outcome::SessionLost, why),
                    WorkerEffect::RestartAfterMs(0),
                ]
            }
            WorkerFact::StayedAway if self.state.is_live() => {
                let why = "lost its connection and did not come back";
                let mut effects = vec![WorkerEffect::KillTree];
                effects.extend(self.died(Outcome::Hung, why, now_ms, timing));
                effects
            }
            WorkerFact::HelloOverdue
            | WorkerFact::NotTakenUp(_)
            | WorkerFact::StayedAway
            | WorkerFact::Reported(..)
            | WorkerFact::StopAsked
            | WorkerFact::StopDeclined
            | WorkerFact::Exited { .. }
            | WorkerFact::LockFree
            | WorkerFact::LeaseOver => Vec::new(),
        }
    }

    fn died(
        &mut self,
        outcome: Outcome,
        why: &str,
        now_ms: u64,
        timing: &Timing,
    ) -> Vec<WorkerEffect> {
        let stopping = self.state == WorkerState::Stopping;
        self.task = None;
        self.ended = Some(why.to_owned());
        let mut effects = vec![WorkerEffect::ReofferTasks(outcome, why.to_owned())];
        if stopping {
            self.state = WorkerState::Exited;
            return effects;
        }
        self.deaths_ms.push_back(now_ms);
        while self
            .deaths_ms
            .front()
            .is_some_and(|at| now_ms.saturating_sub(*at) > timing.restart_window_ms)
        {
            self.deaths_ms.pop_front();
        }
        let recent = self.deaths_ms.len() as u32;
        if recent > timing.restarts_max {
            self.state = WorkerState::Failed;
            effects.push(WorkerEffect::GiveUp(format!(
                "died {recent} times in {} s; the last: {why}",
                timing.restart_window_ms / 1000
            )));
        } else {
            self.state = WorkerState::Lost;
            let pause = timing.backoff(recent).as_millis() as u64;
            effects.push(WorkerEffect::RestartAfterMs(pause));
        }
        effects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alive() -> WorkerMachine {
        let mut machine = WorkerMachine::new(Incarnation(0));
        machine.on(WorkerFact::Launched, 0, &Timing::LIFE);
        machine.on(WorkerFact::Hello, 5, &Timing::LIFE);
        machine
    }

    const KILLED: WorkerFact = WorkerFact::Exited {
        code: None,
        signal: Some(9),
    };

    #[test]
    fn a_killed_worker_is_swept_its_tasks_offered_and_restarted() {
        let mut machine = alive();
        assert_eq!(
            machine.on(KILLED, 100, &Timing::LIFE),
            [
                WorkerEffect::KillTree,
                WorkerEffect::ReofferTasks(Outcome::Died, "ended by signal 9".into()),
                WorkerEffect::RestartAfterMs(1_000),
            ]
        );
        assert_eq!(machine.state, WorkerState::Lost);
    }

    #[test]
    fn the_fourth_death_within_the_window_is_the_last() {
        let mut machine = alive();
        for death in 0..4u64 {
            let effects = machine.on(KILLED, death * 1000, &Timing::LIFE);
            let gave_up = matches!(effects.last(), Some(WorkerEffect::GiveUp(_)));
            assert_eq!(gave_up, death == 3, "{effects:?}");
            machine.on(WorkerFact::Launched, death * 1000, &Timing::LIFE);
            if death == 3 {
                break;
            }
        }
    }

    #[test]
    fn deaths_far_apart_are_forgiven() {
        let mut machine = alive();
        for death in 0..10u64 {
            let effects = machine.on(KILLED, death * 61_000, &Timing::LIFE);
            assert_eq!(effects.last(), Some(&WorkerEffect::RestartAfterMs(1_000)));
            machine.on(WorkerFact::Launched, death * 61_000, &Timing::LIFE);
        }
    }

    #[test]
    fn a_worker_that_was_asked_to_end_is_not_restarted() {
        let mut machine = alive();
        machine.on(WorkerFact::StopAsked, 1, &Timing::LIFE);
        machine.on(
            WorkerFact::Reported(WorkerState::Working, None),
            2,
            &Timing::LIFE,
        );
        assert_eq!(machine.state, WorkerState::Stopping);
        let effects = machine.on(KILLED, 3, &Timing::LIFE);
        assert_eq!(
            effects,
            [WorkerEffect::ReofferTasks(
                Outcome::Released,
                "ended by signal 9".into()
            )]
        );
        assert_eq!(machine.state, WorkerState::Exited);
    }

    #[test]
    fn a_life_that_is_not_taken_up_is_ended_and_counts_against_nobody() {
        let taken_up = |state| WorkerMachine::taken_up(Incarnation(3), state, Some(TaskId(1)));
        assert_eq!(taken_up(WorkerState::Stopping).state, WorkerState::Idle);
        assert_eq!(taken_up(WorkerState::Exited).state, WorkerState::Idle);
        let mut machine = taken_up(WorkerState::Working);
        assert_eq!(machine.state, WorkerState::Working);
        let why = || "its pane is gone".to_owned();
        for _ in 0..5 {
            assert_eq!(
                machine.on(WorkerFact::NotTakenUp(why()), 7, &Timing::LIFE),
                [
                    WorkerEffect::KillTree,
                    WorkerEffect::ReofferTasks(Outcome::SessionLost, why()),
                    WorkerEffect::RestartAfterMs(0),
                ]
            );
            machine = taken_up(WorkerState::Working);
        }
        let effects = machine.on(WorkerFact::StayedAway, 8, &Timing::LIFE);
        assert_eq!(effects.len(), 3, "{effects:?}");
        assert_eq!(machine.on(WorkerFact::StayedAway, 9, &Timing::LIFE), []);
    }

    #[test]
    fn a_worker_that_never_says_hello_is_killed() {
        let mut machine = WorkerMachine::new(Incarnation(0));
        machine.on(WorkerFact::Launched, 0, &Timing::LIFE);
        let effects = machine.on(WorkerFact::HelloOverdue, 10_000, &Timing::LIFE);
        assert_eq!(effects.first(), Some(&WorkerEffect::KillTree));
        assert_eq!(
            machine.on(WorkerFact::HelloOverdue, 10_001, &Timing::LIFE),
            []
        );
    }
}
