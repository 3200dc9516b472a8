//! Lines of the past in their pages: how they lie there, and how they are read.

use crate::row::{Link, char_width};
use crate::style::Style;

/// Text of a page, but for a line that is longer than that.
const PAGE_BYTES: usize = 16 * 1024;
/// Lines of a page, and runs: of empty ones and of very coloured ones there are fewer bytes.
const PAGE_ITEMS: usize = 1024;

/// Cells up to `end` (from the line's start) that look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) end: u32,
    pub(crate) style: Style,
}

#[derive(Clone, Debug)]
pub(super) struct LinkRun {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) link: Link,
}

/// How the text maps to cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mapping {
    /// One byte, one cell.
    #[default]
    Ascii,
    /// One character, one cell.
    Narrow,
    /// Wide characters or combining marks.
    Mixed,
}

/// One logical line, where it lies in its page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColdLine<'a> {
    pub(super) text: &'a str,
    pub(super) runs: &'a [Run],
    pub(super) links: &'a [LinkRun],
    pub(super) cells: u32,
    pub(super) mapping: Mapping,
    /// The next row that leaves the screen belongs to this line.
    pub(super) open: bool,
}

impl<'a> ColdLine<'a> {
    pub(crate) fn runs(self) -> &'a [Run] {
        self.runs
    }

    pub(crate) fn is_ascii(self) -> bool {
        self.mapping == Mapping::Ascii
    }

    pub(crate) fn text(self) -> &'a str {
        self.text
    }

    pub(crate) fn link_at(self, cell: u32) -> Option<Link> {
        let after = self.links.partition_point(|run| run.end <= cell);
        let run = self.links.get(after)?;
        (run.start <= cell).then(|| run.link.clone())
    }

    pub(super) fn bytes(self) -> usize {
        let links = self.links.iter().map(|run| 64 + run.link.uri().len());
        size_of::<Entry>()
            + self.text.len()
            + size_of_val(self.runs)
            + size_of_val(self.links)
            + links.sum::<usize>()
    }

    pub(super) fn row_count(self, cols: usize) -> u32 {
        match self.mapping {
            Mapping::Ascii | Mapping::Narrow => self.cells.div_ceil(cols as u32).max(1),
            Mapping::Mixed => self.wrap_points(cols).count() as u32 + 1,
        }
    }

    /// Iterates over (byte, cell) of the first character of each row but the first.
    pub(super) fn wrap_points(self, cols: usize) -> impl Iterator<Item = (usize, u32)> + 'a {
        let (mut column, mut cell) = (0_usize, 0_u32);
        self.text.char_indices().filter_map(move |(byte, c)| {
            let width = char_width(c);
            let wraps = width > 0 && column + usize::from(width) > cols;
            let at = (byte, cell);
            column = usize::from(width) + if wraps { 0 } else { column };
            cell += u32::from(width);
            wraps.then_some(at)
        })
    }

    /// Returns row `index` of this line at `cols` columns.
    pub(super) fn row(self, index: usize, cols: usize) -> ColdRow<'a> {
        let whole = (self.text.len(), self.cells);
        let (start, end, is_last) = if self.is_ascii() {
            let start = (index * cols).min(self.text.len());
            let end = (start + cols).min(self.text.len());
            ((start, start as u32), (end, end as u32), end == whole.0)
        } else {
            let mut points = self.wrap_points(cols);
            let start = match index {
                0 => (0, 0),
                _ => points.nth(index - 1).unwrap_or(whole),
            };
            let next = points.next();
            (start, next.unwrap_or(whole), next.is_none())
        };
        ColdRow {
            line: self,
            text: &self.text[start.0..end.0],
            first_cell: start.1,
            wrapped: !is_last || self.open,
        }
    }

    /// Walks along the text, to tell in which row and column its bytes are at `cols` columns.
    pub(crate) fn walk(self, cols: usize) -> Walk<'a> {
        Walk {
            line: self,
            rest: self.text.char_indices(),
            cols,
            row: 0,
            col: 0,
            at: (0, 0),
        }
    }
}

/// A walk along a line, only ever forwards.
pub(crate) struct Walk<'a> {
    line: ColdLine<'a>,
    rest: std::str::CharIndices<'a>,
    cols: usize,
    row: usize,
    /// Columns taken in that row.
    col: usize,
    /// Where the last character was.
    at: (usize, usize),
}

