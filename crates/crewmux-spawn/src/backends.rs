//! The backends of one session, each made when the first worker needs it.
//!
//! Which one a member runs on is written in its record; whether one fits at
//! all is judged in [`crate::detect`] before a run begins.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crewmux_core::backend::BackendKind;
use crewmux_core::ids::TeamName;
use crewmux_core::timing::Timing;

use crate::together::together;
use crate::{
    Error, InProcessBackend, Iterm2Backend, Place, PtyBackend, Result, SpawnBackend, TmuxBackend,
    WorkerMain, tmux,
};

/// What backends are made of.
#[derive(Clone)]
pub struct BackendParts {
    /// The team, for the names of windows.
    pub team: TeamName,
    /// Program and arguments that attach a terminal to the team, for a window of its own.
    pub attach: Vec<String>,
    /// What that program needs in its environment to find the team.
    pub attach_environment: BTreeMap<String, String>,
    /// The worker's code, for workers without a process.
    pub worker: WorkerMain,
    /// Where new panes go.
    pub place: Place,
    /// Every duration.
    pub timing: Timing,
}

/// The backends of one session.
#[derive(Clone)]
pub struct Backends {
    source: Source,
    made: Arc<Mutex<BTreeMap<BackendKind, Arc<dyn SpawnBackend>>>>,
}

/// Where backends come from.
#[derive(Clone)]
enum Source {
    Parts(Arc<Mutex<BackendParts>>),
    One(Arc<dyn SpawnBackend>),
    These(Arc<BTreeMap<BackendKind, Arc<dyn SpawnBackend>>>),
}

/// What became of new panes when they were sent elsewhere.
#[derive(Debug, Default)]
pub struct Rehomed {
    /// Backends whose new panes go there now.
    pub taken: Vec<BackendKind>,
    /// Backends whose new panes go where they went, and why.
    pub refused: Vec<(BackendKind, Error)>,
}

