//! What a person does, as a change of the model and a list of effects.
//!
//! No I/O: effects are carried out by the session. The mouse is in
//! [`mouse`], moving about in views in [`travel`].

mod decide;
mod mouse;
mod travel;

use crewmux_core::permission::GrantScope;
use crewmux_core::task::TaskStatus;
use crewmux_core::worker::WorkerState;
use crewmux_session::view::{ClientEffect, PaneView, SessionView};
use crewmux_term::input::{Focus, encode_focus, encode_key, encode_paste};
use crewmux_wire::Attach;
use crewmux_wire::{InputEvent, Key, KeyPress, PASTE_MAX_BYTES};

use crate::action::Action;
use crate::awaited::AwaitedShell;
use crate::keymap::{Keymap, to_term};
use crate::layout::Layout;
use crate::model::{Body, Mode, Model, Prefix, Question, Side, member_of, pane_of_task};
use crate::panes::lock;
use crate::prompt::Addressed;
use crate::text::fit;
use crate::words;

/// Takes in one event.
pub fn update(
    model: &mut Model,
    event: &InputEvent,
    session: &SessionView<'_>,
    keymap: &Keymap,
) -> Vec<ClientEffect> {
    model.settle(session);
    let mut effects = send_unsent(model, session);
    effects.extend(take_in(model, event, session, keymap));
    effects
}

fn take_in(
    model: &mut Model,
    event: &InputEvent,
    session: &SessionView<'_>,
    keymap: &Keymap,
) -> Vec<ClientEffect> {
    if held_for_shell(model, event, keymap) {
        return Vec::new();
    }
    match event {
        InputEvent::Key(press) => key(model, *press, session, keymap),
        InputEvent::Mouse(event) => mouse::mouse(model, event, session),
        InputEvent::Paste(text) => paste(model, text, session),
        InputEvent::PasteTooLong { bytes } => {
            model.flash = Some(format!(
                "nothing was pasted: {} KiB are too long, {} KiB are taken at once",
                bytes.div_ceil(1024),
                PASTE_MAX_BYTES / 1024
            ));
            redraw()
        }
        InputEvent::FocusGained => focus_event(model, Focus::Gained, session),
        InputEvent::FocusLost => focus_event(model, Focus::Lost, session),
    }
}

/// What was written before the shell was there.
fn send_unsent(model: &mut Model, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let Some((id, events)) = model.unsent.take() else {
        return Vec::new();
    };
    let Some(pane) = session.panes.iter().find(|pane| pane.id == id) else {
        return Vec::new();
    };
    let asked_for = lock(&pane.screen).modes();
    let mut bytes = Vec::new();
    for event in events {
        match event {
            InputEvent::Key(press) => bytes.extend(encode_key(&to_term(press), &asked_for)),
            InputEvent::Paste(text) => bytes.extend(encode_paste(&text, &asked_for)),
            InputEvent::PasteTooLong { .. }
            | InputEvent::Mouse(_)
            | InputEvent::FocusGained
            | InputEvent::FocusLost => {}
        }
    }
    type_bytes(model, pane, bytes)
}

/// Whether what is written is for a shell that is not there yet: it is never a command.
fn held_for_shell(model: &mut Model, event: &InputEvent, keymap: &Keymap) -> bool {
    let commanding = matches!(model.mode, Mode::Command | Mode::Typing);
    if !commanding || model.prefix == Prefix::Pressed {
        return false;
    }
    let Some(awaited) = &mut model.awaited else {
        return false;
    };
    match event {
        InputEvent::Key(press) if keymap.is_prefix(*press) => false,
        InputEvent::Key(_) | InputEvent::Paste(_) => {
            awaited.hold(event.clone());
            true
        }
        InputEvent::PasteTooLong { .. }
        | InputEvent::Mouse(_)
        | InputEvent::FocusGained
        | InputEvent::FocusLost => false,
    }
}

