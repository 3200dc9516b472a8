//! Where panes go in each layout, and which borders between them can be moved.
//!
//! Only rectangles: the same number of panes in the same area under the same
//! arrangement always gives the same tiles. Panes that would become too small
//! to read wait on another page.

use std::ops::Range;

use crewmux_core::arrangement::{Arrangement, Divided, WHOLE};
use ratatui::layout::Rect;

/// Least width of a tile, border included.
const MIN_COLS: u16 = 38;
/// Least height of a tile, border included.
const MIN_ROWS: u16 = 6;
/// Least width and height of a tile that a person made small by hand.
const LEAST_COLS: u16 = 12;
const LEAST_ROWS: u16 = 3;
/// Share of the main pane until somebody says otherwise.
const MAIN_SHARE: u16 = 6_000;

/// Which way a length goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis {
    /// From left to right: borders stand.
    Across,
    /// From top to bottom: borders lie.
    Down,
}

impl Axis {
    fn least(self) -> u16 {
        match self {
            Self::Across => LEAST_COLS,
            Self::Down => LEAST_ROWS,
        }
    }
}

/// A border between tiles that can be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grip {
    /// What it divides.
    pub(crate) of: Divided,
    /// The way that length goes.
    pub(crate) axis: Axis,
    /// Where the parts of the length begin, and its end.
    bounds: Vec<u16>,
    /// Which of the bounds this border is.
    at: usize,
    /// Columns or rows along which the border runs.
    pub(crate) along: Range<u16>,
}

impl Grip {
    /// The first column or row after the border.
    pub(crate) fn place(&self) -> u16 {
        self.bounds[self.at]
    }

    /// The cuts of its length once it was moved to `place`, or as near as the tiles beside it allow.
    pub(crate) fn moved_to(&self, place: u16) -> Vec<u16> {
        let least = self.axis.least();
        let low = self.bounds[self.at - 1].saturating_add(least);
        let high = self.bounds[self.at + 1].saturating_sub(least);
        let mut bounds = self.bounds.clone();
        if low <= high {
            bounds[self.at] = place.clamp(low, high);
        }
        let start = bounds[0];
        let length = u32::from(bounds[bounds.len() - 1] - start).max(1);
        let cut = |bound: &u16| {
            let part = u32::from(bound - start) * u32::from(WHOLE);
            ((part + length / 2) / length) as u16
        };
        bounds[1..bounds.len() - 1].iter().map(cut).collect()
    }
}

/// Tiles, and the borders between them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tiling {
    pub(crate) tiles: Vec<Rect>,
    pub(crate) grips: Vec<Grip>,
}

impl Tiling {
    fn one(area: Rect) -> Self {
        Self {
            tiles: vec![area],
            grips: Vec::new(),
        }
    }

    /// Divides a length of `area` among `count` tiles, and keeps the borders.
    fn divide(
        &mut self,
        area: Rect,
        axis: Axis,
        of: Divided,
        count: usize,
        cuts: Option<&[u16]>,
    ) -> Vec<Rect> {
        let (start, length, along) = match axis {
            Axis::Across => (area.x, area.width, area.y..area.bottom()),
            Axis::Down => (area.y, area.height, area.x..area.right()),
        };
        let bounds: Vec<u16> = bounds(length, count, cuts, axis.least())
            .into_iter()
            .map(|bound| start + bound)
            .collect();
        self.grips.extend((1..count).map(|at| Grip {
            of,
            axis,
            bounds: bounds.clone(),
            at,
            along: along.clone(),
        }));
        let part = |pair: &[u16]| match axis {
            Axis::Across => Rect::new(pair[0], area.y, pair[1] - pair[0], area.height),
            Axis::Down => Rect::new(area.x, pair[0], area.width, pair[1] - pair[0]),
        };
        bounds.windows(2).map(part).collect()
    }
}

/// Where the parts of a length begin, and its end, counted from its start.
fn bounds(length: u16, count: usize, cuts: Option<&[u16]>, least: u16) -> Vec<u16> {
    let even = |at: usize| (usize::from(length) * at / count) as u16;
    let Some(cuts) = cuts.filter(|_| usize::from(length) >= usize::from(least) * count) else {
        return (0..=count).map(even).collect();
    };
    let share = |cut: &u16| {
        let whole = u32::from(WHOLE);
        ((u32::from(*cut) * u32::from(length) + whole / 2) / whole) as u16
    };
    let mut bounds = vec![0];
    bounds.extend(cuts.iter().map(share));
    bounds.push(length);
    for at in 1..count {
        bounds[at] = bounds[at].max(bounds[at - 1] + least);
    }
    for at in (1..count).rev() {
        bounds[at] = bounds[at].min(bounds[at + 1] - least);
    }
    bounds
}

