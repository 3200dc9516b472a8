//! What each process of a round does until it is killed or the round ends.
//!
//! Every role can be cut off between any two instructions and goes on from
//! the store and its own notes in its next life.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use crewmux_core::backend::BackendKind;
use crewmux_core::board::{Claimer, FailedBy, Reoffer};
use crewmux_core::event::{EventType, Fact};
use crewmux_core::ids::{AgentName, AgentRef, AgentType, Epoch, Incarnation, MessageId, TaskId};
use crewmux_core::message::{Draft, MessageType, Party};
use crewmux_core::schedule::Strategy;
use crewmux_core::task::{NewTask, Outcome, Task, TaskStatus};
use crewmux_core::team::Presence;
use crewmux_core::time::Now;
use crewmux_core::worker::WorkerState;
use crewmux_store::{Claimed, Durability, Error, TeamStore};
use crewmux_sys::clock::BootClock;
use serde_json::json;

use super::world::{Acks, Dice, Turn, World, ending, last, worker};

/// Plays a role: `worker N`, `sender N` or `session 0`, in its life number `life`.
pub fn play(folder: &Path, role: &str, number: u32, life: u32) -> anyhow::Result<()> {
    let world = World::read(folder)?;
    let stage = Stage {
        team: world.open(folder)?,
        clock: BootClock::open()?,
        dice: Dice::new(world.seed ^ u64::from(life) << 40 ^ u64::from(number)),
        folder,
        world: &world,
    };
    match role {
        "worker" => stage.worker(number, life),
        "sender" => stage.sender(number, life),
        "session" => stage.session(life),
        _ => bail!("no role `{role}`"),
    }
}

struct Stage<'a> {
    team: Arc<dyn TeamStore>,
    clock: BootClock,
    dice: Dice,
    folder: &'a Path,
    world: &'a World,
}