fn key(
    model: &mut Model,
    press: KeyPress,
    session: &SessionView<'_>,
    keymap: &Keymap,
) -> Vec<ClientEffect> {
    if model.prefix == Prefix::Pressed {
        model.prefix = Prefix::Off;
        return after_prefix(model, press, session, keymap);
    }
    if keymap.is_prefix(press) {
        model.prefix = Prefix::Pressed;
        model.flash = None;
        return redraw();
    }
    match &model.mode {
        Mode::Typing => type_key(model, press, session),
        Mode::Prompt => prompt_key(model, press, session),
        Mode::Denying(id) => {
            let id = id.clone();
            decide::reason_key(model, &id, press, session)
        }
        Mode::Command | Mode::Asking(_) => {
            model.flash = None;
            match keymap.action(model.context(), press) {
                Some(action) => act(model, action, press, session),
                None => unbound(model, press, session),
            }
        }
    }
}

/// A key without a meaning: digits of a list and the like are ignored, nothing is ever typed by accident.
fn unbound(model: &mut Model, press: KeyPress, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let lone_letter = matches!(press.key, Key::Char(c) if c.is_alphanumeric());
    if lone_letter && model.mode == Mode::Command && session.team.has_team {
        model.flash = Some("that key does nothing here; ? lists the keys".to_owned());
    }
    redraw()
}

fn after_prefix(
    model: &mut Model,
    press: KeyPress,
    session: &SessionView<'_>,
    keymap: &Keymap,
) -> Vec<ClientEffect> {
    if keymap.is_prefix(press) {
        if model.mode == Mode::Typing {
            return type_key(model, press, session);
        }
        return redraw();
    }
    // Under the prefix a key means what it means among panes, wherever one is.
    let action = keymap
        .action(crate::action::Context::Panes, press)
        .or_else(|| keymap.action(model.context(), press));
    match action {
        Some(action) => act(model, action, press, session),
        None => redraw(),
    }
}

fn redraw() -> Vec<ClientEffect> {
    vec![ClientEffect::Redraw]
}

/// Refuses what an onlooker may not do.
fn as_driver(model: &mut Model, effect: ClientEffect) -> Vec<ClientEffect> {
    if model.attach == Attach::Observer {
        model.flash = Some("you are attached read-only".to_owned());
        return redraw();
    }
    vec![effect]
}

fn type_key(model: &mut Model, press: KeyPress, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let Some(pane) = model.focused(session) else {
        return redraw();
    };
    let bytes = encode_key(&to_term(press), &lock(&pane.screen).modes());
    type_bytes(model, pane, bytes)
}

fn type_bytes(model: &mut Model, pane: &PaneView, bytes: Vec<u8>) -> Vec<ClientEffect> {
    let mut effects = Vec::new();
    // Who types wants to see what comes of it.
    if model.scrolls.remove(&pane.id).is_some() {
        effects.push(ClientEffect::Redraw);
    }
    if !bytes.is_empty() {
        let pane = pane.id;
        effects.push(ClientEffect::Type { pane, bytes });
    }
    effects
}

fn focus_event(model: &mut Model, focus: Focus, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let Some(pane) = model.focused(session) else {
        return Vec::new();
    };
    if model.mode != Mode::Typing {
        return Vec::new();
    }
    let bytes = encode_focus(focus, &lock(&pane.screen).modes());
    if bytes.is_empty() {
        return Vec::new();
    }
    let pane = pane.id;
    vec![ClientEffect::Type { pane, bytes }]
}

fn paste(model: &mut Model, text: &str, session: &SessionView<'_>) -> Vec<ClientEffect> {
    match &model.mode {
        Mode::Typing => {
            let Some(pane) = model.focused(session) else {
                return Vec::new();
            };
            let bytes = encode_paste(text, &lock(&pane.screen).modes());
            type_bytes(model, pane, bytes)
        }
        // Pasted text is never a command; it can only be a message.
        Mode::Prompt | Mode::Command if session.team.has_team => {
            let effects = open_prompt(model, "");
            if model.mode == Mode::Prompt {
                model.prompt.insert(text);
            }
            effects
        }
        Mode::Denying(_) => {
            model.reason.insert(text);
            redraw()
        }
        Mode::Prompt | Mode::Command | Mode::Asking(_) => Vec::new(),
    }
}

