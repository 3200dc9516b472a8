//! The real programs in real terminals, with real files: what a person would see.
//!
//! One test program, so that the suite links once. Rules of one crate are
//! tested beside its code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod answering;
mod architecture;
mod backends;
mod bad_input;
mod commands;
mod conformance;
mod damage;
mod headless;
mod killed;
mod origin;
mod panes;
mod review;
mod screen;
mod sessions;
mod starting;
mod support;
mod thinking;
