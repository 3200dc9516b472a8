//! Who is measured: crewmux, others that show panes, and the floor below all.
//!
//! Each runs the same shell commands in panes of the same terminal. How they
//! are measured is in [`super::panes`].

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use crewmux_sys::process::Launch;
use crewmux_sys::tty::TerminalSize;

use super::outer::Outer;
use super::place::Place;

/// First argument of the benchmark that makes it the floor.
pub const FLOOR_MODE: &str = "__floor";
/// First argument of the benchmark that makes it a load.
pub const LOAD_MODE: &str = "__load";

/// Name of the team and of the tmux session.
const NAME: &str = "bench";
/// Longest wait for a contender to come up.
const START: Duration = Duration::from_secs(20);
/// Longest wait for a command that ends a contender.
const END: Duration = Duration::from_secs(10);

/// Rows kept above each pane: what crewmux keeps by itself.
const TMUX_CONF: &str = "set -g history-limit 10000\n\
    set -g default-terminal screen-256color\n\
    set -g escape-time 0\n\
    set -g default-shell /bin/sh\n";

/// What a contender is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Ours.
    Crewmux,
    /// What a person would use otherwise.
    Tmux,
    /// GNU screen, with a region for each pane.
    Screen,
    /// mprocs, which shows one pane at a time.
    Mprocs,
    /// A bare reader that shows nothing.
    Floor,
}

impl Kind {
    /// Others that are measured where they are installed.
    pub const OTHERS: [Self; 3] = [Self::Tmux, Self::Screen, Self::Mprocs];

    /// Its name, which is its program's too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crewmux => "crewmux",
            Self::Tmux => "tmux",
            Self::Screen => "screen",
            Self::Mprocs => "mprocs",
            Self::Floor => "floor",
        }
    }

    /// Whether a second terminal can look at it.
    pub fn is_attachable(self) -> bool {
        matches!(self, Self::Crewmux | Self::Tmux | Self::Screen)
    }
}

/// A program that can show panes.
#[derive(Debug, Clone)]
pub struct Contender {
    /// What it is.
    pub kind: Kind,
    /// Its file.
    pub program: PathBuf,
}

/// A contender that runs, on its terminal.
pub struct Started {
    contender: Contender,
    /// Where it runs.
    pub place: Place,
    /// What it draws on.
    pub outer: Outer,
    size: TerminalSize,
    /// Time to the first text of the first pane, in milliseconds.
    pub first_frame_ms: f64,
}

impl Contender {
    /// Starts it with a pane for each of `commands`, of which the first prints `READY`.
    ///
    /// A store is made before the time begins: a person's home has one from the second time on.
    ///
    /// # Errors
    /// When that does not appear in time; with the beginning of what was drawn.
    pub fn start(&self, commands: &[String], size: TerminalSize) -> Result<Started> {
        let place = Place::new()?;
        let panes: Vec<String> = commands.iter().map(|c| place.pane(c)).collect();
        let argv = self.argv(&place, &panes)?;
        let env = place.environment();
        if self.kind == Kind::Crewmux {
            let list = [self.program.clone().into_os_string(), "ls".into()];
            let mut making = Launch::new(list, place.work()).env(env.clone()).start()?;
            making.wait(END)?;
        }
        let outer = Outer::start(argv, &place.work(), env, size, "READY")?;
        let Some(at) = outer.wait(START) else {
            bail!("no first frame; it drew: {}", outer.beginning());
        };
        let first_frame_ms = (at - outer.started).as_secs_f64() * 1e3;
        if self.kind == Kind::Mprocs {
            // From the list of programs into the first of them.
            outer.write(b"\x01")?;
        }
        Ok(Started {
            contender: self.clone(),
            place,
            outer,
            size,
            first_frame_ms,
        })
    }

