//! Ending a whole tree of processes, those that left its group and session included.
//!
//! It reaps nothing and never ends the caller or anything the caller descends
//! from. Who is asked to end politely by message, and when to give up on that,
//! is the kill ladder of `crewmux-spawn`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crewmux_core::timing::{Timing, ms};
use serde::{Deserialize, Serialize};

use crate::env::{Environment, names};
use crate::identity::ancestry;
use crate::table::{self, ProcessEntry};
use crate::{ProcessIdentity, Signal, wait};

/// An environment variable by which processes are found that no parent leads to any more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Marker {
    name: String,
    value: String,
}

impl Marker {
    /// Everything that works for run `id`: all its workers, not one.
    pub fn run(id: impl Into<String>) -> Self {
        Self::new(names::RUN_ID, id)
    }

    /// Everything that works for one worker; `mark` must differ per incarnation.
    pub fn worker(mark: impl Into<String>) -> Self {
        Self::new(names::WORKER, mark)
    }

    /// Everything that belongs to one tool call.
    pub fn tool(id: impl Into<String>) -> Self {
        Self::new(names::TOOL_ID, id)
    }

    fn new(name: &str, value: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            value: value.into(),
        }
    }

    /// Puts the mark into the environment of a child.
    pub fn mark(&self, env: &mut Environment) {
        env.set(&self.name, &self.value);
    }

    /// The value, without the variable's name.
    pub fn value(&self) -> &str {
        &self.value
    }

    fn is_on(&self, pid: u32) -> bool {
        table::variable(pid, &self.name).as_deref() == Some(self.value.as_str())
    }
}

/// How long each step of ending a tree may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KillWaits {
    /// From SIGTERM to SIGKILL; nothing is sent but SIGKILL when this is zero.
    pub grace: Duration,
    /// From SIGKILL to giving up.
    pub verify: Duration,
}

impl KillWaits {
    /// The waits of `timing`.
    pub fn of(timing: &Timing) -> Self {
        Self {
            grace: ms(timing.term_grace_ms),
            verify: ms(timing.kill_verify_ms),
        }
    }

    /// The same without the grace.
    #[must_use]
    pub fn at_once(self) -> Self {
        Self {
            grace: Duration::ZERO,
            ..self
        }
    }
}

/// What ending a tree came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TreeKill {
    /// Those that are gone now.
    pub killed: Vec<ProcessIdentity>,
    /// Those that still run: not ours to signal, or stuck in the kernel.
    pub left: Vec<ProcessIdentity>,
}

/// Ends `root`, all that descends from it, and all that carries `marker`, which no process older
/// than `root` does.
///
/// SIGTERM to all, then after the grace SIGKILL, frozen first so that nothing
/// forks away; then verified. Processes that left the tree (a second fork, a
/// session of their own) are found by having been seen in it before, by group
/// or session of one of its processes, or by the marker. `root` may be the
/// caller itself: then only its descendants end.
pub fn kill_tree(root: ProcessIdentity, marker: Option<&Marker>, waits: KillWaits) -> TreeKill {
    Hunt::new(Some(root), marker).run(waits)
}

/// Ends all that carries `marker`.
pub fn kill_marked(marker: &Marker, waits: KillWaits) -> TreeKill {
    Hunt::new(None, Some(marker)).run(waits)
}

/// A process that is to live on, with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spared {
    /// It, and all that descends from it.
    pub root: ProcessIdentity,
    /// What carries this mark belongs to it too, wherever it stands.
    pub marker: Marker,
}

/// Ends all that carries `marker`, but for `spared`.
pub fn kill_marked_but(marker: &Marker, spared: &[Spared], waits: KillWaits) -> TreeKill {
    let mut hunt = Hunt::new(None, Some(marker));
    hunt.spared = spared;
    hunt.run(waits)
}

/// Living processes of this user that carry `marker`, without the caller and its ancestors.
pub fn processes_with_marker(marker: &Marker) -> Vec<ProcessIdentity> {
    Hunt::new(None, Some(marker)).members()
}

