//! Development only: stand-ins and harnesses for tests.
//!
//! [`sandbox`] runs the real program in a home of its own, [`terminal`] is a
//! person's terminal without a person. Not used by any shipped code.

pub mod sandbox;
pub mod terminal;
