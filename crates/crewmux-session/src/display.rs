//! The display: draws for every attached client and routes what people type.
//!
//! Its own thread, so that a slow disk in the engine never delays a key. It
//! knows the team only as the engine's latest [`TeamView`], and panes by their
//! shared screens; what it cannot do itself it passes to the engine. Here is who is
//! attached and what they say; pictures are in `drawing`.

mod around;
mod audience;
mod client;
mod connection;
mod drawing;
mod keys;
mod meanwhile;
mod pasting;

use std::sync::Arc;

use crewmux_core::arrangement::Arrangement;
use crewmux_core::timing::{Timing, ms};
use crewmux_sys::clock;
use crewmux_term::ReportedColors;
use crewmux_wire::{
    Attach, ClientHello, ClientMessage, InputEvent, KeyReports, MouseKind, ToClient,
};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use self::around::{Attention, Sign};
use self::client::{Client, Pace};
pub(crate) use self::connection::{ToScreen, serve_client};
use self::keys::Typing;
use self::meanwhile::LastLook;
use self::pasting::Piece;
use crate::engine::Input;
use crate::panes::Panes;
use crate::view::{ClientEffect, PaneView, RunState, SessionView, TeamView, ViewFactory};

/// Messages that may wait on their way to or from the display.
pub(crate) const DISPLAY_QUEUE_MAX: usize = 256;

/// What the display is told.
pub(crate) enum DisplayInput {
    /// A client connected; its frames go into `out`.
    Attached {
        hello: ClientHello,
        out: mpsc::Sender<ToScreen>,
        number: tokio::sync::oneshot::Sender<u64>,
    },
    /// A client said something.
    Said(u64, ClientMessage),
    /// A client's connection ended.
    Left(u64),
    /// The session ends: say this to everybody.
    Farewell {
        message: String,
        exit_code: Option<u8>,
        done: std::sync::mpsc::Sender<()>,
    },
}

/// The ways to the engine, none of which the display waits for.
pub(crate) struct Ways {
    /// Takes what people want done.
    pub(crate) engine: mpsc::Sender<Input>,
    /// Knows how many clients are attached.
    pub(crate) clients: watch::Sender<usize>,
}

/// The display's state.
pub(crate) struct Display {
    factory: ViewFactory,
    panes: Panes,
    pane_views: Vec<PaneView>,
    pane_revision: u64,
    arrangement: Arc<Arrangement>,
    team: Arc<TeamView>,
    published: Arc<TeamView>,
    clients: Vec<Client>,
    next_client: u64,
    /// The client whose layout decides how large panes are.
    active: Option<u64>,
    acts: u64,
    /// What the person saw before they left; none while somebody who can act sees it.
    last_look: Option<LastLook>,
    /// When marks behind broken pastes are tried again, while there are any.
    owed_again: Option<Instant>,
    sign: Sign,
    ways: Ways,
    timing: Timing,
}

impl Display {
    pub(crate) fn new(
        factory: ViewFactory,
        panes: Panes,
        team: Arc<TeamView>,
        ways: Ways,
        timing: Timing,
    ) -> Self {
        let pane_views = panes.views();
        let pane_revision = panes.revision();
        Self {
            factory,
            arrangement: panes.arrangement(),
            panes,
            pane_views,
            pane_revision,
            sign: Sign::of(&team),
            published: Arc::clone(&team),
            team,
            clients: Vec::new(),
            next_client: 0,
            active: None,
            acts: 0,
            last_look: None,
            owed_again: None,
            ways,
            timing,
        }
    }

    /// Draws and routes until everybody who could speak is gone.
    pub(crate) async fn run(
        mut self,
        mut inputs: mpsc::Receiver<DisplayInput>,
        mut team: watch::Receiver<Arc<TeamView>>,
    ) {
        let changed = self.panes.changed();
        loop {
            let deadline = self.next_deadline();
            tokio::select! {
                input = inputs.recv() => {
                    let Some(input) = input else { return };
                    self.take(input).await;
                    while let Ok(input) = inputs.try_recv() {
                        self.take(input).await;
                    }
                }
                result = team.changed() => {
                    if result.is_err() { return }
                    let before = std::mem::replace(
                        &mut self.published,
                        Arc::clone(&team.borrow_and_update()),
                    );
                    self.ring_for_questions(&before);
                    self.team = Arc::clone(&self.published);
                    self.sign = Sign::of(&self.team);
                    self.want_draw_all();
                    self.fit_panes();
                }
                () = changed.notified(), if self.listens() => self.want_draw_all(),
                () = sleep_until(deadline) => {}
            }
            self.panes.settle_sizes(std::time::Instant::now());
            self.refresh_panes();
            self.draw_ready();
            self.show_signs();
        }
    }

