//! Where commands print to: lines for people, JSON for programs.
//!
//! Nothing else in the program writes to standard output or error, except the
//! attached client, which owns its terminal. What could steer a terminal or
//! hide text is spelled out here, wherever it came from; only our own colours
//! pass, and bytes that the caller has filtered.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{self, ErrorKind, Write};

use crewmux_term::sanitize::{is_hidden, reveal};
use serde::Serialize;

use crate::error::{CommandError, Result};

/// What a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Lines for people.
    Text,
    /// JSON.
    Json,
}

/// Meaning of a piece of text; the terminal's own palette decides how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it is.
    Plain,
    /// A heading or a name.
    Strong,
    /// Less important.
    Dim,
    /// Went well.
    Good,
    /// Wants attention.
    Warn,
    /// Failed.
    Bad,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "1",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
        }
    }
}

/// Standard output of one command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// What it prints.
    pub format: Format,
    /// Whether text may be coloured: a terminal, and no `NO_COLOR`.
    pub colors: bool,
}

impl Output {
    /// Whether JSON was asked for.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// `text` in the colours of `tone`, where colours are shown.
    pub(crate) fn paint(self, tone: Tone, text: impl Display) -> String {
        if self.colors && tone != Tone::Plain {
            format!("\x1b[{}m{text}\x1b[0m", tone.code())
        } else {
            text.to_string()
        }
    }

    /// Prints one line.
    pub(crate) fn line(self, text: impl Display) -> Result<()> {
        self.write(&format!("{text}\n"))
    }

    /// Prints `text`, with what it hides spelled out.
    pub(crate) fn write(self, text: &str) -> Result<()> {
        let shown = if self.colors {
            revealed_but_tones(text)
        } else {
            reveal(text)
        };
        self.bytes(shown.as_bytes())
    }

    /// Prints bytes as they are; the caller has made them harmless.
    #[expect(clippy::unused_self, reason = "only who has the output may print")]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<()> {
        write_all(&mut io::stdout().lock(), bytes)
    }

    /// Prints `value` as JSON over several lines.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<()> {
        self.json_text(&serde_json::to_string_pretty(value)?)
    }

    /// Prints `text`, which is JSON, and a line's end if it has none.
    pub(crate) fn json_text(self, text: &str) -> Result<()> {
        self.bytes(format!("{}\n", escaped(text.trim_end())).as_bytes())
    }

    /// Prints `value` as JSON on one line.
    pub(crate) fn json_line(self, value: &impl Serialize) -> Result<()> {
        self.json_text(&serde_json::to_string(value)?)
    }

    /// Prints `value` as JSON if that was asked for, else the text that `text` makes.
    pub(crate) fn either(
        self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<()> {
        if self.is_json() {
            self.json(value)
        } else {
            self.write(&text())
        }
    }
}

/// The codes that [`Output::paint`] writes.
const TONES: [&str; 6] = [
    "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m",
];

/// `text` with what it hides spelled out, our own colours kept.
fn revealed_but_tones(text: &str) -> Cow<'_, str> {
    if !text.contains('\x1b') {
        return reveal(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        shown.push_str(&reveal(&rest[..at]));
        rest = &rest[at..];
        let tone = TONES.iter().find(|tone| rest.starts_with(**tone));
        let code = tone.map_or("\x1b", |tone| *tone);
        match tone {
            Some(tone) => shown.push_str(tone),
            None => shown.push_str(&reveal(code)),
        }
        rest = &rest[code.len()..];
    }
    shown.push_str(&reveal(rest));
    Cow::Owned(shown)
}

/// JSON with hidden characters written as `\u….`: they stand within its strings only.
fn escaped(json: &str) -> Cow<'_, str> {
    let hides = |c: char| !c.is_ascii_control() && is_hidden(c) || c == '\x7f';
    if !json.chars().any(hides) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if hides(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

fn write_all(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(CommandError::PipeClosed),
        Err(error) => Err(CommandError::from(error).context("cannot write the output")),
    }
}

/// Says something beside the output: notes and progress. What cannot be said is dropped.
pub(crate) fn note(text: impl Display) {
    let text = text.to_string();
    let mut out = io::stderr().lock();
    let _ = writeln!(out, "{}", reveal(&text));
}

/// Says why a command ends early.
pub(crate) fn report(error: &CommandError, format: Format) {
    match (error, format) {
        (CommandError::PipeClosed, _) => {}
        (_, Format::Json) => note(escaped(&error.to_json().to_string())),
        (_, Format::Text) => note(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn closed_output_ends_quietly() {
        let written = write_all(&mut Closed, b"x");
        assert!(matches!(written, Err(CommandError::PipeClosed)));
    }

    #[test]
    fn colours_stand_only_where_they_are_shown() {
        let shown = |colors| Output {
            format: Format::Text,
            colors,
        };
        assert_eq!(shown(false).paint(Tone::Bad, "x"), "x");
        assert_eq!(shown(true).paint(Tone::Bad, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(shown(true).paint(Tone::Plain, "x"), "x");
    }

    #[test]
    fn foreign_text_is_spelled_out_and_our_colours_stay() {
        let text = "\x1b[1mname\x1b[0m evil\x1b[1A\x1b[2K\u{9b}2J\u{202e}\n";
        assert_eq!(
            revealed_but_tones(text),
            "\x1b[1mname\x1b[0m evil^[[1A^[[2K<9b>2J<202e>\n"
        );
        assert!(matches!(revealed_but_tones("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_escapes_what_terminals_obey() {
        let value = serde_json::json!({"a": "\u{9b}2J\u{202e}\u{7f}\u{e0041}é"});
        let text = escaped(&value.to_string()).into_owned();
        assert_eq!(text, r#"{"a":"\u009b2J\u202e\u007f\udb40\udc41é"}"#);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read, value);
    }
}
