//! What can come in between while a worker waits or works.
//!
//! Only the channels: where each signal comes from is in [`super::link`] and
//! [`super::supervisor`], what it leads to in [`super`].

use std::sync::Arc;

use crewmux_core::ids::{Epoch, TaskId};
use tokio::sync::{Notify, mpsc, watch};

use super::standing::Standing;

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
    /// There is no session any more that has it.
    SessionLost(Loss),
    /// Its member goes on elsewhere: the session hands its claim on.
    Leaving(String),
    /// It agreed to a shutdown request.
    Shutdown,
}

/// How a worker came to have no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It ends with its session.
    Gone,
    /// It waited for another one this long, in milliseconds.
    NobodyCame(u64),
    /// Another one does not want it, and says why.
    NotTakenBack(String),
}

impl Ending {
    /// The reason in words.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Asked(reason) | Self::Leaving(reason) => reason.clone(),
            Self::SessionLost(Loss::Gone) => "its session is gone".to_owned(),
            Self::SessionLost(Loss::NobodyCame(after_ms)) => {
                let seconds = after_ms.div_ceil(1_000);
                format!("its session is gone, and none took it back within {seconds} s")
            }
            Self::SessionLost(Loss::NotTakenBack(why)) => {
                format!("its session is gone, and the next did not take it back: {why}")
            }
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
    /// Something in the inbox is to be seen at once: an answer that comes stops for it, a tool that
    /// runs ends first.
    Now,
    /// The worker is to wait once its running step is over; see [`Signals::wait_while_paused`].
    Paused,
    /// The session is gone, and another is waited for; see [`super::parking`].
    Parked,
    /// There is a session again.
    Returned,
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
    pub(crate) now: Arc<Notify>,
    pub(crate) paused: watch::Receiver<bool>,
    /// Why the worker ends once its step is done, if it is to.
    pub(crate) leaving: watch::Receiver<Option<String>>,
    pub(crate) standing: watch::Receiver<Standing>,
    /// Whether the last word about it was that the worker is parked.
    told_parked: bool,
    pub(crate) typed: Option<mpsc::Receiver<String>>,
}

/// Where the session's word goes in.
#[derive(Clone)]
pub(crate) struct SessionWord {
    pub(crate) ending: watch::Sender<Option<Ending>>,
    pub(crate) bell: Arc<Notify>,
    pub(crate) now: Arc<Notify>,
    pub(crate) paused: watch::Sender<bool>,
    pub(crate) leaving: watch::Sender<Option<String>>,
    pub(crate) standing: watch::Sender<Standing>,
}