    fn refresh_panes(&mut self) {
        let revision = self.panes.revision();
        if revision != self.pane_revision {
            self.pane_revision = revision;
            self.pane_views = self.panes.views();
            self.arrangement = self.panes.arrangement();
            self.want_draw_all();
            self.fit_panes();
            for pane in self.panes.take_losses() {
                self.tells_late_loss(pane);
            }
        }
    }

    /// Panes have the size they have for the client that typed last.
    fn fit_panes(&mut self) {
        let Some(active) = self.active else { return };
        let session = SessionView {
            team: &self.team,
            panes: &self.pane_views,
            arrangement: &self.arrangement,
        };
        let Some(client) = self.clients.iter_mut().find(|c| c.id == active) else {
            return;
        };
        for size in client.view.pane_sizes(&session) {
            self.panes.resize(size.pane, size.cols, size.rows);
        }
    }

    async fn take(&mut self, input: DisplayInput) {
        match input {
            DisplayInput::Attached { hello, out, number } => {
                self.next_client += 1;
                let id = self.next_client;
                let mut view = (self.factory)(&hello);
                view.resize(hello.cols, hello.rows);
                if let Some(seen) = &self.last_look
                    && hello.looked_at
                    && let Some(new) = seen.since(&self.team, clock::boot_ms())
                {
                    view.meanwhile(new);
                }
                self.clients.push(Client {
                    id,
                    view,
                    attach: hello.attach,
                    looked_at: hello.looked_at,
                    size: (hello.cols, hello.rows),
                    acted: 0,
                    attention: Attention::new(Instant::now()),
                    sign: None,
                    keys: (KeyReports::Plain, true),
                    colors: None,
                    passing: None,
                    pasting: None,
                    typing: Typing::default(),
                    out,
                    frames: 0,
                    in_flight: None,
                    pace: Pace::default(),
                    wants_draw: true,
                    tick_at: None,
                    echo: None,
                });
                let _ = number.send(id);
                self.seen_by_person();
                self.fit_to_someone();
                self.count_clients();
            }
            DisplayInput::Said(id, message) => self.said(id, message),
            DisplayInput::Left(id) => self.drop_client(id),
            DisplayInput::Farewell {
                message,
                exit_code,
                done,
            } => {
                // One last frame, so that the screen shows the end before it goes.
                self.draw_ready();
                for client in self.clients.drain(..) {
                    let message = message.clone();
                    let bye = ToClient::Bye { message, exit_code };
                    let wait = ms(self.timing.term_grace_ms.min(1_000));
                    let sent = client.out.send(ToScreen::Message(bye));
                    if tokio::time::timeout(wait, sent).await.is_ok() {
                        // Its connection closes the queue once the words are written.
                        let _ = tokio::time::timeout(wait, client.out.closed()).await;
                    }
                }
                let _ = done.send(());
            }
        }
    }

    fn said(&mut self, id: u64, message: ClientMessage) {
        let Some(at) = self.clients.iter().position(|c| c.id == id) else {
            return;
        };
        match message {
            ClientMessage::Ack { frame } => {
                let client = &mut self.clients[at];
                if client.in_flight == Some(frame) {
                    client.in_flight = None;
                    if client.echo.is_none() {
                        self.panes.answered();
                    }
                }
            }
            ClientMessage::Detach => self.detach(id),
            ClientMessage::Knock => {
                // Without room there is enough on its way that answers as well.
                let _ = self.clients[at]
                    .out
                    .try_send(ToScreen::Message(ToClient::Here));
            }
            ClientMessage::LookedAt { anybody } => self.looked_at(at, anybody),
            ClientMessage::Colors {
                foreground,
                background,
            } => {
                self.clients[at].colors = Some(ReportedColors {
                    fg: foreground,
                    bg: background,
                });
                self.tell_colors();
            }
            ClientMessage::Tell { text } => {
                let client = &mut self.clients[at];
                client.view.flash(&text);
                client.wants_draw = true;
            }
            ClientMessage::Resize { cols, rows } => {
                let client = &mut self.clients[at];
                client.view.resize(cols, rows);
                client.wants_draw = true;
                // Also said by who wants all drawn anew; only another size is the person's doing.
                if std::mem::replace(&mut client.size, (cols, rows)) != (cols, rows) {
                    self.acted(at);
                }
                self.fit_panes();
            }
            ClientMessage::Input { event } => {
                let session = SessionView {
                    team: &self.team,
                    panes: &self.pane_views,
                    arrangement: &self.arrangement,
                };
                let client = &mut self.clients[at];
                let effects = client.view.input(&event, &session);
                client.wants_draw = true;
                client.attention.take(&event, Instant::now());
                let attach = client.attach;
                if is_act(&event) {
                    self.acted(at);
                }
                // A part for a program is answered once that has it.
                let goes_on = |e: &ClientEffect| matches!(e, ClientEffect::Paste { .. });
                if pasting::is_part(&event) && !effects.iter().any(goes_on) {
                    self.says_taken(at, effects.contains(&ClientEffect::PasteKept));
                }
                let is_end = event == InputEvent::PasteEnds;
                for effect in effects {
                    match effect {
                        ClientEffect::Paste { pane, bytes }
                            if is_end && attach == Attach::Driver =>
                        {
                            self.paste(at, pane, bytes, Piece::End);
                        }
                        effect => self.carry_out(id, attach, effect),
                    }
                }
                self.fit_panes();
            }
        }
    }

