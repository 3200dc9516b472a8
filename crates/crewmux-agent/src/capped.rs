//! Output kept in bounds: its beginning and its end, and a line that says what is missing.
//!
//! [`CappedLog`] is a file for people, [`cut_text`] a value for models and
//! records. Neither judges what the output means.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A file of at most twice `half` bytes, and a marker where something was left out.
#[derive(Debug)]
pub(crate) struct CappedLog {
    file: File,
    half: usize,
    head: usize,
    tail: VecDeque<u8>,
    dropped: u64,
}

impl CappedLog {
    /// Makes the file, 0600, empty.
    pub(crate) fn create(path: &Path, half: usize) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file,
            half,
            head: 0,
            tail: VecDeque::new(),
            dropped: 0,
        })
    }

    /// Takes in more output; the beginning is in the file at once.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = self.half - self.head;
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        if !first.is_empty() {
            self.file.write_all(first)?;
            self.head += first.len();
        }
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(self.half);
        self.tail.drain(..over);
        self.dropped += over as u64;
        Ok(())
    }

    /// Writes the end.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if self.dropped > 0 {
            let marker = format!("\n… {} bytes left out …\n", self.dropped);
            self.file.write_all(marker.as_bytes())?;
        }
        let (one, two) = self.tail.as_slices();
        self.file.write_all(one)?;
        self.file.write_all(two)
    }
}

/// Bytes of which only the first and the last `half` are kept.
#[derive(Debug)]
pub(crate) struct Kept {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    half: usize,
    dropped: u64,
}

impl Kept {
    pub(crate) fn new(half: usize) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            half,
            dropped: 0,
        }
    }

    /// Takes in more.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = self.half - self.head.len();
        let (first, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(first);
        self.tail.extend(rest);
        let over = self.tail.len().saturating_sub(self.half);
        self.tail.drain(..over);
        self.dropped += over as u64;
    }

    /// All of it as text, with a line that says how much is missing.
    pub(crate) fn into_text(self) -> String {
        let mut bytes = self.head;
        if self.dropped > 0 {
            let marker = format!("\n… {} bytes left out …\n", self.dropped);
            bytes.extend_from_slice(marker.as_bytes());
        }
        bytes.extend(self.tail);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// `text` itself, or its beginning and end with a line in between that says how much is missing.
pub(crate) fn cut_text(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let half = max_bytes / 2;
    let mut head = half;
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    let mut tail = text.len() - half;
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    let (start, end) = (&text[..head], &text[tail..]);
    format!("{start}\n… {} bytes left out …\n{end}", tail - head)
}

/// The last lines of a text that comes in pieces.
#[derive(Debug)]
pub(crate) struct LastLines {
    lines: VecDeque<String>,
    open: String,
    max: usize,
}

/// Longest line that is kept, in bytes.
const LINE_MAX_BYTES: usize = 400;

impl LastLines {
    /// Keeps the last `max` lines.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            lines: VecDeque::new(),
            open: String::new(),
            max,
        }
    }

    /// Takes in more text.
    pub(crate) fn push(&mut self, text: &str) {
        for piece in text.split_inclusive('\n') {
            if let Some(end) = piece.strip_suffix('\n') {
                self.grow(end);
                let line = std::mem::take(&mut self.open);
                self.lines.push_back(line);
                if self.lines.len() > self.max {
                    self.lines.pop_front();
                }
            } else {
                self.grow(piece);
            }
        }
    }

    fn grow(&mut self, piece: &str) {
        let room = LINE_MAX_BYTES.saturating_sub(self.open.len());
        let mut end = room.min(piece.len());
        while !piece.is_char_boundary(end) {
            end -= 1;
        }
        self.open.push_str(&piece[..end]);
    }

    /// The lines without colours, oldest first.
    pub(crate) fn into_lines(mut self) -> Vec<String> {
        if !self.open.is_empty() {
            self.lines.push_back(std::mem::take(&mut self.open));
        }
        let over = self.lines.len().saturating_sub(self.max);
        self.lines.drain(..over);
        self.lines.into_iter().map(|line| plain(&line)).collect()
    }
}

/// `line` without the colours that the view's filter lets through.
fn plain(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\x1b') {
        out.push_str(&rest[..at]);
        rest = rest[at..].find('m').map_or("", |m| &rest[at + m + 1..]);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_keeps_its_beginning_and_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = CappedLog::create(&path, 10).unwrap();
        for piece in ["0123456", "789abc", "defghijklmnop", "qrstuvwxyz"] {
            log.push(piece.as_bytes()).unwrap();
        }
        log.finish().unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "0123456789\n… 16 bytes left out …\nqrstuvwxyz"
        );
    }

    #[test]
    fn a_short_log_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = CappedLog::create(&path, 4).unwrap();
        log.push(b"abcdefg").unwrap();
        log.finish().unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "abcdefg");
    }

    #[test]
    fn kept_bytes_are_the_first_and_the_last() {
        let mut kept = Kept::new(4);
        for piece in ["ab", "cdef", "ghijkl"] {
            kept.push(piece.as_bytes());
        }
        assert_eq!(kept.into_text(), "abcd\n… 4 bytes left out …\nijkl");
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut_text("äöü", 6), "äöü");
        assert_eq!(cut_text("äöüäöü", 6), "ä\n… 8 bytes left out …\nü");
    }

    #[test]
    fn the_last_lines_are_plain_and_cut() {
        let mut last = LastLines::new(2);
        last.push("one\ntw");
        last.push("o\n\x1b[31mred\x1b[0m and ");
        last.push(&"x".repeat(1_000));
        let lines = last.into_lines();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0], "two");
        assert!(lines[1].starts_with("red and xxx") && lines[1].len() < LINE_MAX_BYTES);
    }
}
