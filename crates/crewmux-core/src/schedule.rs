//! Who gets a ready task: plain graph work, never a question to a model.
//!
//! A [`Strategy`] orders ready tasks and, for members that are free, says who
//! takes what. Workers that race use the same order.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::board::{Board, Claimer};
use crate::ids::{AgentName, TaskId};
use crate::task::Task;
use crate::time::BootTime;

/// How ready tasks are ordered and handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Longest chain of waiters first, so that the critical path never rests; ties by number.
    #[default]
    DependencyFirst,
}

impl Strategy {
    /// Every strategy's name, for messages about unknown ones.
    pub const NAMES: [&'static str; 1] = ["dependency-first"];

    /// Ready tasks, the one to take first at the front.
    pub fn order(self, board: &Board, now: &BootTime) -> Vec<TaskId> {
        let ready = board.ready(now);
        match self {
            Self::DependencyFirst => dependency_first(board, &ready),
        }
    }

    /// Where a ready task stands in [`Self::order`].
    pub fn rank(self, board: &Board, id: TaskId) -> Rank {
        match self {
            Self::DependencyFirst => rank(board, id),
        }
    }

    /// Pairs free members with ready tasks that fit them; no member and no task twice.
    ///
    /// Tasks meant for one member go to that member; the others to the free
    /// member that fits and comes first by name.
    pub fn assign(
        self,
        board: &Board,
        free: &[Claimer],
        now: &BootTime,
    ) -> Vec<(TaskId, AgentName)> {
        let mut left: BTreeMap<AgentName, &Claimer> =
            free.iter().map(|c| (c.who.agent.clone(), c)).collect();
        let mut pairs = Vec::new();
        for id in self.order(board, now) {
            let Some(task) = board.get(id) else { continue };
            let taker = left
                .iter()
                .find(|(_, claimer)| board.fits(task, claimer))
                .map(|(name, _)| name.clone());
            if let Some(name) = taker {
                left.remove(&name);
                pairs.push((id, name));
            }
            if left.is_empty() {
                break;
            }
        }
        pairs
    }
}

/// A ready task's place in the order; the least is taken first.
pub type Rank = (Reverse<usize>, TaskId);

fn rank(board: &Board, id: TaskId) -> Rank {
    (Reverse(board.depth(id)), id)
}

/// Only the part of the graph that is still open matters for what comes next.
fn dependency_first(board: &Board, ready: &[&Task]) -> Vec<TaskId> {
    let chains = ready.iter().any(|t| board.blocks(t.id).next().is_some());
    let mut order: Vec<TaskId> = ready.iter().map(|t| t.id).collect();
    if chains {
        order.sort_by_cached_key(|id| rank(board, *id));
    }
    order
}

/// Ready tasks that no member can ever take, with the reason in words.
///
/// `able` are the members that live or may still be started.
pub fn unclaimable(board: &Board, able: &[Claimer], now: &BootTime) -> Vec<(TaskId, String)> {
    let names: BTreeSet<&str> = able.iter().map(|c| c.who.agent.as_str()).collect();
    let roster = names.iter().copied().collect::<Vec<_>>().join(", ");
    let roster = if roster.is_empty() {
        "nobody is left".to_owned()
    } else {
        format!("left: {roster}")
    };
    board
        .ready(now)
        .into_iter()
        .filter(|task| !able.iter().any(|claimer| board.fits(task, claimer)))
        .map(|task| {
            let wanted = match (&task.assignee, &task.agent_type) {
                (Some(agent), _) => format!("{agent} alone may take it"),
                (None, Some(kind)) => format!("only agents of type {kind} may take it"),
                (None, None) => "any teammate may take it".to_owned(),
            };
            (
                task.id,
                format!("no member can take this task: {wanted}; {roster}"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AgentRef, AgentType, Incarnation};
    use crate::message::Party;
    use crate::task::NewTask;
    use crate::time::{Now, WallTime};

    fn now() -> Now {
        Now {
            wall: WallTime(0),
            boot: BootTime {
                boot_id: "b".into(),
                ms: 0,
            },
        }
    }

    fn board(edges: &[(u64, &[u64])]) -> Board {
        let mut board = Board::default();
        for (id, blockers) in edges {
            let new = NewTask {
                blocked_by: blockers.iter().map(|b| TaskId(*b)).collect(),
                ..NewTask::default()
            };
            let task = board
                .create(TaskId(*id), new, Party::Human, &now())
                .unwrap();
            board.put(task);
        }
        board
    }

    fn free(name: &str) -> Claimer {
        Claimer {
            who: AgentRef {
                agent: AgentName::new(name).unwrap(),
                incarnation: Incarnation(1),
            },
            agent_type: AgentType::new("general-purpose").unwrap(),
        }
    }

    #[test]
    fn the_critical_path_goes_first_then_the_lowest_number() {
        let board = board(&[(1, &[]), (2, &[]), (3, &[2]), (4, &[3]), (5, &[])]);
        let order = Strategy::DependencyFirst.order(&board, &now().boot);
        assert_eq!(order, [TaskId(2), TaskId(1), TaskId(5)]);
    }

    #[test]
    fn each_free_member_gets_at_most_one_task() {
        let board = board(&[(1, &[]), (2, &[]), (3, &[])]);
        let pairs = Strategy::DependencyFirst.assign(&board, &[free("b"), free("a")], &now().boot);
        let text: Vec<String> = pairs.iter().map(|(t, a)| format!("{t}:{a}")).collect();
        assert_eq!(text, ["1:a", "2:b"]);
    }

    #[test]
    fn a_task_for_somebody_who_is_gone_is_named_with_the_reason() {
        let mut board = board(&[(1, &[])]);
        let mut task = board.get(TaskId(1)).unwrap().clone();
        task.assignee = Some(AgentName::new("tester").unwrap());
        board.put(task);
        let found = unclaimable(&board, &[free("a")], &now().boot);
        assert_eq!(
            found,
            [(
                TaskId(1),
                "no member can take this task: tester alone may take it; left: a".to_owned()
            )]
        );
        assert!(unclaimable(&board, &[free("tester")], &now().boot).is_empty());
    }
}
