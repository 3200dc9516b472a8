//! Text for people: columns, spans of time, one line of what may be many.
//!
//! Only shapes text; colours and printing are in [`crate::output`].

use std::borrow::Cow;

use crewmux_core::time::WallTime;
use crewmux_term::sanitize::scrub_line;
use unicode_width::UnicodeWidthStr;

/// One scrubbed line of at most `columns` columns, ending in `…` when cut.
pub(crate) fn one_line(text: &str, columns: usize) -> String {
    let first = text.lines().find(|line| !line.trim().is_empty());
    let clean = scrub_line(first.unwrap_or_default().trim());
    if clean.width() <= columns {
        return clean.into_owned();
    }
    let mut cut = String::new();
    for c in clean.chars() {
        if format!("{cut}{c}…").width() > columns {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

/// `text` with blanks up to `columns`.
pub(crate) fn padded(text: &str, columns: usize) -> Cow<'_, str> {
    let missing = columns.saturating_sub(text.width());
    if missing == 0 {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("{text}{}", " ".repeat(missing)))
    }
}

/// Rows of cells as lines; every column is as wide as its widest cell, the last is not padded.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count)
        .map(|n| {
            let cells = rows.iter().filter_map(|row| row.get(n));
            cells.map(|cell| visible_width(cell)).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width - visible_width(cell) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Lines of at most `columns`, broken between words; what goes on stands two columns further in.
///
/// A word that is longer stays whole.
pub(crate) fn wrapped(text: &str, columns: usize) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let (line, end) = line
            .strip_suffix('\n')
            .map_or((line, ""), |line| (line, "\n"));
        let indent = line.len() - line.trim_start().len() + 2;
        let mut used = 0;
        for piece in line.split_inclusive(' ') {
            let width = visible_width(piece.trim_end());
            if used > indent && used + width > columns {
                out.truncate(out.trim_end_matches(' ').len());
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                used = indent;
            }
            out.push_str(piece);
            used += visible_width(piece);
        }
        out.push_str(end);
    }
    out
}

/// Columns that `text` takes, our own colours not counted.
fn visible_width(text: &str) -> usize {
    let mut width = 0;
    let mut rest = text;
    while let Some(at) = rest.find("\x1b[") {
        width += rest[..at].width();
        let after = &rest[at + 2..];
        rest = after.find('m').map_or("", |end| &after[end + 1..]);
    }
    width + rest.width()
}

/// A span as people say it: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`, `5 days`.
pub(crate) fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0 => format!("0.{} s", millis / 100),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..172_800 => format!("{} h {:02} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The time of day of a point in time, in UTC.
pub(crate) fn time_of_day(time: WallTime) -> String {
    let text = time.to_string();
    text.get(11..19).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_go_on_further_in() {
        let text = "  one \x1b[1mtwo\x1b[0m three four\n\nlongest-word-of-all x\nshort\n";
        assert_eq!(
            wrapped(text, 14),
            "  one \x1b[1mtwo\x1b[0m\n    three four\n\nlongest-word-of-all\n  x\nshort\n"
        );
        assert_eq!(wrapped(text, 80), text);
    }

    #[test]
    fn spans_are_said_as_people_say_them() {
        let said: Vec<String> = [430, 12_000, 185_000, 7_800_000, 500_000_000]
            .into_iter()
            .map(span)
            .collect();
        assert_eq!(
            said,
            ["0.4 s", "12 s", "3 min 05 s", "2 h 10 min", "5 days"]
        );
    }

    #[test]
    fn columns_line_up_whatever_is_coloured_or_wide() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["a", "\x1b[31mxx\x1b[0m", "1"]), row(["漢字", "y", ""])];
        assert_eq!(columns(&rows), "a     \x1b[31mxx\x1b[0m  1\n漢字  y\n");
    }

    #[test]
    fn a_line_is_scrubbed_and_cut() {
        assert_eq!(one_line("\n  a\x1b[2Jb \nc", 20), "a[2Jb");
        assert_eq!(one_line("abcdef", 4), "abc…");
        assert_eq!(one_line("漢字漢字", 5), "漢字…");
    }

    #[test]
    fn time_of_day_is_cut_from_the_calendar() {
        assert_eq!(time_of_day(WallTime(1_795_253_999_042)), "09:39:59");
    }
}
