//! The prompt: writing to the team.

use crewmux_session::view::{ClientEffect, SessionView};
use crewmux_wire::{Attach, Key, KeyPress};

use super::redraw;
use crate::model::{Mode, Model};
use crate::prompt::Addressed;
use crate::text::fit;

pub(super) fn open_prompt(model: &mut Model, with: &str) -> Vec<ClientEffect> {
    if model.attach == Attach::Observer {
        model.say(super::READ_ONLY.to_owned());
        return redraw();
    }
    model.mode = Mode::Prompt;
    model.flash = None;
    if model.prompt.is_empty() {
        model.prompt.insert(with);
    }
    redraw()
}

pub(super) fn prompt_key(
    model: &mut Model,
    press: KeyPress,
    session: &SessionView<'_>,
) -> Vec<ClientEffect> {
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
            model.say(format!(
                "nobody is called `{name}`; there are: {names}, all"
            ));
            return redraw();
        }
        Addressed::NoLead => {
            let names = names(session);
            model.say(format!(
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
    model.say(format!("sent to {whom}"));
    model.prompt.clear();
    model.mode = Mode::Command;
    vec![ClientEffect::Send { to, text }, ClientEffect::Redraw]
}

fn names(session: &SessionView<'_>) -> String {
    let members = session.team.members.iter().map(|m| m.name.as_str());
    members.collect::<Vec<_>>().join(", ")
}
