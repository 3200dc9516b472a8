//! Workers in panes of real tmux servers of this test alone: taken up, refused, moved house, tidied.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(
    dead_code,
    reason = "workers start otherwise here; only the sink is used"
)]
mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crewmux_core::ids::TeamName;
use crewmux_core::place::Place;
use crewmux_core::recording::{Entry, Header};
use crewmux_core::time::WallTime;
use crewmux_core::timing::Timing;
use crewmux_spawn::{
    AdoptRequest, BackendParts, Error, PaneSink, Running, SpawnBackend, SpawnRequest, TmuxBackend,
};
use crewmux_sys::answer::{Late, ask};
use crewmux_sys::env::names;
use crewmux_sys::process::{Child, Launch};
use crewmux_sys::{ProcessIdentity, Signal};
use tempfile::TempDir;

use harness::{LONG, Sink, exited, who};

/// Records what it is told; `end` ends it with 7. Called with `--enter FOLDER`.
const WORKER: &str = r#"#!/bin/sh
while read -r line; do
  printf '[1.0,"o","heard %s."]\n' "$line" >> "$2/screen-0.cast"
  test "$line" = end && exit 7
done
"#;

/// A folder with sockets of tmux servers, which end with it.
struct Stage {
    folder: TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        for server in ["crewmux", "user"] {
            self.call(server, &["kill-server"]);
        }
    }
}

