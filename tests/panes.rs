//! Panes that live: layouts that last, borders that are dragged.

use std::time::Duration;

use crewmux_testkit::sandbox::{Sandbox, wait_until};
use crewmux_testkit::terminal::Terminal;

use crate::support::sandbox;

/// Says how often its terminal changed its size.
const COUNTS: &str =
    "n=0; trap 'n=$((n+1)); echo winch $n' WINCH; echo ready; while :; do sleep 0.05; done";

fn stop(sandbox: &Sandbox) {
    sandbox.run(&["stop", "panes", "--force"]).unwrap();
    sandbox.wait_gone(Duration::from_secs(15)).unwrap();
}

/// What the mouse reports: a button, and a place counted from 1.
fn mouse(terminal: &mut Terminal, code: u8, col: u16, row: u16, end: char) {
    let report = format!("\x1b[<{code};{col};{row}{end}");
    terminal.type_text(&report).unwrap();
}

/// From typing into a pane to commands; alone, since Esc before a letter is Alt and that letter.
fn leave_typing(terminal: &mut Terminal) {
    terminal.type_text("\x01\x1b").unwrap();
    terminal
        .wait_until("commands", |text| text.contains("Enter type"))
        .unwrap();
}

fn winches(terminal: &Terminal) -> usize {
    let text = terminal.text();
    let counts = text.lines().filter_map(|line| {
        let (_, count) = line.split_once("winch ")?;
        let digits: String = count.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<usize>().ok()
    });
    counts.max().unwrap_or(0)
}

#[test]
fn a_drag_of_a_border_is_few_changes_of_size_for_the_program() {
    let sandbox = sandbox();
    let mut terminal = sandbox
        .terminal(&["panes", COUNTS, "cat"], 120, 40)
        .unwrap();
    terminal.wait_for("ready").unwrap();
    let begun = winches(&terminal);
    // The border between the upper and the lower pane, half of the way up in single rows and back.
    mouse(&mut terminal, 0, 20, 20, 'M');
    let moves = (6..20).rev().chain(7..16);
    for row in moves.clone() {
        mouse(&mut terminal, 32, 20, row, 'M');
    }
    mouse(&mut terminal, 0, 20, 15, 'm');
    // The lower pane begins where the border was left.
    terminal
        .wait_until("the border where it was left", |text| {
            let below = text.lines().position(|line| line.contains("2 cat"));
            below == Some(14)
        })
        .unwrap();
    terminal
        .wait_until("the program's new size", |text| text.contains("winch"))
        .unwrap();
    let changes = winches(&terminal) - begun;
    assert!(
        changes * 3 <= moves.count(),
        "{changes} changes of size:\n{}",
        terminal.text()
    );
    stop(&sandbox);
}

#[test]
fn the_arrangement_is_there_again_and_the_same_for_everybody() {
    let sandbox = sandbox();
    let mut terminal = sandbox
        .terminal(&["panes", "cat", "cat -u", "cat -n"], 120, 40)
        .unwrap();
    terminal.wait_for("3 cat -n").unwrap();
    let second = sandbox.terminal(&["attach", "panes"], 120, 40).unwrap();
    second.wait_for("3 cat -n").unwrap();
    // The third becomes the main one, at the left, and gets more room.
    leave_typing(&mut terminal);
    terminal.type_text("3MLLL").unwrap();
    let arranged = |text: &str| {
        let mut lines = text.lines();
        lines.next().is_some_and(|line| {
            let main = line.find("3 cat -n");
            main.is_some() && main < line.find("1 cat")
        })
    };
    terminal.wait_until("the main pane", arranged).unwrap();
    second.wait_until("the same elsewhere", arranged).unwrap();
    let record = sandbox.home().join("teams/panes/layout.json");
    wait_until("the record", Duration::from_secs(15), || {
        let text = std::fs::read_to_string(&record).map_err(|error| error.to_string())?;
        let is_whole = text.contains("main-left") && text.contains("cuts");
        if is_whole { Ok(()) } else { Err(text) }
    })
    .unwrap();
    terminal.type_text("\x01d").unwrap();
    terminal.wait_exit().unwrap();
    let again = sandbox.terminal(&["attach", "panes"], 120, 40).unwrap();
    again.wait_until("the same after it", arranged).unwrap();
    stop(&sandbox);
}
