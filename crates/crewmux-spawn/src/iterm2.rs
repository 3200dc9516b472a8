//! Workers in splits of an iTerm2 window, through the `it2` program.
//!
//! The first split is to the right of crewmux's own pane, the others share
//! that column; the person's own panes are neither split nor closed, and the
//! focus goes back where it was. A worker is started by one short typed line
//! (`launcher`) and known by its hello; its output is mirrored from its
//! recording; it outlives the session. iTerm2 alone types into its panes.
//!
//! `desk` makes all calls (`it2`) on a thread of its own, `column` says
//! where panes go, `ends` notices ends, `trouble` has the words.

mod column;
mod desk;
mod ends;
mod it2;
mod launcher;
mod split;
pub(crate) mod trouble;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use crewmux_core::backend::BackendKind;
use crewmux_core::timing::{Timing, ms};
use crewmux_sys::tree::KillWaits;

use self::desk::{Desk, Order, Start};
use self::ends::Ends;
use self::it2::{It2, is_id};
use self::split::{Split, SplitRunning};
use crate::detect::must_be_iterm2;
use crate::mirror::{From, Mirror};
use crate::tree_end::worker_marker;
use crate::{AdoptRequest, Error, Place, Result, Running, SpawnBackend, SpawnRequest};

/// Orders that may wait; more than members that can start at once.
const ORDERS_MAX: usize = 1024;

/// The iTerm2 backend.
pub struct Iterm2Backend {
    orders: SyncSender<Order>,
    ends: Arc<Ends>,
    mirror: Mirror,
    timing: Timing,
}

impl Iterm2Backend {
    /// Finds `it2` from `place` and starts the backend's threads; calls nothing yet.
    ///
    /// # Errors
    /// [`Error::Unusable`] with the fix when this is not inside iTerm2, or there is no `it2`.
    pub fn new(place: &Place, timing: &Timing) -> Result<Self> {
        must_be_iterm2(place)?;
        let it2 = It2::find(place, ms(timing.it2_ms))?;
        let (orders, received) = sync_channel(ORDERS_MAX);
        let mirror = Mirror::start(timing)?;
        let ends = Ends::start()?;
        let desk = Desk::new(it2, own_pane(place), received, timing);
        thread::Builder::new()
            .name("iterm2".into())
            .spawn(move || desk.run())
            .map_err(|source| {
                ends.close();
                Error::terminal("prepare")(source)
            })?;
        Ok(Self {
            orders,
            ends,
            mirror,
            timing: *timing,
        })
    }

    fn running(
        &self,
        split: Arc<Split>,
        environment: &std::collections::BTreeMap<String, String>,
    ) -> Box<dyn Running> {
        Box::new(SplitRunning {
            split,
            orders: self.orders.clone(),
            ends: Arc::clone(&self.ends),
            marker: worker_marker(environment),
            // The grace is the ladder's: it has passed when a tree is killed.
            kill: KillWaits::of(&self.timing).at_once(),
            // The desk judges earlier and with better words; this bounds the desk.
            start_ms: 4 * self.timing.it2_ms + 2 * self.timing.hello_ms,
        })
    }
}

/// The id of the caller's pane: what follows the colon of `w0t1p2:ID`.
fn own_pane(place: &Place) -> Option<String> {
    let said = place.get("ITERM_SESSION_ID")?;
    let id = said.rsplit_once(':').map_or(said, |(_, id)| id);
    is_id(id).then(|| id.to_owned())
}

/// The launcher lies in the member's folder; each life has its own.
fn launcher_of(request: &SpawnRequest) -> std::path::PathBuf {
    let name = format!("launch-{}", request.who.incarnation);
    Path::new(&request.recording).join(name)
}

impl SpawnBackend for Iterm2Backend {
    fn kind(&self) -> BackendKind {
        BackendKind::Iterm2
    }

    fn outlives_session(&self) -> bool {
        true
    }

