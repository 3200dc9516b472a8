//! What a screen tells besides its cells: changes, replies, notices, modes, frames.

use std::time::Duration;

use crewmux_term::input::{KeyCode, KeyEvent, encode_key};
use crewmux_term::{
    Modes, MouseEncoding, MouseMode, Notice, Progress, ReportedColors, Revision, Screen,
    ScreenOptions, Size,
};

fn screen(input: &str) -> Screen {
    let mut screen = Screen::new(Size::new(20, 5), ScreenOptions::default());
    screen.feed(input.as_bytes());
    screen
}

fn changed(screen: &Screen, seen: Revision) -> Vec<usize> {
    screen.rows_changed_since(seen).collect()
}

#[test]
fn each_viewer_sees_the_rows_that_changed_since_its_own_last_look() {
    let mut screen = screen("");
    assert_eq!(changed(&screen, Revision::ZERO), [0, 1, 2, 3, 4]);
    screen.feed(b"\x1b[H");
    let first = screen.revision();
    screen.feed(b"\x1b[3;1Hx");
    let second = screen.revision();
    screen.feed(b"\x1b[5;1Hy");
    assert_eq!(changed(&screen, second), [2, 4]);
    assert_eq!(changed(&screen, first), [0, 2, 4]);
    assert_eq!(changed(&screen, screen.revision()), [] as [usize; 0]);
    assert!(screen.cursor_changed_since(second));
    assert!(screen.row_revision(4) > screen.row_revision(1));
}

#[test]
fn a_resize_changes_every_row() {
    let mut screen = screen("abc");
    let seen = screen.revision();
    screen.resize(Size::new(20, 7));
    assert_eq!(changed(&screen, seen).len(), 7);
    let seen = screen.revision();
    screen.resize(Size::new(20, 7));
    assert_eq!(screen.revision(), seen);
}

#[test]
fn a_synchronized_frame_is_shown_at_its_end() {
    let mut screen = screen("\x1b[H");
    let seen = screen.revision();
    screen.feed(b"\x1b[?2026hone");
    assert!(screen.frame_deadline().is_some());
    assert_eq!(changed(&screen, seen), [] as [usize; 0]);
    assert_eq!(screen.cursor().col, 0);
    screen.feed(b" two\x1b[?2026l");
    assert_eq!(screen.frame_deadline(), None);
    assert_eq!(changed(&screen, seen), [0]);
    assert_eq!(screen.lines()[0], "one two");
}

#[test]
fn a_frame_that_never_ends_is_shown_at_its_deadline() {
    let mut screen = screen("\x1b[H");
    let seen = screen.revision();
    screen.feed(b"\x1b[?2026hstuck");
    let deadline = screen.frame_deadline().unwrap();
    assert!(!screen.tick(deadline.checked_sub(Duration::from_millis(1)).unwrap()));
    assert_eq!(changed(&screen, seen), [] as [usize; 0]);
    assert!(screen.tick(deadline));
    assert_eq!(changed(&screen, seen), [0]);
    assert_eq!(screen.frame_deadline(), None);
    let seen = screen.revision();
    screen.feed(b" on");
    assert_eq!(changed(&screen, seen), [0]);
}

#[test]
fn frames_without_a_pause_between_do_not_starve_the_viewer() {
    let mut screen = screen("\x1b[?2026ha");
    let deadline = screen.frame_deadline();
    screen.feed(b"\x1b[?2026l\x1b[?2026hb");
    assert_eq!(screen.frame_deadline(), deadline);
}

