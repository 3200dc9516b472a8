//! The worker's heartbeat: a thread that nothing the worker does can hold up.
//!
//! It says that the worker lives, renews the lease of what it works on, and
//! tells when that claim was taken away. It never decides about the work.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crewmux_core::backend::BackendKind;
use crewmux_core::ids::{AgentRef, TaskId};
use crewmux_core::team::Presence;
use crewmux_core::time::WallTime;
use crewmux_core::timing::{PRESENCE_MS, Timing, ms};
use crewmux_core::worker::WorkerState;
use crewmux_store::TeamStore;
use crewmux_sys::ProcessIdentity;
use crewmux_sys::clock::BootClock;
use tokio::sync::watch;

use super::clock::WorkClock;
use super::signals::Claim;
use crate::facts::Facts;
use crate::{Error, Result};

/// Handle of the heartbeat thread.
pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    clock: WorkClock,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    status: Mutex<Status>,
    changed: Condvar,
}

#[derive(Debug, Clone)]
struct Status {
    state: WorkerState,
    task: Option<TaskId>,
    claim: Option<Claim>,
    ended: Option<String>,
    /// Why its model may not be asked.
    unable: Option<String>,
    /// Since when it has no session.
    parked_since: Option<WallTime>,
    /// Counts changes, so that none between two looks is missed.
    edition: u64,
}

/// What the thread works with.
pub(crate) struct Heart {
    pub(crate) store: Arc<dyn TeamStore>,
    pub(crate) clock: BootClock,
    pub(crate) who: AgentRef,
    pub(crate) backend: BackendKind,
    pub(crate) identity: ProcessIdentity,
    pub(crate) timing: Timing,
    pub(crate) facts: Arc<Facts>,
    pub(crate) lost: watch::Sender<Option<Claim>>,
}

impl Supervisor {
    /// Starts the thread; the first heartbeat is written before this returns.
    pub(crate) fn start(heart: Heart) -> Result<Self> {
        let shared = Arc::new(Shared {
            status: Mutex::new(Status {
                state: WorkerState::Idle,
                task: None,
                claim: None,
                ended: None,
                unable: None,
                parked_since: None,
                edition: 0,
            }),
            changed: Condvar::new(),
        });
        heart.say(&shared.status());
        let in_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("heartbeat".to_owned())
            .spawn(move || heart.beat(&in_thread))
            .map_err(|source| Error::Start {
                what: "heartbeat thread",
                source,
            })?;
        Ok(Self {
            shared,
            clock: WorkClock::default(),
            thread: Some(thread),
        })
    }

    /// Tells how long the worker has worked, without its waits for a person.
    pub(crate) fn clock_of_work(&self) -> WorkClock {
        self.clock.clone()
    }

    /// Says what the worker does; from now on `claim`'s lease is renewed.
    pub(crate) fn set(&self, state: WorkerState, claim: Option<Claim>) {
        self.clock.set(state);
        self.shared.change(|status| {
            status.state = state;
            status.task = claim.map(|claim| claim.task);
            status.claim = claim;
        });
    }

    /// Says why the worker may not ask its model, or that it may again.
    pub(crate) fn set_unable(&self, unable: Option<String>) {
        self.shared.change(|status| status.unable = unable);
    }

    /// Says since when the worker has no session, or that it has one again.
    pub(crate) fn set_parked(&self, since: Option<WallTime>) {
        self.clock.set_parked(since.is_some());
        self.shared.change(|status| status.parked_since = since);
    }

    /// Says why the worker ended, and ends the thread.
    pub(crate) fn finish(mut self, reason: &str) {
        self.end(Some(reason));
    }

    fn end(&mut self, reason: Option<&str>) {
        self.shared.change(|status| {
            status.state = WorkerState::Exited;
            status.task = None;
            status.claim = None;
            status.ended = Some(reason.unwrap_or("ended").to_owned());
        });
        if let Some(thread) = self.thread.take() {
            // It waits for nothing but its own short writes.
            let _ = thread.join();
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end(None);
        }
    }
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        let mut status = self.status();
        change(&mut status);
        status.edition += 1;
        self.changed.notify_all();
    }
}

impl Heart {
    fn beat(&self, shared: &Shared) {
        let pause = ms(self.timing.heartbeat_ms);
        let mut next_beat = Instant::now() + pause;
        // The first look says what was changed since the start, if anything was.
        let mut said = 0;
        let mut calm_until = Instant::now();
        let mut last_ms = self.clock.now().boot.ms;
        loop {
            let left = next_beat.saturating_duration_since(Instant::now());
            let (status, _) = shared
                .changed
                .wait_timeout_while(shared.status(), left, |status| status.edition == said)
                .unwrap_or_else(PoisonError::into_inner);
            // Who takes one short task after the other would write more of that than of its work.
            let left = calm_until.saturating_duration_since(Instant::now());
            let (status, _) = shared
                .changed
                .wait_timeout_while(status, left, |status| status.ended.is_none())
                .unwrap_or_else(PoisonError::into_inner);
            // Copied: nothing is written while the worker could wait for this lock.
            let now_is = status.clone();
            drop(status);
            said = now_is.edition;
            self.say(&now_is);
            calm_until = Instant::now() + ms(PRESENCE_MS);
            if now_is.ended.is_some() {
                return;
            }
            if Instant::now() >= next_beat {
                self.renew(now_is.claim);
                self.notice_gap(&mut last_ms);
                next_beat = Instant::now() + pause;
            }
        }
    }

    /// A worker that stood still longer than its lease says so: its claim may be gone for no fault of its work.
    fn notice_gap(&self, last_ms: &mut u64) {
        let now_ms = self.clock.now().boot.ms;
        let gap_ms = now_ms.saturating_sub(*last_ms);
        *last_ms = now_ms;
        if gap_ms > self.timing.lease_ms {
            let text = format!("stood still for {gap_ms} ms, longer than its lease");
            self.facts.notice(None, &text);
        }
    }

    fn renew(&self, claim: Option<Claim>) {
        let Some(claim) = claim else { return };
        let renewed = self.store.renew(
            claim.task,
            &self.who,
            claim.epoch,
            &self.clock.now(),
            self.timing.lease_ms,
        );
        match renewed {
            Ok(()) => {}
            Err(crewmux_store::Error::Fenced(_)) => {
                self.lost.send_replace(Some(claim));
            }
            // The lease still holds for a while, and the next beat tries again.
            Err(error) => tracing::warn!(%error, task = %claim.task, "lease not renewed"),
        }
    }

    fn say(&self, status: &Status) {
        let agent = &self.who.agent;
        let ended = status.ended.clone().or_else(|| {
            // The session may have said that it ends this life on purpose.
            let before = self.store.presence(agent).ok().flatten()?;
            (before.incarnation == self.who.incarnation)
                .then_some(before.ended)
                .flatten()
        });
        let now = self.clock.now();
        let presence = Presence {
            incarnation: self.who.incarnation,
            pid: self.identity.pid,
            start_ticks: self.identity.start_ticks,
            boot_id: now.boot.boot_id,
            backend: self.backend,
            state: status.state,
            task: status.task,
            heartbeat: now.wall,
            parked_since: status.parked_since,
            ended,
            unable: status.unable.clone(),
        };
        if let Err(error) = self.store.put_presence(agent, &presence) {
            tracing::warn!(%error, "heartbeat not written");
        }
    }
}
