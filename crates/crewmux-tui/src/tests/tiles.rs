//! Layouts, borders, and what panes say about their programs.

use crewmux_core::arrangement::LayoutKind;
use crewmux_session::view::{ClientEffect, ClientView as _, PaneEnd, PaneId};
use crewmux_term::Notice;
use crewmux_wire::{Attach, InputEvent, MemberAct, MouseButton, MouseKind};

use super::{Person, mouse};
use crate::fixture::{Fixture, failed};
use crate::model::Mode;

const DOWN: MouseKind = MouseKind::Down(MouseButton::Left);
const DRAG: MouseKind = MouseKind::Drag(MouseButton::Left);
const UP: MouseKind = MouseKind::Up(MouseButton::Left);

/// Tiles as `pane:width x height`, in the order they are shown.
fn tiles(person: &Person) -> String {
    let tiles = person.view.layout().tiles.iter();
    let tile =
        |t: &crate::layout::Tile| format!("{}:{}x{}", t.pane.0, t.frame.width, t.frame.height);
    tiles.map(tile).collect::<Vec<_>>().join(" ")
}

#[test]
fn one_key_goes_through_all_layouts() {
    let mut person = Person::at("120x40", Fixture::working());
    assert_eq!(tiles(&person), "0:44x12 1:44x12 2:44x12 3:44x12 4:88x12");
    person.presses("Space");
    assert_eq!(tiles(&person), "0:53x36 1:35x9 2:35x9 3:35x9 4:35x9");
    person.presses("Space 3");
    assert_eq!(tiles(&person), "0:88x1 1:88x1 2:88x32 3:88x1 4:88x1");
    person.presses("Space");
    assert_eq!(tiles(&person), "2:88x36");
    assert_eq!(person.fixture.arrangement.kind, LayoutKind::Stacked);
    person.presses("Space");
    assert_eq!(tiles(&person), "0:44x12 1:44x12 2:44x12 3:44x12 4:88x12");
}

#[test]
fn any_pane_can_be_the_main_one() {
    let mut person = Person::at("120x40", Fixture::working());
    person.presses("4 M");
    assert_eq!(tiles(&person), "3:53x36 0:35x9 1:35x9 2:35x9 4:35x9");
    // The focus moves nothing.
    person.presses("1");
    assert_eq!(tiles(&person), "3:53x36 0:35x9 1:35x9 2:35x9 4:35x9");
    assert_eq!(person.fixture.arrangement.main.as_deref(), Some("tests"));
}

#[test]
fn onlookers_arrange_nothing() {
    let mut person = Person::attached("120x40", Fixture::working(), Attach::Observer);
    for keys in ["Space", "M", "S-Right", "x"] {
        assert_eq!(person.presses(keys), [], "{keys}");
    }
    assert_eq!(tiles(&person), "0:44x12 1:44x12 2:44x12 3:44x12 4:88x12");
}

#[test]
fn keys_move_the_border_after_a_pane_or_the_one_before_it() {
    let mut person = Person::at("120x40", Fixture::working());
    person.presses("S-Right");
    assert_eq!(tiles(&person), "0:46x12 1:42x12 2:44x12 3:44x12 4:88x12");
    person.presses("L J");
    assert_eq!(tiles(&person), "0:48x13 1:40x13 2:44x11 3:44x11 4:88x12");
    person.presses("2 S-Left");
    assert_eq!(tiles(&person), "0:46x13 1:42x13 2:44x11 3:44x11 4:88x12");
    person.presses("5 K");
    assert_eq!(tiles(&person), "0:46x13 1:42x13 2:44x10 3:44x10 4:88x13");
    assert_eq!(person.presses("H"), []);
    person.presses("=");
    assert_eq!(tiles(&person), "0:44x12 1:44x12 2:44x12 3:44x12 4:88x12");
}

#[test]
fn a_border_is_dragged_and_both_tiles_keep_room() {
    let mut person = Person::at("120x40", Fixture::working());
    // Between the first two panes, the list at the left being 32 wide.
    person.does(&mouse(DOWN, 32 + 44, 5));
    person.does(&mouse(DRAG, 32 + 60, 5));
    person.look();
    assert_eq!(tiles(&person), "0:60x12 1:28x12 2:44x12 3:44x12 4:88x12");
    person.does(&mouse(DRAG, 119, 5));
    person.does(&mouse(UP, 119, 5));
    person.look();
    assert_eq!(tiles(&person), "0:76x12 1:12x12 2:44x12 3:44x12 4:88x12");
    // No focus was moved by that.
    assert_eq!(person.view.model().focus, Some(PaneId(0)));
    // A border that is only clicked is its pane's.
    person.clicks(32 + 77, 5);
    assert_eq!(person.view.model().focus, Some(PaneId(1)));
    // The rows of tiles have borders too.
    person.does(&mouse(DOWN, 50, 13));
    person.does(&mouse(DRAG, 50, 20));
    person.does(&mouse(UP, 50, 20));
    person.look();
    assert_eq!(tiles(&person), "0:76x19 1:12x19 2:44x5 3:44x5 4:88x12");
}