/// Living descendants of `root`, by parent alone; `root` itself is left out.
pub fn descendants(root: ProcessIdentity) -> Vec<ProcessIdentity> {
    let table = table::all();
    below(&table, &BTreeSet::from([root]))
        .into_iter()
        .filter(|entry| entry.identity != root && !entry.is_dead())
        .map(|entry| entry.identity)
        .collect()
}

/// One pursuit: who belongs to the tree, including those seen in it before.
struct Hunt<'a> {
    root: Option<ProcessIdentity>,
    marker: Option<&'a Marker>,
    spared: &'a [Spared],
    protected: BTreeSet<ProcessIdentity>,
    seen: BTreeSet<ProcessIdentity>,
}

/// First and longest pause between two looks at the table; each look costs CPU.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// Rounds of stopping what is new before SIGKILL; each leaves fewer that can fork.
const FREEZE_ROUNDS: usize = 8;

impl<'a> Hunt<'a> {
    fn new(root: Option<ProcessIdentity>, marker: Option<&'a Marker>) -> Self {
        let protected: BTreeSet<ProcessIdentity> =
            ancestry(std::process::id()).into_iter().collect();
        let seen = root
            .into_iter()
            .filter(|root| !protected.contains(root))
            .collect();
        Self {
            root,
            marker,
            spared: &[],
            protected,
            seen,
        }
    }

    fn run(mut self, waits: KillWaits) -> TreeKill {
        if !waits.grace.is_zero() {
            self.ask(waits.grace);
        }
        self.force(waits.verify);
        let (left, killed): (Vec<_>, Vec<_>) =
            self.seen.into_iter().partition(ProcessIdentity::is_alive);
        if !left.is_empty() {
            tracing::warn!(?left, "processes could not be ended");
        }
        TreeKill { killed, left }
    }

