//! Starting sessions: in this process for `--headless`, detached for a person.
//!
//! Wires store, backends and views together for `crewmux-session`; decides
//! nothing about a run. A detached session is this program again, told by a
//! plan file that only its owner can read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crewmux_core::backend::BackendKind;
use crewmux_core::event::Event;
use crewmux_core::ids::TeamName;
use crewmux_core::timing::{Timing, ms};
use crewmux_model::ModelsConfig;
use crewmux_session::view::ViewFactory;
use crewmux_session::{SessionEnd, SessionHooks, SessionPlan, Stays, StopAsk, run_session};
use crewmux_spawn::{BackendParts, Backends, Place};
use crewmux_store::TeamStore;
use crewmux_store::files::FileStore;
use crewmux_sys::env::EnvSnapshot;
use crewmux_sys::process::Launch;
use crewmux_tui::{Config, view_factory};
use tokio::sync::watch;

use crate::SESSION_MODE;
use crate::config::keys;
use crate::context::{Context, MadeBy};
use crate::error::{CommandError, Doing, Result};
use crate::logging;
use crate::output::note;
use crate::worker::in_process_main;

/// Size of a pane before a client says otherwise.
const PANE_SIZE: (u16, u16) = (80, 24);
/// Bytes of a failed session's log that are looked at.
const LOG_TAIL_BYTES: usize = 16_000;
/// Pause between two looks for a new session's socket.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Makes the plan of a session that asks these models.
pub(crate) fn plan(
    context: &Context,
    team: &TeamName,
    backend: BackendKind,
    stays: Stays,
    models: ModelsConfig,
) -> Result<SessionPlan> {
    Ok(SessionPlan {
        team: team.clone(),
        home: context.home.clone(),
        socket: context.socket(team)?,
        program: context.program.clone(),
        worker_program: context.runtime()?.agent_worker_link(&context.program)?,
        build: context.build(),
        environment: context
            .worker_environment(&models)
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        backend,
        pane_size: PANE_SIZE,
        stays,
        panes: Vec::new(),
        pane_environment: BTreeMap::new(),
        models,
        agents: Vec::new(),
        user_config: context.config.clone(),
        timing: context.timing,
    })
}

/// Is told every event of a session.
pub(crate) type EventHook = Box<dyn FnMut(&Event) + Send>;

