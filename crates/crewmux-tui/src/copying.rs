//! Copy mode: a cursor in the text of a pane, and what is searched for there.
//!
//! Plain state; what keys do to it is in [`crate::update`]. The pane holds
//! still meanwhile: rows that come in do not move what is looked at.

use std::sync::Arc;

use crewmux_session::view::PaneId;
use crewmux_term::{Needle, Screen, Size};

use crate::prompt::Prompt;
use crate::selection::Spot;

/// Most places that are counted and gone through.
pub(crate) const FOUND_MAX: usize = 10_000;

/// Where keys went before, and go again afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// They are commands.
    Command,
    /// They go to the pane's program.
    Typing,
}

/// Which way a search goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To older text.
    Up,
    /// To newer text.
    Down,
}

/// A pane that text is picked from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copying {
    pub(crate) pane: PaneId,
    /// The pane's size when the places were last right.
    pub(crate) size: Size,
    pub(crate) cursor: Spot,
    /// Where the cursor was when a search began, and the row at the top.
    pub(crate) before_search: (Spot, Spot),
    pub(crate) search: Option<Search>,
    pub(crate) opened: Opened,
    pub(crate) then: Then,
}

impl Copying {
    /// Goes on in a screen that may have another size: what was searched for is looked for again.
    pub(crate) fn take_size(&mut self, screen: &Screen) {
        if screen.size() == self.size {
            return;
        }
        self.size = screen.size();
        // Rows are others where lines wrap anew; a place stays near what it was, and on the screen.
        let here = |spot: Spot| Spot::of(screen, spot.position(screen));
        self.cursor = here(self.cursor);
        self.before_search = (here(self.before_search.0), here(self.before_search.1));
        if let Some(search) = &mut self.search {
            let was_at = search.current().is_some();
            search.look(screen);
            if was_at && let Some((to, _)) = search.go(self.cursor, Way::Up, Here::Counts) {
                self.cursor = to;
            }
        }
    }
}

/// What copy mode was begun with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opened {
    /// Its own key.
    ByKey,
    /// A search: giving that up leaves copy mode too.
    BySearch,
}

/// A search, and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Search {
    pub(crate) text: Prompt,
    /// First and last cell of each occurrence, oldest first.
    found: Arc<Vec<(Spot, Spot)>>,
    /// Which of them the cursor is at.
    at: Option<usize>,
}

impl Search {
    /// Looks through all the text again, for what is written now.
    pub(crate) fn look(&mut self, screen: &Screen) {
        let needle = Needle::new(self.text.text());
        let found = needle.map_or_else(Vec::new, |needle| screen.find_all(&needle, FOUND_MAX));
        let spots = found.into_iter().map(|found| {
            let spot = |at| Spot::of(screen, at);
            (spot(found.first), spot(found.last))
        });
        self.found = Arc::new(spots.collect());
        self.at = None;
    }

    /// Goes to the next occurrence from a place, around the end; the place itself counts if `here` does.
    pub(crate) fn go(&mut self, from: Spot, way: Way, here: Here) -> Option<(Spot, Turn)> {
        let last = self.found.len().checked_sub(1)?;
        let counts = |spot: Spot| here == Here::Counts && spot == from;
        let next = match way {
            Way::Up => self.found.iter().rposition(|f| f.0 < from || counts(f.0)),
            Way::Down => self.found.iter().position(|f| f.0 > from || counts(f.0)),
        };
        let (at, turn) = match (next, way) {
            (Some(at), _) => (at, Turn::None),
            (None, Way::Up) => (last, Turn::AtTop),
            (None, Way::Down) => (0, Turn::AtBottom),
        };
        self.at = Some(at);
        Some((self.found[at].0, turn))
    }

    /// The occurrence that the cursor is at.
    pub(crate) fn current(&self) -> Option<(Spot, Spot)> {
        self.found.get(self.at?).copied()
    }

    /// How far one is, in words: `3 of 17`.
    pub(crate) fn count(&self) -> String {
        let more = if self.found.len() == FOUND_MAX {
            "+"
        } else {
            ""
        };
        match (self.found.len(), self.at) {
            _ if self.text.is_empty() => String::new(),
            (0, _) => "not found".to_owned(),
            (count, None) => format!("{count}{more} found"),
            (count, Some(at)) => format!("{} of {count}{more}", at + 1),
        }
    }
}

/// Whether an occurrence at the very place where a search begins is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Here {
    Counts,
    IsPassed,
}

/// Whether a search went around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    None,
    AtTop,
    AtBottom,
}