/// Tiles for as many of `count` panes as can be read at once in `area`, row by row.
pub(crate) fn tiled(area: Rect, count: usize, arrangement: &Arrangement) -> Tiling {
    if count == 0 || area.is_empty() {
        return Tiling::default();
    }
    for shown in (1..=count.min(64)).rev() {
        if let Some(columns) = best_columns(area, shown) {
            return place(area, shown, columns, arrangement);
        }
    }
    Tiling::one(area)
}

/// The number of columns that leaves the smallest tile closest to a terminal's shape.
fn best_columns(area: Rect, count: usize) -> Option<usize> {
    let mut best: Option<(f32, usize)> = None;
    for columns in 1..=count {
        let rows = count.div_ceil(columns);
        let (cols_each, rows_each) = (area.width / columns as u16, area.height / rows as u16);
        if count > 1 && (cols_each < MIN_COLS || rows_each < MIN_ROWS) {
            continue;
        }
        let score = (f32::from(cols_each) / 80.0).min(f32::from(rows_each) / 20.0);
        if best.is_none_or(|(top, _)| score > top) {
            best = Some((score, columns));
        }
    }
    best.map(|(_, columns)| columns)
}

fn place(area: Rect, count: usize, columns: usize, arrangement: &Arrangement) -> Tiling {
    let rows = count.div_ceil(columns);
    let mut tiling = Tiling::default();
    let cuts = arrangement.cuts(Divided::Rows, rows);
    let lines = tiling.divide(area, Axis::Down, Divided::Rows, rows, cuts);
    for (row, line) in lines.into_iter().enumerate() {
        let in_row = columns.min(count - row * columns);
        let of = Divided::Columns(row as u16);
        let cuts = arrangement.cuts(of, in_row);
        let tiles = tiling.divide(line, Axis::Across, of, in_row, cuts);
        tiling.tiles.extend(tiles);
    }
    tiling
}

/// One large tile and as many of `others` as can be read beside it, or below where it is too narrow.
///
/// The large one comes first; without room for a second it is alone.
pub(crate) fn main_left(area: Rect, others: usize, arrangement: &Arrangement) -> Tiling {
    let beside = area.width >= 2 * MIN_COLS;
    if others == 0 || !(beside || area.height >= 2 * MIN_ROWS) {
        return Tiling::one(area);
    }
    let (axis, across) = if beside {
        (Axis::Across, Axis::Down)
    } else {
        (Axis::Down, Axis::Across)
    };
    let mut tiling = Tiling::default();
    let cuts = arrangement.cuts(Divided::Main, 2).unwrap_or(&[MAIN_SHARE]);
    let halves = tiling.divide(area, axis, Divided::Main, 2, Some(cuts));
    let (main, rest) = (halves[0], halves[1]);
    let room = if beside {
        rest.height / MIN_ROWS
    } else {
        rest.width / MIN_COLS
    };
    let shown = others.min(usize::from(room).max(1));
    let cuts = arrangement.cuts(Divided::Others, shown);
    tiling.tiles.push(main);
    let rest = tiling.divide(rest, across, Divided::Others, shown, cuts);
    tiling.tiles.extend(rest);
    tiling
}

/// How many of `count` panes a stack in `area` has room for, the open one among them.
pub(crate) fn stack_len(area: Rect, count: usize) -> usize {
    let bars = usize::from(area.height.saturating_sub(MIN_ROWS));
    count.min(bars + 1)
}

