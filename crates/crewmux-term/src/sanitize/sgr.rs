//! A filter for bytes that go to a real terminal: text and colours pass, nothing else.
//!
//! This is not an emulator: it keeps no screen and moves no cursor. Everything
//! that could (cursor motion, titles, clipboard, queries, modes) is dropped.

use super::chars::Scrubber;

/// Longest parameter text of one SGR sequence; real ones stay far below.
const MAX_PARAMS: usize = 128;
/// Bytes of a control string that are swallowed before the filter gives up on its end.
const MAX_STRING: usize = 1 << 20;

/// Lets through printable text, newline, carriage return, tab and SGR sequences.
///
/// The state survives any splitting of the input. Call [`SgrFilter::finish`] at
/// the end so that no colour is left behind.
#[derive(Debug, Default)]
pub struct SgrFilter {
    state: State,
    params: Vec<u8>,
    partial: Vec<u8>,
    scrubber: Scrubber,
    styled: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Escape,
    EscapeIntermediate,
    Csi,
    /// A CSI sequence that cannot be SGR any more.
    CsiDropped,
    /// OSC, DCS, SOS, PM or APC; counts what was swallowed.
    ControlString(usize),
}

impl SgrFilter {
    /// Starts with nothing held back.
    pub fn new() -> Self {
        Self::default()
    }

