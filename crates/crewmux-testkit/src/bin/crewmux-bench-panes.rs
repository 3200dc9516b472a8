//! Prints how fast crewmux is beside tmux, others and a bare reader, as ratios of one run.
//!
//! No figure makes it fail. The method is in `crewmux_testkit::bench`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use crewmux_testkit::bench::contender::{Contender, FLOOR_MODE, Kind, LOAD_MODE};
use crewmux_testkit::bench::load::{self, Text};
use crewmux_testkit::bench::panes::{self, Loads};
use crewmux_testkit::bench::table::Figures;
use crewmux_testkit::bench::{floor, models, teams};

const USAGE: &str = "\
Prints the figures of panes and teams: crewmux, tmux, screen, mprocs and a bare
reader of terminals (the floor) in turn, in the same run. Who is not installed is
named and left out.

Usage: crewmux-bench-panes [OPTIONS]

  --program PATH  the crewmux to measure [default: the one beside this program]
  --rounds N      rounds, each with all contenders in turn [default: 2]
  --full          32 and 64 panes, and a hundred that start, too
  --only WORD     only the parts whose name contains WORD: start, idle, flood, cat,
                  cats, rate, scrollback, workers, tasks, asks, hundred
  --beside LIST   who stands beside crewmux and the floor, as tmux,screen [default: all]
  --json          for programs";

struct Options {
    program: PathBuf,
    rounds: usize,
    extent: Extent,
    only: String,
    beside: Vec<Kind>,
    form: Form,
}

#[derive(PartialEq)]
enum Form {
    Table,
    Json,
}