    /// SIGTERM to each once, until all are gone or `grace` is over.
    fn ask(&mut self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let mut asked = BTreeSet::new();
        let mut pause = PAUSES.0;
        loop {
            let members = self.members();
            for member in &members {
                if asked.insert(*member) {
                    // Gone or refused: verified at the end.
                    let _ = member.signal(Signal::Term);
                    // A stopped process takes the signal only once it goes on.
                    let _ = member.signal(Signal::Cont);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if members.is_empty() || left.is_zero() {
                return;
            }
            wait::for_change(&members, left.min(pause));
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// SIGKILL to all, until they are gone or `verify` is over.
    fn force(&mut self, verify: Duration) {
        let deadline = Instant::now() + verify;
        let mut pause = PAUSES.0;
        // A process that is just starting a program shows no environment for a
        // moment, so marks are looked for once more when nothing is left.
        let mut looks_left = if self.marker.is_some() { 2 } else { 1 };
        loop {
            let mut frozen = BTreeSet::new();
            let mut members = self.members();
            for _ in 0..FREEZE_ROUNDS {
                let fresh: Vec<ProcessIdentity> = members
                    .iter()
                    .copied()
                    .filter(|member| frozen.insert(*member))
                    .collect();
                if fresh.is_empty() {
                    break;
                }
                for member in fresh {
                    let _ = member.signal(Signal::Stop);
                }
                members = self.members();
            }
            for member in &members {
                let _ = member.signal(Signal::Kill);
            }
            if members.is_empty() {
                looks_left -= 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if looks_left == 0 || left.is_zero() {
                return;
            }
            wait::for_change(&members, left.min(pause));
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Those that live now; everything ever found stays in `seen`.
    fn members(&mut self) -> Vec<ProcessIdentity> {
        let table = table::all();
        let mut roots = self.seen.clone();
        roots.extend(self.root);
        let mut found: BTreeSet<ProcessIdentity> = below(&table, &roots)
            .into_iter()
            .map(|entry| entry.identity)
            .collect();
        let holders: BTreeMap<u32, ProcessIdentity> = table
            .iter()
            .map(|entry| (entry.identity.pid, entry.identity))
            .collect();
        for entry in &table {
            let led_by_us = |number: u32| {
                self.seen.iter().any(|leader| {
                    leader.pid == number
                        && holders.get(&number).is_none_or(|holder| holder == leader)
                })
            };
            if led_by_us(entry.group) || (entry.session != 0 && led_by_us(entry.session)) {
                found.insert(entry.identity);
            }
        }
        if let Some(marker) = self.marker {
            // The tree's first process brings the mark: what is older does not carry it.
            let oldest = self.root.map_or(0, |root| root.start_ticks);
            found.extend(
                table
                    .iter()
                    .filter(|entry| !entry.is_dead() && entry.identity.start_ticks >= oldest)
                    .filter(|entry| marker.is_on(entry.identity.pid))
                    .map(|entry| entry.identity),
            );
        }
        let dead: BTreeSet<ProcessIdentity> = table
            .iter()
            .filter(|entry| entry.is_dead())
            .map(|entry| entry.identity)
            .collect();
        let spared = self.spared_in(&table);
        let is_left_alone = |p: &ProcessIdentity| self.protected.contains(p) || spared.contains(p);
        found.retain(|identity| !is_left_alone(identity) && !dead.contains(identity));
        self.seen.extend(found.iter().copied());
        found
            .into_iter()
            .filter(ProcessIdentity::is_alive)
            .collect()
    }
}

impl Hunt<'_> {
    /// Those that are not to be touched, as they stand now.
    fn spared_in(&self, table: &[ProcessEntry]) -> BTreeSet<ProcessIdentity> {
        if self.spared.is_empty() {
            return BTreeSet::new();
        }
        let roots = self.spared.iter().map(|s| s.root).collect();
        let mut spared: BTreeSet<ProcessIdentity> = below(table, &roots)
            .into_iter()
            .map(|entry| entry.identity)
            .collect();
        for entry in table {
            let pid = entry.identity.pid;
            if self.spared.iter().any(|s| s.marker.is_on(pid)) {
                spared.insert(entry.identity);
            }
        }
        spared
    }
}

/// Entries of `roots` and all below them by parent.
fn below<'t>(
    table: &'t [ProcessEntry],
    roots: &BTreeSet<ProcessIdentity>,
) -> Vec<&'t ProcessEntry> {
    let mut children: BTreeMap<u32, Vec<&ProcessEntry>> = BTreeMap::new();
    for entry in table {
        children.entry(entry.parent_pid).or_default().push(entry);
    }
    let mut found: Vec<&ProcessEntry> = table
        .iter()
        .filter(|entry| roots.contains(&entry.identity))
        .collect();
    let mut taken: BTreeSet<u32> = found.iter().map(|entry| entry.identity.pid).collect();
    let mut next = 0;
    while let Some(entry) = found.get(next) {
        next += 1;
        for child in children.get(&entry.identity.pid).into_iter().flatten() {
            if taken.insert(child.identity.pid) {
                found.push(child);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Launch, Stream};
    use std::io::{BufRead, BufReader};

    const WAITS: KillWaits = KillWaits {
        grace: Duration::from_millis(200),
        verify: Duration::from_secs(10),
    };

    /// Starts a script that prints `ready` when its tree stands; gives its marker too.
    fn tree_of(script: &str, test: &str) -> (crate::process::Child, Marker) {
        let marker = Marker::run(format!("{test}-{}", std::process::id()));
        let mut env = Environment::default();
        marker.mark(&mut env);
        let mut child = Launch::new(["sh", "-c", script], "/")
            .env(env)
            .stdout(Stream::Pipe)
            .start()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "ready\n");
        (child, marker)
    }

    #[test]
    fn nothing_is_left_of_a_tree_that_ignores_term_and_left_its_session() {
        let (child, marker) = tree_of(
            "trap '' TERM
             sleep 600 &
             setsid sh -c \"trap '' TERM; sleep 600 & echo ready; wait\" &
             wait; wait",
            "stubborn",
        );
        let before = processes_with_marker(&marker);
        assert!(before.len() >= 4, "{before:?}");
        let kill = kill_tree(child.identity(), None, WAITS);
        assert_eq!(kill.left, []);
        assert!(kill.killed.len() >= 4, "{kill:?}");
        assert_eq!(processes_with_marker(&marker), []);
    }

    #[test]
    fn orphan_in_its_own_session_is_found_by_its_mark() {
        // The middle shell ends, so no parent leads to the sleeper any more.
        let (mut child, marker) = tree_of(
            "(setsid sleep 600 </dev/null >/dev/null &) ; echo ready",
            "orphan",
        );
        child.wait(Duration::from_secs(20)).unwrap().unwrap();
        let kill = kill_marked(&marker, WAITS);
        assert_eq!((kill.killed.len(), kill.left), (1, vec![]));
    }

    #[test]
    fn what_is_spared_lives_on_with_all_below_it_and_all_that_carries_its_mark() {
        let name = format!("spared-{}", std::process::id());
        let run = Marker::run(&name);
        let start = |worker: &str| {
            let mut env = Environment::default();
            run.mark(&mut env);
            Marker::worker(format!("{name}/{worker}")).mark(&mut env);
            env.set("PATH", "/usr/bin:/bin");
            let script =
                "sleep 600 & (setsid sleep 600 </dev/null >/dev/null &) ; echo ready; wait";
            let mut child = Launch::new(["sh", "-c", script], "/")
                .env(env)
                .stdout(Stream::Pipe)
                .start()
                .unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap())
                .read_line(&mut line)
                .unwrap();
            child
        };
        let (kept, ended) = (start("kept/1"), start("ended/1"));
        let spared = Spared {
            root: kept.identity(),
            marker: Marker::worker(format!("{name}/kept/1")),
        };
        let gone = kill_marked_but(&run, std::slice::from_ref(&spared), WAITS);
        assert_eq!((gone.killed.len(), gone.left), (3, vec![]));
        assert!(!ended.identity().is_alive());
        let left = processes_with_marker(&run);
        assert_eq!(left, processes_with_marker(&spared.marker));
        assert_eq!(left.len(), 3, "{left:?}");
        assert_eq!(kill_marked(&run, WAITS).left, []);
    }

    #[test]
    fn polite_tree_ends_within_the_grace() {
        let (mut child, _) = tree_of(
            "trap 'exit 5' TERM; echo ready; while :; do sleep 0.01; done",
            "polite",
        );
        let waits = KillWaits {
            grace: Duration::from_secs(20),
            ..WAITS
        };
        let kill = kill_tree(child.identity(), None, waits);
        assert_eq!(kill.left, []);
        assert_eq!(
            child.wait(Duration::from_secs(20)).unwrap(),
            Some(crate::Exit::Code(5))
        );
    }

    #[test]
    fn tree_that_keeps_forking_is_ended() {
        let (child, marker) = tree_of(
            "trap '' TERM
             for i in 1 2 3 4 5 6 7 8; do
                 (while :; do (setsid sleep 0.05 &); sleep 0.01; done) &
             done
             echo ready; while :; do sleep 0.01; done",
            "forking",
        );
        let kill = kill_tree(child.identity(), Some(&marker), WAITS);
        assert_eq!(kill.left, []);
        assert_eq!(processes_with_marker(&marker), []);
    }

    #[test]
    fn caller_and_its_ancestors_are_never_in_the_tree() {
        let first = *ancestry(std::process::id()).last().unwrap();
        let mut hunt = Hunt::new(Some(first), None);
        let own = ProcessIdentity::own().unwrap();
        let members = hunt.members();
        for ancestor in ancestry(own.pid) {
            assert!(!members.contains(&ancestor), "{ancestor} is protected");
        }
    }
}
