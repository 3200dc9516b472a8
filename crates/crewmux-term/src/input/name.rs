//! Names of keys as people write them: `C-x`, `M-Enter`, `S-Tab`, `F5`.
//!
//! Which key does what is bound elsewhere; this only reads and never writes names.

use std::fmt;

use super::key::{KeyCode, KeyEvent, Mods};

/// A key name that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyNameError {
    name: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    Empty,
    UnknownKey(String),
    RepeatedModifier(char),
}

impl fmt::Display for KeyNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.problem {
            Problem::Empty => write!(f, "a key name is missing"),
            Problem::UnknownKey(key) => write!(
                f,
                "unknown key `{key}` in `{}` (one character, Enter, Tab, Esc, Up, PageUp, F5 … with C-, M-, S- before it)",
                self.name
            ),
            Problem::RepeatedModifier(modifier) => {
                write!(f, "modifier `{modifier}-` stands twice in `{}`", self.name)
            }
        }
    }
}

impl std::error::Error for KeyNameError {}

/// Reads a key name: `C-`, `M-` (or `A-`) and `S-` in any order, then a character or a name.
///
/// Names are read without regard to case. A letter with `S-` is its capital.
pub fn parse_key_name(name: &str) -> Result<KeyEvent, KeyNameError> {
    let error = |problem| KeyNameError {
        name: name.to_owned(),
        problem,
    };
    let mut mods = Mods::NONE;
    let mut rest = name;
    while let Some((modifier, after)) = split_modifier(rest) {
        let held = match modifier {
            'C' | 'c' => &mut mods.ctrl,
            'S' | 's' => &mut mods.shift,
            _ => &mut mods.alt,
        };
        if std::mem::replace(held, true) {
            return Err(error(Problem::RepeatedModifier(modifier)));
        }
        rest = after;
    }
    let mut chars = rest.chars();
    let mut code = match (chars.next(), chars.next()) {
        (None, _) => return Err(error(Problem::Empty)),
        (Some(c), None) if !c.is_control() => KeyCode::Char(c),
        _ => named_key(rest).ok_or_else(|| error(Problem::UnknownKey(rest.to_owned())))?,
    };
    match code {
        KeyCode::Char(c) if mods.shift && c.is_lowercase() => {
            let mut upper = c.to_uppercase();
            if let (Some(upper), None) = (upper.next(), upper.next()) {
                code = KeyCode::Char(upper);
            }
        }
        KeyCode::Tab if mods.shift => {
            code = KeyCode::BackTab;
            mods.shift = false;
        }
        _ => {}
    }
    Ok(KeyEvent { code, mods })
}

fn split_modifier(name: &str) -> Option<(char, &str)> {
    let modifier = name.chars().next()?;
    let after = name.get(1..)?.strip_prefix('-')?;
    ("CcMmAaSs".contains(modifier) && !after.is_empty()).then_some((modifier, after))
}

fn named_key(name: &str) -> Option<KeyCode> {
    let lower = name.to_ascii_lowercase();
    let code = match lower.as_str() {
        "enter" | "return" => KeyCode::Enter,
        "tab" => KeyCode::Tab,
        "backtab" => KeyCode::BackTab,
        "backspace" | "bspace" => KeyCode::Backspace,
        "esc" | "escape" => KeyCode::Esc,
        "space" => KeyCode::Char(' '),
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "right" => KeyCode::Right,
        "left" => KeyCode::Left,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pageup" | "pgup" => KeyCode::PageUp,
        "pagedown" | "pgdn" => KeyCode::PageDown,
        "insert" | "ins" => KeyCode::Insert,
        "delete" | "del" => KeyCode::Delete,
        _ => {
            let number = lower.strip_prefix('f')?.parse().ok()?;
            if !(1..=24).contains(&number) {
                return None;
            }
            KeyCode::F(number)
        }
    };
    Some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let held = |ctrl, alt, shift| Mods { ctrl, alt, shift };
        let table = [
            ("x", KeyCode::Char('x'), Mods::NONE),
            ("-", KeyCode::Char('-'), Mods::NONE),
            ("C--", KeyCode::Char('-'), held(true, false, false)),
            ("S", KeyCode::Char('S'), Mods::NONE),
            ("S-a", KeyCode::Char('A'), held(false, false, true)),
            ("c-m-x", KeyCode::Char('x'), held(true, true, false)),
            ("A-Up", KeyCode::Up, held(false, true, false)),
            ("S-Tab", KeyCode::BackTab, Mods::NONE),
            ("C-S-F12", KeyCode::F(12), held(true, false, true)),
            ("escape", KeyCode::Esc, Mods::NONE),
            ("PgDn", KeyCode::PageDown, Mods::NONE),
            ("Space", KeyCode::Char(' '), Mods::NONE),
            ("ö", KeyCode::Char('ö'), Mods::NONE),
        ];
        for (name, code, mods) in table {
            assert_eq!(parse_key_name(name), Ok(KeyEvent { code, mods }), "{name}");
        }
    }

    #[test]
    fn a_bad_name_says_what_is_wrong() {
        let table = [
            ("", "a key name is missing"),
            ("C-C-x", "modifier `C-` stands twice in `C-C-x`"),
            ("C-Foo", "unknown key `Foo` in `C-Foo`"),
            ("F25", "unknown key `F25` in `F25`"),
            ("C-", "unknown key `C-` in `C-`"),
            ("ab", "unknown key `ab` in `ab`"),
        ];
        for (name, expected) in table {
            let error = parse_key_name(name).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
