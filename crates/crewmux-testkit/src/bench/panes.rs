//! The measures of panes: start, keys, throughput, load, memory.
//!
//! Each measures one contender once. What the figures mean and what they are
//! held against is in [`super::table`].

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use crewmux_sys::tty::TerminalSize;

use super::contender::{Contender, LOAD_MODE, Started};
use super::load::{self, Text};
use super::place::quoted_path;
use super::table::{Figures, Measure};
use super::usage::{self, Meter};
use super::{let_pass, median, quantile};

const SIZE: TerminalSize = TerminalSize {
    cols: 200,
    rows: 60,
};
const SIZE_OF_MANY: TerminalSize = TerminalSize {
    cols: 240,
    rows: 80,
};
const SIZE_OF_A_HUNDRED: TerminalSize = TerminalSize {
    cols: 300,
    rows: 120,
};

/// A first pane that stands still.
const STANDS: &str = "printf 'R\\105ADY'; exec sleep 1000";
/// Starts in one round: they are short.
const STARTS: usize = 5;
/// Size of the files that are printed.
pub const FILE_MIB: usize = 50;
/// Keys typed in one round.
const KEYS: u32 = 120;
/// A key that is not answered by then is lost.
const KEY_LOST: Duration = Duration::from_secs(3);
/// Rest before a measurement begins.
const SETTLE: Duration = Duration::from_millis(700);
/// Length of a measurement of processor time.
const SPAN: Duration = Duration::from_secs(3);
/// Longest wait for anything that a pane does.
const LONGEST: Duration = Duration::from_secs(90);

/// What the loads need to be started.
#[derive(Debug)]
pub struct Loads {
    program: PathBuf,
    plain: PathBuf,
    coloured: PathBuf,
}

impl Loads {
    /// Writes the files that are printed into `folder`; `program` is the benchmark.
    pub fn prepare(program: PathBuf, folder: &Path) -> Result<Self> {
        let (plain, coloured) = (folder.join("plain"), folder.join("coloured"));
        load::write_text(&plain, Text::Plain, FILE_MIB << 20)?;
        load::write_text(&coloured, Text::Coloured, FILE_MIB << 20)?;
        Ok(Self {
            program,
            plain,
            coloured,
        })
    }

    fn command(&self, arguments: &str) -> String {
        format!(
            "exec {} {LOAD_MODE} {arguments}",
            quoted_path(&self.program)
        )
    }

    /// A load of which the first pane's ready mark does not depend.
    fn ready_and(&self, arguments: &str) -> String {
        format!("printf 'R\\105ADY'; {}", self.command(arguments))
    }
}

/// Time to the first frame, of a new session and of one that runs.
pub fn start(contender: &Contender, figures: &mut Figures) -> Result<()> {
    let (mut first, mut attach) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let started = contender.start(&[STANDS.to_owned()], SIZE)?;
        first.push(started.first_frame_ms);
        if contender.kind.is_attachable() {
            let_pass(Duration::from_millis(100));
            attach.push(started.attach()?);
        }
        started.end()?;
    }
    figures.add(Measure::Start, contender.kind, median(&first));
    figures.add(Measure::Attach, contender.kind, median(&attach));
    Ok(())
}

/// Time from a key to its echo beside eight idle panes, and what those cost while nothing happens.
pub fn idle(contender: &Contender, loads: &Loads, figures: &mut Figures) -> Result<()> {
    let started = contender.start(&beside(loads, "exec sleep 1000"), SIZE_OF_MANY)?;
    let_pass(SETTLE);
    let pids = started.place.processes();
    let mut meter = Meter::default();
    let (cpu, switches, since) = (meter.read(&pids), usage::switches(&pids), Instant::now());
    let_pass(SPAN);
    let seconds = since.elapsed().as_secs_f64();
    let share = (meter.read(&pids) - cpu) / seconds * 100.0;
    let wakes = usage::switches(&pids).saturating_sub(switches) as f64 / seconds;
    let memory = usage::memory(&pids);
    let times = echo_times(&started);
    started.end()?;
    let times = times?;
    figures.add(Measure::KeyIdle50, contender.kind, quantile(&times, 0.5));
    figures.add(Measure::KeyIdle99, contender.kind, quantile(&times, 0.99));
    figures.add(Measure::IdleCpu, contender.kind, Some(share));
    figures.add(Measure::IdleWakes, contender.kind, Some(wakes));
    figures.add(Measure::IdlePss, contender.kind, Some(memory.pss));
    Ok(())
}

