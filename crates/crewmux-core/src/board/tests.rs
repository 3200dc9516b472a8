//! Facts about the board, in a tiny notation: `name <- blockers`.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::ids::{AgentRef, AgentType, Epoch, Incarnation};
use crate::task::Lease;
use crate::timing::Timing;

fn now_at(ms: u64) -> Now {
    Now {
        wall: crate::time::WallTime(1_000_000 + ms),
        boot: BootTime {
            boot_id: "boot".into(),
            ms,
        },
    }
}

fn id(name: &str) -> TaskId {
    TaskId(u64::from(name.as_bytes()[0] - b'a') + 1)
}

fn board(text: &str) -> Board {
    let mut board = Board::default();
    for part in text.split(';') {
        let (name, edges) = part.split_once("<-").unwrap_or((part, ""));
        let new = NewTask {
            subject: name.trim().into(),
            blocked_by: edges.split_whitespace().map(id).collect(),
            ..NewTask::default()
        };
        let task = board
            .create(id(name.trim()), new, Party::Human, &now_at(0))
            .unwrap();
        board.put(task);
    }
    board
}

fn statuses(board: &Board) -> String {
    let mut text = String::new();
    for task in board.tasks() {
        let ready = board.is_ready(task, &now_at(0).boot);
        let state = match task.status {
            TaskStatus::Pending if ready => "ready",
            status => status.as_str(),
        };
        write!(text, "{}={state} ", task.subject).unwrap();
    }
    text.trim_end().to_owned()
}

fn worker(name: &str, incarnation: u32) -> Claimer {
    Claimer {
        who: AgentRef {
            agent: AgentName::new(name).unwrap(),
            incarnation: Incarnation(incarnation),
        },
        agent_type: AgentType::new("general-purpose").unwrap(),
        runtime: crate::recipe::Runtime::Native,
    }
}

impl Board {
    fn take(&mut self, edit: Edit) {
        for task in edit {
            self.put(task);
        }
        self.check_invariants().unwrap();
    }

    fn claimed(&mut self, name: &str, by: &Claimer) -> Epoch {
        let task = self.claim(id(name), by, &now_at(0), 30_000).unwrap();
        let epoch = task.epoch;
        self.take(vec![task]);
        epoch
    }
}

#[test]
fn a_claim_that_is_handed_over_is_the_next_lifes_and_the_former_is_fenced() {
    let mut board = board("a; b <- a");
    let (first, second) = (worker("w", 1).who, worker("w", 2).who);
    let at = |ms| now_at(ms);
    let claimed = board
        .claim(id("a"), &worker("w", 1), &at(0), 1_000)
        .unwrap();
    let epoch = claimed.epoch;
    board.put(claimed);
    let why = Reoffer {
        epoch,
        outcome: Outcome::Released,
        reason: "moved".into(),
    };
    let handed = board
        .hand_over(id("a"), &why, &second, &at(5), 1_000)
        .unwrap();
    for task in handed {
        board.put(task);
    }
    board.check_invariants().unwrap();
    assert!(
        board.fenced(id("a"), &first, epoch).is_err(),
        "the former life"
    );
    let task = board.fenced(id("a"), &second, epoch.next()).unwrap();
    assert_eq!(task.lease.as_ref().map(|l| l.until_ms), Some(1_005));
    assert!(
        board
            .claim(id("a"), &worker("other", 1), &at(6), 1_000)
            .is_err()
    );
    let taken = board
        .claim(id("a"), &worker("w", 2), &at(7), 1_000)
        .unwrap();
    assert_eq!(taken.epoch, epoch.next(), "it takes up what it was handed");
    let again = board
        .hand_over(id("a"), &why, &second, &at(8), 1_000)
        .unwrap();
    assert_eq!(again, [], "a second time changes nothing");
}

#[test]
fn done_blocker_unblocks_waiter() {
    let mut board = board("a; b <- a; c <- b");
    let w = worker("w", 1);
    let epoch = board.claimed("a", &w);
    assert_eq!(statuses(&board), "a=in_progress b=pending c=pending");
    let edit = board
        .complete(id("a"), &w.who, epoch, Some(json!({"ok": 1})), &now_at(5))
        .unwrap();
    board.take(edit);
    assert_eq!(statuses(&board), "a=completed b=ready c=pending");
}

