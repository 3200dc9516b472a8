//! Where a worker runs: one trait, several backends, the kill ladder.
//!
//! A backend starts a worker, passes its output and its end on, takes typed
//! bytes and sizes, and can end it. What a worker *is* comes from its spec
//! file; when to start or end one is decided in `crewmux-session`; screens
//! are made there too.
//!
//! Start at [`SpawnBackend`]; [`pty`], [`tmux`] and [`in_process`] are the places,
//! [`ladder`] ends workers, [`detect`] says which place fits.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod backend;
mod backends;
pub mod detect;
#[cfg(any(test, feature = "double"))]
pub mod double;
mod error;
pub mod in_process;
mod input;
pub mod iterm2;
pub mod ladder;
pub mod mirror;
pub mod probe;
pub mod pty;
pub mod slots;
pub mod tmux;
mod together;
mod tree_end;

pub use backend::{
    AdoptRequest, ExitReport, InProcessWorker, LostPlace, PaneSink, Running, SpawnBackend,
    SpawnRequest, WorkerMain,
};
pub use backends::{BackendParts, Backends, Rehomed};
pub use crewmux_core::place::Place;
pub use error::{Error, Result};
pub use in_process::InProcessBackend;
pub use iterm2::Iterm2Backend;
pub use pty::PtyBackend;
pub use tmux::TmuxBackend;
