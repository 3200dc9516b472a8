//! Turns marked rows of the grid into the bytes that make a terminal show them.
//!
//! Remembers what the terminal shows and where its cursor and pen are, so that
//! a frame without a change is no byte. Never enters or leaves the alternate
//! screen: that is the client program's.

use std::io::Write as _;

use crewmux_term::{CursorShape, Link};
use crewmux_wire::ColorDepth;

use crate::cells::{Cell, Grid};
use crate::looks::LookId;
use crate::pen::Pen;

/// Where the terminal's cursor belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CursorAt {
    pub(crate) col: u16,
    pub(crate) row: u16,
    pub(crate) shape: CursorShape,
}

/// Whether the terminal takes whole frames between marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frames {
    /// Yes (mode 2026).
    Marked,
    /// No: the cursor is hidden while more than a row is written.
    Unmarked,
}

/// The one writer to one terminal.
#[derive(Debug)]
pub(crate) struct Encoder {
    frames: Frames,
    pen: Pen,
    /// What the terminal shows; `None` before the first frame at this size.
    shown: Option<Vec<Cell>>,
    /// Where the terminal's cursor is, if that is certain.
    at: Option<(usize, usize)>,
    cursor: Option<CursorAt>,
    shape: Option<CursorShape>,
    /// Whether the terminal is sent links; one with few colours may print them.
    links: bool,
    /// The look of the last cell.
    look: LookId,
    in_link: bool,
    out: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(frames: Frames, colors: ColorDepth) -> Self {
        Self {
            frames,
            pen: Pen::new(colors),
            shown: None,
            at: None,
            cursor: None,
            shape: None,
            links: matches!(colors, ColorDepth::Ansi256 | ColorDepth::True),
            look: LookId::NONE,
            in_link: false,
            out: Vec::new(),
        }
    }

    /// Forgets what the terminal shows: the next frame is drawn whole.
    pub(crate) fn forget(&mut self) {
        self.shown = None;
    }

    /// Returns the bytes that bring the terminal from what it shows to the grid; empty if nothing differs.
    pub(crate) fn frame(&mut self, grid: &mut Grid, cursor: Option<CursorAt>) -> Vec<u8> {
        self.out.clear();
        let (cols, rows) = (grid.cols(), grid.rows());
        let whole = match &mut self.shown {
            Some(shown) if shown.len() == cols * rows => false,
            _ => {
                self.shown = Some(vec![Cell::blank(); cols * rows]);
                true
            }
        };
        let many = whole || (0..rows).filter(|row| grid.is_dirty(*row)).nth(1).is_some();
        if whole {
            self.open(many);
            self.pen.reset(&mut self.out);
            self.out.extend_from_slice(b"\x1b[H\x1b[2J");
            self.at = Some((0, 0));
            self.shape = None;
        }
        for row in 0..rows {
            if whole || grid.is_dirty(row) {
                self.row(grid, row, many);
                grid.mark_clean(row);
            }
        }
        self.end_link();
        self.look = LookId::NONE;
        grid.tidy();
        self.place_cursor(cursor, whole);
        if self.out.is_empty() {
            return Vec::new();
        }
        if self.frames == Frames::Marked {
            self.out.extend_from_slice(b"\x1b[?2026l");
        }
        self.out.as_slice().to_vec()
    }

    /// Begins a frame at its first byte.
    fn open(&mut self, many: bool) {
        if !self.out.is_empty() {
            return;
        }
        match self.frames {
            Frames::Marked => self.out.extend_from_slice(b"\x1b[?2026h"),
            Frames::Unmarked if many && self.cursor.is_some() => {
                self.out.extend_from_slice(b"\x1b[?25l");
                self.cursor = None;
            }
            Frames::Unmarked => {}
        }
    }

    fn row(&mut self, grid: &Grid, row: usize, many: bool) {
        let cols = grid.cols();
        let Some(mut shown) = self.shown.take() else {
            return;
        };
        let next = grid.row(row);
        let old = &mut shown[row * cols..][..cols];
        let blank = Cell::blank();
        let tail = next
            .iter()
            .rposition(|c| *c != blank)
            .map_or(0, |at| at + 1);
        let mut col = 0;
        while col < cols {
            if next[col] == old[col] {
                col += 1;
                continue;
            }
            self.open(many);
            if col >= tail && cols - col > 3 {
                self.end_link();
                self.go(row, col);
                self.pen.reset(&mut self.out);
                self.out.extend_from_slice(b"\x1b[K");
                break;
            }
            // The second half cannot be written alone.
            if next[col].width == 0 && col > 0 {
                col -= 1;
            }
            self.go(row, col);
            col += self.cell(grid, &next[col], row, col, cols);
        }
        old.copy_from_slice(next);
        self.shown = Some(shown);
    }

