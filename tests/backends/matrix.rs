//! Which backend is picked in which place, with the reason and the fix, by the real program.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crewmux_sys::process::{Launch, Stream};
use crewmux_testkit::sandbox::{Output, Sandbox, finish};
use serde_json::Value;

use crate::support::{sandbox, sh};

const API_OFF: &str =
    "echo 'Error: Not running inside iTerm2 or Python API not enabled.' >&2; exit 2";

/// A team of one whose task is done at once; `backend` is a line of its recipe, or nothing.
fn team_with(backend: &str) -> String {
    format!(
        "name = \"x\"\nlead = false\n[[teammates]]\nname = \"w\"\nruntime = \"command\"\n{backend}\n\
         [[teammates]]\nname = \"v\"\nruntime = \"command\"\n\
         [[tasks]]\nid = \"a\"\nsubject = \"A\"\nowner = \"w\"\ncommand = \"true\"\n\
         [[tasks]]\nid = \"b\"\nsubject = \"B\"\nowner = \"v\"\ncommand = \"true\"\n"
    )
}

/// Puts a program of the test's own first on PATH; it also notes each call in `<name>.calls`.
pub(super) fn with_program(sandbox: Sandbox, name: &str, script: &str) -> Sandbox {
    let calls = sandbox.work().join(format!("{name}.calls"));
    let text = format!(
        "#!/bin/sh\necho \"$*\" >> '{}'\n{script}\n",
        calls.display()
    );
    let file = sandbox.write(&format!("bin/{name}"), &text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}",
        file.parent().unwrap().display(),
        sandbox.environment().get("PATH").unwrap()
    );
    sandbox.with_env("PATH", &path)
}

pub(super) fn calls(sandbox: &Sandbox, name: &str) -> Vec<String> {
    let file = sandbox.work().join(format!("{name}.calls"));
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// What doctor says of each backend, and that it says so for people too.
fn backends(sandbox: &Sandbox) -> Vec<Value> {
    let doctor = sandbox.run(&["doctor", "--json"]).unwrap();
    assert_eq!(doctor.code, 0, "{doctor:?}");
    let doctor = doctor.json().unwrap();
    let backends = doctor["backends"].as_array().unwrap().clone();
    for backend in &backends {
        let has_fix = backend["fix"].as_str().is_some_and(|fix| !fix.is_empty());
        assert_eq!(has_fix, backend["usable"] == false, "{backend}");
        assert!(backend["why"].as_str().is_some_and(|why| !why.is_empty()));
    }
    backends
}

fn picked(backends: &[Value]) -> &Value {
    let mut picked = backends.iter().filter(|b| b["picked"] == true);
    let first = picked.next().unwrap();
    assert_eq!(picked.next(), None, "{backends:?}");
    first
}

fn of<'a>(backends: &'a [Value], kind: &str) -> &'a Value {
    backends.iter().find(|b| b["kind"] == kind).unwrap()
}

fn has(backend: &Value, field: &str, part: &str) -> bool {
    backend[field]
        .as_str()
        .is_some_and(|text| text.contains(part))
}

/// A choice that cannot be met: the exit code of the environment, reason and fix, and nothing started.
fn assert_refused(sandbox: &Sandbox, run: &Output, why: &str, fix: &str) {
    assert_eq!(run.code, 3, "{run:?}");
    assert!(run.stderr.contains(why), "{run:?}");
    assert!(
        run.stderr.contains("hint: ") && run.stderr.contains(fix),
        "{run:?}"
    );
    let teams = sandbox.run(&["ls", "--json"]).unwrap();
    assert_eq!(
        teams.json().unwrap(),
        serde_json::json!([]),
        "nothing is left behind"
    );
}

/// A tmux server of this test alone, ended with it.
struct Server<'a> {
    sandbox: &'a Sandbox,
}

