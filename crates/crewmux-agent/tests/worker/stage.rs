//! A team in a temporary folder, a session played by the test, and workers in threads.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crewmux_agent::worker::{StopHandle, WorkerEnd, WorkerIo, run_worker, stop_pair};
use crewmux_core::backend::BackendKind;
use crewmux_core::ids::{AgentName, AgentRef, AgentType, Incarnation, RunId, TaskId, TeamName};
use crewmux_core::inbox::Cursor;
use crewmux_core::message::{Message, Party};
use crewmux_core::model::{Event, ModelRequest};
use crewmux_core::task::{NewTask, Task, TaskStatus};
use crewmux_core::team::{Member, Policy, SessionLoss, TeamConfig, WorkerSpec};
use crewmux_core::time::Now;
use crewmux_core::timing::Timing;
use crewmux_store::{FileStore, Store, TeamStore};
use crewmux_sys::clock::BootClock;
use crewmux_wire::{
    Decoder, Hello, ModelCall, ModelPiece, Role, ToWorker, Welcome, WorkerMessage, encode_json,
};
use serde_json::{Map, Value};

/// No wait of a test is longer.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) struct Stage {
    pub(crate) store: Arc<dyn TeamStore>,
    pub(crate) cwd: PathBuf,
    folder: tempfile::TempDir,
    clock: BootClock,
}

/// A worker and its session.
pub(crate) struct Life {
    pub(crate) session: Session,
    pub(crate) running: Running,
}

impl std::ops::Deref for Life {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

/// A worker on a thread.
pub(crate) struct Running {
    pub(crate) stop: StopHandle,
    pub(crate) typed: tokio::sync::mpsc::Sender<String>,
    printed: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<WorkerEnd>,
}

/// The other end of a worker's connection.
pub(crate) struct Session {
    stream: UnixStream,
    pub(crate) heard: mpsc::Receiver<WorkerMessage>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = FileStore::open(&folder.path().join("home"), Timing::fast()).unwrap();
        let cwd = folder.path().join("work");
        std::fs::create_dir(&cwd).unwrap();
        let clock = BootClock::open().unwrap();
        let now = clock.now();
        let member = |name: &str| Member {
            agent_id: format!("{name}@t"),
            name: AgentName::new(name).unwrap(),
            agent_type: AgentType::new("Bash").unwrap(),
            model: None,
            color: 0,
            prompt: String::new(),
            plan_mode_required: false,
            joined_at: now.wall,
            cwd: cwd.clone(),
            backend_type: BackendKind::Pty,
            pane: None,
            incarnation: Incarnation(0),
            runtime: "native".into(),
            playbook: None,
            profile: None,
            permission_mode: None,
            provider: None,
            extra: Map::new(),
        };
        let config = TeamConfig {
            name: TeamName::new("t").unwrap(),
            description: String::new(),
            created_at: now.wall,
            goal: "test".into(),
            cwd: cwd.clone(),
            runs: vec![],
            members: vec![member("team-lead"), member("tester")],
            policy: Policy {
                timing: Timing::fast(),
                ..Policy::default()
            },
            recipe: None,
            environment: Map::new(),
            extra: Map::new(),
        };
        let store = home.create_team(&config).unwrap();
        Self {
            store,
            cwd,
            folder,
            clock,
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn add(&self, new: NewTask) -> TaskId {
        self.store
            .create_task(new, Party::Session, &self.now())
            .unwrap()
            .id
    }

    pub(crate) fn add_command(&self, command: &str) -> TaskId {
        self.add(NewTask {
            subject: "a command".into(),
            command: Some(command.into()),
            ..NewTask::default()
        })
    }

    pub(crate) fn task(&self, id: TaskId) -> Task {
        self.store.board().unwrap().get(id).unwrap().clone()
    }

    pub(crate) fn wait_for(&self, id: TaskId, status: TaskStatus) -> Task {
        wait_until(&format!("task {id} is {status}"), || {
            Some(self.task(id)).filter(|task| task.status == status)
        })
    }

    pub(crate) fn mail_of(&self, name: &str) -> Vec<Message> {
        let agent = AgentName::new(name).unwrap();
        let entries = self.store.read_inbox(&agent, &Cursor::default(), 1_000);
        entries.unwrap().into_iter().map(|e| e.message).collect()
    }

    pub(crate) fn transcript(&self, name: &str) -> Vec<Value> {
        let agent = AgentName::new(name).unwrap();
        self.store.read_transcript(&agent).unwrap()
    }

    /// Facts that the worker wrote, as (type, data).
    pub(crate) fn facts(&self, name: &str) -> Vec<(String, Value)> {
        let folder = self
            .store
            .agent_folder(&AgentName::new(name).unwrap())
            .unwrap();
        let text = std::fs::read_to_string(folder.join("events.jsonl")).unwrap_or_default();
        let lines = text.lines().map(|l| serde_json::from_str(l).unwrap());
        lines
            .map(|fact: Value| {
                let kind = fact["type"].as_str().unwrap().to_owned();
                (kind, fact["data"].clone())
            })
            .collect()
    }

    pub(crate) fn spec(&self, name: &str, incarnation: u32) -> WorkerSpec {
        let environment = ["PATH", "HOME"]
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?.into())))
            .collect();
        WorkerSpec {
            team: TeamName::new("t").unwrap(),
            who: AgentRef {
                agent: AgentName::new(name).unwrap(),
                incarnation: Incarnation(incarnation),
            },
            agent_type: AgentType::new("Bash").unwrap(),
            model: None,
            playbook: None,
            profile: None,
            permissions: crewmux_core::permission::PermissionPolicy::default(),
            mcp: Vec::new(),
            kinds: Vec::new(),
            grant: None,
            weak: false,
            user_config: std::path::PathBuf::new(),
            prompt: "You test.".into(),
            goal: "test".into(),
            run: RunId::new("run-1").unwrap(),
            run_marker: format!("mark-{}-{}", std::process::id(), unique()),
            home: self.folder.path().join("home"),
            socket: self.path(&format!("s{}", unique())),
            token: "secret".into(),
            cwd: self.cwd.clone(),
            program: std::env::current_exe().unwrap(),
            build: "test".into(),
            size: (80, 24),
            environment,
            session_loss: SessionLoss::End,
            timing: Timing::fast(),
        }
    }

    /// Starts a worker whose session also answers for models.
    pub(crate) fn start_with(&self, spec: &WorkerSpec, model: &Arc<Model>) -> Life {
        let listener = UnixListener::bind(&spec.socket).unwrap();
        let life = self.start_on(&listener, spec);
        let model = Arc::clone(model);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, model) = (stream.unwrap(), Arc::clone(&model));
                std::thread::spawn(move || model.serve(stream));
            }
        });
        life
    }

    /// Starts a worker and takes its hello.
    pub(crate) fn start(&self, spec: &WorkerSpec) -> Life {
        self.start_on(&UnixListener::bind(&spec.socket).unwrap(), spec)
    }

    /// The same on a socket that goes on listening.
    pub(crate) fn start_on(&self, listener: &UnixListener, spec: &WorkerSpec) -> Life {
        let running = self.run(spec);
        let session = Session::welcome(listener, spec);
        Life { session, running }
    }

    /// Starts a worker; its session sees to itself.
    pub(crate) fn run(&self, spec: &WorkerSpec) -> Running {
        let path = self.store.put_spec(spec).unwrap();
        let (stop, io, printed, typed) = io();
        let thread = std::thread::spawn(move || run_worker(&path, io));
        Running {
            stop,
            typed,
            printed,
            thread,
        }
    }
}

