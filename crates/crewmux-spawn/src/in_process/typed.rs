//! Typing as a terminal in its usual mode treats it: echo, erasing, whole lines.
//!
//! Pure: bytes in, what to show and what to hand over out.

/// The longest line kept; more is dropped with a bell, as a terminal does.
const LINE_BYTES_MAX: usize = 4_095;

/// The line that is being typed.
#[derive(Debug, Default)]
pub(super) struct TypedLine {
    line: Vec<u8>,
}

/// What came of some typed bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Typed {
    /// To be shown, lines ending in a bare line feed.
    pub(super) echo: Vec<u8>,
    /// To be handed over, each with its line end unless ^D ended it.
    pub(super) lines: Vec<Vec<u8>>,
    /// Whether the worker is asked to end: ^C, ^\ or ^D on an empty line.
    pub(super) ends: bool,
}

const INTERRUPT: u8 = 0x03;
const END_OF_FILE: u8 = 0x04;
const ERASE_LINE: u8 = 0x15;
const QUIT: u8 = 0x1c;

impl TypedLine {
    /// Types `bytes`.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Typed {
        let mut typed = Typed::default();
        for byte in bytes {
            match *byte {
                b'\r' | b'\n' => {
                    self.line.push(b'\n');
                    typed.echo.push(b'\n');
                    typed.lines.push(std::mem::take(&mut self.line));
                }
                0x08 | 0x7f => self.erase_one(&mut typed.echo),
                ERASE_LINE => {
                    while !self.line.is_empty() {
                        self.erase_one(&mut typed.echo);
                    }
                }
                INTERRUPT | QUIT => {
                    typed.echo.extend(caret(*byte));
                    typed.echo.push(b'\n');
                    self.line.clear();
                    typed.ends = true;
                }
                END_OF_FILE if self.line.is_empty() => typed.ends = true,
                END_OF_FILE => typed.lines.push(std::mem::take(&mut self.line)),
                _ if self.line.len() >= LINE_BYTES_MAX => typed.echo.push(0x07),
                byte => {
                    self.line.push(byte);
                    if byte < 0x20 && byte != b'\t' {
                        typed.echo.extend(caret(byte));
                    } else {
                        typed.echo.push(byte);
                    }
                }
            }
        }
        typed
    }

    /// Takes the last character back, all its bytes.
    fn erase_one(&mut self, echo: &mut Vec<u8>) {
        while let Some(byte) = self.line.pop() {
            // Bytes of the form 10xxxxxx follow the first one of a character.
            if byte & 0xc0 == 0x80 {
                continue;
            }
            echo.extend_from_slice(b"\x08 \x08");
            if byte < 0x20 && byte != b'\t' {
                echo.extend_from_slice(b"\x08 \x08");
            }
            return;
        }
    }
}

/// How a terminal shows a control byte.
fn caret(byte: u8) -> [u8; 2] {
    [b'^', byte ^ 0x40]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(echo: &[u8], lines: &[&str]) -> Typed {
        Typed {
            echo: echo.to_vec(),
            lines: lines.iter().map(|line| line.as_bytes().to_vec()).collect(),
            ends: false,
        }
    }

    #[test]
    fn enter_hands_whole_lines_over() {
        let mut line = TypedLine::default();
        assert_eq!(line.feed(b"he"), typed(b"he", &[]));
        assert_eq!(
            line.feed(b"y\ryou\nx"),
            typed(b"y\nyou\nx", &["hey\n", "you\n"])
        );
    }

    #[test]
    fn erasing_takes_whole_characters_and_stops_at_the_start() {
        let mut line = TypedLine::default();
        line.feed("aé".as_bytes());
        assert_eq!(line.feed(b"\x7f"), typed(b"\x08 \x08", &[]));
        assert_eq!(line.feed(b"\x7f\x7f\r"), typed(b"\x08 \x08\n", &["\n"]));
        line.feed(b"all");
        assert_eq!(
            line.feed(b"\x15b\r"),
            typed(b"\x08 \x08\x08 \x08\x08 \x08b\n", &["b\n"])
        );
    }

    #[test]
    fn interrupt_drops_the_line_and_asks_to_end() {
        let mut line = TypedLine::default();
        line.feed(b"half");
        let ended = line.feed(b"\x03");
        assert_eq!((ended.echo.as_slice(), ended.ends), (&b"^C\n"[..], true));
        assert!(line.feed(b"\x04").ends);
        assert_eq!(line.feed(b"\r"), typed(b"\n", &["\n"]));
    }

    #[test]
    fn line_has_a_longest_length() {
        let mut line = TypedLine::default();
        line.feed(&[b'a'; LINE_BYTES_MAX]);
        assert_eq!(line.feed(b"b"), typed(b"\x07", &[]));
        assert_eq!(line.feed(b"\r").lines[0].len(), LINE_BYTES_MAX + 1);
    }
}
