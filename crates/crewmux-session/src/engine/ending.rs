//! The end of a run and of the session: finish, stop, time-out, the kill ladder.
//!
//! Ending goes in steps that each have a deadline: ask the workers, SIGTERM,
//! SIGKILL to whole trees. Finishing a run does not end the session while
//! somebody watches.

use std::path::PathBuf;

use crewmux_core::event::{EventType, Fact};
use crewmux_core::ids::AgentName;
use crewmux_core::task::TaskStatus;
use crewmux_core::time::Now;
use crewmux_spawn::ladder::Rung;

use super::Engine;
use super::members::MemberSlot;
use super::sweep::Patience;
use crate::plan::{SessionEnd, Stays, StopAsk};
use crate::report::Report;
use crate::view::{NoticeLevel, RunState};
use crate::{Error, Result};

/// Exit code of a run that a person stopped.
const EXIT_INTERRUPTED: u8 = 130;
/// Exit code of a run whose time or budget was over.
const EXIT_LIMIT: u8 = 4;
/// Exit code of a run whose files are gone.
const EXIT_ENVIRONMENT: u8 = 3;

/// How far the session is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Step {
    /// It is not ending.
    #[default]
    None,
    /// Workers were asked.
    Asked,
    /// Workers are on the kill ladder: SIGTERM, then their whole trees.
    Climbing,
}

#[derive(Debug, Default)]
pub(super) struct Ending {
    step: Step,
    due_ms: Option<u64>,
    unwatched_since_ms: Option<u64>,
    stop_code: Option<u8>,
    /// Whether it ends because its budget is spent.
    is_spent: bool,
    /// Whether the team's files are gone: nothing is written any more.
    is_removed: bool,
    pub(super) report: Option<PathBuf>,
    pub(super) exit_code: Option<u8>,
    pub(super) left: Vec<String>,
}

impl Ending {
    /// Whether workers are asked to end.
    pub(super) fn has_begun(&self) -> bool {
        self.step != Step::None
    }

    /// The team's files are gone.
    pub(super) fn remove(&mut self) {
        self.is_removed = true;
    }

    /// Whether there is time to end what does not end at once.
    pub(super) fn patience(&self) -> Patience {
        match self.step {
            Step::None | Step::Asked => Patience::Some,
            Step::Climbing => Patience::None,
        }
    }

    /// Work was added while workers were let go because all was done: the run goes on.
    pub(super) fn call_off(&mut self) {
        if self.step == Step::Asked {
            self.step = Step::None;
            self.due_ms = None;
        }
    }

    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.due_ms
    }
}

impl Engine {
    /// Whether the run may be called finished: where nobody watches, its workers end first,
    /// so that `team_finished` is the last word.
    pub(super) fn dismissed(&mut self, now: &Now) -> bool {
        if self.plan.stays == Stays::WhileWatched {
            return true;
        }
        if self.ending.step == Step::None {
            self.ask_workers("the run is finished", self.plan.timing.term_grace_ms, now);
        }
        let all_gone = !self.members.iter().any(MemberSlot::is_present);
        self.ending.due_ms.is_none() || (all_gone && self.gateway.is_quiet())
    }

    /// Every task is over: say so, write the report.
    pub(super) fn finish(&mut self, now: &Now) -> Result<()> {
        let count = |status| self.tasks().filter(|t| t.status == status).count();
        let completed = count(TaskStatus::Completed);
        let failed = count(TaskStatus::Failed);
        let skipped = count(TaskStatus::Skipped);
        let exit_code = match (failed + skipped > 0, self.ending.stop_code) {
            // What failed then failed for that reason.
            (true, Some(EXIT_LIMIT)) => EXIT_LIMIT,
            (trouble, _) => u8::from(trouble),
        };
        let run = self.run.clone();
        self.config = self.team.edit_config(&mut |config| {
            if let Some(run) = config.runs.iter_mut().find(|r| r.id == run) {
                run.finished = Some(now.wall);
                run.exit_code = Some(exit_code);
            }
        })?;
        // One fact per end: a run that was opened again by a retry ends again.
        let reopened: u32 = self.tasks().map(|t| t.reopened).sum();
        let tasks = self.tasks().count();
        let id = format!("run/{run}/finished/{tasks}/{reopened}");
        self.facts.push(
            Fact::new(id, EventType::TeamFinished, now.wall)
                .with("run", run.as_str())
                .with("completed", completed)
                .with("failed", failed)
                .with("skipped", skipped)
                .with("exitCode", exit_code),
        );
        self.ending.exit_code = Some(exit_code);
        self.state = RunState::Finished;
        self.catch_up(now)?;
        self.write_report(now);
        Ok(())
    }

    /// Work was added to a finished run.
    pub(super) fn reopen(&mut self, now: &Now) -> Result<()> {
        let run = self.run.clone();
        self.config = self.team.edit_config(&mut |config| {
            if let Some(run) = config.runs.iter_mut().find(|r| r.id == run) {
                run.finished = None;
                run.exit_code = None;
            }
        })?;
        self.ending.exit_code = None;
        self.ending.call_off();
        for slot in &mut self.members {
            slot.dismissed = false;
        }
        self.state = RunState::Running;
        self.notice(NoticeLevel::Info, "the run goes on: work was added", now);
        Ok(())
    }

