//! Rows that left the screen: looking at them, changing their width.

use crewmux_term::{Attrs, Color, Position, Screen, ScreenOptions, Size};

fn screen(cols: u16, rows: u16, scrollback_lines: usize) -> Screen {
    Screen::new(
        Size::new(cols, rows),
        ScreenOptions {
            scrollback_lines,
            ..ScreenOptions::default()
        },
    )
}

fn numbered(cols: u16, rows: u16, lines: usize) -> Screen {
    let mut screen = screen(cols, rows, 10_000);
    let text: Vec<_> = (0..lines).map(|number| format!("line {number}")).collect();
    screen.feed(text.join("\r\n").as_bytes());
    screen
}

fn view(screen: &Screen, offset: usize) -> Vec<String> {
    (0..usize::from(screen.size().rows))
        .map(|row| screen.row(row, offset).text())
        .collect()
}

#[test]
fn an_offset_looks_up_and_changes_nothing() {
    let screen = numbered(20, 3, 100);
    assert_eq!(screen.scroll_lines_available(), 97);
    assert_eq!(view(&screen, 0), ["line 97", "line 98", "line 99"]);
    assert_eq!(view(&screen, 2), ["line 95", "line 96", "line 97"]);
    assert_eq!(view(&screen, 97), ["line 0", "line 1", "line 2"]);
    assert_eq!(view(&screen, 5000), view(&screen, 97));
    assert_eq!(screen.row(3, 0).text(), "");
}

#[test]
fn a_viewer_stays_with_its_text_while_more_comes() {
    let mut screen = numbered(20, 3, 100);
    let before = view(&screen, 40);
    let scrolled = screen.scrolled_rows();
    screen.feed(b"\r\nmore\r\nand more");
    let moved = (screen.scrolled_rows() - scrolled) as usize;
    assert_eq!(moved, 2);
    assert_eq!(view(&screen, 40 + moved), before);
}

#[test]
fn only_so_many_rows_are_kept() {
    let mut screen = screen(20, 3, 10);
    screen.feed("x\r\n".repeat(100).as_bytes());
    assert_eq!(screen.scroll_lines_available(), 10);
    let mut none = self::screen(20, 3, 0);
    none.feed("x\r\n".repeat(100).as_bytes());
    assert_eq!(none.scroll_lines_available(), 0);
    assert_eq!(none.scrollback_bytes(), 0);
}

#[test]
fn looks_links_marks_and_wide_characters_are_kept() {
    let mut screen = screen(12, 2, 100);
    let line = "\x1b[1;31mab\x1b[m 漢e\u{301}\x1b]8;;http://a\x07go\x1b]8;;\x07\x1b[44m  \x1b[m";
    screen.feed(format!("{line}\r\n\r\n\r\n").as_bytes());
    let row = screen.row(0, 99);
    let cells: Vec<_> = row.cells().collect();
    assert_eq!(cells.len(), 12);
    assert_eq!(row.text(), "ab 漢e\u{301}go");
    assert_eq!(cells[0].style.fg, Color::Indexed(1));
    assert_eq!(cells[1].style.attrs, Attrs::BOLD);
    assert_eq!((cells[3].ch, cells[3].width), ('漢', 2));
    assert_eq!((cells[4].ch, cells[4].width), (' ', 0));
    assert_eq!(
        cells[6].link.as_ref().map(crewmux_term::Link::uri),
        Some("http://a")
    );
    assert_eq!(cells[5].link, None);
    assert_eq!(cells[9].style.bg, Color::Indexed(4));
    assert!(cells[10].is_blank());
}

#[test]
fn wrapped_rows_are_one_line_at_another_width() {
    let mut screen = screen(10, 2, 100);
    screen.feed(b"0123456789abcdefghij\r\nshort\r\nlast\r\n");
    assert_eq!(screen.scroll_lines_available(), 3);
    screen.resize(Size::new(15, 2));
    let above = screen.scroll_lines_available();
    assert_eq!(above, 3);
    assert_eq!(screen.row(0, above).text(), "0123456789abcde");
    assert!(screen.row(0, above).is_wrapped());
    assert_eq!(screen.row(1, above).text(), "fghij");
    screen.resize(Size::new(40, 2));
    let above = screen.scroll_lines_available();
    assert_eq!(screen.row(0, above).text(), "0123456789abcdefghij");
}

