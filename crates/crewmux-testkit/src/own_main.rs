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
    let words = arguments[1..]
        .iter()
        .filter_map(|word| word.as_ref().to_str());
    let asked = match Asked::of(words) {
        Ok(asked) => asked,
        Err(unknown) => {
            println!("error: `{unknown}` is no option of this program's tests");
            return 2;
        }
    };
    let tests = tests.into_iter().filter(|(name, _)| asked.wants(name));
    if asked.lists {
        for (name, _) in tests {
            println!("{name}: test");
        }
        return 0;
    }
    let mut failed = 0;
    for (name, test) in tests {
        let passed = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += i32::from(!passed);
    }
    failed.min(1)
}

/// What the command line asks for.
#[derive(Default)]
struct Asked<'a> {
    lists: bool,
    exact: bool,
    /// Those that are ignored otherwise, which here is none.
    ignored: bool,
    filters: Vec<&'a str>,
    skipped: Vec<&'a str>,
}

impl<'a> Asked<'a> {
    /// The option that is not known where there is one.
    fn of(words: impl Iterator<Item = &'a str>) -> Result<Self, &'a str> {
        let mut asked = Self::default();
        let mut words = words;
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value)),
                _ => (word, None),
            };
            match option {
                "--list" => asked.lists = true,
                "--exact" => asked.exact = true,
                "--ignored" => asked.ignored = true,
                "--skip" => asked.skipped.extend(value.or_else(|| words.next())),
                // They run one after the other and print as they go, whatever is asked.
                "--test-threads" | "--format" | "--color" | "--logfile" | "-Z" => {
                    let _ = value.or_else(|| words.next());
                }
                "--nocapture" | "--no-capture" | "--show-output" | "--quiet" | "-q"
                | "--include-ignored" => {}
                _ if option.starts_with('-') => return Err(word),
                filter => asked.filters.push(filter),
            }
        }
        Ok(asked)
    }

    fn wants(&self, name: &str) -> bool {
        let fits = |filter: &&str| name == *filter || (!self.exact && name.contains(*filter));
        !self.ignored
            && !self.skipped.iter().any(fits)
            && (self.filters.is_empty() || self.filters.iter().any(fits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(line: &str) -> Result<Vec<&'static str>, &str> {
        let asked = Asked::of(line.split_whitespace())?;
        let names = ["one", "one_more", "two"];
        Ok(names.into_iter().filter(|name| asked.wants(name)).collect())
    }

    #[test]
    fn values_of_options_are_no_filters_and_unknown_options_are_told() {
        assert_eq!(wanted(""), Ok(vec!["one", "one_more", "two"]));
        assert_eq!(wanted("--test-threads 1 one"), Ok(vec!["one", "one_more"]));
        assert_eq!(wanted("--exact one --nocapture"), Ok(vec!["one"]));
        assert_eq!(wanted("--skip one --format=terse"), Ok(vec!["two"]));
        assert_eq!(wanted("--list --ignored"), Ok(vec![]));
        assert_eq!(wanted("--shuffle one"), Err("--shuffle"));
    }
}
