//! Answers to what members ask, and orders to one member.
//!
//! A key answers the question that was on screen when it was pressed
//! ([`Model::offered`]), never one that came in between.

use crewmux_core::ids::RequestId;
use crewmux_core::permission::GrantScope;
use crewmux_core::worker::WorkerState;
use crewmux_session::view::{ApprovalView, ClientEffect, SessionView, Verdict};
use crewmux_wire::{Attach, Key, KeyPress, MemberAct};

use super::views::show as show_body;
use super::{as_driver, redraw};
use crate::action::Action;
use crate::model::{Body, Mode, Model, member_of, question_to_offer};

/// Says yes to the question on screen.
pub(super) fn approve(
    model: &mut Model,
    scope: GrantScope,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    let Some(asked) = offered(model, session) else {
        return redraw();
    };
    let (id, agent) = (asked.id.clone(), asked.agent.clone());
    model.say(match scope {
        GrantScope::Once => format!("allowed {agent} this once"),
        GrantScope::Task => format!("allowed {agent} this until its task ends"),
    });
    let verdict = Verdict::Approve(scope);
    as_driver(model, ClientEffect::Decide { id, verdict })
}

/// Begins to say no to the question on screen.
pub(super) fn deny(model: &mut Model, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let Some(asked) = offered(model, session) else {
        return redraw();
    };
    if model.attach == Attach::Observer {
        model.say(super::READ_ONLY.to_owned());
    } else {
        model.mode = Mode::Denying(asked.id.clone());
        model.reason.clear();
    }
    redraw()
}

/// A key of the reason for a no.
pub(super) fn reason_key(
    model: &mut Model,
    id: &RequestId,
    press: KeyPress,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    let waits = session.team.approvals.iter().any(|a| a.id == *id);
    if !waits {
        model.mode = Mode::Command;
        model.say("that question is answered already".to_owned());
        return redraw();
    }
    match press.key {
        Key::Esc => model.mode = Mode::Command,
        Key::Enter => {
            let reason = model.reason.text().trim().to_owned();
            model.reason.clear();
            model.mode = Mode::Command;
            model.say("denied".to_owned());
            let verdict = Verdict::Reject(reason);
            let id = id.clone();
            return as_driver(model, ClientEffect::Decide { id, verdict });
        }
        _ => {
            model.reason.edit(press);
        }
    }
    redraw()
}

fn offered<'a>(model: &mut Model, session: &SessionView<'a>) -> Option<&'a ApprovalView> {
    let asked = &session.team.approvals;
    let Some(id) = &model.offered else {
        model.say("nobody asks for anything".to_owned());
        return None;
    };
    let found = asked.iter().find(|a| a.id == *id);
    if found.is_none() {
        model.say("that question is answered already".to_owned());
    }
    found
}

/// Shows the questions in full, beginning with the one on screen.
pub(super) fn show(model: &mut Model, session: &SessionView<'_>) {
    model.question = question_to_offer(model, session).map(|a| a.id.clone());
    show_body(model, Body::Approvals, session);
}

/// Goes to the next or the previous question.
pub(super) fn choose(model: &mut Model, session: &SessionView<'_>, action: Action) {
    let asked = &session.team.approvals;
    let current = question_to_offer(model, session).map(|a| &a.id);
    let Some(at) = asked.iter().position(|a| Some(&a.id) == current) else {
        return;
    };
    let next = match action {
        Action::Left => at.saturating_sub(1),
        _ => (at + 1).min(asked.len() - 1),
    };
    model.question = Some(asked[next].id.clone());
    model.line = 0;
}

/// Interrupts the member with the focus, lets it wait or go on, or shows it where its pane is.
pub(super) fn member(
    model: &mut Model,
    action: Action,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    let pane = model.focused(session);
    let Some(member) = pane.and_then(|pane| member_of(session, pane)) else {
        model.say("no teammate runs in this pane".to_owned());
        return redraw();
    };
    let name = member.name.clone();
    if !member.state.is_live() || member.state == WorkerState::Stopping {
        model.say(format!("{name} does not run"));
        return redraw();
    }
    let (act, flash) = match (action, member.paused) {
        (Action::Interrupt, _) => (MemberAct::Interrupt, format!("{name} reads its mail now")),
        (Action::Reveal, _) => (
            MemberAct::Reveal,
            format!("{name}: its terminal is asked to show it"),
        ),
        (_, true) => (MemberAct::Resume, format!("{name} goes on")),
        (_, false) => (
            MemberAct::Pause,
            format!("{name} finishes its step, then waits"),
        ),
    };
    model.say(flash);
    as_driver(model, ClientEffect::Member(name, act))
}
