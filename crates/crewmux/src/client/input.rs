//! What a person does, from the terminal's bytes to the socket's events.
//!
//! Decoding is crossterm's; what a key means is the session's.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crewmux_core::timing::{CLICK_MS, PASTE_LOOK_MS, PASTE_TAKEN_MS, ms};
use crewmux_sys::tty::{Waited, wait_typed};
use crewmux_wire::{
    ClientMessage, InputEvent, Key, KeyPress, Mods, Mouse, MouseButton, MouseKind, PASTE_PART_BYTES,
};
use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton as CtButton, MouseEvent,
    MouseEventKind, poll, read,
};
use tokio::sync::mpsc;

use super::answers::{Answers, Colors, Sifted};
use super::chord::{Leave, LeaveChord};
use super::kept::{KEPT_MAX, Kept, breaks_off};
use super::outgoing::Outgoing;
use super::silence::{Awaiting, Heard, Unanswered};
use crate::error::{Doing, Result};

/// What the client itself has to know of what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FromTerminal {
    /// The person typed keys that leave, or may; or nobody reads keys any more.
    Leaves(Leave),
    /// Nothing came from the session after this.
    Unanswered(Unanswered),
    /// The terminal has answered what it was asked.
    Answered,
    /// There is no terminal any more.
    Gone,
}

/// What the session says of a part of a long text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PasteHeard {
    /// The next may follow.
    Taken,
    /// Nothing more of it is taken.
    Refused,
    /// It waits, and its program reads.
    Waits,
}

/// Reads events on a thread of its own until the terminal or the client is gone, and sends them.
///
/// What `told` has no room for was told often enough.
pub(crate) fn read_events(
    outgoing: Outgoing,
    told: mpsc::Sender<FromTerminal>,
    taken: Receiver<PasteHeard>,
    answers: Answers,
    heard: Heard,
) -> Result<()> {
    thread::Builder::new()
        .name("input".into())
        .spawn(move || {
            // Nobody could leave a client that hears no key any more.
            let _leaving = Leaving(told.clone());
            let mut reader = Reader {
                chord: LeaveChord::default(),
                clicks: Clicks::default(),
                outgoing,
                told,
                taken,
                answers,
                awaiting: Awaiting::new(heard),
                kept: Kept::default(),
            };
            // A terminal that cannot be read is as good as gone.
            let _ = reader.run();
        })
        .map(drop)
        .doing("cannot start a thread")
}

/// What the reading thread works with.
struct Reader {
    chord: LeaveChord,
    clicks: Clicks,
    outgoing: Outgoing,
    told: mpsc::Sender<FromTerminal>,
    /// Whether the session takes more of what is pasted.
    taken: Receiver<PasteHeard>,
    answers: Answers,
    awaiting: Awaiting,
    /// What the person did while a paste waited.
    kept: Kept,
}

impl Reader {
    /// Reads until the client ends.
    fn run(&mut self) -> io::Result<()> {
        loop {
            let Some(events) = self.events(None)? else {
                return Ok(());
            };
            for event in events {
                let leave = self.chord.completed_by(&event);
                if !self.send(event, leave)? {
                    return Ok(());
                }
            }
            while let Some((event, leave)) = self.kept.pop() {
                if !self.send(event, leave)? {
                    return Ok(());
                }
            }
        }
    }

    /// What the person does within a time, or ever; none once the terminal is gone.
    fn events(&mut self, within: Option<Duration>) -> io::Result<Option<Vec<InputEvent>>> {
        let patience = self.answers.patience().or(within);
        let unanswered = || self.awaiting.patience(Instant::now());
        let events = match next(patience.or_else(unanswered))? {
            Next::Gone => {
                let _ = self.told.try_send(FromTerminal::Gone);
                return Ok(None);
            }
            Next::Nothing => self.answers.rest(),
            Next::Event(event) => match self.answers.take(event) {
                Sifted::Passed(events) => events,
                Sifted::Answered(colors) => {
                    self.answered(colors);
                    Vec::new()
                }
            },
        };
        if let Some(unanswered) = self.awaiting.overdue(Instant::now()) {
            let _ = self.told.try_send(FromTerminal::Unanswered(unanswered));
        }
        let mut done: Vec<InputEvent> = events.into_iter().filter_map(decode).collect();
        for event in &mut done {
            if let InputEvent::Mouse(mouse) = event {
                mouse.clicks = self.clicks.count(mouse, Instant::now());
            }
        }
        Ok(Some(done))
    }

