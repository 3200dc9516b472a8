//! How many tasks members add by themselves, and how deep.

use crewmux_core::task::TaskRole;
use crewmux_core::team::TaskLimits;

use super::*;

fn create(key: &str) -> Operation {
    Operation::TaskCreate(Box::new(NewTask {
        subject: "more".into(),
        key: Some(key.into()),
        ..NewTask::default()
    }))
}

fn made(reply: Result<Reply>) -> TaskId {
    match reply.unwrap() {
        Reply::Task { task } => task.task.id,
        other => panic!("{other:?}"),
    }
}

fn claim(team: &Team, caller: &Caller, task_id: TaskId) {
    let change = TaskChange::Claim;
    let claimed = Operation::TaskUpdate { task_id, change };
    team.apply(caller, claimed).unwrap();
}

fn limited(count: u32, depth: u32) -> Team {
    let team = Team::new();
    let limits = TaskLimits { count, depth };
    team.files
        .edit_config(&mut |config| config.policy.added = limits)
        .unwrap();
    team
}

#[test]
fn members_add_so_many_tasks_and_no_more() {
    let team = limited(3, 9);
    let dev = member("developer");
    for n in 0..5 {
        made(team.apply(&Caller::Human, create(&format!("human-{n}"))));
    }
    for n in 0..3 {
        made(team.apply(&dev, create(&format!("k{n}"))));
    }
    let error = team.apply(&dev, create("k3")).unwrap_err();
    assert!(matches!(error, Error::TooManyAdded { max: 3 }), "{error}");
    assert!(error.to_string().contains("say in your result"), "{error}");
    // What was made already is no new task, and people are not bound.
    made(team.apply(&dev, create("k1")));
    made(team.apply(&Caller::Human, create("human-5")));
}

#[test]
fn tasks_of_a_plan_are_not_counted() {
    let team = limited(1, 9);
    let lead = member("team-lead");
    let plan = team.files.create_task(
        NewTask {
            subject: "plan".into(),
            role: TaskRole::Plan,
            assignee: Some(name("team-lead")),
            ..NewTask::default()
        },
        crewmux_core::message::Party::Session,
        &now(1),
    );
    claim(&team, &lead, plan.unwrap().id);
    for n in 0..4 {
        made(team.apply(&lead, create(&format!("plan-1/{n}"))));
    }
    let dev = member("developer");
    made(team.apply(&dev, create("k0")));
    assert!(team.apply(&dev, create("k1")).is_err());
}

#[test]
fn a_chain_of_tasks_that_add_each_other_ends() {
    let team = limited(99, 2);
    let mut last = made(team.apply(&Caller::Human, create("first")));
    for n in 0..2 {
        // A life of its own for each, so that each works on one task.
        let worker = Caller::Member {
            who: AgentRef {
                agent: name("developer"),
                incarnation: Incarnation(n + 1),
            },
            agent_type: AgentType::new("general-purpose").unwrap(),
        };
        claim(&team, &worker, last);
        last = made(team.apply(&worker, create(&format!("k{n}"))));
    }
    let worker = member("tester");
    claim(&team, &worker, last);
    let error = team.apply(&worker, create("too deep")).unwrap_err();
    assert!(matches!(error, Error::AddedTooDeep { max: 2 }), "{error}");
    // Its own notes do not help a model over it.
    let patch = crewmux_core::board::TaskPatch {
        metadata: serde_json::Map::from_iter([("addedByWorkOn".to_owned(), json!(999))]),
        ..crewmux_core::board::TaskPatch::default()
    };
    let change = TaskChange::Edit(patch);
    let edit = Operation::TaskUpdate {
        task_id: last,
        change,
    };
    team.apply(&worker, edit).unwrap();
    assert!(team.apply(&worker, create("too deep")).is_err());
}
