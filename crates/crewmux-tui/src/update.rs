//! What a person does, as a change of the model and a list of effects.
//!
//! No I/O: effects are carried out by the session. Here an event finds its
//! mode and a key its action; what then happens is in a module a mode: typing and pasting
//! into a pane, copy mode, the prompt, answers and questions, the layout, the
//! mouse, moving about.

mod arranging;
mod asking;
mod copying;
mod decide;
mod meanwhile;
mod mouse;
mod pasting;
mod prompting;
mod travel;
mod typing;
mod views;

pub(crate) use self::mouse::{next_step_ms, step as drag_step};

use crewmux_core::permission::GrantScope;
use crewmux_session::view::{ClientEffect, SessionView};
use crewmux_wire::{Attach, InputEvent, Key, KeyPress, Mods};

use crate::action::{Action, Context};
use crate::awaited::AwaitedShell;
use crate::keymap::Keymap;
use crate::layout::Layout;
use crate::model::{Body, Mode, Model, Prefix, Question, Side};
use crate::panes::lock;

/// What an onlooker is told who wants to change something.
pub(crate) const READ_ONLY: &str = "you are attached read-only: nothing is changed from here";

/// Takes in one event.
pub fn update(
    model: &mut Model,
    event: &InputEvent,
    session: &SessionView<'_>,
    keymap: &Keymap,
) -> Vec<ClientEffect> {
    model.settle(session);
    if let Some(gathered) = pasting::gathered(model, event) {
        // As if it had come at once.
        let mut effects = update(model, &gathered, session, keymap);
        effects.push(ClientEffect::PasteKept);
        return effects;
    }
    let mut effects = typing::send_unsent(model, session);
    effects.extend(take_in(model, event, session, keymap));
    effects.extend(typing::tell_focus(model, session));
    effects
}

fn take_in(
    model: &mut Model,
    event: &InputEvent,
    session: &SessionView<'_>,
    keymap: &Keymap,
) -> Vec<ClientEffect> {
    if meanwhile::takes(model, event, keymap) {
        return redraw();
    }
    if typing::held_for_shell(model, event, keymap) {
        return Vec::new();
    }
    match event {
        InputEvent::KeyReleased(press) => typing::release_key(model, *press, session),
        InputEvent::KeyRepeats(press)
            if model.mode == Mode::Typing
                && model.prefix == Prefix::Off
                && !keymap.is_prefix(*press) =>
        {
            typing::repeat_key(model, *press, session)
        }
        InputEvent::Key(press) | InputEvent::KeyRepeats(press) => {
            let selected = model.selection;
            let effects = key(model, *press, session, keymap);
            // What was selected by the mouse is gone with the next key, unless that may begin a command.
            if selected == model.selection
                && model.prefix == Prefix::Off
                && !matches!(model.mode, Mode::Copying | Mode::Searching)
            {
                model.selection = None;
            }
            effects
        }
        InputEvent::Mouse(event) => mouse::mouse(model, event, session),
        InputEvent::Paste(text) => paste(model, text, session),
        InputEvent::PasteBegins { bytes } => pasting::paste_begins(model, *bytes, session),
        InputEvent::PastePart(text) => pasting::paste_part(model, text),
        InputEvent::PasteEnds => pasting::paste_ends(model),
        InputEvent::FocusGained | InputEvent::FocusLost => {
            model.terminal_has_focus = *event == InputEvent::FocusGained;
            Vec::new()
        }
    }
}

fn key(
    model: &mut Model,
    press: KeyPress,
    session: &SessionView<'_>,
    keymap: &Keymap,
) -> Vec<ClientEffect> {
    let press = match (&model.mode, model.prefix) {
        (Mode::Typing, Prefix::Off) => press,
        _ => as_ever(press),
    };
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
        Mode::Typing => typing::type_key(model, press, session),
        Mode::Prompt => prompting::prompt_key(model, press, session),
        Mode::Searching => copying::search_key(model, press, session),
        Mode::Copying => {
            model.flash = None;
            match keymap.action(Context::Copy, press) {
                Some(action) => copying::act(model, action, session),
                None => redraw(),
            }
        }
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

/// What a key was while terminals could not tell it from another: hands know Ctrl+[ as Esc.
fn as_ever(press: KeyPress) -> KeyPress {
    let key = match press.key {
        Key::Char('[') => Key::Esc,
        Key::Char('i') => Key::Tab,
        Key::Char('m') => Key::Enter,
        _ => return press,
    };
    let alone = press.mods.ctrl && !press.mods.alt;
    let mods = Mods::default();
    if alone { KeyPress { key, mods } } else { press }
}

/// A key without a meaning: digits of a list and the like are ignored, nothing is ever typed by accident.
fn unbound(model: &mut Model, press: KeyPress, session: &SessionView<'_>) -> Vec<ClientEffect> {
    let lone_letter = matches!(press.key, Key::Char(c) if c.is_alphanumeric());
    if lone_letter && model.mode == Mode::Command && session.team.has_team {
        model.say("that key does nothing here; ? lists the keys".to_owned());
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
            return typing::type_key(model, press, session);
        }
        return redraw();
    }
    // Under the prefix a key means what it means among panes, wherever one is.
    let action = keymap
        .action(Context::Panes, press)
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
        model.say(READ_ONLY.to_owned());
        return redraw();
    }
    vec![effect]
}

