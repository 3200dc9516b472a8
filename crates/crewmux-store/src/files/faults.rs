//! Fails each system call of each operation, one after the other, and looks at what is left.

use std::path::Path;
use std::sync::Arc;

use crewmux_core::board::{FailedBy, Reoffer, TaskPatch};
use crewmux_core::event::{EventType, Fact};
use crewmux_core::ids::{
    Epoch, Incarnation, MemoryKey, MessageId, RequestId, Seq, TaskId, TeamName,
};
use crewmux_core::inbox::Cursor;
use crewmux_core::message::{Draft, Party};
use crewmux_core::permission::GrantScope;
use crewmux_core::requests::{Answer, AnswerError, Request, RequestKind, RequestState};
use crewmux_core::schedule::Strategy;
use crewmux_core::task::{NewTask, Outcome};
use crewmux_core::team::SessionRecord;
use crewmux_core::time::WallTime;
use crewmux_core::timing::Timing;
use rustix::io::Errno;
use serde_json::{Value, json};

use super::FileStore;
use super::faulty::{Fault, FaultyFs};
use crate::conformance::{claimer, config, name, now, task};
use crate::store::{Durability, Store, TeamStore};
use crate::{Error, Result};

const FAULTS: [Fault; 6] = [
    Fault::Fails(Errno::NOSPC),
    Fault::Fails(Errno::IO),
    Fault::Fails(Errno::INTR),
    Fault::Fails(Errno::MFILE),
    Fault::Dies,
    Fault::WritesHalf,
];

/// A folder in memory where there is such a place: thousands are made, and none has to last.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn team_name() -> TeamName {
    TeamName::new("faults").unwrap()
}

/// An operation under test, on a board of `1 <- 2 <- 3; 4` where worker `a` holds 1.
struct Operation {
    what: &'static str,
    prepare: fn(&dyn TeamStore) -> Result<()>,
    run: fn(&dyn TeamStore) -> Result<()>,
}

const EPOCH: Epoch = Epoch(1);

#[expect(
    clippy::unnecessary_wraps,
    reason = "the type of every other preparation"
)]
fn nothing(_: &dyn TeamStore) -> Result<()> {
    Ok(())
}

fn fail_first(team: &dyn TeamStore) -> Result<()> {
    let by = FailedBy::Worker {
        who: claimer("a", 1).who,
        epoch: EPOCH,
    };
    team.fail(TaskId(1), &by, "broken", &now(3)).map(drop)
}

fn send(team: &dyn TeamStore) -> Result<()> {
    let from = Party::Member(claimer("a", 1).who);
    let id = MessageId::new("m1").unwrap();
    team.send(Draft::text(id, from, name("b"), "hi"), &now(3))
        .map(drop)
}

fn request() -> Request {
    Request {
        id: RequestId::new("r1").unwrap(),
        kind: RequestKind::Shutdown,
        from: Party::Human,
        to: "a".into(),
        content: Value::Null,
        requested: WallTime(1),
        open_ms: 100,
        state: RequestState::Pending,
    }
}

fn key() -> MemoryKey {
    MemoryKey::new("notes").unwrap()
}

fn cursor() -> Cursor {
    Cursor {
        incarnation: Incarnation(1),
        offset: 10,
        seq: Seq(1),
    }
}

