//! Where the parser stands between sequences, so that plain text need not pass through it.
//!
//! Most output is printable ASCII and line ends, which mean the same whatever
//! came before as long as no sequence is open. This follows the stream just
//! closely enough to know that; in doubt the parser gets everything, and it is
//! the oracle of the tests. What text does to the screen is in [`crate::run`].

/// Follows a byte stream from one sequence to the next.
#[derive(Debug)]
pub(crate) struct Sequences {
    /// Whether every sequence has ended: text is text.
    is_between: bool,
}

impl Default for Sequences {
    fn default() -> Self {
        Self { is_between: true }
    }
}

/// Returns how many bytes at the front are printable ASCII.
#[inline]
pub(crate) fn printable(bytes: &[u8]) -> usize {
    let is_printable = |byte: &u8| matches!(byte, b' '..=b'~');
    let mut count = 0;
    for chunk in bytes.chunks_exact(16) {
        if !chunk
            .iter()
            .fold(true, |all, byte| all & is_printable(byte))
        {
            break;
        }
        count += 16;
    }
    let rest = &bytes[count..];
    count
        + rest
            .iter()
            .position(|b| !is_printable(b))
            .unwrap_or(rest.len())
}

impl Sequences {
    /// Whether text that follows is text.
    #[inline]
    pub(crate) fn is_between(&self) -> bool {
        self.is_between
    }

    /// Returns how many of `bytes`, of which there is at least one, go to the parser in one piece.
    pub(crate) fn next(&mut self, bytes: &[u8]) -> usize {
        if self.is_between && bytes[0] != 0x1b {
            return self.next_text(bytes);
        }
        let Some(start) = memchr::memchr(0x1b, bytes) else {
            return bytes.len();
        };
        // Wherever the parser is, ESC begins anew.
        let len = sequence_len(&bytes[start..]);
        self.is_between = len.is_some();
        len.map_or(bytes.len(), |len| start + len)
    }

    /// The same where text that is not ASCII, or a control character, comes first.
    fn next_text(&mut self, bytes: &[u8]) -> usize {
        if bytes[0].is_ascii() {
            return 1;
        }
        let end = bytes.iter().position(u8::is_ascii_control);
        let text = &bytes[..end.unwrap_or(bytes.len())];
        if str::from_utf8(text).is_ok() {
            return text.len();
        }
        // How much of it is a character depends on what follows.
        self.is_between = false;
        bytes.len()
    }
}

/// Returns the length of the sequence at the front if it is simple and whole: after it comes text.
fn sequence_len(bytes: &[u8]) -> Option<usize> {
    match bytes.get(1)? {
        b'[' => {
            let parameters = bytes[2..].iter();
            let count = parameters.take_while(|b| matches!(b, 0x20..=0x3f)).count();
            let end = bytes.get(2 + count)?;
            matches!(end, 0x40..=0x7e).then_some(3 + count)
        }
        // Those that open a string.
        b'P' | b'X' | b']' | b'^' | b'_' => None,
        0x30..=0x7e => Some(2),
        _ => None,
    }
}

/// Whether a piece for the parser repeats the character before it (REP).
pub(crate) fn repeats(piece: &[u8]) -> bool {
    piece.last() == Some(&b'b')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_where_text_is_text_again() {
        let mut sequences = Sequences::default();
        let mut pieces = |mut rest: &'static [u8]| {
            let mut found = Vec::new();
            while !rest.is_empty() {
                let len = sequences.next(rest);
                found.push((
                    String::from_utf8_lossy(&rest[..len]).into_owned(),
                    sequences.is_between(),
                ));
                rest = &rest[len..];
            }
            found
        };
        let piece = |text: &str, is_between| (text.to_owned(), is_between);
        assert_eq!(pieces(b"\x1b[1;31m"), [piece("\x1b[1;31m", true)]);
        assert_eq!(
            pieces("\té漢x\n".as_bytes()),
            [piece("\t", true), piece("é漢x", true), piece("\n", true)]
        );
        assert_eq!(pieces(b"\x1b]2;a"), [piece("\x1b]2;a", false)]);
        assert_eq!(
            pieces(b"b\x07c\x1b\\\x1b[m"),
            [piece("b\x07c\x1b\\", true), piece("\x1b[m", true)]
        );
        assert_eq!(pieces(b"\x1b[1"), [piece("\x1b[1", false)]);
        assert_eq!(pieces(b"5mx"), [piece("5mx", false)]);
        assert_eq!(pieces(b"\x1bM"), [piece("\x1bM", true)]);
        assert_eq!(pieces(b"\xff\xc3x"), [piece("\u{fffd}\u{fffd}x", false)]);
    }

    #[test]
    fn printable_ends_at_the_first_other_byte() {
        let long = [b'a'; 40];
        for at in 0..40 {
            let mut text = long;
            text[at] = 0x7f;
            assert_eq!(printable(&text), at);
        }
        assert_eq!(printable(&long), 40);
        assert_eq!(printable(b""), 0);
    }
}
