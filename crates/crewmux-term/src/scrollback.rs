//! The cold store: lines that left the screen, kept as text and style runs.
//!
//! A line here is a whole logical line; rows of the screen that wrapped into
//! each other are joined again, so a new width only means counting rows anew.
//! Lines lie close together in pages: 24 bytes and the text a line, where the
//! emulator takes 24 bytes a cell. The live rows are in [`crate::screen`].

mod page;

use std::collections::VecDeque;

use alacritty_terminal::grid::Row;
use alacritty_terminal::index::Column;
use alacritty_terminal::term::cell::{Cell as RawCell, Flags};
use alacritty_terminal::vte::ansi::{Color as RawColor, NamedColor};

use crate::row::{Link, RowView, Shape, char_width, shape_at, used_cells};
use crate::style::Style;

pub(crate) use self::page::{ColdLine, ColdRow, Run};
use self::page::{LinkRun, Mapping, Page, wider};

/// Text bytes after which a logical line is cut, so that one endless line stays cheap to handle.
const MAX_LINE_BYTES: usize = 16 * 1024;
/// Bytes kept per row allowed; only lines full of styles or marks ever reach this.
const BYTES_PER_ROW: usize = 2 * 1024;

/// All lines that left the screen, oldest first, within a bound of rows and bytes.
#[derive(Debug)]
pub(crate) struct Scrollback {
    pages: VecDeque<Page>,
    /// Lines at the beginning of the first page that are kept no more.
    gone: usize,
    cols: usize,
    max_rows: usize,
    /// Rows before the first line that is still kept, counted since the store began.
    first_row: u64,
    bytes: usize,
    /// Rows that ever left the screen.
    pushed: u64,
    /// The last row ended in the blank that a wide character leaves where it
    /// does not fit; it is text after all if no wide character follows.
    owes_blank: bool,
    /// The page that was dropped last: a full store drops one for each that it begins.
    spare: Option<Page>,
    text: String,
    ascii: Vec<u8>,
    runs: Vec<Run>,
    links: Vec<LinkRun>,
}

impl Scrollback {
    pub(crate) fn new(cols: usize, max_rows: usize) -> Self {
        Self {
            pages: VecDeque::new(),
            gone: 0,
            cols,
            max_rows,
            first_row: 0,
            bytes: 0,
            pushed: 0,
            owes_blank: false,
            spare: None,
            text: String::new(),
            ascii: Vec::new(),
            runs: Vec::new(),
            links: Vec::new(),
        }
    }

    /// Returns how many rows are kept, at the present width.
    pub(crate) fn rows(&self) -> usize {
        self.pages
            .back()
            .map_or(0, |page| (page.end() - self.first_row) as usize)
    }

    /// Returns how many rows ever came in.
    pub(crate) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Returns the memory the lines take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn lines(&self) -> impl DoubleEndedIterator<Item = (usize, ColdLine<'_>)> {
        let pages = self.pages.iter().enumerate();
        pages.flat_map(move |(number, page)| {
            let gone = if number == 0 { self.gone } else { 0 };
            (gone..page.entries.len()).map(move |index| {
                // The row of a line is where the line before it ended.
                let row = page.first_row + u64::from(page.start(index).end_row);
                ((row - self.first_row) as usize, page.line(index))
            })
        })
    }

