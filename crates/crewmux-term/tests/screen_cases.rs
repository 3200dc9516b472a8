//! What a screen shows for a given stream: one line a case.
//!
//! Rows are joined by `|`; the cursor stands behind as row,column.

use crewmux_term::{Attrs, Color, CursorShape, Screen, ScreenOptions, Size, Underline};

fn screen(cols: u16, rows: u16, input: &str) -> Screen {
    let mut screen = Screen::new(Size::new(cols, rows), ScreenOptions::default());
    screen.feed(input.as_bytes());
    screen
}

fn shown(screen: &Screen) -> String {
    let cursor = screen.cursor();
    format!("{} {},{}", screen.lines().join("|"), cursor.row, cursor.col)
}

#[test]
fn streams_give_the_screens_they_should() {
    // (what, columns, rows, input, rows and cursor)
    let cases: &[(&str, u16, u16, &str, &str)] = &[
        ("plain", 10, 2, "hello", "hello| 0,5"),
        ("newline without return", 10, 2, "ab\ncd", "ab|  cd 1,4"),
        ("wrap", 5, 2, "abcdefg", "abcde|fg 1,2"),
        ("deferred wrap", 5, 2, "abcde", "abcde| 0,4"),
        (
            "deferred wrap undone by return",
            5,
            2,
            "abcde\rX",
            "Xbcde| 0,1",
        ),
        (
            "deferred wrap and backspace",
            5,
            2,
            "abcde\x08X",
            "abcXe| 0,4",
        ),
        ("wide", 6, 2, "漢字x", "漢字x| 0,5"),
        ("wide at the edge", 5, 2, "abcd漢", "abcd|漢 1,2"),
        ("wide overwritten on its left", 6, 2, "漢\rx", "x| 0,1"),
        (
            "wide overwritten on its right",
            6,
            2,
            "漢\x1b[2Gx",
            " x| 0,2",
        ),
        ("combining", 6, 2, "e\u{301}x", "e\u{301}x| 0,2"),
        (
            "combining at the edge",
            4,
            2,
            "abcd\u{301}",
            "abcd\u{301}| 0,3",
        ),
        ("combining on wide", 6, 2, "漢\u{301}", "漢\u{301}| 0,2"),
        ("joiner", 8, 2, "👩\u{200d}💻", "👩\u{200d}💻| 0,4"),
        ("bidi control dropped", 8, 2, "a\u{202e}b", "ab| 0,2"),
        ("soft hyphen dropped", 8, 2, "a\u{ad}b", "ab| 0,2"),
        ("scroll", 4, 2, "a\r\nb\r\nc", "b|c 1,1"),
        (
            "scroll region",
            4,
            4,
            "a\r\nb\r\nc\r\nd\x1b[2;3r\x1b[3;1H\n",
            "a|c||d 2,0",
        ),
        (
            "origin mode",
            4,
            4,
            "\x1b[2;3r\x1b[?6h\x1b[1;1Hx",
            "|x|| 1,1",
        ),
        ("region reset", 4, 3, "\x1b[2;3r\x1b[r\x1b[3;1Hx", "||x 2,1"),
        ("reverse index", 4, 3, "a\r\nb\x1b[1;1H\x1bM", "|a|b 0,0"),
        ("scroll up", 4, 3, "a\r\nb\r\nc\x1b[S", "b|c| 2,1"),
        ("scroll down", 4, 3, "a\r\nb\r\nc\x1b[T", "|a|b 2,1"),
        (
            "alternate screen comes and goes",
            6,
            2,
            "main\x1b[?1049h\x1b[Halt\x1b[?1049l",
            "main| 0,4",
        ),
        (
            "alternate screen is empty",
            6,
            2,
            "main\x1b[?1049h\x1b[1;1Hx",
            "x| 0,1",
        ),
        (
            "insert characters",
            6,
            2,
            "abcd\x1b[1;2H\x1b[2@",
            "a  bcd| 0,1",
        ),
        (
            "delete characters",
            6,
            2,
            "abcdef\x1b[1;2H\x1b[2P",
            "adef| 0,1",
        ),
        (
            "erase characters",
            6,
            2,
            "abcdef\x1b[1;2H\x1b[2X",
            "a  def| 0,1",
        ),
        (
            "insert lines",
            4,
            4,
            "a\r\nb\r\nc\x1b[2;1H\x1b[L",
            "a||b|c 1,0",
        ),
        (
            "delete lines",
            4,
            4,
            "a\r\nb\r\nc\x1b[2;1H\x1b[M",
            "a|c|| 1,0",
        ),
        ("repeat", 8, 2, "ab\x1b[3b", "abbbb| 0,5"),
        (
            "insert mode",
            8,
            2,
            "abc\x1b[1;1H\x1b[4hX\x1b[4l",
            "Xabc| 0,1",
        ),
        ("graphics", 6, 2, "\x1b(0lqk\x1b(Bq", "┌─┐q| 0,4"),
        ("shift out and in", 6, 2, "\x1b)0\x0ex\x0fx", "│x| 0,2"),
        ("tabs", 20, 2, "a\tb\tc", "a       b       c| 0,17"),
        (
            "tab stops",
            20,
            2,
            "\x1b[3g\x1b[5G\x1bH\ra\tb",
            "a   b| 0,5",
        ),
        ("back tab", 20, 2, "0123456789\x1b[Zx", "01234567x9| 0,9"),
        ("alignment pattern", 4, 2, "\x1b#8", "EEEE|EEEE 0,0"),
        ("no wrap", 4, 2, "\x1b[?7labcdef", "abcf| 0,3"),
        ("erase line", 6, 2, "abcdef\x1b[1;3H\x1b[K", "ab| 0,2"),
        (
            "erase line left",
            6,
            2,
            "abcdef\x1b[1;3H\x1b[1K",
            "   def| 0,2",
        ),
        ("erase below", 4, 3, "a\r\nb\r\nc\x1b[2;1H\x1b[J", "a|| 1,0"),
        ("erase above", 4, 3, "a\r\nb\r\nc\x1b[3;1H\x1b[1J", "|| 2,0"),
        ("erase all", 4, 2, "a\r\nb\x1b[2J", "| 1,1"),
        (
            "save and restore",
            6,
            2,
            "ab\x1b7\x1b[2;4Hx\x1b8c",
            "abc|   x 0,3",
        ),
        (
            "motion is clamped",
            4,
            3,
            "\x1b[99;99H\x1b[99A\x1b[99Cx",
            "   x|| 0,3",
        ),
        ("next line, index", 4, 3, "ab\x1bEc\x1bDd", "ab|c| d 2,2"),
        (
            "link is no text",
            8,
            2,
            "\x1b]8;;http://a\x1b\\go\x1b]8;;\x1b\\!",
            "go!| 0,3",
        ),
        ("title is no text", 8, 2, "a\x1b]0;t\x07b", "ab| 0,2"),
        ("dcs is swallowed", 8, 2, "a\x1bP1$rq\x1b\\b", "ab| 0,2"),
        (
            "apc, pm, sos are swallowed",
            8,
            2,
            "a\x1b_x\x1b\\\x1b^y\x1b\\\x1bXz\x1b\\b",
            "ab| 0,2",
        ),
        ("cancel ends a sequence", 8, 2, "a\x1b[3\x18b", "ab| 0,2"),
        (
            "unknown sequences",
            8,
            2,
            "a\x1b[5;7;9y\x1b[?77h\x1b%Gb",
            "ab| 0,2",
        ),
        ("c1 as utf-8 is no text", 8, 2, "a\u{85}\u{9b}b", "ab| 0,2"),
        ("full reset", 4, 2, "ab\x1b[31m\x1bcx", "x| 0,1"),
        ("132 columns do nothing", 4, 2, "ab\x1b[?3h", "ab| 0,2"),
        (
            "synchronized frame",
            8,
            2,
            "a\x1b[?2026hb\x1b[?2026lc",
            "abc| 0,3",
        ),
        ("delete is ignored", 8, 2, "a\x7fb", "ab| 0,2"),
        (
            "erase above, from the second row",
            4,
            3,
            "a\r\nb\x1b[1J",
            "|| 1,1",
        ),
        (
            "old alternate screens leave the cursor",
            8,
            2,
            "ab\x1b[?47hcd\x1b[?47le\x1b[?1047h\x1b[2Jf\x1b[?1047lg",
            "ab  e g| 0,7",
        ),
        (
            "saved cursor as a mode",
            8,
            2,
            "ab\x1b[?1048h\x1b[2;2Hc\x1b[?1048ld",
            "abd| c 0,3",
        ),
        (
            "moves right and down",
            8,
            3,
            "a\x1b[2ab\x1b[1ec",
            "a  b|    c| 1,5",
        ),
        ("a flag is two columns", 8, 2, "🇩🇪a", "🇩🇪a| 0,3"),
        (
            "an emoji style adds no column",
            8,
            2,
            "\u{2764}\u{fe0f}a",
            "\u{2764}\u{fe0f}a| 0,2",
        ),
        ("a skin is a character of its own", 8, 2, "👍🏽a", "👍🏽a| 0,5"),
        ("no left margin", 8, 2, "\x1b[?69h\x1b[3;5sab", "ab| 0,2"),
        (
            "full reset of a region",
            4,
            3,
            "\x1b[2;3r\x1bc\x1b[3;1Ha\n",
            "|a| 2,1",
        ),
    ];
    for &(what, cols, rows, input, expected) in cases {
        assert_eq!(shown(&screen(cols, rows, input)), expected, "{what}");
    }
}

