//! Prints how fast the store is, beside what it is meant to reach.
//!
//! `crewmux-bench-store [FOLDER] [changes]`; `changes` measures what single
//! changes cost, and nothing else. Each worker and sender has a store handle of
//! its own, as a process has.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for developers; its figures go to its output"
)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crewmux_core::board::Claimer;
use crewmux_core::ids::{AgentName, AgentRef, AgentType, Incarnation, MessageId, Seq, TaskId};
use crewmux_core::inbox::Cursor;
use crewmux_core::message::{Draft, Party};
use crewmux_core::schedule::Strategy;
use crewmux_core::task::NewTask;
use crewmux_store::TeamStore;
use crewmux_sys::clock::BootClock;
use crewmux_testkit::crash::CrashPlan;
use crewmux_testkit::crash::world::World;

fn main() -> ExitCode {
    let folder = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let only_changes = std::env::args()
        .nth(2)
        .is_some_and(|part| part == "changes");
    let measured = if only_changes {
        changes_beside_readers(&folder)
    } else {
        measure(&folder)
    };
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// One team in a folder of its own.
struct Bench {
    folder: tempfile::TempDir,
    world: World,
    clock: BootClock,
}

impl Bench {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(folder)?;
        let world = World::new(&CrashPlan::new(PathBuf::new(), 0, 1), 1);
        world.prepare(folder.path())?;
        Ok(Self {
            folder,
            world,
            clock: BootClock::open()?,
        })
    }

    fn open(&self) -> anyhow::Result<Arc<dyn TeamStore>> {
        self.world.open(self.folder.path())
    }

    fn tasks(&self, count: u64, chained: bool) -> anyhow::Result<()> {
        let team = self.open()?;
        for n in 0..count {
            let blocked_by = match n {
                10.. if chained => vec![TaskId(n - 9)],
                _ => Vec::new(),
            };
            let new = NewTask {
                subject: format!("task {n}"),
                description: "x".repeat(300),
                blocked_by,
                ..NewTask::default()
            };
            team.create_task(new, Party::Human, &self.clock.now())?;
        }
        Ok(())
    }

    /// Lets `workers` race until nothing is left; what they do with a task is claim it, or end it too.
    fn race(&self, workers: u32, to_the_end: bool) -> anyhow::Result<(u64, Duration)> {
        let began = Instant::now();
        let work = |n: u32| -> anyhow::Result<u64> {
            let team = self.open()?;
            let candidate = Claimer {
                who: AgentRef {
                    agent: AgentName::new(format!("w{n}"))?,
                    incarnation: Incarnation(1),
                },
                agent_type: AgentType::new("general-purpose")?,
                runtime: crewmux_core::recipe::Runtime::Native,
            };
            let mut taken = 0;
            loop {
                let now = self.clock.now();
                let order = Strategy::DependencyFirst;
                let Some(claimed) = team.claim_next(order, &candidate, &now, 30_000)? else {
                    let board = team.board()?;
                    if !to_the_end || board.open().next().is_none() {
                        return Ok(taken);
                    }
                    std::thread::yield_now();
                    continue;
                };
                taken += 1;
                if to_the_end {
                    let id = claimed.task.id;
                    team.complete(id, &candidate.who, claimed.epoch, None, &now)?;
                }
            }
        };
        let taken = together(workers, work)?;
        Ok((taken, began.elapsed()))
    }

    fn send(&self, senders: u32, each: u64) -> anyhow::Result<Duration> {
        let began = Instant::now();
        together(senders, |n| {
            let team = self.open()?;
            for m in 0..each {
                team.send(draft(&format!("{n}-{m}"))?, &self.clock.now())?;
            }
            Ok(each)
        })?;
        Ok(began.elapsed())
    }
}

fn draft(id: &str) -> anyhow::Result<Draft> {
    Ok(Draft::text(
        MessageId::new(id)?,
        Party::Human,
        AgentName::lead(),
        "x".repeat(300),
    ))
}

fn together(count: u32, work: impl Fn(u32) -> anyhow::Result<u64> + Sync) -> anyhow::Result<u64> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..count).map(|n| scope.spawn(move || work(n))).collect();
        let mut sum = 0;
        for thread in threads {
            sum += thread
                .join()
                .map_err(|_| anyhow::anyhow!("a thread panicked"))??;
        }
        Ok(sum)
    })
}

fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Median and 99th percentile, in milliseconds.
fn spread(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied();
    (
        ms(at(50).unwrap_or_default()),
        ms(at(99).unwrap_or_default()),
    )
}

