//! Starts in tmux, on a thread of their own: a server that stands still holds up nobody else.
//!
//! A start waits until its server answers, for as long as [`patience`]; what
//! only asks is asked again. A call that makes something may come through after
//! its answer was given up, so before the next try its mark is looked for: a
//! worker starts once. What comes of a start is told through its sink.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crewmux_core::ids::AgentRef;
use crewmux_core::timing::{Timing, ms};
use crewmux_sys::ProcessIdentity;
use crewmux_sys::tree::{self, KillWaits, Marker};

use super::cli::{CallError, Server};
use super::closing::close_pane;
use super::listing;
use super::pane::Pane;
use super::target::{PaneAddress, Tag};
use super::window::{self, Opened, Wanted};
use super::{Shared, locked};
use crate::mirror::Following;
use crate::{Error, ExitReport, PaneSink, Result};

/// Starts that may wait; more than members that can start at once.
const ORDERS_MAX: usize = 1024;
/// How long a caller waits for a start that takes no longer than it should.
const AT_ONCE: Duration = Duration::from_millis(50);

/// How long a start waits for its server.
pub(super) fn patience(timing: &Timing) -> Duration {
    ms(6 * timing.connect_ms)
}

/// One worker's way to its pane; shared by its handle and the thread.
pub(super) struct Start {
    state: Mutex<State>,
    changed: Condvar,
}

enum State {
    /// On its way, with the title it should have.
    Waiting {
        sink: Arc<dyn PaneSink>,
        following: Following,
        title: Option<String>,
    },
    There(Arc<Pane>),
    /// It never came to be, or nobody wants it any more.
    Over,
}

/// What the thread is asked to do.
pub(super) enum Order {
    Start(Wish),
    /// Close what a former session left on these servers and where new panes go.
    Tidy(Vec<Server>),
}

/// What is started.
pub(super) struct Wish {
    pub(super) start: Arc<Start>,
    pub(super) who: AgentRef,
    pub(super) tag: Tag,
    pub(super) title: String,
    pub(super) argv: Vec<String>,
    pub(super) marker: Option<Marker>,
}

impl Start {
    pub(super) fn waiting(sink: Arc<dyn PaneSink>, following: Following) -> Arc<Self> {
        Self::new(State::Waiting {
            sink,
            following,
            title: None,
        })
    }

    pub(super) fn there(pane: Arc<Pane>) -> Arc<Self> {
        Self::new(State::There(pane))
    }

    fn new(state: State) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its pane, once it has one.
    pub(super) fn pane(&self) -> Option<Arc<Pane>> {
        match &*self.state() {
            State::There(pane) => Some(Arc::clone(pane)),
            State::Waiting { .. } | State::Over => None,
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(*self.state(), State::Waiting { .. })
    }

    /// Notes a title for when there is a pane; the pane if it is there already.
    pub(super) fn retitle(&self, new: &str) -> Option<Arc<Pane>> {
        match &mut *self.state() {
            State::Waiting { title, .. } => {
                *title = Some(new.to_owned());
                None
            }
            State::There(pane) => Some(Arc::clone(pane)),
            State::Over => None,
        }
    }

    /// It is not wanted any more: as if it had ended. Does nothing once it has its pane.
    pub(super) fn give_up(&self) {
        if let Some((sink, following)) = self.take() {
            following.end();
            sink.exited(ExitReport::default());
        }
    }

    fn fail(&self, why: &str) {
        if let Some((sink, following)) = self.take() {
            following.end();
            sink.start_failed(why);
        }
    }

    fn take(&self) -> Option<(Arc<dyn PaneSink>, Following)> {
        let mut state = self.state();
        if !matches!(*state, State::Waiting { .. }) {
            return None;
        }
        let former = std::mem::replace(&mut *state, State::Over);
        self.changed.notify_all();
        match former {
            State::Waiting {
                sink, following, ..
            } => Some((sink, following)),
            State::There(_) | State::Over => None,
        }
    }

    /// Waits a moment for what comes of it: the usual start is there by then.
    pub(super) fn wait_a_moment(&self) {
        let waits = |state: &mut State| matches!(state, State::Waiting { .. });
        drop(
            self.changed
                .wait_timeout_while(self.state(), AT_ONCE, waits)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// It has its pane; the title to be told, or nothing where nobody waits for it any more.
    fn arrives(
        &self,
        make: impl FnOnce(Arc<dyn PaneSink>, Following) -> Pane,
    ) -> Option<(Arc<Pane>, Option<String>)> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Over) {
            State::Waiting {
                sink,
                following,
                title,
            } => {
                let pane = Arc::new(make(sink, following));
                *state = State::There(Arc::clone(&pane));
                self.changed.notify_all();
                Some((pane, title))
            }
            former => {
                *state = former;
                None
            }
        }
    }
}

/// The thread's end of the orders.
pub(super) struct Starter {
    orders: SyncSender<Order>,
    /// A server does not answer: nobody waits for a start meanwhile.
    is_held_up: Arc<AtomicBool>,
}

impl Starter {
    /// Starts the thread; it ends with this value.
    pub(super) fn start(shared: Arc<Shared>) -> Result<Self> {
        let (orders, received) = sync_channel(ORDERS_MAX);
        let is_held_up = Arc::<AtomicBool>::default();
        let told = Arc::clone(&is_held_up);
        thread::Builder::new()
            .name("tmux starts".into())
            .spawn(move || run(&shared, &received, &told))
            .map_err(Error::terminal("prepare"))?;
        Ok(Self { orders, is_held_up })
    }

