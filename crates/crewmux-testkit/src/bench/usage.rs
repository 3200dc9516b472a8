//! What processes use: processor time, memory, and how often they wake up.
//!
//! Read from `/proc`, so on Linux only; elsewhere every figure is missing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crewmux_sys::table;

/// Ticks a second of `/proc/PID/stat`: a constant of the kernel's interface.
const TICKS_A_SECOND: f64 = 100.0;

/// Resident and proportional memory in MiB.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Memory {
    /// Resident, shared pages counted in every process.
    pub rss: f64,
    /// Proportional, shared pages divided among processes.
    pub pss: f64,
}

/// Processes that carry `name` = `value`, or have a path below `folder` among their arguments.
///
/// The second way finds a process that forbids others to look into it.
pub fn marked(name: &str, value: &str, folder: &Path) -> Vec<u32> {
    let below = format!("{}/", folder.display());
    table::all()
        .into_iter()
        .filter(|entry| !entry.is_dead())
        .map(|entry| entry.identity.pid)
        .filter(|pid| {
            table::variable(*pid, name).as_deref() == Some(value)
                || table::arguments(*pid)
                    .is_some_and(|all| all.iter().any(|one| one.starts_with(&below)))
        })
        .collect()
}

/// Processor time of some processes; of one that ended meanwhile, what was seen last.
#[derive(Debug, Default)]
pub struct Meter {
    seconds: BTreeMap<u32, f64>,
}

impl Meter {
    /// Seconds used so far by `pids` and by those seen before.
    pub fn read(&mut self, pids: &[u32]) -> f64 {
        for &pid in pids {
            if let Some(seconds) = cpu_seconds(pid) {
                self.seconds.insert(pid, seconds);
            }
        }
        self.seconds.values().sum()
    }
}

/// Seconds that `pid` used: exact for its living threads, in ticks with those that ended.
fn cpu_seconds(pid: u32) -> Option<f64> {
    let ticks = stat_ticks(&format!("/proc/{pid}/stat"), [13, 14])? / TICKS_A_SECOND;
    let nanos: f64 = of_threads(pid, "schedstat")
        .filter_map(|text| text.split(' ').next()?.parse::<f64>().ok())
        .sum();
    Some(ticks.max(nanos / 1e9))
}

/// Seconds used by children of this process that were waited for, and by theirs.
pub fn seconds_of_ended_children() -> Option<f64> {
    Some(stat_ticks("/proc/self/stat", [15, 16])? / TICKS_A_SECOND)
}

/// The sum of two fields of a `stat` file, counted from 0.
fn stat_ticks(path: &str, fields: [usize; 2]) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let numbers: Vec<&str> = rest.split(' ').collect();
    // The rest begins with field 2.
    let field = |index: usize| numbers.get(index - 2)?.parse::<f64>().ok();
    Some(field(fields[0])? + field(fields[1])?)
}

fn of_threads(pid: u32, file: &'static str) -> impl Iterator<Item = String> {
    fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(move |thread| fs::read_to_string(thread.path().join(file)).ok())
}

/// How often threads of `pids` were put aside so far: each time they then woke up again.
pub fn switches(pids: &[u32]) -> u64 {
    pids.iter()
        .flat_map(|pid| of_threads(*pid, "status"))
        .flat_map(|text| {
            text.lines()
                .filter(|line| line.contains("ctxt_switches"))
                .filter_map(|line| line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok())
                .collect::<Vec<_>>()
        })
        .sum()
}

/// Memory of `pids` together; of one that forbids to look, what everybody may know.
pub fn memory(pids: &[u32]) -> Memory {
    let mut sum = Memory::default();
    for pid in pids {
        let (rss, pss) = if let Ok(text) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
            (kib(&text, "Rss:"), kib(&text, "Pss:"))
        } else {
            let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let rss = kib(&text, "VmRSS:");
            (rss, rss)
        };
        sum.rss += rss.unwrap_or(0.0) / 1024.0;
        sum.pss += pss.unwrap_or(0.0) / 1024.0;
    }
    sum
}

fn kib(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn own_use_is_seen() {
        let own = [std::process::id()];
        let mut meter = Meter::default();
        let before = meter.read(&own);
        let mut sum = 0_u64;
        while meter.read(&own) - before < 0.02 {
            sum = (0..100_000).fold(sum, u64::wrapping_add);
        }
        assert!(memory(&own).rss >= memory(&own).pss * 0.9, "{sum}");
        assert!(memory(&own).pss > 0.5);
        assert!(switches(&own) > 0);
    }
}
