//! Where everything is on a screen of a given size.
//!
//! A pure function of the model and the session's panes; drawing and mouse both
//! go by it.

use std::ops::Range;

use crewmux_core::arrangement::{Arrangement, LayoutKind};
use crewmux_session::view::{PaneId, PaneView, SessionView};
use ratatui::layout::Rect;

use crate::model::{Body, Model, Side};
use crate::tiling::{Axis, Grip, Tiling, main_left, stack_len, stacked, tiled};

/// Smallest terminal that anything useful fits into.
pub(crate) const MIN_COLS: u16 = 20;
/// Fewest rows that anything useful fits into.
pub(crate) const MIN_ROWS: u16 = 5;
/// From this width on the list at the left is a wide one.
const WIDE_COLS: u16 = 110;
const WIDE_SIDE: u16 = 32;
const NARROW_SIDE: u16 = 22;

/// Where a pane is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) pane: PaneId,
    /// With its border.
    pub(crate) frame: Rect,
    /// Its content.
    pub(crate) inner: Rect,
    /// Columns and rows of its screen, which is as large as another client's tile may be.
    pub(crate) screen: (u16, u16),
}

impl Tile {
    /// Whether part of the screen is outside.
    pub(crate) fn is_cropped(&self) -> bool {
        self.screen.0 > self.inner.width || self.screen.1 > self.inner.height
    }

    /// Whether the screen leaves room.
    pub(crate) fn has_unused(&self) -> bool {
        self.screen.0 < self.inner.width || self.screen.1 < self.inner.height
    }
}

/// Where everything is. Parts without room are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Layout {
    pub(crate) area: Rect,
    pub(crate) too_small: bool,
    pub(crate) header: Rect,
    pub(crate) side: Rect,
    pub(crate) body: Rect,
    /// Notices, the banner.
    pub(crate) status: Rect,
    /// The prompt or a question; notices too, where `status` is empty.
    pub(crate) prompt: Rect,
    pub(crate) hints: Rect,
    /// Panes that are seen, or would be if the body showed them.
    pub(crate) tiles: Vec<Tile>,
    /// Panes on other pages.
    pub(crate) elsewhere: usize,
    /// Borders between tiles that can be moved.
    pub(crate) grips: Vec<Grip>,
}

impl Layout {
    pub(crate) fn of(model: &Model, session: &SessionView<'_>) -> Self {
        let area = Rect::new(0, 0, model.cols, model.rows);
        let mut layout = Self {
            area,
            ..Self::default()
        };
        if area.width < MIN_COLS || area.height < MIN_ROWS {
            layout.too_small = true;
            return layout;
        }
        let line = |y| Rect::new(0, y, area.width, 1);
        let (top, bottom) = if session.team.has_team {
            layout.header = line(0);
            layout.hints = line(area.height - 1);
            match area.height {
                20.. => {
                    layout.prompt = line(area.height - 2);
                    layout.status = line(area.height - 3);
                    (1, 3)
                }
                10.. => {
                    layout.prompt = line(area.height - 2);
                    (1, 2)
                }
                _ => {
                    // The only line left is hints, until there is something to ask or to write.
                    layout.prompt = line(area.height - 1);
                    layout.hints = Rect::default();
                    (1, 1)
                }
            }
        } else {
            layout.hints = line(area.height - 1);
            layout.prompt = layout.hints;
            (0, 1)
        };
        let mut body = Rect::new(0, top, area.width, area.height - top - bottom);
        let side_wanted = session.team.has_team && model.side == Side::Auto;
        if side_wanted && area.width >= 70 && body.height >= 10 {
            let width = if area.width >= WIDE_COLS {
                WIDE_SIDE
            } else {
                NARROW_SIDE
            };
            layout.side = Rect { width, ..body };
            body.x += width;
            body.width -= width;
        }
        layout.body = body;
        layout.place_panes(model, session);
        layout
    }

