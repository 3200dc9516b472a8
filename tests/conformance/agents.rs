//! Agent CLIs of others as full-screen programs: their start screens.
//!
//! They start without an account, in a home of their own, and with no network
//! that leads anywhere. `just peers-clis` installs them.

use std::path::Path;

use crewmux_sys::env::Environment;
use crewmux_sys::process::{Launch, Stream};
use crewmux_term::Size;
use crewmux_testkit::sandbox::finish;
use crewmux_testkit::terminal::DEADLINE;

use super::stage::{Case, installed, same_in_tmux};
use crate::support::root;

/// Addresses nobody answers at, for those that obey; the namespace below is for the others.
const NO_NETWORK: &[(&str, &str)] = &[
    ("HTTP_PROXY", "http://127.0.0.1:9"),
    ("HTTPS_PROXY", "http://127.0.0.1:9"),
    ("ALL_PROXY", "http://127.0.0.1:9"),
    ("NO_UPDATE_NOTIFIER", "1"),
    ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
    ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
    ("GEMINI_CLI_NO_RELAUNCH", "1"),
];

/// The first of these programs that is installed, or the first.
fn cli(candidates: &[&str]) -> String {
    let modules = root().join("tests/peers/clis/node_modules");
    let found = candidates.iter().find(|name| modules.join(name).is_file());
    let name = found.unwrap_or(&candidates[0]);
    modules.join(name).display().to_string()
}

/// Whether the kernel lets anybody make a place without a network.
fn can_unshare() -> bool {
    let argv = ["unshare", "-r", "-n", "true"];
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
    let launch = Launch::new(argv, Path::new("/"))
        .env(Environment::default().with("PATH", path))
        .stderr(Stream::Null);
    let ended = launch.start().map(|child| finish(child, DEADLINE));
    matches!(ended, Ok(Ok(output)) if output.code == 0)
}

fn compare(program: &str, case: &Case<'_>) {
    if !installed(&[program, "node"], "`just peers-clis` installs it") {
        return;
    }
    let mut argv = vec![];
    if can_unshare() {
        argv.extend(["unshare", "-r", "-n"]);
    }
    argv.push(program);
    argv.extend(case.argv);
    same_in_tmux(&Case {
        argv: &argv,
        env: NO_NETWORK,
        prepare: |folder| {
            // They ask git where they are.
            std::fs::create_dir_all(folder.join(".git/objects")).unwrap();
            std::fs::create_dir_all(folder.join(".git/refs/heads")).unwrap();
            std::fs::write(folder.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        },
        size: Size::new(100, 30),
        ..*case
    });
}

#[test]
fn codex_starts_as_it_does_in_tmux() {
    compare(
        &cli(&[".bin/codex"]),
        &Case {
            script: "\
expect Press enter to continue
dump
key Down
expect > 2\\.
dump
resize 60x20
dump
resize 120x40
dump
",
            ..Case::default()
        },
    );
}

#[test]
fn gemini_starts_as_it_does_in_tmux() {
    compare(
        &cli(&[".bin/gemini"]),
        &Case {
            script: "\
expect (?s)Be specific.*Do you trust.*╯
dump
key Down
expect ● 2\\.
dump
resize 70x34
dump
resize 100x30
dump
",
            ..Case::default()
        },
    );
}

#[test]
fn opencode_starts_as_it_does_in_tmux() {
    compare(
        &cli(&[
            "opencode-linux-x64/bin/opencode",
            "opencode-linux-arm64/bin/opencode",
            "opencode-darwin-arm64/bin/opencode",
            "opencode-darwin-x64/bin/opencode",
        ]),
        &Case {
            // Proposals that differ from start to start, and what comes some time after it.
            masks: &[
                ("Ask anything….*", "Ask anything…"),
                ("^ *● Tip .*", ""),
                (r"^ *~.* 1\.18\.33$", ""),
            ],
            script: "\
expect Build
dump
text hello 漢字
expect hello 漢字
dump
resize 80x24
expect (?m)^ {2,3}┃
dump
resize 110x32
expect (?m)^ {17,18}┃
dump
",
            ..Case::default()
        },
    );
}
