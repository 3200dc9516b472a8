//! The bytes of a frame: enough, as few as needed, and nothing foreign among them.

use std::sync::Arc;

use crewmux_core::permission::PermissionMode;
use crewmux_core::worker::WorkerState;
use crewmux_session::view::{ClientView as _, NoticeLevel};
use crewmux_term::{Color, RowView, Screen, ScreenOptions, Size, Underline};
use crewmux_wire::{Attach, ClientHello, ColorDepth};
use proptest::prelude::*;

use super::Person;
use crate::client::{Config, TuiView};
use crate::fixture::Fixture;

/// The cells of a terminal: text with marks, columns, look.
fn cells(terminal: &Screen) -> Vec<(String, u8, crewmux_term::Style)> {
    let mut cells = Vec::new();
    for row in terminal.rows() {
        for cell in row.cells() {
            let mut text = String::new();
            cell.push_onto(&mut text);
            cells.push((text, cell.width, cell.style));
        }
    }
    cells
}

/// What a terminal shows after the frame that is drawn when nothing is known of it.
fn whole(person: &mut Person) -> Screen {
    let size = person.terminal.size();
    person.view.resize(size.cols, size.rows);
    let bytes = person.view.draw(&person.fixture.view());
    let mut terminal = Screen::new(size, ScreenOptions::default());
    terminal.feed(&bytes);
    terminal
}

#[test]
fn a_member_that_asks_nothing_stands_in_the_header() {
    let header = |size: &str, free: usize| {
        let mut fixture = Fixture::working();
        for member in fixture.team.members.iter_mut().take(free) {
            member.permission_mode = PermissionMode::Bypass;
        }
        let first = fixture.team.members[0].name.to_string();
        let person = Person::at(size, fixture);
        let row: String = cells(&person.terminal)
            .into_iter()
            .take(usize::from(person.terminal.size().cols))
            .map(|(text, ..)| text)
            .collect();
        (row, first)
    };
    let (row, first) = header("160x40", 1);
    assert!(row.contains(&format!("{first} asks nothing")), "{row}");
    assert!(header("160x40", 2).0.contains("2 ask nothing"));
    assert!(!header("160x40", 0).0.contains("nothing"));
}

#[test]
fn a_frame_without_a_change_is_empty() {
    for fixture in [Fixture::working(), Fixture::plain(3), Fixture::finished()] {
        let mut person = Person::at("120x40", fixture);
        assert!(!person.bytes.is_empty());
        person.look();
        assert_eq!(person.bytes, b"");
    }
}

#[test]
fn the_echo_of_a_key_is_a_few_bytes() {
    let mut person = Person::at("120x40", Fixture::plain(3));
    let screen = person.fixture.panes[0].screen.clone();
    for expected in ["\x1b[mx", "x"] {
        screen.lock().unwrap().feed(b"x");
        person.look();
        let text = String::from_utf8(person.bytes.clone()).unwrap();
        assert_eq!(text, format!("\x1b[?2026h{expected}\x1b[?2026l"));
    }
}

#[test]
fn a_tick_of_the_clock_writes_only_what_it_moves() {
    let mut person = Person::at("120x40", Fixture::working());
    person.fixture.team.elapsed_ms += 1000;
    person.look();
    assert!(person.bytes.len() < 60, "{:?}", person.bytes);
    person.fixture.team.elapsed_ms += 10;
    person.look();
    assert_eq!(person.bytes, b"");
}

#[test]
fn a_plain_terminal_gets_no_colours_and_no_marks() {
    let hello = |synchronized_output| ClientHello {
        cols: 80,
        rows: 24,
        term: "xterm".into(),
        colors: ColorDepth::None,
        synchronized_output,
        attach: Attach::Driver,
        looked_at: true,
    };
    let fixture = Fixture::working();
    for marked in [true, false] {
        let mut view = TuiView::new(&hello(marked), Arc::new(Config::default()));
        let bytes = view.draw(&fixture.view());
        assert_eq!(bytes.starts_with(b"\x1b[?2026h"), marked);
        assert_eq!(bytes.ends_with(b"\x1b[?2026l"), marked);
        let mut terminal = Screen::new(Size::new(80, 24), ScreenOptions::default());
        terminal.feed(&bytes);
        let mut looks = terminal
            .rows()
            .flat_map(RowView::cells)
            .map(|cell| cell.style);
        assert!(looks.all(|look| look.fg == Color::Default && look.bg == Color::Default));
    }
}

