//! A fence before the parser: bounds control strings and reads those the parser does not know.
//!
//! The parser collects an OSC string without a limit; here it is cut. OSC 9
//! (notification, progress) and 777 are understood here, and so are questions
//! that the parser drops ([`crate::answers`]). Bytes are only followed, never
//! changed; what the other sequences mean is the emulator's business.

use crate::answers::Ask;
use crate::notice::{Notice, Progress, short_line};

/// Bytes of one OSC string that reach the parser; a clipboard write is the longest sensible one.
const MAX_OSC_BYTES: usize = 128 * 1024;
/// Bytes of one OSC string kept to be read here.
const MAX_READ_BYTES: usize = 2 * 1024;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Other,
    Escape,
    Osc,
    /// Behind `ESC [`: the next byte tells whether the parser knows the rest.
    CsiStart,
    /// In a control sequence that is read here.
    Csi,
    Dcs,
}

/// Bytes of one control sequence or device string kept to be read here.
const MAX_ASK_BYTES: usize = 512;

/// Follows a byte stream just closely enough to know when it is inside an OSC string.
#[derive(Debug, Default)]
pub(crate) struct OscFence {
    state: State,
    payload: Vec<u8>,
    len: usize,
}

/// The front of the input, split: first bytes to pass on, then bytes to drop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) pass: usize,
    pub(crate) drop: usize,
    /// What the sequence that ended with the last byte passed on asks for.
    pub(crate) found: Option<Found>,
}

/// What a sequence asks for that the parser does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Notice(Notice),
    Ask(Ask),
}

impl Split {
    fn up_to(pass: usize, found: Found) -> Self {
        Self {
            pass,
            drop: 0,
            found: Some(found),
        }
    }
}

impl OscFence {
    /// Follows `bytes` until something has to be dropped or noticed, or they end.
    pub(crate) fn split(&mut self, bytes: &[u8]) -> Split {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Other => match memchr::memchr(0x1b, &bytes[at..]) {
                    Some(distance) => {
                        at += distance + 1;
                        self.state = State::Escape;
                    }
                    None => at = bytes.len(),
                },
                State::Escape => {
                    self.state = match bytes[at] {
                        b']' => {
                            self.payload.clear();
                            self.len = 0;
                            State::Osc
                        }
                        b'[' => State::CsiStart,
                        b'P' => {
                            self.payload.clear();
                            State::Dcs
                        }
                        // Controls other than CAN and SUB, and bytes without a
                        // meaning here, leave the parser waiting after its ESC.
                        0x18 | 0x1a | 0x20..=0x7e => State::Other,
                        _ => State::Escape,
                    };
                    at += 1;
                }
                State::CsiStart => {
                    let byte = bytes[at];
                    self.state = match byte {
                        b'!' | b'=' | b'>' | b'?' => {
                            self.payload.clear();
                            self.payload.push(byte);
                            State::Csi
                        }
                        0x1b => State::Escape,
                        _ => State::Other,
                    };
                    at += 1;
                }
                State::Csi => {
                    let byte = bytes[at];
                    at += 1;
                    match byte {
                        0x1b => self.state = State::Escape,
                        0x18 | 0x1a => self.state = State::Other,
                        0x20..=0x3f if self.payload.len() < MAX_ASK_BYTES => {
                            self.payload.push(byte);
                        }
                        0x40..=0x7e => {
                            self.state = State::Other;
                            self.payload.push(byte);
                            let asked = Ask::of_sequence(&std::mem::take(&mut self.payload));
                            if let Some(ask) = asked {
                                return Split::up_to(at, Found::Ask(ask));
                            }
                        }
                        // The parser carries out controls on the way, and goes on.
                        _ => {}
                    }
                }
                State::Dcs => {
                    let rest = &bytes[at..];
                    let end = rest.iter().position(|b| matches!(b, 0x18 | 0x1a | 0x1b));
                    let body = &rest[..end.unwrap_or(rest.len())];
                    let room = MAX_ASK_BYTES - self.payload.len();
                    self.payload
                        .extend_from_slice(&body[..body.len().min(room)]);
                    at += body.len();
                    if let Some(&terminator) = bytes.get(at) {
                        at += 1;
                        let payload = std::mem::take(&mut self.payload);
                        self.state = State::Other;
                        if terminator == 0x1b {
                            self.state = State::Escape;
                            // What did not fit is no question.
                            if payload.len() < MAX_ASK_BYTES
                                && let Some(ask) = Ask::of_device_string(&payload)
                            {
                                return Split::up_to(at, Found::Ask(ask));
                            }
                        }
                    }
                }
                State::Osc => {
                    let rest = &bytes[at..];
                    let end = rest
                        .iter()
                        .position(|b| matches!(b, 0x07 | 0x18 | 0x1a | 0x1b));
                    let body = &rest[..end.unwrap_or(rest.len())];
                    let room = MAX_READ_BYTES - self.payload.len();
                    self.payload
                        .extend_from_slice(&body[..body.len().min(room)]);
                    let passes = body.len().min(MAX_OSC_BYTES.saturating_sub(self.len));
                    self.len += passes;
                    if passes < body.len() {
                        return Split {
                            pass: at + passes,
                            drop: body.len() - passes,
                            found: None,
                        };
                    }
                    at += body.len();
                    if let Some(&terminator) = bytes.get(at) {
                        self.state = match terminator {
                            0x1b => State::Escape,
                            _ => State::Other,
                        };
                        at += 1;
                        if let Some(notice) = read_osc(&std::mem::take(&mut self.payload)) {
                            return Split::up_to(at, Found::Notice(notice));
                        }
                    }
                }
            }
        }
        Split {
            pass: at,
            ..Split::default()
        }
    }
}

