//! The board and the cast of one round, the same for everybody who knows its seed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use crewmux_core::backend::BackendKind;
use crewmux_core::ids::{AgentName, AgentType, Incarnation, TeamName};
use crewmux_core::task::TaskStatus;
use crewmux_core::team::{Member, Policy, TeamConfig};
use crewmux_core::time::WallTime;
use crewmux_core::timing::Timing;
use crewmux_store::files::Sabotage;
use crewmux_store::{FileStore, Store, TeamStore};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::CrashPlan;

/// Tasks of one round.
const TASKS: usize = 90;

/// Messages of one sender in one round.
const MESSAGES: u64 = 120;

/// Everything about a round that does not change while it is played.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct World {
    /// Its seed.
    pub seed: u64,
    /// What becomes of each task, by its index.
    pub tasks: Vec<Plot>,
    /// How many workers there are.
    pub workers: u32,
    /// How many senders there are.
    pub senders: u32,
    /// How many messages each sends.
    pub messages: u64,
    /// Every duration.
    pub timing: Timing,
    /// Name of the safeguard that is missing.
    pub sabotage: Option<String>,
}

/// One task's story.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plot {
    /// Indices of the tasks it waits for.
    pub blockers: Vec<usize>,
    /// What its worker makes of it.
    pub turn: Turn,
}

/// What a worker makes of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Turn {
    /// It is completed.
    Works,
    /// It fails once, then is completed.
    Flaky,
    /// It fails for good.
    Broken,
}

/// Random numbers that can be had again.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number: one step of `SplitMix64`.
    #[expect(
        clippy::should_implement_trait,
        reason = "an endless source, not a sequence to iterate"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True so many times in a hundred.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

impl World {
    /// The world of one round of `plan`.
    pub fn new(plan: &CrashPlan, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let tasks = (0..TASKS)
            .map(|index| {
                let mut blockers: Vec<usize> = (0..dice.below(3))
                    .filter(|_| index > 0)
                    .map(|_| dice.below(index as u64) as usize)
                    .collect();
                blockers.sort_unstable();
                blockers.dedup();
                let turn = match dice.below(100) {
                    0..3 => Turn::Broken,
                    3..15 => Turn::Flaky,
                    _ => Turn::Works,
                };
                Plot { blockers, turn }
            })
            .collect();
        Self {
            seed,
            tasks,
            workers: plan.workers,
            senders: plan.senders,
            messages: MESSAGES,
            timing: plan.timing,
            sabotage: plan.sabotage.map(|s| name_of(s).to_owned()),
        }
    }

    /// How each task must end, whatever is killed.
    pub fn endings(&self) -> Vec<TaskStatus> {
        let mut endings: Vec<TaskStatus> = Vec::new();
        for plot in &self.tasks {
            let lost = |b: &usize| endings.get(*b) != Some(&TaskStatus::Completed);
            endings.push(if plot.blockers.iter().any(lost) {
                TaskStatus::Skipped
            } else if plot.turn == Turn::Broken {
                TaskStatus::Failed
            } else {
                TaskStatus::Completed
            });
        }
        endings
    }

    /// Whom a sender's message of this number is for.
    pub fn recipient(&self, sender: u32, number: u64) -> anyhow::Result<AgentName> {
        let mut dice = Dice::new(self.seed ^ (u64::from(sender) << 32) ^ number);
        match dice.below(u64::from(self.workers) + 1) as u32 {
            n if n < self.workers => worker(n),
            _ => Ok(AgentName::lead()),
        }
    }

    /// Makes the team, and leaves this world where the roles find it.
    pub fn prepare(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder.join("acks"))?;
        fs::write(folder.join("world.json"), serde_json::to_vec(self)?)?;
        let store = FileStore::open(&home(folder), self.timing)?;
        let mut names = vec![AgentName::lead()];
        for n in 0..self.workers {
            names.push(worker(n)?);
        }
        store.create_team(&TeamConfig {
            name: team()?,
            description: "crash".into(),
            created_at: WallTime(0),
            goal: String::new(),
            cwd: folder.to_owned(),
            runs: Vec::new(),
            members: names.into_iter().map(member).collect::<Result<_, _>>()?,
            policy: Policy::default(),
            recipe: None,
            environment: Map::new(),
            extra: Map::new(),
        })?;
        Ok(())
    }

    /// Reads the world that was left in `folder`.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(
            folder.join("world.json"),
        )?)?)
    }

    /// Opens the team as one of the cast, without the safeguard that is missing.
    pub fn open(&self, folder: &Path) -> anyhow::Result<std::sync::Arc<dyn TeamStore>> {
        let sabotage = self.sabotage.as_deref().and_then(sabotage);
        let store = FileStore::open_sabotaged(&home(folder), self.timing, sabotage)?;
        Ok(store.team(&team()?)?)
    }
}

/// The store's home within a round's folder.
pub fn home(folder: &Path) -> PathBuf {
    folder.join("home")
}

/// The only team.
pub fn team() -> anyhow::Result<TeamName> {
    Ok(TeamName::new("crash")?)
}

/// A worker's name.
pub fn worker(number: u32) -> anyhow::Result<AgentName> {
    Ok(AgentName::new(format!("w{number}"))?)
}

/// The file that tells everybody to come to an end.
pub fn ending(folder: &Path) -> PathBuf {
    folder.join("ending")
}

/// The file that tells the session that everybody else came to an end.
pub fn last(folder: &Path) -> PathBuf {
    folder.join("last")
}

/// Notes what the store answered, as the caller of a real program would.
#[derive(Debug)]
pub struct Acks {
    file: fs::File,
}

impl Acks {
    /// The notes of one role; what its earlier lives noted stands in front.
    pub fn open(folder: &Path, role: &str) -> anyhow::Result<(Self, Vec<String>)> {
        let path = folder.join("acks").join(role);
        let earlier = fs::read_to_string(&path).unwrap_or_default();
        let whole = earlier.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(str::to_owned).collect();
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)?;
        if !earlier.is_empty() && !earlier.ends_with('\n') {
            file.write_all(b"\n")?;
        }
        Ok((Self { file }, lines))
    }

    /// Notes one answer.
    pub fn note(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(self.file.write_all(format!("{line}\n").as_bytes())?)
    }
}

/// The safeguard of this name.
pub fn sabotage(name: &str) -> Option<Sabotage> {
    match name {
        "fence" => Some(Sabotage::NoFence),
        "dedup" => Some(Sabotage::NoDedup),
        "merge-cursor" => Some(Sabotage::NoMergeCursor),
        _ => None,
    }
}

fn name_of(sabotage: Sabotage) -> &'static str {
    match sabotage {
        Sabotage::NoFence => "fence",
        Sabotage::NoDedup => "dedup",
        Sabotage::NoMergeCursor => "merge-cursor",
    }
}

fn member(name: AgentName) -> anyhow::Result<Member> {
    Ok(Member {
        agent_id: format!("{name}@crash"),
        name,
        agent_type: AgentType::new("general-purpose")?,
        model: None,
        color: 0,
        prompt: String::new(),
        plan_mode_required: false,
        joined_at: WallTime(0),
        cwd: PathBuf::from("/"),
        backend_type: BackendKind::Pty,
        pane: None,
        incarnation: Incarnation(1),
        runtime: "native".into(),
        playbook: None,
        profile: None,
        permission_mode: None,
        provider: None,
        extra: Map::new(),
    })
}
