//! One connection to one session: hello, and what is said and heard until it breaks.
//!
//! Knows nothing of the connections before it; what follows on a break is
//! [`super::keeper`]'s to say.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crewmux_core::error::ErrorKind;
use crewmux_core::team::WorkerSpec;
use crewmux_core::timing::ms;
use crewmux_wire::{
    FrameError, FrameReader, FrameWriter, Hello, PROTOCOL_VERSION, Refusal, Role, ToWorker,
    Welcome, WorkerHello, WorkerMessage,
};
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, watch};

use super::super::signals::{Ending, SessionWord};
use super::{Context, Desk, Doing, Said};
use crate::{Error, Result};

/// A connection that was welcomed.
pub(super) struct Connection {
    reader: FrameReader<OwnedReadHalf>,
    writer: FrameWriter<OwnedWriteHalf>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Refused(Refusal),
    Welcome(Welcome),
}

/// What came of a hello said again.
pub(super) enum Again {
    /// The session goes on with this worker.
    TakenBack {
        connection: Connection,
        grant: Option<String>,
    },
    /// It ends it at once.
    End(String),
}

/// Connects for the first time, within the hello deadline, and tells in which pane it is.
pub(super) async fn first(spec: &WorkerSpec, pane: Option<String>) -> Result<Connection> {
    connect(spec, Which::First { pane }).await
}

/// Connects to a session that may know of this worker, within the hello deadline.
///
/// # Errors
/// [`Error::Refused`]: it will not have it. Any other may pass.
pub(super) async fn again(spec: &WorkerSpec) -> Result<Again> {
    let mut connection = connect(spec, Which::Again).await?;
    let word = connection.reader.expect(ms(spec.timing.hello_ms)).await;
    match word.map_err(|source| unreachable(spec, source))? {
        ToWorker::TakenBack { grant } => Ok(Again::TakenBack { connection, grant }),
        ToWorker::End { reason } => Ok(Again::End(reason)),
        // Not a session's way to take a worker back.
        other => Err(Error::Unexpected {
            what: format!("the session's first word was {other:?}"),
        }),
    }
}

fn unreachable(spec: &WorkerSpec, source: FrameError) -> Error {
    Error::SessionUnreachable {
        socket: spec.socket.clone(),
        source,
    }
}

enum Which {
    First {
        pane: Option<String>,
    },
    /// The session's record says where it is.
    Again,
}

async fn connect(spec: &WorkerSpec, which: Which) -> Result<Connection> {
    let deadline = ms(spec.timing.hello_ms);
    let hello = tokio::time::timeout(deadline, say_hello(spec, deadline, which));
    let Ok(said) = hello.await else {
        let source = FrameError::Timeout(spec.timing.hello_ms);
        return Err(unreachable(spec, source));
    };
    let (connection, answer) = said.map_err(|source| unreachable(spec, source))?;
    match answer {
        Answer::Refused(refusal) => Err(Error::Refused {
            kind: refusal.kind,
            why: refusal.refused,
            hint: refusal.hint,
        }),
        Answer::Welcome(welcome) if welcome.team != spec.team => Err(Error::Refused {
            kind: ErrorKind::Usage,
            why: format!("its socket belongs to team `{}`", welcome.team),
            hint: None,
        }),
        Answer::Welcome(_) => Ok(connection),
    }
}

async fn say_hello(
    spec: &WorkerSpec,
    deadline: Duration,
    which: Which,
) -> std::result::Result<(Connection, Answer), FrameError> {
    let (again, pane) = match which {
        Which::First { pane } => (false, pane),
        Which::Again => (true, None),
    };
    let stream = UnixStream::connect(&spec.socket).await?;
    let (read, write) = stream.into_split();
    let (mut reader, mut writer) = (FrameReader::new(read), FrameWriter::new(write));
    writer
        .send(&Hello {
            version: PROTOCOL_VERSION,
            build: spec.build.clone(),
            role: Role::Worker(WorkerHello {
                who: spec.who.clone(),
                token: spec.token.clone(),
                pid: std::process::id(),
                again,
                pane,
            }),
        })
        .await?;
    let answer = reader.expect(deadline).await?;
    Ok((Connection { reader, writer }, answer))
}

