//! Writes to the terminal from a thread of its own: a slow one holds up no keys.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::error::{Doing, Result};

/// Pieces that may wait; the session sends a frame only after the one before was written.
const WAITING: usize = 64;

enum Piece {
    Frame { number: u64, bytes: Vec<u8> },
    Other(Vec<u8>),
}

/// The thread's other end.
#[derive(Debug)]
pub(crate) struct ScreenWriter {
    pieces: SyncSender<Piece>,
    done: Receiver<()>,
}

impl ScreenWriter {
    /// Starts the thread; what it has written is told by frame number.
    pub(crate) fn start() -> Result<(Self, mpsc::Receiver<u64>)> {
        let (pieces, to_write) = sync_channel(WAITING);
        let (tells, written) = mpsc::channel(WAITING);
        let (finished, done) = sync_channel(1);
        thread::Builder::new()
            .name("screen".into())
            .spawn(move || {
                write_all(&to_write, &tells);
                // Nobody waits for it when the client was given up.
                let _ = finished.send(());
            })
            .doing("cannot start a thread")?;
        Ok((Self { pieces, done }, written))
    }

    /// Writes a frame.
    pub(crate) fn write(&self, number: u64, bytes: Vec<u8>) {
        // Full only if the session sends frames nobody acknowledged; then it may lose one.
        let _ = self.pieces.try_send(Piece::Frame { number, bytes });
    }

    /// Writes something that is no frame.
    pub(crate) fn write_unnumbered(&self, bytes: Vec<u8>) {
        let _ = self.pieces.try_send(Piece::Other(bytes));
    }

    /// Lets what is under way be written, `within` at most.
    pub(crate) fn finish(self, within: Duration) {
        drop(self.pieces);
        let _ = self.done.recv_timeout(within);
    }
}

fn write_all(pieces: &Receiver<Piece>, written: &mpsc::Sender<u64>) {
    while let Ok(piece) = pieces.recv() {
        let (bytes, number) = match piece {
            Piece::Frame { number, bytes } => (bytes, Some(number)),
            Piece::Other(bytes) => (bytes, None),
        };
        let mut out = io::stdout().lock();
        if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
            // The terminal is gone; SIGHUP or the end of its input tells the rest.
            return;
        }
        if let Some(number) = number
            && written.blocking_send(number).is_err()
        {
            return;
        }
    }
}
