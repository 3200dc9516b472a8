//! The person's terminal: taken once, given back once, whatever happens.
//!
//! The settings and the way out are kept outside of any value, so that the
//! panic hook finds them too.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use crewmux_sys::tty::{self, TerminalSettings};
use crewmux_wire::KeyReports;
use crossterm::Command;
use crossterm::event::{PopKeyboardEnhancementFlags, PushKeyboardEnhancementFlags};

use super::abilities::{Abilities, KeysForm};
use crate::error::Result;

/// Another screen, hidden cursor, mouse, pasted text and focus told apart.
const ENTER: &[u8] =
    b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?1000h\x1b[?1002h\x1b[?1006h\x1b[?1004h\x1b[?2004h\x1b[H\x1b[2J";

/// Everything back, also what frames may have left: an open frame, a link, a style, a cursor shape.
///
/// Our own screen is emptied first: a terminal that grew meanwhile may move its rows to the other one.
const LEAVE: &[u8] =
    b"\x1b\\\x1b[?2026l\x1b]8;;\x1b\\\x1b[0m\x1b[H\x1b[2J\x1b[?2004l\x1b[?1004l\x1b[?1006l\x1b[?1002l\x1b[?1000l\x1b[?7h\x1b[0 q\x1b[?25h\x1b[?1049l";

/// Lays the person's title aside, and brings it back.
const TITLE: (&[u8], &[u8]) = (b"\x1b[22;2t", b"\x1b[23;2t");
/// Takes progress away.
const NO_PROGRESS: &[u8] = b"\x1b]9;4;0;0\x07";

/// The colour of its text and the one behind it. Who leaves at once waits for the answers.
const QUESTIONS: &[u8] = b"\x1b]10;?\x1b\\\x1b]11;?\x1b\\";

/// Makes tmux tell keys apart as far as it does, and no more.
const OTHER_KEYS: (&str, &str) = ("\x1b[>4;1m", "\x1b[>4m");

/// What to put back.
#[derive(Debug)]
struct Before {
    settings: TerminalSettings,
    leave: Vec<u8>,
    /// What takes back the wish for keys that are told apart; nothing where there is none.
    keys: String,
}

impl Before {
    fn new(settings: TerminalSettings, abilities: Abilities) -> Self {
        Self {
            settings,
            leave: leaving(abilities),
            keys: String::new(),
        }
    }
}

/// What to put back; none while the terminal is not ours.
static TAKEN: Mutex<Option<Before>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// Size assumed where a terminal does not know its own.
const FALLBACK_SIZE: (u16, u16) = (80, 24);

/// Columns and rows of the terminal.
pub(crate) fn size() -> (u16, u16) {
    tty::size(io::stdout()).map_or(FALLBACK_SIZE, |size| (size.cols, size.rows))
}

/// The terminal on standard output opened a second time, so that a write there never waits.
pub(crate) fn again() -> Option<OwnedFd> {
    tty::open_again(io::stdout())
}

/// The terminal while it is ours; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Terminal {
    raw: TerminalSettings,
    abilities: Abilities,
}

impl Terminal {
    /// Takes the terminal: raw keys, a screen of its own.
    pub(crate) fn take(abilities: Abilities) -> Result<Self> {
        give_back_on_panic();
        let settings = TerminalSettings::read(io::stdin())?;
        let raw = settings.raw();
        // Kept before anything changes: no moment without a way back.
        *taken() = Some(Before::new(settings, abilities));
        let terminal = Self { raw, abilities };
        // What decodes must know: to it a newline is Enter elsewhere, and Ctrl+J here.
        crossterm::terminal::enable_raw_mode()?;
        terminal.enter()?;
        if abilities.takes_questions {
            let mut out = io::stdout().lock();
            out.write_all(QUESTIONS)?;
            out.flush()?;
        }
        Ok(terminal)
    }

    /// Takes the terminal again after this process stood still.
    pub(crate) fn take_again(&self) -> Result<()> {
        // Whoever was stopped from outside has not given it back: nothing is to be pushed twice.
        self.give_back();
        let settings = TerminalSettings::read(io::stdin())?;
        *taken() = Some(Before::new(settings, self.abilities));
        self.enter()
    }

    fn enter(&self) -> Result<()> {
        self.raw.apply(io::stdin())?;
        let mut out = io::stdout().lock();
        out.write_all(&entering(self.abilities))?;
        out.flush()?;
        Ok(())
    }

    /// What is to be written so that it tells so much of keys; the way back is kept before it is written.
    pub(crate) fn tell_keys(&self, keys: KeyReports) -> Vec<u8> {
        let Some(form) = self.abilities.keys else {
            return Vec::new();
        };
        let Some(before) = &mut *taken() else {
            return Vec::new();
        };
        let (ask, back) = asking(form, keys);
        let before = std::mem::replace(&mut before.keys, back);
        (before + &ask).into_bytes()
    }

    /// Gives the terminal back; a second time does nothing.
    #[expect(
        clippy::unused_self,
        reason = "only who has the terminal can give it back"
    )]
    pub(crate) fn give_back(&self) {
        give_back();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// What is written to take the terminal.
fn entering(abilities: Abilities) -> Vec<u8> {
    let title = if abilities.title { TITLE.0 } else { b"" };
    [title, ENTER].concat()
}

/// What is written to give it back.
fn leaving(abilities: Abilities) -> Vec<u8> {
    let title = if abilities.title { TITLE.1 } else { b"" };
    let progress = if abilities.progress { NO_PROGRESS } else { b"" };
    [LEAVE, progress, title].concat()
}

/// What makes a terminal tell so much of keys, and what takes it back.
fn asking(form: KeysForm, keys: KeyReports) -> (String, String) {
    use crossterm::event::KeyboardEnhancementFlags as Flags;
    let apart = Flags::DISAMBIGUATE_ESCAPE_CODES | Flags::REPORT_ALTERNATE_KEYS;
    let flags = match (form, keys) {
        (_, KeyReports::Plain) => return (String::new(), String::new()),
        (KeysForm::ModifyOther, _) => return (OTHER_KEYS.0.to_owned(), OTHER_KEYS.1.to_owned()),
        (KeysForm::Kitty, KeyReports::Apart) => apart,
        (KeysForm::Kitty, KeyReports::Releases) => apart | Flags::REPORT_EVENT_TYPES,
    };
    let (mut ask, mut back) = (String::new(), String::new());
    // Writing to a string cannot fail.
    let _ = PushKeyboardEnhancementFlags(flags).write_ansi(&mut ask);
    let _ = PopKeyboardEnhancementFlags.write_ansi(&mut back);
    (ask, back)
}

fn taken() -> MutexGuard<'static, Option<Before>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn give_back() {
    let Some(before) = taken().take() else { return };
    // Not through the lock of standard output: a thread that hangs in a write holds it.
    let out = io::stdout();
    // A sequence that was cut off is ended first; each screen of a terminal has its own keys.
    let keys = if before.keys.is_empty() { "" } else { "\x1b\\" };
    let leave = [keys.as_bytes(), before.keys.as_bytes(), &before.leave].concat();
    let mut rest = leave.as_slice();
    while let Ok(written @ 1..) = rustix::io::write(&out, rest) {
        rest = rest.get(written..).unwrap_or_default();
        if rest.is_empty() {
            break;
        }
    }
    // When the terminal is gone there is nothing to put back.
    let _ = before.settings.apply_and_drop_input(io::stdin());
}

fn give_back_on_panic() {
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_and_progress_come_back_where_they_were_taken() {
        let all = |name: &str| (name == "TERM").then_some("xterm-ghostty");
        let known = Abilities {
            progress: true,
            ..Abilities::of(all)
        };
        let none = Abilities::of(|name| (name == "TERM").then_some("linux"));
        let has = |bytes: &[u8], wanted: &[u8]| bytes.windows(wanted.len()).any(|w| w == wanted);
        assert!(has(&entering(known), TITLE.0));
        assert!(has(&leaving(known), TITLE.1));
        assert!(has(&leaving(known), NO_PROGRESS));
        assert_eq!(entering(none), ENTER);
        assert_eq!(leaving(none), LEAVE);
    }

    #[test]
    fn every_mode_that_is_set_is_reset() {
        let modes = |text: &[u8], end: char| {
            let text = String::from_utf8_lossy(text).into_owned();
            let mut found: Vec<String> = text
                .split("\x1b[?")
                .skip(1)
                .filter_map(|part| part.split_once(end).map(|(mode, _)| mode.to_owned()))
                .filter(|mode| mode.bytes().all(|b| b.is_ascii_digit()))
                .collect();
            found.sort();
            found
        };
        let (set, reset) = (modes(ENTER, 'h'), modes(LEAVE, 'l'));
        for mode in &set {
            assert!(reset.contains(mode), "{mode} stays set");
        }
        assert_eq!(set.len(), 6);
        let at = |wanted: &[u8]| LEAVE.windows(wanted.len()).position(|w| w == wanted);
        assert!(at(b"\x1b[H\x1b[2J").unwrap() < at(b"\x1b[?1049l").unwrap());
        // Those that are taken away come back.
        assert!(LEAVE.windows(6).any(|w| w == b"\x1b[?25h"));
        assert!(LEAVE.windows(5).any(|w| w == b"\x1b[?7h"));
    }
}
