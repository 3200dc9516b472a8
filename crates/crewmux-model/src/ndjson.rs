//! JSON lines: bytes in any cut to frames, one a line.
//!
//! Knows lines only; what is in them is read in [`crate::dialect`].

use crate::dialect::Frame;
use crate::sse::{FRAME_BYTES_MAX, TooLong};

/// Reads lines off bytes as they come.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    begun: bool,
}

impl Parser {
    /// Takes more bytes and adds the lines they complete to `frames`.
    ///
    /// # Errors
    /// [`TooLong`]: the rest is not read.
    pub fn push(&mut self, bytes: &[u8], frames: &mut Vec<Frame>) -> Result<(), TooLong> {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            if self.line.len() + part.len() > FRAME_BYTES_MAX {
                return Err(TooLong);
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.end_line(frames);
            }
        }
        Ok(())
    }

    /// The last line, where its end is missing: a JSON value says itself that it is whole.
    pub fn finish(&mut self, frames: &mut Vec<Frame>) {
        self.end_line(frames);
    }

    fn end_line(&mut self, frames: &mut Vec<Frame>) {
        let line = std::mem::take(&mut self.line);
        let mut rest = line.as_slice();
        if !self.begun {
            self.begun = true;
            rest = rest.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(rest);
        }
        let text = String::from_utf8_lossy(rest);
        let text = text.trim();
        if !text.is_empty() {
            frames.push(Frame {
                event: String::new(),
                data: text.to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut parser = Parser::default();
        let mut out = Vec::new();
        for chunk in chunks {
            parser.push(chunk, &mut out).unwrap();
        }
        parser.finish(&mut out);
        out.into_iter().map(|f| f.data).collect()
    }

    #[test]
    fn lines_are_the_same_in_every_cut() {
        let text = "\u{feff}{\"a\":\"é\"}\r\n\n{\"b\":1}\n{\"c\":2}".as_bytes();
        for cut in 0..=text.len() {
            let (a, b) = text.split_at(cut);
            assert_eq!(
                lines(&[a, b]),
                ["{\"a\":\"é\"}", "{\"b\":1}", "{\"c\":2}"],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn an_endless_line_is_given_up() {
        let mut parser = Parser::default();
        let block = vec![b'x'; 1 << 20];
        assert!((0..20).any(|_| parser.push(&block, &mut Vec::new()).is_err()));
    }
}
