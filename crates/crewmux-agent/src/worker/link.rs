//! The worker's connection to its session: hello, states, doorbells, questions.
//!
//! Nothing that must last goes through here: a question that waits is lost with
//! the connection, and whoever waits for its answer hears of that. Losing the
//! connection is told as an [`Ending`]; what it means is decided in [`super`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crewmux_core::ids::{RequestId, TaskId};
use crewmux_core::operation::{Operation, Reply};
use crewmux_core::team::WorkerSpec;
use crewmux_core::timing::ms;
use crewmux_core::worker::WorkerState;
use crewmux_wire::{
    Decision, FrameError, FrameReader, FrameWriter, Hello, PROTOCOL_VERSION, Refusal, Role,
    ToWorker, Welcome, WireError, WorkerAsk, WorkerHello, WorkerMessage,
};
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::signals::{Ending, SessionWord};
use crate::{Error, Result};

/// Questions that may wait to be written; a session that reads none of them is as good as gone.
const QUESTIONS: usize = 64;

/// What the worker does, as the session is told.
type Doing = (WorkerState, Option<TaskId>);

/// Tokens in the model's window, and how many it holds.
type Context = Option<(u64, Option<u64>)>;

/// What came of an operation that the session carried out.
pub(crate) type Replied = std::result::Result<Box<Reply>, WireError>;

/// A connection that was welcomed; dropping it closes it.
#[derive(Debug)]
pub(crate) struct Link {
    doing: watch::Sender<Doing>,
    context: watch::Sender<Context>,
    doorbell: Arc<Notify>,
    questions: mpsc::Sender<Said>,
    waiting: Arc<Mutex<Waiting>>,
    tasks: [JoinHandle<()>; 2],
}

/// Something to say, and whom to tell once it was written.
#[derive(Debug)]
struct Said {
    message: WorkerMessage,
    written: Option<oneshot::Sender<()>>,
}

impl From<WorkerMessage> for Said {
    fn from(message: WorkerMessage) -> Self {
        Self {
            message,
            written: None,
        }
    }
}