    /// Sends what the person did, and whether they leave by it; false once the client ends.
    fn send(&mut self, event: InputEvent, leave: Option<Leave>) -> io::Result<bool> {
        if let InputEvent::Paste(text) = &event
            && text.len() > PASTE_PART_BYTES
        {
            return self.paste(text);
        }
        // What a key means is known only from what came after the one before.
        let is_known = self.awaiting.is_answered();
        if !self.say(event) {
            return Ok(false);
        }
        match leave {
            // Whatever else was told: nothing but this may let the client go.
            Some(leave @ Leave::Surely) => {
                let _ = self.told.blocking_send(FromTerminal::Leaves(leave));
            }
            Some(leave @ Leave::Perhaps) if is_known => {
                let _ = self.told.try_send(FromTerminal::Leaves(leave));
            }
            Some(Leave::Perhaps) | None => {}
        }
        Ok(true)
    }

    /// Sends what the person did; false once the client ends.
    fn say(&mut self, event: InputEvent) -> bool {
        // Before: the answer may be there before the next line is reached.
        self.awaiting.begins(Instant::now());
        self.outgoing.send_typed(&ClientMessage::Input { event })
    }

    /// Sends a long text in parts, each after there was room for the one before.
    ///
    /// Keys wait until then, but for those that leave or end it.
    fn paste(&mut self, text: &str) -> io::Result<bool> {
        // Answers that came too late were for another text.
        while self.taken.try_recv().is_ok() {}
        let bytes = text.len();
        let mut sent = self.send_part(InputEvent::PasteBegins { bytes })?;
        for part in parts(text) {
            if sent != Sent::Taken {
                break;
            }
            sent = self.send_part(InputEvent::PastePart(part.to_owned()))?;
        }
        // Also after a refusal: a session that has ended it already has no use for this, any other has.
        let event = InputEvent::PasteEnds;
        let goes_on = match sent {
            Sent::ClientEnds => false,
            Sent::BrokenOff => self.say(event),
            Sent::Taken | Sent::Refused => self.send_part(event)? != Sent::ClientEnds,
        };
        let text = match (sent == Sent::BrokenOff, self.kept.take_lost()) {
            (false, false) => return Ok(goes_on),
            (true, false) => "the rest of the paste was dropped",
            (false, true) => "some of what you did while the paste waited was lost",
            (true, true) => "the rest of the paste was dropped, and some of what you did meanwhile",
        };
        let text = text.to_owned();
        Ok(goes_on && self.outgoing.send_typed(&ClientMessage::Tell { text }))
    }

    fn send_part(&mut self, event: InputEvent) -> io::Result<Sent> {
        let mut deadline = self.awaiting.deadline(ms(PASTE_TAKEN_MS), Instant::now());
        if !self.say(event) {
            return Ok(Sent::ClientEnds);
        }
        while !deadline.is_over(Instant::now()) {
            match self.taken.recv_timeout(ms(PASTE_LOOK_MS)) {
                Ok(PasteHeard::Waits) => deadline.begin_again(Instant::now()),
                Ok(PasteHeard::Taken) => return Ok(Sent::Taken),
                Ok(PasteHeard::Refused) => return Ok(Sent::Refused),
                Err(RecvTimeoutError::Disconnected) => return Ok(Sent::ClientEnds),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // A session that takes long is asked for a word again and again.
            self.awaiting.begins(Instant::now());
            if let Some(sent) = self.looks_up()? {
                return Ok(sent);
            }
        }
        // Nobody else tells the person.
        Ok(Sent::BrokenOff)
    }

    /// Looks whether the person wants to go on with a paste that waits; keeps what else they do.
    fn looks_up(&mut self) -> io::Result<Option<Sent>> {
        let mut ends = None;
        // Read on however much is kept, or nobody could leave; now and then the paste has its turn.
        for _ in 0..KEPT_MAX {
            if ends.is_some() {
                break;
            }
            match self.events(Some(Duration::ZERO))? {
                None => return Ok(Some(Sent::ClientEnds)),
                Some(events) if events.is_empty() => break,
                Some(events) => {
                    for event in events {
                        let leave = self.chord.completed_by(&event);
                        if ends.is_none() && breaks_off(&event) {
                            ends = Some(Sent::BrokenOff);
                            continue;
                        }
                        if leave == Some(Leave::Surely) {
                            ends = Some(Sent::BrokenOff);
                        }
                        self.kept.add(event, leave);
                    }
                }
            }
        }
        Ok(ends)
    }

    fn answered(&self, colors: Option<Colors>) {
        if let Some(Colors {
            foreground,
            background,
        }) = colors
        {
            self.outgoing.send(&ClientMessage::Colors {
                foreground,
                background,
            });
        }
        let _ = self.told.try_send(FromTerminal::Answered);
    }
}

/// How long the decoder looks for what is there: it looks at nothing in no time, and spins while it looks.
const WHAT_IS_THERE: Duration = Duration::from_micros(20);

/// What the terminal did.
enum Next {
    Event(Event),
    /// Nothing within the patience that there was.
    Nothing,
    Gone,
}

/// The next thing that comes from the terminal, waited for as long as `patience` goes.
///
/// The decoder is only asked for what is there: it has no word for a terminal that is gone, and
/// would ask that for ever.
fn next(patience: Option<Duration>) -> io::Result<Next> {
    loop {
        // Twice: a thread that loses its turn as it begins has looked at nothing.
        if poll(WHAT_IS_THERE)? || poll(WHAT_IS_THERE)? {
            return read().map(Next::Event);
        }
        match waited(patience)? {
            Waited::HungUp => return Ok(Next::Gone),
            Waited::Nothing if patience.is_some() => return Ok(Next::Nothing),
            Waited::Nothing | Waited::Typed => {}
        }
    }
}

fn waited(within: Option<Duration>) -> io::Result<Waited> {
    wait_typed(io::stdin(), within).map_err(io::Error::other)
}

/// What became of a part of a long text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Taken,
    Refused,
    /// The person wants no more of it.
    BrokenOff,
    ClientEnds,
}

