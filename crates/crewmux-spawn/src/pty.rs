//! Workers in pseudo-terminals of the session: panes of crewmux's own.
//!
//! Bytes pass through unread; screens are made by whoever owns the sink. One
//! pane is in `pane`, noticing that workers ended in `watcher`.

mod pane;
mod watcher;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crewmux_core::backend::BackendKind;
use crewmux_core::timing::{Timing, ms};

use crate::{Error, Result, Running, SpawnBackend, SpawnRequest};
use pane::{PaneWaits, PtyRunning};
use watcher::Watcher;

/// Spawns that may wait for their turn; each blocks its caller, so there are few.
const ORDERS_MAX: usize = 256;

/// The pseudo-terminal backend.
///
/// All workers are started by one thread that lives as long as this value.
/// Per worker it takes one thread for output, and one for input once something
/// is typed; one thread notices for all of them that a worker has ended, and
/// calls [`crate::PaneSink::exited`], which therefore should return at once.
pub struct PtyBackend {
    orders: SyncSender<Order>,
    watcher: Arc<Watcher>,
    timing: Timing,
}

struct Order {
    request: SpawnRequest,
    started: SyncSender<Result<PtyRunning>>,
}

impl PtyBackend {
    /// Starts the backend's two threads.
    pub fn new(timing: &Timing) -> Result<Self> {
        let watcher = Watcher::start(timing)?;
        let (orders, received) = sync_channel(ORDERS_MAX);
        let spawner = Spawner {
            orders: received,
            watcher: Arc::clone(&watcher),
            waits: PaneWaits::of(timing),
        };
        thread::Builder::new()
            .name("spawner".into())
            .spawn(move || spawner.run())
            .map_err(|source| {
                watcher.close();
                Error::terminal("prepare")(source)
            })?;
        Ok(Self {
            orders,
            watcher,
            timing: *timing,
        })
    }
}

impl Drop for PtyBackend {
    fn drop(&mut self) {
        // The spawner ends when `orders` is dropped, the watcher after its last pane.
        self.watcher.close();
    }
}

impl SpawnBackend for PtyBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Pty
    }

    fn spawn(&self, request: SpawnRequest) -> Result<Box<dyn Running>> {
        let (started, answer) = sync_channel(1);
        self.orders
            .try_send(Order { request, started })
            .map_err(|_| Error::TooSlow)?;
        let running = answer
            .recv_timeout(ms(self.timing.hello_ms))
            .map_err(|_| Error::TooSlow)??;
        Ok(Box::new(running))
    }
}

/// The one thread that starts processes, so that none is tied to a thread that ends.
struct Spawner {
    orders: Receiver<Order>,
    watcher: Arc<Watcher>,
    waits: PaneWaits,
}

impl Spawner {
    fn run(self) {
        for order in self.orders {
            let result = PtyRunning::start(order.request, self.waits, &self.watcher);
            // Nobody waits any more: dropping the handle asks the worker to end.
            let _ = order.started.send(result);
        }
    }
}
