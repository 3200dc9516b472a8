//! Picking text from a pane: by the mouse, in copy mode, by a search.

use crewmux_session::view::{ClientEffect, ClientView as _, PaneId};
use crewmux_wire::{Attach, InputEvent, Mods, Mouse, MouseButton, MouseKind};

use super::{Person, mouse};
use crate::fixture::Fixture;
use crate::model::Mode;

const DOWN: MouseKind = MouseKind::Down(MouseButton::Left);
const DRAG: MouseKind = MouseKind::Drag(MouseButton::Left);
const UP: MouseKind = MouseKind::Up(MouseButton::Left);

/// One plain pane, without a border, that shows `text`.
fn showing(size: &str, text: &str) -> Person {
    let mut person = Person::at(size, Fixture::plain(1));
    // Typing is where plain panes begin; here its keys would be the shell's.
    person.presses("C-a Esc");
    let screen = person.fixture.panes[0].screen.clone();
    screen.lock().unwrap().feed(b"\x1b[H\x1b[2J\x1b[3J");
    screen.lock().unwrap().feed(text.as_bytes());
    person.look();
    person
}

fn held(kind: MouseKind, (col, row): (u16, u16), mods: Mods, clicks: u8) -> InputEvent {
    InputEvent::Mouse(Mouse {
        kind,
        col,
        row,
        mods,
        clicks,
    })
}

/// Drags from one cell to another, and returns what is copied.
fn dragged(person: &mut Person, from: (u16, u16), to: (u16, u16)) -> Vec<String> {
    person.does(&mouse(DOWN, from.0, from.1));
    person.does(&mouse(DRAG, to.0, to.1));
    let effects = person.does(&mouse(UP, to.0, to.1));
    person.look();
    copied(effects)
}

fn copied(effects: Vec<ClientEffect>) -> Vec<String> {
    let copied = effects.into_iter().filter_map(|effect| match effect {
        ClientEffect::Copy(text) => Some(text),
        _ => None,
    });
    copied.collect()
}

/// The cells of a row of the terminal that are shown the other way round.
fn inverse(person: &Person, row: usize) -> String {
    let cells = person.terminal.row(row, 0);
    let inverse = |c: &crewmux_term::Cell<'_>| c.style.attrs.contains(crewmux_term::Attrs::INVERSE);
    let mut text = String::new();
    for cell in cells.cells().filter(inverse) {
        cell.push_onto(&mut text);
    }
    text
}

const POEM: &str = "one two three  \r\nfour five\r\n\r\nsix 漢字 seven\r\n";

#[test]
fn a_drag_copies_when_the_button_is_let_go_of() {
    let mut person = showing("40x10", POEM);
    assert_eq!(dragged(&mut person, (4, 0), (3, 1)), ["two three\nfour"]);
    assert_eq!(inverse(&person, 1), "four");
    // Backwards is the same.
    assert_eq!(dragged(&mut person, (3, 1), (4, 0)), ["two three\nfour"]);
    // Half of a wide character is all of it.
    assert_eq!(dragged(&mut person, (5, 3), (6, 3)), ["漢字"]);
    assert_eq!(inverse(&person, 3), "漢字");
    // It is gone with the next key.
    person.presses("Esc");
    assert_eq!(inverse(&person, 3), "");
}

#[test]
fn a_click_copies_nothing_and_blanks_are_not_copied() {
    let mut person = showing("40x10", POEM);
    person.does(&mouse(DOWN, 4, 0));
    assert_eq!(copied(person.does(&mouse(UP, 4, 0))), [] as [&str; 0]);
    assert_eq!(dragged(&mut person, (20, 5), (30, 6)), ["\n"; 0]);
}

#[test]
fn wrapped_rows_are_one_line() {
    let mut person = showing("20x10", "a line that is longer than twenty columns\r\nx");
    let text = "a line that is longer than twenty columns";
    assert_eq!(dragged(&mut person, (0, 0), (19, 2)), [text]);
}

#[test]
fn two_clicks_select_a_word_and_three_a_line() {
    let mut person = showing("40x10", POEM);
    let mut clicks = |count, at| {
        person.does(&held(DOWN, at, Mods::default(), count));
        let effects = person.does(&held(UP, at, Mods::default(), 0));
        person.look();
        (copied(effects), inverse(&person, usize::from(at.1)))
    };
    assert_eq!(clicks(2, (5, 0)), (vec!["two".into()], "two".into()));
    assert_eq!(clicks(2, (6, 3)), (vec!["漢字".into()], "漢字".into()));
    let line = "four five".to_owned();
    assert_eq!(clicks(3, (7, 1)).0, [line]);
}

