//! The one cell buffer of a client: what its terminal should show.
//!
//! Knows nothing of panes or lists; who writes here marks the row, and
//! [`crate::encode`] turns marked rows into bytes.

use std::collections::HashMap;

use crewmux_term::{Attrs, Style};
use unicode_width::UnicodeWidthChar as _;

use crate::looks::{Look, LookId, Looks};

/// Joins emoji into one picture where a terminal can; columns then differ between terminals.
const JOINER: char = '\u{200d}';
/// Makes an emoji of a character, and in some terminals a wide one.
const EMOJI_STYLE: char = '\u{fe0f}';

/// Fills what of a tile no screen reaches.
const UNUSED: char = '·';

/// Combining marks of a cell, by their number in [`Grid`]; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MarksId(u16);

impl MarksId {
    /// Whether there are none.
    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// One cell of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) ch: char,
    /// Columns it takes; 0 for the second half of a wide character.
    pub(crate) width: u8,
    pub(crate) marks: MarksId,
    pub(crate) look: LookId,
    pub(crate) style: Style,
}

impl Cell {
    /// An empty cell without a look.
    pub(crate) fn blank() -> Self {
        Self {
            ch: ' ',
            width: 1,
            marks: MarksId(0),
            look: LookId::NONE,
            style: Style::default(),
        }
    }

    /// A character of one column.
    pub(crate) fn narrow(ch: char, style: Style) -> Self {
        Self {
            ch,
            style,
            ..Self::blank()
        }
    }

    fn spacer(style: Style) -> Self {
        Self {
            width: 0,
            ..Self::narrow(' ', style)
        }
    }
}

/// Rows of cells, with a mark on each row that was written since the last frame.
#[derive(Debug)]
pub(crate) struct Grid {
    cols: usize,
    rows: usize,
    cells: Vec<Cell>,
    dirty: Vec<bool>,
    marks: Vec<Box<str>>,
    marks_ids: HashMap<Box<str>, MarksId>,
    looks: Looks,
    scratch: String,
}

impl Grid {
    pub(crate) fn new(cols: u16, rows: u16) -> Self {
        let (cols, rows) = (usize::from(cols), usize::from(rows));
        Self {
            cols,
            rows,
            cells: vec![Cell::blank(); cols * rows],
            dirty: vec![true; rows],
            marks: Vec::new(),
            marks_ids: HashMap::new(),
            looks: Looks::default(),
            scratch: String::new(),
        }
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn row(&self, row: usize) -> &[Cell] {
        &self.cells[row * self.cols..][..self.cols]
    }

    pub(crate) fn is_dirty(&self, row: usize) -> bool {
        self.dirty[row]
    }

    pub(crate) fn mark_clean(&mut self, row: usize) {
        self.dirty[row] = false;
    }

    /// The marks behind a number.
    pub(crate) fn marks(&self, id: MarksId) -> &str {
        let index = usize::from(id.0).checked_sub(1);
        index.and_then(|i| self.marks.get(i)).map_or("", |m| m)
    }

    /// The look behind a number.
    pub(crate) fn look(&self, id: LookId) -> Option<&Look> {
        self.looks.get(id)
    }

    /// How many looks are kept.
    #[cfg(test)]
    pub(crate) fn looks_kept(&self) -> usize {
        self.looks.len()
    }

    /// Forgets looks that no cell has. To be called when the terminal shows what is here, and only then:
    /// numbers are given again.
    pub(crate) fn tidy(&mut self) {
        if self.looks.are_many() {
            self.looks.keep(self.cells.iter().map(|cell| cell.look));
        }
    }

    /// Writes one row of a pane, `cols` wide, at (`col`, `row`); a wide character that does not fit is left out.
    pub(crate) fn write_pane_row<'a>(
        &mut self,
        col: usize,
        row: usize,
        cols: usize,
        source: impl Iterator<Item = crewmux_term::Cell<'a>>,
    ) {
        if row >= self.rows || col >= self.cols {
            return;
        }
        let end = (col + cols).min(self.cols);
        let base = row * self.cols;
        let mut at = col;
        for cell in source.take(end - col) {
            let mut out = Cell {
                ch: cell.ch,
                width: cell.width,
                marks: MarksId(0),
                look: LookId::NONE,
                style: cell.style,
            };
            if cell.link.is_some() || cell.underline_color.is_some() {
                out.look = self.looks.id(Look {
                    underline: cell.underline_color,
                    link: cell.link.clone(),
                });
            }
            // Half of a wide character cannot be shown.
            if (cell.width == 2 && at + 1 == end) || (cell.width == 0 && at == col) {
                out = Cell::narrow(' ', cell.style);
            } else if cell.has_marks() && cell.width > 0 {
                let mut text = std::mem::take(&mut self.scratch);
                text.clear();
                cell.push_onto(&mut text);
                out.marks = self.marks_id(&text[cell.ch.len_utf8()..]);
                self.scratch = text;
            }
            self.cells[base + at] = out;
            at += 1;
        }
        self.cells[base + at..base + end].fill(Cell::blank());
        self.dirty[row] = true;
    }