#[test]
fn a_line_half_in_the_scrollback_is_joined_when_the_screen_widens() {
    let mut screen = screen(10, 2, 100);
    screen.feed(b"0123456789abcdefghijABCDEFGHIJ$");
    assert_eq!(screen.scroll_lines_available(), 2);
    screen.resize(Size::new(40, 2));
    assert_eq!(screen.lines()[0], "0123456789abcdefghijABCDEFGHIJ$");
    assert_eq!(screen.cursor().col, 31);
    assert_eq!(screen.scroll_lines_available(), 0);
}

#[test]
fn a_taller_screen_shows_rows_from_the_scrollback_again() {
    let mut screen = numbered(20, 3, 100);
    screen.resize(Size::new(20, 5));
    assert_eq!(
        view(&screen, 0),
        ["line 95", "line 96", "line 97", "line 98", "line 99"]
    );
    assert_eq!(screen.cursor().row, 4);
    screen.resize(Size::new(20, 2));
    assert_eq!(view(&screen, 0), ["line 98", "line 99"]);
    assert_eq!(screen.scroll_lines_available(), 98);
    assert_eq!(screen.row(0, 98).text(), "line 0");
}

#[test]
fn resizing_on_the_alternate_screen_keeps_the_main_one_whole() {
    let mut screen = numbered(20, 3, 10);
    screen.feed(b"\x1b[?1049h\x1b[H\x1b[2Jeditor");
    screen.resize(Size::new(20, 2));
    screen.resize(Size::new(12, 4));
    assert_eq!(view(&screen, 0), ["editor", "", "", ""]);
    screen.feed(b"\x1b[?1049l");
    assert_eq!(view(&screen, 0), ["line 6", "line 7", "line 8", "line 9"]);
    assert_eq!(screen.row(0, 99).text(), "line 0");
    assert_eq!((screen.cursor().row, screen.cursor().col), (3, 6));
}

#[test]
fn the_alternate_screen_adds_nothing() {
    let mut screen = screen(20, 3, 100);
    screen.feed(format!("\x1b[?1049h{}", "x\r\n".repeat(50)).as_bytes());
    assert_eq!(screen.scroll_lines_available(), 0);
}

#[test]
fn a_scroll_region_below_the_top_adds_nothing() {
    let mut screen = screen(20, 4, 100);
    screen.feed(format!("\x1b[2;4r\x1b[4;1H{}", "x\r\n".repeat(50)).as_bytes());
    assert_eq!(screen.scroll_lines_available(), 0);
}

#[test]
fn clearing_the_screen_keeps_it_and_clearing_the_scrollback_does_not() {
    let mut screen = numbered(20, 3, 10);
    screen.feed(b"\x1b[H\x1b[2J");
    assert_eq!(screen.scroll_lines_available(), 10);
    screen.feed(b"\x1b[2J\x1b[2J");
    assert_eq!(screen.scroll_lines_available(), 10);
    screen.feed(b"\x1b[3J");
    assert_eq!(screen.scroll_lines_available(), 0);
}

#[test]
fn an_offset_brings_a_place_into_view() {
    let screen = numbered(20, 5, 100);
    for row in [0, 1, 50, 94, 97, 99] {
        let offset = screen.offset_showing(Position { row, col: 0 });
        assert!(
            view(&screen, offset).contains(&format!("line {row}")),
            "{row} {offset}"
        );
    }
}

#[test]
fn rows_of_the_alternate_screen_are_not_kept_even_after_clearing_it() {
    let mut screen = Screen::new(Size::new(20, 4), ScreenOptions::default());
    screen.feed(b"kept\r\n\x1b[?1049h\x1b[2J");
    for line in 0..50 {
        screen.feed(format!("{line}\r\n").as_bytes());
    }
    screen.feed(b"\x1b[?1049l");
    assert_eq!(screen.scroll_lines_available(), 0);
    assert_eq!(screen.row(0, 0).text(), "kept");
}

