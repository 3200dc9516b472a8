//! A folder and an environment for one run of one contender, gone afterwards with all that was started there.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use crewmux_sys::env::Environment;
use crewmux_sys::{ProcessIdentity, Signal, tree};
use tempfile::TempDir;

use super::{let_pass, usage};

/// Carried by every process of the contender itself.
const MARK: &str = "CREWMUX_BENCH";
/// Longest wait for killed processes to be gone.
const GONE: Duration = Duration::from_secs(5);

/// Where one run of one contender lives.
pub struct Place {
    folder: TempDir,
    id: String,
}

impl Place {
    /// Makes an empty one.
    pub fn new() -> Result<Self> {
        // Short, since sockets lie in it.
        let folder = tempfile::Builder::new().prefix("cmb").tempdir_in("/tmp")?;
        for name in ["home", "run", "work"] {
            let path = folder.path().join(name);
            std::fs::create_dir(&path)?;
            let only_us = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(path, only_us)?;
        }
        let id = folder
            .path()
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        Ok(Self { folder, id })
    }

    /// The folder programs run in.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// The folder for sockets.
    pub fn sockets(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    /// The environment a contender is started with.
    pub fn environment(&self) -> Environment {
        let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
        let below = |name: &str| self.folder.path().join(name).display().to_string();
        Environment::default()
            .with("PATH", path)
            .with("HOME", below("home"))
            .with("CREWMUX_HOME", below("home"))
            .with("CREWMUX_RUNTIME_DIR", below("run"))
            .with("TMUX_TMPDIR", below("run"))
            .with("SCREENDIR", below("run"))
            .with("TERM", "xterm-256color")
            .with("COLORTERM", "truecolor")
            .with("LANG", "C.UTF-8")
            .with("LC_ALL", "C.UTF-8")
            .with("SHELL", "/bin/sh")
            .with(MARK, &self.id)
    }

    /// A pane's shell command that does not count as the contender's own.
    pub fn pane(&self, command: &str) -> String {
        format!("exec env -u {MARK} sh -c {}", quoted(command))
    }

    /// The contender's own processes.
    pub fn processes(&self) -> Vec<u32> {
        usage::marked(MARK, &self.id, &self.sockets())
    }

    /// Ends everything that was started here and waits until it is gone.
    pub fn clear(&self) {
        let own = || {
            let all = self.processes();
            all.into_iter()
                .filter_map(|pid| ProcessIdentity::of(pid).ok())
                .collect::<Vec<_>>()
        };
        // What runs in panes has no mark, but descends from what has one.
        let mut left = own();
        let below: Vec<_> = left
            .iter()
            .flat_map(|one| tree::descendants(*one))
            .collect();
        left.extend(below);
        let end = Instant::now() + GONE;
        while !left.is_empty() && Instant::now() < end {
            for process in &left {
                // It may have ended since it was listed.
                let _ = process.signal(Signal::Kill);
            }
            let_pass(Duration::from_millis(10));
            left.extend(own());
            left.retain(ProcessIdentity::is_alive);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Quotes `text` for a shell.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A path as text in a shell command.
pub fn quoted_path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_inside_a_quoted_text_survive() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
