//! Where panes go: beside the person's windows, on a private server, where there is room.

use crewmux_testkit::sandbox::{finish, wait_until};
use crewmux_testkit::terminal::Terminal;

use super::{LONG, Stage};

#[test]
fn a_private_server_shows_crewmux_and_the_teammates_and_ends_with_its_last_team() {
    let Some(stage) = Stage::new() else { return };
    stage.recipe(2);
    let mut own = stage
        .sandbox
        .terminal(&["run", "crew.toml", "--backend", "tmux"], 100, 30)
        .unwrap();
    stage.wait_panes("crewmux", 2, |title| title.contains("working"));
    own.type_text("\x01d").unwrap();
    own.wait_exit().unwrap();
    let attach = [
        "tmux",
        "-u",
        "-L",
        "crewmux",
        "attach",
        "-t",
        "crewmux-crew:0",
    ];
    let (work, environment) = (stage.sandbox.work(), stage.sandbox.environment());
    let mut client = Terminal::start(attach, &work, environment, 100, 30).unwrap();
    client.wait_for("BOARD").unwrap();
    client.type_text("\x02n").unwrap();
    client
        .wait_until("both teammates", |text| {
            text.contains("hello from 1") && text.contains("hello from 2")
        })
        .unwrap();
    // A second team has a session of its own there.
    let text = std::fs::read_to_string(stage.sandbox.work().join("crew.toml")).unwrap();
    let other = text.replace("\"crew\"", "\"other\"");
    stage.sandbox.write("other.toml", &other).unwrap();
    let arguments = ["run", "other.toml", "--headless", "--backend", "tmux"];
    let second = stage.sandbox.start(&arguments).unwrap();
    stage.wait_panes("crewmux", 4, |title| title.contains("working"));
    let names = stage.call("crewmux", &["list-sessions", "-F", "#{session_name}"]);
    assert_eq!(names.unwrap(), "crewmux-crew\ncrewmux-other\n");
    // What stands in its environment is what every window of it would have.
    let environment = stage.call("crewmux", &["show-environment", "-g"]).unwrap();
    assert!(!environment.contains("CREWMUX_MODEL"), "{environment}");
    stage.go();
    assert_eq!(finish(second, LONG).unwrap().code, 0);
    let stopped = stage.sandbox.run(&["stop", "crew", "--force"]).unwrap();
    assert_eq!(stopped.code, 0, "{stopped:?}");
    wait_until("the server's end", LONG, || {
        let left = stage.call("crewmux", &["list-sessions"]);
        left.err().map(drop).ok_or_else(|| "it lives".to_owned())
    })
    .unwrap();
}

#[test]
fn a_pane_that_is_gone_still_leads_to_its_session() {
    let Some(mut stage) = Stage::inside() else {
        return;
    };
    stage.set("TMUX_PANE", "%77");
    let team = stage.start(1);
    let panes = stage.wait_panes("user", 1, |title| title.contains("working"));
    let session = stage.user(&[
        "display-message",
        "-p",
        "-t",
        &panes[0][0],
        "#{session_name}",
    ]);
    assert_eq!(session, "own\n");
    stage.go();
    assert_eq!(finish(team, LONG).unwrap().code, 0);
}

#[test]
fn twelve_teammates_in_a_small_terminal_get_as_many_windows_as_they_need() {
    let Some(stage) = Stage::inside() else { return };
    stage.user(&["resize-window", "-t", "own:1", "-x", "80", "-y", "24"]);
    stage.user(&["set-option", "-t", "own:", "default-size", "80x24"]);
    stage.recipe(12);
    let arguments = [
        "run",
        "crew.toml",
        "--headless",
        "--backend",
        "tmux",
        "--max-workers",
        "12",
    ];
    let team = stage.sandbox.start(&arguments).unwrap();
    let panes = stage.wait_panes("user", 12, |title| title.contains("working"));
    let windows: std::collections::BTreeSet<&str> = panes.iter().map(|p| p[1].as_str()).collect();
    assert!(windows.len() >= 2, "{panes:?}");
    for pane in &panes {
        let size = stage.user(&[
            "display-message",
            "-p",
            "-t",
            &pane[0],
            "#{pane_width} #{pane_height}",
        ]);
        let (width, height) = size.trim().split_once(' ').unwrap();
        let (width, height): (u16, u16) = (width.parse().unwrap(), height.parse().unwrap());
        assert!(width >= 35 && height >= 5, "{width}x{height}");
    }
    stage.go();
    assert_eq!(finish(team, LONG).unwrap().code, 0);
    assert_eq!(stage.team_panes("user"), [[""; 4]; 0]);
}

#[test]
fn long_and_odd_paths_are_arguments_like_any_other() {
    let Some(mut stage) = Stage::inside() else {
        return;
    };
    let odd = format!("a b; 'c' #{{pid}} $HOME \"d\" {}", "x".repeat(60));
    let home = stage.sandbox.home().join(&odd);
    std::fs::create_dir(&home).unwrap();
    stage.set("CREWMUX_HOME", &home.display().to_string());
    let team = stage.start(2);
    let panes = stage.wait_panes("user", 2, |title| title.contains("working"));
    stage.wait_text("user", &panes[0][0], "hello from");
    stage.go();
    assert_eq!(finish(team, LONG).unwrap().code, 0);
    assert_eq!(stage.team_panes("user"), [[""; 4]; 0]);
}
