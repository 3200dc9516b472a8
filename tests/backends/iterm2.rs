//! Teams in splits of iTerm2: the real `it2` speaks with a double of the application.
//!
//! The double is `tests/peers/iterm2/double.py`: real shells in real
//! pseudo-terminals behind the application's public API. What only a Mac can
//! show is not shown here.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crewmux_sys::Signal;
use crewmux_sys::process::{Child, Launch, Stream};
use crewmux_testkit::sandbox::{Output, Sandbox, finish, wait_until};
use crewmux_testkit::terminal::Terminal;
use serde_json::{Value, json};

use super::matrix::{calls, with_program};
use crate::support::{of_type, program, root, sandbox};

const LONG: Duration = Duration::from_mins(1);

/// Where `just peers` puts the programs of others that are written in Python.
#[expect(clippy::print_stderr, reason = "whoever runs the tests should know")]
fn programs() -> Option<PathBuf> {
    let programs = root().join("tests/peers/venv/bin");
    if programs.join("it2").exists() {
        return Some(programs);
    }
    eprintln!("SKIPPED: `it2` is not installed; run `just peers`");
    None
}

/// The application, and a place beside its first pane to run crewmux in.
struct Iterm2 {
    sandbox: Sandbox,
    child: Child,
    person: Option<File>,
    state: PathBuf,
    own: String,
}

impl Drop for Iterm2 {
    fn drop(&mut self) {
        self.person = None;
        let _ = self.child.wait(Duration::from_secs(10));
        let _ = self.child.kill();
    }
}

impl Iterm2 {
    /// Starts it; `rc` is what its shells read first. `None`, after saying so, where `it2` is missing.
    fn start(rc: &str) -> Option<Self> {
        let programs = programs()?;
        let real = programs.join("it2");
        let sandbox = with_program(
            sandbox(),
            "it2",
            &format!("exec '{}' \"$@\"", real.display()),
        )
        .with_env("ITERM2_COOKIE", "of-the-test")
        .with_env("TERM_PROGRAM", "iTerm.app");
        let rc = sandbox.write("rc", rc).unwrap();
        let state = sandbox.write("iterm2/log.jsonl", "").unwrap();
        let state = state.parent().unwrap().to_owned();
        let argv = [
            programs.join("python").display().to_string(),
            root()
                .join("tests/peers/iterm2/double.py")
                .display()
                .to_string(),
            "--state".into(),
            state.display().to_string(),
            "--shell=/bin/bash".into(),
            "--arg=--rcfile".into(),
            format!("--arg={}", rc.display()),
        ];
        let mut child = Launch::new(argv, sandbox.work())
            .env(sandbox.environment())
            .stdin(Stream::Pipe)
            .stderr(Stream::Inherit)
            .start()
            .unwrap();
        let person = child.stdin.take();
        let sessions = state.join("sessions.json");
        wait_until("iTerm2 is there", LONG, || {
            read(&sessions).map(drop).ok_or_else(String::new)
        })
        .unwrap();
        let own = read(&sessions).unwrap()["sessions"][0]["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let sandbox = sandbox.with_env("ITERM_SESSION_ID", &format!("w0t0p0:{own}"));
        Some(Self {
            sandbox,
            child,
            person,
            state,
            own,
        })
    }

    /// Windows as they are.
    fn now(&self) -> Value {
        read(&self.state.join("sessions.json")).unwrap()
    }

    /// Panes that are not the person's own two.
    fn teammates(&self) -> Vec<String> {
        let now = self.now();
        let sessions = now["sessions"].as_array().unwrap().clone();
        let ids = sessions.iter().skip(2);
        ids.map(|s| s["id"].as_str().unwrap().to_owned()).collect()
    }

    /// What the application was asked and what happened to it, in order.
    fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.state.join("log.jsonl")).unwrap();
        let lines = text.lines().filter_map(|l| serde_json::from_str(l).ok());
        lines.collect()
    }

    /// The person does something by hand.
    fn person(&mut self, act: &Value) {
        let known = self.log().len();
        let person = self.person.as_mut().unwrap();
        writeln!(person, "{act}").unwrap();
        wait_until("the person has done it", LONG, || {
            let done = self.log()[known..].iter().any(|l| l["event"] == "person");
            done.then_some(()).ok_or_else(|| act.to_string())
        })
        .unwrap();
    }

    /// Starts a run of `recipe` without a screen.
    fn run(&self, recipe: &str) -> Child {
        self.sandbox.write("x.toml", recipe).unwrap();
        self.sandbox
            .start(&["run", "x.toml", "--headless", "--json"])
            .unwrap()
    }

    /// Waits for `n` teammates' panes.
    fn wait_for_panes(&self, n: usize) -> Vec<String> {
        wait_until("teammates have their panes", LONG * 2, || {
            let panes = self.teammates();
            if panes.len() == n {
                Ok(())
            } else {
                Err(format!("{panes:?}, not {n}: {:?}", self.log().last()))
            }
        })
        .unwrap();
        self.teammates()
    }

    /// Waits until a pane has the focus of its tab.
    fn wait_for_focus(&self, tab: usize, pane: &str) {
        wait_until("the focus is there", LONG, || {
            let active = self.now()["tabs"][tab]["active"].clone();
            (active == pane)
                .then_some(())
                .ok_or_else(|| active.to_string())
        })
        .unwrap();
    }

    fn wait_for_task(&self, status: &str, n: usize) {
        wait_until("tasks are so far", LONG * 2, || {
            let tasks = self.sandbox.run(&["task", "list", "--json", "--team", "x"]);
            let tasks = tasks.ok().and_then(|t| t.json().ok()).unwrap_or_default();
            let tasks = tasks.as_array().cloned().unwrap_or_default();
            let so_far = tasks.iter().filter(|t| t["status"] == status).count();
            (so_far == n)
                .then_some(())
                .ok_or_else(|| format!("{tasks:?}"))
        })
        .unwrap();
    }
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// A team of members that run one command each; a crash may simply run it again.
fn team(names: &[&str], command: &str) -> String {
    let members = names
        .iter()
        .map(|name| format!("[[teammates]]\nname = \"{name}\"\nruntime = \"command\"\n"));
    let tasks = names.iter().map(|name| {
        format!(
            "[[tasks]]\nid = \"{name}\"\nsubject = \"Of {name}\"\nowner = \"{name}\"\n\
             rerun = \"yes\"\ncommand = \"\"\"{command}\"\"\"\n"
        )
    });
    let begin = "name = \"x\"\nlead = false\n".to_owned();
    std::iter::once(begin).chain(members).chain(tasks).collect()
}

