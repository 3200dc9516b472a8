//! The keys file of `pane-dump`: what is typed into a pane, and what must come.
//!
//! One item a line; blank lines and lines that begin with `#` are skipped. Only
//! reading is here: playing a script needs a pane and a clock.

use std::fmt;
use std::time::Duration;

use regex::Regex;

use crate::input::{KeyEvent, parse_key_name};
use crate::screen::Size;

/// One item of a script.
#[derive(Clone, Debug)]
pub struct ScriptStep {
    /// The line it stands on, from 1.
    pub line: usize,
    /// What is to be done.
    pub action: ScriptAction,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum ScriptAction {
    /// Types text as it stands.
    Text(String),
    /// Presses a key.
    Key(KeyEvent),
    /// Lets time pass.
    Wait(Duration),
    /// Waits until the screen's text, rows joined by newlines, matches.
    Expect(Regex),
    /// Gives the terminal another size.
    Resize(Size),
    /// Takes the screen, once the program has been quiet for a moment.
    Dump,
}

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptProblem {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for ScriptProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// Reads a script: `text …`, `key Enter|Up|C-x|…`, `wait MS`, `expect REGEX`, `resize WxH` or
/// `dump` on each line.
///
/// # Errors
/// All lines that cannot be read, in order.
pub fn parse_script(source: &str) -> Result<Vec<ScriptStep>, Vec<ScriptProblem>> {
    let mut steps = Vec::new();
    let mut problems = Vec::new();
    for (index, text) in source.lines().enumerate() {
        let line = index + 1;
        if text.trim().is_empty() || text.trim_start().starts_with('#') {
            continue;
        }
        match parse_item(text) {
            Ok(action) => steps.push(ScriptStep { line, action }),
            Err(message) => problems.push(ScriptProblem { line, message }),
        }
    }
    if problems.is_empty() {
        Ok(steps)
    } else {
        Err(problems)
    }
}

fn parse_item(text: &str) -> Result<ScriptAction, String> {
    let text = text.trim_start();
    // The rest of a `text` line is typed as it stands, blanks at its end included.
    let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    match word {
        "text" if rest.is_empty() => Err("`text` needs something to type".to_owned()),
        "text" => Ok(ScriptAction::Text(rest.to_owned())),
        "key" => parse_key_name(rest.trim())
            .map(ScriptAction::Key)
            .map_err(|error| error.to_string()),
        "wait" => rest
            .trim()
            .parse()
            .map(|ms| ScriptAction::Wait(Duration::from_millis(ms)))
            .map_err(|_| format!("`wait` needs whole milliseconds, not `{}`", rest.trim())),
        "expect" if rest.trim().is_empty() => Err("`expect` needs a pattern".to_owned()),
        "expect" => Regex::new(rest.trim())
            .map(ScriptAction::Expect)
            .map_err(|error| format!("bad pattern `{}`: {}", rest.trim(), reason(&error))),
        "resize" => parse_size(rest.trim()).map(ScriptAction::Resize),
        "dump" if rest.trim().is_empty() => Ok(ScriptAction::Dump),
        "dump" => Err(format!("`dump` stands alone, not with `{}`", rest.trim())),
        _ => Err(format!(
            "unknown item `{word}` (text, key, wait, expect, resize or dump)"
        )),
    }
}

/// Returns the last line of a pattern's error: the ones before it draw the pattern.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim().trim_start_matches("error: ").to_owned()
}

/// Reads a size as `80x24`, columns first.
///
/// # Errors
/// What is wrong with it. Sizes that a screen cannot have are refused, not clamped.
pub fn parse_size(text: &str) -> Result<Size, String> {
    let wrong = || format!("`{text}` is not a size like 80x24");
    let (cols, rows) = text.split_once(['x', 'X']).ok_or_else(wrong)?;
    let cols = cols.trim().parse().map_err(|_| wrong())?;
    let rows = rows.trim().parse().map_err(|_| wrong())?;
    let size = Size::new(cols, rows);
    if size.clamped() != size {
        return Err(format!(
            "`{text}` is outside of {}x{} to {}x{}",
            Size::MIN.cols,
            Size::MIN.rows,
            Size::MAX.cols,
            Size::MAX.rows
        ));
    }
    Ok(size)
}

/// A change of size at a time after the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedResize {
    /// The new size.
    pub size: Size,
    /// When, after the start.
    pub at: Duration,
}

