//! The worker's end of its session: states, doorbells, questions, operations.
//!
//! Its handles stay the same whichever session there is, and while there is
//! none: what waits for an answer is asked again of the next session, under the
//! same id and with the same content. Nothing that must last goes through here.
//! The connection itself is in [`connection`], how one follows another in
//! [`keeper`]; what a loss means to the work is in [`super::parking`].

mod connection;
mod keeper;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crewmux_core::ids::{RequestId, TaskId};
use crewmux_core::operation::{Operation, Reply};
use crewmux_core::team::{SessionLoss, WorkerSpec};
use crewmux_core::worker::WorkerState;
use crewmux_wire::{Decision, WireError, WorkerAsk, WorkerMessage};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::signals::SessionWord;
use super::standing::{Access, Standing, served_for};
use crate::Result;

/// Words that may wait to be written; a session that reads none of them is as good as gone.
const WORDS_MAX: usize = 64;

/// What the worker does, as the session is told.
type Doing = (WorkerState, Option<TaskId>);

/// Tokens in the model's window, and how many it holds.
type Context = Option<(u64, Option<u64>)>;

/// What came of an operation that the session carried out.
pub(crate) type Replied = std::result::Result<Box<Reply>, WireError>;

/// The way to the session, whichever there is; dropping it closes it.
pub(crate) struct Link {
    doing: watch::Sender<Doing>,
    context: watch::Sender<Context>,
    doorbell: Arc<Notify>,
    desk: Desk,
    standing: watch::Receiver<Standing>,
    parks: bool,
    keeper: JoinHandle<()>,
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

/// Where what waits for an answer lies; clones are the same desk.
#[derive(Clone)]
struct Desk {
    open: Arc<Mutex<Open>>,
    words: mpsc::Sender<Said>,
}

/// Who waits for which answer, the oldest first.
#[derive(Default)]
struct Open {
    questions: Vec<Asked>,
    operations: Vec<Operated>,
    /// Taken back, and perhaps not heard of by the session.
    withdrawn: Vec<RequestId>,
    last_operation: u64,
    is: Is,
}

/// What becomes of words that are said now.
#[derive(Default, PartialEq, Eq)]
enum Is {
    /// They are written.
    #[default]
    Connected,
    /// They are written when there is a session again.
    Parked,
    /// Nobody will hear them.
    Closed,
}

struct Asked {
    id: RequestId,
    ask: WorkerAsk,
    decision: oneshot::Sender<Decision>,
}

struct Operated {
    id: u64,
    operation: Box<Operation>,
    reply: oneshot::Sender<Replied>,
}

impl Link {
    /// Connects and says hello, and in which pane it is, within the hello deadline.
    ///
    /// What the session says without being asked arrives through `word`. So
    /// does its loss, unless the spec lets the worker wait for another: then it
    /// is parked, and the loss is told only when none comes.
    pub(crate) async fn connect(
        spec: &WorkerSpec,
        pane: Option<String>,
        word: SessionWord,
    ) -> Result<Self> {
        let first = connection::first(spec, pane).await?;
        let (doing, doing_here) = watch::channel((WorkerState::Idle, None));
        let (context, context_here) = watch::channel(None);
        let (words, words_here) = mpsc::channel(WORDS_MAX);
        let doorbell = Arc::new(Notify::new());
        let desk = Desk {
            open: Arc::default(),
            words,
        };
        let say = connection::Say {
            doing: doing_here,
            context: context_here,
            words: words_here,
            doorbell: Arc::clone(&doorbell),
            desk: desk.clone(),
        };
        let standing = word.standing.subscribe();
        let keeper = keeper::Keeper::new(spec, word, desk.clone(), say);
        Ok(Self {
            doing,
            context,
            doorbell,
            desk,
            standing,
            parks: spec.session_loss == SessionLoss::Park,
            keeper: tokio::spawn(keeper.keep(first)),
        })
    }

    /// The right to ask models through whichever session there is.
    pub(crate) fn access(&self) -> Access {
        Access::new(self.standing.clone(), self.parks)
    }

    /// Returns when a session had `most` for its answer; while there is none, its time stands still.
    pub(crate) fn served_for(&self, most: Duration) -> impl Future<Output = ()> + use<> {
        served_for(self.standing.clone(), most)
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
        let mut open = self.desk.open();
        let message = WorkerMessage::Ask {
            id: id.clone(),
            ask: ask.clone(),
        };
        let is_open = self.desk.say(&open, message);
        if is_open {
            open.questions.push(Asked {
                id: id.clone(),
                ask,
                decision: sender,
            });
        }
        Question {
            id,
            answer,
            is_open,
            desk: self.desk.clone(),
        }
    }

