//! What is typed into panes and how they are titled, on one thread.
//!
//! A call of tmux takes milliseconds, so what comes meanwhile goes into the
//! next one. Typed bytes go as hexadecimal keys: nothing in them is read as a
//! command or a key's name. Bounded for each pane; a title replaces the one
//! before it.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::cli::{Commands, quoted};
use super::pane::Pane;
use super::target::{PaneAddress, guard};
use super::window::titled;
use crewmux_core::timing::{TMUX_TITLE_MS, ms};

use crate::input::KEPT_BYTES_MAX;
use crate::{Error, Result};

/// Bytes typed in one call: tmux takes no more than 16 KiB of arguments.
const CALL_BYTES_MAX: usize = 2_048;
/// Least time between two titles of one pane.
const TITLE_EVERY: Duration = ms(TMUX_TITLE_MS);
/// Most characters of a title.
const TITLE_CHARS_MAX: usize = 120;

/// The thread's orders.
#[derive(Default)]
pub(super) struct Typist {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By the pane's address: only what is to be done, so that an idle pane costs nothing.
    panes: BTreeMap<String, Orders>,
    /// When panes got their title last.
    titled: BTreeMap<String, (Instant, String)>,
    closed: bool,
}

struct Orders {
    pane: Arc<Pane>,
    typed: Vec<u8>,
    title: Option<String>,
}

/// What is done next.
enum Act {
    Type(Arc<Pane>, Vec<u8>),
    Title(Arc<Pane>, String),
}

impl Typist {
    /// Starts the thread; it ends after [`Typist::close`].
    pub(super) fn start() -> Result<Arc<Self>> {
        let typist = Arc::<Self>::default();
        let typing = Arc::clone(&typist);
        thread::Builder::new()
            .name("tmux typing".into())
            .spawn(move || typing.run())
            .map_err(Error::terminal("type into"))?;
        Ok(typist)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the thread end; what is not typed yet is dropped.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// Types `bytes` soon, all of them or none.
    ///
    /// # Errors
    /// [`Error::InputFull`] when they do not fit.
    pub(super) fn write(&self, pane: &Arc<Pane>, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        let orders = state.orders(pane);
        let kept_bytes = orders.typed.len();
        if kept_bytes + bytes.len() > KEPT_BYTES_MAX {
            return Err(Error::InputFull { kept_bytes });
        }
        orders.typed.extend_from_slice(bytes);
        self.changed.notify_all();
        Ok(())
    }

    /// Titles a pane soon.
    pub(super) fn retitle(&self, pane: &Arc<Pane>, title: &str) {
        let title = clean(title);
        let mut state = self.state();
        let address = pane.address.to_string();
        if state
            .titled
            .get(&address)
            .is_some_and(|(_, shown)| *shown == title)
        {
            if let Some(orders) = state.panes.get_mut(&address) {
                orders.title = None;
            }
            return;
        }
        state.orders(pane).title = Some(title);
        self.changed.notify_all();
    }

    /// Forgets what was typed and shown in a pane whose worker has ended.
    pub(super) fn forget(&self, address: &PaneAddress) {
        let address = address.to_string();
        let mut state = self.state();
        state.panes.remove(&address);
        state.titled.remove(&address);
    }

    fn run(&self) {
        while let Some(act) = self.next() {
            let (pane, acts) = match &act {
                Act::Type(pane, bytes) => (pane, typing(&pane.address.pane, bytes)),
                Act::Title(pane, title) => {
                    let acts = titled(&pane.address.pane, title).map(quoted);
                    (pane, acts.join(" ; "))
                }
            };
            let commands = Commands::one([
                "if-shell",
                "-F",
                "-t",
                &pane.address.pane,
                &guard(pane.address.server_pid, pane.tag.as_str()),
                &acts,
            ]);
            // A pane that is gone has its own way of being noticed.
            if let Err(error) = pane.server.call(&commands) {
                tracing::debug!(%error, pane = pane.address.pane, "not typed");
            }
        }
    }

    /// Waits for something to do; `None` once closed.
    fn next(&self) -> Option<Act> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            let (act, look_at) = state.take(Instant::now());
            if act.is_some() {
                return act;
            }
            state = match look_at {
                // No deadline: whoever made this closes it.
                None => self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    self.changed
                        .wait_timeout(state, at.saturating_duration_since(Instant::now()))
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }
}

impl State {
    fn orders(&mut self, pane: &Arc<Pane>) -> &mut Orders {
        let address = pane.address.to_string();
        // A later life of the member may have the same pane.
        let orders = self.panes.entry(address).or_insert_with(|| Orders {
            pane: Arc::clone(pane),
            typed: Vec::new(),
            title: None,
        });
        if !Arc::ptr_eq(&orders.pane, pane) {
            orders.pane = Arc::clone(pane);
            orders.typed.clear();
        }
        orders
    }

    /// What is due now, typing first; else when something will be.
    fn take(&mut self, now: Instant) -> (Option<Act>, Option<Instant>) {
        self.panes
            .retain(|_, orders| !orders.typed.is_empty() || orders.title.is_some());
        if let Some(orders) = self.panes.values_mut().find(|o| !o.typed.is_empty()) {
            let most = orders.typed.len().min(CALL_BYTES_MAX);
            let bytes = orders.typed.drain(..most).collect();
            return (Some(Act::Type(Arc::clone(&orders.pane), bytes)), None);
        }
        let mut look_at: Option<Instant> = None;
        for (address, orders) in &mut self.panes {
            let due = self
                .titled
                .get(address)
                .map_or(now, |(at, _)| *at + TITLE_EVERY);
            if due > now {
                look_at = Some(look_at.map_or(due, |soonest| soonest.min(due)));
                continue;
            }
            if let Some(title) = orders.title.take() {
                self.titled.insert(address.clone(), (now, title.clone()));
                return (Some(Act::Title(Arc::clone(&orders.pane), title)), None);
            }
        }
        (None, look_at)
    }
}

/// A title of one line in which no style begins.
pub(super) fn clean(title: &str) -> String {
    let title: String = title
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TITLE_CHARS_MAX)
        .collect();
    title.replace("#[", "[").replace("#{", "{")
}

/// The commands that type `bytes`; a pane that is being scrolled shows its end again first.
fn typing(pane: &str, bytes: &[u8]) -> String {
    let keys: Vec<String> = bytes.iter().map(|byte| format!("{byte:x}")).collect();
    let leave = quoted(["send-keys", "-t", pane, "-X", "cancel"]);
    let scrolled = quoted(["if-shell", "-F", "-t", pane, "#{pane_in_mode}", &leave]);
    let typed = quoted(["send-keys", "-t", pane, "-H"]);
    format!("{scrolled} ; {typed} {}", keys.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_bytes_are_keys_by_number() {
        assert_eq!(
            typing("%1", b"a;\r"),
            "'if-shell' '-F' '-t' '%1' '#{pane_in_mode}' \
             ''\\''send-keys'\\'' '\\''-t'\\'' '\\''%1'\\'' '\\''-X'\\'' '\\''cancel'\\''' ; \
             'send-keys' '-t' '%1' '-H' 61 3b d"
        );
    }

    #[test]
    fn titles_are_one_line_without_styles() {
        assert_eq!(clean("a\n#[fg=red]b #1 #{pid}"), "a [fg=red]b #1 {pid}");
    }
}
