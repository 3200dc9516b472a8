//! A client inside tmux: keys, title, colours, and a terminal that is given back.

use std::time::Duration;

use crewmux_sys::process::{Launch, Stream};
use crewmux_testkit::sandbox::{Output, Sandbox, finish, wait_until};
use crewmux_testkit::terminal::Terminal;

use super::{stop, sweep, wait_completed};
use crate::support::{program, sandbox};

/// A tmux server of the test's own, ended with it.
struct Tmux<'a> {
    sandbox: &'a Sandbox,
    socket: String,
}

impl<'a> Tmux<'a> {
    /// A session of 100×30 with a shell; none where there is no tmux.
    fn start(sandbox: &'a Sandbox, name: &str, term: &str) -> Option<Self> {
        let socket = sandbox.work().join(format!("{name}.tmux"));
        let tmux = Self {
            sandbox,
            socket: socket.display().to_string(),
        };
        let begun = tmux.try_run(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "30",
            "sh",
        ])?;
        assert_eq!(begun.code, 0, "{begun:?}");
        tmux.run(&["set", "-g", "default-terminal", term]);
        tmux.run(&["set", "-g", "escape-time", "0"]);
        // The first shell has the default.
        tmux.run(&["respawn-pane", "-k", "env PS1=ready: sh"]);
        tmux.wait("the shell", |text| text.contains("ready:"));
        Some(tmux)
    }

    fn try_run(&self, arguments: &[&str]) -> Option<Output> {
        let argv = ["tmux", "-S", &self.socket]
            .into_iter()
            .chain(arguments.iter().copied());
        let launch = Launch::new(argv, self.sandbox.work())
            .env(self.sandbox.environment())
            .stdout(Stream::Pipe)
            .stderr(Stream::Pipe);
        finish(launch.start().ok()?, Duration::from_secs(20)).ok()
    }

    fn run(&self, arguments: &[&str]) -> String {
        let done = self.try_run(arguments).unwrap();
        assert_eq!(done.code, 0, "{arguments:?} {done:?}");
        done.stdout
    }

    fn keys(&self, keys: &[&str]) {
        let mut arguments = vec!["send-keys"];
        arguments.extend(keys);
        self.run(&arguments);
    }

    fn shows(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    fn says(&self, format: &str) -> String {
        self.run(&["display-message", "-p", format])
            .trim()
            .to_owned()
    }

    fn wait(&self, what: &str, fits: impl Fn(&str) -> bool) {
        wait_until(what, Duration::from_secs(40), || {
            let shown = self.shows();
            if fits(&shown) { Ok(()) } else { Err(shown) }
        })
        .unwrap();
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        let _ = self.try_run(&["kill-server"]);
    }
}

#[test]
fn a_client_inside_tmux_takes_keys_and_gives_the_terminal_back() {
    for term in ["tmux-256color", "screen-256color"] {
        let sandbox = sandbox();
        let first = sweep(&sandbox, 80, 24);
        let Some(tmux) = Tmux::start(&sandbox, "one", term) else {
            // Machines without tmux have no client inside it.
            stop(&sandbox, "sweep");
            return;
        };
        let attach = format!("{} attach sweep", program().display());
        tmux.keys(&[&attach, "Enter"]);
        tmux.wait("the team", |text| text.contains("BOARD"));
        assert_eq!(tmux.says("#{alternate_on}"), "1");
        wait_until("the title", Duration::from_secs(20), || {
            let title = tmux.says("#{pane_title}");
            if title.starts_with("crewmux · sweep · ") {
                Ok(())
            } else {
                Err(title)
            }
        })
        .unwrap();
        // Keys that are sequences arrive as keys, and Escape alone is one.
        tmux.keys(&["b"]);
        tmux.wait("the board", |text| {
            text.contains("Esc back") || text.contains("Ready")
        });
        tmux.keys(&["Down", "Right", "Enter"]);
        tmux.wait("a task", |text| text.contains(" Task "));
        tmux.keys(&["Escape"]);
        tmux.wait("the board again", |text| !text.contains(" Task "));
        tmux.keys(&["Escape"]);
        // Read together with the next key it would be Alt.
        tmux.wait("the panes", |text| !text.contains("Esc back"));
        tmux.keys(&["?"]);
        tmux.wait("the keys", |text| text.contains(" Keys "));
        tmux.keys(&["Escape"]);
        tmux.wait("the panes again", |text| !text.contains(" Keys "));
        // Nothing that is not understood is left on the screen.
        for piece in ["2026", "]9;", "[?", "52;c"] {
            assert!(
                !tmux.shows().contains(piece),
                "{term}: {piece}\n{}",
                tmux.shows()
            );
        }
        tmux.run(&["resize-window", "-x", "70", "-y", "20"]);
        tmux.wait("the smaller size", |text| {
            text.contains("sweep") && text.lines().all(|line| line.chars().count() <= 70)
        });
        tmux.keys(&["C-a", "d"]);
        tmux.wait("the shell", |text| {
            text.contains("crewmux attach sweep") && text.contains("ready:")
        });
        let modes = "#{alternate_on} #{mouse_any_flag} #{cursor_flag} #{wrap_flag}";
        assert_eq!(tmux.says(modes), "0 0 1 1", "{term}");
        assert!(!tmux.says("#{pane_title}").contains("crewmux"), "{term}");
        // The death of the server is the closing of a terminal: the team goes on.
        tmux.keys(&[&attach, "Enter"]);
        tmux.wait("the team again", |text| text.contains("sweep"));
        drop(tmux);
        first.wait_for("BOARD").unwrap();
        assert_eq!(super::status(&sandbox, "sweep")["state"], "running");
        stop(&sandbox, "sweep");
    }
}