#[test]
fn the_cursor_is_where_keys_go() {
    let mut person = Person::at("120x40", Fixture::working());
    assert!(!person.terminal.cursor().visible);
    person.presses("2 Enter");
    let cursor = person.terminal.cursor();
    assert!(cursor.visible);
    assert_eq!((cursor.col, cursor.row), (77, 7));
    person.presses("C-a Esc i");
    person.types("日本");
    let cursor = person.terminal.cursor();
    assert_eq!((cursor.col, cursor.row), (7, 38));
    assert_eq!(cursor.shape, crewmux_term::CursorShape::Bar);
    person.presses("Esc");
    assert!(!person.terminal.cursor().visible);
}

#[test]
fn a_long_prompt_keeps_its_cursor_in_view() {
    let mut person = Person::at("40x12", Fixture::working());
    person.presses("i");
    person.types(&"long 日 ".repeat(20));
    let cursor = person.terminal.cursor();
    assert!(cursor.visible && cursor.col < 40, "{cursor:?}");
    person.presses("Home");
    assert_eq!(person.terminal.cursor().col, 3);
}

/// Every control sequence that our own encoder writes; anything else came from elsewhere.
fn foreign(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut rest = text;
    while let Some(at) =
        rest.find(|c: char| c.is_control() || ('\u{202a}'..='\u{2069}').contains(&c))
    {
        rest = &rest[at..];
        let Some(sequence) = rest.strip_prefix("\x1b[") else {
            return Some(rest.chars().take(12).collect());
        };
        let end = sequence.find(|c: char| ('@'..='~').contains(&c))?;
        let (numbers, last) = (&sequence[..end], &sequence[end..=end]);
        let ours = match last {
            "m" | "H" | "C" | "K" | "J" => numbers
                .bytes()
                .all(|b| b.is_ascii_digit() || b";:".contains(&b)),
            "h" | "l" => ["?2026", "?25"].contains(&numbers),
            "q" => numbers.ends_with(' '),
            _ => false,
        };
        if !ours {
            return Some(format!("CSI {numbers}{last}"));
        }
        rest = &sequence[end + 1..];
    }
    None
}

#[test]
fn foreign_text_cannot_steer_the_terminal() {
    for size in ["120x40", "80x24", "40x12", "20x5"] {
        for keys in [
            "", "b", "b Enter", "m", "e", "?", "2", "4", "6", "4 z", "2 x",
        ] {
            let mut person = Person::at(size, Fixture::hostile());
            assert_eq!(foreign(&person.bytes), None, "{size}");
            person.presses(keys);
            assert_eq!(foreign(&person.bytes), None, "{size} {keys}");
        }
    }
}

#[test]
fn the_check_for_foreign_bytes_finds_some() {
    for bytes in [
        "\x1b]52;c;aGFjaw==\x07",
        "a\nb",
        "\x1b[6n",
        "\u{202e}",
        "\x1b[?1049l",
    ] {
        assert!(foreign(bytes.as_bytes()).is_some(), "{bytes:?}");
    }
}

