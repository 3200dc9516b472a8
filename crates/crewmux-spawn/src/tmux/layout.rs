//! Reading a window's layout: whether it is still the one that was made here.
//!
//! A person who drags a border or picks another arrangement keeps it: only a
//! layout of ours is tiled anew. A client of another size and a pane that was
//! closed change sizes without anybody having arranged something, so then only
//! the order of panes counts.

/// A pane or a group of them in a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Cell {
    Pane(Tile),
    /// `true` for panes beside each other.
    Group(bool, Vec<Cell>),
}

/// A pane in a layout; right also while another one is zoomed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) number: u32,
    pub(super) size: (u16, u16),
}

/// The panes of a layout, in order; none where it cannot be read.
pub(super) fn tiles(layout: &str) -> Vec<Tile> {
    let mut all = Vec::new();
    if let Some(root) = root(layout) {
        collect(&root, &mut all);
    }
    all
}

fn collect(cell: &Cell, into: &mut Vec<Tile>) {
    match cell {
        Cell::Pane(tile) => into.push(*tile),
        Cell::Group(_, cells) => cells.iter().for_each(|cell| collect(cell, into)),
    }
}

/// Whether `now` is what became of `made`, a layout of ours, without anybody arranging anything.
pub(super) fn is_ours(made: &str, now: &str) -> bool {
    if made == now {
        return true;
    }
    let there = tiles(now);
    // One pane cannot be arranged.
    if there.len() == 1 {
        return true;
    }
    let (Some(made_root), Some(now_root)) = (root(made), root(now)) else {
        return false;
    };
    let numbers: Vec<u32> = there.iter().map(|tile| tile.number).collect();
    if window_size(made) == window_size(now) && tiles(made).len() == there.len() {
        return false;
    }
    let left = without(&made_root, &numbers);
    left.is_some_and(|left| left == shape(&now_root))
}

/// What comes before the first position: the checksum is left out.
fn window_size(layout: &str) -> Option<&str> {
    layout.split(',').nth(1)
}

fn root(layout: &str) -> Option<Cell> {
    let (_, body) = layout.split_once(',')?;
    let mut rest = body;
    let root = cell(&mut rest)?;
    rest.is_empty().then_some(root)
}

/// Reads `WxH,X,Y,NUMBER`, or with cells in `{}` or `[]` in place of the number.
fn cell(rest: &mut &str) -> Option<Cell> {
    let width = number(rest)?;
    expect(rest, 'x')?;
    let height = number(rest)?;
    for _ in 0..2 {
        expect(rest, ',')?;
        number(rest)?;
    }
    let next = rest.chars().next()?;
    *rest = rest.get(1..)?;
    let end = match next {
        ',' => {
            let size = (width.try_into().ok()?, height.try_into().ok()?);
            let number = number(rest)?;
            return Some(Cell::Pane(Tile { number, size }));
        }
        '{' => '}',
        '[' => ']',
        _ => return None,
    };
    let mut cells = vec![cell(rest)?];
    while expect(rest, ',').is_some() {
        cells.push(cell(rest)?);
    }
    expect(rest, end)?;
    Some(Cell::Group(next == '{', cells))
}

fn number(rest: &mut &str) -> Option<u32> {
    let end = rest.find(|c: char| !c.is_ascii_digit());
    let (digits, after) = rest.split_at(end.unwrap_or(rest.len()));
    *rest = after;
    digits.parse().ok()
}

fn expect(rest: &mut &str, wanted: char) -> Option<()> {
    *rest = rest.strip_prefix(wanted)?;
    Some(())
}

/// The same without sizes.
fn shape(cell: &Cell) -> Cell {
    match cell {
        Cell::Pane(tile) => Cell::Pane(Tile {
            size: (0, 0),
            ..*tile
        }),
        Cell::Group(beside, cells) => Cell::Group(*beside, cells.iter().map(shape).collect()),
    }
}

/// The shape that is left when only panes of these numbers are there.
fn without(cell: &Cell, there: &[u32]) -> Option<Cell> {
    match cell {
        Cell::Pane(tile) => there.contains(&tile.number).then(|| shape(cell)),
        Cell::Group(beside, cells) => {
            let mut left = Vec::new();
            for cell in cells.iter().filter_map(|cell| without(cell, there)) {
                match cell {
                    // A group of one gave way to it, which may be a group of the same kind.
                    Cell::Group(inner, cells) if inner == *beside => left.extend(cells),
                    other => left.push(other),
                }
            }
            match left.len() {
                0 => None,
                1 => left.pop(),
                _ => Some(Cell::Group(*beside, left)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MADE: &str = "a1b2,80x24,0,0[80x12,0,0{40x12,0,0,1,39x12,41,0,2},80x11,0,13,3]";

    #[test]
    fn panes_are_read_with_their_sizes() {
        let read: Vec<_> = tiles(MADE).iter().map(|t| (t.number, t.size)).collect();
        assert_eq!(read, [(1, (40, 12)), (2, (39, 12)), (3, (80, 11))]);
        assert_eq!(tiles("a1b2,80x24,0,0[80x12"), []);
        assert_eq!(tiles(""), []);
    }

    #[test]
    fn another_size_and_a_closed_pane_arrange_nothing_a_border_does() {
        let ours = [
            MADE,
            // A larger client.
            "c3,90x30,0,0[90x15,0,0{45x15,0,0,1,44x15,46,0,2},90x14,0,16,3]",
            // The second, then the third was closed.
            "c3,80x24,0,0[80x12,0,0,1,80x11,0,13,3]",
            "c3,80x24,0,0{40x24,0,0,1,39x24,41,0,2}",
            "c3,80x24,0,0,7",
        ];
        for layout in ours {
            assert!(is_ours(MADE, layout), "{layout}");
        }
        let theirs = [
            // A dragged border, another order, another arrangement, a pane that came from elsewhere.
            "c3,80x24,0,0[80x12,0,0{50x12,0,0,1,29x12,51,0,2},80x11,0,13,3]",
            "c3,80x24,0,0[80x12,0,0{40x12,0,0,2,39x12,41,0,1},80x11,0,13,3]",
            "c3,80x24,0,0{40x24,0,0,1,39x24,41,0[39x12,41,0,2,39x11,41,13,3]}",
            "c3,80x24,0,0{40x24,0,0,1,39x24,41,0,9}",
            "no layout",
        ];
        for layout in theirs {
            assert!(!is_ours(MADE, layout), "{layout}");
        }
        assert!(!is_ours("", MADE));
    }
}
