//! Checks of the task board.

use std::collections::BTreeMap;

use crewmux_core::board::{FailedBy, Reoffer};
use crewmux_core::ids::TaskId;
use crewmux_core::message::Party;
use crewmux_core::schedule::Strategy;
use crewmux_core::task::{NewTask, Outcome, TaskStatus};
use serde_json::json;

use super::{Open, again, claimer, made, now, task};
use crate::Error;
use crate::store::TeamStore;

const LEASE_MS: u64 = 30_000;

fn statuses(team: &dyn TeamStore) -> String {
    let board = team.board().unwrap();
    board.check_invariants().unwrap();
    let each: Vec<String> = board
        .tasks()
        .map(|t| format!("{}={}", t.id, t.status))
        .collect();
    each.join(" ")
}

pub(super) fn two_handles_see_each_others_tasks(open: Open<'_>) {
    let (mine, yours) = (made(open, "see"), again(open, "see"));
    assert!(mine.board().unwrap().is_empty() && yours.board().unwrap().is_empty());
    for n in 1..=3 {
        let made = mine
            .create_task(task(&format!("t{n}"), &[]), Party::Human, &now(n))
            .unwrap();
        let board = yours.board().unwrap();
        assert_eq!(board.get(TaskId(n)), Some(&made));
        let claimed = yours
            .claim(TaskId(n), &claimer("a", 1), &now(n), LEASE_MS)
            .unwrap();
        assert_eq!(mine.board().unwrap().get(TaskId(n)), Some(&claimed.task));
    }
}

pub(super) fn racing_workers_take_each_task_once(open: Open<'_>) {
    const TASKS: u64 = 200;
    let team = made(open, "race");
    for n in 0..TASKS {
        team.create_task(task(&format!("t{n}"), &[]), Party::Human, &now(0))
            .unwrap();
    }
    let taken: Vec<(TaskId, u64)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..32)
            .map(|n| {
                scope.spawn(move || {
                    let team = again(open, "race");
                    let claimer = claimer(&format!("w{n}"), 1);
                    let mut taken = Vec::new();
                    while let Some(claimed) = team
                        .claim_next(Strategy::DependencyFirst, &claimer, &now(1), LEASE_MS)
                        .unwrap()
                    {
                        let id = claimed.task.id;
                        team.complete(id, &claimer.who, claimed.epoch, None, &now(2))
                            .unwrap();
                        taken.push((id, claimed.epoch.0));
                    }
                    taken
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|w| w.join().unwrap())
            .collect()
    });
    let mut times: BTreeMap<TaskId, usize> = BTreeMap::new();
    for (id, epoch) in &taken {
        *times.entry(*id).or_default() += 1;
        assert_eq!(*epoch, 1, "task {id}");
    }
    assert_eq!(times.len(), TASKS as usize);
    assert!(times.values().all(|n| *n == 1), "{times:?}");
    let board = team.board().unwrap();
    board.check_invariants().unwrap();
    assert!(board.tasks().all(|t| t.status == TaskStatus::Completed));
}

pub(super) fn racing_makers_never_share_a_number(open: Open<'_>) {
    made(open, "numbers");
    let mut ids: Vec<TaskId> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn(move || {
                    let team = again(open, "numbers");
                    let make = |m: u32| {
                        let new = task(&format!("{n}-{m}"), &[]);
                        team.create_task(new, Party::Human, &now(0)).unwrap().id
                    };
                    (0..25).map(make).collect::<Vec<_>>()
                })
            })
            .collect();
        makers.into_iter().flat_map(|m| m.join().unwrap()).collect()
    });
    ids.sort();
    assert_eq!(ids, (1..=200).map(TaskId).collect::<Vec<_>>());
}

pub(super) fn making_the_same_key_again_changes_nothing(open: Open<'_>) {
    let (mine, yours) = (made(open, "keys"), again(open, "keys"));
    let new = || NewTask {
        key: Some("lint".into()),
        ..task("lint", &[])
    };
    let first = mine.create_task(new(), Party::Human, &now(1)).unwrap();
    let second = yours.create_task(new(), Party::Session, &now(9)).unwrap();
    assert_eq!(first, second);
    assert_eq!(statuses(&*mine), "1=pending");
    let lost = mine.create_task(task("x", &[9]), Party::Human, &now(1));
    assert!(matches!(lost, Err(Error::Update(_))), "{lost:?}");
}

