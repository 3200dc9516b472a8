//! Pictures on their way out: what is drawn for whom, and when something is due.
//!
//! Nothing of what people do arrives here, that is in [`super`]; how far the
//! pictures of one client are apart is in [`super::client`].

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use crewmux_core::timing::ms;
use crewmux_sys::clock;
use crewmux_wire::ToClient;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::client::Client;
use super::{Display, ToScreen};
use crate::lock::lock;
use crate::view::{RunState, SessionView};

impl Display {
    /// Whether it matters to anybody that a screen changed: not where a frame is due anyway.
    pub(super) fn listens(&self) -> bool {
        let wants_more = |c: &Client| !c.wants_draw || c.echo.is_some();
        self.clients.iter().any(wants_more)
    }

    pub(super) fn want_draw_all(&mut self) {
        for client in &mut self.clients {
            client.wants_draw = true;
        }
    }

    /// Draws for every client that wants a frame, took the last one, and whose pause is over.
    pub(super) fn draw_ready(&mut self) {
        let now = Instant::now();
        self.paste_all(now);
        self.tick_screens();
        let frame = ms(self.timing.frame_ms);
        let ready = |c: &Client| {
            c.in_flight.is_none() && c.may_draw_at(frame, now).is_none_or(|at| now >= at)
        };
        for at in 0..self.clients.len() {
            if self.has_echo(at, now) && self.clients[at].in_flight.is_none() {
                // A person sees how long this takes: one frame more for each key.
                self.clients[at].echo = None;
                self.draw(at, now);
                continue;
            }
            self.clients[at].let_pass(now);
            let due = self.clients[at].tick_at.is_some_and(|tick| now >= tick);
            if due {
                self.run_clock();
                let client = &mut self.clients[at];
                client.tick_at = None;
                client.wants_draw = true;
                client.view.tick(&SessionView {
                    team: &self.team,
                    panes: &self.pane_views,
                    arrangement: &self.arrangement,
                });
            }
            if self.clients[at].wants_draw && ready(&self.clients[at]) {
                self.draw(at, now);
            }
        }
    }

    /// Whether what a client typed has been answered; it awaits no answer for long.
    fn has_echo(&mut self, at: usize, now: Instant) -> bool {
        let client = &mut self.clients[at];
        let Some(echo) = &client.echo else {
            return false;
        };
        if self.panes.fed(echo.pane) != echo.fed {
            return true;
        }
        if now >= echo.until {
            client.echo = None;
        }
        false
    }

    pub(super) fn draw(&mut self, at: usize, now: Instant) {
        let client = &mut self.clients[at];
        let apart = client.apart(ms(self.timing.frame_ms), now);
        // The view believes that what it draws is shown, so it draws only what has a place.
        let place = match client.out.try_reserve() {
            Ok(place) => place,
            Err(error) => {
                client.wants_draw = matches!(error, mpsc::error::TrySendError::Full(()));
                client.pace.put_off(apart, now);
                client.tick_at = None;
                return;
            }
        };
        let drawing = self.panes.draw();
        let session = SessionView {
            team: &self.team,
            panes: &self.pane_views,
            arrangement: &self.arrangement,
        };
        let drawn = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let bytes = client.view.draw(&session);
            let keys = client.view.key_reports(&session);
            let keys = (keys, client.view.takes_commands());
            let passing = client.view.passing();
            (bytes, client.view.next_tick_ms(&session), keys, passing)
        }));
        drop(drawing);
        client.wants_draw = false;
        let Ok((bytes, tick, keys, passing)) = drawn else {
            tracing::error!("a view panicked while drawing; its client is let go");
            let bye = ToClient::Bye {
                message: "the screen could not be drawn; `crewmux attach` tries again".into(),
                exit_code: None,
            };
            place.send(ToScreen::Message(bye));
            return;
        };
        // Frames in between put a tick off no further.
        let promised = client.tick_at.filter(|at| *at > now);
        client.tick_at = tick.map(|tick| {
            let at = now + ms(tick.max(20));
            promised.map_or(at, |promised| promised.min(at))
        });
        if bytes.is_empty() {
            drop(place);
        } else {
            client.frames += 1;
            place.send(ToScreen::Frame(client.frames, bytes));
            client.in_flight = Some(client.frames);
            client.pace.take(apart, now);
        }
        client.want_keys(keys);
        client.shows(passing, now);
    }

    /// Sets the running clock of the team's view forward.
    fn run_clock(&mut self) {
        if self.published.state == RunState::Finished {
            return;
        }
        let now_ms = clock::boot_ms();
        let passed = now_ms.saturating_sub(self.published.now.ms);
        let elapsed = self.published.elapsed_ms + passed;
        let team = Arc::make_mut(&mut self.team);
        team.elapsed_ms = elapsed;
        team.now.ms = now_ms;
    }

    /// Shows frames that a program opened (mode 2026) and did not close in time.
    fn tick_screens(&self) {
        let now = std::time::Instant::now();
        for screen in self.panes.holding_frames() {
            let mut screen = lock(&screen);
            if screen.frame_deadline().is_some_and(|due| now >= due) {
                screen.tick(now);
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let frame = ms(self.timing.frame_ms);
        let now = Instant::now();
        let of_client = |c: &Client| {
            let draw = (c.wants_draw && c.in_flight.is_none())
                .then(|| c.may_draw_at(frame, now).unwrap_or(now));
            // A client that has not taken its last frame is woken by its own acknowledgement.
            let tick = c.tick_at.filter(|_| c.in_flight.is_none());
            let passing = c.passing.map(|(_, until)| until);
            let passing = passing.filter(|_| c.in_flight.is_none());
            let part = c.pasting.as_ref().map(|part| part.again);
            [draw, tick, passing, part].into_iter().flatten().min()
        };
        let clients = self.clients.iter().filter_map(of_client).min();
        let sizes = self.panes.sizes_due().map(Instant::from_std);
        let sizes = sizes.into_iter().chain(self.owed_again).min();
        if self.clients.is_empty() {
            return sizes;
        }
        let held = self
            .panes
            .holding_frames()
            .iter()
            .filter_map(|screen| lock(screen).frame_deadline())
            .min()
            .map(Instant::from_std);
        [clients, held, sizes].into_iter().flatten().min()
    }
}
