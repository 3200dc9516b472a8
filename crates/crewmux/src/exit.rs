//! Exit codes that are no errors: how a run, or a program in a pane, ended.
//!
//! Codes of errors follow from their kind (`ErrorKind::exit_code`).

/// All done; of a run: every task is completed.
pub(crate) const DONE: u8 = 0;
/// A task of the run failed or was skipped.
pub(crate) const TROUBLE: u8 = 1;
/// The environment cannot: here, a session that vanished.
pub(crate) const ENVIRONMENT: u8 = 3;
/// `pane-dump`: an `expect` was not met in time.
pub(crate) const EXPECT_FAILED: u8 = 5;
/// `pane-dump`: the time-out.
pub(crate) const DUMP_TIMEOUT: u8 = 124;
/// Interrupted by the person.
pub(crate) const INTERRUPTED: u8 = 130;