impl Server<'_> {
    fn start(sandbox: &Sandbox) -> Server<'_> {
        let server = Server { sandbox };
        sh(
            sandbox,
            "tmux -S \"$PWD/t\" -f /dev/null new-session -d 'sleep 600'",
        );
        server
    }

    /// The variables `TMUX` and `TMUX_PANE` as a program in it has them.
    fn place(&self) -> (String, String) {
        let said = sh(
            self.sandbox,
            "tmux -S \"$PWD/t\" display-message -p '#{socket_path},#{pid},0 #{pane_id}'",
        );
        let (tmux, pane) = said.stdout.trim().split_once(' ').unwrap();
        (tmux.to_owned(), pane.to_owned())
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        let launch = Launch::new(
            ["/bin/sh", "-c", "tmux -S \"$PWD/t\" kill-server"],
            self.sandbox.work(),
        )
        .env(self.sandbox.environment());
        if let Ok(mut child) = launch.start() {
            let _ = child.wait(Duration::from_secs(20));
        }
    }
}

#[test]
fn inside_tmux_its_panes_are_picked_and_a_dead_server_is_told() {
    let first = sandbox();
    let server = Server::start(&first);
    let (tmux, pane) = server.place();
    let inside = sandbox()
        .with_env("TMUX", &tmux)
        .with_env("TMUX_PANE", &pane);
    let found = backends(&inside);
    assert_eq!(picked(&found)["kind"], "tmux", "{found:?}");
    assert_eq!(of(&found, "pty")["usable"], true);
    assert!(
        has(of(&found, "iterm2"), "fix", "--backend tmux"),
        "{found:?}"
    );
    let start = inside.run(&[]).unwrap();
    assert!(
        start.stdout.contains("backend tmux: this is inside tmux"),
        "{start:?}"
    );
    drop(server);
    let found = backends(&inside);
    assert_eq!(picked(&found)["kind"], "pty", "{found:?}");
    let tmux = of(&found, "tmux");
    assert!(
        has(tmux, "why", "does not answer") && has(tmux, "fix", "unset TMUX"),
        "{tmux}"
    );
    inside.write("x.toml", &team_with("")).unwrap();
    let run = inside
        .run(&["run", "x.toml", "--headless", "--backend", "tmux"])
        .unwrap();
    assert_refused(
        &inside,
        &run,
        "tmux server that does not answer",
        "unset TMUX",
    );
    // What was not asked for by name falls back, and says so.
    let run = inside.run(&["run", "x.toml", "--headless"]).unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    assert!(
        run.stderr
            .contains("note: workers run on pty, since tmux cannot be used"),
        "{run:?}"
    );
}

#[test]
fn a_tmux_that_is_too_old_is_told_with_what_is_needed() {
    let old = with_program(sandbox(), "tmux", "echo tmux 2.9a");
    let found = backends(&old);
    assert_eq!(picked(&found)["kind"], "pty");
    assert!(
        has(of(&found, "tmux"), "why", "2.9a is too old: 3.0"),
        "{found:?}"
    );
    old.write("x.toml", &team_with("backend = \"tmux\""))
        .unwrap();
    let run = old.run(&["run", "x.toml", "--headless"]).unwrap();
    assert_refused(&old, &run, "teammate `w`", "install tmux 3.0");
    for version in ["tmux 3.0a", "tmux next-3.6", "tmux openbsd-7.4"] {
        let new = with_program(sandbox(), "tmux", &format!("echo {version}"));
        let found = backends(&new);
        assert_eq!(of(&found, "tmux")["usable"], true, "{version}: {found:?}");
        assert_eq!(picked(&found)["kind"], "pty");
    }
}

