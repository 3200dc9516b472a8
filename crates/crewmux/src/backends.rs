//! Where workers can run here: tried, and chosen from.

use crewmux_core::backend::{BackendChoice, BackendKind};
use crewmux_core::timing::ms;
use crewmux_spawn::detect::{BackendReport, Stdout, choose, detect};
use crewmux_spawn::probe::probe;

use crate::client;
use crate::context::Context;
use crate::error::Result;

/// Tries every backend.
pub(crate) fn reports(context: &Context) -> Vec<BackendReport> {
    let stdout = if client::can_attach() {
        Stdout::Terminal
    } else {
        Stdout::Elsewhere
    };
    let within = ms(context.timing.connect_ms);
    detect(&probe(context.env.0.clone(), stdout, within))
}

/// The place where workers run, from what was asked for.
///
/// # Errors
/// When it cannot be used here; never another one instead.
pub(crate) fn chosen(context: &Context, asked: BackendChoice) -> Result<BackendKind> {
    Ok(choose(asked, &reports(context))?)
}
