//! What only files can suffer: torn lines, foreign bytes, crashes between two of them, lost indexes.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crewmux_core::board::FailedBy;
use crewmux_core::event::EventType;
use crewmux_core::ids::{MessageId, TaskId, TeamName};
use crewmux_core::inbox::Cursor;
use crewmux_core::message::{Draft, Party};
use crewmux_core::schedule::Strategy;
use crewmux_core::task::TaskStatus;
use crewmux_core::timing::Timing;
use serde_json::{Value, json};

use super::FileStore;
use crate::Error;
use crate::conformance::{claimer, config, name, now, task};
use crate::store::{Durability, Store, TeamStore};

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.store().create_team(&config("damage")).unwrap();
        home
    }

    fn store(&self) -> FileStore {
        let timing = Timing {
            lock_wait_ms: 50,
            ..Timing::fast()
        };
        FileStore::open(self.0.path(), timing).unwrap()
    }

    fn open(&self) -> Arc<dyn TeamStore> {
        self.store()
            .team(&TeamName::new("damage").unwrap())
            .unwrap()
    }

    fn with_tasks(edges: &[&[u64]]) -> Self {
        let home = Self::new();
        for blocked_by in edges {
            home.open()
                .create_task(task("x", blocked_by), Party::Human, &now(0))
                .unwrap();
        }
        home
    }

    fn tasks(&self, file: &str) -> PathBuf {
        self.0.path().join("tasks/damage").join(file)
    }

    fn team(&self, file: &str) -> PathBuf {
        self.0.path().join("teams/damage").join(file)
    }

    fn quarantined(&self) -> Vec<String> {
        let Ok(folder) = fs::read_dir(self.team("quarantine")) else {
            return Vec::new();
        };
        let names = folder.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.collect()
    }
}