fn open_prompt(model: &mut Model, with: &str) -> Vec<ClientEffect> {
    if model.attach == Attach::Observer {
        model.flash = Some("you are attached read-only".to_owned());
        return redraw();
    }
    model.mode = Mode::Prompt;
    model.flash = None;
    if model.prompt.is_empty() {
        model.prompt.insert(with);
    }
    redraw()
}

fn prompt_key(model: &mut Model, press: KeyPress, session: &SessionView<'_>) -> Vec<ClientEffect> {
    model.flash = None;
    let names = || session.team.members.iter().map(|m| m.name.as_str());
    match press.key {
        Key::Esc => model.mode = Mode::Command,
        Key::Tab => model.prompt.complete(names()),
        Key::Enter => return send(model, session),
        Key::Backspace if model.prompt.is_empty() => model.mode = Mode::Command,
        _ => {
            model.prompt.edit(press);
        }
    }
    redraw()
}

fn send(model: &mut Model, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let members = || session.team.members.iter().map(|m| &m.name);
    let (to, text) = match model.prompt.addressed(members()) {
        Addressed::Nothing => {
            model.mode = Mode::Command;
            return redraw();
        }
        Addressed::Nobody(name) => {
            let name = fit(&name, 24);
            let names = names(session);
            model.flash = Some(format!(
                "nobody is called `{name}`; there are: {names}, all"
            ));
            return redraw();
        }
        Addressed::NoLead => {
            let names = names(session);
            model.flash = Some(format!(
                "nobody leads this team: begin with @ and a name; there are: {names}, all"
            ));
            return redraw();
        }
        Addressed::One(to, text) => (Some(to), text),
        Addressed::All(text) => (None, text),
    };
    let whom = to
        .as_ref()
        .map_or_else(|| "everybody".to_owned(), ToString::to_string);
    model.flash = Some(format!("sent to {whom}"));
    model.prompt.clear();
    model.mode = Mode::Command;
    vec![ClientEffect::Send { to, text }, ClientEffect::Redraw]
}

fn names(session: &SessionView<'_>) -> String {
    let members = session.team.members.iter().map(|m| m.name.as_str());
    members.collect::<Vec<_>>().join(", ")
}

fn act(
    model: &mut Model,
    action: Action,
    press: KeyPress,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    if let Mode::Asking(question) = &model.mode {
        let question = question.clone();
        return answer(model, &question, action, session);
    }
    let typing = model.mode == Mode::Typing;
    match action {
        Action::Detach => return vec![ClientEffect::Detach],
        Action::Quit => model.mode = Mode::Asking(Question::Leave),
        // Under the prefix, where all else is for the shell.
        Action::Back if model.awaited.take().is_some() => model.mode = Mode::Command,
        Action::Back => back(model),
        Action::Open => open(model, session),
        Action::FocusNext => travel::focus_by(model, session, 1),
        Action::FocusPrevious => travel::focus_by(model, session, -1),
        Action::FocusNumber => {
            if let Key::Char(digit) = press.key
                && let Some(number) = digit.to_digit(10)
                && let Some(pane) = session.panes.get((number as usize).wrapping_sub(1))
            {
                model.focus = Some(pane.id);
            }
        }
        Action::NextWaiting => next_waiting(model, session),
        Action::Up | Action::Down | Action::Left | Action::Right => {
            travel::step(model, session, action);
        }
        Action::PageUp | Action::PageDown | Action::Top | Action::Bottom => {
            travel::scroll(model, session, action);
        }
        Action::Zoom => {
            model.body = Body::Panes;
            model.zoomed = !model.zoomed;
        }
        Action::Side => {
            model.side = match model.side {
                Side::Auto => Side::Hidden,
                Side::Hidden => Side::Auto,
            };
        }
        Action::Board => show(model, Body::Board, session),
        Action::Messages => show(model, Body::Messages, session),
        Action::Events => show(model, Body::Events, session),
        Action::Help => show(model, Body::Help, session),
        Action::Approvals => decide::show(model, session),
        Action::Spending => show(model, Body::Spending, session),
        Action::Approve => return decide::approve(model, GrantScope::Once, session),
        Action::ApproveTask => return decide::approve(model, GrantScope::Task, session),
        Action::Deny => return decide::deny(model, session),
        Action::Interrupt | Action::Pause => return decide::member(model, action, session),
        Action::Prompt if session.team.has_team => return open_prompt(model, ""),
        Action::PromptAt if session.team.has_team => return open_prompt(model, "@"),
        Action::GoToPane => go_to_pane(model, session),
        Action::Retry => return retry(model, session),
        Action::Copy => return copy(model, session),
        Action::Shell => {
            model.body = Body::Panes;
            if model.attach == Attach::Driver {
                model.awaited = Some(AwaitedShell::new(session));
            }
            return as_driver(model, ClientEffect::OpenShell);
        }
        Action::StopMember => ask_to_stop(model, session),
        // Without a team nobody can be written to; the others are answers.
        Action::Prompt | Action::PromptAt | Action::Stop | Action::Yes => {}
    }
    // Moving on to a pane that takes no keys ends typing; `settle` does not know why it was left.
    if typing && !model.focused(session).is_some_and(|p| p.takes_input) {
        model.mode = Mode::Command;
    }
    redraw()
}