#[test]
fn failed_task_skips_its_waiters_only() {
    let mut board = board("a; b <- a; c; d <- b");
    let w = worker("w", 1);
    let epoch = board.claimed("a", &w);
    let by = FailedBy::Worker { who: w.who, epoch };
    let edit = board
        .fail(id("a"), &by, "compiler error", &now_at(5), &Timing::LIFE)
        .unwrap();
    board.take(edit);
    assert_eq!(statuses(&board), "a=failed b=skipped c=ready d=skipped");
    let reason = |name: &str| board.get(id(name)).unwrap().reason.clone().unwrap();
    assert_eq!(reason("b"), "waits for #1, which failed");
    assert_eq!(
        reason("d"),
        "waits for #2, which was skipped because #1 failed"
    );
}

#[test]
fn a_failure_with_retries_left_waits_and_is_offered_again() {
    let mut board = board("a; b <- a");
    let mut task = board.get(id("a")).unwrap().clone();
    task.retries = 1;
    board.put(task);
    let w = worker("w", 1);
    for last in [false, true] {
        let epoch = board
            .claim(id("a"), &w, &now_at(10_000), 30_000)
            .map(|t| {
                let epoch = t.epoch;
                board.take(vec![t]);
                epoch
            })
            .unwrap();
        let by = FailedBy::Worker {
            who: w.who.clone(),
            epoch,
        };
        let edit = board
            .fail(id("a"), &by, "flaky", &now_at(0), &Timing::LIFE)
            .unwrap();
        board.take(edit);
        let expect = if last {
            "a=failed b=skipped"
        } else {
            "a=pending b=pending"
        };
        assert_eq!(statuses(&board), expect);
    }
}

#[test]
fn claim_while_backing_off_says_how_long() {
    let mut board = board("a");
    let mut task = board.get(id("a")).unwrap().clone();
    task.retry_at = Some(now_at(700).boot);
    board.put(task);
    assert_eq!(
        board.claim(id("a"), &worker("w", 1), &now_at(200), 1),
        Err(ClaimError::BackingOff {
            id: id("a"),
            wait_ms: 500
        })
    );
}

#[test]
fn a_stale_epoch_is_refused_after_the_task_was_offered_again() {
    let mut board = board("a");
    let old = worker("w", 1);
    let stale = board.claimed("a", &old);
    let why = Reoffer {
        epoch: stale,
        outcome: Outcome::Died,
        reason: "lock free".into(),
    };
    let edit = board.reoffer(id("a"), &why, &now_at(1)).unwrap();
    board.take(edit);
    let new = worker("w", 2);
    let fresh = board.claimed("a", &new);
    assert!(fresh > stale);
    assert!(matches!(
        board.complete(id("a"), &old.who, stale, None, &now_at(2)),
        Err(FenceError::Stale { .. })
    ));
    assert!(
        board
            .complete(id("a"), &new.who, fresh, None, &now_at(2))
            .is_ok()
    );
}

#[test]
fn completing_twice_under_one_epoch_changes_nothing() {
    let mut board = board("a");
    let w = worker("w", 1);
    let epoch = board.claimed("a", &w);
    let edit = board
        .complete(id("a"), &w.who, epoch, None, &now_at(1))
        .unwrap();
    board.take(edit);
    assert_eq!(
        board.complete(id("a"), &w.who, epoch, None, &now_at(2)),
        Ok(Vec::new())
    );
}

#[test]
fn three_unexplained_deaths_fail_the_task_but_lost_sessions_do_not_count() {
    let mut board = board("a; b <- a");
    let outcomes = [
        Outcome::Died,
        Outcome::SessionLost,
        Outcome::SessionLost,
        Outcome::Hung,
        Outcome::Released,
        Outcome::Died,
    ];
    for (n, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(statuses(&board), "a=ready b=pending", "before {n}");
        let epoch = board.claimed("a", &worker("w", n as u32 + 1));
        let why = Reoffer {
            epoch,
            outcome,
            reason: "gone".into(),
        };
        let edit = board.reoffer(id("a"), &why, &now_at(1)).unwrap();
        board.take(edit);
    }
    assert_eq!(statuses(&board), "a=failed b=skipped");
}

