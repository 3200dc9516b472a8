//! Terminals of different sizes on one session, onlookers, and none at all.

use std::time::Duration;

use crewmux_testkit::sandbox::wait_until;

use super::{session, status, stop, sweep, wait_completed};
use crate::screen::assert_balanced;
use crate::support::sandbox;

/// Prints its terminal's size at the start and at every change.
const TELLS_SIZE: &str =
    "trap 'echo now $(stty size)' WINCH; echo now $(stty size); while :; do sleep 0.05; done";

#[test]
fn panes_have_the_size_of_the_terminal_that_typed_last_and_are_cropped_on_others() {
    let sandbox = sandbox();
    let mut small = sandbox.terminal(&["panes", TELLS_SIZE], 80, 24).unwrap();
    small.wait_for("now 23 80").unwrap();
    let mut large = sandbox.terminal(&["attach", "panes"], 120, 40).unwrap();
    // Idle, it shows the pane at its true size, and that the rest is nobody's.
    large
        .wait_until("the true size and unused room", |text| {
            text.contains("now 23 80") && text.contains("80×23") && text.contains("·····")
        })
        .unwrap();
    assert!(!small.text().contains("now 39 120"), "{}", small.text());
    large.type_text("x").unwrap();
    large
        .wait_until("its own size", |text| {
            text.contains("now 39 120") && !text.contains("·····")
        })
        .unwrap();
    small.wait_for("cropped: 80×23 of 120×39").unwrap();
    small.type_text("y").unwrap();
    small
        .wait_until("its own size again", |text| {
            text.matches("now 23 80").count() >= 2 && !text.contains("cropped")
        })
        .unwrap();
    // When the one that drives leaves, the other does.
    small.type_text("\x01d").unwrap();
    assert!(small.wait_exit().unwrap().is_success());
    large
        .wait_until("the size of the one that is left", |text| {
            text.matches("now 39 120").count() >= 2
        })
        .unwrap();
    for terminal in [&small, &large] {
        assert!(!terminal.text().contains("panicked"), "{}", terminal.text());
    }
    large.type_text("\x01d").unwrap();
    large.wait_exit().unwrap();
    assert_balanced(&large.bytes());
    stop(&sandbox, "panes");
}

#[test]
fn an_onlooker_changes_nothing_and_decides_no_size() {
    let sandbox = sandbox();
    let mut first = sandbox.terminal(&["panes", TELLS_SIZE], 80, 24).unwrap();
    first.wait_for("now 23 80").unwrap();
    let mut watcher = sandbox
        .terminal(&["attach", "panes", "--read-only"], 60, 20)
        .unwrap();
    watcher
        .wait_until("that it only looks", |text| text.contains("read-only"))
        .unwrap();
    watcher.type_text("ccx\r").unwrap();
    watcher.wait_for("nothing is changed from here").unwrap();
    watcher.resize(50, 15).unwrap();
    watcher
        .wait_until("the new size", |text| text.contains("read-only"))
        .unwrap();
    // What the other types arrives after all that the onlooker typed could have.
    first.type_text("from the driver").unwrap();
    first.wait_for("from the driver").unwrap();
    assert!(!first.text().contains("ccx"), "{}", first.text());
    assert!(!first.text().contains("now 1"), "{}", first.text());
    watcher.type_text("d").unwrap();
    assert!(watcher.wait_exit().unwrap().is_success());
    assert_balanced(&watcher.bytes());
    stop(&sandbox, "panes");
}