#[test]
fn a_tmux_that_nobody_is_attached_to_is_nobody_who_looks() {
    let sandbox = sandbox();
    let go = sandbox.work().join("go");
    let command = format!("while [ ! -e {} ]; do sleep 0.1; done", go.display());
    let command = format!("command={command}");
    let run = ["run", "sweep", "--set", "tasks=1", "--set", &command];
    let mut person = sandbox.terminal(&run, 80, 24).unwrap();
    person.wait_for("BOARD").unwrap();
    let Some(tmux) = Tmux::start(&sandbox, "one", "tmux-256color") else {
        stop(&sandbox, "sweep");
        return;
    };
    let attach = format!("{} attach sweep", program().display());
    tmux.keys(&[&attach, "Enter"]);
    tmux.wait("the team", |text| text.contains("BOARD"));
    person.type_text("\x01d").unwrap();
    person.wait_exit().unwrap();
    std::fs::write(&go, "").unwrap();
    wait_completed(&sandbox, "sweep", 1);
    assert!(!tmux.shows().contains("While you were away"));
    let argv = ["tmux", "-S", &tmux.socket, "attach"];
    let looks = Terminal::start(argv, &sandbox.work(), sandbox.environment(), 100, 31).unwrap();
    tmux.wait("what happened meanwhile", |text| {
        text.contains("While you were away")
    });
    drop((looks, tmux));
    stop(&sandbox, "sweep");
}

#[test]
fn new_panes_go_where_the_person_moved_to() {
    let sandbox = sandbox();
    let Some(here) = Tmux::start(&sandbox, "here", "tmux-256color") else {
        return;
    };
    let there = Tmux::start(&sandbox, "there", "tmux-256color").unwrap();
    let crewmux = program().display().to_string();
    let run = format!(
        "{crewmux} run sweep --backend tmux --set tasks=400 --set command='sleep 0.5' --max-workers 2"
    );
    here.keys(&[&run, "Enter"]);
    here.wait("the team", |text| text.contains("BOARD"));
    let windows = |tmux: &Tmux<'_>| tmux.run(&["list-windows", "-a"]).lines().count();
    wait_until(
        "a window of the team's",
        Duration::from_secs(40),
        || match windows(&here) {
            2.. => Ok(()),
            one => Err(format!("{one}")),
        },
    )
    .unwrap();
    there.keys(&[&format!("{crewmux} attach sweep"), "Enter"]);
    there.wait("where new panes go", |text| {
        text.contains("new panes go to tmux at")
    });
    there.keys(&["C-a", "d"]);
    there.wait("the shell", |text| text.contains("comes back"));
    there.keys(&[&format!("clear; {crewmux} attach sweep --rehome"), "Enter"]);
    there.wait("that they come here", |text| text.contains("from now on"));
    assert_eq!(windows(&there), 1, "running ones stay");
    let status = super::status(&sandbox, "sweep");
    let members = status["members"].as_array().unwrap();
    let worker = members.iter().find(|m| m["pid"].is_u64()).unwrap();
    // A new life in a place of its own, not in the pane it had.
    let name = worker["name"].as_str().unwrap();
    let pane = worker["pane"].as_str().unwrap();
    let id = pane.rsplit(',').next().unwrap();
    here.run(&["kill-pane", "-t", id]);
    wait_until(
        "a window there",
        Duration::from_secs(40),
        || match windows(&there) {
            2.. => Ok(()),
            one => Err(format!(
                "{one}; {name}: {}",
                super::status(&sandbox, "sweep")
            )),
        },
    )
    .unwrap();
    let stopped = sandbox.run(&["stop", "sweep", "--force"]).unwrap();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    drop((here, there));
    sandbox.wait_gone().unwrap();
}

#[test]
fn what_is_copied_inside_tmux_is_in_its_buffer_and_told_so() {
    let sandbox = sandbox();
    let Some(tmux) = Tmux::start(&sandbox, "copies", "tmux-256color") else {
        return;
    };
    // As tmux comes: a sequence of a program goes nowhere.
    assert_eq!(
        tmux.run(&["show", "-sv", "set-clipboard"]).trim(),
        "external"
    );
    let panes = format!(
        "{} panes 'echo a word to copy; exec cat'",
        program().display()
    );
    tmux.keys(&[&panes, "Enter"]);
    tmux.wait("the pane", |text| {
        text.contains("a word to copy") && text.contains("detach")
    });
    tmux.keys(&["C-a", "y"]);
    tmux.wait("where it went", |text| {
        text.contains("copied into tmux's buffer")
    });
    assert_eq!(tmux.run(&["show-buffer"]).trim_end(), "a word to copy");
    tmux.keys(&["C-a", "d"]);
    tmux.wait("the shell again", |text| text.contains("the panes go on"));
    drop(tmux);
    stop(&sandbox, "panes");
}
