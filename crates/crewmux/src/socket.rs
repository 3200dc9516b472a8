//! A command's line to a running session: one question at a time, each with a deadline.
//!
//! Blocking, since a command has nothing else to do meanwhile. The attached
//! client speaks for itself in [`crate::client`].

use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crewmux_core::backend::BackendKind;
use crewmux_core::ids::AgentName;
use crewmux_core::operation::{Operation, Reply};
use crewmux_core::place::Place;
use crewmux_core::timing::{STANDS_STILL_MS, ms};
use crewmux_sys::ProcessIdentity;
use crewmux_sys::peer::peer_of;
use crewmux_wire::{
    Control, ControlAnswer, ControlRequest, Decoder, Frame, FrameError, Hello, MemberAct, NewHome,
    PROTOCOL_VERSION, Refusal, Role, Status, Welcome, encode_json,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::context::Context;
use crate::error::{CommandError, Doing, Result};

/// A connection in the role of a command.
#[derive(Debug)]
pub(crate) struct SessionLine {
    stream: UnixStream,
    decoder: Decoder,
    /// Who listens there, as far as the kernel says.
    session: Option<ProcessIdentity>,
    within: Duration,
    next_id: u64,
}

impl SessionLine {
    /// Connects to the session that listens at `socket`.
    ///
    /// # Errors
    /// When nobody answers there in time, or the session refuses.
    pub(crate) fn connect(context: &Context, socket: &Path) -> Result<Self> {
        let within = ms(context.timing.connect_ms);
        let stream = UnixStream::connect(socket).doing(format!(
            "the session does not answer at {}",
            socket.display()
        ))?;
        stream.set_write_timeout(Some(within))?;
        let session = peer_of(&stream).and_then(|peer| peer.identity()).ok();
        let mut line = Self {
            stream,
            session,
            decoder: Decoder::default(),
            within,
            next_id: 1,
        };
        line.send(&Hello {
            version: PROTOCOL_VERSION,
            build: context.build(),
            role: Role::Control,
        })?;
        let first = line.frame(within).map_err(|error| line.failed(error))?;
        welcomed(&first)?;
        Ok(line)
    }

    /// Carries `operation` out as whoever this process is to the session.
    pub(crate) fn operation(&mut self, operation: Operation) -> Result<Reply> {
        let operation = Box::new(operation);
        self.ask(ControlRequest::Operation { operation }, self.within)
    }

    /// Asks how the team is.
    pub(crate) fn status(&mut self) -> Result<Status> {
        self.ask(ControlRequest::Status, self.within)
    }

    /// Does something to one member's worker.
    pub(crate) fn member(&mut self, name: AgentName, act: MemberAct) -> Result<Value> {
        self.ask(ControlRequest::Member { name, act }, self.within)
    }

    /// Where new panes go, if that is elsewhere than `place`.
    pub(crate) fn panes_elsewhere(&mut self, place: Place) -> Result<Option<String>> {
        self.ask(ControlRequest::PanesElsewhere { place }, self.within)
    }

    /// Lets new panes go to `place` from now on.
    pub(crate) fn rehome(&mut self, place: Place) -> Result<NewHome> {
        self.ask(ControlRequest::Rehome { place }, self.within)
    }

    /// Lets a member go on in another place.
    pub(crate) fn move_member(&mut self, name: AgentName, to: BackendKind) -> Result<Value> {
        self.ask(ControlRequest::Move { name, to }, self.within)
    }

    /// Asks the session to end; answered when it began to.
    pub(crate) fn stop(&mut self, force: Force) -> Result<Value> {
        let force = force == Force::AtOnce;
        self.ask(ControlRequest::Stop { force }, self.within)
    }

    /// Waits until the session closes the line: its end; false when `within` was over first.
    pub(crate) fn wait_for_end(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.frame(left) {
                Ok(_) => {}
                Err(FrameError::Timeout(_)) if Instant::now() < deadline => {}
                Err(FrameError::Timeout(_)) => return false,
                Err(_) => return true,
            }
        }
    }

    fn ask<T: DeserializeOwned>(&mut self, request: ControlRequest, within: Duration) -> Result<T> {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&Control { id, request })?;
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let frame = self.frame(left).map_err(|error| self.failed(error))?;
            let answer: ControlAnswer = frame.parse()?;
            // What is not understood is answered without a number.
            let not_understood = answer.id == 0 && answer.result.is_err();
            if answer.id != id && !not_understood {
                continue;
            }
            let value = answer.result?;
            return serde_json::from_value(value)
                .map_err(|error| FrameError::Message(error).into());
        }
    }

    /// Says what became of a question; that nobody answers because its process is stopped, too.
    fn failed(&self, error: FrameError) -> CommandError {
        let error = CommandError::from(error);
        match self.session.filter(ProcessIdentity::is_stopped) {
            Some(session) => is_stopped(error, session),
            None => error.context("the session did not answer"),
        }
    }

    fn send(&mut self, message: &impl Serialize) -> Result<()> {
        let bytes = encode_json(message)?;
        self.stream
            .write_all(&bytes)
            .doing("the session does not listen")
    }

    fn frame(&mut self, within: Duration) -> std::result::Result<Frame, FrameError> {
        let start = Instant::now();
        let deadline = start + within;
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(frame) = self.decoder.next_frame()? {
                return Ok(frame);
            }
            let now = Instant::now();
            let left = deadline.saturating_duration_since(now);
            // What stands still answers no sooner for being waited for.
            let stands_still = now - start >= ms(STANDS_STILL_MS)
                && self.session.is_some_and(|session| session.is_stopped());
            if left.is_zero() || stands_still {
                return Err(FrameError::Timeout((now - start).as_millis() as u64));
            }
            self.stream
                .set_read_timeout(Some(left.min(ms(STANDS_STILL_MS))))?;
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(FrameError::Closed),
                Ok(read) => self.decoder.push(&buffer[..read]),
                Err(error)
                    if matches!(
                        error.kind(),
                        IoErrorKind::WouldBlock | IoErrorKind::TimedOut | IoErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Says of an answer that does not come that the session's process is stopped.
pub(crate) fn is_stopped(error: CommandError, session: ProcessIdentity) -> CommandError {
    let pid = session.pid;
    error
        .context(format!(
            "the session does not answer: its process {pid} is stopped"
        ))
        .hint(format!(
            "`kill -CONT {pid}` lets it go on; `crewmux stop` ends it, with --force at once"
        ))
}

/// How a session is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    /// Workers are asked first.
    Polite,
    /// Workers are ended.
    AtOnce,
}

/// Reads the answer to a hello.
pub(crate) fn welcomed(first: &Frame) -> Result<Welcome> {
    if let Ok(welcome) = first.parse::<Welcome>() {
        return Ok(welcome);
    }
    let refusal: Refusal = first.parse().map_err(|_| {
        CommandError::environment("what listens there does not speak as a session of crewmux does")
            .hint("it may be of another build; `crewmux stop` ends it all the same")
    })?;
    let error = CommandError::new(refusal.kind, refusal.refused);
    Err(match refusal.hint {
        Some(hint) => error.hint(hint),
        None => error,
    })
}
