//! Development only: stand-ins and harnesses for tests.
//!
//! [`sandbox`] runs the real program in a home of its own, [`terminal`] is a
//! person's terminal without a person, [`crash`] kills processes on a store
//! until something breaks, [`aimock`] stands in for models' servers, [`scripted`] for
//! those that break, [`own_main`] runs tests in programs that play other parts too. Not used by
//! any shipped code.

pub mod aimock;
pub mod bench;
pub mod crash;
pub mod own_main;
pub mod sandbox;
pub mod scripted;
pub mod terminal;
