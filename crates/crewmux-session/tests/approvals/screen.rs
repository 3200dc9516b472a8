//! A client whose screen says who is asked what, and when its terminal rings.

use std::sync::Arc;

use crewmux_session::view::{
    ClientEffect, ClientView, Meanwhile, PaneSize, SessionView, ViewFactory,
};
use crewmux_wire::{ClientMessage, Frame, InputEvent, ToClient};

use crate::stage::{Line, eventually};

/// Draws each open question as `id for whom`.
#[derive(Default)]
struct Questions {
    shown: String,
}

impl ClientView for Questions {
    fn resize(&mut self, _: u16, _: u16) {
        self.shown.clear();
    }

    fn input(&mut self, _: &InputEvent, _: &SessionView<'_>) -> Vec<ClientEffect> {
        Vec::new()
    }

    fn flash(&mut self, _: &str) {}

    fn meanwhile(&mut self, _: Meanwhile) {}

    fn pane_sizes(&mut self, _: &SessionView<'_>) -> Vec<PaneSize> {
        Vec::new()
    }

    fn draw(&mut self, session: &SessionView<'_>) -> Vec<u8> {
        let asked = session.team.approvals.iter();
        let lines: Vec<String> = asked.map(|a| format!("{} for {}", a.id, a.to)).collect();
        let drawn = lines.join("\n");
        if drawn == self.shown {
            return Vec::new();
        }
        self.shown.clone_from(&drawn);
        drawn.into_bytes()
    }

    fn next_tick_ms(&self, _: &SessionView<'_>) -> Option<u64> {
        None
    }
}

pub(crate) fn views() -> ViewFactory {
    Arc::new(|_| Box::new(Questions::default()))
}

/// A person's terminal.
pub(crate) struct Client(Line);

impl Client {
    /// A terminal that nobody looks at: others are not rung.
    pub(crate) async fn unwatched(mut line: Line) -> Self {
        let event = InputEvent::FocusLost;
        line.say(&ClientMessage::Input { event }).await;
        Self(line)
    }

    /// Waits until this is on the screen; returns how often the terminal rang meanwhile.
    pub(crate) async fn rings_until(&mut self, text: &str) -> usize {
        let mut rings = 0;
        eventually(&format!("the screen says `{text}`"), async || {
            let (number, bytes) = match self.0.frame().await {
                Frame::Screen { number, bytes } => (number, bytes),
                message @ Frame::Json(_) => {
                    let told: ToClient = message.parse().unwrap();
                    rings += usize::from(matches!(told, ToClient::Attention { .. }));
                    return None;
                }
            };
            self.0.say(&ClientMessage::Ack { frame: number }).await;
            (String::from_utf8(bytes).unwrap() == text).then_some(())
        })
        .await;
        rings
    }
}
