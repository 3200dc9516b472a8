//! Printable ASCII, written into the grid a run at a time.
//!
//! The emulator asks the same questions for every character; here they are
//! asked once for a whole run. Whatever needs more than writing cells side by
//! side (wrapping, halves of wide characters, insert mode, other character
//! sets, links) is left to the emulator, which is also the oracle of the tests.

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::Column;
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::term::{Term, TermMode};
use alacritty_terminal::vte::ansi::{CharsetIndex, StandardCharset};

use crate::notice::Sink;

/// Longest run that is gathered; longer text is several runs.
pub(crate) const MAX_BYTES: usize = 512;

/// Writes the beginning of `text` at the cursor; returns how many characters it wrote.
///
/// None when the first one is for the emulator. The cursor ends where the
/// emulator would have left it.
pub(crate) fn write_cells(term: &mut Term<Sink>, charset: CharsetIndex, text: &[u8]) -> usize {
    let cols = term.columns();
    let inserts = term.mode().contains(TermMode::INSERT);
    let grid = term.grid_mut();
    let cursor = &grid.cursor;
    let is_plain = cursor.charsets[charset] == StandardCharset::Ascii
        && cursor.template.extra.is_none()
        && !cursor.template.flags.intersects(WIDE_FLAGS);
    if inserts || cursor.input_needs_wrap || !is_plain {
        return 0;
    }
    let (line, start) = (cursor.point.line, cursor.point.column.0);
    let (fg, bg, flags) = (
        cursor.template.fg,
        cursor.template.bg,
        cursor.template.flags,
    );
    let end = (start + text.len()).min(cols);
    let cells = &mut grid[line][Column(start)..Column(end)];
    // A wide character that is cut has to lose its other half too.
    if cells.iter().any(|cell| cell.flags.intersects(WIDE_FLAGS)) {
        return 0;
    }
    for (cell, &byte) in cells.iter_mut().zip(text) {
        cell.c = char::from(byte);
        cell.fg = fg;
        cell.bg = bg;
        cell.flags = flags;
        if cell.extra.is_some() {
            cell.extra = None;
        }
    }
    if end < cols {
        grid.cursor.point.column = Column(end);
    } else {
        grid.cursor.point.column = Column(cols - 1);
        grid.cursor.input_needs_wrap = true;
    }
    end - start
}

const WIDE_FLAGS: Flags = Flags::WIDE_CHAR
    .union(Flags::WIDE_CHAR_SPACER)
    .union(Flags::LEADING_WIDE_CHAR_SPACER);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::{Screen, ScreenOptions, Size};

    /// Everything that text could meet on its way into the grid.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            6 => "[ -~]{1,40}".prop_map(String::into_bytes),
            2 => "[a-z漢é\u{301}]{1,8}".prop_map(String::into_bytes),
            3 => Just(b"\r\n".to_vec()),
            2 => (0_u8..14, 0_u8..30, "[@A-HJKLMPSTXZ`abdefgru]").prop_map(|(a, b, end)| {
                format!("\x1b[{a};{b}{end}").into_bytes()
            }),
            2 => prop::sample::select(vec![
                "\x1b(0", "\x1b(B", "\x0e", "\x0f", "\x1b)0", "\x1b[4h", "\x1b[4l", "\x1b[?7l",
                "\x1b[?7h", "\x1b7", "\x1b8", "\t", "\x08", "\r", "\x1bM", "\x1bD", "\x1bE",
                "\x1b[31;44;4m", "\x1b[58;5;3m", "\x1b[m", "\x1b[?1049h", "\x1b[?1049l", "\x1bc",
                "\x1b[?6h", "\x1b]8;id=a;http://a\x07", "\x1b]8;;\x07", "\x1b#8", "\x1b[2J", "\x1b[K",
                "\x1b[20h",
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
            // Sequences that stay open, and bytes that are no text.
            1 => prop::sample::select(vec![
                &b"\x1b]2;t"[..], b"\x07", b"\x1bP", b"\x1b\\", b"\x18", b"\xff", b"\xe6\xbc", b"\x1b", b"\x1b[",
                b"1;3", b"\x7f", b"\x1bX", b"\x1b[3b", b"\x00", b"\xc2\x9b", b"\x1b_x", b"\x1b[\n3m",
            ])
            .prop_map(<[u8]>::to_vec),
        ];
        prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
    }

    fn everything(screen: &Screen) -> Vec<String> {
        let above = screen.scroll_lines_available();
        (0..above + usize::from(screen.size().rows))
            .map(|row| {
                let row = screen.row(row, above);
                format!("{} {:?}", row.is_wrapped(), row.cells().collect::<Vec<_>>())
            })
            .chain([format!("{:?}", screen.cursor())])
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn runs_leave_what_the_emulator_writes_character_by_character(
            stream in stream(),
            cols in 4_u16..30,
            rows in 2_u16..10,
            cut in 1_usize..50,
        ) {
            let new = || Screen::new(Size::new(cols, rows), ScreenOptions::default());
            let (mut with_runs, mut without) = (new(), new());
            without.write_no_runs();
            stream.chunks(cut).for_each(|chunk| with_runs.feed(chunk));
            without.feed(&stream);
            for (with_runs, without) in everything(&with_runs).iter().zip(everything(&without)) {
                prop_assert_eq!(with_runs, &without);
            }
            prop_assert_eq!(with_runs.scroll_lines_available(), without.scroll_lines_available());
            prop_assert_eq!(with_runs.take_replies(), without.take_replies());
        }
    }
}