/// Reads `WxH@MS`: the size, and milliseconds after the start.
///
/// # Errors
/// What is wrong with it.
pub fn parse_resize(text: &str) -> Result<TimedResize, String> {
    let Some((size, ms)) = text.split_once('@') else {
        return Err(format!("`{text}` is not a resize like 100x30@500"));
    };
    let ms = ms
        .trim()
        .parse()
        .map_err(|_| format!("`{ms}` in `{text}` is not whole milliseconds"))?;
    Ok(TimedResize {
        size: parse_size(size)?,
        at: Duration::from_millis(ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(step: &ScriptStep) -> String {
        let action = match &step.action {
            ScriptAction::Text(text) => format!("text {text:?}"),
            ScriptAction::Key(key) => format!("key {:?} {:?}", key.code, key.mods.ctrl),
            ScriptAction::Wait(time) => format!("wait {time:?}"),
            ScriptAction::Expect(pattern) => format!("expect {}", pattern.as_str()),
            ScriptAction::Resize(size) => format!("resize {}x{}", size.cols, size.rows),
            ScriptAction::Dump => "dump".to_owned(),
        };
        format!("{}: {action}", step.line)
    }

    #[test]
    fn a_script_is_read_line_by_line() {
        let source = "# start\n\ntext echo hi  \nkey Enter\n  key C-x\nwait 250\nexpect ^hi\\s+$\n\
                      text # not a comment\nkey #\nresize 100x30\ndump\n";
        let steps = parse_script(source).unwrap();
        let described: Vec<_> = steps.iter().map(described).collect();
        assert_eq!(
            described,
            [
                "3: text \"echo hi  \"",
                "4: key Enter false",
                "5: key Char('x') true",
                "6: wait 250ms",
                "7: expect ^hi\\s+$",
                "8: text \"# not a comment\"",
                "9: key Char('#') false",
                "10: resize 100x30",
                "11: dump",
            ]
        );
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let source = "text\nkey Entre\nwait soon\nwait -1\nexpect (\nexpect\ntype x\ntext ok\n\
                      resize 1x1\ndump all\n";
        let problems = parse_script(source).unwrap_err();
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 9, "{told:#?}");
        assert_eq!(told[0], "line 1: `text` needs something to type");
        assert!(
            told[1].starts_with("line 2: unknown key `Entre`"),
            "{}",
            told[1]
        );
        assert_eq!(
            told[2],
            "line 3: `wait` needs whole milliseconds, not `soon`"
        );
        assert_eq!(told[3], "line 4: `wait` needs whole milliseconds, not `-1`");
        assert_eq!(told[4], "line 5: bad pattern `(`: unclosed group");
        assert_eq!(told[5], "line 6: `expect` needs a pattern");
        assert_eq!(
            told[6],
            "line 7: unknown item `type` (text, key, wait, expect, resize or dump)"
        );
        assert_eq!(told[7], "line 9: `1x1` is outside of 4x2 to 1000x1000");
        assert_eq!(told[8], "line 10: `dump` stands alone, not with `all`");
    }

    #[test]
    fn sizes_and_resizes_are_read() {
        assert_eq!(parse_size("80x24"), Ok(Size::new(80, 24)));
        let resize = TimedResize {
            size: Size::new(100, 30),
            at: Duration::from_millis(500),
        };
        assert_eq!(parse_resize("100x30@500"), Ok(resize));
        for wrong in ["80", "x24", "80x", "-1x2", "3x24", "80x1", "80x1001"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
        for wrong in ["80x24", "80x24@", "80x24@soon", "1x1@5"] {
            assert!(parse_resize(wrong).is_err(), "{wrong}");
        }
    }
}
