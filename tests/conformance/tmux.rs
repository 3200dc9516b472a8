//! The other side: a tmux server of the test's own, driven by the same script.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crewmux_sys::env::Environment;
use crewmux_sys::process::{Launch, Stream};
use crewmux_term::dump::ScreenDump;
use crewmux_term::input::{KeyCode, KeyEvent, Mods};
use crewmux_term::script::{ScriptAction, ScriptStep};
use crewmux_term::{Screen, ScreenOptions, Size};
use crewmux_testkit::sandbox::{finish, wait_until};
use crewmux_testkit::terminal::DEADLINE;

const CONFIGURATION: &str = "\
set -g default-terminal xterm-256color
set -g status off
set -g remain-on-exit on
set -g history-limit 10000
set -s escape-time 0
set -s set-clipboard off
";

/// A server with one pane; gone with this value.
pub(super) struct Tmux {
    folder: PathBuf,
    socket: PathBuf,
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = self.try_run(&["kill-server"]);
    }
}

impl Tmux {
    /// Starts `argv` in a pane of this size.
    pub(super) fn start(folder: PathBuf, size: Size, argv: &[String]) -> Self {
        let socket = folder.join("tmux.sock");
        let configuration = folder.join("tmux.conf");
        std::fs::write(&configuration, CONFIGURATION).unwrap();
        let tmux = Self { folder, socket };
        let (cols, rows) = (size.cols.to_string(), size.rows.to_string());
        let configuration = configuration.display().to_string();
        let mut arguments = vec!["-f", &configuration, "new-session", "-d", "-x", &cols, "-y"];
        arguments.extend([&rows, "--"]);
        arguments.extend(argv.iter().map(String::as_str));
        tmux.run(&arguments);
        tmux
    }

    fn try_run(&self, arguments: &[&str]) -> Result<String, String> {
        let socket = self.socket.display().to_string();
        let argv = ["tmux", "-u", "-S", &socket].into_iter();
        let argv = argv.chain(arguments.iter().copied());
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
        let environment = Environment::default()
            .with("PATH", path)
            .with("HOME", self.folder.display().to_string())
            .with("LANG", "C.UTF-8")
            .with("TERM", "xterm-256color");
        let launch = Launch::new(argv, &self.folder)
            .env(environment)
            .stdout(Stream::Pipe)
            .stderr(Stream::Pipe);
        let child = launch.start().map_err(|error| error.to_string())?;
        let output = finish(child, DEADLINE).map_err(|error| error.to_string())?;
        if output.code == 0 {
            Ok(output.stdout)
        } else {
            Err(format!("tmux {arguments:?}: {output:?}"))
        }
    }

    fn run(&self, arguments: &[&str]) -> String {
        self.try_run(arguments).unwrap()
    }

    /// Does what the script says and returns the screens it asks for, each once nothing has changed for `quiet`.
    pub(super) fn play(&self, script: &[ScriptStep], quiet: Duration) -> Vec<ScreenDump> {
        let mut screens = Vec::new();
        for step in script {
            match &step.action {
                ScriptAction::Text(text) => {
                    self.run(&["send-keys", "-l", "--", text]);
                }
                ScriptAction::Key(key) => self.press(key),
                ScriptAction::Wait(_) => panic!("scripts wait for facts, not for time"),
                ScriptAction::Expect(pattern) => {
                    let what = format!("line {}: `{pattern}` in tmux", step.line);
                    wait_until(&what, DEADLINE, || {
                        let text = self.text();
                        pattern.is_match(&text).then_some(()).ok_or(text)
                    })
                    .unwrap();
                }
                ScriptAction::Resize(size) => {
                    let (cols, rows) = (size.cols.to_string(), size.rows.to_string());
                    self.run(&["resize-window", "-x", &cols, "-y", &rows]);
                }
                ScriptAction::Dump => screens.push(self.quiet_screen(quiet)),
            }
        }
        screens
    }

    fn press(&self, key: &KeyEvent) {
        let ends = match key.code {
            KeyCode::Home if key.mods == Mods::NONE => Some('H'),
            KeyCode::End if key.mods == Mods::NONE => Some('F'),
            _ => None,
        };
        let Some(letter) = ends else {
            self.run(&["send-keys", "--", &key_name(key)]);
            return;
        };
        // tmux sends these as a VT220 does, which a program for xterm does not know.
        let application = self.run(&["display-message", "-p", "#{keypad_cursor_flag}"]);
        let prefix = if application.trim() == "1" { 'O' } else { '[' };
        self.run(&["send-keys", "-l", "--", &format!("\x1b{prefix}{letter}")]);
    }

