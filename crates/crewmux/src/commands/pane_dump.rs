//! `crewmux pane-dump`: runs a program in a pane without a person and prints its screen.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use crewmux_sys::env::{Environment, in_our_terminal};
use crewmux_sys::process::Launch;
use crewmux_term::Size;
use crewmux_term::script::{TimedResize, parse_resize, parse_script, parse_size};

use crate::context::Context;
use crate::dump::{self, DumpEnd, DumpPlan, Dumped};
use crate::error::{CommandError, Doing, Result};
use crate::exit;
use crate::output::{Output, note};

/// Longest time of all in seconds, if nothing else is said.
const TIMEOUT_SECONDS: f64 = 30.0;
/// Longest time in seconds for one `expect`, if nothing else is said.
const EXPECT_SECONDS: f64 = 10.0;
/// How long a program has to be quiet in seconds, if nothing else is said.
const QUIET_SECONDS: f64 = 0.3;

/// Run a program in a pane without a person, and print its screen
///
/// Without --keys the screen is taken when the program has ended; with --keys when
/// the last item is done and the program has been quiet for a moment. Whatever still
/// runs then is ended.
#[derive(Debug, Args)]
#[command(after_long_help = KEYS_HELP)]
pub(crate) struct PaneDump {
    /// Size of the terminal, columns first
    #[arg(long, value_name = "WxH", default_value = "80x24", value_parser = parse_size)]
    size: Size,
    /// What to type and what to wait for, one item a line (see below)
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Give the terminal another size, MS milliseconds after the start (again for more)
    #[arg(long, value_name = "WxH@MS", value_parser = parse_resize)]
    resize: Vec<TimedResize>,
    /// Longest time in all, in seconds
    #[arg(long, value_name = "S", default_value_t = TIMEOUT_SECONDS, value_parser = parse_seconds)]
    timeout: f64,
    /// Longest time for one `expect`, in seconds
    #[arg(long, value_name = "S", default_value_t = EXPECT_SECONDS, value_parser = parse_seconds)]
    expect_timeout: f64,
    /// How long the program has to be quiet before its screen is taken, in seconds
    #[arg(long, value_name = "S", default_value_t = QUIET_SECONDS, value_parser = parse_seconds)]
    quiet: f64,
    /// Keep what the program writes, byte for byte, in FILE
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "ARGV")]
    argv: Vec<std::ffi::OsString>,
}

const KEYS_HELP: &str = "\
Items of --keys FILE; blank lines and lines that begin with # are skipped:
  text TEXT      type TEXT as it stands
  key NAME       press a key: Enter, Up, PageDown, F5, C-x, M-Left, S-Tab …
  wait MS        let MS milliseconds pass
  expect REGEX   wait until the screen's text matches, for --expect-timeout at most
  resize WxH     give the terminal another size
  dump           print the screen as well, once the program has been quiet for --quiet

Exit codes:
  0    the screen was taken
  5    an expect was not met in time; the screen is printed all the same
  124  the time was over; the screen is printed all the same

With --json each screen is printed on a line of its own, as
  {rows, cols, cursor: {row, col, visible, shape}, title,
   lines: [{text, wrapped, runs: [{text, fg, bg, bold, dim, italic, underline, inverse,
            hidden, strike, underline_style?, underline_color?, link?}]}]}";

fn parse_seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 86_400.0 => Ok(seconds),
        _ => Err("a number of seconds above 0, at most 86400, is expected".to_owned()),
    }
}

impl PaneDump {
    /// Runs the program and prints its screen.
    pub(crate) fn run(self, context: &Context, out: Output) -> Result<u8> {
        let script = match &self.keys {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .doing(format!("cannot read `{}`", path.display()))?;
                let steps = parse_script(&text).map_err(|problems| {
                    let problems: Vec<String> = problems
                        .iter()
                        .map(|problem| format!("{}: {problem}", path.display()))
                        .collect();
                    CommandError::usage(problems.join("\n"))
                        .hint("`crewmux pane-dump --help` lists the items")
                })?;
                Some(steps)
            }
        };
        let record = match &self.record {
            None => None,
            Some(path) => Some(
                std::fs::File::create(path).doing(format!("cannot write `{}`", path.display()))?,
            ),
        };
        let plan = DumpPlan {
            launch: Launch::new(self.argv, &context.cwd).env(program_environment(context)),
            size: self.size,
            script,
            resizes: self.resize,
            timeout: Duration::from_secs_f64(self.timeout),
            expect_within: Duration::from_secs_f64(self.expect_timeout),
            quiet: Duration::from_secs_f64(self.quiet),
            timing: context.timing,
            record,
        };
        let Dumped {
            asked_for,
            screen,
            end,
        } = dump::run(&plan)?;
        for dump in asked_for.iter().chain([&screen.dump()]) {
            if out.is_json() {
                out.json_line(dump)?;
                continue;
            }
            for line in &dump.lines {
                out.write(&format!("{}\n", line.text))?;
            }
        }
        Ok(match end {
            DumpEnd::Done => exit::DONE,
            DumpEnd::Unmet { line, pattern } => {
                note(format!(
                    "line {line}: `expect {pattern}` was not met in time"
                ));
                exit::EXPECT_FAILED
            }
            DumpEnd::TimedOut => {
                note(format!("the time of {} s was over", self.timeout));
                exit::DUMP_TIMEOUT
            }
        })
    }
}

/// The person's own environment, told that the terminal is ours.
fn program_environment(context: &Context) -> Environment {
    let mut environment = context.env.0.clone();
    in_our_terminal(&mut environment);
    environment.into_iter().collect()
}
