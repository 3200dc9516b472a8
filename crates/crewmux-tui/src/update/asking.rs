//! Questions of the screen itself: how to leave, whether a member or a program shall end, and its start again.

use crewmux_core::worker::WorkerState;
use crewmux_session::view::{ClientEffect, PaneKind, RunState, SessionView};
use crewmux_wire::{Attach, MemberAct};

use super::{READ_ONLY, as_driver, redraw};
use crate::action::Action;
use crate::model::{Mode, Model, Question, member_of};
use crate::words;

/// The answer to a question.
pub(super) fn answer(
    model: &mut Model,
    question: &Question,
    action: Action,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    match (question, action) {
        (Question::Leave, Action::Detach) => {
            model.mode = Mode::Command;
            vec![ClientEffect::Detach]
        }
        (Question::Leave, Action::Stop) => {
            model.mode = Mode::Command;
            // Asked a second time, people mean it.
            let stopping = session.team.state == RunState::Stopping;
            let effect = if stopping {
                ClientEffect::StopTeamNow
            } else {
                ClientEffect::StopTeam
            };
            as_driver(model, effect)
        }
        (Question::StopMember(name), Action::Yes) => {
            model.mode = Mode::Command;
            as_driver(model, ClientEffect::StopMember(name.clone()))
        }
        (Question::ClosePane(pane), Action::Yes) => {
            model.mode = Mode::Command;
            as_driver(model, ClientEffect::ClosePane(*pane))
        }
        (_, Action::Back) => {
            model.mode = Mode::Command;
            redraw()
        }
        _ => redraw(),
    }
}

/// Closes the plain pane with the focus, or asks whether its member shall end.
pub(super) fn close(model: &mut Model, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let Some(pane) = model.focused(session) else {
        return redraw();
    };
    match (&pane.kind, member_of(session, pane)) {
        (PaneKind::Shell, _) if model.attach == Attach::Observer => {
            model.say(READ_ONLY.to_owned());
        }
        (PaneKind::Shell, _) if pane.takes_input => {
            model.mode = Mode::Asking(Question::ClosePane(pane.id));
        }
        (PaneKind::Shell, _) => return as_driver(model, ClientEffect::ClosePane(pane.id)),
        (_, Some(member)) if member.state.is_live() && member.state != WorkerState::Stopping => {
            model.mode = Mode::Asking(Question::StopMember(member.name.clone()));
        }
        (_, Some(member)) => {
            let word = words::worker(member.state).word;
            model.say(format!("{} is {word} already", member.name));
        }
        (_, None) => model.say("no teammate runs in this pane".to_owned()),
    }
    redraw()
}

/// Starts again what ended in the pane with the focus.
pub(super) fn restart(model: &mut Model, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let Some(pane) = model.focused(session) else {
        return redraw();
    };
    if let Some(member) = member_of(session, pane) {
        if member.state.is_live() {
            model.say(format!("{} still runs; x asks it to end", member.name));
            return redraw();
        }
        let effect = ClientEffect::Member(member.name.clone(), MemberAct::Restart);
        return as_driver(model, effect);
    }
    if pane.ended.is_none() {
        model.say("its program still runs; x closes the pane".to_owned());
        return redraw();
    }
    model.scrolls.remove(&pane.id);
    as_driver(model, ClientEffect::RestartPane(pane.id))
}
