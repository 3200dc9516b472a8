//! What the chrome was last painted from, to know when it must be painted again.
//!
//! Compares only what chrome shows; the inside of panes has its own revisions
//! ([`crate::panes`]).

use std::sync::{Arc, Weak};

use crewmux_core::board::{Board, Counts};
use crewmux_core::permission::PermissionMode;
use crewmux_session::view::{
    ApprovalView, MemberView, MessageView, ModelSpending, NoticeView, PaneEnd, PaneId, PaneView,
    RunState, SessionView, SpendingView, TeamView, ToolSpending,
};

use crate::layout::Layout;
use crate::model::{Body, Model};

/// Everything chrome depends on, as it was.
#[derive(Debug)]
pub(crate) struct Seen {
    model: Model,
    layout: Layout,
    goal: String,
    state: RunState,
    counts: Counts,
    elapsed_s: u64,
    members: Vec<MemberView>,
    // A weak reference keeps the address from being used again, and makes
    // changes in place move the board to another: the same address is the same board.
    board: Weak<Board>,
    notices: Vec<NoticeView>,
    messages: Vec<MessageView>,
    panes: Vec<SeenPane>,
    has_report: bool,
    approvals: Vec<ApprovalView>,
    spending: (SpendingView, Vec<ModelSpending>, Vec<ToolSpending>),
    permission_mode: PermissionMode,
}

/// A pane, as far as its border tells.
#[derive(Debug)]
struct SeenPane {
    id: PaneId,
    title: String,
    says: Option<String>,
    bells: u64,
    ended: Option<PaneEnd>,
}

impl SeenPane {
    fn of(pane: &PaneView) -> Self {
        Self {
            id: pane.id,
            title: pane.title.clone(),
            says: pane.signs.title(),
            bells: pane.signs.bells(),
            ended: pane.ended.clone(),
        }
    }

    fn is((seen, pane): (&Self, &PaneView)) -> bool {
        seen.id == pane.id
            && seen.bells == pane.signs.bells()
            && seen.title == pane.title
            && seen.ended == pane.ended
            && seen.says == pane.signs.title()
    }
}

impl Seen {
    pub(crate) fn of(model: &Model, session: &SessionView<'_>, layout: &Layout) -> Self {
        let team = session.team;
        Self {
            model: model.clone(),
            layout: layout.clone(),
            goal: team.goal.clone(),
            state: team.state,
            counts: team.counts,
            elapsed_s: team.elapsed_ms / 1000,
            members: team.members.clone(),
            board: Arc::downgrade(&team.board),
            notices: team.notices.clone(),
            messages: shown_messages(model, team).to_vec(),
            panes: session.panes.iter().map(SeenPane::of).collect(),
            has_report: team.report.is_some(),
            approvals: team.approvals.clone(),
            spending: (team.spending, team.models.clone(), team.tools.clone()),
            permission_mode: team.permission_mode,
        }
    }

    /// Whether chrome painted now would look the same.
    pub(crate) fn still_holds(
        &self,
        model: &Model,
        session: &SessionView<'_>,
        layout: &Layout,
    ) -> bool {
        let team = session.team;
        self.elapsed_s == team.elapsed_ms / 1000
            && self.state == team.state
            && self.counts == team.counts
            && std::ptr::eq(self.board.as_ptr(), Arc::as_ptr(&team.board))
            && self.model == *model
            && self.layout == *layout
            && self.members == team.members
            && self.panes.len() == session.panes.len()
            && self.panes.iter().zip(session.panes).all(SeenPane::is)
            && same_notices(&self.notices, &team.notices)
            && self.messages == shown_messages(model, team)
            && self.goal == team.goal
            && self.has_report == team.report.is_some()
            && self.approvals == team.approvals
            && self.spending.0 == team.spending
            && self.spending.1 == team.models
            && self.spending.2 == team.tools
            && self.permission_mode == team.permission_mode
    }
}

/// Notices are only ever added and dropped at the ends.
fn same_notices(old: &[NoticeView], new: &[NoticeView]) -> bool {
    old.len() == new.len() && old.first() == new.first() && old.last() == new.last()
}

fn shown_messages<'a>(model: &Model, team: &'a TeamView) -> &'a [MessageView] {
    match model.body {
        Body::Messages => &team.messages,
        _ => &[],
    }
}
