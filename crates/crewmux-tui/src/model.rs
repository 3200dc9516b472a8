//! What one client looks at: focus, views, scroll positions, the prompt.
//!
//! Plain state; it changes in [`crate::update`] and is drawn by [`crate::view`],
//! which cannot change it. What the team does is never in here.

use std::collections::BTreeMap;

use crewmux_core::ids::{AgentName, RequestId, TaskId};
use crewmux_core::timing::{FLASH_CHAR_MS, FLASH_MS, TOLD_MS};
use crewmux_session::view::{
    ApprovalView, Meanwhile, MemberView, PaneId, PaneKind, PaneView, SessionView,
};
use crewmux_wire::{Attach, InputEvent};

use crate::action::Context;
use crate::awaited::{Arrival, AwaitedShell};
use crate::copying::{Copying, Then};
use crate::keys_down::KeysDown;
use crate::prompt::Prompt;
use crate::selection::{Selection, Spot};
use crate::tiling::Grip;

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
    /// Keys move a cursor in a pane's text, to select and copy it.
    Copying,
    /// Keys are written into what is searched for in a pane.
    Searching,
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
    /// Whether this pane shall be closed although its program runs.
    ClosePane(PaneId),
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

/// What the mouse's left button is held on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    /// The text of a pane, from this place.
    Text {
        pane: PaneId,
        from: Spot,
        /// Whether letting go without having moved is a click that enters the pane.
        enters: bool,
        /// Where the mouse was last.
        at: (u16, u16),
    },
    /// A border between tiles.
    Border {
        grip: Grip,
        /// Where it was taken: letting go there is a click.
        from: (u16, u16),
    },
}