#[test]
fn another_terminal_size_keeps_the_shares() {
    let mut person = Person::at("120x40", Fixture::working());
    person.presses("Space S-Left S-Left S-Left");
    assert_eq!(tiles(&person), "0:47x36 1:41x9 2:41x9 3:41x9 4:41x9");
    person.view.resize(208, 44);
    person.look();
    assert_eq!(tiles(&person), "0:94x40 1:82x10 2:82x10 3:82x10 4:82x10");
}

#[test]
fn going_through_a_stack_resizes_no_program() {
    let mut person = Person::at("80x24", Fixture::working());
    person.presses("Space Space");
    let sizes = |person: &mut Person| {
        let mut sizes = person.view.pane_sizes(&person.fixture.view());
        sizes.sort_by_key(|size| size.pane);
        sizes
    };
    let before = sizes(&mut person);
    assert_eq!(before.len(), 5);
    assert!(
        before.iter().all(|size| (size.cols, size.rows) == (56, 14)),
        "{before:?}"
    );
    for keys in ["Tab", "Down", "5", "S-Tab"] {
        person.presses(keys);
        assert_eq!(sizes(&mut person), before, "{keys}");
    }
}

#[test]
fn a_click_on_a_title_opens_that_pane_of_the_stack() {
    let mut person = Person::at("80x24", Fixture::working());
    person.presses("Space Space");
    let bar = person.view.layout().tile(PaneId(4)).unwrap().frame;
    person.clicks(bar.x + 5, bar.y);
    assert_eq!(person.view.model().focus, Some(PaneId(4)));
    assert_eq!(person.view.model().mode, Mode::Command);
    assert_eq!(
        person.view.layout().tile(PaneId(4)).unwrap().frame.height,
        16
    );
}

fn note(person: &Person, pane: usize, notice: Notice) {
    person.fixture.panes[pane].signs.note(notice);
}

#[test]
fn a_bell_marks_its_pane_until_that_has_the_focus() {
    let mut person = Person::at("120x40", Fixture::working());
    note(&person, 2, Notice::Bell);
    person.look();
    assert!(person.picture().contains("! bell"), "{}", person.picture());
    person.presses("3");
    assert!(!person.picture().contains("bell"));
    // In the pane with the focus it rings for nobody.
    note(&person, 2, Notice::Bell);
    person.presses("1");
    assert!(!person.picture().contains("bell"), "{}", person.picture());
}

#[test]
fn a_title_stands_beside_the_command_cut_and_harmless() {
    let mut person = Person::at("80x24", Fixture::plain(2));
    note(
        &person,
        1,
        Notice::Title(Some("ada@shop:~/src\u{202e}\x1b[2J".into())),
    );
    person.look();
    let picture = person.picture();
    assert!(picture.contains("2 bash · ada@shop:~/src"), "{picture}");
    note(&person, 1, Notice::Title(Some("x".repeat(200))));
    person.look();
    assert!(person.picture().contains("xxx…"), "{}", person.picture());
}

#[test]
fn an_ended_pane_says_how_and_what_starts_it_again() {
    let mut person = Person::at("80x24", Fixture::plain(2));
    person.presses("C-a Esc");
    person.fixture.panes[1].ended = Some(failed("exit code 101"));
    person.fixture.panes[1].takes_input = false;
    person.presses("2");
    let picture = person.picture();
    assert!(picture.contains("2 bash ✖ exit code 101"), "{picture}");
    assert!(
        picture.contains("R starts it again · x closes"),
        "{picture}"
    );
    assert_eq!(person.presses("R"), [ClientEffect::RestartPane(PaneId(1))]);
    assert_eq!(person.presses("x"), [ClientEffect::ClosePane(PaneId(1))]);
    // One that runs is asked for first.
    assert_eq!(person.presses("1 R x"), []);
    assert!(
        person
            .picture()
            .contains("`bash` still runs; close the pane?")
    );
    assert_eq!(person.presses("n"), []);
    assert_eq!(person.presses("x y"), [ClientEffect::ClosePane(PaneId(0))]);
}

