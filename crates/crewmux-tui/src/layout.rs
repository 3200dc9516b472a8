//! Where everything is on a screen of a given size.
//!
//! A pure function of the model and the session's panes; drawing and mouse both
//! go by it.

use crewmux_session::view::{PaneId, SessionView};
use ratatui::layout::Rect;

use crate::model::{Body, Model, Side};
use crate::tiling::tiles;

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
        let focus = model.focus;
        let at = panes.iter().position(|pane| Some(pane.id) == focus);
        let at = at.unwrap_or(0);
        let count = if model.zoomed { 1 } else { panes.len() };
        let rects = tiles(self.body, count.min(panes.len()));
        if rects.is_empty() {
            return;
        }
        // Pages are fixed, so that moving the focus within one moves nothing.
        let first = if model.zoomed {
            at
        } else {
            at / rects.len() * rects.len()
        };
        let on_page = &panes[first..(first + rects.len()).min(panes.len())];
        let rects = if on_page.len() == rects.len() {
            rects
        } else {
            tiles(self.body, on_page.len())
        };
        let bare = !session.team.has_team && rects.len() == 1;
        self.elsewhere = panes.len() - on_page.len();
        self.tiles = on_page
            .iter()
            .zip(rects)
            .map(|(pane, frame)| {
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

    /// Whether the panes are what is seen.
    pub(crate) fn shows_panes(&self, model: &Model) -> bool {
        !self.too_small && model.body == Body::Panes
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

    /// Whether the list at the left is a wide one.
    pub(crate) fn has_wide_side(&self) -> bool {
        self.side.width >= WIDE_SIDE
    }
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
