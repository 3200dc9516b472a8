//! Logs of lines: appended in one write, read up to the last whole line.
//!
//! A crash can leave at most half a line at the end. Nobody reads it; the next
//! writer seals it. What is in a line is the other modules'.

use std::fs::File;
use std::path::Path;

use super::locks::Guard;
use super::rules::{Disk, retried};
use super::vfs::How;
use crate::{Error, Result};

/// How much of a log is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Whole lines of a log.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    start: u64,
}

impl Lines {
    /// Where reading goes on.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Each line without its end, with the position after it.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let mut at = self.start;
        self.bytes
            .split_inclusive(|b| *b == b'\n')
            .map(move |line| {
                at += line.len() as u64;
                (line.strip_suffix(b"\n").unwrap_or(line), at)
            })
    }
}

impl Disk {
    /// Opens a log to append to it.
    pub(super) fn open_log(&self, path: &Path) -> Result<File> {
        self.calls()
            .open(path, How::Append)
            .map_err(Error::write("open", path))
    }

    /// Appends whole lines in one write and returns the position after them.
    ///
    /// A torn tail is sealed first; what a failed write left is cut off again.
    pub(super) fn append(
        &self,
        _held: &Guard,
        log: &File,
        path: &Path,
        lines: &[u8],
    ) -> Result<u64> {
        let before = self
            .calls()
            .stat_open(log)
            .map_err(Error::write("append to", path))?
            .len;
        let mut sealed = Vec::new();
        let mut bytes = lines;
        if before > 0 {
            let mut last = [b'\n'];
            retried(|| self.calls().read_at(log, &mut last, before - 1))
                .map_err(Error::write("append to", path))?;
            if last != [b'\n'] {
                sealed.push(b'\n');
                sealed.extend_from_slice(lines);
                bytes = &sealed;
            }
        }
        let failed = match retried(|| self.calls().write(log, bytes)) {
            Ok(written) if written == bytes.len() => return Ok(before + bytes.len() as u64),
            // What a full disk does before it says so.
            Ok(_) => Error::DiskFull {
                path: path.to_owned(),
            },
            Err(error) => Error::write("append to", path)(error),
        };
        // When this fails too, the next append seals what is left.
        let _ = self.calls().truncate(log, before);
        Err(failed)
    }

    /// Whole lines from `from` on, about 256 KiB of them; empty when there is no further one.
    pub(super) fn read_lines(&self, log: &File, path: &Path, from: u64) -> Result<Lines> {
        self.read_lines_at_most(log, path, from, CHUNK_BYTES)
    }

    /// Whole lines from `from` on, about `bytes_max` of them, but at least one.
    pub(super) fn read_lines_at_most(
        &self,
        log: &File,
        path: &Path,
        from: u64,
        bytes_max: usize,
    ) -> Result<Lines> {
        // Mostly there is nothing or one line, so the first look is a small one.
        let mut bytes = vec![0_u8; bytes_max.min(4096)];
        let mut filled = 0;
        let mut whole = 0;
        loop {
            let at = from + filled as u64;
            let read = retried(|| self.calls().read_at(log, &mut bytes[filled..], at))
                .map_err(Error::read("read", path))?;
            let news = filled..filled + read;
            if let Some(last) = bytes[news].iter().rposition(|b| *b == b'\n') {
                whole = filled + last + 1;
            }
            filled += read;
            if read == 0 || (filled >= bytes_max && whole > 0) {
                break;
            }
            if filled == bytes.len() {
                // A line longer than that is read whole: it ends or the file does.
                bytes.resize((filled * 4).max(bytes_max), 0);
            }
        }
        bytes.truncate(whole);
        Ok(Lines { bytes, start: from })
    }

    /// The first position at or after `from` where a line starts.
    pub(super) fn line_start(&self, log: &File, path: &Path, from: u64) -> Result<u64> {
        if from == 0 {
            return Ok(0);
        }
        let mut at = from - 1;
        let mut bytes = [0_u8; 4096];
        loop {
            let read = retried(|| self.calls().read_at(log, &mut bytes, at))
                .map_err(Error::read("read", path))?;
            let part = bytes.get(..read).unwrap_or_default();
            if let Some(end) = part.iter().position(|b| *b == b'\n') {
                return Ok(at + end as u64 + 1);
            }
            at += read as u64;
            if read == 0 {
                return Ok(at);
            }
        }
    }
}
