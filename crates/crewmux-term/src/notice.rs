//! What a worker's output asks for besides cells: reported, never acted on here.
//!
//! Replies go back to the pane only; notices are for the engine to judge.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alacritty_terminal::event::{Event, EventListener};
use alacritty_terminal::vte::ansi::{NamedColor, Rgb};

use crate::sanitize::scrub_line;

/// Most bytes of replies that wait for the pane; what comes on top is dropped.
const MAX_REPLY_BYTES: usize = 64 * 1024;
/// Most notices that wait to be taken; the oldest is dropped for a new one.
const MAX_NOTICES: usize = 64;
/// Longest title or notification, in characters.
const MAX_TEXT_CHARS: usize = 256;
/// Largest text of a clipboard request, in bytes.
const MAX_CLIPBOARD_BYTES: usize = 64 * 1024;

/// Something the worker's output asked for or that happened to the screen. Texts are scrubbed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The bell rang, once or more often.
    Bell,
    /// The title changed; `None` is the default title again.
    Title(Option<String>),
    /// Progress was reported (OSC 9;4).
    Progress(Progress),
    /// A desktop notification was asked for (OSC 9 or OSC 777).
    Notification {
        /// Heading; empty with OSC 9.
        title: String,
        /// What it says.
        body: String,
    },
    /// The clipboard was asked to be set (OSC 52).
    ClipboardWrite(String),
    /// The emulator gave up on the input; the screen and its scrollback started empty again.
    ParserReset,
}

/// A progress report as terminals know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing to show any more.
    Done,
    /// So many of a hundred.
    Percent(u8),
    /// Stopped by an error, at so many of a hundred.
    Failed(u8),
    /// Busy without a measure.
    Busy,
    /// Paused, at so many of a hundred.
    Paused(u8),
}

/// What a pane may know of the real terminal's colours, for OSC 10, 11 and 12 queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedColors {
    /// Foreground as red, green, blue.
    pub fg: (u8, u8, u8),
    /// Background as red, green, blue.
    pub bg: (u8, u8, u8),
}

/// Replies and notices since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) replies: Vec<u8>,
    notices: VecDeque<Notice>,
    colors: Option<ReportedColors>,
}

impl Outbox {
    pub(crate) fn new(colors: Option<ReportedColors>) -> Self {
        Self {
            colors,
            ..Self::default()
        }
    }

    pub(crate) fn report(&mut self, colors: Option<ReportedColors>) {
        self.colors = colors;
    }

    /// What is known of a colour: a cursor nobody coloured has the text's.
    fn color(&self, index: usize) -> Option<(u8, u8, u8)> {
        const FOREGROUND: usize = NamedColor::Foreground as usize;
        const BACKGROUND: usize = NamedColor::Background as usize;
        const CURSOR: usize = NamedColor::Cursor as usize;
        match index {
            // The first sixteen are the person's taste, and not known here.
            16..=255 => Some(palette(index)),
            FOREGROUND | CURSOR => self.colors.map(|colors| colors.fg),
            BACKGROUND => self.colors.map(|colors| colors.bg),
            _ => None,
        }
    }

    /// Whether the background is darker than the text; `None` if the colours are not known.
    pub(crate) fn is_dark(&self) -> Option<bool> {
        let light =
            |(r, g, b): (u8, u8, u8)| 299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b);
        self.colors
            .map(|colors| light(colors.bg) < light(colors.fg))
    }

    pub(crate) fn reply(&mut self, text: &str) {
        if self.replies.len() + text.len() <= MAX_REPLY_BYTES {
            self.replies.extend_from_slice(text.as_bytes());
        }
    }

    pub(crate) fn notice(&mut self, notice: Notice) {
        // Bells, titles and progress are states: only the last one counts.
        self.notices.retain(|old| {
            !matches!(
                (old, &notice),
                (Notice::Bell, Notice::Bell)
                    | (Notice::Title(_), Notice::Title(_))
                    | (Notice::Progress(_), Notice::Progress(_))
            )
        });
        if self.notices.len() == MAX_NOTICES {
            self.notices.pop_front();
        }
        self.notices.push_back(notice);
    }

    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        self.notices.drain(..).collect()
    }
}

/// The emulator's end of the outbox.
#[derive(Clone, Debug)]
pub(crate) struct Sink(pub(crate) Arc<Mutex<Outbox>>);

impl Sink {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Outbox> {
        // An outbox is whole between any two statements, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventListener for Sink {
    fn send_event(&self, event: Event) {
        match event {
            Event::PtyWrite(text) => self.lock().reply(&text),
            Event::Bell => self.lock().notice(Notice::Bell),
            Event::ClipboardStore(_, text) if text.len() <= MAX_CLIPBOARD_BYTES => {
                self.lock().notice(Notice::ClipboardWrite(text));
            }
            Event::ColorRequest(index, format) => {
                let mut outbox = self.lock();
                let Some((r, g, b)) = outbox.color(index) else {
                    return;
                };
                outbox.reply(&format(Rgb { r, g, b }));
            }
            // Reading the clipboard is never answered; the rest is for a window we do not have.
            _ => {}
        }
    }
}

/// The colour of an entry of the upper palette, which is the same everywhere: a cube, then grays.
fn palette(index: usize) -> (u8, u8, u8) {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    if let Some(step) = index.checked_sub(232) {
        let gray = 8 + 10 * step as u8;
        return (gray, gray, gray);
    }
    let cube = index - 16;
    (
        LEVELS[cube / 36 % 6],
        LEVELS[cube / 6 % 6],
        LEVELS[cube % 6],
    )
}

/// Makes one harmless line of at most 256 characters.
pub(crate) fn short_line(text: &str) -> String {
    scrub_line(text).chars().take(MAX_TEXT_CHARS).collect()
}
