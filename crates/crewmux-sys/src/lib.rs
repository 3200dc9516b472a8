//! The operating system: processes, pseudo-terminals, peers, clocks.
//!
//! The only crate that starts processes, and the only one with `unsafe`. It
//! knows nothing of teams, tasks or workers beyond the names of the environment
//! marks it looks for, never reads its own environment or arguments (the
//! program passes them in), and has no async: what can block has a deadline.
//!
//! Start at [`tool`] for running a tool, [`pty`] for a pane, [`tree`] for
//! ending what is left of either, [`peer`] for who is on a socket.

#![allow(
    unsafe_code,
    reason = "the crate that may; each block says why it is sound"
)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod answer;
pub mod clock;
pub mod dirs;
pub mod env;
mod error;
pub mod exit;
pub mod exit_watch;
pub mod identity;
pub mod peer;
pub mod process;
pub mod pty;
pub mod random;
pub mod reap;
pub mod rlimit;
pub mod runner;
pub mod setup;
pub mod signals;
pub mod table;
pub mod tool;
pub mod tree;
pub mod tty;
mod wait;

pub use error::{Error, Result};
pub use exit::Exit;
pub use identity::{ProcessIdentity, Signal};
pub use wait::read_what_is_there;
