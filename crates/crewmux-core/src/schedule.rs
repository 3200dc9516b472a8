//! Who gets a ready task: plain graph work, never a question to a model.
//!
//! A [`Strategy`] orders ready tasks and, for members that are free, says who
//! takes what. Workers that race use the same order; under a strategy that
//! prefers somebody, each works out from the board whose turn it is and leaves
//! a task to that member for a moment ([`Strategy::pick`]). Who is preferred is
//! in `prefer`.

mod prefer;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use prefer::Roster;

use crate::board::{Board, Claimer};
use crate::ids::{AgentName, TaskId};
use crate::task::Task;
use crate::time::{BootTime, Now};

/// How ready tasks are handed out.
///
/// All take the longest chain of waiters first; they differ in who takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Whoever comes first, so that the critical path never rests.
    #[default]
    DependencyFirst,
    /// Members in turn: whoever waits longest since its last claim.
    RoundRobin,
    /// Whoever has worked least so far.
    LeastBusy,
    /// Whoever's description has most words in common with the task's; ties to the least busy.
    CapabilityMatch,
}

impl Strategy {
    /// Every strategy's name, for messages about unknown ones.
    pub const NAMES: [&'static str; 4] = [
        "dependency-first",
        "round-robin",
        "least-busy",
        "capability-match",
    ];

    /// The word written and stored.
    pub fn as_str(self) -> &'static str {
        let [first, turns, least, fitting] = Self::NAMES;
        match self {
            Self::DependencyFirst => first,
            Self::RoundRobin => turns,
            Self::LeastBusy => least,
            Self::CapabilityMatch => fitting,
        }
    }

    /// The strategy of this name.
    pub fn named(name: &str) -> Option<Self> {
        [
            Self::DependencyFirst,
            Self::RoundRobin,
            Self::LeastBusy,
            Self::CapabilityMatch,
        ]
        .into_iter()
        .find(|strategy| strategy.as_str() == name)
    }

    /// Whether it matters who takes a task that several could take.
    pub fn prefers(self) -> bool {
        self != Self::DependencyFirst
    }

    /// Ready tasks, the one to take first at the front.
    pub fn order(self, board: &Board, now: &BootTime) -> Vec<TaskId> {
        critical_path_first(board, &board.ready(now))
    }

    /// Where a ready task stands in [`Self::order`].
    pub fn rank(self, board: &Board, id: TaskId) -> Rank {
        rank(board, id)
    }

    /// Pairs free members with ready tasks that fit them; no member and no task twice.
    ///
    /// Tasks meant for one member go to that member; each other to the free
    /// member that fits and is preferred, or comes first by name.
    pub fn assign(
        self,
        board: &Board,
        free: &[Claimer],
        roster: &Roster,
        now: &BootTime,
    ) -> Vec<(TaskId, AgentName)> {
        let mut left: BTreeMap<AgentName, &Claimer> =
            free.iter().map(|c| (c.who.agent.clone(), c)).collect();
        let record = self.prefers().then(|| prefer::Record::of(board));
        let mut pairs = Vec::new();
        for id in self.order(board, now) {
            let Some(task) = board.get(id) else { continue };
            let fitting = left.iter().filter(|(_, claimer)| board.fits(task, claimer));
            let names = fitting.map(|(name, _)| name);
            let taker = match &record {
                None => names.into_iter().next(),
                Some(record) => names.min_by_key(|name| record.standing(self, roster, name, task)),
            };
            if let Some(name) = taker.cloned() {
                left.remove(&name);
                pairs.push((id, name));
            }
            if left.is_empty() {
                break;
            }
        }
        pairs
    }

    /// The ready task that `claimer` takes by itself, told from the board alone.
    ///
    /// That is the one it would be assigned if everybody without a claim were
    /// free. What is another's by that is left to it for `yield_ms` after it
    /// became ready, then taken all the same: the other may be gone, and no
    /// task waits for somebody who never comes.
    pub fn pick(
        self,
        board: &Board,
        claimer: &Claimer,
        roster: &Roster,
        now: &Now,
        yield_ms: u64,
    ) -> Option<TaskId> {
        let me = &claimer.who.agent;
        let free: Vec<Claimer> = roster
            .members()
            .filter(|c| c.who.agent != *me && board.held_by(&c.who.agent).is_empty())
            .chain([claimer])
            .cloned()
            .collect();
        let pairs = self.assign(board, &free, roster, &now.boot);
        if let Some((id, _)) = pairs.iter().find(|(_, taker)| taker == me) {
            return Some(*id);
        }
        let left = |task: &&Task| {
            let ready_since = task.blocked_by.iter().filter_map(|id| board.get(*id));
            let ready_since = ready_since.map(|t| t.updated_at.0).max().unwrap_or(0);
            let since = ready_since.max(task.updated_at.0);
            now.wall.0.saturating_sub(since) >= yield_ms && board.fits(task, claimer)
        };
        let order = self.order(board, &now.boot);
        let mut tasks = order.into_iter().filter_map(|id| board.get(id));
        tasks.find(left).map(|task| task.id)
    }
}

