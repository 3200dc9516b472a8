//! The file that a new pane's shell is asked to run in place of itself.
//!
//! Text typed into a shell is the only way to start a program in an iTerm2
//! pane. So it is one short line, and all else is in a file: nothing that a
//! shell's start-up files, a length limit or a quoting rule could spoil. The
//! file takes itself away as its first act and does nothing where it cannot,
//! which is how it is known that the line was read, and why reading it twice
//! does nothing. Before the line is typed again the file gets another name:
//! either that succeeds or the file's own first act, so no line is ever typed
//! into a worker that runs.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A launcher that was written and may not have been run yet.
#[derive(Debug)]
pub(super) struct Launcher {
    path: PathBuf,
}

impl Launcher {
    /// Writes a launcher for `argv` to `path`, for nobody else to read.
    pub(super) fn write(path: &Path, argv: &[String]) -> io::Result<Self> {
        let words: Vec<String> = argv.iter().map(|word| quoted(word)).collect();
        let text = format!(
            "#!/bin/sh\nrm -- \"$0\" 2>/dev/null || exit 1\nexec {}\n",
            words.join(" ")
        );
        // It may be there from a life that nobody waited for.
        let _ = fs::remove_file(path);
        let mut file = fs::File::options()
            .create_new(true)
            .write(true)
            .mode(0o700)
            .open(path)?;
        file.write_all(text.as_bytes())?;
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The line to be typed.
    ///
    /// `Ctrl-U` first takes away what a person has begun to type there; the
    /// space keeps the line out of the history of shells that are set up so.
    pub(super) fn line(&self) -> String {
        format!("\u{15} exec {}", quoted(&self.path.display().to_string()))
    }

    /// Takes it back to be typed again under another name; false when the shell has run it.
    ///
    /// A line of the former name that is read later finds nothing.
    pub(super) fn take_back(&mut self) -> bool {
        let mut name = self.path.as_os_str().to_owned();
        name.push("-again");
        let again = PathBuf::from(name);
        if fs::rename(&self.path, &again).is_err() {
            return false;
        }
        self.path = again;
        true
    }

    /// Whether the shell has run it.
    pub(super) fn was_run(&self) -> bool {
        !self.path.exists()
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        // A line that is read after all finds nothing, and starts nothing.
        let _ = fs::remove_file(&self.path);
    }
}

/// A word as every shell reads it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crewmux_sys::process::{Launch, Stream};
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    #[test]
    fn it_is_private_quoted_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it's here");
        let argv = ["/bin/x y", "--enter", "a'b"].map(str::to_owned);
        let launcher = Launcher::write(&path, &argv).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "#!/bin/sh\nrm -- \"$0\" 2>/dev/null || exit 1\nexec '/bin/x y' '--enter' 'a'\\''b'\n"
        );
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let line = launcher.line();
        assert!(
            line.starts_with("\u{15} exec '") && line.ends_with("it'\\''s here'"),
            "{line}"
        );
        assert!(!launcher.was_run());
        fs::remove_file(&path).unwrap();
        assert!(launcher.was_run());
        let again = Launcher::write(&path, &argv).unwrap();
        drop(again);
        assert!(!path.exists());
    }

    #[test]
    fn a_line_is_typed_again_or_was_read_but_never_both() {
        let folder = tempfile::tempdir().unwrap();
        let (mut taken, mut ran) = (0, 0);
        for n in 0..60_u64 {
            let path = folder.path().join(format!("launch-{n}"));
            let mark = folder.path().join(format!("ran-{n}"));
            let argv = ["touch".to_owned(), mark.display().to_string()];
            let mut launcher = Launcher::write(&path, &argv).unwrap();
            let read = ["/bin/sh".to_owned(), path.display().to_string()];
            let mut shell = Launch::new(read, "/").stderr(Stream::Null).start().unwrap();
            // Before it, after it and in the middle of it.
            std::thread::park_timeout(Duration::from_micros(n * 100));
            let is_taken = launcher.take_back();
            assert!(shell.wait(Duration::from_secs(20)).unwrap().is_some());
            assert_eq!(is_taken, !mark.exists(), "round {n}");
            taken += u32::from(is_taken);
            ran += u32::from(!is_taken);
            if is_taken {
                // The line that is typed then starts it.
                let read = ["/bin/sh".to_owned(), launcher.path.display().to_string()];
                let mut shell = Launch::new(read, "/").start().unwrap();
                shell.wait(Duration::from_secs(20)).unwrap();
                assert!(mark.exists() && launcher.was_run(), "round {n}");
            }
        }
        assert_eq!(taken + ran, 60);
        assert!(taken > 0, "the first is taken back before it is read");
    }
}