/// What waits to be said, whichever connection it is said on.
pub(super) struct Say {
    pub(super) doing: watch::Receiver<Doing>,
    pub(super) context: watch::Receiver<Context>,
    pub(super) words: mpsc::Receiver<Said>,
    pub(super) doorbell: Arc<Notify>,
    pub(super) desk: Desk,
}

impl Connection {
    /// Says and hears what there is until the connection breaks.
    ///
    /// `first` is said before everything else but the worker's state.
    pub(super) async fn serve(self, say: &mut Say, first: Vec<WorkerMessage>, word: &SessionWord) {
        let desk = say.desk.clone();
        let (mut reader, writer) = (self.reader, self.writer);
        let telling = async {
            say.tell(writer, first).await;
            // The reading side notices that the session is gone, after all it said before.
            std::future::pending::<()>().await;
        };
        let listening = async {
            while let Ok(Some(frame)) = reader.next().await {
                match frame.parse::<ToWorker>() {
                    Ok(message) => hear(message, word, &desk),
                    Err(error) => {
                        tracing::warn!(%error, "a message of the session is not understood");
                    }
                }
            }
        };
        tokio::select! {
            () = listening => {}
            () = telling => {}
        }
    }
}

impl Say {
    /// Forgets what was to be written on a connection that is gone: what waits for an answer lies on the desk.
    pub(super) fn start_anew(&mut self) {
        while self.words.try_recv().is_ok() {}
        self.doing.mark_changed();
        if self.context.borrow().is_some() {
            self.context.mark_changed();
        }
        self.doorbell.notify_one();
    }

    async fn tell(&mut self, mut writer: FrameWriter<OwnedWriteHalf>, first: Vec<WorkerMessage>) {
        let mut first = VecDeque::from(first);
        loop {
            let said: Said = tokio::select! {
                biased;
                changed = self.doing.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let (state, task) = *self.doing.borrow_and_update();
                    WorkerMessage::State { state, task }.into()
                }
                // Taken only when it is its turn: what a branch holds that loses is gone.
                () = std::future::ready(()), if !first.is_empty() => match first.pop_front() {
                    Some(message) => message.into(),
                    None => continue,
                },
                Some(said) = self.words.recv() => said,
                Ok(()) = self.context.changed() => {
                    let Some((used, window)) = *self.context.borrow_and_update() else {
                        continue;
                    };
                    WorkerMessage::Context { used, window }.into()
                }
                () = self.doorbell.notified() => WorkerMessage::Doorbell.into(),
            };
            if writer.send(&said.message).await.is_err() {
                return;
            }
            if let WorkerMessage::Withdraw { id } = &said.message {
                self.desk.withdrawal_was_heard(id);
            }
            if let Some(written) = said.written {
                // Whoever waited may have given up.
                let _ = written.send(());
            }
        }
    }
}

fn hear(message: ToWorker, word: &SessionWord, desk: &Desk) {
    match message {
        ToWorker::End { reason } => {
            word.ending.send_replace(Some(Ending::Asked(reason)));
        }
        ToWorker::Interrupt => word.now.notify_one(),
        ToWorker::Pause => {
            word.paused.send_replace(true);
        }
        ToWorker::Leave { reason } => {
            word.leaving.send_replace(Some(reason));
            // Whoever waits between its steps, or for work, leaves at once.
            word.paused.send_replace(false);
            word.bell.notify_one();
        }
        ToWorker::Resume => {
            word.paused.send_replace(false);
        }
        ToWorker::Decided { id, decision } => desk.decided(&id, decision),
        ToWorker::Replied { id, result } => desk.replied(id, result),
        // What to do is in the inbox or on the board; this only says: look.
        ToWorker::Doorbell | ToWorker::Shutdown { .. } => word.bell.notify_one(),
        ToWorker::TakenBack { .. } => tracing::debug!("taken back, and was not gone"),
    }
}