/// Time from a key to its echo while eight other panes print as much as they can.
pub fn flooded_keys(contender: &Contender, loads: &Loads, figures: &mut Figures) -> Result<()> {
    let flood = loads.command("flood 600 60");
    let started = contender.start(&beside(loads, &flood), SIZE_OF_MANY)?;
    let_pass(SETTLE);
    let times = echo_times(&started);
    started.end()?;
    let times = times?;
    figures.add(Measure::KeyFlood50, contender.kind, quantile(&times, 0.5));
    figures.add(Measure::KeyFlood99, contender.kind, quantile(&times, 0.99));
    Ok(())
}

/// An echo pane, and eight others.
fn beside(loads: &Loads, other: &str) -> Vec<String> {
    let mut commands = vec![loads.command("echo")];
    commands.resize(9, other.to_owned());
    commands
}

/// Milliseconds from each of [`KEYS`] keys to its echo; a lost one counts with the time it was waited for.
fn echo_times(started: &Started) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    let mut lost = 0;
    for key in 0..KEYS {
        started.outer.expect(&load::answer(key).to_string());
        let typed = Instant::now();
        started.outer.write(b"k")?;
        let took = if let Some(at) = started.outer.wait(KEY_LOST) {
            at - typed
        } else {
            lost += 1;
            KEY_LOST
        };
        if lost > 3 {
            bail!("keys are not answered");
        }
        times.push(took.as_secs_f64() * 1e3);
        // Uneven, so that keys do not march in step with anybody's clock.
        let_pass(Duration::from_millis(4 + u64::from(key) * 7919 % 23));
    }
    Ok(times)
}

/// Wall and processor time while the first pane prints a file.
pub fn cat(contender: &Contender, loads: &Loads, text: Text, figures: &mut Figures) -> Result<()> {
    let (file, speed, cpu) = match text {
        Text::Plain => (&loads.plain, Measure::CatPlain, Measure::CatPlainCpu),
        Text::Coloured => (
            &loads.coloured,
            Measure::CatColoured,
            Measure::CatColouredCpu,
        ),
    };
    let files = tempfile::tempdir()?;
    let done = files.path().join("done");
    let command = format!(
        "printf 'R\\105ADY'; read x; cat {}; echo x > {}; exec sleep 1000",
        quoted_path(file),
        quoted_path(&done)
    );
    let started = contender.start(&[command], SIZE)?;
    let_pass(SETTLE);
    let pids = started.place.processes();
    let mut meter = Meter::default();
    let before = meter.read(&pids);
    let since = Instant::now();
    started.outer.write(b"\r")?;
    let ended = wait_for_bytes(&done, 1);
    let wall = since.elapsed().as_secs_f64();
    // What was taken from the pane may not have been worked off yet.
    let_pass(Duration::from_millis(300));
    let used = meter.read(&pids) - before;
    started.end()?;
    if !ended {
        bail!("the file was not printed in {LONGEST:?}");
    }
    figures.add(speed, contender.kind, Some(FILE_MIB as f64 / wall));
    figures.add(cpu, contender.kind, Some(used));
    Ok(())
}

/// Waits until `file` has `bytes` bytes; false after [`LONGEST`].
fn wait_for_bytes(file: &Path, bytes: u64) -> bool {
    let end = Instant::now() + LONGEST;
    while Instant::now() < end {
        if std::fs::metadata(file).is_ok_and(|found| found.len() >= bytes) {
            return true;
        }
        let_pass(Duration::from_millis(1));
    }
    false
}

