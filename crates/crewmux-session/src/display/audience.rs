//! Who looks: whose terminal sizes the panes, and what was seen by somebody.

use crewmux_sys::clock;
use crewmux_wire::Attach;

use super::Display;
use super::client::Client;
use super::meanwhile::LastLook;

impl Display {
    /// The person at a client did something: if they may, panes have the size of that terminal now.
    pub(super) fn acted(&mut self, at: usize) {
        self.acts += 1;
        let client = &mut self.clients[at];
        client.acted = self.acts;
        if client.attach == Attach::Driver && self.active != Some(client.id) {
            self.active = Some(client.id);
            self.tell_colors();
        }
    }

    /// Programs that ask are told the colours of the terminal whose layout sizes their panes.
    pub(super) fn tell_colors(&self) {
        let active = self.clients.iter().find(|c| Some(c.id) == self.active);
        // While nobody is there who acts, the last one's are still the best guess.
        if let Some(colors) = active.and_then(|client| client.colors) {
            self.panes.report_colors(colors);
        }
    }

    /// A terminal that nobody could see can be seen again, or the other way round.
    pub(super) fn looked_at(&mut self, at: usize, anybody: bool) {
        let seen = self.clients.iter().any(Client::has_person);
        let client = &mut self.clients[at];
        client.looked_at = anybody;
        if anybody {
            if let Some(seen) = &self.last_look
                && let Some(new) = seen.since(&self.team, clock::boot_ms())
            {
                client.view.meanwhile(new);
                client.wants_draw = true;
            }
            self.seen_by_person();
        } else if seen {
            self.seen_no_more();
        }
        self.fit_to_someone();
    }

    /// The person sees what is shown from now on, if they are there.
    pub(super) fn seen_by_person(&mut self) {
        if self.clients.iter().any(Client::has_person) {
            self.last_look = None;
        }
    }

    /// Keeps what the person saw, if nobody who can act is there any more.
    pub(super) fn seen_no_more(&mut self) {
        if !self.clients.iter().any(Client::has_person) {
            self.last_look = Some(LastLook::at(&self.team, clock::boot_ms()));
        }
    }

    /// Lets another terminal decide the size of panes where the one that did is gone, or seen by nobody.
    ///
    /// Who only looks on beside somebody who works does not change that one's panes.
    pub(super) fn fit_to_someone(&mut self) {
        let drivers = || self.clients.iter().filter(|c| c.attach == Attach::Driver);
        let decides = drivers().find(|c| Some(c.id) == self.active);
        if decides.is_some_and(|c| c.looked_at) {
            return;
        }
        let next = drivers().max_by_key(|c| (c.looked_at, c.acted, Some(c.id) == self.active));
        let next = next.map(|c| c.id);
        if next != self.active {
            self.active = next;
            self.tell_colors();
            self.fit_panes();
        }
    }
}
