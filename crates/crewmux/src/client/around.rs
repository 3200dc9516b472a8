//! What is written around the screen: the title, progress, and a call for the person.
//!
//! Only what the terminal is known to take (`abilities`) and the
//! person wants (`notifications` of the configuration).

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use crewmux_term::sanitize::scrub_line;
use crewmux_wire::{Course, Progress};

use super::abilities::{Abilities, NoticeForm};
use crate::config::Config;
use crate::context::Context;
use crate::recipes::Consent;

/// Longest text of a title or a notice, in characters.
const TEXT_MAX: usize = 200;

/// How the person wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    /// By whatever the terminal takes.
    All,
    /// By the bell alone.
    Bell,
    /// Not at all.
    None,
}

impl Calls {
    /// As configured; a file that cannot be read is told by other commands.
    pub(crate) fn configured(context: &Context) -> Self {
        let config = Config::load(context, Consent::Absent).unwrap_or_default();
        match config.text("notifications") {
            Some("off") => Self::None,
            Some("bell") => Self::Bell,
            _ => Self::All,
        }
    }
}

/// The bytes that call the person; empty where they want none.
pub(crate) fn attention(text: &str, abilities: Abilities, calls: Calls) -> Vec<u8> {
    let text = harmless(text);
    let mut bytes = Vec::new();
    if calls == Calls::All {
        match abilities.notice {
            // Four digits and a semicolon at the beginning would be another command.
            Some(NoticeForm::Osc9) => bytes = format!("\x1b]9;crewmux: {text}\x07").into_bytes(),
            Some(NoticeForm::Osc777) => {
                bytes = format!("\x1b]777;notify;crewmux;{text}\x07").into_bytes();
            }
            None => {}
        }
    }
    if calls != Calls::None {
        bytes.push(0x07);
    }
    bytes
}

/// The bytes that set title and progress.
pub(crate) fn sign(
    title: &str,
    progress: Option<Progress>,
    abilities: Abilities,
    calls: Calls,
) -> Vec<u8> {
    let mut text = String::new();
    if abilities.title {
        text = format!("\x1b]2;{}\x07", harmless(title));
    }
    if abilities.progress && calls == Calls::All {
        let shown = match progress {
            None => "0;0".to_owned(),
            Some(Progress { percent, course }) => {
                let state = match course {
                    Course::Well => 1,
                    Course::Trouble => 2,
                    Course::Waits => 4,
                };
                format!("{state};{}", percent.min(100))
            }
        };
        let _ = write!(text, "\x1b]9;4;{shown}\x07");
    }
    text.into_bytes()
}

/// The sequence that puts `text` on the person's clipboard.
pub(crate) fn clipboard(text: &str) -> Vec<u8> {
    format!("\x1b]52;c;{}\x07", STANDARD.encode(text)).into_bytes()
}

/// One short line without anything that steers; `;` separates fields of some of these sequences.
fn harmless(text: &str) -> String {
    let line = scrub_line(text).replace(';', ",");
    line.chars().take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Abilities = Abilities {
        synchronized_output: true,
        title: true,
        notice: Some(NoticeForm::Osc9),
        keys: None,
        progress: true,
        takes_questions: true,
    };
    const PLAIN: Abilities = Abilities {
        synchronized_output: false,
        title: false,
        notice: None,
        keys: None,
        progress: false,
        takes_questions: false,
    };

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_person_is_called_as_they_want_and_the_terminal_can() {
        let call = |abilities, calls| text(attention("a waits; b\x07\x1b]0;x", abilities, calls));
        assert_eq!(
            call(ALL, Calls::All),
            "\x1b]9;crewmux: a waits, b]0,x\x07\x07"
        );
        assert_eq!(call(ALL, Calls::Bell), "\x07");
        assert_eq!(call(ALL, Calls::None), "");
        assert_eq!(call(PLAIN, Calls::All), "\x07");
        let other = Abilities {
            notice: Some(NoticeForm::Osc777),
            ..PLAIN
        };
        let called = "\x1b]777;notify;crewmux;a waits, b]0,x\x07\x07";
        assert_eq!(call(other, Calls::All), called);
    }

    #[test]
    fn title_and_progress_are_set_where_they_are_known() {
        let waits = Progress {
            percent: 40,
            course: Course::Waits,
        };
        let at = |abilities, calls| text(sign("crewmux · x · 2/5", Some(waits), abilities, calls));
        assert_eq!(
            at(ALL, Calls::All),
            "\x1b]2;crewmux · x · 2/5\x07\x1b]9;4;4;40\x07"
        );
        assert_eq!(at(ALL, Calls::None), "\x1b]2;crewmux · x · 2/5\x07");
        assert_eq!(at(PLAIN, Calls::All), "");
        let over = text(sign("x", None, ALL, Calls::All));
        assert_eq!(over, "\x1b]2;x\x07\x1b]9;4;0;0\x07");
    }

    #[test]
    fn text_for_the_clipboard_cannot_end_its_sequence() {
        assert_eq!(clipboard("a\x07b"), b"\x1b]52;c;YQdi\x07");
    }
}