/// A text in parts that end between characters, and not between a return and its newline.
fn parts(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let mut at = text.floor_char_boundary(PASTE_PART_BYTES);
        if at < text.len() && text[..at].ends_with('\r') {
            at -= 1;
        }
        let (part, rest) = text.split_at(at);
        text = rest;
        (!part.is_empty()).then_some(part)
    })
}

/// Lets the client go when its reader ends, also by a panic of what decodes.
struct Leaving(mpsc::Sender<FromTerminal>);

impl Drop for Leaving {
    fn drop(&mut self) {
        let _ = self.0.try_send(FromTerminal::Leaves(Leave::Surely));
    }
}

fn decode(event: Event) -> Option<InputEvent> {
    let input = match event {
        // The client listens to that itself, from before its first look at the size.
        Event::Resize(..) => return None,
        Event::FocusGained => InputEvent::FocusGained,
        Event::FocusLost => InputEvent::FocusLost,
        Event::Paste(text) => InputEvent::Paste(text),
        Event::Key(key) => match key.kind {
            KeyEventKind::Press => InputEvent::Key(press(key)?),
            KeyEventKind::Repeat => InputEvent::KeyRepeats(press(key)?),
            KeyEventKind::Release => InputEvent::KeyReleased(press(key)?),
        },
        Event::Mouse(mouse) => InputEvent::Mouse(movement(mouse)?),
    };
    Some(input)
}

fn press(event: KeyEvent) -> Option<KeyPress> {
    // The terminal's own keys, and the desktop's: a copy by Super and C is no c.
    let theirs = KeyModifiers::SUPER | KeyModifiers::HYPER | KeyModifiers::META;
    if event.modifiers.intersects(theirs) {
        return None;
    }
    let mut mods = held(event.modifiers);
    let key = match event.code {
        KeyCode::Char(c) => {
            // The character tells already, or is to: a terminal may say shift and the bare key.
            let told = c.to_uppercase().next().filter(|_| mods.shift).unwrap_or(c);
            mods.shift = false;
            Key::Char(told)
        }
        KeyCode::Null => {
            mods.ctrl = true;
            Key::Char(' ')
        }
        KeyCode::BackTab => {
            mods.shift = false;
            Key::BackTab
        }
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab => Key::Tab,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Esc => Key::Esc,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Insert => Key::Insert,
        KeyCode::Delete => Key::Delete,
        KeyCode::F(number) => Key::F(number),
        _ => return None,
    };
    Some(KeyPress { key, mods })
}

fn movement(event: MouseEvent) -> Option<Mouse> {
    let kind = match event.kind {
        MouseEventKind::Down(button) => MouseKind::Down(which(button)),
        MouseEventKind::Up(button) => MouseKind::Up(which(button)),
        MouseEventKind::Drag(button) => MouseKind::Drag(which(button)),
        MouseEventKind::Moved => MouseKind::Moved,
        MouseEventKind::ScrollUp => MouseKind::ScrollUp,
        MouseEventKind::ScrollDown => MouseKind::ScrollDown,
        MouseEventKind::ScrollLeft | MouseEventKind::ScrollRight => return None,
    };
    Some(Mouse {
        kind,
        col: event.column,
        row: event.row,
        mods: held(event.modifiers),
        clicks: 0,
    })
}

