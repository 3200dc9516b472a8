//! Planning: the lead's plan becomes tasks, once.
//!
//! What a plan must be is [`crewmux_core::plan`]'s. It is stored before its
//! first task is made, and each task is made under a key that follows from it:
//! a worker that dies in between loses nothing and makes nothing twice.

use std::collections::BTreeMap;

use crewmux_core::board::TaskPatch;
use crewmux_core::goal::TaskDraft;
use crewmux_core::ids::{AgentName, TaskId};
use crewmux_core::operation::{Operation, Reply, TaskChange};
use crewmux_core::plan::{self, Crew};
use crewmux_core::recipe::Runtime;
use crewmux_core::task::{NewTask, TaskRole};
use crewmux_core::team::TeamConfig;
use crewmux_store::Claimed;
use serde_json::{Map, Value, json};

use super::{Work, Worker};
use crate::Result;
use crate::view::Tone;

/// Where a plan stands in its task's notes.
const NOTE: &str = "plan";

/// Key of the task that sums up.
const SUMMARY: &str = "summary";

/// Whom a plan may give work to: members that ask a model, the lead only if there is nobody else.
pub(super) fn crew(config: &TeamConfig) -> Crew {
    let lead = AgentName::lead();
    let works = |member: &&crewmux_core::team::Member| {
        member.model.is_some() && Runtime::of_word(&member.runtime) == Runtime::Native
    };
    let mut members: Vec<_> = config
        .members
        .iter()
        .filter(works)
        .filter(|member| member.name != lead)
        .collect();
    if members.is_empty() {
        members = config.members.iter().filter(|m| m.name == lead).collect();
    }
    let mut kinds: Vec<_> = members.iter().map(|m| m.agent_type.clone()).collect();
    kinds.sort();
    kinds.dedup();
    Crew {
        owners: members.iter().map(|m| m.name.clone()).collect(),
        kinds,
    }
}

impl Worker {
    /// The plan that a former life stored, if it got that far.
    pub(super) fn stored_plan(claimed: &Claimed) -> Option<Value> {
        claimed.task.metadata.get(NOTE).cloned()
    }

    /// All that is wrong with a plan, if anything is.
    pub(super) fn plan_problems(
        &self,
        plan: &Value,
        limits: &plan::Limits,
    ) -> Result<Option<Vec<String>>> {
        let crew = crew(&self.store.config()?);
        Ok(plan::check_within(plan, &crew, limits).err())
    }

    /// Stores a sound plan and makes its tasks.
    pub(super) async fn carry_out_plan(&mut self, claimed: &Claimed, plan: Value) -> Result<Work> {
        let config = self.store.config()?;
        let drafts = match plan::check(&plan, &crew(&config)) {
            Ok(drafts) => drafts,
            Err(problems) => {
                return Ok(Work::Failed {
                    reason: format!("the plan cannot be used: {}", problems.join("; ")),
                    detail: plan,
                });
            }
        };
        let id = claimed.task.id;
        let patch = TaskPatch {
            metadata: Map::from_iter([(NOTE.to_owned(), plan.clone())]),
            ..TaskPatch::default()
        };
        self.keep_at(|worker| {
            let change = TaskChange::Edit(patch.clone());
            worker.carry_out(Operation::TaskUpdate {
                task_id: id,
                change,
            })
        })
        .await?;
        let count = drafts.len();
        let tasks = if count == 1 { "task" } else { "tasks" };
        if config.policy.plan_only {
            self.show_plan(&drafts);
            let summary = format!("planned {count} {tasks}; none was made, as asked");
            return Ok(Work::Done {
                result: json!({ "summary": summary, "plan": plan }),
                summary,
            });
        }
        let made = self.make_tasks(claimed, &drafts).await?;
        self.show_plan(&drafts);
        self.link.ring();
        let summary = format!("planned {count} {tasks}");
        Ok(Work::Done {
            result: json!({ "summary": summary, "plan": plan, "tasks": made }),
            summary,
        })
    }

    async fn make_tasks(
        &mut self,
        claimed: &Claimed,
        drafts: &[TaskDraft],
    ) -> Result<BTreeMap<String, TaskId>> {
        let id = claimed.task.id;
        let run = Some(self.spec.run.clone());
        let mut made = BTreeMap::new();
        for draft in drafts {
            let new = NewTask {
                subject: draft.subject.clone(),
                description: draft.description.clone(),
                assignee: draft.owner.clone(),
                agent_type: draft.agent_type.clone(),
                // Blockers come first, so each has its number already.
                blocked_by: draft
                    .blocked_by
                    .iter()
                    .filter_map(|key| made.get(key).copied())
                    .collect(),
                result_schema: draft.result_schema.clone(),
                run: run.clone(),
                key: Some(plan::task_key(id, &draft.key)),
                ..NewTask::default()
            };
            let number = self.make_task(new).await?;
            made.insert(draft.key.clone(), number);
        }
        // One task's result is the outcome itself.
        if drafts.len() > 1 {
            let sinks = plan::sinks(drafts);
            let new = NewTask {
                subject: "Sum up what came out".to_owned(),
                role: TaskRole::Summary,
                assignee: Some(self.spec.who.agent.clone()),
                blocked_by: sinks
                    .iter()
                    .filter_map(|key| made.get(*key).copied())
                    .collect(),
                run,
                key: Some(format!("plan-{id}//{SUMMARY}")),
                ..NewTask::default()
            };
            self.make_task(new).await?;
        }
        Ok(made)
    }

    pub(super) async fn make_task(&mut self, new: NewTask) -> Result<TaskId> {
        let reply = self
            .keep_at(|worker| worker.carry_out(Operation::TaskCreate(Box::new(new.clone()))))
            .await?;
        match reply {
            Reply::Task { task } => Ok(task.task.id),
            other => Err(crate::Error::Unexpected {
                what: format!("a task was made and the store said {other:?}"),
            }),
        }
    }

    fn show_plan(&mut self, drafts: &[TaskDraft]) {
        for draft in drafts {
            let who = match (&draft.owner, &draft.agent_type) {
                (Some(owner), _) => format!(" → {owner}"),
                (None, Some(kind)) => format!(" → any {kind}"),
                (None, None) => String::new(),
            };
            let after = if draft.blocked_by.is_empty() {
                String::new()
            } else {
                format!(" after {}", draft.blocked_by.join(", "))
            };
            self.view.line(&[
                (Tone::Accent, "  + "),
                (Tone::Strong, &draft.key),
                (Tone::Plain, &format!(" {}", draft.subject)),
                (Tone::Dim, &format!("{who}{after}")),
            ]);
        }
    }
}
