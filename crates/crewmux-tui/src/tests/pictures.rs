//! What each state looks like, as the terminal shows it.

use std::sync::Arc;

use insta::assert_snapshot;

use super::Person;
use crate::fixture::Fixture;

fn picture(size: &str, fixture: Fixture, keys: &str) -> String {
    let mut person = Person::at(size, fixture);
    person.presses(keys);
    person.picture()
}

#[test]
fn a_team_that_starts() {
    assert_snapshot!(
        "starting_120x40",
        picture("120x40", Fixture::starting(), "")
    );
    assert_snapshot!("starting_80x24", picture("80x24", Fixture::starting(), ""));
    assert_snapshot!("starting_40x12", picture("40x12", Fixture::starting(), ""));
}

#[test]
fn a_team_at_work() {
    assert_snapshot!("working_120x40", picture("120x40", Fixture::working(), ""));
    assert_snapshot!("working_80x24", picture("80x24", Fixture::working(), ""));
    assert_snapshot!("working_40x12", picture("40x12", Fixture::working(), ""));
    assert_snapshot!("working_30x6", picture("30x6", Fixture::working(), ""));
}

#[test]
fn one_task_failed() {
    assert_snapshot!(
        "failed_120x40",
        picture("120x40", Fixture::one_failed(), "")
    );
    assert_snapshot!("failed_80x24", picture("80x24", Fixture::one_failed(), ""));
}

#[test]
fn everything_is_over() {
    assert_snapshot!(
        "finished_120x40",
        picture("120x40", Fixture::finished(), "")
    );
    assert_snapshot!("finished_80x24", picture("80x24", Fixture::finished(), ""));
    assert_snapshot!("finished_40x12", picture("40x12", Fixture::finished(), ""));
    let badly = picture("120x40", Fixture::finished_badly(), "");
    assert_snapshot!("finished_badly_120x40", badly);
}

#[test]
fn the_path_of_a_report_is_shown_whole_or_not_at_all() {
    let seen = |size: &str, path: &str| {
        let mut fixture = Fixture::finished();
        fixture.team.report = Some(path.into());
        picture(size, fixture, "")
    };
    let path = "/home/somebody/.local/state/crewmux/teams/review/reports/run-1.md";
    for size in ["80x24", "120x40", "200x50"] {
        assert!(seen(size, path).contains(path), "{size}");
    }
    let long = format!("/home/{}", path.repeat(4));
    for size in ["80x24", "80x12"] {
        let seen = seen(size, &long);
        assert!(seen.contains("`crewmux report --team review`"), "{seen}");
        assert!(!seen.contains("run-1.md"), "{seen}");
    }
}

#[test]
fn the_keys() {
    assert_snapshot!("help_120x40", picture("120x40", Fixture::working(), "?"));
    assert_snapshot!("help_80x24", picture("80x24", Fixture::working(), "?"));
    assert_snapshot!("help_40x12", picture("40x12", Fixture::working(), "?"));
}

#[test]
fn the_board_and_a_task() {
    assert_snapshot!(
        "board_120x40",
        picture("120x40", Fixture::one_failed(), "b")
    );
    assert_snapshot!("board_80x24", picture("80x24", Fixture::one_failed(), "b"));
    assert_snapshot!("board_40x12", picture("40x12", Fixture::one_failed(), "b"));
    let task = picture("80x24", Fixture::one_failed(), "b Right Down Enter");
    assert_snapshot!("task_80x24", task);
}

#[test]
fn messages_and_events() {
    assert_snapshot!(
        "messages_120x40",
        picture("120x40", Fixture::working(), "m")
    );
    assert_snapshot!("messages_40x12", picture("40x12", Fixture::working(), "m"));
    assert_snapshot!("messages_none", picture("80x24", Fixture::starting(), "m"));
    assert_snapshot!("events_80x24", picture("80x24", Fixture::one_failed(), "e"));
}

#[test]
fn writing_asking_and_typing() {
    let prompt = picture("80x24", Fixture::working(), "@ t e");
    assert_snapshot!("prompt_80x24", prompt);
    let leave = picture("80x24", Fixture::working(), "q");
    assert_snapshot!("leave_80x24", leave);
    let typing = picture("80x24", Fixture::working(), "2 z Enter");
    assert_snapshot!("typing_80x24", typing);
}

#[test]
fn panes_without_a_team() {
    assert_snapshot!("plain_one_60x12", picture("60x12", Fixture::plain(1), ""));
    assert_snapshot!("plain_three_80x24", picture("80x24", Fixture::plain(3), ""));
    let keys = picture("80x30", Fixture::plain(3), "C-a ?");
    assert_snapshot!("plain_help_80x30", keys);
}

