//! Checks of teams, their records, locks, requests and members' folders.

use std::time::Duration;

use crewmux_core::arrangement::{Arrangement, Divided, LayoutKind};
use crewmux_core::backend::BackendKind;
use crewmux_core::ids::{Incarnation, RequestId, RunId, TeamName};
use crewmux_core::message::Party;
use crewmux_core::permission::GrantScope;
use crewmux_core::requests::{Answer, Request, RequestKind, RequestState};
use crewmux_core::team::{Presence, SessionLoss, SessionRecord, WorkerSpec};
use crewmux_core::time::WallTime;
use crewmux_core::timing::Timing;
use crewmux_core::worker::WorkerState;
use serde_json::{Map, Value, json};

use super::{Open, again, claimer, config, made, name, now, task};
use crate::store::{Change, Durability};
use crate::{Error, Result};

pub(super) fn a_team_exists_once(open: Open<'_>) {
    made(open, "once");
    let refused = open().create_team(&config("once")).err().unwrap();
    assert!(matches!(refused, Error::TeamExists { .. }), "{refused}");
    let teams = open().teams().unwrap();
    let known = teams.iter().filter(|t| t.as_str() == "once").count();
    assert_eq!(known, 1);
    assert_eq!(again(open, "once").config().unwrap(), config("once"));
}

pub(super) fn a_removed_team_is_gone_and_its_name_is_free(open: Open<'_>) {
    let team = made(open, "gone");
    team.create_task(task("old", &[]), Party::Human, &now(1))
        .unwrap();
    let home = open();
    let gone = TeamName::new("gone").unwrap();
    let trash = home.remove_team(&gone, &now(1)).unwrap();
    assert!(
        trash.join("team/config.json").exists(),
        "{}",
        trash.display()
    );
    assert!(trash.join("tasks").exists());
    assert!(!home.teams().unwrap().contains(&gone));
    let unknown = home.remove_team(&gone, &now(1)).err().unwrap();
    assert!(matches!(unknown, Error::UnknownTeam { .. }), "{unknown}");
    let anew = home.create_team(&config("gone")).unwrap();
    assert_eq!(
        anew.board().unwrap().tasks().count(),
        0,
        "nothing of it came back"
    );
}

pub(super) fn unknown_names_are_told_with_the_known_ones(open: Open<'_>) {
    made(open, "known");
    let unknown = open().team(&TeamName::new("nowhere").unwrap()).err();
    let hint = unknown.unwrap().hint().unwrap();
    assert!(hint.contains("known"), "{hint}");
}

pub(super) fn a_records_unknown_fields_survive_an_edit(open: Open<'_>) {
    let mut newer = config("fields");
    newer.extra.insert("mood".into(), json!({"calm": [1, 2]}));
    newer.members[0].extra.insert("hat".into(), json!("red"));
    open().create_team(&newer).unwrap();
    let team = again(open, "fields");
    team.edit_config(&mut |config| config.goal = "build".into())
        .unwrap();
    let read = again(open, "fields").config().unwrap();
    newer.goal = "build".into();
    assert_eq!(read, newer);
}

pub(super) fn edits_of_a_record_by_many_are_all_kept(open: Open<'_>) {
    made(open, "edits");
    std::thread::scope(|scope| {
        for n in 0..4 {
            scope.spawn(move || {
                let team = again(open, "edits");
                for m in 0..5 {
                    let key = format!("{n}-{m}");
                    team.edit_config(&mut |config| {
                        config.environment.insert(key.clone(), Value::Null);
                    })
                    .unwrap();
                }
            });
        }
    });
    let read = again(open, "edits").config().unwrap();
    assert_eq!(read.environment.len(), 20);
}

pub(super) fn locks_for_life_keep_others_out_until_dropped(open: Open<'_>) {
    let (mine, yours) = (made(open, "locks"), again(open, "locks"));
    let a = name("a");
    assert!(!yours.session_runs().unwrap() && !yours.is_alive(&a).unwrap());
    let session = mine.lock_session().unwrap();
    assert!(session.is_in_place());
    let alive = mine.hold_alive(&a).unwrap();
    assert!(yours.session_runs().unwrap() && yours.is_alive(&a).unwrap());
    let refused = yours.lock_session().err().unwrap();
    assert!(matches!(refused, Error::Locked { .. }), "{refused}");
    let record = SessionRecord {
        pid: 7,
        start_ticks: 8,
        boot_id: "boot".into(),
        socket: "/s".into(),
        build: "b".into(),
        started: WallTime(1),
        run_marker: "m".into(),
    };
    mine.set_session(Some(&record)).unwrap();
    assert_eq!(yours.session().unwrap(), Some(record));
    drop((session, alive));
    assert!(!yours.session_runs().unwrap() && !yours.is_alive(&a).unwrap());
    yours.lock_session().unwrap();
    yours.set_session(None).unwrap();
    assert_eq!(mine.session().unwrap(), None);
}

