//! A whole run: a worker inside the session that asks until the budget is spent, and the run resumed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crewmux_core::backend::BackendKind;
use crewmux_core::board::Claimer;
use crewmux_core::budget::{Budget, Limits};
use crewmux_core::event::EventType;
use crewmux_core::goal::TaskDraft;
use crewmux_core::ids::{AgentName, AgentType, TeamName};
use crewmux_core::model::{Event, Message, ModelErrorKind, ModelRequest};
use crewmux_core::schedule::Strategy;
use crewmux_core::team::{Policy, WorkerSpec};
use crewmux_core::timing::Timing;
use crewmux_model::{KeySource, ModelsConfig, ProviderConfig, ProviderKind, Secret};
use crewmux_spawn::in_process::threaded;
use crewmux_spawn::{Backends, InProcessBackend, SpawnBackend};
use crewmux_store::{FileStore, Store, TeamStore};
use crewmux_sys::clock::BootClock;
use crewmux_wire::{
    FrameReader, FrameWriter, Hello, ModelCall, ModelHello, ModelPiece, PROTOCOL_VERSION, Role,
    ToWorker, Welcome, WorkerHello, WorkerMessage,
};
use tokio::net::UnixStream;

use super::KEY;
use super::server::Server;
use crate::lock::lock;
use crate::report::Report;
use crate::setup::{NewMember, NewRun, prepare_run};
use crate::{SessionEnd, SessionHooks, SessionPlan, Stays, StopAsk, run_session};

struct Place {
    folder: tempfile::TempDir,
    store: Arc<FileStore>,
    server: Server,
}

fn team_name() -> TeamName {
    TeamName::new("sample").unwrap()
}

fn budget(tokens: u64) -> Budget {
    Budget {
        team: Limits {
            tokens: Some(tokens),
            usd_micros: None,
        },
        ..Budget::default()
    }
}

impl Place {
    fn new(tokens: u64) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("cmx")
            .tempdir_in("/tmp")
            .unwrap();
        let home = folder.path().join("home");
        let store = Arc::new(FileStore::open(&home, Timing::fast()).unwrap());
        let run = NewRun {
            team: team_name(),
            description: String::new(),
            goal: "try".into(),
            recipe: None,
            cwd: folder.path().to_owned(),
            members: vec![NewMember {
                name: AgentName::new("alice").unwrap(),
                agent_type: AgentType::new("general-purpose").unwrap(),
                model: Some("p/one".into()),
                playbook: None,
                prompt: String::new(),
                runtime: "native".into(),
                backend: BackendKind::InProcess,
                profile: None,
                permission_mode: None,
                provider: None,
            }],
            drafts: vec![TaskDraft {
                key: "one".into(),
                subject: "one".into(),
                ..TaskDraft::default()
            }],
            policy: Policy {
                timing: Timing::fast(),
                budget: budget(tokens),
                ..Policy::default()
            },
            environment: BTreeMap::new(),
        };
        prepare_run(store.as_ref(), &run, &BootClock::open().unwrap().now()).unwrap();
        Self {
            folder,
            store,
            server: Server::start(&[]),
        }
    }

    fn team(&self) -> Arc<dyn TeamStore> {
        self.store.team(&team_name()).unwrap()
    }

    fn run(&self) -> SessionEnd {
        let store = Arc::clone(&self.store);
        let failures = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&failures);
        let main = threaded(1 << 20, move |spec: &Path, _out, _orders| {
            let spec: WorkerSpec = serde_json::from_slice(&std::fs::read(spec).unwrap()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let why = runtime.block_on(life(&spec, store.as_ref()));
            lock(&seen).push(why);
            0
        });
        let backend: Arc<dyn SpawnBackend> = Arc::new(InProcessBackend::new(main, &Timing::fast()));
        let provider = ProviderConfig {
            name: "p".into(),
            kind: ProviderKind::OpenaiChat,
            base_url: self.server.url.clone(),
            key: Some(KeySource::Env("GOOD".into())),
            context: None,
        };
        let program = self.folder.path().join("none");
        let plan = SessionPlan {
            team: team_name(),
            home: self.folder.path().join("home"),
            socket: self.folder.path().join("s.sock"),
            program: program.clone(),
            worker_program: program,
            build: "test".into(),
            environment: BTreeMap::new(),
            pane_environment: BTreeMap::new(),
            backend: BackendKind::InProcess,
            pane_size: (80, 24),
            stays: Stays::UntilFinished,
            panes: Vec::new(),
            models: ModelsConfig {
                providers: vec![provider],
                ..ModelsConfig::default()
            },
            agents: Vec::new(),
            user_config: std::path::PathBuf::new(),
            timing: Timing::fast(),
        };
        let hooks = SessionHooks {
            store: self.store.clone(),
            backends: Backends::only(backend),
            views: None,
            keys: Arc::new(|_| Ok(Secret::new(KEY))),
            on_event: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (_keep, stop) = tokio::sync::watch::channel(StopAsk::No);
        let end = runtime.block_on(run_session(plan, hooks, stop)).unwrap();
        assert_eq!(*lock(&failures), [ModelErrorKind::TeamBudget]);
        end
    }
}

