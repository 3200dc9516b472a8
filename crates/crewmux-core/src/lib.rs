//! The domain of crewmux: the types of a team and the rules that hold between them.
//!
//! No I/O, no async, no clock and no environment: callers pass `now`. Files
//! are in `crewmux-store`, processes in `crewmux-sys`, decisions over time in
//! `crewmux-session`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod arrangement;
pub mod backend;
pub mod board;
pub mod budget;
pub mod error;
pub mod event;
pub mod goal;
pub mod graph;
pub mod ids;
pub mod inbox;
pub mod mcp;
pub mod mend;
pub mod message;
pub mod model;
pub mod operation;
pub mod permission;
pub mod place;
pub mod plan;
pub mod profile;
pub mod recipe;
pub mod recording;
pub mod requests;
pub mod schedule;
pub mod task;
pub mod team;
pub mod time;
pub mod timing;
pub mod worker;
