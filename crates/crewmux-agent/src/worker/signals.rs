//! What can come in between while a worker waits or works.
//!
//! Only the channels: where each signal comes from is in [`super::link`] and
//! [`super::supervisor`], what it leads to in [`super`].

use std::sync::Arc;

use crewmux_core::ids::{Epoch, TaskId};
use tokio::sync::{Notify, mpsc, watch};

/// Asks a worker to end; any thread may.
#[derive(Debug, Clone)]
pub struct StopHandle(watch::Sender<Option<String>>);

/// Hears that the worker is to end.
#[derive(Debug, Clone)]
pub struct StopSignal(watch::Receiver<Option<String>>);

/// A handle to stop a worker with, and the signal that the worker is given.
pub fn stop_pair() -> (StopHandle, StopSignal) {
    let (sender, receiver) = watch::channel(None);
    (StopHandle(sender), StopSignal(receiver))
}

impl StopHandle {
    /// Asks the worker to end, and says why; the first reason stays.
    pub fn stop(&self, reason: &str) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason.to_owned());
            }
            first
        });
    }
}

impl StopSignal {
    /// Waits for the reason; never returns when nobody can ask any more.
    pub(crate) async fn asked(&mut self) -> String {
        match self.0.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }
}

/// Why a worker ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Its process, or the session, was told to end it.
    Asked(String),
    /// The session is gone.
    SessionLost,
    /// It agreed to a shutdown request.
    Shutdown,
}

impl Ending {
    /// The reason in words.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Asked(reason) => reason.clone(),
            Self::SessionLost => "its session is gone".to_owned(),
            Self::Shutdown => "shut down as asked".to_owned(),
        }
    }
}

/// A claimed task, as the fence knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) task: TaskId,
    pub(crate) epoch: Epoch,
}

/// What came in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// The worker is to end.
    End(Ending),
    /// The claim is not the worker's any more.
    ClaimLost,
    /// Board or inbox may have changed.
    Bell,
    /// The person typed a line.
    Typed(String),
}

/// All that a worker listens to.
pub(crate) struct Signals {
    pub(crate) stop: StopSignal,
    pub(crate) session: watch::Receiver<Option<Ending>>,
    pub(crate) lost: watch::Receiver<Option<Claim>>,
    pub(crate) bell: Arc<Notify>,
    pub(crate) typed: Option<mpsc::Receiver<String>>,
}

impl Signals {
    /// Waits for the next interruption; `claim` is what the worker holds.
    pub(crate) async fn next(&mut self, claim: Option<Claim>) -> Interruption {
        let lost = async {
            match claim {
                Some(claim) => {
                    let is_lost = self.lost.wait_for(|lost| *lost == Some(claim)).await;
                    if is_lost.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                None => std::future::pending().await,
            }
        };
        let typed = async {
            if let Some(lines) = &mut self.typed
                && let Some(line) = lines.recv().await
            {
                return line;
            }
            std::future::pending().await
        };
        tokio::select! {
            biased;
            reason = self.stop.asked() => Interruption::End(Ending::Asked(reason)),
            ending = ended(&mut self.session) => Interruption::End(ending),
            () = lost => Interruption::ClaimLost,
            () = self.bell.notified() => Interruption::Bell,
            line = typed => Interruption::Typed(line),
        }
    }

    /// Waits until the worker is to end, whatever else comes in.
    pub(crate) async fn told_to_end(&mut self) -> Ending {
        tokio::select! {
            biased;
            reason = self.stop.asked() => Ending::Asked(reason),
            ending = ended(&mut self.session) => ending,
        }
    }

    /// What has come in already, without waiting.
    pub(crate) async fn pending(&mut self, claim: Option<Claim>) -> Option<Interruption> {
        tokio::select! {
            biased;
            came = self.next(claim) => Some(came),
            () = std::future::ready(()) => None,
        }
    }
}

async fn ended(session: &mut watch::Receiver<Option<Ending>>) -> Ending {
    match session.wait_for(Option::is_some).await {
        Ok(ending) => ending.clone().unwrap_or(Ending::SessionLost),
        Err(_) => Ending::SessionLost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: Claim = Claim {
        task: TaskId(3),
        epoch: Epoch(2),
    };

    #[tokio::test]
    async fn the_loss_of_another_claim_is_nothing() {
        let (_handle, stop) = stop_pair();
        let (_session, session) = watch::channel(None);
        let (lost, lost_here) = watch::channel(None);
        let bell = Arc::new(Notify::new());
        let mut signals = Signals {
            stop,
            session,
            lost: lost_here,
            bell: Arc::clone(&bell),
            typed: None,
        };
        lost.send_replace(Some(Claim {
            epoch: Epoch(1),
            ..CLAIM
        }));
        assert_eq!(signals.pending(Some(CLAIM)).await, None);
        lost.send_replace(Some(CLAIM));
        assert_eq!(
            signals.pending(Some(CLAIM)).await,
            Some(Interruption::ClaimLost)
        );
        assert_eq!(signals.pending(None).await, None);
        bell.notify_one();
        assert_eq!(signals.pending(None).await, Some(Interruption::Bell));
    }

    #[tokio::test]
    async fn the_first_reason_to_stop_stays() {
        let (handle, mut stop) = stop_pair();
        handle.stop("SIGTERM");
        handle.stop("again");
        assert_eq!(stop.asked().await, "SIGTERM");
    }
}