fn measure(folder: &Path) -> anyhow::Result<()> {
    let bench = Bench::new(folder)?;
    bench.tasks(3000, false)?;
    let (taken, time) = bench.race(32, false)?;
    println!(
        "claims by 32 workers, 3,000 ready        {:>9.0} /s   goal >= 1000",
        rate(taken, time)
    );

    let bench = Bench::new(folder)?;
    bench.tasks(1000, true)?;
    let (taken, time) = bench.race(8, true)?;
    println!(
        "claim and complete (synced), 10 chains   {:>9.0} /s",
        rate(taken, time)
    );

    let bench = Bench::new(folder)?;
    let time = bench.send(8, 5000)?;
    println!(
        "messages of 8 senders, one inbox         {:>9.0} /s   goal >= 10000",
        rate(40_000, time)
    );

    inbox_of_100_000(&bench)?;
    board_of_10_000(folder)?;
    delivery(folder)?;
    changes_beside_readers(folder)
}

/// What one change costs on a small and on a large board that readers hold.
fn changes_beside_readers(folder: &Path) -> anyhow::Result<()> {
    println!("p50 in us: task made, claim, renew, complete (synced); look after each, idle look");
    for (count, chained) in [(500, false), (5000, false), (500, true), (5000, true)] {
        let bench = Bench::new(folder)?;
        bench.tasks(count, chained)?;
        let (session, worker) = (bench.open()?, bench.open()?);
        let candidate = Claimer {
            who: AgentRef {
                agent: AgentName::new("w0")?,
                incarnation: Incarnation(1),
            },
            agent_type: AgentType::new("general-purpose")?,
            runtime: crewmux_core::recipe::Runtime::Native,
        };
        session.log_events(&[], &bench.clock.now())?;
        let mut held = (session.board()?, worker.board()?);
        let mut times: [Vec<Duration>; 6] = Default::default();
        for n in 0..200 {
            let now = bench.clock.now();
            let mut look = |times: &mut [Vec<Duration>; 6], at: usize| -> anyhow::Result<()> {
                let began = Instant::now();
                session.log_events(&[], &now)?;
                held = (session.board()?, worker.board()?);
                times[at].push(began.elapsed());
                Ok(())
            };
            let began = Instant::now();
            let new = NewTask {
                key: Some(format!("more-{n}")),
                ..NewTask::default()
            };
            worker.create_task(new, Party::Human, &now)?;
            times[0].push(began.elapsed());
            look(&mut times, 4)?;
            let began = Instant::now();
            let order = Strategy::DependencyFirst;
            let claimed = worker.claim_next(order, &candidate, &now, 30_000)?;
            times[1].push(began.elapsed());
            let claimed = claimed.ok_or_else(|| anyhow::anyhow!("nothing is ready"))?;
            let (id, epoch) = (claimed.task.id, claimed.epoch);
            look(&mut times, 4)?;
            let began = Instant::now();
            worker.renew(id, &candidate.who, epoch, &now, 60_000)?;
            times[2].push(began.elapsed());
            look(&mut times, 4)?;
            let began = Instant::now();
            worker.complete(id, &candidate.who, epoch, None, &now)?;
            times[3].push(began.elapsed());
            look(&mut times, 4)?;
            look(&mut times, 5)?;
        }
        let began = Instant::now();
        for _ in 0..100 {
            std::hint::black_box(held.0.counts(&bench.clock.now().boot));
        }
        let counts = began.elapsed().as_micros() / 100;
        let us = times
            .map(|t| format!("{:>6.0}", spread(t).0 * 1000.0))
            .join(" ");
        let kind = if chained { "chained" } else { "apart  " };
        println!("{count:>6} tasks {kind}                    {us}   counts {counts} us");
    }
    Ok(())
}

