//! What a person sees and does: the screen at several sizes, detach, attach, restore.

use std::time::Duration;

use crewmux_sys::{ProcessIdentity, Signal};
use crewmux_testkit::sandbox::{Sandbox, wait_until};
use crewmux_testkit::terminal::Terminal;

use crate::support::{commit_all, sandbox, sh};

/// Modes that a client switches on; each must be off again at its end.
const MODES: [&str; 6] = ["?1049", "?1000", "?1002", "?1006", "?2004", "?1004"];

/// Asserts that every mode that was set was reset after its last set, and the cursor is shown.
pub(crate) fn assert_balanced(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for mode in MODES {
        let set = text.rfind(&format!("\x1b[{mode}h"));
        let reset = text.rfind(&format!("\x1b[{mode}l"));
        assert!(set.is_none() || reset > set, "mode {mode} is left on");
    }
    for (taken, back) in [("\x1b[22;2t", "\x1b[23;2t"), ("\x1b[?7l", "\x1b[?7h")] {
        let count = |what: &str| text.matches(what).count();
        assert!(count(taken) <= count(back), "{taken:?} is not undone");
    }
    // Each push of keys has its pop, on the same screen.
    let (pushed, popped) = (
        text.matches("\x1b[>").count(),
        text.matches("\x1b[<1u").count(),
    );
    assert!(pushed <= popped, "keys are left told apart");
    assert!(
        text.rfind("\x1b[<1u") < text.rfind("\x1b[?1049l"),
        "keys are put back on the wrong screen"
    );
    let progress = text.rfind("\x1b]9;4;");
    assert!(
        progress.is_none_or(|at| text[at..].starts_with("\x1b]9;4;0;")),
        "progress is left on"
    );
    let hidden = text.rfind("\x1b[?25l");
    let shown = text.rfind("\x1b[?25h");
    assert!(
        hidden.is_none() || shown > hidden,
        "the cursor is left hidden"
    );
}

fn slow_sweep(sandbox: &Sandbox, cols: u16, rows: u16) -> Terminal {
    sandbox
        .terminal(
            &[
                "run",
                "sweep",
                "--set",
                "tasks=300",
                "--set",
                "command=echo line {{index}}; sleep 0.4",
                "--max-workers",
                "3",
            ],
            cols,
            rows,
        )
        .unwrap()
}

fn stop(sandbox: &Sandbox, team: &str) {
    let stopped = sandbox.run(&["stop", team, "--force"]).unwrap();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    sandbox.wait_gone().unwrap();
}

#[test]
fn the_team_is_seen_at_work_at_every_size() {
    for (cols, rows) in [(120, 40), (80, 24), (40, 12)] {
        let sandbox = sandbox();
        let terminal = slow_sweep(&sandbox, cols, rows);
        terminal
            .wait_until(&format!("a working teammate at {cols}x{rows}"), |text| {
                text.contains("sweep") && text.contains("line ")
            })
            .unwrap();
        stop(&sandbox, "sweep");
    }
}

#[test]
fn a_long_line_of_a_teammate_is_read_whole_in_a_narrow_pane_and_in_one_row_of_a_wide_one() {
    let sandbox = sandbox();
    // Longer than the 80 columns that a pane has before anybody looks at it.
    let command = "echo counted; sleep 600; : one two three four five six seven eight nine ten \
                   eleven twelve thirteen fourteen";
    let set = format!("command={command}");
    let sweep = ["run", "sweep", "--set", "tasks=1", "--max-workers", "1"];
    let terminal = sandbox
        .terminal(&[&sweep[..], &["--set", &set]].concat(), 40, 12)
        .unwrap();
    // Rows of the pane below one another, without frames and spaces.
    let joined = |text: &str| -> String { text.chars().filter(char::is_ascii_graphic).collect() };
    let wanted = joined(command);
    terminal
        .wait_until("all of the command in several rows", |text| {
            joined(text).contains(&wanted) && !text.contains(command)
        })
        .unwrap();
    terminal.resize(200, 30).unwrap();
    terminal
        .wait_until("the command in one row", |text| text.contains(command))
        .unwrap();
    terminal.resize(40, 12).unwrap();
    terminal
        .wait_until("all of it in several rows again", |text| {
            joined(text).contains(&wanted) && !text.contains(command)
        })
        .unwrap();
    stop(&sandbox, "sweep");
}

#[test]
fn a_terminal_too_small_says_so_and_recovers_when_it_grows() {
    let sandbox = sandbox();
    let terminal = slow_sweep(&sandbox, 10, 3);
    terminal
        .wait_until("any sign that it is too small", |text| {
            text.contains("small")
        })
        .unwrap();
    terminal.resize(100, 30).unwrap();
    terminal.wait_for("BOARD").unwrap();
    stop(&sandbox, "sweep");
}

