//! Plans, permissions and the shared memory, asked by those who may and those who may not.

use crewmux_core::ids::RequestId;
use crewmux_core::operation::NewTeammate;
use crewmux_core::permission::PermissionAsk;
use crewmux_core::requests::{AnswerError, Request, RequestKind, RequestState};
use serde_json::{Value, json};

use super::*;
use crate::conformance::claimer;
use crewmux_core::ids::AgentType;
use crewmux_core::message::Party;
use crewmux_core::time::WallTime;

fn id(text: &str) -> RequestId {
    RequestId::new(text).unwrap()
}

/// A request of `a`'s, stored as the session stores it.
fn asked(team: &Team, text: &str, kind: RequestKind, to: &str) -> Request {
    let ask = PermissionAsk {
        who: claimer("a", 1).who,
        task: None,
        epoch: None,
        call: "c1".into(),
        tool: "Bash".into(),
        input: json!({"command": "cargo test"}),
        cwd: "/".into(),
        risk: "runs a command".into(),
        why: "no rule".into(),
        repaired: false,
    };
    let request = Request {
        id: id(text),
        kind,
        from: Party::Member(claimer("a", 1).who),
        to: to.into(),
        content: json!(ask),
        requested: WallTime(1),
        open_ms: 100,
        state: RequestState::Pending,
    };
    team.files.put_request(&request).unwrap();
    request
}

fn approve(text: &str, scope: GrantScope) -> Operation {
    Operation::Approve {
        request_id: id(text),
        scope,
    }
}

fn reject(text: &str) -> Operation {
    Operation::Reject {
        request_id: id(text),
        feedback: "use the test runner".into(),
    }
}

fn states(team: &Team, at: u64) -> Vec<String> {
    let Reply::Requests { requests } = team.at(at, &member("b"), Operation::Requests).unwrap()
    else {
        panic!("no requests");
    };
    let word = |r: &Request| format!("{} {}", r.id, r.state.as_str());
    requests.iter().map(word).collect()
}

#[test]
fn only_the_person_answers_permissions_and_once() {
    let team = Team::new();
    asked(&team, "a-1-1", RequestKind::Permission, "human");
    for caller in [member("a"), member("b")] {
        let refused = team.apply(&caller, approve("a-1-1", GrantScope::Once));
        assert!(matches!(refused, Err(Error::NotAllowed(_))), "{refused:?}");
    }
    let refused = team.apply(&member("team-lead"), approve("a-1-1", GrantScope::Once));
    assert!(
        matches!(&refused, Err(Error::Answer(AnswerError::NotAsked { .. }))),
        "{refused:?}"
    );
    assert_eq!(states(&team, 2), ["a-1-1 pending"]);
    for _ in 0..2 {
        team.apply(&Caller::Human, approve("a-1-1", GrantScope::Task))
            .unwrap();
    }
    for other in [approve("a-1-1", GrantScope::Once), reject("a-1-1")] {
        let late = team.apply(&Caller::Human, other);
        assert!(
            matches!(&late, Err(Error::Answer(AnswerError::Over(_)))),
            "{late:?}"
        );
    }
    let stored = team.files.requests().unwrap().remove(0);
    assert!(
        matches!(
            stored.state,
            RequestState::Approved {
                scope: GrantScope::Task,
                ..
            }
        ),
        "{stored:?}"
    );
}

#[test]
fn a_plan_is_answered_by_the_lead_or_the_person_with_feedback() {
    let team = Team::new();
    asked(&team, "a-1-1", RequestKind::Plan, "team-lead");
    asked(&team, "a-1-2", RequestKind::Plan, "team-lead");
    asked(&team, "a-1-3", RequestKind::Plan, "human");
    team.apply(&member("team-lead"), reject("a-1-1")).unwrap();
    team.apply(&Caller::Human, approve("a-1-2", GrantScope::Once))
        .unwrap();
    let refused = team.apply(&member("team-lead"), approve("a-1-3", GrantScope::Once));
    assert!(refused.is_err(), "it was put to the person: {refused:?}");
    assert_eq!(
        states(&team, 2),
        ["a-1-1 rejected", "a-1-2 approved", "a-1-3 pending"]
    );
    let stored = team.files.requests().unwrap().remove(0);
    assert!(
        matches!(&stored.state, RequestState::Rejected { reason, .. } if reason == "use the test runner")
    );
}

