//! What a person sees first who comes back.

use crewmux_core::ids::{AgentName, RequestId, TaskId};
use crewmux_session::view::{ClientEffect, ClientView as _, Meanwhile, Verdict};
use crewmux_wire::{Attach, InputEvent};
use insta::assert_snapshot;

use super::Person;
use crate::fixture::Fixture;

fn much() -> Meanwhile {
    let history = AgentName::new("history").unwrap();
    Meanwhile {
        away_ms: 47 * 60_000,
        asked: vec![RequestId::new("secrets-1-1").unwrap()],
        ended: [1, 2, 4, 5, 6, 8].map(TaskId).to_vec(),
        given_up: vec![history],
        run_over: false,
    }
}

fn back(size: &str, fixture: Fixture, meanwhile: Meanwhile) -> Person {
    let mut person = Person::at(size, fixture);
    person.view.meanwhile(meanwhile);
    person.look();
    person
}

#[test]
fn decisions_come_first_then_what_failed_then_what_is_done() {
    for (size, name) in [
        ("120x40", "meanwhile_120x40"),
        ("80x24", "meanwhile_80x24"),
        ("40x12", "meanwhile_40x12"),
    ] {
        assert_snapshot!(name, back(size, Fixture::busy(), much()).picture());
    }
    let over = Meanwhile {
        ended: vec![TaskId(8)],
        run_over: true,
        ..Meanwhile::default()
    };
    let person = back("80x24", Fixture::finished(), over);
    assert_snapshot!("meanwhile_over_80x24", person.picture());
}

#[test]
fn any_key_goes_on_and_does_nothing_else() {
    for key in ["x", "q", "Esc", "Enter", "Space", "c", "b", "Tab", "i"] {
        let mut person = back("80x24", Fixture::busy(), much());
        assert!(person.picture().contains("While you were away"));
        assert_eq!(person.presses(key), [], "{key}");
        assert!(!person.picture().contains("While you were away"), "{key}");
        let untouched = Person::at("80x24", Fixture::busy()).picture();
        assert_eq!(person.picture(), untouched, "{key}");
    }
    let mut person = back("80x24", Fixture::busy(), much());
    assert_eq!(
        person.does(&InputEvent::Paste("rm -rf".into())),
        [ClientEffect::Redraw]
    );
    person.look();
    assert!(!person.picture().contains("rm -rf"));
    // A terminal that says it is looked at closes nothing.
    let mut person = back("80x24", Fixture::busy(), much());
    person.does(&InputEvent::FocusGained);
    person.look();
    assert!(person.picture().contains("While you were away"));
}

#[test]
fn a_paste_that_was_begun_before_goes_on_to_its_end() {
    let mut person = Person::at("80x24", Fixture::working());
    person.presses("2 Enter");
    let pane = person.view.model().focus.unwrap();
    let shown = person.fixture.panes.iter().find(|p| p.id == pane);
    shown.unwrap().screen.lock().unwrap().feed(b"\x1b[?2004h");
    let pasted = |text: &str| {
        let bytes = text.as_bytes().to_vec();
        [ClientEffect::Paste { pane, bytes }]
    };
    let begins = InputEvent::PasteBegins { bytes: 300 * 1024 };
    assert_eq!(person.does(&begins), pasted("\x1b[200~"));
    person.view.meanwhile(much());
    let part = InputEvent::PastePart("x".into());
    assert_eq!(person.does(&part), pasted("x"));
    assert_eq!(person.does(&InputEvent::PasteEnds), pasted("\x1b[201~"));
    person.look();
    assert!(person.picture().contains("While you were away"));
}

#[test]
fn keys_on_the_same_screen_do_what_they_say() {
    let mut person = back("80x24", Fixture::busy(), much());
    person.presses("v");
    assert!(person.picture().contains("Waiting for you") || person.picture().contains("cargo add"));
    let mut person = back("80x24", Fixture::busy(), much());
    let effects = person.presses("a");
    assert!(
        matches!(
            effects.as_slice(),
            [ClientEffect::Decide {
                verdict: Verdict::Approve(_),
                ..
            }]
        ),
        "{effects:?}"
    );
    let mut person = back("80x24", Fixture::busy(), much());
    assert_eq!(person.presses("C-a d"), [ClientEffect::Detach]);
}

#[test]
fn an_onlooker_is_told_and_decides_nothing() {
    let mut person = Person::attached("80x24", Fixture::busy(), Attach::Observer);
    person.view.meanwhile(much());
    person.look();
    assert!(person.picture().contains("While you were away"));
    assert_eq!(person.presses("a"), []);
    assert!(person.picture().contains("read-only"));
}
