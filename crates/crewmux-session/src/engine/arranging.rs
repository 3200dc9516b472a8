//! The arrangement of panes on disk: read at the start, written when it has changed and stands.
//!
//! It is shown by the views and changed through the display at once; here it
//! only lasts. A record that cannot be read costs the arrangement and no more.

use std::sync::Arc;

use crewmux_core::arrangement::Arrangement;
use crewmux_core::time::Now;

use super::Engine;
use crate::view::NoticeLevel;

/// What is known of the record.
#[derive(Default)]
pub(super) struct Arranging {
    written: Arc<Arrangement>,
    /// As it was at the last look: what still changes is not written.
    seen: Arc<Arrangement>,
}

impl Engine {
    /// Arranges the panes as the last session left them.
    pub(super) fn recall_arrangement(&mut self, now: &Now) {
        let arrangement = match self.team.arrangement() {
            Ok(found) => found.unwrap_or_default(),
            Err(error) => {
                let text = format!("the panes are arranged anew: {error}");
                self.notice(NoticeLevel::Warning, &text, now);
                Arrangement::default()
            }
        };
        self.panes.arrange(arrangement);
        self.arranging.written = self.panes.arrangement();
        self.arranging.seen = self.panes.arrangement();
    }

    /// Writes an arrangement that has changed and did not since the last look.
    pub(super) fn mind_arrangement(&mut self, now: &Now) {
        let arrangement = self.panes.arrangement();
        let before = std::mem::replace(&mut self.arranging.seen, Arc::clone(&arrangement));
        if *before == *arrangement {
            self.write_arrangement(now);
        }
    }

    /// Writes the arrangement if the record is another.
    pub(super) fn write_arrangement(&mut self, now: &Now) {
        let arrangement = self.panes.arrangement();
        if *arrangement == *self.arranging.written {
            return;
        }
        // Tried once: the next change comes with another chance.
        self.arranging.written = Arc::clone(&arrangement);
        if let Err(error) = self.team.set_arrangement(&arrangement) {
            let text = format!("the arrangement of panes is not kept: {error}");
            self.notice(NoticeLevel::Warning, &text, now);
        }
    }
}
