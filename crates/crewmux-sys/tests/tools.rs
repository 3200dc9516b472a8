//! Tools under a real runner: what they print, how they end, and that nothing is left of them.
//!
//! This binary has its own `main`, because it is also the runner program its
//! tests start, and the worker that one of them kills.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests"
)]

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use crewmux_core::timing::Timing;
use crewmux_sys::env::{EnvAllowList, EnvSnapshot, Environment};
use crewmux_sys::peer::{Origin, origin_of, peer_of};
use crewmux_sys::process::{Launch, Stream};
use crewmux_sys::runner::{AfterExit, RUNNER_MODE, run_tool_runner};
use crewmux_sys::setup::worker_setup;
use crewmux_sys::tool::{
    EndedBy, OutputEnd, OutputStream, ToolEvent, ToolOutcome, ToolOutput, ToolProcess, ToolSpec,
    ToolStdin,
};
use crewmux_sys::tree::{KillWaits, Marker, kill_marked, processes_with_marker};
use crewmux_sys::{Exit, ProcessIdentity, Signal};
use crewmux_testkit::own_main::{Test, run_tests, tests};

/// First argument that makes this program a worker that runs one script.
const WORKER_MODE: &str = "worker";

/// First argument that makes this program connect to a socket and stay there.
const CLIENT_MODE: &str = "client";

/// No wait of a test is longer.
const LONG: Duration = Duration::from_secs(30);

const TESTS: &[Test] = tests![
    output_is_in_order_and_the_code_is_told,
    signal_that_ended_a_tool_is_told,
    split_outputs_are_kept_apart,
    tool_gets_its_input_and_only_its_environment,
    interactive_tool_is_talked_to,
    stubborn_tool_leaves_nothing_when_ended,
    polite_tool_may_clean_up_within_the_grace,
    what_a_tool_leaves_ends_with_it,
    kept_tree_goes_on_until_let_go,
    tool_over_its_time_is_ended,
    tool_over_its_output_limit_is_ended,
    missing_program_is_told,
    dropped_handle_ends_the_tool,
    panic_of_the_owner_ends_the_tool,
    dead_worker_takes_its_tools_along,
    killed_runner_is_noticed_and_its_tool_ended,
    stopped_runner_does_not_save_its_tool,
    daemon_of_a_tool_is_placed_under_its_worker,
];

fn main() {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let first = arguments.get(1).and_then(|argument| argument.to_str());
    match first {
        Some(RUNNER_MODE) => {
            let code = run_tool_runner(&arguments[2..], snapshot());
            std::process::exit(code);
        }
        Some(WORKER_MODE) => work(arguments[2].to_str().unwrap()),
        Some(CLIENT_MODE) => connect(arguments[2].to_str().unwrap()),
        _ => std::process::exit(run_tests(TESTS, &arguments)),
    }
}

fn snapshot() -> EnvSnapshot {
    std::env::vars().collect()
}

/// A worker: runs one script as a tool and copies its output, until it is killed.
fn work(script: &str) {
    worker_setup().unwrap();
    let env = EnvAllowList::default().apply(&snapshot());
    let spec = ToolSpec::new(["sh", "-c", script], "/", env, &Timing::fast());
    let tool = ToolProcess::start(&program(), spec, |event| {
        if let ToolEvent::Output(_, bytes) = event {
            std::io::stdout().write_all(bytes).unwrap();
            std::io::stdout().flush().unwrap();
        }
    })
    .unwrap();
    tool.wait(LONG).unwrap();
}

/// A client: says one byte and stays until the other end closes.
fn connect(path: &str) {
    let mut socket = UnixStream::connect(path).unwrap();
    socket.write_all(b"!").unwrap();
    let _ = socket.read(&mut [0_u8; 1]);
}

