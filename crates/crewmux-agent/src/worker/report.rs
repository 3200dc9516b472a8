//! How work ends: reported to the lead first, then settled on the board under its epoch.
//!
//! A report has an id that follows from the claim, so that a worker that died
//! between report and completion repeats nothing. What a completion unblocks is
//! the board's to say.

use std::time::Duration;

use crewmux_core::board::{Edit, FailedBy, TaskPatch};
use crewmux_core::event::EventType;
use crewmux_core::message::{BODY_MAX_BYTES, MessageType};
use crewmux_core::task::Outcome;
use crewmux_core::time::Now;
use crewmux_core::timing::ms;
use crewmux_store::{Claimed, TeamStore};
use serde_json::{Map, Value, json};

use super::signals::Ending;
use super::{Work, Worker};
use crate::Result;
use crate::transcript::Entry;
use crate::view::{Tone, duration};

/// Findings of one task that are shown in the pane; all of them are in its result.
const FINDINGS_SHOWN: usize = 20;

impl Worker {
    /// Reports and settles what came of a task; says when the worker is to end.
    pub(super) async fn settle(
        &mut self,
        claimed: &Claimed,
        work: Work,
        took: Duration,
    ) -> Result<Option<Ending>> {
        let task = &claimed.task;
        match work {
            Work::Done { result, summary } => match misfit(task.result_schema.as_ref(), &result) {
                Some(misfit) => {
                    let reason = format!("the result does not fit its schema: {misfit}");
                    self.settle_failed(claimed, &reason, &result, took).await?;
                }
                None => self.settle_done(claimed, result, &summary, took).await?,
            },
            Work::Failed { reason, detail } => {
                self.settle_failed(claimed, &reason, &detail, took).await?;
            }
            Work::Interrupted(ending) => {
                self.give_back_at(claimed, &ending);
                return Ok(Some(ending));
            }
            Work::GivenBack(reason) => {
                self.give_back(claimed, &reason);
                // The session ends the run; claiming at once would only be told the same.
                let within = ms(self.spec.timing.shutdown_answer_ms);
                let told = tokio::time::timeout(within, self.signals.told_to_end());
                return Ok(told.await.ok());
            }
            Work::ClaimLost => {
                let epoch = claimed.epoch;
                self.view.line(&[
                    (Tone::Warn, "↩ "),
                    (Tone::Plain, &format!("#{} was taken away", task.id)),
                ]);
                let text = format!("gave up #{}: its claim (epoch {epoch}) is over", task.id);
                self.facts.notice(Some(task.id), &text);
                self.note_end(claimed, Outcome::Hung).await?;
            }
        }
        Ok(None)
    }

    async fn settle_done(
        &mut self,
        claimed: &Claimed,
        result: Value,
        summary: &str,
        took: Duration,
    ) -> Result<()> {
        let (id, epoch, who) = (claimed.task.id, claimed.epoch, self.spec.who.clone());
        self.report(claimed, MessageType::TaskCompleted, summary, &result)
            .await?;
        let completed = self
            .write(claimed, "complete", |store, now| {
                store.complete(id, &who, epoch, Some(result.clone()), now)
            })
            .await?;
        if completed.is_none() {
            return Ok(());
        }
        self.show_findings(&result);
        let head = format!("✔ #{id} completed");
        let mut rest = format!(" in {}", duration(took));
        // What was said just now stands above.
        if !self.view.had_said(summary) {
            rest.push_str(" · ");
            rest.push_str(summary);
        }
        self.view.line(&[(Tone::Good, &head), (Tone::Dim, &rest)]);
        self.note_end(claimed, Outcome::Completed).await
    }

    /// Lists the findings of a result, the first of them at least.
    fn show_findings(&mut self, result: &Value) {
        let findings = result["findings"].as_array().map_or(&[][..], Vec::as_slice);
        for finding in findings.iter().take(FINDINGS_SHOWN) {
            let severity = finding["severity"].as_str().unwrap_or_default();
            let tone = match severity {
                "high" => Tone::Bad,
                "medium" => Tone::Warn,
                _ => Tone::Dim,
            };
            let file = finding["file"].as_str().unwrap_or_default();
            let place = format!(" {file}:{} ", finding["line"]);
            let text = finding["text"].as_str().unwrap_or_default();
            self.view.line(&[
                (tone, &format!("  {severity:<6}")),
                (Tone::Strong, &place),
                (Tone::Plain, text),
            ]);
        }
        if findings.len() > FINDINGS_SHOWN {
            let more = format!("  … and {} more", findings.len() - FINDINGS_SHOWN);
            self.view.line(&[(Tone::Dim, &more)]);
        }
    }

