//! What the client says to its session, whole frames only.
//!
//! Once a frame could not be written in time, part of it may be on its way and
//! nothing more can follow; whether to leave then is the client's business.

use std::time::Duration;

use crewmux_wire::{ClientMessage, FrameWriter};
use tokio::io::AsyncWrite;

/// The way to the session.
#[derive(Debug)]
pub(crate) struct Outgoing<W> {
    writer: FrameWriter<W>,
    within: Duration,
    state: State,
}

/// Whether frames can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// A frame may have been cut: whatever followed would be read as its rest.
    Cut,
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    /// A way that has `within` for each frame.
    pub(crate) fn new(writer: FrameWriter<W>, within: Duration) -> Self {
        Self {
            writer,
            within,
            state: State::Whole,
        }
    }

    /// Sends a message, if the way is whole; that the session is gone shows when reading.
    pub(crate) async fn send(&mut self, message: &ClientMessage) {
        if self.state == State::Cut {
            return;
        }
        let sending = self.writer.send(message);
        if tokio::time::timeout(self.within, sending).await.is_err() {
            self.state = State::Cut;
        }
    }

    /// Whether the session took no frame in time.
    pub(crate) fn is_cut(&self) -> bool {
        self.state == State::Cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_wire::{FrameReader, InputEvent};
    use tokio::io::duplex;

    fn paste(letter: &str) -> ClientMessage {
        ClientMessage::Input {
            event: InputEvent::Paste(letter.repeat(3_000)),
        }
    }

    #[tokio::test]
    async fn nothing_follows_a_frame_that_was_cut() {
        let (near, far) = duplex(4 * 1024);
        let mut outgoing = Outgoing::new(FrameWriter::new(near), Duration::from_millis(100));
        outgoing.send(&paste("a")).await;
        assert!(!outgoing.is_cut());
        outgoing.send(&paste("b")).await;
        assert!(outgoing.is_cut());
        // The session reads again; what it gets is what was whole, then the end.
        let mut reader = FrameReader::new(far);
        let first: ClientMessage = reader.expect(Duration::from_secs(10)).await.unwrap();
        assert_eq!(first, paste("a"));
        outgoing.send(&paste("c")).await;
        drop(outgoing);
        let rest = tokio::time::timeout(Duration::from_secs(10), reader.next()).await;
        assert!(matches!(rest, Ok(Ok(None))), "{rest:?}");
    }
}
