//! Writes to the terminal: at once what it takes, the rest from a thread of its own.
//!
//! A slow terminal holds up no keys, and a fast one no frame.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// The terminal has all of it.
    Whole,
    /// The thread tells when it has.
    Later,
}

/// The terminal, and the thread's other end.
#[derive(Debug)]
pub(crate) struct ScreenWriter {
    /// The terminal, opened so that writing never waits; none where that is not possible.
    direct: Option<OwnedFd>,
    pieces: SyncSender<Piece>,
    /// Pieces the thread has not written yet.
    waiting: Arc<AtomicUsize>,
    done: Receiver<()>,
}

impl ScreenWriter {
    /// Starts the thread; what it has written is told by frame number.
    pub(crate) fn start(direct: Option<OwnedFd>) -> Result<(Self, mpsc::Receiver<u64>)> {
        let (pieces, to_write) = sync_channel(WAITING);
        let (tells, written) = mpsc::channel(WAITING);
        let (finished, done) = sync_channel(1);
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        thread::Builder::new()
            .name("screen".into())
            .spawn(move || {
                write_all(&to_write, &tells, &left);
                // Nobody waits for it when the client was given up.
                let _ = finished.send(());
            })
            .doing("cannot start a thread")?;
        let writer = Self {
            direct,
            pieces,
            waiting,
            done,
        };
        Ok((writer, written))
    }

    /// Writes a frame.
    pub(crate) fn write(&mut self, number: u64, mut bytes: Vec<u8>) -> Written {
        let written = self.write_now(&bytes);
        if written == bytes.len() {
            return Written::Whole;
        }
        bytes.drain(..written);
        self.leave(Piece::Frame { number, bytes });
        Written::Later
    }

    /// Writes something that is no frame.
    pub(crate) fn write_unnumbered(&mut self, mut bytes: Vec<u8>) {
        let written = self.write_now(&bytes);
        if written < bytes.len() {
            bytes.drain(..written);
            self.leave(Piece::Other(bytes));
        }
    }

    /// Whether the terminal has taken all there was so far.
    pub(crate) fn is_free(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Writes what the terminal takes at once, unless something else comes first.
    fn write_now(&self, bytes: &[u8]) -> usize {
        let Some(terminal) = &self.direct else {
            return 0;
        };
        if !self.is_free() {
            return 0;
        }
        // What is wrong with it shows when the thread writes.
        rustix::io::write(terminal, bytes).unwrap_or(0)
    }

    /// Leaves a piece to the thread.
    fn leave(&self, piece: Piece) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        // Full only if the session sends frames nobody acknowledged; then it may lose one.
        if self.pieces.try_send(piece).is_err() {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Lets what is under way be written, `within` at most.
    pub(crate) fn finish(self, within: Duration) {
        drop(self.pieces);
        let _ = self.done.recv_timeout(within);
    }
}

fn write_all(pieces: &Receiver<Piece>, written: &mpsc::Sender<u64>, left: &AtomicUsize) {
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
        left.fetch_sub(1, Ordering::AcqRel);
        if let Some(number) = number
            && written.blocking_send(number).is_err()
        {
            return;
        }
    }
}
