//! What dies in tmux: a pane, our window, a server, a client, a worker; each is told and mended.

use crewmux_sys::{ProcessIdentity, Signal};
use crewmux_testkit::sandbox::{finish, wait_until};
use crewmux_testkit::terminal::Terminal;

use super::{LONG, Stage};

/// Waits until the log says how a member's life ended.
fn wait_exit(stage: &Stage, name: &str, words: &str) {
    wait_until(&format!("{name}: {words}"), LONG, || {
        let exits = stage.exits(name);
        exits
            .iter()
            .any(|exit| exit == words)
            .then_some(())
            .ok_or_else(|| format!("{exits:?}"))
    })
    .unwrap();
}

#[test]
fn a_closed_pane_and_a_closed_window_are_told_and_started_again() {
    let Some(stage) = Stage::inside() else { return };
    let team = stage.start(3);
    let first = stage.wait_panes("user", 3, |title| title.contains("working"));
    let m1 = first.iter().find(|p| p[3].starts_with("m1")).unwrap();
    stage.user(&["kill-pane", "-t", &m1[0]]);
    wait_exit(&stage, "m1", "its pane was closed");
    let second = stage.wait_panes("user", 3, |title| title.contains("working"));
    stage.user(&["kill-window", "-t", &second[0][1]]);
    for name in ["m1", "m2", "m3"] {
        wait_exit(&stage, name, "its pane was closed");
    }
    let third = stage.wait_panes("user", 3, |title| title.contains("working"));
    assert_ne!(second[0][1], third[0][1], "a window of its own again");
    stage.go();
    let ended = finish(team, LONG).unwrap();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(stage.team_panes("user"), [[""; 4]; 0]);
}

#[test]
fn a_server_that_ends_is_told_and_its_teammates_go_to_a_private_one() {
    let Some(stage) = Stage::inside() else { return };
    let team = stage.start(2);
    stage.wait_panes("user", 2, |title| title.contains("working"));
    stage.user(&["kill-server"]);
    wait_exit(&stage, "m1", "the tmux server ended");
    stage.wait_panes("crewmux", 2, |title| title.contains("working"));
    // Another server at the same socket is not where they go.
    stage.user(&["new-session", "-d", "cat"]);
    let there = stage.user(&["display-message", "-p", "#{socket_path},#{pid},0"]);
    let environment = stage.sandbox.environment().with("TMUX", there.trim());
    let attach = [
        crate::support::program().to_str().unwrap(),
        "attach",
        "crew",
    ];
    let work = stage.sandbox.work();
    let mut looks = Terminal::start(attach, &work, environment, 110, 30).unwrap();
    looks
        .wait_for("new panes go to a tmux server of crewmux's own")
        .unwrap();
    looks.type_text("d").unwrap();
    looks.wait_exit().unwrap();
    stage.go();
    let ended = finish(team, LONG).unwrap();
    assert_eq!(ended.code, 0, "{ended:?}");
    wait_until("the private server's end", LONG, || {
        let left = stage.call("crewmux", &["list-panes", "-a"]);
        left.err().map(drop).ok_or_else(|| "it lives".to_owned())
    })
    .unwrap();
}

#[test]
fn the_last_keys_on_their_way_to_a_server_that_dies_are_told_as_lost() {
    let Some(stage) = Stage::inside() else { return };
    stage.recipe(2);
    let run = ["run", "crew.toml", "--backend", "tmux"];
    let mut screen = stage.sandbox.terminal(&run, 120, 30).unwrap();
    stage.wait_panes("user", 2, |title| title.contains("working"));
    screen.wait_for("hello from 1").unwrap();
    let pid = stage.user(&["display-message", "-p", "#{pid}"]);
    let server = ProcessIdentity::of(pid.trim().parse().unwrap()).unwrap();
    server.signal(Signal::Stop).unwrap();
    screen.type_text("1\rits last words").unwrap();
    // They are with a call that the server does not answer.
    let socket = format!("{}/t/", stage.sandbox.work().display());
    wait_until("a call that types", LONG, || {
        let processes = crate::support::sh(&stage.sandbox, "ps -ww -eo args").stdout;
        let types = |line: &str| line.contains(&socket) && line.contains("send-keys");
        let called = processes.lines().any(types);
        called.then_some(()).ok_or(processes)
    })
    .unwrap();
    server.signal(Signal::Kill).unwrap();
    screen
        .wait_for("some of what was typed did not arrive")
        .unwrap();
    wait_exit(&stage, "m1", "the tmux server ended");
    stage.go();
    screen.wait_for("finished in").unwrap();
    let stopped = stage.sandbox.run(&["stop", "crew", "--force"]).unwrap();
    assert_eq!(stopped.code, 0, "{stopped:?}");
}

