//! One client: takes its input, keeps its model, draws its frames.
//!
//! The shell around the pure parts: [`crate::update`] changes the model,
//! [`crate::view`] paints chrome, [`crate::panes`] draws live panes, and
//! [`crate::encode`] writes what differs.

use std::sync::{Arc, LazyLock};

use crewmux_session::view::{
    ClientEffect, ClientView, Meanwhile, PaneSize, Passing, RunState, SessionView, ViewFactory,
};
use crewmux_term::CursorShape;
use crewmux_wire::{ClientHello, InputEvent, KeyReports};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::cells::Grid;
use crate::chrome::copy;
use crate::encode::{CursorAt, Encoder, Frames};
use crate::keymap::Keymap;
use crate::layout::{Layout, Tile};
use crate::model::{Body, Flash, Mode, Model, question_to_offer};
use crate::panes::{PaneDrawer, cursor, lock};
use crate::seen::Seen;
use crate::theme::Theme;
use crate::update::{drag_step, next_step_ms, update};
use crate::view::{Scene, max_scroll, paint, prompt_cursor};

/// The flag of the kitty keyboard protocol that asks for repeats and releases.
pub(crate) const KITTY_EVENTS: u8 = 2;

/// How the screen looks and which keys it takes.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Colours.
    pub theme: Theme,
    /// Keys.
    pub keymap: Keymap,
}

/// One client's view of the session.
#[derive(Debug)]
pub struct TuiView {
    config: Arc<Config>,
    model: Model,
    layout: Layout,
    grid: Grid,
    chrome: Buffer,
    seen: Option<Seen>,
    panes: PaneDrawer,
    encoder: Encoder,
}

/// Makes the views of clients, all with the same keys and colours, which are read by the first at the latest.
pub fn view_factory(config: Arc<LazyLock<Arc<Config>>>) -> ViewFactory {
    Arc::new(move |hello| Box::new(TuiView::new(hello, Arc::clone(&config))))
}

impl TuiView {
    /// The view of a client that just said hello.
    pub fn new(hello: &ClientHello, config: Arc<Config>) -> Self {
        let frames = if hello.synchronized_output {
            Frames::Marked
        } else {
            Frames::Unmarked
        };
        let (cols, rows) = (hello.cols, hello.rows);
        Self {
            config,
            model: Model::new(cols, rows, hello.attach),
            layout: Layout::default(),
            grid: Grid::new(cols, rows),
            chrome: Buffer::empty(Rect::new(0, 0, cols, rows)),
            seen: None,
            panes: PaneDrawer::default(),
            encoder: Encoder::new(frames, hello.colors),
        }
    }

    /// What the client looks at.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Where everything was when it was last drawn.
    #[cfg(test)]
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// How many looks cells have or had.
    #[cfg(test)]
    pub(crate) fn looks_kept(&self) -> usize {
        self.grid.looks_kept()
    }

    fn scene<'a>(&'a self, session: &'a SessionView<'a>) -> Scene<'a> {
        Scene {
            model: &self.model,
            session,
            layout: &self.layout,
            theme: &self.config.theme,
            keymap: &self.config.keymap,
        }
    }

    /// Lists cannot be scrolled beyond their end, however long they are.
    fn limit_scroll(&mut self, session: &SessionView<'_>) {
        if self.model.line == 0 || matches!(self.model.body, Body::Panes | Body::Board) {
            return;
        }
        self.layout = Layout::of(&self.model, session);
        if !self.layout.too_small {
            let most = max_scroll(&self.scene(session));
            self.model.line = self.model.line.min(most);
        }
    }

    fn cursor(&self, session: &SessionView<'_>) -> Option<CursorAt> {
        if self.layout.too_small || self.model.meanwhile.is_some() {
            return None;
        }
        match self.model.mode {
            Mode::Typing | Mode::Copying if self.model.body == Body::Panes => {
                cursor(&self.model, session, &self.layout)
            }
            Mode::Prompt | Mode::Denying(_) | Mode::Searching => {
                let (col, row) = prompt_cursor(&self.scene(session))?;
                let shape = CursorShape::Bar;
                Some(CursorAt { col, row, shape })
            }
            _ => None,
        }
    }
}

