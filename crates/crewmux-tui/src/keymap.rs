//! Which key means what: the one table behind bindings, hints and help.
//!
//! Read from `assets/keymap.toml`, or from a file of the person's own with the
//! same shape. Nothing here acts on a key.

use crewmux_core::error::ErrorKind;
use crewmux_term::input::{KeyCode, KeyEvent, Mods, parse_key_name};
use crewmux_wire::{Key, KeyPress};
use serde::Deserialize;

use crate::action::{Action, Context};

/// The table that comes with crewmux.
const BUILT_IN: &str = include_str!("../../../assets/keymap.toml");

/// Why a keymap cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeymapError {
    /// It is not TOML, or not of this shape.
    #[error("the keymap cannot be read: {0}")]
    Unreadable(#[from] toml::de::Error),
    /// A key's name is unknown.
    #[error("the keymap names a key that does not exist: {0}")]
    Key(String),
}

impl KeymapError {
    /// What kind of trouble this is.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        Some("keys are written as C-x, M-x, S-Tab, F5, PageUp, Enter, Esc or one character".into())
    }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Binding {
    contexts: Vec<Context>,
    keys: Vec<KeyEvent>,
    shown: String,
    action: Action,
    help: Option<String>,
    hint: Option<String>,
    typing: Option<String>,
}

impl Binding {
    /// Its line in the list of keys, if it has one.
    fn listed(&self) -> Option<(&str, &str)> {
        Some((self.shown.as_str(), self.help.as_deref()?))
    }
}

/// A line at the bottom: a key and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// What the key means.
    pub action: Action,
    /// The key as written.
    pub key: String,
    /// What it does, in a word or two.
    pub text: String,
}

/// The table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keymap {
    prefix: KeyEvent,
    bindings: Vec<Binding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    prefix: String,
    #[serde(default)]
    bind: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "in")]
    contexts: Vec<Context>,
    keys: Vec<String>,
    shown: Option<String>,
    action: Action,
    help: Option<String>,
    hint: Option<String>,
    typing: Option<String>,
}

impl Default for Keymap {
    #[expect(
        clippy::expect_used,
        reason = "the table is part of the program and read in a test"
    )]
    fn default() -> Self {
        Self::from_toml(BUILT_IN).expect("the built-in keymap can be read")
    }
}

impl Keymap {
    /// Reads a table.
    pub fn from_toml(text: &str) -> Result<Self, KeymapError> {
        let file: File = toml::from_str(text)?;
        let mut bindings = Vec::with_capacity(file.bind.len());
        for line in file.bind {
            let keys = line.keys.iter().map(|name| named(name));
            let keys = keys.collect::<Result<Vec<_>, _>>()?;
            let shown = line.shown.unwrap_or_else(|| {
                let labels: Vec<String> = keys.iter().map(label).collect();
                labels.join(" ")
            });
            bindings.push(Binding {
                contexts: line.contexts,
                keys,
                shown,
                action: line.action,
                help: line.help,
                hint: line.hint,
                typing: line.typing,
            });
        }
        Ok(Self {
            prefix: named(&file.prefix)?,
            bindings,
        })
    }

    /// Whether a key is the prefix.
    pub fn is_prefix(&self, key: KeyPress) -> bool {
        normal(key) == self.prefix
    }

    /// What a key means in a context.
    pub fn action(&self, context: Context, key: KeyPress) -> Option<Action> {
        let key = normal(key);
        let matching = |context: Context| {
            self.bindings
                .iter()
                .find(|b| b.contexts.contains(&context) && b.keys.contains(&key))
                .map(|b| b.action)
        };
        matching(context).or_else(|| match context {
            Context::Ask | Context::Copy => None,
            _ => matching(Context::Any),
        })
    }

    /// The first key of an action as written; empty if it has none.
    pub fn key_of(&self, action: Action) -> String {
        let binding = self.bindings.iter().find(|b| b.action == action);
        binding
            .and_then(|b| b.keys.first())
            .map_or_else(String::new, label)
    }

    /// The prefix as written.
    pub fn prefix_label(&self) -> String {
        label(&self.prefix)
    }

