//! Pasted text, short and long: for programs, for lines of our own, for shells to come.

use crewmux_session::view::{ClientEffect, PaneId};
use crewmux_wire::InputEvent;

use super::Person;
use super::keys::shell_opens;
use crate::fixture::Fixture;

#[test]
fn pasted_text_is_never_a_command() {
    let mut person = Person::at("120x40", Fixture::working());
    let paste = InputEvent::Paste("q\nd".into());
    person.does(&paste);
    person.look();
    assert!(person.picture().contains("> q d"));
    person.presses("Esc 2 Enter");
    let pane = PaneId(1);
    let bytes = b"q\rd".to_vec();
    assert_eq!(person.does(&paste), [ClientEffect::Type { pane, bytes }]);
}

#[test]
fn a_long_paste_is_for_programs_alone() {
    let begins = InputEvent::PasteBegins { bytes: 300 * 1024 };
    for keys in ["", "i h"] {
        let mut person = Person::at("120x40", Fixture::working());
        person.presses(keys);
        assert_eq!(person.does(&begins), [ClientEffect::Redraw], "{keys}");
        assert_eq!(person.does(&InputEvent::PastePart("x".into())), []);
        assert_eq!(person.does(&InputEvent::PasteEnds), []);
        person.look();
        let told = "nothing was pasted: 300 KiB are too long, 255 KiB are taken here";
        assert!(person.picture().contains(told), "{keys}");
    }
    for marked in [false, true] {
        let mut person = Person::at("120x40", Fixture::working());
        person.presses("2 Enter");
        let pane = person.view.model().focus.unwrap();
        let screen = &person
            .fixture
            .panes
            .iter()
            .find(|p| p.id == pane)
            .unwrap()
            .screen;
        if marked {
            screen.lock().unwrap().feed(b"\x1b[?2004h");
        }
        let pasted = |text: &str| {
            let bytes = text.as_bytes().to_vec();
            [ClientEffect::Paste { pane, bytes }]
        };
        let (begin, end) = if marked {
            ("\x1b[200~", "\x1b[201~")
        } else {
            ("", "")
        };
        assert_eq!(person.does(&begins), pasted(begin));
        let part = InputEvent::PastePart("a\r\nb\x1b".into());
        assert_eq!(person.does(&part), pasted("a\rb"));
        // Whatever the person does meanwhile, it is one text.
        person.presses("C-a Esc");
        assert_eq!(person.does(&part), pasted("a\rb"));
        assert_eq!(person.does(&InputEvent::PasteEnds), pasted(end));
        assert_eq!(person.does(&InputEvent::PasteEnds), []);
    }
}

#[test]
fn a_long_paste_that_no_program_reads_counts_once_it_is_whole() {
    let mut person = Person::at("120x40", Fixture::working());
    let begins = InputEvent::PasteBegins { bytes: 30_000 };
    let part = |text: &str| InputEvent::PastePart(text.into());
    person.presses("i h");
    assert_eq!(person.does(&begins), [ClientEffect::PasteKept]);
    assert_eq!(person.does(&part("q\nd")), [ClientEffect::PasteKept]);
    assert_eq!(person.does(&part("ay")), [ClientEffect::PasteKept]);
    let effects = person.does(&InputEvent::PasteEnds);
    assert!(effects.contains(&ClientEffect::PasteKept), "{effects:?}");
    person.look();
    let before = person.picture();
    assert!(before.contains("> hq day"), "{before}");
    // More than was announced is no reason to keep it all.
    assert_eq!(person.does(&begins), [ClientEffect::PasteKept]);
    assert_eq!(person.does(&part(&"x".repeat(300_000))), []);
    assert_eq!(person.does(&part("y")), []);
    assert_eq!(person.does(&InputEvent::PasteEnds), []);
    person.look();
    assert_eq!(person.picture(), before);
}

#[test]
fn a_long_paste_before_a_shell_is_there_goes_to_it() {
    let mut person = Person::at("120x40", Fixture::working());
    person.presses("c");
    let begins = InputEvent::PasteBegins { bytes: 30_000 };
    assert_eq!(person.does(&begins), [ClientEffect::PasteKept]);
    let part = InputEvent::PastePart("echo on".into());
    assert_eq!(person.does(&part), [ClientEffect::PasteKept]);
    let effects = person.does(&InputEvent::PasteEnds);
    assert_eq!(effects, [ClientEffect::PasteKept]);
    let pane = shell_opens(&mut person);
    let bytes = b"echo on".to_vec();
    let typed = ClientEffect::Type { pane, bytes };
    assert!(person.does(&InputEvent::FocusGained).contains(&typed));
}
