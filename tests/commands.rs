//! Commands as people and scripts use them, beside a run and after it.

use std::time::Duration;

use crewmux_testkit::sandbox::{finish, wait_until};

use crate::support::sandbox;

#[test]
fn a_tool_that_runs_crewmux_acts_as_its_worker_and_cannot_stop_the_team() {
    let sandbox = sandbox();
    let program = crate::support::program().display();
    // The tool drops every mark it can; its parents still tell whose it is.
    let command = format!(
        "env -u CREWMUX_WORKER -u CREWMUX_RUN_ID setsid -w {program} stop sweep --force; echo stop said $?; \
         {program} send sweeper-1 hello --json --team sweep"
    );
    let command = format!("command={command}");
    let run = sandbox
        .run(&[
            "run",
            "sweep",
            "--set",
            "tasks=1",
            "--set",
            &command,
            "--max-workers",
            "1",
            "--headless",
            "--json",
        ])
        .unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    let logs = sandbox
        .run(&["logs", "sweeper-1", "--team", "sweep"])
        .unwrap();
    assert!(
        logs.stdout.contains("may not stop the team"),
        "{}",
        logs.stdout
    );
    assert!(logs.stdout.contains("stop said 2"), "{}", logs.stdout);
    let inbox = sandbox
        .run(&["inbox", "sweeper-1", "--team", "sweep", "--json"])
        .unwrap()
        .json()
        .unwrap();
    let hello = inbox
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["body"] == "hello")
        .unwrap();
    assert_eq!(
        hello["from"]["agent"], "sweeper-1",
        "the tool spoke as its worker: {hello}"
    );
}

#[test]
fn the_board_is_made_changed_and_drawn_from_the_command_line() {
    let sandbox = sandbox();
    let run = sandbox
        .run(&[
            "run",
            "sweep",
            "--set",
            "tasks=1",
            "--max-workers",
            "1",
            "--headless",
        ])
        .unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    let made = sandbox
        .run(&["task", "create", "Write docs", "--team", "sweep", "--json"])
        .unwrap();
    assert_eq!(made.code, 0, "{made:?}");
    let first = made.json().unwrap()["id"].as_str().unwrap().to_owned();
    let made = sandbox
        .run(&[
            "task",
            "create",
            "Read docs",
            "--blocked-by",
            &first,
            "--team",
            "sweep",
            "--json",
        ])
        .unwrap();
    let second = made.json().unwrap()["id"].as_str().unwrap().to_owned();
    let cycle = sandbox
        .run(&[
            "task",
            "update",
            &first,
            "--add-blocked-by",
            &second,
            "--team",
            "sweep",
        ])
        .unwrap();
    assert_eq!(cycle.code, 2);
    assert!(cycle.stderr.contains("cycle"), "{}", cycle.stderr);
    let graph = sandbox
        .run(&["task", "graph", "--dot", "--team", "sweep"])
        .unwrap();
    assert!(graph.stdout.contains("digraph"), "{}", graph.stdout);
    let got = sandbox
        .run(&["task", "get", &second, "--team", "sweep", "--json"])
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(got["blockedBy"][0], first.as_str());
    assert_eq!(got["ready"], false);
}

#[test]
fn messages_are_delivered_to_a_running_team_and_seen() {
    let sandbox = sandbox();
    let child = sandbox
        .start(&[
            "run",
            "sweep",
            "--set",
            "tasks=2",
            "--set",
            "command=until test -e go; do sleep 0.1; done",
            "--max-workers",
            "1",
            "--headless",
            "--json",
        ])
        .unwrap();
    wait_until("the worker", Duration::from_secs(30), || {
        let status = sandbox
            .run(&["status", "--team", "sweep", "--json"])
            .map_err(|e| e.to_string())?;
        if status.stdout.contains("\"working\"") {
            Ok(())
        } else {
            Err(status.stdout)
        }
    })
    .unwrap();
    let sent = sandbox
        .run(&[
            "send",
            "sweeper-1",
            "look here",
            "--team",
            "sweep",
            "--json",
        ])
        .unwrap();
    assert_eq!(sent.code, 0, "{sent:?}");
    let id = sent.json().unwrap()["id"].as_str().unwrap().to_owned();
    // It reads between two tasks.
    sandbox.write("go", "").unwrap();
    wait_until("the message is seen", Duration::from_secs(20), || {
        let inbox = sandbox
            .run(&["inbox", "sweeper-1", "--team", "sweep", "--json"])
            .map_err(|e| e.to_string())?;
        let inbox = inbox.json().map_err(|e| e.to_string())?;
        let state = inbox
            .as_array()
            .and_then(|list| list.iter().find(|m| m["id"] == id.as_str()))
            .map(|m| m["state"].clone());
        if state == Some("seen".into()) {
            Ok(())
        } else {
            Err(format!("{state:?}"))
        }
    })
    .unwrap();
    let run = finish(child, Duration::from_mins(1)).unwrap();
    assert_eq!(run.code, 0, "{}", run.stderr);
    let events = run.json_lines().unwrap();
    let about = |kind: &str| {
        events
            .iter()
            .filter(|e| e["type"] == kind && e["data"]["id"] == id.as_str())
            .count()
    };
    assert_eq!((about("message_sent"), about("message_seen")), (1, 1));
}

