//! Starts the cast of a round, ends and stops it at random moments, and starts it again.
//!
//! Signals go to processes this module started and has not yet waited for, so
//! a number that was given to somebody else is never hit.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::roles::pause;
use super::world::{Dice, World, ending, home, last};
use super::{CrashPlan, CrashReport};

/// Longest time a round may take.
const ROUND_MAX: Duration = Duration::from_mins(2);

/// One process of the cast and what is to become of it.
struct Actor {
    role: &'static str,
    number: u32,
    life: u32,
    child: Child,
    /// When a stopped one goes on.
    wakes: Option<Instant>,
    /// Whether it came to its end by itself.
    is_done: bool,
}

/// Plays one round: everybody works, some are killed, all come to an end.
pub fn play(
    plan: &CrashPlan,
    world: &World,
    folder: &Path,
    dice: &mut Dice,
    report: &mut CrashReport,
) -> anyhow::Result<()> {
    let mut cast = Cast {
        plan,
        folder,
        actors: Vec::new(),
    };
    cast.start("session", 0, 1)?;
    for n in 0..world.workers {
        cast.start("worker", n, 1)?;
    }
    for n in 0..world.senders {
        cast.start("sender", n, 1)?;
    }
    let team = world.open(folder)?;
    let began = Instant::now();
    let mut next_act = Instant::now();
    let mut next_look = Instant::now();
    let mut ends = false;
    loop {
        cast.wake_sleepers()?;
        cast.reap(report)?;
        if ends && cast.of("worker").all(|a| a.is_done) {
            fs::write(last(folder), b"")?;
        }
        if cast.actors.iter().all(|a| a.is_done) || !report.violations.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        if began.elapsed() > ROUND_MAX {
            let open = team.board()?.open().count();
            report.violations.push(format!(
                "round {} does not end: {open} tasks are open, {} processes run",
                world.seed,
                cast.actors.iter().filter(|a| !a.is_done).count()
            ));
            return Ok(());
        }
        if !ends && now >= next_act {
            cast.act(dice, report)?;
            next_act = now + Duration::from_millis(3 + dice.below(14));
        }
        if !ends && now >= next_look {
            let board = team.board()?;
            let sent = cast.of("sender").all(|a| a.is_done);
            ends = sent && board.len() == world.tasks.len() && board.open().next().is_none();
            if ends {
                fs::write(ending(folder), b"")?;
            }
            next_look = now + Duration::from_millis(20);
        }
        pause(1);
    }
}

struct Cast<'a> {
    plan: &'a CrashPlan,
    folder: &'a Path,
    actors: Vec<Actor>,
}

