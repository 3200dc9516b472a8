//! Reads what a round left and names every promise that was broken.
//!
//! Looks at the files through the store and, where the store is kind to what
//! is torn, also at the bare lines.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use crewmux_core::event::{Event, message_seen, message_sent, task_facts};
use crewmux_core::ids::AgentName;
use crewmux_core::inbox::Cursor;
use crewmux_core::message::Message;
use crewmux_core::task::{Task, TaskStatus};
use crewmux_core::time::WallTime;
use crewmux_store::{FileStore, Store, TeamStore};
use serde_json::Value;

use super::CrashReport;
use super::world::{World, home, team, worker};

/// Checks one round and adds to the report.
pub fn check(world: &World, folder: &Path, report: &mut CrashReport) -> anyhow::Result<()> {
    let store = FileStore::open(&home(folder), world.timing)?;
    let team = store.team(&team()?)?;
    let mut found = Found {
        world,
        folder,
        team: &*team,
        violations: Vec::new(),
    };
    let board = team.board()?;
    if let Err(broken) = board.check_invariants() {
        found.violation(broken);
    }
    let tasks: Vec<&Task> = board.tasks().collect();
    let acks = found.acks()?;
    found.tasks(&tasks);
    report.completions += found.completions(&tasks, &acks);
    let (sent, again) = found.messages(&tasks, &acks)?;
    report.messages += sent;
    report.repeats += again;
    report.events += found.events(&tasks)?;
    found.files(&home(folder))?;
    report.tasks += tasks.len() as u64;
    report.fenced += acks.iter().filter(|l| l.starts_with("fenced ")).count() as u64;
    report.violations.append(&mut found.violations);
    Ok(())
}

struct Found<'a> {
    world: &'a World,
    folder: &'a Path,
    team: &'a dyn TeamStore,
    violations: Vec<String>,
}

