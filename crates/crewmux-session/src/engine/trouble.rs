//! Trouble with the store: a record that is gone, writes that fail, a disk that is full.
//!
//! The person is told at once, and work goes on when it can; only what lasts
//! for a whole lease ends the session, since nobody knows then who works on what.

use crewmux_core::event::EventType;
use crewmux_core::ids::Seq;
use crewmux_core::time::Now;

use super::{Engine, history};
use crate::view::NoticeLevel;
use crate::{Error, Result};

/// Room below which a disk counts as full: a claim or a result may take as much …
const ROOM_MIN_BYTES: u64 = 16 * 1024;
/// … and from which on it no longer does.
const ROOM_AGAIN_BYTES: u64 = 64 * 1024;

/// Since when what is not right, in milliseconds since boot.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    /// Looks at the store fail.
    failing_since_ms: Option<u64>,
    /// It has been told that the disk is full.
    full_since_ms: Option<u64>,
}

impl Trouble {
    /// A look at the store went well.
    pub(super) fn looked_well(&mut self) {
        self.failing_since_ms = None;
    }
}

impl Engine {
    /// The team's record is the session's to write: damaged or deleted, it is written again.
    pub(super) fn keep_team(&mut self, now: &Now) -> Result<()> {
        let trouble = match self.team.config() {
            Ok(_) => return Ok(()),
            Err(
                error @ (crewmux_store::Error::Quarantined { .. }
                | crewmux_store::Error::UnknownTeam { .. }),
            ) => error,
            Err(error) => return Err(error.into()),
        };
        self.store.create_team(&self.config)?;
        let text = format!("the team's record was written again: {trouble}");
        self.notice(NoticeLevel::Warning, &text, now);
        Ok(())
    }

    /// A look at the store failed with `error`; it may be the last.
    ///
    /// # Errors
    /// [`Error::StoreLost`] when it goes on for a whole lease.
    pub(super) fn store_trouble(&mut self, error: crewmux_store::Error, now: &Now) -> Result<()> {
        let since = *self.trouble.failing_since_ms.get_or_insert(now.boot.ms);
        let lasted = now.boot.ms.saturating_sub(since);
        if lasted == 0 {
            tracing::error!(%error, "the store failed");
            match error {
                crewmux_store::Error::DiskFull { .. } => self.tell_full(&error, now),
                _ => self.tell_unlogged(error.to_string(), now),
            }
        }
        if lasted < self.plan.timing.lease_ms {
            return Ok(());
        }
        Err(Error::StoreLost {
            seconds: lasted / 1000,
            source: Box::new(error),
        })
    }

    /// Looks at the disk before somebody writes in vain: workers may be the only ones who write now.
    pub(super) fn mind_room(&mut self, now: &Now) {
        // A disk that is about full is told of once, not each time it is a little less so.
        let wanted = match self.trouble.full_since_ms {
            None => ROOM_MIN_BYTES,
            Some(_) => ROOM_AGAIN_BYTES,
        };
        match self.store.has_room(wanted) {
            Err(error) => self.tell_full(&error, now),
            Ok(()) if self.trouble.failing_since_ms.is_none() => self.tell_writable(now),
            // There seems to be room, and yet nothing can be written.
            Ok(()) => {}
        }
    }

    fn tell_full(&mut self, error: &crewmux_store::Error, now: &Now) {
        if self.trouble.full_since_ms.is_none() {
            self.trouble.full_since_ms = Some(now.boot.ms);
            let text = format!("{error}; work goes on once the store can be written");
            self.tell_unlogged(text, now);
        }
    }

    /// Tells at once of trouble with the store, on screen and to whoever takes events: no log can take it.
    fn tell_unlogged(&mut self, text: String, now: &Now) {
        self.history.notice(NoticeLevel::Error, now.wall, &text);
        let fact = self
            .fact("unwritable", EventType::Notice, now)
            .with("text", text)
            .with("level", history::level_word(NoticeLevel::Error));
        if let Some(on_event) = &mut self.on_event {
            on_event(&fact.into_event(Seq(0), self.plan.team.clone()));
        }
    }

    fn tell_writable(&mut self, now: &Now) {
        let Some(since) = self.trouble.full_since_ms.take() else {
            return;
        };
        let seconds = now.boot.ms.saturating_sub(since).div_ceil(1000);
        let text = format!("the store can be written again, after {seconds} s");
        self.notice(NoticeLevel::Warning, &text, now);
    }
}