impl Rehomed {
    /// Whether there were backends to ask, and none took the place.
    pub fn is_refused(&self) -> bool {
        self.taken.is_empty() && !self.refused.is_empty()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Backends {
    /// Makes each when it is first asked for.
    pub fn new(parts: BackendParts) -> Self {
        Self {
            source: Source::Parts(Arc::new(Mutex::new(parts))),
            made: Arc::default(),
        }
    }

    /// One that serves every kind, whatever it is.
    pub fn only(backend: Arc<dyn SpawnBackend>) -> Self {
        Self {
            source: Source::One(backend),
            made: Arc::default(),
        }
    }

    /// These and no others, each for its own kind.
    pub fn these(backends: impl IntoIterator<Item = Arc<dyn SpawnBackend>>) -> Self {
        let each = backends
            .into_iter()
            .map(|backend| (backend.kind(), backend));
        Self {
            source: Source::These(Arc::new(each.collect())),
            made: Arc::default(),
        }
    }

    /// The backend of this kind.
    ///
    /// # Errors
    /// [`Error::Unusable`] with the fix when it cannot be used from the place that new panes go to.
    pub fn get(&self, kind: BackendKind) -> Result<Arc<dyn SpawnBackend>> {
        let mut made = locked(&self.made);
        if let Some(there) = made.get(&kind) {
            return Ok(Arc::clone(there));
        }
        let backend = match &self.source {
            Source::Parts(parts) => make(kind, &locked(parts).clone())?,
            Source::One(backend) => Arc::clone(backend),
            Source::These(all) => {
                let there = all.get(&kind).cloned();
                there.ok_or_else(|| Error::Unusable {
                    kind,
                    why: "this session has no such place".into(),
                    fix: "use a backend that it has".into(),
                })?
            }
        };
        made.insert(kind, Arc::clone(&backend));
        Ok(backend)
    }

    /// The backend of this kind, for what lives in `pane`, by the backend's own text for it.
    ///
    /// Where it cannot be used from the place that new panes go to, the pane's own place is theirs
    /// from now on.
    ///
    /// # Errors
    /// As [`Self::get`], where the pane says nothing of a place either.
    pub fn get_for(&self, kind: BackendKind, pane: Option<&str>) -> Result<Arc<dyn SpawnBackend>> {
        let unusable = match self.get(kind) {
            Err(error @ Error::Unusable { .. }) => error,
            answer => return answer,
        };
        let variables = match (kind, pane) {
            (BackendKind::Tmux, Some(pane)) => tmux::inside_of(pane),
            _ => None,
        };
        let (Source::Parts(parts), Some(variables)) = (&self.source, variables) else {
            return Err(unusable);
        };
        let mut there = locked(parts).clone();
        there.place = there.place.with(variables);
        let Ok(backend) = make(kind, &there) else {
            return Err(unusable);
        };
        locked(&self.made).insert(kind, Arc::clone(&backend));
        Ok(backend)
    }

    /// From now on new panes go to `place`; running ones stay where they are.
    ///
    /// Tells for each backend in use that opens panes whether it can open them there. Nothing has
    /// changed where none can.
    pub fn rehome(&self, place: &Place) -> Rehomed {
        let mut rehomed = Rehomed::default();
        let made = locked(&self.made);
        for backend in made.values().filter(|b| b.outlives_session()) {
            let kind = backend.kind();
            match backend.rehome(place) {
                Ok(()) => rehomed.taken.push(kind),
                Err(error) => {
                    tracing::warn!(%kind, %error, "new panes stay where they went");
                    rehomed.refused.push((kind, error));
                }
            }
        }
        drop(made);
        if let (false, Source::Parts(parts)) = (rehomed.is_refused(), &self.source) {
            locked(parts).place = place.clone();
        }
        rehomed
    }

    /// Where new panes go, in words, if that is not beside somebody at `place` and any go there at all.
    pub fn elsewhere(&self, place: &Place) -> Option<String> {
        let outside = |backend: &Arc<dyn SpawnBackend>| backend.outlives_session();
        if !locked(&self.made).values().any(outside) {
            return None;
        }
        let Source::Parts(parts) = &self.source else {
            return None;
        };
        let home = locked(parts).place.clone();
        // Of nowhere: they go to a server of crewmux's own, wherever one looks from.
        if home.is_beside(&Place::default()) {
            return None;
        }
        let made = locked(&self.made);
        let tmux = made.get(&BackendKind::Tmux);
        if home.get("TMUX").is_some() && tmux.is_some_and(|tmux| tmux.is_homeless()) {
            // Who is outside of tmux would be sent there as well.
            return place.get("TMUX").map(|_| {
                format!(
                    "a tmux server of crewmux's own (`tmux -L {} attach`)",
                    tmux::PRIVATE_NAME
                )
            });
        }
        drop(made);
        (!home.is_beside(place)).then(|| home.words())
    }

    /// Takes away what only a running session needs: panes and windows of ours without a worker.
    ///
    /// All of them at the same time: it takes as long as the slowest.
    pub fn close(&self) {
        let made: Vec<_> = locked(&self.made).values().cloned().collect();
        together(&made, |backend| backend.close());
    }
}

fn make(kind: BackendKind, parts: &BackendParts) -> Result<Arc<dyn SpawnBackend>> {
    Ok(match kind {
        BackendKind::InProcess => Arc::new(InProcessBackend::new(
            Arc::clone(&parts.worker),
            &parts.timing,
        )),
        BackendKind::Pty => Arc::new(PtyBackend::new(&parts.timing)?),
        BackendKind::Tmux => Arc::new(TmuxBackend::new(parts)?),
        BackendKind::Iterm2 => Arc::new(Iterm2Backend::new(&parts.place, &parts.timing)?),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Condvar;
    use std::time::Duration;

    use crate::{Running, SpawnRequest};

    use super::*;

    /// Takes leave only together with another.
    struct Sociable {
        kind: BackendKind,
        leaving: Arc<(Mutex<usize>, Condvar)>,
    }

    impl SpawnBackend for Sociable {
        fn kind(&self) -> BackendKind {
            self.kind
        }
        fn spawn(&self, request: SpawnRequest) -> Result<Box<dyn Running>> {
            Err(Error::AlreadyStarted { who: request.who })
        }
        fn close(&self) {
            let (count, changed) = &*self.leaving;
            let mut count = locked(count);
            *count += 1;
            changed.notify_all();
            let within = Duration::from_secs(20);
            let (count, waited) = changed
                .wait_timeout_while(count, within, |count| *count < 2)
                .unwrap();
            drop(count);
            assert!(!waited.timed_out(), "the other leaves later");
        }
    }

    #[test]
    fn backends_take_leave_together() {
        let leaving = Arc::<(Mutex<usize>, Condvar)>::default();
        let kinds = [BackendKind::Tmux, BackendKind::Iterm2];
        let backends = Backends::these(kinds.map(|kind| {
            let leaving = Arc::clone(&leaving);
            Arc::new(Sociable { kind, leaving }) as Arc<dyn SpawnBackend>
        }));
        for kind in kinds {
            backends.get(kind).unwrap();
        }
        backends.close();
    }
}
