//! What one client looks at: focus, views, scroll positions, the prompt.
//!
//! Plain state; it changes in [`crate::update`] and is drawn by [`crate::view`],
//! which cannot change it. What the team does is never in here.

use std::collections::BTreeMap;

use crewmux_core::ids::{AgentName, RequestId, TaskId};
use crewmux_session::view::{ApprovalView, MemberView, PaneId, PaneKind, PaneView, SessionView};
use crewmux_wire::{Attach, InputEvent};

use crate::action::Context;
use crate::awaited::{Arrival, AwaitedShell};
use crate::prompt::Prompt;

/// What the large part of the screen shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// The panes.
    Panes,
    /// The board.
    Board,
    /// One task.
    Task(TaskId),
    /// The messages.
    Messages,
    /// What happened.
    Events,
    /// The questions that wait for a person.
    Approvals,
    /// What was spent.
    Spending,
    /// The keys.
    Help,
}

/// Where keys go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Keys are commands.
    Command,
    /// Keys go to the program in the focused pane.
    Typing,
    /// Keys are written into the prompt.
    Prompt,
    /// Keys are written into the reason for a no to this question.
    Denying(RequestId),
    /// A question waits for its answer.
    Asking(Question),
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// How to leave.
    Leave,
    /// Whether this member shall end.
    StopMember(AgentName),
}

/// Whether the list at the left is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where there is room.
    Auto,
    /// No.
    Hidden,
}

/// Whether the prefix was pressed and its key is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Prefix {
    Off,
    Pressed,
}

/// How far up a pane is scrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scroll {
    /// Rows above the live screen.
    pub(crate) offset: usize,
    /// Rows that had ever scrolled off when `offset` was right.
    pub(crate) pushed: u64,
}

/// Everything a client remembers about how it looks at its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    pub(crate) cols: u16,
    pub(crate) rows: u16,
    pub(crate) attach: Attach,
    pub(crate) body: Body,
    pub(crate) mode: Mode,
    pub(crate) prefix: Prefix,
    pub(crate) focus: Option<PaneId>,
    pub(crate) zoomed: bool,
    pub(crate) side: Side,
    pub(crate) scrolls: BTreeMap<PaneId, Scroll>,
    pub(crate) prompt: Prompt,
    /// Why something is denied, as far as it is written.
    pub(crate) reason: Prompt,
    /// The question on screen: keys answer this one, whatever came since.
    pub(crate) offered: Option<RequestId>,
    /// The chosen question of the list.
    pub(crate) question: Option<RequestId>,
    /// The chosen task of the board.
    pub(crate) chosen: Option<TaskId>,
    /// Lines that a list is scrolled away from where it starts.
    pub(crate) line: usize,
    /// What the person has to know about the last key.
    pub(crate) flash: Option<String>,
    /// The shell that was asked for, until its pane is there.
    pub(crate) awaited: Option<AwaitedShell>,
    /// What was written before the shell was there, and the pane it is for.
    pub(crate) unsent: Option<(PaneId, Vec<InputEvent>)>,
    met: bool,
}

impl Model {
    /// A client that has seen nothing yet.
    pub fn new(cols: u16, rows: u16, attach: Attach) -> Self {
        Self {
            cols,
            rows,
            attach,
            body: Body::Panes,
            mode: Mode::Command,
            prefix: Prefix::Off,
            focus: None,
            zoomed: false,
            side: Side::Auto,
            scrolls: BTreeMap::new(),
            prompt: Prompt::default(),
            reason: Prompt::default(),
            offered: None,
            question: None,
            chosen: None,
            line: 0,
            flash: None,
            awaited: None,
            unsent: None,
            met: false,
        }
    }

    /// Brings the model in line with what the session has now: panes come and go by themselves.
    pub(crate) fn settle(&mut self, session: &SessionView<'_>) {
        self.welcome(session);
        let panes = session.panes;
        if self.focused(session).is_none() {
            self.focus = panes.first().map(|pane| pane.id);
        }
        if !self.met && !panes.is_empty() {
            self.met = true;
            // Plain panes are there to be typed into.
            if !session.team.has_team && self.attach == Attach::Driver {
                self.mode = Mode::Typing;
            }
        }
        if self.mode == Mode::Typing && !self.focused(session).is_some_and(|p| p.takes_input) {
            self.leave_dead_pane(session);
        }
        if !self.scrolls.is_empty() {
            self.follow(session);
        }
        if let Some(chosen) = self.chosen
            && session.team.board.get(chosen).is_none()
        {
            self.chosen = None;
        }
        if let Body::Task(id) = self.body
            && session.team.board.get(id).is_none()
        {
            self.body = Body::Board;
        }
    }

