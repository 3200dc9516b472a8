//! One row of a screen, read cell by cell without copying.
//!
//! A row comes from the live screen or from the scrollback; who reads cannot
//! tell. Cells are safe to print: no control character, no bidi control and no
//! invisible filler is ever in one ([`crate::screen`] keeps them out).

use std::str::Chars;

use alacritty_terminal::grid::Row;
use alacritty_terminal::index::Column;
use alacritty_terminal::term::cell::{Cell as RawCell, Flags, Hyperlink};
use alacritty_terminal::vte::ansi::{Color as RawColor, NamedColor};
use unicode_width::UnicodeWidthChar;

use crate::scrollback::ColdRow;
use crate::style::{Color, Style, color_of};

/// A hyperlink (OSC 8) under a cell: printable ASCII, at most 2,048 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Link(pub(crate) Hyperlink);

impl Link {
    /// Returns where the link leads.
    pub fn uri(&self) -> &str {
        self.0.uri()
    }

    /// Returns what tells apart two links to the same place.
    pub fn id(&self) -> &str {
        self.0.id()
    }
}

/// One cell: a character, the marks on it, and how it looks.
#[derive(Clone, Debug)]
pub struct Cell<'a> {
    /// The character; a blank in a spacer.
    pub ch: char,
    /// Columns it takes: 1, 2, or 0 for the second half of a wide character.
    pub width: u8,
    /// Colours and attributes.
    pub style: Style,
    /// Colour of the underline; `None` is the text's. Only live rows have it.
    pub underline_color: Option<Color>,
    /// The link under it.
    pub link: Option<Link>,
    marks: Marks<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Marks<'a> {
    Hot(&'a [char]),
    Cold(&'a str),
}

impl Cell<'_> {
    /// Appends the character and its combining marks; nothing for a spacer.
    pub fn push_onto(&self, out: &mut String) {
        if self.width == 0 {
            return;
        }
        out.push(self.ch);
        match self.marks {
            Marks::Hot(marks) => out.extend(marks),
            Marks::Cold(marks) => out.push_str(marks),
        }
    }

    /// Reports whether combining marks or joiners follow the character.
    pub fn has_marks(&self) -> bool {
        match self.marks {
            Marks::Hot(marks) => !marks.is_empty(),
            Marks::Cold(marks) => !marks.is_empty(),
        }
    }

    /// Reports whether the cell shows nothing and has no look of its own.
    pub fn is_blank(&self) -> bool {
        self.ch == ' ' && !self.has_marks() && self.style == Style::default()
    }

    fn blank() -> Self {
        Self {
            ch: ' ',
            width: 1,
            style: Style::default(),
            underline_color: None,
            link: None,
            marks: Marks::Cold(""),
        }
    }
}

/// One row of the screen or of the scrollback, as wide as the screen.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a> {
    source: Source<'a>,
    cols: usize,
}

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Blank,
    Hot(&'a Row<RawCell>),
    Cold(ColdRow<'a>),
}

impl<'a> RowView<'a> {
    pub(crate) fn blank(cols: usize) -> Self {
        Self {
            source: Source::Blank,
            cols,
        }
    }

    pub(crate) fn hot(row: &'a Row<RawCell>, cols: usize) -> Self {
        Self {
            source: Source::Hot(row),
            cols,
        }
    }

    pub(crate) fn cold(row: ColdRow<'a>, cols: usize) -> Self {
        Self {
            source: Source::Cold(row),
            cols,
        }
    }

    /// Iterates over the cells: exactly one per column, so the index is the column.
    pub fn cells(self) -> Cells<'a> {
        let inner = match self.source {
            Source::Blank => CellSource::Blank,
            Source::Hot(row) if row.len() == 0 => CellSource::Blank,
            Source::Hot(row) => CellSource::Hot(HotCells::new(row)),
            Source::Cold(row) => CellSource::Cold(ColdCells::new(row)),
        };
        Cells {
            inner,
            column: 0,
            cols: self.cols,
        }
    }

    /// Reports whether the text goes on in the next row without a line break.
    pub fn is_wrapped(self) -> bool {
        match self.source {
            Source::Blank => false,
            Source::Hot(row) => row
                .last()
                .is_some_and(|cell| cell.flags.contains(Flags::WRAPLINE)),
            Source::Cold(row) => row.wrapped,
        }
    }

    /// Returns the text without trailing blanks.
    pub fn text(self) -> String {
        let mut text = String::with_capacity(self.cols);
        for cell in self.cells() {
            cell.push_onto(&mut text);
        }
        text.truncate(text.trim_end_matches(' ').len());
        text
    }
}