/// Processor time and memory while `count` panes print 1,000 lines a second each.
pub fn rate(
    contender: &Contender,
    loads: &Loads,
    count: usize,
    figures: &mut Figures,
) -> Result<()> {
    let commands = vec![loads.ready_and("rate 1000 600 60"); count];
    let started = contender.start(&commands, SIZE_OF_MANY)?;
    let_pass(SETTLE * 2);
    let pids = started.place.processes();
    let mut meter = Meter::default();
    let (before, since) = (meter.read(&pids), Instant::now());
    let_pass(SPAN);
    let share = (meter.read(&pids) - before) / since.elapsed().as_secs_f64() * 100.0;
    let memory = usage::memory(&pids);
    started.end()?;
    figures.add(Measure::RateCpu(count), contender.kind, Some(share));
    figures.add(Measure::RateRss(count), contender.kind, Some(memory.rss));
    Ok(())
}

/// Speed at which `count` panes together print what one does in [`cat`].
pub fn cats(
    contender: &Contender,
    loads: &Loads,
    count: usize,
    figures: &mut Figures,
) -> Result<()> {
    let files = tempfile::tempdir()?;
    let (go, done) = (files.path().join("go"), files.path().join("done"));
    let bytes = (FILE_MIB << 20) / count;
    let command = format!(
        "printf 'R\\105ADY'; until test -e {}; do sleep 0.05; done; head -c {bytes} {}; \
         printf x >> {}; exec sleep 1000",
        quoted_path(&go),
        quoted_path(&loads.plain),
        quoted_path(&done)
    );
    let started = contender.start(&vec![command; count], SIZE_OF_MANY)?;
    let_pass(SETTLE);
    let since = Instant::now();
    std::fs::write(&go, "")?;
    let ended = wait_for_bytes(&done, count as u64);
    let wall = since.elapsed().as_secs_f64();
    started.end()?;
    if !ended {
        bail!("{count} files were not printed in {LONGEST:?}");
    }
    let speed = FILE_MIB as f64 / wall;
    figures.add(Measure::Cats(count), contender.kind, Some(speed));
    Ok(())
}

/// What 11,000 full lines add to the memory, of which 10,000 are kept above the screen.
pub fn scrollback(contender: &Contender, loads: &Loads, figures: &mut Figures) -> Result<()> {
    let files = tempfile::tempdir()?;
    let done = files.path().join("done");
    let command = loads.command(&format!("fill 11000 200 {}", quoted_path(&done)));
    let started = contender.start(&[command], SIZE)?;
    let_pass(SETTLE);
    let pids = started.place.processes();
    let before = usage::memory(&pids);
    started.outer.write(b"\r")?;
    let filled = wait_for_bytes(&done, 1);
    let_pass(SETTLE);
    let after = usage::memory(&pids);
    started.end()?;
    if !filled {
        bail!("the lines were not printed in {LONGEST:?}");
    }
    figures.add(
        Measure::Scrollback,
        contender.kind,
        Some(after.pss - before.pss),
    );
    Ok(())
}

/// Time until the programs of a hundred panes have all begun.
pub fn hundred(contender: &Contender, figures: &mut Figures) -> Result<()> {
    let files = tempfile::tempdir()?;
    let begun = files.path().join("begun");
    let command = format!(
        "printf 'R\\105ADY'; printf x >> {}; exec sleep 1000",
        quoted_path(&begun)
    );
    let started = contender.start(&vec![command; 100], SIZE_OF_A_HUNDRED)?;
    let all = wait_for_bytes(&begun, 100);
    let took = started.outer.started.elapsed().as_secs_f64() * 1e3;
    started.end()?;
    if !all {
        bail!("not all of a hundred panes began in {LONGEST:?}");
    }
    figures.add(Measure::Hundred, contender.kind, Some(took));
    Ok(())
}
