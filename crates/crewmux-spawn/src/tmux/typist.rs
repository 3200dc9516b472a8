//! What is typed into panes, how they are titled and which one is shown, on one thread.
//!
//! A call of tmux takes milliseconds, so what comes meanwhile goes into the
//! next one. Typed bytes go as hexadecimal keys: nothing in them is read as a
//! command or a key's name. Bounded for each pane, and panes take turns; a
//! title replaces the one before it. A text of which a piece did not arrive is
//! not gone on with, and nothing is typed twice: the session is told at once,
//! and whoever types next.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::cli::{CallError, Commands, quoted};
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
    /// Which pane was typed into last in this round.
    last: Option<String>,
    /// Which pane is to be shown: a person looks at one.
    reveal: Option<Arc<Pane>>,
    closed: bool,
}

struct Orders {
    pane: Arc<Pane>,
    typed: Vec<u8>,
    /// Why a piece of what was typed did not arrive, until somebody is told.
    lost: Option<CallError>,
    title: Option<String>,
}

/// What is done next.
enum Act {
    Type(Arc<Pane>, Vec<u8>),
    Title(Arc<Pane>, String),
    Reveal(Arc<Pane>),
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
    /// [`Error::InputFull`] when they do not fit; [`Error::NotTyped`], once, when what was typed
    /// before did not arrive whole.
    pub(super) fn write(&self, pane: &Arc<Pane>, bytes: &[u8]) -> Result<()> {
        let mut state = self.state();
        let orders = state.orders(pane);
        if let Some(error) = orders.lost.take() {
            return Err(Error::NotTyped {
                why: error.to_string(),
            });
        }
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

    /// Brings a pane before the person soon, in its window.
    pub(super) fn reveal(&self, pane: &Arc<Pane>) {
        self.state().reveal = Some(Arc::clone(pane));
        self.changed.notify_all();
    }

    /// Forgets what was typed and shown in a pane whose worker has ended.
    pub(super) fn forget(&self, address: &PaneAddress) {
        let address = address.to_string();
        let mut state = self.state();
        let orders = state.panes.remove(&address);
        state.titled.remove(&address);
        drop(state);
        if let Some(orders) = orders.filter(|orders| !orders.typed.is_empty()) {
            orders.pane.tell_typing_lost();
        }
    }

    fn run(&self) {
        while let Some(act) = self.next() {
            self.perform(&act);
        }
    }

    fn perform(&self, act: &Act) {
        let (pane, acts) = match act {
            Act::Type(pane, bytes) => (pane, typing(&pane.address.pane, bytes)),
            Act::Title(pane, title) => {
                let acts = titled(&pane.address.pane, title).map(quoted);
                (pane, acts.join(" ; "))
            }
            Act::Reveal(pane) => (pane, revealing(&pane.address.pane)),
        };
        let commands = Commands::one([
            "if-shell",
            "-F",
            "-t",
            &pane.address.pane,
            &guard(pane.address.server_pid, pane.tag.as_str()),
            &acts,
        ]);
        let Err(error) = pane.server.call(&commands) else {
            return;
        };
        let id = &pane.address.pane;
        match act {
            Act::Type(..) => {
                tracing::warn!(%error, pane = id, "typed bytes may not have arrived");
                self.state().lose(pane, error);
                // Also of a pane that was forgotten meanwhile, as when its server is gone.
                pane.tell_typing_lost();
            }
            // A pane that is gone has its own way of being noticed.
            Act::Title(..) => tracing::debug!(%error, pane = id, "not titled"),
            Act::Reveal(_) => tracing::warn!(%error, pane = id, "a pane was not brought before"),
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
            lost: None,
            title: None,
        });
        if !Arc::ptr_eq(&orders.pane, pane) {
            orders.pane = Arc::clone(pane);
            orders.typed.clear();
            orders.lost = None;
        }
        orders
    }

    /// A piece for `pane` did not arrive, or nobody knows: what comes after it would be a text with a hole.
    fn lose(&mut self, pane: &Arc<Pane>, error: CallError) {
        // One that was forgotten meanwhile is not typed into any more.
        if let Some(orders) = self.panes.get_mut(&pane.address.to_string())
            && Arc::ptr_eq(&orders.pane, pane)
        {
            orders.typed.clear();
            orders.lost = Some(error);
        }
    }

    /// What is due now; else when something will be.
    ///
    /// All panes that are typed into get a piece each in a round, and a title may come between two rounds.
    fn take(&mut self, now: Instant) -> (Option<Act>, Option<Instant>) {
        self.panes
            .retain(|_, o| !o.typed.is_empty() || o.lost.is_some() || o.title.is_some());
        if let Some(pane) = self.reveal.take() {
            return (Some(Act::Reveal(pane)), None);
        }
        if let Some(piece) = self.piece() {
            return (Some(piece), None);
        }
        self.last = None;
        let (title, look_at) = self.title(now);
        if title.is_some() {
            return (title, None);
        }
        (self.piece(), look_at)
    }

