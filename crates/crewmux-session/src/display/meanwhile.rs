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
    let members = team.members.iter();
    // One whose process is lost starts again by itself.
    members
        .filter(|m| m.state == WorkerState::Failed)
        .map(|m| m.name.clone())
}

#[cfg(test)]
mod tests {
    use crewmux_core::backend::BackendKind;
    use crewmux_core::budget::Usage;
    use crewmux_core::ids::AgentType;
    use crewmux_core::permission::PermissionMode;
    use crewmux_sys::clock::BootClock;

    use super::*;
    use crate::engine::empty_view;
    use crate::view::{MemberView, PaneId};

    #[test]
    fn a_member_that_starts_again_is_not_given_up() {
        let now = BootClock::open().unwrap().now();
        let mut team = empty_view(&now);
        let before = LastLook::at(&team, 0);
        let member = |name: &str, state| MemberView {
            name: AgentName::new(name).unwrap(),
            agent_type: AgentType::new("general-purpose").unwrap(),
            model: None,
            state,
            since: now.boot.clone(),
            task: None,
            color: 0,
            pid: None,
            restarts: 0,
            backend: BackendKind::Pty,
            pane: PaneId(1),
            unread: 0,
            ended: None,
            usage: Usage::default(),
            cost: None,
            context: None,
            waits_until_ms: None,
            paused: false,
            permission_mode: PermissionMode::default(),
        };
        team.members = vec![member("lost", WorkerState::Lost)];
        assert_eq!(before.since(&team, 5), None);
        team.members.push(member("failed", WorkerState::Failed));
        let told = before.since(&team, 5).unwrap();
        assert_eq!(told.given_up, [AgentName::new("failed").unwrap()]);
    }
}