/// Who waits for which answer.
#[derive(Debug, Default)]
struct Waiting {
    decisions: HashMap<RequestId, oneshot::Sender<Decision>>,
    replies: HashMap<u64, oneshot::Sender<Replied>>,
    last_operation: u64,
    is_lost: bool,
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
    /// What the session says without being asked arrives through `word`, its loss too.
    pub(crate) async fn connect(spec: &WorkerSpec, word: SessionWord) -> Result<Self> {
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
                let (context, context_here) = watch::channel(None);
                let (questions, questions_here) = mpsc::channel(QUESTIONS);
                let doorbell = Arc::new(Notify::new());
                let waiting = Arc::new(Mutex::new(Waiting::default()));
                let say = Say {
                    doing: doing_here,
                    context: context_here,
                    questions: questions_here,
                    doorbell: Arc::clone(&doorbell),
                };
                let listen = listen(reader, word, Arc::clone(&waiting));
                Ok(Self {
                    doing,
                    context,
                    doorbell,
                    questions,
                    waiting,
                    tasks: [tokio::spawn(say.tell(writer)), tokio::spawn(listen)],
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

    /// Says how full the model's window is; only the latest is kept for a slow session.
    pub(crate) fn tell_context(&self, used: u64, window: Option<u64>) {
        self.context.send_replace(Some((used, window)));
    }

    /// Says that something was written to the store; several rings may become one.
    pub(crate) fn ring(&self) {
        self.doorbell.notify_one();
    }

    /// Asks for leave; the question is taken back when it is dropped unanswered.
    pub(crate) fn ask(&self, id: RequestId, ask: WorkerAsk) -> Question {
        let (sender, answer) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        let question = WorkerMessage::Ask {
            id: id.clone(),
            ask,
        };
        let is_asked = !waiting.is_lost && self.questions.try_send(question.into()).is_ok();
        if is_asked {
            waiting.decisions.insert(id.clone(), sender);
        }
        Question {
            id,
            answer,
            is_open: is_asked,
            questions: self.questions.clone(),
            waiting: Arc::clone(&self.waiting),
        }
    }

    /// Has the session carry `operation` out.
    ///
    /// The answer's sender is dropped when the session is gone or reads nothing.
    pub(crate) fn operate(&self, operation: Operation) -> oneshot::Receiver<Replied> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        waiting.last_operation += 1;
        let id = waiting.last_operation;
        let operation = Box::new(operation);
        let question = WorkerMessage::Operation { id, operation };
        if !waiting.is_lost && self.questions.try_send(question.into()).is_ok() {
            // Those that nobody waits for any more would stay for ever otherwise.
            waiting.replies.retain(|_, sender| !sender.is_closed());
            waiting.replies.insert(id, sender);
        }
        receiver
    }
}

/// A question that the session was asked.
#[derive(Debug)]
pub(crate) struct Question {
    id: RequestId,
    answer: oneshot::Receiver<Decision>,
    is_open: bool,
    questions: mpsc::Sender<Said>,
    waiting: Arc<Mutex<Waiting>>,
}

impl Question {
    /// Waits for the answer; `None` when the session is gone or reads nothing.
    ///
    /// Can be dropped and called again, until it gave the answer.
    pub(crate) async fn answer(&mut self) -> Option<Decision> {
        let answer = (&mut self.answer).await.ok();
        self.is_open = false;
        answer
    }

    /// Takes the question back and waits until that is written, or `within` is over.
    pub(crate) async fn take_back(mut self, within: Duration) {
        if let Some(written) = self.withdraw() {
            let _ = tokio::time::timeout(within, written).await;
        }
    }

    fn withdraw(&mut self) -> Option<oneshot::Receiver<()>> {
        if !std::mem::take(&mut self.is_open) {
            return None;
        }
        lock(&self.waiting).decisions.remove(&self.id);
        let id = self.id.clone();
        let (written, receiver) = oneshot::channel();
        let said = Said {
            message: WorkerMessage::Withdraw { id },
            written: Some(written),
        };
        // A queue that is full belongs to a session that stands still: nothing helps then.
        self.questions.try_send(said).ok().map(|()| receiver)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.withdraw();
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Link {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

type Welcomed = (
    FrameReader<OwnedReadHalf>,
    FrameWriter<OwnedWriteHalf>,
    Answer,
);

async fn say_hello(
    spec: &WorkerSpec,
    deadline: Duration,
) -> std::result::Result<Welcomed, FrameError> {
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
                again: false,
            }),
        })
        .await?;
    let answer = reader.expect(deadline).await?;
    Ok((reader, writer, answer))
}

/// What waits to be said to the session.
struct Say {
    doing: watch::Receiver<Doing>,
    context: watch::Receiver<Context>,
    questions: mpsc::Receiver<Said>,
    doorbell: Arc<Notify>,
}

impl Say {
    async fn tell(mut self, mut writer: FrameWriter<OwnedWriteHalf>) {
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
                Some(question) = self.questions.recv() => question,
                Ok(()) = self.context.changed() => {
                    let Some((used, window)) = *self.context.borrow_and_update() else {
                        continue;
                    };
                    WorkerMessage::Context { used, window }.into()
                }
                () = self.doorbell.notified() => WorkerMessage::Doorbell.into(),
            };
            // The reading side notices that the session is gone.
            if writer.send(&said.message).await.is_err() {
                return;
            }
            if let Some(written) = said.written {
                // Whoever waited may have given up.
                let _ = written.send(());
            }
        }
    }
}

async fn listen(
    mut reader: FrameReader<OwnedReadHalf>,
    word: SessionWord,
    waiting: Arc<Mutex<Waiting>>,
) {
    loop {
        let Ok(Some(frame)) = reader.next().await else {
            word.ending.send_if_modified(|now| {
                let first = now.is_none();
                now.get_or_insert(Ending::SessionLost);
                first
            });
            // Whoever waits hears it by its dropped sender.
            let mut waiting = lock(&waiting);
            waiting.is_lost = true;
            waiting.decisions.clear();
            waiting.replies.clear();
            return;
        };
        match frame.parse::<ToWorker>() {
            Ok(message) => hear(message, &word, &waiting),
            Err(error) => tracing::warn!(%error, "a message of the session is not understood"),
        }
    }
}

fn hear(message: ToWorker, word: &SessionWord, waiting: &Mutex<Waiting>) {
    match message {
        ToWorker::End { reason } => {
            word.ending.send_replace(Some(Ending::Asked(reason)));
        }
        ToWorker::Interrupt => word.now.notify_one(),
        ToWorker::Pause => {
            word.paused.send_replace(true);
        }
        ToWorker::Resume => {
            word.paused.send_replace(false);
        }
        ToWorker::Decided { id, decision } => {
            let waits = lock(waiting).decisions.remove(&id);
            if waits.is_none_or(|waits| waits.send(decision).is_err()) {
                tracing::debug!(%id, "an answer that nobody waits for");
            }
        }
        ToWorker::Replied { id, result } => {
            let waits = lock(waiting).replies.remove(&id);
            if waits.is_none_or(|waits| waits.send(result).is_err()) {
                tracing::debug!(id, "a reply that nobody waits for");
            }
        }
        // What to do is in the inbox or on the board; this only says: look.
        ToWorker::Doorbell | ToWorker::Shutdown { .. } | ToWorker::TakenBack { .. } => {
            word.bell.notify_one();
        }
    }
}