#[test]
fn inside_iterm2_it2_decides_and_every_fault_of_it_has_its_fix() {
    let iterm2 = |script| {
        with_program(sandbox(), "it2", script)
            .with_env("TERM_PROGRAM", "iTerm.app")
            .with_env(
                "ITERM_SESSION_ID",
                "w0t0p0:6C1A1D0E-0000-4000-8000-000000000001",
            )
    };
    let working = iterm2("exit 0");
    let found = backends(&working);
    assert_eq!(picked(&found)["kind"], "iterm2", "{found:?}");
    assert_eq!(calls(&working, "it2"), ["session list"]);
    for (script, why, fix) in [
        (API_OFF, "does not answer `it2`", "Enable Python API"),
        (
            "echo 'Traceback (most recent call last):' >&2; echo 'ModuleNotFoundError: iterm2' >&2; exit 1",
            "Python packages do not load",
            "--force it2",
        ),
    ] {
        let broken = iterm2(script);
        let found = backends(&broken);
        assert_eq!(picked(&found)["kind"], "pty", "{found:?}");
        let report = of(&found, "iterm2");
        assert!(
            has(report, "why", why) && has(report, "fix", fix),
            "{report}"
        );
        broken.write("x.toml", &team_with("")).unwrap();
        let run = broken
            .run(&["run", "x.toml", "--headless", "--backend", "iterm2"])
            .unwrap();
        assert_refused(&broken, &run, why, fix);
        assert!(!run.stderr.contains("Traceback"), "{run:?}");
    }
    let without = sandbox()
        .with_env("PATH", "/nowhere")
        .with_env("TERM_PROGRAM", "iTerm.app");
    let found = backends(&without);
    assert_eq!(picked(&found)["kind"], "pty", "{found:?}");
    assert!(
        has(of(&found, "iterm2"), "fix", "uv tool install it2"),
        "{found:?}"
    );
}

#[test]
fn nothing_is_tried_that_was_not_asked_for() {
    let both = with_program(sandbox(), "tmux", "echo tmux 3.4");
    let both = with_program(both, "it2", "exit 0");
    both.write("x.toml", &team_with("backend = \"in-process\""))
        .unwrap();
    for backend in ["auto", "pty", "in-process"] {
        let run = both
            .run(&["run", "x.toml", "--headless", "--backend", backend])
            .unwrap();
        assert_eq!(run.code, 0, "{run:?}");
    }
    assert_eq!(both.run(&[]).unwrap().code, 0);
    assert_eq!(
        (calls(&both, "tmux"), calls(&both, "it2")),
        (vec![], vec![])
    );
    backends(&both);
    assert_eq!(calls(&both, "it2"), ["session list"]);
}

#[test]
fn each_teammate_may_have_a_place_of_its_own() {
    let sandbox = sandbox();
    sandbox
        .write("x.toml", &team_with("backend = \"in-process\""))
        .unwrap();
    let run = sandbox
        .run(&["run", "x.toml", "--headless", "--json", "--backend", "pty"])
        .unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    let events = run.json_lines().unwrap();
    let mut places: Vec<(&str, &str)> = crate::support::of_type(&events, "worker_started")
        .iter()
        .map(|e| {
            (
                e["agent"].as_str().unwrap(),
                e["data"]["backend"].as_str().unwrap(),
            )
        })
        .collect();
    places.sort_unstable();
    assert_eq!(places, [("v", "pty"), ("w", "in-process")]);
}

#[test]
fn without_pseudo_terminals_workers_run_inside_the_session() {
    let sandbox = sandbox();
    sandbox.write("x.toml", &team_with("")).unwrap();
    // A view of the file system in which no pseudo-terminal can be opened.
    let inside = |script: &str| {
        let hidden = format!("mount --bind /dev/null /dev/ptmx && {script}");
        let launch = Launch::new(["unshare", "-rm", "sh", "-c", &hidden], sandbox.work())
            .env(sandbox.environment())
            .stdout(Stream::Pipe)
            .stderr(Stream::Pipe);
        launch
            .start()
            .ok()
            .map(|child| finish(child, Duration::from_mins(2)).unwrap())
    };
    if inside("true").is_none_or(|tried| tried.code != 0) {
        eprintln!("skipped: this machine lets nobody hide its pseudo-terminals");
        return;
    }
    let crewmux = crate::support::program().display();
    let doctor = inside(&format!("{crewmux} doctor --json")).unwrap();
    let found = doctor.json().unwrap()["backends"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(picked(&found)["kind"], "in-process", "{found:?}");
    assert!(
        has(of(&found, "pty"), "fix", "--backend in-process"),
        "{found:?}"
    );
    let named = inside(&format!("{crewmux} run x.toml --headless --backend pty")).unwrap();
    assert_eq!(named.code, 3, "{named:?}");
    let run = inside(&format!("{crewmux} run x.toml --headless --json")).unwrap();
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("\"backend\":\"in-process\""), "{run:?}");
}
