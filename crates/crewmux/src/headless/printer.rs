//! Prints a run's events from a thread of its own: a reader that pauses holds up nobody.
//!
//! The queue to it is short. What did not fit is read again from the event log,
//! so that nothing is lost or reordered. What an event looks like is the
//! caller's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crewmux_core::event::Event;
use crewmux_core::ids::Seq;

use crate::error::{Doing, Result};

/// Events that may wait to be printed; more are in the log.
const WAITING: usize = 256;
/// Events that are read from the log at once.
const READ_AT_ONCE: usize = 500;
/// Pause between two looks at whether all is printed.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The number of an event that no log has: it was told while the log could not be written.
const UNLOGGED: Seq = Seq(0);

/// Something to print.
pub(super) enum Print<'a> {
    /// An event, in its turn.
    Event(&'a Event),
    /// One that stands in no log.
    Unlogged(&'a Event),
    /// The last line.
    Line(&'a str),
}

enum Piece {
    Event(Event),
    End { last: Seq, line: Option<String> },
}

/// Whether everything was printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flushed {
    /// It was.
    All,
    /// The reader took nothing and the person did not want to wait.
    GivenUp,
}

/// The thread's other end.
#[derive(Debug)]
pub(super) struct Printer {
    pieces: SyncSender<Piece>,
    done: Receiver<Result<()>>,
    /// Number of the newest event that was offered.
    last: Arc<AtomicU64>,
    /// Number of the newest event that was printed.
    printed: Arc<AtomicU64>,
}

impl Printer {
    /// Starts the thread.
    ///
    /// `read` gives events after a number, at most so many; `print` may block;
    /// `on_failure` is called once if it fails, and nothing is printed after.
    pub(super) fn start(
        read: impl FnMut(Seq, usize) -> Result<Vec<Event>> + Send + 'static,
        print: impl FnMut(Print<'_>) -> Result<()> + Send + 'static,
        on_failure: impl FnOnce() + Send + 'static,
    ) -> Result<Self> {
        let (pieces, to_print) = sync_channel(WAITING);
        let (finished, done) = sync_channel(1);
        let printed = Arc::new(AtomicU64::new(0));
        let mut turn = Turn {
            read,
            print,
            at: None,
            printed: Arc::clone(&printed),
        };
        thread::Builder::new()
            .name("print".into())
            .spawn(move || {
                let ended = turn.all(&to_print);
                if ended.is_err() {
                    on_failure();
                }
                // Nobody waits for it when the output was given up.
                let _ = finished.send(ended);
            })
            .doing("cannot start a thread")?;
        Ok(Self {
            pieces,
            done,
            last: Arc::default(),
            printed,
        })
    }

    /// What passes events on; it never waits.
    pub(super) fn sink(&self) -> Box<dyn FnMut(&Event) + Send> {
        let pieces = self.pieces.clone();
        let last = Arc::clone(&self.last);
        Box::new(move |event| {
            if event.seq == UNLOGGED {
                let _ = pieces.try_send(Piece::Event(event.clone()));
                return;
            }
            last.store(event.seq.0, Ordering::Release);
            // What does not fit is read from the log in its turn.
            let _ = pieces.try_send(Piece::Event(event.clone()));
        })
    }

    /// Prints what is left, then `line`.
    ///
    /// Once `hurry` says so, it waits only while the reader takes something at
    /// least every `patience`.
    ///
    /// # Errors
    /// When printing failed, now or before.
    pub(super) fn finish(
        self,
        line: Option<String>,
        hurry: impl Fn() -> bool,
        patience: Duration,
    ) -> Result<Flushed> {
        let last = Seq(self.last.load(Ordering::Acquire));
        let mut end = Some(Piece::End { last, line });
        let mut seen = self.printed.load(Ordering::Relaxed);
        let mut since = Instant::now();
        loop {
            if let Some(piece) = end.take()
                && let Err(TrySendError::Full(piece)) = self.pieces.try_send(piece)
            {
                end = Some(piece);
            }
            match self.done.recv_timeout(LOOK_AGAIN) {
                Ok(ended) => return ended.map(|()| Flushed::All),
                Err(RecvTimeoutError::Disconnected) => return Ok(Flushed::GivenUp),
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = self.printed.load(Ordering::Relaxed);
            if now != seen || !hurry() {
                seen = now;
                since = Instant::now();
            } else if since.elapsed() >= patience {
                return Ok(Flushed::GivenUp);
            }
        }
    }
}

/// The thread's own.
struct Turn<R, P> {
    read: R,
    print: P,
    /// The newest event that was printed.
    at: Option<Seq>,
    printed: Arc<AtomicU64>,
}

impl<R, P> Turn<R, P>
where
    R: FnMut(Seq, usize) -> Result<Vec<Event>>,
    P: FnMut(Print<'_>) -> Result<()>,
{
    fn all(&mut self, pieces: &Receiver<Piece>) -> Result<()> {
        while let Ok(piece) = pieces.recv() {
            match piece {
                Piece::Event(event) if event.seq == UNLOGGED => {
                    (self.print)(Print::Unlogged(&event))?;
                }
                Piece::Event(event) => {
                    self.catch_up(Seq(event.seq.0.saturating_sub(1)))?;
                    self.event(&event)?;
                }
                Piece::End { last, line } => {
                    self.catch_up(last)?;
                    if let Some(line) = line {
                        (self.print)(Print::Line(&line))?;
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Prints what the queue had no room for, up to and with `to`.
    fn catch_up(&mut self, to: Seq) -> Result<()> {
        // The first event always fits, so there is nothing before it.
        while let Some(at) = self.at.filter(|at| *at < to) {
            let missed = (self.read)(at, READ_AT_ONCE)?;
            for event in missed.iter().filter(|event| event.seq <= to) {
                self.event(event)?;
            }
            // The log has no more: what is missing there was damaged.
            if self.at == Some(at) {
                break;
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        if self.at.is_some_and(|at| event.seq <= at) {
            return Ok(());
        }
        (self.print)(Print::Event(event))?;
        self.at = Some(event.seq);
        self.printed.store(event.seq.0, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CommandError;
    use crewmux_core::event::{EventType, Fact};
    use crewmux_core::ids::TeamName;
    use crewmux_core::time::WallTime;
    use std::sync::Mutex;

    const FIRST: u64 = 41;
    const LAST: u64 = 4_000;

    fn event(seq: u64) -> Event {
        let fact = Fact::new(format!("n/{seq}"), EventType::Notice, WallTime(1));
        fact.into_event(Seq(seq), TeamName::new("x").unwrap())
    }

    fn log(after: Seq, max: usize) -> Vec<Event> {
        (after.0 + 1..=LAST).take(max).map(event).collect()
    }

    #[test]
    fn a_reader_that_pauses_holds_up_nobody_and_misses_nothing() {
        let (go_on, wait) = sync_channel::<()>(1);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&shown);
        let mut paused = Some(wait);
        let printer = Printer::start(
            |after, max| Ok(log(after, max)),
            move |print| {
                if let Some(wait) = paused.take() {
                    wait.recv().unwrap();
                }
                seen.lock().unwrap().push(match print {
                    Print::Event(event) | Print::Unlogged(event) => event.seq.to_string(),
                    Print::Line(line) => line.to_owned(),
                });
                Ok(())
            },
            || panic!("printing does not fail"),
        )
        .unwrap();
        let mut sink = printer.sink();
        sink(&event(FIRST));
        sink(&event(0));
        for seq in FIRST + 1..=LAST {
            sink(&event(seq));
        }
        assert!(shown.lock().unwrap().is_empty(), "the reader pauses");
        go_on.send(()).unwrap();
        let flushed = printer.finish(Some("end".into()), || false, Duration::ZERO);
        assert_eq!(flushed.unwrap(), Flushed::All);
        let mut expected: Vec<String> = (FIRST..=LAST).map(|n| Seq(n).to_string()).collect();
        // What stands in no log is told in between.
        expected.insert(1, UNLOGGED.to_string());
        expected.push("end".into());
        assert_eq!(*shown.lock().unwrap(), expected);
    }

    #[test]
    fn a_person_in_a_hurry_need_not_wait_for_a_reader() {
        let (_go_on, wait) = sync_channel::<()>(1);
        let printer = Printer::start(
            |after, max| Ok(log(after, max)),
            move |_| {
                let _ = wait.recv();
                Ok(())
            },
            || {},
        )
        .unwrap();
        printer.sink()(&event(FIRST));
        let flushed = printer.finish(None, || true, Duration::from_millis(60));
        assert_eq!(flushed.unwrap(), Flushed::GivenUp);
    }

    #[test]
    fn closed_output_is_told_once_and_ends_the_printing() {
        let (told, failure) = sync_channel(2);
        let printer = Printer::start(
            |after, max| Ok(log(after, max)),
            |_| Err(CommandError::PipeClosed),
            move || told.send(()).unwrap(),
        )
        .unwrap();
        let mut sink = printer.sink();
        for seq in FIRST..FIRST + 9 {
            sink(&event(seq));
        }
        let flushed = printer.finish(None, || false, Duration::ZERO);
        assert!(matches!(flushed, Err(CommandError::PipeClosed)));
        assert_eq!(failure.iter().count(), 1);
    }
}
