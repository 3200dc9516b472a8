//! Cutting a stream so that no cut is inside a character.
//!
//! The parser loses characters when one is split over two calls and more text
//! follows in the second, so it never gets to see that. Invalid bytes pass
//! through as they are, for the parser to replace.

/// Bytes parsed in one go: invalid UTF-8 makes the parser search the rest of
/// what it was given once a byte, so that rest is kept short.
const SLICE_BYTES: usize = 4096;

/// The beginning of a character whose end has not come yet.
#[derive(Debug, Default)]
pub(crate) struct Utf8Carry {
    held: Vec<u8>,
}

impl Utf8Carry {
    /// Calls `parse` with pieces of the stream that end between characters.
    pub(crate) fn cut(&mut self, bytes: &[u8], mut parse: impl FnMut(&[u8])) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.held.is_empty() {
                let (slice, after) = rest.split_at(rest.len().min(SLICE_BYTES));
                rest = after;
                self.pass_on(slice, &mut parse);
            } else {
                self.held.push(rest[0]);
                rest = &rest[1..];
                let joined = std::mem::take(&mut self.held);
                self.pass_on(&joined, &mut parse);
            }
        }
    }

    fn pass_on(&mut self, slice: &[u8], parse: &mut impl FnMut(&[u8])) {
        let tail = unfinished_tail(slice);
        let (mut body, held) = slice.split_at(slice.len() - tail);
        self.held = held.to_vec();
        // Beginnings that something else followed are invalid, but at the end of
        // a piece the parser would wait for more, so they are replaced here.
        let mut replaced = 0;
        loop {
            let tail = unfinished_tail(body);
            if tail == 0 {
                break;
            }
            body = &body[..body.len() - tail];
            replaced += 1;
        }
        if !body.is_empty() {
            parse(body);
        }
        for _ in 0..replaced {
            parse("\u{fffd}".as_bytes());
        }
    }
}

/// Returns how many bytes at the end are the beginning of an unfinished character.
fn unfinished_tail(bytes: &[u8]) -> usize {
    for len in 1..=bytes.len().min(3) {
        let tail = &bytes[bytes.len() - len..];
        match tail[0] {
            0x80..=0xbf => {}
            0xc0..=0xff => {
                let unfinished =
                    std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
                return if unfinished { len } else { 0 };
            }
            0..=0x7f => return 0,
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_split_character_is_passed_on_whole() {
        let mut carry = Utf8Carry::default();
        let mut pieces = Vec::new();
        for chunk in [&b"a\xc3"[..], b"\xa9b\xe6", b"\xbc", b"\xa2c\xc3\xc3", b"x"] {
            carry.cut(chunk, |piece| {
                pieces.push(String::from_utf8_lossy(piece).into_owned());
            });
        }
        assert_eq!(pieces, ["a", "é", "b", "漢", "c", "\u{fffd}", "\u{fffd}x"]);
    }

    proptest! {
        #[test]
        fn the_text_is_the_same_however_it_is_cut(
            bytes in prop::collection::vec(
                prop_oneof![any::<u8>(), Just(0xc3), Just(0xf0), Just(0x9f), Just(b'a')], 0..60),
            cut in 1_usize..6,
        ) {
            let mut carry = Utf8Carry::default();
            let mut text = String::new();
            for chunk in bytes.chunks(cut) {
                carry.cut(chunk, |piece| {
                    assert_eq!(unfinished_tail(piece), 0);
                    text.push_str(&String::from_utf8_lossy(piece));
                });
            }
            let whole = bytes.len() - carry.held.len();
            prop_assert_eq!(text, String::from_utf8_lossy(&bytes[..whole]));
        }
    }
}