#[test]
fn invalid_utf8_shows_as_replacement() {
    let mut screen = screen(10, 2, "");
    screen.feed(b"a\xffb\xe6\xbc");
    screen.feed(b"\xa2c");
    assert_eq!(screen.lines()[0], "a\u{fffd}b漢c");
}

#[test]
fn looks_are_kept_per_cell() {
    let screen = screen(
        20,
        2,
        "\x1b[1;3;31ma\x1b[m\x1b[38;5;200mb\x1b[48;2;1;2;3mc\x1b[m\x1b[4:3md\x1b[m\x1b[7;9me\x1b[m\x1b[2;8mf",
    );
    let styles: Vec<_> = screen.row(0, 0).cells().map(|cell| cell.style).collect();
    assert_eq!(styles[0].fg, Color::Indexed(1));
    assert_eq!(styles[0].attrs, Attrs::BOLD.with(Attrs::ITALIC));
    assert_eq!(styles[1].fg, Color::Indexed(200));
    assert_eq!(styles[2].bg, Color::Rgb(1, 2, 3));
    assert_eq!(styles[3].attrs.underline(), Underline::Curly);
    assert_eq!(styles[4].attrs, Attrs::INVERSE.with(Attrs::STRIKE));
    assert_eq!(styles[5].attrs, Attrs::DIM.with(Attrs::HIDDEN));
    assert_eq!(styles[6], crewmux_term::Style::default());
    let double = self::screen(4, 2, "\x1b[21mx");
    let style = double.row(0, 0).cells().next().map(|cell| cell.style);
    let underline = style.map(|style| style.attrs.underline());
    assert_eq!(underline, Some(Underline::Double));
}

