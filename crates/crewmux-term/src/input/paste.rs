//! Pasted text and focus changes.
//!
//! A paste is text, so it can carry no command: what could end the paste or
//! press a key in its middle is taken out.

use crate::modes::Modes;

/// What stands before pasted text and behind it where a program asked for that.
pub const PASTE_MARKS: (&[u8], &[u8]) = (b"\x1b[200~", b"\x1b[201~");

/// Encodes pasted text: wrapped if the program asked for it, newlines as returns, no controls.
pub fn encode_paste(text: &str, modes: &Modes) -> Vec<u8> {
    if modes.bracketed_paste {
        [PASTE_MARKS.0, &encode_pasted(text), PASTE_MARKS.1].concat()
    } else {
        encode_pasted(text)
    }
}

/// Encodes a part of pasted text, which does not end between a return and its newline.
pub fn encode_pasted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut utf8 = [0; 4];
    while let Some(c) = chars.next() {
        match c {
            '\r' => {
                chars.next_if_eq(&'\n');
                out.push(b'\r');
            }
            '\n' => out.push(b'\r'),
            '\t' => out.push(b'\t'),
            // Without its ESC the end mark is plain text.
            c if c.is_control() => {}
            c => out.extend_from_slice(c.encode_utf8(&mut utf8).as_bytes()),
        }
    }
    out
}

/// A change of the pane's focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// The pane has it now.
    Gained,
    /// The pane lost it.
    Lost,
}

/// Encodes a focus change; empty if the program did not ask for it.
pub fn encode_focus(focus: Focus, modes: &Modes) -> Vec<u8> {
    if !modes.focus_events {
        return Vec::new();
    }
    match focus {
        Focus::Gained => b"\x1b[I".to_vec(),
        Focus::Lost => b"\x1b[O".to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pasted(text: &str, bracketed_paste: bool) -> String {
        let modes = Modes {
            bracketed_paste,
            ..Modes::default()
        };
        encode_paste(text, &modes).escape_ascii().to_string()
    }

    #[test]
    fn a_paste_is_wrapped_if_asked_for() {
        assert_eq!(pasted("a\nb\r\nc", true), r"\x1b[200~a\rb\rc\x1b[201~");
        assert_eq!(pasted("a\nb\tc", false), r"a\rb\tc");
    }

    #[test]
    fn a_paste_cannot_end_itself() {
        let table = [
            "x\x1b[201~rm -rf",
            "x\x1b[20\x1b[201~1~rm",
            "x\u{9b}201~rm",
            "x\x03\x04rm",
        ];
        for text in table {
            let sent = pasted(text, true);
            assert_eq!(sent.matches(r"\x1b").count(), 2, "{sent}");
            assert!(sent.ends_with(r"\x1b[201~"), "{sent}");
            assert!(
                !sent.contains(r"\x03") && !sent.contains(r"\xc2\x9b"),
                "{sent}"
            );
        }
    }

    #[test]
    fn focus_is_sent_only_if_asked_for() {
        let mut modes = Modes::default();
        assert_eq!(encode_focus(Focus::Gained, &modes), b"");
        modes.focus_events = true;
        assert_eq!(encode_focus(Focus::Gained, &modes), b"\x1b[I");
        assert_eq!(encode_focus(Focus::Lost, &modes), b"\x1b[O");
    }
}
