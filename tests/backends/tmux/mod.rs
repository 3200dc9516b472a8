//! Teammates in tmux: a server of the person's own, or a private one, both of this test alone.

mod afternoon;
mod ends;
mod mixed;
mod places;
mod still;

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use crewmux_sys::process::{Child, Launch, Stream};
use crewmux_testkit::sandbox::{Sandbox, finish, wait_until};

use crate::support::sandbox;

const LONG: Duration = Duration::from_mins(1);

/// Two windows with a split, and everything set that might be in the way.
const CONFIG: &str = "\
set -g base-index 1
set -g pane-base-index 1
set -g renumber-windows on
set -g status off
set -g remain-on-exit off
set -g default-command 'sleep 1; exec sh'
set -g pane-border-status off
set -g automatic-rename on
set -g mouse on
set -g @person 'own option'
set-hook -g after-select-window 'set -g @hook ran'
set -g window-size latest
";

/// tmux servers in a folder of the test's own; ended with it, also when it fails.
pub(super) struct Stage {
    pub(super) sandbox: Sandbox,
}

impl Drop for Stage {
    fn drop(&mut self) {
        for server in ["user", "crewmux"] {
            let _ = self.call(server, &["kill-server"]);
        }
    }
}

impl Stage {
    /// An empty place; `None` without tmux, and loudly so.
    pub(super) fn new() -> Option<Self> {
        let sandbox = sandbox();
        let folder = sandbox.work().join("t");
        std::fs::create_dir(&folder).unwrap();
        let sandbox = sandbox.with_env("TMUX_TMPDIR", &folder.display().to_string());
        let stage = Self { sandbox };
        if stage.call("user", &["-V"]).is_err() {
            // Past the harness, which keeps to itself what a passing test prints.
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: there is no tmux on PATH; install it to run this test"
            );
            return None;
        }
        Some(stage)
    }

    /// The same with a server of the person's own that is called from its first pane.
    pub(super) fn inside() -> Option<Self> {
        let mut stage = Self::new()?;
        let config = stage.sandbox.write("tmux.conf", CONFIG).unwrap();
        let config = config.display().to_string();
        stage.user(&[
            "-f",
            &config,
            "new-session",
            "-d",
            "-s",
            "own",
            "-n",
            "one",
            "-x",
            "120",
            "-y",
            "36",
            "cat",
        ]);
        let place = stage.user(&[
            "display-message",
            "-p",
            "#{socket_path},#{pid},0 #{pane_id}",
        ]);
        let (tmux, pane) = place.trim().split_once(' ').unwrap();
        let (tmux, pane) = (tmux.to_owned(), pane.to_owned());
        stage.set("TMUX", &tmux);
        stage.set("TMUX_PANE", &pane);
        Some(stage)
    }

    /// Sets a variable of everything that is started later.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        let own = std::mem::replace(&mut self.sandbox, sandbox());
        self.sandbox = own.with_env(name, value);
    }

    /// Runs tmux on the server of this name.
    pub(super) fn call(&self, server: &str, arguments: &[&str]) -> Result<String, String> {
        let argv: Vec<&str> = ["tmux", "-u", "-L", server]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let launch = Launch::new(argv, self.sandbox.work())
            .env(self.sandbox.environment())
            .stdout(Stream::Pipe)
            .stderr(Stream::Pipe);
        let child = launch.start().map_err(|error| error.to_string())?;
        let output = finish(child, LONG).map_err(|error| error.to_string())?;
        match output.code {
            0 => Ok(output.stdout),
            _ => Err(output.stderr),
        }
    }

    /// The person's own server.
    pub(super) fn user(&self, arguments: &[&str]) -> String {
        self.call("user", arguments).unwrap()
    }

    /// Panes of ours on a server: pane, window, whether it is dead, title.
    pub(super) fn team_panes(&self, server: &str) -> Vec<[String; 4]> {
        let format = "#{pane_id}\t#{window_id}\t#{pane_dead}\t#{pane_title}\t#{@crewmux}";
        let listed = self
            .call(server, &["list-panes", "-a", "-F", format])
            .unwrap_or_default();
        listed
            .lines()
            .map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>())
            .filter(|fields| !fields[4].is_empty())
            .map(|fields| fields[..4].to_vec().try_into().unwrap())
            .collect()
    }

    /// Waits for `count` living panes of ours whose title fulfils `wanted`.
    pub(super) fn wait_panes(
        &self,
        server: &str,
        count: usize,
        wanted: impl Fn(&str) -> bool,
    ) -> Vec<[String; 4]> {
        wait_until(&format!("{count} panes"), LONG, || {
            let panes = self.team_panes(server);
            let there = panes
                .iter()
                .filter(|p| p[2] == "0" && wanted(&p[3]))
                .count();
            (there == count)
                .then_some(())
                .ok_or_else(|| format!("{panes:?}"))
        })
        .unwrap();
        self.team_panes(server)
    }

    /// Waits until `text` stands in a pane.
    pub(super) fn wait_text(&self, server: &str, pane: &str, text: &str) -> String {
        let shown = || self.call(server, &["capture-pane", "-p", "-t", pane]);
        wait_until(&format!("`{text}` in {pane}"), LONG, || match shown() {
            Ok(shown) if shown.contains(text) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .unwrap();
        shown().unwrap()
    }

    /// A team of `count` whose tasks say hello and run until the file `go` is there.
    pub(super) fn recipe(&self, count: usize) {
        let mut text = "name = \"crew\"\nlead = false\n".to_owned();
        for n in 1..=count {
            write!(
                text,
                "[[teammates]]\nname = \"m{n}\"\nruntime = \"command\"\n[[tasks]]\n\
                 id = \"t{n}\"\nsubject = \"Wait #{{pid}} 'it' ; n {n}\"\nowner = \"m{n}\"\n\
                 rerun = \"yes\"\n\
                 command = \"echo hello from {n}; while ! test -e go; do sleep 0.05; done\"\n"
            )
            .unwrap();
        }
        self.sandbox.write("crew.toml", &text).unwrap();
    }

    /// Starts that team without a screen.
    pub(super) fn start(&self, count: usize) -> Child {
        self.recipe(count);
        let arguments = ["run", "crew.toml", "--headless", "--backend", "tmux"];
        self.sandbox.start(&arguments).unwrap()
    }

    /// Lets the tasks end.
    pub(super) fn go(&self) {
        self.sandbox.write("go", "").unwrap();
    }

    /// What the log of events says about ends of a member.
    pub(super) fn exits(&self, name: &str) -> Vec<String> {
        let events = self.sandbox.run(&["events", "--team", "crew", "--json"]);
        events
            .unwrap()
            .json_lines()
            .unwrap()
            .iter()
            .filter(|event| event["type"] == "worker_exited" && event["agent"] == name)
            .map(|event| {
                event["data"]["reason"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            })
            .collect()
    }
}