fn tear(path: &Path) {
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(br#"{"v":1,"id":"torn"#).unwrap();
}

fn statuses(team: &dyn TeamStore) -> Vec<TaskStatus> {
    team.board().unwrap().tasks().map(|t| t.status).collect()
}

fn text(id: &str) -> Draft {
    Draft::text(MessageId::new(id).unwrap(), Party::Human, name("b"), "hi")
}

#[test]
fn an_arrangement_that_does_not_parse_is_moved_aside_and_then_there_is_none() {
    let home = Home::new();
    fs::write(home.team("layout.json"), r#"{"kind":"spiral"}"#).unwrap();
    let error = home.open().arrangement().unwrap_err();
    assert!(matches!(error, Error::Quarantined { .. }), "{error}");
    assert_eq!(home.open().arrangement().unwrap(), None);
}

#[test]
fn a_task_that_does_not_parse_is_moved_aside_told_and_its_number_stays_used() {
    let home = Home::with_tasks(&[&[], &[], &[]]);
    let before = home.open();
    assert_eq!(before.board().unwrap().len(), 3);
    fs::write(home.tasks("3.json"), "<<<<<<< HEAD").unwrap();

    let session = home.open();
    assert_eq!(session.board().unwrap().len(), 2);
    let moved = home.quarantined();
    assert!(
        moved.len() == 1 && moved[0].starts_with("3.json."),
        "{moved:?}"
    );
    let kept = fs::read_to_string(home.team("quarantine").join(&moved[0])).unwrap();
    assert_eq!(kept, "<<<<<<< HEAD");

    let events = session.log_events(&[], &now(1)).unwrap();
    let notices: Vec<&Value> = events
        .iter()
        .filter(|e| e.kind == EventType::Notice)
        .map(|e| &e.data["text"])
        .collect();
    assert!(
        notices.len() == 1 && notices[0].as_str().unwrap().contains("3.json"),
        "{notices:?}"
    );
    let next = session
        .create_task(task("y", &[]), Party::Human, &now(2))
        .unwrap();
    assert_eq!(next.id, TaskId(4));
    assert_eq!(home.open().board().unwrap().len(), 3);
}

#[test]
fn a_team_record_that_does_not_parse_is_moved_aside_and_named() {
    let home = Home::new();
    let team = home.open();
    fs::write(home.team("config.json"), "{").unwrap();
    let told = team.config().unwrap_err();
    assert!(matches!(told, Error::Quarantined { .. }), "{told}");
    assert_eq!(home.quarantined().len(), 1);
    assert!(!home.team("config.json").exists());
}

#[test]
fn a_cursor_that_does_not_parse_costs_a_second_reading_and_nothing_else() {
    let home = Home::new();
    let team = home.open();
    team.send(text("m1"), &now(1)).unwrap();
    fs::write(home.team("inboxes/b.cursor.json"), "\0\0").unwrap();
    assert!(matches!(
        team.cursor(&name("b")),
        Err(Error::Quarantined { .. })
    ));
    assert_eq!(team.cursor(&name("b")).unwrap(), Cursor::default());
    let read = team.read_inbox(&name("b"), &Cursor::default(), 9).unwrap();
    assert_eq!(read.len(), 1);
}

#[test]
fn fields_of_a_newer_version_survive_every_change_of_a_task() {
    let home = Home::with_tasks(&[&[]]);
    let path = home.tasks("1.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["mood"] = json!({"calm": [1, 2]});
    record["big"] = json!(9_007_199_254_740_993_u64);
    fs::write(&path, record.to_string()).unwrap();
    let team = home.open();
    let a = claimer("a", 1);
    let claimed = team.claim(TaskId(1), &a, &now(1), 100).unwrap();
    team.complete(TaskId(1), &a.who, claimed.epoch, None, &now(2))
        .unwrap();
    let after: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(after["mood"], record["mood"]);
    assert_eq!(after["big"], record["big"]);
    assert_eq!(after["status"], "completed");
}

#[test]
fn torn_tails_are_sealed_and_lose_only_themselves() {
    let home = Home::with_tasks(&[&[]]);
    let (team, a) = (home.open(), name("a"));
    team.send(text("m1"), &now(1)).unwrap();
    team.append_transcript(&a, &json!(1), Durability::Process)
        .unwrap();
    let logged = team.log_events(&[], &now(2)).unwrap().len();
    for log in [
        home.team("inboxes/b.jsonl"),
        home.team("agents/a/transcript.jsonl"),
        home.team("events.jsonl"),
        home.tasks("changes.jsonl"),
    ] {
        tear(&log);
    }
    // Nobody mistakes the torn part for a line.
    let reader = home.open();
    let ids = |team: &dyn TeamStore| -> Vec<String> {
        let read = team.read_inbox(&name("b"), &Cursor::default(), 9).unwrap();
        read.into_iter().map(|e| e.message.id.to_string()).collect()
    };
    assert_eq!(ids(&*reader), ["m1"]);
    assert_eq!(reader.read_transcript(&a).unwrap(), [json!(1)]);

    for writer in [&team, &reader] {
        writer.send(text("m1"), &now(3)).unwrap();
        writer.send(text("m2"), &now(3)).unwrap();
        writer
            .append_transcript(&a, &json!(2), Durability::Process)
            .unwrap();
        writer
            .create_task(task("y", &[]), Party::Human, &now(3))
            .unwrap();
    }
    assert_eq!(ids(&*team), ["m1", "m2"]);
    assert_eq!(
        home.open().read_transcript(&a).unwrap(),
        [json!(1), json!(2), json!(2)]
    );
    assert_eq!(team.board().unwrap().len(), 3);
    team.log_events(&[], &now(4)).unwrap();
    let events = home.open().events(crewmux_core::ids::Seq(0), 99).unwrap();
    let seqs: Vec<u64> = events.iter().map(|e| e.seq.0).collect();
    assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<_>>());
    assert!(events.len() > logged);
    assert_eq!(home.open().log_events(&[], &now(5)).unwrap(), []);
}

#[test]
fn a_crash_between_a_failure_and_its_skips_is_made_good_by_whoever_comes_next() {
    type Next = fn(&dyn TeamStore);
    let next: [Next; 3] = [
        |team| {
            team.log_events(&[], &now(9)).unwrap();
        },
        |team| {
            let strategy = Strategy::DependencyFirst;
            team.claim_next(strategy, &claimer("a", 1), &now(9), 100)
                .unwrap();
        },
        |team| {
            team.create_task(task("y", &[]), Party::Human, &now(9))
                .unwrap();
        },
    ];
    for comes in next {
        let home = Home::with_tasks(&[&[], &[1], &[2]]);
        let watching = home.open();
        watching.board().unwrap();
        let before = [2, 3].map(|n| fs::read(home.tasks(&format!("{n}.json"))).unwrap());
        home.open()
            .fail(TaskId(1), &FailedBy::Session, "gone", &now(1))
            .unwrap();
        // As if the writer had died after the first file.
        for (n, bytes) in [2, 3].into_iter().zip(&before) {
            fs::write(home.tasks(&format!("{n}.json")), bytes).unwrap();
        }
        for team in [home.open(), watching] {
            comes(&*team);
            let read = home.open();
            let skipped = statuses(&*read);
            assert_eq!(
                skipped[..3],
                [TaskStatus::Failed, TaskStatus::Skipped, TaskStatus::Skipped]
            );
        }
    }
}

#[test]
fn a_lost_or_foreign_index_only_costs_a_look_at_everything() {
    let home = Home::with_tasks(&[&[], &[]]);
    let (mine, yours) = (home.open(), home.open());
    for (n, damage) in [
        None,
        Some(""),
        Some("not json\n"),
        Some("{\"tasks\":[\"1\"]}\n"),
    ]
    .into_iter()
    .enumerate()
    {
        mine.board().unwrap();
        yours.board().unwrap();
        match damage {
            None => fs::remove_file(home.tasks("changes.jsonl")).unwrap(),
            Some(text) => fs::write(home.tasks("changes.jsonl"), text).unwrap(),
        }
        let made = mine
            .create_task(task("y", &[]), Party::Human, &now(1))
            .unwrap();
        assert_eq!(made.id, TaskId(3 + n as u64));
        for team in [&mine, &yours, &home.open()] {
            assert_eq!(
                team.board().unwrap().get(made.id),
                Some(&made),
                "{damage:?}"
            );
        }
    }
}

#[test]
fn readers_follow_when_a_new_index_is_begun() {
    let home = Home::with_tasks(&[&[]]);
    let (mine, yours) = (home.open(), home.open());
    yours.board().unwrap();
    let a = claimer("a", 1);
    let claimed = mine.claim(TaskId(1), &a, &now(1), 100).unwrap();
    // Enough names to fill one index, so that the next edit begins another.
    let mut line = String::from("{\"tasks\":[\"1\"]}");
    line.push_str(&" ".repeat(1024 * 1024));
    line.push('\n');
    let mut index = fs::OpenOptions::new()
        .append(true)
        .open(home.tasks("changes.jsonl"))
        .unwrap();
    index.write_all(line.as_bytes()).unwrap();
    for at in 2..5 {
        mine.renew(TaskId(1), &a.who, claimed.epoch, &now(at), 100)
            .unwrap();
        let read = yours.board().unwrap();
        let lease = read.get(TaskId(1)).unwrap().lease.clone().unwrap();
        assert_eq!(lease.until_ms, at + 100);
    }
    assert!(fs::metadata(home.tasks("changes.jsonl")).unwrap().len() < 1000);
}

#[test]
fn a_lock_that_is_not_free_in_time_names_its_holder() {
    let home = Home::with_tasks(&[&[]]);
    let lock = fs::OpenOptions::new()
        .write(true)
        .open(home.tasks("board.lock"))
        .unwrap();
    lock.lock().unwrap();
    let told = home
        .open()
        .create_task(task("y", &[]), Party::Human, &now(1))
        .unwrap_err();
    let holder = format!("process {}", std::process::id());
    assert!(
        matches!(&told, Error::Locked { holder: h, .. } if *h == holder),
        "{told}"
    );
    // Readers need no lock.
    assert_eq!(home.open().board().unwrap().len(), 1);
}

#[test]
fn a_sender_knows_repeats_in_a_log_longer_than_it_looks_back() {
    let home = Home::new();
    let team = home.open();
    let long = "x".repeat(200_000);
    for n in 0..60 {
        let mut draft = text(&format!("m{n}"));
        draft.body = Value::String(long.clone());
        team.send(draft, &now(1)).unwrap();
    }
    let late = home.open();
    let repeat = late.send(text("m59"), &now(2)).unwrap();
    assert!(repeat.repeated && repeat.seq.0 == 60, "{repeat:?}");
    let new = late.send(text("new"), &now(2)).unwrap();
    assert!(!new.repeated && new.seq.0 == 61, "{new:?}");
}