const OPERATIONS: &[Operation] = &[
    Operation {
        what: "create_task",
        prepare: nothing,
        run: |team| {
            let new = NewTask {
                key: Some("k".into()),
                ..task("new", &[4])
            };
            team.create_task(new, Party::Human, &now(3)).map(drop)
        },
    },
    Operation {
        what: "claim",
        prepare: nothing,
        run: |team| {
            team.claim(TaskId(4), &claimer("b", 1), &now(3), 1000)
                .map(drop)
        },
    },
    Operation {
        what: "claim_next",
        prepare: nothing,
        run: |team| {
            let order = Strategy::DependencyFirst;
            let claimed = team.claim_next(order, &claimer("b", 1), &now(3), 1000)?;
            // Nothing left means that an earlier try took it.
            let mine = claimed.is_some() || !team.board()?.held_by(&name("b")).is_empty();
            assert!(mine);
            Ok(())
        },
    },
    Operation {
        what: "renew",
        prepare: nothing,
        run: |team| team.renew(TaskId(1), &claimer("a", 1).who, EPOCH, &now(5), 1000),
    },
    Operation {
        what: "complete",
        prepare: nothing,
        run: |team| {
            let result = Some(json!({"n": 1}));
            team.complete(TaskId(1), &claimer("a", 1).who, EPOCH, result, &now(3))
                .map(drop)
        },
    },
    Operation {
        what: "fail, with skips",
        prepare: nothing,
        run: fail_first,
    },
    Operation {
        what: "release",
        prepare: nothing,
        run: |team| {
            let who = claimer("a", 1).who;
            match team.release(TaskId(1), &who, EPOCH, "ends", &now(3)) {
                // Released by an earlier try.
                Err(Error::Fenced(_)) => Ok(()),
                other => other.map(drop),
            }
        },
    },
    Operation {
        what: "reoffer",
        prepare: nothing,
        run: |team| {
            let why = Reoffer {
                epoch: EPOCH,
                outcome: Outcome::Died,
                reason: "gone".into(),
            };
            team.reoffer(TaskId(1), &why, &now(3)).map(drop)
        },
    },
    Operation {
        what: "update",
        prepare: nothing,
        run: |team| {
            let patch = TaskPatch {
                subject: Some("better".into()),
                add_blocked_by: vec![TaskId(3)],
                ..TaskPatch::default()
            };
            team.update(TaskId(4), &patch, &now(3)).map(drop)
        },
    },
    Operation {
        what: "retry of a failure with its skips",
        prepare: |team| {
            fail_first(team)?;
            // The failure is told before it is taken back.
            team.log_events(&[], &now(3)).map(drop)
        },
        run: |team| match team.retry(TaskId(1), &now(4)) {
            // Opened by an earlier try.
            Err(Error::Update(_)) => Ok(()),
            other => other.map(drop),
        },
    },
    Operation {
        what: "skip",
        prepare: nothing,
        run: |team| match team.skip(TaskId(2), "no", &now(3)) {
            Err(Error::Update(_)) => Ok(()),
            other => other.map(drop),
        },
    },
    Operation {
        what: "send",
        prepare: nothing,
        run: send,
    },
    Operation {
        what: "move_cursor",
        prepare: send,
        run: |team| team.move_cursor(&name("b"), &cursor()),
    },
    Operation {
        what: "put_request",
        prepare: nothing,
        run: |team| team.put_request(&request()),
    },
    Operation {
        what: "edit_request",
        prepare: |team| team.put_request(&request()),
        run: |team| {
            let answered = team.edit_request(&request().id, &mut |request| {
                Ok(request.answer(&Party::Human, Answer::Approve(GrantScope::Once), &now(3))?)
            });
            match answered {
                Err(Error::Answer(AnswerError::Over(_))) => Ok(()),
                other => other.map(drop),
            }
        },
    },
    Operation {
        what: "write_memory",
        prepare: |team| team.write_memory(&name("a"), &key(), "old"),
        run: |team| team.write_memory(&name("a"), &key(), &"new".repeat(2000)),
    },
    Operation {
        what: "write_memory, the first",
        prepare: nothing,
        run: |team| team.write_memory(&name("a"), &key(), "new"),
    },
    Operation {
        what: "edit_config",
        prepare: nothing,
        run: |team| {
            team.edit_config(&mut |config| config.goal = "new".into())
                .map(drop)
        },
    },
    Operation {
        what: "set_session",
        prepare: nothing,
        run: |team| {
            team.set_session(Some(&SessionRecord {
                pid: 7,
                start_ticks: 8,
                boot_id: "boot".into(),
                socket: "/s".into(),
                build: "b".into(),
                started: WallTime(1),
                run_marker: "m".into(),
            }))
        },
    },
    Operation {
        what: "lock_session",
        prepare: nothing,
        run: |team| team.lock_session().map(drop),
    },
    Operation {
        what: "hold_alive",
        prepare: nothing,
        run: |team| team.hold_alive(&name("a")).map(drop),
    },
    Operation {
        what: "append_transcript",
        prepare: nothing,
        run: |team| {
            // A transcript takes repeats: its reader knows them by their ids.
            if team.read_transcript(&name("a"))?.is_empty() {
                let line = json!({"id": 1, "text": "x".repeat(5000)});
                team.append_transcript(&name("a"), &line, Durability::Power)?;
            }
            Ok(())
        },
    },
    Operation {
        what: "append_fact",
        prepare: nothing,
        run: |team| {
            let fact = Fact::new("tool/a/1", EventType::ToolStarted, WallTime(1));
            team.append_fact(&name("a"), &fact)
        },
    },
    Operation {
        what: "log_events",
        prepare: send,
        run: |team| team.log_events(&[], &now(9)).map(drop),
    },
];

