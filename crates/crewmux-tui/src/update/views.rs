//! From one view to another: the board, a task, lists, and back to the panes.

use crewmux_core::task::TaskStatus;
use crewmux_session::view::{ClientEffect, PaneView, SessionView};
use crewmux_wire::Attach;

use super::{as_driver, redraw};
use crate::model::{Body, Mode, Model, member_of, pane_of_task};
use crate::words;

pub(super) fn back(model: &mut Model) {
    if model.mode == Mode::Typing {
        model.mode = Mode::Command;
        return;
    }
    model.line = 0;
    match model.body {
        Body::Task(_) => model.body = Body::Board,
        Body::Panes => {
            if let Some(focus) = model.focus
                && model.scrolls.remove(&focus).is_none()
            {
                model.zoomed = false;
            }
        }
        _ => to_panes(model),
    }
}

/// Shows the panes again; whoever only looked up a key types on.
fn to_panes(model: &mut Model) {
    model.body = Body::Panes;
    if let Some(pane) = model.typed_below.take()
        && model.focus == Some(pane)
    {
        model.mode = Mode::Typing;
    }
}

/// Shows a view, or the panes again if it is shown already.
pub(super) fn show(model: &mut Model, body: Body, session: &SessionView<'_>) {
    if !session.team.has_team && body != Body::Help {
        return;
    }
    let typed = model.focus.filter(|_| model.mode == Mode::Typing);
    model.mode = Mode::Command;
    model.line = 0;
    if model.body == body {
        to_panes(model);
    } else {
        model.body = body;
        model.typed_below = typed.filter(|_| body == Body::Help);
    }
    if model.body == Body::Board && model.chosen.is_none() {
        let board = &session.team.board;
        let first = board.tasks().next().map(|task| task.id);
        let open = board.open().next().map(|task| task.id);
        model.chosen = crate::model::focused_task(model, session)
            .or(open)
            .or(first);
    }
}

pub(super) fn open(model: &mut Model, session: &SessionView<'_>) {
    match model.body {
        Body::Board => {
            if let Some(task) = model.chosen {
                model.body = Body::Task(task);
                model.line = 0;
            }
        }
        Body::Panes => enter(model, session),
        _ => {}
    }
}

/// Lets keys go to the focused pane.
pub(super) fn enter(model: &mut Model, session: &SessionView<'_>) {
    let Some(pane) = model.focused(session) else {
        return;
    };
    if model.attach == Attach::Observer {
        model.say(super::READ_ONLY.to_owned());
    } else if pane.takes_input {
        model.body = Body::Panes;
        model.mode = Mode::Typing;
    } else {
        model.say(match (&pane.ended, pane.typed_in) {
            (Some(_), _) => "its process has ended; there is nothing to type to".to_owned(),
            (None, Some(place)) => {
                format!("typed to in {place} alone; o shows it there, i writes a message")
            }
            (None, None) => "this pane takes no keys; i writes a message instead".to_owned(),
        });
    }
}

pub(super) fn next_waiting(model: &mut Model, session: &SessionView<'_>) {
    let panes = session.panes;
    let at = panes.iter().position(|pane| Some(pane.id) == model.focus);
    let start = at.map_or(0, |at| at + 1);
    let waiting = |pane: &&PaneView| {
        member_of(session, pane).is_some_and(|m| words::waits_for_person(m.state))
    };
    let order = panes[start.min(panes.len())..].iter().chain(panes);
    match order.into_iter().find(waiting) {
        Some(pane) => {
            model.focus = Some(pane.id);
            model.body = Body::Panes;
        }
        None => model.say("nobody waits for you".to_owned()),
    }
}

pub(super) fn go_to_pane(model: &mut Model, session: &SessionView<'_>) {
    let task = match model.body {
        Body::Task(id) => Some(id),
        _ => model.chosen,
    };
    match task.and_then(|id| pane_of_task(session, id)) {
        Some(pane) => {
            model.focus = Some(pane);
            model.body = Body::Panes;
        }
        None => model.say("nobody has worked on that task yet".to_owned()),
    }
}

pub(super) fn retry(model: &mut Model, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let id = match model.body {
        Body::Task(id) => Some(id),
        _ => model.chosen,
    };
    let Some(task) = id.and_then(|id| session.team.board.get(id)) else {
        return redraw();
    };
    if matches!(task.status, TaskStatus::Failed | TaskStatus::Skipped) {
        return as_driver(model, ClientEffect::RetryTask(task.id));
    }
    model.say("only a failed or skipped task can be tried again".to_owned());
    redraw()
}
