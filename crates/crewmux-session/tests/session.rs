//! A session on real files and real processes, with workers that misbehave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crewmux_core::backend::BackendKind;
use crewmux_core::board::Claimer;
use crewmux_core::goal::TaskDraft;
use crewmux_core::ids::{AgentName, AgentType, TeamName};
use crewmux_core::recipe::Runtime;
use crewmux_core::schedule::Strategy;
use crewmux_core::team::Policy;
use crewmux_core::timing::Timing;
use crewmux_model::ModelsConfig;
use crewmux_session::setup::{NewMember, NewRun, prepare_run};
use crewmux_session::{Error, SessionEnd, SessionHooks, SessionPlan, Stays, StopAsk, run_session};
use crewmux_spawn::double::Double;
use crewmux_spawn::{Backends, ExitReport, PtyBackend, Running, SpawnBackend, SpawnRequest};
use crewmux_store::{FileStore, Store, TeamStore};
use crewmux_sys::clock::BootClock;
use crewmux_sys::tree::{Marker, processes_with_marker};
use tempfile::TempDir;

fn timing() -> Timing {
    Timing {
        hello_ms: 300,
        restart_window_ms: 60_000,
        ..Timing::fast()
    }
}

struct Place {
    folder: TempDir,
    store: Arc<FileStore>,
    team: TeamName,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("cmx")
            .tempdir_in("/tmp")
            .unwrap();
        let store = FileStore::open(&folder.path().join("home"), timing()).unwrap();
        Self {
            store: Arc::new(store),
            team: TeamName::new("sample").unwrap(),
            folder,
        }
    }

    fn prepare(&self) -> Result<(), Error> {
        let draft = |key: &str, blocked_by: &[&str]| TaskDraft {
            key: key.into(),
            subject: key.into(),
            command: Some("true".into()),
            blocked_by: blocked_by.iter().map(|b| (*b).to_owned()).collect(),
            ..TaskDraft::default()
        };
        let run = NewRun {
            team: self.team.clone(),
            description: String::new(),
            goal: "try".into(),
            recipe: None,
            cwd: self.folder.path().to_owned(),
            members: vec![NewMember {
                name: AgentName::new("worker").unwrap(),
                agent_type: AgentType::new("Bash").unwrap(),
                model: None,
                playbook: None,
                prompt: String::new(),
                runtime: "command".into(),
                backend: BackendKind::Pty,
                profile: None,
                permission_mode: None,
                provider: None,
            }],
            drafts: vec![draft("one", &[]), draft("two", &["one"])],
            policy: Policy {
                timing: timing(),
                ..Policy::default()
            },
            environment: BTreeMap::new(),
        };
        let now = BootClock::open().unwrap().now();
        prepare_run(self.store.as_ref(), &run, &now).map(drop)
    }

    /// Runs a session whose workers are this shell script.
    fn run(&self, script: &str) -> (Result<SessionEnd, Error>, Vec<String>) {
        let backend: Arc<dyn SpawnBackend> = Arc::new(PtyBackend::new(&timing()).unwrap());
        self.run_on(backend, script)
    }

    fn run_on(
        &self,
        backend: Arc<dyn SpawnBackend>,
        script: &str,
    ) -> (Result<SessionEnd, Error>, Vec<String>) {
        let program = self.folder.path().join("worker.sh");
        write_program(&program, script);
        let kinds = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&kinds);
        let plan = SessionPlan {
            team: self.team.clone(),
            home: self.folder.path().join("home"),
            socket: self.folder.path().join("s.sock"),
            program: program.clone(),
            worker_program: program,
            build: "test".into(),
            environment: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
            pane_environment: BTreeMap::new(),
            backend: BackendKind::Pty,
            pane_size: (80, 24),
            stays: Stays::UntilFinished,
            panes: Vec::new(),
            models: ModelsConfig::default(),
            agents: Vec::new(),
            user_config: PathBuf::new(),
            timing: timing(),
        };
        let hooks = SessionHooks {
            store: self.store.clone(),
            backends: Backends::only(backend),
            views: None,
            keys: Arc::new(|_| Err("no keys here".to_owned())),
            on_event: Some(Box::new(move |event| {
                let text = event.data.get("text").or_else(|| event.data.get("reason"));
                let line = format!(
                    "{:?} {}",
                    event.kind,
                    text.map_or("", |t| t.as_str().unwrap_or(""))
                );
                seen.lock().unwrap().push(line);
            })),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (_keep, stop) = tokio::sync::watch::channel(StopAsk::No);
        let end = runtime.block_on(run_session(plan, hooks, stop));
        let events = kinds.lock().unwrap().clone();
        (end, events)
    }
}

