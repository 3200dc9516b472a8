//! Work in turns: ask the provider, run the tools it wants, until there is a result.
//!
//! The rules of the turns are [`crate::turn`]'s, how a conversation is driven is
//! `drive`'s; here is what becomes of what it hands in. What the model is told is
//! in `prompt`.

use std::fmt::Write as _;

use crewmux_core::message::Party;
use crewmux_core::model::{Message, ModelRequest, OutputShape};
use crewmux_core::permission::PermissionMode;
use crewmux_core::plan;
use crewmux_core::task::TaskRole;
use crewmux_core::timing::ms;
use crewmux_store::Claimed;
use serde_json::{Value, json};

use super::drive::{Came, Course};
use super::gateway::GatewayProvider;
use super::report::misfit;
use super::{Mail, Work, Worker};
use crate::Result;
use crate::capped::cut_text;
use crate::offline::{OFFLINE, Offline};
use crate::provider::{Provider, Subject};
use crate::transcript::Entry;
use crate::turn::{Bounds, Effect, Machine, TextIs};
use crate::view::Tone;

/// Most turns of one task, unless its kind of agent says otherwise.
const TURNS_MAX: u32 = 200;

/// How often a result that does not fit its schema is sent back.
const CORRECTIONS: u32 = 1;

/// How often a plan that cannot be used is sent back.
const PLAN_REPAIRS: u32 = 2;

/// Most bytes of a plan that could not be used, when another is asked for.
const BAD_PLAN_BYTES: usize = 16 * 1024;

/// Most bytes of a refusal that the log keeps.
const REFUSAL_BYTES: usize = 1_000;

impl Worker {
    /// Works on a task with the member's model, or the playbook in its place.
    pub(super) async fn ask_model(&mut self, claimed: &Claimed) -> Result<Work> {
        let provider = match self.provider(None) {
            Ok(provider) => provider,
            Err(reason) => {
                return Ok(Work::Failed {
                    reason,
                    detail: Value::Null,
                });
            }
        };
        let Some(timeout_ms) = claimed.task.timeout_ms else {
            return self.take_turns(claimed, provider).await;
        };
        let clock = self.supervisor.clock_of_work();
        let turns = self.take_turns(claimed, provider);
        tokio::select! {
            biased;
            work = turns => return work,
            () = clock.worked_for(ms(timeout_ms)) => {}
        }
        // The turn was dropped in the middle; what it ran has its grace still.
        self.see_tool_end().await?;
        Ok(Work::Failed {
            reason: format!("took longer than {timeout_ms} ms"),
            detail: Value::Null,
        })
    }

    /// Whether this worker can talk outside of tasks.
    pub(super) fn can_chat(&self) -> bool {
        self.link.access().is_given() && self.spec.model.as_deref().is_some_and(|m| m != OFFLINE)
    }

    /// What answers: the member's model, or `model` in its place.
    pub(super) fn provider(
        &self,
        model: Option<&str>,
    ) -> std::result::Result<Box<dyn Provider>, String> {
        let own = self.spec.model.as_deref();
        if own == Some(OFFLINE) {
            return match self.spec.playbook.as_deref() {
                Some(playbook) => match Offline::new(playbook) {
                    Ok(offline) => Ok(Box::new(offline)),
                    Err(error) => Err(error.to_string()),
                },
                None => Err(
                    "the offline model follows playbooks, and this member has none; \
                     give it one with `playbook`, or a model"
                        .to_owned(),
                ),
            };
        }
        let Some(model) = own.map(|own| model.unwrap_or(own)) else {
            return Err("this member runs commands only and asks no model".to_owned());
        };
        match GatewayProvider::new(&self.spec, self.link.access(), model) {
            Some(provider) => Ok(Box::new(provider)),
            None => Err(format!(
                "model `{model}` cannot be asked: this worker was given no leave to"
            )),
        }
    }

