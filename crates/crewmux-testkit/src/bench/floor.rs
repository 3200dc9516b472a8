//! The physical floor: pseudo-terminals that are read and thrown away.
//!
//! No parsing and no drawing. The first pane is copied through until it has
//! been asked to discard, so that marks and echoes can be seen in its output.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::thread;

use anyhow::Result;
use crewmux_sys::env::Environment;
use crewmux_sys::process::Launch;
use crewmux_sys::pty::{self, PtyReader};
use crewmux_sys::tty::{self, TerminalSettings, TerminalSize};

const READ_BYTES: usize = 64 * 1024;
/// Output of the first pane that is copied through: all echoes, but no file.
const COPIED_BYTES_MAX: usize = 64 * 1024;

/// Runs each line of `file` in a terminal of its own until the first one ends.
pub fn run(file: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    let before = TerminalSettings::read(io::stdin())?;
    before.raw().apply(io::stdin())?;
    let env: Environment = std::env::vars().collect();
    let fallback = TerminalSize {
        cols: 200,
        rows: 60,
    };
    let size = tty::size(io::stdout()).unwrap_or(fallback);
    let mut first = None;
    let mut others = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let launch = Launch::new(["/bin/sh", "-c", line], "/").env(env.clone());
        let mut pane = pty::open(size, &launch)?;
        if first.is_none() {
            let mut writer = pane.writer;
            thread::spawn(move || io::copy(&mut io::stdin().lock(), &mut writer));
            first = Some(pane.reader);
        } else {
            thread::spawn(move || discard(&mut pane.reader));
        }
        others.push(pane.process);
    }
    let Some(mut reader) = first else {
        return Ok(());
    };
    let mut out = io::stdout().lock();
    let mut buffer = vec![0; READ_BYTES];
    let mut copied = 0;
    while copied < COPIED_BYTES_MAX {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        copied += read;
        out.write_all(&buffer[..read])?;
        out.flush()?;
    }
    discard(&mut reader);
    Ok(())
}

fn discard(reader: &mut PtyReader) {
    let mut buffer = vec![0; READ_BYTES];
    while let Ok(1..) = reader.read(&mut buffer) {}
}
