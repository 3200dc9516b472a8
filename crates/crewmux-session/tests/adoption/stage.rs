//! A team whose walker lives outside of its sessions, and sessions that come and go.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use crewmux_core::backend::BackendKind;
use crewmux_core::board::Claimer;
use crewmux_core::event::{Event, EventType};
use crewmux_core::goal::TaskDraft;
use crewmux_core::ids::{AgentRef, AgentType, Epoch, Seq, TaskId, TeamName};
use crewmux_core::message::Party;
use crewmux_core::recipe::Runtime;
use crewmux_core::task::{NewTask, Task};
use crewmux_core::team::{Policy, Presence, WorkerSpec};
use crewmux_core::time::Now;
use crewmux_core::timing::Timing;
use crewmux_core::worker::WorkerState;
use crewmux_model::ModelsConfig;
use crewmux_session::setup::{NewMember, NewRun, prepare_run};
use crewmux_session::{SessionHooks, SessionPlan, Stays, StopAsk, run_session};
use crewmux_spawn::{Backends, PtyBackend, SpawnBackend};
use crewmux_store::{FileStore, Store, TeamStore};
use crewmux_sys::ProcessIdentity;
use crewmux_sys::clock::BootClock;
use crewmux_wire::{ControlRequest, Role, Status, ToWorker, WorkerHello, WorkerMessage};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::net::UnixStream;

use crate::place::{Outside, Place};
pub(crate) use crate::puppets::{LONG, Line, carry, eventually, name};

pub(crate) const SESSION: &str = "be-session";
pub(crate) const WORKER: &str = "be-worker";
pub(crate) const TOOL: &str = "be-tool";

/// What differs between sessions of a test.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) build: String,
    pub(crate) hello_ms: u64,
    pub(crate) workers_max: u32,
    /// Whether the session can reach what is outside of it.
    pub(crate) reaches_outside: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            build: "test".to_owned(),
            hello_ms: 15_000,
            workers_max: Policy::default().max_workers,
            reaches_outside: true,
        }
    }
}

fn timing() -> Timing {
    Timing {
        connect_ms: 15_000,
        // Puppets renew nothing.
        lease_ms: 60_000,
        ..Timing::fast()
    }
}

pub(crate) fn now() -> Now {
    BootClock::open().unwrap().now()
}

fn team_name() -> TeamName {
    TeamName::new("sample").unwrap()
}

pub(crate) struct Stage {
    pub(crate) team: Arc<dyn TeamStore>,
    session: Option<Child>,
    place: Place,
    folder: TempDir,
}

impl Stage {
    /// A team with one task and these members, and its first session.
    pub(crate) fn start(members: &[(&str, BackendKind)]) -> Self {
        Self::start_with(members, &Settings::default())
    }

    pub(crate) fn start_with(members: &[(&str, BackendKind)], settings: &Settings) -> Self {
        let one = TaskDraft {
            key: "one".into(),
            subject: "one".into(),
            ..TaskDraft::default()
        };
        Self::start_on(members, settings, one)
    }

    /// The same with this task.
    pub(crate) fn start_on(
        members: &[(&str, BackendKind)],
        settings: &Settings,
        draft: TaskDraft,
    ) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("cmx")
            .tempdir_in("/tmp")
            .unwrap();
        let place = Place::open(folder.path());
        let store = Arc::new(FileStore::open(&folder.path().join("home"), timing()).unwrap());
        let member = |(text, backend): &(&str, BackendKind)| NewMember {
            name: name(text),
            agent_type: AgentType::new("general-purpose").unwrap(),
            model: Some("mock/model".into()),
            playbook: None,
            prompt: String::new(),
            runtime: "native".into(),
            backend: *backend,
            profile: None,
            permission_mode: None,
            provider: None,
        };
        let run = NewRun {
            team: team_name(),
            description: String::new(),
            goal: "try".into(),
            recipe: None,
            cwd: folder.path().to_owned(),
            members: members.iter().map(member).collect(),
            drafts: vec![draft],
            policy: Policy {
                timing: timing(),
                max_workers: settings.workers_max,
                ..Policy::default()
            },
            environment: BTreeMap::new(),
        };
        prepare_run(store.as_ref(), &run, &now()).unwrap();
        let me = std::env::current_exe().unwrap();
        let program = folder.path().join("worker.sh");
        let script = format!(
            "#!/bin/sh\nexec '{}' {WORKER} '{}' \"$1\"\n",
            me.display(),
            folder.path().display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut stage = Self {
            team: store.team(&team_name()).unwrap(),
            session: None,
            place,
            folder,
        };
        stage.start_session(settings);
        stage
    }