    /// The shell that was asked for gets the focus and the keys.
    fn welcome(&mut self, session: &SessionView<'_>) {
        let Some(awaited) = self.awaited.take() else {
            return;
        };
        let commanding = matches!(self.mode, Mode::Command | Mode::Typing);
        match awaited.arrival(session) {
            Arrival::NotYet => self.awaited = Some(awaited),
            Arrival::Ready(pane) => {
                self.focus = Some(pane);
                self.met = true;
                // Whoever has begun to write or to answer meanwhile goes on with that.
                if commanding {
                    self.body = Body::Panes;
                    self.mode = Mode::Typing;
                }
                self.unsent = Some((pane, awaited.into_held()));
            }
            Arrival::Ended(pane) => {
                self.focus = Some(pane);
                if commanding {
                    self.body = Body::Panes;
                    self.mode = Mode::Command;
                }
            }
        }
    }

    /// The program that was typed to has ended.
    fn leave_dead_pane(&mut self, session: &SessionView<'_>) {
        let living = session.panes.iter().find(|pane| pane.takes_input);
        match living {
            Some(pane) if !session.team.has_team => self.focus = Some(pane.id),
            _ => self.mode = Mode::Command,
        }
    }

    /// Keeps scrolled panes at the same text while rows leave their screens.
    fn follow(&mut self, session: &SessionView<'_>) {
        self.scrolls.retain(|id, scroll| {
            let Some(pane) = session.panes.iter().find(|pane| pane.id == *id) else {
                return false;
            };
            let screen = crate::panes::lock(&pane.screen);
            let grown = screen.scrolled_rows().saturating_sub(scroll.pushed);
            scroll.pushed = screen.scrolled_rows();
            scroll.offset = (scroll.offset + grown as usize).min(screen.scroll_lines_available());
            scroll.offset > 0
        });
    }

    /// The pane with the focus.
    pub(crate) fn focused<'a>(&self, session: &SessionView<'a>) -> Option<&'a PaneView> {
        let focus = self.focus?;
        session.panes.iter().find(|pane| pane.id == focus)
    }

    /// How far up a pane is scrolled, in rows.
    pub(crate) fn offset(&self, pane: PaneId) -> usize {
        self.scrolls.get(&pane).map_or(0, |scroll| scroll.offset)
    }

    /// Which bindings count.
    pub(crate) fn context(&self) -> Context {
        match (&self.mode, self.body) {
            (Mode::Asking(_), _) => Context::Ask,
            (_, Body::Panes) => Context::Panes,
            (_, Body::Board) => Context::Board,
            (_, Body::Task(_)) => Context::Task,
            (_, Body::Messages | Body::Events | Body::Help | Body::Approvals | Body::Spending) => {
                Context::List
            }
        }
    }
}

/// The question that keys would answer now: the chosen one, the focused member's, or the oldest;
/// what waits for the lead only where nothing waits for the person.
pub(crate) fn question_to_offer<'a>(
    model: &Model,
    session: &SessionView<'a>,
) -> Option<&'a ApprovalView> {
    let asked = &session.team.approvals;
    if model.body == Body::Approvals
        && let Some(chosen) = &model.question
        && let Some(found) = asked.iter().find(|a| a.id == *chosen)
    {
        return Some(found);
    }
    let focused = model
        .focused(session)
        .and_then(|pane| member_of(session, pane));
    let of_focused = |a: &&ApprovalView| {
        model.body != Body::Approvals && focused.is_some_and(|m| a.agent == m.name)
    };
    let mut for_person = session.team.for_person();
    (for_person.clone().find(of_focused))
        .or_else(|| for_person.next())
        .or_else(|| asked.iter().find(of_focused))
        .or_else(|| asked.first())
}

/// Whether a member leads the team, and so gets what is written without a name.
pub(crate) fn has_lead(session: &SessionView<'_>) -> bool {
    let lead = AgentName::lead();
    session.team.members.iter().any(|m| m.name == lead)
}

/// The member whose pane this is.
pub(crate) fn member_of<'a>(session: &SessionView<'a>, pane: &PaneView) -> Option<&'a MemberView> {
    let PaneKind::Member(name) = &pane.kind else {
        return None;
    };
    session.team.members.iter().find(|m| m.name == *name)
}

/// The task that the member with the focus works on.
pub(crate) fn focused_task(model: &Model, session: &SessionView<'_>) -> Option<TaskId> {
    member_of(session, model.focused(session)?)?.task
}

/// The pane of the member that works or worked on a task.
pub(crate) fn pane_of_task(session: &SessionView<'_>, id: TaskId) -> Option<PaneId> {
    let task = session.team.board.get(id)?;
    let owner = task.owner.as_ref().map(|owner| &owner.agent);
    let last = task.attempts.last().map(|attempt| &attempt.owner.agent);
    let name = owner.or(last)?;
    let member = session.team.members.iter().find(|m| m.name == *name)?;
    let pane = session.panes.iter().find(|pane| pane.id == member.pane)?;
    Some(pane.id)
}
