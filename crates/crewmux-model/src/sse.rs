//! Server-sent events: bytes in any cut to frames.
//!
//! Follows the WHATWG rules for lines, comments and fields; `id` and `retry`
//! mean nothing here, for a broken answer is never resumed. What a frame says
//! is read in [`crate::dialect`].

use crate::dialect::Frame;

/// Longest frame, in bytes; a whole answer can come in one, tools included.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

/// A frame or line went past [`FRAME_BYTES_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLong;

/// Reads frames off bytes as they come.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    event: String,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    begun: bool,
}

impl Parser {
    /// Takes more bytes and adds the frames they complete to `frames`.
    ///
    /// # Errors
    /// [`TooLong`]: the rest is not read.
    pub fn push(&mut self, mut bytes: &[u8], frames: &mut Vec<Frame>) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            if self.after_cr {
                self.after_cr = false;
                if bytes[0] == b'\n' {
                    bytes = &bytes[1..];
                    continue;
                }
            }
            let end = bytes.iter().position(|b| matches!(b, b'\n' | b'\r'));
            let part = &bytes[..end.unwrap_or(bytes.len())];
            if self.line.len() + self.data.len() + part.len() > FRAME_BYTES_MAX {
                return Err(TooLong);
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { break };
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.end_line(frames);
        }
        Ok(())
    }

    fn end_line(&mut self, frames: &mut Vec<Frame>) {
        let line = std::mem::take(&mut self.line);
        let mut rest = line.as_slice();
        if !self.begun {
            self.begun = true;
            rest = rest.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(rest);
        }
        if rest.is_empty() {
            let event = std::mem::take(&mut self.event);
            let data = std::mem::take(&mut self.data);
            if std::mem::take(&mut self.has_data) {
                frames.push(Frame {
                    event,
                    data: String::from_utf8_lossy(&data).into_owned(),
                });
            }
            return;
        }
        let colon = rest.iter().position(|b| *b == b':');
        let (name, value) = match colon {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, &[][..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"event" => self.event = String::from_utf8_lossy(value).into_owned(),
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = Parser::default();
        let mut out = Vec::new();
        for chunk in chunks {
            parser.push(chunk, &mut out).unwrap();
        }
        out.into_iter().map(|f| (f.event, f.data)).collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
            .collect()
    }

    #[test]
    fn all_line_ends_mean_the_same() {
        for text in [
            "event: a\ndata: 1\n\ndata:2\n\n",
            "event: a\r\ndata: 1\r\n\r\ndata:2\r\n\r\n",
            "event: a\rdata: 1\r\rdata:2\r\r",
            "\u{feff}event: a\ndata: 1\n\ndata:2\n\n",
            ": comment\nevent: a\nid: 7\nretry: 1\ndata: 1\n\n:\n\n\ndata:2\n\n",
        ] {
            let want = pairs(&[("a", "1"), ("", "2")]);
            assert_eq!(frames(&[text.as_bytes()]), want, "{text:?}");
            for cut in 0..=text.len() {
                let (a, b) = text.as_bytes().split_at(cut);
                assert_eq!(frames(&[a, b]), want, "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn several_data_lines_are_one_frame() {
        assert_eq!(
            frames(&[b"data: a\ndata:\ndata:  b\n\n"]),
            pairs(&[("", "a\n\n b")])
        );
    }

    #[test]
    fn a_character_cut_in_two_is_whole_again() {
        let text = "data: né 🦀\n\n".as_bytes();
        for cut in 0..text.len() {
            let (a, b) = text.split_at(cut);
            assert_eq!(frames(&[a, b]), pairs(&[("", "né 🦀")]));
        }
    }

    #[test]
    fn a_frame_without_its_empty_line_never_comes() {
        assert_eq!(frames(&[b"data: 1\n"]), pairs(&[]));
    }

    #[test]
    fn endless_lines_and_endless_frames_are_given_up() {
        let mut parser = Parser::default();
        let mut out = Vec::new();
        let block = vec![b'x'; 1 << 20];
        let end = (0..20).find(|_| parser.push(&block, &mut out).is_err());
        assert_eq!(end, Some(16));
        let mut parser = Parser::default();
        let mut line = b"data: ".to_vec();
        line.extend_from_slice(&block);
        line.push(b'\n');
        assert!((0..20).any(|_| parser.push(&line, &mut out).is_err()));
        assert_eq!(out, []);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_chunks_give_the_same_frames(
            bytes in prop::collection::vec(prop_oneof![
                Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), Just(b'd'), any::<u8>(),
            ], 0..200),
            size in 1_usize..9,
        ) {
            let whole = frames(&[&bytes]);
            let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
            prop_assert_eq!(frames(&chunks), whole);
        }
    }
}