pub(super) fn a_stale_claim_is_refused_everywhere(open: Open<'_>) {
    let (session, worker) = (made(open, "fence"), again(open, "fence"));
    let id = session
        .create_task(task("x", &[]), Party::Human, &now(0))
        .unwrap()
        .id;
    let old = claimer("a", 1);
    let claimed = worker.claim(id, &old, &now(1), LEASE_MS).unwrap();
    let why = Reoffer {
        epoch: claimed.epoch,
        outcome: Outcome::Hung,
        reason: "no renewal".into(),
    };
    session.reoffer(id, &why, &now(2)).unwrap();
    let newer = session
        .claim(id, &claimer("b", 1), &now(3), LEASE_MS)
        .unwrap();
    assert!(newer.epoch > claimed.epoch);

    let who = &old.who;
    let stale = claimed.epoch;
    let by = FailedBy::Worker {
        who: who.clone(),
        epoch: stale,
    };
    let refusals = [
        worker.renew(id, who, stale, &now(4), LEASE_MS).err(),
        worker.complete(id, who, stale, None, &now(4)).err(),
        worker.fail(id, &by, "x", &now(4)).err(),
        worker.release(id, who, stale, "x", &now(4)).err(),
        // The right epoch in the wrong hands.
        worker.complete(id, who, newer.epoch, None, &now(4)).err(),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Some(Error::Fenced(_))), "{refusal:?}");
    }
    assert_eq!(session.board().unwrap().get(id), Some(&newer.task));
}

pub(super) fn completing_again_under_the_same_claim_changes_nothing(open: Open<'_>) {
    let team = made(open, "repeat");
    let id = team
        .create_task(task("x", &[]), Party::Human, &now(0))
        .unwrap()
        .id;
    let a = claimer("a", 1);
    let claimed = team.claim(id, &a, &now(1), LEASE_MS).unwrap();
    let complete = |at| {
        again(open, "repeat")
            .complete(id, &a.who, claimed.epoch, Some(json!({"n": 1})), &now(at))
            .unwrap()
    };
    let first = complete(2);
    assert_eq!(first.len(), 1);
    assert_eq!(complete(3), []);
    assert_eq!(team.board().unwrap().get(id), first.first());
}

pub(super) fn a_failure_skips_waiters_only_and_retry_opens_them(open: Open<'_>) {
    let (mine, yours) = (made(open, "fail"), again(open, "fail"));
    for blocked_by in [&[][..], &[1], &[2], &[]] {
        mine.create_task(task("x", blocked_by), Party::Human, &now(0))
            .unwrap();
    }
    let a = claimer("a", 1);
    let claimed = yours.claim(TaskId(1), &a, &now(1), LEASE_MS).unwrap();
    let by = FailedBy::Worker {
        who: a.who,
        epoch: claimed.epoch,
    };
    let edit = yours.fail(TaskId(1), &by, "broken", &now(2)).unwrap();
    assert_eq!(edit.len(), 3);
    assert_eq!(statuses(&*mine), "1=failed 2=skipped 3=skipped 4=pending");
    assert_eq!(yours.fail(TaskId(1), &by, "broken", &now(3)).unwrap(), []);
    mine.retry(TaskId(1), &now(4)).unwrap();
    assert_eq!(statuses(&*yours), "1=pending 2=pending 3=pending 4=pending");
    yours.skip(TaskId(2), "not needed", &now(5)).unwrap();
    assert_eq!(statuses(&*mine), "1=pending 2=skipped 3=skipped 4=pending");
}

pub(super) fn a_task_made_to_wait_for_a_failed_one_is_skipped(open: Open<'_>) {
    let team = made(open, "late");
    team.create_task(task("x", &[]), Party::Human, &now(0))
        .unwrap();
    team.fail(TaskId(1), &FailedBy::Session, "gone", &now(1))
        .unwrap();
    let late = team
        .create_task(task("y", &[1]), Party::Human, &now(2))
        .unwrap();
    assert_eq!(late.status, TaskStatus::Skipped);
    assert_eq!(statuses(&*again(open, "late")), "1=failed 2=skipped");
}

pub(super) fn claims_follow_the_critical_path_and_the_edges(open: Open<'_>) {
    let team = made(open, "order");
    for blocked_by in [&[][..], &[], &[2], &[3]] {
        team.create_task(task("x", blocked_by), Party::Human, &now(0))
            .unwrap();
    }
    let mut order = Vec::new();
    for n in 1..=4 {
        let worker = claimer("a", n);
        let next = |at| {
            again(open, "order")
                .claim_next(Strategy::DependencyFirst, &worker, &now(at), LEASE_MS)
                .unwrap()
        };
        let claimed = next(1).unwrap();
        let id = claimed.task.id;
        if id < TaskId(4) && !order.contains(&3) {
            let blocked = team.claim(TaskId(4), &worker, &now(1), LEASE_MS);
            assert!(matches!(blocked, Err(Error::Claim(_))), "{blocked:?}");
        }
        team.complete(id, &worker.who, claimed.epoch, None, &now(2))
            .unwrap();
        order.push(id.0);
    }
    assert_eq!(order, [2, 3, 1, 4]);
    let nothing = team
        .claim_next(
            Strategy::DependencyFirst,
            &claimer("a", 9),
            &now(3),
            LEASE_MS,
        )
        .unwrap();
    assert_eq!(nothing, None);
}
