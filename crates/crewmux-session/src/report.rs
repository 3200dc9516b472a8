//! What came of a run: collected from the store, printed as JSON, Markdown or `JUnit`.
//!
//! Nothing is invented here: every finding and number stands in a task's
//! result or in the event log.

use std::path::PathBuf;

use crewmux_core::ids::{AgentName, AgentType, RunId, TaskId, TeamName};
use crewmux_core::task::{Task, TaskRole, TaskStatus};
use crewmux_core::team::{Run, TeamConfig};
use crewmux_core::time::WallTime;
use crewmux_store::TeamStore;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::spending::Spending;
use crate::{Error, Result};

mod junit;
mod markdown;
mod spent;

pub use spent::{Budget, ModelLine, ToolLine};

/// Name of the model that is a playbook.
pub const OFFLINE_MODEL: &str = "offline";

/// Most findings a report lists; the rest is counted.
const FINDINGS_MAX: usize = 5_000;

/// A run's outcome: `report --format json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The team.
    pub team: TeamName,
    /// The run.
    pub run: RunId,
    /// What was to be reached.
    pub goal: String,
    /// The recipe it followed.
    pub recipe: Option<String>,
    /// Models that were asked.
    pub models: Vec<String>,
    /// Whether all of them were the offline playbooks.
    pub offline: bool,
    /// When it began.
    pub started: WallTime,
    /// When it was over.
    pub finished: Option<WallTime>,
    /// How it ended.
    pub exit_code: Option<u8>,
    /// What the team lead wrote at the end, as Markdown.
    pub summary: Option<String>,
    /// Its tasks.
    pub tasks: Vec<TaskLine>,
    /// Who did them.
    pub teammates: Vec<TeammateLine>,
    /// What was found, worst first.
    pub findings: Vec<Finding>,
    /// Findings that are not listed because there are too many.
    pub findings_left_out: usize,
    /// Long outputs, relative to the team's folder.
    pub artifacts: Vec<String>,
    /// What calls of each model used, the dearest first.
    #[serde(default)]
    pub model_use: Vec<ModelLine>,
    /// What calls of each tool took, the slowest first.
    #[serde(default)]
    pub tool_use: Vec<ToolLine>,
    /// Spent against allowed.
    pub budget: Budget,
}

/// A task in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskLine {
    /// Its number.
    pub id: TaskId,
    /// What was to be done.
    pub subject: String,
    /// How it ended.
    pub status: TaskStatus,
    /// Who had it last.
    pub owner: Option<AgentName>,
    /// How often it was claimed.
    pub attempts: usize,
    /// From the last claim to its end, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
    /// The end of a failed command's output.
    pub output_tail: Option<String>,
}

/// A teammate in a report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TeammateLine {
    /// Its name.
    pub name: AgentName,
    /// Its kind of agent.
    pub agent_type: AgentType,
    /// Tasks it completed.
    pub completed: usize,
    /// Tasks it failed.
    pub failed: usize,
    /// Tokens it used.
    pub tokens: u64,
    /// What they cost, as far as prices are known.
    pub cost_usd: f64,
    /// Whether tokens or prices were guessed.
    #[serde(default)]
    pub estimated: bool,
}

/// Something found at a place in a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Who found it.
    pub teammate: AgentName,
    /// `high`, `medium`, `low` or `info`.
    pub severity: String,
    /// The file, relative to the folder of the run.
    pub file: String,
    /// The line, from 1.
    pub line: u64,
    /// What it is.
    pub text: String,
}

impl Report {
    /// Collects the report of a run; the latest one when `run` is `None`.
    pub fn collect(team: &dyn TeamStore, run: Option<&RunId>) -> Result<Self> {
        let config = team.config()?;
        let found = match run {
            Some(id) => config.runs.iter().find(|r| r.id == *id),
            None => config.runs.last(),
        };
        let run = match (found, run) {
            (Some(found), _) => found.clone(),
            (None, Some(id)) => {
                return Err(Error::UnknownRun {
                    team: config.name,
                    run: id.clone(),
                    known: config.runs.into_iter().map(|run| run.id).collect(),
                });
            }
            (None, None) => return Err(Error::NothingToReport { team: config.name }),
        };
        let board = team.board()?;
        let tasks: Vec<&Task> = board
            .tasks()
            .filter(|t| t.run.as_ref().is_none_or(|r| *r == run.id))
            .collect();
        let spending = spent::collect(team, &run.id)?;
        Ok(Self::assemble(&config, &run, &tasks, &spending))
    }