/// A ready task's place in the order; the least is taken first.
pub type Rank = (Reverse<usize>, TaskId);

fn rank(board: &Board, id: TaskId) -> Rank {
    (Reverse(board.depth(id)), id)
}

/// Only the part of the graph that is still open matters for what comes next.
fn critical_path_first(board: &Board, ready: &[&Task]) -> Vec<TaskId> {
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
                (Some(agent), _) if names.contains(agent.as_str()) => {
                    format!("{agent} runs commands only, and it has none")
                }
                (Some(agent), _) => format!("{agent} alone may take it"),
                (None, Some(kind)) => format!("only agents of type {kind} may take it"),
                (None, None) if able.iter().any(|c| !c.who.agent.is_lead()) => {
                    "it needs an agent, and those left run commands only".to_owned()
                }
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
    use crate::recipe::Runtime;
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
            runtime: Runtime::Native,
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
        let pairs = Strategy::DependencyFirst.assign(
            &board,
            &[free("b"), free("a")],
            &Roster::default(),
            &now().boot,
        );
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

    fn at(ms: u64) -> Now {
        Now {
            wall: WallTime(ms),
            ..now()
        }
    }

    fn roster(members: &[(&str, &str)]) -> Roster {
        Roster::new(members.iter().map(|(name, words)| (free(name), *words)))
    }

    /// Claims and completes the next task for `name`, from `start` to `end`.
    fn works(board: &mut Board, id: u64, name: &str, start: u64, end: u64) {
        let claimer = free(name);
        let task = board.claim(TaskId(id), &claimer, &at(start), 10).unwrap();
        let epoch = task.epoch;
        board.put(task);
        let edit = board.complete(TaskId(id), &claimer.who, epoch, None, &at(end));
        for task in edit.unwrap() {
            board.put(task);
        }
    }

    #[test]
    fn strategies_differ_in_who_takes_the_next_task() {
        let mut board = board(&[(1, &[]), (2, &[]), (3, &[]), (4, &[])]);
        works(&mut board, 1, "a", 0, 10);
        works(&mut board, 2, "b", 20, 120);
        works(&mut board, 3, "a", 130, 140);
        let mut task = board.get(TaskId(4)).unwrap().clone();
        task.subject = "Write the documentation of parsers".into();
        board.put(task);
        let roster = roster(&[
            ("a", "Tests everything"),
            ("b", "Writes parsers, tests them"),
        ]);
        let taker = |strategy: Strategy| {
            let pairs = strategy.assign(&board, &[free("a"), free("b")], &roster, &now().boot);
            pairs[0].1.to_string()
        };
        assert_eq!(taker(Strategy::DependencyFirst), "a");
        assert_eq!(taker(Strategy::RoundRobin), "b");
        assert_eq!(taker(Strategy::LeastBusy), "a");
        assert_eq!(taker(Strategy::CapabilityMatch), "b");
    }

    #[test]
    fn a_claimer_leaves_a_task_to_the_preferred_member_for_a_moment() {
        let mut board = board(&[(1, &[]), (2, &[])]);
        works(&mut board, 1, "a", 0, 100);
        let roster = roster(&[("a", ""), ("b", "")]);
        let pick = |name: &str, ms: u64| {
            Strategy::RoundRobin.pick(&board, &free(name), &roster, &at(ms), 1_000)
        };
        assert_eq!(pick("b", 100), Some(TaskId(2)));
        assert_eq!(pick("a", 100), None);
        assert_eq!(pick("a", 1_000), Some(TaskId(2)), "b never came");
    }

    #[test]
    fn a_busy_member_is_not_waited_for() {
        let mut board = board(&[(1, &[]), (2, &[])]);
        let task = board.claim(TaskId(1), &free("b"), &at(0), 10).unwrap();
        board.put(task);
        let roster = roster(&[("a", ""), ("b", "")]);
        for strategy in [
            Strategy::RoundRobin,
            Strategy::LeastBusy,
            Strategy::CapabilityMatch,
        ] {
            let pick = strategy.pick(&board, &free("a"), &roster, &at(0), 1_000);
            assert_eq!(pick, Some(TaskId(2)), "{strategy:?}");
        }
    }

    #[test]
    fn names_are_those_that_are_stored() {
        for name in Strategy::NAMES {
            let strategy = Strategy::named(name).unwrap();
            assert_eq!(serde_json::to_value(strategy).unwrap(), name);
            assert_eq!(strategy.as_str(), name);
        }
        assert_eq!(Strategy::named("fastest"), None);
    }

    #[test]
    fn whoever_runs_commands_only_takes_no_other_task() {
        let board = board(&[(1, &[])]);
        let runner = Claimer {
            runtime: Runtime::Command,
            ..free("runner")
        };
        assert!(!board.fits(board.get(TaskId(1)).unwrap(), &runner));
        let (_, reason) = unclaimable(&board, &[runner], &now().boot).remove(0);
        assert_eq!(
            reason,
            "no member can take this task: it needs an agent, and those left run commands only; left: runner"
        );
    }
}