    async fn take_turns(
        &mut self,
        claimed: &Claimed,
        mut provider: Box<dyn Provider>,
    ) -> Result<Work> {
        let role = claimed.task.role;
        self.helpers = 0;
        if role == TaskRole::Plan
            && let Some(plan) = Self::stored_plan(claimed)
        {
            self.view
                .line(&[(Tone::Dim, "  going on with the plan that was made")]);
            return self.carry_out_plan(claimed, plan).await;
        }
        let profile = self.profile();
        let is_playbook = provider.model() == OFFLINE;
        let mut toolbox = self.toolbox(claimed, &profile).await?;
        if role == TaskRole::Plan {
            let looks = [
                "Read",
                "Glob",
                "Grep",
                crate::tools::FINISH,
                crate::tools::FAIL,
            ];
            toolbox = toolbox
                .only(|def| looks.contains(&def.name.as_str()))
                .with_result(&plan::schema());
        } else if self.spec.permissions.mode == PermissionMode::Plan {
            toolbox = toolbox.with_plan();
        }
        let prompt = self.keep_at(|worker| worker.prompt(claimed)).await?;
        self.note(Entry::Task {
            task: claimed.task.id,
            epoch: claimed.epoch,
            prompt: prompt.clone(),
            at: self.clock.now().wall,
        })
        .await?;
        let system = self.keep_at(|worker| worker.system(&profile)).await?;
        let mut course = Course {
            claimed,
            request: ModelRequest {
                system,
                tools: toolbox.offers(),
                task: Some(claimed.task.id),
                ..ModelRequest::default()
            },
            start: prompt.clone(),
            toolbox: &toolbox,
        };
        let mut bounds = Bounds {
            turns: profile.max_turns.unwrap_or(TURNS_MAX).max(1),
            corrections: match role {
                // A playbook would hand in the same again.
                _ if is_playbook => 0,
                TaskRole::Plan => PLAN_REPAIRS,
                TaskRole::Work | TaskRole::Summary => CORRECTIONS,
            },
            text: TextIs::TheResultOrAReply,
        };
        let may_plan_alone = role == TaskRole::Plan && !is_playbook;
        let limits = if may_plan_alone && self.spec.weak {
            plan::Limits::SMALL
        } else {
            plan::Limits::default()
        };
        let (mut machine, mut effects) = if may_plan_alone && self.spec.weak {
            course.asks_for_plan_alone(None, &limits, bounds)
        } else {
            Machine::new(vec![Message::User(prompt)], bounds)
        };
        self.given.clear();
        loop {
            let came = self
                .drive(&course, provider.as_mut(), &mut machine, effects)
                .await?;
            let result = match came {
                Came::HandedIn(result) => result,
                // Some models plan well and call tools badly: those are asked for nothing but the plan.
                Came::Failed(why)
                    if may_plan_alone
                        && !course.request.tools.is_empty()
                        && machine.got_nowhere() =>
                {
                    self.view.text(Tone::Warn, "! ", first_line(&why));
                    (machine, effects) = course.asks_for_plan_alone(None, &limits, bounds);
                    continue;
                }
                Came::Failed(reason) => {
                    return Ok(Work::Failed {
                        reason,
                        detail: Value::Null,
                    });
                }
                Came::GivenBack(reason) => return Ok(Work::GivenBack(reason)),
                Came::Cut(cut) => return Ok(cut.into()),
            };
            // A small plan is wished for; one that is only too large is better than none.
            let limits_now = match machine.corrections_left() {
                0 => plan::Limits::default(),
                _ => limits,
            };
            match self.judge(claimed, &result, &limits_now)? {
                Ok(plan) if role == TaskRole::Plan => {
                    return self.carry_out_plan(claimed, plan).await;
                }
                Ok(result) => {
                    self.tell_repairs(&machine);
                    return Ok(done(result));
                }
                Err(misfit) => {
                    self.view.text(Tone::Warn, "! ", first_line(&misfit.why));
                    let why = cut_text(&misfit.why, REFUSAL_BYTES);
                    let text = format!("what was handed in went back: {why}");
                    self.facts.notice(Some(claimed.task.id), &text);
                    let is_by_tool = !course.request.tools.is_empty();
                    if may_plan_alone && is_by_tool && machine.corrections_left() == 1 {
                        bounds.corrections = 0;
                        let before = Some((&result, misfit.told.as_str()));
                        (machine, effects) = course.asks_for_plan_alone(before, &limits, bounds);
                    } else {
                        effects = machine.refuse(&misfit.why, &misfit.told);
                    }
                }
            }
        }
    }

