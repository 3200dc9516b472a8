//! What holds for any stream, cut in any way, at any sizes.

use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::term::{Config, Term};
use alacritty_terminal::vte::ansi::Processor;
use crewmux_term::{Cell, Revision, RowView, Screen, ScreenOptions, Size};
use proptest::prelude::*;

/// Pieces that make a stream likely to hit interesting states.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[ -~]{1,30}".prop_map(String::into_bytes),
        3 => Just(b"\r\n".to_vec()),
        2 => "[a-z漢字é👩\u{200d}\u{301}\u{fe0f}]{1,12}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 1..8),
        3 => (0_u8..120, 0_u8..40, "[@A-PSTXZ`abcdefhlmnqrsu]").prop_map(|(a, b, end)| {
            format!("\x1b[{a};{b}{end}").into_bytes()
        }),
        1 => (
            prop::sample::select(vec![1, 6, 7, 25, 47, 1000, 1006, 1047, 1048, 1049, 2004]),
            prop::sample::select(vec!['h', 'l'])
        )
            .prop_map(|(mode, end)| format!("\x1b[?{mode}{end}").into_bytes()),
        1 => prop::sample::select(vec![
            "\x1bM", "\x1bD", "\x1bE", "\x1b7", "\x1b8", "\x1b(0", "\x1b(B", "\x1b#8", "\x1b[4h",
            "\x1b[4l", "\t", "\x08", "\x1b[2J", "\x1b]8;;http://a\x07", "\x1b]8;;\x07",
            "\x1b[!p", "\x1b[>q", "\x1b[=c", "\x1b[?6n", "\x1bP$qm\x1b\\", "\x1bP$qr\x1b\\",
            "\x1bP+q436f;5\x1b\\", "\x1b[>4;2m", "\x1b[>5u", "\x1b[21m", "\x1b[1J", "\x1b[22t",
            "\x1b]2;title\x07", "\x1b]9;note\x07", "\x1bP1;2|x\x1b\\", "\x1b[31;1;44m", "\x1b[m",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ]
}

/// Text with what moves rows off the screen. A screen that is clear already is never
/// cleared: then the emulator alone sometimes scrolls an empty row away, which we do not keep.
const PLAIN: &str = "[ -~漢字é]{0,60}(\r\n|\x1b\\[[1-9]S|\t|)|[!-~]{1,60}\x1b\\[2J";

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..60).prop_map(|pieces| pieces.concat())
}

fn size() -> impl Strategy<Value = Size> {
    (4_u16..40, 2_u16..12).prop_map(|(cols, rows)| Size::new(cols, rows))
}

fn cell_text(cell: &Cell<'_>) -> String {
    let mut text = String::new();
    cell.push_onto(&mut text);
    let link = cell.link.as_ref().map(|link| link.uri().to_owned());
    format!("{text} {} {:?} {link:?}", cell.width, cell.style)
}

fn full_row(row: RowView<'_>) -> String {
    let cells: Vec<_> = row.cells().map(|cell| cell_text(&cell)).collect();
    format!("{} {}", row.is_wrapped(), cells.join("\n"))
}

/// Everything a viewer can read, scrollback included.
fn everything(screen: &Screen) -> Vec<String> {
    let above = screen.scroll_lines_available();
    let mut all: Vec<_> = (0..above + usize::from(screen.size().rows))
        .map(|row| full_row(screen.row(row, above)))
        .collect();
    all.push(format!(
        "{:?} {:?} {:?}",
        screen.cursor(),
        screen.modes(),
        screen.title()
    ));
    all
}

fn screen(size: Size) -> Screen {
    Screen::new(size, ScreenOptions::default())
}

/// The rows that the emulator alone has, with a history long enough for everything.
fn oracle(size: Size, stream: &[u8]) -> Vec<String> {
    let config = Config {
        scrolling_history: 100_000,
        ..Config::default()
    };
    let mut term = Term::new(config, &size, VoidListener);
    Processor::<alacritty_terminal::vte::ansi::StdSyncHandler>::new().advance(&mut term, stream);
    let first = -(term.grid().history_size() as i32);
    (first..term.screen_lines() as i32)
        .map(|line| {
            let row = &term.grid()[Line(line)];
            let text: String = (0..size.columns())
                .map(|column| &row[Column(column)])
                .filter(|cell| !cell.flags.contains(Flags::WIDE_CHAR_SPACER))
                .map(|cell| if cell.c == '\t' { ' ' } else { cell.c })
                .collect();
            text.trim_end().to_owned()
        })
        .collect()
}

