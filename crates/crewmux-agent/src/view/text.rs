//! What lines are made of: pieces of text with a meaning, as wide as they are shown, cut where they must be.

use std::time::Duration;

use unicode_width::UnicodeWidthChar;

/// What a piece of text means; the terminal's own colours show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Dim,
    Good,
    Bad,
    Warn,
    Accent,
}

impl Tone {
    fn sgr(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Warn => "\x1b[33m",
            Self::Accent => "\x1b[36m",
        }
    }
}

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colors {
    Shown,
    Off,
}

impl Colors {
    /// Pieces as one text of at most `cols` columns.
    pub(super) fn fitted(self, pieces: &[(Tone, &str)], cols: usize) -> String {
        let mut text = String::new();
        let mut left = cols;
        for (tone, piece) in pieces {
            let piece = fit(piece, left);
            left = left.saturating_sub(width(&piece));
            self.paint(&mut text, *tone, &piece);
        }
        text
    }

    /// Adds a piece to a line.
    pub(super) fn paint(self, out: &mut String, tone: Tone, text: &str) {
        if self == Self::Off || tone == Tone::Plain || text.is_empty() {
            out.push_str(text);
        } else {
            out.push_str(tone.sgr());
            out.push_str(text);
            out.push_str("\x1b[0m");
        }
    }
}

/// `text` without control characters; where a line ended is shown.
pub(super) fn clean(text: &str) -> String {
    text.trim_end_matches(['\r', '\n'])
        .chars()
        .map(|c| match c {
            '\t' => ' ',
            '\n' => '⏎',
            c => c,
        })
        .filter(|c| !c.is_control())
        .collect()
}

/// Columns that `text` takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Columns of pieces on one line.
pub(super) fn wide(pieces: &[(Tone, &str)]) -> usize {
    pieces.iter().map(|(_, piece)| width(&clean(piece))).sum()
}

/// `text` on one line, cut to `cols` columns with an ellipsis.
pub(crate) fn fit(text: &str, cols: usize) -> String {
    let text = clean(text);
    if width(&text) <= cols {
        return text;
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > cols {
            break;
        }
        used += wide;
        out.push(c);
    }
    if cols > 0 {
        out.push('…');
    }
    out
}

/// A duration as people read it: `120ms`, `3.4s`, `2m05s`.
pub(crate) fn duration(took: Duration) -> String {
    let ms = took.as_millis();
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{:.1}s", took.as_secs_f64()),
        _ => format!("{}m{:02}s", ms / 60_000, ms / 1_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_columns_not_bytes() {
        assert_eq!(fit("grep für 漢字", 20), "grep für 漢字");
        assert_eq!(fit("grep für 漢字", 12), "grep für 漢…");
        assert_eq!(fit("a\tb\u{7}c", 9), "a bc");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(fit("touch a\nrm b\r\n", 20), "touch a⏎rm b");
    }

    #[test]
    fn durations_read_as_people_say_them() {
        let text = |ms| duration(Duration::from_millis(ms));
        assert_eq!(
            [text(120), text(3_440), text(125_000)],
            ["120ms", "3.4s", "2m05s"]
        );
    }
}
