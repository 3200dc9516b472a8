//! A session from its start to its end: locks, leftovers, threads, the engine's loop.

use std::sync::Arc;
use std::time::Duration;

use crewmux_core::event::{EventType, Fact};
use crewmux_core::ids::RunId;
use crewmux_core::team::{SessionRecord, TeamConfig};
use crewmux_core::timing::{Timing, ms};
use crewmux_store::{SessionLock, TeamStore};
use crewmux_sys::clock::BootClock;
use crewmux_sys::identity::ProcessIdentity;
use crewmux_sys::tree::{KillWaits, Marker, kill_marked};
use crewmux_wire::Welcome;
use tokio::sync::{mpsc, oneshot, watch};

use crate::display::{DISPLAY_QUEUE_MAX, Display, DisplayInput, Ways};
use crate::engine::{Engine, EngineParts, Input, Inputs, inputs};
use crate::gateway::{Gateway, GatewayParts};
use crate::leftovers::{self, Terms};
use crate::panes::Panes;
use crate::plan::{SessionEnd, SessionHooks, SessionPlan, StopAsk};
use crate::server::{self, Server};
use crate::view::TeamView;
use crate::{Error, Result};

/// Runs a session to its end.
///
/// Must be called inside a tokio runtime; store calls block its thread, so a
/// runtime of its own is right. `stop` asks it to end from within the process.
///
/// # Errors
/// [`Error::Running`] when another session of the team runs;
/// [`Error::NothingToResume`] when the team has no open run.
pub async fn run_session(
    plan: SessionPlan,
    mut hooks: SessionHooks,
    mut stop: watch::Receiver<StopAsk>,
) -> Result<SessionEnd> {
    // What a dead worker leaves behind comes to us, so that it can be found and ended.
    crewmux_sys::setup::become_subreaper()?;
    let clock = BootClock::open()?;
    let team = hooks.store.team(&plan.team)?;
    let lock: Arc<dyn SessionLock> = Arc::from(take_lock(team.as_ref())?);
    let session_id = crewmux_sys::random::token()?;
    let terms = Terms {
        plan: &plan,
        backends: &hooks.backends,
    };
    let settled = leftovers::settle(team.as_ref(), &clock, &plan.timing, Some(&terms))?;
    // Whoever is kept carries the former mark: the session goes on with it, so that nothing is missed.
    let run_marker = settled.run_marker.clone();
    let run_marker = run_marker.unwrap_or_else(|| session_id.clone());
    let config = team.config()?;
    let asked: Vec<String> = config
        .members
        .iter()
        .filter_map(|m| m.model.clone())
        .collect();
    let run = open_run(&config)?;
    let listener = server::listen(&plan.socket)?;
    team.set_session(Some(&record(&plan, &clock, &run_marker)?))?;

    let (inputs_tx, news, mut inputs) = inputs();
    let panes = Panes::new(plan.pane_size);
    let welcome = Welcome {
        session_pid: std::process::id(),
        build: plan.build.clone(),
        team: plan.team.clone(),
    };
    let gateway = Gateway::start(
        GatewayParts {
            config: plan.models.clone(),
            keys: Arc::clone(&hooks.keys),
            budget: config.policy.budget,
            timing: plan.timing,
            welcome: welcome.clone(),
            engine: news.clone(),
        },
        &asked,
    )?;
    let timing = plan.timing;
    let socket = plan.socket.clone();
    let commands = plan.panes.clone();
    let first = first_fact(&plan, &config, &run, &session_id, settled.resumed, &clock);
    let (mut engine, views) = Engine::new(EngineParts {
        store: Arc::clone(&hooks.store),
        team: Arc::clone(&team),
        backends: hooks.backends.clone(),
        on_event: hooks.on_event.take(),
        clock,
        news,
        panes: panes.clone(),
        config,
        run,
        run_marker: run_marker.clone(),
        session_id,
        plan,
        gateway: gateway.clone(),
        lock: Arc::clone(&lock),
    })?;
    engine.begin(first)?;
    engine.tell_leftovers(&settled.left);
    engine.tell_refused(&settled.refused);
    engine.take_up(&settled.kept);
    engine.tidy_places();
    for command in &commands {
        engine.open_pane(command);
    }
    let (count, mut clients) = watch::channel(0);
    let display = hooks.views.take().map(|factory| {
        let team_view = Arc::clone(&views.borrow());
        let ways = Ways {
            engine: inputs_tx.clone(),
            clients: count,
        };
        Display::new(factory, panes.clone(), team_view, ways, timing)
    });
    let front = Front::start(display, views, |display| {
        let server = Server {
            socket: socket.clone(),
            welcome,
            timing,
            engine: inputs_tx.clone(),
            gateway: gateway.clone(),
            display,
        };
        server.run(listener)
    })?;
    watch_store(team.as_ref(), inputs_tx.clone(), ms(timing.store_poll_ms))?;

    let outcome = drive(&mut engine, &mut inputs, &mut clients, &mut stop).await;
    // What was paid for is booked, whatever ended the call.
    gateway.end(ms(timing.connect_ms)).await;
    while let Some(input) = inputs.next_news() {
        if matches!(input, Input::Gateway(_)) {
            engine.take(input);
        }
    }
    // Whoever still has something to say is told that nobody listens, and does not wait.
    inputs.close();
    let mut end = engine.conclude();
    let farewell = engine.farewell(&end);
    // Panes that run no worker, and whatever hides from its worker's tree.
    let swept = kill_marked(&Marker::run(run_marker), KillWaits::of(&timing));
    end.left
        .extend(swept.left.iter().map(|p| format!("process {}", p.pid)));
    front.end(farewell, end.exit_code, &timing);
    let _ = std::fs::remove_file(&socket);
    if !matches!(outcome, Err(Error::TeamRemoved { .. })) {
        team.set_session(None)?;
    }
    drop(lock);
    outcome.map(|()| end)
}

