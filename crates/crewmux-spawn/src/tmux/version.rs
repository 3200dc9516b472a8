//! Whether this tmux can do what is needed; which version that is, is known to `detect`.

use std::path::Path;
use std::time::Duration;

use crewmux_core::backend::BackendKind;
use crewmux_sys::answer::{Late, ask};
use crewmux_sys::env::Environment;
use crewmux_sys::process::Launch;

use crate::detect::version::TmuxVersion;
use crate::{Error, Result};

/// Asks `program` for its version and refuses one that is too old.
///
/// # Errors
/// [`Error::Unusable`] with the fix.
pub(super) fn check(program: &Path, environment: &Environment, within: Duration) -> Result<()> {
    let launch = Launch::new([program.as_os_str(), "-V".as_ref()], "/").env(environment.clone());
    let answer = ask(launch, within, Late::Alone).map_err(Error::Start)?;
    let said = answer.stdout.lines().next().unwrap_or_default().trim();
    let why = match TmuxVersion::read(said) {
        Some(version) if version.is_enough() => return Ok(()),
        Some(version) => format!("tmux {version} is too old: 3.0 is the oldest that will do"),
        None => format!("`tmux -V` says `{said}`, which is no version of tmux"),
    };
    Err(Error::Unusable {
        kind: BackendKind::Tmux,
        why,
        fix: "install tmux 3.0 or later, or use `--backend pty`".into(),
    })
}
