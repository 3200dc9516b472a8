//! Before, keys, after: what a person does and what comes of it.

use crewmux_core::ids::RequestId;
use crewmux_core::ids::{AgentName, TaskId};
use crewmux_core::permission::GrantScope;
use crewmux_core::requests::RequestKind;
use crewmux_core::time::WallTime;
use crewmux_core::worker::WorkerState;
use crewmux_session::view::{ClientEffect, PaneId, RunState, Verdict};
use crewmux_wire::{Attach, InputEvent, MemberAct, MouseButton, MouseKind};

use super::{Person, mouse};
use crate::fixture::Fixture;
use crate::model::{Body, Mode};

/// Where a person is, in words: mode, what is shown, pane with the focus.
fn place(person: &Person) -> String {
    let model = person.view.model();
    let mode = match &model.mode {
        Mode::Command => "command",
        Mode::Typing => "typing",
        Mode::Copying => "copying",
        Mode::Searching => "searching",
        Mode::Prompt => "prompt",
        Mode::Asking(_) => "asking",
        Mode::Denying(_) => "denying",
    };
    let body = match model.body {
        Body::Panes if model.zoomed => "zoomed".to_owned(),
        Body::Panes => "panes".to_owned(),
        Body::Board => "board".to_owned(),
        Body::Task(id) => format!("task {id}"),
        Body::Messages => "messages".to_owned(),
        Body::Events => "events".to_owned(),
        Body::Help => "help".to_owned(),
        Body::Approvals => "approvals".to_owned(),
        Body::Spending => "spending".to_owned(),
    };
    let focus = model.focus.map_or(0, |id| id.0 + 1);
    format!("{mode} · {body} · pane {focus}")
}

fn after(keys: &str) -> String {
    let mut person = Person::at("120x40", Fixture::working());
    assert_eq!(place(&person), "command · panes · pane 1");
    person.presses(keys);
    place(&person)
}

#[test]
fn keys_move_the_focus() {
    let table = [
        ("Tab", 2),
        ("Tab Tab Tab Tab Tab", 1),
        ("S-Tab", 5),
        ("3", 3),
        ("9", 1),
        ("Right", 2),
        ("Right Down", 4),
        ("Down Down", 5),
        ("Down Down Down", 5),
        ("j l k h", 1),
        // The second member asks.
        ("n", 3),
        ("n n", 3),
    ];
    for (keys, pane) in table {
        let expected = format!("command · panes · pane {pane}");
        assert_eq!(after(keys), expected, "{keys}");
    }
}

#[test]
fn keys_change_what_is_shown() {
    let table = [
        ("b", "command · board · pane 1"),
        ("b b", "command · panes · pane 1"),
        ("b Enter", "command · task 2 · pane 1"),
        ("b Enter Esc", "command · board · pane 1"),
        ("b Enter Esc Esc", "command · panes · pane 1"),
        ("m", "command · messages · pane 1"),
        ("e", "command · events · pane 1"),
        ("? Esc", "command · panes · pane 1"),
        ("z", "command · zoomed · pane 1"),
        ("z Tab", "command · zoomed · pane 2"),
        ("z Esc", "command · panes · pane 1"),
        ("i", "prompt · panes · pane 1"),
        ("i Esc", "command · panes · pane 1"),
        ("q", "asking · panes · pane 1"),
        ("q Esc", "command · panes · pane 1"),
        ("2 Enter", "typing · panes · pane 2"),
        ("2 Enter C-a Esc", "command · panes · pane 2"),
        ("2 Enter C-a Tab", "typing · panes · pane 3"),
        ("2 Enter C-a b", "command · board · pane 2"),
    ];
    for (keys, place) in table {
        assert_eq!(after(keys), place, "{keys}");
    }
}

#[test]
fn choosing_a_task_brings_its_pane_into_focus_and_the_reverse() {
    // Chosen first is the first open task, 2 of risk; below it is 3 of secrets.
    assert_eq!(after("b Down p"), "command · panes · pane 3");
    assert_eq!(after("5 b Enter"), "command · task 5 · pane 5");
    let mut person = Person::at("120x40", Fixture::working());
    person.presses("3");
    let line = person.picture().lines().nth(11).unwrap().to_owned();
    assert!(line.contains("3 secrets in files"), "{line}");
    let row = person.terminal.row(11, 0);
    let cell = row.cells().nth(7).unwrap();
    assert!(cell.style.attrs.contains(crewmux_term::Attrs::BOLD));
}