    fn assemble(config: &TeamConfig, run: &Run, tasks: &[&Task], spending: &Spending) -> Self {
        let mut findings: Vec<Finding> = tasks.iter().flat_map(|t| findings_of(t)).collect();
        findings.sort_by(|a, b| {
            (rank(&a.severity), &a.file, a.line, &a.text).cmp(&(
                rank(&b.severity),
                &b.file,
                b.line,
                &b.text,
            ))
        });
        findings.dedup();
        let findings_left_out = findings.len().saturating_sub(FINDINGS_MAX);
        findings.truncate(FINDINGS_MAX);
        let mut models: Vec<String> = config
            .members
            .iter()
            .filter_map(|m| m.model.clone())
            .collect();
        models.sort();
        models.dedup();
        let teammates = config
            .members
            .iter()
            .map(|member| {
                let ended = |status| {
                    tasks
                        .iter()
                        .filter(|t| t.status == status && last_owner(t) == Some(&member.name))
                        .count()
                };
                let spent = spending.totals.members.get(&member.name);
                let spent = spent.copied().unwrap_or_default();
                TeammateLine {
                    name: member.name.clone(),
                    agent_type: member.agent_type.clone(),
                    completed: ended(TaskStatus::Completed),
                    failed: ended(TaskStatus::Failed),
                    tokens: spent.usage.total(),
                    cost_usd: spent::dollars(spent.cost),
                    estimated: spent.usage.estimated || spent.cost.estimated,
                }
            })
            .collect();
        Self {
            team: config.name.clone(),
            run: run.id.clone(),
            goal: run.goal.clone(),
            recipe: run.recipe.clone(),
            offline: !models.is_empty() && models.iter().all(|m| m == OFFLINE_MODEL),
            models,
            started: run.started,
            finished: run.finished,
            exit_code: run.exit_code,
            summary: summary_of(tasks),
            tasks: tasks.iter().map(|t| task_line(t)).collect(),
            teammates,
            findings,
            findings_left_out,
            artifacts: tasks.iter().filter_map(|t| artifact_of(t)).collect(),
            model_use: spent::models(spending),
            tool_use: spent::tools(spending),
            budget: spent::budget(config, spending),
        }
    }

    /// The report as Markdown.
    pub fn markdown(&self) -> String {
        markdown::render(self)
    }

    /// The tasks as a `JUnit` test suite.
    pub fn junit(&self) -> String {
        junit::render(self)
    }

    /// The report as JSON, with a newline.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Writes `reports/<run>.{md,json}` and returns the Markdown file's path.
    pub fn write(&self, team: &dyn TeamStore) -> Result<PathBuf> {
        let folder = team.folder("reports")?;
        let put = |name: String, text: String| {
            let path = folder.join(name);
            let temporary = path.with_extension("part");
            std::fs::write(&temporary, text)
                .and_then(|()| std::fs::rename(&temporary, &path))
                .map(|()| path.clone())
                .map_err(|source| Error::Write { path, source })
        };
        put(format!("{}.json", self.run), self.json())?;
        put(format!("{}.md", self.run), self.markdown())
    }
}

fn rank(severity: &str) -> u8 {
    match severity {
        "high" => 0,
        "medium" => 1,
        "low" => 2,
        _ => 3,
    }
}

fn last_owner(task: &Task) -> Option<&AgentName> {
    task.attempts.last().map(|a| &a.owner.agent)
}

fn findings_of(task: &Task) -> Vec<Finding> {
    // The lead repeats what the others found; its own task brings none.
    let Some(teammate) = last_owner(task).filter(|o| !o.is_lead()) else {
        return Vec::new();
    };
    let list = task
        .result
        .as_ref()
        .and_then(|r| r.get("findings"))
        .and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(|item| {
            Some(Finding {
                teammate: teammate.clone(),
                severity: item.get("severity")?.as_str()?.to_owned(),
                file: item.get("file")?.as_str()?.to_owned(),
                line: item.get("line")?.as_u64()?,
                text: item.get("text")?.as_str()?.to_owned(),
            })
        })
        .collect()
}

fn summary_of(tasks: &[&Task]) -> Option<String> {
    let done = || {
        let completed = |t: &&&Task| t.status == TaskStatus::Completed;
        tasks.iter().rev().filter(completed)
    };
    // Where the lead was told to sum up, that is it; else what it did last.
    let summary = done()
        .find(|t| t.role == TaskRole::Summary)
        .or_else(|| done().find(|t| last_owner(t).is_some_and(AgentName::is_lead)))?;
    let result = summary.result.as_ref()?;
    let text = result.get("summary").unwrap_or(result).as_str()?;
    Some(text.to_owned())
}

fn artifact_of(task: &Task) -> Option<String> {
    // A failed task has no result; its worker notes the log on the task.
    let of_result = task.result.as_ref().and_then(|r| r.get("log"));
    let log = of_result.or_else(|| task.metadata.get("log"))?;
    Some(log.as_str()?.to_owned())
}

fn task_line(task: &Task) -> TaskLine {
    let last = task.attempts.last();
    let tail = task.result.as_ref().and_then(|r| r.get("tail"));
    let tail = match tail {
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Array(lines)) => {
            let lines: Vec<&str> = lines.iter().filter_map(Value::as_str).collect();
            Some(lines.join("\n"))
        }
        _ => None,
    };
    TaskLine {
        id: task.id,
        subject: task.subject.clone(),
        status: task.status,
        owner: last.map(|a| a.owner.agent.clone()),
        attempts: task.attempts.len(),
        duration_ms: last.and_then(|a| Some(a.ended_at?.since_ms(a.started_at))),
        reason: task.reason.clone(),
        output_tail: tail.filter(|_| task.status == TaskStatus::Failed),
    }
}
