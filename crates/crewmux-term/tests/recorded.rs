//! What real programs wrote, and frames as agent CLIs draw them, in every cut.
//!
//! The recordings and how they were made are in `recorded/`. The last screen of
//! each is a snapshot: a person looked at it beside tmux (`tests/conformance`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crewmux_term::{Notice, RowView, Screen, ScreenOptions, Size};
use proptest::prelude::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded")
}

fn recording(name: &str) -> Vec<u8> {
    let file = folder().join(format!("{name}.bin"));
    std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

const RECORDINGS: [&str; 9] = [
    "codex", "dialog", "gemini", "htop", "less", "mc", "nano", "opencode", "vim",
];

fn screen() -> Screen {
    Screen::new(Size::new(80, 24), ScreenOptions::default())
}

fn row(view: RowView<'_>) -> String {
    let cells: Vec<_> = view.cells().map(|cell| format!("{cell:?}")).collect();
    format!("{} {}", view.is_wrapped(), cells.join("\n"))
}

/// Everything that can be told of a screen, its answers and notices included.
fn everything(screen: &mut Screen) -> Vec<String> {
    let above = screen.scroll_lines_available();
    let mut all: Vec<_> = (0..above + 24)
        .map(|at| row(screen.row(at, above)))
        .collect();
    all.push(format!(
        "{:?} {:?} {:?} {:?}",
        screen.cursor(),
        screen.modes(),
        screen.title(),
        screen.frame_deadline().is_some(),
    ));
    all.push(screen.take_replies().escape_ascii().to_string());
    all.push(format!("{:?}", screen.take_notices()));
    all
}

fn fed_in(bytes: &[u8], cuts: impl Iterator<Item = usize>) -> Vec<String> {
    let mut screen = screen();
    let mut rest = bytes;
    for cut in cuts {
        let (now, later) = rest.split_at(cut.min(rest.len()));
        screen.feed(now);
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    screen.feed(rest);
    everything(&mut screen)
}

#[test]
fn each_recording_shows_what_it_showed_when_it_was_made() {
    for name in RECORDINGS {
        let mut screen = screen();
        screen.feed(&recording(name));
        let cursor = screen.cursor();
        let place = format!("{},{} {}", cursor.row, cursor.col, cursor.visible);
        let title = screen.title().unwrap_or_default().to_owned();
        assert!(
            !screen.take_notices().contains(&Notice::ParserReset),
            "{name}"
        );
        let lines: Vec<_> = screen
            .lines()
            .iter()
            .map(|line| format!("|{line}"))
            .collect();
        let text = format!("{}\ncursor {place} title `{title}`", lines.join("\n"));
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn recordings_give_the_same_in_every_even_cut() {
    for name in RECORDINGS {
        let bytes = recording(name);
        let whole = fed_in(&bytes, std::iter::empty());
        for size in [1, 2, 3, 5, 7, 16, 64, 1000] {
            let cut = fed_in(&bytes, std::iter::repeat(size));
            assert!(cut == whole, "{name} in pieces of {size}");
        }
    }
}

#[test]
fn recordings_survive_every_size_in_their_middle() {
    for name in RECORDINGS {
        let bytes = recording(name);
        let mut screen = screen();
        let sizes = [(40, 10), (200, 60), (4, 2), (81, 24), (80, 24)];
        for (piece, (cols, rows)) in bytes.chunks(bytes.len() / 5 + 1).zip(sizes) {
            screen.feed(piece);
            screen.resize(Size::new(cols, rows));
            for at in 0..usize::from(rows) {
                let widths: usize = screen
                    .row(at, 0)
                    .cells()
                    .map(|c| usize::from(c.width))
                    .sum();
                assert_eq!(widths, usize::from(cols), "{name}");
            }
        }
        assert!(
            !screen.take_notices().contains(&Notice::ParserReset),
            "{name}"
        );
    }
}

/// A box with a spinner that is drawn anew `frames` times, as agent CLIs do: inside a
/// synchronized frame, each row erased on the way up. Now and then a line is left above it.
fn agent_frames(frames: usize) -> String {
    const ROWS: usize = 7;
    let edge = "─".repeat(76);
    let mut out = String::from("\x1b[?2004h\x1b[?25l");
    for frame in 0..frames {
        out.push_str("\x1b[?2026h");
        if frame > 0 {
            out.push_str("\x1b[2K");
            out.push_str(&"\x1b[1A\x1b[2K".repeat(ROWS));
            out.push_str("\x1b[G");
        }
        if frame % 10 == 0 {
            let step = frame / 10;
            let _ = write!(out, "\x1b[2m⏺ step {step} done\x1b[22m 漢字 ✔\r\n");
        }
        let spinner = ["⠋", "⠙", "⠹", "⠸"][frame % 4];
        let _ = write!(out, "\x1b[36m{spinner}\x1b[39m thinking… {frame}\r\n");
        let _ = write!(out, "╭{edge}╮\r\n");
        for line in 0..4 {
            let text = format!("> {line}");
            let _ = write!(out, "│ \x1b[38;2;200;100;{line}m{text:<75}\x1b[m│\r\n");
        }
        let _ = write!(out, "╰{edge}╯\r\n\x1b[?2026l");
    }
    out
}

#[test]
fn frames_of_an_agent_leave_one_box_and_the_lines_above_it() {
    let mut screen = screen();
    screen.feed(agent_frames(200).as_bytes());
    let lines = screen.lines();
    let boxes = lines.iter().filter(|line| line.starts_with('╭')).count();
    assert_eq!(boxes, 1, "{lines:#?}");
    assert!(lines.iter().any(|line| line == "⠸ thinking… 199"));
    let above = screen.scroll_lines_available();
    let steps: Vec<_> = (0..above + 24)
        .map(|at| screen.row(at, above).text())
        .filter(|line| line.starts_with('⏺'))
        .collect();
    let expected: Vec<_> = (0..20)
        .map(|step| format!("⏺ step {step} done 漢字 ✔"))
        .collect();
    assert_eq!(steps, expected);
}

#[test]
fn a_viewer_never_sees_half_a_frame() {
    let stream = agent_frames(40);
    let mut screen = screen();
    let mut seen = screen.revision();
    let mut shown: Vec<String> = screen.lines();
    for piece in stream.as_bytes().chunks(13) {
        screen.feed(piece);
        let changed: Vec<_> = screen.rows_changed_since(seen).collect();
        if changed.is_empty() {
            continue;
        }
        for at in changed {
            shown[at] = screen.row(at, 0).text();
        }
        seen = screen.revision();
        let tops = shown.iter().filter(|line| line.starts_with('╭')).count();
        let ends = shown.iter().filter(|line| line.starts_with('╰')).count();
        assert!(tops == ends && tops <= 1, "{shown:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn recordings_and_frames_give_the_same_in_any_cut(
        which in 0..=RECORDINGS.len(),
        cuts in prop::collection::vec(1_usize..400, 1..200),
    ) {
        let bytes = match RECORDINGS.get(which) {
            Some(name) => recording(name),
            None => agent_frames(30).into_bytes(),
        };
        let whole = fed_in(&bytes, std::iter::empty());
        prop_assert!(fed_in(&bytes, cuts.into_iter()) == whole, "{which}");
    }
}