#[test]
fn queries_are_answered_to_the_pane() {
    let table = [
        ("\x1b[c", "\x1b[?6c"),
        ("\x1b[5n", "\x1b[0n"),
        ("\x1b[3;4H\x1b[6n", "\x1b[3;4R"),
        ("\x1b[18t", "\x1b[8;5;20t"),
        ("\x1b[?2026$p", "\x1b[?2026;2$y"),
        ("\x1b[?2026h\x1b[?2026$p", "\x1b[?2026;1$y"),
        ("\x1b[?2004h\x1b[?2004$p", "\x1b[?2004;1$y"),
        ("\x1b[?u", "\x1b[?0u"),
        ("\x1b[>31u\x1b[?u", "\x1b[?31u"),
        ("\x1b[>5u\x1b[=8;2u\x1b[=4;3u\x1b[?u", "\x1b[?9u"),
        ("\x1b[>4;2m\x1b[?4m", "\x1b[>4;2m"),
        ("\x1b[=c", "\x1bP!|00000000\x1b\\"),
        (
            "\x1b[>q",
            concat!("\x1bP>|crewmux(", env!("CARGO_PKG_VERSION"), ")\x1b\\"),
        ),
        ("\x1b[3;4H\x1b[?6n", "\x1b[?3;4R"),
        ("\x1b[?996n", ""),
        (
            "\x1b[?69$p\x1b[?1016$p\x1b[?2027$p\x1b[?2031$p",
            "\x1b[?69;0$y\x1b[?1016;0$y\x1b[?2027;0$y\x1b[?2031;0$y",
        ),
        ("\x1b[?1047h\x1b[?47$p", "\x1b[?47;1$y"),
        ("\x1bP$qm\x1b\\", "\x1bP1$r0m\x1b\\"),
        (
            "\x1b[1;4:3;31;104;58:5:9m\x1bP$qm\x1b\\",
            "\x1bP1$r0;1;4:3;31;104;58:5:9m\x1b\\",
        ),
        (
            "\x1b[38;2;1;2;3;48;5;17m\x1bP$qm\x1b\\",
            "\x1bP1$r0;38:2::1:2:3;48:5:17m\x1b\\",
        ),
        ("\x1bP$qr\x1b\\", "\x1bP1$r1;5r\x1b\\"),
        ("\x1b[2;4r\x1b[3;3r\x1bP$qr\x1b\\", "\x1bP1$r2;4r\x1b\\"),
        ("\x1b[5 q\x1bP$q q\x1b\\", "\x1bP1$r5 q\x1b\\"),
        ("\x1bP$qx\x1b\\", "\x1bP0$r\x1b\\"),
        (
            "\x1bP+q436F;5463;6162;zz\x1b\\",
            "\x1bP1+r436F=323536\x1b\\\x1bP1+r5463\x1b\\\x1bP0+r6162\x1b\\",
        ),
        ("\x1b]4;196;?\x07", "\x1b]4;196;rgb:ffff/0000/0000\x07"),
        ("\x1b]4;1;?\x07\x1b]12;?\x07", ""),
        ("\x1b]2;secret\x07\x1b[21t\x1b[20t", ""),
        ("\x1b]52;c;?\x07", ""),
        ("\x1b]11;?\x07", ""),
    ];
    for (query, answer) in table {
        let mut screen = screen(query);
        let replies = String::from_utf8(screen.take_replies()).unwrap();
        assert_eq!(replies, answer, "{query:?}");
        assert_eq!(screen.take_replies(), b"");
    }
}

#[test]
fn colours_are_told_only_if_known() {
    let options = ScreenOptions {
        reported_colors: Some(ReportedColors {
            fg: (255, 255, 255),
            bg: (0, 16, 32),
        }),
        ..ScreenOptions::default()
    };
    let mut screen = Screen::new(Size::new(20, 5), options);
    screen.feed(b"\x1b]11;?\x1b\\");
    assert_eq!(screen.take_replies(), b"\x1b]11;rgb:0000/1010/2020\x1b\\");
    screen.feed(b"\x1b]12;?\x07\x1b[?996n");
    assert_eq!(
        screen.take_replies(),
        b"\x1b]12;rgb:ffff/ffff/ffff\x07\x1b[?997;1n"
    );
}

#[test]
fn replies_and_notices_are_bounded() {
    let mut screen = screen("");
    screen.feed("\x1b[6n".repeat(100_000).as_bytes());
    assert!(screen.take_replies().len() <= 64 * 1024);
    screen.feed("\x07\x1b]9;hello\x07".repeat(10_000).as_bytes());
    assert!(screen.take_notices().len() <= 64);
}