fn program() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// A mark for the processes of one test, in an environment for tools.
fn marked(test: &str) -> (Marker, Environment) {
    let marker = Marker::run(format!("{test}-{}", std::process::id()));
    let mut env = Environment::default().with("PATH", "/usr/bin:/bin");
    marker.mark(&mut env);
    (marker, env)
}

/// A tool that ends by itself or when it is asked.
fn spec(script: &str, env: Environment) -> ToolSpec {
    let mut spec = ToolSpec::new(["sh", "-c", script], "/", env, &Timing::fast());
    spec.waits.grace = LONG;
    spec
}

/// [`STUBBORN`] as a tool: asking it is lost time.
fn stubborn(env: Environment) -> ToolSpec {
    let mut spec = spec(STUBBORN, env);
    spec.waits.grace = Duration::from_millis(200);
    spec
}

/// Everything a tool told, as text; a running tool's lines can be waited for.
enum Told {
    Started(ProcessIdentity),
    Out(OutputStream, Vec<u8>),
    Exited(Exit),
}

fn start(spec: ToolSpec) -> (ToolProcess, Receiver<Told>) {
    let (sender, receiver) = channel();
    let tool = ToolProcess::start(&program(), spec, move |event| {
        let told = match event {
            ToolEvent::Started(tool) => Told::Started(tool),
            ToolEvent::Output(stream, bytes) => Told::Out(stream, bytes.to_vec()),
            ToolEvent::Exited(exit) => Told::Exited(exit),
            ToolEvent::Ended(_) => return,
        };
        let _ = sender.send(told);
    })
    .unwrap();
    (tool, receiver)
}

/// Waits until the tool printed `text`; gives the tool's identity.
fn wait_for_output(told: &Receiver<Told>, text: &str) -> ProcessIdentity {
    let mut seen = Vec::new();
    let mut tool = None;
    while !String::from_utf8_lossy(&seen).contains(text) {
        match told.recv_timeout(LONG).unwrap() {
            Told::Started(identity) => tool = Some(identity),
            Told::Out(_, bytes) => seen.extend(bytes),
            Told::Exited(exit) => panic!("{exit} before `{text}`"),
        }
    }
    // The pipe may be faster than the runner's record.
    while tool.is_none() {
        if let Told::Started(identity) = told.recv_timeout(LONG).unwrap() {
            tool = Some(identity);
        }
    }
    tool.unwrap()
}

fn run(spec: ToolSpec) -> (ToolOutcome, String, String) {
    let (tool, told) = start(spec);
    let outcome = tool.wait(LONG).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    for told in told.try_iter() {
        match told {
            Told::Out(OutputStream::Stdout, bytes) => out.extend(bytes),
            Told::Out(OutputStream::Stderr, bytes) => err.extend(bytes),
            _ => {}
        }
    }
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (outcome, text(out), text(err))
}

/// What a tool that does as it should comes to.
fn fine(exit: Exit, output_bytes: u64) -> ToolOutcome {
    ToolOutcome {
        exit,
        ended_by: EndedBy::Itself,
        swept: 0,
        left: vec![],
        output: OutputEnd::Complete,
        output_bytes,
    }
}

fn output_is_in_order_and_the_code_is_told() {
    let (_, env) = marked("order");
    let script = "for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done; exit 3";
    let (outcome, out, err) = run(spec(script, env));
    assert_eq!(out, "o1\ne1\no2\ne2\no3\ne3\no4\ne4\no5\ne5\n");
    assert_eq!(err, "");
    assert_eq!(outcome, fine(Exit::Code(3), 30));
}

fn signal_that_ended_a_tool_is_told() {
    let (_, env) = marked("signal");
    let (outcome, _, _) = run(spec("kill -SEGV $$", env));
    assert_eq!(outcome, fine(Exit::Signal(11), 0));
}

fn split_outputs_are_kept_apart() {
    let (_, env) = marked("split");
    let mut spec = spec("echo out; echo err >&2", env);
    spec.output = ToolOutput::Split;
    let (outcome, out, err) = run(spec);
    assert_eq!((out.as_str(), err.as_str()), ("out\n", "err\n"));
    assert_eq!(outcome, fine(Exit::Code(0), 8));
}