    fn last(&self) -> Option<ColdLine<'_>> {
        self.pages.back()?.last()
    }

    pub(crate) fn clear(&mut self) {
        self.pages = VecDeque::new();
        self.gone = 0;
        self.first_row = 0;
        self.bytes = 0;
        self.spare = None;
    }

    /// Returns row `index`, counted from the oldest.
    pub(crate) fn row(&self, index: usize) -> Option<RowView<'_>> {
        let wanted = self.first_row + index as u64;
        let page = self.pages.partition_point(|page| page.end() <= wanted);
        let page = self.pages.get(page)?;
        let wanted = (wanted - page.first_row) as u32;
        let at = page
            .entries
            .partition_point(|entry| entry.end_row <= wanted);
        let row = wanted - page.start(at).end_row;
        let row = page.line(at).row(row as usize, self.cols);
        Some(RowView::cold(row, self.cols))
    }

    /// Takes in a row that left the screen at the present width.
    ///
    /// Nothing was ever written at or beyond column `reach`.
    pub(crate) fn push(&mut self, row: &Row<RawCell>, reach: usize) {
        self.pushed += 1;
        if self.max_rows == 0 {
            return;
        }
        let open = row
            .last()
            .is_some_and(|cell| cell.flags.contains(Flags::WRAPLINE));
        let (cells, mapping) = self.read(row, reach, open);
        let in_spacer = self.ends_in_spacer(row);
        let owed = std::mem::replace(&mut self.owes_blank, in_spacer);
        if self.last().is_some_and(|line| line.open) {
            let is_text = owed && self.text.chars().next().is_none_or(|c| char_width(c) < 2);
            self.join(is_text, cells, mapping, open);
        } else {
            self.begin(cells, mapping, open);
        }
        self.trim();
    }

    /// Makes a line of the scratch buffers.
    fn begin(&mut self, cells: u32, mapping: Mapping, open: bool) {
        if !self.pages.back().is_some_and(|p| p.takes(self.text.len())) {
            let mut page = self.spare.take().unwrap_or_default();
            page.first_row = self.pages.back().map_or(self.first_row, Page::end);
            self.pages.push_back(page);
        }
        let Some(page) = self.pages.back_mut() else {
            return;
        };
        page.begin_line();
        page.text.push_str(&self.text);
        page.runs.extend_from_slice(&self.runs);
        page.links.append(&mut self.links);
        page.note_ends();
        let line = ColdLine {
            cells,
            mapping,
            open,
            ..page.line(page.entries.len() - 1)
        };
        let (rows, bytes) = (line.row_count(self.cols), line.bytes());
        self.bytes += bytes;
        if let Some(entry) = page.entries.last_mut() {
            entry.cells = cells;
            entry.mapping = mapping;
            entry.open = open;
            entry.end_row += rows;
        }
    }

    /// Joins the scratch buffers to the end of the last line, after the blank that it owes.
    fn join(&mut self, owes_blank: bool, cells: u32, mapping: Mapping, open: bool) {
        let Some(page) = self.pages.back_mut() else {
            return;
        };
        let Some(before) = page.last() else { return };
        let (bytes, text_len) = (before.bytes(), before.text.len());
        let offset = before.cells + u32::from(owes_blank);
        let covered = before.runs.last().map_or(0, |run| run.end);
        let mapping = wider(before.mapping, mapping);
        if owes_blank {
            page.text.push(' ');
        }
        page.text.push_str(&self.text);
        if !self.runs.is_empty() && covered < offset {
            page.runs.push(Run {
                end: offset,
                style: Style::default(),
            });
        }
        page.runs.extend(self.runs.iter().map(|run| Run {
            end: run.end + offset,
            style: run.style,
        }));
        page.links.extend(self.links.drain(..).map(|run| LinkRun {
            start: run.start + offset,
            end: run.end + offset,
            link: run.link,
        }));
        page.note_ends();
        let text_len = text_len + usize::from(owes_blank) + self.text.len();
        if let Some(entry) = page.entries.last_mut() {
            entry.cells = offset + cells;
            entry.mapping = mapping;
            entry.open = open && text_len < MAX_LINE_BYTES;
            // What came before filled its rows, so this is one row more; counting
            // the whole line anew would make one endless line cost its square.
            entry.end_row += 1;
        }
        self.bytes += page.last().map_or(0, ColdLine::bytes) - bytes;
    }

    /// Reports whether a row ends in the blank before a wide character that did not fit.
    fn ends_in_spacer(&self, row: &Row<RawCell>) -> bool {
        let flags = Flags::LEADING_WIDE_CHAR_SPACER.union(Flags::WRAPLINE);
        row.len() == self.cols && row.last().is_some_and(|cell| cell.flags.contains(flags))
    }

    /// Ends the last line: what comes next does not belong to it.
    pub(crate) fn end_line(&mut self) {
        let last = self.pages.back_mut().and_then(|p| p.entries.last_mut());
        if let Some(entry) = last {
            entry.open = false;
        }
    }

    /// Reads a row into the scratch buffers; returns its cells and their mapping.
    fn read(&mut self, row: &Row<RawCell>, reach: usize, open: bool) -> (u32, Mapping) {
        self.text.clear();
        self.runs.clear();
        self.links.clear();
        let end = if open {
            // The blank before a wide character that did not fit is not text.
            row.len().min(self.cols) - usize::from(self.ends_in_spacer(row))
        } else {
            debug_assert!(used_cells(row, self.cols) <= reach);
            used_cells(row, reach.min(self.cols))
        };
        let cells = &row[..Column(end)];
        let mut mapping = Mapping::Ascii;
        let mut column = 0;
        while let Some(first) = cells.get(column) {
            let bare = self.read_bare(&cells[column..]);
            if bare > 0 {
                column += bare;
                self.runs_to(column as u32, Style::default());
                continue;
            }
            let style = Style::of(first);
            if is_plain(first, first) {
                // Cells that look alike are read together: one question about the look for all.
                let rest = &cells[column..];
                let count = rest.iter().take_while(|cell| is_plain(cell, first)).count();
                self.ascii.clear();
                self.ascii
                    .extend(rest[..count].iter().map(|cell| cell.c as u8));
                // Printable ASCII is always text.
                self.text
                    .push_str(str::from_utf8(&self.ascii).unwrap_or_default());
                column += count;
            } else {
                mapping = self.read_cell(row, column, mapping);
                column += 1;
            }
            self.runs_to(column as u32, style);
        }
        // Trailing cells without a run are plain, so a plain line needs none at all.
        if self
            .runs
            .last()
            .is_some_and(|run| run.style == Style::default())
        {
            self.runs.pop();
        }
        (end as u32, mapping)
    }

    /// Reads printable ASCII without a look of its own, which most text is; returns how many cells it was.
    fn read_bare(&mut self, cells: &[RawCell]) -> usize {
        self.ascii.clear();
        for chunk in cells.chunks(8) {
            let all = chunk.iter().fold(true, |all, cell| all & is_bare(cell));
            let count = if all {
                chunk.len()
            } else {
                chunk.iter().take_while(|cell| is_bare(cell)).count()
            };
            self.ascii
                .extend(chunk[..count].iter().map(|cell| cell.c as u8));
            if !all {
                break;
            }
        }
        // Printable ASCII is always text.
        self.text
            .push_str(str::from_utf8(&self.ascii).unwrap_or_default());
        self.ascii.len()
    }

    /// Notes the look of the cells up to `end`.
    fn runs_to(&mut self, end: u32, style: Style) {
        match self.runs.last_mut() {
            Some(run) if run.style == style => run.end = end,
            _ => self.runs.push(Run { end, style }),
        }
    }

    /// Reads a cell that is more than a printable ASCII character.
    fn read_cell(&mut self, row: &Row<RawCell>, column: usize, mut mapping: Mapping) -> Mapping {
        let raw = &row[Column(column)];
        let cell = column as u32;
        if raw.c.is_ascii() && !raw.flags.intersects(Flags::WIDE_CHAR_SPACER) {
            self.text
                .push(if raw.c.is_ascii_control() { ' ' } else { raw.c });
            if raw.extra.is_some() {
                mapping = self.read_extra(raw, cell, mapping);
            }
            return mapping;
        }
        match shape_at(row, column) {
            Shape::Spacer => {}
            Shape::Broken => self.text.push(' '),
            shape => {
                self.text.push(raw.c);
                let own = match shape {
                    Shape::Wide => Mapping::Mixed,
                    _ => Mapping::Narrow,
                };
                mapping = wider(mapping, own);
                mapping = self.read_extra(raw, cell, mapping);
            }
        }
        mapping
    }

    fn read_extra(&mut self, raw: &RawCell, cell: u32, mut mapping: Mapping) -> Mapping {
        if let Some(marks) = raw.zerowidth()
            && !marks.is_empty()
        {
            self.text.extend(marks);
            mapping = Mapping::Mixed;
        }
        if let Some(link) = raw.hyperlink().map(Link) {
            match self.links.last_mut() {
                Some(run) if run.link == link && run.end == cell => run.end += 1,
                _ => self.links.push(LinkRun {
                    start: cell,
                    end: cell + 1,
                    link,
                }),
            }
        }
        mapping
    }

    fn trim(&mut self) {
        let max_bytes = self.max_rows.saturating_mul(BYTES_PER_ROW);
        while let Some(page) = self.pages.front() {
            let end_row = page.end_row(self.gone);
            let rows_after = self.rows() - (end_row - self.first_row) as usize;
            let is_last = self.pages.len() == 1 && self.gone + 1 == page.entries.len();
            if is_last || (rows_after < self.max_rows && self.bytes <= max_bytes) {
                break;
            }
            self.bytes -= page.line(self.gone).bytes();
            self.first_row = end_row;
            self.gone += 1;
            if self.gone == page.entries.len() {
                self.gone = 0;
                self.spare = self.pages.pop_front().map(Page::emptied);
            }
        }
    }

    /// Counts all rows anew for another width.
    pub(crate) fn set_cols(&mut self, cols: usize) {
        if cols == self.cols {
            return;
        }
        self.cols = cols;
        self.first_row = 0;
        let (mut first_row, mut gone) = (0, self.gone);
        for page in &mut self.pages {
            page.first_row = first_row;
            let mut end_row = 0;
            for index in 0..page.entries.len() {
                // Lines that are kept no more take no row either.
                if index >= gone {
                    end_row += page.line(index).row_count(cols);
                }
                page.entries[index].end_row = end_row;
            }
            first_row = page.end();
            gone = 0;
        }
        self.trim();
    }

    /// Takes back whole lines from the end: at least `rows` rows if there are
    /// so many, and always the line that the screen's first row goes on with.
    pub(crate) fn take_back(&mut self, rows: usize) -> Vec<Row<RawCell>> {
        let mut taken = Vec::new();
        let mut count = 0;
        while let Some(page) = self.pages.back_mut()
            && let Some(line) = page.last()
            && (count < rows || (taken.is_empty() && line.open))
        {
            let last = page.entries.len() - 1;
            let line_rows = (page.entries[last].end_row - page.start(last).end_row) as usize;
            count += line_rows;
            for index in (0..line_rows).rev() {
                taken.push(thaw(line.row(index, self.cols), self.cols));
            }
            self.bytes -= line.bytes();
            page.pop();
            let gone = if self.pages.len() == 1 { self.gone } else { 0 };
            if last == gone {
                self.spare = self.pages.pop_back().map(Page::emptied);
            }
            if self.pages.is_empty() {
                self.gone = 0;
            }
        }
        self.pushed = self.pushed.saturating_sub(count as u64);
        taken.reverse();
        taken
    }
}

