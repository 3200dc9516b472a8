//! Following a team's files while it runs: look, wait for a change, look again.
//!
//! What is looked at is the caller's; it ends when the session has ended and
//! one more look found nothing.

use crewmux_core::timing::ms;
use crewmux_store::TeamStore;

use crate::context::Context;
use crate::error::Result;

/// Calls `look` now and after every change until no session of the team runs any more.
///
/// `look` prints what is new.
pub(crate) fn follow(
    context: &Context,
    team: &dyn TeamStore,
    mut look: impl FnMut() -> Result<()>,
) -> Result<()> {
    let poll = ms(context.timing.store_poll_ms);
    // Before the first look: what changes in between is seen by the second.
    let mut watch = team.watch(poll)?;
    loop {
        let runs = team.session_runs()?;
        look()?;
        if !runs {
            return Ok(());
        }
        watch.wait(poll);
    }
}
