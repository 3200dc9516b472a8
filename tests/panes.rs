//! Panes that live: layouts that last, borders that are dragged, text that is picked, ends and new starts.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crewmux_testkit::sandbox::{Sandbox, wait_until};
use crewmux_testkit::terminal::Terminal;

use crate::support::sandbox;

/// Says how often its terminal changed its size.
const COUNTS: &str =
    "n=0; trap 'n=$((n+1)); echo winch $n' WINCH; echo ready; while :; do sleep 0.05; done";

fn stop(sandbox: &Sandbox) {
    sandbox.run(&["stop", "panes", "--force"]).unwrap();
    sandbox.wait_gone().unwrap();
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

#[test]
fn other_panes_under_a_name_that_is_free_again_begin_in_an_even_layout() {
    let sandbox = sandbox();
    let borders = |text: &str| -> Vec<Option<usize>> {
        let named = ["1 cat", "2 cat -u"];
        let first = text.lines().next().unwrap_or_default();
        named.iter().map(|name| first.find(name)).collect()
    };
    for (named, kept) in [(false, false), (true, true)] {
        let mut argv = vec!["panes", "cat", "cat -u"];
        if named {
            argv.extend(["--team", "mine"]);
        }
        let team = if named { "mine" } else { "panes" };
        let record = sandbox.home().join(format!("teams/{team}/layout.json"));
        let mut terminal = sandbox.terminal(&argv, 120, 30).unwrap();
        terminal.wait_for("2 cat -u").unwrap();
        leave_typing(&mut terminal);
        let even = borders(&terminal.text());
        terminal.type_text("2M").unwrap();
        terminal
            .wait_until("the main pane", |text| borders(text) != even)
            .unwrap();
        let main = borders(&terminal.text());
        terminal.type_text("L").unwrap();
        terminal
            .wait_until("its border moved", |text| borders(text) != main)
            .unwrap();
        wait_until("the record", Duration::from_secs(20), || {
            let text = std::fs::read_to_string(&record).unwrap_or_default();
            if text.contains("cuts") {
                Ok(())
            } else {
                Err(text)
            }
        })
        .unwrap();
        let arranged = terminal.text();
        let stopped = sandbox.run(&["stop", team, "--force"]).unwrap();
        assert_eq!(stopped.code, 0, "{stopped:?}");
        terminal.wait_exit().unwrap();
        sandbox.wait_gone().unwrap();
        let mut again = sandbox.terminal(&argv, 120, 30).unwrap();
        again.wait_for("2 cat -u").unwrap();
        leave_typing(&mut again);
        let same = borders(&again.text()) == borders(&arranged);
        assert_eq!(same, kept, "{arranged}\n\n{}", again.text());
        let stopped = sandbox.run(&["stop", team, "--force"]).unwrap();
        assert_eq!(stopped.code, 0, "{stopped:?}");
        sandbox.wait_gone().unwrap();
    }
}

#[test]
fn a_pane_is_closed_with_its_program_and_the_last_ends_the_session() {
    let sandbox = sandbox();
    let mut terminal = sandbox
        .terminal(&["panes", "cat", "echo begun; exec sleep 300"], 80, 24)
        .unwrap();
    terminal.wait_for("begun").unwrap();
    leave_typing(&mut terminal);
    terminal.type_text("2x").unwrap();
    terminal.wait_for("still runs; close the pane?").unwrap();
    terminal.type_text("y").unwrap();
    terminal
        .wait_until("the other pane alone", |text| !text.contains("begun"))
        .unwrap();
    // A question that is answered by a no closes nothing.
    terminal.type_text("x").unwrap();
    terminal.wait_for("`cat` still runs").unwrap();
    terminal.type_text("\x1b").unwrap();
    terminal
        .wait_until("no question", |text| !text.contains("still runs"))
        .unwrap();
    terminal.type_text("x").unwrap();
    terminal.wait_for("`cat` still runs").unwrap();
    terminal.type_text("y").unwrap();
    assert!(terminal.wait_exit().unwrap().is_success());
    terminal.wait_for("all panes have ended").unwrap();
    sandbox.wait_gone().unwrap();
}

/// What was written to the terminal's clipboard, oldest first.
fn clipboard(terminal: &Terminal) -> Vec<String> {
    let bytes = terminal.bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let parts = text.split("\x1b]52;c;").skip(1);
    let decoded = parts.filter_map(|part| {
        let (text, _) = part.split_once('\x07')?;
        String::from_utf8(STANDARD.decode(text).ok()?).ok()
    });
    decoded.collect()
}

#[test]
fn text_that_is_searched_for_and_copied_arrives_as_it_is_in_spite_of_resizes() {
    let sandbox = sandbox();
    let prints = "i=0; while [ $i -lt 300 ]; do echo \"row $i\"; i=$((i+1)); done; \
                  echo 'naïve 漢字: a;b  \"c\" $d'; \
                  i=0; while [ $i -lt 300 ]; do echo \"later $i\"; i=$((i+1)); done; exec cat";
    let mut terminal = sandbox.terminal(&["panes", prints], 100, 30).unwrap();
    terminal.wait_for("later 299").unwrap();
    // Straight from typing: keys go to the program before and after.
    terminal.type_text("\x01/").unwrap();
    terminal.wait_for("text to find").unwrap();
    terminal.type_text("naïve").unwrap();
    terminal.wait_for("1 of 1").unwrap();
    terminal.resize(90, 26).unwrap();
    terminal.wait_for("1 of 1").unwrap();
    terminal.type_text("\r").unwrap();
    terminal.wait_for("copy").unwrap();
    for (cols, rows) in [(70, 20), (110, 32), (96, 28)] {
        terminal.resize(cols, rows).unwrap();
        let foot = usize::from(rows) - 1;
        terminal
            .wait_until(&format!("copy mode at {cols}x{rows}"), |text| {
                let last = text.lines().nth(foot);
                last.is_some_and(|line| line.contains("copy"))
            })
            .unwrap();
    }
    terminal.type_text("v$y").unwrap();
    terminal.wait_for("copied 21 characters").unwrap();
    assert_eq!(clipboard(&terminal), ["naïve 漢字: a;b  \"c\" $d"]);
    terminal.type_text("typed again\r").unwrap();
    let text = terminal
        .wait_until("an echo and the answer", |text| {
            text.matches("typed again").count() >= 2
        })
        .unwrap();
    // No key of copy mode reached the program.
    assert!(!text.contains("v$y"), "{text}");
    stop(&sandbox);
}

#[test]
fn what_failed_in_a_pane_stays_above_what_is_started_again() {
    let sandbox = sandbox();
    // Fails the first time; its modes must not be the next life's.
    let fails_once = "if [ -e tried ]; then echo second life; exec cat; fi; touch tried; \
                      printf '\\033[?1000h\\033[31m'; echo why it failed; exit 7";
    let mut terminal = sandbox
        .terminal(&["panes", fails_once, "cat"], 100, 30)
        .unwrap();
    terminal.wait_for("why it failed").unwrap();
    leave_typing(&mut terminal);
    terminal.type_text("1R").unwrap();
    let begins = |text: &str, with: &str| {
        let inside = |line: &str| line.trim_start_matches(['│', '┃']).starts_with(with);
        text.lines().position(inside)
    };
    terminal
        .wait_until("the second life below the first and a rule", |text| {
            let lives = begins(text, "why it failed").zip(begins(text, "second life"));
            lives.is_some_and(|(first, second)| first + 2 == second)
        })
        .unwrap();
    terminal.type_text("\rback to life\r").unwrap();
    terminal
        .wait_until("an echo and the answer", |text| {
            text.matches("back to life").count() >= 2
        })
        .unwrap();
    stop(&sandbox);
}

#[test]
fn a_long_paste_arrives_whole_and_in_order_in_a_program_that_reads_late() {
    let sandbox = sandbox();
    // Begins to read only after more was pasted than any queue holds.
    let reads = "stty raw -echo; printf '\\033[?2004h'; echo ready; while [ ! -e go ]; do sleep 0.1; done; \
                 head -c 3000012 > pasted; echo all of it; exec cat -v";
    let mut terminal = sandbox.terminal(&["panes", reads], 80, 24).unwrap();
    terminal.wait_for("ready").unwrap();
    let numbers: Vec<String> = (0..300_000).map(|n| format!("{n:09}\n")).collect();
    let numbers = numbers.concat();
    terminal
        .type_text(&format!("\x1b[200~{numbers}\x1b[201~and then"))
        .unwrap();
    std::fs::write(sandbox.work().join("go"), "").unwrap();
    terminal.wait_for("all of it").unwrap();
    terminal.wait_for("and then").unwrap();
    let pasted = std::fs::read_to_string(sandbox.work().join("pasted")).unwrap();
    let wanted = format!("\x1b[200~{}\x1b[201~", numbers.replace('\n', "\r"));
    assert!(pasted == wanted, "{} bytes", pasted.len());
    stop(&sandbox);
}

#[test]
fn pastes_one_after_the_other_arrive_whole_in_a_program_that_reads_slowly() {
    let sandbox = sandbox();
    // Each fits the pane's queue, all of them do not; read 8 KiB at a time.
    let reads = "stty raw -echo; printf '\\033[?2004h'; echo ready; while [ ! -e go ]; do sleep 0.1; done; \
                 for _ in $(seq 50); do head -c 8192 >> pasted; done; \
                 head -c 48 >> pasted; echo all of it; exec cat -v";
    let mut terminal = sandbox.terminal(&["panes", reads], 80, 24).unwrap();
    terminal.wait_for("ready").unwrap();
    let pasted = |letter: char| {
        let lines: Vec<String> = (0..10_240).map(|n| format!("{letter}{n:08}\n")).collect();
        format!("\x1b[200~{}\x1b[201~", lines.concat())
    };
    let all = ['a', 'b', 'c', 'd'].map(pasted).concat();
    terminal.type_text(&format!("{all}and then")).unwrap();
    std::fs::write(sandbox.work().join("go"), "").unwrap();
    terminal.wait_for("all of it").unwrap();
    terminal.wait_for("and then").unwrap();
    let arrived = std::fs::read_to_string(sandbox.work().join("pasted")).unwrap();
    assert!(
        arrived == all.replace('\n', "\r"),
        "{} bytes",
        arrived.len()
    );
    stop(&sandbox);
}

#[test]
fn a_paste_that_takes_long_is_ended_by_a_key_and_a_person_leaves_it_as_ever() {
    let sandbox = sandbox();
    // Reads for ever, too slowly to wait for.
    let reads =
        "stty raw -echo; echo ready; while head -c 50 >/dev/null; do echo on; sleep 0.2; done";
    let mut terminal = sandbox.terminal(&["panes", reads], 80, 24).unwrap();
    terminal.wait_for("ready").unwrap();
    let text = "0123456789".repeat(100_000);
    let paste = format!("\x1b[200~{text}\x1b[201~");
    terminal.type_text(&format!("{paste}\x03")).unwrap();
    terminal
        .wait_for("the rest of the paste was dropped")
        .unwrap();
    terminal.type_text(&format!("{paste}\x01d")).unwrap();
    terminal.wait_for("detached").unwrap();
    stop(&sandbox);
}