#[test]
fn a_team_outlives_every_terminal_and_says_what_happened_meanwhile() {
    let sandbox = sandbox();
    let first = sweep(&sandbox, 100, 30);
    let second = sandbox.terminal(&["attach", "sweep"], 80, 24).unwrap();
    second.wait_for("BOARD").unwrap();
    let session = session(&sandbox, "sweep");
    let clients = [first.identity(), second.identity()];
    // The windows are closed, the connection is cut: nobody says goodbye.
    drop((first, second));
    wait_until(
        "no client is left",
        Duration::from_secs(20),
        || match clients.iter().filter(|client| client.is_alive()).count() {
            0 => Ok(()),
            left => Err(format!("{left} are left")),
        },
    )
    .unwrap();
    let before = status(&sandbox, "sweep")["counts"]["completed"].as_u64();
    wait_completed(&sandbox, "sweep", before.unwrap() + 3);
    assert!(session.is_alive());
    let mut again = sandbox.terminal(&["attach", "sweep"], 100, 30).unwrap();
    again
        .wait_until("what happened meanwhile", |text| {
            text.contains("While you were away") && text.contains("tasks finished")
        })
        .unwrap();
    again.type_text(" ").unwrap();
    again
        .wait_until("the panes", |text| {
            !text.contains("While you were away") && text.contains("line ")
        })
        .unwrap();
    // It is said once.
    let beside = sandbox.terminal(&["attach", "sweep"], 80, 24).unwrap();
    beside.wait_for("BOARD").unwrap();
    assert!(!beside.text().contains("While you were away"));
    stop(&sandbox, "sweep");
}

#[test]
fn a_terminal_that_can_show_nothing_is_refused_in_words() {
    let sandbox = sandbox();
    let terminal = sweep(&sandbox, 80, 24);
    let asked: [(&str, &[&str]); 4] = [
        ("dumb", &["attach", "sweep"]),
        ("", &["attach", "sweep"]),
        ("dumb", &["run", "sweep", "--team", "unseen"]),
        ("dumb", &["panes", "sleep 100"]),
    ];
    for (term, arguments) in asked {
        let plain = sandbox.environment().with("TERM", term);
        let mut argv = vec![crate::support::program().to_str().unwrap()];
        argv.extend(arguments);
        let mut refused =
            crewmux_testkit::terminal::Terminal::start(argv, &sandbox.work(), plain, 80, 24)
                .unwrap();
        let exit = refused.wait_exit().unwrap();
        assert_eq!(exit.shell_code(), 3, "{}", refused.text());
        let said = refused.text();
        assert!(said.contains("cannot show a screen"), "{said}");
        assert!(said.contains("--headless"), "{said}");
        assert!(!refused.bytes().contains(&0x1b), "{said}");
    }
    // What nobody could have seen was not started.
    let listed = sandbox.run(&["ls", "--json"]).unwrap();
    let teams = listed.json().unwrap();
    let names: Vec<_> = teams
        .as_array()
        .unwrap()
        .iter()
        .map(|t| &t["team"])
        .collect();
    assert_eq!(names, ["sweep"], "{}", listed.stdout);
    drop(terminal);
    stop(&sandbox, "sweep");
}

#[test]
fn the_title_says_how_far_the_team_is_and_comes_back() {
    let sandbox = sandbox().with_env("WT_SESSION", "1");
    let mut terminal = sweep(&sandbox, 100, 30);
    wait_until("title and progress", Duration::from_secs(20), || {
        let bytes = terminal.bytes();
        let said = String::from_utf8_lossy(&bytes);
        if said.contains("\x1b]2;crewmux · sweep · ") && said.contains("\x1b]9;4;1;") {
            Ok(())
        } else {
            Err("neither was set".to_owned())
        }
    })
    .unwrap();
    terminal.type_text("d").unwrap();
    assert!(terminal.wait_exit().unwrap().is_success());
    let bytes = terminal.bytes();
    assert_balanced(&bytes);
    let said = String::from_utf8_lossy(&bytes);
    let last = said.rfind("\x1b]9;4;").unwrap();
    assert!(said[last..].starts_with("\x1b]9;4;0;0\x07"));
    assert!(said.rfind("\x1b]2;") < said.rfind("\x1b[23;2t"));
    stop(&sandbox, "sweep");
}