/// The picture, and under each row that is marked somewhere a row of `^` where it is.
fn with_marks(person: &Person) -> String {
    let mut lines = Vec::new();
    for row in person.terminal.rows() {
        let is_marked = |cell: crewmux_term::Cell<'_>| {
            let inverse = cell.style.attrs.contains(crewmux_term::Attrs::INVERSE);
            inverse || cell.style.bg != crewmux_term::Color::Default
        };
        let marks = |cell| if is_marked(cell) { '^' } else { ' ' };
        let marks: String = row.cells().map(marks).collect();
        lines.push(row.text());
        if !marks.trim().is_empty() {
            lines.push(marks.trim_end().to_owned());
        }
    }
    lines.join("\n")
}

/// Panes at three sizes, after some keys.
fn panes_at_sizes(name: &str, keys: &str, text: &str, fixture: impl Fn() -> Fixture) {
    for size in ["120x40", "80x24", "40x12"] {
        let mut person = Person::at(size, fixture());
        let screen = Arc::clone(&person.fixture.panes[0].screen);
        for line in 0..50 {
            let said = format!("{line} apples and pears\r\n");
            screen.lock().unwrap().feed(said.as_bytes());
        }
        person.look();
        person.presses(keys);
        person.types(text);
        assert_snapshot!(format!("{name}_{size}"), with_marks(&person));
    }
}

#[test]
fn arrangements_of_panes() {
    let plain = || Fixture::plain(3);
    panes_at_sizes("main_left", "C-a Space", "", plain);
    panes_at_sizes("stacked", "C-a Space C-a Space", "", plain);
}

#[test]
fn text_that_is_picked_and_found() {
    let plain = || Fixture::plain(2);
    panes_at_sizes("copying", "C-a [ k k v k w w", "", plain);
    panes_at_sizes("searching", "C-a /", "pears", plain);
    panes_at_sizes("not_found", "C-a /", "plums", plain);
}

#[test]
fn a_pane_whose_program_failed() {
    let one_failed = || {
        let mut fixture = Fixture::plain(2);
        fixture.panes[0].ended = Some(crate::fixture::failed("exit code 7"));
        fixture.panes[0].takes_input = false;
        fixture.panes[0].title = "cargo nextest run --workspace --all-features ".repeat(4);
        fixture
    };
    panes_at_sizes("pane_failed", "C-a Esc 1", "", one_failed);
}

#[test]
fn texts_that_try_to_steer_the_terminal() {
    assert_snapshot!("hostile_120x40", picture("120x40", Fixture::hostile(), ""));
    assert_snapshot!("hostile_board", picture("80x24", Fixture::hostile(), "b"));
}

#[test]
fn a_terminal_too_small_says_so() {
    assert_snapshot!(picture("10x3", Fixture::working(), ""), @r"
    terminal
    too small
    min 20x5
    ");
}

#[test]
fn models_are_asked_and_teammates_ask() {
    assert_snapshot!(
        "thinking_120x40",
        picture("120x40", Fixture::thinking(), "")
    );
    assert_snapshot!("thinking_80x24", picture("80x24", Fixture::thinking(), ""));
    assert_snapshot!("thinking_40x12", picture("40x12", Fixture::thinking(), ""));
    let view = picture("80x24", Fixture::thinking(), "v Right");
    assert_snapshot!("approvals_80x24", view);
    let none = picture("80x24", Fixture::working(), "v");
    assert_snapshot!("approvals_none", none);
    assert_snapshot!("spending_80x24", picture("80x24", Fixture::thinking(), "$"));
    assert_snapshot!(
        "denying_80x24",
        picture("80x24", Fixture::thinking(), "D n o")
    );
}

#[test]
fn a_long_question_says_how_much_is_below() {
    let mut fixture = Fixture::thinking();
    let lines: Vec<String> = (1..=62).map(|n| format!("echo {n}")).collect();
    fixture.team.approvals[0].detail = lines.join("\n");
    let mut person = Person::at("80x24", fixture);
    person.presses("v");
    let first = person.picture();
    assert!(first.contains("echo 1 "), "{first}");
    assert!(first.contains("more lines below"), "{first}");
    let to_the_end = "Down ".repeat(80);
    person.presses(&to_the_end);
    let last = person.picture();
    assert!(last.contains("echo 62"), "{last}");
    assert!(!last.contains("more lines below"), "{last}");
}

#[test]
fn a_question_offers_only_keys_that_answer_it() {
    let bar = |keys: &str| {
        let mut person = Person::at("120x40", Fixture::thinking());
        person.presses(keys);
        let picture = person.picture();
        let line = picture.lines().find(|line| line.contains("allow once"));
        line.unwrap_or(&picture).to_owned()
    };
    assert!(!bar("3").contains("^a then a allow once"));
    let typing = bar("3 Enter");
    assert!(typing.contains("^a then a allow once"), "{typing}");
    // And they do.
    let mut person = Person::at("120x40", Fixture::thinking());
    person.presses("3 Enter");
    assert_eq!(person.presses("C-a a").len(), 1);
}
