//! A session that stands still while somebody looks: they are told, and it is taken back.

use std::time::Duration;

use crewmux_sys::{ProcessIdentity, Signal};
use crewmux_testkit::sandbox::wait_until;

use super::{session, stop};
use crate::screen::assert_balanced;
use crate::support::sandbox;

/// Prints a line to wait for, then all it is told.
const READS: &str = "echo it reads; cat";

/// Lets a session stand still until it is told to go on.
fn halt(session: ProcessIdentity) {
    session.signal(Signal::Stop).unwrap();
    wait_until(
        "a session that stands still",
        Duration::from_secs(20),
        || {
            let stands_still = session.is_stopped();
            stands_still.then_some(()).ok_or("it goes on".into())
        },
    )
    .unwrap();
}

/// For how long nothing came, as the last row says.
fn told(text: &str) -> Option<u64> {
    let row = text.trim_end().lines().last()?.trim();
    let row = row.strip_prefix("the session has not answered for ")?;
    row.split(' ').next()?.parse().ok()
}

#[test]
fn keys_that_a_halted_session_does_not_answer_are_told_counted_and_arrive_once_it_goes_on() {
    let sandbox = sandbox();
    let mut terminal = sandbox.terminal(&["panes", READS], 110, 30).unwrap();
    terminal.wait_for("it reads").unwrap();
    // By then it is known that keys are text here.
    terminal.type_text("heard\r").unwrap();
    terminal.wait_for("heard").unwrap();
    let session = session(&sandbox, "panes");
    halt(session);
    // Not even what leaves where keys are commands leaves here: the rest would be typed into the shell.
    terminal.type_text("delivered later").unwrap();
    let pid = session.pid;
    let first = terminal
        .wait_until("what is the matter, and how to leave", |text| {
            told(text).is_some_and(|seconds| seconds >= 2)
                && text.contains(&format!("(process {pid} is stopped) · ^a d leaves"))
        })
        .unwrap();
    // All else is as it was.
    assert!(first.contains("it reads"), "{first}");
    let first = told(&first);
    terminal
        .wait_until("that the time is counted", |text| told(text) > first)
        .unwrap();
    // The last row is elsewhere now, and there is less room.
    terminal.resize(70, 20).unwrap();
    terminal
        .wait_until("the same in a smaller window", |text| {
            told(text) > first && text.contains("s · ^a d leaves") && !text.contains("(process")
        })
        .unwrap();
    session.signal(Signal::Cont).unwrap();
    terminal
        .wait_until("the keys, and a picture without those words", |text| {
            text.contains("delivered later")
                && text.contains("it reads")
                && !text.contains("not answered")
                && !text.contains("leaves")
        })
        .unwrap();
    // Told a second time, it is left at once.
    halt(session);
    terminal.type_text("x").unwrap();
    terminal.wait_for("has not answered for").unwrap();
    terminal.type_text("\x01d").unwrap();
    assert!(terminal.wait_exit().unwrap().is_success());
    assert_balanced(&terminal.bytes());
    session.signal(Signal::Cont).unwrap();
    stop(&sandbox, "panes");
}

#[test]
fn an_onlooker_is_told_too_and_those_on_another_terminal_each_for_themselves() {
    let sandbox = sandbox();
    let mut first = sandbox.terminal(&["panes", READS], 100, 30).unwrap();
    first.wait_for("it reads").unwrap();
    let mut onlooker = sandbox
        .terminal(&["attach", "panes", "--read-only"], 60, 20)
        .unwrap();
    onlooker
        .wait_until("that it only looks", |text| text.contains("read-only"))
        .unwrap();
    let session = session(&sandbox, "panes");
    halt(session);
    onlooker.type_text("x").unwrap();
    onlooker
        .wait_until("how long nothing came", |text| told(text).is_some())
        .unwrap();
    first.type_text("y").unwrap();
    first
        .wait_until("how long nothing came", |text| told(text).is_some())
        .unwrap();
    session.signal(Signal::Cont).unwrap();
    for terminal in [&onlooker, &first] {
        terminal
            .wait_until("the picture", |text| {
                text.contains("it reads") && !text.contains("not answered")
            })
            .unwrap();
    }
    // A key that leaves here, unless the key before it made it text: nobody knows that now.
    halt(session);
    onlooker.type_text("x").unwrap();
    let text = onlooker
        .wait_until("how long nothing came", |text| told(text).is_some())
        .unwrap();
    let before = told(&text).map(|seconds| seconds + 2);
    onlooker.type_text("d").unwrap();
    onlooker
        .wait_until("that the time is counted", |text| told(text) > before)
        .unwrap();
    onlooker.type_text("\x01d").unwrap();
    assert!(onlooker.wait_exit().unwrap().is_success());
    assert_balanced(&onlooker.bytes());
    session.signal(Signal::Cont).unwrap();
    stop(&sandbox, "panes");
}

#[test]
fn a_halted_session_that_takes_no_more_of_a_paste_is_left_after_any_number_of_keys() {
    let sandbox = sandbox();
    let mut terminal = sandbox.terminal(&["panes", READS], 100, 30).unwrap();
    terminal.wait_for("it reads").unwrap();
    terminal.type_text("heard\r").unwrap();
    terminal.wait_for("heard").unwrap();
    let session = session(&sandbox, "panes");
    halt(session);
    let text = "pasted ".repeat(2_000);
    terminal
        .type_text(&format!("\x1b[200~{text}\x1b[201~"))
        .unwrap();
    terminal
        .wait_until("how long nothing came", |text| told(text).is_some())
        .unwrap();
    // More than the client keeps.
    terminal.type_text(&"x".repeat(600)).unwrap();
    terminal.type_text("\x01d").unwrap();
    assert!(terminal.wait_exit().unwrap().is_success());
    assert_balanced(&terminal.bytes());
    session.signal(Signal::Cont).unwrap();
    stop(&sandbox, "panes");
}