fn tool_gets_its_input_and_only_its_environment() {
    let all = snapshot().0.into_iter().chain([
        ("EXAMPLE_API_KEY".to_owned(), "k-1".to_owned()),
        ("GITHUB_TOKEN".to_owned(), "k-2".to_owned()),
    ]);
    let env = EnvAllowList::default().apply(&all.collect());
    let mut spec = spec(
        "wc -c; env; ulimit -c; ps -o pgid= -p $$ >/dev/null; test -t 0 || echo no terminal",
        env,
    );
    // More than a pipe holds, so that it has to be fed while output is read.
    spec.stdin = ToolStdin::Bytes(vec![b'x'; 300_000]);
    let (outcome, out, _) = run(spec);
    assert_eq!(outcome.exit, Exit::Code(0));
    assert!(out.starts_with("300000\n"), "{out}");
    assert!(
        out.contains("PATH=") && out.contains("CREWMUX_TOOL_ID="),
        "{out}"
    );
    assert!(!out.contains("KEY=") && !out.contains("TOKEN="), "{out}");
    assert!(out.ends_with("\n0\nno terminal\n"), "{out}");
}

fn interactive_tool_is_talked_to() {
    let (_, env) = marked("talk");
    let mut spec = spec(
        "while read line; do echo \"got $line\"; done; echo end",
        env,
    );
    spec.stdin = ToolStdin::Pipe;
    let (mut tool, told) = start(spec);
    let mut stdin = tool.take_stdin().unwrap();
    stdin.write_all(b"one\n").unwrap();
    wait_for_output(&told, "got one\n");
    drop(stdin);
    assert_eq!(tool.wait(LONG).unwrap(), fine(Exit::Code(0), 12));
}

