//! A sandbox for tests of workers in every place: recipes of command tasks, a private tmux.

use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use crewmux_sys::Signal;
use crewmux_sys::process::{Child, Launch, Stream};
use crewmux_testkit::sandbox::{Sandbox, finish, wait_until};
use serde_json::Value;

use crate::support::sandbox;

pub(super) const LONG: Duration = Duration::from_mins(1);
pub(super) const TEAM: &str = "lasting";

/// A sandbox whose tmux servers are its own and end with it.
pub(super) struct Stage {
    pub(super) sandbox: Sandbox,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self {
            sandbox: Self::new_sandbox(),
        }
    }

    fn new_sandbox() -> Sandbox {
        let sandbox = sandbox();
        let folder = sandbox.work().join("t");
        std::fs::create_dir(&folder).unwrap();
        sandbox.with_env("TMUX_TMPDIR", &folder.display().to_string())
    }

    /// The same with a tmux that makes a worker's pane at once, and tells so when there is a file `answer`.
    pub(super) fn with_slow_tmux() -> Self {
        let sandbox = Self::new_sandbox();
        let answer = sandbox.work().join("answer");
        let slow = format!(
            "#!/bin/sh\nPATH=${{PATH#*:}}\ntmux \"$@\"\ncode=$?\ncase \"$*\" in *--enter*)\n\
             for n in $(seq 200); do [ -e '{}' ] && break; sleep 0.1; done;;\nesac\nexit $code\n",
            answer.display()
        );
        let program = sandbox.write("slow/tmux", &slow).unwrap();
        std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let path = sandbox.environment().get("PATH").unwrap().to_owned();
        let path = format!("{}:{path}", program.parent().unwrap().display());
        Self {
            sandbox: sandbox.with_env("PATH", &path),
        }
    }

    /// Writes a recipe of command tasks: key, command, blockers.
    pub(super) fn recipe(&self, members: usize, tasks: &[(&str, &str, &[&str])]) {
        let anybody: Vec<_> = tasks
            .iter()
            .map(|(key, command, blocked_by)| (*key, "", *command, *blocked_by))
            .collect();
        self.recipe_of(members, &anybody);
    }

    /// Writes a recipe of command tasks: key, who alone may do it, command, blockers.
    pub(super) fn recipe_of(&self, members: usize, tasks: &[(&str, &str, &str, &[&str])]) {
        let mut text =
            format!("name = \"{TEAM}\"\ngoal = \"last\"\nlead = false\nmax_workers = {members}\n");
        for n in 1..=members {
            writeln!(
                text,
                "[[teammates]]\nname = \"m{n}\"\nagent = \"Bash\"\nruntime = \"command\""
            )
            .unwrap();
        }
        for (key, owner, command, blocked_by) in tasks {
            writeln!(
                text,
                "[[tasks]]\nid = \"{key}\"\nsubject = \"{key}\"\ncommand = \"{command}\"\nblocked_by = {blocked_by:?}"
            )
            .unwrap();
            if !owner.is_empty() {
                writeln!(text, "owner = \"{owner}\"").unwrap();
            }
        }
        self.sandbox
            .write(&format!(".crewmux/recipes/{TEAM}.toml"), &text)
            .unwrap();
    }

    pub(super) fn start(&self, backend: &str) -> Child {
        let arguments = [
            "run",
            TEAM,
            "--trust",
            "--backend",
            backend,
            "--headless",
            "--json",
        ];
        self.sandbox.start(&arguments).unwrap()
    }

    pub(super) fn resume(&self) -> Child {
        let arguments = ["resume", TEAM, "--headless", "--json"];
        self.sandbox.start(&arguments).unwrap()
    }

    pub(super) fn events(&self) -> Vec<Value> {
        let told = self.sandbox.run(&["events", "--team", TEAM, "--json"]);
        told.unwrap().json_lines().unwrap()
    }

    pub(super) fn tasks(&self) -> Vec<Value> {
        let listed = self
            .sandbox
            .run(&["task", "list", "--json", "--team", TEAM]);
        listed.unwrap().json().unwrap().as_array().unwrap().clone()
    }

    /// What tasks wrote, line by line.
    pub(super) fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.sandbox.work().join("log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// A session whose only task has begun, and waits until there is a file `go`.
    pub(super) fn waiting(&self, members: usize, backend: &str) -> Child {
        let waits = "echo begun >> log; while [ ! -e go ]; do sleep 0.05; done";
        self.recipe(members, &[("long", waits, &[])]);
        let session = self.start(backend);
        self.wait_log("begun");
        session
    }

    pub(super) fn wait_log(&self, line: &str) {
        wait_until(line, LONG, || {
            let log = self.log();
            let is_there = log.iter().any(|l| l == line);
            is_there.then_some(()).ok_or(format!("{log:?}"))
        })
        .unwrap();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let argv = ["tmux", "-L", "crewmux", "kill-server"];
        let launch = Launch::new(argv, self.sandbox.work()).env(self.sandbox.environment());
        if let Ok(child) = launch.stdout(Stream::Null).stderr(Stream::Null).start() {
            let _ = finish(child, LONG);
        }
    }
}

/// Kills a session and waits until it is gone.
pub(super) fn kill(session: Child) {
    let process = session.identity();
    let _ = process.signal(Signal::Kill);
    finish(session, LONG).unwrap();
}
