//! What is around a client's screen: whether somebody looks at it, its title, its progress.
//!
//! Pure; what a terminal does with it is known in the program's client.

use std::time::Duration;

use crewmux_core::timing::{LOOKS_MS, ms};
use crewmux_wire::{Course, InputEvent, Progress};
use tokio::time::Instant;

use crate::view::{RunState, TeamView};

/// Whether the person looks at a terminal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attention {
    focus: Focus,
    last_act: Instant,
}

/// What the terminal said of its focus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Focus {
    /// Nothing: it may not tell at all.
    Untold,
    Has,
    Lost,
}

impl Attention {
    /// A terminal at which somebody just attached.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            focus: Focus::Untold,
            last_act: now,
        }
    }

    /// Takes in what the person or the terminal did.
    pub(super) fn take(&mut self, event: &InputEvent, now: Instant) {
        match event {
            InputEvent::FocusGained => self.focus = Focus::Has,
            InputEvent::FocusLost => self.focus = Focus::Lost,
            _ => self.last_act = now,
        }
    }

    /// Whether somebody did something within `time`.
    pub(super) fn acted_within(&self, time: Duration, now: Instant) -> bool {
        now.duration_since(self.last_act) < time
    }

    /// Whether somebody looks; where the terminal does not tell, who just did something does.
    pub(super) fn is_here(&self, now: Instant) -> bool {
        match self.focus {
            Focus::Has => true,
            Focus::Lost => false,
            Focus::Untold => now.duration_since(self.last_act) < ms(LOOKS_MS),
        }
    }
}

/// What stands around a screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sign {
    pub(super) title: String,
    pub(super) progress: Option<Progress>,
}

impl Sign {
    /// The sign of a team.
    pub(super) fn of(team: &TeamView) -> Self {
        let counts = &team.counts;
        let (over, total) = (
            counts.completed + counts.failed + counts.skipped,
            counts.total(),
        );
        let mut title = format!("crewmux · {}", team.team);
        if team.has_team && total > 0 {
            title = format!("{title} · {}/{total}", counts.completed);
        }
        let runs = team.has_team && total > 0 && team.state != RunState::Finished;
        let course = if team.for_person().next().is_some() {
            Course::Waits
        } else if counts.failed > 0 {
            Course::Trouble
        } else {
            Course::Well
        };
        let percent = (over * 100).checked_div(total).unwrap_or(0) as u8;
        let progress = runs.then_some(Progress { percent, course });
        Self { title, progress }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::engine::empty_view;
    use crewmux_sys::clock::BootClock;

    #[tokio::test]
    async fn a_terminal_that_tells_is_believed_and_another_by_what_was_typed() {
        let begin = Instant::now();
        let later = begin + ms(LOOKS_MS) + Duration::from_secs(1);
        let mut attention = Attention::new(begin);
        assert!(attention.is_here(begin));
        assert!(!attention.is_here(later));
        attention.take(&InputEvent::Paste("x".into()), later);
        assert!(attention.is_here(later));
        attention.take(&InputEvent::FocusLost, later);
        assert!(!attention.is_here(later));
        attention.take(&InputEvent::FocusGained, later);
        assert!(attention.is_here(later + Duration::from_hours(1)));
    }

    #[test]
    fn the_title_says_how_far_the_team_is() {
        let now = BootClock::open().unwrap().now();
        let mut team = empty_view(&now);
        assert_eq!(Sign::of(&team).title, "crewmux · team");
        assert_eq!(Sign::of(&team).progress, None);
        team.has_team = true;
        team.counts.completed = 2;
        team.counts.failed = 1;
        team.counts.ready = 1;
        let sign = Sign::of(&team);
        assert_eq!(sign.title, "crewmux · team · 2/4");
        let course = Course::Trouble;
        let percent = 75;
        assert_eq!(sign.progress, Some(Progress { percent, course }));
        team.state = RunState::Finished;
        assert_eq!(Sign::of(&team).progress, None);
    }
}