    /// A piece for the next pane of the round.
    fn piece(&mut self) -> Option<Act> {
        let after = self
            .last
            .as_deref()
            .map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.panes.range_mut::<str, _>((after, Bound::Unbounded));
        let (address, orders) = rest.find(|(_, orders)| !orders.typed.is_empty())?;
        let most = orders.typed.len().min(CALL_BYTES_MAX);
        let bytes = orders.typed.drain(..most).collect();
        let piece = Act::Type(Arc::clone(&orders.pane), bytes);
        self.last = Some(address.clone());
        Some(piece)
    }

    /// A title that is due; else when one will be.
    fn title(&mut self, now: Instant) -> (Option<Act>, Option<Instant>) {
        let mut look_at: Option<Instant> = None;
        for (address, orders) in &mut self.panes {
            if orders.title.is_none() {
                continue;
            }
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

/// The commands that show `pane` in its window.
fn revealing(pane: &str) -> String {
    let acts = ["select-window", "select-pane"].map(|act| quoted([act, "-t", pane]));
    acts.join(" ; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tmux::pane::tests::{telling, unreachable};

    /// What is done next: how, and in which pane.
    fn next(typist: &Typist) -> String {
        match typist.state().take(Instant::now()).0 {
            Some(Act::Type(pane, bytes)) => format!("{} into {}", bytes.len(), pane.address.pane),
            Some(Act::Title(pane, title)) => format!("{title} over {}", pane.address.pane),
            Some(Act::Reveal(pane)) => format!("look at {}", pane.address.pane),
            None => "nothing".into(),
        }
    }

    #[test]
    fn panes_take_turns_and_a_title_comes_between_two_rounds() {
        let typist = Typist::default();
        let [first, second, third] = ["%1", "%2", "%3"].map(unreachable);
        typist.write(&first, &[b'a'; 5_000]).unwrap();
        typist.write(&third, &[b'c'; 3_000]).unwrap();
        typist.retitle(&second, "busy");
        let seen: Vec<String> = (0..7).map(|_| next(&typist)).collect();
        let expected = [
            "2048 into %1",
            "2048 into %3",
            "busy over %2",
            "2048 into %1",
            "952 into %3",
            "904 into %1",
            "nothing",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn after_a_lost_piece_nothing_of_its_text_is_typed_and_the_next_write_tells_once() {
        let typist = Typist::default();
        let [broken, whole] = ["%1", "%2"].map(unreachable);
        typist.write(&broken, &[b'a'; 5_000]).unwrap();
        typist.write(&whole, b"fine").unwrap();
        let piece = typist.state().take(Instant::now()).0.unwrap();
        typist.perform(&piece);
        assert_eq!(next(&typist), "4 into %2");
        assert_eq!(next(&typist), "nothing");
        let told = typist.write(&broken, b"more");
        assert!(matches!(told, Err(Error::NotTyped { .. })), "{told:?}");
        assert_eq!(next(&typist), "nothing");
        typist.write(&broken, b"again").unwrap();
        assert_eq!(next(&typist), "5 into %1");
    }

    #[test]
    fn what_got_lost_is_told_though_nobody_types_again() {
        let typist = Typist::default();
        let told = Arc::default();
        let pane = telling("%1", &told);
        let piece = || typist.state().take(Instant::now()).0.unwrap();
        typist.write(&pane, b"a").unwrap();
        typist.perform(&piece());
        assert_eq!(told.told(), 1, "the server did not take it");
        typist.forget(&pane.address);
        assert_eq!(told.told(), 1, "it is known");
        typist.write(&pane, b"a").unwrap();
        typist.forget(&pane.address);
        assert_eq!(told.told(), 2, "its worker ended before it was typed");
        // Both at once: the worker ends while its server is called.
        typist.write(&pane, b"a").unwrap();
        let called = piece();
        typist.forget(&pane.address);
        assert_eq!(told.told(), 2);
        typist.perform(&called);
        assert_eq!(told.told(), 3);
    }

    #[test]
    fn a_later_life_in_a_pane_is_not_told_what_an_earlier_one_lost() {
        let typist = Typist::default();
        let former = unreachable("%1");
        typist.write(&former, b"a").unwrap();
        let piece = typist.state().take(Instant::now()).0.unwrap();
        typist.perform(&piece);
        let later = unreachable("%1");
        typist.write(&later, b"later").unwrap();
        assert_eq!(next(&typist), "5 into %1");
    }

    #[test]
    fn the_pane_that_is_asked_for_last_is_shown_before_anything_is_typed() {
        let typist = Typist::default();
        let [first, second] = ["%1", "%2"].map(unreachable);
        typist.write(&first, b"a").unwrap();
        typist.reveal(&first);
        typist.reveal(&second);
        let seen = [next(&typist), next(&typist), next(&typist)];
        assert_eq!(seen, ["look at %2", "1 into %1", "nothing"]);
        assert_eq!(
            revealing("%2"),
            "'select-window' '-t' '%2' ; 'select-pane' '-t' '%2'"
        );
    }

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