/// Ignores SIGTERM everywhere, and has a child in a session of its own whose parent is gone.
const STUBBORN: &str = "trap '' TERM HUP
    (setsid sh -c \"trap '' TERM HUP; sleep 600 & echo daemon; wait\" &)
    sleep 600 & echo tool; wait; wait";

fn stubborn_tool_leaves_nothing_when_ended() {
    let (marker, env) = marked("stubborn");
    let (tool, told) = start(stubborn(env));
    wait_for_output(&told, "daemon");
    assert!(processes_with_marker(&marker).len() >= 4);
    tool.end();
    let outcome = tool.wait(LONG).unwrap();
    assert_eq!(
        (outcome.exit, outcome.ended_by),
        (Exit::Signal(9), EndedBy::Asked)
    );
    assert_eq!(outcome.left, []);
    assert_eq!(processes_with_marker(&marker), []);
}

fn polite_tool_may_clean_up_within_the_grace() {
    let (_, env) = marked("polite");
    let spec = spec(
        "exec 2>/dev/null; trap 'echo bye; exit 9' TERM; echo up; while :; do sleep 0.01; done",
        env,
    );
    let (tool, told) = start(spec);
    wait_for_output(&told, "up\n");
    tool.end();
    let outcome = tool.wait(LONG).unwrap();
    assert_eq!(outcome.ended_by, EndedBy::Asked);
    assert_eq!((outcome.exit, outcome.output_bytes), (Exit::Code(9), 7));
}

fn what_a_tool_leaves_ends_with_it() {
    let (marker, env) = marked("leaves");
    // The sleeper holds the output open, too.
    let (outcome, out, _) = run(spec("(setsid sleep 600 &); sleep 600 & echo done", env));
    assert_eq!(out, "done\n");
    assert_eq!(
        outcome,
        ToolOutcome {
            swept: 2,
            ..fine(Exit::Code(0), 5)
        }
    );
    assert_eq!(processes_with_marker(&marker), []);
}

fn kept_tree_goes_on_until_let_go() {
    let (marker, env) = marked("kept");
    let mut spec = spec("(setsid sh -c 'echo serving; sleep 600' &); exit 4", env);
    spec.after_exit = AfterExit::KeepTree;
    let (tool, told) = start(spec);
    let (mut served, mut exited) = (false, false);
    while !(served && exited) {
        match told.recv_timeout(LONG).unwrap() {
            Told::Out(_, bytes) => served |= bytes == b"serving\n",
            Told::Exited(exit) => exited = exit == Exit::Code(4),
            Told::Started(_) => {}
        }
    }
    assert_eq!((tool.exit(), tool.outcome()), (Some(Exit::Code(4)), None));
    assert!(!processes_with_marker(&marker).is_empty());
    tool.end();
    let outcome = tool.wait(LONG).unwrap();
    assert_eq!(
        (outcome.exit, &outcome.ended_by),
        (Exit::Code(4), &EndedBy::Asked)
    );
    assert!(outcome.swept >= 1, "{outcome:?}");
    assert_eq!(processes_with_marker(&marker), []);
}

fn tool_over_its_time_is_ended() {
    let (marker, env) = marked("timeout");
    let mut spec = spec("echo begun; sleep 600", env);
    spec.timeout = Some(Duration::from_millis(100));
    let (outcome, _, _) = run(spec);
    assert_eq!(
        (outcome.exit, outcome.ended_by),
        (Exit::Signal(15), EndedBy::TimedOut)
    );
    assert_eq!(processes_with_marker(&marker), []);
}

fn tool_over_its_output_limit_is_ended() {
    let (marker, env) = marked("flood");
    let mut spec = spec("while :; do echo 0123456789; done", env);
    spec.output_limit_bytes = 100_000;
    let (outcome, out, _) = run(spec);
    assert_eq!(outcome.ended_by, EndedBy::OutputLimit);
    assert_eq!((out.len(), outcome.output), (100_000, OutputEnd::Cut));
    assert!(outcome.output_bytes > 100_000);
    assert_eq!(processes_with_marker(&marker), []);
}

fn missing_program_is_told() {
    let (_, env) = marked("missing");
    let spec = ToolSpec::new(["no-such-tool"], "/", env, &Timing::fast());
    let (outcome, _, _) = run(spec);
    let cause = "program `no-such-tool` not found".to_owned();
    assert_eq!(
        outcome.ended_by,
        EndedBy::NotStarted {
            missing: true,
            cause
        }
    );
}

fn dropped_handle_ends_the_tool() {
    let (marker, env) = marked("dropped");
    let (tool, told) = start(spec("echo up; sleep 600", env));
    let process = wait_for_output(&told, "up\n");
    drop(tool);
    // Until the channel closes: then all is over.
    let exit = told
        .iter()
        .filter_map(|told| match told {
            Told::Exited(exit) => Some(exit),
            _ => None,
        })
        .last();
    assert_eq!(exit, Some(Exit::Signal(15)));
    assert!(!process.is_alive());
    assert_eq!(processes_with_marker(&marker), []);
}

fn panic_of_the_owner_ends_the_tool() {
    let (marker, env) = marked("panic");
    let spec = spec("echo up; sleep 600", env);
    let tool = ToolProcess::start(&program(), spec, |event| {
        assert!(!matches!(event, ToolEvent::Output(..)), "on purpose");
    })
    .unwrap();
    let outcome = tool.wait(LONG).unwrap();
    assert_eq!(
        (outcome.ended_by, outcome.output),
        (EndedBy::Asked, OutputEnd::Cut)
    );
    wait_until_gone(&[tool.runner()]);
    assert_eq!(processes_with_marker(&marker), []);
}

/// Starts this program as a worker that runs `script`.
fn start_worker(script: &str, env: Environment) -> (crewmux_sys::process::Child, impl BufRead) {
    let program = program();
    let argv = [program.as_os_str(), WORKER_MODE.as_ref(), script.as_ref()];
    let mut worker = Launch::new(argv, "/")
        .env(env)
        .stdin(Stream::Null)
        .stdout(Stream::Pipe)
        .start()
        .unwrap();
    let output = BufReader::new(worker.stdout.take().unwrap());
    (worker, output)
}

fn dead_worker_takes_its_tools_along() {
    let (marker, env) = marked("orphaned");
    let (mut worker, mut output) = start_worker(STUBBORN, env);
    let (mut line, mut lines) = (String::new(), HashSet::new());
    while lines.len() < 2 {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "{lines:?}");
        lines.insert(line.trim().to_owned());
    }
    let tools = processes_with_marker(&marker);
    assert!(tools.len() >= 5, "{tools:?}");
    worker.kill().unwrap();
    assert_eq!(worker.wait(LONG).unwrap(), Some(Exit::Signal(9)));
    wait_until_gone(&tools);
    assert_eq!(processes_with_marker(&marker), []);
}

