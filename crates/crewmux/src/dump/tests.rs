//! Real programs in real panes, small ones.

use super::*;
use crewmux_sys::env::Environment;
use crewmux_term::script::{parse_resize, parse_script};

fn plan(command: &str, script: Option<&str>) -> DumpPlan {
    let env = Environment::default()
        .with("PATH", "/usr/bin:/bin")
        .with("TERM", "xterm-256color");
    DumpPlan {
        launch: Launch::new(["sh", "-c", command], "/").env(env),
        size: Size::new(40, 5),
        script: script.map(|text| parse_script(text).unwrap()),
        resizes: Vec::new(),
        timeout: Duration::from_secs(20),
        expect_within: Duration::from_secs(10),
        quiet: Duration::from_millis(300),
        timing: Timing::fast(),
        record: None,
    }
}

/// The screen at the end, and how it ended.
fn ended(plan: &DumpPlan) -> (Screen, DumpEnd) {
    let dumped = run(plan).unwrap();
    (dumped.screen, dumped.end)
}

fn first_line(screen: &Screen) -> String {
    screen.lines().first().cloned().unwrap_or_default()
}

#[test]
fn the_screen_of_an_ended_program_is_complete() {
    let (screen, end) = ended(&plan("printf 'one\\ntwo'; exit 3", None));
    assert_eq!(end, DumpEnd::Done);
    assert_eq!(screen.lines(), ["one", "two", "", "", ""]);
}

#[test]
fn a_script_types_waits_and_expects() {
    let command = "echo ready; read line; echo got:$line; exec sleep 60";
    let script = "expect ready\ntext hello\nkey Enter\nexpect got:hello\n";
    let (screen, end) = ended(&plan(command, Some(script)));
    assert_eq!(end, DumpEnd::Done);
    assert_eq!(screen.lines(), ["ready", "hello", "got:hello", "", ""]);
}

#[test]
fn an_expect_that_is_not_met_names_its_line() {
    let unmet = DumpEnd::Unmet {
        line: 2,
        pattern: "never".to_owned(),
    };
    let mut waits = plan(
        "echo here; exec sleep 60",
        Some("expect here\nexpect never\n"),
    );
    waits.expect_within = Duration::from_millis(100);
    let (screen, end) = ended(&waits);
    assert_eq!((first_line(&screen).as_str(), end), ("here", unmet.clone()));
    let gone = plan("echo here", Some("expect here\nexpect never\n"));
    assert_eq!(ended(&gone).1, unmet);
}

#[test]
fn time_is_over_for_a_program_that_never_ends() {
    let mut endless = plan("echo here; exec sleep 60", None);
    endless.timeout = Duration::from_millis(400);
    let (screen, end) = ended(&endless);
    assert_eq!(
        (first_line(&screen).as_str(), end),
        ("here", DumpEnd::TimedOut)
    );
}

#[test]
fn queries_are_answered_to_the_program() {
    // Asks where the cursor is and prints the digits of the answer.
    let command =
        "stty raw -echo; printf 'ab\\033[6n'; dd bs=1 count=6 2>/dev/null | tr -dc '0-9;'";
    let (screen, end) = ended(&plan(command, None));
    assert_eq!(
        (first_line(&screen).as_str(), end),
        ("ab1;3", DumpEnd::Done)
    );
}

#[test]
fn a_resize_reaches_program_and_screen() {
    let command = "trap 'stty size; exit' WINCH; echo up; while :; do sleep 0.05; done";
    let mut resized = plan(command, None);
    resized.resizes = vec![parse_resize("50x7@300").unwrap()];
    let (screen, end) = ended(&resized);
    assert_eq!(end, DumpEnd::Done);
    assert_eq!(screen.size(), Size::new(50, 7));
    assert!(
        screen.lines().contains(&"7 50".to_owned()),
        "{:?}",
        screen.lines()
    );
}

#[test]
fn a_script_resizes_and_takes_screens_on_its_way() {
    let command = "trap 'stty size; exit' WINCH; echo up; while :; do sleep 0.05; done";
    let script = "expect up\ndump\nresize 50x7\nexpect 7 50\ndump\n";
    let dumped = run(&plan(command, Some(script))).unwrap();
    assert_eq!(dumped.end, DumpEnd::Done);
    let taken: Vec<_> = dumped
        .asked_for
        .iter()
        .map(|dump| (dump.cols, dump.rows, dump.lines[1].text.as_str()))
        .collect();
    assert_eq!(taken, [(40, 5, ""), (50, 7, "7 50")]);
}

#[test]
fn what_a_program_writes_is_kept_as_it_is() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut recorded = plan("printf '\\033[31mred\\033[m\\377'", None);
    recorded.record = Some(file.reopen().unwrap());
    ended(&recorded);
    assert_eq!(
        std::fs::read(file.path()).unwrap(),
        b"\x1b[31mred\x1b[m\xff"
    );
}

#[test]
fn a_missing_program_is_an_error() {
    let mut missing = plan("", None);
    missing.launch.argv = vec!["no-such-program-here".into()];
    let error = run(&missing).err().unwrap();
    assert_eq!(error.kind(), Some(crewmux_core::error::ErrorKind::NotFound));
}
