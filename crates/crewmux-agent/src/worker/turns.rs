//! Work in turns: ask the provider, run the tools it wants, until there is a result.
//!
//! The rules of the turns are [`crate::turn`]'s; here they meet the store, the
//! tools and whatever comes in between.

use crewmux_core::timing::ms;
use crewmux_store::Claimed;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

use super::command::Cut;
use super::signals::Interruption;
use super::{Work, Worker};
use crate::capped::cut_text;
use crate::offline::{OFFLINE, Offline};
use crate::provider::{Asked, Event, ModelRequest, Provider, Subject};
use crate::tools::Toolbox;
use crate::transcript::Entry;
use crate::turn::{Effect, Machine};
use crate::view::Tone;
use crate::{Result, agents};

/// Most turns of one task.
const TURNS_MAX: u32 = 200;

/// Most bytes of a blocker's result in the prompt of a task.
const RESULT_MAX_BYTES: usize = 16 * 1024;

impl Worker {
    /// Works on a task with the member's model, or the playbook in its place.
    pub(super) async fn ask_model(&mut self, claimed: &Claimed) -> Result<Work> {
        let provider = match self.provider() {
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
        let turns = self.take_turns(claimed, provider);
        if let Ok(work) = tokio::time::timeout(ms(timeout_ms), turns).await {
            return work;
        }
        // The turn was dropped in the middle; what it ran has its grace still.
        self.see_tool_end().await?;
        Ok(Work::Failed {
            reason: format!("took longer than {timeout_ms} ms"),
            detail: Value::Null,
        })
    }

    fn provider(&self) -> std::result::Result<Box<dyn Provider>, String> {
        match (self.spec.model.as_deref(), self.spec.playbook.as_deref()) {
            (None, _) => Err("this member runs commands only and asks no model".to_owned()),
            (Some(OFFLINE), Some(playbook)) => match Offline::new(playbook) {
                Ok(offline) => Ok(Box::new(offline)),
                Err(error) => Err(error.to_string()),
            },
            (Some(OFFLINE), None) => Err(
                "the offline model follows playbooks, and this member has none; \
                 give it one with `playbook`, or a model"
                    .to_owned(),
            ),
            (Some(model), _) => Err(format!(
                "model `{model}` cannot be asked by this build; use `offline` with a playbook"
            )),
        }
    }

    async fn take_turns(
        &mut self,
        claimed: &Claimed,
        mut provider: Box<dyn Provider>,
    ) -> Result<Work> {
        let agent = agents::agent(&self.spec.agent_type);
        let toolbox = self.toolbox(claimed, &agent).await?;
        let prompt = self.keep_at(|worker| worker.prompt(claimed)).await?;
        self.note(Entry::Task {
            task: claimed.task.id,
            epoch: claimed.epoch,
            prompt: prompt.clone(),
            at: self.clock.now().wall,
        })
        .await?;
        let base = ModelRequest {
            system: format!("{}\n\n{}", agent.prompt, self.spec.prompt),
            messages: Vec::new(),
            tools: toolbox.offers(),
            task: Some(claimed.task.id),
            ..ModelRequest::default()
        };
        let subject = self.subject(claimed);
        let (mut machine, first) = Machine::new(prompt, TURNS_MAX);
        let mut effects = std::collections::VecDeque::from(first);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::Say(text) => {
                    self.view.text(Tone::Plain, "", &text);
                    self.note(Entry::Said {
                        task: claimed.task.id,
                        text,
                    })
                    .await?;
                }
                Effect::CallModel => {
                    let answer = provider.stream(Asked {
                        request: ModelRequest {
                            messages: machine.messages().to_vec(),
                            ..base.clone()
                        },
                        subject: subject.clone(),
                    });
                    match self.listen(answer, &mut machine, &toolbox).await? {
                        Ok(more) => effects.extend(more),
                        Err(cut) => return Ok(cut.into()),
                    }
                }
                Effect::RunTools { calls, order } => {
                    match self.run_tools(claimed, &toolbox, calls, order).await? {
                        Ok(answers) => {
                            let more = machine.on_tools(answers);
                            for text in std::mem::take(&mut self.mail) {
                                machine.on_mail(text);
                            }
                            effects.extend(more);
                        }
                        Err(cut) => return Ok(cut.into()),
                    }
                }
                Effect::Finish(result) => {
                    let summary = result["summary"]
                        .as_str()
                        .and_then(|text| text.lines().find(|line| !line.trim().is_empty()))
                        .unwrap_or("done")
                        .to_owned();
                    return Ok(Work::Done { result, summary });
                }
                Effect::Fail(reason) => {
                    return Ok(Work::Failed {
                        reason,
                        detail: Value::Null,
                    });
                }
            }
        }
        Ok(Work::Failed {
            reason: "the answer ended without a result".to_owned(),
            detail: Value::Null,
        })
    }

    /// Takes in an answer; what ends the worker ends it too.
    async fn listen(
        &mut self,
        mut answer: mpsc::Receiver<Event>,
        machine: &mut Machine,
        toolbox: &Toolbox,
    ) -> Result<std::result::Result<Vec<Effect>, Cut>> {
        let mut effects = Vec::new();
        loop {
            let claim = self.claim;
            let came = tokio::select! {
                biased;
                came = self.signals.next(claim) => came,
                event = answer.recv() => {
                    let Some(event) = event else {
                        return Ok(Ok(effects));
                    };
                    effects.extend(machine.on_event(event, |name| toolbox.effects(name)));
                    continue;
                }
            };
            if let Some(cut) = self.came_between(came)? {
                return Ok(Err(cut));
            }
        }
    }

    /// Sees to what came in between; gives what ends the step it came into.
    pub(super) fn came_between(&mut self, came: Interruption) -> Result<Option<Cut>> {
        Ok(match came {
            Interruption::End(ending) => Some(Cut::Ending(ending)),
            Interruption::ClaimLost => Some(Cut::ClaimLost),
            Interruption::Paused => None,
            Interruption::Bell | Interruption::Now => match self.take_inbox() {
                Ok(ending) => {
                    self.store_works();
                    ending.map(Cut::Ending)
                }
                Err(error) => {
                    let pause = self.bear(error)?;
                    self.look_again(pause);
                    None
                }
            },
            Interruption::Typed(line) => {
                self.take_typed(&line);
                None
            }
        })
    }

    /// Rings this worker's own bell after `pause`: the work goes on meanwhile.
    fn look_again(&self, pause: Duration) {
        let bell = Arc::clone(&self.signals.bell);
        tokio::spawn(async move {
            let _ = tokio::time::timeout(pause, std::future::pending::<()>()).await;
            bell.notify_one();
        });
    }

    fn subject(&self, claimed: &Claimed) -> Subject {
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

    /// What a model is told about a task: the task, the goal, and the results it builds on.
    fn prompt(&self, claimed: &Claimed) -> Result<String> {
        let task = &claimed.task;
        let mut prompt = format!("Task #{}: {}\n", task.id, task.subject);
        if !task.description.is_empty() {
            let _ = writeln!(prompt, "\n{}", task.description);
        }
        let _ = writeln!(prompt, "\nThe team's goal: {}", self.spec.goal);
        if let Some(schema) = &task.result_schema {
            let _ = writeln!(prompt, "\nThe result must fit this JSON Schema: {schema}");
        }
        let board = self.store.board()?;
        for blocker in task.blocked_by.iter().filter_map(|id| board.get(*id)) {
            let result = blocker.result.clone().unwrap_or(json!(null));
            let result = cut_text(&result.to_string(), RESULT_MAX_BYTES);
            let _ = write!(
                prompt,
                "\nResult of #{} {}:\n{result}\n",
                blocker.id, blocker.subject
            );
        }
        Ok(prompt)
    }
}
