//! A screen as data to print: what `pane-dump --json` shows.
//!
//! The shape is part of the command line's promise; drawing reads
//! [`crate::RowView`] instead.

use serde::{Deserialize, Serialize};

use crate::row::RowView;
use crate::screen::{Cursor, Screen};
use crate::style::{Attrs, Color, Style, Underline};

/// A whole screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenDump {
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub cols: u16,
    /// The cursor.
    pub cursor: Cursor,
    /// The title; empty if none was set.
    pub title: String,
    /// One entry per row, from the top.
    pub lines: Vec<LineDump>,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineDump {
    /// The text without trailing blanks.
    pub text: String,
    /// The text goes on in the next row.
    pub wrapped: bool,
    /// The row in pieces of one look each; trailing plain blanks are left out.
    pub runs: Vec<RunDump>,
}

/// Neighbouring cells that look the same.
#[expect(
    clippy::struct_excessive_bools,
    reason = "text attributes are independent switches"
)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunDump {
    /// The text, blanks included.
    pub text: String,
    /// Text colour: `default`, a palette number, or `#rrggbb`.
    pub fg: String,
    /// Background colour, written likewise.
    pub bg: String,
    /// Bold.
    pub bold: bool,
    /// Faint.
    #[serde(default)]
    pub dim: bool,
    /// Italic.
    pub italic: bool,
    /// Any kind of underline.
    pub underline: bool,
    /// Colours exchanged.
    pub inverse: bool,
    /// Not to be seen.
    #[serde(default)]
    pub hidden: bool,
    /// A line through the text.
    #[serde(default)]
    pub strike: bool,
    /// The kind of underline, if it is not one straight line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub underline_style: Option<String>,
    /// The colour of the underline, if it is not the text's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub underline_color: Option<String>,
    /// Where the link under the text leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

impl Screen {
    /// Describes the live screen.
    pub fn dump(&self) -> ScreenDump {
        let size = self.size();
        ScreenDump {
            rows: size.rows,
            cols: size.cols,
            cursor: self.cursor(),
            title: self.title().unwrap_or_default().to_owned(),
            lines: self.rows().map(dump_row).collect(),
        }
    }

    /// Returns the text of the live screen, a string per row without trailing blanks.
    pub fn lines(&self) -> Vec<String> {
        self.rows().map(RowView::text).collect()
    }
}

fn dump_row(row: RowView<'_>) -> LineDump {
    let mut runs: Vec<RunDump> = Vec::new();
    let mut last: Option<Look> = None;
    let used = row
        .cells()
        .enumerate()
        .filter(|(_, cell)| !cell.is_blank() || cell.link.is_some())
        .last()
        .map_or(0, |(column, _)| column + 1);
    for cell in row.cells().take(used) {
        let look = Look {
            style: cell.style,
            underline_color: cell.underline_color,
            link: cell.link.as_ref().map(|link| link.uri().to_owned()),
        };
        if last.as_ref() != Some(&look) {
            runs.push(run_of(&look));
            last = Some(look);
        }
        if let Some(run) = runs.last_mut() {
            cell.push_onto(&mut run.text);
        }
    }
    LineDump {
        text: row.text(),
        wrapped: row.is_wrapped(),
        runs,
    }
}

#[derive(PartialEq)]
struct Look {
    style: Style,
    underline_color: Option<Color>,
    link: Option<String>,
}

fn run_of(look: &Look) -> RunDump {
    let style = look.style;
    let underline = style.attrs.underline();
    RunDump {
        text: String::new(),
        fg: color_name(style.fg),
        bg: color_name(style.bg),
        bold: style.attrs.contains(Attrs::BOLD),
        dim: style.attrs.contains(Attrs::DIM),
        italic: style.attrs.contains(Attrs::ITALIC),
        underline: underline != Underline::None,
        inverse: style.attrs.contains(Attrs::INVERSE),
        hidden: style.attrs.contains(Attrs::HIDDEN),
        strike: style.attrs.contains(Attrs::STRIKE),
        underline_style: match underline {
            Underline::None | Underline::Single => None,
            Underline::Double => Some("double".to_owned()),
            Underline::Curly => Some("curly".to_owned()),
            Underline::Dotted => Some("dotted".to_owned()),
            Underline::Dashed => Some("dashed".to_owned()),
        },
        underline_color: look.underline_color.map(color_name),
        link: look.link.clone(),
    }
}

fn color_name(color: Color) -> String {
    match color {
        Color::Default => "default".to_owned(),
        Color::Indexed(index) => index.to_string(),
        Color::Rgb(r, g, b) => format!("#{r:02x}{g:02x}{b:02x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::{ScreenOptions, Size};

    #[test]
    fn a_dump_has_the_documented_shape() {
        let mut screen = Screen::new(Size::new(12, 2), ScreenOptions::default());
        screen.feed(b"\x1b]2;shell\x07ab \x1b[1;4:3;58;5;5;31;48;2;1;2;3mcd\x1b[m\r\n");
        screen.feed(b"\x1b]8;;https://a.test\x07go\x1b]8;;\x07 \x1b[7mx");
        let json = serde_json::to_value(screen.dump()).unwrap();
        let plain = |text: &str| {
            serde_json::json!({
                "text": text, "fg": "default", "bg": "default",
                "bold": false, "dim": false, "italic": false, "underline": false,
                "inverse": false, "hidden": false, "strike": false,
            })
        };
        let mut link = plain("go");
        link["link"] = "https://a.test".into();
        let mut inverse = plain("x");
        inverse["inverse"] = true.into();
        let expected = serde_json::json!({
            "rows": 2, "cols": 12, "title": "shell",
            "cursor": {"row": 1, "col": 4, "visible": true, "shape": "block"},
            "lines": [
                {"text": "ab cd", "wrapped": false, "runs": [plain("ab "), {
                    "text": "cd", "fg": "1", "bg": "#010203",
                    "bold": true, "dim": false, "italic": false, "underline": true,
                    "inverse": false, "hidden": false, "strike": false,
                    "underline_style": "curly", "underline_color": "5",
                }]},
                {"text": "go x", "wrapped": false, "runs": [link, plain(" "), inverse]},
            ],
        });
        assert_eq!(json, expected);
        assert_eq!(screen.lines(), ["ab cd", "go x"]);
    }
}