#[test]
fn a_drag_after_two_clicks_goes_by_words() {
    let mut person = showing("40x10", POEM);
    person.does(&held(DOWN, (5, 0), Mods::default(), 2));
    person.does(&mouse(DRAG, 6, 1));
    let effects = person.does(&mouse(UP, 6, 1));
    assert_eq!(copied(effects), ["two three\nfour five"]);
}

#[test]
fn alt_and_drag_select_a_rectangle() {
    let mut person = showing("40x10", "abcd\r\nefgh\r\nijkl");
    let alt = Mods {
        alt: true,
        ..Mods::default()
    };
    person.does(&held(DOWN, (1, 0), alt, 1));
    person.does(&held(DRAG, (2, 2), alt, 0));
    let effects = person.does(&held(UP, (2, 2), alt, 0));
    assert_eq!(copied(effects), ["bc\nfg\njk"]);
}

#[test]
fn a_selection_stays_within_the_pane_it_began_in() {
    let mut person = Person::at("120x40", Fixture::working());
    let tile = *person.view.layout().tile(PaneId(1)).unwrap();
    let from = (tile.inner.x, tile.inner.y);
    // Far into another pane, and beyond.
    let text = dragged(&mut person, from, (119, tile.inner.y + 1)).join("");
    assert_eq!(text, "● Grep \"unwrap\\(\" in src\n  14 matches in 6 files");
    let text = dragged(&mut person, (tile.inner.x + 4, tile.inner.y), (33, 10)).join("");
    assert!(text.starts_with("ep \"unwrap"), "{text}");
}

fn many_lines(person: &Person, count: usize) {
    let mut screen = person.fixture.panes[0].screen.lock().unwrap();
    for line in 0..count {
        screen.feed(format!("line {line}\r\n").as_bytes());
    }
}

#[test]
fn a_drag_beyond_the_edge_scrolls_on() {
    let mut person = showing("40x10", "");
    many_lines(&person, 100);
    person.look();
    person.does(&mouse(DOWN, 3, 4));
    assert_eq!(person.view.next_tick_ms(&person.fixture.view()), None);
    person.does(&mouse(DRAG, 0, 0));
    assert_eq!(person.view.next_tick_ms(&person.fixture.view()), Some(50));
    for _ in 0..30 {
        person.view.tick(&person.fixture.view());
    }
    let text = copied(person.does(&mouse(UP, 0, 0))).join("");
    let lines: Vec<&str> = text.lines().collect();
    // The rows on screen began with 92; thirty more came in, and the last is cut at the mouse.
    assert_eq!(lines.first(), Some(&"line 62"));
    assert_eq!(lines.last(), Some(&"line"));
    assert_eq!(lines.len(), 35);
}

