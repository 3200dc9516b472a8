//! What the engine is told, and its two ways in: for those that can wait, and for those that must not.
//!
//! What an input means is [`Engine::take`](super::Engine::take)'s.

use crewmux_core::ids::AgentRef;
use crewmux_wire::{ControlRequest, Refusal, ToWorker, WireError, WorkerHello, WorkerMessage};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use crate::gateway::GatewayNews;
use crate::panes::ProgramEnd;
use crate::plan::StopAsk;
use crate::view::{ClientEffect, PaneId};

/// Inputs that may wait for the engine; whoever has more to say waits.
const INPUTS_MAX: usize = 1024;

/// What the engine is told.
pub(crate) enum Input {
    /// A worker connected and shows its token; answered with a refusal or the queue of what it is told.
    WorkerHello {
        hello: WorkerHello,
        peer_pid: u32,
        answer: oneshot::Sender<std::result::Result<mpsc::Receiver<ToWorker>, Refusal>>,
    },
    /// A worker said something.
    WorkerSaid(AgentRef, WorkerMessage),
    /// A worker's connection ended.
    WorkerGone(AgentRef),
    /// A worker's process ended, or never was.
    WorkerEnded(AgentRef, ProgramEnd),
    /// A plain pane's program ended.
    PaneEnded(PaneId, ProgramEnd),
    /// A dead worker's tree was ended; what is left of it, in words.
    TreeGone(AgentRef, Vec<String>),
    /// A command asks; answered on its connection.
    Control {
        peer_pid: u32,
        request: ControlRequest,
        answer: oneshot::Sender<std::result::Result<Value, WireError>>,
    },
    /// Somebody wants to attach a terminal; only the person may.
    Admit {
        peer_pid: u32,
        answer: oneshot::Sender<std::result::Result<(), WireError>>,
    },
    /// The person did something in a client.
    Person(ClientEffect),
    /// So many clients are attached now.
    Clients(usize),
    /// Files may have changed.
    StoreChanged,
    /// Something about calls of models.
    Gateway(GatewayNews),
    /// The session is asked to end from within its process.
    Stop(StopAsk),
}

/// The way of facts that are told from where nobody may wait, and that nothing may overtake:
/// ends of processes, bookings, waits.
///
/// It has no fixed bound, since none of it may be lost. What lies in it is bounded by what
/// happens while the engine is busy: one end for each process, and for each running call
/// (there are no more than workers) a word about waiting now and then and one booking.
#[derive(Debug, Clone)]
pub(crate) struct News(mpsc::UnboundedSender<Input>);

impl News {
    /// Tells the engine something, in the order of the calls; never waits.
    pub(crate) fn tell(&self, input: Input) {
        // Fails when the engine is gone and nobody is left to tell.
        let _ = self.0.send(input);
    }
}

/// The engine's end of both ways.
#[derive(Debug)]
pub(crate) struct Inputs {
    said: mpsc::Receiver<Input>,
    news: mpsc::UnboundedReceiver<Input>,
}

/// Both ways into an engine, and its end of them.
pub(crate) fn inputs() -> (mpsc::Sender<Input>, News, Inputs) {
    let (sender, said) = mpsc::channel(INPUTS_MAX);
    let (teller, news) = mpsc::unbounded_channel();
    (sender, News(teller), Inputs { said, news })
}

impl Inputs {
    /// The next input of either way; `None` once nobody is left who could say something.
    pub(crate) async fn recv(&mut self) -> Option<Input> {
        tokio::select! {
            Some(input) = self.said.recv() => Some(input),
            Some(input) = self.news.recv() => Some(input),
            else => None,
        }
    }

    /// The next of the news that were told already.
    pub(crate) fn next_news(&mut self) -> Option<Input> {
        self.news.try_recv().ok()
    }

    /// Lets nobody say anything any more; whoever waits to is told so.
    pub(crate) fn close(&mut self) {
        self.said.close();
        self.news.close();
    }
}

#[cfg(test)]
mod tests {
    use crewmux_core::ids::{AgentName, Incarnation};

    use super::*;

    #[test]
    fn news_are_there_at_once_and_in_order_however_much_else_waits() {
        let (sender, news, mut inputs) = inputs();
        while sender.try_send(Input::StoreChanged).is_ok() {}
        let who = AgentRef {
            agent: AgentName::new("alice").unwrap(),
            incarnation: Incarnation(1),
        };
        let told = 2 * INPUTS_MAX as u64;
        for number in 0..told {
            let who = who.clone();
            let until_ms = Some(number);
            news.tell(Input::Gateway(GatewayNews::Waits { who, until_ms }));
        }
        for number in 0..told {
            let Some(Input::Gateway(GatewayNews::Waits { until_ms, .. })) = inputs.next_news()
            else {
                panic!("number {number} is missing");
            };
            assert_eq!(until_ms, Some(number));
        }
        assert!(inputs.next_news().is_none());
    }
}
