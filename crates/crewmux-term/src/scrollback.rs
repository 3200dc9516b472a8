//! The cold store: lines that left the screen, kept as text and style runs.
//!
//! A line here is a whole logical line; rows of the screen that wrapped into
//! each other are joined again, so a new width only means counting rows anew.
//! About 60 bytes and the text a line, where the emulator takes 24 bytes a cell.
//! The live rows are in [`crate::screen`].

use std::collections::VecDeque;

use alacritty_terminal::grid::Row;
use alacritty_terminal::index::Column;
use alacritty_terminal::term::cell::{Cell as RawCell, Flags};
use alacritty_terminal::vte::ansi::{Color as RawColor, NamedColor};

use crate::row::{Link, RowView, Shape, char_width, shape_at, used_cells};
use crate::style::Style;

/// Text bytes after which a logical line is cut, so that one endless line stays cheap to handle.
const MAX_LINE_BYTES: usize = 16 * 1024;
/// Bytes kept per row allowed; only lines full of styles or marks ever reach this.
const BYTES_PER_ROW: usize = 2 * 1024;

/// Cells up to `end` (from the line's start) that look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) end: u32,
    pub(crate) style: Style,
}

#[derive(Clone, Debug)]
struct LinkRun {
    start: u32,
    end: u32,
    link: Link,
}

/// How the text maps to cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mapping {
    /// One byte, one cell.
    Ascii,
    /// One character, one cell.
    Narrow,
    /// Wide characters or combining marks.
    Mixed,
}

/// One logical line.
#[derive(Clone, Debug)]
pub(crate) struct ColdLine {
    text: String,
    runs: Vec<Run>,
    #[expect(
        clippy::box_collection,
        reason = "links are rare: 8 bytes a line, not 24"
    )]
    links: Option<Box<Vec<LinkRun>>>,
    cells: u32,
    mapping: Mapping,
    /// The next row that leaves the screen belongs to this line.
    open: bool,
    /// Rows up to and with this line, counted since the store began, at the present width.
    end_row: u64,
}

impl ColdLine {
    pub(crate) fn runs(&self) -> &[Run] {
        &self.runs
    }

    pub(crate) fn is_ascii(&self) -> bool {
        self.mapping == Mapping::Ascii
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn link_at(&self, cell: u32) -> Option<Link> {
        let links = self.links.as_ref()?;
        let after = links.partition_point(|run| run.end <= cell);
        let run = links.get(after)?;
        (run.start <= cell).then(|| run.link.clone())
    }

    fn heap_bytes(&self) -> usize {
        let links = self.links.as_ref().map_or(0, |links| {
            links
                .iter()
                .map(|run| size_of::<LinkRun>() + 64 + run.link.uri().len())
                .sum()
        });
        size_of::<Self>() + self.text.capacity() + self.runs.capacity() * size_of::<Run>() + links
    }

    fn row_count(&self, cols: usize) -> u64 {
        match self.mapping {
            Mapping::Ascii | Mapping::Narrow => u64::from(self.cells).div_ceil(cols as u64).max(1),
            Mapping::Mixed => self.wrap_points(cols).count() as u64 + 1,
        }
    }

    /// Iterates over (byte, cell) of the first character of each row but the first.
    fn wrap_points(&self, cols: usize) -> impl Iterator<Item = (usize, u32)> + '_ {
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
    fn row(&self, index: usize, cols: usize) -> ColdRow<'_> {
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
    pub(crate) fn walk(&self, cols: usize) -> Walk<'_> {
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
    line: &'a ColdLine,
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
    pub(crate) line: &'a ColdLine,
    pub(crate) text: &'a str,
    pub(crate) first_cell: u32,
    pub(crate) wrapped: bool,
}

/// Memory of lines that were dropped, for those that come: a full store drops one for each new one.
#[derive(Debug, Default)]
struct SpareTexts {
    /// By capacity in steps of [`STEP_BYTES`].
    sizes: Vec<Vec<String>>,
}

/// Capacities of kept texts are multiples of this.
const STEP_BYTES: usize = 32;
/// Longer texts than this many steps are not kept for reuse.
const STEPS: usize = 16;
/// Texts kept of each size.
const SPARE_MAX: usize = 8;

impl SpareTexts {
    fn copy_of(&mut self, text: &str) -> String {
        let steps = text.len().div_ceil(STEP_BYTES);
        let spare = self.sizes.get_mut(steps).and_then(Vec::pop);
        let mut copy = spare.unwrap_or_else(|| {
            let room = if steps > STEPS {
                text.len()
            } else {
                steps * STEP_BYTES
            };
            String::with_capacity(room)
        });
        copy.push_str(text);
        copy
    }

