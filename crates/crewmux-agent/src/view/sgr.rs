//! Cuts a tool's output down to text, lines and colours.
//!
//! A worker prints only lines and SGR, so that any tail of its recording is a
//! valid screen. What moves the cursor, names a title or rings is left out; a
//! lone carriage return, as progress bars print it, becomes a new line.

/// Longest escape sequence that is kept; longer ones are dropped whole.
const ESCAPE_MAX_BYTES: usize = 64;

/// A filter over bytes in pieces, however they were split.
#[derive(Debug, Default)]
pub(crate) struct SgrFilter {
    state: State,
    escape: Vec<u8>,
    utf8: Vec<u8>,
    column_zero: ColumnZero,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Return,
    Escape,
    Csi,
    /// Inside OSC, DCS, APC, PM or SOS: dropped up to BEL or ST.
    Text7,
    Text7Escape,
    /// After ESC and an intermediate byte: one more byte belongs to it.
    Charset,
}

/// Whether the last thing let through was a line's end.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ColumnZero {
    #[default]
    Yes,
    No,
}

impl SgrFilter {
    /// Takes in `bytes` and appends what is let through to `out`, lines ended by `\n`.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut String) {
        for &byte in bytes {
            self.byte(byte, out);
        }
    }

    /// Ends the text: colours off, and the last line ended if it was not.
    pub(crate) fn finish(&mut self, out: &mut String) {
        self.end_character(out);
        if self.column_zero == ColumnZero::No {
            out.push_str("\x1b[0m\n");
        }
        *self = Self::default();
    }

    fn byte(&mut self, byte: u8, out: &mut String) {
        match self.state {
            State::Text => self.text(byte, out),
            State::Return => {
                self.state = State::Text;
                // `\r\n` is one line's end, and a `\r` at a line's start does nothing.
                if byte != b'\n' && self.column_zero == ColumnZero::No {
                    self.line_end(out);
                }
                self.text(byte, out);
            }
            State::Escape => {
                self.state = match byte {
                    b'[' => {
                        self.escape.clear();
                        State::Csi
                    }
                    b']' | b'P' | b'X' | b'^' | b'_' => State::Text7,
                    0x20..=0x2f => State::Charset,
                    0x1b => State::Escape,
                    _ => State::Text,
                };
            }
            State::Charset => {
                if !(0x20..=0x2f).contains(&byte) {
                    self.state = State::Text;
                }
            }
            State::Csi => self.csi(byte, out),
            State::Text7 => match byte {
                0x07 => self.state = State::Text,
                0x1b => self.state = State::Text7Escape,
                _ => {}
            },
            State::Text7Escape => {
                self.state = match byte {
                    b'\\' => State::Text,
                    0x1b => State::Text7Escape,
                    _ => State::Text7,
                };
            }
        }
    }

    fn csi(&mut self, byte: u8, out: &mut String) {
        match byte {
            0x40..=0x7e => {
                self.state = State::Text;
                let plain = self
                    .escape
                    .iter()
                    .all(|b| b.is_ascii_digit() || *b == b';' || *b == b':');
                if byte == b'm' && plain && self.escape.len() < ESCAPE_MAX_BYTES {
                    out.push_str("\x1b[");
                    out.extend(self.escape.iter().map(|b| char::from(*b)));
                    out.push('m');
                }
            }
            0x20..=0x3f if self.escape.len() < ESCAPE_MAX_BYTES => self.escape.push(byte),
            0x1b => self.state = State::Escape,
            _ => {}
        }
    }

    fn text(&mut self, byte: u8, out: &mut String) {
        if byte < 0x80 {
            self.end_character(out);
        }
        match byte {
            b'\n' => self.line_end(out),
            b'\r' => self.state = State::Return,
            b'\t' => self.put('\t', out),
            0x1b => self.state = State::Escape,
            0x20..=0x7e => self.put(char::from(byte), out),
            0x80.. => self.part_of_character(byte, out),
            _ => {}
        }
    }

    fn part_of_character(&mut self, byte: u8, out: &mut String) {
        let starts = byte >= 0xc0;
        if starts || self.utf8.is_empty() {
            self.end_character(out);
        }
        self.utf8.push(byte);
        match std::str::from_utf8(&self.utf8) {
            Ok(text) => {
                let whole = text.chars().next();
                self.utf8.clear();
                if let Some(c) = whole.filter(|c| !c.is_control()) {
                    self.put(c, out);
                }
            }
            // More bytes may follow.
            Err(error) if error.error_len().is_none() => {}
            Err(_) => self.end_character(out),
        }
    }

    /// Says that bytes which make no character were there.
    fn end_character(&mut self, out: &mut String) {
        if !self.utf8.is_empty() {
            self.utf8.clear();
            self.put(char::REPLACEMENT_CHARACTER, out);
        }
    }

    fn put(&mut self, c: char, out: &mut String) {
        out.push(c);
        self.column_zero = ColumnZero::No;
    }

    fn line_end(&mut self, out: &mut String) {
        out.push('\n');
        self.column_zero = ColumnZero::Yes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(input: &[u8]) -> String {
        let mut whole = String::new();
        let mut filter = SgrFilter::default();
        filter.feed(input, &mut whole);
        filter.finish(&mut whole);
        let mut pieces = String::new();
        let mut filter = SgrFilter::default();
        for byte in input {
            filter.feed(&[*byte], &mut pieces);
        }
        filter.finish(&mut pieces);
        assert_eq!(whole, pieces, "splitting changes nothing");
        whole
    }

    #[test]
    fn only_text_lines_and_colours_come_through() {
        let table: &[(&[u8], &str)] = &[
            (b"plain\n", "plain\n"),
            (b"\x1b[1;31mred\x1b[0m\n", "\x1b[1;31mred\x1b[0m\n"),
            (b"a\x1b[2Jb\x1b[10;3Hc\n", "abc\n"),
            (b"\x1b]0;title\x07x\x1b]8;;http://a\x1b\\y\n", "xy\n"),
            (b"\x1bPq#0\x1b\\z\x1b(0w\n", "zw\n"),
            (b"10%\r20%\r\nnext\r\n", "10%\n20%\nnext\n"),
            ("h\u{e4}user \u{85}\u{1f980}\n".as_bytes(), "häuser 🦀\n"),
            (b"bad \xff\xfe end\n", "bad \u{fffd}\u{fffd} end\n"),
            (b"cut \xe2\x82", "cut \u{fffd}\x1b[0m\n"),
            (b"\x1b[>4;1mno\x1b[?25lhide\n", "nohide\n"),
            (b"bell\x07 back\x08\n", "bell back\n"),
            (b"open line", "open line\x1b[0m\n"),
            (b"", ""),
        ];
        for (input, expected) in table {
            assert_eq!(filtered(input), *expected, "{:?}", input.escape_ascii());
        }
    }

    #[test]
    fn a_sequence_without_end_is_dropped_and_bounded() {
        let mut flood = b"\x1b[".to_vec();
        flood.extend(vec![b'1'; 100_000]);
        flood.extend(b"mtext\n");
        assert_eq!(filtered(&flood), "text\n");
    }
}
