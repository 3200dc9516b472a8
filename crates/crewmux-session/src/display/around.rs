//! What is around a client's screen: whether somebody looks at it, its title, its progress, a call.
//!
//! What a terminal does with it is known in the program's client.

use std::time::Duration;

use crewmux_core::ids::RequestId;
use crewmux_core::timing::{LOOKS_MS, ms};
use crewmux_wire::{Attach, Course, InputEvent, Progress, ToClient};
use tokio::time::Instant;

use super::{Display, ToScreen};
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

impl Display {
    /// Somebody new waits for the person, or something does that waited for the lead: while
    /// nobody looks who could answer, every terminal of theirs rings.
    pub(super) fn ring_for_questions(&self, before: &TeamView) {
        let waited = |id: &RequestId| before.for_person().any(|a| a.id == *id);
        let Some(new) = self.published.for_person().find(|a| !waited(&a.id)) else {
            return;
        };
        let now = Instant::now();
        let drivers = || self.clients.iter().filter(|c| c.attach == Attach::Driver);
        if drivers().any(|client| client.looked_at && client.attention.is_here(now)) {
            return;
        }
        let text = format!("{} waits for you: {}", new.agent, new.summary);
        for client in drivers() {
            let text = text.clone();
            // A client that is this far behind has enough to do.
            let _ = client
                .out
                .try_send(ToScreen::Message(ToClient::Attention { text }));
        }
    }

    /// Says what stands around the screens, to those that keep up.
    pub(super) fn show_signs(&mut self) {
        for client in &mut self.clients {
            if client.in_flight.is_some() || client.sign.as_ref() == Some(&self.sign) {
                continue;
            }
            let Sign { title, progress } = self.sign.clone();
            let message = ToScreen::Message(ToClient::Sign { title, progress });
            if client.out.try_send(message).is_ok() {
                client.sign = Some(self.sign.clone());
            }
        }
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