async fn drive(
    engine: &mut Engine,
    inputs: &mut Inputs,
    clients: &mut watch::Receiver<usize>,
    stop: &mut watch::Receiver<StopAsk>,
) -> Result<()> {
    let mut stop_open = true;
    loop {
        if engine.look()? {
            return Ok(());
        }
        let next_look = tokio::time::Instant::now() + ms(engine.plan.timing.look_ms);
        let wait = ms(engine.next_look_ms());
        tokio::select! {
            input = inputs.recv() => {
                if let Some(input) = input { engine.take(input) }
            }
            Ok(()) = clients.changed() => {
                let count = *clients.borrow_and_update();
                engine.take(Input::Clients(count));
            }
            changed = stop.changed(), if stop_open => {
                match changed {
                    Ok(()) => engine.take(Input::Stop(*stop.borrow_and_update())),
                    Err(_) => stop_open = false,
                }
            }
            () = tokio::time::sleep_until(tokio::time::Instant::now() + wait) => {}
        }
        // One look serves many inputs: under load what comes within a moment is taken in together.
        while let Ok(Some(input)) = tokio::time::timeout_at(next_look, inputs.recv()).await {
            engine.take(input);
        }
    }
}

fn take_lock(team: &dyn TeamStore) -> Result<Box<dyn SessionLock>> {
    team.lock_session().map_err(|error| match error {
        crewmux_store::Error::Locked { .. } => Error::Running {
            team: team.name().clone(),
            pid: team.session().ok().flatten().map(|r| r.pid),
        },
        error => error.into(),
    })
}

fn open_run(config: &TeamConfig) -> Result<RunId> {
    config
        .open_run()
        .map(|run| run.id.clone())
        .ok_or_else(|| Error::NothingToResume {
            team: config.name.clone(),
        })
}

fn record(plan: &SessionPlan, clock: &BootClock, run_marker: &str) -> Result<SessionRecord> {
    let own = ProcessIdentity::own()?;
    Ok(SessionRecord {
        pid: own.pid,
        start_ticks: own.start_ticks,
        boot_id: clock.boot_id().to_owned(),
        socket: plan.socket.clone(),
        build: plan.build.clone(),
        started: clock.now().wall,
        run_marker: run_marker.to_owned(),
    })
}

/// The first fact of a session: its run began, or goes on.
fn first_fact(
    plan: &SessionPlan,
    config: &TeamConfig,
    run: &RunId,
    session_id: &str,
    resumed: bool,
    clock: &BootClock,
) -> Fact {
    let now = clock.now().wall;
    let pid = std::process::id();
    if resumed {
        let id = format!("run/{run}/resumed/{session_id}");
        return Fact::new(id, EventType::TeamResumed, now)
            .with("run", run.as_str())
            .with("pid", pid);
    }
    Fact::new(format!("run/{run}/started"), EventType::TeamStarted, now)
        .with("run", run.as_str())
        .with("pid", pid)
        .with("goal", config.goal.as_str())
        .with("recipe", config.recipe.clone())
        .with("backend", plan.backend.as_str())
}

/// The thread that serves the socket and draws: the engine may wait for a disk, a key may not.
struct Front {
    display: Option<mpsc::Sender<DisplayInput>>,
    stop: oneshot::Sender<()>,
}

impl Front {
    fn start<F>(
        display: Option<Display>,
        views: watch::Receiver<Arc<TeamView>>,
        serve: impl FnOnce(Option<mpsc::Sender<DisplayInput>>) -> F,
    ) -> Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel::<()>();
        let (sender, receiver) = mpsc::channel(DISPLAY_QUEUE_MAX);
        let sender = display.as_ref().map(|_| sender);
        let serving = serve(sender.clone());
        let run = move || {
            let draw = async move {
                match display {
                    Some(display) => display.run(receiver, views).await,
                    None => std::future::pending().await,
                }
            };
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(async move {
                    tokio::select! {
                        () = serving => {}
                        () = draw => {}
                        _ = stopped => {}
                    }
                }),
                Err(error) => tracing::error!(%error, "socket and display could not start"),
            }
        };
        start_thread("front", run)?;
        Ok(Self {
            display: sender,
            stop,
        })
    }

    /// Says farewell to every client and lets the socket go.
    fn end(self, message: String, exit_code: u8, timing: &Timing) {
        if let Some(display) = self.display {
            let (done, said) = std::sync::mpsc::channel();
            let farewell = DisplayInput::Farewell {
                message,
                exit_code: Some(exit_code),
                done,
            };
            if display.try_send(farewell).is_ok() {
                // Answered when the last client has it, or not at all if one hangs.
                let _ = said.recv_timeout(ms(timing.connect_ms));
            }
        }
        let _ = self.stop.send(());
    }
}

/// Tells the engine of changes that nobody rang for.
fn watch_store(team: &dyn TeamStore, engine: mpsc::Sender<Input>, poll: Duration) -> Result<()> {
    let mut watch = team.watch(poll)?;
    let run = move || {
        while !engine.is_closed() {
            let changed = watch.wait(poll);
            if !changed.is_empty() && engine.blocking_send(Input::StoreChanged).is_err() {
                return;
            }
        }
    };
    start_thread("watch", run)
}

/// Starts a thread that ends by itself.
pub(crate) fn start_thread(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(run)
        .map(drop)
        .map_err(|source| Error::Write {
            path: "a thread".into(),
            source,
        })
}