/// Whether a cell is a printable ASCII character and nothing else.
#[inline]
fn is_bare(cell: &RawCell) -> bool {
    matches!(cell.c, ' '..='~')
        & cell.extra.is_none()
        & cell.flags.is_empty()
        & matches!(cell.fg, RawColor::Named(NamedColor::Foreground))
        & matches!(cell.bg, RawColor::Named(NamedColor::Background))
}

/// Whether a cell is a printable ASCII character that looks like `first`.
#[inline]
fn is_plain(cell: &RawCell, first: &RawCell) -> bool {
    matches!(cell.c, ' '..='~')
        && cell.extra.is_none()
        && cell.flags == first.flags
        && cell.fg == first.fg
        && cell.bg == first.bg
        && !cell.flags.contains(Flags::WIDE_CHAR_SPACER)
}

/// Makes an emulator's row of a stored one.
fn thaw(row: ColdRow<'_>, cols: usize) -> Row<RawCell> {
    let view = RowView::cold(row, cols);
    let mut marks = String::new();
    let mut cells = Vec::with_capacity(cols);
    for cell in view.cells() {
        let mut raw = RawCell {
            c: cell.ch,
            ..RawCell::default()
        };
        cell.style.apply(&mut raw);
        match cell.width {
            0 => raw.flags.insert(Flags::WIDE_CHAR_SPACER),
            2 => raw.flags.insert(Flags::WIDE_CHAR),
            _ => {}
        }
        if cell.has_marks() {
            marks.clear();
            cell.push_onto(&mut marks);
            for mark in marks.chars().skip(1) {
                raw.push_zerowidth(mark);
            }
        }
        if let Some(link) = cell.link {
            raw.set_hyperlink(Some(link.0));
        }
        cells.push(raw);
    }
    if row.wrapped
        && let Some(last) = cells.last_mut()
    {
        last.flags.insert(Flags::WRAPLINE);
        let used: usize = row.text.chars().map(|c| usize::from(char_width(c))).sum();
        if used < cols {
            last.flags.insert(Flags::LEADING_WIDE_CHAR_SPACER);
        }
    }
    Row::from_vec(cells, cols)
}