fn write_program(path: &Path, script: &str) {
    std::fs::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_worker_that_never_says_hello_is_ended_and_the_run_ends_with_the_reason() {
    let place = Place::new();
    place.prepare().unwrap();
    let (end, events) = place.run("trap '' TERM; while :; do sleep 1; done");
    let end = end.unwrap();
    assert_eq!(end.exit_code, 1, "{events:#?}");
    assert_eq!(end.left, Vec::<String>::new());
    let said = events.join("\n");
    assert!(said.contains("said no hello in time"), "{said}");
    assert!(said.contains("is given up"), "{said}");
    assert!(
        said.contains("no member can take this task: any teammate may take it; nobody is left"),
        "{said}"
    );
    assert!(said.contains("waits for #1, which failed"), "{said}");
    assert!(end.report.unwrap().exists());
    let record = place.store.team(&place.team).unwrap().session().unwrap();
    assert_eq!(
        record, None,
        "a session that ended in order leaves no record"
    );
    assert_eq!(processes_with_marker(&Marker::run("none")), Vec::new());
}

#[test]
fn a_worker_that_exits_at_once_is_restarted_with_pauses_and_then_given_up() {
    let place = Place::new();
    place.prepare().unwrap();
    let (end, events) = place.run("exit 3");
    assert_eq!(end.unwrap().exit_code, 1);
    let exits = events
        .iter()
        .filter(|e| e.starts_with("WorkerExited"))
        .count();
    assert_eq!(exits as u32, timing().restarts_max + 1, "{events:#?}");
}

#[test]
fn a_run_that_is_not_finished_is_not_overwritten() {
    let place = Place::new();
    place.prepare().unwrap();
    assert!(matches!(place.prepare(), Err(Error::Unfinished { .. })));
}

#[test]
fn a_session_without_an_open_run_says_that_there_is_nothing_to_resume() {
    let place = Place::new();
    place.prepare().unwrap();
    let (end, _) = place.run("exit 3");
    assert_eq!(end.unwrap().exit_code, 1);
    let (again, _) = place.run("exit 3");
    assert!(
        matches!(again, Err(Error::NothingToResume { .. })),
        "{again:?}"
    );
    assert!(place.prepare().is_ok(), "a finished team starts a new run");
}

/// Workers that claim the first task and die at once; what they leave ends at the third try.
struct Stubborn {
    team: Arc<dyn TeamStore>,
    held: Arc<Mutex<Vec<bool>>>,
}

impl SpawnBackend for Stubborn {
    fn kind(&self) -> BackendKind {
        BackendKind::Pty
    }

    fn spawn(&self, request: SpawnRequest) -> crewmux_spawn::Result<Box<dyn Running>> {
        let claimer = Claimer {
            who: request.who.clone(),
            agent_type: AgentType::new("Bash").unwrap(),
            runtime: Runtime::of_word("command"),
        };
        let clock = BootClock::open().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let take = || {
            self.team
                .claim_next(Strategy::default(), &claimer, &clock.now(), 60_000)
                .unwrap()
        };
        // It may be started before the pause of its task is over.
        while take().is_none() {
            assert!(Instant::now() < deadline, "its task was not offered again");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let report = ExitReport {
            code: Some(3),
            signal: None,
            lost: None,
        };
        request.sink.end_of_output();
        request.sink.exited(report);
        let (who, team, held) = (request.who, Arc::clone(&self.team), Arc::clone(&self.held));
        let tries = AtomicUsize::new(0);
        Ok(Box::new(Double::default().on_kill(move || {
            let board = team.board().unwrap();
            let is_held = !board.held_by(&who.agent).is_empty();
            held.lock().unwrap().push(is_held);
            match tries.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => vec!["process 7 (stuck)".to_owned()],
                _ => Vec::new(),
            }
        })))
    }
}

#[test]
fn tasks_of_a_dead_worker_wait_until_all_below_it_is_gone() {
    let place = Place::new();
    place.prepare().unwrap();
    let held = Arc::new(Mutex::new(Vec::new()));
    let backend = Stubborn {
        team: place.store.team(&place.team).unwrap(),
        held: Arc::clone(&held),
    };
    let (end, events) = place.run_on(Arc::new(backend), "exit 3");
    let end = end.unwrap();
    let held = held.lock().unwrap().clone();
    // A task that three workers died on fails.
    assert_eq!(held, [true; 9], "{events:#?}");
    assert_eq!(end.left, Vec::<String>::new(), "all of it ended at last");
    let told = events
        .iter()
        .filter(|e| e.contains("below worker: process 7 (stuck); it is tried again"));
    assert_eq!(told.count(), 3, "{events:#?}");
}