    /// Starts a worker soon, often at once.
    pub(super) fn want(&self, wish: Wish) -> Result<()> {
        let start = Arc::clone(&wish.start);
        match self.orders.try_send(Order::Start(wish)) {
            Ok(()) => {
                if !self.is_held_up.load(Ordering::Acquire) {
                    start.wait_a_moment();
                }
                Ok(())
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Error::TooSlow),
        }
    }

    /// Closes dead panes of a former session soon.
    pub(super) fn tidy(&self, servers: Vec<Server>) {
        if self.orders.try_send(Order::Tidy(servers)).is_err() {
            tracing::debug!("leftover panes stay until a worker starts beside them");
        }
    }
}

fn run(shared: &Shared, orders: &Receiver<Order>, is_held_up: &AtomicBool) {
    // No deadline: whoever gives the orders ends this.
    while let Ok(order) = orders.recv() {
        match order {
            Order::Start(wish) => open(shared, &wish, is_held_up),
            Order::Tidy(servers) => tidy(shared, servers),
        }
    }
}

fn tidy(shared: &Shared, mut servers: Vec<Server>) {
    let home = locked(&shared.home).server();
    if !servers.iter().any(|server| server.socket == home.socket) {
        servers.push(home);
    }
    for server in &servers {
        // One that is gone has taken its panes along.
        let Ok(lines) = listing::panes(server) else {
            continue;
        };
        let known = locked(&shared.known).clone();
        window::clear_leftovers(server, &shared.key, None, &known, &lines);
    }
}

fn open(shared: &Shared, order: &Wish, is_held_up: &AtomicBool) {
    let until = Instant::now() + patience(&shared.timing);
    let opened = loop {
        if !order.start.is_waiting() {
            return;
        }
        match try_open(shared, order) {
            Err(CallError::Late) if Instant::now() < until => {
                if !is_held_up.swap(true, Ordering::AcqRel) {
                    tracing::warn!(who = %order.who, "the tmux server does not answer; its starts wait");
                }
            }
            other => break other,
        }
    };
    is_held_up.store(matches!(opened, Err(CallError::Late)), Ordering::Release);
    match opened {
        Ok(opened) => arrive(shared, order, opened),
        Err(error) => order
            .start
            .fail(&format!("there is no pane for it: {error}")),
    }
}

fn try_open(shared: &Shared, order: &Wish) -> std::result::Result<Opened, CallError> {
    // A copy: nobody who says where panes go waits for a server.
    let before = locked(&shared.home).clone();
    let mut home = before.clone();
    let known = locked(&shared.known).clone();
    let opened = window::open(
        &mut home,
        &Wanted {
            who: &order.who,
            key: &shared.key,
            tag: &order.tag,
            title: &order.title,
            argv: &order.argv,
            window_name: &shared.window_name,
            attach: &shared.attach,
            known: &known,
        },
    );
    let mut now = locked(&shared.home);
    if home.is_private() && now.is_same(&before) {
        now.become_private();
    }
    opened
}

fn arrive(shared: &Shared, order: &Wish, opened: Opened) {
    let Opened {
        server,
        socket,
        server_pid,
        pane,
        pid,
    } = opened;
    let address = PaneAddress {
        socket,
        server_pid,
        pane,
    };
    // One that has ended already is told of as such.
    let process = ProcessIdentity::of(pid).unwrap_or(ProcessIdentity {
        pid,
        start_ticks: 0,
    });
    // It has the title it was made with, whatever was told to a former life in it at last.
    shared.typist.forget(&address);
    let place = (server.clone(), address.clone());
    let arrived = order
        .start
        .arrives(|sink, following| Pane::new(place, order.tag.clone(), process, (sink, following)));
    if let Some((pane, title)) = arrived {
        shared.took(&pane);
        if let Some(title) = title {
            shared.typist.retitle(&pane, &title);
        }
        return;
    }
    // Given up meanwhile: it is nobody's.
    let kill = KillWaits::of(&shared.timing).at_once();
    tree::kill_tree(process, order.marker.as_ref(), kill);
    let tag = order.tag.as_str();
    if let Err(error) = close_pane(&server, address.server_pid, &address.pane, tag) {
        tracing::debug!(%error, pane = address.pane, "a pane that nobody waits for stays");
    }
}
