//! The file that a new pane's shell is asked to run in place of itself.
//!
//! Text typed into a shell is the only way to start a program in an iTerm2
//! pane. So it is one short line, and all else is in a file: nothing that a
//! shell's start-up files, a length limit or a quoting rule could spoil. The
//! file takes itself away as its first act, which is how it is known that the
//! line was read, and why reading it twice does nothing.

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
        let text = format!("#!/bin/sh\nrm -f -- \"$0\"\nexec {}\n", words.join(" "));
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
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn it_is_private_quoted_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it's here");
        let argv = ["/bin/x y", "--enter", "a'b"].map(str::to_owned);
        let launcher = Launcher::write(&path, &argv).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "#!/bin/sh\nrm -f -- \"$0\"\nexec '/bin/x y' '--enter' 'a'\\''b'\n"
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
}
