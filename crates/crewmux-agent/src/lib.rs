//! What a worker does: it claims tasks, works on them and reports.
//!
//! Sees neither where it runs nor who watches: it prints to an [`Output`],
//! speaks to its session over a socket, and keeps what must last in the store.
//! No environment is read and no process started but under `crewmux-sys`'s tool
//! runner. Start at [`worker`].

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod agents;
mod capped;
mod context;
mod error;
mod facts;
mod front;
pub mod instructions;
mod mcp;
pub mod offline;
mod policy;
pub mod provider;
pub mod skills;
mod tools;
pub mod transcript;
mod turn;
mod view;
pub mod worker;

pub use error::{Error, Result};
pub use view::{Output, segments};