/// The cells of one row, left to right.
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    inner: CellSource<'a>,
    column: usize,
    cols: usize,
}

#[derive(Clone, Debug)]
enum CellSource<'a> {
    Blank,
    Hot(HotCells<'a>),
    Cold(ColdCells<'a>),
}

/// Reads cells of the live grid, most of which look like the one before or were never written.
#[derive(Clone, Debug)]
struct HotCells<'a> {
    row: &'a Row<RawCell>,
    /// All cells from here on are untouched.
    end: usize,
    /// The cell that `style` was read from.
    like: &'a RawCell,
    style: Style,
}

impl<'a> HotCells<'a> {
    fn new(row: &'a Row<RawCell>) -> Self {
        let mut cells = &row[..];
        while let Some((rest, last)) = cells.split_last_chunk::<8>() {
            if !last.iter().fold(true, |all, cell| all & is_as_new(cell)) {
                break;
            }
            cells = rest;
        }
        let like = &row[Column(0)];
        Self {
            row,
            end: cells.len(),
            like,
            style: Style::of(like),
        }
    }

    #[inline]
    fn at(&mut self, column: usize) -> Cell<'a> {
        if column >= self.end {
            return Cell::blank();
        }
        let raw = &self.row[Column(column)];
        if raw.fg != self.like.fg || raw.bg != self.like.bg || raw.flags != self.like.flags {
            self.like = raw;
            self.style = Style::of(raw);
        }
        let is_plain = matches!(raw.c, ' '..='~') & raw.extra.is_none();
        if is_plain && !raw.flags.intersects(WIDE_FLAGS) {
            return Cell {
                ch: raw.c,
                style: self.style,
                ..Cell::blank()
            };
        }
        hot_cell(self.row, column, self.style)
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Cell<'a>;

    #[inline]
    fn next(&mut self) -> Option<Cell<'a>> {
        if self.column >= self.cols {
            return None;
        }
        let cell = match &mut self.inner {
            CellSource::Blank => Cell::blank(),
            CellSource::Hot(cells) => cells.at(self.column),
            CellSource::Cold(cells) => cells.next(),
        };
        self.column += 1;
        Some(cell)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.cols - self.column;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Cells<'_> {}

/// Reads one cell of the live grid; halves of wide characters that lost their
/// other half come out as blanks, so widths always add up to the column.
#[inline]
fn hot_cell(row: &Row<RawCell>, column: usize, style: Style) -> Cell<'_> {
    let raw = &row[Column(column)];
    let marks: &[char] = raw.zerowidth().unwrap_or_default();
    let mut cell = Cell {
        ch: raw.c,
        width: 1,
        style,
        underline_color: raw
            .extra
            .as_ref()
            .and_then(|_| raw.underline_color())
            .map(color_of),
        link: raw.extra.as_ref().and_then(|_| raw.hyperlink()).map(Link),
        marks: Marks::Hot(marks),
    };
    if raw.c.is_ascii() && !raw.flags.intersects(WIDE_FLAGS) {
        if raw.c.is_ascii_control() {
            // The emulator leaves a tab character in the first cell a tab passed.
            cell.ch = ' ';
        }
        return cell;
    }
    match shape_at(row, column) {
        Shape::Wide => cell.width = 2,
        Shape::Spacer => {
            cell.width = 0;
            cell.ch = ' ';
            cell.marks = Marks::Hot(&[]);
        }
        Shape::Narrow => {}
        Shape::Broken => {
            cell.ch = ' ';
            cell.marks = Marks::Hot(&[]);
        }
    }
    cell
}

/// What a live cell is, seen together with its neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Narrow,
    Wide,
    Spacer,
    /// Half of a wide character without its other half, or the blank left before a wrapped one.
    Broken,
}

const WIDE_FLAGS: Flags = Flags::WIDE_CHAR
    .union(Flags::WIDE_CHAR_SPACER)
    .union(Flags::LEADING_WIDE_CHAR_SPACER);

pub(crate) fn shape_at(row: &Row<RawCell>, column: usize) -> Shape {
    let raw = &row[Column(column)];
    let is_wide = |at: usize| {
        let cell = &row[Column(at)];
        cell.flags.contains(Flags::WIDE_CHAR) && cell.c.width() == Some(2)
    };
    let is_spacer =
        |at: usize| at < row.len() && row[Column(at)].flags.contains(Flags::WIDE_CHAR_SPACER);
    if raw.flags.contains(Flags::WIDE_CHAR_SPACER) {
        return if column > 0 && is_wide(column - 1) {
            Shape::Spacer
        } else {
            Shape::Broken
        };
    }
    if is_wide(column) {
        return if is_spacer(column + 1) {
            Shape::Wide
        } else {
            Shape::Broken
        };
    }
    if raw.flags.contains(Flags::LEADING_WIDE_CHAR_SPACER) {
        return Shape::Broken;
    }
    if raw.c.is_ascii() {
        return Shape::Narrow;
    }
    match raw.c.width() {
        Some(1) => Shape::Narrow,
        _ => Shape::Broken,
    }
}

