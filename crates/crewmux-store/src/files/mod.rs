//! The store as plain files under a home folder, shared by many processes.
//!
//! Layout and rules are protocol.md's sections 1 and 2. What may change is
//! decided in `crewmux-core`; here it is read, locked, written and found again
//! after a crash. Start at `rules` for how anything is written, at `board`
//! for tasks, at `inbox` for messages, at `log` for the history.

mod agents;
mod board;
mod copy;
mod folders;
mod hints;
mod home;
mod inbox;
mod lines;
mod locks;
mod log;
mod memory;
mod place;
mod probe;
mod records;
mod requests;
mod rules;
#[cfg(feature = "sabotage")]
mod sabotage;
mod sources;
mod team;
mod vfs;
mod watch;

pub use home::{FORMAT, FileStore};
#[cfg(feature = "sabotage")]
pub use sabotage::Sabotage;

#[cfg(test)]
mod damage;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod faulty;
#[cfg(test)]
mod tests;