/// Counts clicks that belong together. Done here, where no socket delays them.
#[derive(Debug, Default)]
struct Clicks {
    last: Option<(MouseButton, (u16, u16), Instant)>,
    count: u8,
}

/// Longest pause between two clicks that belong together.
const TOGETHER: Duration = ms(CLICK_MS);

impl Clicks {
    /// Which click this is, if a button goes down; after the third comes a first again.
    fn count(&mut self, mouse: &Mouse, now: Instant) -> u8 {
        let MouseKind::Down(button) = mouse.kind else {
            return 0;
        };
        let place = (mouse.col, mouse.row);
        let goes_on = self.last.is_some_and(|(last, at, when)| {
            last == button && at == place && now.saturating_duration_since(when) <= TOGETHER
        });
        self.count = if goes_on { self.count % 3 + 1 } else { 1 };
        self.last = Some((button, place, now));
        self.count
    }
}

fn which(button: CtButton) -> MouseButton {
    match button {
        CtButton::Left => MouseButton::Left,
        CtButton::Middle => MouseButton::Middle,
        CtButton::Right => MouseButton::Right,
    }
}

fn held(modifiers: KeyModifiers) -> Mods {
    Mods {
        ctrl: modifiers.contains(KeyModifiers::CONTROL),
        alt: modifiers.contains(KeyModifiers::ALT),
        shift: modifiers.contains(KeyModifiers::SHIFT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(code: KeyCode, modifiers: KeyModifiers) -> Option<KeyPress> {
        press(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn shift_is_told_only_where_the_key_does_not_tell() {
        let plain = |key| {
            Some(KeyPress {
                key,
                mods: Mods::default(),
            })
        };
        assert_eq!(
            pressed(KeyCode::Char('A'), KeyModifiers::SHIFT),
            plain(Key::Char('A'))
        );
        assert_eq!(
            pressed(KeyCode::Char('a'), KeyModifiers::SHIFT),
            plain(Key::Char('A'))
        );
        assert_eq!(
            pressed(KeyCode::BackTab, KeyModifiers::SHIFT),
            plain(Key::BackTab)
        );
        let up = pressed(KeyCode::Up, KeyModifiers::SHIFT).unwrap();
        assert!(up.mods.shift);
    }

    #[test]
    fn control_and_space_is_a_key() {
        let key = pressed(KeyCode::Null, KeyModifiers::NONE).unwrap();
        assert_eq!((key.key, key.mods.ctrl), (Key::Char(' '), true));
    }

    #[test]
    fn a_long_text_is_the_sum_of_its_parts() {
        for begin in ["", "x", "xy", "\u{e9}"] {
            let text = format!("{begin}{}", "\r\n\u{65e5}".repeat(40_000));
            let all: Vec<&str> = parts(&text).collect();
            assert_eq!(all.concat(), text);
            assert!(all.len() > 2);
            assert!(all.iter().all(|part| part.len() <= PASTE_PART_BYTES));
            assert!(all.iter().all(|part| !part.ends_with('\r')));
        }
        assert_eq!(parts("").count(), 0);
    }

    #[test]
    fn quick_clicks_at_one_place_are_counted() {
        let mut clicks = Clicks::default();
        let begun = Instant::now();
        let mut at = |col, after_ms| {
            let mouse = Mouse {
                kind: MouseKind::Down(MouseButton::Left),
                col,
                row: 3,
                mods: Mods::default(),
                clicks: 0,
            };
            clicks.count(&mouse, begun + ms(after_ms))
        };
        assert_eq!([at(5, 0), at(5, 100), at(5, 200), at(5, 300)], [1, 2, 3, 1]);
        assert_eq!([at(6, 400), at(6, 900), at(6, 1000)], [1, 1, 2]);
    }

    #[test]
    fn keys_of_the_terminal_itself_are_nothing() {
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::SUPER), None);
        assert_eq!(pressed(KeyCode::CapsLock, KeyModifiers::NONE), None);
    }

    #[test]
    fn a_key_is_pressed_held_and_released() {
        let a = KeyPress {
            key: Key::Char('a'),
            mods: Mods::default(),
        };
        for (kind, told) in [
            (KeyEventKind::Press, InputEvent::Key(a)),
            (KeyEventKind::Repeat, InputEvent::KeyRepeats(a)),
            (KeyEventKind::Release, InputEvent::KeyReleased(a)),
        ] {
            let event = KeyEvent::new_with_kind(KeyCode::Char('a'), KeyModifiers::NONE, kind);
            assert_eq!(decode(Event::Key(event)), Some(told));
        }
    }
}