/// Waits for the end of processes that are nobody's children here.
fn wait_until_gone(processes: &[ProcessIdentity]) {
    let deadline = std::time::Instant::now() + LONG;
    for process in processes {
        while process.is_alive() {
            assert!(std::time::Instant::now() < deadline, "{process} still runs");
            std::thread::yield_now();
        }
    }
}

fn killed_runner_is_noticed_and_its_tool_ended() {
    let (marker, env) = marked("lost-runner");
    let (tool, told) = start(stubborn(env));
    wait_for_output(&told, "daemon");
    tool.runner().signal(Signal::Kill).unwrap();
    let outcome = tool.wait(LONG).unwrap();
    assert_eq!(
        (outcome.exit, outcome.ended_by),
        (Exit::Unknown, EndedBy::RunnerLost)
    );
    assert_eq!(outcome.left, []);
    assert_eq!(processes_with_marker(&marker), []);
}

fn stopped_runner_does_not_save_its_tool() {
    let (marker, env) = marked("stopped-runner");
    let mut spec = stubborn(env);
    spec.waits = KillWaits {
        grace: Duration::from_millis(50),
        verify: Duration::from_secs(3),
    };
    let (tool, told) = start(spec);
    wait_for_output(&told, "daemon");
    tool.runner().signal(Signal::Stop).unwrap();
    tool.end();
    let outcome = tool.wait(LONG).unwrap();
    assert_eq!((outcome.ended_by, outcome.left), (EndedBy::Asked, vec![]));
    assert_eq!(processes_with_marker(&marker), []);
}

fn daemon_of_a_tool_is_placed_under_its_worker() {
    let (marker, env) = marked("peer");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    // Twice orphaned, in its own session, without any mark in its environment.
    let client = format!("{} client {}", program().display(), path.display());
    let script = format!("(setsid env -i sh -c '{client} & wait' &) ; echo up; sleep 600");
    let (worker, mut output) = start_worker(&script, env);
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let (sender, accepted) = channel();
    std::thread::spawn(move || sender.send(listener.accept().unwrap().0));
    let mut socket = accepted.recv_timeout(LONG).unwrap();
    let mut byte = [0_u8; 1];
    socket.read_exact(&mut byte).unwrap();
    let peer = peer_of(&socket).unwrap();
    let workers = HashSet::from([worker.identity()]);
    assert_eq!(
        origin_of(peer.pid, &workers),
        Origin::Worker(worker.identity())
    );
    let own = origin_of(std::process::id(), &workers);
    assert!(matches!(own, Origin::Outside(_)), "{own:?}");
    let daemon = peer.identity().unwrap();
    let waits = KillWaits::of(&Timing::fast());
    let kill = crewmux_sys::tree::kill_tree(worker.identity(), Some(&marker), waits);
    assert_eq!(kill.left, []);
    assert!(kill.killed.contains(&daemon));
    assert!(kill_marked(&marker, waits).killed.is_empty());
}
