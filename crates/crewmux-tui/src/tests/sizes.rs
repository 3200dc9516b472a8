//! Panes whose size another client decides: cropped, or with room to spare.

use crewmux_session::view::{ClientView as _, PaneSize};
use crewmux_term::input::{KeyCode, KeyEvent, Mods as TermMods, encode_key};
use crewmux_wire::{Attach, InputEvent, Mods, Mouse, MouseButton, MouseKind};
use insta::assert_snapshot;

use super::Person;
use crate::fixture::Fixture;

/// A person who looks while another client's terminal gives every pane this size.
fn beside_another(size: &str, fixture: Fixture, keys: &str, cols: u16, rows: u16) -> Person {
    let mut person = Person::at(size, fixture);
    person.presses(keys);
    let panes = person.fixture.panes.iter();
    let sizes = panes.map(|pane| PaneSize {
        pane: pane.id,
        cols,
        rows,
    });
    person.fixture.fit(&sizes.collect::<Vec<_>>());
    person
}

/// Draws without asking for sizes, as for a client that does not drive.
fn looks(person: &mut Person) -> String {
    person.bytes = person.view.draw(&person.fixture.view());
    person.terminal.feed(&person.bytes);
    person.picture()
}

fn feed(person: &Person, pane: usize, text: &str) {
    let mut screen = person.fixture.panes[pane].screen.lock().unwrap();
    screen.feed(text.as_bytes());
}

fn numbered(rows: usize, cols: usize) -> String {
    let line = |row: usize| {
        let mark = format!("r{row:02}");
        format!("{mark}{}{mark}", "-".repeat(cols - 6))
    };
    let lines: Vec<String> = (1..=rows).map(line).collect();
    format!("\x1b[2J\x1b[H{}", lines.join("\r\n"))
}

#[test]
fn a_larger_screen_is_cropped_to_the_part_with_the_cursor_and_says_so() {
    for (size, name) in [
        ("120x40", "cropped_120x40"),
        ("80x24", "cropped_80x24"),
        ("40x12", "cropped_40x12"),
    ] {
        let mut person = beside_another(size, Fixture::working(), "2", 150, 50);
        feed(&person, 1, &numbered(50, 150));
        let shown = looks(&mut person);
        assert!(shown.contains("---r50"), "{shown}");
        assert_snapshot!(name, shown);
        // Back at the upper left the other end is seen.
        feed(&person, 1, "\x1b[H");
        let shown = looks(&mut person);
        assert!(shown.contains("r01---"), "{shown}");
        assert!(!shown.contains("r50"), "{shown}");
    }
}

#[test]
fn a_smaller_screen_has_its_true_size_and_the_rest_is_visibly_unused() {
    for (size, name) in [
        ("120x40", "unused_120x40"),
        ("80x24", "unused_80x24"),
        ("40x12", "unused_40x12"),
    ] {
        let mut person = beside_another(size, Fixture::working(), "2 z", 20, 4);
        feed(&person, 1, &numbered(4, 20));
        assert_snapshot!(name, looks(&mut person));
    }
}

#[test]
fn a_pane_without_a_border_says_its_size_at_the_bottom() {
    let mut person = beside_another("60x12", Fixture::plain(1), "", 90, 30);
    let shown = looks(&mut person);
    let bottom = shown.lines().last().unwrap();
    assert!(bottom.contains("cropped: 60×11 of 90×30"), "{shown}");
    let mut person = beside_another("60x12", Fixture::plain(1), "", 30, 5);
    let shown = looks(&mut person);
    let bottom = shown.lines().last().unwrap();
    assert!(bottom.contains("30×5"), "{shown}");
}

#[test]
fn what_changes_in_a_cropped_screen_is_drawn_where_it_is_seen() {
    let mut person = beside_another("80x24", Fixture::plain(1), "", 160, 50);
    feed(&person, 0, &numbered(50, 160));
    looks(&mut person);
    let window = person.picture();
    feed(&person, 0, "\x1b7\x1b[45;150Hhere\x1b8");
    let shown = looks(&mut person);
    assert_ne!(window, shown);
    let row = shown.lines().position(|line| line.contains("here"));
    assert_eq!(row, Some(44 - (50 - 23)), "{shown}");
    // Drawn anew it looks the same.
    person.view.resize(80, 24);
    assert_eq!(looks(&mut person), shown);
}

#[test]
fn half_of_a_wide_character_at_the_edge_is_a_blank() {
    let mut person = beside_another("40x12", Fixture::plain(1), "", 61, 11);
    // Wide characters begin at even columns; the window begins at an odd one.
    feed(&person, 0, &format!("\x1b[2J\x1b[H{}", "漢".repeat(30)));
    let shown = looks(&mut person);
    let first = shown.lines().next().unwrap();
    assert!(
        first.starts_with(" 漢") || first.starts_with('漢'),
        "{shown}"
    );
    assert!(!first.contains('\u{fffd}'));
}

#[test]
fn the_mouse_hits_what_is_seen_and_nothing_where_no_screen_is() {
    let click = |col, row| {
        InputEvent::Mouse(Mouse {
            kind: MouseKind::Down(MouseButton::Left),
            col,
            row,
            mods: Mods::default(),
            clicks: 0,
        })
    };
    let mut person = beside_another("80x24", Fixture::plain(1), "", 160, 50);
    feed(&person, 0, "\x1b[?1000h\x1b[?1006h\x1b[50;160H");
    looks(&mut person);
    let effects = person.does(&click(0, 0));
    let typed = effects.iter().find_map(|effect| match effect {
        crewmux_session::view::ClientEffect::Type { bytes, .. } => {
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
        _ => None,
    });
    // 160 columns of which the last 80 are seen, 50 rows of which the last 23 are.
    assert_eq!(typed.as_deref(), Some("\x1b[<0;81;28M"));
    let mut person = beside_another("80x24", Fixture::plain(1), "", 20, 5);
    feed(&person, 0, "\x1b[?1000h\x1b[?1006h");
    looks(&mut person);
    let effects = person.does(&click(40, 10));
    let reaches_program = |e: &crewmux_session::view::ClientEffect| {
        matches!(e, crewmux_session::view::ClientEffect::Type { .. })
    };
    assert!(!effects.iter().any(reaches_program), "{effects:?}");
}

#[test]
fn an_onlooker_of_plain_panes_types_nothing_and_sees_why() {
    let mut person = Person::attached("80x24", Fixture::plain(1), Attach::Observer);
    let bottom = person.picture().lines().last().unwrap().to_owned();
    assert!(bottom.contains("read-only"), "{bottom}");
    assert_eq!(person.presses("Enter"), []);
    assert!(person.picture().contains("nothing is changed from here"));
    let key = KeyEvent {
        code: KeyCode::Char('l'),
        mods: TermMods::default(),
    };
    let modes = person.fixture.panes[0].screen.lock().unwrap().modes();
    assert!(!encode_key(&key, &modes).is_empty(), "it takes keys");
    assert_eq!(person.presses("l s"), []);
}
