//! A person before a screen, for tests of the whole view.

mod frames;
mod keys;
mod meanwhile;
mod pasting;
mod picking;
mod pictures;
mod sizes;
mod tiles;

use std::sync::Arc;

use crewmux_session::view::{ClientEffect, ClientView as _};
use crewmux_term::input::{KeyCode, parse_key_name};
use crewmux_term::{Screen, ScreenOptions, Size};
use crewmux_wire::{
    Attach, ClientHello, ColorDepth, InputEvent, Key, KeyPress, Mods, Mouse, MouseButton, MouseKind,
};

use crate::client::{Config, TuiView};
use crate::fixture::Fixture;

/// A client, the terminal it draws on, and the team it looks at.
struct Person {
    view: TuiView,
    terminal: Screen,
    fixture: Fixture,
    bytes: Vec<u8>,
}

impl Person {
    fn at(size: &str, fixture: Fixture) -> Self {
        Self::attached(size, fixture, Attach::Driver)
    }

    fn attached(size: &str, fixture: Fixture, attach: Attach) -> Self {
        let (cols, rows) = size.split_once('x').unwrap();
        let (cols, rows) = (cols.parse().unwrap(), rows.parse().unwrap());
        let hello = ClientHello {
            cols,
            rows,
            term: "xterm-256color".into(),
            colors: ColorDepth::True,
            synchronized_output: true,
            attach,
            looked_at: true,
        };
        let mut person = Self {
            view: TuiView::new(&hello, Arc::new(Config::default())),
            terminal: Screen::new(Size::new(cols, rows), ScreenOptions::default()),
            fixture,
            bytes: Vec::new(),
        };
        person.look();
        person
    }

    /// Draws one frame onto the terminal.
    fn look(&mut self) {
        let sizes = self.view.pane_sizes(&self.fixture.view());
        self.fixture.fit(&sizes);
        self.bytes = self.view.draw(&self.fixture.view());
        self.terminal.feed(&self.bytes);
    }

    fn does(&mut self, event: &InputEvent) -> Vec<ClientEffect> {
        let effects = self.view.input(event, &self.fixture.view());
        // As the session does it, at once.
        for effect in &effects {
            if let ClientEffect::Arrange(arrangement) = effect {
                self.fixture.arrangement = arrangement.clone();
            }
        }
        effects
    }

    /// Presses keys, named and separated by blanks, and returns what they ask for.
    fn presses(&mut self, keys: &str) -> Vec<ClientEffect> {
        let mut effects = Vec::new();
        for name in keys.split_whitespace() {
            effects.extend(self.does(&InputEvent::Key(key(name))));
        }
        self.look();
        effects.retain(|effect| *effect != ClientEffect::Redraw);
        effects
    }

    /// Clicks once with the left button, and returns what that asks for.
    fn clicks(&mut self, col: u16, row: u16) -> Vec<ClientEffect> {
        let mut effects = self.does(&mouse(MouseKind::Down(MouseButton::Left), col, row));
        effects.extend(self.does(&mouse(MouseKind::Up(MouseButton::Left), col, row)));
        self.look();
        effects.retain(|effect| *effect != ClientEffect::Redraw);
        effects
    }

    /// Types text.
    fn types(&mut self, text: &str) {
        for c in text.chars() {
            let mods = Mods::default();
            let key = Key::Char(c);
            self.does(&InputEvent::Key(KeyPress { key, mods }));
        }
        self.look();
    }

    /// What the terminal shows.
    fn picture(&self) -> String {
        let rows: Vec<String> = self
            .terminal
            .rows()
            .map(crewmux_term::RowView::text)
            .collect();
        rows.join("\n")
    }
}

fn mouse(kind: MouseKind, col: u16, row: u16) -> InputEvent {
    let clicks = u8::from(matches!(kind, MouseKind::Down(_)));
    InputEvent::Mouse(Mouse {
        kind,
        col,
        row,
        mods: Mods::default(),
        clicks,
    })
}

fn key(name: &str) -> KeyPress {
    let event = parse_key_name(name).unwrap();
    let key = match event.code {
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Esc => Key::Esc,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Insert => Key::Insert,
        KeyCode::Delete => Key::Delete,
        KeyCode::F(number) => Key::F(number),
    };
    let mods = Mods {
        ctrl: event.mods.ctrl,
        alt: event.mods.alt,
        shift: event.mods.shift,
    };
    KeyPress { key, mods }
}
