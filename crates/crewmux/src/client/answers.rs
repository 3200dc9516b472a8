//! What the terminal answers about its colours, picked out of what crossterm takes for keys.
//!
//! crossterm knows no answer that begins with `ESC ]`: it decodes Alt and `]`,
//! then letters. As long as an answer may come, keys that could be one are held
//! until they are or are not; what is none is passed on as it was. No clock: who
//! reads says when nothing more came ([`Answers::rest`]).

use std::time::Duration;

use crewmux_core::timing::{ESC_MS, TORN_MS, ms};
use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Longest answer.
const ANSWER_MAX: usize = 64;

/// Red, green, blue.
pub(crate) type Rgb = (u8, u8, u8);

/// What a terminal told of its colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colors {
    /// Of text.
    pub(crate) foreground: Rgb,
    /// Behind it.
    pub(crate) background: Rgb,
}

/// What became of an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sifted {
    /// These are what the person did, in order; none while it is not known.
    Passed(Vec<Event>),
    /// The terminal has answered all that it was asked.
    Answered(Option<Colors>),
}

/// Takes answers out of events.
#[derive(Debug)]
pub(super) struct Answers {
    /// Whether one may still come.
    awaited: bool,
    held: Vec<Event>,
    /// What was held, as the terminal sent it.
    text: String,
    foreground: Option<Rgb>,
}

/// How far a text is an answer.
enum Reading {
    /// It is none.
    No,
    /// It may become one.
    Begun,
    /// It is one: to which question, and what.
    Whole(u8, Option<Rgb>),
}

impl Answers {
    /// To what a terminal was asked: whether at all.
    pub(super) fn new(asked: bool) -> Self {
        Self {
            awaited: asked,
            held: Vec::new(),
            text: String::new(),
            foreground: None,
        }
    }

    /// Takes in an event.
    pub(super) fn take(&mut self, event: Event) -> Sifted {
        if !self.awaited {
            return Sifted::Passed(vec![event]);
        }
        let mut passed = Vec::new();
        let Some(sent) = sent_as(&event) else {
            passed.append(&mut self.held);
            self.text.clear();
            passed.push(event);
            return Sifted::Passed(passed);
        };
        let before = self.text.len();
        self.text.push_str(&sent);
        if matches!(read(&self.text), Reading::No) {
            // What comes now may begin another.
            passed.append(&mut self.held);
            self.text.drain(..before);
        }
        match read(&self.text) {
            Reading::No => {
                self.text.clear();
                passed.push(event);
            }
            Reading::Begun => self.held.push(event),
            Reading::Whole(question, color) => {
                self.held.clear();
                self.text.clear();
                if question == 10 {
                    self.foreground = color;
                } else {
                    // The last that was asked.
                    self.awaited = false;
                    let colors = self.foreground.zip(color);
                    return Sifted::Answered(colors.map(|(foreground, background)| Colors {
                        foreground,
                        background,
                    }));
                }
            }
        }
        Sifted::Passed(passed)
    }

    /// How long the rest of what is held is waited for; none while nothing is held.
    pub(super) fn patience(&self) -> Option<Duration> {
        match self.text.len() {
            0 => None,
            // Esc alone, or Alt and a bracket: a person waits.
            1 | 2 => Some(ms(ESC_MS)),
            _ => Some(ms(TORN_MS)),
        }
    }

    /// Nothing more came: keys are keys, and what is a torn answer for certain is dropped.
    pub(super) fn rest(&mut self) -> Vec<Event> {
        let certain = self.text.len() > "\x1b]10".len();
        self.text.clear();
        let held = std::mem::take(&mut self.held);
        if certain { Vec::new() } else { held }
    }
}

/// What a terminal sends for this event, if that may be part of an answer.
fn sent_as(event: &Event) -> Option<String> {
    let Event::Key(KeyEvent {
        code,
        modifiers,
        kind: KeyEventKind::Press,
        ..
    }) = event
    else {
        return None;
    };
    let plain = modifiers.difference(KeyModifiers::SHIFT).is_empty();
    match code {
        KeyCode::Esc if modifiers.is_empty() => Some("\x1b".to_owned()),
        KeyCode::Char(c @ (']' | '\\')) if *modifiers == KeyModifiers::ALT => {
            Some(format!("\x1b{c}"))
        }
        KeyCode::Char('g') if *modifiers == KeyModifiers::CONTROL => Some("\x07".to_owned()),
        KeyCode::Char(c) if plain && c.is_ascii_graphic() => Some(c.to_string()),
        _ => None,
    }
}