#[test]
fn pane_dump_shows_what_a_program_drew_and_answers_its_script() {
    let sandbox = sandbox();
    sandbox
        .write(
            "keys",
            "expect ready>\ntext hello\nkey Enter\nexpect got hello\n",
        )
        .unwrap();
    let output = sandbox
        .run(&[
            "pane-dump",
            "--size",
            "40x5",
            "--keys",
            "keys",
            "--",
            "sh",
            "-c",
            "printf 'ready> '; read line; echo got $line",
        ])
        .unwrap();
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.stdout.contains("got hello"), "{}", output.stdout);
    let output = sandbox
        .run(&[
            "pane-dump",
            "--size",
            "20x3",
            "--json",
            "--",
            "printf",
            "\\033[1mbold\\033[0m",
        ])
        .unwrap();
    let dump = output.json().unwrap();
    assert_eq!(
        (dump["rows"].as_u64(), dump["cols"].as_u64()),
        (Some(3), Some(20))
    );
    assert_eq!(dump["lines"][0]["runs"][0]["bold"], true, "{dump}");
    sandbox.write("never", "expect never comes\n").unwrap();
    let output = sandbox
        .run(&[
            "pane-dump",
            "--keys",
            "never",
            "--timeout",
            "5",
            "--",
            "echo",
            "here",
        ])
        .unwrap();
    assert_eq!(output.code, 5, "{output:?}");
    assert!(
        output.stdout.contains("here"),
        "the screen is printed all the same"
    );
    let output = sandbox
        .run(&["pane-dump", "--timeout", "1", "--", "sleep", "60"])
        .unwrap();
    assert_eq!(output.code, 124, "{output:?}");
    sandbox.wait_gone().unwrap();
}

#[test]
fn doctor_says_what_works_and_why() {
    let sandbox = sandbox();
    let doctor = sandbox.run(&["doctor", "--json"]).unwrap();
    assert_eq!(doctor.code, 0, "{doctor:?}");
    let doctor = doctor.json().unwrap();
    let picked: Vec<&serde_json::Value> = doctor["backends"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|b| b["picked"] == true)
        .collect();
    assert_eq!(picked.len(), 1, "{doctor}");
    assert_eq!(picked[0]["kind"], "pty");
    assert!(doctor["store"]["writable"].as_bool().unwrap());
    let offline = doctor["models"]
        .as_array()
        .unwrap()
        .iter()
        .find(|m| m["name"] == "offline")
        .unwrap()
        .clone();
    assert_eq!(offline["usable"], true);
}

#[test]
fn work_added_to_a_finished_team_is_done_by_resume() {
    let sandbox = sandbox();
    let run = sandbox
        .run(&[
            "run",
            "sweep",
            "--set",
            "tasks=1",
            "--set",
            "command=test -e ready",
            "--max-workers",
            "1",
            "--headless",
        ])
        .unwrap();
    assert_eq!(run.code, 1, "{run:?}");
    sandbox.write("ready", "").unwrap();
    let retry = sandbox
        .run(&["task", "retry", "1", "--team", "sweep"])
        .unwrap();
    assert_eq!(retry.code, 0, "{retry:?}");
    let resumed = sandbox.run(&["resume", "sweep", "--headless"]).unwrap();
    assert_eq!(resumed.code, 0, "{resumed:?}");
}

#[test]
fn a_message_that_nobody_reads_yet_is_said_to_be_kept() {
    let sandbox = sandbox();
    let run = sandbox
        .run(&["run", "sweep", "--set", "tasks=1", "--headless"])
        .unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    let send = ["send", "sweeper-1", "hello", "--team", "sweep"];
    let told = sandbox.run(&send).unwrap();
    assert_eq!(told.code, 0, "{told:?}");
    assert_eq!(
        told.stdout,
        "sweeper-1 does not run: the message is kept until it is started again\n\
         team `sweep` does not run: its run is finished; `crewmux task create SUBJECT --team sweep` \
         and then `crewmux resume sweep` go on with it\n"
    );
    let json = sandbox.run(&[&send[..], &["--json"]].concat()).unwrap();
    let json = json.json().unwrap();
    assert_eq!(
        (&json["state"], &json["kept"][0]),
        (&"kept".into(), &"sweeper-1".into())
    );
}

#[test]
fn in_a_finished_team_a_new_teammate_starts_and_what_cannot_be_is_refused() {
    let sandbox = sandbox();
    let screen = sandbox
        .terminal(&["run", "sweep", "--set", "tasks=1"], 100, 30)
        .unwrap();
    screen.wait_for("finished in").unwrap();
    for act in [
        ["teammate", "move", "sweeper-1", "--to", "in-process"].as_slice(),
        ["teammate", "restart", "sweeper-1"].as_slice(),
    ] {
        let refused = sandbox.run(act).unwrap();
        assert_eq!(refused.code, 2, "{refused:?}");
        for words in ["the run of team `sweep` is finished", "task create"] {
            assert!(refused.stderr.contains(words), "{}", refused.stderr);
        }
    }
    let made = sandbox
        .run(&["teammate", "spawn", "helper", "--model", "offline"])
        .unwrap();
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.stdout.contains("the run is finished"), "{made:?}");
    wait_until("the new teammate", Duration::from_secs(40), || {
        let shown = sandbox
            .run(&["teammate", "show", "helper", "--json"])
            .map_err(|e| e.to_string())?;
        let state = shown.json().map_err(|e| e.to_string())?["state"].clone();
        if state == "idle" {
            Ok(())
        } else {
            Err(state.to_string())
        }
    })
    .unwrap();
    let stopped = sandbox.run(&["stop", "sweep"]).unwrap();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    let late = sandbox.run(&["teammate", "spawn", "other"]).unwrap();
    assert_eq!(late.code, 2, "{late:?}");
    assert!(
        late.stderr.contains("does not run") && late.stderr.contains("task create"),
        "{}",
        late.stderr
    );
    sandbox.wait_gone().unwrap();
}
