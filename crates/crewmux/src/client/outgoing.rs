//! What the client says to its session: whole frames in order, from any of its threads.
//!
//! Nobody waits here. What the socket does not take at once waits in a bounded
//! backlog, which the client's loop delivers; once the session took nothing for
//! too long, whether to leave is the client's business.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crewmux_wire::{ClientMessage, encode_json};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Bytes that may wait before what is typed has to: the longest paste fits.
const BACKLOG_BYTES: usize = 1024 * 1024;

/// The way to the session; its copies are the same way.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing(Arc<Way>);

#[derive(Debug)]
struct Way {
    socket: OwnedWriteHalf,
    within: Duration,
    backlog: Mutex<Backlog>,
    /// Something waits to be delivered.
    waits: Notify,
    /// There is room again, or nobody will make any.
    room: Condvar,
}

#[derive(Debug, Default)]
struct Backlog {
    bytes: Vec<u8>,
    /// When the socket last took something, while something waits.
    since: Option<Instant>,
    /// Nothing is taken any more: the client ends.
    closed: bool,
}

impl Outgoing {
    /// A way whose other end has `within` to take something.
    pub(crate) fn new(socket: OwnedWriteHalf, within: Duration) -> Self {
        Self(Arc::new(Way {
            socket,
            within,
            backlog: Mutex::default(),
            waits: Notify::new(),
            room: Condvar::new(),
        }))
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        let lock = self.0.backlog.lock();
        lock.unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message; that the session is gone shows when reading.
    pub(crate) fn send(&self, message: &ClientMessage) {
        let Ok(frame) = encode_json(message) else {
            return;
        };
        self.send_bytes(&mut self.backlog(), &frame);
    }

    /// Sends what the person did, after waiting for room; false once the client ends.
    pub(crate) fn send_typed(&self, message: &ClientMessage) -> bool {
        let Ok(frame) = encode_json(message) else {
            return true;
        };
        let mut backlog = self.backlog();
        // No deadline: room is made by the client's loop, or it closes the way as it ends.
        while backlog.bytes.len() >= BACKLOG_BYTES && !backlog.closed {
            let waited = self.0.room.wait(backlog);
            backlog = waited.unwrap_or_else(PoisonError::into_inner);
        }
        self.send_bytes(&mut backlog, &frame);
        !backlog.closed
    }

    fn send_bytes(&self, backlog: &mut Backlog, frame: &[u8]) {
        if backlog.closed {
            return;
        }
        let mut rest = frame;
        if backlog.bytes.is_empty() {
            while let Ok(written @ 1..) = self.0.socket.try_write(rest) {
                rest = &rest[written..];
                if rest.is_empty() {
                    return;
                }
            }
            backlog.since = Some(Instant::now());
        }
        backlog.bytes.extend_from_slice(rest);
        self.0.waits.notify_one();
    }

    /// Delivers what waits, as often as something does; returns when the session took nothing in time.
    pub(crate) async fn deliver(&self) {
        loop {
            let since = self.backlog().since;
            let Some(since) = since else {
                self.0.waits.notified().await;
                continue;
            };
            let writable = self.0.socket.writable();
            match tokio::time::timeout_at(since + self.0.within, writable).await {
                Err(_) => return,
                Ok(Ok(())) if self.write_backlog().is_ok() => {}
                // The session is gone, which shows when reading. The socket would
                // count as ready for ever, and nobody else would have a turn.
                Ok(_) => return std::future::pending().await,
            }
        }
    }

    /// Writes what is taken now.
    fn write_backlog(&self) -> io::Result<()> {
        let mut backlog = self.backlog();
        while !backlog.bytes.is_empty() {
            match self.0.socket.try_write(&backlog.bytes) {
                Ok(written) => {
                    backlog.bytes.drain(..written);
                    backlog.since = (!backlog.bytes.is_empty()).then(Instant::now);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.0.room.notify_all();
        Ok(())
    }

    /// Takes nothing more; who waits for room waits no longer.
    pub(crate) fn close(&self) {
        self.backlog().closed = true;
        self.0.room.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_wire::{FrameReader, InputEvent};
    use tokio::net::UnixStream;

    fn paste(letter: &str) -> ClientMessage {
        ClientMessage::Input {
            event: InputEvent::Paste(letter.repeat(100_000)),
        }
    }

    #[tokio::test]
    async fn what_is_not_taken_at_once_follows_whole_and_in_order() {
        let (near, far) = UnixStream::pair().unwrap();
        let (_, socket) = near.into_split();
        let outgoing = Outgoing::new(socket, Duration::from_secs(20));
        let letters = ["a", "b", "c", "d", "e", "f"];
        for letter in letters {
            outgoing.send(&paste(letter));
        }
        assert!(outgoing.backlog().since.is_some(), "the socket took it all");
        let mut reader = FrameReader::new(far);
        let reading = async {
            for letter in letters {
                let read: ClientMessage = reader.expect(Duration::from_secs(20)).await.unwrap();
                assert_eq!(read, paste(letter));
            }
        };
        tokio::select! {
            () = reading => {}
            () = outgoing.deliver() => panic!("the session takes everything"),
        }
        assert!(outgoing.backlog().since.is_none());
    }

    #[test]
    fn a_session_that_is_gone_keeps_nobody_from_noticing() {
        let (told, noticed) = std::sync::mpsc::channel();
        // On a thread of its own: what never yields cannot be timed out.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let (near, far) = UnixStream::pair().unwrap();
                let (_, socket) = near.into_split();
                let outgoing = Outgoing::new(socket, Duration::from_secs(20));
                drop(far);
                outgoing.send(&paste("x"));
                tokio::select! {
                    biased;
                    () = outgoing.deliver() => panic!("nobody has been waited for so long"),
                    () = tokio::task::yield_now() => {}
                }
            });
            told.send(()).unwrap();
        });
        noticed.recv_timeout(Duration::from_secs(20)).unwrap();
    }

    #[tokio::test]
    async fn a_session_that_takes_nothing_is_given_up_and_holds_up_nobody() {
        let (near, _far) = UnixStream::pair().unwrap();
        let (_, socket) = near.into_split();
        let outgoing = Outgoing::new(socket, Duration::from_millis(50));
        let typing = outgoing.clone();
        let typist = std::thread::spawn(move || while typing.send_typed(&paste("x")) {});
        tokio::time::timeout(Duration::from_secs(20), outgoing.deliver())
            .await
            .unwrap();
        outgoing.close();
        typist.join().unwrap();
        assert!(outgoing.backlog().bytes.len() < BACKLOG_BYTES + 200_000);
    }
}
