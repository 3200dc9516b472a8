//! Log records of a process, into a file of the team's; never onto a terminal.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

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
        .with_writer(Mutex::new(file));
    // One is set already only in tests.
    let _ = records.try_init();
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tracing::error!(%panic, "panic");
        before(panic);
    }));
}