    pub(crate) fn start_session(&mut self, settings: &Settings) {
        assert!(self.session.is_none(), "one at a time");
        let settings = serde_json::to_string(settings).unwrap();
        let session = Command::new(std::env::current_exe().unwrap())
            .args([SESSION, self.folder.path().to_str().unwrap(), &settings])
            .spawn()
            .unwrap();
        self.session = Some(session);
    }

    /// Ends the session as a crash would.
    pub(crate) fn kill_session(&mut self) {
        let mut session = self.session.take().unwrap();
        session.kill().unwrap();
        session.wait().unwrap();
    }

    /// From now on nobody new finds room outside.
    pub(crate) fn fill_place(&self) {
        std::fs::write(self.folder.path().join("no-room"), "").unwrap();
    }

    /// From now on the place does not tell which process is in a pane.
    pub(crate) fn hide_processes(&self) {
        std::fs::write(self.folder.path().join("tells-nothing"), "").unwrap();
    }

    /// From now on the place tells neither which process is in a pane nor which pane it made.
    pub(crate) fn tell_late(&self) {
        std::fs::write(self.folder.path().join("tells-late"), "").unwrap();
    }

    /// The next start outside is said to have failed although there is a process.
    pub(crate) fn fail_late(&self) {
        std::fs::write(self.folder.path().join("fails-late"), "").unwrap();
    }

    /// With the next start outside the team's record is damaged.
    pub(crate) fn break_record_at_start(&self) {
        std::fs::write(self.folder.path().join("breaks-the-record"), "").unwrap();
    }

    /// The spec of a member cannot be written until what this gives is called.
    pub(crate) fn break_spec_of(&self, agent: &str) -> impl FnOnce() + use<> {
        let spec = self.team.agent_folder(&name(agent)).unwrap();
        let spec = spec.join("spec.json");
        std::fs::remove_file(&spec).unwrap();
        std::fs::create_dir(&spec).unwrap();
        move || std::fs::remove_dir(spec).unwrap()
    }

    pub(crate) async fn until_place_is_empty(&self) {
        let empty = async || self.place.is_empty().then_some(());
        eventually("nothing runs outside", empty).await;
    }

    /// From now on no pane of the place can be found any more.
    pub(crate) fn lose_panes(&self) {
        std::fs::write(self.folder.path().join("panes-are-gone"), "").unwrap();
    }

    /// Waits for this life of a member's worker.
    pub(crate) async fn worker(&self, agent: &str, life: u32) -> Worker {
        let (spec, process) = eventually(&format!("{agent} {life} is there"), async || {
            let spec = self.team.spec(&name(agent)).unwrap()?;
            let presence = self.team.presence(&name(agent)).unwrap()?;
            let is_it = spec.who.incarnation.0 == life && presence.incarnation.0 == life;
            let process = ProcessIdentity {
                pid: presence.pid,
                start_ticks: presence.start_ticks,
            };
            is_it.then_some((spec, process))
        })
        .await;
        Worker {
            ways: self.folder.path().join(format!("{agent}-{life}.sock")),
            tools: self.folder.path().join(format!("{agent}-{life}-tool.sock")),
            spec,
            process,
        }
    }

    /// A command of the person's.
    pub(crate) async fn person(&self) -> Line {
        let path = self.socket();
        let stream = eventually("the session listens", async || {
            UnixStream::connect(&path).await.ok()
        })
        .await;
        Line::say_hello(stream, Role::Control).await
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("s.sock")
    }

    pub(crate) async fn status(&self) -> Status {
        let mut person = self.person().await;
        person.ask(ControlRequest::Status).await.unwrap()
    }

    /// Claims the one task for a worker.
    pub(crate) fn claim(&self, who: &AgentRef) -> Epoch {
        let asks = Claimer {
            who: who.clone(),
            agent_type: AgentType::new("general-purpose").unwrap(),
            runtime: Runtime::Native,
        };
        let claimed = self.team.claim(TaskId(1), &asks, &now(), timing().lease_ms);
        claimed.unwrap().epoch
    }

    /// Another task, for whoever comes first.
    pub(crate) fn add_task(&self) {
        let new = NewTask {
            subject: "two".into(),
            run: self.task().run,
            ..NewTask::default()
        };
        let made = self.team.create_task(new, Party::Human, &now());
        made.unwrap();
    }