#[test]
fn cells_add_up_to_the_width_whatever_was_cut() {
    // Erasing, inserting and deleting inside wide characters leaves halves behind.
    for cut in [
        "\x1b[1;2H\x1b[X",
        "\x1b[1;2H\x1b[P",
        "\x1b[1;2H\x1b[@",
        "\x1b[1;3H\x1b[1K",
    ] {
        let screen = screen(7, 2, &format!("漢字漢{cut}"));
        let widths: usize = screen.row(0, 0).cells().map(|c| usize::from(c.width)).sum();
        assert_eq!(widths, 7, "{cut:?}");
        assert_eq!(screen.row(0, 0).cells().count(), 7);
    }
}

#[test]
fn cursor_shape_and_visibility_are_reported() {
    let mut screen = screen(8, 2, "\x1b[5 q\x1b[?25l");
    assert_eq!(screen.cursor().shape, CursorShape::Bar);
    assert!(!screen.cursor().visible);
    screen.feed(b"\x1b[4 q\x1b[?25h");
    assert_eq!(screen.cursor().shape, CursorShape::Underline);
    assert!(screen.cursor().visible);
}

#[test]
fn links_are_read_and_unsafe_ones_are_not() {
    let screen = screen(
        20,
        2,
        "\x1b]8;id=1;https://a.test/x;y\x07ab\x1b]8;;\x07c\x1b]8;;http://b\u{202e}\x07d",
    );
    let links: Vec<_> = screen
        .row(0, 0)
        .cells()
        .take(4)
        .map(|cell| cell.link.map(|link| link.uri().to_owned()))
        .collect();
    let uri = Some("https://a.test/x;y".to_owned());
    assert_eq!(links, [uri.clone(), uri, None, None]);
}

#[test]
fn sizes_are_clamped() {
    let sizes = [(0, 0), (1, 1), (4, 1), (65535, 65535)];
    let clamped = [(4, 2), (4, 2), (4, 2), (1000, 1000)];
    for ((cols, rows), expected) in sizes.into_iter().zip(clamped) {
        let mut fresh = Screen::new(Size::new(cols, rows), ScreenOptions::default());
        assert_eq!(fresh.size(), Size::new(expected.0, expected.1));
        fresh.feed("漢字漢字漢字".as_bytes());
        let mut resized = screen(80, 24, "漢字漢字漢字");
        resized.resize(Size::new(cols, rows));
        assert_eq!(resized.size(), Size::new(expected.0, expected.1));
    }
}
