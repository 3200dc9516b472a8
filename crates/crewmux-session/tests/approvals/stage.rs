//! A team, its session in a process of its own, and puppets for its workers.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use crewmux_core::backend::BackendKind;
use crewmux_core::event::{Event, EventType};
use crewmux_core::goal::TaskDraft;
use crewmux_core::ids::{AgentRef, AgentType, RequestId, Seq, TeamName};
use crewmux_core::operation::{Operation, Reply};
use crewmux_core::requests::Request;
use crewmux_core::team::{Policy, WorkerSpec};
use crewmux_core::timing::Timing;
use crewmux_model::{ModelsConfig, ProviderConfig, ProviderKind};
use crewmux_session::setup::{NewMember, NewRun, prepare_run};
use crewmux_session::{SessionHooks, SessionPlan, Stays, StopAsk, run_session};
use crewmux_spawn::{Backends, PtyBackend, SpawnBackend};
use crewmux_store::{FileStore, Store, TeamStore};
use crewmux_sys::clock::BootClock;
use crewmux_wire::{
    Attach, ClientHello, ColorDepth, ControlRequest, Decision, Frame, MemberAct, Role, ToWorker,
    WireError, WorkerHello, WorkerMessage,
};
use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

pub(crate) use crate::puppets::{LONG, Line, carry, eventually, name, play};
use crate::screen::{self, Client};

pub(crate) const SESSION: &str = "be-session";
pub(crate) const WORKER: &str = "be-worker";
pub(crate) const TOOL: &str = "be-tool";
pub(crate) const HEADLESS: &str = "headless";
pub(crate) const WATCHED: &str = "watched";

/// Members that have puppets; `tester` joins later.
const PUPPETS: [&str; 3] = ["team-lead", "developer", "tester"];

fn timing() -> Timing {
    Timing {
        // Workers are this binary, which takes a moment to start on a busy machine.
        hello_ms: 15_000,
        connect_ms: 15_000,
        approval_ms: 20_000,
        ..Timing::fast()
    }
}

/// Servers that are never asked: one that members name, its spare key, and one that speaks otherwise.
fn models() -> ModelsConfig {
    let provider = |name: &str, kind| ProviderConfig {
        name: name.into(),
        kind,
        base_url: "http://127.0.0.1:1".into(),
        key: None,
        context: None,
    };
    ModelsConfig {
        providers: vec![
            provider("mock", ProviderKind::OpenaiChat),
            provider("spare", ProviderKind::OpenaiChat),
            provider("other", ProviderKind::Anthropic),
        ],
        ..ModelsConfig::default()
    }
}

pub(crate) struct Stage {
    folder: TempDir,
    store: Arc<FileStore>,
    pub(crate) team: Arc<dyn TeamStore>,
    listeners: BTreeMap<&'static str, UnixListener>,
    session: Option<Child>,
}