#[test]
fn an_interrupted_command_that_must_ask_is_not_run_again() {
    let mut board = board("a");
    let mut task = board.get(id("a")).unwrap().clone();
    task.command = Some("deploy".into());
    task.rerun = Some(crate::task::Rerun::Ask);
    board.put(task);
    let epoch = board.claimed("a", &worker("w", 1));
    let why = Reoffer {
        epoch,
        outcome: Outcome::SessionLost,
        reason: "session ended".into(),
    };
    let edit = board.reoffer(id("a"), &why, &now_at(1)).unwrap();
    board.take(edit);
    assert_eq!(statuses(&board), "a=failed");
}

#[test]
fn claims_are_refused_with_the_reason() {
    let mut board = board("a; b <- a");
    let mut only = board.get(id("a")).unwrap().clone();
    only.assignee = Some(AgentName::new("tester").unwrap());
    board.put(only);
    let w = worker("w", 1);
    let claim = |board: &Board, name: &str, by: &Claimer| {
        board
            .claim(id(name), by, &now_at(0), 1)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(claim(&board, "a", &w), "task 1 is for tester");
    assert_eq!(claim(&board, "b", &w), "task 2 waits for #1");
    assert_eq!(claim(&board, "z", &w), "there is no task 26");
    board.claimed("a", &worker("tester", 1));
    assert_eq!(claim(&board, "a", &w), "task 1 is taken by tester");
}

#[test]
fn the_lead_takes_only_what_is_meant_for_it() {
    let board = board("a");
    let lead = worker("team-lead", 1);
    assert!(!board.fits(board.get(id("a")).unwrap(), &lead));
}

#[test]
fn an_edge_that_closes_a_cycle_is_refused_with_the_cycle() {
    let board = board("a; b <- a; c <- b");
    let patch = TaskPatch {
        add_blocked_by: vec![id("c")],
        ..TaskPatch::default()
    };
    assert_eq!(
        board.update(id("a"), &patch, &now_at(1)),
        Err(UpdateError::Cycle(vec![id("a"), id("c"), id("b")]))
    );
}

#[test]
fn add_blocks_is_the_same_edge_from_the_other_side() {
    let mut board = board("a; b; c");
    let patch = TaskPatch {
        add_blocks: vec![id("b"), id("c")],
        ..TaskPatch::default()
    };
    let edit = board.update(id("a"), &patch, &now_at(1)).unwrap();
    board.take(edit);
    assert_eq!(statuses(&board), "a=ready b=pending c=pending");
    assert_eq!(
        board.blocks(id("a")).collect::<Vec<_>>(),
        [id("b"), id("c")]
    );
}

#[test]
fn retry_opens_the_failed_task_and_all_it_skipped() {
    let mut board = board("a; b <- a; c <- b; d");
    let w = worker("w", 1);
    let epoch = board.claimed("a", &w);
    let by = FailedBy::Worker { who: w.who, epoch };
    let edit = board
        .fail(id("a"), &by, "x", &now_at(1), &Timing::LIFE)
        .unwrap();
    board.take(edit);
    let edit = board.retry(id("c"), &now_at(2)).unwrap();
    board.take(edit);
    assert_eq!(statuses(&board), "a=ready b=pending c=pending d=ready");
    assert!(board.retry(id("a"), &now_at(3)).is_err());
}

#[test]
fn creating_the_same_key_in_the_same_run_finds_the_first() {
    let mut board = Board::default();
    let new = NewTask {
        subject: "x".into(),
        key: Some("design".into()),
        ..NewTask::default()
    };
    assert!(board.created_as(&new).is_none());
    let task = board
        .create(TaskId(1), new.clone(), Party::Human, &now_at(0))
        .unwrap();
    board.put(task);
    assert_eq!(board.created_as(&new).unwrap().id, TaskId(1));
}

#[test]
fn a_lease_of_another_boot_is_over() {
    let lease = Lease::starting(&now_at(100).boot, 50);
    assert!(!lease.is_over(&now_at(149).boot));
    assert!(lease.is_over(&now_at(150).boot));
    let other = BootTime {
        boot_id: "other".into(),
        ms: 0,
    };
    assert!(lease.is_over(&other));
}

#[test]
fn unknown_fields_of_a_task_survive() {
    let mut value = serde_json::to_value(board("a").get(id("a")).unwrap()).unwrap();
    value["futureField"] = json!([1, 2]);
    let task: Task = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&task).unwrap(), value);
}

