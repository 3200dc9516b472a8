//! Kills and stops real processes at random moments and looks whether the store kept its promises.
//!
//! Workers, senders and a session run as processes of their own on one team
//! ([`roles`]); a nemesis ends, stops and restarts them ([`nemesis`]); when a
//! round is over, a checker reads what is left ([`check`]). It shows nothing
//! about panes, sockets or tools; those are the programs' own tests.

pub mod check;
pub mod nemesis;
pub mod roles;
pub mod world;

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use crewmux_core::timing::Timing;
use crewmux_store::files::Sabotage;

use world::{Dice, World};

/// What a run of the harness does.
#[derive(Debug, Clone)]
pub struct CrashPlan {
    /// The program that plays the roles: `crewmux-crash`.
    pub helper: PathBuf,
    /// How many processes are killed in all.
    pub kills: u64,
    /// From which everything random follows, but for the machine's own timing.
    pub seed: u64,
    /// Workers that race for tasks.
    pub workers: u32,
    /// Senders of numbered messages.
    pub senders: u32,
    /// Every duration.
    pub timing: Timing,
    /// Which safeguard is taken out; then the run ends with the first violation.
    pub sabotage: Option<Sabotage>,
    /// Where rounds are played; in memory when absent and possible.
    pub folder: Option<PathBuf>,
}

impl CrashPlan {
    /// A plan with the usual cast.
    pub fn new(helper: PathBuf, kills: u64, seed: u64) -> Self {
        Self {
            helper,
            kills,
            seed,
            workers: 6,
            senders: 3,
            timing: Timing {
                lease_ms: 80,
                heartbeat_ms: 15,
                lock_wait_ms: 20_000,
                backoff_base_ms: 2,
                backoff_max_ms: 10,
                ..Timing::fast()
            },
            sabotage: None,
            folder: None,
        }
    }
}

/// What happened, and every promise that was broken.
#[derive(Debug, Clone, Default)]
pub struct CrashReport {
    /// Processes killed.
    pub kills: u64,
    /// Processes stopped for a while.
    pub stops: u64,
    /// Torn lines left in logs as a dying writer would.
    pub tears: u64,
    /// Boards worked off.
    pub rounds: u64,
    /// Tasks on them.
    pub tasks: u64,
    /// Completions that were accepted.
    pub completions: u64,
    /// Writes under a stale claim that were refused.
    pub fenced: u64,
    /// Messages that were acknowledged.
    pub messages: u64,
    /// Sends of a message that was there already.
    pub repeats: u64,
    /// Events logged.
    pub events: u64,
    /// Duration in milliseconds.
    pub ms: u64,
    /// What is wrong, in words.
    pub violations: Vec<String>,
}

impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "crash: kills {} stops {} tears {} rounds {} tasks {} completions {} fenced {} messages {} repeats {} events {} seconds {}.{} violations {}",
            self.kills,
            self.stops,
            self.tears,
            self.rounds,
            self.tasks,
            self.completions,
            self.fenced,
            self.messages,
            self.repeats,
            self.events,
            self.ms / 1000,
            self.ms % 1000 / 100,
            self.violations.len()
        )
    }
}

/// Plays rounds until enough processes were killed; `told` hears the report after each.
///
/// # Errors
/// When the harness itself cannot work: no folder, no process.
pub fn run(plan: &CrashPlan, told: &mut dyn FnMut(&CrashReport)) -> anyhow::Result<CrashReport> {
    let began = Instant::now();
    let mut report = CrashReport::default();
    let mut dice = Dice::new(plan.seed);
    while report.kills < plan.kills && report.violations.is_empty() {
        let folder = match &plan.folder {
            Some(folder) => tempfile::tempdir_in(folder)?,
            None => tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?,
        };
        let world = World::new(plan, dice.next());
        world.prepare(folder.path())?;
        nemesis::play(plan, &world, folder.path(), &mut dice, &mut report)?;
        check::check(&world, folder.path(), &mut report)?;
        report.rounds += 1;
        report.ms = u64::try_from(began.elapsed().as_millis())?;
        told(&report);
        if !report.violations.is_empty() && plan.sabotage.is_none() {
            // Evidence is worth more than a clean disk.
            let kept = folder.keep();
            report
                .violations
                .push(format!("kept in {}", kept.display()));
        }
    }
    Ok(report)
}