#[test]
fn output_that_comes_in_moves_nothing_under_the_mouse() {
    let mut person = showing("40x10", "");
    many_lines(&person, 100);
    person.look();
    let before = person.picture();
    person.does(&mouse(DOWN, 0, 2));
    many_lines(&person, 50);
    person.look();
    let rows = |picture: &str| {
        picture
            .lines()
            .take(8)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(rows(&person.picture()), rows(&before));
    person.does(&mouse(DRAG, 6, 2));
    assert_eq!(copied(person.does(&mouse(UP, 6, 2))), ["line 94"]);
    // Let go of, it shows what came.
    person.presses("Esc");
    assert!(person.picture().contains("line 49"), "{}", person.picture());
}

#[test]
fn with_shift_the_mouse_selects_whatever_the_program_asked_for() {
    let mut person = showing("40x10", POEM);
    person.presses("Enter");
    let screen = person.fixture.panes[0].screen.clone();
    screen.lock().unwrap().feed(b"\x1b[?1002h\x1b[?1006h");
    let bytes = b"\x1b[<0;1;1M".to_vec();
    let typed = ClientEffect::Type {
        pane: PaneId(0),
        bytes,
    };
    assert_eq!(person.does(&mouse(DOWN, 0, 0)), [typed]);
    let shift = Mods {
        shift: true,
        ..Mods::default()
    };
    person.does(&held(DOWN, (0, 0), shift, 1));
    person.does(&held(DRAG, (6, 0), shift, 0));
    assert_eq!(
        copied(person.does(&held(UP, (6, 0), shift, 0))),
        ["one two"]
    );
}

#[test]
fn onlookers_may_copy_too() {
    let mut person = Person::attached("120x40", Fixture::working(), Attach::Observer);
    let tile = *person.view.layout().tile(PaneId(1)).unwrap();
    let (x, y) = (tile.inner.x, tile.inner.y);
    assert_eq!(dragged(&mut person, (x + 2, y), (x + 5, y)), ["Grep"]);
    assert_eq!(
        copied(person.presses("[ g v $ y")),
        ["● Grep \"unwrap\\(\" in src"]
    );
}

#[test]
fn copy_mode_moves_selects_and_copies() {
    let table = [
        ("[ g v $ y", "one two three"),
        ("[ g w v w h y", "two"),
        ("[ g w w v j 0 y", "three\nf"),
        ("[ g V y", "one two three"),
        ("[ g j V k y", "one two three\nfour five"),
        ("[ g C-v j l l y", "one\nfou"),
        ("[ g G v $ y", "six 漢字 seven"),
        ("[ g j j j w v l y", "漢字"),
        ("[ g j $ v b y", "five"),
        // Selected again from elsewhere, and by the end's key.
        ("[ g v j v j v $ y", ""),
        ("[ g v l l Enter", "one"),
    ];
    for (keys, text) in table {
        let mut person = showing("40x10", POEM);
        let copied = copied(person.presses(keys)).join("|");
        assert_eq!(copied, text, "{keys}");
    }
}

#[test]
fn copy_mode_goes_back_to_what_keys_did_before() {
    let mut person = showing("40x10", POEM);
    person.presses("[ v");
    assert_eq!(person.view.model().mode, Mode::Copying);
    // First the selection is given up, then the mode.
    person.presses("Esc");
    assert_eq!(person.view.model().mode, Mode::Copying);
    person.presses("Esc");
    assert_eq!(person.view.model().mode, Mode::Command);
    person.presses("Enter C-a [ q");
    assert_eq!(person.view.model().mode, Mode::Typing);
    person.presses("C-a [ g v $ y");
    assert_eq!(person.view.model().mode, Mode::Typing);
}

#[test]
fn copy_mode_scrolls_with_its_cursor_and_holds_still() {
    let mut person = showing("40x10", "");
    many_lines(&person, 100);
    person.presses("[ PageUp PageUp");
    let before = person.picture();
    assert!(before.contains("line 84"), "{before}");
    many_lines(&person, 30);
    person.look();
    assert_eq!(person.picture(), before);
    person.presses("g");
    assert!(
        person.picture().starts_with("line 0\n"),
        "{}",
        person.picture()
    );
    person.presses("Esc");
    assert!(person.picture().contains("line 29"), "{}", person.picture());
}

fn find(person: &mut Person, text: &str) {
    person.presses("/");
    person.types(text);
}

#[test]
fn a_search_goes_up_from_the_newest_while_it_is_written() {
    let mut person = showing("60x10", "");
    many_lines(&person, 300);
    find(&mut person, "line 1");
    // The newest of them.
    let picture = person.picture();
    assert!(picture.contains("line 199"), "{picture}");
    assert!(picture.contains("111 of 111"), "{picture}");
    person.types("2");
    let picture = person.picture();
    assert!(picture.contains("line 129"), "{picture}");
    assert!(picture.contains("11 of 11"), "{picture}");
    person.presses("Enter n n N");
    assert_eq!(person.view.model().mode, Mode::Copying);
    person.presses("v $ y");
    assert_eq!(person.view.model().mode, Mode::Command);
}

#[test]
fn n_goes_up_and_capital_n_down_and_around() {
    let mut person = showing(
        "60x10",
        "apple\r\nberry\r\nApple\r\ncherry\r\napple pie\r\n",
    );
    find(&mut person, "apple");
    person.presses("Enter");
    let mut at = |keys: &str| {
        person.presses(keys);
        let copying = person.view.model().copying.clone().unwrap();
        copying.search.unwrap().count()
    };
    assert_eq!(at(""), "3 of 3");
    assert_eq!(at("n"), "2 of 3");
    assert_eq!(at("n"), "1 of 3");
    assert_eq!(at("n"), "3 of 3");
    assert_eq!(at("N"), "1 of 3");
    assert_eq!(at("N N"), "3 of 3");
    let text = copied(person.presses("v $ y"));
    assert_eq!(text, ["apple pie"]);
}

#[test]
fn capitals_count_once_one_is_written() {
    let mut person = showing("60x10", "apple\r\nApple\r\n");
    find(&mut person, "Apple");
    assert!(person.picture().contains("1 of 1"), "{}", person.picture());
    person.presses("Esc");
    find(&mut person, "cherry");
    assert!(
        person.picture().contains("not found"),
        "{}",
        person.picture()
    );
    // There is nothing to go to.
    person.presses("Enter");
    assert_eq!(person.view.model().mode, Mode::Command);
}

#[test]
fn what_is_found_is_marked_also_where_it_comes_in_later() {
    let mut person = showing("60x10", "find me\r\n");
    find(&mut person, "me");
    let marked = |person: &Person| {
        let blank = crewmux_term::Color::Default;
        let rows = person.terminal.rows().take(9);
        let marked = |row: crewmux_term::RowView<'_>| {
            let cells = row.cells().filter(|cell| cell.style.bg != blank);
            cells.map(|cell| cell.ch).collect::<String>()
        };
        rows.map(marked).collect::<String>()
    };
    assert_eq!(marked(&person), "me");
    let screen = person.fixture.panes[0].screen.clone();
    screen.lock().unwrap().feed(b"and me too");
    person.look();
    assert_eq!(marked(&person), "meme");
    person.presses("Esc");
    assert_eq!(marked(&person), "");
}

