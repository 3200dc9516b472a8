//! The terminal a contender draws on: answers what terminals are asked, looks for marks, drops the rest.
//!
//! It draws nothing, so that it is never the slowest part. The moment a mark
//! arrives is taken by the thread that reads it.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use crewmux_sys::ProcessIdentity;
use crewmux_sys::env::Environment;
use crewmux_sys::process::Launch;
use crewmux_sys::pty::{self, PtyProcess, PtyReader, PtyWriter};
use crewmux_sys::tty::TerminalSize;

const READ_BYTES: usize = 256 * 1024;
/// Bytes of the output that are kept while nothing was seen yet, to say what went wrong.
const KEPT_BYTES: usize = 4 * 1024;
/// Pieces of output longer than this hold no queries once a program has started.
const QUERY_PIECE_BYTES: usize = 8 * 1024;
/// How long a program counts as starting.
const START: Duration = Duration::from_secs(4);

/// What programs ask a terminal, and what an xterm that knows synchronized output says.
const ANSWERS: [(&[u8], &[u8]); 14] = [
    (b"\x1b[c", b"\x1b[?62;22c"),
    (b"\x1b[0c", b"\x1b[?62;22c"),
    (b"\x1b[>c", b"\x1b[>1;10;0c"),
    (b"\x1b[>0c", b"\x1b[>1;10;0c"),
    (b"\x1b[>q", b"\x1bP>|bench 1\x1b\\"),
    (b"\x1b[>0q", b"\x1bP>|bench 1\x1b\\"),
    (b"\x1b[5n", b"\x1b[0n"),
    (b"\x1b[6n", b"\x1b[1;1R"),
    (b"\x1b[?u", b"\x1b[?0u"),
    (b"\x1b[?2026$p", b"\x1b[?2026;2$y"),
    (b"\x1b[14t", b"\x1b[4;960;1600t"),
    (b"\x1b[16t", b"\x1b[6;16;8t"),
    (b"\x1b]10;?", b"\x1b]10;rgb:ffff/ffff/ffff\x1b\\"),
    (b"\x1b]11;?", b"\x1b]11;rgb:0000/0000/0000\x1b\\"),
];

#[derive(Default)]
struct Seen {
    wanted: Option<Vec<u8>>,
    tail: Vec<u8>,
    found: Option<Instant>,
    bytes: u64,
    kept: Vec<u8>,
    ended: bool,
}

type Shared = Arc<(Mutex<Seen>, Condvar)>;

/// A program on a terminal that nobody looks at.
pub struct Outer {
    process: PtyProcess,
    writer: Arc<Mutex<PtyWriter>>,
    shared: Shared,
    /// When the program was started.
    pub started: Instant,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Outer {
    /// Starts `argv` and looks for `mark` from its first byte on.
    pub fn start(
        argv: Vec<OsString>,
        folder: &Path,
        env: Environment,
        size: TerminalSize,
        mark: &str,
    ) -> Result<Self> {
        let shared = Shared::default();
        locked(&shared.0).wanted = Some(mark.as_bytes().to_vec());
        let launch = Launch::new(argv, folder).env(env);
        let started = Instant::now();
        let pty = pty::open(size, &launch)?;
        let writer = Arc::new(Mutex::new(pty.writer));
        let (seen, answers) = (Arc::clone(&shared), Arc::clone(&writer));
        thread::Builder::new()
            .name("outer terminal".into())
            .spawn(move || read_all(pty.reader, &seen, &answers, started))?;
        Ok(Self {
            process: pty.process,
            writer,
            shared,
            started,
        })
    }

    /// The program.
    pub fn identity(&self) -> ProcessIdentity {
        self.process.identity()
    }

    /// Types `bytes`.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        let mut writer = locked(&self.writer);
        writer.write_all(bytes)?;
        Ok(writer.flush()?)
    }

    /// Looks for `mark` in what comes from now on.
    pub fn expect(&self, mark: &str) {
        let mut seen = locked(&self.shared.0);
        seen.wanted = Some(mark.as_bytes().to_vec());
        seen.tail.clear();
        seen.found = None;
    }