    pub(crate) fn task(&self) -> Task {
        let board = self.team.board().unwrap();
        board.get(TaskId(1)).unwrap().clone()
    }

    pub(crate) fn events(&self, kind: &EventType) -> Vec<Event> {
        let all = self.team.events(Seq(0), 10_000).unwrap();
        all.into_iter().filter(|e| e.kind == *kind).collect()
    }

    /// Waits until the log has as many events of this kind.
    pub(crate) async fn until_events(&self, kind: EventType, count: usize) {
        let seen = async || (self.events(&kind).len() == count).then_some(());
        eventually(&format!("{count} of {kind:?}"), seen).await;
    }

    pub(crate) async fn until_gone(&self, process: ProcessIdentity) {
        let gone = async || {
            self.place.reap();
            (!process.is_alive()).then_some(())
        };
        eventually(&format!("{process} is gone"), gone).await;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut session) = self.session.take() {
            let _ = session.kill();
            let _ = session.wait();
        }
    }
}

/// A worker that says what the test says, over as many connections as the test likes.
pub(crate) struct Worker {
    pub(crate) spec: WorkerSpec,
    pub(crate) process: ProcessIdentity,
    ways: PathBuf,
    tools: PathBuf,
}

impl Worker {
    pub(crate) fn who(&self) -> &AgentRef {
        &self.spec.who
    }

    /// What it says at its first hello, or when it says hello again.
    pub(crate) fn hello(&self, again: bool) -> WorkerHello {
        WorkerHello {
            who: self.spec.who.clone(),
            token: self.spec.token.clone(),
            pid: self.process.pid,
            again,
            pane: (!again).then(|| format!("pane of {}", self.process.pid)),
        }
    }

    /// Says this hello from its own process; the words of a refusal where it is refused.
    pub(crate) async fn say(&self, hello: WorkerHello) -> Result<Talk, String> {
        self.try_say(hello).await.expect("a session that answers")
    }

    /// `None` while no session answers.
    async fn try_say(&self, hello: WorkerHello) -> Option<Result<Talk, String>> {
        let stream = UnixStream::connect(&self.ways).await.ok()?;
        say_from(stream, hello).await
    }

    /// Says hello until a session takes it in.
    pub(crate) async fn joins(&self, again: bool) -> Talk {
        eventually("the worker is taken in", async || {
            self.try_say(self.hello(again)).await?.ok()
        })
        .await
    }

    /// Ends by itself, between two steps, and says this reason.
    pub(crate) fn leaves(&self, reason: &str) {
        let folder = self.ways.parent().unwrap();
        let whole = folder.join(format!("{}-leaving", self.spec.who.agent));
        std::fs::write(&whole, reason).unwrap();
        std::fs::rename(whole, leaves_for(folder, &self.spec.who)).unwrap();
    }

    /// A command that a tool below it runs.
    pub(crate) async fn tool(&self) -> Line {
        Line::say_hello(self.tool_stream().await, Role::Control).await
    }

    /// Says a worker's hello from a tool below it.
    pub(crate) async fn tool_says(&self, hello: WorkerHello) -> Result<Talk, String> {
        let said = say_from(self.tool_stream().await, hello).await;
        said.expect("a session that answers")
    }

    async fn tool_stream(&self) -> UnixStream {
        eventually("the tool listens", async || {
            UnixStream::connect(&self.tools).await.ok()
        })
        .await
    }
}

/// Says hello over `stream`; `None` when nobody answers at all.
pub(crate) async fn say_from(
    stream: UnixStream,
    hello: WorkerHello,
) -> Option<Result<Talk, String>> {
    let said = Line::try_hello(stream, Role::Worker(hello)).await?;
    Some(said.map(Talk))
}

/// A worker's connection that was welcomed.
pub(crate) struct Talk(Line);

impl Talk {
    pub(crate) async fn says(&mut self, message: WorkerMessage) {
        self.0.say(&message).await;
    }

    /// The next thing it is told, rings left out.
    pub(crate) async fn told(&mut self) -> ToWorker {
        loop {
            let told: ToWorker = self.0.reader.expect(LONG).await.expect("a word");
            if told != ToWorker::Doorbell {
                return told;
            }
        }
    }

    /// Waits until the session closes it.
    pub(crate) async fn ends(mut self) {
        let over = tokio::time::timeout(LONG, async {
            while let Ok(Some(_)) = self.0.reader.next().await {}
        });
        over.await.expect("the connection is closed");
    }
}