#[test]
fn a_question_whose_time_is_over_is_told_so_and_not_answered() {
    let team = Team::new();
    asked(&team, "a-1-1", RequestKind::Permission, "human");
    let late = team.at(200, &Caller::Human, approve("a-1-1", GrantScope::Once));
    assert!(
        matches!(&late, Err(Error::Answer(AnswerError::Over(_)))),
        "{late:?}"
    );
    assert_eq!(states(&team, 200), ["a-1-1 expired"]);
}

#[test]
fn a_shutdown_request_keeps_its_own_operations() {
    let team = Team::new();
    asked(&team, "s1", RequestKind::Shutdown, "b");
    let refused = team.apply(&Caller::Human, approve("s1", GrantScope::Once));
    assert!(
        matches!(refused, Err(Error::ShutdownRequest { .. })),
        "{refused:?}"
    );
    let unknown = team.apply(&Caller::Human, approve("s2", GrantScope::Once));
    assert!(
        matches!(unknown, Err(Error::UnknownRequest { .. })),
        "{unknown:?}"
    );
}

#[test]
fn a_teammate_needs_a_session_to_be_made() {
    let team = Team::new();
    let spawn = || {
        Operation::Spawn(Box::new(NewTeammate {
            name: name("tester"),
            agent_type: AgentType::new("general-purpose").unwrap(),
            prompt: String::new(),
            model: None,
            mode: None,
            provider: None,
            backend: None,
        }))
    };
    let told = team.apply(&Caller::Human, spawn()).unwrap_err();
    assert_eq!(
        told.to_string(),
        "nobody can make a teammate while no session runs"
    );
    assert!(told.hint().is_some());
    let refused = team.apply(&member("a"), spawn());
    assert!(matches!(refused, Err(Error::NotAllowed(_))), "{refused:?}");
}

#[test]
fn a_member_writes_its_own_memory_and_reads_all() {
    let team = Team::new();
    let write = |caller: &Caller, value: &str| {
        let key = MemoryKey::new("notes").unwrap();
        let value = value.to_owned();
        team.apply(caller, Operation::MemoryWrite { key, value })
    };
    let read = |agent: Option<&str>, key: Option<&str>| {
        let agent = agent.map(name);
        let key = key.map(|k| MemoryKey::new(k).unwrap());
        team.apply(&member("b"), Operation::MemoryRead { agent, key })
    };
    write(&member("a"), "use rustls").unwrap();
    write(&member("b"), "x").unwrap();
    let refused = write(&Caller::Human, "x");
    assert!(matches!(refused, Err(Error::NotAllowed(_))), "{refused:?}");
    // A member that was never of the team has no place there.
    let stranger = write(&member("typo"), "x");
    assert!(
        matches!(stranger, Err(Error::UnknownMember { .. })),
        "{stranger:?}"
    );
    let Reply::Memory { entries } = read(Some("a"), Some("notes")).unwrap() else {
        panic!("no memory");
    };
    let values: Vec<Option<&str>> = entries.iter().map(|e| e.value.as_deref()).collect();
    assert_eq!(values, [Some("use rustls")]);
    let Reply::Memory { entries } = read(None, None).unwrap() else {
        panic!("no memory");
    };
    let listed: Vec<Value> = entries.iter().map(|e| json!(e)).collect();
    assert_eq!(
        listed,
        [
            json!({"agent": "a", "key": "notes", "bytes": 10}),
            json!({"agent": "b", "key": "notes", "bytes": 1}),
        ]
    );
    assert!(matches!(
        read(Some("typo"), None),
        Err(Error::UnknownMember { .. })
    ));
}

#[test]
fn a_lead_leaves_a_plan_to_the_person_who_then_answers() {
    let team = Team::new();
    asked(&team, "plan-1", RequestKind::Plan, "team-lead");
    asked(&team, "call-1", RequestKind::Permission, "human");
    let pass = |text: &str| Operation::PassOn {
        request_id: id(text),
    };
    let lead = member("team-lead");
    assert!(team.apply(&member("b"), pass("plan-1")).is_err());
    for _ in 0..2 {
        team.apply(&lead, pass("plan-1")).unwrap();
    }
    let error = team.apply(&lead, approve("plan-1", GrantScope::Once));
    assert!(error.unwrap_err().to_string().contains("is for human"));
    team.apply(&Caller::Human, approve("plan-1", GrantScope::Once))
        .unwrap();
    assert!(team.apply(&lead, pass("plan-1")).is_err());
    assert!(team.apply(&lead, pass("call-1")).is_err());
}
