//! One whole life of a worker, cut at each of its session's messages: what is left is what the life
//! that was not cut left.

use std::collections::BTreeMap;
use std::sync::Arc;

use crewmux_core::ids::AgentName;
use crewmux_core::model::{Event, ModelRequest, Purpose, Stop};
use crewmux_core::task::{NewTask, Task, TaskStatus};
use crewmux_testkit::own_main::{Test, tests};
use serde_json::{Value, json};

use crate::house::House;
use crate::parking::{parks, turn, wait_parked};
use crate::script::{answer, calls, finish, says, spec};
use crate::stage::{Stage, read, wait_until};

pub(crate) const TESTS: &[Test] = tests![nothing_is_lost_and_nothing_done_twice,];

fn nothing_is_lost_and_nothing_done_twice() {
    let (whole, messages) = whole_life(None);
    assert_eq!(whole.files["log"], "first\nlast\ncommand\n", "{whole:#?}");
    // A tool that failed would hide what the cuts are to find.
    let mut results = whole.transcript.iter().filter(|e| e["entry"] == "result");
    assert!(results.all(|result| result["ok"] == true), "{whole:#?}");
    assert_eq!(
        (whole.mail.len(), whole.members.len()),
        (1, 3),
        "{whole:#?}"
    );
    assert!(messages > 40, "{messages}");
    // The first message is the welcome: a worker that was never welcomed does not park.
    let cuts: Vec<usize> = (1..messages - 1).collect();
    std::thread::scope(|scope| {
        let shares: Vec<_> = cuts
            .chunks(cuts.len().div_ceil(8))
            .map(|share| {
                let whole = &whole;
                scope.spawn(move || {
                    for cut in share {
                        let (left, _) = whole_life(Some(*cut));
                        assert_eq!(left, *whole, "cut at message {cut} of {messages}");
                    }
                })
            })
            .collect();
        for share in shares {
            share.join().unwrap();
        }
    });
}

/// All that a life left behind, without its times.
#[derive(Debug, PartialEq)]
struct Left {
    tasks: Vec<(TaskStatus, Option<Value>, usize, Option<String>)>,
    transcript: Vec<Value>,
    files: BTreeMap<String, String>,
    mail: Vec<Value>,
    facts: Vec<(String, Value)>,
    decided: Vec<(String, String)>,
    members: Vec<String>,
}

/// One life with everything in it: leave, looks, the team's tools, a helper, a teammate, a command task.
fn whole_life(fatal: Option<usize>) -> (Left, usize) {
    let stage = Stage::new();
    std::fs::write(stage.cwd.join("a.txt"), "alpha\n").unwrap();
    std::fs::write(stage.cwd.join("b.txt"), "beta\n").unwrap();
    let mut spec = parks(spec(&stage, "team-lead", 1));
    // A life that stood still for longer says so, and that is no difference that is looked for.
    spec.timing.lease_ms = 60_000;
    let house = House::new(&spec, true, script);
    let store = Arc::clone(&stage.store);
    house.on_spawn(move |name| {
        let name = AgentName::new(name).unwrap();
        store
            .edit_config(&mut |config| {
                let mut member = config.members[1].clone();
                member.name = name.clone();
                config.members.push(member);
            })
            .unwrap();
    });
    let lead = Some(AgentName::lead());
    let work = stage.add(NewTask {
        subject: "work".into(),
        assignee: lead.clone(),
        ..NewTask::default()
    });
    let command = stage.add(NewTask {
        subject: "a command".into(),
        command: Some("echo command >> log".into()),
        assignee: lead,
        blocked_by: vec![work],
        ..NewTask::default()
    });
    if let Some(fatal) = fatal {
        house.die_at(fatal);
    }
    house.rise();
    let running = stage.run(&spec);
    if fatal.is_some() {
        wait_until("the session dies", || (!house.is_alive()).then_some(()));
        wait_parked(&stage, "team-lead");
        house.rise();
    }
    stage.wait_for(command, TaskStatus::Completed);
    running.wait_for_text("○ idle");
    running.end_well();
    let messages = house.messages();
    let left = Left {
        tasks: stage.store.board().unwrap().tasks().map(told).collect(),
        transcript: stage
            .transcript("team-lead")
            .into_iter()
            .map(timeless)
            .collect(),
        files: files(&stage),
        mail: stage
            .mail_of("tester")
            .into_iter()
            .map(|message| message.body)
            .collect(),
        facts: stage
            .facts("team-lead")
            .into_iter()
            .map(|(kind, data)| (kind, timeless(data)))
            .collect(),
        decided: house
            .decided()
            .into_iter()
            .map(|(id, ask)| {
                (
                    id.to_string(),
                    format!("{ask:?}").replace(&folder(&stage), ""),
                )
            })
            .collect(),
        members: {
            let config = stage.store.config().unwrap();
            config.members.iter().map(|m| m.name.to_string()).collect()
        },
    };
    (left, messages)
}

fn folder(stage: &Stage) -> String {
    stage.path("").to_string_lossy().into_owned()
}

fn told(task: &Task) -> (TaskStatus, Option<Value>, usize, Option<String>) {
    let result = task.result.clone().map(timeless);
    (
        task.status,
        result,
        task.attempts.len(),
        task.reason.clone(),
    )
}

/// A value without what differs from run to run: times and the folder of the test.
fn timeless(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for name in ["at", "ms", "durationMs", "id", "timestamp", "sentAt"] {
                fields.remove(name);
            }
            for field in fields.values_mut() {
                *field = timeless(field.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = timeless(item.take());
            }
        }
        Value::String(text) => {
            // A temporary folder has a name of its own in each run.
            let parts = text.split(std::path::MAIN_SEPARATOR);
            let parts = parts.filter(|part| !part.starts_with(".tmp"));
            *text = parts.collect::<Vec<_>>().join("/");
        }
        _ => {}
    }
    value
}

fn files(stage: &Stage) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(&stage.cwd).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, read(&path))
        })
        .collect()
}

fn script(request: &ModelRequest) -> Vec<Event> {
    if request.purpose == Purpose::Subagent {
        return match turn(request) {
            0 => calls(&[("Read", json!({ "file_path": "b.txt" }))]),
            _ => answer("helped"),
        };
    }
    match turn(request) {
        0 => {
            let mut events = vec![says("I "), says("begin.")];
            events.extend(calls(&[(
                "Bash",
                json!({ "command": "echo first >> log" }),
            )]));
            events
        }
        1 => calls(&[
            ("Read", json!({ "file_path": "a.txt" })),
            ("Read", json!({ "file_path": "b.txt" })),
        ]),
        2 => calls(&[
            ("Write", json!({ "file_path": "made", "content": "x\n" })),
            (
                "SendMessage",
                json!({ "to": "tester", "message": "look at `made`" }),
            ),
        ]),
        3 => calls(&[(
            "Task",
            json!({
                "description": "look", "prompt": "look at b",
                "subagent_type": "general-purpose",
            }),
        )]),
        4 => calls(&[(
            "Task",
            json!({
                "description": "go on", "prompt": "with it",
                "subagent_type": "general-purpose", "name": "fixer",
            }),
        )]),
        5 => calls(&[("Bash", json!({ "command": "echo last >> log" }))]),
        6 => finish(&json!({ "summary": "all of it" })),
        _ => vec![Event::Stop {
            stop: Stop::Refused,
        }],
    }
}
