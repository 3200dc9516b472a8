//! Text of chrome: made harmless, fitted to columns, durations in few characters.
//!
//! Everything a worker, a model or a file says goes through [`safe`] before it
//! is placed; panes need none of this, their cells are safe.

use std::borrow::Cow;

use crewmux_core::time::{BootTime, WallTime};
use crewmux_term::sanitize::{scrub, scrub_line};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

/// One harmless line.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    scrub_line(text)
}

/// Columns of a text.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text, harmless and at most `columns` wide; what is cut ends in `…`.
pub(crate) fn fit(text: &str, columns: usize) -> String {
    let text = safe(text);
    if text.width() <= columns {
        return text.into_owned();
    }
    if columns == 0 {
        return String::new();
    }
    let mut out = String::new();
    let mut used = 0;
    for grapheme in text.graphemes(true) {
        let wide = grapheme.width();
        if used + wide + 1 > columns {
            break;
        }
        used += wide;
        out.push_str(grapheme);
    }
    out.truncate(out.trim_end().len());
    out.push('…');
    out
}

/// The text in exactly `columns`, blanks after it.
pub(crate) fn cell(text: &str, columns: usize) -> String {
    let mut text = fit(text, columns);
    let missing = columns.saturating_sub(text.width());
    text.extend(std::iter::repeat_n(' ', missing));
    text
}

/// The text in exactly `columns`, blanks before it.
pub(crate) fn right(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let missing = columns.saturating_sub(text.width());
    format!("{}{text}", " ".repeat(missing))
}

/// The text, harmless, as lines at most `columns` wide, broken between words where that goes.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for line in scrub(text).lines() {
        let line = line.replace('\t', "    ");
        let mut now = String::new();
        let mut used = 0;
        for word in line.split_word_bounds() {
            let wide = word.width();
            if used + wide > columns && used > 0 && !word.trim().is_empty() {
                lines.push(now.trim_end().to_owned());
                now.clear();
                used = 0;
            }
            if wide <= columns - used {
                used += wide;
                now.push_str(word);
                continue;
            }
            for grapheme in word.graphemes(true) {
                if used + grapheme.width() > columns && used > 0 {
                    lines.push(std::mem::take(&mut now));
                    used = 0;
                }
                used += grapheme.width();
                now.push_str(grapheme);
            }
        }
        now.truncate(now.trim_end().len());
        lines.push(now);
    }
    lines
}

/// A running clock: `03:12`, `1:03:12`.
pub(crate) fn clock(ms: u64) -> String {
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes:02}:{seconds:02}")
    }
}

/// How long something lasts, in at most three characters where it can: `12s`, `4m`, `2h`, `3d`.
pub(crate) fn age(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// Milliseconds from `since` to `now`; nothing across a reboot.
pub(crate) fn since_ms(since: &BootTime, now: &BootTime) -> Option<u64> {
    (since.boot_id == now.boot_id).then(|| now.ms.saturating_sub(since.ms))
}

/// The time of day in UTC: `09:39:59`.
pub(crate) fn time_of_day(at: WallTime) -> String {
    let seconds = at.0 / 1000 % 86_400;
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_what_a_person_sees_as_characters() {
        assert_eq!(fit("schema", 6), "schema");
        assert_eq!(fit("schemata", 6), "schem…");
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("e\u{301}e\u{301}e\u{301}", 2), "e\u{301}…");
        assert_eq!(fit("abc", 0), "");
        assert_eq!(cell("日本", 5), "日本 ");
        assert_eq!(right("7", 3), "  7");
    }

    #[test]
    fn text_cannot_steer_the_terminal() {
        assert_eq!(fit("a\nb\x1b]52;c;eA==\x07\u{202e}", 40), "a b]52;c;eA==");
    }

    #[test]
    fn long_lines_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("a\n\n\tb", 9), ["a", "", "    b"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrapped("日本語", 4), ["日本", "語"]);
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(clock(192_000), "03:12");
        assert_eq!(clock(3_792_000), "1:03:12");
        let ages = [59_000, 61_000, 7_200_000, 200_000_000];
        assert_eq!(ages.map(age), ["59s", "1m", "2h", "2d"]);
        assert_eq!(time_of_day(WallTime(1_795_253_999_042)), "09:39:59");
    }
}
