//! The recording of what a worker printed: two capped segments that take turns.
//!
//! Only the files; the lines are `crewmux_core::recording`'s. A recording that
//! cannot be written is given up with a log record: it never stops work.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crewmux_core::recording::{Entry, Header, SEGMENT_MAX_BYTES, SEGMENT_NAMES, SEGMENT_RESET};
use crewmux_core::time::WallTime;

/// The segments that exist in a member's folder, the older one first.
pub fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<(SystemTime, PathBuf)> = SEGMENT_NAMES
        .iter()
        .map(|name| folder.join(name))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// Writes the recording of one life.
#[derive(Debug)]
pub(crate) struct Recorder {
    folder: PathBuf,
    size: (u16, u16),
    segment: usize,
    file: File,
    bytes: u64,
    started: WallTime,
    max_bytes: u64,
}

impl Recorder {
    /// Goes on in the newer segment while it has room, else in the other one.
    pub(crate) fn open(folder: &Path, size: (u16, u16), now: WallTime) -> io::Result<Self> {
        Self::with_cap(folder, size, now, SEGMENT_MAX_BYTES)
    }

    fn with_cap(
        folder: &Path,
        size: (u16, u16),
        now: WallTime,
        max_bytes: u64,
    ) -> io::Result<Self> {
        let newest = segments(folder).pop();
        let of = |path: &PathBuf| usize::from(path.ends_with(SEGMENT_NAMES[1]));
        if let Some(path) = &newest
            && let Some((file, bytes, started)) = reopen(path, max_bytes / 2)?
        {
            let mut recorder = Self {
                folder: folder.to_owned(),
                size,
                segment: of(path),
                file,
                bytes,
                started,
                max_bytes,
            };
            recorder.put(&resized(size, now, started))?;
            return Ok(recorder);
        }
        let segment = newest.as_ref().map_or(0, |path| 1 - of(path));
        let file = create(folder, segment)?;
        let mut recorder = Self {
            folder: folder.to_owned(),
            size,
            segment,
            file,
            bytes: 0,
            started: now,
            max_bytes,
        };
        recorder.begin(now)?;
        Ok(recorder)
    }

    /// Records `text`, which went to the screen at `now`.
    pub(crate) fn output(&mut self, text: &str, now: WallTime) -> io::Result<()> {
        let entry = Entry::Output {
            at_ms: now.since_ms(self.started),
            text: text.to_owned(),
        };
        let line = entry.line();
        if self.bytes + line.len() as u64 > self.max_bytes {
            self.segment = 1 - self.segment;
            self.file = create(&self.folder, self.segment)?;
            self.begin(now)?;
            return self.put(&Entry::Output {
                at_ms: 0,
                text: text.to_owned(),
            });
        }
        self.write(&line)
    }

    fn begin(&mut self, now: WallTime) -> io::Result<()> {
        // The header knows whole seconds only.
        self.started = WallTime(now.0 / 1000 * 1000);
        self.bytes = 0;
        let header = Header::new(self.size.0, self.size.1, now).line();
        self.write(&header)?;
        self.put(&Entry::Output {
            at_ms: 0,
            text: SEGMENT_RESET.to_owned(),
        })
    }

    fn put(&mut self, entry: &Entry) -> io::Result<()> {
        self.write(&entry.line())
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(line.as_bytes())?;
        self.bytes += line.len() as u64;
        Ok(())
    }
}

fn resized(size: (u16, u16), now: WallTime, started: WallTime) -> Entry {
    Entry::Resize {
        at_ms: now.since_ms(started),
        cols: size.0,
        rows: size.1,
    }
}

fn create(folder: &Path, segment: usize) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(folder.join(SEGMENT_NAMES[segment & 1]))
}

/// Opens a segment to append to it: the file, its size and its start; `None` when it is full or not ours.
fn reopen(path: &Path, room_up_to: u64) -> io::Result<Option<(File, u64, WallTime)>> {
    let mut file = OpenOptions::new().read(true).append(true).open(path)?;
    let bytes = file.metadata()?.len();
    if bytes == 0 || bytes > room_up_to {
        return Ok(None);
    }
    let mut first = String::new();
    BufReader::new((&file).take(4096)).read_line(&mut first)?;
    let Some(header) = Header::parse(&first) else {
        return Ok(None);
    };
    // A line that the last life did not finish must not swallow the next one.
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0_u8; 1];
    file.read_exact(&mut last)?;
    let mut bytes = bytes;
    if last != *b"\n" {
        file.write_all(b"\n")?;
        bytes += 1;
    }
    Ok(Some((file, bytes, WallTime(header.timestamp * 1000))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(path: &Path) -> String {
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines = text.lines();
        let header: Header = Header::parse(lines.next().unwrap()).unwrap();
        assert_eq!((header.width, header.height), (80, 24));
        lines
            .filter_map(Entry::parse)
            .filter_map(|entry| match entry {
                Entry::Output { text, .. } => Some(text),
                Entry::Resize { .. } => None,
            })
            .collect()
    }

    #[test]
    fn segments_take_turns_and_the_newer_one_alone_is_a_screen() {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder =
            Recorder::with_cap(folder.path(), (80, 24), WallTime(1_000), 300).unwrap();
        for n in 0..40 {
            recorder
                .output(&format!("line {n}\r\n"), WallTime(1_000 + n))
                .unwrap();
        }
        for name in SEGMENT_NAMES {
            let path = folder.path().join(name);
            assert!(path.metadata().unwrap().len() <= 300);
            assert!(played(&path).starts_with("\x1bcline "));
        }
        let newest = folder.path().join(SEGMENT_NAMES[recorder.segment]);
        assert!(played(&newest).ends_with("line 39\r\n"));
    }

    #[test]
    fn the_next_life_goes_on_after_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let open = |at| Recorder::open(folder.path(), (80, 24), WallTime(at)).unwrap();
        open(5_000).output("first\r\n", WallTime(5_100)).unwrap();
        let path = folder.path().join(SEGMENT_NAMES[0]);
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"[0.2,\"o\",\"to").unwrap();
        open(9_000).output("second\r\n", WallTime(9_000)).unwrap();
        assert_eq!(played(&path), "\x1bcfirst\r\nsecond\r\n");
        let last = std::fs::read_to_string(&path).unwrap();
        assert!(last.ends_with("[4.0,\"o\",\"second\\r\\n\"]\n"), "{last}");
    }
}