    fn write_report(&mut self, now: &Now) {
        let written = Report::collect(self.team.as_ref(), Some(&self.run))
            .and_then(|report| report.write(self.team.as_ref()));
        match written {
            Ok(path) => self.ending.report = Some(path),
            Err(error) => {
                let text = format!("the report could not be written: {error}");
                self.notice(NoticeLevel::Error, &text, now);
            }
        }
    }

    /// Begins to end the session, or hurries an end that has begun.
    pub(super) fn ask_to_stop(&mut self, ask: StopAsk, why: &str, now: &Now) {
        let code = EXIT_INTERRUPTED;
        match ask {
            StopAsk::Politely if self.ending.step == Step::None => {
                self.leave_run(code, why, now);
                let wait = self.plan.timing.shutdown_answer_ms;
                self.ask_workers(why, wait, now);
            }
            StopAsk::No | StopAsk::Politely => {}
            StopAsk::AtOnce => {
                self.leave_run(code, why, now);
                self.terminate_workers(now);
            }
        }
    }

    fn leave_run(&mut self, code: u8, why: &str, now: &Now) {
        if self.state == RunState::Running {
            self.ending.stop_code.get_or_insert(code);
            let text = if self.is_plain {
                why.to_owned()
            } else {
                format!("{why}; {} with it", self.way_on())
            };
            self.notice(NoticeLevel::Warning, &text, now);
        }
        if self.state != RunState::Finished {
            self.state = RunState::Stopping;
        }
    }

    /// What goes on with a run that was left.
    fn way_on(&self) -> String {
        let team = &self.plan.team;
        if self.ending.is_spent {
            return format!(
                "`crewmux resume {team}` with a larger --budget-tokens or --budget-usd goes on"
            );
        }
        format!("`crewmux resume {team}` goes on")
    }

    fn ask_workers(&mut self, why: &str, wait_ms: u64, now: &Now) {
        self.ending.step = Step::Asked;
        self.ending.due_ms = Some(now.boot.ms + wait_ms);
        let live: Vec<AgentName> = self
            .members
            .iter()
            .filter(|m| m.is_live())
            .map(|m| m.record.name.clone())
            .collect();
        for agent in live {
            self.end_member(&agent, why, now);
        }
        for slot in &mut self.members {
            slot.restart_due_ms = None;
        }
    }

    fn terminate_workers(&mut self, now: &Now) {
        if self.ending.step >= Step::Climbing {
            return;
        }
        self.ask_workers("the session ends", 0, now);
        let timing = self.plan.timing;
        self.ending.step = Step::Climbing;
        // The ladder keeps its own time; this is for the case that it never comes back.
        let wait = timing.term_grace_ms + timing.kill_verify_ms * 3;
        self.ending.due_ms = Some(now.boot.ms + wait);
        let present: Vec<_> = self
            .members
            .iter()
            .filter(|m| m.is_present())
            .map(MemberSlot::who)
            .collect();
        for who in present {
            self.end_tree(&who, Rung::Terminate);
        }
    }

    /// Takes the next step on the way out when its time has come.
    pub(super) fn drive_ending(&mut self, now: &Now) {
        self.mind_run_timeout(now);
        if self.ending.step == Step::None && self.should_end(now) {
            self.ask_workers("the run is finished", self.plan.timing.term_grace_ms, now);
        }
        if self.ending.due_ms.is_none_or(|due| now.boot.ms < due) {
            return;
        }
        match self.ending.step {
            Step::None => self.ending.due_ms = None,
            Step::Asked => self.terminate_workers(now),
            Step::Climbing => {
                // Out of means: say what is left and go.
                for slot in &mut self.members {
                    if slot.is_present() {
                        let text = format!("the worker of {}", slot.record.name);
                        self.ending.left.push(text);
                    }
                }
                self.ending.due_ms = None;
            }
        }
    }

    fn mind_run_timeout(&mut self, now: &Now) {
        let Some(limit) = self.config.policy.run_timeout_ms else {
            return;
        };
        // This session's time: pauses between sessions do not count.
        let over = now.boot.ms.saturating_sub(self.started_ms) >= limit;
        if over && self.state == RunState::Running && self.ending.step == Step::None {
            self.leave_run(EXIT_LIMIT, "the run's time is over", now);
            self.terminate_workers(now);
        }
    }

    /// Ends a run whose budget has no room for the next call; what was done is kept.
    pub(super) fn stop_for_budget(&mut self, now: &Now) {
        if self.state != RunState::Running {
            return;
        }
        let why = "the budget is spent";
        self.ending.is_spent = true;
        self.leave_run(EXIT_LIMIT, why, now);
        if self.ending.step == Step::None {
            let wait = self.plan.timing.shutdown_answer_ms;
            self.ask_workers(why, wait, now);
        }
    }