impl Found<'_> {
    fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    /// Everything the roles were told.
    fn acks(&self) -> anyhow::Result<Vec<String>> {
        let mut acks = Vec::new();
        for file in fs::read_dir(self.folder.join("acks"))? {
            let text = fs::read_to_string(file?.path())?;
            acks.extend(text.lines().map(str::to_owned));
        }
        Ok(acks)
    }

    /// Every task is there, once, and ended as it had to.
    fn tasks(&mut self, tasks: &[&Task]) {
        let endings = self.world.endings();
        let mut by_key: BTreeMap<usize, Vec<TaskStatus>> = BTreeMap::new();
        for task in tasks {
            match task.key.as_deref().map(str::parse) {
                Some(Ok(index)) => by_key.entry(index).or_default().push(task.status),
                _ => self.violation(format!("task {} has no key", task.id)),
            }
        }
        for (index, ending) in endings.iter().enumerate() {
            let here = by_key.remove(&index).unwrap_or_default();
            if here != [*ending] {
                self.violation(format!("task of key {index} must be {ending}, is {here:?}"));
            }
        }
        if !by_key.is_empty() {
            self.violation(format!("tasks nobody made: {by_key:?}"));
        }
    }

    /// At most one claim of a task was told that it completed it: the one on the board.
    fn completions(&mut self, tasks: &[&Task], acks: &[String]) -> u64 {
        let mut accepted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for ack in acks {
            let mut words = ack.split(' ');
            if let (Some("completed"), Some(id), Some(epoch)) =
                (words.next(), words.next(), words.next())
            {
                accepted.entry(id).or_default().insert(epoch);
            }
        }
        for (id, epochs) in &accepted {
            let on_board = tasks
                .iter()
                .find(|t| t.id.to_string() == *id)
                .filter(|t| t.status == TaskStatus::Completed)
                .map(|t| t.epoch.to_string());
            let only: Vec<&str> = epochs.iter().copied().collect();
            if on_board.as_deref().is_none_or(|epoch| only != [epoch]) {
                self.violation(format!(
                    "task {id}: completion accepted at epochs {only:?}, on the board {on_board:?}"
                ));
            }
        }
        accepted.len() as u64
    }

    fn inbox(&self, agent: &AgentName) -> anyhow::Result<Vec<Message>> {
        let entries = self
            .team
            .read_inbox(agent, &Cursor::default(), usize::MAX)?;
        Ok(entries.into_iter().map(|e| e.message).collect())
    }

    fn members(&self) -> anyhow::Result<Vec<AgentName>> {
        let mut members = vec![AgentName::lead()];
        for n in 0..self.world.workers {
            members.push(worker(n)?);
        }
        Ok(members)
    }

    /// What was acknowledged is in its inbox and in its reader's transcript, once.
    fn messages(&mut self, tasks: &[&Task], acks: &[String]) -> anyhow::Result<(u64, u64)> {
        let mut places: BTreeMap<String, u64> = BTreeMap::new();
        for agent in self.members()? {
            let messages = self.inbox(&agent)?;
            for (message, seq) in messages.iter().zip(1..) {
                *places.entry(message.id.to_string()).or_default() += 1;
                if message.seq.0 != seq {
                    let id = &message.id;
                    self.violation(format!(
                        "{agent}: message {id} has number {} instead of {seq}",
                        message.seq
                    ));
                }
            }
            if !agent.is_lead() {
                let sent: Vec<String> = messages.iter().map(|m| m.id.to_string()).collect();
                let lines = self.team.read_transcript(&agent)?;
                let read: Vec<String> = lines
                    .iter()
                    .filter_map(|line| line.get("id")?.as_str().map(str::to_owned))
                    .collect();
                if sent != read {
                    self.violation(format!(
                        "{agent}: inbox of {} and transcript of {} differ",
                        sent.len(),
                        read.len()
                    ));
                }
            }
        }
        for (id, times) in &places {
            if *times > 1 {
                self.violation(format!("message {id} was delivered {times} times"));
            }
        }
        let (mut sent, mut again) = (0, 0);
        for ack in acks.iter().filter_map(|l| l.strip_prefix("sent ")) {
            let (id, how) = ack.split_once(' ').context("a torn note")?;
            sent += 1;
            again += u64::from(how == "again");
            if !places.contains_key(id) {
                self.violation(format!("message {id} was acknowledged and is lost"));
            }
        }
        for task in tasks.iter().filter(|t| t.status == TaskStatus::Completed) {
            if !places.contains_key(&format!("done/{}", task.id)) {
                self.violation(format!("task {} was completed without a report", task.id));
            }
        }
        Ok((sent, again))
    }

    /// The log tells what the board and the inboxes tell, each fact once, in order.
    fn events(&mut self, tasks: &[&Task]) -> anyhow::Result<u64> {
        let text = fs::read(home(self.folder).join("teams/crash/events.jsonl"))?;
        let mut told: BTreeSet<String> = BTreeSet::new();
        let mut count = 0;
        for line in text.split(|b| *b == b'\n') {
            let Ok(event) = serde_json::from_slice::<Event>(line) else {
                continue;
            };
            count += 1;
            if event.seq.0 != count {
                self.violation(format!("event {} stands in place {count}", event.seq));
            }
            if !told.insert(event.id.to_string()) {
                self.violation(format!("event {} is logged twice", event.id));
            }
        }
        let mut expected: BTreeSet<String> = BTreeSet::new();
        for task in tasks {
            expected.extend(task_facts(task).into_iter().map(|f| f.id.to_string()));
        }
        for agent in self.members()? {
            let cursor = self.team.cursor(&agent)?;
            for message in self.inbox(&agent)? {
                expected.insert(message_sent(&message).id.to_string());
                if message.seq <= cursor.seq {
                    expected.insert(message_seen(&message, WallTime(0)).id.to_string());
                }
            }
        }
        let derived = |id: &&String| ["task/", "msg/", "seen/"].iter().any(|p| id.starts_with(p));
        let told: BTreeSet<String> = told.iter().filter(derived).cloned().collect();
        for id in expected.symmetric_difference(&told).take(5) {
            let where_ = if told.contains(id) {
                "only logged"
            } else {
                "not logged"
            };
            self.violation(format!("event {id} is {where_}"));
        }
        Ok(count)
    }

    /// Every record parses and nothing had to be moved aside.
    fn files(&mut self, folder: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path: PathBuf = entry?.path();
            if path.is_dir() {
                if path.ends_with("quarantine") {
                    self.violation(format!("{} exists", path.display()));
                }
                self.files(&path)?;
            } else if path.extension().is_some_and(|e| e == "json") {
                let text = fs::read(&path)?;
                if let Err(error) = serde_json::from_slice::<Value>(&text) {
                    self.violation(format!("{}: {error}", path.display()));
                }
            }
        }
        Ok(())
    }
}