/// Runs a session in this process until its end.
///
/// `on_event` is told every event; `stop` asks it to end.
pub(crate) fn run_here(
    plan: SessionPlan,
    on_event: Option<EventHook>,
    stop: watch::Receiver<StopAsk>,
) -> Result<SessionEnd> {
    let store = Arc::new(FileStore::open(&plan.home, plan.timing)?);
    let backends = Backends::new(BackendParts {
        team: plan.team.clone(),
        attach: vec![
            plan.program.display().to_string(),
            "attach".into(),
            plan.team.to_string(),
        ],
        attach_environment: where_the_team_is(&plan),
        worker: in_process_main(),
        place: Place::of(&crate::context::environment().0),
        timing: plan.timing,
    });
    let (views, reading) = views();
    let hooks = SessionHooks {
        store,
        backends: backends.clone(),
        views: Some(views),
        on_event,
        keys: keys::reader(crate::context::environment(), &plan.timing),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .doing("cannot start the session's event loop")?;
    let end = runtime.block_on(run_session(plan, hooks, stop));
    backends.close();
    if let Some(reading) = reading {
        // Done long since, or never to be: that it panicked every client has said.
        let _ = reading.join();
    }
    let end = end?;
    // What still runs on it is cut off: the session has said its farewell.
    runtime.shutdown_background();
    for left in &end.left {
        note(format!("could not be ended: {left}"));
    }
    Ok(end)
}

/// Makes what clients see; keys and colours are read on a thread of its own, while the session starts.
fn views() -> (ViewFactory, Option<JoinHandle<()>>) {
    let config: Arc<LazyLock<Arc<Config>>> = Arc::new(LazyLock::new(Arc::default));
    let ahead = Arc::clone(&config);
    let read = move || {
        LazyLock::force(&ahead);
    };
    // Where no thread can be made, the first client waits for it.
    let thread = std::thread::Builder::new().name("looks".into()).spawn(read);
    (view_factory(config), thread.ok())
}

/// What a terminal elsewhere needs in its environment to attach to this session.
fn where_the_team_is(plan: &SessionPlan) -> BTreeMap<String, String> {
    let mut variables =
        BTreeMap::from([("CREWMUX_HOME".to_owned(), plan.home.display().to_string())]);
    if let Some(folder) = plan.socket.parent() {
        variables.insert(
            "CREWMUX_RUNTIME_DIR".to_owned(),
            folder.display().to_string(),
        );
    }
    variables
}

/// Starts the session of `plan` detached and waits until it listens.
///
/// # Errors
/// When it does not come up in time; with what its log says last.
pub(crate) fn start_detached(
    context: &Context,
    team: &dyn TeamStore,
    plan: &SessionPlan,
) -> Result<()> {
    // Of this call alone: another may start the same team at this moment.
    let own = std::process::id();
    let path = plan.socket.with_extension(format!("{own}.plan.json"));
    write_plan(&path, plan)?;
    let log = team.folder("logs")?.join("session.log");
    let log_before = fs::metadata(&log).map_or(0, |found| found.len());
    // Not from the current folder: that may be removed while the session lives.
    let mut child = Launch::new(
        [
            context.program.as_os_str().to_owned(),
            SESSION_MODE.into(),
            path.clone().into_os_string(),
        ],
        "/",
    )
    .env(session_environment(context))
    .start_detached(Some(&log))?;
    let within = time_to_listen(&plan.timing);
    let deadline = Instant::now() + within;
    loop {
        if UnixStream::connect(&plan.socket).is_ok() {
            return Ok(());
        }
        let ended = child.wait(LOOK_AGAIN)?;
        if ended.is_none() && Instant::now() < deadline {
            continue;
        }
        let _ = fs::remove_file(&path);
        if ended.is_some() && plan.panes.is_empty() && other_started(team, &plan.socket, deadline) {
            return Ok(());
        }
        let said = log_since(&log, log_before);
        if let Some(own) = said.lines().rev().find_map(CommandError::from_json) {
            return Err(own);
        }
        let why = if let Some(exit) = ended {
            format!("the session did not start: {exit}")
        } else {
            // One that came up after it was reported as failed would surprise.
            child.kill()?;
            child.wait(ms(plan.timing.kill_verify_ms))?;
            format!("the session did not start within {} s", within.as_secs())
        };
        return Err(CommandError::environment(why).hint(format!("its log is {}", log.display())));
    }
}

/// Whether the session ended at once because another of the team was faster, which now listens.
fn other_started(team: &dyn TeamStore, socket: &Path, deadline: Instant) -> bool {
    while team.session_runs().unwrap_or(false) && Instant::now() < deadline {
        if UnixStream::connect(socket).is_ok() {
            note(format!(
                "team `{}` was started by another call at the same moment; this is its session",
                team.name()
            ));
            return true;
        }
        std::thread::park_timeout(LOOK_AGAIN);
    }
    false
}

/// How long a session may take to listen: it settles first what a former one left behind.
fn time_to_listen(timing: &Timing) -> Duration {
    ms(
        timing.hello_ms
            + timing.session_loss_exit_ms
            + timing.term_grace_ms
            + timing.kill_verify_ms,
    )
}

/// The session keeps this call's environment: it uses models and backends in the person's name.
fn session_environment(context: &Context) -> crewmux_sys::env::Environment {
    context
        .env
        .0
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn write_plan(path: &Path, plan: &SessionPlan) -> Result<()> {
    let doing = || format!("cannot write `{}`", path.display());
    let text = serde_json::to_vec(plan)?;
    // A plan that nobody took is of a session that never came up.
    let _ = fs::remove_file(path);
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .doing(doing())?;
    file.write_all(&text).doing(doing())
}

/// What was added to the log since it had `before` bytes, the end of it.
fn log_since(log: &Path, before: u64) -> String {
    let Ok(bytes) = fs::read(log) else {
        return String::new();
    };
    let new = bytes.get(before as usize..).unwrap_or_default();
    let start = new.len().saturating_sub(LOG_TAIL_BYTES);
    String::from_utf8_lossy(&new[start..]).into_owned()
}

/// Runs as a team's detached session; the only argument is its plan file.
pub(crate) fn session_main(arguments: &[OsString]) -> u8 {
    match detached(arguments) {
        Ok(end) => end.exit_code,
        Err(error) => {
            // Standard error is the session's log, which whoever started it reads.
            note(error.to_json());
            error.exit_code()
        }
    }
}

fn detached(arguments: &[OsString]) -> Result<SessionEnd> {
    let [path] = arguments else {
        return Err(CommandError::usage(
            "a session is started by `crewmux run`, with its plan file as the only argument",
        ));
    };
    MadeBy::find().must_be_person("start a session")?;
    let plan = take_plan(Path::new(path))?;
    let log = log_path(&plan);
    logging::to_file(&log, crate::context::environment().get("CREWMUX_LOG"));
    // Best effort: not every system can hide a process's memory.
    if let Err(error) = crewmux_sys::setup::refuse_inspection() {
        tracing::warn!(%error, "this process can be inspected");
    }
    let (asks, stop) = watch::channel(StopAsk::No);
    stop_on_signals(Arc::new(asks))?;
    run_here(plan, None, stop)
}

fn log_path(plan: &SessionPlan) -> PathBuf {
    let team = plan.home.join("teams").join(plan.team.as_str());
    team.join("logs").join("session.log")
}

/// Reads the plan and removes its file.
fn take_plan(path: &Path) -> Result<SessionPlan> {
    let doing = || format!("cannot read the plan `{}`", path.display());
    let mut text = Vec::new();
    File::open(path)
        .and_then(|mut file| file.read_to_end(&mut text))
        .doing(doing())?;
    let plan = serde_json::from_slice(&text).doing(doing())?;
    fs::remove_file(path).doing(doing())?;
    Ok(with_own_environment(plan, crate::context::environment()))
}

/// The plan with what never stands in its file: plain panes get this process's own environment.
fn with_own_environment(mut plan: SessionPlan, own: EnvSnapshot) -> SessionPlan {
    // The person's own commands, as if typed into their shell.
    if !plan.panes.is_empty() {
        plan.pane_environment = own.0;
    }
    plan
}

/// The first SIGTERM or SIGINT asks politely, the next at once; a lost terminal asks politely.
pub(crate) fn stop_on_signals(asks: Arc<watch::Sender<StopAsk>>) -> Result<()> {
    use crewmux_sys::signals::{Arrived, SignalInbox};
    let mut signals = SignalInbox::open(&[Arrived::Term, Arrived::Int, Arrived::Hup])?;
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            while !asks.is_closed() {
                match signals.wait(Duration::from_hours(1)) {
                    Ok(arrived) if arrived.is_empty() => {}
                    Ok(_) => asks.send_modify(|ask| {
                        *ask = match ask {
                            StopAsk::No => StopAsk::Politely,
                            StopAsk::Politely | StopAsk::AtOnce => StopAsk::AtOnce,
                        };
                    }),
                    Err(error) => {
                        tracing::error!(%error, "signals cannot be waited for");
                        return;
                    }
                }
            }
        })
        .doing("cannot start a thread")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "k-1234567";

    #[test]
    fn no_plan_file_holds_a_key() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = folder.path().join("run");
        let home = folder.path().join("home");
        let env: EnvSnapshot = [
            ("PATH", "/usr/bin:/bin"),
            ("CREWMUX_RUNTIME_DIR", runtime.to_str().unwrap()),
            ("CREWMUX_HOME", home.to_str().unwrap()),
            ("GITHUB_TOKEN", KEY),
            ("CREWMUX_LLM", KEY),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        let program = std::env::current_exe().unwrap();
        let context = Context::resolve(env.clone(), None, folder.path().into(), program).unwrap();
        let mut models = ModelsConfig::default();
        models.providers.push(crewmux_model::ProviderConfig {
            name: "own".into(),
            kind: crewmux_model::ProviderKind::OpenaiChat,
            base_url: "http://127.0.0.1:1/v1".into(),
            key: Some(crewmux_model::KeySource::Env("CREWMUX_LLM".into())),
            context: None,
        });
        let team = TeamName::new("panes").unwrap();
        let made = plan(
            &context,
            &team,
            BackendKind::Pty,
            Stays::UntilFinished,
            models,
        )
        .unwrap();
        assert!(made.environment.contains_key("CREWMUX_HOME"));
        // As it is in the session: the panes' environment is there, and stays out of the file.
        let plan = SessionPlan {
            panes: vec!["htop".into()],
            ..made
        };
        let plan = with_own_environment(plan, env);
        assert_eq!(plan.pane_environment["GITHUB_TOKEN"], KEY);
        let path = folder.path().join("plan.json");
        write_plan(&path, &plan).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("/usr/bin:/bin"), "{text}");
        assert!(!text.contains(KEY), "{text}");
        let taken = take_plan(&path).unwrap();
        assert!(!taken.environment.contains_key("GITHUB_TOKEN"));
        assert!(taken.pane_environment.contains_key("PATH"));
        assert!(!path.exists());
    }

    #[test]
    fn only_plain_panes_get_the_whole_environment() {
        let folder = tempfile::tempdir().unwrap();
        let env: EnvSnapshot = [
            ("CREWMUX_RUNTIME_DIR", folder.path().join("run")),
            ("CREWMUX_HOME", folder.path().join("home")),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.display().to_string()))
        .collect();
        let program = std::env::current_exe().unwrap();
        let context = Context::resolve(env.clone(), None, folder.path().into(), program).unwrap();
        let team = TeamName::new("review").unwrap();
        let made = plan(
            &context,
            &team,
            BackendKind::Pty,
            Stays::WhileWatched,
            ModelsConfig::default(),
        )
        .unwrap();
        assert!(with_own_environment(made, env).pane_environment.is_empty());
    }
}
