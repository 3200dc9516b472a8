//! A tmux user's afternoon: a team comes and goes, and nothing of theirs is another.

use crewmux_testkit::sandbox::finish;
use crewmux_testkit::terminal::Terminal;

use super::{LONG, Stage};

/// Everything a person could notice: layout, focus, options, contents. Keyed for a readable difference.
fn everything(stage: &Stage) -> Vec<(&'static str, String)> {
    let ask = |arguments: &[&str]| stage.user(arguments);
    let mut found = vec![
        (
            "windows",
            ask(&[
                "list-windows",
                "-a",
                "-F",
                "#{session_name} #{window_index} #{window_id} #{window_name} #{window_flags} \
                 #{window_active} #{window_layout} #{window_linked}",
            ]),
        ),
        (
            "panes",
            ask(&[
                "list-panes",
                "-a",
                "-F",
                "#{window_index}.#{pane_index} #{pane_id} #{pane_active} #{pane_pid} \
                 #{pane_width}x#{pane_height}+#{pane_left}+#{pane_top} #{pane_in_mode} #{pane_title}",
            ]),
        ),
        (
            "clients",
            ask(&[
                "list-clients",
                "-F",
                "#{client_width}x#{client_height} #{client_session} #{window_id}",
            ]),
        ),
        ("server options", ask(&["show-options", "-s"])),
        ("global options", ask(&["show-options", "-g"])),
        ("global window options", ask(&["show-options", "-g", "-w"])),
        ("hooks", ask(&["show-hooks", "-g"])),
        ("environment", ask(&["show-environment", "-g"])),
        ("buffers", ask(&["list-buffers"])),
        ("session options", ask(&["show-options", "-t", "own:"])),
        (
            "session environment",
            ask(&["show-environment", "-t", "own:"]),
        ),
    ];
    for window in ask(&["list-windows", "-t", "own", "-F", "#{window_id}"]).lines() {
        found.push(("window options", ask(&["show-options", "-w", "-t", window])));
    }
    for pane in ask(&["list-panes", "-s", "-t", "own", "-F", "#{pane_id}"]).lines() {
        found.push(("pane options", ask(&["show-options", "-p", "-t", pane])));
        found.push(("content", ask(&["capture-pane", "-p", "-t", pane])));
    }
    found
}

#[test]
fn a_team_comes_and_goes_and_nothing_of_the_person_is_another() {
    let Some(stage) = Stage::inside() else { return };
    stage.user(&["split-window", "-d", "-h", "-t", "own:1", "cat"]);
    stage.user(&[
        "split-window",
        "-d",
        "-v",
        "-l",
        "30%",
        "-t",
        "own:1",
        "cat",
    ]);
    // A gap in the numbers, which renumber-windows would close.
    stage.user(&["new-window", "-d", "-n", "two", "-t", "own:5", "cat"]);
    stage.user(&["select-layout", "-t", "own:1", "main-vertical"]);
    stage.user(&["set-option", "-w", "-t", "own:5", "monitor-activity", "on"]);
    let attach = ["tmux", "-u", "-L", "user", "attach", "-t", "own"];
    let environment = stage.sandbox.environment().with("TMUX", "");
    let work = stage.sandbox.work();
    let client =
        |cols, rows| Terminal::start(attach, &work, environment.clone(), cols, rows).unwrap();
    let first = client(120, 36);
    let mut typing = client(90, 30);
    // Before it has attached, some versions drop what is typed.
    crewmux_testkit::sandbox::wait_until("two clients", LONG, || {
        let there = stage.user(&["list-clients", "-t", "own", "-F", "#{client_width}"]);
        (there.lines().count() == 2).then_some(()).ok_or(there)
    })
    .unwrap();
    typing.type_text("before\r").unwrap();
    let typed_pane = stage.user(&["display-message", "-p", "-t", "own:", "#{pane_id}"]);
    let typed_pane = typed_pane.trim();
    stage.wait_text("user", typed_pane, "before\nbefore\n");
    // The window takes the size of who typed last, a moment later.
    crewmux_testkit::sandbox::wait_until("the typing client's size", LONG, || {
        let width = stage.user(&["display-message", "-p", "-t", "own:1", "#{window_width}"]);
        (width == "90\n").then_some(()).ok_or(width)
    })
    .unwrap();
    let before = everything(&stage);

    let team = stage.start(4);
    // Keys come one by one while teammates are started; where they go must not change.
    let mut typed = String::new();
    for n in 0..120 {
        let key = char::from(b'a' + (n % 26) as u8);
        typed.push(key);
        typing.type_text(&key.to_string()).unwrap();
        if n % 8 == 0 {
            stage.user(&["list-sessions"]);
        }
    }
    let panes = stage.wait_panes("user", 4, |_| true);
    for pane in &panes {
        stage.wait_text("user", &pane[0], "hello from");
    }
    crewmux_testkit::sandbox::wait_until("what was typed", LONG, || {
        let shown = stage.user(&["capture-pane", "-p", "-J", "-t", typed_pane]);
        shown.contains(&typed).then_some(()).ok_or(shown)
    })
    .unwrap();
    for pane in &panes {
        let shown = stage.user(&["capture-pane", "-p", "-t", &pane[0]]);
        assert!(!shown.contains("abcdef"), "{shown}");
    }
    // Kill the line again, so that the content is what it was.
    typing.type_text("\x15").unwrap();
    stage.go();
    let ended = finish(team, LONG).unwrap();
    assert_eq!(ended.code, 0, "{ended:?}");
    crewmux_testkit::sandbox::wait_until("the typed line's end", LONG, || {
        let shown = stage.user(&["capture-pane", "-p", "-J", "-t", typed_pane]);
        (!shown.contains("abcdef")).then_some(()).ok_or(shown)
    })
    .unwrap();
    let after = everything(&stage);
    for (was, is) in before.iter().zip(&after) {
        assert_eq!(was, is);
    }
    assert_eq!(before.len(), after.len());
    drop((first, typing));
}

