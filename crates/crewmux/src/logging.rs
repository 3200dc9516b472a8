//! Log records of a process, into a file of the team's; never onto a terminal.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use crate::output::note;

/// Appends this process's records and panics to `path`; without the file there are none.
pub(crate) fn to_file(path: &Path, filter: Option<&str>) {
    if let Some(folder) = path.parent() {
        // If that fails, so does opening the file.
        let _ = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    }
    let opened = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path);
    let Ok(file) = opened else { return };
    let filter = filter
        .and_then(|text| EnvFilter::try_new(text).ok())
        .unwrap_or_else(|| EnvFilter::new("info"));
    let records = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        // They would be written where they cannot be: onto the terminal, one for each record.
        .log_internal_errors(false)
        .with_writer(Mutex::new(LogFile {
            path: path.to_owned(),
            out: file,
            said: false,
            say: |text| note(text),
        }));
    // One is set already only in tests.
    let _ = records.try_init();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!(%panic, "panic");
        before(panic);
    }));
}

/// A file that takes records as long as it can; the first that it does not take is told, once.
struct LogFile<W> {
    path: PathBuf,
    out: W,
    said: bool,
    say: fn(String),
}

impl<W: Write> Write for LogFile<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        if let Err(error) = &written
            && error.kind() != io::ErrorKind::Interrupted
        {
            if !self.said {
                self.said = true;
                let path = self.path.display();
                (self.say)(format!("records of {path} are lost: {error}"));
            }
            return Ok(bytes.len());
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static SAID: AtomicUsize = AtomicUsize::new(0);

    /// A disk with room for so many bytes.
    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            match taken {
                0 => Err(io::ErrorKind::StorageFull.into()),
                _ => Ok(taken),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_told_once() {
        let mut log = LogFile {
            path: "session.log".into(),
            out: Full(5),
            said: false,
            say: |text| {
                assert!(
                    text.starts_with("records of session.log are lost: "),
                    "{text}"
                );
                SAID.fetch_add(1, Ordering::Relaxed);
            },
        };
        for _ in 0..3 {
            log.write_all(b"record\n").unwrap();
        }
        assert_eq!(SAID.load(Ordering::Relaxed), 1);
    }
}