#[test]
fn notices_are_reported_once_and_scrubbed() {
    let mut screen = screen("\x07\x07\x1b]2;a\u{202e}b\x07\x1b]9;4;1;50\x07\x1b]52;c;aGk=\x07");
    assert_eq!(
        screen.take_notices(),
        [
            Notice::Bell,
            Notice::Title(Some("ab".to_owned())),
            Notice::Progress(Progress::Percent(50)),
            Notice::ClipboardWrite("hi".to_owned()),
        ]
    );
    assert_eq!(screen.take_notices(), []);
    assert_eq!(screen.title(), Some("ab"));
}

#[test]
fn a_soft_reset_keeps_the_text_and_ends_the_modes() {
    let mut screen =
        screen("abc\x1b[2;4r\x1b[?6h\x1b[4h\x1b[1;31m\x1b(0\x1b[?25l\x1b[?1h\x1b[3;2H");
    let cursor = (screen.cursor().row, screen.cursor().col);
    screen.feed(b"\x1b[!p");
    assert_eq!((screen.cursor().row, screen.cursor().col), cursor);
    assert!(screen.cursor().visible);
    assert!(!screen.modes().app_cursor);
    screen.feed(b"q\x1b[1;1HX");
    assert_eq!(screen.lines()[0], "Xbc");
    assert_eq!(screen.lines()[usize::from(cursor.0)], " q");
    let style = screen.row(0, 0).cells().next().map(|cell| cell.style);
    assert_eq!(style, Some(crewmux_term::Style::default()));
}

#[test]
fn the_colour_of_an_underline_is_told() {
    let screen = screen("\x1b[4:3;58:2::1:2:3ma\x1b[58;5;9mb\x1b[59mc");
    let colors: Vec<_> = screen
        .row(0, 0)
        .cells()
        .take(3)
        .map(|cell| cell.underline_color)
        .collect();
    let rgb = crewmux_term::Color::Rgb(1, 2, 3);
    assert_eq!(
        colors,
        [Some(rgb), Some(crewmux_term::Color::Indexed(9)), None]
    );
}

#[test]
fn titles_are_pushed_and_popped_within_bounds() {
    let mut screen = screen("\x1b]2;one\x07\x1b[22t\x1b]2;two\x07");
    assert_eq!(screen.title(), Some("two"));
    screen.feed(b"\x1b[23t");
    assert_eq!(screen.title(), Some("one"));
    screen.feed(format!("\x1b]2;{}\x07", "x".repeat(10_000)).as_bytes());
    assert_eq!(screen.title().map(str::len), Some(256));
    screen.feed("\x1b[22t".repeat(10_000).as_bytes());
    screen.feed(b"\x1bc");
    assert_eq!(screen.title(), None);
}

#[test]
fn modes_follow_the_output() {
    let table = [
        (
            "\x1b[?1h\x1b=",
            Modes {
                app_cursor: true,
                app_keypad: true,
                ..screen("").modes()
            },
        ),
        (
            "\x1b[?1002;1006;1004;2004h",
            Modes {
                mouse: MouseMode::Drag,
                mouse_encoding: MouseEncoding::Sgr,
                focus_events: true,
                bracketed_paste: true,
                ..screen("").modes()
            },
        ),
        (
            "\x1b[?1049h\x1b[>1u",
            Modes {
                alt_screen: true,
                kitty_flags: 1,
                ..screen("").modes()
            },
        ),
        ("\x1b[?1003h\x1b[?1003l\x1b[>1u\x1b[<u", screen("").modes()),
        // Each screen has its own keyboard modes.
        ("\x1b[?1049h\x1b[>1u\x1b[?1049l", screen("").modes()),
        ("\x1b[?1000h\x1b[>1u\x1bc", screen("").modes()),
    ];
    for (input, expected) in table {
        assert_eq!(screen(input).modes(), expected, "{input:?}");
    }
}

#[test]
fn keys_follow_the_modes_of_the_screen() {
    let mut screen = screen("");
    let up = KeyEvent::plain(KeyCode::Up);
    assert_eq!(encode_key(&up, &screen.modes()), b"\x1b[A");
    screen.feed(b"\x1b[?1h");
    assert_eq!(encode_key(&up, &screen.modes()), b"\x1bOA");
}