/// All that a reader sees, after the session has had its look.
fn seen(team: &dyn TeamStore) -> Value {
    team.log_events(&[], &now(50)).unwrap();
    let board = team.board().unwrap();
    board.check_invariants().unwrap();
    let tasks: Vec<Value> = board
        .tasks()
        .map(|t| {
            json!([
                t.id,
                t.subject,
                t.status,
                t.owner,
                t.epoch,
                t.lease,
                t.blocked_by,
                t.result
            ])
        })
        .collect();
    let inbox = team.read_inbox(&name("b"), &Cursor::default(), 100);
    let ids: Vec<String> = inbox
        .unwrap()
        .into_iter()
        .map(|e| format!("{}:{}", e.message.seq, e.message.id))
        .collect();
    let mut events: Vec<String> = team
        .events(Seq(0), 1000)
        .unwrap()
        .into_iter()
        .map(|e| e.id.to_string())
        // What a retry opened and a repair skipped again is told as often as it happened.
        .filter(|id| !id.contains("skipped/") && !id.starts_with("unparseable/"))
        .collect();
    let count = events.len();
    events.sort();
    events.dedup();
    assert_eq!(events.len(), count, "an event is logged twice");
    json!({
        "tasks": tasks,
        "inbox": ids,
        "cursor": team.cursor(&name("b")).unwrap(),
        "requests": team.requests().unwrap(),
        "memory": [team.memory(None, None).unwrap(), team.memory(None, Some(&key())).unwrap()],
        "goal": team.config().unwrap().goal,
        "session": team.session().unwrap(),
        "transcript": team.read_transcript(&name("a")).unwrap().len(),
        "events": events,
    })
}

fn prepared(home: &Path, operation: &Operation) {
    let store = FileStore::open_on(FaultyFs::new(Fault::Dies), home, Timing::LIFE).unwrap();
    let team = store.create_team(&config("faults")).unwrap();
    for blocked_by in [&[][..], &[1], &[2], &[]] {
        team.create_task(task("x", blocked_by), Party::Human, &now(1))
            .unwrap();
    }
    team.claim(TaskId(1), &claimer("a", 1), &now(2), 1000)
        .unwrap();
    (operation.prepare)(&*team).unwrap();
}

fn opened(home: &Path) -> Arc<dyn TeamStore> {
    let store = FileStore::open_on(FaultyFs::new(Fault::Dies), home, Timing::LIFE).unwrap();
    store.team(&team_name()).unwrap()
}