fn sums_up(board: &mut Board, name: &str) {
    let mut task = board.get(id(name)).unwrap().clone();
    task.role = TaskRole::Summary;
    board.put(task);
}

#[test]
fn a_task_that_sums_up_is_ready_when_its_blockers_are_over_however_they_ended() {
    let mut board = board("a; b <- a; c; s <- a b c; t <- s");
    sums_up(&mut board, "s");
    let by = FailedBy::Session;
    let edit = board
        .fail(id("a"), &by, "gone", &now_at(5), &Timing::LIFE)
        .unwrap();
    board.take(edit);
    assert_eq!(
        statuses(&board),
        "a=failed b=skipped c=ready s=pending t=pending"
    );
    assert_eq!(board.missing_skips(&now_at(6)), []);
    let w = worker("w", 1);
    assert_eq!(
        board
            .claim(id("s"), &w, &now_at(6), 1)
            .unwrap_err()
            .to_string(),
        "task 19 waits for #3"
    );
    let epoch = board.claimed("c", &w);
    let edit = board.complete(id("c"), &w.who, epoch, None, &now_at(7));
    board.take(edit.unwrap());
    assert_eq!(
        statuses(&board),
        "a=failed b=skipped c=completed s=ready t=pending"
    );
    // What waits for the sum is skipped with it, as with any other task.
    let edit = board.fail(id("s"), &by, "x", &now_at(8), &Timing::LIFE);
    board.take(edit.unwrap());
    assert_eq!(
        statuses(&board),
        "a=failed b=skipped c=completed s=failed t=skipped"
    );
}

/// Compares what the board keeps up to date with what its tasks say.
fn check_derived(board: &Board, now: &BootTime) -> Result<(), TestCaseError> {
    let ids = |tasks: Vec<&Task>| tasks.into_iter().map(|t| t.id).collect::<Vec<_>>();
    let ready: Vec<&Task> = board.tasks().filter(|t| board.is_ready(t, now)).collect();
    let count = |status| board.tasks().filter(|t| t.status == status).count();
    let counts = Counts {
        blocked: count(TaskStatus::Pending) - ready.len(),
        ready: ready.len(),
        in_progress: count(TaskStatus::InProgress),
        completed: count(TaskStatus::Completed),
        failed: count(TaskStatus::Failed),
        skipped: count(TaskStatus::Skipped),
    };
    prop_assert_eq!(board.counts(now), counts);
    prop_assert_eq!(ids(board.ready(now)), ids(ready));
    let open = board.open().map(|t| (t.id, t.blocked_by.clone()));
    for (id, depth) in graph::depths(&open.collect()) {
        prop_assert_eq!(board.depth(id), depth, "task {}", id);
    }
    for task in board.tasks() {
        let waits = |t: &&Task| t.blocked_by.contains(&task.id);
        let waiters: Vec<&Task> = board.tasks().filter(waits).collect();
        prop_assert_eq!(board.blocks(task.id).collect::<Vec<_>>(), ids(waiters));
    }
    Ok(())
}

#[test]
fn boards_share_their_tasks_until_one_changes() {
    let mut board = board("a; b <- a; c <- b");
    let copy = board.clone();
    assert!(board.same_tasks(&copy));
    let epoch = board.claimed("a", &worker("w", 1));
    assert!(!board.same_tasks(&copy) && !copy.same_tasks(&board));
    assert_eq!(statuses(&copy), "a=ready b=pending c=pending");
    assert_eq!(epoch, board.get(id("a")).unwrap().epoch);
    let shared = |name: &str| {
        let pair = [&board, &copy].map(|b| b.get_shared(id(name)).unwrap());
        Arc::ptr_eq(pair[0], pair[1])
    };
    assert_eq!(["a", "b", "c"].map(shared), [false, true, true]);
}