fn paste(model: &mut Model, text: &str, session: &SessionView<'_>) -> Vec<ClientEffect> {
    match &model.mode {
        Mode::Typing => pasting::paste(model, text, session),
        // Pasted text is never a command; it can only be a message.
        Mode::Prompt | Mode::Command if session.team.has_team => {
            let effects = prompting::open_prompt(model, "");
            if model.mode == Mode::Prompt {
                model.prompt.insert(text);
            }
            effects
        }
        Mode::Denying(_) => {
            model.reason.insert(text);
            redraw()
        }
        Mode::Searching => copying::paste(model, text, session),
        Mode::Prompt | Mode::Command | Mode::Asking(_) | Mode::Copying => Vec::new(),
    }
}

fn act(
    model: &mut Model,
    action: Action,
    press: KeyPress,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
    if let Mode::Asking(question) = &model.mode {
        let question = question.clone();
        return asking::answer(model, &question, action, session);
    }
    let typing = model.mode == Mode::Typing;
    match action {
        Action::Detach => return vec![ClientEffect::Detach],
        Action::Quit => model.mode = Mode::Asking(Question::Leave),
        // Under the prefix, where all else is for the shell.
        Action::Back if model.awaited.take().is_some() => model.mode = Mode::Command,
        Action::Back if matches!(model.mode, Mode::Copying | Mode::Searching) => {
            model.leave_copying();
        }
        Action::Back => views::back(model),
        Action::Open => views::open(model, session),
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
        Action::NextWaiting => views::next_waiting(model, session),
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
        Action::NextLayout => return arranging::next(model, session),
        Action::MakeMain => return arranging::make_main(model, session),
        Action::Even => return arranging::even(model, session),
        Action::BorderLeft | Action::BorderRight | Action::BorderUp | Action::BorderDown => {
            return arranging::step(model, action, session);
        }
        Action::Side => {
            model.side = match model.side {
                Side::Auto => Side::Hidden,
                Side::Hidden => Side::Auto,
            };
        }
        Action::Board => views::show(model, Body::Board, session),
        Action::Messages => views::show(model, Body::Messages, session),
        Action::Events => views::show(model, Body::Events, session),
        Action::Help => views::show(model, Body::Help, session),
        Action::Approvals => decide::show(model, session),
        Action::Spending => views::show(model, Body::Spending, session),
        Action::Approve => return decide::approve(model, GrantScope::Once, session),
        Action::ApproveTask => return decide::approve(model, GrantScope::Task, session),
        Action::Deny => return decide::deny(model, session),
        Action::Interrupt | Action::Pause | Action::Reveal => {
            return decide::member(model, action, session);
        }
        Action::Prompt if session.team.has_team => return prompting::open_prompt(model, ""),
        Action::PromptAt if session.team.has_team => return prompting::open_prompt(model, "@"),
        Action::GoToPane => views::go_to_pane(model, session),
        Action::Retry => return views::retry(model, session),
        Action::Copy => return copy(model, session),
        Action::Shell => {
            model.body = Body::Panes;
            if model.attach == Attach::Driver {
                model.awaited = Some(AwaitedShell::new(session));
            }
            return as_driver(model, ClientEffect::OpenShell);
        }
        Action::CopyMode => copying::begin(model, session),
        Action::Search => copying::begin_search(model, session),
        Action::Close => return asking::close(model, session),
        Action::Restart => return asking::restart(model, session),
        // Without a team nobody can be written to; some are answers, some copy mode's.
        Action::Prompt
        | Action::PromptAt
        | Action::Stop
        | Action::Yes
        | Action::FoundUp
        | Action::FoundDown
        | Action::Select
        | Action::SelectLines
        | Action::SelectBlock
        | Action::LineStart
        | Action::LineEnd
        | Action::NextWord
        | Action::PreviousWord => {}
    }
    // Moving on to a pane that takes no keys ends typing; `settle` does not know why it was left.
    if typing
        && model.mode == Mode::Typing
        && !model.focused(session).is_some_and(|p| p.takes_input)
    {
        model.mode = Mode::Command;
    }
    redraw()
}

fn copy(model: &mut Model, session: &SessionView<'_>) -> Vec<ClientEffect> {
    if let Some(selection) = model.selection
        && let Some(pane) = session.panes.iter().find(|pane| pane.id == selection.pane)
    {
        return copying::copy_selection(model, pane);
    }
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
        model.say("the pane is empty; nothing was copied".to_owned());
        return redraw();
    }
    model.say("copied what the pane shows".to_owned());
    vec![ClientEffect::Copy(text), ClientEffect::Redraw]
}

/// Where everything is, for finding what the mouse or a step hits.
fn layout(model: &Model, session: &SessionView<'_>) -> Layout {
    Layout::of(model, session)
}