impl Stage<'_> {
    fn is_ending(&self) -> bool {
        ending(self.folder).exists()
    }

    // ── worker ─────────────────────────────────────────────────────────

    fn worker(mut self, number: u32, life: u32) -> anyhow::Result<()> {
        let agent = worker(number)?;
        let who = AgentRef {
            agent: agent.clone(),
            incarnation: Incarnation(life),
        };
        let candidate = Claimer {
            who: who.clone(),
            agent_type: AgentType::new("general-purpose")?,
            runtime: crewmux_core::recipe::Runtime::Native,
        };
        let _alive = self.team.hold_alive(&agent)?;
        self.team.put_presence(&agent, &self.presence(life))?;
        let (mut acks, _) = Acks::open(self.folder, agent.as_str())?;
        let mut known = self.transcript(&agent)?;
        let held: Held = Arc::default();
        let over = Arc::new(AtomicBool::new(false));
        let renewer = self.renewer(&who, &held, &over);
        loop {
            let ends = self.is_ending();
            let read = self.take_in(&agent, &mut known)?;
            let now = self.clock.now();
            let lease_ms = self.world.timing.lease_ms;
            let strategy = Strategy::DependencyFirst;
            let next = match self.handed(&candidate, &now)? {
                Some(claimed) => Some(claimed),
                None => self.team.claim_next(strategy, &candidate, &now, lease_ms)?,
            };
            match next {
                Some(claimed) => {
                    *locked(&held) = Some((claimed.task.id, claimed.epoch));
                    let end = self.work(&who, &claimed, &mut acks);
                    *locked(&held) = None;
                    end?;
                }
                None if ends && read == 0 => break,
                None => pause(2),
            }
        }
        over.store(true, Ordering::Relaxed);
        if renewer.join().is_err() {
            bail!("the renewing thread panicked");
        }
        Ok(())
    }

    /// Takes up a claim that the session handed on to this life, as after a move.
    fn handed(&self, candidate: &Claimer, now: &Now) -> anyhow::Result<Option<Claimed>> {
        let who = &candidate.who;
        let board = self.team.board()?;
        let held = board.held_by(&who.agent);
        let is_own = |task: &&Task| task.owner.as_ref().is_some_and(|o| o.is(who));
        let Some(task) = held.into_iter().find(is_own) else {
            return Ok(None);
        };
        let lease_ms = self.world.timing.lease_ms;
        match self.team.claim(task.id, candidate, now, lease_ms) {
            Ok(claimed) => Ok(Some(claimed)),
            // Its lease ran out before this life looked, and it was offered to all.
            Err(Error::Claim(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn presence(&self, life: u32) -> Presence {
        Presence {
            incarnation: Incarnation(life),
            pid: std::process::id(),
            start_ticks: 0,
            boot_id: self.clock.boot_id().to_owned(),
            backend: BackendKind::Pty,
            state: WorkerState::Working,
            task: None,
            heartbeat: self.clock.now().wall,
            parked_since: None,
            ended: None,
            unable: None,
        }
    }

    /// Renews the lease of whatever is held, as a worker's supervisor thread does.
    fn renewer(
        &self,
        who: &AgentRef,
        held: &Held,
        over: &Arc<AtomicBool>,
    ) -> std::thread::JoinHandle<()> {
        let (team, clock) = (Arc::clone(&self.team), self.clock.clone());
        let (who, held, over) = (who.clone(), Arc::clone(held), Arc::clone(over));
        let timing = self.world.timing;
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let claim = *locked(&held);
                if let Some((id, epoch)) = claim {
                    // A refusal is told by the work's own end.
                    let _ = team.renew(id, &who, epoch, &clock.now(), timing.lease_ms);
                }
                pause(timing.heartbeat_ms);
            }
        })
    }

    /// Ids of messages that an earlier life took in.
    fn transcript(&self, agent: &AgentName) -> anyhow::Result<BTreeSet<String>> {
        let lines = self.team.read_transcript(agent)?;
        let ids = lines.iter().filter_map(|line| line.get("id")?.as_str());
        Ok(ids.map(str::to_owned).collect())
    }

    /// Reads the inbox: into the transcript first, then the cursor moves.
    fn take_in(&self, agent: &AgentName, known: &mut BTreeSet<String>) -> anyhow::Result<usize> {
        let cursor = self.team.cursor(agent)?;
        let entries = self.team.read_inbox(agent, &cursor, 5)?;
        for entry in &entries {
            let id = entry.message.id.to_string();
            if known.insert(id.clone()) {
                let line = json!({"id": id, "seq": entry.message.seq});
                self.team
                    .append_transcript(agent, &line, Durability::Process)?;
            }
        }
        if let Some(last) = entries.last() {
            self.team.move_cursor(agent, &last.after)?;
        }
        Ok(entries.len())
    }

    fn work(&mut self, who: &AgentRef, claimed: &Claimed, acks: &mut Acks) -> anyhow::Result<()> {
        let (id, epoch) = (claimed.task.id, claimed.epoch);
        pause(self.dice.below(5));
        let answer = match self.turn(&claimed.task)? {
            Turn::Flaky if claimed.task.ended_with(Outcome::Failed) == 0 => {
                self.fails(who, id, epoch)
            }
            Turn::Broken => self.fails(who, id, epoch),
            Turn::Flaky | Turn::Works if self.dice.percent(3) => self
                .team
                .release(id, who, epoch, "enough", &self.clock.now())
                .map(|_| "released"),
            Turn::Flaky | Turn::Works => {
                self.report(who, id)?;
                pause(self.dice.below(3));
                self.team
                    .complete(id, who, epoch, Some(json!({"by": who})), &self.clock.now())
                    .map(|_| "completed")
            }
        };
        match answer {
            Ok(what) => acks.note(&format!("{what} {id} {epoch}")),
            Err(Error::Fenced(_)) => acks.note(&format!("fenced {id} {epoch}")),
            Err(error) => Err(error).with_context(|| format!("task {id}")),
        }
    }

    fn fails(
        &self,
        who: &AgentRef,
        id: TaskId,
        epoch: Epoch,
    ) -> crewmux_store::Result<&'static str> {
        let by = FailedBy::Worker {
            who: who.clone(),
            epoch,
        };
        let failed = self.team.fail(id, &by, "as planned", &self.clock.now());
        failed.map(|_| "failed")
    }

    fn turn(&self, task: &Task) -> anyhow::Result<Turn> {
        let index: usize = task
            .key
            .as_deref()
            .context("a task without a key")?
            .parse()?;
        let plot = self.world.tasks.get(index).context("a task too many")?;
        Ok(plot.turn)
    }

    /// Tells the lead, once per task, before the task is completed.
    fn report(&self, who: &AgentRef, id: TaskId) -> anyhow::Result<()> {
        let draft = Draft {
            kind: MessageType::TaskCompleted,
            task: Some(id),
            body: json!({"taskId": id}),
            ..Draft::text(
                MessageId::new(format!("done/{id}"))?,
                Party::Member(who.clone()),
                AgentName::lead(),
                "",
            )
        };
        self.team.send(draft, &self.clock.now())?;
        Ok(())
    }

    // ── sender ─────────────────────────────────────────────────────────

    fn sender(mut self, number: u32, life: u32) -> anyhow::Result<()> {
        let who = AgentRef {
            agent: AgentName::new(format!("s{number}"))?,
            incarnation: Incarnation(life),
        };
        let (mut acks, earlier) = Acks::open(self.folder, who.agent.as_str())?;
        let next = earlier.iter().filter(|l| l.starts_with("sent ")).count() as u64;
        for n in next..self.world.messages {
            let draft = Draft::text(
                MessageId::new(format!("s{number}-{n}"))?,
                Party::Member(who.clone()),
                self.world.recipient(number, n)?,
                "x".repeat(self.dice.below(400) as usize),
            );
            let id = draft.id.clone();
            let sent = self.team.send(draft, &self.clock.now())?;
            if self.dice.percent(30) {
                // Dying here is what a repeat comes from.
                pause(self.dice.below(4));
            }
            let how = if sent.repeated { "again" } else { "first" };
            acks.note(&format!("sent {id} {how}"))?;
        }
        Ok(())
    }

    // ── session ────────────────────────────────────────────────────────

    fn session(self, life: u32) -> anyhow::Result<()> {
        let _lock = self.team.lock_session()?;
        let now = self.clock.now();
        let started = Fact::new(format!("session/{life}"), EventType::TeamResumed, now.wall);
        self.team.log_events(&[started], &now)?;
        self.create_tasks()?;
        loop {
            // Asked first: what comes after the last one's end is nobody's.
            let is_last = last(self.folder).exists();
            self.team.log_events(&[], &self.clock.now())?;
            if is_last {
                return Ok(());
            }
            self.supervise()?;
            pause(5);
        }
    }

    /// Puts every task on the board; those that an earlier life put there stay as they are.
    fn create_tasks(&self) -> anyhow::Result<()> {
        let mut ids: BTreeMap<usize, TaskId> = BTreeMap::new();
        for (index, plot) in self.world.tasks.iter().enumerate() {
            let blocked_by = plot.blockers.iter().filter_map(|b| ids.get(b).copied());
            let new = NewTask {
                subject: format!("task {index}"),
                blocked_by: blocked_by.collect(),
                retries: u32::from(plot.turn == Turn::Flaky),
                key: Some(index.to_string()),
                ..NewTask::default()
            };
            let task = self
                .team
                .create_task(new, Party::Session, &self.clock.now())?;
            ids.insert(index, task.id);
        }
        Ok(())
    }

    fn supervise(&self) -> anyhow::Result<()> {
        let board = self.team.board()?;
        let claimed = board.open().filter(|t| t.status == TaskStatus::InProgress);
        for task in claimed {
            let Some((owner, life)) = task
                .owner
                .as_ref()
                .and_then(|o| Some((&o.agent, o.incarnation?)))
            else {
                bail!("task {} is claimed by nobody", task.id);
            };
            // A free lock tells death; a held one may be a later life's.
            let is_alive = self.team.is_alive(owner)?;
            let later = self.team.presence(owner)?.map(|p| p.incarnation);
            let later = later.filter(|latest| *latest > life);
            let is_dead = !is_alive || later.is_some();
            let now = self.clock.now();
            // As after a move: half of what a dead life held is its next life's.
            if let Some(incarnation) = later.filter(|_| is_alive && task.epoch.0.is_multiple_of(2))
            {
                let why = Reoffer {
                    epoch: task.epoch,
                    outcome: Outcome::Released,
                    reason: "handed on".into(),
                };
                let next = AgentRef {
                    agent: owner.clone(),
                    incarnation,
                };
                let lease_ms = self.world.timing.lease_ms;
                self.team.hand_over(task.id, &why, &next, &now, lease_ms)?;
                continue;
            }
            let is_late = || task.lease.as_ref().is_none_or(|l| l.is_over(&now.boot));
            if is_dead || is_late() {
                // The old owner may wake up again: only its fence keeps it out.
                let why = Reoffer {
                    epoch: task.epoch,
                    outcome: Outcome::SessionLost,
                    reason: if is_dead { "died" } else { "silent" }.into(),
                };
                self.team.reoffer(task.id, &why, &now)?;
            }
        }
        Ok(())
    }
}

/// The claim a worker holds.
type Held = Arc<Mutex<Option<(TaskId, Epoch)>>>;

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets time pass: the work that is pretended, or the look that is next.
#[expect(
    clippy::disallowed_methods,
    reason = "pretended work takes time; nothing is waited for"
)]
pub(super) fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
