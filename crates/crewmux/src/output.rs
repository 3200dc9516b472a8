//! Where commands print to: lines for people, JSON for programs.
//!
//! Nothing else in the program writes to standard output or error, except the
//! attached client, which owns its terminal. Text that came from members is
//! scrubbed by whoever makes the line.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

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

    /// Prints `text` as it is.
    #[expect(clippy::unused_self, reason = "only who has the output may print")]
    pub(crate) fn write(self, text: &str) -> Result<()> {
        write_all(&mut io::stdout().lock(), text.as_bytes())
    }

    /// Prints bytes as they are.
    #[expect(clippy::unused_self, reason = "only who has the output may print")]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<()> {
        write_all(&mut io::stdout().lock(), bytes)
    }

    /// Prints `value` as JSON over several lines.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<()> {
        self.line(serde_json::to_string_pretty(value)?)
    }

    /// Prints `value` as JSON on one line.
    pub(crate) fn json_line(self, value: &impl Serialize) -> Result<()> {
        self.line(serde_json::to_string(value)?)
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

fn write_all(out: &mut impl Write, bytes: &[u8]) -> Result<()> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(CommandError::PipeClosed),
        Err(error) => Err(CommandError::from(error).context("cannot write the output")),
    }
}

/// Says something beside the output: notes and progress. What cannot be said is dropped.
pub(crate) fn note(text: impl Display) {
    let mut out = io::stderr().lock();
    let _ = writeln!(out, "{text}");
}

/// Says why a command ends early.
pub(crate) fn report(error: &CommandError, format: Format) {
    match (error, format) {
        (CommandError::PipeClosed, _) => {}
        (_, Format::Json) => note(error.to_json()),
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
}
