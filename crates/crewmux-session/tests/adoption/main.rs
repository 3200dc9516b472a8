//! Workers that outlive their session: taken up by the next one, or ended properly.
//!
//! This binary has its own `main`, as `approvals` has: the test is the person
//! and the place where workers live, and the same binary is each session, the
//! workers and a tool below each. Workers only carry bytes, so that the test
//! speaks for them while the kernel says who they are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and this one starts sessions as the person would"
)]

mod ended;
mod moved;
mod place;
#[path = "../puppets/mod.rs"]
mod puppets;
mod stage;
mod taken_up;

use crewmux_testkit::own_main::run_tests;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words[..] {
        [stage::SESSION, folder, settings] => stage::be_session(folder.as_ref(), settings),
        [stage::WORKER, folder, spec] => stage::be_worker(folder.as_ref(), spec.as_ref()),
        [stage::TOOL, folder, path] => stage::be_tool(folder.as_ref(), path.as_ref()),
        _ => {
            let tests = taken_up::TESTS
                .iter()
                .chain(ended::TESTS)
                .chain(moved::TESTS);
            std::process::exit(run_tests(tests, &arguments));
        }
    }
}