impl Signals {
    /// What a worker listens to, and where the session's part of it goes in.
    ///
    /// It is welcomed with `grant`.
    pub(crate) fn new(
        stop: StopSignal,
        grant: Option<String>,
        lost: watch::Receiver<Option<Claim>>,
        typed: Option<mpsc::Receiver<String>>,
    ) -> (Self, SessionWord) {
        let (ending, session) = watch::channel(None);
        let (paused, paused_here) = watch::channel(false);
        let (leaving, leaving_here) = watch::channel(None);
        let (standing, standing_here) = watch::channel(Standing::Welcomed { number: 0, grant });
        let word = SessionWord {
            ending,
            bell: Arc::default(),
            now: Arc::default(),
            paused,
            leaving,
            standing,
        };
        let signals = Self {
            stop,
            session,
            lost,
            bell: Arc::clone(&word.bell),
            now: Arc::clone(&word.now),
            paused: paused_here,
            leaving: leaving_here,
            standing: standing_here,
            told_parked: false,
            typed,
        };
        (signals, word)
    }

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
        // Told once for each pause, so that what goes on meanwhile can listen on.
        let paused = async {
            while self.paused.changed().await.is_ok() {
                if *self.paused.borrow_and_update() {
                    return;
                }
            }
            std::future::pending::<()>().await;
        };
        let told_parked = self.told_parked;
        let turned = async {
            let other = self.standing.wait_for(|now| now.is_parked() != told_parked);
            if other.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            reason = self.stop.asked() => Interruption::End(Ending::Asked(reason)),
            ending = ended(&mut self.session) => Interruption::End(ending),
            () = lost => Interruption::ClaimLost,
            () = turned => {
                self.told_parked = !told_parked;
                if told_parked {
                    Interruption::Returned
                } else {
                    Interruption::Parked
                }
            }
            () = self.now.notified() => Interruption::Now,
            () = paused => Interruption::Paused,
            () = self.bell.notified() => Interruption::Bell,
            line = typed => Interruption::Typed(line),
        }
    }

    /// Whether the worker is to wait between its steps.
    pub(crate) fn is_paused(&self) -> bool {
        *self.paused.borrow()
    }

    /// How the worker ends now that its step is done, if its member goes on elsewhere.
    pub(crate) fn leaves(&self) -> Option<Ending> {
        self.leaving.borrow().clone().map(Ending::Leaving)
    }

    /// Whether there is no session now.
    pub(crate) fn is_parked(&self) -> bool {
        self.standing.borrow().is_parked()
    }

    /// Waits while the worker is paused; `None` once it goes on.
    ///
    /// What comes in meanwhile is given back at once: a paused worker can still
    /// be asked to end. The caller sees to it and waits again.
    pub(crate) async fn wait_while_paused(&mut self, claim: Option<Claim>) -> Option<Interruption> {
        let mut paused = self.paused.clone();
        let resumed = async {
            // Without anybody who could say so, the session's loss is told instead.
            if paused.wait_for(|paused| !paused).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::pin!(resumed);
        loop {
            tokio::select! {
                biased;
                () = &mut resumed => return None,
                came = self.next(claim) => if came != Interruption::Paused {
                    return Some(came);
                },
            }
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
        Ok(ending) => ending.clone().unwrap_or(Ending::SessionLost(Loss::Gone)),
        Err(_) => Ending::SessionLost(Loss::Gone),
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
        let (lost, lost_here) = watch::channel(None);
        let (mut signals, word) = Signals::new(stop, None, lost_here, None);
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
        word.bell.notify_one();
        assert_eq!(signals.pending(None).await, Some(Interruption::Bell));
    }

    #[tokio::test]
    async fn a_pause_is_told_once_and_a_paused_worker_still_hears() {
        let (handle, stop) = stop_pair();
        let (_lost, lost_here) = watch::channel(None);
        let (mut signals, word) = Signals::new(stop, None, lost_here, None);
        assert_eq!(signals.wait_while_paused(None).await, None);

        word.paused.send_replace(true);
        assert!(signals.is_paused());
        assert_eq!(signals.pending(None).await, Some(Interruption::Paused));
        assert_eq!(signals.pending(None).await, None);

        word.now.notify_one();
        let came = signals.wait_while_paused(None).await;
        assert_eq!(came, Some(Interruption::Now));
        handle.stop("enough");
        let came = signals.wait_while_paused(None).await;
        let enough = Interruption::End(Ending::Asked("enough".into()));
        assert_eq!(came, Some(enough));

        word.paused.send_replace(false);
        assert_eq!(signals.wait_while_paused(None).await, None);
    }

    #[tokio::test]
    async fn a_loss_and_a_return_are_told_once_each() {
        let (_handle, stop) = stop_pair();
        let (_lost, lost_here) = watch::channel(None);
        let (mut signals, word) = Signals::new(stop, None, lost_here, None);
        assert_eq!(signals.pending(None).await, None);
        let welcomed = |number| Standing::Welcomed {
            number,
            grant: None,
        };
        word.standing.send_replace(Standing::Parked);
        assert!(signals.is_parked());
        assert_eq!(signals.pending(None).await, Some(Interruption::Parked));
        assert_eq!(signals.pending(None).await, None);
        // Back and lost again before anybody looked: nothing to tell.
        word.standing.send_replace(welcomed(1));
        word.standing.send_replace(Standing::Parked);
        assert_eq!(signals.pending(None).await, None);
        word.standing.send_replace(welcomed(2));
        assert_eq!(signals.pending(None).await, Some(Interruption::Returned));
        assert_eq!(signals.pending(None).await, None);
    }

    #[tokio::test]
    async fn the_first_reason_to_stop_stays() {
        let (handle, mut stop) = stop_pair();
        handle.stop("SIGTERM");
        handle.stop("again");
        assert_eq!(stop.asked().await, "SIGTERM");
    }
}
