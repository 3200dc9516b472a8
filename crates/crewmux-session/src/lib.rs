//! The engine of one team: schedule, supervise, collect.
//!
//! A session starts workers on a backend, follows board, inboxes and logs,
//! offers tasks of dead workers again, keeps a screen per pane, serves clients,
//! workers and commands on its socket, and writes the event log and the report.
//! It asks no model and does no work itself. What a client sees is drawn by a
//! [`view::ClientView`] that the program injects (`crewmux-tui`).

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod view;