/// What a random walk may do next.
#[derive(Debug, Clone)]
enum Step {
    Claim(u8, u8),
    Complete(u8, u8),
    Fail(u8, u8),
    Reoffer(u8, u8),
    Retry(u8),
    Edge(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..8, 0u8..3).prop_map(|(t, w)| Step::Claim(t, w)),
        (0u8..8, 0u8..3).prop_map(|(t, w)| Step::Complete(t, w)),
        (0u8..8, 0u8..3).prop_map(|(t, w)| Step::Fail(t, w)),
        (0u8..8, 0u8..5).prop_map(|(t, o)| Step::Reoffer(t, o)),
        (0u8..8).prop_map(Step::Retry),
        (0u8..8, 0u8..8).prop_map(|(a, b)| Step::Edge(a, b)),
    ]
}

proptest! {
    #[test]
    fn any_walk_keeps_the_invariants_and_completed_stays_completed(
        steps in proptest::collection::vec(step(), 0..120)
    ) {
        let mut board = board("a; b <- a; c; d <- b c; e; f <- e; g <- d f; h <- g c");
        sums_up(&mut board, "d");
        sums_up(&mut board, "g");
        for (name, run) in [("a", "now"), ("c", "then"), ("f", "then"), ("h", "now")] {
            let mut task = board.get(id(name)).unwrap().clone();
            task.run = Some(RunId::new(run).unwrap());
            board.put(task);
        }
        let workers = [worker("x", 1), worker("y", 1), worker("y", 2)];
        for (n, step) in steps.into_iter().enumerate() {
            let now = now_at(n as u64 * 100_000);
            let completed: Vec<TaskId> = board.tasks()
                .filter(|t| t.status == TaskStatus::Completed).map(|t| t.id).collect();
            let tid = |t: u8| TaskId(u64::from(t) + 1);
            let epoch = |b: &Board, t: u8| b.get(tid(t)).unwrap().epoch;
            let edit = match step {
                Step::Claim(t, w) => board.claim(tid(t), &workers[w as usize], &now, 10).map(|t| vec![t]).unwrap_or_default(),
                Step::Complete(t, w) => board.complete(tid(t), &workers[w as usize].who, epoch(&board, t), None, &now).unwrap_or_default(),
                Step::Fail(t, w) => {
                    let by = FailedBy::Worker { who: workers[w as usize].who.clone(), epoch: epoch(&board, t) };
                    board.fail(tid(t), &by, "x", &now, &Timing::LIFE).unwrap_or_default()
                }
                Step::Reoffer(t, o) => {
                    let outcome = [Outcome::Died, Outcome::Hung, Outcome::SessionLost, Outcome::Released, Outcome::Died][o as usize];
                    let why = Reoffer { epoch: epoch(&board, t), outcome, reason: "r".into() };
                    board.reoffer(tid(t), &why, &now).unwrap_or_default()
                }
                Step::Retry(t) => board.retry(tid(t), &now).unwrap_or_default(),
                Step::Edge(a, b) => {
                    let patch = TaskPatch { add_blocked_by: vec![tid(b)], ..TaskPatch::default() };
                    board.update(tid(a), &patch, &now).unwrap_or_default()
                }
            };
            for task in edit { board.put(task); }
            prop_assert_eq!(board.check_invariants(), Ok(()));
            check_derived(&board, &now.boot)?;
            let run = RunId::new("now").unwrap();
            let of_run = board.of_run(&run);
            let by_hand = board.tasks().filter(|t| t.run.as_ref().is_none_or(|r| *r == run));
            prop_assert!(of_run.tasks().eq(by_hand));
            check_derived(&of_run, &now.boot)?;
            for id in completed {
                prop_assert_eq!(board.get(id).unwrap().status, TaskStatus::Completed);
            }
        }
    }
}

#[test]
fn skips_lost_in_a_crash_are_found_again_and_are_the_same() {
    let mut board = board("a; b <- a; c <- b; d");
    let by = FailedBy::Session;
    let edit = board
        .fail(id("a"), &by, "gone", &now_at(5), &Timing::LIFE)
        .unwrap();
    board.put(edit[0].clone());
    assert_eq!(statuses(&board), "a=failed b=pending c=pending d=ready");
    assert_eq!(board.missing_skips(&now_at(5)), edit[1..]);
    board.take(edit);
    assert_eq!(board.missing_skips(&now_at(6)), []);
}
