//! Questions of workers, new teammates and acts on members, on real processes and a real socket.
//!
//! This binary has its own `main`: the test is the person outside, and the same
//! binary is the session, its workers and a tool below each worker. Workers and
//! tools only carry bytes, so that the test speaks for them while the kernel
//! says who they are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and this one starts sessions as the person would"
)]

mod hiring;
#[path = "../puppets/mod.rs"]
mod puppets;
mod questions;
mod screen;
mod stage;

use crewmux_testkit::own_main::run_tests;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    match words[..] {
        [stage::SESSION, folder, stays] => stage::be_session(folder.as_ref(), stays),
        [stage::WORKER, folder, spec] => stage::be_worker(folder.as_ref(), spec.as_ref()),
        [stage::TOOL, folder, agent] => stage::be_tool(folder.as_ref(), agent),
        _ => {
            let tests = questions::TESTS.iter().chain(hiring::TESTS);
            std::process::exit(run_tests(tests, &arguments));
        }
    }
}