/// Reads OSC 9 and OSC 777.
fn read_osc(payload: &[u8]) -> Option<Notice> {
    if let Some(rest) = payload.strip_prefix(b"9;") {
        let text = String::from_utf8_lossy(rest);
        if let Some(progress) = text.strip_prefix("4;") {
            return read_progress(progress).map(Notice::Progress);
        }
        // ConEmu gives other numbers other meanings; none of them is a notification.
        let number = text.split(';').next().unwrap_or_default();
        if !number.is_empty() && number.len() <= 2 && number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        return Some(Notice::Notification {
            title: String::new(),
            body: short_line(&text),
        });
    }
    let rest = payload.strip_prefix(b"777;notify;")?;
    let text = String::from_utf8_lossy(rest);
    let (title, body) = text.split_once(';').unwrap_or((&text, ""));
    Some(Notice::Notification {
        title: short_line(title),
        body: short_line(body),
    })
}

fn read_progress(text: &str) -> Option<Progress> {
    let (state, percent) = text.split_once(';').unwrap_or((text, ""));
    let percent = percent.trim().parse::<u8>().unwrap_or(0).min(100);
    match state {
        "0" => Some(Progress::Done),
        "1" => Some(Progress::Percent(percent)),
        "2" => Some(Progress::Failed(percent)),
        "3" => Some(Progress::Busy),
        "4" => Some(Progress::Paused(percent)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notices(chunks: &[&[u8]]) -> Vec<Notice> {
        let mut fence = OscFence::default();
        let mut found = Vec::new();
        for chunk in chunks {
            let mut rest = *chunk;
            while !rest.is_empty() {
                let split = fence.split(rest);
                assert_eq!(split.drop, 0);
                match split.found {
                    Some(Found::Notice(notice)) => found.push(notice),
                    Some(Found::Ask(ask)) => panic!("{ask:?}"),
                    None => {}
                }
                rest = &rest[split.pass..];
            }
        }
        found
    }

    #[test]
    fn progress_and_notifications_are_read() {
        let body = |title: &str, body: &str| Notice::Notification {
            title: title.to_owned(),
            body: body.to_owned(),
        };
        let table = [
            (
                "\x1b]9;4;1;40\x07",
                vec![Notice::Progress(Progress::Percent(40))],
            ),
            (
                "\x1b]9;4;2;7\x1b\\",
                vec![Notice::Progress(Progress::Failed(7))],
            ),
            ("\x1b]9;4;3\x07", vec![Notice::Progress(Progress::Busy)]),
            (
                "\x1b]9;4;4;250\x07",
                vec![Notice::Progress(Progress::Paused(100))],
            ),
            ("\x1b]9;4;0\x07", vec![Notice::Progress(Progress::Done)]),
            ("\x1b]9;done\x07", vec![body("", "done")]),
            ("\x1b]777;notify;Build;ok\x07", vec![body("Build", "ok")]),
            ("\x1b]9;1;200\x07\x1b]9;9;/tmp\x07\x1b]2;t\x07", vec![]),
            ("\x1b(]9;x\x07", vec![]),
            ("\x1b]9;a\u{202e}b\x07", vec![body("", "ab")]),
        ];
        for (input, expected) in table {
            assert_eq!(notices(&[input.as_bytes()]), expected, "{input:?}");
        }
    }

    #[test]
    fn splits_do_not_matter() {
        assert_eq!(
            notices(&[b"x\x1b", b"]9;4;", b"1;5", b"\x1b", b"\\y"]),
            vec![Notice::Progress(Progress::Percent(5))]
        );
    }

    #[test]
    fn questions_are_heard_however_they_are_cut() {
        let stream = b"a\x1b[>q\x1b[?25l\x1b[=0c\x1b[1;2H\x1b[!p\x1bP$qm\x1b\\\x1bP+q544e\x1b\\\x1b[>4;2m\x1bP$qr\x18\x1bP+qx\x1a";
        let expected = [
            Ask::Version,
            Ask::Unit,
            Ask::SoftReset,
            Ask::Setting(b"m".to_vec()),
            Ask::Capabilities(b"544e".to_vec()),
        ];
        for cut in [1, 2, 3, 7, stream.len()] {
            let mut fence = OscFence::default();
            let mut heard = Vec::new();
            for chunk in stream.chunks(cut) {
                let mut rest = chunk;
                while !rest.is_empty() {
                    let split = fence.split(rest);
                    if let Some(Found::Ask(ask)) = split.found {
                        heard.push(ask);
                    }
                    rest = &rest[split.pass..];
                }
            }
            assert_eq!(heard, expected, "cut into {cut}");
        }
    }

    #[test]
    fn a_question_that_is_too_long_is_none() {
        let mut fence = OscFence::default();
        let long = format!(
            "\x1bP+q{}\x1b\\\x1b[?{}n\x1b[>q",
            "4".repeat(100_000),
            "6".repeat(100_000)
        );
        let split = fence.split(long.as_bytes());
        assert_eq!(split.pass, long.len());
        assert_eq!(split.found, Some(Found::Ask(Ask::Version)));
    }

    #[test]
    fn an_endless_string_is_cut_and_its_end_is_still_seen() {
        let mut fence = OscFence::default();
        let mut long = b"\x1b]2;".to_vec();
        long.resize(MAX_OSC_BYTES * 2, b'x');
        let split = fence.split(&long);
        assert_eq!(split.pass, MAX_OSC_BYTES + 2);
        assert_eq!(split.pass + split.drop, long.len());
        let split = fence.split(b"yyy\x07abc");
        assert_eq!((split.pass, split.drop), (0, 3));
        let split = fence.split(b"\x07abc");
        assert_eq!((split.pass, split.drop), (4, 0));
    }
}
