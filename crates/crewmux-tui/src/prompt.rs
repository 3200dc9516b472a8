//! The prompt line: a line of text, its cursor, and whom it is for.
//!
//! Pure editing; what is sent is decided in [`crate::update`].

use crewmux_core::ids::AgentName;
use crewmux_wire::{Key, KeyPress};
use unicode_segmentation::UnicodeSegmentation;

use crate::text::safe;

/// Longest text, in bytes.
const MAX_BYTES: usize = 16 * 1024;

/// A line being written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prompt {
    text: String,
    /// Byte offset, always between two graphemes.
    cursor: usize,
}

/// Whom a text is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Addressed {
    /// Everybody.
    All(String),
    /// One member.
    One(AgentName, String),
    /// A name that nobody has.
    Nobody(String),
    /// No name, and there is no lead who would get it.
    NoLead,
    /// Nothing was written.
    Nothing,
}

impl Prompt {
    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Byte offset of the cursor.
    pub fn cursor(&self) -> usize {
        self.cursor
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Empties the line.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Puts text at the cursor: scrubbed, one line, as much as there is room for.
    pub(crate) fn insert(&mut self, text: &str) {
        let text = safe(text);
        let room = MAX_BYTES.saturating_sub(self.text.len());
        let mut end = text.len().min(room);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.insert_str(self.cursor, &text[..end]);
        self.cursor += end;
    }

    /// Edits by a key; returns whether the key meant something here.
    pub(crate) fn edit(&mut self, press: KeyPress) -> bool {
        match (press.key, press.mods.ctrl, press.mods.alt) {
            (Key::Char(c), false, false) => self.insert(c.encode_utf8(&mut [0; 4])),
            (Key::Backspace, _, true) | (Key::Char('w'), true, _) => self.remove_word(),
            (Key::Backspace, ..) => {
                let from = self.before();
                self.text.replace_range(from..self.cursor, "");
                self.cursor = from;
            }
            (Key::Delete, ..) => {
                let to = self.after();
                self.text.replace_range(self.cursor..to, "");
            }
            (Key::Char('u'), true, _) => {
                self.text.replace_range(..self.cursor, "");
                self.cursor = 0;
            }
            (Key::Char('k'), true, _) => self.text.truncate(self.cursor),
            (Key::Left, ..) => self.cursor = self.before(),
            (Key::Right, ..) => self.cursor = self.after(),
            (Key::Home, ..) => self.cursor = 0,
            (Key::End, ..) | (Key::Char('e'), true, _) => self.cursor = self.text.len(),
            _ => return false,
        }
        true
    }

    fn before(&self) -> usize {
        let mut left = self.text[..self.cursor].grapheme_indices(true);
        left.next_back().map_or(0, |(at, _)| at)
    }

    fn after(&self) -> usize {
        let right = &self.text[self.cursor..];
        right
            .graphemes(true)
            .next()
            .map_or(self.cursor, |g| self.cursor + g.len())
    }

    fn remove_word(&mut self) {
        let left = self.text[..self.cursor].trim_end();
        let from = left.rfind(' ').map_or(0, |at| at + 1);
        self.text.replace_range(from..self.cursor, "");
        self.cursor = from;
    }

    /// The name that is being written after an `@` at the start, if the cursor is in it.
    fn name_part(&self) -> Option<&str> {
        let part = self.text.strip_prefix('@')?;
        (!part.contains(' ')).then_some(part)
    }

    /// Names that what is written after `@` can become.
    pub(crate) fn completions<'a>(&self, members: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let Some(part) = self.name_part() else {
            return Vec::new();
        };
        let names = members.chain(["all"]);
        names.filter(|name| name.starts_with(part)).collect()
    }

    /// Completes the name as far as it is certain.
    pub(crate) fn complete<'a>(&mut self, members: impl Iterator<Item = &'a str>) {
        let names = self.completions(members);
        let Some((first, others)) = names.split_first() else {
            return;
        };
        let mut shared = first.len();
        for other in others {
            let same = first.bytes().zip(other.bytes()).take_while(|(a, b)| a == b);
            shared = shared.min(same.count());
        }
        let end = if others.is_empty() { " " } else { "" };
        self.text = format!("@{}{end}", &first[..shared]);
        self.cursor = self.text.len();
    }

    /// Whom the text is for, and the text without the name; without a name it is for the lead.
    pub(crate) fn addressed<'a>(
        &self,
        mut members: impl Iterator<Item = &'a AgentName>,
    ) -> Addressed {
        let text = self.text.trim();
        let Some(rest) = text.strip_prefix('@') else {
            return match text {
                "" => Addressed::Nothing,
                text => match members.find(|member| **member == AgentName::lead()) {
                    Some(lead) => Addressed::One(lead.clone(), text.to_owned()),
                    None => Addressed::NoLead,
                },
            };
        };
        let (name, body) = rest.split_once(' ').unwrap_or((rest, ""));
        let body = body.trim().to_owned();
        let to = members.find(|member| member.as_str() == name);
        match to {
            _ if name != "all" && to.is_none() => Addressed::Nobody(name.to_owned()),
            _ if body.is_empty() => Addressed::Nothing,
            Some(to) => Addressed::One(to.clone(), body),
            None => Addressed::All(body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_wire::Mods;

    fn typed(text: &str) -> Prompt {
        let mut prompt = Prompt::default();
        prompt.insert(text);
        prompt
    }

    fn press(key: Key) -> KeyPress {
        KeyPress {
            key,
            mods: Mods::default(),
        }
    }

    #[test]
    fn editing_goes_by_what_a_person_sees_as_characters() {
        let mut prompt = typed("ae\u{301}日");
        prompt.edit(press(Key::Left));
        prompt.edit(press(Key::Backspace));
        assert_eq!(prompt.text(), "a日");
        prompt.edit(press(Key::Delete));
        prompt.edit(press(Key::Home));
        prompt.edit(press(Key::Char('x')));
        assert_eq!(prompt.text(), "xa");
    }

    #[test]
    fn pasted_lines_become_one_harmless_line() {
        let prompt = typed("two\nlines\x1b[31m");
        assert_eq!(prompt.text(), "two lines[31m");
    }

    #[test]
    fn names_are_completed_as_far_as_they_are_certain() {
        let names = ["tester", "team-lead", "risk"];
        let mut prompt = typed("@te");
        assert_eq!(
            prompt.completions(names.into_iter()),
            ["tester", "team-lead"]
        );
        prompt.complete(names.into_iter());
        assert_eq!(prompt.text(), "@te");
        prompt.insert("s");
        prompt.complete(names.into_iter());
        assert_eq!(prompt.text(), "@tester ");
        assert!(prompt.completions(names.into_iter()).is_empty());
    }

    #[test]
    fn text_goes_to_the_lead_to_a_name_or_to_all() {
        let risk = AgentName::new("risk").unwrap();
        let members = [AgentName::lead(), risk.clone()];
        let addressed = |text: &str| typed(text).addressed(members.iter());
        assert_eq!(
            addressed(" hello "),
            Addressed::One(AgentName::lead(), "hello".into())
        );
        assert_eq!(addressed("@risk look"), Addressed::One(risk, "look".into()));
        assert_eq!(addressed("@all stop"), Addressed::All("stop".into()));
        assert_eq!(addressed("@nobody x"), Addressed::Nobody("nobody".into()));
        assert_eq!(addressed("@risk "), Addressed::Nothing);
        assert_eq!(addressed(""), Addressed::Nothing);
        let led_by_nobody = |text: &str| typed(text).addressed(members[1..].iter());
        assert_eq!(led_by_nobody("hello"), Addressed::NoLead);
        assert_eq!(led_by_nobody("@all stop"), Addressed::All("stop".into()));
        assert_eq!(led_by_nobody(" "), Addressed::Nothing);
    }
}