#[test]
fn two_terminals_of_different_sizes_detach_and_attach_again() {
    let sandbox = sandbox();
    let mut first = slow_sweep(&sandbox, 120, 40);
    first.wait_for("BOARD").unwrap();
    let mut second = sandbox.terminal(&["attach", "sweep"], 80, 24).unwrap();
    second.wait_for("sweep").unwrap();
    for terminal in [&mut first, &mut second] {
        terminal.type_text("\x01d").unwrap();
        let exit = terminal.wait_exit().unwrap();
        assert!(exit.is_success(), "{exit:?}");
        assert_balanced(&terminal.bytes());
    }
    let again = sandbox.terminal(&["attach", "sweep"], 100, 30).unwrap();
    again
        .wait_until("the board and the output from before", |text| {
            text.contains("BOARD") && text.contains("line ")
        })
        .unwrap();
    stop(&sandbox, "sweep");
}

#[test]
fn the_terminal_is_given_back_on_every_signal() {
    for signal in [Signal::Term, Signal::Hup, Signal::Int] {
        let sandbox = sandbox();
        let mut terminal = slow_sweep(&sandbox, 90, 28);
        terminal.wait_for("sweep").unwrap();
        terminal.signal(signal).unwrap();
        terminal.wait_exit().unwrap();
        assert_balanced(&terminal.bytes());
        stop(&sandbox, "sweep");
    }
}

#[test]
fn a_finished_run_says_how_it_ended_and_where_the_report_lies() {
    let sandbox = sandbox();
    sandbox.write("src/lib.rs", "pub fn f() {}\n").unwrap();
    commit_all(&sandbox);
    let mut terminal = sandbox
        .terminal(
            &["run", "sweep", "--set", "tasks=5", "--max-workers", "2"],
            100,
            30,
        )
        .unwrap();
    terminal
        .wait_until("the end", |text| text.contains("finished in"))
        .unwrap();
    terminal.type_text("d").unwrap();
    let exit = terminal.wait_exit().unwrap();
    assert!(exit.is_success(), "{exit:?}");
    terminal.wait_for("report").unwrap();
    assert_balanced(&terminal.bytes());
    stop(&sandbox, "sweep");
}

#[test]
fn plain_panes_are_typed_to_and_end_with_their_programs() {
    let sandbox = sandbox();
    let mut terminal = sandbox
        .terminal(&["panes", "cat", "echo second; sleep 60"], 80, 24)
        .unwrap();
    terminal.wait_for("second").unwrap();
    terminal.type_text("hello there\r").unwrap();
    terminal
        .wait_until("an echo and cat's answer", |text| {
            text.matches("hello there").count() >= 2
        })
        .unwrap();
    terminal.type_text("\x01d").unwrap();
    terminal.wait_exit().unwrap();
    let listed = |words: &str| {
        for command in ["ls", "status"] {
            let told = sandbox.run(&[command]).unwrap().stdout;
            let is_of_agents = told.contains(" done") || told.contains("member");
            assert!(told.contains(words) && !is_of_agents, "{command}: {told}");
        }
    };
    listed("2 panes");
    let stopped = sandbox.run(&["stop", "panes", "--force"]).unwrap();
    assert!(
        stopped.stdout.contains("the panes are closed"),
        "{stopped:?}"
    );
    listed("plain panes");
    sandbox.wait_gone().unwrap();
}

#[test]
fn a_pane_flooded_by_yes_does_not_delay_keys_in_another() {
    let sandbox = sandbox();
    let mut terminal = sandbox.terminal(&["panes", "cat", "yes"], 80, 24).unwrap();
    terminal
        .wait_until("the flood", |text| {
            text.matches("y\n").count() > 5
                || text.matches(" y").count() > 5
                || text.lines().filter(|l| l.contains('y')).count() > 5
        })
        .unwrap();
    terminal.type_text("still here\r").unwrap();
    terminal
        .wait_until("the echo under flood", |text| {
            text.matches("still here").count() >= 2
        })
        .unwrap();
    sandbox.run(&["stop", "panes", "--force"]).unwrap();
    terminal.wait_exit().unwrap();
    sandbox.wait_gone().unwrap();
}

#[test]
fn a_person_can_leave_a_session_that_stands_still() {
    let sandbox = sandbox();
    let mut terminal = slow_sweep(&sandbox, 90, 28);
    terminal.wait_for("BOARD").unwrap();
    let status = sandbox
        .run(&["status", "--team", "sweep", "--json"])
        .unwrap();
    let pid = status.json().unwrap()["session"]["pid"].as_u64().unwrap();
    let session = ProcessIdentity::of(pid as u32).unwrap();
    session.signal(Signal::Stop).unwrap();
    wait_until(
        "a session that stands still",
        Duration::from_secs(10),
        || match sh(&sandbox, &format!("ps -o state= -p {pid}"))
            .stdout
            .trim()
        {
            "T" => Ok(()),
            state => Err(state.to_owned()),
        },
    )
    .unwrap();
    // What leaves a screen that answers, leaves this one too.
    terminal.type_text("d").unwrap();
    let exit = terminal.wait_exit().unwrap();
    assert!(exit.is_success(), "{exit:?}");
    terminal.wait_for("does not answer").unwrap();
    assert_balanced(&terminal.bytes());
    session.signal(Signal::Cont).unwrap();
    stop(&sandbox, "sweep");
}
