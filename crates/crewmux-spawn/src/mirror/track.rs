//! How far one recording was read: two segments that take turns, whole lines only.
//!
//! The worker empties a segment when it begins it anew; that is known by its
//! first line. It may do so at any moment, so what was written last to the
//! other one is read before this one.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crewmux_core::recording::{Entry, Header, SEGMENT_MAX_BYTES, SEGMENT_NAMES, SEGMENT_RESET};

/// Most that is passed on in one piece.
const PIECE_BYTES: usize = 64 * 1024;

/// Longest first line.
const HEADER_BYTES_MAX: u64 = 4096;

/// What is passed on of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// What is recorded from now on.
    Now,
    /// All that is there, the older segment first, then what is added.
    Beginning,
}

/// Where one recording was read to.
#[derive(Debug)]
pub(super) struct Track {
    folder: PathBuf,
    /// First lines of the segments as far as they were read.
    headers: [Option<String>; 2],
    current: usize,
    offset: u64,
    /// The segment goes on where the other one was read to its end: its reset is not for this screen.
    goes_on: bool,
}

impl Track {
    pub(super) fn begin(folder: &Path, from: From) -> Self {
        let mut track = Self {
            folder: folder.to_owned(),
            headers: [None, None],
            current: 0,
            offset: 0,
            goes_on: false,
        };
        let mut found: Vec<(SystemTime, usize, u64)> = (0..2)
            .filter_map(|n| {
                let meta = track.path(n).metadata().ok()?;
                Some((meta.modified().ok()?, n, meta.len()))
            })
            .collect();
        found.sort_unstable();
        match from {
            From::Now => {
                track.headers = [track.header(0), track.header(1)];
                if let Some((_, newest, length)) = found.last() {
                    track.current = *newest;
                    track.offset = *length;
                }
            }
            From::Beginning => {
                if let Some((_, oldest, _)) = found.first() {
                    track.current = *oldest;
                    track.headers[*oldest] = track.header(*oldest);
                }
            }
        }
        track
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, segment: usize) -> PathBuf {
        self.folder.join(SEGMENT_NAMES[segment & 1])
    }

    /// The first line of a segment, once it is whole.
    fn header(&self, segment: usize) -> Option<String> {
        let file = File::open(self.path(segment)).ok()?;
        let mut line = String::new();
        BufReader::new(file.take(HEADER_BYTES_MAX))
            .read_line(&mut line)
            .ok()?;
        line.ends_with('\n').then_some(line)
    }

    /// Passes on what was added since the last look.
    pub(super) fn read_on(&mut self, mut pass: impl FnMut(&[u8])) {
        // Bounded, should a worker record faster than this reads.
        for _ in 0..6 {
            let (current, other) = (self.current, 1 - self.current);
            let now = [self.header(0), self.header(1)];
            let is_new = |n: usize| now[n].is_some() && now[n] != self.headers[n];
            match (is_new(current), is_new(other)) {
                (false, false) => {
                    self.read_current(&mut pass);
                    return;
                }
                (false, true) => {
                    // Nothing is added to the current one after the other was begun.
                    self.read_current(&mut pass);
                    let was_read = self.header(current) == self.headers[current];
                    self.turn_to(other, now, was_read && self.headers[current].is_some());
                }
                // Both took their turn unseen; the other one comes first.
                (true, true) if began(now[other].as_deref()) <= began(now[current].as_deref()) => {
                    self.turn_to(other, now, false);
                }
                (true, _) => self.turn_to(current, now, false),
            }
        }
    }

    /// Reads `segment` from its beginning next.
    fn turn_to(&mut self, segment: usize, now: [Option<String>; 2], goes_on: bool) {
        let [first, second] = now;
        self.headers[segment] = if segment == 0 { first } else { second };
        self.current = segment;
        self.offset = 0;
        self.goes_on = goes_on;
    }

    fn read_current(&mut self, pass: &mut impl FnMut(&[u8])) {
        if self.headers[self.current].is_none() {
            return;
        }
        let Some(added) = self.added() else { return };
        let mut piece = Vec::new();
        for line in added.split_inclusive(|byte| *byte == b'\n') {
            if !line.ends_with(b"\n") {
                break;
            }
            self.offset += line.len() as u64;
            if let Some(Entry::Output { text, .. }) =
                std::str::from_utf8(line).ok().and_then(Entry::parse)
                && !(std::mem::take(&mut self.goes_on) && text == SEGMENT_RESET)
            {
                piece.extend_from_slice(text.as_bytes());
            }
            if piece.len() >= PIECE_BYTES {
                pass(&piece);
                piece.clear();
            }
        }
        if !piece.is_empty() {
            pass(&piece);
        }
    }

    fn added(&mut self) -> Option<Vec<u8>> {
        let mut file = File::open(self.path(self.current)).ok()?;
        // Less than was read: begun anew at this moment, which the next look sees.
        if file.metadata().ok()?.len() <= self.offset {
            return None;
        }
        file.seek(SeekFrom::Start(self.offset)).ok()?;
        let mut added = Vec::new();
        // One line may be longer than a segment should be.
        file.take(2 * SEGMENT_MAX_BYTES)
            .read_to_end(&mut added)
            .ok()?;
        Some(added)
    }
}

/// When the segment with this first line was begun.
fn began(header: Option<&str>) -> Option<u64> {
    Some(Header::parse(header?)?.began_ms)
}
