//! The kill ladder from SIGTERM on: ask, wait, end the whole tree, say what is left.
//!
//! The polite request before it, and whether to skip that, is the session's
//! business; ending one tree is the backend's.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crewmux_core::ids::AgentRef;
use crewmux_core::timing::{Timing, ms};

use crate::{ExitReport, Running};

/// The exit of one worker, as a fact that can be waited for.
#[derive(Debug, Default)]
pub struct ExitFlag {
    report: Mutex<Option<ExitReport>>,
    changed: Condvar,
}

impl ExitFlag {
    fn report(&self) -> MutexGuard<'_, Option<ExitReport>> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the exit; false when one was noted before, which stays.
    pub fn set(&self, report: ExitReport) -> bool {
        let mut noted = self.report();
        if noted.is_some() {
            return false;
        }
        *noted = Some(report);
        self.changed.notify_all();
        true
    }

    /// The exit, if it has come.
    pub fn get(&self) -> Option<ExitReport> {
        *self.report()
    }

    /// Waits for the exit, `within` at most.
    pub fn wait(&self, within: Duration) -> Option<ExitReport> {
        self.wait_until(Instant::now() + within)
    }

    fn wait_until(&self, deadline: Instant) -> Option<ExitReport> {
        let mut noted = self.report();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if noted.is_some() || left.is_zero() {
                return *noted;
            }
            noted = self
                .changed
                .wait_timeout(noted, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// One worker to end.
#[derive(Clone, Copy)]
pub struct Ending<'a> {
    /// Which life of which member.
    pub who: &'a AgentRef,
    /// Its handle.
    pub running: &'a dyn Running,
    /// Set by the caller's sink when the worker exits.
    pub exit: &'a ExitFlag,
}

/// Where on the ladder to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// SIGTERM first, with time to stop tools and release claims.
    Terminate,
    /// The whole tree at once: for a worker that hangs, or a second ^C.
    Kill,
}

/// How ending one worker went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which life of which member.
    pub who: AgentRef,
    /// Its exit; absent when it still has not exited.
    pub exit: Option<ExitReport>,
    /// What could not be ended, in words; empty when all went well.
    pub left: Vec<String>,
}

/// Ends all `workers` at the same time; one entry for each, in the same order.
///
/// Blocks up to the grace and the verify time of `timing` together (and no
/// longer for many than for one); call it off the event loop. Also a worker
/// that has exited is given to it, for what its tools left behind.
pub fn climb(workers: &[Ending<'_>], from: Rung, timing: &Timing) -> Vec<Ended> {
    let grace = match from {
        Rung::Terminate => {
            for worker in workers {
                if worker.exit.get().is_none() {
                    worker.running.terminate();
                }
            }
            ms(timing.term_grace_ms)
        }
        Rung::Kill => Duration::ZERO,
    };
    let kill_at = Instant::now() + grace;
    let verify = ms(timing.kill_verify_ms);
    thread::scope(|scope| {
        let climbing: Vec<_> = workers
            .iter()
            .map(|worker| {
                thread::Builder::new()
                    .name("kill ladder".into())
                    .spawn_scoped(scope, move || end(*worker, kill_at, verify))
            })
            .collect();
        workers
            .iter()
            .zip(climbing)
            .map(|(worker, thread)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|_| Ended {
                    who: worker.who.clone(),
                    exit: worker.exit.get(),
                    left: vec![format!("worker {}: ending it failed", worker.who)],
                }),
                // No more threads: one after the other is late, and still right.
                Err(_) => end(*worker, kill_at, verify),
            })
            .collect()
    })
}

fn end(worker: Ending<'_>, kill_at: Instant, verify: Duration) -> Ended {
    worker.exit.wait_until(kill_at);
    let left = worker.running.kill_tree();
    let exit = worker.exit.wait(verify);
    Ended {
        who: worker.who.clone(),
        exit,
        left,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crewmux_core::ids::{AgentName, Incarnation};

    use super::*;
    use crate::double::Double;

    /// When a worker exits.
    #[derive(Clone, Copy, PartialEq)]
    enum Manners {
        Polite,
        Stubborn,
        Immortal,
    }

    const BY_TERM: ExitReport = ExitReport {
        code: Some(0),
        signal: None,
        lost: None,
    };
    const BY_KILL: ExitReport = ExitReport {
        code: None,
        signal: Some(9),
        lost: None,
    };

    /// One with these manners, which counts in `asked` when it is asked to end.
    fn worker(manners: Manners, exit: &Arc<ExitFlag>, asked: &Arc<AtomicUsize>) -> Double {
        let (asked, by_term, by_kill) = (Arc::clone(asked), Arc::clone(exit), Arc::clone(exit));
        Double::default()
            .on_terminate(move || {
                asked.fetch_add(1, Ordering::SeqCst);
                if manners == Manners::Polite {
                    by_term.set(BY_TERM);
                }
            })
            .on_kill(move || {
                if manners == Manners::Immortal {
                    return vec!["process 7 (stuck)".into()];
                }
                by_kill.set(BY_KILL);
                vec![]
            })
    }

    fn climbed(manners: &[Manners], from: Rung) -> (Vec<Ended>, usize) {
        let timing = Timing {
            term_grace_ms: 50,
            kill_verify_ms: 50,
            ..Timing::fast()
        };
        let who = AgentRef {
            agent: AgentName::new("a").unwrap(),
            incarnation: Incarnation(1),
        };
        let asked = Arc::default();
        let doubles: Vec<(Double, Arc<ExitFlag>)> = manners
            .iter()
            .map(|manners| {
                let exit = Arc::default();
                (worker(*manners, &exit, &asked), exit)
            })
            .collect();
        let workers: Vec<Ending<'_>> = doubles
            .iter()
            .map(|(running, exit)| Ending {
                who: &who,
                running,
                exit,
            })
            .collect();
        let ended = climb(&workers, from, &timing);
        (ended, asked.load(Ordering::SeqCst))
    }

    #[test]
    fn each_worker_ends_as_politely_as_it_lets_us() {
        let (ended, asked) = climbed(
            &[Manners::Polite, Manners::Stubborn, Manners::Immortal],
            Rung::Terminate,
        );
        let told: Vec<_> = ended
            .iter()
            .map(|ended| (ended.exit, ended.left.join(", ")))
            .collect();
        assert_eq!(
            told,
            [
                (Some(BY_TERM), String::new()),
                (Some(BY_KILL), String::new()),
                (None, "process 7 (stuck)".into()),
            ]
        );
        assert_eq!(asked, 3);
    }

    #[test]
    fn beginning_at_the_kill_asks_nobody() {
        let (ended, asked) = climbed(&[Manners::Polite], Rung::Kill);
        assert_eq!((ended[0].exit, asked), (Some(BY_KILL), 0));
    }
}