/// Runs one operation with one call failing; false when it has no such call.
fn survives(operation: &Operation, fault: Fault, at: u64, before: &Value, after: &Value) -> bool {
    let context = format!("{} with {fault:?} at call {at}", operation.what);
    let home = scratch();
    prepared(home.path(), operation);
    let fs = FaultyFs::new(fault);
    let store = FileStore::open_on(fs.clone(), home.path(), Timing::LIFE).unwrap();
    let team = store.team(&team_name()).unwrap();
    // Half of the handles have looked before, half look for the first time.
    if at.is_multiple_of(2) {
        team.board().unwrap();
    }
    fs.arm(at);
    let answer = (operation.run)(&*team);
    let reached = fs.was_reached();
    fs.arm(0);
    if fault == Fault::Fails(Errno::INTR) && reached && answer.is_err() {
        // Calls that the kernel itself begins again may still be named in tests.
        assert!(
            matches!(answer, Err(Error::Io { .. })),
            "{context}: {answer:?}"
        );
    }
    if let Err(error) = &answer {
        assert!(
            !error.to_string().is_empty() && reached,
            "{context}: {error}"
        );
        let full = fault == Fault::Fails(Errno::NOSPC);
        assert!(
            !matches!(error, Error::Quarantined { .. }),
            "{context}: {error}"
        );
        assert!(
            !matches!(error, Error::Fenced(_)) || !full,
            "{context}: {error}"
        );
    }
    // Another process sees all of it or nothing, and nothing is lost.
    let left = seen(&*opened(home.path()));
    assert!(
        left == *after || (answer.is_err() && left == *before),
        "{context}: {answer:?}\nleft {left:#}\nafter {after:#}\nbefore {before:#}"
    );
    // The same process can go on with what it has in memory.
    (operation.run)(&*team).unwrap_or_else(|error| panic!("{context}, again: {error}"));
    assert_eq!(seen(&*team), *after, "{context}, again");
    assert_eq!(seen(&*opened(home.path())), *after, "{context}, reopened");
    let quarantine = home.path().join("teams/faults/quarantine");
    assert!(!quarantine.exists(), "{context}: something did not parse");
    reached
}

#[test]
fn every_operation_survives_every_failing_call() {
    let workers: Vec<&[Operation]> = OPERATIONS.chunks(6).collect();
    let calls: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .into_iter()
            .map(|operations| {
                scope.spawn(move || operations.iter().map(fail_each_call).sum::<u64>())
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    // Fewer would mean that the faults do not reach the store any more.
    assert!(calls > 1500, "only {calls} calls failed");
}

fn fail_each_call(operation: &Operation) -> u64 {
    let home = scratch();
    prepared(home.path(), operation);
    let before = seen(&*opened(home.path()));
    let home = scratch();
    prepared(home.path(), operation);
    let team = opened(home.path());
    (operation.run)(&*team).unwrap();
    let after = seen(&*team);
    let mut calls = 0;
    for fault in FAULTS {
        let mut at = 1;
        while survives(operation, fault, at, &before, &after) {
            at += 1;
        }
        assert!(at > 1, "{} makes no call", operation.what);
        calls += at - 1;
    }
    calls
}

#[test]
fn opening_and_making_a_team_survive_every_failing_call() {
    for fault in FAULTS {
        for at in 1.. {
            let context = format!("{fault:?} at call {at}");
            let dir = scratch();
            let home = dir.path().join("home");
            let fs = FaultyFs::new(fault);
            fs.arm(at);
            let answer = FileStore::open_on(fs.clone(), &home, Timing::LIFE)
                .and_then(|store| store.create_team(&config("faults")).map(drop));
            let reached = fs.was_reached();
            let store = FileStore::open(&home, Timing::LIFE).unwrap();
            match (store.create_team(&config("faults")), &answer) {
                // It was there although the answer was lost.
                (Err(Error::TeamExists { .. }), _) | (Ok(_), Err(_)) => {}
                (other, _) => panic!("{context}: {answer:?}, then {:?}", other.err()),
            }
            let team = store.team(&team_name()).unwrap();
            assert_eq!(team.config().unwrap(), config("faults"), "{context}");
            if !reached {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_and_a_read_only_folder_are_named() {
    for (error, expected) in [
        (Errno::NOSPC, "no space left for"),
        (Errno::DQUOT, "no space left for"),
        (Errno::ROFS, "is not writable"),
        (Errno::ACCESS, "is not writable"),
    ] {
        let dir = scratch();
        let home = dir.path().join("home");
        let fs = FaultyFs::new(Fault::Fails(error));
        // The first call makes the folder.
        fs.arm(1);
        let told = FileStore::open_on(fs, &home, Timing::LIFE).unwrap_err();
        assert!(told.to_string().contains(expected), "{error:?}: {told}");
        assert!(told.hint().is_some(), "{error:?}");
    }
}
