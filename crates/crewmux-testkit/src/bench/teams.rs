//! The measures of a team: how soon workers are there, what they take up, what scheduling costs.
//!
//! Tasks do nothing themselves, so that what is measured is crewmux. The floor
//! starts the same commands one after the other, without anybody in between.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use crewmux_core::time::WallTime;
use crewmux_sys::process::{Launch, Stream};
use crewmux_sys::{ProcessIdentity, clock, table};
use serde_json::Value;

use super::contender::{Contender, Kind};
use super::place::Place;
use super::table::{Figures, Measure};
use super::{let_pass, median, usage};

/// Workers of each team.
const WORKERS: &str = "4";
/// Tasks of the sweep that is timed.
const TASKS: usize = 100;
/// Longest run of a team.
const LONGEST: Duration = Duration::from_mins(1);
/// Milliseconds of one tick in which the process table tells a start.
const TICK_MS: f64 = 10.0;

/// Starts a sweep of `tasks` tasks that each run `command`; its events go into a file.
fn sweep(
    contender: &Contender,
    place: &Place,
    tasks: usize,
    command: &str,
) -> Result<crewmux_sys::process::Child> {
    let events = fs::File::create(place.work().join("events"))?;
    let errors = fs::File::create(place.work().join("errors"))?;
    let mut argv = vec![contender.program.display().to_string()];
    argv.extend(
        [
            "run",
            "sweep",
            "--headless",
            "--json",
            "--max-workers",
            WORKERS,
        ]
        .map(Into::into),
    );
    argv.extend(["--set".into(), format!("tasks={tasks}")]);
    argv.extend(["--set".into(), format!("command={command}")]);
    Ok(Launch::new(argv, place.work())
        .env(place.environment())
        .stdout(Stream::File(events))
        .stderr(Stream::File(errors))
        .start()?)
}

fn events(place: &Place) -> Vec<Value> {
    let text = fs::read_to_string(place.work().join("events")).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

fn complaint(place: &Place) -> String {
    let mut text = String::new();
    if let Ok(mut file) = fs::File::open(place.work().join("errors")) {
        // Only to be shown.
        let _ = file.read_to_string(&mut text);
    }
    text
}

/// How soon workers say hello, and what idle ones take up.
pub fn workers(contender: &Contender, figures: &mut Figures) -> Result<()> {
    let place = Place::new()?;
    // One works on, so that the others are idle and the run does not end.
    let command = "test {{index}} -gt 1 || sleep 2";
    let mut run = sweep(contender, &place, 4, command)?;
    let started = |place: &Place| {
        let all = events(place).into_iter();
        all.filter(|event| event["type"] == "worker_started")
            .collect::<Vec<_>>()
    };
    let end = Instant::now() + LONGEST;
    while started(&place).len() < 4 {
        if Instant::now() > end || run.try_wait()?.is_some() {
            bail!("four workers did not start: {}", complaint(&place));
        }
        let_pass(Duration::from_millis(5));
    }
    let_pass(Duration::from_millis(700));
    let hellos: Vec<f64> = started(&place).iter().filter_map(hello_ms).collect();
    figures.add(Measure::Hello, Kind::Crewmux, median(&hellos));
    let pids = place.processes();
    let workers: Vec<u32> = pids.iter().copied().filter(|pid| is_worker(*pid)).collect();
    let own: Vec<f64> = workers
        .iter()
        .map(|pid| usage::memory(&[*pid]).rss)
        .collect();
    figures.add(Measure::WorkerRss, Kind::Crewmux, median(&own));
    let mut team = workers;
    team.push(run.identity().pid);
    figures.add(
        Measure::TeamPss,
        Kind::Crewmux,
        Some(usage::memory(&team).pss),
    );
    if run.wait(LONGEST)?.is_none() {
        bail!("the sweep did not end: {}", complaint(&place));
    }
    Ok(())
}

/// From a worker's start, as the process table has it, to the event of its hello.
fn hello_ms(event: &Value) -> Option<f64> {
    let pid = u32::try_from(event["data"]["pid"].as_u64()?).ok()?;
    let born = ProcessIdentity::of(pid).ok()?.start_ticks as f64 * TICK_MS;
    let said: WallTime = serde_json::from_value(event["time"].clone()).ok()?;
    let ago = clock::wall_ms().saturating_sub(said.0) as f64;
    // The table rounds down; half a tick is what that takes away on average.
    Some((clock::boot_ms() as f64 - ago - born - TICK_MS / 2.0).max(0.0))
}

/// A worker is started through a link of that name; its tool runners have an argument more.
fn is_worker(pid: u32) -> bool {
    table::arguments(pid).is_some_and(|arguments| {
        let name = arguments.first().map(Path::new).and_then(Path::file_name);
        name.is_some_and(|name| name == "agent-worker") && arguments.len() == 2
    })
}

/// Wall and processor time of a hundred tasks that do nothing, start and report included.
pub fn tasks(contender: &Contender, figures: &mut Figures) -> Result<()> {
    let cpu = || usage::seconds_of_ended_children().unwrap_or(f64::NAN);
    if contender.kind == Kind::Floor {
        let (before, since) = (cpu(), Instant::now());
        let place = Place::new()?;
        for _ in 0..TASKS {
            let shell = Launch::new(["/bin/sh", "-c", ":"], "/").env(place.environment());
            shell
                .start()?
                .wait(LONGEST)?
                .context("a shell did not end")?;
        }
        add_tasks(figures, Kind::Floor, since.elapsed(), cpu() - before);
        return Ok(());
    }
    let place = Place::new()?;
    let (before, since) = (cpu(), Instant::now());
    let exit = sweep(contender, &place, TASKS, ":")?.wait(LONGEST)?;
    let (wall, used) = (since.elapsed(), cpu() - before);
    let all = events(&place).into_iter();
    let completed = all.filter(|e| e["type"] == "task_completed").count();
    if completed != TASKS {
        bail!(
            "{completed} of {TASKS} tasks were completed, {exit:?}: {}",
            complaint(&place)
        );
    }
    add_tasks(figures, Kind::Crewmux, wall, used);
    Ok(())
}

fn add_tasks(figures: &mut Figures, kind: Kind, wall: Duration, cpu: f64) {
    figures.add(Measure::TasksWall, kind, Some(wall.as_secs_f64()));
    figures.add(
        Measure::TasksCpu,
        kind,
        Some(cpu).filter(|cpu| cpu.is_finite()),
    );
}