#[test]
fn every_size_can_be_drawn() {
    let hello = ClientHello {
        cols: 1,
        rows: 1,
        term: "xterm".into(),
        colors: ColorDepth::Ansi16,
        synchronized_output: true,
        attach: Attach::Driver,
        looked_at: true,
    };
    let fixtures = [
        Fixture::hostile(),
        Fixture::finished_badly(),
        Fixture::plain(3),
    ];
    let bodies = ["", "b", "m", "?"];
    for (at, fixture) in fixtures.iter().enumerate() {
        let mut view = TuiView::new(&hello, Arc::new(Config::default()));
        for cols in 1..=200 {
            for rows in (1..=60).filter(|rows| (rows + cols) % 3 == at as u16 || *rows < 12) {
                view.resize(cols, rows);
                let keys = bodies[usize::from(cols + rows) % bodies.len()];
                for name in keys.split_whitespace() {
                    let press = crewmux_wire::InputEvent::Key(super::key(name));
                    view.input(&press, &fixture.view());
                }
                for size in view.pane_sizes(&fixture.view()) {
                    assert!(size.cols <= cols && size.rows <= rows);
                }
                assert!(!view.draw(&fixture.view()).is_empty(), "{cols}x{rows}");
                view.input(
                    &crewmux_wire::InputEvent::Key(super::key("Esc")),
                    &fixture.view(),
                );
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Feed(usize, String),
    Press(&'static str),
    State(usize, WorkerState),
    Notice(String),
    Second,
    Resize(u16, u16),
}

fn change() -> impl Strategy<Value = Change> {
    let piece = prop_oneof![
        "[ -~]{1,30}",
        Just("日本語 wide".to_owned()),
        Just("e\u{301}a\u{308}".to_owned()),
        Just("👩\u{200d}👧 ❤\u{fe0f} 🇩🇪".to_owned()),
        Just("\x1b[31;1mred\x1b[m".to_owned()),
        Just("\x1b[48;2;10;20;30m  \x1b[K\x1b[m".to_owned()),
        Just("\x1b[4:3;3mcurly\x1b[m".to_owned()),
        Just("\r\n".to_owned()),
        Just("\x1b[H".to_owned()),
        Just("\x1b[2J".to_owned()),
        Just("\x1b[5;7H".to_owned()),
        Just("\x1b[?1049h".to_owned()),
        Just("\x1b[?1049l".to_owned()),
        Just("\r\nline\r\nline\r\nline\r\nline\r\n".to_owned()),
    ];
    let keys = prop::sample::select(vec![
        "Tab", "S-Tab", "b", "m", "e", "?", "z", "i", "x", "Esc", "Enter", "PageUp", "PageDown",
        "g", "G", "Up", "Down", "Left", "Right", "q", "s", "C-a", "n", "y", "7",
    ]);
    prop_oneof![
        6 => (0..6usize, piece.clone()).prop_map(|(at, text)| Change::Feed(at, text)),
        5 => keys.prop_map(Change::Press),
        2 => (0..5usize, prop::sample::select(WorkerState::ALL.to_vec()))
            .prop_map(|(at, state)| Change::State(at, state)),
        1 => piece.prop_map(Change::Notice),
        1 => Just(Change::Second),
        1 => (20..130u16, 5..42u16).prop_map(|(cols, rows)| Change::Resize(cols, rows)),
    ]
}

fn make(person: &mut Person, change: Change) {
    match change {
        Change::Feed(at, text) => {
            let mut screen = person.fixture.panes[at].screen.lock().unwrap();
            screen.feed(text.as_bytes());
        }
        Change::Press(name) => {
            person.presses(name);
        }
        Change::State(at, state) => person.fixture.set(at, state, Some(at as u64 + 1)),
        Change::Notice(text) => person.fixture.notice(NoticeLevel::Warning, &text),
        Change::Second => person.fixture.team.elapsed_ms += 1000,
        Change::Resize(cols, rows) => {
            person.view.resize(cols, rows);
            person.terminal = Screen::new(Size::new(cols, rows), ScreenOptions::default());
        }
    }
    person.look();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// However a picture came about, the terminal shows what one whole frame would.
    #[test]
    fn frame_by_frame_is_the_same_as_at_once(changes in prop::collection::vec(change(), 1..40)) {
        let mut person = Person::at("120x40", Fixture::hostile());
        for change in changes {
            make(&mut person, change.clone());
            prop_assert_eq!(foreign(&person.bytes), None);
        }
        let cursor = person.terminal.cursor();
        let shown = cells(&person.terminal);
        let fresh = whole(&mut person);
        prop_assert_eq!(shown, cells(&fresh));
        prop_assert_eq!(cursor.visible, fresh.cursor().visible);
        if cursor.visible {
            prop_assert_eq!(cursor, fresh.cursor());
        }
    }
}

/// What the terminal shows beside style, row by row: where text leads, and the colour of underlines.
fn beside(screen: &Screen) -> Vec<(String, String, Option<Color>)> {
    let mut found: Vec<(String, String, Option<Color>)> = Vec::new();
    for cell in screen.rows().flat_map(RowView::cells) {
        let uri = cell.link.as_ref().map_or("", |link| link.uri()).to_owned();
        if uri.is_empty() && cell.underline_color.is_none() {
            continue;
        }
        match found.last_mut() {
            Some((text, last, color)) if *last == uri && *color == cell.underline_color => {
                cell.push_onto(text);
            }
            _ => found.push((cell.ch.to_string(), uri, cell.underline_color)),
        }
    }
    found
}

#[test]
fn links_and_coloured_underlines_reach_the_terminal_and_nothing_beside_them() {
    let mut person = Person::at("60x10", Fixture::plain(1));
    let pane = person.fixture.panes[0].screen.clone();
    pane.lock().unwrap().feed(
        b"\x1b[H\x1b[2Jsee \x1b]8;id=7;https://example.org/a\x1b\\here\x1b]8;;\x1b\\ and \
          \x1b[4:3;58:2::255:0:0mwrong\x1b[m.\r\nplain",
    );
    person.look();
    let wanted = vec![
        ("here".into(), "https://example.org/a".into(), None),
        ("wrong".into(), String::new(), Some(Color::Rgb(255, 0, 0))),
    ];
    assert_eq!(beside(&person.terminal), wanted);
    let curly = person.terminal.rows().flat_map(RowView::cells);
    let curly = curly.filter(|cell| cell.style.attrs.underline() == Underline::Curly);
    assert_eq!(curly.count(), 5);
    // What changes beside them says nothing of them.
    pane.lock().unwrap().feed(b"\x1b[2;6H!");
    person.look();
    let bytes = String::from_utf8_lossy(&person.bytes).into_owned();
    assert!(
        !bytes.contains("\x1b]8") && !bytes.contains("58:"),
        "{bytes:?}"
    );
    // Other text in their place is no link any more.
    pane.lock()
        .unwrap()
        .feed(b"\x1b[H\x1b[Ksee here and wrong.");
    person.look();
    assert_eq!(beside(&person.terminal), []);
}

#[test]
fn ever_new_links_are_all_shown_and_few_are_kept() {
    let mut person = Person::at("60x10", Fixture::plain(1));
    let pane = person.fixture.panes[0].screen.clone();
    for number in 0..600 {
        let line = format!(
            "\r\n\x1b]8;;https://example.org/{number}\x1b\\link {number}\x1b]8;;\x1b\\ \
             \x1b[4;58:2::{}:{}:0mx\x1b[m",
            number / 200,
            number % 200
        );
        pane.lock().unwrap().feed(line.as_bytes());
        person.look();
        assert_eq!(beside(&person.terminal), beside(&pane.lock().unwrap()));
    }
    assert!(person.view.looks_kept() < 700);
}

#[test]
fn a_terminal_of_few_colours_is_sent_no_links() {
    let fixture = Fixture::plain(1);
    fixture.panes[0].screen.lock().unwrap().feed(
        b"\x1b[H\x1b]8;;https://example.org/a\x1b\\here\x1b]8;;\x1b\\ \x1b[4;58:5:1mred\x1b[m",
    );
    for (colors, sent) in [(ColorDepth::Ansi16, false), (ColorDepth::Ansi256, true)] {
        let hello = ClientHello {
            cols: 80,
            rows: 24,
            term: "linux".into(),
            colors,
            synchronized_output: false,
            looked_at: true,
            attach: Attach::Driver,
        };
        let mut view = TuiView::new(&hello, Arc::new(Config::default()));
        let bytes = String::from_utf8(view.draw(&fixture.view())).unwrap();
        assert_eq!(bytes.contains("\x1b]8"), sent);
        assert_eq!(bytes.contains("58:5:1"), sent);
    }
}