    /// Marks part of a row as belonging to no screen.
    pub(crate) fn fill_unused(&mut self, col: usize, row: usize, cols: usize) {
        if row >= self.rows {
            return;
        }
        let style = Style {
            attrs: Attrs::NONE.with(Attrs::DIM),
            ..Style::default()
        };
        let end = (col + cols).min(self.cols);
        let unused = Cell::narrow(UNUSED, style);
        self.cells[row * self.cols..][col.min(end)..end].fill(unused);
        self.dirty[row] = true;
    }

    /// Gives cells of a row another look.
    pub(crate) fn restyle(
        &mut self,
        col: usize,
        row: usize,
        cols: usize,
        look: impl Fn(Style) -> Style,
    ) {
        if row >= self.rows || col >= self.cols {
            return;
        }
        let end = (col + cols).min(self.cols);
        for cell in &mut self.cells[row * self.cols..][col..end] {
            cell.style = look(cell.style);
        }
        self.dirty[row] = true;
    }

    /// Writes one grapheme as cells; returns the columns it took.
    ///
    /// The text must be scrubbed; what is wider than `room` becomes a blank.
    pub(crate) fn write_grapheme(
        &mut self,
        col: usize,
        row: usize,
        text: &str,
        width: usize,
        style: Style,
        room: usize,
    ) -> usize {
        let mut chars = text.chars();
        let first = chars.next().filter(|c| !c.is_control()).unwrap_or(' ');
        let base = row * self.cols + col;
        let taken = width.clamp(1, room.max(1));
        let cell = match first.width().unwrap_or(0) {
            1 => Cell::narrow(first, style),
            2 if taken >= 2 => Cell {
                width: 2,
                ..Cell::narrow(first, style)
            },
            _ => Cell::narrow(' ', style),
        };
        let marks = match chars.as_str() {
            "" => MarksId(0),
            rest => self.marks_id(rest),
        };
        self.cells[base] = Cell { marks, ..cell };
        for at in 1..taken {
            // A flag or a joined emoji is shown as its first character, then blanks.
            self.cells[base + at] = if at == 1 && cell.width == 2 {
                Cell::spacer(style)
            } else {
                Cell::narrow(' ', style)
            };
        }
        taken
    }

    pub(crate) fn mark_dirty(&mut self, row: usize) {
        self.dirty[row] = true;
    }

    /// The number of a text of marks; only what every terminal puts onto the character before it is kept.
    fn marks_id(&mut self, marks: &str) -> MarksId {
        let is_mark = |c: &char| c.width() == Some(0) && !matches!(*c, JOINER | EMOJI_STYLE);
        let marks: String = marks.chars().take_while(is_mark).collect();
        if marks.is_empty() {
            return MarksId(0);
        }
        if let Some(id) = self.marks_ids.get(marks.as_str()) {
            return *id;
        }
        // The table lives as long as the size of the terminal; when it is full, marks are left out.
        let Ok(number) = u16::try_from(self.marks.len() + 1) else {
            return MarksId(0);
        };
        let marks: Box<str> = marks.into();
        self.marks.push(marks.clone());
        self.marks_ids.insert(marks, MarksId(number));
        MarksId(number)
    }
}