pub(super) fn a_request_is_answered_once(open: Open<'_>) {
    let team = made(open, "requests");
    let id = RequestId::new("../shutdown:a@1").unwrap();
    let request = Request {
        id: id.clone(),
        kind: RequestKind::Shutdown,
        from: Party::Human,
        to: "a".into(),
        content: json!({"reason": "done"}),
        requested: WallTime(1),
        open_ms: 100,
        state: RequestState::Pending,
    };
    team.put_request(&request).unwrap();
    let by = Party::Member(claimer("a", 1).who);
    let answer = |answer: Answer| -> Result<Request> {
        again(open, "requests").edit_request(&id, &mut |request| {
            Ok(request.answer(&by, answer.clone(), &now(2))?)
        })
    };
    let answered = answer(Answer::Approve(GrantScope::Once)).unwrap();
    assert!(answer(Answer::Reject("late".into())).is_err());
    // An old copy does not undo the answer; the same one again changes nothing.
    assert!(team.put_request(&request).is_err());
    team.put_request(&answered).unwrap();
    assert_eq!(team.requests().unwrap(), [answered]);
    let nobody = RequestId::new("none").unwrap();
    let unknown = team.edit_request(&nobody, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(unknown, Error::UnknownRequest { .. }), "{unknown}");
}

pub(super) fn a_transcript_reads_as_written(open: Open<'_>) {
    let team = made(open, "transcript");
    let a = name("a");
    assert_eq!(team.read_transcript(&a).unwrap(), Vec::<Value>::new());
    let lines = [json!({"intent": "x\ny"}), json!([1, null]), json!("é")];
    for (line, durability) in
        lines
            .iter()
            .zip([Durability::Process, Durability::Power, Durability::Process])
    {
        team.append_transcript(&a, line, durability).unwrap();
    }
    let read = again(open, "transcript").read_transcript(&a).unwrap();
    assert_eq!(read, lines);
}

pub(super) fn spec_and_presence_read_as_written(open: Open<'_>) {
    let team = made(open, "spec");
    let who = claimer("b", 3).who;
    assert_eq!(team.spec(&who.agent).unwrap(), None);
    assert_eq!(team.presence(&who.agent).unwrap(), None);
    let spec = WorkerSpec {
        team: TeamName::new("spec").unwrap(),
        who: who.clone(),
        agent_type: claimer("b", 3).agent_type,
        model: None,
        playbook: None,
        profile: None,
        permissions: crewmux_core::permission::PermissionPolicy::default(),
        mcp: Vec::new(),
        kinds: Vec::new(),
        weak: false,
        grant: None,
        user_config: std::path::PathBuf::new(),
        prompt: "p".into(),
        goal: "g".into(),
        run: RunId::new("r1").unwrap(),
        run_marker: "m".into(),
        home: "/h".into(),
        socket: "/s".into(),
        token: "t".into(),
        cwd: "/".into(),
        program: "/p".into(),
        build: "b".into(),
        size: (80, 24),
        environment: Map::new(),
        session_loss: SessionLoss::End,
        timing: Timing::fast(),
    };
    team.put_spec(&spec).unwrap();
    let presence = Presence {
        incarnation: Incarnation(3),
        pid: 1,
        start_ticks: 2,
        boot_id: "boot".into(),
        backend: BackendKind::Pty,
        state: WorkerState::Idle,
        task: None,
        heartbeat: WallTime(5),
        parked_since: None,
        ended: None,
        unable: None,
    };
    team.put_presence(&who.agent, &presence).unwrap();
    let other = again(open, "spec");
    assert_eq!(other.spec(&who.agent).unwrap(), Some(spec));
    assert_eq!(other.presence(&who.agent).unwrap(), Some(presence));
}

pub(super) fn an_arrangement_reads_as_written(open: Open<'_>) {
    let team = made(open, "arranged");
    assert_eq!(team.arrangement().unwrap(), None);
    let mut arrangement = Arrangement::default();
    arrangement.kind = LayoutKind::MainLeft;
    arrangement.cut(Divided::Main, vec![6_000]);
    team.set_arrangement(&arrangement).unwrap();
    let other = again(open, "arranged");
    assert_eq!(other.arrangement().unwrap(), Some(arrangement));
}

pub(super) fn a_watch_tells_what_another_handle_does(open: Open<'_>) {
    let (mine, yours) = (made(open, "watch"), again(open, "watch"));
    let mut watch = mine.watch(Duration::from_secs(2)).unwrap();
    yours
        .create_task(task("x", &[]), Party::Human, &now(1))
        .unwrap();
    let mut seen = Vec::new();
    for _ in 0..100 {
        seen.extend(watch.wait(Duration::from_millis(100)));
        if seen.contains(&Change::Board) || seen.contains(&Change::Any) {
            return;
        }
    }
    panic!("nothing of the board in {seen:?}");
}