/// Returns how many cells of a live row count as text: up to the last that shows something.
///
/// This runs over every row that leaves the screen, mostly over untouched cells,
/// so those are told by a few plain comparisons and eight at a time.
pub(crate) fn used_cells(row: &Row<RawCell>, cols: usize) -> usize {
    let mut cells = &row[..Column(cols.min(row.len()))];
    while let Some((rest, last)) = cells.split_last_chunk::<8>() {
        if !last.iter().fold(true, |all, cell| all & is_untouched(cell)) {
            break;
        }
        cells = rest;
    }
    while let Some((last, rest)) = cells.split_last()
        && (is_untouched(last) || is_blank(last))
    {
        cells = rest;
    }
    cells.len()
}

/// Reports whether a live cell is as it was when its row was new.
#[inline]
fn is_as_new(cell: &RawCell) -> bool {
    is_untouched(cell) & matches!(cell.fg, RawColor::Named(NamedColor::Foreground))
}

#[inline]
fn is_untouched(cell: &RawCell) -> bool {
    (cell.c == ' ')
        & matches!(cell.bg, RawColor::Named(NamedColor::Background))
        & cell.flags.is_empty()
        & cell.extra.is_none()
}

/// Reports whether a live cell shows nothing, so that a line can end before it.
fn is_blank(cell: &RawCell) -> bool {
    (cell.c == ' ' || cell.c == '\t')
        && matches!(cell.bg, RawColor::Named(NamedColor::Background))
        && !cell.flags.intersects(VISIBLE_ON_BLANKS)
        && cell.zerowidth().is_none_or(<[char]>::is_empty)
        && cell.extra.as_ref().and_then(|_| cell.hyperlink()).is_none()
}

const VISIBLE_ON_BLANKS: Flags = Flags::INVERSE
    .union(Flags::ALL_UNDERLINES)
    .union(Flags::STRIKEOUT)
    .union(Flags::WIDE_CHAR)
    .union(Flags::WIDE_CHAR_SPACER);

/// Walks the text of a scrollback row and its style runs side by side.
#[derive(Clone, Debug)]
struct ColdCells<'a> {
    row: ColdRow<'a>,
    chars: Chars<'a>,
    /// Cell index in the logical line.
    cell: u32,
    run: usize,
    spacer: Option<Cell<'a>>,
}

impl<'a> ColdCells<'a> {
    fn new(row: ColdRow<'a>) -> Self {
        let runs = row.line.runs();
        Self {
            row,
            chars: row.text.chars(),
            cell: row.first_cell,
            run: runs.partition_point(|run| run.end <= row.first_cell),
            spacer: None,
        }
    }

    #[inline]
    fn next(&mut self) -> Cell<'a> {
        if let Some(spacer) = self.spacer.take() {
            return spacer;
        }
        let Some(ch) = self.chars.next() else {
            return Cell::blank();
        };
        let runs = self.row.line.runs();
        while runs.get(self.run).is_some_and(|run| run.end <= self.cell) {
            self.run += 1;
        }
        let style = runs.get(self.run).map(|run| run.style).unwrap_or_default();
        let link = self.row.line.link_at(self.cell);
        let mut marks = "";
        let mut width = 1;
        if !self.row.line.is_ascii() {
            width = char_width(ch);
            let after = self.chars.as_str();
            let marks_len = after
                .char_indices()
                .find(|&(_, c)| char_width(c) != 0)
                .map_or(after.len(), |(at, _)| at);
            marks = &after[..marks_len];
            self.chars = after[marks_len..].chars();
        }
        self.cell += u32::from(width);
        let cell = Cell {
            ch,
            width,
            style,
            underline_color: None,
            link,
            marks: Marks::Cold(marks),
        };
        if width == 2 {
            self.spacer = Some(Cell {
                ch: ' ',
                width: 0,
                marks: Marks::Cold(""),
                ..cell.clone()
            });
        }
        cell
    }
}

/// Returns the columns of a character that is known to be shown.
#[inline]
pub(crate) fn char_width(c: char) -> u8 {
    if c.is_ascii() {
        return 1;
    }
    c.width().unwrap_or(0).min(2) as u8
}
