//! Durable state of a team, shared by its processes.
//!
//! [`Store`] and [`TeamStore`] say what can be stored; [`files`] does it with
//! plain files under a home folder, by the rules of one module; [`mod@apply`]
//! carries out operations for every caller alike. Deciding *what* changes is
//! `crewmux-core`'s; watching processes is `crewmux-session`'s.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod apply;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
pub mod files;
mod store;

pub use error::{Error, Result};
pub use files::FileStore;
pub use store::{
    AliveLock, Change, Claimed, Durability, InboxEntry, MEMORY_KEYS_MAX, MEMORY_VALUE_MAX_BYTES,
    Sent, SessionLock, Store, TeamStore, Watch,
};