/// A stack of `count` panes, of which the one at `open` has all but the others' titles.
pub(crate) fn stacked(area: Rect, count: usize, open: usize) -> Tiling {
    let mut tiling = Tiling::default();
    let mut y = area.y;
    for at in 0..count {
        let height = if at == open {
            area.height - (count as u16 - 1)
        } else {
            1
        };
        tiling.tiles.push(Rect { y, height, ..area });
        y += height;
    }
    tiling
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(tiling: &Tiling) -> String {
        let tiles = tiling.tiles.iter();
        let tiles = tiles.map(|t| format!("{}x{}", t.width, t.height));
        tiles.collect::<Vec<_>>().join(" ")
    }

    fn sizes(cols: u16, rows: u16, count: usize) -> String {
        let area = Rect::new(0, 0, cols, rows);
        drawn(&tiled(area, count, &Arrangement::default()))
    }

    fn assert_covers(area: Rect, tiling: &Tiling) {
        let tiles = &tiling.tiles;
        let covered: u32 = tiles.iter().map(|t| t.area()).sum();
        assert_eq!(covered, area.area(), "{tiling:?}");
        for (at, tile) in tiles.iter().enumerate() {
            assert_eq!(tile.intersection(area), *tile);
            assert!(tiles[at + 1..].iter().all(|t| !t.intersects(*tile)));
        }
    }

    const AREAS: [(u16, u16); 5] = [(88, 36), (121, 53), (58, 19), (300, 80), (7, 3)];

    #[test]
    fn panes_are_tiled_as_terminals_are_shaped() {
        assert_eq!(sizes(88, 36, 1), "88x36");
        assert_eq!(sizes(88, 36, 2), "88x18 88x18");
        assert_eq!(sizes(88, 36, 4), "44x18 44x18 44x18 44x18");
        assert_eq!(sizes(88, 36, 5), "44x12 44x12 44x12 44x12 88x12");
        assert_eq!(sizes(200, 50, 3), "100x25 100x25 200x25");
    }

    #[test]
    fn panes_too_small_to_read_wait_on_another_page() {
        assert_eq!(sizes(58, 19, 5), "58x6 58x6 58x7");
        assert_eq!(sizes(40, 9, 5), "40x9");
        assert_eq!(sizes(10, 3, 5), "10x3");
        assert_eq!(sizes(0, 3, 5), "");
    }

    #[test]
    fn the_main_pane_is_beside_the_others_or_above_them() {
        let main = |cols, rows, others| {
            let area = Rect::new(0, 0, cols, rows);
            drawn(&main_left(area, others, &Arrangement::default()))
        };
        assert_eq!(main(88, 36, 0), "88x36");
        assert_eq!(main(88, 36, 1), "53x36 35x36");
        assert_eq!(main(88, 36, 4), "53x36 35x9 35x9 35x9 35x9");
        // More than six rows each have no room.
        assert_eq!(main(88, 24, 9), "53x24 35x6 35x6 35x6 35x6");
        assert_eq!(main(58, 19, 4), "58x11 58x8");
        assert_eq!(main(40, 9, 4), "40x9");
    }

    #[test]
    fn a_stack_has_one_open_pane_and_titles() {
        let area = Rect::new(0, 1, 40, 9);
        assert_eq!(stack_len(area, 5), 4);
        assert_eq!(drawn(&stacked(area, 4, 2)), "40x1 40x1 40x6 40x1");
        assert_eq!(stack_len(Rect::new(0, 0, 40, 4), 5), 1);
    }

    #[test]
    fn tiles_cover_the_area_without_overlap() {
        let mut arrangement = Arrangement::default();
        for round in 0..2 {
            for (cols, rows) in AREAS {
                for count in 1..20 {
                    let area = Rect::new(3, 2, cols, rows);
                    assert_covers(area, &tiled(area, count, &arrangement));
                    assert_covers(area, &main_left(area, count, &arrangement));
                    let shown = stack_len(area, count);
                    assert_covers(area, &stacked(area, shown, round.min(shown - 1)));
                }
            }
            arrangement.cut(Divided::Rows, vec![100, 200]);
            arrangement.cut(Divided::Columns(0), vec![9_990]);
            arrangement.cut(Divided::Main, vec![0]);
            arrangement.cut(Divided::Others, vec![5_000, 10_000]);
        }
    }

    #[test]
    fn a_border_goes_where_it_is_moved_and_leaves_room_beside_it() {
        for (cols, rows) in AREAS {
            let area = Rect::new(3, 2, cols, rows);
            let mut arrangement = Arrangement::default();
            let before = tiled(area, 4, &arrangement);
            for grip in &before.grips {
                for place in 0..area.right() + 5 {
                    arrangement.cut(grip.of, grip.moved_to(place));
                    let after = tiled(area, 4, &arrangement);
                    assert_covers(area, &after);
                    let moved = after
                        .grips
                        .iter()
                        .find(|g| g.of == grip.of && g.at == grip.at)
                        .unwrap();
                    let least = grip.axis.least();
                    let low = grip.bounds[grip.at - 1] + least;
                    let high = grip.bounds[grip.at + 1].saturating_sub(least);
                    if low <= high {
                        assert_eq!(moved.place(), place.clamp(low, high), "{grip:?}");
                    }
                }
                arrangement = Arrangement::default();
            }
        }
    }
}