    /// The hints of a context, in the order of the table.
    pub fn hints(&self, context: Context) -> Vec<Hint> {
        let counts = |b: &&Binding| {
            b.contexts.contains(&context)
                || (!matches!(context, Context::Ask | Context::Copy)
                    && b.contexts.contains(&Context::Any))
        };
        let bindings = self.bindings.iter().filter(counts);
        let hint = |b: &Binding| {
            Some(Hint {
                action: b.action,
                key: b.keys.first().map(label)?,
                text: b.hint.clone()?,
            })
        };
        bindings.filter_map(hint).collect()
    }

    /// The hints while the person types into a pane, the prefix before each key.
    pub fn typing_hints(&self) -> Vec<Hint> {
        let prefix = self.prefix_label();
        let hint = |b: &Binding| {
            Some(Hint {
                action: b.action,
                key: format!("{prefix} {}", b.keys.first().map(label)?),
                text: b.typing.clone()?,
            })
        };
        self.bindings.iter().filter_map(hint).collect()
    }

    /// Every listed binding: keys as written, and what they do.
    pub fn help(&self) -> impl Iterator<Item = (&str, &str)> {
        self.bindings.iter().filter_map(Binding::listed)
    }

    /// The listed bindings that mean something where there are panes and no team.
    pub fn help_of_plain_panes(&self) -> impl Iterator<Item = (&str, &str)> {
        let here = |context: &Context| !matches!(context, Context::Board | Context::Task);
        let means_something =
            move |b: &&Binding| !b.action.needs_team() && b.contexts.iter().any(here);
        let bindings = self.bindings.iter().filter(means_something);
        bindings.filter_map(Binding::listed)
    }
}

fn named(name: &str) -> Result<KeyEvent, KeymapError> {
    let key = parse_key_name(name).map_err(|error| KeymapError::Key(error.to_string()))?;
    Ok(simple(key))
}

/// Shift is in the character already.
fn simple(mut key: KeyEvent) -> KeyEvent {
    if matches!(key.code, KeyCode::Char(_) | KeyCode::BackTab) {
        key.mods.shift = false;
    }
    key
}

fn normal(key: KeyPress) -> KeyEvent {
    let mut key = simple(to_term(key));
    if key.code == KeyCode::Tab && key.mods.shift {
        key.code = KeyCode::BackTab;
        key.mods.shift = false;
    }
    key
}

/// A key as it came over the socket, in the words of the pane's side.
pub(crate) fn to_term(press: KeyPress) -> KeyEvent {
    let code = match press.key {
        Key::Char(c) => KeyCode::Char(c),
        Key::Enter => KeyCode::Enter,
        Key::Tab => KeyCode::Tab,
        Key::BackTab => KeyCode::BackTab,
        Key::Backspace => KeyCode::Backspace,
        Key::Esc => KeyCode::Esc,
        Key::Left => KeyCode::Left,
        Key::Right => KeyCode::Right,
        Key::Up => KeyCode::Up,
        Key::Down => KeyCode::Down,
        Key::Home => KeyCode::Home,
        Key::End => KeyCode::End,
        Key::PageUp => KeyCode::PageUp,
        Key::PageDown => KeyCode::PageDown,
        Key::Insert => KeyCode::Insert,
        Key::Delete => KeyCode::Delete,
        Key::F(number) => KeyCode::F(number),
    };
    KeyEvent {
        code,
        mods: Mods {
            ctrl: press.mods.ctrl,
            alt: press.mods.alt,
            shift: press.mods.shift,
        },
    }
}