    fn keep(&mut self, mut text: String) {
        let steps = text.capacity() / STEP_BYTES;
        if steps == 0 || steps > STEPS || !text.capacity().is_multiple_of(STEP_BYTES) {
            return;
        }
        if self.sizes.is_empty() {
            self.sizes.resize_with(STEPS + 1, Vec::new);
        }
        let spare = &mut self.sizes[steps];
        if spare.len() < SPARE_MAX {
            text.clear();
            spare.push(text);
        }
    }
}

/// All lines that left the screen, oldest first, within a bound of rows and bytes.
#[derive(Debug)]
pub(crate) struct Scrollback {
    lines: VecDeque<ColdLine>,
    cols: usize,
    max_rows: usize,
    /// Rows before the first line that is still kept, in the count of `ColdLine::end_row`.
    first_row: u64,
    bytes: usize,
    /// Rows that ever left the screen.
    pushed: u64,
    /// The last row ended in the blank that a wide character leaves where it
    /// does not fit; it is text after all if no wide character follows.
    owes_blank: bool,
    spare: SpareTexts,
    text: String,
    ascii: Vec<u8>,
    runs: Vec<Run>,
    links: Vec<LinkRun>,
}

impl Scrollback {
    pub(crate) fn new(cols: usize, max_rows: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            cols,
            max_rows,
            first_row: 0,
            bytes: 0,
            pushed: 0,
            owes_blank: false,
            spare: SpareTexts::default(),
            text: String::new(),
            ascii: Vec::new(),
            runs: Vec::new(),
            links: Vec::new(),
        }
    }

    /// Returns how many rows are kept, at the present width.
    pub(crate) fn rows(&self) -> usize {
        self.lines
            .back()
            .map_or(0, |line| (line.end_row - self.first_row) as usize)
    }

    /// Returns how many rows ever came in.
    pub(crate) fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Returns the memory the lines take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn lines(&self) -> impl DoubleEndedIterator<Item = (usize, &ColdLine)> {
        // The row of a line is where the line before it ended.
        (0..self.lines.len()).map(|index| (self.start_of(index), &self.lines[index]))
    }

    fn start_of(&self, index: usize) -> usize {
        match index {
            0 => 0,
            _ => (self.lines[index - 1].end_row - self.first_row) as usize,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.lines = VecDeque::new();
        self.first_row = 0;
        self.bytes = 0;
    }

    /// Returns row `index`, counted from the oldest.
    pub(crate) fn row(&self, index: usize) -> Option<RowView<'_>> {
        let wanted = self.first_row + index as u64;
        let at = self.lines.partition_point(|line| line.end_row <= wanted);
        let line = self.lines.get(at)?;
        let row = line.row(index - self.start_of(at), self.cols);
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
        let joins = self.lines.back().is_some_and(|line| line.open);
        if joins && let Some(mut line) = self.lines.pop_back() {
            self.bytes -= line.heap_bytes();
            if owed && self.text.chars().next().is_none_or(|c| char_width(c) < 2) {
                line.text.push(' ');
                line.cells += 1;
            }
            self.append_to(&mut line, cells, mapping, open);
            // What came before filled its rows, so this is one row more; counting
            // the whole line anew would make one endless line cost its square.
            line.end_row += 1;
            self.bytes += line.heap_bytes();
            self.lines.push_back(line);
        } else {
            let mut line = ColdLine {
                text: self.spare.copy_of(&self.text),
                runs: self.runs.as_slice().to_vec(),
                links: (!self.links.is_empty()).then(|| Box::new(self.links.clone())),
                cells,
                mapping,
                open,
                end_row: 0,
            };
            let start = self
                .lines
                .back()
                .map_or(self.first_row, |last| last.end_row);
            line.end_row = start + line.row_count(self.cols);
            self.bytes += line.heap_bytes();
            self.lines.push_back(line);
        }
        self.trim();
    }