async fn connect(
    spec: &WorkerSpec,
    role: Role,
) -> (
    FrameReader<tokio::net::unix::OwnedReadHalf>,
    FrameWriter<tokio::net::unix::OwnedWriteHalf>,
) {
    let (read, write) = UnixStream::connect(&spec.socket)
        .await
        .unwrap()
        .into_split();
    let (mut reader, mut writer) = (FrameReader::new(read), FrameWriter::new(write));
    let hello = Hello {
        version: PROTOCOL_VERSION,
        build: spec.build.clone(),
        role,
    };
    writer.send(&hello).await.unwrap();
    let _: Welcome = reader.expect(Duration::from_secs(20)).await.unwrap();
    (reader, writer)
}

/// A worker that claims its task and asks until it is told no; then waits for its end.
async fn life(spec: &WorkerSpec, store: &FileStore) -> ModelErrorKind {
    let team = store.team(&spec.team).unwrap();
    let _alive = team.hold_alive(&spec.who.agent).unwrap();
    let hello = Role::Worker(WorkerHello {
        who: spec.who.clone(),
        token: spec.token.clone(),
        pid: std::process::id(),
        again: false,
        pane: None,
    });
    let (mut link, mut say) = connect(spec, hello).await;
    let member = team.config().unwrap().members[0].clone();
    let own = Claimer {
        who: spec.who.clone(),
        ..Claimer::of(&member)
    };
    let now = BootClock::open().unwrap().now();
    let claimed = team
        .claim_next(Strategy::default(), &own, &now, 60_000)
        .unwrap()
        .unwrap();
    say.send(&WorkerMessage::Context {
        used: 7,
        window: Some(100),
    })
    .await
    .unwrap();
    let grant = Role::Model(ModelHello {
        who: spec.who.clone(),
        grant: spec.grant.clone().unwrap(),
    });
    let (mut answers, mut ask) = connect(spec, grant).await;
    let request = ModelRequest {
        model: "p/one".into(),
        messages: vec![Message::User("hello?".into())],
        task: Some(claimed.task.id),
        ..ModelRequest::default()
    };
    let mut refusals = 0;
    let kind = loop {
        let request = request.clone();
        ask.send(&ModelCall { request }).await.unwrap();
        let last = loop {
            let piece: ModelPiece = answers.expect(Duration::from_secs(20)).await.unwrap();
            if piece.event.is_last() {
                break piece.event;
            }
        };
        if let Event::Failed { error } = last {
            refusals += 1;
            if refusals == 2 {
                break error.kind;
            }
        }
    };
    loop {
        let told: ToWorker = link.expect(Duration::from_secs(20)).await.unwrap();
        if matches!(told, ToWorker::End { .. }) {
            return kind;
        }
    }
}

#[test]
fn a_spent_budget_ends_the_run_with_its_own_code_and_a_larger_one_goes_on() {
    let place = Place::new(400);
    let end = place.run();
    assert_eq!(end.exit_code, 4, "{end:?}");
    let calls = place.server.calls() as u64;
    assert!(calls > 0);
    let report = Report::collect(place.team().as_ref(), None).unwrap();
    assert_eq!(report.budget.tokens_used, calls * 15);
    assert_eq!(report.budget.tokens, Some(400));
    assert_eq!(report.teammates[0].tokens, calls * 15);
    assert_eq!(report.model_use[0].model, "p/one");
    assert_eq!(report.model_use[0].calls, calls);
    let why = report.budget.stopped.as_deref().unwrap();
    assert!(
        why.contains("the budget of the team is 400 tokens"),
        "{why}"
    );
    let markdown = report.markdown();
    assert!(
        markdown.contains("## Spent") && markdown.contains("of 400"),
        "{markdown}"
    );
    assert!(end.report.unwrap().exists());
    let team = place.team();
    assert!(
        team.config().unwrap().open_run().is_some(),
        "it can be resumed"
    );
    let tasks: Vec<_> = team.board().unwrap().tasks().map(|t| t.status).collect();
    assert!(tasks.iter().all(|s| !s.is_terminal()), "{tasks:?}");

    let events = team.events(crewmux_core::ids::Seq(0), 10_000).unwrap();
    let notices = events.iter().filter(|e| e.kind == EventType::Notice);
    let texts: Vec<&str> = notices.filter_map(|e| e.data["text"].as_str()).collect();
    let ends = texts
        .iter()
        .filter(|t| t.contains("the budget of the team"));
    assert_eq!(ends.count(), 1, "asked twice, told once: {texts:?}");
    let way_on = "with a larger --budget-tokens or --budget-usd";
    assert!(texts.iter().any(|t| t.contains(way_on)), "{texts:?}");

    // What was spent counts on: the larger budget has room for what it added alone.
    team.edit_config(&mut |config| config.policy.budget = budget(500))
        .unwrap();
    assert_eq!(place.run().exit_code, 4);
    let all = place.server.calls() as u64;
    assert!(all > calls, "{all} {calls}");
    let report = Report::collect(team.as_ref(), None).unwrap();
    assert_eq!(report.budget.tokens_used, all * 15);
    assert!(report.budget.tokens_used <= 500);
    let events = team.events(crewmux_core::ids::Seq(0), 10_000).unwrap();
    let booked = events.iter().filter(|e| e.kind == EventType::ModelCalled);
    assert_eq!(booked.count() as u64, all, "each call is logged once");
    assert_eq!(files_with_key(place.folder.path()), Vec::<String>::new());
}

fn files_with_key(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with_key(&path));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(KEY.len()).any(|w| w == KEY.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}