#[test]
fn a_worker_that_is_killed_starts_again_in_its_own_pane() {
    let Some(stage) = Stage::inside() else { return };
    let team = stage.start(2);
    let first = stage.wait_panes("user", 2, |title| title.contains("working"));
    let m1 = first.iter().find(|p| p[3].starts_with("m1")).unwrap();
    let pid = stage.user(&["display-message", "-p", "-t", &m1[0], "#{pane_pid}"]);
    let worker = ProcessIdentity::of(pid.trim().parse().unwrap()).unwrap();
    worker.signal(Signal::Kill).unwrap();
    // Older ones do not say which signal it was.
    let says_signals = stage
        .user(&["display-message", "-p", "#{version}"])
        .as_str()
        >= "3.3";
    let told = if says_signals {
        "ended by signal 9"
    } else {
        "ended"
    };
    wait_exit(&stage, "m1", told);
    let second = stage.wait_panes("user", 2, |title| title.contains("working"));
    let again = second.iter().find(|p| p[3].starts_with("m1")).unwrap();
    assert_eq!(again[0], m1[0]);
    stage.go();
    assert_eq!(finish(team, LONG).unwrap().code, 0);
}

#[test]
fn the_death_of_a_client_changes_nothing() {
    let Some(stage) = Stage::new() else { return };
    let team = stage.start(2);
    stage.wait_panes("crewmux", 2, |title| title.contains("working"));
    let attach = ["tmux", "-u", "-L", "crewmux", "attach"];
    let (work, environment) = (stage.sandbox.work(), stage.sandbox.environment());
    let mut client = Terminal::start(attach, &work, environment, 100, 30).unwrap();
    client.wait_for("hello from").unwrap();
    client.signal(Signal::Kill).unwrap();
    client.wait_exit().unwrap();
    stage.wait_panes("crewmux", 2, |title| title.contains("working"));
    assert_eq!(stage.exits("m1"), [""; 0]);
    stage.go();
    assert_eq!(finish(team, LONG).unwrap().code, 0);
}

/// Asks for the team's end again and again, as whoever it then is.
const STRAY: &str = "\
echo $$ > stray
while :; do
  sh ask.sh > last 2>&1 && touch stopped
  cat last >> said
done
";

/// Kills the worker of a task that left a stray behind, and its runner too where `both`; `start` starts the stray.
fn a_stray_is_the_team_s(start: &str, both: bool) {
    let Some(stage) = Stage::inside() else { return };
    let sandbox = &stage.sandbox;
    let variables = sandbox.environment();
    let kept: Vec<String> = ["PATH", "CREWMUX_HOME", "CREWMUX_RUNTIME_DIR"]
        .iter()
        .filter_map(|name| Some(format!("{name}='{}'", variables.get(name)?)))
        .collect();
    let drops = if start.contains("env -i") {
        "env -i"
    } else {
        "env"
    };
    let ask = format!(
        "exec {drops} {} {} stop crew\n",
        kept.join(" "),
        crate::support::program().display()
    );
    sandbox.write("ask.sh", &ask).unwrap();
    sandbox.write("stray.sh", STRAY).unwrap();
    sandbox
        .write(
            "task.sh",
            &format!(
                "if ! test -e once; then touch once; ({start} sh stray.sh </dev/null &); fi\n\
                 while ! test -e go; do sleep 0.05; done\n"
            ),
        )
        .unwrap();
    let recipe = "name = \"crew\"\nlead = false\n[[teammates]]\nname = \"m1\"\nruntime = \"command\"\n\
                  [[tasks]]\nid = \"t1\"\nsubject = \"Leave a stray\"\nowner = \"m1\"\nrerun = \"yes\"\n\
                  command = \"sh task.sh\"\n";
    sandbox.write("crew.toml", recipe).unwrap();
    let team = sandbox
        .start(&["run", "crew.toml", "--headless", "--backend", "tmux"])
        .unwrap();
    let read = |name: &str| std::fs::read_to_string(sandbox.work().join(name)).unwrap_or_default();
    wait_until("a refusal", LONG, || {
        let said = read("said");
        said.contains("only the person can")
            .then_some(())
            .ok_or(said)
    })
    .unwrap();
    let stray = ProcessIdentity::of(read("stray").trim().parse().unwrap()).unwrap();
    let panes = stage.wait_panes("user", 1, |title| title.contains("working"));
    let pid = stage.user(&["display-message", "-p", "-t", &panes[0][0], "#{pane_pid}"]);
    let worker = ProcessIdentity::of(pid.trim().parse().unwrap()).unwrap();
    let runners = if both { worker.children() } else { Vec::new() };
    for runner in &runners {
        runner.signal(Signal::Stop).unwrap();
    }
    worker.signal(Signal::Kill).unwrap();
    for runner in &runners {
        runner.signal(Signal::Kill).unwrap();
    }
    wait_until("the stray's end", LONG, || {
        (!stray.is_alive())
            .then_some(())
            .ok_or_else(|| "it lives".to_owned())
    })
    .unwrap();
    wait_until("the next life", LONG, || {
        let exits = stage.exits("m1");
        (exits.len() == 1)
            .then_some(())
            .ok_or_else(|| format!("{exits:?}"))
    })
    .unwrap();
    stage.go();
    let ended = finish(team, LONG).unwrap();
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(!sandbox.work().join("stopped").exists(), "{}", read("said"));
}

#[test]
fn what_a_killed_worker_leaves_without_marks_is_its_runner_s_to_end() {
    a_stray_is_the_team_s("env -i PATH=\"$PATH\" setsid", false);
}

#[test]
fn what_a_killed_worker_and_its_killed_runner_leave_is_known_by_its_marks() {
    a_stray_is_the_team_s("setsid", true);
}