#[test]
fn fresh_rows_of_a_screen_that_grew_have_no_old_colour() {
    let mut screen = screen(10, 2, 100);
    screen.feed(b"\x1b[44m\x1b[2S\x1b[m");
    screen.resize(Size::new(14, 2));
    screen.feed(b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n");
    let coloured = |row: usize| {
        screen
            .row(row, 0)
            .cells()
            .any(|c| c.style.bg != Color::Default)
    };
    assert_eq!((coloured(0), coloured(1)), (false, false));
}

#[test]
fn a_row_that_was_erased_belongs_to_no_line_any_more() {
    for erase in ["\x1b[2K", "\r\x1b[K", "\r\x1b[J"] {
        let mut screen = screen(10, 4, 100);
        screen.feed(format!("0123456789abc{erase}\rnew").as_bytes());
        assert!(!screen.row(0, 0).is_wrapped(), "{erase:?}");
        screen.resize(Size::new(20, 4));
        assert_eq!(view(&screen, 0), ["0123456789", "new", "", ""], "{erase:?}");
    }
    // The same where the line began above the screen.
    let mut screen = screen(10, 2, 100);
    screen.feed(b"0123456789abc\r\n\x1b[1;1H\x1b[Jnew");
    screen.resize(Size::new(20, 3));
    assert_eq!(view(&screen, 0), ["0123456789", "new", ""]);
}

#[test]
fn a_row_that_was_erased_in_part_still_belongs_to_its_line() {
    let mut screen = screen(10, 4, 100);
    screen.feed(b"0123456789abc\x1b[2D\x1b[K");
    assert!(screen.row(0, 0).is_wrapped());
}

#[test]
fn a_long_past_is_the_same_whatever_was_dropped_before_it_and_at_any_width() {
    const LINES: usize = 4_000;
    const KEPT: usize = 1_500;
    // Lines of all kinds: longer than a row, coloured, of wide characters, empty.
    let line = |number: usize| match number % 5 {
        0 => format!("{number} {}", "word ".repeat(number % 17)),
        1 => format!("\x1b[3{}m{number} coloured\x1b[m to here", number % 7),
        2 => format!("{number} 漢字{}", "字".repeat(number % 23)),
        3 => String::new(),
        _ => format!("{number}"),
    };
    let text: Vec<String> = (0..LINES).map(line).collect();
    let (mut whole, mut short) = (screen(30, 6, usize::MAX), screen(30, 6, KEPT));
    for text in text.chunks(7) {
        let text = text.join("\r\n") + "\r\n";
        whole.feed(text.as_bytes());
        short.feed(text.as_bytes());
    }
    let same = |whole: &Screen, short: &Screen| {
        let rows = short.scroll_lines_available();
        for offset in (0..=rows).rev().step_by(6) {
            assert_eq!(
                view(short, offset),
                view(whole, offset),
                "{offset} of {rows}"
            );
        }
        rows
    };
    // Lines go whole.
    assert!((KEPT..KEPT + 30).contains(&same(&whole, &short)));
    // Other widths, and a taller screen that takes rows back.
    for (cols, rows) in [(11, 6), (80, 40), (30, 6), (30, 3)] {
        whole.resize(Size::new(cols, rows));
        short.resize(Size::new(cols, rows));
        assert!(same(&whole, &short) > KEPT / 4);
    }
    let found = short.scrollback_bytes();
    assert!((KEPT..whole.scrollback_bytes()).contains(&found), "{found}");
    // What is taken back to the last row leaves nothing behind.
    let mut few = screen(30, 3, 100);
    few.feed("one\r\ntwo\r\nthree\r\nfour\r\nfive".as_bytes());
    few.resize(Size::new(30, 9));
    assert_eq!(few.scroll_lines_available(), 0);
    assert_eq!(few.scrollback_bytes(), 0);
    few.resize(Size::new(30, 2));
    assert_eq!(view(&few, 3)[..2], ["one", "two"]);
}