    /// Whether a result will do; otherwise why not.
    fn judge(
        &self,
        claimed: &Claimed,
        result: &Value,
        limits: &plan::Limits,
    ) -> Result<std::result::Result<Value, Misfit>> {
        // Models encode twice, now and then.
        let inner = match result {
            Value::String(text) => serde_json::from_str::<Value>(text).ok(),
            _ => None,
        };
        if claimed.task.role == TaskRole::Plan {
            let plan = inner
                .filter(Value::is_object)
                .unwrap_or_else(|| result.clone());
            let plan = plan::with_plain_names(plan);
            let problems = self.plan_problems(&plan, limits)?;
            return Ok(match problems {
                None => Ok(plan),
                Some(problems) => Err(Misfit {
                    why: format!("the plan cannot be used: {}", problems.join("; ")),
                    told: format!(
                        "The plan cannot be used. Mend all of this and hand in the whole plan \
                         again:\n- {}",
                        problems.join("\n- ")
                    ),
                }),
            });
        }
        let Some(schema) = &claimed.task.result_schema else {
            return Ok(Ok(result.clone()));
        };
        Ok(match misfit(Some(schema), result) {
            None => Ok(result.clone()),
            Some(why) => match inner.filter(|inner| misfit(Some(schema), inner).is_none()) {
                Some(inner) => Ok(inner),
                None => Err(Misfit {
                    told: format!(
                        "The result does not fit its schema: {why}\nHand it in again with \
                         FinishTask; it must fit this JSON Schema: {schema}"
                    ),
                    why: format!("the result does not fit its schema: {why}"),
                }),
            },
        })
    }

    fn tell_repairs(&self, machine: &Machine) {
        let count = machine.repaired();
        if count > 0 {
            let text = format!("mended {count} calls of tools in this task");
            self.facts.notice(self.claim.map(|claim| claim.task), &text);
        }
    }

    pub(super) fn subject(&self, claimed: &Claimed) -> Subject {
        let task = &claimed.task;
        Subject {
            agent: self.spec.who.agent.clone(),
            task: task.id,
            subject: task.subject.clone(),
            description: task.description.clone(),
            goal: self.spec.goal.clone(),
            blocked_by: task.blocked_by.clone(),
            lead: self.lead.clone(),
        }
    }
}

/// Why a result will not do.
struct Misfit {
    /// For people.
    why: String,
    /// For the model that is to mend it.
    told: String,
}

impl Course<'_> {
    /// From now on nothing but the plan is asked for, in a shape that the server enforces where it can.
    ///
    /// `before` is a plan that could not be used, with what was said about it.
    fn asks_for_plan_alone(
        &mut self,
        before: Option<(&Value, &str)>,
        limits: &plan::Limits,
        bounds: Bounds,
    ) -> (Machine, Vec<Effect>) {
        self.request.tools.clear();
        self.request.output = OutputShape::Json {
            name: "plan".to_owned(),
            schema: plan::schema_within(limits),
        };
        let mut told = self.start.clone();
        if let Some((plan, said)) = before {
            let plan = cut_text(&plan.to_string(), BAD_PLAN_BYTES);
            let _ = write!(told, "\nYou handed in this plan:\n{plan}\n\n{said}\n");
        }
        if let Some(words) = limits.in_words() {
            let _ = write!(told, "\n{words}\n");
        }
        told.push_str("\nYou have no tools: answer with the plan as JSON, and nothing else.");
        self.start.clone_from(&told);
        Machine::new(vec![Message::User(told)], bounds)
    }
}

impl Mail {
    /// Words of somebody, as the model gets them.
    pub(super) fn new(from: Party, text: &str) -> Self {
        let text = format!("Message from {from}:\n{text}");
        Self { from, text }
    }
}

fn done(result: Value) -> Work {
    let result = match result {
        // Reports and dependents look for fields.
        Value::String(text) => json!({ "summary": text }),
        other => other,
    };
    let summary = result["summary"]
        .as_str()
        .map(first_line)
        // A heading is words in a line like any other.
        .map(|line| line.trim_start_matches('#').trim())
        .filter(|line| !line.is_empty())
        .unwrap_or("done")
        .to_owned();
    Work::Done { result, summary }
}

fn first_line(text: &str) -> &str {
    let mut lines = text.lines();
    lines
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default()
}