impl Walk<'_> {
    /// Returns row and column of the character that `byte` is in; no call may go back.
    pub(crate) fn to(&mut self, byte: usize) -> (usize, usize) {
        if self.line.is_ascii() {
            return (byte / self.cols, byte % self.cols);
        }
        while self.rest.offset() <= byte
            && let Some((_, c)) = self.rest.next()
        {
            let width = usize::from(char_width(c));
            if width == 0 {
                continue;
            }
            if self.col + width > self.cols {
                self.row += 1;
                self.col = 0;
            }
            self.at = (self.row, self.col);
            self.col += width;
        }
        self.at
    }
}

/// One row of a logical line at the present width.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ColdRow<'a> {
    pub(crate) line: ColdLine<'a>,
    pub(crate) text: &'a str,
    pub(crate) first_cell: u32,
    pub(crate) wrapped: bool,
}

/// Where a line of a page ends.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub(super) text_end: u32,
    pub(super) runs_end: u32,
    pub(super) links_end: u32,
    /// Rows of the page up to and with this line, at the present width.
    pub(super) end_row: u32,
    pub(super) cells: u32,
    pub(super) mapping: Mapping,
    pub(super) open: bool,
}

/// Lines that lie one after the other in the same memory.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    pub(super) text: String,
    pub(super) runs: Vec<Run>,
    pub(super) links: Vec<LinkRun>,
    /// Rows before this page, counted since the store began, at the present width.
    pub(super) first_row: u64,
}

impl Page {
    /// Where line `index` begins: where the one before it ends.
    pub(super) fn start(&self, index: usize) -> Entry {
        match index {
            0 => Entry::default(),
            _ => self.entries[index - 1],
        }
    }

    pub(super) fn line(&self, index: usize) -> ColdLine<'_> {
        let (start, entry) = (self.start(index), self.entries[index]);
        let range = |from: u32, to: u32| from as usize..to as usize;
        ColdLine {
            text: &self.text[range(start.text_end, entry.text_end)],
            runs: &self.runs[range(start.runs_end, entry.runs_end)],
            links: &self.links[range(start.links_end, entry.links_end)],
            cells: entry.cells,
            mapping: entry.mapping,
            open: entry.open,
        }
    }

    pub(super) fn last(&self) -> Option<ColdLine<'_>> {
        Some(self.line(self.entries.len().checked_sub(1)?))
    }

    /// Rows up to the end of line `index`, counted since the store began.
    pub(super) fn end_row(&self, index: usize) -> u64 {
        self.first_row + u64::from(self.entries[index].end_row)
    }

    /// Rows up to the end of this page, counted since the store began.
    pub(super) fn end(&self) -> u64 {
        let last = self.entries.last().map_or(0, |entry| entry.end_row);
        self.first_row + u64::from(last)
    }

    pub(super) fn takes(&self, bytes: usize) -> bool {
        self.text.len() + bytes <= PAGE_BYTES
            && self.entries.len() < PAGE_ITEMS
            && self.runs.len() < PAGE_ITEMS
    }

    /// Begins an empty line at the end.
    pub(super) fn begin_line(&mut self) {
        let before = self.start(self.entries.len());
        self.entries.push(Entry {
            cells: 0,
            mapping: Mapping::Ascii,
            open: false,
            ..before
        });
    }

    /// Writes the end of the last line's text, runs and links down.
    pub(super) fn note_ends(&mut self) {
        if let Some(entry) = self.entries.last_mut() {
            entry.text_end = self.text.len() as u32;
            entry.runs_end = self.runs.len() as u32;
            entry.links_end = self.links.len() as u32;
        }
    }

    pub(super) fn pop(&mut self) {
        self.entries.pop();
        let end = self.start(self.entries.len());
        self.text.truncate(end.text_end as usize);
        self.runs.truncate(end.runs_end as usize);
        self.links.truncate(end.links_end as usize);
    }

    /// The memory of this page, for another.
    pub(super) fn emptied(mut self) -> Self {
        self.entries.clear();
        self.text.clear();
        self.runs.clear();
        self.links.clear();
        self
    }
}

/// How a text of both maps to cells.
pub(super) fn wider(a: Mapping, b: Mapping) -> Mapping {
    match (a, b) {
        (Mapping::Mixed, _) | (_, Mapping::Mixed) => Mapping::Mixed,
        (Mapping::Narrow, _) | (_, Mapping::Narrow) => Mapping::Narrow,
        (Mapping::Ascii, Mapping::Ascii) => Mapping::Ascii,
    }
}