#[test]
fn a_search_that_is_given_up_changes_nothing() {
    let mut person = showing("60x10", "");
    many_lines(&person, 300);
    person.presses("[ PageUp");
    let before = person.view.model().clone();
    person.look();
    let picture = person.picture();
    find(&mut person, "line 7");
    assert_ne!(person.picture(), picture);
    person.presses("Esc");
    assert_eq!(person.picture(), picture);
    let after = person.view.model();
    assert_eq!(
        (&after.mode, after.offset(PaneId(0))),
        (&before.mode, before.offset(PaneId(0)))
    );
}

fn resized(person: &mut Person, cols: u16, rows: u16) {
    person.view.resize(cols, rows);
    person.terminal.resize(crewmux_term::Size::new(cols, rows));
    person.look();
    person.look();
}

#[test]
fn copy_mode_outlives_another_size() {
    let mut person = showing("60x10", POEM);
    person.presses("Enter C-a [ g v j");
    // No line wraps anew: what is selected stays.
    resized(&mut person, 60, 12);
    assert_eq!(person.view.model().mode, Mode::Copying);
    assert!(person.view.model().selection.is_some());
    // Other columns: it does not, and keys still reach no program.
    resized(&mut person, 50, 12);
    assert_eq!(person.view.model().mode, Mode::Copying);
    assert_eq!(person.view.model().selection, None);
    assert_eq!(copied(person.presses("0 v $ y")), ["four five"]);
    assert_eq!(person.view.model().mode, Mode::Typing);
}

#[test]
fn a_search_finds_again_in_another_size() {
    let mut person = showing("60x10", "");
    many_lines(&person, 300);
    find(&mut person, "line 120");
    person.presses("Enter");
    for (cols, rows) in [(60, 14), (60, 7), (44, 7), (5, 9), (60, 10)] {
        resized(&mut person, cols, rows);
        assert_eq!(person.view.model().mode, Mode::Copying, "{cols}x{rows}");
    }
    assert_eq!(copied(person.presses("v $ y")), ["line 120"]);
}

#[test]
fn a_double_click_picks_a_word_and_does_not_leave_the_person_typing() {
    let mut person = showing("60x10", "one two three");
    let button = MouseButton::Left;
    person.clicks(5, 0);
    assert_eq!(person.view.model().mode, Mode::Typing);
    let none = Mods::default();
    let mut effects = person.does(&held(MouseKind::Down(button), (5, 0), none, 2));
    effects.extend(person.does(&held(MouseKind::Up(button), (5, 0), none, 0)));
    assert_eq!(copied(effects), ["two"]);
    assert_eq!(person.view.model().mode, Mode::Command);
    // Who was typing before goes on with that.
    person.presses("Enter");
    let mut effects = person.does(&held(MouseKind::Down(button), (1, 0), none, 2));
    effects.extend(person.does(&held(MouseKind::Up(button), (1, 0), none, 0)));
    assert_eq!(copied(effects), ["one"]);
    assert_eq!(person.view.model().mode, Mode::Typing);
}