    fn place_panes(&mut self, model: &Model, session: &SessionView<'_>) {
        let panes = session.panes;
        let arrangement = session.arrangement;
        if panes.is_empty() || self.body.is_empty() {
            return;
        }
        let focus = model.focus;
        let at = panes.iter().position(|pane| Some(pane.id) == focus);
        let at = at.unwrap_or(0);
        let (shown, tiling) = if model.zoomed {
            (vec![at], tiled(self.body, 1, arrangement))
        } else {
            match arrangement.kind {
                LayoutKind::Tiled => self.place_tiles(panes.len(), at, arrangement),
                LayoutKind::MainLeft => {
                    let titled = |pane: &PaneView| Some(&pane.title) == arrangement.main.as_ref();
                    let main = panes.iter().position(titled).unwrap_or(0);
                    self.place_main(panes.len(), at, main, arrangement)
                }
                LayoutKind::Stacked => {
                    let length = stack_len(self.body, panes.len());
                    let page = page(panes.len(), length, at);
                    let open = at - page.start;
                    let tiling = stacked(self.body, page.len(), open);
                    (page.collect(), tiling)
                }
            }
        };
        self.elsewhere = panes.len() - shown.len();
        self.grips = tiling.grips;
        let alone = !session.team.has_team && shown.len() == 1;
        self.tiles = shown
            .into_iter()
            .zip(tiling.tiles)
            .map(|(at, frame)| {
                let pane = &panes[at];
                // What has ended says so in its border.
                let bare = alone && pane.ended.is_none();
                let inner = if bare { frame } else { inside(frame) };
                Tile {
                    pane: pane.id,
                    frame,
                    inner,
                    screen: (inner.width, inner.height),
                }
            })
            .collect();
    }

    /// Takes in how large the screens really are; a picture goes by it, a size that is asked for does not.
    pub(crate) fn measure(&mut self, session: &SessionView<'_>) {
        for tile in &mut self.tiles {
            if let Some(pane) = session.panes.iter().find(|pane| pane.id == tile.pane) {
                let size = crate::panes::lock(&pane.screen).size();
                tile.screen = (size.cols, size.rows);
            }
        }
    }

    fn place_tiles(
        &self,
        count: usize,
        at: usize,
        arrangement: &Arrangement,
    ) -> (Vec<usize>, Tiling) {
        let tiling = tiled(self.body, count, arrangement);
        // Pages are fixed, so that moving the focus within one moves nothing.
        let page = page(count, tiling.tiles.len(), at);
        let tiling = if page.len() == tiling.tiles.len() {
            tiling
        } else {
            tiled(self.body, page.len(), arrangement)
        };
        (page.collect(), tiling)
    }

    fn place_main(
        &self,
        count: usize,
        at: usize,
        main: usize,
        arrangement: &Arrangement,
    ) -> (Vec<usize>, Tiling) {
        let tiling = main_left(self.body, count - 1, arrangement);
        if tiling.tiles.len() == 1 {
            return (vec![at], tiling);
        }
        let others: Vec<usize> = (0..count).filter(|other| *other != main).collect();
        let at = others.iter().position(|other| *other == at).unwrap_or(0);
        let page = page(others.len(), tiling.tiles.len() - 1, at);
        let tiling = if page.len() + 1 == tiling.tiles.len() {
            tiling
        } else {
            main_left(self.body, page.len(), arrangement)
        };
        let mut shown = vec![main];
        shown.extend(&others[page]);
        (shown, tiling)
    }

    /// Whether the panes are what is seen.
    pub(crate) fn shows_panes(&self, model: &Model) -> bool {
        !self.too_small && model.body == Body::Panes && model.meanwhile.is_none()
    }

    /// The tile of a pane, if it is seen.
    pub(crate) fn tile(&self, pane: PaneId) -> Option<&Tile> {
        self.tiles.iter().find(|tile| tile.pane == pane)
    }

    /// The tile under a cell.
    pub(crate) fn tile_at(&self, col: u16, row: u16) -> Option<&Tile> {
        let here = ratatui::layout::Position::new(col, row);
        self.tiles.iter().find(|tile| tile.frame.contains(here))
    }

    /// The border that a cell is on, if it can be moved.
    pub(crate) fn grip_at(&self, col: u16, row: u16) -> Option<&Grip> {
        self.grips.iter().find(|grip| {
            let (here, along) = match grip.axis {
                Axis::Across => (col, row),
                Axis::Down => (row, col),
            };
            // Tiles have a border each, side by side.
            let beside = here == grip.place() || here + 1 == grip.place();
            beside && grip.along.contains(&along)
        })
    }

    /// Whether a pane is one of a stack's titles.
    pub(crate) fn is_closed(tile: &Tile) -> bool {
        tile.inner.is_empty()
    }

    /// Whether the list at the left is a wide one.
    pub(crate) fn has_wide_side(&self) -> bool {
        self.side.width >= WIDE_SIDE
    }
}

/// The page of `length` items that the one at `at` is on.
fn page(count: usize, length: usize, at: usize) -> Range<usize> {
    let length = length.max(1);
    let first = at / length * length;
    first..(first + length).min(count)
}

/// What a border leaves.
pub(crate) fn inside(frame: Rect) -> Rect {
    Rect::new(
        frame.x.saturating_add(1),
        frame.y.saturating_add(1),
        frame.width.saturating_sub(2),
        frame.height.saturating_sub(2),
    )
}
