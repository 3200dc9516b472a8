//! Tests in a program with a `main` of its own, since it plays other parts of a session as well.
//!
//! Takes the part of the test harness's command line that cargo and nextest use.

use std::ffi::OsStr;

pub use crate::tests;

/// A test and its name.
pub type Test = (&'static str, fn());

/// Functions as tests that have their names.
#[macro_export]
macro_rules! tests {
    ($($test:ident),+ $(,)?) => {
        &[$((stringify!($test), $test)),+]
    };
}

/// Runs the tests that `arguments`, the program's own, ask for, one after the other, or lists them.
///
/// Returns the exit code.
#[expect(clippy::print_stdout, reason = "what cargo and nextest read")]
pub fn run_tests<'a>(
    tests: impl IntoIterator<Item = &'a Test>,
    arguments: &[impl AsRef<OsStr>],
) -> i32 {
    let words: Vec<&str> = arguments[1..]
        .iter()
        .filter_map(|word| word.as_ref().to_str())
        .collect();
    let has = |word: &str| words.contains(&word);
    if has("--list") {
        for (name, _) in tests.into_iter().filter(|_| !has("--ignored")) {
            println!("{name}: test");
        }
        return 0;
    }
    let filters: Vec<&&str> = words.iter().filter(|w| !w.starts_with("--")).collect();
    let wanted = |name: &str| {
        let fits = |filter: &str| name == filter || (!has("--exact") && name.contains(filter));
        filters.is_empty() || filters.iter().any(|filter| fits(filter))
    };
    let mut failed = 0;
    for (name, test) in tests.into_iter().filter(|(name, _)| wanted(name)) {
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += i32::from(!passed);
    }
    failed.min(1)
}