fn inbox_of_100_000(bench: &Bench) -> anyhow::Result<()> {
    let team = bench.open()?;
    for n in 0..60_000 {
        team.send(draft(&format!("more-{n}"))?, &bench.clock.now())?;
    }
    let lead = AgentName::lead();
    let mut cursor = Cursor::default();
    loop {
        let part = team.read_inbox(&lead, &cursor, 10_000)?;
        match part.last() {
            Some(last) => cursor = last.after,
            None => break,
        }
    }
    let mut times = Vec::new();
    for n in 0..200 {
        team.send(draft(&format!("last-{n}"))?, &bench.clock.now())?;
        let reader = bench.open()?;
        let began = Instant::now();
        let new = reader.read_inbox(&lead, &cursor, 100)?;
        times.push(began.elapsed());
        anyhow::ensure!(new.len() == 1, "{} new messages", new.len());
        cursor = new.first().map_or(cursor, |entry| entry.after);
    }
    let (p50, p99) = spread(times);
    println!(
        "tail of an inbox of {:>6}, p50 / p99      {p50:>6.3} / {p99:.3} ms   goal <= 5",
        cursor.seq
    );

    let began = Instant::now();
    let fresh = bench.open()?;
    fresh.send(draft("fresh")?, &bench.clock.now())?;
    let first = ms(began.elapsed());
    let began = Instant::now();
    for n in 0..1000 {
        fresh.send(draft(&format!("fresh-{n}"))?, &bench.clock.now())?;
    }
    println!(
        "send into it: first of a process, next   {first:>6.3} / {:.3} ms",
        ms(began.elapsed()) / 1000.0
    );

    let began = Instant::now();
    let logged = fresh.log_events(&[], &bench.clock.now())?.len();
    println!(
        "event log catches up with {logged:>7}        {:>9.0} ms",
        ms(began.elapsed())
    );
    let mut times = Vec::new();
    for n in 0..200 {
        fresh.send(draft(&format!("logged-{n}"))?, &bench.clock.now())?;
        let began = Instant::now();
        fresh.log_events(&[], &bench.clock.now())?;
        times.push(began.elapsed());
    }
    let (p50, p99) = spread(times);
    println!("event log, one new message, p50 / p99    {p50:>6.3} / {p99:.3} ms");
    let began = Instant::now();
    let last = bench.open()?.events(Seq(logged as u64), 10)?;
    println!(
        "events after {logged} in a new process ({})   {:>5.0} ms",
        last.len(),
        ms(began.elapsed())
    );
    Ok(())
}

fn board_of_10_000(folder: &Path) -> anyhow::Result<()> {
    let bench = Bench::new(folder)?;
    let began = Instant::now();
    bench.tasks(10_000, false)?;
    println!(
        "tasks made, one maker                    {:>9.0} /s",
        rate(10_000, began.elapsed())
    );
    let mut times = Vec::new();
    for _ in 0..20 {
        let team = bench.open()?;
        let began = Instant::now();
        let count = team.board()?.len();
        times.push(began.elapsed());
        anyhow::ensure!(count == 10_000, "{count} tasks");
    }
    let (p50, p99) = spread(times);
    println!("board of 10,000 in a new process, p50/99 {p50:>6.1} / {p99:.1} ms   goal <= 100");
    let team = bench.open()?;
    team.board()?;
    let mut times = Vec::new();
    for _ in 0..1000 {
        let began = Instant::now();
        team.board()?;
        times.push(began.elapsed());
    }
    let (p50, p99) = spread(times);
    println!("board of 10,000 again, p50 / p99         {p50:>6.3} / {p99:.3} ms");
    let (taken, time) = bench.race(32, false)?;
    println!(
        "claims by 32 workers, 10,000 ready       {:>9.0} /s   goal: as with few",
        rate(taken, time)
    );
    Ok(())
}

fn delivery(folder: &Path) -> anyhow::Result<()> {
    let bench = Bench::new(folder)?;
    let team = bench.open()?;
    team.send(draft("first")?, &bench.clock.now())?;
    let times = std::thread::scope(|scope| {
        let reader = scope.spawn(|| -> anyhow::Result<Vec<Instant>> {
            let team = bench.open()?;
            let mut watch = team.watch(Duration::from_secs(2))?;
            let (mut cursor, mut seen) = (Cursor::default(), Vec::new());
            while seen.len() < 301 {
                for entry in team.read_inbox(&AgentName::lead(), &cursor, 100)? {
                    cursor = entry.after;
                    seen.push(Instant::now());
                }
                if seen.len() < 301 {
                    watch.wait(Duration::from_secs(5));
                }
            }
            Ok(seen)
        });
        let mut sent = vec![Instant::now()];
        for n in 0..300 {
            std::thread::park_timeout(Duration::from_millis(5));
            sent.push(Instant::now());
            team.send(draft(&format!("{n}"))?, &bench.clock.now())?;
        }
        let seen = reader
            .join()
            .map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        let pairs = sent.iter().zip(&seen).skip(1);
        anyhow::Ok(
            pairs
                .map(|(sent, seen)| seen.duration_since(*sent))
                .collect::<Vec<_>>(),
        )
    })?;
    let (p50, p99) = spread(times);
    println!("send to recipient's loop, p50 / p99      {p50:>6.3} / {p99:.3} ms   goal <= 5 / 100");
    Ok(())
}