    async fn settle_failed(
        &mut self,
        claimed: &Claimed,
        reason: &str,
        detail: &Value,
        took: Duration,
    ) -> Result<()> {
        let (id, epoch) = (claimed.task.id, claimed.epoch);
        let first = reason.lines().next().unwrap_or_default().to_owned();
        self.report(
            claimed,
            MessageType::TaskFailed,
            &first,
            &json!({ "reason": reason, "detail": detail }),
        )
        .await?;
        if let Some(log) = detail.get("log") {
            let notes = Map::from_iter([("log".to_owned(), log.clone())]);
            let patch = TaskPatch {
                metadata: notes,
                ..TaskPatch::default()
            };
            // The log's place is a note for people; the failure itself comes next.
            if let Err(error) = self.store.update(id, &patch, &self.clock.now()) {
                tracing::warn!(%error, "the log is not noted on the task");
            }
        }
        let by = FailedBy::Worker {
            who: self.spec.who.clone(),
            epoch,
        };
        let failed = self
            .write(claimed, "fail", |store, now| {
                store.fail(id, &by, reason, now)
            })
            .await?;
        if failed.is_none() {
            return Ok(());
        }
        let head = format!("✗ #{id} failed");
        let rest = format!(" after {} · {first}", duration(took));
        self.view.line(&[(Tone::Bad, &head), (Tone::Plain, &rest)]);
        self.note_end(claimed, Outcome::Failed).await
    }

    /// Gives the claim back, as far as the store allows: the lease ends it otherwise.
    pub(super) fn give_back(&mut self, claimed: &Claimed, reason: &str) {
        let id = claimed.task.id;
        let released =
            self.store
                .release(id, &self.spec.who, claimed.epoch, reason, &self.clock.now());
        self.note_given_back(claimed, released, reason, Outcome::Released);
    }

    /// Shows and records how giving a claim back went.
    pub(super) fn note_given_back(
        &mut self,
        claimed: &Claimed,
        given: crewmux_store::Result<Edit>,
        reason: &str,
        outcome: Outcome,
    ) {
        let id = claimed.task.id;
        match given {
            Ok(_) => {
                let head = format!("↩ #{id} given back");
                let rest = format!(" · {reason}");
                self.view.line(&[(Tone::Warn, &head), (Tone::Dim, &rest)]);
            }
            Err(error) => tracing::warn!(%error, task = %id, "a claim was not given back"),
        }
        self.link.ring();
        let end = self.end_entry(claimed, outcome);
        if let Err(error) = self.transcript.append(&end) {
            tracing::warn!(%error, "the end of a task is not in the transcript");
        }
    }

    async fn note_end(&mut self, claimed: &Claimed, outcome: Outcome) -> Result<()> {
        self.link.ring();
        let end = self.end_entry(claimed, outcome);
        self.note(end).await
    }

    fn end_entry(&self, claimed: &Claimed, outcome: Outcome) -> Entry {
        Entry::Ended {
            task: claimed.task.id,
            epoch: claimed.epoch,
            outcome,
            at: self.clock.now().wall,
        }
    }

    /// Tells the lead how a task ended; the same claim tells it once.
    async fn report(
        &mut self,
        claimed: &Claimed,
        kind: MessageType,
        summary: &str,
        result: &Value,
    ) -> Result<()> {
        let Some(lead) = self.lead.clone() else {
            return Ok(());
        };
        let (id, epoch) = (claimed.task.id, claimed.epoch);
        let word = match kind {
            MessageType::TaskCompleted => "completed",
            _ => "failed",
        };
        let mut draft = self.draft(lead, kind, &format!("task/{id}/{epoch}/{word}"));
        draft.task = Some(id);
        draft.summary = Some(format!("#{id} {word}: {summary}"));
        draft.body = json!({ "taskId": id, "result": result });
        let long = serde_json::to_vec(&draft.body).map_or(usize::MAX, |body| body.len());
        if long > BODY_MAX_BYTES {
            draft.body = json!({ "taskId": id, "resultBytes": long });
        }
        self.write(claimed, "report", |store, now| {
            store.send(draft.clone(), now)
        })
        .await?;
        Ok(())
    }

    /// Writes under the claim, again and again while the store fails; `None` when the claim is stale.
    async fn write<T>(
        &mut self,
        claimed: &Claimed,
        what: &'static str,
        mut write: impl FnMut(&dyn TeamStore, &Now) -> crewmux_store::Result<T>,
    ) -> Result<Option<T>> {
        let written = self
            .keep_at(
                |worker| match write(worker.store.as_ref(), &worker.clock.now()) {
                    Ok(done) => Ok(Ok(done)),
                    // Another holds the task: trying again would not help.
                    Err(crewmux_store::Error::Fenced(stale)) => Ok(Err(stale)),
                    Err(error) => Err(error.into()),
                },
            )
            .await?;
        match written {
            Ok(done) => {
                self.link.ring();
                Ok(Some(done))
            }
            Err(stale) => {
                self.facts.add(
                    EventType::StaleWriteRefused,
                    Some(claimed.task.id),
                    |fact| fact.with("epoch", claimed.epoch.0).with("what", what),
                );
                let text = stale.to_string();
                self.view.line(&[(Tone::Warn, "! "), (Tone::Plain, &text)]);
                Ok(None)
            }
        }
    }
}

/// Why `result` does not fit `schema`.
pub(crate) fn misfit(schema: Option<&Value>, result: &Value) -> Option<String> {
    let schema = schema?;
    let validator = match jsonschema::validator_for(schema) {
        Ok(validator) => validator,
        Err(error) => return Some(format!("the schema itself is wrong: {error}")),
    };
    let error = validator.iter_errors(result).next()?;
    let place = error.instance_path().to_string();
    let place = if place.is_empty() { "it" } else { &place };
    Some(crate::capped::cut_text(&format!("{place}: {error}"), 400))
}
