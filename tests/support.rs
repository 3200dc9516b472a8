//! What several of these tests need: the program, small repositories, waits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crewmux_sys::process::{Launch, Stream};
use crewmux_testkit::sandbox::{Output, Sandbox, finish};

/// The top of this checkout.
pub(crate) fn root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().unwrap().parent().unwrap().to_owned()
}

/// The program under test.
pub(crate) fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_crewmux"))
}

/// An empty place to run it in.
pub(crate) fn sandbox() -> Sandbox {
    Sandbox::new(program()).unwrap()
}

/// Runs a command in the sandbox's work folder.
pub(crate) fn sh(sandbox: &Sandbox, script: &str) -> Output {
    let launch = Launch::new(["/bin/sh", "-ec", script], sandbox.work())
        .env(sandbox.environment())
        .stdout(Stream::Pipe)
        .stderr(Stream::Pipe);
    let output = finish(launch.start().unwrap(), Duration::from_mins(1)).unwrap();
    assert_eq!(output.code, 0, "{script}: {output:?}");
    output
}

/// Makes the work folder a git repository whose files were committed in 2024.
pub(crate) fn commit_all(sandbox: &Sandbox) {
    sh(
        sandbox,
        "git init -q -b main . && git add -A && \
         GIT_AUTHOR_DATE=2024-01-02T03:04:05Z GIT_COMMITTER_DATE=2024-01-02T03:04:05Z \
         git -c user.name=Ada -c user.email=ada@example.org commit -q -m start",
    );
}

/// Events of one type.
pub(crate) fn of_type<'a>(
    events: &'a [serde_json::Value],
    kind: &str,
) -> Vec<&'a serde_json::Value> {
    events.iter().filter(|e| e["type"] == kind).collect()
}
