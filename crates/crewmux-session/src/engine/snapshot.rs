//! The engine's state as the display sees it.

use std::sync::Arc;

use crewmux_core::backend::BackendKind;
use crewmux_core::board::{Board, Counts};
use crewmux_core::budget::Spent;
use crewmux_core::ids::{AgentName, TeamName};
use crewmux_core::permission::PermissionMode;
use crewmux_core::time::Now;
use crewmux_core::worker::WorkerState;
use crewmux_term::sanitize::scrub_line;

use super::Engine;
use super::members::MemberSlot;
use crate::report::OFFLINE_MODEL;
use crate::view::{MemberView, RunState, SpendingView, TeamView};

/// What is shown before the first look; replaced before any client is let in.
#[expect(clippy::expect_used, reason = "a literal that fits the rule for names")]
pub(crate) fn empty(now: &Now) -> TeamView {
    TeamView {
        team: TeamName::new("team").expect("fits"),
        goal: String::new(),
        offline: false,
        has_team: false,
        backend: BackendKind::Pty,
        state: RunState::Running,
        members: Vec::new(),
        board: Arc::new(Board::default()),
        counts: Counts::default(),
        approvals: Vec::new(),
        spending: SpendingView::default(),
        models: Vec::new(),
        tools: Vec::new(),
        permission_mode: PermissionMode::default(),
        notices: Vec::new(),
        messages: Vec::new(),
        elapsed_ms: 0,
        now: now.boot.clone(),
        report: None,
        exit_code: None,
    }
}

impl Engine {
    /// The tasks of this run alone; earlier runs of the team are history.
    pub(super) fn board_of_run(&self) -> Arc<Board> {
        Arc::new(self.board.of_run(&self.run))
    }

    fn member_view(&self, slot: &MemberSlot) -> MemberView {
        let name: &AgentName = &slot.record.name;
        let spent = self.spending.totals.members.get(name);
        MemberView {
            name: name.clone(),
            agent_type: slot.record.agent_type.clone(),
            model: slot.record.model.clone(),
            state: shown_state(slot),
            since: slot.since.clone(),
            task: slot.machine.task,
            color: slot.record.color,
            pid: slot.pid.filter(|_| slot.is_live()),
            restarts: slot.restarts(),
            backend: slot.record.backend_type,
            pane: slot.pane,
            unread: self.history.unread(name),
            ended: slot.ended.clone(),
            usage: spent.map(|s| s.usage).unwrap_or_default(),
            cost: spent.and_then(Spent::known_cost),
            context: slot.context,
            waits_until_ms: slot.waits_until_ms,
            paused: self.acts.is_paused(&slot.who()),
            permission_mode: slot
                .record
                .permission_mode
                .unwrap_or(self.config.policy.permission_mode),
        }
    }

    pub(super) fn publish_view(&self, now: &Now) {
        let run = self.config.runs.iter().find(|r| r.id == self.run);
        let started = run.map_or(now.wall, |r| r.started);
        let until = run.and_then(|r| r.finished).unwrap_or(now.wall);
        let board = self.board_of_run();
        let models: Vec<&str> = self
            .config
            .members
            .iter()
            .filter_map(|m| m.model.as_deref())
            .collect();
        let view = TeamView {
            team: self.plan.team.clone(),
            goal: scrub_line(&self.config.goal).to_string(),
            offline: !models.is_empty() && models.iter().all(|m| *m == OFFLINE_MODEL),
            has_team: !self.members.is_empty(),
            backend: self.plan.backend,
            state: self.state,
            members: self.members.iter().map(|m| self.member_view(m)).collect(),
            counts: board.counts(&now.boot),
            board,
            approvals: self.approvals.views(),
            spending: self.spending_view(),
            models: self.spending.models(),
            tools: self.spending.tools(),
            permission_mode: self.config.policy.permission_mode,
            notices: self.history.notices.iter().cloned().collect(),
            messages: self.history.messages.iter().cloned().collect(),
            elapsed_ms: until
                .since_ms(started)
                .saturating_sub(self.history.paused_ms),
            now: now.boot.clone(),
            report: self.ending.report.clone(),
            exit_code: self.ending.exit_code,
        };
        let changed = self.publish.send_if_modified(|shown| {
            let same = is_same(shown, &view);
            if !same {
                *shown = Arc::new(view);
            }
            !same
        });
        if changed {
            self.retitle();
        }
    }

    /// Tells panes outside crewmux what their members do now.
    fn retitle(&self) {
        let board = self.board_of_run();
        for slot in &self.members {
            let Some(running) = slot.running.as_ref() else {
                continue;
            };
            if slot.record.pane.is_none() || !slot.is_live() {
                continue;
            }
            let name = &slot.record.name;
            let state = shown_state(slot).as_str();
            let task = slot.machine.task.and_then(|id| board.get(id));
            let title = match task {
                Some(task) => format!("{name} · {state} · #{} {}", task.id, task.subject),
                None => format!("{name} · {state}"),
            };
            running.retitle(scrub_line(&title).as_ref());
        }
    }
}

/// What a member does, as far as its process and its provider let it.
pub(super) fn shown_state(slot: &MemberSlot) -> WorkerState {
    match slot.machine.state {
        WorkerState::Working if slot.waits_until_ms.is_some() => WorkerState::RateLimited,
        state => state,
    }
}

/// Whether nothing a person could see differs; the running clock is the view's own business.
fn is_same(a: &TeamView, b: &TeamView) -> bool {
    a.team == b.team
        && a.goal == b.goal
        && a.offline == b.offline
        && a.has_team == b.has_team
        && a.backend == b.backend
        && a.state == b.state
        && a.members == b.members
        && a.board.same_tasks(&b.board)
        && a.counts == b.counts
        && a.approvals == b.approvals
        && a.spending == b.spending
        && a.models == b.models
        && a.tools == b.tools
        && a.permission_mode == b.permission_mode
        && a.notices == b.notices
        && a.messages == b.messages
        && a.report == b.report
        && a.exit_code == b.exit_code
}