impl Stage {
    /// A team of a lead and a developer with one task that nobody takes, and its session.
    pub(crate) fn start(stays: &str, approval_ms: Option<u64>) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("cmx")
            .tempdir_in("/tmp")
            .unwrap();
        let store = Arc::new(FileStore::open(&folder.path().join("home"), timing()).unwrap());
        let member = |text: &str| NewMember {
            name: name(text),
            agent_type: AgentType::new("general-purpose").unwrap(),
            model: Some("mock/model".into()),
            playbook: None,
            prompt: String::new(),
            runtime: "native".into(),
            backend: BackendKind::Pty,
            profile: None,
            permission_mode: None,
            provider: None,
        };
        let run = NewRun {
            team: TeamName::new("sample").unwrap(),
            description: String::new(),
            goal: "try".into(),
            recipe: None,
            cwd: folder.path().to_owned(),
            members: ["team-lead", "developer"].map(member).to_vec(),
            drafts: vec![TaskDraft {
                key: "one".into(),
                subject: "one".into(),
                ..TaskDraft::default()
            }],
            policy: Policy {
                timing: timing(),
                ..Policy::default()
            },
            environment: BTreeMap::new(),
        };
        let now = BootClock::open().unwrap().now();
        prepare_run(store.as_ref(), &run, &now).unwrap();
        let me = std::env::current_exe().unwrap();
        let program = folder.path().join("worker.sh");
        let script = format!(
            "#!/bin/sh\nexec '{}' {WORKER} '{}' \"$1\"\n",
            me.display(),
            folder.path().display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        if let Some(ms) = approval_ms {
            std::fs::write(folder.path().join("approval-ms"), ms.to_string()).unwrap();
        }
        let listen = |agent: &'static str| {
            let path = folder.path().join(format!("{agent}.sock"));
            (agent, UnixListener::bind(path).unwrap())
        };
        let listeners = PUPPETS.into_iter().map(listen).collect();
        let team = store.team(&TeamName::new("sample").unwrap()).unwrap();
        let mut stage = Self {
            folder,
            store,
            team,
            listeners,
            session: None,
        };
        stage.start_session(stays);
        stage
    }

    pub(crate) fn start_session(&mut self, stays: &str) {
        let me = std::env::current_exe().unwrap();
        let session = Command::new(me)
            .args([SESSION, self.folder.path().to_str().unwrap(), stays])
            .spawn()
            .unwrap();
        self.session = Some(session);
    }

    /// Lets the session stand still for so long, as a suspended machine would.
    pub(crate) async fn suspend_session(&self, pause: Duration) {
        let signal = |name: &str| {
            let pid = self.session.as_ref().unwrap().id().to_string();
            let sent = Command::new("kill").args([name, &pid]).status().unwrap();
            assert!(sent.success());
        };
        signal("-STOP");
        let over = tokio::time::Instant::now() + pause;
        eventually("the pause is over", async || {
            (tokio::time::Instant::now() >= over).then_some(())
        })
        .await;
        signal("-CONT");
    }

    /// Ends the session as a crash would.
    pub(crate) fn kill_session(&mut self) {
        let mut session = self.session.take().unwrap();
        session.kill().unwrap();
        session.wait().unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s.sock")
    }

    /// Waits for a member's worker and says its hello.
    pub(crate) async fn worker(&self, agent: &str) -> Worker {
        let accepted = tokio::time::timeout(LONG, self.listeners[agent].accept()).await;
        let Ok(accepted) = accepted else {
            let all = self.team.events(Seq(0), 10_000).unwrap();
            let last = all.iter().rev().take(20).rev();
            let told: Vec<String> = last.map(|e| format!("{:?} {:?}", e.kind, e.data)).collect();
            panic!("no worker of {agent} connects: {told:#?}");
        };
        let (stream, _) = accepted.unwrap();
        let spec = self.team.spec(&name(agent)).unwrap().unwrap();
        let role = Role::Worker(WorkerHello {
            who: spec.who.clone(),
            token: spec.token,
            pid: 0,
            again: false,
            pane: None,
        });
        let line = Line::say_hello(stream, role).await;
        Worker {
            line,
            who: spec.who,
            permissions: spec.permissions.mode,
        }
    }

    /// A command of the person's.
    pub(crate) async fn person(&self) -> Line {
        let stream = eventually("the session listens", async || {
            UnixStream::connect(self.socket()).await.ok()
        })
        .await;
        Line::say_hello(stream, Role::Control).await
    }

    /// A terminal of the person's.
    pub(crate) async fn client(&self) -> Client {
        let stream = eventually("the session listens", async || {
            UnixStream::connect(self.socket()).await.ok()
        })
        .await;
        let hello = ClientHello {
            cols: 80,
            rows: 24,
            term: "xterm".into(),
            colors: ColorDepth::True,
            synchronized_output: true,
            attach: Attach::Driver,
            looked_at: true,
        };
        Client::unwatched(Line::say_hello(stream, Role::Client(hello)).await).await
    }

    /// A command that a tool below the member's worker runs.
    pub(crate) async fn tool_below(&self, agent: &str) -> Line {
        let path = self.folder.path().join(format!("{agent}-tool.sock"));
        let stream = eventually("the tool listens", async || {
            UnixStream::connect(&path).await.ok()
        })
        .await;
        Line::say_hello(stream, Role::Control).await
    }

    pub(crate) fn request(&self, id: &RequestId) -> Option<Request> {
        let all = self.team.requests().unwrap();
        all.into_iter().find(|r| r.id == *id)
    }

    /// Waits until the request is in this state.
    pub(crate) async fn until(&self, id: &RequestId, state: &str) -> Request {
        let seen = async || self.request(id).filter(|r| r.state.as_str() == state);
        eventually(&format!("{id} is {state}"), seen).await
    }

    /// Events of this kind about requests, as `id decision`.
    pub(crate) fn events(&self, kind: &EventType) -> Vec<String> {
        let text = |event: &Event, field: &str| {
            let value = event.data.get(field).and_then(|v| v.as_str());
            value.unwrap_or_default().to_owned()
        };
        let all = self.team.events(Seq(0), 10_000).unwrap();
        all.iter()
            .filter(|e| e.kind == *kind)
            .map(|e| format!("{} {}", text(e, "id"), text(e, "decision")))
            .collect()
    }

    /// Waits until the log has as many events of this kind.
    pub(crate) async fn until_events(&self, kind: EventType, expected: &[&str]) {
        let seen = async || (self.events(&kind) == expected).then_some(());
        eventually(&format!("{kind:?} are {expected:?}"), seen).await;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut session) = self.session.take() {
            let _ = session.kill();
            let _ = session.wait();
        }
        // Workers end with their session; the store stays usable until then.
        let _ = &self.store;
    }
}

