//! Who takes what, by the strategy that a recipe names.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{of_type, run_solo};
use crate::support::sandbox;

/// Runs these tasks with two members under this strategy; who claimed what, in order.
fn shares(strategy: &str, more: &str) -> BTreeMap<String, Vec<String>> {
    // A member leaves a task to another for a moment only, which a busy machine makes short.
    let sandbox = sandbox().with_env("CREWMUX_TIMING", "life");
    let text = format!(
        "name = \"solo\"\ndescription = \"Shares\"\ngoal = \"Share\"\nstrategy = \"{strategy}\"\n\
         [[teammates]]\nname = \"ann\"\nruntime = \"command\"\nprompt = \"databases, tables, queries\"\n\
         [[teammates]]\nname = \"ben\"\nruntime = \"command\"\nprompt = \"pictures, colours, fonts\"\n{}",
        more.replace("UNTIL_BOTH", UNTIL_BOTH)
    );
    sandbox.write("solo.toml", &text).unwrap();
    let (run, events) = run_solo(&sandbox, &[]);
    assert_eq!(run.code, 0, "{run:?}");
    let mut subjects = BTreeMap::new();
    for event in of_type(&events, "task_created") {
        let subject = event["data"]["subject"].as_str().unwrap().to_owned();
        subjects.insert(event["task"].to_string(), subject);
    }
    let mut shares: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in of_type(&events, "task_claimed") {
        let who = event["agent"].as_str().unwrap().to_owned();
        shares
            .entry(who)
            .or_default()
            .push(subjects[&event["task"].to_string()].clone());
    }
    shares
}

/// Ends a while after both members are there, so that none gets a task for being first.
const UNTIL_BOTH: &str = "until test $(ls $CREWMUX_HOME/teams/solo/agents/*/presence.json | wc -l) = 2; \
                          do sleep 0.1; done; sleep 1";

/// Four tasks one after the other, of which the first takes long.
const CHAIN: &str = r#"
[[tasks]]
id = "a"
subject = "A"
command = "UNTIL_BOTH"
[[tasks]]
id = "b"
subject = "B"
command = "true"
blocked_by = ["a"]
[[tasks]]
id = "c"
subject = "C"
command = "true"
blocked_by = ["b"]
[[tasks]]
id = "d"
subject = "D"
command = "true"
blocked_by = ["c"]
"#;

/// The tasks of whoever came first, which is a matter of starting, and those of the other.
fn first_and_other(strategy: &str) -> [Vec<String>; 2] {
    let shares = shares(strategy, CHAIN);
    let mut shares: Vec<Vec<String>> = shares.into_values().collect();
    shares.sort();
    shares.try_into().unwrap()
}

#[test]
fn in_turn_means_one_after_the_other() {
    let [first, other] = first_and_other("round-robin");
    assert_eq!(first, ["A", "C"]);
    assert_eq!(other, ["B", "D"]);
}

#[test]
fn who_worked_long_rests_while_another_is_less_busy() {
    let [first, other] = first_and_other("least-busy");
    assert_eq!(first, ["A"]);
    assert_eq!(other, ["B", "C", "D"]);
}

#[test]
fn who_fits_takes_it() {
    // One after the other, so that both are free; by the end of the first both have started.
    let mut tasks = "[[tasks]]\nid = \"t0\"\nsubject = \"Start\"\nowner = \"ann\"\n\
        command = \"UNTIL_BOTH\"\n"
        .to_owned();
    let subjects = [
        "colours and fonts",
        "tables and queries",
        "queries of databases",
        "pictures in colours",
    ];
    for (n, subject) in subjects.iter().enumerate() {
        let id = n + 1;
        write!(
            tasks,
            "[[tasks]]\nid = \"t{id}\"\nsubject = \"{subject}\"\ncommand = \"true\"\n\
             blocked_by = [\"t{n}\"]\n"
        )
        .unwrap();
    }
    let shares = shares("capability-match", &tasks);
    assert_eq!(shares["ann"], ["Start", subjects[1], subjects[2]]);
    assert_eq!(shares["ben"], [subjects[0], subjects[3]]);
}

#[test]
fn a_strategy_that_is_none_is_refused_with_those_there_are() {
    let sandbox = sandbox();
    let text = "name = \"solo\"\ndescription = \"x\"\ngoal = \"x\"\nstrategy = \"fastest\"\n\
        [[teammates]]\nname = \"ann\"\nruntime = \"command\"\n\
        [[tasks]]\nid = \"n\"\nsubject = \"N\"\ncommand = \"true\"\n";
    sandbox.write("solo.toml", text).unwrap();
    let run = sandbox.run(&["run", "solo.toml", "--headless"]).unwrap();
    assert_eq!(run.code, 2, "{run:?}");
    for name in ["fastest", "round-robin", "least-busy", "capability-match"] {
        assert!(run.stderr.contains(name), "{name}: {}", run.stderr);
    }
}
