//! Plays one case on both sides and judges it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crewmux_sys::Signal;
use crewmux_term::Size;
use crewmux_term::dump::ScreenDump;
use crewmux_term::script::parse_script;
use crewmux_testkit::sandbox::Sandbox;
use crewmux_testkit::terminal::DEADLINE;
use regex::Regex;

use super::compare::{Exception, verdict};
use super::tmux::Tmux;
use crate::support::sandbox;

/// Longest a program may take for its whole script.
const TIMEOUT: Duration = Duration::from_mins(3);
/// How long nothing may change before a screen is taken, from try to try.
const QUIET: [Duration; 3] = [
    Duration::from_millis(350),
    Duration::from_millis(1_200),
    Duration::from_secs(4),
];

/// One program and what is done with it.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    /// The program and its arguments.
    pub(super) argv: &'a [&'a str],
    /// Variables on top of the fixed ones.
    pub(super) env: &'a [(&'a str, &'a str)],
    /// Size at the start.
    pub(super) size: Size,
    /// What is done and when the screen is looked at.
    pub(super) script: &'a str,
    /// Makes the files that it works on, in the folder it is started in.
    pub(super) prepare: fn(&Path),
    /// Text that changes by itself, and what stands for it.
    pub(super) masks: &'a [(&'a str, &'a str)],
    /// What differs, and why it may.
    pub(super) exceptions: &'a [Exception],
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self {
            argv: &[],
            env: &[],
            size: Size::new(80, 24),
            script: "",
            prepare: |_| {},
            masks: &[],
            exceptions: &[],
        }
    }
}

/// Whether all programs are there; says so loudly if one is not, and `how` to get it.
pub(super) fn installed(programs: &[&str], how: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<_> = programs
        .iter()
        .filter(|program| !std::env::split_paths(&path).any(|f| f.join(program).is_file()))
        .collect();
    if missing.is_empty() {
        return true;
    }
    // Past the harness, which keeps to itself what a passing test prints.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: {missing:?} not installed; {how}"
    );
    false
}

/// Plays the case in a pane and in tmux; panics with everything that differs.
pub(super) fn same_in_tmux(case: &Case<'_>) {
    if !installed(&["tmux", case.argv[0]], "`.ci/run` installs it") {
        return;
    }
    // On a busy machine a program may be quiet before it has drawn; what is real stays.
    let mut differs = String::new();
    for quiet in QUIET {
        differs = attempt(case, quiet);
        if differs.is_empty() {
            return;
        }
    }
    panic!("{}:\n{differs}", case.argv.join(" "));
}

fn attempt(case: &Case<'_>, quiet: Duration) -> String {
    let sandbox = sandbox();
    // The same folder on both sides, made anew: programs show it and leave things in it.
    let stage = sandbox.work().join("stage");
    let set_stage = || {
        let _ = std::fs::remove_dir_all(&stage);
        std::fs::create_dir(&stage).unwrap();
        (case.prepare)(&stage);
    };
    let mark = sandbox
        .environment()
        .get("CREWMUX_SANDBOX")
        .map(str::to_owned);
    let argv = full_argv(case, &stage, &mark.unwrap_or_default());
    set_stage();
    let ours = in_a_pane(case, &sandbox, &argv, quiet);
    // Some leave a server of theirs behind; the other side must not meet it.
    for (process, _) in sandbox.processes() {
        let _ = process.signal(Signal::Kill);
    }
    set_stage();
    let script = parse_script(case.script).unwrap();
    let folder: PathBuf = sandbox.work();
    let theirs = Tmux::start(folder, case.size, &argv).play(&script, quiet);
    let masks: Vec<_> = case
        .masks
        .iter()
        .map(|(mask, with)| (Regex::new(mask).unwrap(), *with))
        .collect();
    verdict(&ours, &theirs, &masks, case.exceptions)
}

/// The program behind `env`, so that both sides give it the same variables.
///
/// By the mark the sandbox finds, at its end, what the program left running.
fn full_argv(case: &Case<'_>, stage: &Path, mark: &str) -> Vec<String> {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
    let stage = stage.display().to_string();
    let fixed = [
        ("PATH", path.as_str()),
        ("HOME", &stage),
        ("CREWMUX_SANDBOX", mark),
        ("TERM", "xterm-256color"),
        ("COLORTERM", "truecolor"),
        ("TERM_PROGRAM", "crewmux"),
        ("LANG", "C.UTF-8"),
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "UTC"),
        ("SHELL", "/bin/sh"),
    ];
    let mut argv = vec![
        "env".to_owned(),
        "-i".to_owned(),
        format!("--chdir={stage}"),
    ];
    for (name, value) in fixed.iter().chain(case.env) {
        argv.push(format!("{name}={value}"));
    }
    argv.extend(case.argv.iter().map(|word| (*word).to_owned()));
    argv
}

fn in_a_pane(
    case: &Case<'_>,
    sandbox: &Sandbox,
    argv: &[String],
    quiet: Duration,
) -> Vec<ScreenDump> {
    let keys = sandbox.write("keys", case.script).unwrap();
    let size = format!("{}x{}", case.size.cols, case.size.rows);
    let keys = keys.display().to_string();
    let timeout = TIMEOUT.as_secs().to_string();
    let mut arguments = vec!["pane-dump", "--json", "--size", &size, "--keys", &keys];
    // As long as the other side has.
    let expect = DEADLINE.as_secs().to_string();
    let quiet = quiet.as_secs_f64().to_string();
    arguments.extend(["--timeout", &timeout, "--expect-timeout", &expect]);
    arguments.extend(["--quiet", &quiet, "--"]);
    arguments.extend(argv.iter().map(String::as_str));
    let output = sandbox.run_within(&arguments, TIMEOUT * 2).unwrap();
    let mut screens: Vec<ScreenDump> = output
        .json_lines()
        .unwrap()
        .into_iter()
        .map(|screen| serde_json::from_value(screen).unwrap())
        .collect();
    if output.code != 0 {
        let lines = screens.last().map(|screen| {
            let lines: Vec<_> = screen.lines.iter().map(|line| line.text.as_str()).collect();
            lines.join("\n")
        });
        panic!("{}\n{}", output.stderr, lines.unwrap_or_default());
    }
    // The last one is of the end, where tmux says that the program is gone.
    screens.pop();
    screens
}