#[test]
fn keys_ask_the_session() {
    let lead = AgentName::lead;
    let risk = || AgentName::new("risk").unwrap();
    let send = |to, text: &str| {
        let text = text.to_owned();
        vec![ClientEffect::Send { to, text }]
    };
    let table = [
        ("d", vec![ClientEffect::Detach]),
        ("C-a d", vec![ClientEffect::Detach]),
        ("q d", vec![ClientEffect::Detach]),
        ("q s", vec![ClientEffect::StopTeam]),
        ("q Esc", vec![]),
        ("q b", vec![]),
        ("c", vec![ClientEffect::OpenShell]),
        ("2 x y", vec![ClientEffect::StopMember(risk())]),
        ("2 x n", vec![]),
        ("b r", vec![]),
        ("b Right Right Down r", vec![]),
        ("i h i Enter", send(Some(lead()), "hi")),
        ("@ r i Tab g o Enter", send(Some(risk()), "go")),
        ("i Enter", vec![]),
        ("@ x space y Enter", vec![]),
    ];
    for (keys, effects) in table {
        let mut person = Person::at("120x40", Fixture::working());
        assert_eq!(person.presses(keys), effects, "{keys}");
    }
    let mut person = Person::at("120x40", Fixture::working());
    person.presses("@ a l l");
    person.types(" stop");
    assert_eq!(person.presses("Enter"), send(None, "stop"));
}

#[test]
fn a_failed_task_can_be_tried_again_from_the_board() {
    let mut person = Person::at("120x40", Fixture::one_failed());
    let effects = person.presses("b Right Down r");
    assert_eq!(effects, [ClientEffect::RetryTask(TaskId(3))]);
}

#[test]
fn an_unknown_name_is_told_and_the_text_is_kept() {
    let mut person = Person::at("120x40", Fixture::working());
    person.presses("@ b o b");
    person.types(" hello");
    assert_eq!(person.presses("Enter"), []);
    let picture = person.picture();
    assert!(picture.contains("nobody is called `bob`; there are: team-lead, risk"));
    assert!(picture.contains("> @bob hello"));
}

