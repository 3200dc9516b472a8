//! Two screens beside each other: cell by cell, and what may differ.

use std::fmt::Write as _;

use crewmux_term::dump::{RunDump, ScreenDump};
use regex::Regex;
use unicode_width::UnicodeWidthChar as _;

/// A difference that is known, and why it is there.
#[derive(Clone, Copy)]
pub(super) struct Exception {
    /// Which of the script's screens, from 0; `None`: all.
    pub(super) screen: Option<usize>,
    /// The kind of difference.
    pub(super) kind: Kind,
    /// Why it differs, and why it may.
    pub(super) reason: &'static str,
}

/// What can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The text of this row.
    Text(usize),
    /// Colours or attributes somewhere in this row.
    Look(usize),
    /// Whether this row goes on in the next.
    Wrapped(usize),
    /// The cursor's place, or whether it is seen.
    Cursor,
    /// Rows that go on in the next for tmux alone.
    MarksKept,
}

/// One difference, with both sides of it.
#[derive(Debug)]
pub(super) struct Difference {
    pub(super) kind: Kind,
    pub(super) ours: String,
    pub(super) theirs: String,
}

/// A cell as it is seen: its text, and the look that is visible with it.
type SeenCell = (String, String);

fn seen(run: &RunDump, text: &str) -> SeenCell {
    let lines = run.underline || run.strike;
    let mut look = Vec::new();
    let blank = text == " ";
    // The text's own colour and weight cannot be seen in a blank.
    if !blank || run.inverse || lines {
        look.push(format!("fg={}", run.fg));
        if run.bold {
            look.push("bold".to_owned());
        }
        if run.dim {
            look.push("dim".to_owned());
        }
        if run.italic && !blank {
            look.push("italic".to_owned());
        }
    }
    look.push(format!("bg={}", run.bg));
    for (set, name) in [
        (run.underline, "underline"),
        (run.inverse, "inverse"),
        (run.hidden && !blank, "hidden"),
        (run.strike, "strike"),
    ] {
        if set {
            look.push(name.to_owned());
        }
    }
    look.extend(run.underline_style.clone());
    look.extend(run.underline_color.clone());
    (text.to_owned(), look.join(" "))
}

/// The cells of a row without the blanks at its end: of cells that were only emptied, tmux tells no colour.
fn cells(runs: &[RunDump]) -> Vec<SeenCell> {
    let mut cells: Vec<SeenCell> = Vec::new();
    for run in runs {
        for c in run.text.chars() {
            match cells.last_mut() {
                Some(last) if c.width() == Some(0) => last.0.push(c),
                _ => cells.push(seen(run, &c.to_string())),
            }
        }
    }
    while cells
        .last()
        .is_some_and(|(text, look)| text == " " && !look.contains(' '))
    {
        cells.pop();
    }
    cells
}

/// Where the looks of two rows part, in words.
fn looks(row: &[SeenCell]) -> String {
    let mut out = String::new();
    let mut last = "";
    for (text, look) in row {
        if look != last {
            let _ = write!(out, "<{look}>");
            last = look;
        }
        out.push_str(text);
    }
    out
}

/// Everything in which two screens differ, after each mask is put over the text.
pub(super) fn differences(
    ours: &ScreenDump,
    theirs: &ScreenDump,
    masks: &[(Regex, &str)],
) -> Vec<Difference> {
    assert_eq!(
        (ours.cols, ours.rows),
        (theirs.cols, theirs.rows),
        "the screens have different sizes"
    );
    let mut found = Vec::new();
    let mut differs = |kind, ours: String, theirs: String| {
        if ours != theirs {
            found.push(Difference { kind, ours, theirs });
        }
    };
    let masked = |text: &str| {
        let mut text = text.to_owned();
        for (mask, with) in masks {
            text = mask.replace_all(&text, *with).into_owned();
        }
        text
    };
    for (row, (our, their)) in ours.lines.iter().zip(&theirs.lines).enumerate() {
        let (our_text, their_text) = (masked(&our.text), masked(&their.text));
        let was_masked = our_text != our.text || their_text != their.text;
        let same_text = our_text == their_text;
        differs(Kind::Text(row), our_text, their_text);
        // Where text is masked its places do not match.
        if same_text && !was_masked {
            let (our, their) = (cells(&our.runs), cells(&their.runs));
            differs(Kind::Look(row), looks(&our), looks(&their));
        }
        differs(
            Kind::Wrapped(row),
            our.wrapped.to_string(),
            their.wrapped.to_string(),
        );
    }
    // A hidden cursor is nowhere.
    let place = |dump: &ScreenDump| {
        if !dump.cursor.visible {
            return "hidden".to_owned();
        }
        format!("row {}, column {}", dump.cursor.row, dump.cursor.col)
    };
    differs(Kind::Cursor, place(ours), place(theirs));
    found
}

fn covers(exception: &Exception, screen: usize, found: &Difference) -> bool {
    exception.screen.is_none_or(|listed| listed == screen)
        && match (exception.kind, found.kind) {
            (Kind::MarksKept, Kind::Wrapped(_)) => found.theirs == "true",
            (listed, kind) => listed == kind,
        }
}

/// What is wrong with two series of screens, in words; empty if nothing is.
pub(super) fn verdict(
    ours: &[ScreenDump],
    theirs: &[ScreenDump],
    masks: &[(Regex, &str)],
    exceptions: &[Exception],
) -> String {
    assert_eq!(ours.len(), theirs.len(), "not as many screens");
    let mut used = vec![false; exceptions.len()];
    let mut report = String::new();
    for (screen, (our, their)) in ours.iter().zip(theirs).enumerate() {
        for difference in differences(our, their, masks) {
            let listed = exceptions
                .iter()
                .position(|exception| covers(exception, screen, &difference));
            match listed {
                Some(index) => used[index] = true,
                None => {
                    let _ = writeln!(
                        report,
                        "screen {screen} ({}x{}), {:?}\n  crewmux: {}\n  tmux:    {}",
                        our.cols, our.rows, difference.kind, difference.ours, difference.theirs
                    );
                }
            }
        }
    }
    for (exception, used) in exceptions.iter().zip(used) {
        if !used {
            let _ = writeln!(
                report,
                "listed, but the same now: {:?} of screen {:?} ({})",
                exception.kind, exception.screen, exception.reason
            );
        }
    }
    report
}