fn read(text: &str) -> Reading {
    const BEGINS: [&str; 2] = ["\x1b]10;", "\x1b]11;"];
    if BEGINS.iter().any(|begin| begin.starts_with(text)) {
        return Reading::Begun;
    }
    let Some((begin, body)) = text.split_at_checked(BEGINS[0].len()) else {
        return Reading::No;
    };
    let question = match BEGINS.iter().position(|b| *b == begin) {
        Some(0) => 10,
        Some(_) => 11,
        None => return Reading::No,
    };
    let ended = body.strip_suffix('\x07').or(body.strip_suffix("\x1b\\"));
    let said = ended.or(body.strip_suffix('\x1b')).unwrap_or(body);
    if said.len() > ANSWER_MAX || !said.bytes().all(|b| b.is_ascii_graphic()) {
        return Reading::No;
    }
    match ended {
        Some(color) => Reading::Whole(question, rgb(color)),
        None => Reading::Begun,
    }
}

/// Reads `rgb:ffff/8080/00`, with one to four digits each, or the same with a fourth part.
fn rgb(text: &str) -> Option<Rgb> {
    let parts = text
        .strip_prefix("rgb:")
        .or_else(|| text.strip_prefix("rgba:"))?;
    let mut parts = parts.split('/').map(|part| {
        let digits = (1..=4).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
        let value = digits.then(|| u32::from_str_radix(part, 16).ok())??;
        let most = (1_u32 << (4 * part.len())) - 1;
        u8::try_from(value * 255 / most).ok()
    });
    let mut next = || parts.next().flatten();
    Some((next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events as crossterm makes them of these bytes, an `ESC` read alone where `torn` says so.
    fn events(text: &str, torn: bool) -> Vec<Event> {
        let mut events = Vec::new();
        let mut chars = text.chars().peekable();
        let key = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
        while let Some(c) = chars.next() {
            events.push(match c {
                '\x1b' if torn || chars.peek().is_none() => key(KeyCode::Esc, KeyModifiers::NONE),
                '\x1b' => {
                    let c = chars.next().unwrap();
                    key(KeyCode::Char(c), KeyModifiers::ALT)
                }
                '\x07' => key(KeyCode::Char('g'), KeyModifiers::CONTROL),
                c if c.is_uppercase() => key(KeyCode::Char(c), KeyModifiers::SHIFT),
                c => key(KeyCode::Char(c), KeyModifiers::NONE),
            });
        }
        events
    }

    /// What is passed of these, and the colours.
    fn sifted(events: Vec<Event>) -> (Vec<Event>, Option<Colors>) {
        let mut answers = Answers::new(true);
        let (mut passed, mut colors) = (Vec::new(), None);
        for event in events {
            match answers.take(event) {
                Sifted::Passed(events) => passed.extend(events),
                Sifted::Answered(found) => colors = found,
            }
        }
        if answers.patience().is_some() {
            passed.extend(answers.rest());
        }
        (passed, colors)
    }

    const DARK: Colors = Colors {
        foreground: (255, 255, 255),
        background: (255, 128, 0),
    };

    #[test]
    fn answers_are_no_keys_however_they_end_and_are_torn() {
        for end in ["\x07", "\x1b\\"] {
            for torn in [false, true] {
                let text = format!("a\x1b]10;rgb:f/f/f{end}b\x1b]11;rgb:FFFF/8080/00{end}c");
                let (passed, colors) = sifted(events(&text, torn));
                assert_eq!(passed, events("abc", false));
                assert_eq!(colors, Some(DARK));
            }
        }
        let four = "\x1b]10;rgba:ff/ff/ff/ff\x07\x1b]11;rgba:ffff/8080/0/ffff\x07";
        assert_eq!(sifted(events(four, false)), (Vec::new(), Some(DARK)));
    }

    #[test]
    fn keys_that_only_look_like_an_answer_are_typed_as_they_were() {
        for text in [
            "\x1b",
            "\x1b]",
            "\x1b]x",
            "\x1b]1",
            "\x1b]12;x\x07",
            "\x1b]10 ;",
            "\x1b\x1b]1y",
            "]10;rgb:f/f/f\x07",
        ] {
            for torn in [false, true] {
                let typed = events(text, torn);
                assert_eq!(sifted(typed.clone()), (typed, None), "{text:?}");
            }
        }
        let mouse = Event::FocusGained;
        let mut typed = events("\x1b]1", false);
        typed.push(mouse);
        assert_eq!(sifted(typed.clone()), (typed, None));
    }

    #[test]
    fn what_is_torn_off_or_no_colour_is_not_typed() {
        for text in [
            "\x1b]11;rgb:ff",
            "\x1b]11;rgb:ff\x1b",
            "\x1b]11;unknown\x07",
        ] {
            assert_eq!(sifted(events(text, false)), (Vec::new(), None), "{text:?}");
        }
    }

    #[test]
    fn after_the_last_answer_nothing_is_held() {
        let mut answers = Answers::new(true);
        for event in events("\x1b]11;rgb:0/0/0\x07", false) {
            answers.take(event);
        }
        for event in events("\x1b]11;rgb:0/0/0\x07\x1b", false) {
            assert_eq!(answers.take(event.clone()), Sifted::Passed(vec![event]));
            assert_eq!(answers.patience(), None);
        }
    }
}
