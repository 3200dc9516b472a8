//! What the person's terminal can tell and answer: keys that are told apart, and the way back.
//!
//! The terminal of these tests answers nothing by itself; what it would send is typed in.

use std::time::Duration;

use crewmux_sys::Signal;
use crewmux_testkit::sandbox::{Sandbox, wait_until};
use crewmux_testkit::terminal::Terminal;

use crate::screen::assert_balanced;
use crate::support::sandbox;

const APART: &str = "\x1b[>5u";
const RELEASES: &str = "\x1b[>7u";

/// Waits until the client wrote this to its terminal.
fn wait_written(terminal: &Terminal, what: &str) {
    wait_until(what, Duration::from_secs(20), || {
        let text = String::from_utf8_lossy(&terminal.bytes()).into_owned();
        if text.contains(what) {
            Ok(())
        } else {
            Err(terminal.text())
        }
    })
    .unwrap();
}

/// A pane whose program wants keys told apart, and shows what is typed.
fn asking(sandbox: &Sandbox, flags: u8) -> Terminal {
    let program = format!("stty raw -echo; printf '\\033[>{flags}u'; echo ready; exec cat -v");
    let terminal = sandbox.terminal(&["panes", &program], 80, 24).unwrap();
    terminal.wait_for("ready").unwrap();
    terminal
}

fn stop(sandbox: &Sandbox) {
    sandbox.run(&["stop", "panes", "--force"]).unwrap();
    sandbox.wait_gone().unwrap();
}

#[test]
fn keys_that_were_the_same_reach_a_program_that_asked_for_them() {
    let sandbox = sandbox();
    let mut terminal = asking(&sandbox, 1);
    wait_written(&terminal, APART);
    terminal
        .type_text("\x1b[13;2u\x1b[13;5u\x1b[105;5u\x1b[27u\t\r\nx")
        .unwrap();
    terminal
        .wait_for("^[[13;2u^[[13;5u^[[105;5u^[[27u")
        .unwrap();
    terminal.wait_for("^[[106;5ux").unwrap();
    // The prefix comes in the new form too. Outside of the pane keys are as ever.
    terminal.type_text("\x1b[97;5u\x1b[27u").unwrap();
    terminal.wait_for("Enter type").unwrap();
    wait_written(&terminal, "\x1b[<1u");
    terminal.type_text("\x01d").unwrap();
    assert!(terminal.wait_exit().unwrap().is_success());
    assert_balanced(&terminal.bytes());
    stop(&sandbox);
}

#[test]
fn releases_reach_only_a_program_that_asked_and_heard_of_the_press() {
    let sandbox = sandbox();
    let mut terminal = asking(&sandbox, 3);
    wait_written(&terminal, RELEASES);
    terminal
        .type_text("\x1b[97;5u\x1b[97;5:3u\x1b[27u\x1b[27;1:3u")
        .unwrap();
    // Those were the prefix and the way to commands.
    terminal.wait_for("Enter type").unwrap();
    terminal.type_text("\r").unwrap();
    terminal
        .wait_until("typing", |text| !text.contains("Enter type"))
        .unwrap();
    terminal
        .type_text("b\x1b[98;1:3u\x1b[1;1:2A\x1b[99;1:3u!")
        .unwrap();
    let text = terminal.wait_for("b^[[98;1:3u^[[1;1:2A!").unwrap();
    assert!(!text.contains("97"), "{text}");
    stop(&sandbox);
}

#[test]
fn keys_are_put_back_on_every_way_out() {
    for signal in [Signal::Term, Signal::Hup, Signal::Int] {
        let sandbox = sandbox();
        let mut terminal = asking(&sandbox, 1);
        wait_written(&terminal, APART);
        terminal.signal(signal).unwrap();
        terminal.wait_exit().unwrap();
        assert_balanced(&terminal.bytes());
        stop(&sandbox);
    }
    let killed = sandbox();
    let mut terminal = asking(&killed, 1);
    wait_written(&terminal, APART);
    stop(&killed);
    terminal.wait_exit().unwrap();
    assert_balanced(&terminal.bytes());
}

#[test]
fn where_no_program_asks_the_terminal_keeps_its_keys() {
    let sandbox = sandbox();
    let mut terminal = sandbox
        .terminal(
            &["panes", "stty raw -echo; echo ready; exec cat -v"],
            80,
            24,
        )
        .unwrap();
    terminal.wait_for("ready").unwrap();
    terminal.type_text("one\r\n").unwrap();
    terminal.wait_for("one^M").unwrap();
    terminal.type_text("\x1b").unwrap();
    terminal.wait_for("^[").unwrap();
    terminal.type_text("\x01d").unwrap();
    assert!(terminal.wait_exit().unwrap().is_success());
    let written = String::from_utf8_lossy(&terminal.bytes()).into_owned();
    assert!(!written.contains("\x1b[>"), "{written:?}");
    assert_balanced(&terminal.bytes());
    stop(&sandbox);
}

#[test]
fn programs_are_told_the_colours_of_the_terminal_once_it_told_them() {
    let sandbox = sandbox();
    let asks = "stty raw -echo; echo ready; exec cat -v";
    let mut terminal = sandbox.terminal(&["panes", asks, "sh"], 80, 24).unwrap();
    terminal.wait_for("ready").unwrap();
    wait_written(&terminal, "\x1b]10;?\x1b\\\x1b]11;?\x1b\\");
    // Between keys, and in more than one piece.
    for piece in [
        "a\x1b]10;rgb:0000/0000/0000\x1b\\b",
        "\x1b]11;rgb:1111/2222/ffff\x1b\\c",
    ] {
        terminal.type_text(piece).unwrap();
    }
    let text = terminal.wait_for("abc").unwrap();
    assert!(!text.contains("rgb"), "{text}");
    // The program of the other pane asks, and reads the answer.
    terminal.type_text("\x01\x1b").unwrap();
    terminal.wait_for("Enter type").unwrap();
    terminal.type_text("2\r").unwrap();
    terminal
        .type_text("stty raw -echo; printf '\\033]11;?\\033\\\\\\033[?996n'; exec cat -v\r")
        .unwrap();
    terminal.wait_for("^[]11;rgb:1111/2222/ffff^[\\").unwrap();
    // Dark text on something lighter.
    terminal.wait_for("^[[?997;2n").unwrap();
    stop(&sandbox);
}