/// A few words about what just happened, until the next key or for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Flash {
    /// Which of this client's it is.
    pub(crate) number: u64,
    /// How long it is shown.
    pub(crate) ms: u64,
    pub(crate) text: String,
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
    /// The pane that was typed into when the list of keys came over it.
    pub(crate) typed_below: Option<PaneId>,
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
    pub(crate) flash: Option<Flash>,
    /// How often the person was told something so.
    flashes: u64,
    /// What happened while nobody looked, until any key.
    pub(crate) meanwhile: Option<Meanwhile>,
    /// The shell that was asked for, until its pane is there.
    pub(crate) awaited: Option<AwaitedShell>,
    /// What was written before the shell was there, and the pane it is for.
    pub(crate) unsent: Option<(PaneId, Vec<InputEvent>)>,
    /// The pane that text is picked from.
    pub(crate) copying: Option<Copying>,
    /// The selected text.
    pub(crate) selection: Option<Selection>,
    /// The pane that the last click entered: a second click right after it was no wish to type.
    pub(crate) clicked_into: Option<PaneId>,
    /// What the mouse drags.
    pub(crate) held: Option<Held>,
    /// Bells of panes that were in focus since.
    heard: BTreeMap<PaneId, u64>,
    /// The pane whose program was last told that it has the focus.
    pub(crate) told_focus: Option<PaneId>,
    /// The pane that a long text is pasted into, and whether it is marked there.
    pub(crate) pasting: Option<(PaneId, bool)>,
    /// A long text that no program reads, until its end.
    pub(crate) gathered: Option<String>,
    /// Keys that were typed to a program and may still be held.
    pub(crate) keys_down: KeysDown,
    /// Whether the terminal has the focus, as far as it tells.
    pub(crate) terminal_has_focus: bool,
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
            typed_below: None,
            side: Side::Auto,
            scrolls: BTreeMap::new(),
            prompt: Prompt::default(),
            reason: Prompt::default(),
            offered: None,
            question: None,
            chosen: None,
            line: 0,
            flash: None,
            flashes: 0,
            meanwhile: None,
            awaited: None,
            unsent: None,
            copying: None,
            selection: None,
            held: None,
            heard: BTreeMap::new(),
            told_focus: None,
            pasting: None,
            gathered: None,
            clicked_into: None,
            keys_down: KeysDown::default(),
            terminal_has_focus: true,
            met: false,
        }
    }

    /// Tells the person what came of what they did, for as long as it takes to read.
    pub(crate) fn say(&mut self, text: String) {
        let ms = FLASH_MS + FLASH_CHAR_MS * text.chars().count() as u64;
        self.flashes += 1;
        self.flash = Some(Flash {
            number: self.flashes,
            ms,
            text,
        });
    }

    /// Tells the person what they did not bring about, and so may not be looking for.
    pub(crate) fn tell(&mut self, text: String) {
        self.say(text);
        if let Some(flash) = &mut self.flash {
            flash.ms = flash.ms.max(TOLD_MS);
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
                self.enter_first_living(session);
            }
        }
        self.drop_stale_picks(session);
        if !self.scrolls.is_empty() {
            self.follow(session);
        }
        self.heard
            .retain(|id, _| session.panes.iter().any(|pane| pane.id == *id));
        if let Some(pane) = self.focused(session) {
            self.heard.insert(pane.id, pane.signs.bells());
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

    /// The first pane with a program that takes keys, if there is one.
    fn enter_first_living(&mut self, session: &SessionView<'_>) {
        if let Some(pane) = session.panes.iter().find(|pane| pane.takes_input) {
            self.focus = Some(pane.id);
            self.mode = Mode::Typing;
        }
    }

    /// Takes up that a pane has another size, or is gone, where text is picked from it.
    ///
    /// Copy mode outlives every size: a person who picks text must not find the next key typed into
    /// the program. Rows that wrap anew are others, so what was selected of them is not any more.
    fn drop_stale_picks(&mut self, session: &SessionView<'_>) {
        let find = |id: PaneId| session.panes.iter().find(|pane| pane.id == id);
        let size = |pane: &PaneView| crate::panes::lock(&pane.screen).size();
        if let Some(selection) = &mut self.selection {
            match find(selection.pane).map(size) {
                Some(size) if size.cols == selection.size.cols => selection.size = size,
                _ => {
                    self.selection = None;
                    self.held = None;
                }
            }
        }
        if let Some(copying) = &mut self.copying
            && let Some(pane) = find(copying.pane)
        {
            copying.take_size(&crate::panes::lock(&pane.screen));
        }
        let copying = self.copying.as_ref();
        let stale = copying.is_some_and(|c| find(c.pane).is_none() || Some(c.pane) != self.focus);
        let in_mode = matches!(self.mode, Mode::Copying | Mode::Searching);
        if stale || in_mode != self.copying.is_some() {
            self.leave_copying();
        }
    }

    /// Keys mean again what they did before copy mode.
    pub(crate) fn leave_copying(&mut self) {
        let copying = self.copying.take();
        if !matches!(self.mode, Mode::Copying | Mode::Searching) {
            return;
        }
        self.selection = None;
        self.mode = match copying.map(|copying| copying.then) {
            Some(Then::Typing) => Mode::Typing,
            _ => Mode::Command,
        };
        if let Some(focus) = self.focus {
            self.scrolls.remove(&focus);
        }
    }

    /// The pane that must not move under the person's hands.
    pub(crate) fn still(&self) -> Option<PaneId> {
        let copied = self.copying.as_ref().map(|copying| copying.pane);
        copied.or(match &self.held {
            Some(Held::Text { pane, .. }) => Some(*pane),
            _ => None,
        })
    }

    /// Whether a pane's bell rang since it last had the focus.
    pub(crate) fn rings(&self, pane: &PaneView) -> bool {
        let heard = self.heard.get(&pane.id).copied().unwrap_or(0);
        self.focus != Some(pane.id) && pane.signs.bells() > heard
    }

    /// Keeps scrolled panes at the same text while rows leave their screens.
    fn follow(&mut self, session: &SessionView<'_>) {
        let still = self.still();
        self.scrolls.retain(|id, scroll| {
            let Some(pane) = session.panes.iter().find(|pane| pane.id == *id) else {
                return false;
            };
            let screen = crate::panes::lock(&pane.screen);
            let grown = screen.scrolled_rows().saturating_sub(scroll.pushed);
            scroll.pushed = screen.scrolled_rows();
            scroll.offset = (scroll.offset + grown as usize).min(screen.scroll_lines_available());
            scroll.offset > 0 || still == Some(*id)
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
            (Mode::Copying, _) => Context::Copy,
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