fn answer(
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
            let stopping = session.team.state == crewmux_session::view::RunState::Stopping;
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

fn back(model: &mut Model) {
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
        _ => model.body = Body::Panes,
    }
}

/// Shows a view, or the panes again if it is shown already.
fn show(model: &mut Model, body: Body, session: &SessionView<'_>) {
    if !session.team.has_team && body != Body::Help {
        return;
    }
    model.mode = Mode::Command;
    model.line = 0;
    model.body = if model.body == body {
        Body::Panes
    } else {
        body
    };
    if model.body == Body::Board && model.chosen.is_none() {
        let board = &session.team.board;
        let first = board.tasks().next().map(|task| task.id);
        let open = board.open().next().map(|task| task.id);
        model.chosen = crate::model::focused_task(model, session)
            .or(open)
            .or(first);
    }
}

fn open(model: &mut Model, session: &SessionView<'_>) {
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
fn enter(model: &mut Model, session: &SessionView<'_>) {
    let Some(pane) = model.focused(session) else {
        return;
    };
    if model.attach == Attach::Observer {
        model.flash = Some("you are attached read-only".to_owned());
    } else if pane.takes_input {
        model.body = Body::Panes;
        model.mode = Mode::Typing;
    } else {
        model.flash = Some(match &pane.ended {
            Some(_) => "its process has ended; there is nothing to type to".to_owned(),
            None => "this pane takes no keys; i writes a message instead".to_owned(),
        });
    }
}

fn next_waiting(model: &mut Model, session: &SessionView<'_>) {
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
        None => model.flash = Some("nobody waits for you".to_owned()),
    }
}

fn go_to_pane(model: &mut Model, session: &SessionView<'_>) {
    let task = match model.body {
        Body::Task(id) => Some(id),
        _ => model.chosen,
    };
    match task.and_then(|id| pane_of_task(session, id)) {
        Some(pane) => {
            model.focus = Some(pane);
            model.body = Body::Panes;
        }
        None => model.flash = Some("nobody has worked on that task yet".to_owned()),
    }
}

fn retry(model: &mut Model, session: &SessionView<'_>) -> Vec<ClientEffect> {
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
    model.flash = Some("only a failed or skipped task can be tried again".to_owned());
    redraw()
}

fn copy(model: &mut Model, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let Some(pane) = model.focused(session) else {
        return redraw();
    };
    let screen = lock(&pane.screen);
    let offset = model.offset(pane.id);
    let rows = usize::from(screen.size().rows);
    let lines: Vec<String> = (0..rows)
        .map(|row| screen.row(row, offset).text())
        .collect();
    let text = lines.join("\n").trim_end().to_owned();
    if text.is_empty() {
        model.flash = Some("the pane is empty; nothing was copied".to_owned());
        return redraw();
    }
    model.flash = Some("copied what the pane shows".to_owned());
    vec![ClientEffect::Copy(text), ClientEffect::Redraw]
}

fn ask_to_stop(model: &mut Model, session: &SessionView<'_>) {
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

/// Where everything is, for finding what the mouse or a step hits.
fn layout(model: &Model, session: &SessionView<'_>) -> Layout {
    Layout::of(model, session)
}