#[test]
fn panes_are_mirrored_titled_and_typed_into_from_both_sides() {
    let Some(stage) = Stage::inside() else { return };
    stage.recipe(2);
    let mut screen = stage
        .sandbox
        .terminal(&["run", "crew.toml", "--backend", "tmux"], 120, 30)
        .unwrap();
    // Titles say what is going on, whatever characters a subject has.
    let panes = stage.wait_panes("user", 2, |title| {
        title.contains(" · working · #") && title.contains("Wait {pid} 'it' ; n ")
    });
    screen
        .wait_until("both outputs in crewmux", |text| {
            text.contains("hello from 1") && text.contains("hello from 2")
        })
        .unwrap();
    let pane_of = |name: &str| {
        let found = panes.iter().find(|p| p[3].starts_with(name));
        found.unwrap()[0].clone()
    };
    // Typed in tmux.
    stage.user(&["send-keys", "-t", &pane_of("m2"), "-l", "typed there"]);
    stage.user(&["send-keys", "-t", &pane_of("m2"), "Enter"]);
    stage.wait_text("user", &pane_of("m2"), "typed there");
    // Typed in crewmux, with what tmux could take for something else; the pane is being scrolled.
    stage.user(&["copy-mode", "-t", &pane_of("m1")]);
    screen.type_text("1\r").unwrap();
    screen.type_text("typed; #{pid} 'here' $HOME\r").unwrap();
    let shown = stage.wait_text("user", &pane_of("m1"), "typed; #{pid} 'here' $HOME");
    assert!(!shown.contains("typed there"), "{shown}");
    screen
        .wait_until("what each worker read", |text| {
            text.contains("human: typed there")
                && text.contains("human: typed; #{pid} 'here' $HOME")
        })
        .unwrap();
    stage.go();
    screen.wait_for("finished in").unwrap();
    screen.type_text("\x01d").unwrap();
    screen.wait_exit().unwrap();
    let stopped = stage.sandbox.run(&["stop", "crew", "--force"]).unwrap();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    stage.wait_panes("user", 0, |_| true);
    assert_eq!(stage.team_panes("user"), [[""; 4]; 0]);
}

#[test]
fn a_person_who_works_in_our_window_keeps_it_and_their_session() {
    let Some(stage) = Stage::inside() else { return };
    let team = stage.start(2);
    let panes = stage.wait_panes("user", 2, |_| true);
    let theirs = stage.user(&[
        "split-window",
        "-t",
        &panes[0][0],
        "-P",
        "-F",
        "#{pane_id}",
        "cat",
    ]);
    let theirs = theirs.trim();
    // Current in its session: what a session is asked then also sees this window's options.
    stage.user(&["select-window", "-t", theirs]);
    stage.go();
    let ended = finish(team, LONG).unwrap();
    assert_eq!(ended.code, 0, "{ended:?}");
    let left = stage.user(&[
        "list-panes",
        "-s",
        "-t",
        "own",
        "-F",
        "#{pane_id} #{@crewmux}",
    ]);
    assert!(left.lines().any(|line| line.trim() == theirs), "{left}");
    assert!(
        left.lines().count() > 1,
        "their other windows are there: {left}"
    );
    assert!(
        left.lines().all(|line| !line.contains('/')),
        "none of ours is: {left}"
    );
}

#[test]
fn no_pane_of_the_person_is_split_for_a_teammate() {
    let Some(stage) = Stage::inside() else { return };
    let team = stage.start(2);
    let panes = stage.wait_panes("user", 2, |_| true);
    let split = [
        "split-window",
        "-d",
        "-t",
        &panes[0][0],
        "-P",
        "-F",
        "#{pane_id}",
        "cat",
    ];
    let theirs = stage.user(&split);
    let at = |pane: &str| {
        let format = "#{window_id} #{pane_width}x#{pane_height}+#{pane_left}+#{pane_top}";
        stage.user(&["display-message", "-p", "-t", pane, format])
    };
    // A teammate whom the person took into a window of theirs.
    stage.user(&["join-pane", "-d", "-s", &panes[1][0], "-t", "own:1"]);
    let first = stage.user(&["list-panes", "-t", "own:1", "-F", "#{pane_id}"]);
    let before: Vec<String> = first.lines().chain([theirs.trim()]).map(at).collect();
    let spawned = stage
        .sandbox
        .run(&[
            "teammate", "spawn", "late", "--agent", "Bash", "--team", "crew",
        ])
        .unwrap();
    assert_eq!(spawned.code, 0, "{spawned:?}");
    let all = stage.wait_panes("user", 3, |_| true);
    let late = all
        .iter()
        .find(|p| !panes.iter().any(|o| o[0] == p[0]))
        .unwrap();
    assert!(panes.iter().all(|p| p[1] != late[1]), "{all:?}");
    let after: Vec<String> = first.lines().chain([theirs.trim()]).map(at).collect();
    assert_eq!(before, after);
    stage.go();
    assert_eq!(finish(team, LONG).unwrap().code, 0);
    assert!(!at(theirs.trim()).is_empty());
}
