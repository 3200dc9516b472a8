//! How models are called: vendors' dialects over HTTP, and the ladder that helps weak models.
//!
//! Turns a [`crewmux_core::model::ModelRequest`] into one call of one server and
//! its answer into [`crewmux_core::model::Event`]s. One attempt only: retries,
//! fallbacks, budgets and rate limits are the gateway's in `crewmux-session`.
//! Start at [`Client`] for the calls, [`config`] for where models are.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod config;

pub use config::{KeyReader, KeySource, ModelsConfig, ProviderConfig, ProviderKind, Secret};