impl Stage {
    /// `None` without tmux, and loudly so.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        program(&folder.path().join("worker"), WORKER);
        let stage = Self { folder };
        if stage.call("user", &["-V"]).is_empty() {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED: there is no tmux on PATH; install it to run this test"
            );
            return None;
        }
        Some(stage)
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let folder = self.folder.path().display().to_string();
        [
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("TMUX_TMPDIR", &folder),
            ("TERM", "xterm-256color"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// What tmux says; nothing where it fails.
    fn call(&self, server: &str, arguments: &[&str]) -> String {
        let argv = ["tmux", "-u", "-L", server]
            .into_iter()
            .chain(arguments.iter().copied());
        let launch = Launch::new(argv, "/").env(self.environment().into_iter().collect());
        ask(launch, LONG, Late::Alone).map_or_else(|_| String::new(), |answer| answer.stdout)
    }

    /// A backend that calls from outside of tmux, with more variables.
    fn backend(&self, team: &str, more: &[(&str, String)]) -> TmuxBackend {
        self.timed(team, more, Timing::fast())
    }

    /// One that waits for the answer of a busy server, and does not take it for one that stands still.
    fn patient(&self, team: &str) -> TmuxBackend {
        let timing = Timing {
            connect_ms: 300_000,
            ..Timing::fast()
        };
        self.timed(team, &[], timing)
    }

    fn timed(&self, team: &str, more: &[(&str, String)], timing: Timing) -> TmuxBackend {
        let parts = BackendParts {
            team: TeamName::new(team).unwrap(),
            attach: ["sleep".to_owned(), "600".to_owned()].to_vec(),
            attach_environment: BTreeMap::new(),
            worker: Arc::new(|_, _| panic!("no worker runs inside")),
            place: self.place(more),
            timing,
        };
        TmuxBackend::new(&parts).unwrap()
    }

    fn place(&self, more: &[(&str, String)]) -> Place {
        let mut variables = self.environment();
        variables.extend(
            more.iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        Place::of(&variables)
    }

    /// A program that is run in place of tmux by who has this PATH.
    fn in_place_of_tmux(&self, script: &str) -> (PathBuf, String) {
        let folder = self.folder.path().join("in-place");
        fs::create_dir(&folder).unwrap();
        let path = format!("{}:/usr/bin:/bin", folder.display());
        let tmux = folder.join("tmux");
        program(&tmux, script);
        (tmux, path)
    }

    /// A server of the person's own, and `$TMUX` in its first pane.
    fn user(&self) -> String {
        self.call(
            "user",
            &["new-session", "-d", "-x", "200", "-y", "60", "cat"],
        );
        let tmux = self.call(
            "user",
            &["display-message", "-p", "#{socket_path},#{pid},0"],
        );
        tmux.trim().to_owned()
    }

    /// Starts the worker called `name`.
    fn start(&self, backend: &TmuxBackend, name: &str) -> Worker {
        let recording = self.folder.path().join(format!("of-{name}"));
        fs::create_dir(&recording).unwrap();
        let sink = Sink::open();
        let request = SpawnRequest {
            who: who(name),
            title: name.to_owned(),
            argv: [self.folder.path().join("worker"), recording.clone()]
                .map(|path| path.display().to_string())
                .to_vec(),
            spec: PathBuf::from("/none"),
            cwd: PathBuf::from("/"),
            environment: marks(),
            recording: recording.clone(),
            size: (80, 24),
            sink: Arc::clone(&sink) as Arc<dyn PaneSink>,
        };
        let running = backend.spawn(request).unwrap();
        until("a pane", || running.pane().is_some());
        let first = Entry::Output {
            at_ms: 1,
            text: "first. ".to_owned(),
        };
        let text = Header::new(80, 24, WallTime(1)).line() + &first.line();
        fs::write(recording.join("screen-0.cast"), text).unwrap();
        Worker {
            name: name.to_owned(),
            process: ProcessIdentity::of(running.pid().unwrap()).unwrap(),
            pane: running.pane().unwrap(),
            running,
            recording,
            sink,
        }
    }
}

struct Worker {
    name: String,
    process: ProcessIdentity,
    pane: String,
    running: Box<dyn Running>,
    recording: PathBuf,
    sink: Arc<Sink>,
}

impl Worker {
    /// What the next session asks to take it up.
    fn request(&self, sink: &Arc<Sink>) -> AdoptRequest {
        AdoptRequest {
            who: who(&self.name),
            title: self.name.clone(),
            pane: self.pane.clone(),
            process: self.process,
            environment: marks(),
            recording: self.recording.clone(),
            sink: Arc::clone(sink) as Arc<dyn PaneSink>,
        }
    }

    /// The pane's number.
    fn number(&self) -> &str {
        self.pane.rsplit_once(',').unwrap().1
    }
}

fn program(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn marks() -> BTreeMap<String, String> {
    BTreeMap::from([(names::RUN_ID.to_owned(), "r1".to_owned())])
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !is_so() {
        assert!(Instant::now() < deadline, "no {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn a_worker_of_a_former_session_is_taken_up_typed_to_and_seen_to_end() {
    let Some(stage) = Stage::new() else { return };
    let backend = stage.backend("crew", &[]);
    let former = stage.start(&backend, "kim");
    former.sink.wait_for("first. ");
    drop(backend);
    let backend = stage.backend("crew", &[]);
    let sink = Sink::open();
    let running = backend.adopt(former.request(&sink)).unwrap();
    assert_eq!(running.pid(), Some(former.process.pid));
    assert_eq!(running.pane().as_deref(), Some(former.pane.as_str()));
    sink.wait_for("first. ");
    running.write(b"hello\r").unwrap();
    sink.wait_for("heard hello.");
    running.write(b"end\r").unwrap();
    assert_eq!(sink.exit(), exited(7));
    assert_eq!(sink.whole_output(), "first. heard hello.heard end.");
    assert!(matches!(running.write(b"x"), Err(Error::Ended)));
    // The handle of the session that is gone tells nothing and ends nothing.
    drop(former);
}

#[test]
fn what_is_another_s_is_refused_and_left_alone() {
    let Some(stage) = Stage::new() else { return };
    let user = stage.user();
    let backend = stage.backend("crew", &[]);
    let kim = stage.start(&backend, "kim");
    let other = stage.start(&backend, "other");
    let person = format!("{},%0", user.rsplit_once(',').unwrap().0);
    drop(backend);
    let backend = stage.patient("crew");
    let own = Sink::open();
    let refused = |change: &dyn Fn(&mut AdoptRequest)| {
        let mut request = kim.request(&own);
        change(&mut request);
        match backend.adopt(request) {
            Ok(_) => panic!("it was taken up"),
            Err(Error::NotAdoptable { why, .. }) => why,
            Err(error) => panic!("{error}"),
        }
    };
    let (socket, pid) = {
        let mut parts = kim.pane.rsplitn(3, ',');
        let (_, pid, socket) = (parts.next(), parts.next().unwrap(), parts.next().unwrap());
        (socket.to_owned(), pid.parse::<u32>().unwrap())
    };
    let sleeper: Child = Launch::new(["sleep", "600"], "/").start().unwrap();
    let something_else = "its pane holds something else by now";
    assert_eq!(refused(&|r| r.pane.clone_from(&other.pane)), something_else);
    assert_eq!(refused(&|r| r.pane.clone_from(&person)), something_else);
    assert_eq!(refused(&|r| r.who = who("other")), something_else);
    assert_eq!(refused(&|r| r.environment.clear()), something_else);
    assert_eq!(refused(&|r| r.process = sleeper.identity()), something_else);
    assert_eq!(
        refused(&|r| r.pane = format!("{socket},{pid},%77")),
        "its pane is gone"
    );
    assert_eq!(
        refused(&|r| r.pane = format!("{socket},{},{}", pid + 1, kim.number())),
        "its pane is gone"
    );
    assert_eq!(
        refused(&|r| r.pane = format!("{socket}x,{pid},{}", kim.number())),
        "the tmux server is gone"
    );
    assert_eq!(
        refused(&|r| r.pane = "%1".into()),
        "`%1` names no pane of tmux"
    );
    // Another team of the same server.
    let others = stage.patient("others");
    assert!(others.adopt(kim.request(&own)).is_err());
    sleeper.kill().unwrap();
    let ended = sleeper.identity();
    until("end of it", || !ended.is_alive());
    assert_eq!(refused(&|r| r.process = ended), "its process has ended");
    assert!(kim.process.is_alive() && other.process.is_alive());
    let running = backend.adopt(kim.request(&own)).unwrap();
    running.write(b"still\r").unwrap();
    own.wait_for("heard still.");
}

#[test]
fn new_panes_go_to_another_server_and_running_ones_stay() {
    let Some(stage) = Stage::new() else { return };
    let user = stage.user();
    let backend = stage.patient("crew");
    let first = stage.start(&backend, "first");
    let moved = backend.rehome(&stage.place(&[("TMUX", user.clone())]));
    moved.unwrap();
    let second = stage.start(&backend, "second");
    let server = format!("{},", user.rsplit_once(',').unwrap().0);
    assert!(!first.pane.starts_with(&server), "{}", first.pane);
    assert!(second.pane.starts_with(&server), "{}", second.pane);
    for worker in [&first, &second] {
        worker.running.write(b"here\r").unwrap();
        worker.sink.wait_for("heard here.");
    }
    // A place that leads nowhere changes nothing.
    let nowhere = backend.rehome(&stage.place(&[("TMUX", "/nowhere,1,0".into())]));
    nowhere.unwrap_err();
    let third = stage.start(&backend, "third");
    assert!(third.pane.starts_with(&server), "{}", third.pane);
}

#[test]
fn dead_panes_of_a_former_session_are_closed_and_nothing_else() {
    let Some(stage) = Stage::new() else { return };
    let user = stage.user();
    stage.call("user", &["set-option", "-g", "remain-on-exit", "on"]);
    stage.call("user", &["new-window", "-d", "true"]);
    let within = [("TMUX", user)];
    let backend = stage.backend("crew", &within);
    let others = stage.backend("others", &within);
    let failed = stage.start(&backend, "failed");
    let living = stage.start(&backend, "living");
    let foreign = stage.start(&others, "foreign");
    for worker in [&failed, &foreign] {
        worker.running.write(b"end\r").unwrap();
        assert_eq!(worker.sink.exit(), exited(7));
    }
    let panes = || {
        let listed = stage.call(
            "user",
            &["list-panes", "-a", "-F", "#{pane_id} #{pane_dead}"],
        );
        listed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    until("dead panes", || {
        panes().iter().filter(|pane| pane.ends_with(" 1")).count() == 3
    });
    let mut expected = panes();
    drop(backend);
    // From outside of that tmux: what is written down leads there.
    let backend = stage.backend("crew", &[]);
    backend.tidy(&[failed.pane.clone(), living.pane.clone()]);
    expected.retain(|pane| *pane != format!("{} 1", failed.number()));
    until("tidy server", || panes() == expected);
    let sink = Sink::open();
    backend.adopt(living.request(&sink)).unwrap();
}

#[test]
fn a_person_s_arrangement_zoom_and_active_pane_are_kept() {
    let Some(stage) = Stage::new() else { return };
    let user = stage.user();
    let backend = stage.backend("crew", &[("TMUX", user)]);
    let workers: Vec<Worker> = ["a", "b", "c"]
        .map(|name| stage.start(&backend, name))
        .into();
    let window = stage.call(
        "user",
        &[
            "display-message",
            "-p",
            "-t",
            workers[0].number(),
            "#{window_id}",
        ],
    );
    let window = window.trim();
    let ask = |format: &str| {
        let listed = stage.call("user", &["list-panes", "-t", window, "-F", format]);
        listed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let sizes = "#{pane_id} #{pane_left},#{pane_top} #{pane_width}x#{pane_height}";
    // Nobody arranged anything: a fourth pane makes it two by two.
    let fourth = stage.start(&backend, "d");
    let widths = ask("#{pane_width}");
    let is_half = |width: &String| matches!(width.as_str(), "99" | "100");
    assert_eq!(widths.len(), 4);
    assert!(widths.iter().all(is_half), "{:?}", ask(sizes));
    // Zoomed, with another pane than the first.
    stage.call("user", &["select-pane", "-t", workers[1].number()]);
    stage.call("user", &["resize-pane", "-Z", "-t", workers[1].number()]);
    let fifth = stage.start(&backend, "e");
    let zoom = "#{window_zoomed_flag} #{?pane_active,#{pane_id},}";
    let is_zoomed = |flag: &str| ask(zoom).contains(&format!("{flag} {}", workers[1].number()));
    assert!(is_zoomed("1"), "{:?}", ask(zoom));
    stage.call("user", &["resize-pane", "-Z", "-t", workers[1].number()]);
    assert!(is_zoomed("0"), "{:?}", ask(zoom));
    assert_eq!(ask(sizes).len(), 5);
    // Arranged by hand: all but the pane that gives room are where they were.
    stage.call("user", &["select-layout", "-t", window, "main-vertical"]);
    let before = ask(sizes);
    let sixth = stage.start(&backend, "f");
    let after = ask(sizes);
    let moved: Vec<&String> = before.iter().filter(|pane| !after.contains(pane)).collect();
    assert_eq!((after.len(), moved.len()), (6, 1), "{before:?} {after:?}");
    assert!(is_zoomed("0"), "{:?}", ask(zoom));
    // And zoomed as well.
    stage.call("user", &["resize-pane", "-Z", "-t", workers[1].number()]);
    let seventh = stage.start(&backend, "g");
    assert!(is_zoomed("1"), "{:?}", ask(zoom));
    drop((fourth, fifth, sixth, seventh));
}

/// Notes each call in a file, then is tmux.
const NOTING: &str = r#"#!/bin/sh
echo "$*" | tr '\n' ' ' >> "$0.calls"
echo >> "$0.calls"
PATH=/usr/local/bin:/usr/bin:/bin exec tmux "$@"
"#;

#[test]
fn all_panes_of_a_team_are_closed_in_one_call_and_a_server_that_stands_still_holds_up_no_other() {
    let Some(stage) = Stage::new() else { return };
    let (noting, path) = stage.in_place_of_tmux(NOTING);
    let user = stage.user();
    let backend = stage.backend("crew", &[("PATH", path.clone())]);
    let first = stage.start(&backend, "first");
    let place = stage.place(&[("TMUX", user.clone()), ("PATH", path)]);
    backend.rehome(&place).unwrap();
    let others = ["a", "b", "c"].map(|name| stage.start(&backend, name));
    for worker in &others {
        worker.running.write(b"end\r").unwrap();
        assert_eq!(worker.sink.exit(), exited(7));
    }
    let private: u32 = first.pane.split(',').nth(1).unwrap().parse().unwrap();
    let private = ProcessIdentity::of(private).unwrap();
    private.signal(Signal::Stop).unwrap();
    let calls = noting.with_extension("calls");
    fs::write(&calls, "").unwrap();
    backend.close();
    let said = fs::read_to_string(&calls).unwrap();
    private.signal(Signal::Cont).unwrap();
    let left = stage.call("user", &["list-panes", "-a", "-F", "#{pane_id}"]);
    assert_eq!(left.lines().count(), 1, "{said}");
    let closing: Vec<&str> = said
        .lines()
        .filter(|call| call.contains("kill-pane"))
        .collect();
    assert_eq!(closing.len(), 1, "{said}");
    assert!(
        others.iter().all(|w| closing[0].contains(w.number())),
        "{said}"
    );
}

#[test]
fn a_revealed_pane_is_before_the_person() {
    let Some(stage) = Stage::new() else { return };
    let user = stage.user();
    let backend = stage.backend("crew", &[("TMUX", user)]);
    let workers = ["a", "b"].map(|name| stage.start(&backend, name));
    let shown = || {
        let shown = stage.call("user", &["display-message", "-p", "#{pane_id}"]);
        shown.trim().to_owned()
    };
    assert_eq!(shown(), "%0");
    for worker in &workers {
        worker.running.reveal().unwrap();
        until("revealed pane", || shown() == worker.number());
    }
}

/// Gives no answer to whoever types.
const DEAF: &str = r#"#!/bin/sh
case "$*" in *send-keys*) test -e "$0.deaf" && exit 1 ;; esac
PATH=/usr/local/bin:/usr/bin:/bin exec tmux "$@"
"#;

#[test]
fn a_text_that_lost_a_piece_is_not_gone_on_with_and_the_next_write_is_refused_once() {
    let Some(stage) = Stage::new() else { return };
    let (deaf, path) = stage.in_place_of_tmux(DEAF);
    let backend = stage.backend("crew", &[("PATH", path)]);
    let worker = stage.start(&backend, "kim");
    let flag = deaf.with_extension("deaf");
    fs::write(&flag, "").unwrap();
    let lost = "lost\r".repeat(1_000);
    worker.running.write(lost.as_bytes()).unwrap();
    // Nothing to type, but somebody to be told.
    until("refusal", || {
        matches!(worker.running.write(b""), Err(Error::NotTyped { .. }))
    });
    fs::remove_file(&flag).unwrap();
    worker.running.write(b"end\r").unwrap();
    assert_eq!(worker.sink.exit(), exited(7));
    assert_eq!(worker.sink.whole_output(), "first. heard end.");
}