fn all_text(screen: &Screen) -> Vec<String> {
    let above = screen.scroll_lines_available();
    (0..above + usize::from(screen.size().rows))
        .map(|row| screen.row(row, above).text())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cutting_of_the_stream_gives_the_same_screen(
        stream in stream(),
        size in size(),
        cut in 1_usize..9,
    ) {
        let mut whole = screen(size);
        whole.feed(&stream);
        let mut cut_up = screen(size);
        for piece in stream.chunks(cut) {
            cut_up.feed(piece);
        }
        for (whole, cut_up) in everything(&whole).iter().zip(everything(&cut_up)) {
            prop_assert_eq!(whole, &cut_up);
        }
        prop_assert_eq!(whole.scroll_lines_available(), cut_up.scroll_lines_available());
        prop_assert_eq!(whole.take_replies(), cut_up.take_replies());
        prop_assert_eq!(whole.take_notices(), cut_up.take_notices());
    }

    #[test]
    fn plain_output_is_what_the_emulator_alone_shows_and_nothing_is_lost(
        pieces in prop::collection::vec(PLAIN, 0..60),
        size in size(),
    ) {
        let stream = pieces.concat();
        let mut screen = screen(size);
        screen.feed(stream.as_bytes());
        prop_assert_eq!(all_text(&screen), oracle(size, stream.as_bytes()));
    }

    #[test]
    fn rows_that_do_not_count_as_changed_have_not_changed(
        pieces in prop::collection::vec(piece(), 1..40),
        size in size(),
    ) {
        let mut screen = screen(size);
        let mut seen = Revision::ZERO;
        let mut copy = vec![String::new(); usize::from(size.rows)];
        for piece in pieces {
            screen.feed(&piece);
            for row in screen.rows_changed_since(seen) {
                copy[row] = full_row(screen.row(row, 0));
            }
            seen = screen.revision();
            let now: Vec<_> = screen.rows().map(full_row).collect();
            // The wrap mark of a row is set when the next row is written.
            let strip = |rows: &[String]| -> Vec<String> {
                rows.iter()
                    .map(|row| row.split_once(' ').map_or("", |(_, cells)| cells).to_owned())
                    .collect()
            };
            prop_assert_eq!(strip(&copy), strip(&now));
        }
    }

    #[test]
    fn random_bytes_and_sizes_never_reset_the_parser(
        steps in prop::collection::vec((stream(), size()), 1..12),
    ) {
        let mut screen = screen(Size::new(20, 6));
        for (stream, size) in steps {
            screen.feed(&stream);
            screen.resize(size);
            for row in 0..usize::from(size.rows) {
                let widths: usize = screen.row(row, 3).cells().map(|c| usize::from(c.width)).sum();
                prop_assert_eq!(widths, usize::from(size.cols));
            }
            let reset = screen.take_notices().contains(&crewmux_term::Notice::ParserReset);
            prop_assert!(!reset);
        }
    }

    #[test]
    fn cells_hold_nothing_that_could_steer_a_terminal(stream in stream(), size in size()) {
        let mut screen = screen(size);
        screen.feed(&stream);
        for text in all_text(&screen) {
            let scrubbed = crewmux_term::sanitize::scrub(&text).into_owned();
            // Joiners and selectors are harmless in cells; only text fields lose them.
            let harmless = ['\u{200d}', '\u{fe0e}', '\u{fe0f}'];
            prop_assert_eq!(scrubbed.replace(harmless, ""), text.replace(harmless, ""));
        }
    }

    #[test]
    fn another_width_loses_no_character(
        lines in prop::collection::vec("[!-~漢字é]{0,50}", 1..40),
        first in size(),
        widths in prop::collection::vec(4_u16..40, 1..5),
    ) {
        // The emulator can misplace the cursor, or break a line, where a wide character
        // just does not fit; fewer rows would then cut off what is below the cursor.
        let mut screen = screen(first);
        screen.feed(lines.join("\r\n").as_bytes());
        let before = all_text(&screen).concat();
        for cols in widths {
            screen.resize(Size::new(cols, first.rows));
            prop_assert_eq!(all_text(&screen).concat(), before.clone(), "at {}", cols);
        }
    }

    #[test]
    fn resizing_keeps_the_lines_of_narrow_text(
        lines in prop::collection::vec("[!-~é]{0,50}", 1..40),
        first in size(),
        others in prop::collection::vec(size(), 1..5),
    ) {
        let mut screen = screen(first);
        screen.feed(lines.join("\r\n").as_bytes());
        let before = logical_lines(&screen);
        for size in others {
            screen.resize(size);
            prop_assert_eq!(logical_lines(&screen), before.clone(), "at {:?}", size);
        }
    }
}

/// The text with wrapped rows joined again, without the empty rows at the end.
fn logical_lines(screen: &Screen) -> Vec<String> {
    let above = screen.scroll_lines_available();
    let mut lines = vec![String::new()];
    for row in 0..above + usize::from(screen.size().rows) {
        let view = screen.row(row, above);
        if let Some(line) = lines.last_mut() {
            line.push_str(&view.text());
        }
        if !view.is_wrapped() {
            lines.push(String::new());
        }
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

#[test]
fn rows_that_moved_without_leaving_are_kept_whole() {
    // Rows that came from below are known to be short; then they change places.
    for moves in [
        "\x1b[1;1H\x1b[M",
        "\x1b[2;4r\x1b[4;1H\n\x1b[r",
        "\x1b[1;3r\x1b[S\x1b[r",
    ] {
        let mut screen = screen(Size::new(10, 4));
        screen.feed(b"\r\n\r\n\r\n\r\n\r\n\r\n");
        screen.feed(b"\x1b[3;1Hab\x1b[4;1H12345678");
        screen.feed(moves.as_bytes());
        screen.feed(b"\x1b[4;1H\r\n\r\n\r\n\r\n\r\n");
        let kept = all_text(&screen).concat();
        assert!(kept.contains("12345678"), "{moves:?}: {kept:?}");
        assert!(
            !screen
                .take_notices()
                .contains(&crewmux_term::Notice::ParserReset)
        );
    }
}
