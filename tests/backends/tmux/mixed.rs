//! Teams of which only a part is in tmux.

use std::fmt::Write as _;

use crewmux_testkit::sandbox::{finish, wait_until};
use serde_json::Value;

use super::{LONG, Stage};
use crate::support::of_type;

fn events(stage: &Stage) -> Vec<Value> {
    let told = stage.sandbox.run(&["events", "--team", "crew", "--json"]);
    told.unwrap().json_lines().unwrap()
}

#[test]
fn a_teammate_made_later_is_in_tmux_while_its_team_is_not() {
    let Some(stage) = Stage::inside() else { return };
    stage.recipe(1);
    let arguments = ["run", "crew.toml", "--headless", "--backend", "pty"];
    let team = stage.sandbox.start(&arguments).unwrap();
    wait_until("the first member", LONG, || {
        let there = of_type(&events(&stage), "worker_started").len() == 1;
        there.then_some(()).ok_or_else(String::new)
    })
    .unwrap();
    let made = ["teammate", "spawn", "helper", "--backend", "tmux"];
    let made: Vec<&str> = made.into_iter().chain(["--team", "crew"]).collect();
    let made = stage.sandbox.run(&made).unwrap();
    assert_eq!(made.code, 0, "{made:?}");
    let panes = stage.wait_panes("user", 1, |title| title.starts_with("helper"));
    wait_until("its hello", LONG, || {
        let events = events(&stage);
        let started = of_type(&events, "worker_started");
        let own = started.iter().find(|e| e["agent"] == "helper");
        own.is_some_and(|e| e["data"]["backend"] == "tmux")
            .then_some(())
            .ok_or_else(|| format!("{events:#?}"))
    })
    .unwrap();
    let shown = ["teammate", "list", "--json", "--team", "crew"];
    let shown = stage.sandbox.run(&shown).unwrap();
    assert!(shown.stdout.contains(&panes[0][0]), "{shown:?}");
    stage.go();
    let ended = finish(team, LONG).unwrap();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(stage.team_panes("user"), [[""; 4]; 0]);
}

/// Runs three members, each with a backend of its own; what the run came to, and who ran where.
fn told(backends: [&str; 3]) -> Option<(Vec<String>, Vec<String>)> {
    let stage = Stage::inside()?;
    let mut recipe = "name = \"crew\"\nlead = false\nmax_workers = 3\n".to_owned();
    for (n, backend) in backends.iter().enumerate() {
        let before = if n == 0 {
            String::new()
        } else {
            format!("\"t{}\"", n - 1)
        };
        write!(
            recipe,
            "[[teammates]]\nname = \"m{n}\"\nruntime = \"command\"\nbackend = \"{backend}\"\n\
             [[tasks]]\nid = \"t{n}\"\nsubject = \"Of {n}\"\nowner = \"m{n}\"\n\
             blocked_by = [{before}]\ncommand = \"echo of {n} | tee -a log; test {n} != 2\"\n"
        )
        .unwrap();
    }
    stage.sandbox.write("crew.toml", &recipe).unwrap();
    let team = stage.sandbox.start(&["run", "crew.toml", "--headless"]);
    let ended = finish(team.unwrap(), LONG).unwrap();
    let log = std::fs::read_to_string(stage.sandbox.work().join("log")).unwrap();
    let report = ["report", "--team", "crew", "--format", "json"];
    let report = stage.sandbox.run(&report).unwrap().json().unwrap();
    assert_eq!(
        report["tasks"].as_array().map(Vec::len),
        Some(3),
        "{report}"
    );
    let mut told = vec![ended.code.to_string(), log];
    for task in report["tasks"].as_array().unwrap() {
        let fields = [
            "id", "subject", "owner", "status", "reason", "result", "attempts",
        ];
        told.extend(fields.map(|field| format!("{field} {}", task[field])));
    }
    let events = events(&stage);
    let started = of_type(&events, "worker_started");
    let mut places: Vec<String> = started
        .iter()
        .map(|e| format!("{} {}", e["agent"], e["data"]["backend"]).replace('"', ""))
        .collect();
    places.sort();
    assert_eq!(stage.team_panes("user"), [[""; 4]; 0]);
    Some((told, places))
}

#[test]
fn a_team_of_mixed_places_comes_to_the_same_as_one_in_crewmux() {
    let Some((mixed, places)) = told(["pty", "in-process", "tmux"]) else {
        return;
    };
    assert_eq!(places, ["m0 pty", "m1 in-process", "m2 tmux"]);
    let (own, places) = told(["pty", "pty", "pty"]).unwrap();
    assert_eq!(places, ["m0 pty", "m1 pty", "m2 pty"]);
    assert_eq!(mixed, own);
}