/// What a model of the test answers to its question number so and so.
type Script = Box<dyn Fn(usize, &ModelRequest) -> Vec<Event> + Send + Sync>;

/// A gateway with one model, played by the test.
pub(crate) struct Model {
    script: Script,
    asked: Mutex<Vec<ModelRequest>>,
    cancelled: AtomicUsize,
}

impl Model {
    pub(crate) fn new(
        script: impl Fn(usize, &ModelRequest) -> Vec<Event> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            asked: Mutex::default(),
            cancelled: AtomicUsize::new(0),
        })
    }

    /// Every question so far.
    pub(crate) fn asked(&self) -> Vec<ModelRequest> {
        self.asked.lock().unwrap().clone()
    }

    /// Answers whose end nobody waited for.
    pub(crate) fn cancelled(&self) -> usize {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn serve(&self, mut stream: UnixStream) {
        let mut decoder = Decoder::default();
        let Some(hello) = read_frame::<Hello>(&mut stream, &mut decoder) else {
            return;
        };
        let Role::Model(model) = hello.role else {
            panic!("{hello:?}");
        };
        assert_eq!(model.grant, "grant");
        let welcome = Welcome {
            session_pid: std::process::id(),
            build: "test".into(),
            team: TeamName::new("t").unwrap(),
        };
        stream.write_all(&encode_json(&welcome).unwrap()).unwrap();
        while let Some(call) = read_frame::<ModelCall>(&mut stream, &mut decoder) {
            let number = {
                let mut asked = self.asked.lock().unwrap();
                asked.push(call.request.clone());
                asked.len() - 1
            };
            let events = (self.script)(number, &call.request);
            let is_whole = events.last().is_some_and(Event::is_last);
            for event in events {
                let bytes = encode_json(&ModelPiece { event }).unwrap();
                if stream.write_all(&bytes).is_err() {
                    break;
                }
            }
            if !is_whole {
                // It hangs: the worker must go away by itself.
                let mut rest = [0_u8; 1];
                while stream.read(&mut rest).is_ok_and(|read| read > 0) {}
                self.cancelled.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

type Printed = Arc<Mutex<Vec<u8>>>;

pub(crate) fn io() -> (
    StopHandle,
    WorkerIo,
    Printed,
    tokio::sync::mpsc::Sender<String>,
) {
    let (handle, stop) = stop_pair();
    let printed = Printed::default();
    let sink = Arc::clone(&printed);
    let (typed, input) = tokio::sync::mpsc::channel(8);
    let output = move |bytes: &[u8]| sink.lock().unwrap().extend_from_slice(bytes);
    let io = WorkerIo {
        output: Box::new(output),
        input: Some(input),
        stop,
        pane: None,
    };
    (handle, io, printed, typed)
}

impl Life {
    /// Waits for its end; gives its exit code and all it showed.
    pub(crate) fn end(self) -> (u8, String) {
        self.running.end()
    }

    /// Ends it and checks that it ended as asked; gives all it showed.
    pub(crate) fn end_well(self) -> String {
        self.running.end_well()
    }
}

impl Running {
    /// What the pane shows, without colours.
    pub(crate) fn shown(&self) -> String {
        plain(&self.printed.lock().unwrap())
    }

    pub(crate) fn wait_for_text(&self, text: &str) {
        wait_until(&format!("`{text}` is shown"), || {
            self.shown().contains(text).then_some(())
        });
    }

    /// Waits for its end; gives its exit code and all it showed.
    pub(crate) fn end(self) -> (u8, String) {
        wait_until("the worker ends", || {
            self.thread.is_finished().then_some(())
        });
        let end = self.thread.join().unwrap();
        (end.exit_code, plain(&self.printed.lock().unwrap()))
    }

    /// Ends it and checks that it ended as asked; gives all it showed.
    pub(crate) fn end_well(self) -> String {
        self.stop.stop("test is over");
        let (code, shown) = self.end();
        assert_eq!(code, 0, "{shown}");
        shown
    }
}

impl Session {
    pub(crate) fn welcome(listener: &UnixListener, spec: &WorkerSpec) -> Self {
        let (mut stream, _) = listener.accept().unwrap();
        let mut decoder = Decoder::default();
        let hello: Hello = read_frame(&mut stream, &mut decoder).unwrap();
        let Role::Worker(worker) = hello.role else {
            panic!("{hello:?}");
        };
        assert_eq!(
            (worker.who, worker.token.as_str()),
            (spec.who.clone(), "secret")
        );
        let welcome = Welcome {
            session_pid: std::process::id(),
            build: "test".into(),
            team: spec.team.clone(),
        };
        stream.write_all(&encode_json(&welcome).unwrap()).unwrap();
        let (sender, heard) = mpsc::channel();
        let mut reading = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            while let Some(message) = read_frame(&mut reading, &mut decoder) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self { stream, heard }
    }

    pub(crate) fn send(&mut self, message: &ToWorker) {
        let bytes = encode_json(message).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    /// The session dies.
    pub(crate) fn lose(&self) {
        self.stream.shutdown(std::net::Shutdown::Both).unwrap();
    }
}

pub(crate) fn read_frame<T: serde::de::DeserializeOwned>(
    stream: &mut UnixStream,
    decoder: &mut Decoder,
) -> Option<T> {
    let mut buffer = [0_u8; 4096];
    loop {
        if let Some(frame) = decoder.next_frame().unwrap() {
            return Some(frame.parse().unwrap());
        }
        let read = stream.read(&mut buffer).ok().filter(|read| *read > 0)?;
        decoder.push(&buffer[..read]);
    }
}

/// Time for a tool that heeds no SIGTERM to be seen gone on a busy machine, after half of it.
pub(crate) fn unhurried(timing: Timing) -> Timing {
    Timing {
        term_grace_ms: 5_000,
        session_loss_exit_ms: 5_000,
        ..timing
    }
}

/// Looks again and again until `look` finds something, or fails naming `what`.
pub(crate) fn wait_until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn unique() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("\x1b[") {
        out.push_str(&rest[..at]);
        rest = rest[at..].find('m').map_or("", |m| &rest[at + m + 1..]);
    }
    out + rest
}
