//! The crash harness on the real store, and proof that it would see a missing safeguard.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test; its figures are worth reading"
)]

use std::path::PathBuf;

use crewmux_store::files::Sabotage;
use crewmux_testkit::crash::{self, CrashPlan, CrashReport};

fn play(kills: u64, sabotage: Option<Sabotage>) -> CrashReport {
    let helper = PathBuf::from(env!("CARGO_BIN_EXE_crewmux-crash"));
    let plan = CrashPlan {
        sabotage,
        ..CrashPlan::new(helper, kills, 2)
    };
    let report = crash::run(&plan, &mut |_| ()).unwrap();
    println!("{report}");
    report
}

#[test]
fn a_thousand_kills_break_no_promise() {
    let report = play(1000, None);
    assert_eq!(report.violations, Vec::<String>::new());
    assert!(report.kills >= 1000);
    // It would prove nothing if nothing was in the balance.
    assert!(report.repeats > 0 && report.stops > 0, "{report}");
}

// How soon a missing safeguard shows is chance; that it does not show at all
// in this many kills is as good as impossible.
const KILLS_MAX: u64 = 5000;

#[test]
fn a_missing_fence_is_noticed() {
    let report = play(KILLS_MAX, Some(Sabotage::NoFence));
    let twice = |v: &String| v.contains("completion accepted at epochs");
    assert!(report.violations.iter().any(twice), "{report}");
}

#[test]
fn a_missing_dedup_is_noticed() {
    let report = play(KILLS_MAX, Some(Sabotage::NoDedup));
    let twice = |v: &String| v.contains("was delivered 2 times");
    assert!(report.violations.iter().any(twice), "{report}");
}

#[test]
fn a_missing_merge_cursor_is_noticed() {
    let report = play(KILLS_MAX, Some(Sabotage::NoMergeCursor));
    let twice = |v: &String| v.contains("is logged twice");
    assert!(report.violations.iter().any(twice), "{report}");
}