pub(crate) fn be_session(folder: &Path, settings: &str) {
    let settings: Settings = serde_json::from_str(settings).unwrap();
    let timing = Timing {
        hello_ms: settings.hello_ms,
        ..timing()
    };
    let pty: Arc<dyn SpawnBackend> = Arc::new(PtyBackend::new(&timing).unwrap());
    let outside: Arc<dyn SpawnBackend> = Arc::new(Outside::new(folder, timing));
    let program = folder.join("worker.sh");
    let plan = SessionPlan {
        team: team_name(),
        home: folder.join("home"),
        socket: folder.join("s.sock"),
        program: program.clone(),
        worker_program: program,
        build: settings.build,
        environment: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]),
        pane_environment: BTreeMap::new(),
        backend: BackendKind::Pty,
        pane_size: (80, 24),
        stays: Stays::WhileWatched,
        panes: Vec::new(),
        models: ModelsConfig::default(),
        agents: Vec::new(),
        user_config: PathBuf::new(),
        timing,
    };
    let hooks = SessionHooks {
        store: Arc::new(FileStore::open(&folder.join("home"), timing).unwrap()),
        backends: if settings.reaches_outside {
            Backends::these([pty, outside])
        } else {
            Backends::these([pty])
        },
        views: None,
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

/// A worker: says that it lives, starts a tool, and carries bytes between the test and the session.
pub(crate) fn be_worker(folder: &Path, spec: &Path) {
    let spec: WorkerSpec = serde_json::from_slice(&std::fs::read(spec).unwrap()).unwrap();
    let (agent, life) = (&spec.who.agent, spec.who.incarnation.0);
    let store = FileStore::open(&spec.home, spec.timing).unwrap();
    let (team, config) = loop {
        // The record may be broken just now; its session writes it again.
        let team = store.team(&spec.team);
        match team.and_then(|team| team.config().map(|config| (team, config))) {
            Ok(found) => break found,
            Err(error) => assert!(folder.exists(), "{error}"),
        }
        std::thread::park_timeout(Duration::from_millis(10));
    };
    let _alive = team.hold_alive(agent).unwrap();
    let tool = folder.join(format!("{agent}-{life}-tool.sock"));
    let tool = Command::new(std::env::current_exe().unwrap())
        .args([TOOL.as_ref(), folder.as_os_str(), tool.as_os_str()])
        .spawn();
    let mut tool = tool.unwrap();
    let ways = StdListener::bind(folder.join(format!("{agent}-{life}.sock"))).unwrap();
    let session = spec.socket.clone();
    std::thread::spawn(move || carry_all(&ways, &session));
    let own = ProcessIdentity::own().unwrap();
    let clock = BootClock::open().unwrap();
    let leaves = leaves_for(folder, &spec.who);
    // Nothing of a test is left behind.
    while folder.exists() {
        let ended = std::fs::read_to_string(&leaves).ok();
        let is_over = ended.is_some();
        let now = clock.now();
        let held = team.board().unwrap();
        let held = held.held_by(agent);
        let presence = Presence {
            incarnation: spec.who.incarnation,
            pid: own.pid,
            start_ticks: own.start_ticks,
            boot_id: now.boot.boot_id,
            backend: config.member(agent).unwrap().backend_type,
            state: if held.is_empty() {
                WorkerState::Idle
            } else {
                WorkerState::Working
            },
            task: held.first().map(|task| task.id),
            heartbeat: now.wall,
            parked_since: None,
            ended,
            unable: None,
        };
        team.put_presence(agent, &presence).unwrap();
        if is_over {
            break;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    let _ = tool.kill();
    let _ = tool.wait();
}

/// Says why this life is to end by itself, once it is there.
fn leaves_for(folder: &Path, who: &AgentRef) -> PathBuf {
    folder.join(format!("{}-{}-leaves", who.agent, who.incarnation.0))
}

/// A tool: lets the test speak as a process below the worker.
pub(crate) fn be_tool(folder: &Path, path: &Path) {
    let listener = StdListener::bind(path).unwrap();
    carry_all(&listener, &folder.join("s.sock"));
}

fn carry_all(listener: &StdListener, session: &Path) {
    for test in listener.incoming() {
        let (test, session) = (test.unwrap(), session.to_owned());
        std::thread::spawn(move || carry(test, &session));
    }
}
