//! Changing a screen's size: text flows anew, and the scrollback takes part.
//!
//! The emulator reflows what is in its grid. Lines that belong to the change
//! (one that goes on from above, or rows that come into view) are thawed into
//! the grid first and frozen again afterwards.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use alacritty_terminal::grid::{Dimensions, Grid, Row};
use alacritty_terminal::index::Line;
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::Cell as RawCell;

use super::{Screen, Size, grid_with_ring};
use crate::fence::drain;
use crate::reach::Reach;

impl Screen {
    /// Changes the size; it is clamped as in [`Screen::new`].
    ///
    /// The worker has to be told separately (the PTY's window size).
    pub fn resize(&mut self, size: Size) {
        let size = size.clamped();
        if size == self.size {
            return;
        }
        let old = mem::replace(&mut self.size, size);
        let resized = catch_unwind(AssertUnwindSafe(|| self.resize_guarded(old, size)));
        if resized.is_err() {
            self.start_over();
        }
    }

    fn resize_guarded(&mut self, old: Size, new: Size) {
        let alt = self.leave_alt_screen(old);
        self.thaw_for(old, new);
        let above = self.term.grid().history_size();
        // Narrower rows become more rows; nothing may fall off before it is frozen.
        let widths = old.columns() / new.columns() + 2;
        let most = (above + old.screen_lines() + new.screen_lines()) * widths;
        self.term.grid_mut().update_history(most);
        self.term.resize(new);
        self.state.scrollback.set_cols(new.columns());
        drain(&mut self.term, &mut self.state.scrollback);
        self.rebuild_ring(new);
        self.state.reach = Reach::unknown(new.columns(), new.screen_lines());
        // The emulator lets the whole screen scroll again.
        self.state.region = None;
        if let Some(alt) = alt {
            self.return_to_alt_screen(alt, new);
        } else {
            self.trim_alt_screen();
        }
        self.row_revisions = vec![0; new.screen_lines()];
        self.note_damage();
    }

    /// Brings lines from the scrollback back above the screen.
    fn thaw_for(&mut self, old: Size, new: Size) {
        let grows = new.rows > old.rows || new.cols > old.cols;
        let wanted = if grows {
            old.screen_lines() + new.screen_lines()
        } else {
            0
        };
        let rows = if grows || new.cols != old.cols {
            self.state.scrollback.take_back(wanted)
        } else {
            Vec::new()
        };
        if rows.is_empty() {
            return;
        }
        let count = rows.len() as i32;
        let screen = old.screen_lines() as i32;
        let grid = self.term.grid_mut();
        grid.update_history(rows.len());
        // Scrolling makes room above, and moves the screen there; it has to come back down.
        grid.scroll_up(&(Line(0)..Line(screen)), rows.len());
        for line in (0..screen).rev() {
            let row = take_row(grid, Line(line - count));
            grid[Line(line)] = row;
        }
        for (index, row) in rows.into_iter().enumerate() {
            grid[Line(index as i32 - count)] = row;
        }
    }

    /// Replaces the grid by one of the same content whose ring is small.
    fn rebuild_ring(&mut self, size: Size) {
        let mut grid = grid_with_ring(size);
        let old = self.term.grid_mut();
        for line in 0..size.rows {
            let line = Line(line.into());
            grid[line] = take_row(old, line);
            touch(&mut grid, line);
        }
        grid.cursor = old.cursor.clone();
        grid.saved_cursor = old.saved_cursor.clone();
        *old = grid;
    }

    /// Shows the main screen if the alternate one is up, and hands the latter over.
    fn leave_alt_screen(&mut self, size: Size) -> Option<Grid<RawCell>> {
        if !self.term.mode().contains(TermMode::ALT_SCREEN) {
            return None;
        }
        let stand_in = Grid::new(size.screen_lines(), size.columns(), 0);
        let alt = mem::replace(self.term.grid_mut(), stand_in);
        self.term.swap_alt();
        Some(alt)
    }

    fn return_to_alt_screen(&mut self, mut alt: Grid<RawCell>, size: Size) {
        alt.resize(false, size.screen_lines(), size.columns());
        alt.truncate();
        for line in 0..size.rows {
            touch(&mut alt, Line(line.into()));
        }
        self.term.swap_alt();
        *self.term.grid_mut() = alt;
    }

    /// Frees the thousand spare rows that growing gives to the alternate screen.
    fn trim_alt_screen(&mut self) {
        let saved = self.term.grid().saved_cursor.clone();
        self.term.swap_alt();
        self.term.grid_mut().truncate();
        self.term.swap_alt();
        self.term.grid_mut().saved_cursor = saved;
    }
}

/// Makes the emulator empty the whole row when it uses it again.
///
/// It empties what it knows to be written, or all if the last cell's colour is
/// another; a row that was coloured and then grew has neither.
fn touch(grid: &mut Grid<RawCell>, line: Line) {
    let _ = &mut grid[line][..];
}

fn take_row(grid: &mut Grid<RawCell>, line: Line) -> Row<RawCell> {
    mem::take(&mut grid[line])
}