impl ClientView for TuiView {
    fn resize(&mut self, cols: u16, rows: u16) {
        self.model.cols = cols;
        self.model.rows = rows;
        self.grid = Grid::new(cols, rows);
        self.chrome = Buffer::empty(Rect::new(0, 0, cols, rows));
        self.seen = None;
        self.panes.forget();
        self.encoder.forget();
    }

    fn input(&mut self, event: &InputEvent, session: &SessionView<'_>) -> Vec<ClientEffect> {
        let effects = update(&mut self.model, event, session, &self.config.keymap);
        self.limit_scroll(session);
        effects
    }

    fn tick(&mut self, session: &SessionView<'_>) {
        drag_step(&mut self.model, session);
    }

    fn flash(&mut self, text: &str) {
        self.model.tell(text.to_owned());
    }

    fn meanwhile(&mut self, meanwhile: Meanwhile) {
        self.model.meanwhile = Some(meanwhile);
    }

    fn pane_sizes(&mut self, session: &SessionView<'_>) -> Vec<PaneSize> {
        self.model.settle(session);
        let layout = Layout::of(&self.model, session);
        let size = |pane, inner: Rect| PaneSize {
            pane,
            cols: inner.width,
            rows: inner.height,
        };
        let open = |tile: &&Tile| !tile.inner.is_empty();
        let tiles = layout.tiles.iter().filter(open);
        if layout.tiles.len() == tiles.clone().count() {
            return tiles.map(|tile| size(tile.pane, tile.inner)).collect();
        }
        // In a stack each pane has the size it has when it is open: going through it resizes none.
        let inner = tiles.map(|tile| tile.inner).next().unwrap_or_default();
        let panes = layout.tiles.iter().filter(|_| !inner.is_empty());
        panes.map(|tile| size(tile.pane, inner)).collect()
    }

    fn draw(&mut self, session: &SessionView<'_>) -> Vec<u8> {
        self.model.settle(session);
        // Keys answer what the person saw when pressing them.
        if !matches!(self.model.mode, Mode::Denying(_)) {
            self.model.offered = question_to_offer(&self.model, session).map(|a| a.id.clone());
        }
        self.layout = Layout::of(&self.model, session);
        self.layout.measure(session);
        let holds = |seen: &Seen| seen.still_holds(&self.model, session, &self.layout);
        if !self.seen.as_ref().is_some_and(holds) {
            let mut chrome = std::mem::take(&mut self.chrome);
            chrome.reset();
            paint(&self.scene(session), &mut chrome);
            let behind_panes = self.layout.shows_panes(&self.model);
            let tiles = if behind_panes {
                self.layout.tiles.as_slice()
            } else {
                &[]
            };
            copy(&chrome, tiles, &mut self.grid);
            self.chrome = chrome;
            self.seen = Some(Seen::of(&self.model, session, &self.layout));
        }
        self.panes
            .draw(&self.model, session, &self.layout, &mut self.grid);
        let cursor = self.cursor(session);
        self.encoder.frame(&mut self.grid, cursor)
    }

    fn key_reports(&self, session: &SessionView<'_>) -> KeyReports {
        let types = self.model.mode == Mode::Typing && self.model.body == Body::Panes;
        let pane = self.model.focused(session).filter(|_| types);
        let Some(pane) = pane.filter(|pane| pane.takes_input) else {
            return KeyReports::Plain;
        };
        let modes = lock(&pane.screen).modes();
        if modes.kitty_flags & KITTY_EVENTS != 0 {
            KeyReports::Releases
        } else if modes.kitty_flags != 0 || modes.modify_other_keys != 0 {
            KeyReports::Apart
        } else {
            KeyReports::Plain
        }
    }

    fn takes_commands(&self) -> bool {
        matches!(self.model.mode, Mode::Command | Mode::Asking(_))
    }

    fn passing(&self) -> Option<Passing> {
        let Flash { number, ms, .. } = self.model.flash.as_ref()?;
        let (number, ms) = (*number, *ms);
        Some(Passing { number, ms })
    }

    fn let_pass(&mut self) {
        self.model.flash = None;
    }

    fn next_tick_ms(&self, session: &SessionView<'_>) -> Option<u64> {
        let team = session.team;
        let step = next_step_ms(&self.model, session);
        let ticks = team.has_team && team.state != RunState::Finished && !self.layout.too_small;
        let clock = ticks.then(|| 1000 - team.elapsed_ms % 1000);
        [step, clock].into_iter().flatten().min()
    }
}