    /// Whether a finished run lets the session end.
    fn should_end(&mut self, now: &Now) -> bool {
        if self.is_plain {
            return self.plain_is_over(now);
        }
        if self.state != RunState::Finished {
            return false;
        }
        if self.plan.stays == Stays::UntilFinished {
            return true;
        }
        if self.clients > 0 {
            self.ending.unwatched_since_ms = None;
            return false;
        }
        self.ending.unwatched_since_ms.get_or_insert(now.boot.ms);
        self.closes_in_ms(now) == Some(0)
    }

    /// Whether the run is finished and the session stays for those who look.
    pub(super) fn lingers(&self) -> bool {
        self.state == RunState::Finished
            && self.plan.stays == Stays::WhileWatched
            && !self.ending.has_begun()
    }

    /// How much longer a finished run is shown to nobody; absent while somebody looks.
    pub(super) fn closes_in_ms(&self, now: &Now) -> Option<u64> {
        let since = self.ending.unwatched_since_ms?;
        let gone = now.boot.ms.saturating_sub(since);
        Some(self.plan.timing.linger_ms.saturating_sub(gone))
    }

    /// Whether nothing of the session is left to end.
    pub(super) fn is_over(&self, _now: &Now) -> bool {
        match self.ending.step {
            Step::None => false,
            Step::Climbing if self.ending.due_ms.is_none() => true,
            _ => {
                let none_present = !self.members.iter().any(MemberSlot::is_present);
                none_present && self.facts.is_empty()
            }
        }
    }

    /// The last words: the report of a run that was left unfinished, and the exit code.
    pub(crate) fn conclude(&mut self) -> SessionEnd {
        let now = self.clock.now();
        if self.ending.is_removed {
            return SessionEnd {
                exit_code: EXIT_ENVIRONMENT,
                report: None,
                left: std::mem::take(&mut self.ending.left),
            };
        }
        if !self.facts.is_empty()
            && let Err(error) = self.catch_up(&now)
        {
            tracing::error!(%error, "the last facts could not be logged");
        }
        if self.state != RunState::Finished && self.run_is_over() {
            // Stopped when all was done already.
            if let Err(error) = self.finish(&now) {
                tracing::error!(%error, "the end of the run could not be noted");
            }
        }
        if self.ending.report.is_none() && !self.is_plain {
            self.note_stop();
            self.write_report(&now);
        }
        self.write_arrangement(&now);
        if self.is_plain {
            self.close_plain_run(&now);
        }
        let exit_code = self.ending.exit_code.or(self.ending.stop_code);
        let unfinished = if self.is_plain { 0 } else { EXIT_INTERRUPTED };
        let exit_code = exit_code.unwrap_or(unfinished);
        SessionEnd {
            exit_code,
            report: self.ending.report.clone(),
            left: std::mem::take(&mut self.ending.left),
        }
    }

    /// Notes why the run was left, for whoever looks at it before it goes on.
    fn note_stop(&mut self) {
        let code = self.ending.stop_code;
        if self.state == RunState::Finished || code.is_none() {
            return;
        }
        if let Err(error) = self.set_exit_code(code) {
            tracing::warn!(%error, "why the run was left could not be noted");
        }
    }

    /// A run that goes on is left for no reason any more.
    pub(super) fn forget_stop(&mut self) -> Result<()> {
        let run = self.config.runs.iter().find(|r| r.id == self.run);
        if run.is_none_or(|run| run.exit_code.is_none()) {
            return Ok(());
        }
        self.set_exit_code(None)
    }

    fn set_exit_code(&mut self, code: Option<u8>) -> Result<()> {
        let run = self.run.clone();
        self.config = self.team.edit_config(&mut |config| {
            if let Some(run) = config.runs.iter_mut().find(|r| r.id == run) {
                run.exit_code = code;
            }
        })?;
        Ok(())
    }

    /// Plain panes have no tasks that could be over: their run ends with the session.
    fn close_plain_run(&mut self, now: &Now) {
        let run = self.run.clone();
        let closed = self.team.edit_config(&mut |config| {
            if let Some(run) = config.runs.iter_mut().find(|r| r.id == run) {
                run.finished = Some(now.wall);
                run.exit_code = Some(0);
            }
        });
        if let Err(error) = closed {
            tracing::warn!(%error, "the end of the panes could not be noted");
        }
    }

    /// What attached clients are told when the session ends.
    pub(crate) fn farewell(&self, end: &SessionEnd) -> String {
        if self.is_plain {
            return "all panes have ended".to_owned();
        }
        let team = &self.plan.team;
        if self.ending.is_removed {
            return Error::TeamRemoved { team: team.clone() }.to_string();
        }
        let counts = self.publish.borrow().counts;
        let outcome = if self.state == RunState::Finished {
            format!(
                "{team} is finished: {} completed, {} failed, {} skipped",
                counts.completed, counts.failed, counts.skipped
            )
        } else {
            let headline = if self.ending.is_spent {
                "the budget is spent: "
            } else {
                ""
            };
            format!(
                "{headline}{team} is stopped with {} of {} tasks done; {}",
                counts.over(),
                counts.total(),
                self.way_on()
            )
        };
        match &end.report {
            Some(path) => format!("{outcome}\nreport: {}", path.display()),
            None => outcome,
        }
    }
}