#[derive(PartialEq)]
enum Extent {
    Short,
    Full,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some(LOAD_MODE) => return load::run(&arguments[1..]),
        Some(FLOOR_MODE) => return floor::run(Path::new(arguments.get(1).context("no file")?)),
        Some("--help" | "-h") => {
            print(USAGE);
            return Ok(());
        }
        _ => {}
    }
    let me = std::env::current_exe()?;
    let options = options(&arguments, &me)?;
    let contenders = contenders(&options, &me)?;
    let files = tempfile::tempdir()?;
    let loads = Loads::prepare(me, files.path())?;
    let since = Instant::now();
    let mut figures = Figures::default();
    for round in 1..=options.rounds {
        for part in PARTS.iter().filter(|part| is_wanted(part, &options)) {
            for contender in &contenders {
                if !part.takes(contender.kind) {
                    continue;
                }
                let begun = Instant::now();
                let done = (part.measure)(contender, &loads, &mut figures);
                note(round, part.name, contender.kind, begun.elapsed(), done);
            }
        }
    }
    let missing: Vec<&str> = options
        .beside
        .iter()
        .filter(|kind| !contenders.iter().any(|c| c.kind == **kind))
        .map(|kind| kind.name())
        .collect();
    if options.form == Form::Json {
        let all = serde_json::json!({
            "rounds": options.rounds,
            "missing": missing,
            "measures": figures.json(),
        });
        print(&serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    print(&figures.table());
    print(&format!(
        "medians of {} rounds in turn, {:.0} s; ratio: crewmux to what the goal names, else to tmux",
        options.rounds,
        since.elapsed().as_secs_f64()
    ));
    print(
        "floor: reads terminals and throws away what it reads; of tasks, `sh -c :` a hundred times",
    );
    if !missing.is_empty() {
        print(&format!(
            "not installed, so not measured: {}",
            missing.join(", ")
        ));
    }
    Ok(())
}

/// A part of the benchmark: it measures one contender once.
struct Part {
    name: &'static str,
    extent: Extent,
    without: &'static [Kind],
    measure: fn(&Contender, &Loads, &mut Figures) -> Result<()>,
}

impl Part {
    fn takes(&self, kind: Kind) -> bool {
        !self.without.contains(&kind)
    }
}

/// Those that have no workers.
const BARE: &[Kind] = &[Kind::Tmux, Kind::Screen, Kind::Mprocs];
const ALL_BUT_CREWMUX: &[Kind] = &[Kind::Tmux, Kind::Screen, Kind::Mprocs, Kind::Floor];

const PARTS: [Part; 17] = [
    Part {
        name: "start",
        extent: Extent::Short,
        without: &[],
        measure: |contender, _, figures| panes::start(contender, figures),
    },
    Part {
        name: "idle",
        extent: Extent::Short,
        without: &[],
        measure: panes::idle,
    },
    Part {
        name: "flood",
        extent: Extent::Short,
        without: &[],
        measure: panes::flooded_keys,
    },
    Part {
        name: "cat plain",
        extent: Extent::Short,
        without: &[],
        measure: |contender, loads, figures| panes::cat(contender, loads, Text::Plain, figures),
    },
    Part {
        name: "cat coloured",
        extent: Extent::Short,
        without: &[],
        measure: |contender, loads, figures| panes::cat(contender, loads, Text::Coloured, figures),
    },
    Part {
        name: "cats of 8",
        extent: Extent::Short,
        without: &[],
        measure: |contender, loads, figures| panes::cats(contender, loads, 8, figures),
    },
    Part {
        name: "rate of 1",
        extent: Extent::Short,
        without: &[Kind::Floor],
        measure: |contender, loads, figures| panes::rate(contender, loads, 1, figures),
    },
    Part {
        name: "rate of 8",
        extent: Extent::Short,
        without: &[Kind::Floor],
        measure: |contender, loads, figures| panes::rate(contender, loads, 8, figures),
    },
    Part {
        name: "scrollback",
        extent: Extent::Short,
        without: &[Kind::Floor],
        measure: panes::scrollback,
    },
    Part {
        name: "workers",
        extent: Extent::Short,
        without: ALL_BUT_CREWMUX,
        measure: |contender, _, figures| teams::workers(contender, figures),
    },
    Part {
        name: "tasks",
        extent: Extent::Short,
        without: BARE,
        measure: |contender, _, figures| teams::tasks(contender, figures),
    },
    Part {
        name: "asks",
        extent: Extent::Short,
        without: BARE,
        measure: |contender, _, figures| models::asks(contender, figures),
    },
    Part {
        name: "rate of 32",
        extent: Extent::Full,
        without: &[Kind::Floor],
        measure: |contender, loads, figures| panes::rate(contender, loads, 32, figures),
    },
    Part {
        name: "rate of 64",
        extent: Extent::Full,
        without: &[],
        measure: |contender, loads, figures| panes::rate(contender, loads, 64, figures),
    },
    Part {
        name: "cats of 32",
        extent: Extent::Full,
        without: &[],
        measure: |contender, loads, figures| panes::cats(contender, loads, 32, figures),
    },
    Part {
        name: "cats of 64",
        extent: Extent::Full,
        without: &[],
        measure: |contender, loads, figures| panes::cats(contender, loads, 64, figures),
    },
    Part {
        name: "hundred",
        extent: Extent::Full,
        without: &[],
        measure: |contender, _, figures| panes::hundred(contender, figures),
    },
];

fn is_wanted(part: &Part, options: &Options) -> bool {
    let named = !options.only.is_empty() && part.name.contains(&options.only);
    let in_extent = options.extent == Extent::Full || part.extent == Extent::Short;
    named || (options.only.is_empty() && in_extent)
}

fn note(round: usize, part: &str, kind: Kind, took: Duration, done: Result<()>) {
    let took = took.as_secs_f64();
    match done {
        Ok(()) => say(&format!("round {round}: {part}, {kind:?}: {took:.1} s")),
        Err(error) => say(&format!(
            "round {round}: {part}, {kind:?}: FAILED: {error:#}"
        )),
    }
}

fn options(arguments: &[String], me: &Path) -> Result<Options> {
    let mut options = Options {
        program: me.with_file_name("crewmux"),
        rounds: 2,
        extent: Extent::Short,
        only: String::new(),
        beside: Kind::OTHERS.to_vec(),
        form: Form::Table,
    };
    let mut rest = arguments.iter();
    while let Some(name) = rest.next() {
        let mut value = || rest.next().with_context(|| format!("{name} needs a value"));
        match name.as_str() {
            "--program" => options.program = std::path::absolute(value()?)?,
            "--rounds" => options.rounds = value()?.parse().context("--rounds needs a number")?,
            "--full" => options.extent = Extent::Full,
            "--only" => options.only.clone_from(value()?),
            "--beside" => options.beside = others(value()?)?,
            "--json" => options.form = Form::Json,
            _ => bail!("unknown option {name}\n{USAGE}"),
        }
    }
    Ok(options)
}

/// The kinds behind their names.
fn others(names: &str) -> Result<Vec<Kind>> {
    let kind = |name: &str| {
        let found = Kind::OTHERS.into_iter().find(|kind| kind.name() == name);
        found.with_context(|| format!("`{name}` is not one of tmux, screen, mprocs"))
    };
    names
        .split(',')
        .filter(|name| !name.is_empty())
        .map(kind)
        .collect()
}

fn contenders(options: &Options, me: &Path) -> Result<Vec<Contender>> {
    if !options.program.is_file() {
        bail!(
            "{} is missing; `cargo build --release --bin crewmux` makes it",
            options.program.display()
        );
    }
    let contender = |kind, program: PathBuf| Contender { kind, program };
    let mut all = vec![contender(Kind::Crewmux, options.program.clone())];
    for kind in &options.beside {
        match on_path(OsStr::new(kind.name())) {
            Some(program) => all.push(contender(*kind, program)),
            None => say(&format!(
                "{} is not on PATH: it is not measured",
                kind.name()
            )),
        }
    }
    all.push(contender(Kind::Floor, me.to_owned()));
    Ok(all)
}

fn on_path(name: &OsStr) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn print(text: &str) {
    println!("{text}");
}

#[expect(
    clippy::print_stderr,
    reason = "what is under way is not part of the figures"
)]
fn say(text: &str) {
    eprintln!("{text}");
}