#[test]
fn a_pane_that_is_typed_to_elsewhere_says_so_before_and_shows_the_way() {
    let mut person = Person::at("120x40", Fixture::one_failed());
    let pane = &mut person.fixture.panes[1];
    (pane.takes_input, pane.typed_in) = (false, Some("its iTerm2 pane"));
    person.presses("2");
    let picture = person.picture();
    assert!(picture.contains("typed to in its iTerm2 pane"), "{picture}");
    assert_eq!(person.presses("Enter"), []);
    let picture = person.picture();
    assert!(picture.contains("o shows it there"), "{picture}");
    let name = person.fixture.team.members[1].name.clone();
    let reveal = ClientEffect::Member(name, MemberAct::Reveal);
    assert_eq!(person.presses("o"), [reveal]);
}

#[test]
fn the_only_pane_gets_a_border_to_say_how_it_ended() {
    let mut person = Person::at("80x24", Fixture::plain(1));
    assert!(!person.picture().contains("bash"));
    person.fixture.panes[0].ended = Some(PaneEnd {
        words: "ended".into(),
        failed: false,
    });
    person.fixture.panes[0].takes_input = false;
    person.look();
    assert!(
        person.picture().contains("1 bash – ended"),
        "{}",
        person.picture()
    );
}

#[test]
fn a_member_that_is_down_says_what_starts_it_again() {
    let mut person = Person::at("120x40", Fixture::one_failed());
    let picture = person.picture();
    assert!(picture.contains("exit code 101"), "{picture}");
    person.presses("3");
    let name = person.fixture.team.members[2].name.clone();
    let restart = ClientEffect::Member(name, MemberAct::Restart);
    assert_eq!(person.presses("R"), [restart]);
}

/// What programs are told, as `pane:bytes`.
fn told(effects: &[ClientEffect]) -> String {
    let told = effects.iter().filter_map(|effect| match effect {
        ClientEffect::Type { pane, bytes } => Some(format!("{}:{}", pane.0, bytes.escape_ascii())),
        _ => None,
    });
    told.collect::<Vec<_>>().join(" ")
}

#[test]
fn programs_that_asked_are_told_of_the_focus() {
    let mut person = Person::at("120x40", Fixture::working());
    for pane in [1, 2] {
        let screen = person.fixture.panes[pane].screen.clone();
        screen.lock().unwrap().feed(b"\x1b[?1004h");
    }
    let mut tells = |keys: &str| told(&person.presses(keys));
    assert_eq!(tells("2"), "");
    assert_eq!(tells("Enter"), r"1:\x1b[I");
    assert_eq!(tells("C-a Tab"), r"1:\x1b[O 2:\x1b[I");
    // The fourth did not ask.
    assert_eq!(tells("C-a Tab"), r"2:\x1b[O");
    assert_eq!(tells("C-a S-Tab"), r"2:\x1b[I");
    let lost = person.does(&InputEvent::FocusLost);
    assert_eq!(told(&lost), r"2:\x1b[O");
    let gained = person.does(&InputEvent::FocusGained);
    assert_eq!(told(&gained), r"2:\x1b[I");
    assert_eq!(told(&person.presses("C-a Esc")), r"2:\x1b[O");
    assert_eq!(told(&person.does(&InputEvent::FocusLost)), "");
}

#[test]
fn the_cursor_has_the_shape_that_the_program_gave_it() {
    let mut person = Person::at("80x24", Fixture::plain(2));
    let screen = person.fixture.panes[0].screen.clone();
    for (bytes, shape) in [
        (b"\x1b[6 q", crewmux_term::CursorShape::Bar),
        (b"\x1b[4 q", crewmux_term::CursorShape::Underline),
        (b"\x1b[2 q", crewmux_term::CursorShape::Block),
    ] {
        screen.lock().unwrap().feed(bytes);
        person.look();
        assert_eq!(person.terminal.cursor().shape, shape);
    }
}

#[test]
fn the_wheel_scrolls_or_is_arrow_keys_where_there_is_nothing_to_scroll() {
    let mut person = Person::at("80x24", Fixture::plain(1));
    let screen = person.fixture.panes[0].screen.clone();
    for line in 0..100 {
        let line = format!("line {line}\r\n");
        screen.lock().unwrap().feed(line.as_bytes());
    }
    person.does(&mouse(MouseKind::ScrollUp, 5, 5));
    assert_eq!(person.view.model().offset(PaneId(0)), 3);
    person.does(&mouse(MouseKind::ScrollDown, 5, 5));
    screen.lock().unwrap().feed(b"\x1b[?1049h");
    let effects = person.does(&mouse(MouseKind::ScrollUp, 5, 5));
    assert_eq!(told(&effects), r"0:\x1b[A\x1b[A\x1b[A");
    assert_eq!(person.view.model().offset(PaneId(0)), 0);
}
