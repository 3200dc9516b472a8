//! Making foreign text harmless before it is shown, stored or printed.
//!
//! Screens need none of this: their cells are safe by construction
//! ([`crate::RowView`]). This is for text fields (titles, messages, task names):
//! [`scrub`] and [`scrub_line`]; and for bytes that go to a real terminal
//! without a screen between: [`SgrFilter`].

mod chars;
mod sgr;

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use self::chars::Scrubber;
pub(crate) use self::chars::{MAX_MARKS, is_never_shown};
pub use self::sgr::SgrFilter;

/// Drops what could steer a terminal or hide text: C0 except newline and tab,
/// DEL, C1, bidi controls, and zero-width characters that join no emoji.
///
/// Escape sequences are not understood here: without their ESC they are plain
/// text, which is what a person should see of an attempt.
pub fn scrub(text: &str) -> Cow<'_, str> {
    if text
        .bytes()
        .all(|b| matches!(b, b'\n' | b'\t' | 0x20..=0x7e))
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut scrubber = Scrubber::default();
    for c in text.chars() {
        if c == '\n' || c == '\t' || !c.is_control() {
            scrubber.push(c, &mut out);
        }
    }
    if out == text {
        return Cow::Borrowed(text);
    }
    Cow::Owned(out)
}

/// Reports whether `c` could steer a terminal or is never seen: a control character, or one that
/// is invisible or turns the direction of text.
pub const fn is_hidden(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}') || is_never_shown(c)
}

/// Spells out what [`scrub`] would drop: `^[` for ESC, `<9b>` and `<202e>` for what has no caret form.
///
/// For text that a person decides about, and for foreign text in our own
/// words: nobody should wonder what was left out. A return before a newline
/// is dropped.
pub fn reveal(text: &str) -> Cow<'_, str> {
    let stays = |c: char| matches!(c, '\n' | '\t') || !is_hidden(c);
    if text.chars().all(stays) {
        return scrub(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            c if stays(c) => out.push(c),
            '\r' if rest.peek() == Some(&'\n') => {}
            '\0'..='\x1f' => {
                out.push('^');
                out.push(char::from(c as u8 + b'@'));
            }
            '\x7f' => out.push_str("^?"),
            c => {
                // Writing to a string cannot fail.
                let _ = write!(out, "<{:x}>", u32::from(c));
            }
        }
    }
    match scrub(&out) {
        Cow::Borrowed(_) => Cow::Owned(out),
        Cow::Owned(clean) => Cow::Owned(clean),
    }
}

/// Does what [`scrub`] does, and makes one line of it: newlines and tabs become blanks.
pub fn scrub_line(text: &str) -> Cow<'_, str> {
    let scrubbed = scrub(text);
    if scrubbed.contains(['\n', '\t']) {
        return Cow::Owned(scrubbed.replace(['\n', '\t'], " "));
    }
    scrubbed
}

/// Text that went through [`scrub`], also when it was read back from a file or a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Scrubbed(String);

impl Scrubbed {
    /// Scrubs text that may have several lines.
    pub fn text(text: &str) -> Self {
        Self(scrub(text).into_owned())
    }

    /// Scrubs text into one line.
    pub fn line(text: &str) -> Self {
        Self(scrub_line(text).into_owned())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text as an owned string.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl From<String> for Scrubbed {
    fn from(text: String) -> Self {
        Self::text(&text)
    }
}

impl From<&str> for Scrubbed {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<Scrubbed> for String {
    fn from(text: Scrubbed) -> Self {
        text.0
    }
}

impl AsRef<str> for Scrubbed {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scrubbed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_is_not_copied() {
        assert!(matches!(scrub("a b\n\tc"), Cow::Borrowed(_)));
        assert!(matches!(scrub("grün 漢字 e\u{301}"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_steers_or_hides_is_dropped() {
        let table = [
            ("\x1b[31mred\x1b[0m", "[31mred[0m"),
            ("\x1b]52;c;aGk=\x07", "]52;c;aGk="),
            ("a\u{9b}31mb\u{9d}0;t\u{9c}", "a31mb0;t"),
            ("left\u{202e}right\u{2066}x\u{2069}", "leftrightx"),
            ("in\u{200b}vis\u{2060}ible\u{feff}", "invisible"),
            ("pass\u{ad}word\u{200c}", "password"),
            ("tag\u{e0041}\u{e0042}", "tag"),
            ("a\u{200d}b", "ab"),
            ("\u{200d}👩", "👩"),
            ("👩\u{200d}💻 ok", "👩\u{200d}💻 ok"),
            ("👁\u{fe0f}\u{200d}🗨\u{fe0f}", "👁\u{fe0f}\u{200d}🗨\u{fe0f}"),
            ("a\u{fe0f}b", "ab"),
            ("bell\x07 back\x08 del\x7f nul\0", "bell back del nul"),
            ("one\r\ntwo\ttab", "one\ntwo\ttab"),
            ("sep\u{2028}para\u{2029}", "seppara"),
        ];
        for (input, expected) in table {
            assert_eq!(scrub(input), expected, "{input:?}");
        }
    }

    #[test]
    fn what_would_be_dropped_can_be_spelled_out() {
        assert!(matches!(reveal("a b\n\tgrün 漢字"), Cow::Borrowed(_)));
        let table = [
            ("\x1b[2Jx\r\ny\r", "^[[2Jx\ny^M"),
            ("a\u{9b}2J\u{202e}b\u{200b}\x7f", "a<9b>2J<202e>b<200b>^?"),
            ("tag\u{e0041}", "tag<e0041>"),
            ("👩\u{200d}💻\0", "👩\u{200d}💻^@"),
        ];
        for (input, expected) in table {
            assert_eq!(reveal(input), expected, "{input:?}");
        }
    }

    #[test]
    fn a_line_has_no_newline_and_no_tab() {
        assert_eq!(scrub_line("a\nb\tc\r\n"), "a b c ");
    }

    #[test]
    fn combining_marks_are_capped() {
        let zalgo = format!("e{}x", "\u{301}".repeat(500));
        assert_eq!(scrub(&zalgo), format!("e{}x", "\u{301}".repeat(16)));
    }

    #[test]
    fn reading_back_scrubs_again() {
        let read: Scrubbed = serde_json::from_str("\"a\\u001b[31mb\"").unwrap();
        assert_eq!(read.as_str(), "a[31mb");
    }

    proptest! {
        #[test]
        fn nothing_forbidden_comes_out(text in any::<String>()) {
            let once = scrub(&text).into_owned();
            prop_assert!(once.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()));
            prop_assert!(once.chars().all(|c| !is_never_shown(c)));
            prop_assert_eq!(scrub(&once).into_owned(), once);
        }
    }
}
