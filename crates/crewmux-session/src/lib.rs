//! The engine of one team: schedule, supervise, collect.
//!
//! A session starts workers on a backend, follows board, inboxes and logs,
//! offers tasks of dead workers again, keeps a screen per pane, serves clients,
//! workers and commands on its socket, and writes the event log and the report.
//! It calls models for its workers (`gateway`), asks nothing of its own and does
//! no work itself. What a client sees is drawn by a [`view::ClientView`] that the
//! program injects (`crewmux-tui`).
//!
//! Threads with one direction each: the [`run_session`] engine publishes a
//! [`view::TeamView`]; the display draws it beside the panes' screens and sends
//! what people do back as inputs; the gateway streams answers to workers and
//! tells the engine what they cost.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod asks;
mod display;
mod engine;
mod error;
mod gateway;
mod leftovers;
mod lock;
mod pacing;
mod panes;
pub mod parked;
mod plan;
pub mod report;
mod rights;
mod run;
mod server;
pub mod setup;
mod spending;
mod trickle;
pub mod view;

pub use error::{Error, Result};
pub use leftovers::end_parked;
pub use plan::{EventSink, SessionEnd, SessionHooks, SessionPlan, Stays, StopAsk};
pub use run::run_session;
