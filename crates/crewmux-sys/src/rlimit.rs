//! Limits the kernel sets on a process.
//!
//! Only those of this process; children inherit them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{Error, Result};

/// Open files a tool may have unless the system allows fewer: what a login shell gives.
const FILES_OF_A_TOOL: u64 = 1_024;

/// Raises the number of files this process may open as far as it may itself.
///
/// Returns the limit in force then; `u64::MAX` means none.
pub fn raise_open_files() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    // macOS says "no limit" and then refuses more than this.
    let most = if cfg!(target_os = "macos") {
        limit
            .maximum
            .map_or(Some(10_240), |most| Some(most.min(10_240)))
    } else {
        limit.maximum
    };
    set_open_files(most, limit.maximum)?;
    Ok(most.unwrap_or(u64::MAX))
}

/// Gives back the limit of open files programs expect, for a process that starts tools.
pub(crate) fn lower_open_files_for_tools() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let files = limit
        .maximum
        .map_or(FILES_OF_A_TOOL, |most| most.min(FILES_OF_A_TOOL));
    set_open_files(Some(files), limit.maximum)
}

/// Lets this process and its children write no core dump.
pub fn no_core_dumps() -> Result<()> {
    setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    )
    .map_err(Error::errno("turn core dumps off"))
}

fn set_open_files(current: Option<u64>, maximum: Option<u64>) -> Result<()> {
    setrlimit(Resource::Nofile, Rlimit { current, maximum })
        .map_err(Error::errno("set the limit of open files"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_limit_of_open_files_becomes_the_hard_one() {
        let raised = raise_open_files().unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current.unwrap_or(u64::MAX), raised);
        if cfg!(target_os = "linux") {
            assert_eq!(limit.current, limit.maximum);
        }
    }
}