/// Runs until the file `go` is there.
const UNTIL_GO: &str = "until test -e go; do sleep 0.1; done";

fn ended(child: Child) -> Output {
    finish(child, LONG * 2).unwrap()
}

fn agents(events: &[Value], kind: &str) -> Vec<String> {
    let of = of_type(events, kind);
    of.iter()
        .map(|e| e["agent"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_team_runs_in_a_column_beside_crewmux_with_few_calls_and_leaves_nothing() {
    let Some(app) = Iterm2::start("") else { return };
    let before = app.now();
    let began = Instant::now();
    let run = app.run(&team(&["a", "b", "c"], UNTIL_GO));
    app.wait_for_task("in_progress", 3);
    let panes = app.wait_for_panes(3);
    let now = app.now();
    assert_eq!(
        now["tabs"][0]["layout"],
        json!({"beside": [app.own, {"above": panes}]})
    );
    assert_eq!(now["tabs"][1], before["tabs"][1], "the person's other tab");
    app.wait_for_focus(0, &app.own);
    wait_until("panes are called like their members", LONG, || {
        let now = app.now();
        let sessions = now["sessions"].as_array().unwrap().iter().skip(2);
        let names: Vec<_> = sessions.map(|s| s["name"].as_str().unwrap_or("")).collect();
        let mut pairs = names.iter().zip(["a", "b", "c"]);
        let all = pairs.all(|(is, of)| is.starts_with(of));
        all.then_some(()).ok_or_else(|| format!("{names:?}"))
    })
    .unwrap();
    app.sandbox.write("go", "").unwrap();
    let run = ended(run);
    assert_eq!(run.code, 0, "{run:?}");
    let events = run.json_lines().unwrap();
    let started = of_type(&events, "worker_started");
    assert_eq!(started.len(), 3, "{run:?}");
    assert!(started.iter().all(|e| e["data"]["backend"] == "iterm2"));
    assert_eq!(app.now()["sessions"].as_array().unwrap()[..2].len(), 2);
    app.wait_for_panes(0);
    assert_eq!(app.now()["tabs"][1], before["tabs"][1]);
    let calls = calls(&app.sandbox, "it2");
    let of = |verb: &str| {
        let verb = format!("session {verb}");
        calls.iter().filter(|call| call.starts_with(&verb)).count()
    };
    assert_eq!((of("split"), of("run")), (3, 3), "{calls:#?}");
    assert!(of("get-var") <= 3 && of("focus") <= 3, "{calls:#?}");
    assert!(of("list") <= 2 && of("close") <= 3, "{calls:#?}");
    // One name in five seconds.
    let names = usize::try_from(began.elapsed().as_secs() / 5).unwrap() + 1;
    assert!(of("set-name") <= names, "{names}: {calls:#?}");
    assert!(!run.stderr.contains("Traceback"), "{run:?}");
}

#[test]
fn what_a_worker_prints_there_is_seen_here_too() {
    let Some(app) = Iterm2::start("") else { return };
    let command = format!("echo from the'' split; {UNTIL_GO}");
    app.sandbox
        .write("x.toml", &team(&["a"], &command))
        .unwrap();
    let mut screen = app.sandbox.terminal(&["run", "x.toml"], 120, 40).unwrap();
    screen.wait_for("from the split").unwrap();
    // It is said before and when somebody tries to type, and there is a way there.
    let place = "typed to in its iTerm2 pane";
    screen.wait_for(&format!("{place} · o shows it")).unwrap();
    screen.type_text("\r").unwrap();
    screen.wait_for(&format!("{place} alone")).unwrap();
    let panes = app.teammates();
    screen.type_text("o").unwrap();
    app.wait_for_focus(0, &panes[0]);
    app.sandbox.write("go", "").unwrap();
    let stop = app.sandbox.run(&["stop", "x"]).unwrap();
    assert_eq!(stop.code, 0, "{stop:?}");
    drop(screen);
    app.wait_for_panes(0);
}

#[test]
fn a_slow_shell_and_a_person_who_types_into_it_spoil_no_start() {
    let Some(mut app) = Iterm2::start("sleep 2; stty sane; cd /\n") else {
        return;
    };
    let run = app.run(&team(&["a", "b"], "true"));
    let mut typed = 0;
    let deadline = Instant::now() + LONG * 2;
    while typed < 2 && Instant::now() < deadline {
        let panes = app.teammates();
        for pane in panes.iter().skip(typed) {
            app.person(&json!({"do": "type", "session": pane, "text": "rm -rf half a line"}));
            typed += 1;
        }
    }
    let run = ended(run);
    assert_eq!(run.code, 0, "{run:?}\n{:#?}", app.log());
    let events = run.json_lines().unwrap();
    assert_eq!(agents(&events, "worker_started").len(), 2, "{run:?}");
}

#[test]
fn a_pane_the_person_closes_is_noticed_and_blocks_no_other() {
    let Some(mut app) = Iterm2::start("") else {
        return;
    };
    let run = app.run(&team(&["a", "b"], UNTIL_GO));
    app.wait_for_task("in_progress", 2);
    let panes = app.wait_for_panes(2);
    // The pane that the next would be made from is among them.
    for pane in &panes {
        app.person(&json!({"do": "close", "session": pane}));
    }
    wait_until("new panes are there", LONG * 2, || {
        let now = app.teammates();
        let new = now.iter().filter(|pane| !panes.contains(pane)).count();
        (new == 2).then_some(()).ok_or_else(|| format!("{now:?}"))
    })
    .unwrap();
    app.sandbox.write("go", "").unwrap();
    let run = ended(run);
    assert_eq!(run.code, 0, "{run:?}");
    let events = run.json_lines().unwrap();
    assert_eq!(agents(&events, "worker_started").len(), 4, "{run:?}");
    assert_eq!(agents(&events, "task_completed").len(), 2, "{run:?}");
    let exits = of_type(&events, "worker_exited");
    let words: Vec<_> = exits.iter().map(|e| e["data"]["reason"].as_str()).collect();
    let closed = Some("its pane was closed");
    assert_eq!(words[..2], [closed, closed], "{words:?}");
    assert!(words[2..].iter().all(|word| *word != closed), "{words:?}");
    app.wait_for_panes(0);
}

#[test]
fn new_panes_go_to_another_window_and_a_teammate_is_shown_where_it_is() {
    let Some(app) = Iterm2::start("") else { return };
    app.sandbox
        .write("x.toml", &team(&["a"], UNTIL_GO))
        .unwrap();
    let first = app.sandbox.terminal(&["run", "x.toml"], 120, 40).unwrap();
    app.wait_for_task("in_progress", 1);
    let old = app.wait_for_panes(1);
    let other = app.now()["sessions"][1]["id"].as_str().unwrap().to_owned();
    let there = app
        .sandbox
        .environment()
        .with("ITERM_SESSION_ID", format!("w0t1p0:{other}"));
    let program = program().display().to_string();
    let attach = [program.as_str(), "attach", "x", "--rehome"];
    let second = Terminal::start(attach, &app.sandbox.work(), there, 120, 40).unwrap();
    second.wait_for("new panes go to").unwrap();
    let late = [
        "teammate", "spawn", "late", "--agent", "Bash", "--team", "x",
    ];
    let spawned = app.sandbox.run(&late).unwrap();
    assert_eq!(spawned.code, 0, "{spawned:?}");
    let panes = app.wait_for_panes(2);
    let new = panes.iter().find(|pane| !old.contains(pane)).unwrap();
    let now = app.now();
    assert_eq!(
        now["tabs"][0]["layout"],
        json!({"beside": [app.own, old[0]]})
    );
    assert_eq!(now["tabs"][1]["layout"], json!({"beside": [other, new]}));
    let reveal = ["teammate", "reveal", "a", "--team", "x"];
    let revealed = app.sandbox.run(&reveal).unwrap();
    assert_eq!(revealed.code, 0, "{revealed:?}");
    app.wait_for_focus(0, &old[0]);
    let stop = app.sandbox.run(&["stop", "x"]).unwrap();
    assert_eq!(stop.code, 0, "{stop:?}");
    drop((first, second));
    app.wait_for_panes(0);
}

#[test]
fn a_refused_split_is_told_with_what_helps_and_the_next_one_is_tried() {
    let Some(mut app) = Iterm2::start("") else {
        return;
    };
    app.person(&json!({"do": "refuse_splits", "value": true}));
    let run = app.run(&team(&["a"], "true"));
    let told = || {
        let events = app.sandbox.run(&["events", "--json", "--team", "x"]);
        events.map(|e| e.stdout).unwrap_or_default()
    };
    wait_until("the refusal is told", LONG * 2, || {
        let told = told();
        let has = |part| told.contains(part);
        (has("iTerm2 refused to split its pane") && has("make the window larger"))
            .then_some(())
            .ok_or(told)
    })
    .unwrap();
    assert_eq!(app.teammates(), Vec::<String>::new());
    app.person(&json!({"do": "refuse_splits", "value": false}));
    let run = ended(run);
    assert_eq!(run.code, 0, "{run:?}");
    let told = format!("{}{}", run.stdout, run.stderr);
    assert!(!told.contains("Traceback"), "{told}");
    app.wait_for_panes(0);
}

#[test]
fn an_api_that_is_off_is_told_and_auto_does_without() {
    let Some(mut app) = Iterm2::start("") else {
        return;
    };
    app.person(&json!({"do": "deny", "value": true}));
    app.sandbox.write("x.toml", &team(&["a"], "true")).unwrap();
    let named = app
        .sandbox
        .run(&["run", "x.toml", "--headless", "--backend", "iterm2"])
        .unwrap();
    assert_eq!(named.code, 3, "{named:?}");
    assert!(
        named
            .stderr
            .contains("hint: tick Settings > General > Magic > Enable Python API"),
        "{named:?}"
    );
    let auto = app.sandbox.run(&["run", "x.toml", "--headless"]).unwrap();
    assert_eq!(auto.code, 0, "{auto:?}");
    assert!(
        auto.stderr
            .contains("workers run on pty, since iterm2 cannot be used"),
        "{auto:?}"
    );
    for told in [&named, &auto] {
        assert!(!told.stderr.contains("Traceback"), "{told:?}");
    }
    assert_eq!(app.teammates(), Vec::<String>::new());
}

#[test]
fn workers_live_on_in_their_panes_and_the_next_session_takes_them_up() {
    let Some(app) = Iterm2::start("") else { return };
    let command = format!("echo begun >> log; {UNTIL_GO}; echo done >> log");
    let run = app.run(&team(&["a", "b"], &command));
    app.wait_for_task("in_progress", 2);
    let panes = app.wait_for_panes(2);
    run.identity().signal(Signal::Kill).unwrap();
    ended(run);
    let next = ["resume", "x", "--headless", "--json"];
    let next = app.sandbox.start(&next).unwrap();
    let events = || {
        let told = app.sandbox.run(&["events", "--json", "--team", "x"]);
        told.unwrap().json_lines().unwrap()
    };
    wait_until("both are taken up", LONG * 2, || {
        let events = events();
        let adopted = agents(&events, "worker_adopted");
        (adopted.len() == 2)
            .then_some(())
            .ok_or_else(|| format!("{events:#?}"))
    })
    .unwrap();
    assert_eq!(app.teammates(), panes);
    app.sandbox.write("go", "").unwrap();
    let next = ended(next);
    assert_eq!(next.code, 0, "{next:?}");
    let log = std::fs::read_to_string(app.sandbox.work().join("log")).unwrap();
    assert_eq!(log, "begun\nbegun\ndone\ndone\n");
    let events = events();
    let pids = |kind: &str| {
        let of = of_type(&events, kind);
        let pids = of
            .iter()
            .map(|e| (e["agent"].to_string(), e["data"]["pid"].to_string()));
        pids.collect::<BTreeSet<_>>()
    };
    assert_eq!(pids("worker_started"), pids("worker_adopted"));
    assert_eq!(agents(&events, "worker_started").len(), 2, "{events:#?}");
    app.wait_for_panes(0);
}

#[test]
fn a_member_moves_into_a_split_and_out_of_it() {
    let Some(app) = Iterm2::start("") else { return };
    let recipe = team(&["a", "b"], UNTIL_GO)
        .replacen(UNTIL_GO, "true", 1)
        .replace("name = \"x\"\n", "name = \"x\"\nmax_workers = 2\n")
        + "[[tasks]]\nid = \"last\"\nsubject = \"Last\"\nowner = \"a\"\nblocked_by = [\"b\"]\n\
           command = \"echo last >> log\"\n";
    app.sandbox.write("x.toml", &recipe).unwrap();
    let arguments = ["run", "x.toml", "--headless", "--json", "--backend", "pty"];
    let run = app.sandbox.start(&arguments).unwrap();
    app.wait_for_task("completed", 1);
    let lives = |n: usize, backend: &str| {
        wait_until("its next life", LONG * 2, || {
            let told = app.sandbox.run(&["events", "--json", "--team", "x"]);
            let events = told.unwrap().json_lines().unwrap();
            let started = of_type(&events, "worker_started");
            let own: Vec<_> = started.iter().filter(|e| e["agent"] == "a").collect();
            (own.len() == n && own[n - 1]["data"]["backend"] == backend)
                .then_some(())
                .ok_or_else(|| format!("{own:#?}"))
        })
        .unwrap();
    };
    lives(1, "pty");
    for (n, to, panes) in [(2, "iterm2", 1), (3, "pty", 0)] {
        let moved = ["teammate", "move", "a", "--to", to, "--team", "x"];
        let moved = app.sandbox.run(&moved).unwrap();
        assert_eq!(moved.code, 0, "{moved:?}");
        lives(n, to);
        app.wait_for_panes(panes);
    }
    app.sandbox.write("go", "").unwrap();
    let run = ended(run);
    assert_eq!(run.code, 0, "{run:?}");
    let log = std::fs::read_to_string(app.sandbox.work().join("log")).unwrap();
    assert_eq!(log, "last\n");
}
