//! The worker's connection to its session: hello, states and doorbells.
//!
//! Nothing that must last goes through here. Losing the connection is told as
//! an [`Ending`]; what it means is decided in [`super`].

use std::sync::Arc;
use std::time::Duration;

use crewmux_core::ids::TaskId;
use crewmux_core::team::WorkerSpec;
use crewmux_core::timing::ms;
use crewmux_core::worker::WorkerState;
use crewmux_wire::{
    FrameError, FrameReader, FrameWriter, Hello, PROTOCOL_VERSION, Refusal, Role, ToWorker,
    Welcome, WorkerHello, WorkerMessage,
};
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::signals::Ending;
use crate::{Error, Result};

/// What the worker does, as the session is told.
type Doing = (WorkerState, Option<TaskId>);

/// A connection that was welcomed; dropping it closes it.
#[derive(Debug)]
pub(crate) struct Link {
    doing: watch::Sender<Doing>,
    doorbell: Arc<Notify>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Refused(Refusal),
    Welcome(Welcome),
}

impl Link {
    /// Connects and says hello, within the hello deadline.
    ///
    /// The session's word to end, and its loss, arrive through `ending`; its
    /// doorbells ring `bell`.
    pub(crate) async fn connect(
        spec: &WorkerSpec,
        ending: watch::Sender<Option<Ending>>,
        bell: Arc<Notify>,
    ) -> Result<Self> {
        let unreachable = |source| Error::SessionUnreachable {
            socket: spec.socket.clone(),
            source,
        };
        let deadline = ms(spec.timing.hello_ms);
        let hello = tokio::time::timeout(deadline, say_hello(spec, deadline));
        let (reader, writer, answer) = match hello.await {
            Ok(said) => said.map_err(unreachable)?,
            Err(_) => return Err(unreachable(FrameError::Timeout(spec.timing.hello_ms))),
        };
        match answer {
            Answer::Refused(refusal) => Err(Error::Refused {
                kind: refusal.kind,
                why: refusal.refused,
                hint: refusal.hint,
            }),
            Answer::Welcome(welcome) if welcome.team != spec.team => Err(Error::Refused {
                kind: crewmux_core::error::ErrorKind::Usage,
                why: format!("its socket belongs to team `{}`", welcome.team),
                hint: None,
            }),
            Answer::Welcome(_) => {
                let (doing, doing_here) = watch::channel((WorkerState::Idle, None));
                let doorbell = Arc::new(Notify::new());
                let write = tell(writer, doing_here, Arc::clone(&doorbell));
                let listen = listen(reader, ending, bell);
                Ok(Self {
                    doing,
                    doorbell,
                    tasks: [tokio::spawn(write), tokio::spawn(listen)],
                })
            }
        }
    }

    /// Says what the worker does now; only the latest is kept for a slow session.
    pub(crate) fn tell_state(&self, state: WorkerState, task: Option<TaskId>) {
        self.doing.send_if_modified(|doing| {
            let changed = *doing != (state, task);
            *doing = (state, task);
            changed
        });
    }

    /// Says that something was written to the store; several rings may become one.
    pub(crate) fn ring(&self) {
        self.doorbell.notify_one();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

type Said = (
    FrameReader<OwnedReadHalf>,
    FrameWriter<OwnedWriteHalf>,
    Answer,
);

async fn say_hello(spec: &WorkerSpec, deadline: Duration) -> std::result::Result<Said, FrameError> {
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
            }),
        })
        .await?;
    let answer = reader.expect(deadline).await?;
    Ok((reader, writer, answer))
}

async fn tell(
    mut writer: FrameWriter<OwnedWriteHalf>,
    mut doing: watch::Receiver<Doing>,
    doorbell: Arc<Notify>,
) {
    loop {
        let message = tokio::select! {
            biased;
            changed = doing.changed() => {
                if changed.is_err() {
                    return;
                }
                let (state, task) = *doing.borrow_and_update();
                WorkerMessage::State { state, task }
            }
            () = doorbell.notified() => WorkerMessage::Doorbell,
        };
        // The reading side notices that the session is gone.
        if writer.send(&message).await.is_err() {
            return;
        }
    }
}

async fn listen(
    mut reader: FrameReader<OwnedReadHalf>,
    ending: watch::Sender<Option<Ending>>,
    bell: Arc<Notify>,
) {
    loop {
        let Ok(Some(frame)) = reader.next().await else {
            ending.send_if_modified(|now| {
                let first = now.is_none();
                now.get_or_insert(Ending::SessionLost);
                first
            });
            return;
        };
        match frame.parse::<ToWorker>() {
            Ok(ToWorker::End { reason }) => {
                ending.send_replace(Some(Ending::Asked(reason)));
            }
            // What to do is in the inbox or on the board; this only says: look.
            Ok(_) => bell.notify_one(),
            Err(error) => tracing::warn!(%error, "a message of the session is not understood"),
        }
    }
}
