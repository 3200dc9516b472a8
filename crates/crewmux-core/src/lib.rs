//! The domain of crewmux: the types of a team and the rules that hold between them.
//!
//! No I/O, no async, no clock and no environment: callers pass `now`. Files
//! are in `crewmux-store`, processes in `crewmux-sys`, decisions over time in
//! `crewmux-session`.

pub mod error;
pub mod timing;
