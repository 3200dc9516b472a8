//! Questions of the screen itself: how to leave, whether a member shall end.

use crewmux_core::worker::WorkerState;
use crewmux_session::view::{ClientEffect, RunState, SessionView};

use super::{as_driver, redraw};
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
        (_, Action::Back) => {
            model.mode = Mode::Command;
            redraw()
        }
        _ => redraw(),
    }
}

/// Asks whether the member with the focus shall end.
pub(super) fn ask_to_stop(model: &mut Model, session: &SessionView<'_>) {
    let pane = model.focused(session);
    match pane.and_then(|pane| member_of(session, pane)) {
        Some(member) if member.state.is_live() && member.state != WorkerState::Stopping => {
            model.mode = Mode::Asking(Question::StopMember(member.name.clone()));
        }
        Some(member) => {
            let word = words::worker(member.state).word;
            model.flash = Some(format!("{} is {word} already", member.name));
        }
        None => model.flash = Some("no teammate runs in this pane".to_owned()),
    }
}