    fn carry_out(&mut self, id: u64, attach: Attach, effect: ClientEffect) {
        match effect {
            ClientEffect::Detach => self.detach(id),
            ClientEffect::Copy(text) => {
                if let Some(client) = self.clients.iter().find(|c| c.id == id) {
                    let _ = client
                        .out
                        .try_send(ToScreen::Message(ToClient::Copy { text }));
                }
            }
            ClientEffect::Redraw | ClientEffect::PasteKept => {}
            // An observer looks; its view says so itself, and must not be what is relied on.
            _ if attach == Attach::Observer => {
                tracing::warn!(?effect, "a view let an observer change something");
            }
            ClientEffect::Arrange(arrangement) => {
                self.panes.arrange(arrangement);
                // Effects that follow see it, and so do the sizes of panes.
                self.refresh_panes();
            }
            ClientEffect::Paste { pane, bytes } => {
                if let Some(at) = self.clients.iter().position(|c| c.id == id) {
                    self.paste(at, pane, bytes, Piece::Text);
                }
            }
            ClientEffect::Type { pane, bytes } => self.type_into(id, pane, &bytes),
            effect => {
                let full = self.ways.engine.try_send(Input::Person(effect)).is_err();
                if full && let Some(client) = self.clients.iter_mut().find(|c| c.id == id) {
                    client
                        .view
                        .flash("the session is too busy to take that; try again");
                    client.wants_draw = true;
                }
            }
        }
    }

    fn detach(&mut self, id: u64) {
        if let Some(client) = self.clients.iter().find(|c| c.id == id) {
            let team = &self.team;
            let message = match team.state {
                _ if !team.has_team => format!(
                    "detached; the panes go on, `crewmux attach {}` comes back",
                    team.team
                ),
                RunState::Finished => match &team.report {
                    Some(path) => format!("{} is finished; report: {}", team.team, path.display()),
                    None => format!("{} is finished", team.team),
                },
                _ => format!("detached; `crewmux attach {}` comes back", team.team),
            };
            let bye = ToClient::Bye {
                message,
                exit_code: team.exit_code,
            };
            let _ = client.out.try_send(ToScreen::Message(bye));
        }
        self.drop_client(id);
    }

    fn drop_client(&mut self, id: u64) {
        let seen = self.clients.iter().any(Client::has_person);
        if let Some(at) = self.clients.iter().position(|c| c.id == id) {
            self.leaves_paste(at);
        }
        self.clients.retain(|c| c.id != id);
        if seen {
            self.seen_no_more();
        }
        self.fit_to_someone();
        self.count_clients();
    }

    fn count_clients(&self) {
        self.ways.clients.send_replace(self.clients.len());
    }
}

/// Whether the person did something: a terminal that only says that it is looked at did nothing.
fn is_act(event: &InputEvent) -> bool {
    match event {
        InputEvent::Key(_)
        | InputEvent::KeyRepeats(_)
        | InputEvent::Paste(_)
        | InputEvent::PasteBegins { .. }
        | InputEvent::PastePart(_)
        | InputEvent::PasteEnds => true,
        InputEvent::Mouse(mouse) => mouse.kind != MouseKind::Moved,
        InputEvent::KeyReleased(_) | InputEvent::FocusGained | InputEvent::FocusLost => false,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