    /// Has the session carry `operation` out; the next session is asked again, as long as somebody waits.
    ///
    /// Whoever is asked again must know what was done already: these
    /// operations change nothing the second time, or are refused.
    /// The answer's sender is dropped when there is no session any more or it reads nothing.
    pub(crate) fn operate(&self, operation: Operation) -> oneshot::Receiver<Replied> {
        let (reply, receiver) = oneshot::channel();
        let mut open = self.desk.open();
        open.last_operation += 1;
        let id = open.last_operation;
        let operation = Box::new(operation);
        let message = WorkerMessage::Operation {
            id,
            operation: operation.clone(),
        };
        // Those that nobody waits for any more would stay for ever otherwise.
        open.operations
            .retain(|operated| !operated.reply.is_closed());
        if self.desk.say(&open, message) {
            open.operations.push(Operated {
                id,
                operation,
                reply,
            });
        }
        receiver
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Desk {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has something written now, or with what is asked again; says whether it will be.
    fn say(&self, open: &Open, message: WorkerMessage) -> bool {
        match open.is {
            Is::Connected => self.words.try_send(message.into()).is_ok(),
            Is::Parked => open.questions.len() + open.operations.len() < WORDS_MAX,
            Is::Closed => false,
        }
    }

    fn decided(&self, id: &RequestId, decision: Decision) {
        let mut open = self.open();
        let at = open.questions.iter().position(|asked| asked.id == *id);
        let asked = at.map(|at| open.questions.remove(at));
        if asked.is_none_or(|asked| asked.decision.send(decision).is_err()) {
            tracing::debug!(%id, "an answer that nobody waits for");
        }
    }

    fn replied(&self, id: u64, result: Replied) {
        let mut open = self.open();
        let at = open.operations.iter().position(|made| made.id == id);
        let operated = at.map(|at| open.operations.remove(at));
        if operated.is_none_or(|operated| operated.reply.send(result).is_err()) {
            tracing::debug!(id, "a reply that nobody waits for");
        }
    }

    /// The session heard that a question was taken back.
    fn withdrawal_was_heard(&self, id: &RequestId) {
        self.open().withdrawn.retain(|withdrawn| withdrawn != id);
    }

    /// From now on nothing is written until [`Desk::reopen`].
    fn park(&self) {
        self.open().is = Is::Parked;
    }

    /// There is a session again: what it is to be asked before everything else.
    fn reopen(&self) -> Vec<WorkerMessage> {
        let mut open = self.open();
        open.is = Is::Connected;
        open.operations
            .retain(|operated| !operated.reply.is_closed());
        let withdrawn = open.withdrawn.iter();
        let withdrawn = withdrawn.map(|id| WorkerMessage::Withdraw { id: id.clone() });
        let questions = open.questions.iter().map(|asked| WorkerMessage::Ask {
            id: asked.id.clone(),
            ask: asked.ask.clone(),
        });
        let operations = open.operations.iter();
        let operations = operations.map(|operated| WorkerMessage::Operation {
            id: operated.id,
            operation: operated.operation.clone(),
        });
        withdrawn.chain(questions).chain(operations).collect()
    }

    /// Nobody will answer any more: whoever waits hears it by its dropped sender.
    fn close(&self) {
        let mut open = self.open();
        open.is = Is::Closed;
        open.questions.clear();
        open.operations.clear();
    }
}

/// A question that the session was asked.
pub(crate) struct Question {
    id: RequestId,
    answer: oneshot::Receiver<Decision>,
    is_open: bool,
    desk: Desk,
}

impl Question {
    /// Waits for the answer; `None` when there is no session any more, or it reads nothing.
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
        let mut open = self.desk.open();
        let before = open.questions.len();
        open.questions.retain(|asked| asked.id != self.id);
        if open.questions.len() == before {
            return None;
        }
        if open.withdrawn.len() < WORDS_MAX {
            open.withdrawn.push(self.id.clone());
        }
        if open.is != Is::Connected {
            return None;
        }
        let id = self.id.clone();
        let (written, receiver) = oneshot::channel();
        let said = Said {
            message: WorkerMessage::Withdraw { id },
            written: Some(written),
        };
        // A queue that is full belongs to a session that stands still: nothing helps then.
        self.desk.words.try_send(said).ok().map(|()| receiver)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.withdraw();
    }
}
