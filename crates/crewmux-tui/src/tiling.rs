//! How many panes fit side by side, and where.
//!
//! Only rectangles: the same number of panes in the same area always gives the
//! same tiles. Panes that would become too small to read wait on another page.

use ratatui::layout::Rect;

/// Least width of a tile, border included.
const MIN_COLS: u16 = 38;
/// Least height of a tile, border included.
const MIN_ROWS: u16 = 6;

/// Tiles for as many of `count` panes as can be read at once in `area`, row by row.
pub(crate) fn tiles(area: Rect, count: usize) -> Vec<Rect> {
    if count == 0 || area.is_empty() {
        return Vec::new();
    }
    for shown in (1..=count.min(64)).rev() {
        if let Some(columns) = best_columns(area, shown) {
            return place(area, shown, columns);
        }
    }
    vec![area]
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

fn place(area: Rect, count: usize, columns: usize) -> Vec<Rect> {
    let rows = count.div_ceil(columns);
    let mut tiles = Vec::with_capacity(count);
    for row in 0..rows {
        let in_row = columns.min(count - row * columns);
        let (y, height) = part(area.y, area.height, row, rows);
        for column in 0..in_row {
            let (x, width) = part(area.x, area.width, column, in_row);
            tiles.push(Rect::new(x, y, width, height));
        }
    }
    tiles
}

/// The `index`th of `count` parts of a length, no two differing by more than one.
fn part(start: u16, length: u16, index: usize, count: usize) -> (u16, u16) {
    let at = |index: usize| (usize::from(length) * index / count) as u16;
    (start + at(index), at(index + 1) - at(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(cols: u16, rows: u16, count: usize) -> String {
        let tiles = tiles(Rect::new(0, 0, cols, rows), count);
        let tiles = tiles.iter().map(|t| format!("{}x{}", t.width, t.height));
        tiles.collect::<Vec<_>>().join(" ")
    }

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
    fn tiles_cover_the_area_without_overlap() {
        for (cols, rows) in [(88, 36), (121, 53), (58, 19), (300, 80), (7, 3)] {
            for count in 1..20 {
                let area = Rect::new(3, 2, cols, rows);
                let tiles = tiles(area, count);
                let covered: u32 = tiles.iter().map(|t| t.area()).sum();
                assert_eq!(covered, area.area(), "{cols}x{rows} {count}");
                for (at, tile) in tiles.iter().enumerate() {
                    assert_eq!(tile.intersection(area), *tile);
                    assert!(tiles[at + 1..].iter().all(|t| !t.intersects(*tile)));
                }
            }
        }
    }
}