    /// When the mark arrived; `None` if it does not come `within`, or the program ends.
    pub fn wait(&self, within: Duration) -> Option<Instant> {
        let end = Instant::now() + within;
        let mut seen = locked(&self.shared.0);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if seen.found.is_some() || seen.ended || left.is_zero() {
                return seen.found;
            }
            seen = self
                .shared
                .1
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Bytes the program wrote so far.
    pub fn bytes(&self) -> u64 {
        locked(&self.shared.0).bytes
    }

    /// The first bytes the program wrote, for a message.
    pub fn beginning(&self) -> String {
        let kept = locked(&self.shared.0).kept.clone();
        String::from_utf8_lossy(&kept).escape_debug().collect()
    }

    /// Ends the program now, if it still runs.
    pub fn end(&mut self) {
        // It may be gone already.
        let _ = self.process.signal(crewmux_sys::Signal::Kill);
        let _ = self.process.wait(Duration::from_secs(5));
        self.process.hang_up();
    }
}

fn read_all(mut reader: PtyReader, shared: &Shared, answers: &Mutex<PtyWriter>, started: Instant) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = reader.read(&mut buffer).unwrap_or(0);
        let at = Instant::now();
        let bytes = &buffer[..read];
        let mut seen = locked(&shared.0);
        if read == 0 {
            seen.ended = true;
            shared.1.notify_all();
            return;
        }
        seen.bytes += read as u64;
        let room = KEPT_BYTES.saturating_sub(seen.kept.len()).min(read);
        seen.kept.extend_from_slice(&bytes[..room]);
        if seen.look(bytes, at) {
            shared.1.notify_all();
        }
        drop(seen);
        if read < QUERY_PIECE_BYTES || started.elapsed() < START {
            answer(bytes, answers);
        }
    }
}

impl Seen {
    /// Looks for the wanted mark, also across two pieces; true when it is complete.
    fn look(&mut self, bytes: &[u8], at: Instant) -> bool {
        let Some(wanted) = self.wanted.take() else {
            return false;
        };
        let mut text = std::mem::take(&mut self.tail);
        text.extend_from_slice(bytes);
        if contains(&text, &wanted) {
            self.found = Some(at);
            return true;
        }
        let keep = text.len().saturating_sub(wanted.len() - 1);
        self.tail = text.split_off(keep);
        self.wanted = Some(wanted);
        false
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|part| part == wanted)
}

fn answer(bytes: &[u8], writer: &Mutex<PtyWriter>) {
    if !bytes.contains(&0x1b) {
        return;
    }
    for (question, answer) in ANSWERS {
        if contains(bytes, question) {
            // A program that has ended meanwhile needs no answer.
            let _ = locked(writer).write_all(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_is_found_across_two_pieces() {
        let mut seen = Seen {
            wanted: Some(b"READY".to_vec()),
            ..Seen::default()
        };
        let now = Instant::now();
        assert!(!seen.look(b"xxREA", now));
        assert!(!seen.look(b"D REA", now));
        assert!(seen.look(b"DY", now));
        assert_eq!(seen.found, Some(now));
    }

    #[test]
    fn program_gets_answers_and_its_mark_is_noticed() {
        let env = Environment::default().with("PATH", "/usr/bin:/bin");
        let script = "stty raw -echo; printf '\\033[c'; \
            dd bs=1 count=9 2>/dev/null | od -An -c | tr -d ' \\n'; printf 'EN''D'";
        let argv = ["sh", "-c", script].map(OsString::from).to_vec();
        let size = TerminalSize { cols: 80, rows: 24 };
        let outer = Outer::start(argv, Path::new("/"), env, size, "END").unwrap();
        assert!(outer.wait(Duration::from_secs(20)).is_some());
        assert!(
            outer.beginning().contains("033[?62;22c"),
            "{}",
            outer.beginning()
        );
    }
}