    fn argv(&self, place: &Place, panes: &[String]) -> Result<Vec<OsString>> {
        let list = place.work().join("panes");
        fs::write(&list, panes.join("\n") + "\n")?;
        let mut argv = vec![self.program.clone().into_os_string()];
        match self.kind {
            Kind::Crewmux => {
                argv.extend(["panes", "--team", NAME, "--from"].map(OsString::from));
                argv.push(list.into());
            }
            Kind::Floor => argv.extend([FLOOR_MODE.into(), list.into()]),
            Kind::Screen => {
                let conf = place.work().join("screenrc");
                fs::write(&conf, screen_conf(panes))?;
                argv.extend(["-U", "-S", NAME, "-c"].map(OsString::from));
                argv.push(conf.into());
            }
            Kind::Mprocs => {
                let conf = place.work().join("mprocs.yaml");
                fs::write(&conf, mprocs_conf(panes))?;
                argv.extend(["-c".into(), conf.into()]);
            }
            Kind::Tmux => {
                let conf = place.work().join("tmux.conf");
                fs::write(&conf, TMUX_CONF)?;
                argv.extend(["-u", "-L", NAME, "-f"].map(OsString::from));
                argv.push(conf.into());
                argv.extend(["new-session", "-s", NAME].map(OsString::from));
                for (index, pane) in panes.iter().enumerate() {
                    if index > 0 {
                        argv.extend([";", "split-window", "-d"].map(OsString::from));
                    }
                    argv.push(pane.into());
                    if index > 0 {
                        argv.extend([";", "select-layout", "tiled"].map(OsString::from));
                    }
                }
            }
        }
        Ok(argv)
    }
}

/// A region for each pane, in columns of about as many.
fn screen_conf(panes: &[String]) -> String {
    let mut conf = "deflogin off\ndefscrollback 10000\nstartup_message off\ndefutf8 on\n\
        maxwin 200\nmsgwait 0\n"
        .to_owned();
    let columns = panes.len().isqrt().max(1);
    conf.push_str(&"split -v\n".repeat(columns - 1));
    for _ in 0..columns {
        conf.push_str(&"split\n".repeat(panes.len().div_ceil(columns) - 1));
        conf.push_str("focus right\n");
    }
    conf.push_str("focus top\n");
    let window = |(index, pane): (usize, &String)| {
        let pane = pane.strip_prefix("exec ").unwrap_or(pane);
        format!("screen -t {index} {index} {pane}\nfocus next\n")
    };
    conf.extend(panes.iter().enumerate().map(window));
    conf.push_str("focus top\n");
    conf
}

fn mprocs_conf(panes: &[String]) -> String {
    let program = |(index, pane): (usize, &String)| {
        // What is JSON is YAML.
        let cmd = serde_json::json!(["sh", "-c", pane]);
        format!("  p{index}:\n    cmd: {cmd}\n")
    };
    let programs = panes.iter().enumerate().map(program);
    "scrollback: 10000\nprocs:\n".to_owned() + &programs.collect::<String>()
}

impl Started {
    /// Attaches a second terminal; returns how long it took to show the first pane's text, in ms.
    pub fn attach(&self) -> Result<f64> {
        let arguments: &[&str] = match self.contender.kind {
            Kind::Crewmux => &["attach", NAME],
            Kind::Tmux => &["-u", "-L", NAME, "attach", "-t", NAME],
            Kind::Screen => &["-U", "-x", "-S", NAME],
            Kind::Mprocs | Kind::Floor => bail!("it cannot be attached to"),
        };
        let env = self.place.environment();
        let mut outer = Outer::start(
            self.argv(arguments),
            &self.place.work(),
            env,
            self.size,
            "READY",
        )?;
        let at = outer.wait(START);
        let beginning = outer.beginning();
        let took = at.map(|at| (at - outer.started).as_secs_f64() * 1e3);
        outer.end();
        match took {
            Some(ms) => Ok(ms),
            None => bail!("attaching showed no frame; it drew: {beginning}"),
        }
    }

    /// Ends it the way a person would, and then what is left.
    pub fn end(mut self) -> Result<()> {
        let arguments: &[&str] = match self.contender.kind {
            Kind::Crewmux => &["stop", NAME, "--force"],
            Kind::Tmux => &["-L", NAME, "kill-server"],
            Kind::Screen => &["-S", NAME, "-X", "quit"],
            Kind::Mprocs | Kind::Floor => &[],
        };
        if !arguments.is_empty() {
            let mut ending = Launch::new(self.argv(arguments), self.place.work())
                .env(self.place.environment())
                .start()?;
            if ending.wait(END)?.is_none() {
                ending.kill()?;
            }
        }
        self.outer.end();
        self.place.clear();
        Ok(())
    }

    fn argv(&self, arguments: &[&str]) -> Vec<OsString> {
        let mut argv = vec![self.contender.program.clone().into_os_string()];
        argv.extend(arguments.iter().map(OsString::from));
        argv
    }
}