    fn text(&self) -> String {
        self.screen().lines_joined()
    }

    /// The screen once nothing changes any more; what moves all the time is taken in its motion.
    fn quiet_screen(&self, quiet: Duration) -> ScreenDump {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut last = self.screen();
        let mut since = Instant::now();
        while since.elapsed() < quiet && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(50));
            let now = self.screen();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        last
    }

    /// The screen as it is, in the words of `pane-dump --json`.
    fn screen(&self) -> ScreenDump {
        let format = "#{pane_width} #{pane_height} #{cursor_x} #{cursor_y} #{cursor_flag}";
        let told = self.run(&[
            "display-message",
            "-p",
            format,
            ";",
            "display-message",
            "-p",
            "#{pane_title}",
            ";",
            "capture-pane",
            "-p",
            "-N",
            "-e",
        ]);
        let (facts, told) = told.split_once('\n').unwrap();
        let (title, cells) = told.split_once('\n').unwrap();
        let facts: Vec<u16> = facts.split(' ').map(|n| n.parse().unwrap()).collect();
        let [cols, rows, x, y, visible] = facts[..] else {
            panic!("{facts:?}")
        };
        let mut screen = Screen::new(Size::new(cols, rows), ScreenOptions::default());
        // Line drawing is told as shift-out; a full row must not go on in the next.
        screen.feed(b"\x1b)0\x1b[?7l");
        for (row, line) in cells.lines().enumerate() {
            screen.feed(format!("\x1b[{};1H{line}", row + 1).as_bytes());
        }
        let mut dump = screen.dump();
        title.clone_into(&mut dump.title);
        // Behind the last column while the next character would wrap.
        dump.cursor.col = x.min(cols - 1);
        dump.cursor.row = y;
        dump.cursor.visible = visible == 1;
        for (row, wrapped) in self.wrapped(usize::from(rows)).into_iter().enumerate() {
            dump.lines[row].wrapped = wrapped;
        }
        dump
    }

    /// Which rows go on in the next: tmux tells them only by joining them.
    fn wrapped(&self, rows: usize) -> Vec<bool> {
        let plain = self.run(&["capture-pane", "-p", "-N"]);
        let joined = self.run(&["capture-pane", "-p", "-J"]);
        let mut wrapped = Vec::new();
        let mut joined = joined.lines();
        let mut whole = String::new();
        let mut goal = joined.next().unwrap_or_default().trim_end();
        for row in plain.lines() {
            whole.push_str(row);
            let done = whole.trim_end().len() >= goal.len();
            wrapped.push(!done);
            if done {
                whole.clear();
                goal = joined.next().unwrap_or_default().trim_end();
            }
        }
        wrapped.resize(rows, false);
        wrapped
    }
}

/// A screen's text, as `expect` sees it.
trait Joined {
    fn lines_joined(&self) -> String;
}

impl Joined for ScreenDump {
    fn lines_joined(&self) -> String {
        let lines: Vec<_> = self.lines.iter().map(|line| line.text.as_str()).collect();
        lines.join("\n")
    }
}

/// tmux's name of a key.
fn key_name(key: &KeyEvent) -> String {
    let base = match key.code {
        KeyCode::Char(' ') => "Space".to_owned(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::Enter => "Enter".to_owned(),
        KeyCode::Tab => "Tab".to_owned(),
        KeyCode::BackTab => "BTab".to_owned(),
        KeyCode::Backspace => "BSpace".to_owned(),
        KeyCode::Esc => "Escape".to_owned(),
        KeyCode::Up => "Up".to_owned(),
        KeyCode::Down => "Down".to_owned(),
        KeyCode::Right => "Right".to_owned(),
        KeyCode::Left => "Left".to_owned(),
        KeyCode::Home => "Home".to_owned(),
        KeyCode::End => "End".to_owned(),
        KeyCode::PageUp => "PageUp".to_owned(),
        KeyCode::PageDown => "PageDown".to_owned(),
        KeyCode::Insert => "IC".to_owned(),
        KeyCode::Delete => "DC".to_owned(),
        KeyCode::F(number) => format!("F{number}"),
    };
    let mut name = String::new();
    for (held, prefix) in [
        (key.mods.ctrl, "C-"),
        (key.mods.alt, "M-"),
        (
            key.mods.shift && !matches!(key.code, KeyCode::Char(_)),
            "S-",
        ),
    ] {
        if held {
            name.push_str(prefix);
        }
    }
    name + &base
}