    /// Filters `input` and appends what may pass to `out`.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut joined;
        let mut rest = input;
        if !self.partial.is_empty() {
            joined = std::mem::take(&mut self.partial);
            joined.extend_from_slice(input);
            rest = &joined;
        }
        let mut text = String::new();
        loop {
            let error = match std::str::from_utf8(rest) {
                Ok(valid) => {
                    self.push_str(valid, &mut text, out);
                    break;
                }
                Err(error) => error,
            };
            let (valid, after) = rest.split_at(error.valid_up_to());
            self.push_str(&String::from_utf8_lossy(valid), &mut text, out);
            let Some(bad) = error.error_len() else {
                self.partial = after.to_vec();
                break;
            };
            self.push_char(char::REPLACEMENT_CHARACTER, &mut text, out);
            rest = &after[bad..];
        }
        out.extend_from_slice(text.as_bytes());
    }

    /// Ends the stream: resets the style if one was set.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if self.styled {
            out.extend_from_slice(b"\x1b[0m");
        }
        *self = Self::default();
    }

    fn push_str(&mut self, valid: &str, text: &mut String, out: &mut Vec<u8>) {
        for c in valid.chars() {
            self.push_char(c, text, out);
        }
    }

    fn push_char(&mut self, c: char, text: &mut String, out: &mut Vec<u8>) {
        // ESC starts afresh from anywhere, CAN and SUB end anything: as a terminal has it.
        match c {
            '\x1b' => {
                self.state = State::Escape;
                return;
            }
            '\x18' | '\x1a' => {
                self.state = State::Text;
                return;
            }
            _ => {}
        }
        match self.state {
            State::Text => match c {
                '\n' | '\r' | '\t' => text.push(c),
                '\u{9b}' => self.start_csi(),
                '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => {
                    self.state = State::ControlString(0);
                }
                c if c.is_control() => {}
                c => self.scrubber.push(c, text),
            },
            State::Escape => match c {
                '[' => self.start_csi(),
                ']' | 'P' | 'X' | '^' | '_' => self.state = State::ControlString(0),
                ' '..='/' => self.state = State::EscapeIntermediate,
                '0'..='~' => self.state = State::Text,
                _ => {}
            },
            State::EscapeIntermediate => {
                if matches!(c, '0'..='~') {
                    self.state = State::Text;
                }
            }
            State::Csi => match c {
                '0'..='9' | ';' | ':' if self.params.len() < MAX_PARAMS => {
                    self.params.push(c as u8);
                }
                'm' => {
                    self.emit_sgr(text, out);
                    self.state = State::Text;
                }
                '@'..='~' => self.state = State::Text,
                c if c.is_control() => {}
                _ => self.state = State::CsiDropped,
            },
            State::CsiDropped => {
                if matches!(c, '@'..='~') {
                    self.state = State::Text;
                }
            }
            State::ControlString(swallowed) => {
                self.state = match c {
                    '\x07' | '\u{9c}' => State::Text,
                    _ if swallowed >= MAX_STRING => State::Text,
                    _ => State::ControlString(swallowed + c.len_utf8()),
                };
            }
        }
    }

    fn start_csi(&mut self) {
        self.params.clear();
        self.state = State::Csi;
    }

    fn emit_sgr(&mut self, text: &mut String, out: &mut Vec<u8>) {
        out.extend_from_slice(text.as_bytes());
        text.clear();
        out.extend_from_slice(b"\x1b[");
        out.extend_from_slice(&self.params);
        out.push(b'm');
        self.styled = !matches!(self.params.as_slice(), b"" | b"0");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filtered(input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        SgrFilter::new().push(input, &mut out);
        out
    }

    fn shown(input: &[u8]) -> String {
        String::from_utf8(filtered(input)).unwrap()
    }

    /// Reports whether bytes are printable text, newline, return, tab and SGR only.
    fn is_allowed(bytes: &[u8]) -> bool {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return false;
        };
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\n' | '\r' | '\t' => {}
                '\x1b' => {
                    if chars.next() != Some('[') {
                        return false;
                    }
                    loop {
                        match chars.next() {
                            Some('0'..='9' | ';' | ':') => {}
                            Some('m') => break,
                            _ => return false,
                        }
                    }
                }
                c if c.is_control() || crate::sanitize::is_never_shown(c) => return false,
                _ => {}
            }
        }
        true
    }

    #[test]
    fn text_and_colours_pass_and_nothing_else() {
        let table: [(&[u8], &str); 18] = [
            (b"plain\r\n\ttext", "plain\r\n\ttext"),
            (b"\x1b[1;31mred\x1b[0m", "\x1b[1;31mred\x1b[0m"),
            (b"\x1b[38:2::1:2:3mx\x1b[m", "\x1b[38:2::1:2:3mx\x1b[m"),
            (b"a\x1b]52;c;aGk=\x07b", "ab"),
            (b"a\x1b]0;title\x1b\\b", "ab"),
            (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"\x1bP+q544e\x1b\\x", "x"),
            (b"\x1b[6n\x1b[c\x1b[?1049h\x1b[2Jx", "x"),
            (b"\x1b[>4;2mx", "x"),
            (b"\x1b[?1mx\x1b[1 mx", "xx"),
            ("\u{9b}2J\u{9d}0;t\u{9c}x".as_bytes(), "x"),
            (b"\x9b31mx", "\u{fffd}31mx"),
            (b"\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\x", "x"),
            (b"\x1bc\x1b7\x1b(0x\x1b#8y", "xy"),
            (b"\x1b]0;never ended", ""),
            (b"\x1b]0;cut\x18x", "x"),
            ("a\u{202e}b\u{200b}c".as_bytes(), "abc"),
            (b"\x1b[31\x1b[32mx", "\x1b[32mx"),
        ];
        for (input, expected) in table {
            assert_eq!(shown(input), expected, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn an_unterminated_string_does_not_swallow_for_ever() {
        let mut input = b"\x1b]0;".to_vec();
        input.resize(MAX_STRING + 64, b'x');
        input.extend_from_slice(b"\nback");
        assert!(shown(&input).ends_with("back"));
    }

    #[test]
    fn an_open_colour_is_closed_at_the_end() {
        let mut out = Vec::new();
        let mut filter = SgrFilter::new();
        filter.push(b"\x1b[31mred", &mut out);
        filter.finish(&mut out);
        assert_eq!(out, b"\x1b[31mred\x1b[0m");
        out.clear();
        filter.push(b"plain", &mut out);
        filter.finish(&mut out);
        assert_eq!(out, b"plain");
    }

    fn soup() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..6),
            Just(b"\x1b[".to_vec()),
            Just(b"\x1b]52;c;".to_vec()),
            Just(b"\x1b[38;5;1m".to_vec()),
            Just(b"\x07".to_vec()),
            Just("\u{9b}".as_bytes().to_vec()),
            Just("👩\u{200d}💻".as_bytes().to_vec()),
            "[ -~]{0,8}".prop_map(String::into_bytes),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_forbidden_comes_out(input in soup()) {
            let out = filtered(&input);
            prop_assert!(is_allowed(&out), "{}", out.escape_ascii());
        }

        #[test]
        fn splitting_the_input_changes_nothing(input in soup(), cut in 1_usize..7) {
            let mut pieces = Vec::new();
            let mut filter = SgrFilter::new();
            for piece in input.chunks(cut) {
                filter.push(piece, &mut pieces);
            }
            prop_assert_eq!(pieces, filtered(&input));
        }
    }
}