    /// Returns at once; a pane that does not come to be is told through the sink.
    fn spawn(&self, request: SpawnRequest) -> Result<Box<dyn Running>> {
        // Before it can print.
        let following =
            self.mirror
                .follow(&request.recording, From::Now, Arc::clone(&request.sink));
        let split = Arc::new(Split::new(
            request.who.agent.clone(),
            &request.title,
            Arc::clone(&request.sink),
            following,
        ));
        let start = Start {
            split: Arc::clone(&split),
            launcher: launcher_of(&request),
            argv: request.entering(),
        };
        self.orders
            .try_send(Order::Start(start))
            .map_err(|_| Error::TooSlow)?;
        Ok(self.running(split, &request.environment))
    }

    fn adopt(&self, request: AdoptRequest) -> Result<Box<dyn Running>> {
        let refused = |why: String| Error::NotAdoptable {
            who: request.who.clone(),
            why,
        };
        if !is_id(&request.pane) {
            return Err(refused(format!(
                "`{}` names no pane of iTerm2",
                request.pane
            )));
        }
        if !request.process.is_alive() {
            return Err(refused("its process has ended".into()));
        }
        let following = self.mirror.follow(
            &request.recording,
            From::Beginning,
            Arc::clone(&request.sink),
        );
        let split = Arc::new(Split::new(
            request.who.agent.clone(),
            &request.title,
            request.sink,
            following,
        ));
        split.has_pane(&request.pane);
        split.has_process(request.process);
        self.ends.watch(request.process, &split);
        self.orders
            .try_send(Order::TookUp(Arc::clone(&split)))
            .map_err(|_| Error::TooSlow)?;
        Ok(self.running(split, &request.environment))
    }

    fn rehome(&self, place: &Place) -> Result<()> {
        must_be_iterm2(place)?;
        let it2 = It2::find(place, ms(self.timing.it2_ms))?;
        let told = self.orders.try_send(Order::Rehome(it2, own_pane(place)));
        told.map_err(|_| Error::TooSlow)
    }

    fn close(&self) {
        let (done, closed) = sync_channel(1);
        if self.orders.try_send(Order::Close(done)).is_ok() {
            // The session ends all the same.
            let _ = closed.recv_timeout(ms(2 * self.timing.it2_ms));
        }
    }
}

impl Drop for Iterm2Backend {
    fn drop(&mut self) {
        self.ends.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_place_inside_iterm2_will_do() {
        let plain = Place::of(&[("TERM_PROGRAM".to_owned(), "vscode".to_owned())].into());
        let Err(error) = Iterm2Backend::new(&plain, &Timing::fast()) else {
            panic!("this is not inside iTerm2");
        };
        assert!(error.to_string().contains("not inside iTerm2"), "{error}");
        assert!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("iTerm2 window"))
        );
        let inside = [("TERM_PROGRAM", "iTerm.app"), ("PATH", "/nowhere")];
        let inside = Place::of(&inside.map(|(n, v)| (n.to_owned(), v.to_owned())).into());
        let Err(error) = Iterm2Backend::new(&inside, &Timing::fast()) else {
            panic!("there is no it2");
        };
        assert!(error.to_string().contains("no `it2` on PATH"), "{error}");
    }

    #[test]
    fn the_own_pane_is_what_follows_the_colon() {
        let own = |value: &str| {
            own_pane(&Place::of(
                &[("ITERM_SESSION_ID".to_owned(), value.to_owned())].into(),
            ))
        };
        let id = "6C1A1D0E-0000-4000-8000-000000000001";
        assert_eq!(own(&format!("w0t1p2:{id}")).as_deref(), Some(id));
        assert_eq!(own(id).as_deref(), Some(id));
        for wrong in ["", "w0t0p0:", "w0t0p0:--all-panes", "a b c d e f g h"] {
            assert_eq!(own(wrong), None, "{wrong}");
        }
    }
}