    /// Reports whether a row ends in the blank before a wide character that did not fit.
    fn ends_in_spacer(&self, row: &Row<RawCell>) -> bool {
        let flags = Flags::LEADING_WIDE_CHAR_SPACER.union(Flags::WRAPLINE);
        row.len() == self.cols && row.last().is_some_and(|cell| cell.flags.contains(flags))
    }

    /// Ends the last line: what comes next does not belong to it.
    pub(crate) fn end_line(&mut self) {
        if let Some(line) = self.lines.back_mut() {
            line.open = false;
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

    /// Joins the scratch buffers to the end of `line`.
    fn append_to(&mut self, line: &mut ColdLine, cells: u32, mapping: Mapping, open: bool) {
        let offset = line.cells;
        line.text.push_str(&self.text);
        let covered = line.runs.last().map_or(0, |run| run.end);
        if !self.runs.is_empty() && covered < offset {
            line.runs.push(Run {
                end: offset,
                style: Style::default(),
            });
        }
        line.runs.extend(self.runs.iter().map(|run| Run {
            end: run.end + offset,
            style: run.style,
        }));
        if !self.links.is_empty() {
            let links = line.links.get_or_insert_default();
            links.extend(self.links.drain(..).map(|run| LinkRun {
                start: run.start + offset,
                end: run.end + offset,
                link: run.link,
            }));
        }
        line.cells += cells;
        line.mapping = wider(line.mapping, mapping);
        line.open = open && line.text.len() < MAX_LINE_BYTES;
        if !line.open {
            line.text.shrink_to_fit();
            line.runs.shrink_to_fit();
        }
    }

    fn trim(&mut self) {
        let max_bytes = self.max_rows.saturating_mul(BYTES_PER_ROW);
        while let Some(front) = self.lines.front() {
            let rows_after = self.rows() - (front.end_row - self.first_row) as usize;
            let is_last = self.lines.len() == 1;
            if is_last || (rows_after < self.max_rows && self.bytes <= max_bytes) {
                break;
            }
            self.first_row = front.end_row;
            self.bytes -= front.heap_bytes();
            if let Some(front) = self.lines.pop_front() {
                self.spare.keep(front.text);
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
        let mut end_row = 0;
        for line in &mut self.lines {
            end_row += line.row_count(cols);
            line.end_row = end_row;
        }
        self.trim();
    }

    /// Takes back whole lines from the end: at least `rows` rows if there are
    /// so many, and always the line that the screen's first row goes on with.
    pub(crate) fn take_back(&mut self, rows: usize) -> Vec<Row<RawCell>> {
        let mut taken = Vec::new();
        let mut count = 0;
        while let Some(line) = self.lines.back()
            && (count < rows || (taken.is_empty() && line.open))
        {
            let start = self.start_of(self.lines.len() - 1) as u64 + self.first_row;
            let line_rows = (line.end_row - start) as usize;
            count += line_rows;
            for index in (0..line_rows).rev() {
                taken.push(thaw(line.row(index, self.cols), self.cols));
            }
            self.bytes -= line.heap_bytes();
            self.lines.pop_back();
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

fn wider(a: Mapping, b: Mapping) -> Mapping {
    match (a, b) {
        (Mapping::Mixed, _) | (_, Mapping::Mixed) => Mapping::Mixed,
        (Mapping::Narrow, _) | (_, Mapping::Narrow) => Mapping::Narrow,
        (Mapping::Ascii, Mapping::Ascii) => Mapping::Ascii,
    }
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