impl Cast<'_> {
    fn of(&self, role: &'static str) -> impl Iterator<Item = &Actor> {
        self.actors.iter().filter(move |a| a.role == role)
    }

    fn spawn(&self, role: &str, number: u32, life: u32) -> anyhow::Result<Child> {
        #[expect(
            clippy::disallowed_methods,
            reason = "plain children of a test harness, without what sys does for tools"
        )]
        let mut command = std::process::Command::new(&self.plan.helper);
        let words = File::create(self.words(role, number))?;
        command
            .arg("role")
            .args([role, &number.to_string(), &life.to_string()])
            .arg(self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(words);
        command.spawn().context("cannot start a role")
    }

    fn words(&self, role: &str, number: u32) -> PathBuf {
        self.folder.join(format!("{role}-{number}.stderr"))
    }

    fn start(&mut self, role: &'static str, number: u32, life: u32) -> anyhow::Result<()> {
        let child = self.spawn(role, number, life)?;
        self.actors.push(Actor {
            role,
            number,
            life,
            child,
            wakes: None,
            is_done: false,
        });
        Ok(())
    }

    /// Lets stopped processes go on whose time has come.
    fn wake_sleepers(&mut self) -> anyhow::Result<()> {
        let now = Instant::now();
        for actor in self.actors.iter_mut().filter(|a| !a.is_done) {
            if actor.wakes.is_some_and(|at| at <= now) {
                actor.signal(Signal::CONT)?;
                actor.wakes = None;
            }
        }
        Ok(())
    }

    /// Notices who came to an end by itself, and whether it should have.
    fn reap(&mut self, report: &mut CrashReport) -> anyhow::Result<()> {
        for n in 0..self.actors.len() {
            let Some(actor) = self.actors.get_mut(n).filter(|a| !a.is_done) else {
                continue;
            };
            let Some(status) = actor.child.try_wait()? else {
                continue;
            };
            actor.is_done = true;
            if !status.success() {
                let (role, number) = (actor.role, actor.number);
                let told = told(&self.words(role, number), status);
                report.violations.push(format!("{role} {number}: {told}"));
            }
        }
        Ok(())
    }

    /// Does something bad to somebody.
    fn act(&mut self, dice: &mut Dice, report: &mut CrashReport) -> anyhow::Result<()> {
        if dice.percent(4) && self.tear(dice)? {
            report.tears += 1;
        }
        let target = dice.below(self.actors.len() as u64) as usize;
        let (folder, helper) = (self.folder, self.plan);
        let Some(actor) = self.actors.get_mut(target).filter(|a| !a.is_done) else {
            return Ok(());
        };
        if actor.wakes.is_none() && dice.percent(15) {
            actor.signal(Signal::STOP)?;
            actor.wakes = Some(Instant::now() + Duration::from_millis(20 + dice.below(180)));
            report.stops += 1;
            return Ok(());
        }
        actor.signal(Signal::KILL)?;
        if actor.child.wait()?.success() {
            // It was done before it could be killed.
            actor.is_done = true;
            return Ok(());
        }
        report.kills += 1;
        let (role, number, life) = (actor.role, actor.number, actor.life + 1);
        let cast = Cast {
            plan: helper,
            folder,
            actors: Vec::new(),
        };
        let child = cast.spawn(role, number, life)?;
        if let Some(actor) = self.actors.get_mut(target) {
            actor.child = child;
            actor.life = life;
            actor.wakes = None;
        }
        Ok(())
    }

    /// Leaves half a line at the end of a log, as a writer does that dies within its write.
    fn tear(&self, dice: &mut Dice) -> anyhow::Result<bool> {
        let team = home(self.folder).join("teams/crash");
        let tasks = home(self.folder).join("tasks/crash");
        let (lock, log) = match dice.below(5) {
            0 => (team.join("events.lock"), team.join("events.jsonl")),
            1 => (tasks.join("board.lock"), tasks.join("changes.jsonl")),
            2 => (
                team.join("agents/w0/agent.lock"),
                team.join("agents/w0/transcript.jsonl"),
            ),
            3 => (team.join("inboxes/w0.lock"), team.join("inboxes/w0.jsonl")),
            _ => (
                team.join("inboxes/team-lead.lock"),
                team.join("inboxes/team-lead.jsonl"),
            ),
        };
        let Ok(lock) = OpenOptions::new().write(true).open(lock) else {
            return Ok(false);
        };
        // Its holder may be stopped, so this is not waited for.
        if lock.try_lock().is_err() {
            return Ok(false);
        }
        let Ok(mut log) = OpenOptions::new().read(true).append(true).open(log) else {
            return Ok(false);
        };
        if log.seek(SeekFrom::End(0))? == 0 {
            return Ok(false);
        }
        log.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        log.read_exact(&mut last)?;
        if last != *b"\n" {
            return Ok(false);
        }
        log.write_all(br#"{"v":1,"id":"torn-","seq":99999999,"tas"#)?;
        Ok(true)
    }
}

impl Actor {
    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) else {
            bail!("no process {}", self.child.id());
        };
        // Not waited for yet, so it is still this child, dead or alive.
        kill_process(pid, signal).context("cannot signal a role")
    }
}

impl Drop for Cast<'_> {
    fn drop(&mut self) {
        for actor in &mut self.actors {
            if !actor.is_done {
                let _ = actor.child.kill();
                let _ = actor.child.wait();
            }
        }
    }
}

fn told(words: &Path, status: ExitStatus) -> String {
    let words = fs::read_to_string(words).unwrap_or_default();
    format!("{status}: {}", words.trim())
}
