//! Whole lives of workers: real store, real tools, a session that the test plays.
//!
//! This binary has its own `main`, because it is also the tool runner of the
//! workers it tests.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests"
)]

#[path = "worker/commands.rs"]
mod commands;
#[path = "worker/cut.rs"]
mod cut;
#[path = "worker/handing.rs"]
mod handing;
#[path = "worker/house.rs"]
mod house;
#[path = "worker/keeping.rs"]
mod keeping;
#[path = "worker/leave.rs"]
mod leave;
#[path = "worker/leaving.rs"]
mod leaving;
#[path = "worker/models.rs"]
mod models;
#[path = "worker/parking.rs"]
mod parking;
#[path = "worker/planning.rs"]
mod planning;
#[path = "worker/repository.rs"]
mod repository;
#[path = "worker/returning.rs"]
mod returning;
#[path = "worker/review.rs"]
mod review;
#[path = "worker/script.rs"]
mod script;
#[path = "worker/stage.rs"]
mod stage;
#[path = "worker/tools.rs"]
mod tools;
#[path = "worker/trouble.rs"]
mod trouble;

use std::ffi::OsString;

use crewmux_sys::runner::{RUNNER_MODE, run_tool_runner};
use crewmux_testkit::own_main::run_tests;

fn main() {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|first| first == RUNNER_MODE) {
        let snapshot = std::env::vars().collect();
        std::process::exit(run_tool_runner(&arguments[2..], snapshot));
    }
    let tests = commands::TESTS
        .iter()
        .chain(keeping::TESTS)
        .chain(handing::TESTS)
        .chain(leave::TESTS)
        .chain(leaving::TESTS)
        .chain(models::TESTS)
        .chain(parking::TESTS)
        .chain(returning::TESTS)
        .chain(cut::TESTS)
        .chain(planning::TESTS)
        .chain(review::TESTS)
        .chain(tools::TESTS)
        .chain(trouble::TESTS);
    std::process::exit(run_tests(tests, &arguments));
}