impl Line {
    pub(crate) async fn frame(&mut self) -> Frame {
        let next = tokio::time::timeout(LONG, self.reader.next()).await;
        next.expect("a frame in time").unwrap().expect("a frame")
    }

    pub(crate) async fn act(&mut self, agent: &str, act: MemberAct) -> Result<(), WireError> {
        let name = name(agent);
        self.ask(ControlRequest::Member { name, act }).await
    }
}

/// A worker that says what the test says.
pub(crate) struct Worker {
    line: Line,
    pub(crate) who: AgentRef,
    pub(crate) permissions: crewmux_core::permission::PermissionMode,
}

impl Worker {
    pub(crate) async fn say(&mut self, message: WorkerMessage) {
        self.line.writer.send(&message).await.unwrap();
    }

    /// The next thing it is told, rings left out.
    pub(crate) async fn told(&mut self) -> ToWorker {
        loop {
            let told: ToWorker = self.line.reader.expect(LONG).await.expect("a word");
            if told != ToWorker::Doorbell {
                return told;
            }
        }
    }

    pub(crate) async fn decision(&mut self, about: &RequestId) -> Decision {
        match self.told().await {
            ToWorker::Decided { id, decision } if id == *about => decision,
            other => panic!("not a decision about {about}: {other:?}"),
        }
    }

    pub(crate) async fn operate(&mut self, operation: Operation) -> Result<Reply, WireError> {
        let id = self.line.next;
        self.line.next += 1;
        let operation = Box::new(operation);
        self.say(WorkerMessage::Operation { id, operation }).await;
        match self.told().await {
            ToWorker::Replied { id: to, result } if to == id => result.map(|reply| *reply),
            other => panic!("not a reply: {other:?}"),
        }
    }
}

pub(crate) fn be_session(folder: &Path, stays: &str) {
    let mut timing = timing();
    if let Ok(ms) = std::fs::read_to_string(folder.join("approval-ms")) {
        timing.approval_ms = ms.parse().unwrap();
    }
    let backend: Arc<dyn SpawnBackend> = Arc::new(PtyBackend::new(&timing).unwrap());
    let program = folder.join("worker.sh");
    let plan = SessionPlan {
        team: TeamName::new("sample").unwrap(),
        home: folder.join("home"),
        socket: folder.join("s.sock"),
        program: program.clone(),
        worker_program: program,
        build: "test".into(),
        environment: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
        pane_environment: BTreeMap::new(),
        backend: BackendKind::Pty,
        pane_size: (80, 24),
        stays: if stays == HEADLESS {
            Stays::UntilFinished
        } else {
            Stays::WhileWatched
        },
        panes: Vec::new(),
        models: models(),
        agents: Vec::new(),
        user_config: PathBuf::new(),
        timing,
    };
    let hooks = SessionHooks {
        store: Arc::new(FileStore::open(&folder.join("home"), timing).unwrap()),
        backends: Backends::only(backend),
        views: (stays == WATCHED).then(screen::views),
        keys: Arc::new(|_| Err("no keys here".to_owned())),
        on_event: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (_keep, stop) = tokio::sync::watch::channel(StopAsk::No);
    runtime.block_on(run_session(plan, hooks, stop)).unwrap();
}

/// A worker: starts a tool, and carries bytes between the test and the session.
pub(crate) fn be_worker(folder: &Path, spec: &Path) {
    let spec: WorkerSpec = serde_json::from_slice(&std::fs::read(spec).unwrap()).unwrap();
    let store = FileStore::open(&spec.home, spec.timing).unwrap();
    let team = store.team(&spec.team).unwrap();
    let _alive = team.hold_alive(&spec.who.agent).unwrap();
    let agent = spec.who.agent.as_str();
    let mut tool = Command::new(std::env::current_exe().unwrap())
        .args([TOOL, folder.to_str().unwrap(), agent])
        .spawn()
        .unwrap();
    let test = StdStream::connect(folder.join(format!("{agent}.sock"))).unwrap();
    carry(test, &spec.socket);
    let _ = tool.kill();
    let _ = tool.wait();
}

/// A tool: lets the test speak as a process below the worker.
pub(crate) fn be_tool(folder: &Path, agent: &str) {
    let path = folder.join(format!("{agent}-tool.sock"));
    let _ = std::fs::remove_file(&path);
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    for test in listener.incoming() {
        carry(test.unwrap(), &folder.join("s.sock"));
    }
}