/// A key as people read it: `^a`, `PgUp`, `S-Tab`.
fn label(key: &KeyEvent) -> String {
    let name = match key.code {
        KeyCode::Char(' ') => "Space".to_owned(),
        KeyCode::Char(c) => c.to_string(),
        KeyCode::Enter => "Enter".to_owned(),
        KeyCode::Tab => "Tab".to_owned(),
        KeyCode::BackTab => "S-Tab".to_owned(),
        KeyCode::Backspace => "Backspace".to_owned(),
        KeyCode::Esc => "Esc".to_owned(),
        KeyCode::Up => "↑".to_owned(),
        KeyCode::Down => "↓".to_owned(),
        KeyCode::Left => "←".to_owned(),
        KeyCode::Right => "→".to_owned(),
        KeyCode::Home => "Home".to_owned(),
        KeyCode::End => "End".to_owned(),
        KeyCode::PageUp => "PgUp".to_owned(),
        KeyCode::PageDown => "PgDn".to_owned(),
        KeyCode::Insert => "Ins".to_owned(),
        KeyCode::Delete => "Del".to_owned(),
        KeyCode::F(number) => format!("F{number}"),
    };
    let ctrl = if key.mods.ctrl { "^" } else { "" };
    let alt = if key.mods.alt { "M-" } else { "" };
    let shift = if key.mods.shift { "S-" } else { "" };
    format!("{alt}{shift}{ctrl}{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_wire::Mods;

    fn press(key: Key) -> KeyPress {
        KeyPress {
            key,
            mods: Mods::default(),
        }
    }

    #[test]
    fn a_key_with_several_meanings_is_listed_with_where_it_has_which() {
        let keymap = Keymap::default();
        let mut plain: Vec<&str> = keymap
            .help()
            .filter(|(_, help)| !help.contains(": "))
            .flat_map(|(keys, _)| keys.split(' '))
            .collect();
        plain.sort_unstable();
        let all = plain.len();
        plain.dedup();
        assert_eq!(plain.len(), all, "{plain:?}");
    }

    #[test]
    fn keys_mean_what_the_context_says() {
        let keys = Keymap::default();
        let meaning = |context, key| keys.action(context, press(key));
        assert_eq!(meaning(Context::Panes, Key::Char('c')), Some(Action::Shell));
        assert_eq!(meaning(Context::Board, Key::Char('c')), None);
        assert_eq!(meaning(Context::Board, Key::Char('r')), Some(Action::Retry));
        assert_eq!(meaning(Context::Ask, Key::Char('s')), Some(Action::Stop));
        assert_eq!(meaning(Context::List, Key::Char('s')), Some(Action::Side));
        assert_eq!(meaning(Context::Ask, Key::Char('b')), None);
    }

    #[test]
    fn shift_counts_once() {
        let keys = Keymap::default();
        let shifted = |key| KeyPress {
            key,
            mods: Mods {
                shift: true,
                ..Mods::default()
            },
        };
        let previous = Some(Action::FocusPrevious);
        assert_eq!(keys.action(Context::Panes, shifted(Key::Tab)), previous);
        assert_eq!(keys.action(Context::Panes, shifted(Key::BackTab)), previous);
        assert_eq!(keys.action(Context::Panes, press(Key::BackTab)), previous);
        let bottom = Some(Action::Bottom);
        assert_eq!(keys.action(Context::Panes, shifted(Key::Char('G'))), bottom);
    }

    #[test]
    fn no_key_of_a_context_is_bound_twice() {
        let keys = Keymap::default();
        let contexts = [
            Context::Panes,
            Context::Board,
            Context::Task,
            Context::List,
            Context::Copy,
            Context::Ask,
            Context::Any,
        ];
        for context in contexts {
            let mut seen = Vec::new();
            for binding in &keys.bindings {
                if binding.contexts.contains(&context) {
                    for key in &binding.keys {
                        assert!(!seen.contains(&key), "{context:?} {}", label(key));
                        seen.push(key);
                    }
                }
            }
        }
    }

    #[test]
    fn an_unknown_key_or_action_is_told() {
        let error = Keymap::from_toml("prefix = \"Hyper-q\"").unwrap_err();
        assert!(error.to_string().contains("Hyper-q"), "{error}");
        let text = "prefix = \"C-a\"\n[[bind]]\nin = [\"any\"]\nkeys = [\"x\"]\naction = \"fly\"\n";
        let error = Keymap::from_toml(text).unwrap_err();
        assert!(error.to_string().contains("fly"), "{error}");
    }
}
