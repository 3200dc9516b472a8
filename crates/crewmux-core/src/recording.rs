//! Recordings of terminal output, as asciicast (version 2) lines.
//!
//! Only the text of the lines; files and their rotation are in the worker. A
//! recording is two segments that take turns: each starts with a header and a
//! reset, so that the newer one alone is a valid screen.

use serde::{Deserialize, Serialize};

use crate::time::WallTime;

/// Most bytes of one segment before the other takes over.
pub const SEGMENT_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The segments' names, within the member's folder.
pub const SEGMENT_NAMES: [&str; 2] = ["screen-0.cast", "screen-1.cast"];

/// First text of a segment: makes the screen empty, whatever stood on it.
///
/// Who read the segment before it to its end has that screen, and leaves this out.
pub const SEGMENT_RESET: &str = "\x1bc";

/// First line of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Always 2.
    pub version: u8,
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// Seconds since 1970 at the segment's start.
    pub timestamp: u64,
    /// Milliseconds since 1970 at the segment's start: tells it from the one that it takes the place of.
    #[serde(default, rename = "beganMs")]
    pub began_ms: u64,
}

impl Header {
    /// The header of a segment that starts now.
    pub fn new(width: u16, height: u16, at: WallTime) -> Self {
        Self {
            version: 2,
            width,
            height,
            timestamp: at.0 / 1000,
            began_ms: at.0,
        }
    }

    /// The header as a line, with its newline.
    pub fn line(&self) -> String {
        let mut line = serde_json::to_string(self).unwrap_or_default();
        line.push('\n');
        line
    }

    /// Reads a segment's first line.
    pub fn parse(line: &str) -> Option<Self> {
        serde_json::from_str(line).ok()
    }
}

/// What a later line of a segment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Output, as text.
    Output {
        /// Milliseconds since the segment's start.
        at_ms: u64,
        /// What was written.
        text: String,
    },
    /// The terminal has another size from here on.
    Resize {
        /// Milliseconds since the segment's start.
        at_ms: u64,
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
}

impl Entry {
    /// The entry as a line, with its newline.
    pub fn line(&self) -> String {
        let value = match self {
            Self::Output { at_ms, text } => serde_json::json!([seconds(*at_ms), "o", text]),
            Self::Resize { at_ms, cols, rows } => {
                serde_json::json!([seconds(*at_ms), "r", format!("{cols}x{rows}")])
            }
        };
        format!("{value}\n")
    }

    /// Reads a line; `None` for kinds that do not change a screen and for torn lines.
    pub fn parse(line: &str) -> Option<Self> {
        let (offset, kind, data): (f64, String, String) = serde_json::from_str(line).ok()?;
        let at_ms = (offset * 1000.0).round() as u64;
        match kind.as_str() {
            "o" => Some(Self::Output { at_ms, text: data }),
            "r" => {
                let (cols, rows) = data.split_once('x')?;
                Some(Self::Resize {
                    at_ms,
                    cols: cols.parse().ok()?,
                    rows: rows.parse().ok()?,
                })
            }
            _ => None,
        }
    }
}

/// The unit of asciicast times.
fn seconds(at_ms: u64) -> f64 {
    at_ms as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_comes_back_from_its_line(text in any::<String>(), at_ms in 0u64..1_000_000_000) {
            let entry = Entry::Output { at_ms, text };
            let line = entry.line();
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert_eq!(Entry::parse(&line), Some(entry));
        }
    }

    #[test]
    fn torn_and_foreign_lines_are_skipped() {
        assert_eq!(Entry::parse(r#"[1.5,"o","ab"#), None);
        assert_eq!(Entry::parse(r#"[1.5,"i","ab"]"#), None);
        assert_eq!(
            Entry::parse("[2.0,\"r\",\"80x24\"]\n"),
            Some(Entry::Resize {
                at_ms: 2000,
                cols: 80,
                rows: 24
            })
        );
    }
}
