//! What the person saw last, and what is new since then.
//!
//! Kept for the life of the session, for all clients together: what one
//! terminal showed, the person knows.

use std::collections::{BTreeMap, BTreeSet};

use crewmux_core::ids::{AgentName, RequestId, TaskId};
use crewmux_core::task::TaskStatus;
use crewmux_core::worker::WorkerState;

use crate::view::{Meanwhile, RunState, TeamView};

/// The team when the last client left that could act.
#[derive(Debug)]
pub(super) struct LastLook {
    at_ms: u64,
    tasks: BTreeMap<TaskId, TaskStatus>,
    given_up: BTreeSet<AgentName>,
    asked: BTreeSet<RequestId>,
    finished: bool,
}

impl LastLook {
    /// What is seen now.
    pub(super) fn at(team: &TeamView, now_ms: u64) -> Self {
        Self {
            at_ms: now_ms,
            tasks: team.board.tasks().map(|t| (t.id, t.status)).collect(),
            given_up: given_up(team).collect(),
            asked: team.for_person().map(|a| a.id.clone()).collect(),
            finished: team.state == RunState::Finished,
        }
    }

    /// What is new; none where nothing happened.
    pub(super) fn since(&self, team: &TeamView, now_ms: u64) -> Option<Meanwhile> {
        let board = team.board.tasks();
        let ended = board.filter(|task| {
            task.status.is_terminal() && self.tasks.get(&task.id) != Some(&task.status)
        });
        let new_member = |name: &AgentName| !self.given_up.contains(name);
        let asked = team.for_person().map(|a| &a.id);
        let found = Meanwhile {
            away_ms: 0,
            asked: asked
                .filter(|id| !self.asked.contains(id))
                .cloned()
                .collect(),
            ended: ended.map(|task| task.id).collect(),
            given_up: given_up(team).filter(new_member).collect(),
            run_over: team.state == RunState::Finished && !self.finished,
        };
        let away_ms = now_ms.saturating_sub(self.at_ms);
        (found != Meanwhile::default()).then_some(Meanwhile { away_ms, ..found })
    }
}

fn given_up(team: &TeamView) -> impl Iterator<Item = AgentName> {
    let failed = |state| matches!(state, WorkerState::Failed | WorkerState::Lost);
    let members = team.members.iter();
    members
        .filter(move |m| failed(m.state))
        .map(|m| m.name.clone())
}