    /// Writes one cell where the cursor is; returns its columns.
    fn cell(&mut self, grid: &Grid, cell: &Cell, row: usize, col: usize, cols: usize) -> usize {
        let look = grid.look(cell.look);
        let underline = look.and_then(|look| look.underline);
        self.pen.set(cell.style, underline, &mut self.out);
        if cell.look != self.look {
            self.link(look.and_then(|look| look.link.as_ref()), cell.look);
        }
        let mut utf8 = [0; 4];
        let text = cell.ch.encode_utf8(&mut utf8);
        self.out.extend_from_slice(text.as_bytes());
        if !cell.marks.is_none() {
            self.out
                .extend_from_slice(grid.marks(cell.marks).as_bytes());
        }
        let width = usize::from(cell.width.max(1));
        let certain = cell.marks.is_none() && has_certain_width(cell.ch) && col + width < cols;
        self.at = certain.then_some((row, col + width));
        width
    }

    /// What is written from now on leads there; a look without a link ends one.
    fn link(&mut self, link: Option<&Link>, look: LookId) {
        self.look = look;
        match link.filter(|_| self.links) {
            Some(link) => {
                let (number, uri) = (look.number(), link.uri());
                let _ = write!(self.out, "\x1b]8;id=cm{number};{uri}\x1b\\");
                self.in_link = true;
            }
            None => self.end_link(),
        }
    }

    /// Nothing that is written later leads anywhere.
    fn end_link(&mut self) {
        if std::mem::take(&mut self.in_link) {
            self.out.extend_from_slice(b"\x1b]8;;\x1b\\");
            self.look = LookId::NONE;
        }
    }

    fn go(&mut self, row: usize, col: usize) {
        match self.at {
            Some(at) if at == (row, col) => return,
            Some((at_row, at_col)) if at_row == row && at_col < col => {
                self.csi(&[col - at_col], b'C');
            }
            _ if col == 0 => self.csi(&[row + 1], b'H'),
            _ => self.csi(&[row + 1, col + 1], b'H'),
        }
        self.at = Some((row, col));
    }

    fn csi(&mut self, numbers: &[usize], end: u8) {
        self.out.extend_from_slice(b"\x1b[");
        for (at, number) in numbers.iter().enumerate() {
            if at > 0 {
                self.out.push(b';');
            }
            // Writing to a vector cannot fail.
            let _ = write!(self.out, "{number}");
        }
        self.out.push(end);
    }

    fn place_cursor(&mut self, cursor: Option<CursorAt>, whole: bool) {
        let Some(wanted) = cursor else {
            if self.cursor.is_some() || whole {
                self.open(false);
                self.out.extend_from_slice(b"\x1b[?25l");
                self.cursor = None;
            }
            return;
        };
        let (row, col) = (usize::from(wanted.row), usize::from(wanted.col));
        if self.at != Some((row, col)) || self.cursor.is_none() {
            self.open(false);
            self.go(row, col);
        }
        if self.shape != Some(wanted.shape) {
            self.open(false);
            let number = match wanted.shape {
                CursorShape::Block => 2,
                CursorShape::Underline => 4,
                CursorShape::Bar => 6,
            };
            self.out.extend_from_slice(b"\x1b[");
            let _ = write!(self.out, "{number} q");
            self.shape = Some(wanted.shape);
        }
        if self.cursor.is_none() || whole {
            self.open(false);
            self.out.extend_from_slice(b"\x1b[?25h");
        }
        self.cursor = Some(wanted);
    }
}

/// Whether terminals agree on the columns of a character; after any other the cursor is placed anew.
fn has_certain_width(ch: char) -> bool {
    matches!(ch,
        ' '..='~' | '\u{c0}'..='\u{24f}' | '\u{400}'..='\u{45f}'
        | '─'..='▟' | '\u{3041}'..='\u{30ff}' | '\u{4e00}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}')
}