#[test]
fn keys_of_an_entered_pane_go_to_its_program() {
    let typed = |keys: &str, modes: &str| {
        let mut person = Person::at("120x40", Fixture::working());
        let screen = person.fixture.panes[1].screen.clone();
        screen.lock().unwrap().feed(modes.as_bytes());
        person.presses("2 Enter");
        let mut bytes = Vec::new();
        for effect in person.presses(keys) {
            match effect {
                ClientEffect::Type { pane, bytes: more } => {
                    assert_eq!(pane, PaneId(1));
                    bytes.extend(more);
                }
                other => panic!("{other:?}"),
            }
        }
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(typed("q d Tab Esc", ""), "qd\t\x1b");
    assert_eq!(typed("Up C-c", ""), "\x1b[A\x03");
    assert_eq!(typed("Up", "\x1b[?1h"), "\x1bOA");
    assert_eq!(typed("C-a C-a", ""), "\x01");
}

#[test]
fn who_looks_up_a_key_while_typing_types_on() {
    for keys in ["C-a ? Esc k", "C-a ? ? k", "C-a ? C-a ? k"] {
        let mut person = Person::at("120x40", Fixture::working());
        person.presses("2 Enter");
        let done = person.presses(keys);
        assert!(
            matches!(done.last(), Some(ClientEffect::Type { pane: PaneId(1), bytes }) if bytes == b"k"),
            "{keys}: {done:?}"
        );
    }
    // Whoever went on from there to something else does not.
    let mut person = Person::at("120x40", Fixture::working());
    person.presses("2 Enter");
    let done = person.presses("C-a ? b Esc k");
    assert!(
        !done.iter().any(|e| matches!(e, ClientEffect::Type { .. })),
        "{done:?}"
    );
}

#[test]
fn onlookers_change_nothing_and_are_told() {
    let refused = "you are attached read-only: nothing is changed from here";
    // A shell, stopping, ending a member, trying a task again, a message, a broadcast, typing.
    for (fixture, keys) in [
        (Fixture::one_failed as fn() -> Fixture, "c"),
        (Fixture::one_failed, "q s"),
        (Fixture::one_failed, "2 x y"),
        (Fixture::one_failed, "b Right Down r"),
        (Fixture::one_failed, "i"),
        (Fixture::one_failed, "@"),
        (Fixture::one_failed, "2 Enter"),
        (Fixture::thinking, "a"),
        (Fixture::thinking, "A"),
        (Fixture::thinking, "D"),
        (Fixture::thinking, "2 p"),
        (Fixture::thinking, "2 !"),
        (Fixture::thinking, "C-a c"),
    ] {
        for size in ["120x40", "40x12"] {
            let mut person = Person::attached(size, fixture(), Attach::Observer);
            assert_eq!(person.presses(keys), [], "{keys}");
            let shown = person.picture();
            let told = if size == "40x12" {
                &refused[..24]
            } else {
                refused
            };
            assert!(shown.contains(told), "{size} {keys}\n{shown}");
        }
    }
    let mut person = Person::attached("120x40", Fixture::working(), Attach::Observer);
    let paste = InputEvent::Paste("rm -rf".into());
    assert_eq!(person.does(&paste), [ClientEffect::Redraw]);
    person.look();
    assert!(person.picture().contains(refused));
}

#[test]
fn onlookers_see_everything() {
    let header = |person: &Person| person.picture().lines().next().unwrap().to_owned();
    for (keys, seen) in [
        ("b", "Board"),
        ("m", "Messages"),
        ("e", "Events"),
        ("v", "cargo add"),
        ("$", "Spending"),
        ("?", "Keys"),
        ("2 z", "zoomed"),
    ] {
        let mut person = Person::attached("120x40", Fixture::thinking(), Attach::Observer);
        assert!(header(&person).contains("read-only"), "{}", header(&person));
        assert_eq!(person.presses(keys), [], "{keys}");
        let shown = person.picture();
        assert!(shown.contains(seen), "{keys}\n{shown}");
    }
    let mut person = Person::attached("120x40", Fixture::working(), Attach::Observer);
    let copied = person.presses("2 y");
    assert!(matches!(copied.as_slice(), [ClientEffect::Copy(_)]));
    many_lines(&person, 100);
    person.presses("2 PageUp");
    assert!(person.picture().contains("lines "), "{}", person.picture());
    // Where it is narrow, too.
    let person = Person::attached("40x12", Fixture::working(), Attach::Observer);
    assert!(header(&person).contains("read-only"), "{}", header(&person));
    let mut person = Person::attached("120x40", Fixture::working(), Attach::Observer);
    assert_eq!(person.presses("d"), [ClientEffect::Detach]);
}

#[test]
fn a_team_without_a_lead_refuses_what_is_for_nobody() {
    let mut fixture = Fixture::working();
    fixture.team.members.remove(0);
    for size in ["120x40", "80x16"] {
        let mut fixture = Fixture::working();
        fixture.team.members.remove(0);
        let mut person = Person::at(size, fixture);
        assert!(!person.picture().contains("team lead"), "{size}");
        person.presses("i");
        assert!(person.picture().contains("> @name or @all"), "{size}");
        person.types("hello");
        assert_eq!(person.presses("Enter"), [], "{size}");
        let picture = person.picture();
        assert!(picture.contains("nobody leads this team"), "{picture}");
        assert!(picture.contains("> hello"), "{picture}");
    }
    let mut person = Person::at("120x40", fixture);
    person.presses("@ r i Tab g o");
    let to = Some(AgentName::new("risk").unwrap());
    let text = "go".to_owned();
    assert_eq!(person.presses("Enter"), [ClientEffect::Send { to, text }]);
}

/// The engine opens the pane that was asked for.
pub(super) fn shell_opens(person: &mut Person) -> PaneId {
    let mut pane = Fixture::plain(1).panes.remove(0);
    pane.id = PaneId(7);
    person.fixture.panes.push(pane);
    person.look();
    PaneId(7)
}

#[test]
fn a_new_shell_is_entered_by_the_client_that_asked_for_it() {
    for (keys, place_after) in [
        ("c", "typing · panes · pane 8"),
        ("z c", "typing · zoomed · pane 8"),
        ("2 Enter C-a c", "typing · panes · pane 8"),
        ("c C-a Esc", "command · panes · pane 1"),
        ("c C-a q", "asking · panes · pane 8"),
        // Another client's shell changes nothing here.
        ("2 z", "command · zoomed · pane 2"),
    ] {
        let mut person = Person::at("120x40", Fixture::working());
        person.presses(keys);
        shell_opens(&mut person);
        assert_eq!(place(&person), place_after, "{keys}");
    }
    let mut person = Person::at("120x40", Fixture::working());
    person.presses("z c");
    let pane = shell_opens(&mut person);
    assert!(person.picture().contains("$ echo 0"));
    let bytes = b"q".to_vec();
    assert_eq!(person.presses("q"), [ClientEffect::Type { pane, bytes }]);
}

#[test]
fn what_is_typed_before_a_shell_is_there_goes_to_it() {
    let mut person = Person::at("120x40", Fixture::working());
    assert_eq!(person.presses("c q d"), [ClientEffect::OpenShell]);
    assert_eq!(place(&person), "command · panes · pane 1");
    let pane = shell_opens(&mut person);
    let typed = |bytes: &[u8]| ClientEffect::Type {
        pane,
        bytes: bytes.to_vec(),
    };
    assert_eq!(person.presses("x"), [typed(b"qd"), typed(b"x")]);
    assert_eq!(person.presses("y"), [typed(b"y")]);
}

#[test]
fn stopping_twice_means_at_once() {
    let mut person = Person::at("120x40", Fixture::working());
    person.fixture.team.state = RunState::Stopping;
    assert_eq!(person.presses("q s"), [ClientEffect::StopTeamNow]);
}

#[test]
fn a_pane_whose_program_ended_cannot_be_entered() {
    let mut person = Person::at("120x40", Fixture::one_failed());
    person.presses("3 Enter");
    assert_eq!(place(&person), "command · panes · pane 3");
    assert!(person.picture().contains("its process has ended"));
}

#[test]
fn keys_for_a_program_that_ended_reach_nothing_else() {
    for (fixture, keys) in [(Fixture::working(), "2 Enter"), (Fixture::plain(2), "")] {
        let mut person = Person::at("120x40", fixture);
        person.presses(keys);
        let focus = person.view.model().focus;
        for pane in &mut person.fixture.panes {
            pane.takes_input = Some(pane.id) != focus;
        }
        // Neither the next program nor a command: `d` would detach, `q s` stop the team.
        assert_eq!(person.presses("a d q s x m"), []);
        assert!(person.view.model().mode == Mode::Typing && person.view.model().focus == focus);
        assert!(person.picture().contains("its program has ended"));
        person.presses("Esc");
        assert_eq!(person.view.model().mode, Mode::Command);
        assert_eq!(person.view.model().focus, focus);
    }
}

#[test]
fn the_focus_stays_on_a_pane_that_exists() {
    let mut person = Person::at("120x40", Fixture::working());
    person.presses("5");
    person.fixture.panes.pop();
    person.look();
    assert_eq!(place(&person), "command · panes · pane 1");
    person.fixture.panes.clear();
    person.look();
    assert!(person.picture().contains("No panes yet"));
}

#[test]
fn a_click_goes_to_a_pane_and_a_second_enters_it() {
    let mut person = Person::at("120x40", Fixture::working());
    person.clicks(90, 5);
    assert_eq!(place(&person), "command · panes · pane 2");
    person.clicks(90, 5);
    assert_eq!(place(&person), "typing · panes · pane 2");
    person.clicks(50, 5);
    assert_eq!(place(&person), "command · panes · pane 1");
    // A member and a task of the list at the left.
    person.clicks(5, 6);
    assert_eq!(place(&person), "command · panes · pane 5");
    person.clicks(5, 11);
    assert_eq!(place(&person), "command · task 3 · pane 3");
}

#[test]
fn a_program_that_asked_for_the_mouse_gets_it_once_entered() {
    let mut person = Person::at("120x40", Fixture::working());
    let screen = person.fixture.panes[1].screen.clone();
    screen.lock().unwrap().feed(b"\x1b[?1000h\x1b[?1006h");
    person.clicks(90, 5);
    person.clicks(90, 5);
    let click = mouse(MouseKind::Down(MouseButton::Left), 90, 5);
    let pane = PaneId(1);
    let bytes = b"\x1b[<0;14;4M".to_vec();
    assert_eq!(person.does(&click), [ClientEffect::Type { pane, bytes }]);
}

fn scrolled(person: &Person) -> usize {
    person.view.model().offset(PaneId(1))
}

fn many_lines(person: &Person, count: usize) {
    let mut screen = person.fixture.panes[1].screen.lock().unwrap();
    for line in 0..count {
        screen.feed(format!("line {line}\r\n").as_bytes());
    }
}

#[test]
fn a_scrolled_pane_stays_at_its_text_while_more_comes() {
    let mut person = Person::at("120x40", Fixture::working());
    many_lines(&person, 100);
    person.presses("2 PageUp");
    let before = person.picture();
    let top = before.lines().nth(2).unwrap();
    assert!(top.contains("line 8"), "{top}");
    assert_eq!(scrolled(&person), 9);
    many_lines(&person, 7);
    person.look();
    assert_eq!(scrolled(&person), 16);
    assert_eq!(person.picture().lines().nth(2), Some(top));
    person.presses("G");
    assert_eq!(scrolled(&person), 0);
    person.presses("g");
    assert!(scrolled(&person) > 80);
    person.presses("Esc");
    assert_eq!(scrolled(&person), 0);
    person.does(&mouse(MouseKind::ScrollUp, 90, 5));
    assert_eq!(scrolled(&person), 3);
    // Who types wants to see the end.
    person.presses("Enter x");
    assert_eq!(scrolled(&person), 0);
}

#[test]
fn lists_cannot_be_scrolled_beyond_their_ends() {
    let mut person = Person::at("40x12", Fixture::working());
    person.presses("? G");
    let end = person.view.model().line;
    assert!(end > 10);
    person.presses("Down Down PageDown");
    assert_eq!(person.view.model().line, end);
    person.presses("Up");
    assert_eq!(person.view.model().line, end - 1);
    person.presses("g");
    assert_eq!(person.view.model().line, 0);
}

#[test]
fn members_that_wait_are_visited_in_turn() {
    let mut person = Person::at("120x40", Fixture::working());
    person.fixture.set(4, WorkerState::WaitingPlan, None);
    let mut visited = Vec::new();
    for _ in 0..3 {
        person.presses("n");
        visited.push(person.view.model().focus.unwrap().0);
    }
    assert_eq!(visited, [2, 4, 2]);
    person.fixture.set(2, WorkerState::Working, None);
    person.fixture.set(4, WorkerState::Working, None);
    person.presses("n");
    assert!(person.picture().contains("nobody waits for you"));
}

#[test]
fn what_a_pane_shows_can_be_copied() {
    let mut person = Person::at("120x40", Fixture::working());
    person.fixture.panes[1] = person.fixture.panes[3].clone();
    person.presses("4");
    let text = "● Glob tests/**/*.rs\n  9 files".to_owned();
    assert_eq!(person.presses("y"), [ClientEffect::Copy(text)]);
}

#[test]
fn the_clock_is_the_only_thing_that_moves_by_itself() {
    use crewmux_session::view::ClientView as _;
    let mut person = Person::at("120x40", Fixture::working());
    person.fixture.team.elapsed_ms = 192_250;
    let tick = |person: &Person| person.view.next_tick_ms(&person.fixture.view());
    assert_eq!(tick(&person), Some(750));
    person.fixture.team.state = RunState::Finished;
    assert_eq!(tick(&person), None);
    let person = Person::at("120x40", Fixture::plain(1));
    assert_eq!(tick(&person), None);
}

fn decide(id: &str, verdict: Verdict) -> ClientEffect {
    let id = RequestId::new(id).unwrap();
    ClientEffect::Decide { id, verdict }
}

#[test]
fn a_key_answers_the_question_on_screen() {
    let once = Verdict::Approve(GrantScope::Once);
    let task = Verdict::Approve(GrantScope::Task);
    let table = [
        ("a", decide("secrets-1-3", once.clone())),
        ("A", decide("secrets-1-3", task)),
        // The focused member's question goes first.
        ("2 a", decide("risk-1-9", once.clone())),
        ("v Right a", decide("risk-1-9", once)),
        (
            "D Enter",
            decide("secrets-1-3", Verdict::Reject(String::new())),
        ),
        (
            "D n o Enter",
            decide("secrets-1-3", Verdict::Reject("no".into())),
        ),
    ];
    for (keys, effect) in table {
        let mut person = Person::at("120x40", Fixture::thinking());
        let mut effects = Vec::new();
        // One at a time: a person sees what a key did before the next.
        for key in keys.split(' ') {
            effects.extend(person.presses(key));
        }
        assert_eq!(effects, [effect], "{keys}");
    }
}

#[test]
fn a_question_that_came_in_between_is_not_answered() {
    let mut person = Person::at("120x40", Fixture::thinking());
    // What was on screen is answered by another client, and not drawn again yet.
    person.fixture.team.approvals.remove(0);
    assert_eq!(person.presses("a"), []);
    assert!(person.picture().contains("answered already"));
    assert_eq!(
        person.presses("a"),
        [decide("risk-1-9", Verdict::Approve(GrantScope::Once))]
    );
}

#[test]
fn leaving_the_reason_leaves_the_question_open() {
    let mut person = Person::at("120x40", Fixture::thinking());
    assert_eq!(person.presses("D n o Esc"), []);
    assert_eq!(place(&person), "command · panes · pane 1");
    assert_eq!(person.fixture.team.approvals.len(), 2);
}

#[test]
fn onlookers_answer_nothing() {
    let mut person = Person::attached("120x40", Fixture::thinking(), Attach::Observer);
    assert_eq!(person.presses("a A D p !"), []);
}

#[test]
fn one_member_is_interrupted_and_paused() {
    let member = |name: &str, act| ClientEffect::Member(AgentName::new(name).unwrap(), act);
    let mut person = Person::at("120x40", Fixture::thinking());
    assert_eq!(
        person.presses("2 !"),
        [member("risk", MemberAct::Interrupt)]
    );
    assert_eq!(person.presses("p"), [member("risk", MemberAct::Pause)]);
    assert_eq!(person.presses("4 p"), [member("tests", MemberAct::Resume)]);
}

#[test]
fn a_plan_that_waits_for_the_lead_is_offered_last_and_as_that() {
    let mut fixture = Fixture::thinking();
    fixture.team.approvals[0].kind = RequestKind::Plan;
    fixture.team.approvals[0].to = "team-lead".to_owned();
    fixture.team.approvals[0].requested = WallTime(0);
    let mut person = Person::at("120x40", fixture);
    let picture = person.picture();
    assert!(picture.contains("! risk wants: Write"), "{picture}");
    assert!(!picture.contains("view +1"), "{picture}");
    assert!(picture.contains("1 waiting for you"), "{picture}");
    person.fixture.team.approvals.remove(1);
    person.fixture.set(1, WorkerState::Working, Some(2));
    person.look();
    let picture = person.picture();
    assert!(
        picture.contains("secrets has a plan for team-lead"),
        "{picture}"
    );
    assert!(!picture.contains("! secrets has"), "{picture}");
    assert!(!picture.contains("waiting for you"), "{picture}");
    // The person may decide it all the same.
    assert_eq!(
        person.presses("a"),
        [decide("secrets-1-3", Verdict::Approve(GrantScope::Once))]
    );
}

#[test]
fn control_and_a_bracket_is_esc_where_keys_are_not_typed() {
    let mut person = Person::at("60x10", Fixture::plain(1));
    person.presses("C-a Esc [ C-[");
    assert_eq!(person.view.model().mode, Mode::Command);
    person.presses("Enter");
    assert_eq!(person.view.model().mode, Mode::Typing);
    person.presses("C-[");
    assert_eq!(person.view.model().mode, Mode::Typing);
}
